/* SPDX-License-Identifier: Apache-2.0 */
/* Opening, migrating and checking SQLite files; groups, savepoints and statements. */
#include "db.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/trusted.h"
#include "base/why.h"
#include "db_log.h"
#include "db_room.h"
#include "disk.h"

/*
 * quick_check reads every page: instant for some tens of thousands of objects, minutes for
 * millions on a slow disk, during which no host could boot.  Larger files are left to the check
 * that SQLite makes of each page as it reads it, and to the full check of every backup.
 */
enum { CHECK_AT_OPEN_MAX = 64 * 1024 * 1024 };
enum { WATCHED_STEPS = 20000 }; /* of SQLite's machine: some milliseconds */
enum { READER_WAIT_MS = 10000 };

static enum err
error_of(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return ERR_OK;
	case SQLITE_FULL:
		return ERR_STORAGE_FULL;
	case SQLITE_NOMEM:
		return ERR_NO_MEMORY;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return ERR_CORRUPT;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return ERR_IN_USE;
	default:
		return ERR_STORAGE;
	}
}

/* The file's, and its log's: whatever the last call of each that failed met; 0: none has. */
static void
last_errnos(struct db *db, int out[2])
{
	sqlite3_file *log = NULL;

	out[0] = out[1] = 0;
	(void)sqlite3_file_control(db->h, "main", SQLITE_FCNTL_LAST_ERRNO, &out[0]);
	(void)sqlite3_file_control(db->h, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
	if (log != NULL && log->pMethods != NULL)
		(void)log->pMethods->xFileControl(log, SQLITE_FCNTL_LAST_ERRNO, &out[1]);
}

/* At a start: SQLite calls also a page damaged that the disk does not read. */
static enum err
unless_unread(struct db *db, enum err e)
{
	int errnos[2];

	last_errnos(db, errnos);
	return e == ERR_CORRUPT && (errnos[0] == EIO || errnos[1] == EIO) ? ERR_STORAGE : e;
}

/*
 * A quota that is used up is no other case than a full disk, of which alone SQLite knows.  What it keeps
 * is told for each file and never forgotten, so that neither may have met anything else.
 */
static bool
exceeds_quota(struct db *db)
{
	bool quota = false;
	int errnos[2];

	last_errnos(db, errnos);
	for (int i = 0; i < 2; i++) {
		if (errnos[i] != 0 && errnos[i] != EDQUOT)
			return false;
		quota |= errnos[i] == EDQUOT;
	}
	return quota;
}

/*
 * Nobody knows what is on the disk after a failed call, nor who has a lock that is neither given up nor had
 * after all that SQLite waits for it: both end with the process.
 */
enum err
db_failed_with(struct db *db, int rc)
{
	enum err e = error_of(rc);

	if (rc == SQLITE_IOERR_WRITE && exceeds_quota(db))
		e = ERR_STORAGE_FULL;
	else if ((rc & 0xff) == SQLITE_IOERR || (rc & 0xff) == SQLITE_PROTOCOL)
		db->failed = true;
	return db->last = e != ERR_OK ? e : ERR_STORAGE;
}

enum err
db_error(struct db *db)
{
	return db_failed_with(db, sqlite3_extended_errcode(db->h));
}

static enum err
exec(struct db *db, const char *sql)
{
	return sqlite3_exec(db->h, sql, NULL, NULL, NULL) == SQLITE_OK ? ERR_OK : db_error(db);
}

/* The integer that a pragma tells. */
static enum err
get_int(struct db *db, const char *sql, int64_t *out)
{
	sqlite3_stmt *st = db_prepare(db, sql);
	bool row = false;
	enum err e;

	if (st == NULL)
		return unless_unread(db, db_error(db));
	e = unless_unread(db, db_step(db, st, &row));
	if (e == ERR_OK && !row)
		e = ERR_STORAGE;
	if (e == ERR_OK)
		*out = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return e;
}

/* True when the text that a pragma tells is want. */
static bool
tells(struct db *db, const char *sql, const char *want)
{
	sqlite3_stmt *st = db_prepare(db, sql);
	const char *got = NULL;
	bool same;

	if (st != NULL && sqlite3_step(st) == SQLITE_ROW)
		got = (const char *)sqlite3_column_text(st, 0);
	same = got != NULL && strcmp(got, want) == 0;
	return sqlite3_finalize(st) == SQLITE_OK && same; /* which commits what the pragma has changed */
}

/*
 * A check goes on, in words alone, after a page that it could not have: only what it says of one that it had
 * tells of damage.
 */
static enum err
judge_check(struct db *db, const char *said)
{
	const char *code;
	int rc = SQLITE_CORRUPT;

	if (said == NULL)
		return ERR_NO_MEMORY;
	if (strcmp(said, "ok") == 0)
		return ERR_OK;
	code = strstr(said, "error code");
	if (code != NULL)
		(void)sscanf(code, "error code%*[= ]%d", &rc);
	else if (strstr(said, "failed to get page") != NULL)
		rc = SQLITE_IOERR;
	return db_failed_with(db, rc);
}

/* A pragma that checks all pages.  ERR_CORRUPT: they are damaged; any other: they may be whole. */
static enum err
check(struct db *db, const char *sql)
{
	sqlite3_stmt *st = db_prepare(db, sql);
	bool row = false;
	enum err e = st != NULL ? db_step(db, st, &row) : db_error(db);

	if (e == ERR_OK)
		e = judge_check(db, (const char *)sqlite3_column_text(st, 0));
	sqlite3_finalize(st);
	return unless_unread(db, e);
}

static enum err
check_schema(struct db *db, const char **why)
{
	int64_t id = 0, tables = 0, *version = &db->found;
	enum err e;

	*why = "a file of the state directory cannot be read, or is no SQLite database";
	e = get_int(db, "PRAGMA user_version", version);
	if (e == ERR_OK)
		e = get_int(db, "PRAGMA application_id", &id);
	if (e == ERR_OK)
		e = get_int(db, "SELECT count(*) FROM sqlite_schema", &tables);
	if (e != ERR_OK)
		return e;
	if (*version == 0 && id == 0 && tables == 0)
		return ERR_OK; /* new, or its making was cut short before the first step */
	if (id != db->schema->application_id) {
		*why = "a file of the state directory is a database of another program";
		return ERR_SCHEMA;
	}
	if (*version < 1 || *version > db->schema->version) {
		*why = "a later release wrote these files: nothing was changed; use that release again, "
		       "or restore a backup that this one made";
		return ERR_SCHEMA;
	}
	return ERR_OK;
}

/* One step, whole or not at all: the version moves in the same transaction. */
static enum err
migrate_step(struct db *db, int step)
{
	char sql[128];
	enum err e;

	e = exec(db, "BEGIN IMMEDIATE");
	if (e != ERR_OK)
		return e;
	e = exec(db, db->schema->migrations[step]);
	snprintf(sql, sizeof(sql), "PRAGMA application_id = %d; PRAGMA user_version = %d",
	    (int)db->schema->application_id, step + 1);
	if (e == ERR_OK)
		e = exec(db, sql);
	if (e == ERR_OK)
		e = exec(db, "COMMIT");
	if (e != ERR_OK && !sqlite3_get_autocommit(db->h))
		sqlite3_exec(db->h, "ROLLBACK", NULL, NULL, NULL);
	return e;
}

static enum err
check_pages(struct db *db, const char **why)
{
	int64_t pages = 0, size = 0;
	enum err e;

	e = get_int(db, "PRAGMA page_count", &pages);
	if (e == ERR_OK)
		e = get_int(db, "PRAGMA page_size", &size);
	if (e == ERR_OK && pages * size <= CHECK_AT_OPEN_MAX)
		e = check(db, "PRAGMA quick_check(1)");
	if (e == ERR_CORRUPT)
		*why = "a file of the state directory is damaged: restore a backup";
	else if (e != ERR_OK)
		(void)why_say(why, e, "its file %s cannot be read: %s", db->schema->file, err_text(e));
	return e;
}

static enum err
prepare_groups(struct db *db)
{
	db->begin = db_prepare(db, "BEGIN IMMEDIATE");
	db->commit = db_prepare(db, "COMMIT");
	db->rollback = db_prepare(db, "ROLLBACK");
	db->savepoint = db_prepare(db, "SAVEPOINT message");
	db->release = db_prepare(db, "RELEASE message");
	db->rollback_to = db_prepare(db, "ROLLBACK TO message");
	if (db->begin == NULL || db->commit == NULL || db->rollback == NULL ||
	    db->savepoint == NULL || db->release == NULL || db->rollback_to == NULL)
		return db_error(db);
	return ERR_OK;
}

/* Tables of another shape would fail the first client to need them. */
static enum err
prepare_statements(struct db *db, const char **why)
{
	for (unsigned n = 0; n < db->schema->sql_count; n++)
		if (db_stmt(db, n) == NULL) {
			enum err e = db_error(db);

			if ((sqlite3_errcode(db->h) & 0xff) != SQLITE_ERROR)
				return e;
			*why = "the tables of a file of the state directory are not those of its schema";
			return ERR_SCHEMA;
		}
	return prepare_groups(db);
}

/* Exclusive locking comes before the first use, so that WAL needs no shared memory file. */
static enum err
configure(struct db *db, bool shared, const char **why)
{
	enum err e = ERR_OK;

	sqlite3_extended_result_codes(db->h, 1);
	sqlite3_busy_timeout(db->h, db->schema->shared && !shared ? DB_LOG_OPEN_WAIT_MS : 0);
	*why = "a file of the state directory cannot be opened";
	if (!shared)
		e = exec(db, "PRAGMA locking_mode = EXCLUSIVE");
	if (e == ERR_OK)
		e = exec(db, "PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY;"
			     "PRAGMA cache_size = -8192; PRAGMA foreign_keys = ON;"
			     "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON");
	if (e == ERR_OK)
		e = check_schema(db, why);
	return e;
}

/* SQLite follows links and minds no owner. */
static enum err
check_files(const char *path, const struct db_schema *schema, const char **why)
{
	static const char *const ends[] = {"", "-wal", "-shm", "-journal"};
	char file[DISK_PATH_MAX + 16];
	const char *wrong;
	int fd;

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		snprintf(file, sizeof(file), "%s%s", path, ends[i]);
		fd = trusted_open(file, TRUSTED_STATE_FILE, O_RDONLY, &wrong);
		if (fd >= 0)
			close(fd);
		else if (errno != ENOENT)
			return why_say(
			    why, ERR_STORAGE, "its file %s%s %s", schema->file, ends[i], wrong);
	}
	return ERR_OK;
}

