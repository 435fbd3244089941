/* SPDX-License-Identifier: Apache-2.0 */
/* Finding objects, on the storage child's side: a question, its steps and its answer. */
#ifndef DB_FIND_H
#define DB_FIND_H

#include "base/buf.h"
#include "base/pack.h"
#include "db.h"

struct db_find;

/* Reads the question, which it copies. */
CHECKED enum err db_find_new(struct db_find **out, struct unpack *u);
void db_find_free(struct db_find *f); /* NULL is allowed */
/* The first step, and each of the others.  True while there is more; *e when there is not. */
bool db_find_begin(struct db *db, struct db_find *f, enum err *e);
bool db_find_step(struct db *db, struct db_find *f, enum err *e);
/* What its list takes up so far. */
size_t db_find_bytes(const struct db_find *f);
/* The answer's body: u64 total, u32 count, text uids. */
void db_find_put(const struct db_find *f, struct buf *answer);

#endif
