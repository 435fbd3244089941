/* SPDX-License-Identifier: Apache-2.0 */
/* Rows that are remembered: which, how many, and for how long. */
#include "recent.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

static struct recent *recent;

static void
setup(void)
{
	recent = recent_new();
	ck_assert_ptr_nonnull(recent);
}

static void
teardown(void)
{
	recent_free(recent);
}

static void
keep(const char *tenant, const char *uid, const char *row)
{
	recent_keep(recent, recent_mark(recent), tenant, uid, row, strlen(row));
}

static void
expect(const char *tenant, const char *uid, const char *row)
{
	size_t len = 0;
	const uint8_t *got = recent_find(recent, tenant, uid, &len);

	if (row == NULL) {
		ck_assert_ptr_null(got);
		return;
	}
	ck_assert_ptr_nonnull(got);
	ck_assert_uint_eq(len, strlen(row));
	ck_assert_mem_eq(got, row, len);
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
	recent_keep(recent, before, "a", "1", "old", 3);
	expect("a", "1", NULL);
	during = recent_mark(recent);
	recent_keep(recent, during, "a", "1", "old", 3);
	expect("a", "1", NULL);
	recent_change_end(recent);
	recent_keep(recent, during, "a", "1", "old", 3);
	recent_keep(recent, before, "a", "1", "old", 3);
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
	suite_add_tcase(suite, t);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
