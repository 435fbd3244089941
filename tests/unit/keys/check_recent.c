/* SPDX-License-Identifier: Apache-2.0 */
/* Rows that are remembered: which, how many, and for how long. */
#include "recent.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "base/fault.h"

static struct recent *recent;
static struct arena *arena; /* of the loads */
static unsigned fails_at;   /* the allocation of the next recent_keep() that fails, from 1 on */

static void
setup(void)
{
	recent = recent_new();
	arena = arena_new(16 << 20);
	ck_assert_ptr_nonnull(recent);
}

static void
teardown(void)
{
	arena_free(arena);
	recent_free(recent);
}

/* What the storage child said of an object: that its vault's record is `row'. */
static void
answer(uint64_t mark, const char *tenant, const char *uid, const char *row)
{
	struct arena *a = arena_new(1 << 20);
	struct object o = {.record = (const uint8_t *)row, .record_len = strlen(row)};

	strcpy(o.tenant, tenant);
	strcpy(o.uid, uid);
	ck_assert_int_eq(
	    object_attr_set(&o, a, "x-a", 3, 0, (const uint8_t *)row, strlen(row)), ERR_OK);
	o.revocation_text = arena_text(a, row, strlen(row));
	if (fails_at > 0)
		fault_test_arm(FAULT_ALLOC, fails_at - 1, 1);
	recent_keep(recent, &(struct ledger_load){.arena = a, .tenant = tenant, .uid = uid,
	    .mark = mark, .object = &o, .known_since = 5, .used = 7});
	fault_test_clear();
	arena_free(a);
}

static void
keep(const char *tenant, const char *uid, const char *row)
{
	answer(recent_mark(recent), tenant, uid, row);
}

static struct object *
find(struct arena *a, const char *tenant, const char *uid)
{
	struct ledger_load l = {.arena = a, .tenant = tenant, .uid = uid};

	if (!recent_find(recent, &l))
		return NULL;
	ck_assert_int_eq(l.known_since, 5);
	ck_assert_int_eq(l.used, 7);
	ck_assert_str_eq(l.object->tenant, tenant);
	ck_assert_str_eq(l.object->uid, uid);
	return l.object;
}

static void
expect(const char *tenant, const char *uid, const char *row)
{
	const struct object *o = find(arena, tenant, uid);

	if (row == NULL) {
		ck_assert_ptr_null(o);
		return;
	}
	ck_assert_ptr_nonnull(o);
	ck_assert_uint_eq(o->record_len, strlen(row));
	ck_assert_mem_eq(o->record, row, o->record_len);
	ck_assert_mem_eq(object_attr_get(o, "x-a", 0)->value, row, o->record_len);
	ck_assert_str_eq(o->revocation_text, row);
}

START_TEST(finds_a_tenants_own)
{
	keep("a", "1", "one");
	keep("b", "1", "two");
	expect("a", "1", "one");
	expect("b", "1", "two");
	expect("a", "2", NULL);
	keep("a", "1", "three");
	expect("a", "1", "three");
}
END_TEST

/* Whatever order reading and changing come in, what is kept is not older than the change. */
START_TEST(keeps_nothing_that_a_change_may_have_overtaken)
{
	uint64_t before = recent_mark(recent), during;

	keep("a", "other", "row");
	recent_change_begin(recent);
	recent_forget(recent, "a", "1");
	answer(before, "a", "1", "old");
	expect("a", "1", NULL);
	during = recent_mark(recent);
	answer(during, "a", "1", "old");
	expect("a", "1", NULL);
	recent_change_end(recent);
	answer(during, "a", "1", "old");
	answer(before, "a", "1", "old");
	expect("a", "1", NULL);
	expect("a", "other", "row");
	keep("a", "1", "new");
	expect("a", "1", "new");
}
END_TEST

START_TEST(waits_for_the_last_change)
{
	recent_change_begin(recent);
	recent_change_begin(recent);
	recent_change_end(recent);
	keep("a", "1", "row");
	expect("a", "1", NULL);
	recent_change_end(recent);
	keep("a", "1", "row");
	expect("a", "1", "row");
}
END_TEST

START_TEST(holds_its_ceiling)
{
	static char row[1001], large[RECENT_BYTES_MAX];
	char uid[16];

	memset(row, 'x', 1000);
	for (int i = 0; i < 1000; i++) {
		snprintf(uid, sizeof(uid), "%d", i);
		keep("a", uid, row);
		ck_assert_uint_le(recent_bytes(recent), RECENT_BYTES_MAX);
		arena_free(arena);
		arena = arena_new(16 << 20);
		expect("a", "0", row); /* was asked for last, before each */
	}
	expect("a", "1", NULL);
	expect("a", "999", row);
	ck_assert_uint_gt(recent_bytes(recent), RECENT_BYTES_MAX / 2);
	memset(large, 'x', sizeof(large) - 1);
	keep("a", "large", large);
	expect("a", "large", NULL);
	expect("a", "999", row);
}
END_TEST

/* More than a page, in pieces that do not fit into pages. */
START_TEST(keeps_larger_rows)
{
	static char row[3001];

	memset(row, 'x', 3000);
	keep("a", "1", row);
	expect("a", "1", row);
}
END_TEST

/* Who was told of an object may use it to its own end, and change what is its own. */
START_TEST(outlives_what_becomes_of_it_here)
{
	struct object *one, *other;

	keep("a", "1", "row");
	one = find(arena, "a", "1");
	other = find(arena, "a", "1");
	ck_assert_ptr_nonnull(one->proof);
	ck_assert_ptr_eq(one->proof, other->proof);
	one->state = OBJECT_DEACTIVATED;
	ck_assert_int_ne(other->state, OBJECT_DEACTIVATED);
	recent_forget(recent, "a", "1");
	keep("a", "1", "newer");
	expect("a", "1", "newer");
	recent_free(recent);
	recent = recent_new();
	ck_assert_mem_eq(one->record, "row", 3);
	ck_assert_mem_eq(object_attr_get(other, "x-a", 0)->value, "row", 3);
}
END_TEST

/* Without memory an object is not kept or not found; nothing else. */
START_TEST(needs_no_memory)
{
	bool kept = false, found = false;

	for (fails_at = 1; fails_at < 20 && !kept; fails_at++) {
		keep("a", "1", "row");
		kept = find(arena, "a", "1") != NULL;
		ck_assert(kept == (recent_bytes(recent) > 0));
	}
	ck_assert(kept && fails_at > 2);
	fails_at = 0;
	for (unsigned n = 0; n < 20 && !found; n++) {
		struct arena *a = arena_new(n * 64);

		found = find(a, "a", "1") != NULL;
		arena_free(a);
		ck_assert(found || n < 19);
	}
	expect("a", "1", "row");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("recent");
	TCase *t = tcase_create("recent");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, finds_a_tenants_own);
	tcase_add_test(t, keeps_nothing_that_a_change_may_have_overtaken);
	tcase_add_test(t, waits_for_the_last_change);
	tcase_add_test(t, holds_its_ceiling);
	tcase_add_test(t, keeps_larger_rows);
	tcase_add_test(t, outlives_what_becomes_of_it_here);
	tcase_add_test(t, needs_no_memory);
	suite_add_tcase(suite, t);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
