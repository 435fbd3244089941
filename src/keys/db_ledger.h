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
CHECKED enum err db_ledger_find(struct db *db, struct unpack *u, struct buf *answer);
CHECKED enum err db_ledger_prepare(struct db *db, struct unpack *u, struct buf *answer);
CHECKED enum err db_ledger_commit(struct db *db, struct unpack *u, struct buf *answer);
CHECKED enum err db_ledger_abandon(struct db *db, struct unpack *u, struct buf *answer);
CHECKED enum err db_ledger_intents(struct db *db, struct unpack *u, struct buf *answer);
CHECKED enum err db_ledger_settle(struct db *db, struct unpack *u, struct buf *answer);

CHECKED enum err db_vault_store(struct db *db, struct unpack *u, struct buf *answer);
CHECKED enum err db_vault_destroy(struct db *db, struct unpack *u, struct buf *answer);
CHECKED enum err db_vault_probe(struct db *db, struct unpack *u, struct buf *answer);

#endif
