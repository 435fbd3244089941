/* SPDX-License-Identifier: Apache-2.0 */
/* The key cache: who is served what, from where, and what is left in memory. */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/metric.h"
#include "base/secret.h"
#include "cacherig.h"
#include "keys/uses.h"

static struct cacherig rig;
static struct object *key1, *key2;

static void
setup(void)
{
	cacherig_init(&rig, 4096);
	key1 = cacherig_object(&rig, "east", 1);
	key2 = cacherig_object(&rig, "east", 2);
}

static void
teardown(void)
{
	fault_test_clear();
	cacherig_fini(&rig);
}

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

/* --- room --- */

static void
note_uid(const struct cache_info *info, void *arg)
{
	char *order = arg;
	size_t n = strlen(order);

	order[n] = info->uid[UID_TEXT_LEN - 1];
	order[n + 1] = '\0';
}

static const char *
order(const char *tenant)
{
	static char text[100];

	text[0] = '\0';
	cache_each(rig.cache, tenant, note_uid, text);
	return text;
}

START_TEST(test_least_recently_used)
{
	int64_t evictions = metric_get(METRIC_CACHE_EVICTIONS_TOTAL);

	cache_free(rig.cache);
	rig.cache = cache_new(rig.loop, 3 * 32 + 31);
	for (unsigned i = 1; i <= 3; i++)
		ck_assert_int_eq(get_now(&rig, cacherig_object(&rig, "east", i), ERR_OK), ERR_OK);
	ck_assert_str_eq(order(NULL), "321");
	ck_assert_int_eq(get_warm(&rig, key1), ERR_OK);
	ck_assert_str_eq(order("east"), "132");
	ck_assert_int_eq(get_now(&rig, cacherig_object(&rig, "west", 4), ERR_OK), ERR_OK);
	ck_assert_str_eq(order(NULL), "413");
	ck_assert_str_eq(order("east"), "13");
	ck_assert_int_eq(metric_get(METRIC_CACHE_EVICTIONS_TOTAL) - evictions, 1);
	ck_assert_uint_eq(cacherig_kept(&rig), 96);
	ck_assert_int_eq(get_now(&rig, key2, ERR_OK), ERR_OK);
	ck_assert_str_eq(order(NULL), "241");
}
END_TEST

/* Smaller than one key: everybody is served, nothing is kept. */
START_TEST(test_no_room)
{
	cache_free(rig.cache);
	rig.cache = cache_new(rig.loop, 31);
	ck_assert_int_eq(get_now(&rig, key1, ERR_OK), ERR_OK);
	ck_assert_int_eq(get_now(&rig, key1, ERR_OK), ERR_OK);
	ck_assert_uint_eq(rig.loads, 2);
	ck_assert_uint_eq(cacherig_kept(&rig), 0);
}
END_TEST

/* Others fill the heap: room is made once, and what cannot be kept is served all the same. */
START_TEST(test_heap_full)
{
	static struct secret *full[4096];
	struct get t = {.done = false};
	size_t n = 0;

	for (unsigned i = 10; i < 20; i++)
		ck_assert_int_eq(get_now(&rig, cacherig_object(&rig, "east", i), ERR_OK), ERR_OK);
	while ((full[n] = secret_new(32, SECRET_KEPT)) != NULL)
		n++;
	ck_assert_int_eq(get_now(&rig, key1, ERR_OK), ERR_OK);
	ck_assert_int_eq(get_warm(&rig, key1), ERR_OK);
	ck_assert_int_eq(metric_get(METRIC_CACHE_KEYS), 10);
	get_start(&t, &rig, key2);
	cacherig_settle(&rig);
	fault_test_arm(FAULT_SECRET_ALLOC, 1, 1000); /* the vault's own key comes first */
	cacherig_answer(&rig, ERR_OK);
	fault_test_clear();
	ck_assert(t.done && t.e == ERR_OK && get_key_is(&t, key2));
	get_end(&t);
	ck_assert_int_eq(metric_get(METRIC_CACHE_KEYS), 2); /* not all for one */
	while (n > 0)
		secret_unref(full[--n]);
}
END_TEST

/* A key in use stays until its last user is done. */
START_TEST(test_key_in_use)
{
	struct get t = {.done = false};

	ck_assert_int_eq(get_now(&rig, key1, ERR_OK), ERR_OK);
	get_start(&t, &rig, key1);
	cacherig_settle(&rig);
	ck_assert(t.g.from_memory && !t.g.ridden_out);
	ck_assert_uint_eq(cache_flush(rig.cache, NULL), 1);
	ck_assert(get_key_is(&t, key1));
	ck_assert_uint_eq(cacherig_kept(&rig), 32);
	get_end(&t);
	ck_assert_uint_eq(cacherig_kept(&rig), 0);
}
END_TEST

