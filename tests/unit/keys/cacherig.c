/* SPDX-License-Identifier: Apache-2.0 */
/* The scripted vault, and gets that note what came of them. */
#include "cacherig.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/metric.h"

enum { HEAP = 64 * 1024, KEY_LEN = 32 };

static void
vault_left(struct wait *w)
{
	CONTAINER_OF(w, struct vault_unwrap, wait)->op = NULL;
}

static void
unwrap_later(struct cacherig *r, struct vault_unwrap *u)
{
	r->loads++;
	u->apart = r->apart;
	u->wait.cancel = vault_left;
	list_append(&r->pending, &u->wait.link);
}

static void
vault_unwrap_later(struct vault *v, struct vault_unwrap *u)
{
	unwrap_later(CONTAINER_OF(v, struct cacherig, vault), u);
}

static void
other_unwrap_later(struct vault *v, struct vault_unwrap *u)
{
	unwrap_later(CONTAINER_OF(v, struct cacherig, other), u);
}

static void
record_id(char id[UID_TEXT_LEN + 1], const struct object *o)
{
	ck_assert_uint_eq(o->record_len, UID_TEXT_LEN + 1);
	memcpy(id, o->record, o->record_len);
}

static void
root_key(char id[UID_TEXT_LEN + 1], const struct object *o)
{
	snprintf(id, UID_TEXT_LEN + 1, "%c", o->record[0]);
}

void
cacherig_init(struct cacherig *r, size_t bytes_max)
{
	static const struct vault_ops ops = {
	    .name = "scripted", .unwrap = vault_unwrap_later, .record_id = record_id, .root_key = root_key};
	static const struct vault_ops other_ops = {
	    .name = "scripted", .unwrap = other_unwrap_later, .record_id = record_id, .root_key = root_key};
	struct custody_params p = {.name = "rig", .bound_ns = BOUND, .ride_out_ns = RIDE_OUT};
	static int quiet = -1;
	bool locked;

	clock_test_freeze(1760000000);
	if (quiet < 0)
		quiet = open("/dev/null", O_WRONLY | O_CLOEXEC);
	log_set_output(quiet, false);
	ck_assert_int_eq(secret_heap_init(HEAP, true, &locked), ERR_OK);
	*r = (struct cacherig){.vault.ops = &ops, .other.ops = &other_ops, .terms = {BOUND, RIDE_OUT}};
	r->asked = &r->vault;
	r->kept = secret_heap_kept();
	list_init(&r->pending);
	r->loop = loop_new();
	r->cache = cache_new(r->loop, bytes_max);
	r->custody = custody_new(&p);
	r->arena = arena_new(4 << 20);
	ck_assert(r->cache != NULL && r->custody != NULL && r->arena != NULL);
}

void
cacherig_fini(struct cacherig *r)
{
	cache_free(r->cache);
	if (r->custody != NULL)
		custody_unref(r->custody);
	cacherig_settle(r);
	ck_assert(list_empty(&r->pending));
	loop_free(r->loop);
	arena_free(r->arena);
	ck_assert_uint_eq(secret_heap_kept(), r->kept);
	ck_assert_int_eq(metric_get(METRIC_CACHE_KEYS), 0);
	ck_assert_int_eq(metric_get(METRIC_CACHE_BYTES), 0);
}

void
cacherig_settle(struct cacherig *r)
{
	for (int i = 0; i < 4; i++)
		loop_turn(r->loop, false);
}

void
cacherig_advance(struct cacherig *r, int64_t ns)
{
	clock_test_advance(ns);
	cacherig_settle(r);
}

struct object *
cacherig_object(struct cacherig *r, const char *tenant, unsigned number)
{
	struct object *o = arena_zalloc(r->arena, sizeof(*o));

	snprintf(o->tenant, sizeof(o->tenant), "%s", tenant);
	snprintf(o->uid, sizeof(o->uid), "0199a0b0-0000-7000-8000-%012u", number);
	o->length = 8 * KEY_LEN;
	memcpy(o->digest, &number, sizeof(number));
	snprintf((char *)o->digest + 4, sizeof(o->digest) - 4, "of %s", tenant);
	o->record = arena_copy(r->arena, o->uid, sizeof(o->uid));
	o->record_len = sizeof(o->uid);
	return o;
}

