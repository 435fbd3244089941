/* SPDX-License-Identifier: Apache-2.0 */
/* The key cache: who is served what, from where, and what is left in memory. */
#include <stdlib.h>
#include <string.h>

#include "base/metric.h"
#include "base/secret.h"
#include "cachecase.h"

/* --- loads that are shared --- */

START_TEST(test_thousand)
{
	static struct get t[1000];
	int64_t shared = metric_get(METRIC_CACHE_LOADS_SHARED_TOTAL);
	int64_t misses = metric_get(METRIC_CACHE_MISSES_TOTAL);
	const struct histogram *ages = metric_histogram(METRIC_CACHE_AGE_SECONDS, 0, 0);
	struct histogram was = *ages;

	memset(t, 0, sizeof(t));
	for (size_t i = 0; i < 1000; i++)
		get_start(&t[i], &rig, key1);
	cacherig_settle(&rig);
	ck_assert_uint_eq(rig.loads, 1);
	ck_assert_int_eq(metric_get(METRIC_CACHE_LOADS_SHARED_TOTAL) - shared, 999);
	cacherig_answer(&rig, ERR_OK);
	for (size_t i = 0; i < 1000; i++) {
		ck_assert(t[i].done && t[i].e == ERR_OK && !t[i].g.from_memory);
		ck_assert_uint_eq(t[i].nth, i + 1); /* as they came */
		ck_assert_ptr_eq(t[i].g.key, t[0].g.key);
	}
	for (size_t i = 0; i < 1000; i++)
		get_end(&t[i]);
	ck_assert_uint_eq(cacherig_kept(&rig), 32);
	ck_assert_int_eq(metric_get(METRIC_CACHE_BYTES), 32);
	cacherig_advance(&rig, 4 * NS_PER_S);
	ck_assert_int_eq(get_warm(&rig, key1), ERR_OK);
	ck_assert_int_eq(metric_get(METRIC_CACHE_MISSES_TOTAL) - misses, 1000);
	ck_assert_int_eq(ages->buckets[2], was.buckets[2] + 1); /* 2 s < 4 s <= 5 s */
	ck_assert_int_eq(ages->sum_ns, was.sum_ns + 4 * NS_PER_S);
}
END_TEST

START_TEST(test_failure_is_shared)
{
	struct get t[3] = {{.done = false}};

	for (size_t i = 0; i < 3; i++)
		get_start(&t[i], &rig, key1);
	cacherig_settle(&rig);
	cacherig_answer(&rig, ERR_CRYPTO);
	for (size_t i = 0; i < 3; i++)
		ck_assert_int_eq(t[i].e, ERR_CRYPTO);
	ck_assert_int_eq(custody_state(rig.custody), CUSTODY_UNTRIED);
	ck_assert_int_eq(get_now(&rig, key1, ERR_OK), ERR_OK);
	ck_assert_uint_eq(rig.loads, 2);
}
END_TEST

START_TEST(test_deadlines)
{
	struct get t[4] = {{.done = false}};

	for (size_t i = 0; i < 3; i++)
		t[i].g.vault_terms.deadline = clock_now() + (int64_t)(3 - i) * NS_PER_S;
	for (size_t i = 0; i < 4; i++)
		get_start(&t[i], &rig, key1);
	cacherig_settle(&rig);
	cacherig_advance(&rig, NS_PER_S - 1);
	ck_assert(!t[2].done);
	cacherig_advance(&rig, 1);
	ck_assert(t[2].done && t[2].e == ERR_DEADLINE && !t[1].done);
	cacherig_advance(&rig, NS_PER_S);
	ck_assert(t[1].done && t[1].e == ERR_DEADLINE && !t[0].done);
	cacherig_answer(&rig, ERR_OK);
	ck_assert(t[0].e == ERR_OK && t[3].e == ERR_OK);
	get_end(&t[0]);
	get_end(&t[3]);
	ck_assert_uint_eq(rig.loads, 1);
	/* the load goes on when all of them have gone */
	t[0] = (struct get){.g.vault_terms.deadline = clock_now()};
	get_start(&t[0], &rig, key2);
	cacherig_settle(&rig);
	ck_assert_int_eq(t[0].e, ERR_DEADLINE);
	cacherig_answer(&rig, ERR_OK);
	ck_assert_int_eq(get_warm(&rig, key2), ERR_OK);
}
END_TEST

