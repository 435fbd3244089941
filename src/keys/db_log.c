/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sync that failed has left the log's end in memory alone.  The next to open the file reads all of it, and
 * no later sync writes it.  If the file were made newer by it, the power's loss would put the log's beginning,
 * which is on the disk, over that file: so what is found is written anew where it stands first.
 */
#include "db_log.h"

#include "base/alloc.h"

/*
 * A log of LOG_PAGES is brought back into its file as far as its readers let it; one of LOG_PAGES_MAX
 * waits for them, as new ones do not hold it up, and begins anew.
 */
enum { LOG_PAGES = 1000, LOG_PAGES_MAX = 4000, LOG_WAIT_MS = 1000 };
enum { CHUNK = 64 * 1024 };

int
db_log_wait_ms(const struct db *db)
{
	return db->schema->shared ? LOG_WAIT_MS : 0;
}

void
db_log_leave(struct db *db)
{
	(void)sqlite3_db_config(db->h, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
}

static enum err
bring_back(struct db *db, int mode, int wait_ms)
{
	int rc;

	sqlite3_busy_timeout(db->h, wait_ms);
	rc = sqlite3_wal_checkpoint_v2(db->h, NULL, mode, NULL, NULL);
	sqlite3_busy_timeout(db->h, db_log_wait_ms(db));
	return rc == SQLITE_OK ? ERR_OK : db_error(db);
}

/* Within COMMIT, whose answers must not wait for more, nor fail by it: see db_log_tend(). */
static int
on_commit(void *arg, sqlite3 *h, const char *name, int pages)
{
	struct db *db = arg;

	(void)h, (void)name;
	db->log_pages = pages;
	return SQLITE_OK;
}

void
db_log_watch(struct db *db)
{
	sqlite3_wal_hook(db->h, on_commit, db);
}

/* What failed to be brought back is in the log still, which is sound unless db_error() says otherwise. */
void
db_log_tend(struct db *db)
{
	if (db->log_pages >= LOG_PAGES_MAX)
		(void)!bring_back(db, SQLITE_CHECKPOINT_RESTART, LOG_WAIT_MS);
	else if (db->log_pages >= LOG_PAGES)
		(void)!bring_back(db, SQLITE_CHECKPOINT_PASSIVE, 0);
	db->log_pages = 0;
}

static int
write_again(sqlite3_file *log, void *room, sqlite3_int64 size)
{
	int rc = SQLITE_OK, len;

	for (sqlite3_int64 at = 0; rc == SQLITE_OK && at < size; at += len) {
		len = size - at < CHUNK ? (int)(size - at) : CHUNK;
		rc = log->pMethods->xRead(log, room, len, at);
		if (rc == SQLITE_OK)
			rc = log->pMethods->xWrite(log, room, len, at);
	}
	return rc == SQLITE_OK ? log->pMethods->xSync(log, SQLITE_SYNC_NORMAL) : rc;
}

static int
write_log_again(sqlite3 *h)
{
	sqlite3_file *log = NULL;
	sqlite3_int64 size = 0;
	void *room;
	int rc = sqlite3_file_control(h, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);

	if (rc != SQLITE_OK || log == NULL || log->pMethods == NULL)
		return rc;
	rc = log->pMethods->xFileSize(log, &size);
	if (rc != SQLITE_OK || size == 0)
		return rc;
	room = alloc_bytes(CHUNK);
	if (room == NULL)
		return SQLITE_NOMEM;
	rc = write_again(log, room, size);
	alloc_free(room);
	return rc;
}

static enum err
make_durable(struct db *db)
{
	int rc = write_log_again(db->h);

	db->durable = rc == SQLITE_OK;
	return db->durable ? ERR_OK : db_failed_with(db, rc);
}

/*
 * What was in memory alone may have left it since the start, when the log's index was made: what was written
 * again then is not what the index tells of.  The next child looks at what there is.
 */
static enum err
make_durable_later(struct db *db)
{
	enum err e = make_durable(db);

	if (e != ERR_OK)
		return e;
	db->failed = true;
	return db->last = ERR_STORAGE;
}

enum err
db_log_empty(struct db *db, int wait_ms)
{
	enum err e = db->unsettled && !db->durable ? make_durable_later(db) : ERR_OK;

	if (e == ERR_OK)
		e = bring_back(db, SQLITE_CHECKPOINT_TRUNCATE, wait_ms);
	if (e == ERR_OK)
		db->unsettled = false;
	return e;
}

/*
 * Where there is no room keys are served from the log all the same, but nothing is added, not even tables,
 * as the power's loss would end the log before whatever came behind.
 */
enum err
db_log_settle(struct db *db, const char **why)
{
	enum err e = make_durable(db);

	if (e == ERR_OK)
		e = db_log_empty(db, DB_LOG_OPEN_WAIT_MS);
	*why = e == ERR_IN_USE ? "another process reads a file of the state directory"
			       : "a log of the state directory cannot be brought back into its file";
	if (e == ERR_STORAGE)
		return ERR_STORAGE_READ_ONLY;
	return e == ERR_STORAGE_FULL && db->found == db->schema->version ? ERR_OK : e;
}
