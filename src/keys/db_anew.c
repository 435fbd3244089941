/* SPDX-License-Identifier: Apache-2.0 */
/* SQLite's log, written again. */
#include "db_anew.h"

#include "base/alloc.h"

enum { CHUNK = 64 * 1024 };

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

int
db_log_anew(sqlite3 *h)
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
