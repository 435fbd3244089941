/* SPDX-License-Identifier: Apache-2.0 */
/* Key bytes: counting, budgets, heap. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/secret.h"

enum { HEAP = 64 * 1024 };

START_TEST(counts_references)
{
	size_t base = secret_heap_used();
	struct secret *s = secret_new(32, SECRET_KEPT);

	ck_assert_uint_eq(secret_len(s), 32);
	for (size_t i = 0; i < 32; i++)
		ck_assert_uint_eq(secret_bytes(s)[i], 0);
	ck_assert_uint_eq(secret_heap_kept(), 32);
	ck_assert_ptr_eq(secret_ref(s), s);
	secret_unref(s);
	ck_assert_uint_eq(secret_heap_kept(), 32);
	secret_unref(s);
	ck_assert_uint_eq(secret_heap_kept(), 0);
	ck_assert_uint_eq(secret_heap_used(), base);
	secret_unref(NULL);
}
END_TEST

/* Whatever the sizes, kept secrets stay within their half, and the other half can be had. */
START_TEST(keeps_at_most_half)
{
	static const size_t sizes[] = {1, 16, 17, 24, 32, 33, 40, 48, 65, 100, 1000, 5000};
	static struct secret *kept[HEAP / 16 + 1];

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct secret *other;
		size_t n = 0;

		kept[n++] = secret_new(16, SECRET_KEPT); /* so that it does not come out even */
		while ((kept[n] = secret_new(sizes[i], SECRET_KEPT)) != NULL) {
			n++;
			ck_assert_uint_le(secret_heap_kept(), HEAP / 2);
		}
		other = secret_new(1024, SECRET_TRANSIENT);
		ck_assert_ptr_nonnull(other);
		secret_unref(other);
		while (n > 0)
			secret_unref(kept[--n]);
		ck_assert_uint_eq(secret_heap_kept(), 0);
	}
	ck_assert_uint_eq(secret_heap_used(), 0);
}
END_TEST

START_TEST(fails_rather_than_leave_the_heap)
{
	ck_assert_ptr_null(secret_new(HEAP, SECRET_KEPT));
	ck_assert_ptr_null(secret_new(2 * HEAP, SECRET_TRANSIENT));
	ck_assert_ptr_null(secret_new(SIZE_MAX, SECRET_KEPT));
	fault_test_arm(FAULT_SECRET_ALLOC, 0, 1);
	ck_assert_ptr_null(secret_new(16, SECRET_TRANSIENT));
	fault_test_arm(FAULT_ALLOC, 0, 1);
	ck_assert_ptr_null(secret_new(16, SECRET_TRANSIENT));
	ck_assert_uint_eq(secret_heap_used(), 0);
}
END_TEST

START_TEST(compares)
{
	struct secret *a = secret_new(4, SECRET_TRANSIENT), *b = secret_new(4, SECRET_TRANSIENT);
	struct secret *longer = secret_new(5, SECRET_TRANSIENT);

	memcpy(secret_bytes(a), "abcd", 4);
	memcpy(secret_bytes(b), "abcd", 4);
	ck_assert(secret_equal(a, b));
	secret_bytes(b)[3] ^= 1;
	ck_assert(!secret_equal(a, b));
	ck_assert(!secret_equal(a, longer));
	secret_unref(a);
	secret_unref(b);
	secret_unref(longer);
}
END_TEST

/* The buddy heap keeps no bytes of a block that was given back. */
START_TEST(wipes_on_the_last_unref)
{
	struct secret *s = secret_new(64, SECRET_TRANSIENT);

	memset(secret_bytes(s), 0xaa, 64);
	secret_unref(s);
	s = secret_new(64, SECRET_TRANSIENT);
	for (size_t i = 0; i < 64; i++)
		ck_assert_uint_eq(secret_bytes(s)[i], 0);
	secret_unref(s);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("secret");
	TCase *t = tcase_create("secret");
	SRunner *runner = srunner_create(suite);
	int failed;
	bool locked;

	if (secret_new(1, SECRET_TRANSIENT) != NULL || /* there is no heap yet */
	    secret_heap_init(HEAP, true, &locked) != ERR_OK || secret_heap_size() != HEAP)
		return 1;

	tcase_add_test(t, counts_references);
	tcase_add_test(t, keeps_at_most_half);
	tcase_add_test(t, fails_rather_than_leave_the_heap);
	tcase_add_test(t, compares);
	tcase_add_test(t, wipes_on_the_last_unref);
	suite_add_tcase(suite, t);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
