/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding objects.  SQL is put together from fixed pieces; whatever a client sent is bound.  With
 * attributes among the terms the rarest of them leads, so that nothing is scanned.
 */
#include "db_ledger.h"

#include <string.h>

#include "attr_key.h"
#include "base/arena.h"
#include "keys/ledger.h"
#include "wire.h"

enum { SQL_MAX = 16384, RARE = 1000, NO_LEAD = WIRE_TERMS_MAX, TERMS = 3 };

static const char *const field_columns[] = {
    [FIELD_TYPE] = "type",
    [FIELD_ALGORITHM] = "algorithm",
    [FIELD_LENGTH] = "length",
    [FIELD_USAGE_MASK] = "usage_mask",
    [FIELD_REVOCATION] = "revocation",
};
static const char *const date_columns[DATE_COUNT] = {
    [DATE_INITIAL] = "date_initial",
    [DATE_ACTIVATION] = "date_activation",
    [DATE_PROCESS_START] = "date_process_start",
    [DATE_PROTECT_STOP] = "date_protect_stop",
    [DATE_DEACTIVATION] = "date_deactivation",
    [DATE_DESTROY] = "date_destroy",
    [DATE_COMPROMISE_OCCURRENCE] = "date_compromise_occurrence",
    [DATE_COMPROMISE] = "date_compromise",
    [DATE_LAST_CHANGE] = "date_last_change",
    [DATE_ORIGINAL_CREATION] = "date_original_creation",
    [DATE_ARCHIVE] = "date_archive",
};

struct term {
	uint32_t field;
	enum ledger_match match;
	int64_t number;
	char uid[UID_TEXT_LEN + 1];
	uint8_t key[ATTR_KEY_LEN];
};

struct find {
	char tenant[TENANT_ID_MAX + 1];
	int64_t now;
	bool include_destroyed, only_destroyed, no_online, no_archived;
	uint32_t offset, max;
	size_t count;
	size_t lead; /* the attribute term that leads, or NO_LEAD */
	bool never;  /* a term that nothing can meet */
	struct term terms[WIRE_TERMS_MAX];
};

/* An attribute's term becomes its key, a uid longer than any finds nothing. */
static enum err
unpack_term(struct unpack *u, struct arena *a, struct find *f, struct term *t)
{
	uint8_t match;
	const uint8_t *name, *value;
	size_t name_len, value_len;
	char *text;

	t->field = unpack_u32(u);
	match = unpack_u8(u);
	t->number = (int64_t)unpack_u64(u);
	name = unpack_bytes(u, &name_len);
	value = unpack_bytes(u, &value_len);
	if (u->bad || t->field >= FIELD_DATE + DATE_COUNT || match > MATCH_NOT ||
	    (match == MATCH_NOT && t->field != FIELD_ATTR && t->field != FIELD_TYPE))
		return ERR_INTERNAL;
	t->match = (enum ledger_match)match;
	if (t->field == FIELD_UID) {
		if (name_len > UID_TEXT_LEN)
			f->never = true;
		else
			memcpy(t->uid, name, name_len);
	}
	if (t->field != FIELD_ATTR)
		return ERR_OK;
	text = arena_text(a, (const char *)name, name_len);
	return text != NULL ? attr_key(text, value, value_len, t->key) : ERR_NO_MEMORY;
}

static enum err
unpack_find(struct unpack *u, struct arena *a, struct find *f)
{
	enum err e = ERR_OK;

	unpack_text(u, f->tenant, sizeof(f->tenant));
	f->now = (int64_t)unpack_u64(u);
	f->include_destroyed = unpack_u8(u) != 0;
	f->only_destroyed = unpack_u8(u) != 0;
	f->no_online = unpack_u8(u) != 0;
	f->no_archived = unpack_u8(u) != 0;
	f->offset = unpack_u32(u);
	f->max = unpack_u32(u);
	if (f->max == 0 || f->max > WIRE_UIDS_MAX)
		f->max = WIRE_UIDS_MAX;
	f->count = unpack_u32(u);
	if (u->bad || f->count > WIRE_TERMS_MAX)
		return ERR_INTERNAL;
	for (size_t i = 0; i < f->count && e == ERR_OK; i++)
		e = unpack_term(u, a, f, &f->terms[i]);
	if (e == ERR_OK && !unpack_done(u))
		e = ERR_INTERNAL;
	return e;
}

