/* SPDX-License-Identifier: Apache-2.0 */
/* The arena: ceiling, alignment, hooks. */
#include <check.h>
#include <stdalign.h>
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "base/fault.h"

enum { MAX = 64 * 1024, FIRST = 4096 };

START_TEST(gives_aligned_zeroed_bytes)
{
	struct arena *a = arena_new(MAX);

	for (size_t len = 1; len < 200; len++) {
		uint8_t *p = arena_zalloc(a, len);

		ck_assert_uint_eq((uintptr_t)p % alignof(max_align_t), 0);
		for (size_t i = 0; i < len; i++)
			ck_assert_uint_eq(p[i], 0);
		memset(p, 0xff, len);
	}
	arena_free(a);
}
END_TEST

START_TEST(holds_its_ceiling)
{
	struct arena *a = arena_new(MAX);
	size_t got = 0;

	while (arena_zalloc(a, 100) != NULL)
		got += 100;
	ck_assert_uint_le(got, MAX);
	ck_assert_uint_gt(got, MAX * 3 / 4);
	ck_assert_ptr_null(arena_zalloc(a, MAX + 1));
	ck_assert_ptr_null(arena_zalloc(a, SIZE_MAX));
	ck_assert_ptr_null(arena_array(a, SIZE_MAX / 2, 3));
	ck_assert_ptr_null(arena_text(a, "", SIZE_MAX));
	arena_free(a);
	a = arena_new(MAX);
	ck_assert_ptr_null(arena_zalloc(a, MAX)); /* its first block counts */
	ck_assert_ptr_nonnull(arena_zalloc(a, MAX - FIRST));
	ck_assert_ptr_null(arena_zalloc(a, FIRST));
	arena_free(a);
}
END_TEST

/* A large one among small ones must not cost the rest of a block each time. */
START_TEST(large_blocks_strand_nothing)
{
	struct arena *a = arena_new(MAX);

	for (int i = 0; i < 10; i++) {
		ck_assert_ptr_nonnull(arena_zalloc(a, 5000));
		ck_assert_ptr_nonnull(arena_zalloc(a, 100));
	}
	for (int i = 0; i < 20; i++)
		ck_assert_ptr_nonnull(arena_zalloc(a, 100));
	arena_free(a);
}
END_TEST

/* Whatever comes first: what was asked for is there to the last byte. */
START_TEST(an_exact_one_holds_what_was_said)
{
	static const size_t pieces[] = {200, 1400, 900, 3000, 200, 1}, small[] = {17, 3, 100};
	const size_t *lens = _i == 0 ? pieces : small;
	size_t count = _i == 0 ? 6 : 3, sum = 0;
	struct arena *a;

	for (size_t i = 0; i < count; i++)
		sum += arena_room(lens[i]);
	a = arena_exact(sum);
	ck_assert_ptr_nonnull(a);
	for (size_t i = 0; i < count; i++)
		ck_assert_ptr_nonnull(arena_zalloc(a, lens[i]));
	ck_assert_ptr_null(arena_zalloc(a, 1));
	arena_free(a);
}
END_TEST

START_TEST(copies)
{
	struct arena *a = arena_new(MAX);

	ck_assert_str_eq(arena_text(a, "hello world", 5), "hello");
	ck_assert_mem_eq(arena_copy(a, "abc", 3), "abc", 3);
	ck_assert_ptr_nonnull(arena_copy(a, NULL, 0));
	arena_free(a);
}
END_TEST

static char order[8];

static void
note(void *arg)
{
	strcat(order, arg);
}

START_TEST(runs_hooks_last_first)
{
	struct arena *a = arena_new(MAX);
	char one[] = "1", two[] = "2";

	order[0] = '\0';
	ck_assert_int_eq(arena_on_free(a, note, one), 0);
	ck_assert_int_eq(arena_on_free(a, note, two), 0);
	arena_free(a);
	ck_assert_str_eq(order, "21");
	arena_free(NULL);
}
END_TEST

/* What was in it is gone. */
START_TEST(a_block_that_comes_again_is_empty)
{
	struct arena *a = arena_new(MAX), *b;
	uint8_t *p = arena_zalloc(a, 3000);

	memset(p, 0xee, 3000);
	arena_free(a);
	b = arena_new(MAX);
	ck_assert_ptr_eq(arena_zalloc(b, 3500), p);
	for (size_t i = 0; i < 3500; i++)
		ck_assert_uint_eq(p[i], 0);
	arena_free(b);
}
END_TEST

START_TEST(survives_without_memory)
{
	struct arena *a = arena_new(MAX);

	fault_test_arm(FAULT_ALLOC, 0, 1); /* not one of those that may be left over */
	ck_assert_ptr_null(arena_zalloc(a, 5000));
	ck_assert_ptr_nonnull(arena_zalloc(a, 5000));
	arena_free(a);
	a = arena_new(16);
	ck_assert_int_eq(arena_on_free(a, note, order), -1); /* at its ceiling */
	fault_test_arm(FAULT_ALLOC, 0, 1);
	ck_assert_ptr_null(arena_new(MAX));
	fault_test_arm(FAULT_ALLOC, 0, 1);
	ck_assert_ptr_null(arena_exact(MAX));
	fault_test_clear();
	arena_free(a);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("arena");
	TCase *t = tcase_create("arena");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(t, gives_aligned_zeroed_bytes);
	tcase_add_test(t, holds_its_ceiling);
	tcase_add_test(t, large_blocks_strand_nothing);
	tcase_add_loop_test(t, an_exact_one_holds_what_was_said, 0, 2);
	tcase_add_test(t, copies);
	tcase_add_test(t, runs_hooks_last_first);
	tcase_add_test(t, a_block_that_comes_again_is_empty);
	tcase_add_test(t, survives_without_memory);
	suite_add_tcase(suite, t);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
