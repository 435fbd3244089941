/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of both files while they are in use. */
#include "db_backup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/child.h"
#include "base/clock.h"
#include "db_ledger.h"
#include "disk.h"

enum { STEP_PAGES = 256 }; /* 1 MiB at a time */

struct copy {
	struct db *from;
	sqlite3 *to;
	sqlite3_backup *run;
	char path[DISK_PATH_MAX];
};

struct db_backup {
	struct copy copies[2];
	char directory[DISK_PATH_MAX], trust[2][DISK_PATH_MAX]; /* from, to */
	struct db_backed_up done;
	pid_t syncer; /* 0: not yet */
};

static enum err
copy_error(int rc)
{
	return (rc & 0xff) == SQLITE_FULL ? ERR_STORAGE_FULL : ERR_STORAGE;
}

/* A copy that was not ended is worthless, so that it needs neither journal nor order. */
static enum err
copy_start(struct copy *c, struct db *from, const char *directory)
{
	const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;

	c->from = from;
	if (!disk_join(c->path, directory, from->schema->file))
		return ERR_STORAGE;
	if (sqlite3_open_v2(c->path, &c->to, flags, NULL) != SQLITE_OK ||
	    sqlite3_exec(c->to, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
			       "PRAGMA cache_size = -4096", NULL, NULL, NULL) != SQLITE_OK)
		return ERR_STORAGE;
	c->run = sqlite3_backup_init(c->to, "main", from->h, "main");
	return c->run != NULL ? ERR_OK : ERR_STORAGE;
}

/* The last step also ends the copy's transaction, and makes it a file without a log. */
static enum err
copy_end(struct copy *c)
{
	int rc = sqlite3_backup_step(c->run, -1), end = sqlite3_backup_finish(c->run);

	c->run = NULL;
	if (rc != SQLITE_DONE)
		return copy_error(rc);
	if (end != SQLITE_OK)
		return copy_error(end);
	rc = sqlite3_exec(c->to, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL);
	return rc == SQLITE_OK ? ERR_OK : copy_error(rc);
}

enum err
db_backup_start(struct db_backup **out, struct db *ledger, struct db *vault, const char *state_dir,
    const char *directory)
{
	struct db_backup *b;
	enum err e;

	if (!disk_dir_empty(directory))
		return ERR_INVALID_FIELD;
	b = alloc_zero(sizeof(*b));
	if (b == NULL)
		return ERR_NO_MEMORY;
	e = disk_join(b->directory, directory, "") &&
	    disk_join(b->trust[0], state_dir, DISK_TRUST) &&
	    disk_join(b->trust[1], directory, DISK_TRUST) ? ERR_OK : ERR_STORAGE;
	if (e == ERR_OK)
		e = copy_start(&b->copies[0], ledger, directory);
	if (e == ERR_OK)
		e = copy_start(&b->copies[1], vault, directory);
	if (e == ERR_OK)
		*out = b;
	else
		db_backup_free(b);
	return e;
}

/* Counts what the copy holds, and notes it in the copy: restored, it knows of itself. */
static enum err
label_copy(struct db_backup *b)
{
	struct db copy = {.h = b->copies[0].to, .schema = b->copies[0].from->schema};
	sqlite3_stmt *st = db_prepare(&copy, "SELECT count(*), coalesce(max(id), 0) FROM objects");
	bool row = false;
	enum err e = ERR_STORAGE;

	if (st != NULL)
		e = db_step(&copy, st, &row);
	if (e == ERR_OK && row) {
		b->done.when = clock_wall();
		b->done.objects = (uint64_t)sqlite3_column_int64(st, 0);
		b->done.last_object = sqlite3_column_int64(st, 1);
	}
	sqlite3_finalize(st);
	if (e == ERR_OK && !row)
		e = ERR_STORAGE;
	return e == ERR_OK ? db_ledger_note_backup(&copy, b->done.when, b->done.last_object) : e;
}

static int
sync_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd >= 0 ? fsync(fd) : -1;
}

/* What would make the storage child wait: its exit status. */
static enum err
sync_copies(const struct db_backup *b)
{
	enum err e = disk_copy_tree(b->trust[0], b->trust[1], DISK_TRUST_DEPTH);

	if (e == ERR_OK && (sync_file(b->copies[0].path) != 0 ||
	    sync_file(b->copies[1].path) != 0 || disk_sync_dir(b->directory) != 0))
		e = ERR_STORAGE;
	return e;
}

