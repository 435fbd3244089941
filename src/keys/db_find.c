/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding objects.  SQL is put together from fixed pieces; whatever a client sent is bound.
 *
 * An attribute that few objects have leads to them, and so does a uid: that is done at once.  All
 * else goes through the tenant's objects, newest first, along an index that has this order, so many
 * rows in a step and from where the last one ended.  So nothing is sorted, whoever wants few objects
 * does not pay for all, and no question keeps others waiting for more than a step.
 */
#include "db_find.h"

#include <string.h>

#include "attr_key.h"
#include "base/alloc.h"
#include "base/arena.h"
#include "keys/ledger.h"
#include "wire.h"

enum { SQL_MAX = 16384, RARE = 8192, STEP_ROWS = 2048, NO_TERM = WIRE_TERMS_MAX, TERMS = 5 };

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

struct db_find {
	char tenant[TENANT_ID_MAX + 1];
	int64_t now;
	bool include_destroyed, only_destroyed, no_online, no_archived, no_total;
	uint32_t offset, max;
	size_t count;
	size_t lead;	/* the attribute term that leads, or NO_TERM */
	size_t narrows; /* the term that the index has, or NO_TERM */
	bool never;	/* a term that nothing can meet */
	bool one;	/* by uid */
	/* where the last step ended, if there was one, or is to begin */
	bool begun;
	int64_t last_date;
	char last_uid[UID_TEXT_LEN + 1];
	/* found so far */
	uint64_t total;
	uint32_t listed;
	struct buf list;
	struct term terms[WIRE_TERMS_MAX];
};

/* An attribute's term becomes its key, a uid longer than any finds nothing. */
static enum err
unpack_term(struct unpack *u, struct arena *a, struct db_find *f, struct term *t)
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
		f->one = true;
	}
	if (t->field != FIELD_ATTR)
		return ERR_OK;
	text = arena_text(a, (const char *)name, name_len);
	return text != NULL ? attr_key(text, value, value_len, t->key) : ERR_NO_MEMORY;
}

static bool
is_repeated(const struct db_find *f, const struct term *t)
{
	for (size_t i = 0; t->field == FIELD_ATTR && i < f->count; i++)
		if (f->terms[i].field == FIELD_ATTR && f->terms[i].match == t->match &&
		    memcmp(f->terms[i].key, t->key, ATTR_KEY_LEN) == 0)
			return true;
	return false;
}

static enum err
unpack_find(struct unpack *u, struct arena *a, struct db_find *f)
{
	size_t left;
	enum err e = ERR_OK;

	unpack_text(u, f->tenant, sizeof(f->tenant));
	f->now = (int64_t)unpack_u64(u);
	f->include_destroyed = unpack_u8(u) != 0;
	f->only_destroyed = unpack_u8(u) != 0;
	f->no_online = unpack_u8(u) != 0;
	f->no_archived = unpack_u8(u) != 0;
	f->no_total = unpack_u8(u) != 0;
	unpack_text(u, f->last_uid, sizeof(f->last_uid));
	f->offset = unpack_u32(u);
	f->max = unpack_u32(u);
	if (f->max == 0 || f->max > WIRE_UIDS_MAX)
		f->max = WIRE_UIDS_MAX;
	f->count = unpack_u32(u);
	if (u->bad || f->count > WIRE_TERMS_MAX || (f->last_uid[0] != '\0' && f->count > 0))
		return ERR_INTERNAL;
	left = f->count;
	for (f->count = 0; left > 0 && e == ERR_OK; left--) {
		struct term *t = &f->terms[f->count];

		e = unpack_term(u, a, f, t);
		f->count += e == ERR_OK && !is_repeated(f, t);
	}
	if (e == ERR_OK && !unpack_done(u))
		e = ERR_INTERNAL;
	return e;
}

/* Each attribute is a look-up of its own for each row, so with more of them there are fewer rows. */
static int
share_of(int rows, const struct db_find *f)
{
	int attrs = 0;

	for (size_t i = 0; i < f->count; i++)
		attrs += f->terms[i].field == FIELD_ATTR;
	return rows / (attrs > 0 ? attrs : 1);
}