static enum err
open_file(struct db *db, const char *path, const char *vfs, bool shared, const char **why)
{
	const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
	enum err e;

	*why = "a file of the state directory cannot be opened";
	e = sqlite3_open_v2(path, &db->h, flags, vfs) == SQLITE_OK ? ERR_OK : ERR_STORAGE;
	db->unsettled = true;
	if (e == ERR_OK)
		e = configure(db, shared, why);
	if (e != ERR_OK)
		db_close(db);
	return e;
}

/* A shared one is first looked at alone: what is refused then has no new file beside it. */
enum err
db_open(struct db *db, const struct db_schema *schema, const char *dir, const char *vfs,
    const char **why)
{
	char path[DISK_PATH_MAX];
	enum err e;

	*db = (struct db){.schema = schema};
	*why = "the path of the state directory is too long";
	if (!disk_join(path, dir, schema->file))
		return ERR_STORAGE;
	e = check_files(path, schema, why);
	if (e != ERR_OK)
		return e;
	e = open_file(db, path, vfs, false, why);
	if (e != ERR_OK || !schema->shared)
		return e;
	db_close(db);
	e = open_file(db, path, vfs, true, why);
	db->keeps_room = e == ERR_OK;
	if (db->keeps_room)
		db->room_fd = db_room_make(path);
	return e;
}

