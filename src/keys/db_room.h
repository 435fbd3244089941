/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Room for the index of a shared file's log (-shm), without which the file cannot be opened: on a disk
 * that something else has filled meanwhile keys are served all the same.  SQLite removes the index with
 * the log when the last process closes the file, and begins anew with the one that it finds.
 */
#ifndef DB_ROOM_H
#define DB_ROOM_H

/*
 * path: the file's.  When it was opened: reserves more than a log will need, if there is room.  The
 * descriptor, or -1, is for db_room_put_back(): to close it earlier would end SQLite's locks on the index.
 */
int db_room_make(const char *path);
/* Before and after it is closed: the index stays, with all of its blocks. */
void db_room_hold(const char *path);
void db_room_put_back(const char *path, int fd);

#endif
