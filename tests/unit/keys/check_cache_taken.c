/* SPDX-License-Identifier: Apache-2.0 */
/* Keys that are taken out of memory: by command, with their record, or with their root key. */

#include "cachecase.h"

START_TEST(test_flush)
{
	struct get before = {.done = false}, after = {.done = false};

	ck_assert_int_eq(get_now(&rig, key1, ERR_OK), ERR_OK);
	get_start(&before, &rig, key2);
	cacherig_settle(&rig);
	ck_assert_uint_eq(cache_flush(rig.cache, "west"), 0);
	ck_assert_uint_eq(cache_flush(rig.cache, "east"), 1);
	ck_assert_uint_eq(cacherig_kept(&rig), 0);
	get_start(&after, &rig, key2);
	cacherig_settle(&rig);
	ck_assert_uint_eq(rig.loads, 3); /* one of its own */
	cacherig_answer(&rig, ERR_OK);
	ck_assert(before.done && before.e == ERR_OK && !after.done);
	get_end(&before);
	ck_assert_uint_eq(cacherig_kept(&rig), 0);
	cacherig_answer(&rig, ERR_OK);
	get_end(&after);
	ck_assert_uint_eq(cacherig_kept(&rig), 32);
}
END_TEST

START_TEST(test_forget)
{
	struct get before = {.done = false}, after = {.done = false};

	get_start(&before, &rig, key1);
	cacherig_settle(&rig);
	cache_forget(rig.cache, "east", key1->uid);
	cache_forget(rig.cache, "west", key1->uid);
	get_start(&after, &rig, key1);
	cacherig_settle(&rig);
	ck_assert_uint_eq(rig.loads, 2);
	cacherig_answer(&rig, ERR_OK);
	ck_assert(before.e == ERR_OK && !after.done);
	get_end(&before);
	ck_assert_uint_eq(cacherig_kept(&rig), 0);
	CONTAINER_OF(rig.pending.next, struct vault_unwrap, wait.link)->gone = GONE_WITHDRAWN;
	cacherig_answer(&rig, ERR_NO_OBJECT);
	ck_assert_int_eq(after.e, ERR_NO_OBJECT);
	ck_assert_int_eq(after.g.gone, GONE_WITHDRAWN);
	ck_assert_int_eq(get_now(&rig, key1, ERR_OK), ERR_OK); /* restored by the customer */
	cache_forget(rig.cache, "east", key1->uid);
	ck_assert_uint_eq(cacherig_kept(&rig), 0);
	ck_assert_int_eq(get_now(&rig, key1, ERR_NO_OBJECT), ERR_NO_OBJECT);
}
END_TEST

/* Whoever answered after it is asked again, also when the clock makes that look long ago. */
START_TEST(test_outage_is_over)
{
	struct get t = {.done = false};

	ck_assert_int_eq(get_now(&rig, key1, ERR_OK), ERR_OK);
	cacherig_advance(&rig, BOUND);
	ck_assert(get_rides(&rig, key1, ERR_VAULT_DOWN));
	clock_test_jump(-100 * NS_PER_S, 0);
	get_start(&t, &rig, key1);
	cacherig_settle(&rig);
	ck_assert(t.done && t.g.ridden_out); /* at once, and one load looks whether it is over */
	get_end(&t);
	clock_test_jump(100 * NS_PER_S, 0);
	cacherig_answer(&rig, ERR_OK);
	get_start(&t, &rig, key1);
	cacherig_settle(&rig);
	ck_assert(!t.done);
	cacherig_answer(&rig, ERR_OK);
	ck_assert(t.done && !t.g.ridden_out);
	get_end(&t);
}
END_TEST

static const char second[] = "00000000-0000-4000-8000-000000000002";
static const char under_another[] = "10000000-0000-4000-8000-000000000003"; /* root key: cacherig.h */

static bool
forget_record(const struct object *o, const char *id)
{
	return cache_forget_record(rig.cache, o->tenant, o->uid, id);
}

/* The same object with another record. */
static struct object *
with_record(const struct object *o, const char *id)
{
	struct object *copy = object_copy(rig.arena, o);

	copy->record = (const uint8_t *)id;
	return copy;
}