static int
on_progress(void *arg)
{
	const struct db_watcher *w = arg;

	w->working(w->arg);
	return 0;
}

static enum err
migrate(struct db *db, const char **why)
{
	enum err e = ERR_OK;

	for (int i = (int)db->found; i < db->schema->version && e == ERR_OK; i++) {
		*why = "a file of the state directory cannot be brought to this release's schema";
		e = migrate_step(db, i);
		db_log_tend(db);
	}
	return e;
}

enum err
db_make_ready(struct db *db, const struct db_watcher *watcher, const char **why)
{
	struct db_watcher w = watcher != NULL ? *watcher : (struct db_watcher){0};
	enum err e;

	*why = "a file of the state directory cannot be set to write-ahead logging";
	if (!tells(db, "PRAGMA journal_mode = WAL", "wal"))
		return db_error(db);
	e = exec(db, "PRAGMA synchronous = FULL");
	db_log_watch(db);
	if (e == ERR_OK)
		e = db_log_settle(db, why); /* before what is in memory alone may leave it */
	if (e == ERR_OK && db->found > 0)
		e = check_pages(db, why);
	if (w.working != NULL)
		sqlite3_progress_handler(db->h, WATCHED_STEPS, on_progress, &w);
	if (e == ERR_OK)
		e = migrate(db, why);
	sqlite3_progress_handler(db->h, 0, NULL, NULL);
	return e == ERR_OK ? prepare_statements(db, why) : e;
}

