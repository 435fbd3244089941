/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A copy of both files as they are at one moment, made in small steps between messages.
 *
 * SQLite carries changes that this process makes meanwhile into what is copied already.  Neither
 * copy is ended before little is left of both; then both are, with no message in between, so that
 * they show the same moment: each object's record is in the vault's copy.  Another process syncs
 * the copies, as that may take seconds.
 */
#ifndef DB_BACKUP_H
#define DB_BACKUP_H

#include <stdint.h>

#include "db.h"

struct db_backup;

/* What a finished copy holds. */
struct db_backed_up {
	int64_t when; /* seconds since 1970 */
	uint64_t objects;
	int64_t last_object; /* the id of the newest */
};

CHECKED enum err db_backup_start(struct db_backup **out, struct db *ledger, struct db *vault,
    const char *state_dir, const char *directory);
/* True while there is more to do; then *e tells how it ended and, if well, *done with what. */
bool db_backup_step(struct db_backup *b, enum err *e, struct db_backed_up *done);
/* How much of both was copied, in percent: 1 to 99 while there is more to do. */
unsigned db_backup_percent(const struct db_backup *b);
/* Also ends one that is under way. */
void db_backup_free(struct db_backup *b);

#endif