static struct object *
successor_of(const struct object *o)
{
	return with_record(o, second);
}

/* What comes of asking for it when it is the bound old, and the custody was confirmed meanwhile. */
static enum err
get_confirmed(struct custody *cu, const struct object *o, enum err e)
{
	struct stamp began;

	cacherig_advance(&rig, BOUND - 1);
	ck_assert_int_eq(get_warm(&rig, o), ERR_OK);
	began = stamp_now();
	custody_confirmed(cu, &began);
	cacherig_advance(&rig, 1);
	return get_now(&rig, o, e);
}

START_TEST(test_forget_record)
{
	static const struct vault_ops untold;
	struct secret *key;
	struct stamp now;

	ck_assert(!forget_record(key1, second));
	ck_assert_int_eq(get_now(&rig, key1, ERR_OK), ERR_OK);
	ck_assert(forget_record(key1, second));
	ck_assert_int_eq(get_warm(&rig, key1), ERR_OK);
	ck_assert(!forget_record(key1, key1->uid));
	ck_assert_uint_eq(cacherig_kept(&rig), 0);
	/* nobody knows where that one is from */
	key = secret_new(32, SECRET_TRANSIENT);
	now = stamp_now();
	cache_put(rig.cache, rig.custody, &untold, key1, key, &rig.terms, &now);
	secret_unref(key);
	ck_assert_uint_eq(cacherig_kept(&rig), 32);
	ck_assert(!forget_record(key1, second));
	ck_assert_uint_eq(cacherig_kept(&rig), 0);
}
END_TEST

/* A load of another record goes on, is joined and kept. */
START_TEST(test_forget_record_while_loading)
{
	struct get t[3] = {{.done = false}};

	get_start(&t[0], &rig, key1);
	cacherig_settle(&rig);
	ck_assert(!forget_record(key1, second));
	get_start(&t[1], &rig, key1);
	cacherig_settle(&rig);
	ck_assert_uint_eq(rig.loads, 1);
	ck_assert(!forget_record(key1, key1->uid));
	get_start(&t[2], &rig, key1);
	cacherig_settle(&rig);
	ck_assert_uint_eq(rig.loads, 2);
	cacherig_answer(&rig, ERR_OK);
	ck_assert(t[0].e == ERR_OK && t[1].e == ERR_OK && !t[2].done);
	ck_assert_uint_eq(cacherig_kept(&rig), 0);
	get_end(&t[0]);
	get_end(&t[1]);
	cacherig_answer(&rig, ERR_OK);
	get_end(&t[2]);
	ck_assert(forget_record(key1, second));
}
END_TEST

START_TEST(test_moved)
{
	struct object *next = successor_of(key1);

	cache_moved(rig.cache, rig.vault.ops, next); /* there is no key */
	ck_assert_int_eq(get_now(&rig, key1, ERR_OK), ERR_OK);
	next->digest[0]++;
	cache_moved(rig.cache, rig.vault.ops, next); /* another's */
	ck_assert(forget_record(key1, second));
	next->digest[0]--;
	cache_moved(rig.cache, rig.vault.ops, next);
	ck_assert(forget_record(key1, key1->uid));
	ck_assert_int_eq(get_warm(&rig, next), ERR_OK);
	ck_assert(!forget_record(key1, second));
	ck_assert_uint_eq(cacherig_kept(&rig), 0);
}
END_TEST

/* A load of the record of before does not set it back, nor does it bring what is older. */
START_TEST(test_moved_while_loading)
{
	struct object *next = successor_of(key1);
	struct get t = {.done = false};

	if (_i == 0) {
		ck_assert_int_eq(get_now(&rig, key1, ERR_OK), ERR_OK);
		cacherig_advance(&rig, BOUND);
	}
	get_start(&t, &rig, key1);
	cacherig_settle(&rig);
	cache_moved(rig.cache, rig.vault.ops, next);
	cacherig_answer(&rig, ERR_OK);
	get_end(&t);
	ck_assert(forget_record(key1, key1->uid));
	ck_assert_int_eq(get_warm(&rig, next), ERR_OK);
}
END_TEST