static enum err
get_or_fail(const struct object *o)
{
	struct get t = {.done = false};

	get_start(&t, &rig, o);
	cacherig_settle(&rig);
	while (!t.done) {
		struct vault_unwrap *u;

		u = CONTAINER_OF(rig.pending.next, struct vault_unwrap, wait.link);
		u->key = secret_new(32, SECRET_TRANSIENT);
		wait_finish(&u->wait, u->key != NULL ? ERR_OK : ERR_NO_SECURE_MEMORY);
	}
	get_end(&t);
	return t.e;
}

START_TEST(test_no_memory)
{
	unsigned failed = 0;
	enum err e;

	for (unsigned skip = 0;; skip++) {
		fault_test_arm(FAULT_ALLOC, skip, 1);
		e = get_or_fail(key1);
		fault_test_clear();
		if (e == ERR_OK && metric_get(METRIC_CACHE_KEYS) == 1)
			break;
		failed++;
		ck_assert(e == ERR_OK || e == ERR_NO_MEMORY || e == ERR_NO_SECURE_MEMORY);
		ck_assert_uint_lt(skip, 50);
	}
	ck_assert_uint_ge(failed, 4);
}
END_TEST

/* --- what is taken away --- */

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

/* AddressSanitizer's, where it is there: with it malloc's own count says nothing. */
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static size_t
memory_used(void)
{
	size_t heap = __sanitizer_get_current_allocated_bytes != NULL
	    ? __sanitizer_get_current_allocated_bytes() : mallinfo2().uordblks;

	return heap + secret_heap_used();
}

/* All that grows with the number of cached keys: the entry, its secret, its last use. */
START_TEST(test_memory)
{
	static const struct {
		const char *tenant;
		size_t bytes_max; /* of one key */
	} cases[] = {{"t", 450},
	    {"a-tenant-whose-identifier-is-as-long-as-any-may-be-0123456789ab-", 600}};
	enum { FIRST = 20, KEYS = 120 };
	struct uses *uses = uses_new(rig.loop, NULL);
	struct object *all[KEYS];
	size_t used = 0;

	ck_assert_uint_eq(strlen(cases[1].tenant), TENANT_ID_MAX);
	for (unsigned i = 0; i < KEYS; i++)
		all[i] = cacherig_object(&rig, cases[_i].tenant, i);
	for (size_t i = 0; i < KEYS; i++) {
		if (i == FIRST)
			used = memory_used();
		ck_assert_int_eq(get_now(&rig, all[i], ERR_OK), ERR_OK);
		uses_note(uses, all[i]->tenant, all[i]->uid);
	}
	used = memory_used() - used;
	ck_assert_uint_ge(used, (KEYS - FIRST) * 32);
	ck_assert_uint_le(used, (KEYS - FIRST) * cases[_i].bytes_max);
	for (size_t i = 0; i < KEYS; i++) /* it is as many keys as were meant */
		ck_assert_int_eq(get_warm(&rig, all[i]), ERR_OK);
	uses_free(uses);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("cache");
	TCase *t = tcase_create("cache");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_thousand);
	tcase_add_loop_test(t, test_memory, 0, 2);
	tcase_add_test(t, test_failure_is_shared);
	tcase_add_test(t, test_deadlines);
	tcase_add_loop_test(t, test_cancel, 0, 32);
	tcase_add_test(t, test_background);
	tcase_add_test(t, test_busy);
	tcase_add_test(t, test_free_with_waiters);
	tcase_add_test(t, test_tenants);
	tcase_add_test(t, test_digest);
	tcase_add_test(t, test_custody_is_part_of_it);
	tcase_add_test(t, test_custody_goes);
	tcase_add_test(t, test_least_recently_used);
	tcase_add_test(t, test_no_room);
	tcase_add_test(t, test_heap_full);
	tcase_add_test(t, test_key_in_use);
	tcase_add_test(t, test_no_memory);
	tcase_add_test(t, test_flush);
	tcase_add_test(t, test_forget);
	tcase_add_test(t, test_outage_is_over);
	tcase_add_test(t, test_forget_record);
	tcase_add_test(t, test_forget_record_while_loading);
	tcase_add_test(t, test_moved);
	tcase_add_loop_test(t, test_moved_while_loading, 0, 2);
	tcase_add_loop_test(t, test_moved_and_gone, 0, 2);
	tcase_add_test(t, test_put);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