/* Chooses the attribute that the fewest objects have; counting stops at their share of RARE. */
static enum err
choose_lead(struct db *db, struct db_find *f)
{
	const int rare = share_of(RARE, f);
	int64_t best = rare, n;
	sqlite3_stmt *st = NULL;
	bool row;
	enum err e = ERR_OK;

	f->lead = NO_TERM;
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
		sqlite3_bind_int(st, 3, rare);
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

/* Parameter 1 is the tenant, 2 the time, 3 and 4 where to go on; TERMS + n belongs to term n. */
static void
put_term(struct buf *b, const struct db_find *f, size_t i)
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
put_status(struct buf *b, const struct db_find *f)
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

static void
put_conditions(struct buf *b, const struct db_find *f)
{
	put_status(b, f);
	for (size_t i = 0; i < f->count; i++)
		put_term(b, f, i);
}

/* Only what the statement has can be bound. */
static sqlite3_stmt *
prepare(struct db *db, const struct db_find *f, struct buf *sql)
{
	sqlite3_stmt *st = NULL;
	int params;

	buf_put(sql, "", 1);
	if (buf_error(sql) == ERR_OK)
		st = db_prepare(db, (const char *)sql->data);
	buf_fini(sql);
	if (st == NULL)
		return NULL;
	params = sqlite3_bind_parameter_count(st);
	db_bind_text(st, 1, f->tenant);
	if (params >= 2)
		sqlite3_bind_int64(st, 2, f->now);
	if (params >= 4 && f->begun) {
		sqlite3_bind_int64(st, 3, f->last_date);
		db_bind_text(st, 4, f->last_uid);
	}
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

static void
put_listed(struct db_find *f, sqlite3_stmt *st)
{
	if (f->total++ < f->offset || f->listed == f->max)
		return;
	pack_text(&f->list, (const char *)sqlite3_column_text(st, 0));
	f->listed++;
}

/* --- at once --- */

/* Those that the attribute leads to, or the one of that uid. */
static sqlite3_stmt *
prepare_few(struct db *db, const struct db_find *f)
{
	struct buf b;

	buf_init(&b, SQL_MAX);
	if (f->lead != NO_TERM) /* CROSS JOIN keeps this order */
		buf_printf(&b, "SELECT o.uid FROM attrs a CROSS JOIN objects o ON o.id = a.object"
			       " WHERE a.tenant = ?1 AND a.key = ?%u AND o.tenant = ?1",
		    (unsigned)f->lead + TERMS);
	else
		buf_printf(&b, "SELECT o.uid FROM objects o WHERE o.tenant = ?1");
	put_conditions(&b, f);
	buf_printf(&b, " ORDER BY o.date_initial DESC, o.uid DESC");
	return prepare(db, f, &b);
}

static enum err
find_few(struct db *db, struct db_find *f)
{
	sqlite3_stmt *st = prepare_few(db, f);
	bool row;
	enum err e;

	if (st == NULL)
		return db_error(db);
	while ((e = db_step(db, st, &row)) == ERR_OK && row)
		put_listed(f, st);
	sqlite3_finalize(st);
	return e == ERR_OK ? buf_error(&f->list) : e;
}

/* --- in steps --- */

/* A stored state that no time changes into another, or that no other becomes. */
static bool
is_settled(int64_t state)
{
	return state < OBJECT_ACTIVE || state > OBJECT_DEACTIVATED;
}

/* The term that goes with the order in one index: the objects that it leaves are all that is read. */
static void
choose_index(struct db_find *f)
{
	f->narrows = NO_TERM;
	for (size_t i = 0; i < f->count; i++) {
		const struct term *t = &f->terms[i];
		bool state = t->field == FIELD_STATE && is_settled(t->number);
		bool type = t->field == FIELD_TYPE && t->match == MATCH_EQUAL;

		if (state || (type && f->narrows == NO_TERM))
			f->narrows = i;
	}
}

/* Archived and nothing else. */
static bool
in_archive(const struct db_find *f)
{
	return f->no_online && !f->no_archived && !f->include_destroyed;
}

static const char *
index_of(const struct db_find *f)
{
	if (f->narrows == NO_TERM)
		return in_archive(f) ? "objects_archived" : "objects_newest";
	return f->terms[f->narrows].field == FIELD_STATE ? "objects_state" : "objects_type";
}

/*
 * Whether each row is one is told, not left to SQLite: so the rows of a step are counted.  Every
 * object has an initial date.
 */
static sqlite3_stmt *
prepare_step(struct db *db, const struct db_find *f)
{
	struct buf b;

	buf_init(&b, SQL_MAX);
	buf_printf(&b, "SELECT o.uid, o.date_initial, 1");
	put_conditions(&b, f);
	buf_printf(&b, " FROM objects o INDEXED BY %s WHERE o.tenant = ?1", index_of(f));
	if (f->narrows != NO_TERM)
		buf_printf(&b, " AND o.%s = ?%u",
		    f->terms[f->narrows].field == FIELD_STATE ? "state" : "type",
		    (unsigned)f->narrows + TERMS);
	else if (in_archive(f))
		buf_printf(&b, " AND o.date_archive IS NOT NULL");
	if (f->begun)
		buf_printf(&b, " AND (o.date_initial, o.uid) < (?3, ?4)");
	buf_printf(&b, " ORDER BY o.date_initial DESC, o.uid DESC LIMIT %d",
	    share_of(STEP_ROWS, f));
	return prepare(db, f, &b);
}

static bool
has_enough(const struct db_find *f)
{
	return f->no_total && f->listed == f->max;
}

/* A foreign file's may be longer than any of ours. */
static enum err
keep_uid(struct db_find *f, sqlite3_stmt *st)
{
	const unsigned char *text = sqlite3_column_text(st, 0);
	size_t len = (size_t)sqlite3_column_bytes(st, 0);

	if (text == NULL)
		return ERR_NO_MEMORY;
	if (len > UID_TEXT_LEN)
		return ERR_CORRUPT;
	memcpy(f->last_uid, text, len + 1);
	return ERR_OK;
}

/* *rows: how many there were; fewer than a step's at the end. */
static enum err
find_more(struct db *db, struct db_find *f, int *rows)
{
	sqlite3_stmt *st = prepare_step(db, f);
	bool row;
	enum err e = ERR_OK;

	if (st == NULL)
		return db_error(db);
	*rows = 0;
	while (e == ERR_OK && !has_enough(f) && (e = db_step(db, st, &row)) == ERR_OK && row) {
		++*rows;
		if (sqlite3_column_int(st, 2) != 0)
			put_listed(f, st);
		f->last_date = sqlite3_column_int64(st, 1);
		e = keep_uid(f, st);
	}
	sqlite3_finalize(st);
	f->begun = true;
	return e == ERR_OK ? buf_error(&f->list) : e;
}

bool
db_find_step(struct db *db, struct db_find *f, enum err *e)
{
	int rows = 0;

	*e = find_more(db, f, &rows);
	return *e == ERR_OK && rows == share_of(STEP_ROWS, f) && !has_enough(f);
}

/* --- */

enum err
db_find_new(struct db_find **out, struct unpack *u)
{
	struct db_find *f = alloc_zero(sizeof(*f));
	struct arena *a = arena_new(WIRE_FRAME_MAX);
	enum err e = f != NULL && a != NULL ? unpack_find(u, a, f) : ERR_NO_MEMORY;

	arena_free(a);
	if (e != ERR_OK) {
		alloc_free(f);
		return e;
	}
	buf_init(&f->list, WIRE_FRAME_MAX / 2);
	*out = f;
	return ERR_OK;
}

void
db_find_free(struct db_find *f)
{
	if (f == NULL)
		return;
	buf_fini(&f->list);
	alloc_free(f);
}

/* As if the last step had ended with the object of last_uid. */
static enum err
begin_after(struct db *db, struct db_find *f)
{
	sqlite3_stmt *st = db_prepare(db, "SELECT date_initial FROM objects WHERE tenant = ?1 AND uid = ?2");
	bool row = false;
	enum err e;

	if (st == NULL)
		return db_error(db);
	db_bind_text(st, 1, f->tenant);
	db_bind_text(st, 2, f->last_uid);
	e = db_step(db, st, &row);
	if (e == ERR_OK && row)
		f->last_date = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	f->begun = row;
	return e == ERR_OK && !row ? ERR_NO_OBJECT : e;
}

bool
db_find_begin(struct db *db, struct db_find *f, enum err *e)
{
	*e = ERR_OK;
	if (f->never)
		return false;
	*e = f->last_uid[0] != '\0' ? begin_after(db, f) : ERR_OK;
	if (*e == ERR_OK)
		*e = choose_lead(db, f);
	if (*e != ERR_OK)
		return false;
	if (f->lead != NO_TERM || f->one) {
		*e = find_few(db, f);
		return false;
	}
	choose_index(f);
	return db_find_step(db, f, e);
}

size_t
db_find_bytes(const struct db_find *f)
{
	return f->list.cap;
}

void
db_find_put(const struct db_find *f, struct buf *answer)
{
	pack_u64(answer, f->total);
	pack_u32(answer, f->listed);
	buf_put(answer, f->list.data, f->list.len);
}