/* The custody's checks prove its own root key alone; the next load tells which one that of the key is. */
START_TEST(test_moved_to_another_root_key)
{
	static const struct {
		const char *id;
		bool loaded; /* since it moved, and what it is under was the custody's own again */
		bool proved;
	} cases[] = {{second, false, true}, {under_another, false, false}, {under_another, true, true}};
	struct object *next = with_record(key1, cases[_i].id);

	ck_assert_int_eq(get_now(&rig, key1, ERR_OK), ERR_OK);
	cache_moved(rig.cache, rig.vault.ops, next);
	if (cases[_i].loaded) {
		cacherig_advance(&rig, BOUND);
		ck_assert_int_eq(get_now(&rig, next, ERR_OK), ERR_OK);
	}
	rig.apart = true;
	rig.loads = 0;
	ck_assert_int_eq(get_confirmed(rig.custody, next, ERR_NO_ROOT_KEY),
	    cases[_i].proved ? ERR_OK : ERR_NO_ROOT_KEY);
	ck_assert_uint_eq(rig.loads, !cases[_i].proved);
	ck_assert_uint_eq(cacherig_kept(&rig), cases[_i].proved ? 32 : 0);
}
END_TEST

/* The load is of the record of before, under the custody's root key: it does not speak for the next. */
START_TEST(test_moved_to_another_root_key_while_loading)
{
	struct object *next = with_record(key1, under_another);
	struct get t = {.done = false};

	if (_i == 0) {
		ck_assert_int_eq(get_now(&rig, key1, ERR_OK), ERR_OK);
		cacherig_advance(&rig, BOUND);
	}
	get_start(&t, &rig, key1);
	cacherig_settle(&rig);
	cache_moved(rig.cache, rig.vault.ops, next);
	cacherig_answer(&rig, ERR_OK);
	get_end(&t);
	rig.apart = true;
	ck_assert_int_eq(get_confirmed(rig.custody, next, ERR_NO_ROOT_KEY), ERR_NO_ROOT_KEY);
}
END_TEST

/* What it was proved by last is too old for it to be served again. */
START_TEST(test_moved_out_of_memory)
{
	rig.terms.ride_out_ns = 0;
	ck_assert_int_eq(get_now(&rig, key1, ERR_OK), ERR_OK);
	ck_assert_int_eq(get_confirmed(rig.custody, key1, ERR_INTERNAL), ERR_OK);
	cache_moved(rig.cache, rig.vault.ops, with_record(key1, _i == 0 ? second : under_another));
	cacherig_settle(&rig);
	ck_assert_uint_eq(cacherig_kept(&rig), _i == 0 ? 32 : 0);
}
END_TEST

/* A load that began earlier, for another custody, ends last: there the key is under another root key. */
START_TEST(test_older_load_of_another_custody)
{
	struct custody_params p = {.name = "new", .bound_ns = BOUND};
	struct custody *old = rig.custody, *new = custody_new(&p);
	struct get a = {.done = false}, b = {.done = false};

	rig.custody = new;
	rig.apart = true;
	get_start(&a, &rig, key1);
	cacherig_settle(&rig);
	rig.custody = old;
	rig.apart = false;
	get_start(&b, &rig, key1);
	cacherig_settle(&rig);
	cacherig_finish(&rig, CONTAINER_OF(rig.pending.prev, struct vault_unwrap, wait.link), ERR_OK);
	cacherig_answer(&rig, ERR_OK);
	get_end(&a);
	get_end(&b);
	rig.custody = new;
	rig.apart = true;
	ck_assert_int_eq(get_confirmed(new, key1, ERR_NO_ROOT_KEY), ERR_NO_ROOT_KEY);
	custody_unref(old);
}
END_TEST

