/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger `sqlite`: packs calls for the storage children.  It also knows which intents belong to
 * messages of this process that are still at work: recovery is not shown those; and which reads were
 * overtaken by a change.
 */
#include <string.h>

#include <openssl/rand.h>

#include "base/alloc.h"
#include "base/metric.h"
#include "keys/ledger.h"
#include "overtaken.h"
#include "recent.h"
#include "store_call.h"

enum { AGAIN_MAX = 8 }; /* how often a read is sent that changes overtake */

/* A message that has intents. */
struct live {
	struct list link;
	uint64_t owner;
};

struct ledger_sqlite {
	struct ledger ledger;
	struct store *store;
	struct recent *recent;
	struct overtaken overtaken;
	struct list live;
};

/* The abandoning of intents whose message does not wait for it. */
struct drop {
	struct list dead; /* for loop_free_later() */
	struct ledger_changes changes;
	struct store *store;
};

static void drop_intents(struct ledger_sqlite *s, uint64_t owner);
static bool load_again(void *ctx, struct wait *w, enum err *e);

static struct live *
live_find(struct ledger_sqlite *s, uint64_t owner)
{
	LIST_FOREACH(it, &s->live) {
		struct live *l = CONTAINER_OF(it, struct live, link);

		if (l->owner == owner)
			return l;
	}
	return NULL;
}

static void
live_end(struct ledger_sqlite *s, uint64_t owner)
{
	struct live *l = owner != 0 ? live_find(s, owner) : NULL;

	if (l == NULL)
		return;
	list_remove(&l->link);
	alloc_free(l);
}

/* --- reading --- */

static enum err
pack_load(struct buf *b, const struct wait *w)
{
	const struct ledger_load *c = CONTAINER_OF(w, struct ledger_load, wait);

	pack_text(b, c->tenant);
	pack_text(b, c->uid);
	return ERR_OK;
}

static enum err
read_row(struct ledger_load *c, struct unpack *u)
{
	struct object *o;
	const uint8_t *at;
	size_t len;
	enum err e;

	at = unpack_bytes(u, &len);
	e = object_unpack(at, len, c->arena, &o);
	if (e != ERR_OK)
		return e;
	if (strcmp(o->tenant, c->tenant) != 0 || strcmp(o->uid, c->uid) != 0)
		return ERR_CORRUPT;
	c->object = o;
	c->known_since = (int64_t)unpack_u64(u);
	c->used = (int64_t)unpack_u64(u);
	return ERR_OK;
}

static enum err
answer_load(void *ctx, struct wait *w, struct unpack *u)
{
	struct ledger_load *c = CONTAINER_OF(w, struct ledger_load, wait);
	struct ledger_sqlite *s = ctx;
	enum err e = read_row(c, u);

	if (e == ERR_OK && c->again)
		recent_keep(s->recent, c);
	return e;
}

static void
send_load(struct ledger_sqlite *s, struct ledger_load *c)
{
	static const struct store_call_type type = {.kind = WIRE_LOAD, .reads = true,
	    .pack = pack_load, .answer = answer_load, .again = load_again};

	c->mark = recent_mark(s->recent);
	c->overtaken = overtaken_mark(&s->overtaken, c->tenant, c->uid);
	store_call(s->store, &type, &c->wait, s, 0);
}

/*
 * Whoever asked may act on the change already, or have been told of it: nothing older will do.  An object
 * that changes all the time is busy.
 */
static bool
load_again(void *ctx, struct wait *w, enum err *e)
{
	struct ledger_load *c = CONTAINER_OF(w, struct ledger_load, wait);
	struct ledger_sqlite *s = ctx;

	if (c->overtaken == overtaken_mark(&s->overtaken, c->tenant, c->uid))
		return false;
	if (++c->rounds > AGAIN_MAX) {
		*e = ERR_BUSY;
		return false;
	}
	metric_inc(METRIC_STORE_READS_AGAIN_TOTAL);
	send_load(s, c);
	return true;
}

static void
ledger_load(struct ledger *l, struct ledger_load *c)
{
	struct ledger_sqlite *s = CONTAINER_OF(l, struct ledger_sqlite, ledger);

	if (c->again && recent_find(s->recent, c)) {
		wait_finish_soon(store_loop(s->store), &c->wait, ERR_OK);
		return;
	}
	c->rounds = 0;
	send_load(s, c);
}

static enum err
pack_find(struct buf *b, const struct wait *w)
{
	const struct ledger_find *c = CONTAINER_OF(w, struct ledger_find, wait);

	if (c->terms_count > WIRE_TERMS_MAX)
		return ERR_INVALID_FIELD;
	wire_pack_find(b, c);
	return ERR_OK;
}