/* False: it is too long, or has a character that would mean something there. */
static bool
uri_of(char out[DISK_PATH_MAX + 32], const char *path, const char *how)
{
	if (strpbrk(path, "?#%") != NULL)
		return false;
	return snprintf(out, DISK_PATH_MAX + 32, "file:%s?%s", path, how) < DISK_PATH_MAX + 32;
}

static enum err
open_reader(struct db *db, const char *name, const char *vfs, const char **why)
{
	const int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX;
	enum err e = sqlite3_open_v2(name, &db->h, flags, vfs) == SQLITE_OK ? ERR_OK : ERR_STORAGE;

	*why = "a file of the state directory cannot be opened to be read";
	if (e == ERR_OK) {
		sqlite3_extended_result_codes(db->h, 1);
		sqlite3_busy_timeout(db->h, READER_WAIT_MS);
		db_log_leave(db);
		e = exec(db, "PRAGMA temp_store = MEMORY; PRAGMA cache_size = -2048;"
			     "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;"
			     "PRAGMA query_only = ON");
	}
	if (e == ERR_OK)
		e = check_schema(db, why);
	if (e == ERR_OK && db->found != db->schema->version) {
		*why = "nobody has made ready a file of the state directory";
		e = ERR_SCHEMA;
	}
	if (e != ERR_OK)
		db_close(db);
	return e;
}

/* Where no writer has made the log durable its index must not name what memory alone has: that may leave it. */
static void
forget_log(const char *path)
{
	char log[DISK_PATH_MAX + 8];

	snprintf(log, sizeof(log), "%s-wal", path);
	disk_forget(log);
}

/*
 * It changes nothing, and leaves the log to the one that writes.  Where there is none it makes the log's
 * index anew, as that may say less than the log; on a disk that fails to write it does so in its own memory.
 */
enum err
db_open_to_read(struct db *db, const struct db_schema *schema, const char *dir, const char *vfs,
    const char **why)
{
	char path[DISK_PATH_MAX], uri[DISK_PATH_MAX + 32];
	enum err e;

	*db = (struct db){.schema = schema};
	*why = "the path of the state directory is too long";
	if (!disk_join(path, dir, schema->file))
		return ERR_STORAGE;
	forget_log(path);
	e = open_reader(db, path, vfs, why);
	if (e == ERR_STORAGE && uri_of(uri, path, "readonly_shm=1"))
		e = open_reader(db, uri, vfs, why);
	return e;
}

/* What such a log holds is not in the file, and nobody who reads that alone misses it. */
enum err
db_check_copy(const struct db_schema *schema, const char *dir, const char **why)
{
	static const char *const ends[] = {"-wal", "-journal"};
	char path[DISK_PATH_MAX], log[DISK_PATH_MAX + 16];
	struct stat st;

	*why = "the directory's path is too long, or has a character that is not allowed";
	if (!disk_join(path, dir, schema->file))
		return ERR_STORAGE;
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		snprintf(log, sizeof(log), "%s%s", path, ends[i]);
		*why = "the directory holds a write-ahead log: it is no backup, or a gateway uses it";
		if (lstat(log, &st) == 0)
			return ERR_STORAGE;
		*why = "a file of the copy is missing or cannot be opened";
		if (errno != ENOENT)
			return ERR_STORAGE;
	}
	return ERR_OK;
}

/* immutable: no lock, no journal. */
enum err
db_open_copy(struct db *db, const struct db_schema *schema, const char *dir, const char **why)
{
	const int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX;
	char path[DISK_PATH_MAX], uri[DISK_PATH_MAX + 32];
	enum err e = db_check_copy(schema, dir, why);

	*db = (struct db){.schema = schema};
	if (e != ERR_OK)
		return e;
	*why = "the directory's path is too long, or has a character that is not allowed";
	if (!disk_join(path, dir, schema->file) || !uri_of(uri, path, "immutable=1"))
		return ERR_STORAGE;
	*why = "a file of the copy is missing or cannot be opened";
	e = sqlite3_open_v2(uri, &db->h, flags, NULL) == SQLITE_OK ? ERR_OK : ERR_STORAGE;
	if (e == ERR_OK)
		e = check_schema(db, why);
	if (e == ERR_OK && db->found == 0) {
		*why = "a file of the copy is empty";
		e = ERR_SCHEMA;
	}
	if (e == ERR_OK) {
		e = check(db, "PRAGMA integrity_check(1)");
		*why = e == ERR_CORRUPT ? "a file of the copy is damaged" : "a file of the copy cannot be read";
	}
	if (e != ERR_OK)
		db_close(db);
	return e;
}