/* The record of before was deleted by whoever replaced it: the key of its successor stays warm. */
START_TEST(test_moved_and_gone)
{
	struct object *next = successor_of(key1);
	struct get t = {.done = false};

	ck_assert_int_eq(get_now(&rig, key1, ERR_OK), ERR_OK);
	cacherig_advance(&rig, BOUND);
	get_start(&t, &rig, key1);
	cacherig_settle(&rig);
	if (_i == 0)
		cache_moved(rig.cache, rig.vault.ops, next);
	else
		cache_moved(rig.cache, rig.vault.ops, key1); /* to where it was: it is gone */
	cacherig_answer(&rig, ERR_NO_OBJECT);
	ck_assert_int_eq(t.e, ERR_NO_OBJECT);
	ck_assert_uint_eq(cacherig_kept(&rig), _i == 0 ? 32 : 0);
}
END_TEST

/* The first key, as the rig's vault has it. */
static struct secret *
made_key(void)
{
	struct secret *key = secret_new(32, SECRET_TRANSIENT);

	for (size_t i = 0; i < 32; i++)
		secret_bytes(key)[i] = key1->digest[i] ^ 0x5a;
	return key;
}

START_TEST(test_put)
{
	struct secret *key = made_key();
	struct stamp began = stamp_now();
	struct get t = {.done = false};

	clock_test_advance(10 * NS_PER_S);
	cache_put(rig.cache, rig.custody, rig.vault.ops, key1, key, &rig.terms, &began);
	ck_assert_int_eq(get_warm(&rig, key1), ERR_OK);
	cacherig_advance(&rig, BOUND - 10 * NS_PER_S - 1);
	ck_assert_int_eq(get_warm(&rig, key1), ERR_OK);
	cacherig_advance(&rig, 1);
	ck_assert_int_eq(get_now(&rig, key1, ERR_NO_OBJECT), ERR_NO_OBJECT);
	/* made before the root key was deleted, kept after: no */
	began = stamp_now();
	custody_verdict(rig.custody, &(struct custody_evidence){.e = ERR_NO_ROOT_KEY});
	cache_put(rig.cache, rig.custody, rig.vault.ops, key1, key, &rig.terms, &began);
	ck_assert_uint_eq(cacherig_kept(&rig), 0);
	/* other bytes under the same digest are nobody's */
	began = stamp_now();
	cache_put(rig.cache, rig.custody, rig.vault.ops, key1, key, &rig.terms, &began);
	secret_bytes(key)[0] ^= 1;
	cache_put(rig.cache, rig.custody, rig.vault.ops, key1, key, &rig.terms, &began);
	ck_assert_uint_eq(cacherig_kept(&rig), 0);
	get_start(&t, &rig, key1);
	cacherig_settle(&rig);
	ck_assert(!t.done);
	cacherig_answer(&rig, ERR_OK);
	get_end(&t);
	secret_unref(key);
}
END_TEST

/* Its root key was the custody's own when it was made, and another is when it is kept. */
START_TEST(test_put_after_the_root_key_moved)
{
	struct secret *key = made_key();
	struct stamp began = stamp_now();

	custody_moved(rig.custody);
	if (_i == 1)
		began = stamp_now();
	cache_put(rig.cache, rig.custody, rig.vault.ops, key1, key, &rig.terms, &began);
	secret_unref(key);
	rig.apart = true;
	ck_assert_int_eq(get_confirmed(rig.custody, key1, ERR_NO_ROOT_KEY),
	    _i == 1 ? ERR_OK : ERR_NO_ROOT_KEY);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_add_test(t, test_flush);
	tcase_add_test(t, test_forget);
	tcase_add_test(t, test_outage_is_over);
	tcase_add_test(t, test_forget_record);
	tcase_add_test(t, test_forget_record_while_loading);
	tcase_add_test(t, test_moved);
	tcase_add_loop_test(t, test_moved_while_loading, 0, 2);
	tcase_add_loop_test(t, test_moved_to_another_root_key, 0, 3);
	tcase_add_loop_test(t, test_moved_to_another_root_key_while_loading, 0, 2);
	tcase_add_loop_test(t, test_moved_out_of_memory, 0, 2);
	tcase_add_test(t, test_older_load_of_another_custody);
	tcase_add_loop_test(t, test_moved_and_gone, 0, 2);
	tcase_add_test(t, test_put);
	tcase_add_loop_test(t, test_put_after_the_root_key_moved, 0, 2);
}

int
main(void)
{
	return cachecase_main("cache taken", add_tests);
}