static enum err
answer_find(void *ctx, struct wait *w, struct unpack *u)
{
	struct ledger_find *c = CONTAINER_OF(w, struct ledger_find, wait);
	uint64_t total = unpack_u64(u);
	size_t count = unpack_u32(u);
	char(*uids)[UID_TEXT_LEN + 1];

	(void)ctx;
	if (u->bad || count > WIRE_UIDS_MAX)
		return ERR_STORAGE;
	uids = arena_array(c->arena, count, sizeof(*uids));
	if (uids == NULL)
		return ERR_NO_MEMORY;
	for (size_t i = 0; i < count; i++)
		unpack_text(u, uids[i], sizeof(uids[i]));
	c->uids = uids;
	c->uids_count = count;
	c->total = total;
	return ERR_OK;
}

static void
find_over(void *ctx, uint64_t token, enum err e, bool waited)
{
	(void)ctx, (void)token, (void)waited;
	if (e == ERR_BUSY)
		metric_inc(METRIC_STORE_FINDS_REFUSED_TOTAL);
}

static void
ledger_find(struct ledger *l, struct ledger_find *c)
{
	static const struct store_call_type type = {
	    .kind = WIRE_FIND, .reads = true, .pack = pack_find, .answer = answer_find, .over = find_over};

	store_call(CONTAINER_OF(l, struct ledger_sqlite, ledger)->store, &type, &c->wait, NULL, 0);
}

/* --- changing --- */

static void
changes_begin(struct ledger_sqlite *s, const struct ledger_changes *c)
{
	recent_change_begin(s->recent);
	for (size_t i = 0; i < c->count; i++)
		recent_forget(s->recent, c->changes[i].object->tenant, c->changes[i].object->uid);
}

/* From before rows are changed until change_end(); NULL without memory. */
static struct overtaking *
change_begin(struct ledger_sqlite *s, size_t count)
{
	struct overtaking *c = overtaking_new(count);

	if (c == NULL)
		return NULL;
	c->owner = s;
	recent_change_begin(s->recent);
	return c;
}

static void
change_row(struct ledger_sqlite *s, struct overtaking *c, const char *tenant, const char *uid)
{
	recent_forget(s->recent, tenant, uid);
	overtaking_put(c, &s->overtaken, tenant, uid);
}

static struct ledger_sqlite *
change_end(struct overtaking *c)
{
	struct ledger_sqlite *s = c->owner;

	recent_change_end(s->recent);
	overtaking_end(c, &s->overtaken);
	return s;
}

/* Of calls that have no more to do when they are over. */
static void
change_over(void *ctx, uint64_t token, enum err e, bool waited)
{
	(void)token, (void)e, (void)waited;
	(void)change_end(ctx);
}

static enum err
pack_changes(struct buf *b, const struct wait *w)
{
	const struct ledger_changes *c = CONTAINER_OF(w, struct ledger_changes, wait);
	size_t before = b->len, each;

	if (c->count > WIRE_CHANGES_MAX)
		return ERR_REQUEST_TOO_LARGE;
	for (size_t i = 0; i < c->count; i++) {
		each = c->changes[i].object->record_len;
		for (size_t j = 0; j < c->changes[i].object->attrs_count; j++)
			each += c->changes[i].object->attrs[j].value_len;
		if (each > OBJECT_SIZE_MAX)
			return ERR_TOO_MANY_ATTRIBUTES;
	}
	wire_pack_changes(b, c);
	return b->len - before > WIRE_FRAME_MAX ? ERR_REQUEST_TOO_LARGE : ERR_OK;
}

/*
 * A prepare whose waiter has gone (cancelled, or out of time) leaves intents that nobody will
 * ever use, with no call to the vault behind them.
 */
static void
prepare_over(void *ctx, uint64_t owner, enum err e, bool waited)
{
	struct ledger_sqlite *s = ctx;

	recent_change_end(s->recent);
	if (e == ERR_OK && waited)
		return;
	live_end(s, owner);
	if (e == ERR_OK)
		drop_intents(s, owner);
}

