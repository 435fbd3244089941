/* SPDX-License-Identifier: Apache-2.0 */
/* The instance and the gateways of the tests of shared attributes. */
#include "sharecase.h"

#include <stdio.h>
#include <string.h>

#include <check.h>

#include "base/clock.h"
#include "base/metric.h"
#include "keys/adopt.h"

enum { HEAD = UID_TEXT_LEN + 8, KEY_LEN = 32 };

struct rig rig;
struct gateway east, west;
struct instance there;

/* --- the vault --- */

uint64_t
sequence_of(const struct object *o)
{
	uint64_t n = 0;

	if (o->record_len > HEAD)
		memcpy(&n, o->record + UID_TEXT_LEN, sizeof(n));
	return n;
}

static void
id_of(char id[UID_TEXT_LEN + 1], const struct object *o)
{
	id[0] = '\0';
	if (o->record_len > HEAD)
		memcpy(id, o->record, UID_TEXT_LEN);
	id[UID_TEXT_LEN] = '\0';
}

static enum err
recorded(const struct object *o, struct arena *a, struct object **out)
{
	if (o->record_len <= HEAD)
		return ERR_INTEGRITY;
	if (there.recorded_fails > 0 && --there.recorded_fails == 0)
		return ERR_NO_MEMORY;
	return object_unpack(o->record + HEAD, o->record_len - HEAD, a, out);
}

void
make_record(struct object *o, struct arena *a)
{
	static const uint8_t nowhere[UID_TEXT_LEN];
	uint64_t sequence = sequence_of(o) + 1;
	struct object bare = *o;
	struct buf b;

	bare.record = NULL;
	bare.record_len = 0;
	buf_init(&b, OBJECT_SIZE_MAX);
	buf_put(&b, nowhere, sizeof(nowhere));
	buf_put(&b, &sequence, sizeof(sequence));
	object_pack(&b, &bare);
	o->record = arena_copy(a, b.data, b.len);
	o->record_len = b.len;
	buf_fini(&b);
}

static void
make(struct vault *v, struct vault_make *m)
{
	(void)v;
	there.makes++;
	make_record(m->object, m->arena);
	wait_finish_soon(rig.loop, &m->wait, there.make_fails);
}

static void
unwrap(struct vault *v, struct vault_unwrap *u)
{
	(void)v;
	there.unwraps++;
	u->key = secret_new(KEY_LEN, SECRET_TRANSIENT);
	wait_finish_soon(rig.loop, &u->wait, u->key != NULL ? ERR_OK : ERR_NO_SECURE_MEMORY);
}

void
put_record(const struct object *o)
{
	char id[UID_TEXT_LEN + 1];

	snprintf(id, sizeof(id), "00000000-0000-4000-8000-%012zu", there.count);
	memcpy((uint8_t *)o->record, id, UID_TEXT_LEN);
	ck_assert_uint_lt(there.count, RECORDS_MAX);
	there.records[there.count++] = object_copy(rig.arena, o);
}

static void
store(struct vault *v, struct vault_change *c)
{
	enum err e = there.store_fails;

	(void)v;
	if (there.before_store != NULL)
		there.before_store();
	if (e == ERR_OK || there.loses_answer) {
		put_record(c->object);
		there.stores++;
	}
	wait_finish_soon(rig.loop, &c->wait, e);
}

static void
retire(struct vault *v, struct vault_change *c)
{
	char id[UID_TEXT_LEN + 1], old[UID_TEXT_LEN + 1];

	(void)v;
	id_of(old, c->object);
	for (size_t i = 0; i < there.count; i++) {
		id_of(id, there.records[i]);
		there.gone[i] |= strcmp(id, old) == 0;
	}
	wait_finish_soon(rig.loop, &c->wait, ERR_OK);
}

/* The named record, or the best of those that bear the uid. */
static void
find(struct vault *v, struct vault_find *f)
{
	const struct object *best = NULL;
	char id[UID_TEXT_LEN + 1];

	(void)v;
	for (size_t i = 0; i < there.count; i++) {
		const struct object *o = there.records[i];

		id_of(id, o);
		if (strcmp(o->uid, f->uid) == 0 && !there.gone[i] &&
		    (f->record_id == NULL || strcmp(id, f->record_id) == 0) &&
		    (best == NULL || sequence_of(o) > sequence_of(best)))
			best = o;
	}
	if (best != NULL)
		f->object = object_copy(f->arena, best);
	if (best != NULL && f->object == NULL) {
		wait_finish_soon(rig.loop, &f->wait, ERR_NO_MEMORY);
		return;
	}
	if (best != NULL) {
		snprintf(f->object->tenant, sizeof(f->object->tenant), "%s", f->tenant);
		f->object->revision = 0;
	}
	wait_finish_soon(rig.loop, &f->wait, best != NULL ? ERR_OK : ERR_NO_OBJECT);
}

