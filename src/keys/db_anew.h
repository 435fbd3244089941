/* SPDX-License-Identifier: Apache-2.0 */
/* A log that was found, made as durable as it is readable. */
#ifndef KEYS_DB_ANEW_H
#define KEYS_DB_ANEW_H

#include <sqlite3.h>

/*
 * Writes what the main file's log holds to where it stands, and syncs it.  A sync that failed has left the
 * log's end in memory alone, and no later one writes it: if the file were made newer by it, the power's
 * loss would put the log's beginning over that file.  Blocks.  SQLite's result codes; nothing is changed
 * where there is no log.
 */
int db_log_anew(sqlite3 *h);

#endif
