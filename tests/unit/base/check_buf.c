/* SPDX-License-Identifier: Apache-2.0 */
/* Growing bytes with a ceiling. */
#include <check.h>
#include <string.h>

#include "base/buf.h"
#include "base/fault.h"

START_TEST(grows_to_its_ceiling_and_no_further)
{
	struct buf b;

	buf_init(&b, 1000);
	ck_assert_ptr_null(b.data);
	for (int i = 0; i < 1000; i++)
		buf_put(&b, "x", 1);
	ck_assert_int_eq(buf_error(&b), ERR_OK);
	ck_assert_uint_eq(b.len, 1000);
	ck_assert_uint_le(b.cap, 1000);
	buf_put(&b, "x", 1);
	ck_assert_int_ne(buf_error(&b), ERR_OK);
	ck_assert_uint_eq(b.len, 1000);
	buf_fini(&b);
	ck_assert_uint_eq(b.max, 1000);
	ck_assert_int_eq(buf_error(&b), ERR_OK);
}
END_TEST

START_TEST(takes_huge_lengths_for_what_they_are)
{
	struct buf b;

	buf_init(&b, 1000);
	ck_assert_ptr_null(buf_extend(&b, SIZE_MAX));
	ck_assert_int_eq(buf_error(&b), ERR_RESPONSE_TOO_LARGE);
	buf_reset(&b);
	buf_put(&b, "abc", 3);
	ck_assert_ptr_null(buf_extend(&b, SIZE_MAX - 1));
	ck_assert_uint_eq(b.len, 3);
	buf_fini(&b);
}
END_TEST

START_TEST(keeps_its_first_error)
{
	struct buf b;

	buf_init(&b, 4);
	buf_put(&b, "abcde", 5);
	buf_put(&b, "a", 1); /* would fit */
	buf_printf(&b, "%d", 1);
	ck_assert_uint_eq(b.len, 0);
	ck_assert_int_eq(buf_error(&b), ERR_RESPONSE_TOO_LARGE);
	buf_reset(&b);
	buf_put(&b, "a", 1);
	ck_assert_uint_eq(b.len, 1);
	buf_fini(&b);
}
END_TEST

/* Its block comes again, and says nothing of what was in it. */
START_TEST(a_block_that_comes_again_is_wiped)
{
	struct buf b, next;
	uint8_t *was;

	buf_init(&b, 1000);
	buf_init(&next, 1000);
	for (int i = 0; i < 100; i++)
		buf_put(&b, "secret", 5);
	b.len = 1; /* as I/O calls may leave it */
	was = b.data;
	buf_fini(&b);
	buf_put(&next, "x", 1);
	ck_assert_ptr_eq(next.data, was);
	for (size_t i = 1; i < next.cap; i++)
		ck_assert_uint_eq(next.data[i], 0);
	for (int i = 0; i < 999; i++) /* it grows as any other does */
		buf_put(&next, "y", 1);
	ck_assert_uint_eq(next.len, 1000);
	ck_assert_int_eq(memcmp(next.data, "xyy", 3), 0);
	buf_fini(&next);
}
END_TEST

START_TEST(consumes_from_the_front_and_wipes)
{
	struct buf b;

	buf_init(&b, 100);
	buf_put(&b, "secret!rest", 11);
	buf_consume(&b, 7);
	ck_assert_uint_eq(b.len, 4);
	ck_assert_mem_eq(b.data, "rest\0\0\0\0\0\0\0", 11);
	buf_consume(&b, 0);
	buf_consume(&b, 4);
	ck_assert_uint_eq(b.len, 0);
	ck_assert_mem_eq(b.data, "\0\0\0\0", 4);
	buf_fini(&b);
	buf_consume(&b, 0);
}
END_TEST

START_TEST(reset_wipes)
{
	struct buf b;

	buf_init(&b, 100);
	buf_put(&b, "secret", 6);
	buf_reset(&b);
	ck_assert_mem_eq(b.data, "\0\0\0\0\0\0", 6);
	buf_fini(&b);
}
END_TEST

START_TEST(formats)
{
	struct buf b;

	buf_init(&b, 4096);
	buf_printf(&b, "%s-%d", "a", 7);
	ck_assert_mem_eq(b.data, "a-7", 3);
	buf_printf(&b, "%2000d", 1); /* more than it can format at a time */
	ck_assert_int_ne(buf_error(&b), ERR_OK);
	ck_assert_uint_eq(b.len, 3);
	buf_fini(&b);
}
END_TEST

START_TEST(tells_when_memory_is_short)
{
	struct buf b;

	buf_init(&b, 4096);
	buf_put(&b, "a", 1);
	fault_test_arm(FAULT_ALLOC, 0, 1);
	ck_assert_ptr_null(buf_extend(&b, 1000));
	ck_assert_int_eq(buf_error(&b), ERR_NO_MEMORY);
	ck_assert_mem_eq(b.data, "a", 1);
	buf_fini(&b);
	fault_test_clear();
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("buf");
	TCase *t = tcase_create("buf");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(t, grows_to_its_ceiling_and_no_further);
	tcase_add_test(t, takes_huge_lengths_for_what_they_are);
	tcase_add_test(t, keeps_its_first_error);
	tcase_add_test(t, a_block_that_comes_again_is_wiped);
	tcase_add_test(t, consumes_from_the_front_and_wipes);
	tcase_add_test(t, reset_wipes);
	tcase_add_test(t, formats);
	tcase_add_test(t, tells_when_memory_is_short);
	suite_add_tcase(suite, t);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
