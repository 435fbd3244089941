/* SPDX-License-Identifier: Apache-2.0 */
/* Spare blocks: wiped, the same again, and not without end. */
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "base/spare.h"

enum { SIZE = 256, MOST = 8 };

START_TEST(comes_again_wiped)
{
	struct spares spares = SPARES(SIZE, MOST);
	char *b = spare_take(&spares), zeros[SIZE] = "";

	ck_assert_mem_eq(b, zeros, SIZE);
	memset(b, 's', SIZE / 2);
	spare_give(&spares, b, SIZE / 2);
	ck_assert_uint_eq(spares.count, 1);
	ck_assert_ptr_eq(spare_take(&spares), b);
	ck_assert_mem_eq(b, zeros, SIZE);
	ck_assert_uint_eq(spares.count, 0);
	alloc_free(b);
}
END_TEST

START_TEST(keeps_so_many)
{
	struct spares spares = SPARES(SIZE, MOST);
	void *all[2 * MOST];

	for (unsigned i = 0; i < 2 * MOST; i++)
		all[i] = spare_take(&spares);
	for (unsigned i = 0; i < 2 * MOST; i++)
		spare_give(&spares, all[i], 0);
	ck_assert_uint_eq(spares.count, MOST);
	while (spares.count > 0)
		alloc_free(spare_take(&spares));
}
END_TEST

/* Whoever takes one has to expect it, spare or not. */
START_TEST(fails_without_memory)
{
	struct spares spares = SPARES(SIZE, MOST);

	for (int i = 0; i < 2; i++) {
		fault_test_arm(FAULT_ALLOC, 0, 1);
		ck_assert_ptr_null(spare_take(&spares));
		fault_test_clear();
		spare_give(&spares, spare_take(&spares), 0);
	}
	ck_assert_uint_eq(spares.count, 1);
	alloc_free(spare_take(&spares));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("spare");
	TCase *t = tcase_create("spare");
	SRunner *r;
	int failed;

	tcase_add_test(t, comes_again_wiped);
	tcase_add_test(t, keeps_so_many);
	tcase_add_test(t, fails_without_memory);
	suite_add_tcase(suite, t);
	r = srunner_create(suite);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
