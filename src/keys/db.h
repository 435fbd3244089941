/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One SQLite file as a storage child has it: opened durable, migrated, checked by the only process that
 * writes it; a transaction for a group of messages, a savepoint for each, statements prepared once.
 */
#ifndef DB_H
#define DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sqlite3.h>

#include "base/err.h"

enum { DB_STMTS_MAX = 32 };

/* What a kind of file is.  Step n of the migrations leads from schema version n to n + 1. */
struct db_schema {
	const char *file; /* its name in the state directory */
	bool shared;	  /* another process of ours reads it meanwhile */
	int32_t application_id;
	const char *const *migrations;
	int version; /* how many migrations there are */
	const char *const *sql; /* statements by number */
	unsigned sql_count;
};

struct db {
	sqlite3 *h;
	const struct db_schema *schema;
	int64_t found; /* the schema version that the file had; 0: it is new */
	bool in_group;
	bool failed; /* input or output failed: nothing that is in memory can be relied on */
	bool unsettled;	 /* the log that was found may be on no disk: no group begins, and it stays */
	bool durable;	 /* it is there now, but not in the file */
	bool keeps_room; /* see db_room.h */
	int room_fd;
	int log_pages;	 /* after the last commit; 0: db_log_tend() has seen to it */
	enum err last; /* of db_error(); what a group was lost for */
	sqlite3_stmt *stmts[DB_STMTS_MAX];
	sqlite3_stmt *begin, *commit, *rollback, *savepoint, *release, *rollback_to;
};

/*
 * Opens a file, or makes it, and looks whether it is ours and not of a later release: then it is left as
 * it is.  vfs NULL: the system's.  *why is a sentence (static storage).
 */
CHECKED enum err db_open(struct db *db, const struct db_schema *schema, const char *dir,
    const char *vfs, const char **why);
/* Who is told every few milliseconds that work goes on. */
struct db_watcher {
	void (*working)(void *arg);
	void *arg;
};

/*
 * Brings it to this release's schema, checks it and prepares all statements; to be closed on failure.
 * ERR_CORRUPT: it is damaged; no other error says so.
 * watcher: of the former, which takes minutes where there are millions of objects; NULL: nobody.
 */
CHECKED enum err db_make_ready(struct db *db, const struct db_watcher *watcher, const char **why);
/*
 * Opens a shared file that another process of ours has made ready to read it: each statement sees what was
 * committed when it began.  That one has it open, or has ended: then nobody may open it to write meanwhile.
 */
CHECKED enum err db_open_to_read(struct db *db, const struct db_schema *schema, const char *dir,
    const char *vfs, const char **why);
/* ERR_STORAGE, with *why: beside the file there is a log, so that it was not made by our backup. */
CHECKED enum err db_check_copy(const struct db_schema *schema, const char *dir, const char **why);
/*
 * Opens a copy that nobody writes, as it is: it may have an older schema.  Checks as above, and the
 * structure of every page.
 */
CHECKED enum err db_open_copy(struct db *db, const struct db_schema *schema, const char *dir,
    const char **why);
/* Whether the file that was opened has its name no more, by its inode alone: see also db_names.h. */
bool db_has_moved(struct db *db);
void db_close(struct db *db);

/* Statement number n, reset, without bindings; NULL on failure: db_error() knows why. */
sqlite3_stmt *db_stmt(struct db *db, unsigned n);
/* Prepares another, for the caller to finalize. */
sqlite3_stmt *db_prepare(struct db *db, const char *sql);
/* The error of the last call, noting whether the file can be used on. */
enum err db_error(struct db *db);
/* The same for a result code of SQLite's that its handle does not know. */
enum err db_failed_with(struct db *db, int rc);
/* Steps once; a statement without a further row is reset. */
CHECKED enum err db_step(struct db *db, sqlite3_stmt *st, bool *row);
/* Runs one that yields no rows. */
CHECKED enum err db_run(struct db *db, sqlite3_stmt *st);
void db_bind_text(sqlite3_stmt *st, int at, const char *text);

/* A group: one transaction for many messages, a savepoint for each of them. */
/*
 * Harmless when it has begun.  ERR_STORAGE_FULL as long as there is no room to settle the log that was
 * found at the start.
 */
CHECKED enum err db_group_begin(struct db *db);
CHECKED enum err db_group_commit(struct db *db);
void db_group_rollback(struct db *db);
CHECKED enum err db_message_begin(struct db *db);
/* keep false: undoes what the message did.  An error: the whole group is lost. */
CHECKED enum err db_message_end(struct db *db, bool keep);

#endif