static void
ledger_prepare(struct ledger *l, struct ledger_changes *c)
{
	static const struct store_call_type type = {
	    .kind = WIRE_PREPARE, .pack = pack_changes, .over = prepare_over};
	struct ledger_sqlite *s = CONTAINER_OF(l, struct ledger_sqlite, ledger);
	struct live *live = alloc_zero(sizeof(*live));

	c->owner = 0;
	if (live == NULL || RAND_bytes((uint8_t *)&live->owner, sizeof(live->owner)) != 1) {
		wait_finish_soon(store_loop(s->store), &c->wait,
		    live == NULL ? ERR_NO_MEMORY : ERR_CRYPTO);
		alloc_free(live);
		return;
	}
	live->owner = (live->owner & INT64_MAX) | 1; /* a positive integer of SQLite's, not 0 */
	list_append(&s->live, &live->link);
	c->owner = live->owner;
	changes_begin(s, c);
	store_call(s->store, &type, &c->wait, s, c->owner);
}

/* Without a waiter, or without an answer, nobody is left who would undo a failed commit. */
static void
commit_over(void *ctx, uint64_t owner, enum err e, bool waited)
{
	struct ledger_sqlite *s = change_end(ctx);

	if (e == ERR_OK || !waited || e == ERR_STORAGE_DOWN)
		live_end(s, owner);
	if (e != ERR_OK && !waited && e != ERR_STORAGE_DOWN && owner != 0)
		store_event(s->store, "orphaned", 1);
}

static void
ledger_commit(struct ledger *l, struct ledger_changes *c)
{
	static const struct store_call_type type = {
	    .kind = WIRE_COMMIT, .pack = pack_changes, .over = commit_over};
	struct ledger_sqlite *s = CONTAINER_OF(l, struct ledger_sqlite, ledger);
	struct overtaking *over = change_begin(s, c->count);

	if (over == NULL) {
		wait_finish_soon(store_loop(s->store), &c->wait, ERR_NO_MEMORY);
		return;
	}
	for (size_t i = 0; i < c->count; i++)
		change_row(s, over, c->changes[i].object->tenant, c->changes[i].object->uid);
	store_call(s->store, &type, &c->wait, over, c->owner);
}

static enum err
pack_owner(struct buf *b, const struct wait *w)
{
	pack_u64(b, CONTAINER_OF(w, struct ledger_changes, wait)->owner);
	return ERR_OK;
}

static void
abandon_over(void *ctx, uint64_t owner, enum err e, bool waited)
{
	struct ledger_sqlite *s = ctx;

	(void)owner, (void)waited;
	if (e != ERR_OK && e != ERR_STORAGE_DOWN)
		store_event(s->store, "orphaned", 1);
}

static const struct store_call_type abandon_type = {
    .kind = WIRE_ABANDON, .pack = pack_owner, .over = abandon_over};

/* Whatever comes of it, the message does not come back to its intents. */
static void
ledger_abandon(struct ledger *l, struct ledger_changes *c)
{
	struct ledger_sqlite *s = CONTAINER_OF(l, struct ledger_sqlite, ledger);

	live_end(s, c->owner);
	store_call(s->store, &abandon_type, &c->wait, s, c->owner);
}

static void
dropped(struct wait *w, enum err e)
{
	struct drop *d = CONTAINER_OF(w, struct drop, changes.wait);

	(void)e; /* abandon_over() has told */
	loop_free_later(store_loop(d->store), d);
}

static void
drop_intents(struct ledger_sqlite *s, uint64_t owner)
{
	struct drop *d = alloc_zero(sizeof(*d));

	if (d == NULL) {
		store_event(s->store, "orphaned", 1);
		return;
	}
	d->store = s->store;
	d->changes.owner = owner;
	d->changes.wait.done = dropped;
	store_call(s->store, &abandon_type, &d->changes.wait, s, owner);
}

static void
ledger_disown(struct ledger *l, struct ledger_changes *c)
{
	struct ledger_sqlite *s = CONTAINER_OF(l, struct ledger_sqlite, ledger);
	bool had = c->owner != 0 && live_find(s, c->owner) != NULL;

	live_end(s, c->owner);
	if (had)
		store_event(s->store, "orphaned", 1);
}

/* --- uses --- */

static enum err
pack_uses(struct buf *b, const struct wait *w)
{
	const struct ledger_uses *c = CONTAINER_OF(w, struct ledger_uses, wait);

	if (c->count > LEDGER_USES_MAX)
		return ERR_REQUEST_TOO_LARGE;
	pack_u32(b, (uint32_t)c->count);
	for (size_t i = 0; i < c->count; i++) {
		pack_text(b, c->uses[i].tenant);
		pack_text(b, c->uses[i].uid);
		pack_u64(b, (uint64_t)c->uses[i].when);
	}
	return ERR_OK;
}

