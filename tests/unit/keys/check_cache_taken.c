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

static bool
forget_record(const struct object *o, const char *id)
{
	return cache_forget_record(rig.cache, o->tenant, o->uid, id);
}

/* The same object with another record. */
static struct object *
successor_of(const struct object *o)
{
	struct object *copy = object_copy(rig.arena, o);

	copy->record = (const uint8_t *)second;
	return copy;
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

START_TEST(test_put)
{
	struct secret *key = secret_new(32, SECRET_TRANSIENT);
	struct stamp began = stamp_now();
	struct get t = {.done = false};

	for (size_t i = 0; i < 32; i++)
		secret_bytes(key)[i] = key1->digest[i] ^ 0x5a;
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
	tcase_add_loop_test(t, test_moved_and_gone, 0, 2);
	tcase_add_test(t, test_put);
}

int
main(void)
{
	return cachecase_main("cache taken", add_tests);
}
