/* SPDX-License-Identifier: Apache-2.0 */
/* The write-ahead log of a file that is open to be written. */
#ifndef DB_LOG_H
#define DB_LOG_H

#include "db.h"

enum { DB_LOG_OPEN_WAIT_MS = 10000 }; /* a reader whose gateway was killed is about to end */

/* From now on db_log_tend() knows how long it is. */
void db_log_watch(struct db *db);
/*
 * At the start: makes durable what was found, and brings it back into the file.  Blocks.  ERR_OK also when
 * there is no room for that: then db->unsettled stays, and db_log_empty() is for later.
 * ERR_STORAGE_READ_ONLY: the disk fails.  *why is a sentence (static storage).
 */
CHECKED enum err db_log_settle(struct db *db, const char **why);
/*
 * Brings the whole log back into the file and empties it; waits for readers for no longer than that.
 * ERR_IN_USE: one is in the way.  ERR_STORAGE, with db->failed: there was no room to settle it at the
 * start, and now there is, for the next child to do so.
 */
CHECKED enum err db_log_empty(struct db *db, int wait_ms);
/* After commits: brings back a log that has grown.  Failure shows in db->failed. */
void db_log_tend(struct db *db);
/* When it is closed: the last to do so would bring it back as it is. */
void db_log_leave(struct db *db);
/* A reader that looks for where the log ends may hold the writer's lock for a moment. */
int db_log_wait_ms(const struct db *db);

#endif
