/* SPDX-License-Identifier: Apache-2.0 */
/* What the ledger's objects are found by: a key for each attribute, and names, held by one each. */
#include <string.h>

#include "db_rows.h"

static sqlite3_stmt *
bind_key(struct db *db, enum ledger_stmt n, const char *tenant, const uint8_t *key, int64_t third)
{
	sqlite3_stmt *st = db_stmt(db, n);

	if (st != NULL) {
		db_bind_text(st, 1, tenant);
		sqlite3_bind_blob(st, 2, key, ATTR_KEY_LEN, SQLITE_STATIC);
		if (third != 0)
			sqlite3_bind_int64(st, 3, third);
	}
	return st;
}

/* Whose claim a name is; 0: nobody's. */
static enum err
claim_owner(struct db *db, const char *tenant, const uint8_t *key, uint64_t *owner)
{
	sqlite3_stmt *st = bind_key(db, CLAIM_OWNER, tenant, key, 0);
	bool row = false;
	enum err e;

	e = st != NULL ? db_step(db, st, &row) : db_error(db);
	if (e != ERR_OK)
		return e;
	*owner = row ? (uint64_t)sqlite3_column_int64(st, 0) : 0;
	if (row)
		sqlite3_reset(st);
	return ERR_OK;
}

/* ERR_NAME_TAKEN when an object that the message does not change has the name. */
static enum err
check_holder(struct db *db, const struct row_change *all, size_t count, const char *tenant,
    const uint8_t *key)
{
	sqlite3_stmt *st = bind_key(db, NAME_HOLDER, tenant, key, 0);
	const char *holder;
	bool row = false, ours = false;
	enum err e;

	e = st != NULL ? db_step(db, st, &row) : db_error(db);
	if (e != ERR_OK || !row)
		return e;
	holder = (const char *)sqlite3_column_text(st, 0);
	for (size_t i = 0; i < count && holder != NULL; i++)
		ours |= strcmp(all[i].object->uid, holder) == 0 &&
		    strcmp(all[i].object->tenant, tenant) == 0;
	sqlite3_reset(st);
	return ours ? ERR_OK : ERR_NAME_TAKEN;
}

enum err
db_names_claim(struct db *db, uint64_t owner, const struct row_change *all, size_t count,
    const struct row_change *c, struct attr_keys *room)
{
	const char *tenant = c->object->tenant;
	uint64_t has = 0;
	enum err e = attr_keys_of(c->object, room);

	for (size_t i = 0; i < room->names && e == ERR_OK; i++) {
		if (attr_keys_have(room, i, room->key[i]))
			continue; /* the same name as another instance of it */
		e = check_holder(db, all, count, tenant, room->key[i]);
		if (e == ERR_OK)
			e = claim_owner(db, tenant, room->key[i], &has);
		if (e == ERR_OK && has != 0)
			e = has == owner ? ERR_NAME_TAKEN : ERR_CONFLICT;
		if (e == ERR_OK)
			e = db_run(db, bind_key(db, CLAIM_PUT, tenant, room->key[i],
			    (int64_t)owner));
	}
	return e;
}

enum err
db_keys_drop(struct db *db, const struct row_change *c, struct attr_keys *was,
    struct attr_keys *is)
{
	const char *tenant = c->object->tenant;
	enum err e = ERR_OK;

	if (c->old == NULL)
		return ERR_OK;
	e = attr_keys_of(c->old, was);
	if (e == ERR_OK)
		e = attr_keys_of(c->object, is);
	for (size_t i = 0; i < was->count && e == ERR_OK; i++) {
		if (i < was->names && !attr_keys_have(is, is->names, was->key[i]))
			e = db_run(db, bind_key(db, NAME_DELETE, tenant, was->key[i], c->id));
		if (e == ERR_OK && !attr_keys_have(is, is->count, was->key[i]))
			e = db_run(db, bind_key(db, ATTR_DELETE, tenant, was->key[i], c->id));
	}
	return e;
}

static enum err
put_name(struct db *db, uint64_t owner, const struct row_change *c, const uint8_t *key)
{
	const char *tenant = c->object->tenant;
	sqlite3_stmt *st = NULL;
	uint64_t claimed = 0;
	int64_t holder;
	bool row;
	enum err e;

	e = claim_owner(db, tenant, key, &claimed);
	if (e == ERR_OK && claimed != 0 && claimed != owner)
		e = ERR_CONFLICT;
	if (e == ERR_OK)
		e = db_run(db, bind_key(db, NAME_PUT, tenant, key, c->id));
	if (e != ERR_OK || sqlite3_changes(db->h) > 0)
		return e;
	st = bind_key(db, NAME_HOLDER, tenant, key, 0);
	e = st != NULL ? db_step(db, st, &row) : db_error(db);
	if (e != ERR_OK || !row)
		return e != ERR_OK ? e : ERR_CORRUPT;
	holder = sqlite3_column_int64(st, 1);
	sqlite3_reset(st);
	return holder == c->id ? ERR_OK : ERR_NAME_TAKEN;
}

enum err
db_keys_put(struct db *db, uint64_t owner, const struct row_change *c, struct attr_keys *was,
    struct attr_keys *is)
{
	enum err e = attr_keys_of(c->object, is);

	was->count = was->names = 0;
	if (e == ERR_OK && c->old != NULL)
		e = attr_keys_of(c->old, was);
	for (size_t i = 0; i < is->count && e == ERR_OK; i++) {
		if (i < is->names && !attr_keys_have(was, was->names, is->key[i]))
			e = put_name(db, owner, c, is->key[i]);
		if (e == ERR_OK && !attr_keys_have(was, was->count, is->key[i]))
			e = db_run(db,
			    bind_key(db, ATTR_PUT, c->object->tenant, is->key[i], c->id));
	}
	return e;
}
