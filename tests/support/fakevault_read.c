/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that change nothing: make, unwrap, probe, find, news. */
#include "fakeop.h"

#include <string.h>

#include <openssl/sha.h>

#define SAME_TIME_NS (3 * NS_PER_S)
#define RETIRING_NS (120 * NS_PER_S)

/* --- make --- */

static void
make_arrives(struct op *o)
{
	o->e = fakeop_root_error(o);
}

static void
make_delivers(struct op *o)
{
	struct vault_make *c = o->c.make;
	struct record old, r = {.version = o->v->km->root_version, .state = c->object->state};
	struct keymgr_key *k = keymgr_key(o->v->km, c->object->uid);

	if (k == NULL)
		k = keymgr_make(o->v->km, c->object->uid);
	if (c->key == NULL && k != NULL) {
		c->key = secret_new(KEYMGR_KEY_LEN, SECRET_TRANSIENT);
		if (c->key != NULL)
			memcpy(secret_bytes(c->key), k->bytes, KEYMGR_KEY_LEN);
	}
	if (c->key == NULL) {
		o->e = ERR_NO_SECURE_MEMORY;
		return;
	}
	r.sequence = fakeop_read_record(&old, c->object) ? old.sequence + 1 : 1;
	for (size_t i = 0; i < sizeof(r.wrapped); i++)
		r.wrapped[i] = secret_bytes(c->key)[i] ^ 0xa5;
	SHA256(secret_bytes(c->key), KEYMGR_KEY_LEN, c->object->digest);
	c->object->record = arena_copy(c->arena, &r, sizeof(r));
	c->object->record_len = sizeof(r);
}

static void
cancel_make(struct wait *w)
{
	fakeop_leave(CONTAINER_OF(w, struct vault_make, wait)->op);
}

void
fakeread_make(struct vault *v, struct vault_make *c)
{
	struct op *o = fakeop_new(v, &c->wait, &c->terms, c->object->uid, cancel_make);

	if (o == NULL)
		return;
	c->op = o;
	o->c.make = c;
	o->arrive = make_arrives;
	o->deliver = make_delivers;
}

/* --- unwrap --- */

static struct secret *
unwrapped(const struct object *object)
{
	struct secret *s = secret_new(KEYMGR_KEY_LEN, SECRET_TRANSIENT);
	struct record r;

	if (s == NULL || !fakeop_read_record(&r, object))
		return s;
	for (size_t i = 0; i < sizeof(r.wrapped); i++)
		secret_bytes(s)[i] = r.wrapped[i] ^ 0xa5;
	return s;
}

static void
unwrap_arrives(struct op *o)
{
	struct keymgr *km = o->v->km;
	const struct keymgr_record *at;
	struct record r;

	if (!fakeop_read_record(&r, o->c.unwrap->object)) {
		o->e = ERR_INTEGRITY;
		return;
	}
	o->flag = r.version != km->root_version;
	o->e = fakeop_root_error(o);
	fakeop_record_id(o->known, o->c.unwrap->object);
	at = keymgr_record(km, o->known);
	if (o->e != ERR_OK)
		return;
	if (o->known[0] == '\0' && fakeop_count_shown(o) == 0) {
		o->e = ERR_NO_OBJECT;
		if (clock_now() + FAKEOP_AGAIN_NS < o->look_until)
			fakeop_again(o, FAKEOP_AGAIN_NS);
	} else if (o->known[0] != '\0' && (at == NULL || at->deleted != 0)) {
		o->e = ERR_NO_OBJECT;
		o->gone = fakeop_how_gone(o, at);
	}
	o->c.unwrap->gone = o->gone; /* read on ERR_NO_OBJECT */
}

static void
unwrap_delivers(struct op *o)
{
	o->c.unwrap->key = unwrapped(o->c.unwrap->object);
	o->c.unwrap->stale = o->flag;
	if (o->c.unwrap->key == NULL)
		o->e = ERR_NO_SECURE_MEMORY;
}

static void
cancel_unwrap(struct wait *w)
{
	fakeop_leave(CONTAINER_OF(w, struct vault_unwrap, wait)->op);
}

void
fakeread_unwrap(struct vault *v, struct vault_unwrap *c)
{
	struct op *o = fakeop_new(v, &c->wait, &c->terms, c->object->uid, cancel_unwrap);

	if (o == NULL)
		return;
	c->op = o;
	o->c.unwrap = c;
	o->arrive = unwrap_arrives;
	o->deliver = unwrap_delivers;
}

/* --- probe and find --- */

static void
probe_arrives(struct op *o)
{
	const struct keymgr_record *at = keymgr_record(o->v->km, o->known);

	if (o->known[0] != '\0') {
		o->flag = at != NULL && at->deleted == 0;
		if (at != NULL && !o->flag)
			o->gone = fakeop_how_gone(o, at);
		return;
	}
	o->flag = fakeop_count_shown(o) > 0;
	if (!o->flag && clock_now() + FAKEOP_AGAIN_NS < o->look_until)
		fakeop_again(o, FAKEOP_AGAIN_NS);
}

static void
probe_delivers(struct op *o)
{
	o->c.probe->found = o->flag;
	o->c.probe->gone = o->gone;
}

static void
cancel_probe(struct wait *w)
{
	fakeop_leave(CONTAINER_OF(w, struct vault_probe, wait)->op);
}

void
fakeread_probe(struct vault *v, struct vault_probe *c)
{
	struct op *o = fakeop_new(v, &c->wait, &c->terms, c->object->uid, cancel_probe);

	if (o == NULL)
		return;
	fakeop_record_id(o->known, c->object);
	c->op = o;
	o->c.probe = c;
	o->arrive = probe_arrives;
	o->deliver = probe_delivers;
}