static int
order_of(const struct object *a, const struct object *b)
{
	uint64_t left = sequence_of(a), right = sequence_of(b);
	char id[UID_TEXT_LEN + 1], other[UID_TEXT_LEN + 1];

	if (left != right)
		return left > right ? 1 : -1;
	if (a->state != b->state)
		return a->state > b->state ? 1 : -1;
	id_of(id, a);
	id_of(other, b);
	return strcmp(other, id);
}

static const struct vault_ops ops = {
    .name = "shared",
    .make = make,
    .unwrap = unwrap,
    .store = store,
    .retire = retire,
    .find = find,
    .record_id = id_of,
    .sequence = sequence_of,
    .order = order_of,
    .recorded = recorded,
};

/* --- gateways --- */

void
begin(struct gateway *g)
{
	const struct share_params p = {rig.loop, &g->vault, rig.ledger, g->tenant};

	g->share = share_new(&p);
	ck_assert_ptr_nonnull(g->share);
	ck_assert_ptr_eq(g->vault.share, g->share);
}

void
end(struct gateway *g)
{
	share_free(g->share);
	g->share = NULL;
}

void
setup(void)
{
	clock_test_freeze(1760000000);
	rig_init(&rig);
	rig_start(&rig);
	memset(&there, 0, sizeof(there));
	east = (struct gateway){.vault.ops = &ops, .tenant = "east"};
	west = (struct gateway){.vault.ops = &ops, .tenant = "west"};
	begin(&east);
	begin(&west);
}

void
teardown(void)
{
	end(&east);
	end(&west);
	ck_assert_int_eq(metric_get(METRIC_ATTRIBUTES_WAITING), 0);
	rig_fini(&rig);
}

/* Turns until the storage child has nothing to answer and no step is under way. */
static void
settle(void)
{
	for (int quiet = 0; quiet < 3;) {
		loop_turn(rig.loop, false);
		quiet = store_pending(rig.store) == 0 ? quiet + 1 : 0;
	}
}

void
pass(int64_t ns)
{
	for (int64_t step = 100 * NS_PER_MS; ns > 0; ns -= step) {
		clock_test_advance(ns < step ? ns : step);
		settle();
	}
}

struct object *
load(const struct gateway *g, const char *uid)
{
	enum err e;
	struct object *o = rig_load(&rig, g->tenant, uid, &e);

	ck_assert_int_eq(e, ERR_OK);
	return o;
}

enum err
adopt(struct gateway *g, const char *uid, const char *record_id)
{
	struct adopt a = {.loop = rig.loop,
	    .vault = &g->vault,
	    .ledger = rig.ledger,
	    .tenant = g->tenant,
	    .uid = uid,
	    .record_id = record_id};
	struct outcome out;

	rig_begin(&a.wait, &out);
	adopt_start(&a);
	return rig_end(&rig, &out);
}

void
watch(struct gateway *g, const char *uid)
{
	char id[UID_TEXT_LEN + 1];

	for (size_t i = 0; i < there.count; i++) {
		id_of(id, there.records[i]);
		if (!there.gone[i])
			(void)!adopt(g, uid, id);
	}
}

void
commit(struct gateway *g, struct object *o, enum change_kind kind)
{
	struct change change = {kind, o};
	struct ledger_changes c = {.changes = &change, .count = 1};

	ck_assert_int_eq(rig_commit(&rig, &c), ERR_OK);
	share_note(g->share, o->uid);
}

const char *
new_object(const char *name)
{
	struct object *o = rig_object(&rig, east.tenant, name);

	o->record = NULL;
	o->record_len = 0;
	make_record(o, rig.arena);
	put_record(o);
	commit(&east, o, CHANGE_ADOPT);
	ck_assert_int_eq(adopt(&west, o->uid, NULL), ERR_OK);
	pass(SHARE_QUIET_NS + NS_PER_S); /* both have looked: nothing is to be done */
	ck_assert_uint_eq(there.stores, 0);
	return o->uid;
}

void
set(struct gateway *g, const char *uid, const char *name, const char *value)
{
	struct object *o = load(g, uid);

	if (value == NULL)
		ck_assert(object_attr_remove(o, name, 0));
	else
		ck_assert_int_eq(object_attr_set(o, rig.arena, name, strlen(name), 0,
				     (const uint8_t *)value, strlen(value)),
		    ERR_OK);
	commit(g, o, CHANGE_UPDATE);
}

bool
has(const struct gateway *g, const char *uid, const char *name, const char *value)
{
	const struct object_attr *at = object_attr_get(load(g, uid), name, 0);

	if (at == NULL || value == NULL)
		return at == NULL && value == NULL;
	return at->value_len == strlen(value) && memcmp(at->value, value, at->value_len) == 0;
}

bool
both_have(const char *uid, const char *name, const char *value)
{
	return has(&east, uid, name, value) && has(&west, uid, name, value);
}
