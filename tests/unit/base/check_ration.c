/* SPDX-License-Identifier: Apache-2.0 */
/* So many in a period. */
#include "base/ration.h"

#include <check.h>

#include "base/clock.h"

START_TEST(so_many_a_second)
{
	struct ration r = {0};
	uint64_t left_out = 99;

	clock_test_freeze(1760000000);
	for (int i = 0; i < 3; i++) {
		ck_assert(ration_take(&r, 3, &left_out));
		ck_assert_uint_eq(left_out, 0);
	}
	for (int i = 0; i < 5; i++)
		ck_assert(!ration_take(&r, 3, &left_out));
	clock_test_advance(NS_PER_S);
	ck_assert(ration_take(&r, 3, &left_out));
	ck_assert_uint_eq(left_out, 5);
	ck_assert(ration_take(&r, 3, &left_out));
	ck_assert_uint_eq(left_out, 0);
}
END_TEST

START_TEST(so_many_a_minute)
{
	struct ration r = {0};
	uint64_t left_out = 99;

	clock_test_freeze(1760000000);
	clock_test_advance(60 * NS_PER_S - clock_now() % (60 * NS_PER_S)); /* to its beginning */
	ck_assert(ration_take_in(&r, 60 * NS_PER_S, 1, &left_out));
	ck_assert_uint_eq(left_out, 0);
	clock_test_advance(60 * NS_PER_S - 1);
	ck_assert(!ration_take_in(&r, 60 * NS_PER_S, 1, &left_out));
	clock_test_advance(1);
	ck_assert(ration_take_in(&r, 60 * NS_PER_S, 1, &left_out));
	ck_assert_uint_eq(left_out, 1);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("ration");
	TCase *t = tcase_create("ration");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(t, so_many_a_second);
	tcase_add_test(t, so_many_a_minute);
	suite_add_tcase(suite, t);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
