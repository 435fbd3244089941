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

CHECKED enum err db_backup_start(struct db_backup **out, struct db *ledger, struct db *vault,
    const char *directory);
/* True while there is more to do; then *e and *objects tell how it ended. */
bool db_backup_step(struct db_backup *b, enum err *e, uint64_t *objects);
/* Also ends one that is under way. */
void db_backup_free(struct db_backup *b);

#endif
