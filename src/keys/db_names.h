/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether the files that a storage child has open still have their names.  SQLite goes on writing to those that
 * were removed, moved or unmounted, and what it commits there is found by nobody again.
 */
#ifndef DB_NAMES_H
#define DB_NAMES_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "disk.h"

struct db_schema;

enum { DB_NAMES = 5 }; /* both files, their logs, and the index that the reader shares */

struct db_name {
	char path[DISK_PATH_MAX + 16];
	dev_t device;
	ino_t inode;
};

struct db_names {
	struct db_name of[DB_NAMES];
};

/* Whose it is now; path is set.  False, with errno: that cannot be told, and db_name_check() fails. */
bool db_name_note(struct db_name *n);
/* As db_names_check(), of this one. */
CHECKED enum err db_name_check(const struct db_name *n);

/* Of the files that were opened and made ready just now.  ERR_STORAGE, with *why (static storage). */
CHECKED enum err db_names_note(struct db_names *n, const char *dir, const char **why);
/*
 * ERR_STORAGE_MOVED: one of the names is gone, or another file's.  ERR_STORAGE: nobody can tell.  One stat()
 * for each name: nothing beside the sync of a commit.
 */
CHECKED enum err db_names_check(const struct db_names *n);
/*
 * Whether the file itself has its name, whatever its log has.  Asked before it is closed: SQLite would remove
 * that log by its name, and in the place of the file there may be a copy of the disk, with a log of its own.
 */
bool db_names_has(const struct db_names *n, const struct db_schema *schema);

#endif