static struct secret *
key_of(const struct object *o)
{
	struct secret *key = secret_new(KEY_LEN, SECRET_TRANSIENT);

	ck_assert_ptr_nonnull(key);
	for (size_t i = 0; i < KEY_LEN; i++)
		secret_bytes(key)[i] = o->digest[i] ^ 0x5a;
	return key;
}

void
cacherig_finish(struct cacherig *r, struct vault_unwrap *u, enum err e)
{
	if (e == ERR_OK) {
		u->key = key_of(u->object);
		secret_bytes(u->key)[KEY_LEN - 1] ^= r->other_bytes;
	}
	u->suspended = r->suspended;
	u->record_only = r->record_only;
	wait_finish(&u->wait, e);
}

void
cacherig_answer(struct cacherig *r, enum err e)
{
	ck_assert(!list_empty(&r->pending));
	cacherig_finish(r, CONTAINER_OF(r->pending.next, struct vault_unwrap, wait.link), e);
}

unsigned
cacherig_pending(const struct cacherig *r)
{
	unsigned n = 0;

	LIST_FOREACH (link, &r->pending)
		n++;
	return n;
}

size_t
cacherig_kept(const struct cacherig *r)
{
	return secret_heap_kept() - r->kept;
}

static void
got(struct wait *w, enum err e)
{
	struct get *t = w->owner;

	ck_assert(!t->done);
	ck_assert_int_eq(t->g.key != NULL, e == ERR_OK);
	ck_assert(!timer_armed(&t->g.timer));
	t->done = true;
	t->e = e;
	t->nth = ++t->rig->served;
	if (t->then != NULL)
		t->then(t);
}

void
get_start(struct get *t, struct cacherig *r, const struct object *o)
{
	t->done = false;
	t->rig = r;
	t->g.wait.done = got;
	t->g.wait.owner = t;
	t->g.vault = r->asked;
	t->g.custody = r->custody;
	t->g.object = o;
	t->g.terms = r->terms;
	cache_get(r->cache, &t->g);
	ck_assert(!t->done); /* never from inside the call */
}

enum err
get_now(struct cacherig *r, const struct object *o, enum err e)
{
	struct get t = {.done = false};

	get_start(&t, r, o);
	cacherig_settle(r);
	while (!t.done) {
		cacherig_answer(r, e);
		cacherig_settle(r);
	}
	ck_assert(t.e != ERR_OK || get_key_is(&t, o));
	get_end(&t);
	return t.e;
}

enum err
get_warm(struct cacherig *r, const struct object *o)
{
	unsigned loads = r->loads;
	enum err e = get_now(r, o, ERR_INTERNAL);

	ck_assert_uint_eq(r->loads, loads);
	return e;
}

bool
get_rides(struct cacherig *r, const struct object *o, enum err e)
{
	struct get t = {.done = false};
	bool ridden;

	get_start(&t, r, o);
	cacherig_settle(r);
	if (cacherig_pending(r) > 0)
		cacherig_answer(r, e);
	cacherig_settle(r);
	ck_assert(t.done);
	ridden = t.e == ERR_OK && t.g.ridden_out;
	ck_assert(!ridden || (t.g.from_memory && get_key_is(&t, o)));
	ck_assert(ridden || t.e == e);
	get_end(&t);
	return ridden;
}

bool
get_key_is(const struct get *t, const struct object *o)
{
	struct secret *want = key_of(o);
	bool is = secret_equal(t->g.key, want);

	secret_unref(want);
	return is;
}

void
get_end(struct get *t)
{
	ck_assert(t->done);
	secret_unref(t->g.key);
	t->g.key = NULL;
}
