/* SPDX-License-Identifier: Apache-2.0 */
/* Those that were busy last keep what they have; the others are cooled, who waits longest first. */
#include <stdlib.h>

#include <check.h>

#include "warm.h"

enum { COUNT = 6, MOST = 3 };

static struct warm all[COUNT];
static unsigned cooled[COUNT];

static void
cool(struct warm *w)
{
	ck_assert_ptr_null(w->set);
	cooled[w - all]++;
}

static struct warm_set set = WARM_SET(set, MOST, cool), other = WARM_SET(other, MOST, cool);

START_TEST(cools_who_was_busy_longest_ago)
{
	for (unsigned i = 0; i < MOST; i++)
		warm_keep(&all[i], &set);
	warm_keep(&all[0], &set); /* busy again */
	warm_keep(&all[3], &set);
	ck_assert_uint_eq(cooled[1], 1);
	ck_assert_uint_eq(set.count, MOST);
	warm_keep(&all[1], &set); /* and warm again */
	ck_assert_uint_eq(cooled[2], 1);
	ck_assert_uint_eq(cooled[0] + cooled[1] + cooled[3], 1);
}
END_TEST

/* Who goes over to another set has no place in the first. */
START_TEST(is_in_one_set)
{
	for (unsigned i = 0; i < MOST; i++)
		warm_keep(&all[i], &set);
	warm_keep(&all[0], &other);
	ck_assert_uint_eq(set.count, MOST - 1);
	warm_keep(&all[3], &set);
	for (unsigned i = 0; i < COUNT; i++)
		ck_assert_uint_eq(cooled[i], 0);
	ck_assert(warm_leave(&all[0]));
	ck_assert(!warm_leave(&all[0]));
	ck_assert_uint_eq(other.count, 0);
}
END_TEST

static void
forget(void)
{
	for (unsigned i = 0; i < COUNT; i++) {
		warm_leave(&all[i]);
		cooled[i] = 0;
	}
}

int
main(void)
{
	Suite *suite = suite_create("warm");
	TCase *t = tcase_create("warm");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, forget, forget);
	tcase_add_test(t, cools_who_was_busy_longest_ago);
	tcase_add_test(t, is_in_one_set);
	suite_add_tcase(suite, t);
	r = srunner_create(suite);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