/* Chooses the attribute that the fewest objects have; counting stops at RARE. */
static enum err
choose_lead(struct db *db, struct find *f)
{
	int64_t best = INT64_MAX, n;
	sqlite3_stmt *st = NULL;
	bool row;
	enum err e = ERR_OK;

	f->lead = NO_LEAD;
	st = db_prepare(db, "SELECT count(*) FROM (SELECT 1 FROM attrs WHERE tenant = ?1"
			    " AND key = ?2 LIMIT ?3)");
	if (st == NULL)
		return db_error(db);
	for (size_t i = 0; i < f->count && e == ERR_OK; i++) {
		if (f->terms[i].field != FIELD_ATTR || f->terms[i].match == MATCH_NOT)
			continue;
		sqlite3_reset(st);
		db_bind_text(st, 1, f->tenant);
		sqlite3_bind_blob(st, 2, f->terms[i].key, ATTR_KEY_LEN, SQLITE_STATIC);
		sqlite3_bind_int(st, 3, RARE);
		e = db_step(db, st, &row);
		n = e == ERR_OK && row ? sqlite3_column_int64(st, 0) : 0;
		if (n < best) {
			best = n;
			f->lead = i;
		}
	}
	sqlite3_finalize(st);
	return e;
}

/*
 * object_state_at() in SQL, where nothing holds of NULL: a date that is not there.  The range of
 * stored states that can have become this one comes first, for the index.
 */
static void
put_state(struct buf *b, int64_t state, unsigned p)
{
	if (state < OBJECT_PRE_ACTIVE || state > OBJECT_DEACTIVATED) {
		buf_printf(b, " AND o.state = ?%u", p);
		return;
	}
	buf_printf(b, " AND o.state BETWEEN %d AND ?%u AND ?%u = CASE"
		      " WHEN o.state = %d AND (o.date_activation <= ?2) IS NOT TRUE THEN o.state"
		      " WHEN o.state <= %d AND o.date_deactivation <= ?2 THEN %d"
		      " WHEN o.state = %d THEN %d ELSE o.state END",
	    OBJECT_PRE_ACTIVE, p, p, OBJECT_PRE_ACTIVE, OBJECT_ACTIVE, OBJECT_DEACTIVATED,
	    OBJECT_PRE_ACTIVE, OBJECT_ACTIVE);
}

/* Parameter 1 is the tenant, 2 the time, and TERMS + n belongs to term n. */
static void
put_term(struct buf *b, const struct find *f, size_t i)
{
	static const char *const compare[] = {
	    [MATCH_EQUAL] = "=", [MATCH_AT_LEAST] = ">=", [MATCH_AT_MOST] = "<="};
	const struct term *t = &f->terms[i];
	unsigned p = (unsigned)i + TERMS;

	if (t->field == FIELD_ATTR && i == f->lead)
		return; /* it is what the objects come from */
	if (t->field == FIELD_ATTR)
		buf_printf(b,
		    " AND %sEXISTS (SELECT 1 FROM attrs x WHERE x.tenant = ?1 AND x.key = ?%u"
		    " AND x.object = o.id)", t->match == MATCH_NOT ? "NOT " : "", p);
	else if (t->field == FIELD_UID)
		buf_printf(b, " AND o.uid = ?%u", p);
	else if (t->field == FIELD_STATE)
		put_state(b, t->number, p);
	else if (t->field == FIELD_USED)
		buf_printf(b,
		    " AND (SELECT max(coalesce(u.time, 0), u.since) FROM uses u"
		    " WHERE u.object = o.id) %s ?%u", compare[t->match], p);
	else if (t->field == FIELD_USAGE_MASK)
		buf_printf(b, " AND (o.usage_mask & ?%u) = ?%u", p, p);
	else if (t->field >= FIELD_DATE)
		buf_printf(b, " AND o.%s %s ?%u", date_columns[t->field - FIELD_DATE],
		    compare[t->match], p);
	else
		buf_printf(b, " AND o.%s %s ?%u", field_columns[t->field],
		    t->match == MATCH_NOT ? "<>" : "=", p);
}

/* What is destroyed has its own say. */
static void
put_status(struct buf *b, const struct find *f)
{
	if (f->only_destroyed)
		buf_printf(b, " AND o.state IN (%d, %d)", OBJECT_DESTROYED,
		    OBJECT_DESTROYED_COMPROMISED);
	else if (!f->include_destroyed)
		buf_printf(b, " AND o.state NOT IN (%d, %d)", OBJECT_DESTROYED,
		    OBJECT_DESTROYED_COMPROMISED);
	if (f->only_destroyed || f->no_online == f->no_archived)
		return;
	buf_printf(b, " AND (o.date_archive IS %sNULL", f->no_online ? "NOT " : "");
	if (f->include_destroyed)
		buf_printf(b, " OR o.state IN (%d, %d)", OBJECT_DESTROYED,
		    OBJECT_DESTROYED_COMPROMISED);
	buf_printf(b, ")");
}

