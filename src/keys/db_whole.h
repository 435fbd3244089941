/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a start finds both files of a state directory.  Where one was lost, or a restore was cut off, a new
 * one in its place would hide that, and the next backups would overwrite what could still be had.
 */
#ifndef DB_WHOLE_H
#define DB_WHOLE_H

#include "db.h"

/* The ledger until its restore is complete. */
#define DB_WHOLE_RESTORING "ledger.db.new"

/*
 * To be asked before either is opened, as SQLite removes the log of a file that is missing or empty.
 * ERR_STORAGE, with *why: nobody can tell.
 * ERR_CORRUPT, with *why: such a log has something in it, or a restore was cut off.  A first start that was
 * cut off is neither: a new file has its name and its first page on the disk before SQLite makes it a log.
 */
CHECKED enum err db_whole_logs(const char *dir, const char *vfs, const char **why);
/*
 * As the former, and ERR_CORRUPT when one of both is missing or empty, keys or none: a process that follows
 * one of the same gateway, which had them open, makes neither.
 */
CHECKED enum err db_whole_still(const char *dir, const char *vfs, const char **why);
/*
 * Of both, opened and unchanged.  ERR_CORRUPT, with *why: one of them is new, and the other tells of keys
 * that it ought to have.
 */
CHECKED enum err db_whole_pair(struct db *ledger, struct db *vault, const char **why);

#endif
