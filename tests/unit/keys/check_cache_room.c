/* SPDX-License-Identifier: Apache-2.0 */
/* How much memory keys may take, which go when there is no more, and what is left in the end. */
#include <malloc.h>
#include <string.h>

#include "base/fault.h"
#include "base/metric.h"
#include "base/secret.h"
#include "cachecase.h"
#include "keys/uses.h"

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

static void
add_tests(TCase *t)
{
	tcase_add_loop_test(t, test_memory, 0, 2);
	tcase_add_test(t, test_least_recently_used);
	tcase_add_test(t, test_no_room);
	tcase_add_test(t, test_heap_full);
	tcase_add_test(t, test_key_in_use);
	tcase_add_test(t, test_no_memory);
}

int
main(void)
{
	return cachecase_main("cache room", add_tests);
}
