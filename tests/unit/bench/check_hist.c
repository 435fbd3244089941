/* SPDX-License-Identifier: Apache-2.0 */
/* Percentiles. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "hist.h"

static struct hist h;

static void
empty(void)
{
	memset(&h, 0, sizeof(h));
}

START_TEST(says_nothing_of_nothing)
{
	ck_assert_int_eq(hist_percentile(&h, 50000), 0);
	ck_assert_int_eq(hist_percentile(&h, 100000), 0);
	ck_assert_int_eq(hist_mean(&h), 0);
}
END_TEST

START_TEST(is_exact_below_the_first_power)
{
	for (int i = 1; i <= 50; i++)
		hist_add(&h, i);
	ck_assert_int_eq(hist_percentile(&h, 0), 1);
	ck_assert_int_eq(hist_percentile(&h, 2000), 1);
	ck_assert_int_eq(hist_percentile(&h, 2001), 2);
	ck_assert_int_eq(hist_percentile(&h, 50000), 25);
	ck_assert_int_eq(hist_percentile(&h, 98000), 49);
	ck_assert_int_eq(hist_percentile(&h, 98001), 50);
	ck_assert_int_eq(hist_percentile(&h, 100000), 50);
	ck_assert_int_eq(hist_mean(&h), 25);
}
END_TEST

static int
by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

/* Beside the sorted list of all times. */
START_TEST(is_never_below_and_at_most_two_percent_above)
{
	enum { COUNT = 20000 };
	static const unsigned shares[] = {1, 1000, 10000, 50000, 90000, 99000, 99900, 100000};
	static int64_t all[COUNT];

	srandom(7);
	for (size_t i = 0; i < COUNT; i++) {
		all[i] = (random() & 0xfff) << (random() % 28);
		hist_add(&h, all[i]);
	}
	qsort(all, COUNT, sizeof(all[0]), by_size);
	for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++) {
		size_t need = ((size_t)COUNT * shares[i] + 99999) / 100000;
		int64_t truth = all[need - 1], got = hist_percentile(&h, shares[i]);

		ck_assert_int_ge(got, truth);
		ck_assert_int_le(got, truth + truth / 64);
	}
	ck_assert_int_eq(hist_percentile(&h, 100000), all[COUNT - 1]);
}
END_TEST

START_TEST(takes_what_no_clock_should_say)
{
	hist_add(&h, -5);
	hist_add(&h, INT64_MAX / 4);
	ck_assert_int_eq(hist_percentile(&h, 50000), 0);
	ck_assert_int_eq(hist_percentile(&h, 100000), INT64_MAX / 4);
	ck_assert_uint_eq(h.count, 2);
}
END_TEST

START_TEST(powers_add_up)
{
	uint64_t sum = 0;

	for (int64_t ns = 1; ns < INT64_C(1) << 45; ns = ns * 3 / 2 + 1)
		hist_add(&h, ns);
	for (unsigned p = 0; p < 64; p++)
		sum += hist_power(&h, p);
	ck_assert_uint_eq(sum, h.count);
	empty();
	hist_add(&h, 1023);
	hist_add(&h, 1024);
	hist_add(&h, 2047);
	hist_add(&h, 2048);
	ck_assert_uint_eq(hist_power(&h, 9), 1);
	ck_assert_uint_eq(hist_power(&h, 10), 2);
	ck_assert_uint_eq(hist_power(&h, 11), 1);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("hist");
	TCase *t = tcase_create("hist");
	SRunner *r = srunner_create(s);
	int failed;

	suite_add_tcase(s, t);
	tcase_add_checked_fixture(t, empty, NULL);
	tcase_add_test(t, says_nothing_of_nothing);
	tcase_add_test(t, is_exact_below_the_first_power);
	tcase_add_test(t, is_never_below_and_at_most_two_percent_above);
	tcase_add_test(t, takes_what_no_clock_should_say);
	tcase_add_test(t, powers_add_up);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
