/* SPDX-License-Identifier: Apache-2.0 */
/* The process allocator. */
#include <check.h>
#include <malloc.h>
#include <stdbool.h>
#include <string.h>

#include <openssl/crypto.h>

#include "base/alloc.h"
#include "base/fault.h"

START_TEST(resizes_and_keeps_the_bytes)
{
	char *p = alloc_resize(NULL, 10), *q;

	memcpy(p, "123456789", 10);
	q = alloc_resize(p, 100000);
	ck_assert_str_eq(q, "123456789");
	p = alloc_resize(q, 10);
	ck_assert_str_eq(p, "123456789");
	ck_assert_uint_lt(malloc_usable_size(p), 1000); /* a small rest holds no large block */
	alloc_free(p);
}
END_TEST

START_TEST(a_failed_growth_leaves_the_block)
{
	char *p = alloc_resize(NULL, 10);

	memcpy(p, "123456789", 10);
	fault_test_arm(FAULT_ALLOC, 0, 1);
	ck_assert_ptr_null(alloc_resize(p, 1000));
	ck_assert_str_eq(p, "123456789");
	alloc_free(p);
}
END_TEST

START_TEST(shrinking_cannot_fail)
{
	char *p = alloc_resize(NULL, 1000);

	memcpy(p, "123456789", 10);
	fault_test_arm(FAULT_ALLOC, 0, 1);
	ck_assert_ptr_eq(alloc_resize(p, 10), p);
	ck_assert_str_eq(p, "123456789");
	fault_test_clear();
	alloc_free(p);
}
END_TEST

START_TEST(checks_products)
{
	unsigned char *p = alloc_array(3, 5);

	for (int i = 0; i < 15; i++)
		ck_assert_uint_eq(p[i], 0);
	alloc_free(p);
	p = alloc_array(0, 5);
	ck_assert_ptr_nonnull(p);
	alloc_free(p);
	alloc_free(NULL);
}
END_TEST

START_TEST(fails_on_request)
{
	fault_test_arm(FAULT_ALLOC, 1, 2);
	void *p = alloc_bytes(1);

	ck_assert_ptr_nonnull(p);
	ck_assert_ptr_null(alloc_zero(1));
	ck_assert_ptr_null(alloc_text("x"));
	alloc_free(p);
	p = alloc_text("x");
	ck_assert_str_eq(p, "x");
	alloc_free(p);
}
END_TEST

START_TEST(wipes)
{
	char text[] = "secret";

	wipe(text, sizeof(text));
	ck_assert_mem_eq(text, "\0\0\0\0\0\0\0", sizeof(text));
	wipe(NULL, 0);
}
END_TEST

/* --- what is freed --- */

/* The linker has alloc.c call this in the place of free(). */
void __wrap_free(void *p);
void __real_free(void *p);

static struct {
	const unsigned char *block;
	size_t len, left; /* bytes that were not wiped when it was freed */
	bool freed;
} watched;

void
__wrap_free(void *p)
{
	if (p != NULL && p == watched.block) {
		watched.freed = true;
		for (size_t i = 0; i < watched.len; i++)
			watched.left += watched.block[i] != 0;
		watched.block = NULL;
	}
	__real_free(p);
}

/* All that there is of it, as what is resized in its place has that as well. */
static void *
block_of_secrets(void *p)
{
	watched.len = malloc_usable_size(p);
	watched.block = p = alloc_resize(p, watched.len);
	watched.left = 0;
	watched.freed = false;
	memset(p, 's', watched.len);
	return p;
}

static void
expect_wiped(const char *by)
{
	ck_assert_msg(watched.freed, "%s frees nothing", by);
	ck_assert_msg(watched.left == 0, "%s leaves %zu bytes of %zu", by, watched.left, watched.len);
}

START_TEST(wipes_what_it_frees)
{
	void *p;

	alloc_free(block_of_secrets(alloc_bytes(100)));
	expect_wiped("alloc_free()");
	p = alloc_resize(block_of_secrets(alloc_bytes(100)), 100000);
	expect_wiped("growing");
	p = alloc_resize(block_of_secrets(p), 10);
	expect_wiped("shrinking");
	alloc_free(p);
}
END_TEST

START_TEST(wipes_what_openssl_frees)
{
	void *p;

	ck_assert_int_eq(alloc_install(), ERR_OK);
	OPENSSL_free(block_of_secrets(OPENSSL_malloc(100)));
	expect_wiped("OPENSSL_free()");
	p = OPENSSL_realloc(block_of_secrets(OPENSSL_malloc(100)), 100000);
	expect_wiped("OPENSSL_realloc()");
	ck_assert_ptr_null(OPENSSL_realloc(block_of_secrets(p), 0));
	expect_wiped("OPENSSL_realloc() to nothing");
}
END_TEST

/* However often: only a build without sanitizers can tell. */
START_TEST(returns_large_blocks)
{
	enum { LARGE = 4 * 1024 * 1024 };
	void *p;

	ck_assert_int_eq(alloc_install(), ERR_OK);
	for (int i = 0; i < 3 && mallinfo2().arena > 0; i++) {
		p = alloc_bytes(LARGE);
		ck_assert_uint_ge(mallinfo2().hblkhd, LARGE);
		alloc_free(p);
		ck_assert_uint_lt(mallinfo2().hblkhd, LARGE);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("alloc");
	TCase *t = tcase_create("alloc");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(t, resizes_and_keeps_the_bytes);
	tcase_add_test(t, a_failed_growth_leaves_the_block);
	tcase_add_test(t, shrinking_cannot_fail);
	tcase_add_test(t, checks_products);
	tcase_add_test(t, fails_on_request);
	tcase_add_test(t, wipes);
	tcase_add_test(t, wipes_what_it_frees);
	tcase_add_test(t, returns_large_blocks);
	tcase_add_test(t, wipes_what_openssl_frees); /* it cannot be installed afterwards */
	suite_add_tcase(suite, t);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