/* Each set of those who leave, before the load was started and during it. */
START_TEST(test_cancel)
{
	unsigned leaves = (unsigned)_i & 15;
	struct get t[4] = {{.done = false}};

	for (size_t i = 0; i < 4; i++)
		get_start(&t[i], &rig, key1);
	if (_i > 15)
		cacherig_settle(&rig);
	for (size_t i = 0; i < 4; i++)
		if (leaves >> i & 1)
			wait_cancel(&t[i].g.wait);
	cacherig_settle(&rig);
	if (cacherig_pending(&rig) > 0)
		cacherig_answer(&rig, ERR_OK);
	cacherig_settle(&rig);
	for (size_t i = 0; i < 4; i++) {
		ck_assert_int_eq(t[i].done, !(leaves >> i & 1));
		if (t[i].done)
			get_end(&t[i]);
	}
	ck_assert_uint_eq(cacherig_kept(&rig), _i == 15 ? 0 : 32);
}
END_TEST

/* A load in the background may be held back: who cannot wait does not join it. */
START_TEST(test_background)
{
	struct get warm[2] = {{.g.vault_terms.background = true}}, t = {.done = false};
	struct vault_unwrap *u;

	warm[1] = warm[0];
	get_start(&warm[0], &rig, key1);
	get_start(&warm[1], &rig, key1);
	cacherig_settle(&rig);
	ck_assert_uint_eq(rig.loads, 1);
	get_start(&t, &rig, key1);
	cacherig_settle(&rig);
	ck_assert_uint_eq(rig.loads, 2);
	u = CONTAINER_OF(rig.pending.prev, struct vault_unwrap, wait.link);
	cacherig_finish(&rig, u, ERR_OK);
	ck_assert(t.done && !warm[0].done);
	cacherig_answer(&rig, ERR_OK);
	ck_assert(warm[0].done && warm[1].done);
	get_end(&warm[0]);
	get_end(&warm[1]);
	get_end(&t);
	ck_assert_uint_eq(cacherig_kept(&rig), 32);
}
END_TEST

/* The custody stays when a reload changes a timeout; the vault of before goes with its last user. */
START_TEST(test_vault_goes)
{
	struct get before = {.done = false}, after = {.done = false};

	rig.asked = &rig.other;
	get_start(&before, &rig, key1);
	cacherig_settle(&rig);
	rig.asked = &rig.vault;
	get_start(&after, &rig, key1);
	cacherig_settle(&rig);
	wait_cancel(&before.g.wait);
	cacherig_answer(&rig, ERR_CANCELLED); /* as it frees itself */
	ck_assert(!after.done);
	cacherig_answer(&rig, ERR_OK);
	ck_assert(after.done && after.e == ERR_OK && get_key_is(&after, key1));
	get_end(&after);
	ck_assert_uint_eq(rig.loads, 2);
	ck_assert_uint_eq(cacherig_kept(&rig), 32);
}
END_TEST

