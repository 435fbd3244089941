/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two files' contents, on the storage child's side.  Each call reads its body, puts its
 * answer's body, and returns the answer's result; what it changed is undone by the caller when
 * that is an error.
 */
#ifndef DB_LEDGER_H
#define DB_LEDGER_H

#include "base/buf.h"
#include "base/pack.h"
#include "db.h"

extern const struct db_schema db_ledger_schema, db_vault_schema;

CHECKED enum err db_ledger_load(struct db *db, struct unpack *u, struct buf *answer);
CHECKED enum err db_ledger_prepare(struct db *db, struct unpack *u, struct buf *answer);
CHECKED enum err db_ledger_commit(struct db *db, struct unpack *u, struct buf *answer);
CHECKED enum err db_ledger_abandon(struct db *db, struct unpack *u, struct buf *answer);
CHECKED enum err db_ledger_intents(struct db *db, struct unpack *u, struct buf *answer);
CHECKED enum err db_ledger_settle(struct db *db, struct unpack *u, struct buf *answer);
CHECKED enum err db_uses_note(struct db *db, struct unpack *u, struct buf *answer);

/* Notes that a backup with all objects up to that id was made. */
CHECKED enum err db_ledger_note_backup(struct db *db, int64_t when, int64_t last_object);
/* When the last one was made (0: never), and how many objects were made since. */
CHECKED enum err db_ledger_last_backup(struct db *db, int64_t *when, int64_t *newer);

CHECKED enum err db_vault_store(struct db *db, struct unpack *u, struct buf *answer);
CHECKED enum err db_vault_destroy(struct db *db, struct unpack *u, struct buf *answer);
CHECKED enum err db_vault_probe(struct db *db, struct unpack *u, struct buf *answer);

#endif