static sqlite3_stmt *
prepare_find(struct db *db, const struct find *f, const char *what, const char *order)
{
	sqlite3_stmt *st = NULL;
	struct buf b;

	buf_init(&b, SQL_MAX);
	buf_printf(&b, "SELECT %s FROM ", what);
	if (f->lead != NO_LEAD) /* CROSS JOIN keeps this order */
		buf_printf(&b, "attrs a CROSS JOIN objects o ON o.id = a.object"
			       " WHERE a.tenant = ?1 AND a.key = ?%u AND o.tenant = ?1",
		    (unsigned)f->lead + TERMS);
	else
		buf_printf(&b, "objects o WHERE o.tenant = ?1");
	put_status(&b, f);
	for (size_t i = 0; i < f->count; i++)
		put_term(&b, f, i);
	buf_put(&b, order, strlen(order) + 1);
	if (buf_error(&b) == ERR_OK)
		st = db_prepare(db, (const char *)b.data);
	buf_fini(&b);
	if (st == NULL)
		return NULL;
	db_bind_text(st, 1, f->tenant);
	if (f->count > 0) /* without terms there is no such parameter */
		sqlite3_bind_int64(st, 2, f->now);
	for (size_t i = 0; i < f->count; i++) {
		const struct term *t = &f->terms[i];
		int p = (int)i + TERMS;

		if (t->field == FIELD_ATTR)
			sqlite3_bind_blob(st, p, t->key, ATTR_KEY_LEN, SQLITE_STATIC);
		else if (t->field == FIELD_UID)
			db_bind_text(st, p, t->uid);
		else
			sqlite3_bind_int64(st, p, t->number);
	}
	return st;
}

static enum err
count_all(struct db *db, const struct find *f, uint64_t *total)
{
	sqlite3_stmt *st = prepare_find(db, f, "count(*)", "");
	bool row = false;
	enum err e;

	e = st != NULL ? db_step(db, st, &row) : db_error(db);
	if (e == ERR_OK && row)
		*total = (uint64_t)sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return e;
}

static enum err
list_some(struct db *db, const struct find *f, struct buf *list, uint32_t *count)
{
	char order[128];
	sqlite3_stmt *st = NULL;
	bool row;
	enum err e;

	sqlite3_snprintf(sizeof(order), order,
	    " ORDER BY o.date_initial DESC, o.uid DESC LIMIT %u OFFSET %u", f->max, f->offset);
	st = prepare_find(db, f, "o.uid", order);
	if (st == NULL)
		return db_error(db);
	while ((e = db_step(db, st, &row)) == ERR_OK && row) {
		pack_text(list, (const char *)sqlite3_column_text(st, 0));
		++*count;
	}
	sqlite3_finalize(st);
	return e == ERR_OK ? buf_error(list) : e;
}

static enum err
run_find(struct db *db, struct find *f, struct buf *answer)
{
	uint64_t total = 0;
	uint32_t count = 0;
	struct buf list;
	enum err e = ERR_OK;

	buf_init(&list, WIRE_FRAME_MAX / 2);
	if (!f->never) {
		e = choose_lead(db, f);
		if (e == ERR_OK)
			e = list_some(db, f, &list, &count);
		total = (uint64_t)f->offset + count;
		/* a list that was not cut has told the number already */
		if (e == ERR_OK && (count == f->max || (count == 0 && f->offset > 0)))
			e = count_all(db, f, &total);
	}
	if (e == ERR_OK) {
		pack_u64(answer, total);
		pack_u32(answer, count);
		buf_put(answer, list.data, list.len);
		e = buf_error(answer);
	}
	buf_fini(&list);
	return e;
}

enum err
db_ledger_find(struct db *db, struct unpack *u, struct buf *answer)
{
	struct arena *a = arena_new(WIRE_FRAME_MAX);
	struct find *f = a != NULL ? arena_zalloc(a, sizeof(*f)) : NULL;
	enum err e;

	e = f != NULL ? unpack_find(u, a, f) : ERR_NO_MEMORY;
	if (e == ERR_OK)
		e = run_find(db, f, answer);
	arena_free(a);
	return e;
}