START_TEST(test_busy)
{
	enum { MANY = 4096 };
	struct get *t = calloc(MANY + 1, sizeof(*t));

	for (unsigned i = 0; i <= MANY; i++)
		get_start(&t[i], &rig, cacherig_object(&rig, "east", i));
	cacherig_settle(&rig);
	ck_assert(t[MANY].done && t[MANY].e == ERR_BUSY);
	cacherig_answer(&rig, ERR_VAULT_DOWN);
	ck_assert_int_eq(t[0].e, ERR_VAULT_DOWN);
	get_start(&t[0], &rig, cacherig_object(&rig, "east", MANY));
	cacherig_settle(&rig);
	ck_assert(!t[0].done);
	cache_free(rig.cache);
	rig.cache = NULL;
	cacherig_settle(&rig);
	for (unsigned i = 0; i < MANY; i++)
		ck_assert_int_eq(t[i].e, ERR_CANCELLED);
	free(t);
}
END_TEST

START_TEST(test_free_with_waiters)
{
	struct get t[3] = {{.done = false}};
	size_t used = secret_heap_used();
	struct vault_unwrap *u;

	ck_assert_int_eq(get_now(&rig, key1, ERR_OK), ERR_OK);
	get_start(&t[0], &rig, key2);
	cacherig_settle(&rig);
	get_start(&t[1], &rig, key2); /* nobody looked at it yet */
	get_start(&t[2], &rig, key1);
	u = CONTAINER_OF(rig.pending.next, struct vault_unwrap, wait.link);
	u->key = secret_new(32, SECRET_TRANSIENT); /* there, but not yet told */
	cache_free(rig.cache);
	rig.cache = NULL;
	wait_cancel(&t[2].g.wait);
	cacherig_settle(&rig);
	ck_assert(t[0].done && t[0].e == ERR_CANCELLED && t[1].done && t[1].e == ERR_CANCELLED);
	ck_assert(!t[2].done);
	ck_assert_uint_eq(secret_heap_used(), used);
}
END_TEST

/* --- whose key it is --- */

START_TEST(test_tenants)
{
	struct object *west = cacherig_object(&rig, "west", 1), *longer;

	ck_assert_int_eq(get_now(&rig, key1, ERR_OK), ERR_OK);
	ck_assert_int_eq(get_now(&rig, west, ERR_NO_OBJECT), ERR_NO_OBJECT);
	ck_assert_int_eq(get_now(&rig, west, ERR_OK), ERR_OK); /* get_now() compares the bytes */
	ck_assert_int_eq(get_warm(&rig, key1), ERR_OK);
	ck_assert_int_eq(get_warm(&rig, west), ERR_OK);
	/* not even with the same digest */
	longer = cacherig_object(&rig, "south", 1);
	memcpy(longer->digest, key1->digest, sizeof(longer->digest));
	ck_assert_int_eq(get_now(&rig, longer, ERR_NO_OBJECT), ERR_NO_OBJECT);
	ck_assert_uint_eq(rig.loads, 4);
	ck_assert_uint_eq(cache_flush(rig.cache, "west"), 1);
	ck_assert_int_eq(get_warm(&rig, key1), ERR_OK);
	ck_assert_int_eq(get_now(&rig, west, ERR_NO_OBJECT), ERR_NO_OBJECT);
}
END_TEST

START_TEST(test_digest)
{
	struct object other = *key1, none = *key1;
	struct get a = {.done = false}, b = {.done = false};

	ck_assert_int_eq(get_now(&rig, key1, ERR_OK), ERR_OK);
	other.digest[31] ^= 1;
	memset(none.digest, 0, sizeof(none.digest));
	ck_assert_int_eq(get_now(&rig, &other, ERR_OK), ERR_OK);
	ck_assert_uint_eq(rig.loads, 2);
	ck_assert_int_eq(get_warm(&rig, &other), ERR_OK);
	ck_assert_int_eq(get_now(&rig, key1, ERR_OK), ERR_OK); /* one digest at a time */
	ck_assert_uint_eq(rig.loads, 3);
	ck_assert_int_eq(get_now(&rig, &none, ERR_OK), ERR_OK);
	ck_assert_int_eq(get_now(&rig, &none, ERR_OK), ERR_OK);
	ck_assert_uint_eq(rig.loads, 5);
	ck_assert_uint_eq(cacherig_kept(&rig), 0);
	/* nor do they share a load */
	get_start(&a, &rig, key1);
	get_start(&b, &rig, &other);
	cacherig_settle(&rig);
	ck_assert_uint_eq(rig.loads, 7);
	cacherig_answer(&rig, ERR_OK);
	ck_assert(a.done && !b.done && get_key_is(&a, key1));
	cacherig_answer(&rig, ERR_OK);
	ck_assert(b.done && get_key_is(&b, &other));
	get_end(&a);
	get_end(&b);
	ck_assert_uint_eq(cacherig_kept(&rig), 32);
}
END_TEST