/*
 * A disk may hang for hours, and who waits for it cannot be killed: the lock of the state directory and the
 * socket to the gateway must not stay with it when the storage child ends, as no other could begin.  Where
 * the kernel has no close_range() closefrom() does without, or ends the process.
 */
static void
let_go_of_the_parents(pid_t parent)
{
	closefrom(STDERR_FILENO + 1);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
		_exit(ERR_STORAGE);
}

/* SQLite does not tell of a log that it could not remove, and who finds one takes the copy for no backup. */
static enum err
close_copies(struct db_backup *b)
{
	const char *why;

	for (int i = 0; i < 2; i++) {
		if (sqlite3_close(b->copies[i].to) != SQLITE_OK)
			return ERR_STORAGE;
		b->copies[i].to = NULL;
		if (db_check_copy(b->copies[i].from->schema, b->directory, &why) != ERR_OK)
			return ERR_STORAGE;
	}
	return ERR_OK;
}

static enum err
start_sync(struct db_backup *b)
{
	pid_t self = getpid();
	enum err e = close_copies(b);

	if (e != ERR_OK)
		return e;
	b->syncer = fork();
	if (b->syncer != 0)
		return b->syncer > 0 ? ERR_OK : ERR_NO_MEMORY;
	let_go_of_the_parents(self);
	_exit(sync_copies(b));
}

/* Both at once: no message comes between. */
static enum err
end_copies(struct db_backup *b)
{
	enum err e = copy_end(&b->copies[0]);

	if (e == ERR_OK)
		e = copy_end(&b->copies[1]);
	if (e == ERR_OK)
		e = label_copy(b);
	return e == ERR_OK ? start_sync(b) : e;
}

/* True when so little is left that the rest can be copied in one go. */
static bool
copy_step(struct copy *c, enum err *e)
{
	int rc, left;

	/* what is left is only known after a first step */
	rc = sqlite3_backup_step(c->run, sqlite3_backup_pagecount(c->run) == 0 ? 1 : 0);
	left = sqlite3_backup_remaining(c->run);
	if (rc == SQLITE_OK && left > STEP_PAGES)
		rc = sqlite3_backup_step(c->run, STEP_PAGES / 2);
	if (rc != SQLITE_OK && rc != SQLITE_DONE)
		*e = copy_error(rc);
	return rc == SQLITE_DONE || left <= STEP_PAGES;
}

bool
db_backup_step(struct db_backup *b, enum err *e, struct db_backed_up *done)
{
	bool ready = true;
	int status;

	*e = ERR_OK;
	if (b->syncer != 0) {
		if (!child_ended(b->syncer, &status))
			return true;
		b->syncer = 0;
		*done = b->done;
		*e = WIFEXITED(status) ? (enum err)WEXITSTATUS(status) : ERR_STORAGE;
		return false;
	}
	for (int i = 0; i < 2 && *e == ERR_OK; i++)
		ready &= copy_step(&b->copies[i], e);
	if (*e == ERR_OK && ready)
		*e = end_copies(b);
	return *e == ERR_OK;
}

unsigned
db_backup_percent(const struct db_backup *b)
{
	uint64_t total = 0, left = 0;

	for (int i = 0; i < 2 && b->copies[i].run != NULL; i++) {
		total += (uint64_t)sqlite3_backup_pagecount(b->copies[i].run);
		left += (uint64_t)sqlite3_backup_remaining(b->copies[i].run);
	}
	return total == 0 ? 99 : 1 + (unsigned)((total - left) * 98 / total);
}

void
db_backup_free(struct db_backup *b)
{
	if (b == NULL)
		return;
	for (int i = 0; i < 2; i++) {
		if (b->copies[i].run != NULL)
			sqlite3_backup_finish(b->copies[i].run);
		sqlite3_close(b->copies[i].to);
	}
	if (b->syncer > 0) {
		kill(b->syncer, SIGKILL);
		waitpid(b->syncer, NULL, WNOHANG); /* it may wait for a disk, and is nobody's to wait for */
	}
	alloc_free(b);
}