bool
db_has_moved(struct db *db)
{
	int moved = 0;

	return sqlite3_file_control(db->h, "main", SQLITE_FCNTL_HAS_MOVED, &moved) != SQLITE_OK || moved != 0;
}

void
db_close(struct db *db)
{
	sqlite3_stmt *group[] = {db->begin, db->commit, db->rollback, db->savepoint, db->release,
	    db->rollback_to};

	char path[DISK_PATH_MAX] = "";

	for (unsigned i = 0; i < DB_STMTS_MAX; i++)
		sqlite3_finalize(db->stmts[i]);
	for (unsigned i = 0; i < sizeof(group) / sizeof(*group); i++)
		sqlite3_finalize(group[i]);
	if (db->h != NULL && (db->unsettled || db->failed))
		db_log_leave(db);
	if (db->keeps_room) {
		snprintf(path, sizeof(path), "%s", sqlite3_db_filename(db->h, "main"));
		db_room_hold(path);
	}
	sqlite3_close(db->h);
	if (db->keeps_room)
		db_room_put_back(path, db->room_fd);
	*db = (struct db){.schema = db->schema};
}

sqlite3_stmt *
db_prepare(struct db *db, const char *sql)
{
	sqlite3_stmt *st = NULL;

	sqlite3_prepare_v3(db->h, sql, -1, SQLITE_PREPARE_PERSISTENT, &st, NULL);
	return st;
}

sqlite3_stmt *
db_stmt(struct db *db, unsigned n)
{
	if (db->stmts[n] == NULL)
		db->stmts[n] = db_prepare(db, db->schema->sql[n]);
	if (db->stmts[n] != NULL) {
		sqlite3_reset(db->stmts[n]);
		sqlite3_clear_bindings(db->stmts[n]);
	}
	return db->stmts[n];
}

enum err
db_step(struct db *db, sqlite3_stmt *st, bool *row)
{
	int rc = sqlite3_step(st);
	enum err e = ERR_OK;

	if (rc != SQLITE_ROW) {
		if (rc != SQLITE_DONE)
			e = db_error(db);
		sqlite3_reset(st);
	}
	*row = rc == SQLITE_ROW;
	return e;
}

enum err
db_run(struct db *db, sqlite3_stmt *st)
{
	bool row;

	return st != NULL ? db_step(db, st, &row) : db_error(db);
}

void
db_bind_text(sqlite3_stmt *st, int at, const char *text)
{
	sqlite3_bind_text(st, at, text, -1, SQLITE_STATIC);
}

enum err
db_group_begin(struct db *db)
{
	enum err e = ERR_OK;

	if (db->in_group)
		return ERR_OK;
	if (db->unsettled)
		e = db_log_empty(db, db_log_wait_ms(db));
	if (e == ERR_OK)
		e = db_run(db, db->begin);
	db->in_group = e == ERR_OK;
	return e;
}

enum err
db_group_commit(struct db *db)
{
	enum err e = db_run(db, db->commit);

	if (e != ERR_OK)
		db_group_rollback(db);
	db->in_group = false;
	return e;
}

/* SQLite may have rolled back by itself: then there is nothing left to do. */
void
db_group_rollback(struct db *db)
{
	db->in_group = false;
	if (!sqlite3_get_autocommit(db->h) && sqlite3_step(db->rollback) != SQLITE_DONE)
		db->failed = true;
	sqlite3_reset(db->rollback);
}

enum err
db_message_begin(struct db *db)
{
	return db_run(db, db->savepoint);
}

enum err
db_message_end(struct db *db, bool keep)
{
	enum err e = ERR_OK;

	if (sqlite3_get_autocommit(db->h)) /* full disk or memory rolled the whole group back */
		return db->last != ERR_OK ? db->last : ERR_STORAGE;
	if (!keep)
		e = db_run(db, db->rollback_to);
	if (e == ERR_OK)
		e = db_run(db, db->release);
	return e;
}