/* A tenant that moved to another vault connection: what the old one granted is void. */
START_TEST(test_custody_is_part_of_it)
{
	struct custody_params p = {.name = "new", .bound_ns = BOUND};
	struct get a = {.done = false}, b = {.done = false};
	struct custody *old = rig.custody;

	ck_assert_int_eq(get_now(&rig, key1, ERR_OK), ERR_OK);
	rig.custody = custody_new(&p);
	ck_assert_int_eq(get_now(&rig, key1, ERR_NO_OBJECT), ERR_NO_OBJECT);
	rig.loads = 0;
	ck_assert_int_eq(get_now(&rig, key1, ERR_OK), ERR_OK);
	ck_assert_int_eq(get_warm(&rig, key1), ERR_OK);
	ck_assert_uint_eq(rig.loads, 1);
	ck_assert_int_eq(get_now(&rig, key2, ERR_OK), ERR_OK);
	cache_flush(rig.cache, NULL);
	get_start(&a, &rig, key1);
	rig.custody = old;
	get_start(&b, &rig, key1);
	rig.custody = a.g.custody;
	cacherig_settle(&rig);
	ck_assert_uint_eq(cacherig_pending(&rig), 2); /* nor do they share a load */
	cacherig_answer(&rig, ERR_OK);
	ck_assert(a.done && !b.done);
	cacherig_answer(&rig, ERR_NO_ROOT_KEY);
	cacherig_settle(&rig);
	ck_assert_int_eq(b.e, ERR_NO_ROOT_KEY);
	get_end(&a);
	ck_assert_int_eq(get_now(&rig, key2, ERR_OK), ERR_OK);
	custody_unref(old); /* its keys went to the new one */
	ck_assert_uint_eq(cacherig_kept(&rig), 64);
	ck_assert_int_eq(get_warm(&rig, key1), ERR_OK);
}
END_TEST

START_TEST(test_custody_goes)
{
	struct get t = {.done = false};

	ck_assert_int_eq(get_now(&rig, key1, ERR_OK), ERR_OK);
	get_start(&t, &rig, key2);
	cacherig_settle(&rig);
	wait_cancel(&t.g.wait);
	custody_unref(rig.custody);
	rig.custody = NULL;
	ck_assert_uint_eq(cacherig_kept(&rig), 0);
	cacherig_answer(&rig, ERR_OK); /* the load has a custody as long as it runs */
	ck_assert_uint_eq(cacherig_kept(&rig), 0);
}
END_TEST

/* --- what is taken away --- */

static void
add_tests(TCase *t)
{
	tcase_add_test(t, test_thousand);
	tcase_add_test(t, test_failure_is_shared);
	tcase_add_test(t, test_deadlines);
	tcase_add_loop_test(t, test_cancel, 0, 32);
	tcase_add_test(t, test_background);
	tcase_add_test(t, test_vault_goes);
	tcase_add_test(t, test_busy);
	tcase_add_test(t, test_free_with_waiters);
	tcase_add_test(t, test_tenants);
	tcase_add_test(t, test_digest);
	tcase_add_test(t, test_custody_is_part_of_it);
	tcase_add_test(t, test_custody_goes);
}

int
main(void)
{
	return cachecase_main("cache", add_tests);
}