static struct object *
read_object(struct op *o, const struct keymgr_record *at)
{
	struct object *got;

	if (object_unpack(at->packed.data, at->packed.len, o->c.find->arena, &got) != ERR_OK)
		return NULL;
	memcpy((uint8_t *)got->record, at->id, UID_TEXT_LEN);
	got->revision = 0;
	return got;
}

/* The one that counts, with what either says of a revocation. */
static struct object *
best_of(struct object *a, struct object *b)
{
	struct object *best = fakeop_order(a, b) > 0 ? a : b;

	object_take_state(best, best == a ? b : a);
	return best;
}

static bool
may_come_back(const struct keymgr *km, const struct keymgr_record *r)
{
	return !r->by_gateway || !keymgr_is_listed(km, r);
}

/*
 * Of those that lists show as deleted (it may be there by now), the one that was made last, or one
 * that was still there shortly before: the others may have made way for it.  Of some that were made
 * at about the same time, one that may come back.
 */
static bool
some_was_withdrawn(const struct op *o)
{
	const struct keymgr *km = o->v->km;
	const struct keymgr_record *last = NULL;
	int64_t destroyed_at = 0, may_count_until = 0;

	for (size_t i = 0; i < km->records_count; i++) {
		const struct keymgr_record *r = &km->records[i];
		int64_t until = r->deleted == 0 ? INT64_MAX : r->deleted + RETIRING_NS;

		if (strcmp(r->uid, o->uid) != 0 || (r->deleted == 0 && keymgr_is_listed(km, r)))
			continue;
		if (last == NULL || r->made - last->made > SAME_TIME_NS || !may_come_back(km, last))
			last = r;
		if (!may_come_back(km, r) && r->deleted > destroyed_at)
			destroyed_at = r->deleted;
		if (may_come_back(km, r) && until > may_count_until)
			may_count_until = until;
	}
	return last != NULL && (may_come_back(km, last) || destroyed_at <= may_count_until);
}

static void
find_arrives(struct op *o)
{
	struct keymgr *km = o->v->km;

	for (size_t i = 0; i < km->records_count; i++) {
		const struct keymgr_record *at = &km->records[i];
		bool it = o->known[0] != '\0' ? at->deleted == 0 && strcmp(at->id, o->known) == 0 &&
			strcmp(at->uid, o->uid) == 0
					      : fakeop_shows(o, at);
		struct object *got = it ? read_object(o, at) : NULL;

		if (got != NULL)
			o->object = o->object != NULL ? best_of(o->object, got) : got;
	}
	o->e = o->object != NULL ? fakeop_root_error(o) : ERR_NO_OBJECT;
	o->c.find->unopened = o->object;
	o->c.find->suspended = km->root == ROOT_DISABLED;
	if (o->c.find->last_words)
		o->c.find->withdrawn = some_was_withdrawn(o);
	if (o->object == NULL && o->known[0] == '\0' &&
	    clock_now() + FAKEOP_AGAIN_NS < o->look_until)
		fakeop_again(o, FAKEOP_AGAIN_NS);
}

static void
find_delivers(struct op *o)
{
	o->c.find->object = o->object;
	o->c.find->key = unwrapped(o->object);
	if (o->c.find->key == NULL)
		o->e = ERR_NO_SECURE_MEMORY;
}

static void
cancel_find(struct wait *w)
{
	fakeop_leave(CONTAINER_OF(w, struct vault_find, wait)->op);
}

void
fakeread_find(struct vault *v, struct vault_find *c)
{
	struct op *o = fakeop_new(v, &c->wait, &c->terms, c->uid, cancel_find);

	if (o == NULL)
		return;
	c->op = o;
	o->c.find = c;
	o->arrive = find_arrives;
	o->deliver = find_delivers;
	if (c->record_id != NULL)
		strcpy(o->known, c->record_id);
	else if (c->expected)
		o->look_until = clock_now() + FAKEOP_LAG_NS;
}

/* --- news --- */

static void
tell(struct op *o, const struct keymgr_record *r)
{
	struct vault_record told = {r->uid, r->id, GONE_UNKNOWN};

	if (r->deleted != 0)
		told.gone = fakeop_how_gone(o, r);
	o->c.news->each(o->c.news->arg, &told);
}

/* First the proof, then the lists. */
static void
news_arrives(struct op *o)
{
	struct keymgr *km = o->v->km;
	struct vault_news *c = o->c.news;
	int64_t since = c->since * NS_PER_S;

	if (!o->flag) {
		c->now = keymgr_now(km) / NS_PER_S;
		c->suspended = km->root == ROOT_DISABLED;
		o->e = fakeop_root_error(o);
		o->flag = true;
		if (o->e == ERR_OK && c->since != 0)
			fakeop_again(o, fakeop_half_way(o) - clock_now());
		return;
	}
	for (size_t i = 0; i < km->records_count; i++) {
		const struct keymgr_record *r = &km->records[i];

		if (keymgr_is_listed(km, r) && (r->deleted != 0 ? r->deleted : r->made) >= since)
			tell(o, r);
	}
}

static void
cancel_news(struct wait *w)
{
	fakeop_leave(CONTAINER_OF(w, struct vault_news, wait)->op);
}

void
fakeread_news(struct vault_source *s, struct vault_news *c)
{
	struct fakevault *v = CONTAINER_OF(s, struct fakevault, source);
	struct op *o = fakeop_new(&v->vault, &c->wait, &c->terms, "", cancel_news);

	if (o == NULL)
		return;
	c->op = o;
	c->now = -1;
	c->suspended = c->moved = false;
	o->c.news = c;
	o->arrive = news_arrives;
}