static void
ledger_note_uses(struct ledger *l, struct ledger_uses *c)
{
	static const struct store_call_type type = {
	    .kind = WIRE_USES, .pack = pack_uses, .over = change_over};
	struct ledger_sqlite *s = CONTAINER_OF(l, struct ledger_sqlite, ledger);
	struct overtaking *over = change_begin(s, c->count);

	if (over == NULL) {
		wait_finish_soon(store_loop(s->store), &c->wait, ERR_NO_MEMORY);
		return;
	}
	for (size_t i = 0; i < c->count; i++)
		change_row(s, over, c->uses[i].tenant, c->uses[i].uid);
	store_call(s->store, &type, &c->wait, over, 0);
}

/* --- recovery --- */

static enum err
pack_intents(struct buf *b, const struct wait *w)
{
	pack_u64(b, CONTAINER_OF(w, struct ledger_intents, wait)->after);
	return buf_error(b);
}

static enum err
answer_intents(void *ctx, struct wait *w, struct unpack *u)
{
	struct ledger_intents *c = CONTAINER_OF(w, struct ledger_intents, wait);
	uint64_t after = unpack_u64(u);
	size_t count = unpack_u32(u);
	struct ledger_intent *all;

	if (u->bad || count > WIRE_INTENTS_MAX)
		return ERR_STORAGE;
	all = arena_array(c->arena, count, sizeof(*all));
	if (all == NULL)
		return ERR_NO_MEMORY;
	c->intents = all;
	c->count = 0;
	for (size_t i = 0; i < count; i++) {
		struct ledger_intent *at = &all[c->count];
		uint8_t kind;

		at->owner = unpack_u64(u);
		unpack_text(u, at->tenant, sizeof(at->tenant));
		unpack_text(u, at->uid, sizeof(at->uid));
		kind = unpack_u8(u);
		if (kind >= CHANGE_KINDS)
			return ERR_STORAGE;
		at->kind = (enum change_kind)kind;
		if (live_find(ctx, at->owner) == NULL)
			c->count++;
	}
	c->after = after;
	return ERR_OK;
}

static void
ledger_intents(struct ledger *l, struct ledger_intents *c)
{
	static const struct store_call_type type = {
	    .kind = WIRE_INTENTS, .pack = pack_intents, .answer = answer_intents};
	struct ledger_sqlite *s = CONTAINER_OF(l, struct ledger_sqlite, ledger);

	store_call(s->store, &type, &c->wait, s, 0);
}

static enum err
pack_settle(struct buf *b, const struct wait *w)
{
	const struct ledger_settle *c = CONTAINER_OF(w, struct ledger_settle, wait);

	pack_text(b, c->tenant);
	pack_text(b, c->uid);
	pack_u64(b, c->owner);
	pack_u8(b, c->destroyed);
	pack_u64(b, (uint64_t)c->when);
	return ERR_OK;
}

static void
ledger_settle(struct ledger *l, struct ledger_settle *c)
{
	static const struct store_call_type type = {
	    .kind = WIRE_SETTLE, .pack = pack_settle, .over = change_over};
	struct ledger_sqlite *s = CONTAINER_OF(l, struct ledger_sqlite, ledger);
	struct overtaking *over = change_begin(s, 1);

	if (over == NULL) {
		wait_finish_soon(store_loop(s->store), &c->wait, ERR_NO_MEMORY);
		return;
	}
	change_row(s, over, c->tenant, c->uid);
	store_call(s->store, &type, &c->wait, over, 0);
}

static void
ledger_free(struct ledger *l)
{
	struct ledger_sqlite *s = CONTAINER_OF(l, struct ledger_sqlite, ledger);
	struct list *p;

	while ((p = list_pop(&s->live)) != NULL)
		alloc_free(CONTAINER_OF(p, struct live, link));
	recent_free(s->recent);
	alloc_free(s);
}

struct ledger *
ledger_sqlite_new(struct store *store)
{
	static const struct ledger_ops ops = {
	    .name = "sqlite",
	    .load = ledger_load,
	    .find = ledger_find,
	    .prepare = ledger_prepare,
	    .commit = ledger_commit,
	    .abandon = ledger_abandon,
	    .disown = ledger_disown,
	    .intents = ledger_intents,
	    .settle = ledger_settle,
	    .note_uses = ledger_note_uses,
	    .free = ledger_free,
	};
	struct ledger_sqlite *s = alloc_zero(sizeof(*s));

	if (s == NULL)
		return NULL;
	s->recent = recent_new();
	if (s->recent == NULL || RAND_bytes((uint8_t *)&s->overtaken.seed, sizeof(s->overtaken.seed)) != 1) {
		recent_free(s->recent);
		alloc_free(s);
		return NULL;
	}
	s->ledger.ops = &ops;
	s->store = store;
	list_init(&s->live);
	return &s->ledger;
}
