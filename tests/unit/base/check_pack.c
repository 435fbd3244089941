/* SPDX-License-Identifier: Apache-2.0 */
/* The binary form between processes. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/pack.h"

START_TEST(reads_what_it_wrote)
{
	struct unpack u;
	struct buf b;
	char text[6];
	size_t len;

	buf_init(&b, 1000);
	pack_u8(&b, 0xfe);
	pack_u32(&b, 0x01020304);
	pack_u64(&b, UINT64_MAX - 1);
	pack_bytes(&b, "\0\1", 2);
	pack_text(&b, "hello");
	pack_text(&b, NULL);
	ck_assert_mem_eq(b.data, "\xfe\x01\x02\x03\x04\xff", 6);
	unpack_init(&u, b.data, b.len);
	ck_assert_uint_eq(unpack_u8(&u), 0xfe);
	ck_assert_uint_eq(unpack_u32(&u), 0x01020304);
	ck_assert_uint_eq(unpack_u64(&u), UINT64_MAX - 1);
	ck_assert_mem_eq(unpack_bytes(&u, &len), "\0\1", 2);
	ck_assert_uint_eq(len, 2);
	unpack_text(&u, text, sizeof(text));
	ck_assert_str_eq(text, "hello");
	ck_assert(!unpack_done(&u)); /* something is left */
	unpack_text(&u, text, sizeof(text));
	ck_assert_str_eq(text, "");
	ck_assert(unpack_done(&u));
	buf_fini(&b);
}
END_TEST

/* Cut anywhere, it is bad; never a read behind the end, which the sanitizer would see. */
START_TEST(minds_every_cut)
{
	struct buf b;

	buf_init(&b, 1000);
	pack_u32(&b, 7);
	pack_bytes(&b, "abcdef", 6);
	pack_u64(&b, 1);
	for (size_t cut = 0; cut < b.len; cut++) {
		uint8_t *copy = memcpy(malloc(cut + 1), b.data, cut);
		struct unpack u;
		size_t len;

		unpack_init(&u, copy, cut);
		unpack_u32(&u);
		unpack_bytes(&u, &len);
		unpack_u64(&u);
		ck_assert(!unpack_done(&u));
		ck_assert_uint_eq(unpack_u8(&u), 0);
		free(copy);
	}
	buf_fini(&b);
}
END_TEST

START_TEST(minds_lengths_that_lie)
{
	struct unpack u;
	size_t len = 1;
	char text[4];

	unpack_init(&u, "\xff\xff\xff\xff" "abc", 7);
	ck_assert_str_eq((const char *)unpack_bytes(&u, &len), "");
	ck_assert_uint_eq(len, 0);
	ck_assert(u.bad);
	unpack_init(&u, "\0\0\0\4abcd", 8); /* no room for its end */
	unpack_text(&u, text, sizeof(text));
	ck_assert(u.bad);
	ck_assert_str_eq(text, "");
	unpack_init(&u, "\0\0\0\3a\0b", 7);
	unpack_text(&u, text, sizeof(text));
	ck_assert(u.bad);
	unpack_init(&u, NULL, 0);
	ck_assert(unpack_done(&u));
	ck_assert_uint_eq(unpack_u8(&u), 0);
	ck_assert(u.bad);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("pack");
	TCase *t = tcase_create("pack");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(t, reads_what_it_wrote);
	tcase_add_test(t, minds_every_cut);
	tcase_add_test(t, minds_lengths_that_lie);
	suite_add_tcase(suite, t);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
