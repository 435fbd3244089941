/* SPDX-License-Identifier: Apache-2.0 */
/* Whose handshake is next. */
#include <check.h>
#include <string.h>

#include "base/metric.h"

#include "admit.h"

static struct place a, b, c;

static void
wait_in_order(void)
{
	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	memset(&c, 0, sizeof(c));
	clock_test_freeze(1000);
	admit_wait(&a, false);
	clock_test_advance(NS_PER_MS);
	admit_wait(&b, false);
	admit_wait(&c, false);
}

static int64_t
overtaken(void)
{
	return metric_get(METRIC_HANDSHAKES_LATEST_FIRST_TOTAL);
}

START_TEST(those_who_came_first_come_first)
{
	int64_t before = overtaken();

	clock_test_advance(ADMIT_WAIT_MAX - NS_PER_MS); /* not longer than that */
	ck_assert_ptr_eq(admit_next(), &a);
	ck_assert_ptr_eq(admit_next(), &b);
	ck_assert(admit_anybody());
	ck_assert_ptr_eq(admit_next(), &c);
	ck_assert(!admit_anybody());
	ck_assert_ptr_null(admit_next());
	ck_assert_int_eq(overtaken(), before);
}
END_TEST

START_TEST(begun_ones_come_before_all)
{
	struct place begun = {0};

	admit_wait(&begun, true);
	ck_assert_ptr_eq(admit_next(), &begun);
	ck_assert_ptr_eq(admit_next(), &a);
	clock_test_advance(ADMIT_WAIT_MAX + 1);
	admit_wait(&begun, true);
	ck_assert_ptr_eq(admit_next(), &begun);
	ck_assert_ptr_eq(admit_next(), &c);
	ck_assert_ptr_eq(admit_next(), &b);
}
END_TEST

START_TEST(the_latest_first_while_the_oldest_waits_too_long)
{
	int64_t before = overtaken();

	clock_test_advance(ADMIT_WAIT_MAX);
	ck_assert_ptr_eq(admit_next(), &c);
	ck_assert_int_eq(overtaken(), before + 1);
	admit_leave(&a); /* its client left; b has waited for just as long as is well */
	ck_assert_ptr_eq(admit_next(), &b);
	ck_assert_int_eq(overtaken(), before + 1); /* alone, it overtook nobody */
}
END_TEST

START_TEST(a_place_is_kept)
{
	admit_wait(&a, false); /* it has one, and does not go to the end */
	ck_assert_ptr_eq(admit_next(), &a);
	admit_leave(&a);
	admit_leave(&b);
	ck_assert_ptr_eq(admit_next(), &c);
	ck_assert_ptr_null(admit_next());
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("admit");
	TCase *t = tcase_create("admit");
	SRunner *r = srunner_create(s);
	int failed;

	suite_add_tcase(s, t);
	tcase_add_checked_fixture(t, wait_in_order, NULL);
	tcase_add_test(t, those_who_came_first_come_first);
	tcase_add_test(t, begun_ones_come_before_all);
	tcase_add_test(t, the_latest_first_while_the_oldest_waits_too_long);
	tcase_add_test(t, a_place_is_kept);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
