/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intents: what a message is about to do that the vault has to do as well, and what it changes
 * besides.  They lock their objects against other messages, and tell recovery where to look.
 */
#include <string.h>

#include "db_ledger.h"
#include "db_rows.h"
#include "keys/vault.h"
#include "wire.h"

enum { ARENA_MAX = 2 * WIRE_FRAME_MAX };

enum err
db_intent_check(struct db *db, uint64_t owner, const struct row_change *c, bool needed)
{
	sqlite3_stmt *st = NULL;
	bool row, own;
	enum err e;

	e = db_bind_uid(db, INTENT_GET, c->object->tenant, c->object->uid, &st);
	if (e == ERR_OK)
		e = db_step(db, st, &row);
	if (e != ERR_OK)
		return e;
	if (!row)
		return needed ? ERR_CONFLICT : ERR_OK;
	own = (uint64_t)sqlite3_column_int64(st, 0) == owner &&
	    (sqlite3_column_int(st, 1) == (int)c->kind || c->kind == CHANGE_ADOPT);
	sqlite3_reset(st);
	return own ? ERR_OK : ERR_CONFLICT;
}

enum err
db_intent_put(struct db *db, uint64_t owner, const struct row_change *c)
{
	sqlite3_stmt *st = NULL;
	enum err e;

	e = db_bind_uid(db, INTENT_PUT, c->object->tenant, c->object->uid, &st);
	if (e != ERR_OK)
		return e;
	sqlite3_bind_int(st, 3, c->kind);
	sqlite3_bind_int64(st, 4, (int64_t)owner);
	return db_run(db, st);
}

static enum err
drop_of(struct db *db, enum ledger_stmt n, uint64_t owner)
{
	sqlite3_stmt *st = db_stmt(db, n);

	if (st != NULL)
		sqlite3_bind_int64(st, 1, (int64_t)owner);
	return db_run(db, st);
}

enum err
db_intents_drop(struct db *db, uint64_t owner)
{
	enum err e = drop_of(db, INTENTS_DROP, owner);

	return e == ERR_OK ? drop_of(db, CLAIMS_DROP, owner) : e;
}

/* With one intent gone its message can commit no more, so that its claims go as well. */
enum err
db_intent_settle(struct db *db, uint64_t owner, const char *tenant, const char *uid, bool *was)
{
	sqlite3_stmt *st = NULL;
	enum err e = db_bind_uid(db, INTENT_DELETE, tenant, uid, &st);

	if (e != ERR_OK)
		return e;
	sqlite3_bind_int64(st, 3, (int64_t)owner);
	e = db_run(db, st);
	if (e != ERR_OK)
		return e;
	*was = sqlite3_changes(db->h) > 0;
	return *was ? drop_of(db, CLAIMS_DROP, owner) : ERR_OK;
}

enum err
db_ledger_abandon(struct db *db, struct unpack *u, struct buf *answer)
{
	uint64_t owner = unpack_u64(u);

	(void)answer;
	return unpack_done(u) ? db_intents_drop(db, owner) : ERR_INTERNAL;
}

enum err
db_ledger_intents(struct db *db, struct unpack *u, struct buf *answer)
{
	uint64_t after = unpack_u64(u);
	sqlite3_stmt *st;
	struct buf list;
	uint32_t count = 0;
	bool row;
	enum err e;

	if (!unpack_done(u))
		return ERR_INTERNAL;
	st = db_stmt(db, INTENTS_LIST);
	if (st == NULL)
		return db_error(db);
	sqlite3_bind_int(st, 1, WIRE_INTENTS_MAX);
	sqlite3_bind_int64(st, 2, (int64_t)after);
	buf_init(&list, WIRE_FRAME_MAX / 2);
	while ((e = db_step(db, st, &row)) == ERR_OK && row) {
		pack_u64(&list, (uint64_t)sqlite3_column_int64(st, 0));
		pack_text(&list, (const char *)sqlite3_column_text(st, 1));
		pack_text(&list, (const char *)sqlite3_column_text(st, 2));
		pack_u8(&list, (uint8_t)sqlite3_column_int(st, 3));
		after = (uint64_t)sqlite3_column_int64(st, 4);
		count++;
	}
	if (e == ERR_OK)
		e = buf_error(&list);
	if (e == ERR_OK) {
		pack_u64(answer, count < WIRE_INTENTS_MAX ? 0 : after);
		pack_u32(answer, count);
		buf_put(answer, list.data, list.len);
	}
	buf_fini(&list);
	return e;
}

/* The object's record is gone from the vault, and its message with it: makes it Destroyed. */
static enum err
settle_destroyed(struct db *db, struct arena *a, const char *tenant, const char *uid, int64_t when)
{
	struct object at = {.revision = 0};
	struct row_change c = {.kind = CHANGE_DESTROY, .object = &at};
	sqlite3_stmt *st = NULL;
	const char *made_by;
	bool row;
	enum err e;

	e = db_bind_uid(db, GET, tenant, uid, &st);
	if (e == ERR_OK)
		e = db_step(db, st, &row);
	if (e != ERR_OK || !row)
		return e;
	c.id = sqlite3_column_int64(st, 0);
	e = object_unpack(sqlite3_column_blob(st, 2), (size_t)sqlite3_column_bytes(st, 2), a, &c.old);
	sqlite3_reset(st);
	if (e != ERR_OK)
		return e;
	made_by = vault_made_by(c.old);
	if (object_is_destroyed(c.old) || (made_by != NULL && strcmp(made_by, "local") != 0))
		return ERR_OK; /* of what another kind of vault has, the one that was asked knows nothing */
	c.object = object_copy(a, c.old);
	if (c.object == NULL)
		return ERR_NO_MEMORY;
	c.object->state = c.old->state == OBJECT_COMPROMISED ? OBJECT_DESTROYED_COMPROMISED
							     : OBJECT_DESTROYED;
	c.object->destroyed_here = true;
	c.object->date[DATE_DESTROY] = when;
	c.object->date[DATE_LAST_CHANGE] = when;
	return db_rows_apply(db, a, 0, &c, 1);
}

enum err
db_ledger_settle(struct db *db, struct unpack *u, struct buf *answer)
{
	char tenant[TENANT_ID_MAX + 1], uid[UID_TEXT_LEN + 1];
	struct arena *a;
	uint64_t owner;
	bool destroyed, was;
	int64_t when;
	enum err e;

	(void)answer;
	unpack_text(u, tenant, sizeof(tenant));
	unpack_text(u, uid, sizeof(uid));
	owner = unpack_u64(u);
	destroyed = unpack_u8(u) != 0;
	when = (int64_t)unpack_u64(u);
	if (!unpack_done(u))
		return ERR_INTERNAL;
	e = db_intent_settle(db, owner, tenant, uid, &was);
	if (e != ERR_OK || !was || !destroyed)
		return e;
	a = arena_new(ARENA_MAX);
	e = a != NULL ? settle_destroyed(db, a, tenant, uid, when) : ERR_NO_MEMORY;
	arena_free(a);
	return e;
}
