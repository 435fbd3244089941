/* SPDX-License-Identifier: Apache-2.0 */
/* The TTLV reader and writer: every rule of the encoding, and what is written is read again. */
#include "kmip/ttlv.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kmip/names.h"
#include "messages.h"
#include "values.h"

/* A copy of exactly the right size, so that the sanitizer sees a read past the end. */
static uint8_t *
exact(const uint8_t *data, size_t len)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, data, len);
	return copy;
}

static enum err
check(const uint8_t *data, size_t len, size_t elements_max)
{
	struct ttlv root = {.tag = 1};
	uint8_t *copy = exact(data, len);
	enum err e = ttlv_check(copy, len, elements_max, &root);

	if (e == ERR_OK)
		ck_assert_uint_ne(root.tag, 1);
	else
		ck_assert_uint_eq(root.tag, 1); /* untouched */
	free(copy);
	return e;
}

static const struct {
	const char *what;
	const char *hex;
	bool right;
} encodings[] = {
	{"integer", "42000d02 00000004 00000001 00000000", true},
	{"negative integer", "42000d02 00000004 ffffffff 00000000", true},
	{"long", "42000d03 00000008 8000000000000000", true},
	{"big integer", "42000d04 00000010 00000000000000010000000000000002", true},
	{"enumeration", "42000d05 00000004 80000001 00000000", true},
	{"false", "42000d06 00000008 0000000000000000", true},
	{"true", "42000d06 00000008 0000000000000001", true},
	{"text", "42000d07 00000005 68656c6c6f 000000", true},
	{"text, empty", "42000d07 00000000", true},
	{"text, two-byte character", "42000d07 00000002 c3a9 000000000000", true},
	{"text, no padding", "42000d07 00000008 6162636465666768", true},
	{"bytes", "42000d08 00000003 00ff80 0000000000", true},
	{"bytes, empty", "42000d08 00000000", true},
	{"date-time", "42000d09 00000008 0000000047da67f8", true},
	{"interval", "42000d0a 00000004 ffffffff 00000000", true},
	{"structure, empty", "42000d01 00000000", true},
	{"structure with a child", "42000d01 00000010 42000d02 00000004 0000000100000000", true},
	{"extension tag", "54000102 00000004 00000001 00000000", true},
	{"structure in structure", "42000d01 00000010 42000d01 00000008 42000d01 00000000", true},

	{"nothing", "", false},
	{"half a header", "42000d02", false},
	{"header without value", "42000d02 00000004", false},
	{"value cut off", "42000d02 00000004 00000001", false},
	{"padding cut off", "42000d07 00000005 68656c6c6f 0000", false},
	{"bytes behind the element", "42000d02 00000004 00000001 00000000 00", false},
	{"second element", "42000d01 00000000 42000d01 00000000", false},
	{"tag 0", "00000002 00000004 00000001 00000000", false},
	{"tag in no block", "43000d02 00000004 00000001 00000000", false},
	{"child's tag in no block", "42000d01 00000008 41000d01 00000000", false},
	{"type 0", "42000d00 00000004 00000001 00000000", false},
	{"date-time extended", "42000d0b 00000008 0000000000000001", true},
	{"date-time extended of 4 bytes", "42000d0b 00000004 0000000100000000", false},
	{"type 12", "42000d0c 00000008 0000000000000001", false},
	{"type 255", "42000dff 00000008 0000000000000001", false},
	{"integer of 0 bytes", "42000d02 00000000", false},
	{"integer of 3 bytes", "42000d02 00000003 00000100 00000000", false},
	{"integer of 8 bytes", "42000d02 00000008 0000000000000001", false},
	{"integer's padding not zero", "42000d02 00000004 00000001 00000001", false},
	{"integer's padding not zero at once", "42000d02 00000004 00000001 01000000", false},
	{"long of 4 bytes", "42000d03 00000004 00000001 00000000", false},
	{"long of 16 bytes", "42000d03 00000010 0000000000000000 0000000000000000", false},
	{"big integer of 0 bytes", "42000d04 00000000", false},
	{"big integer of 4 bytes", "42000d04 00000004 00000001 00000000", false},
	{"enumeration of 8 bytes", "42000d05 00000008 0000000000000001", false},
	{"enumeration's padding not zero", "42000d05 00000004 00000001 00000080", false},
	{"boolean 2", "42000d06 00000008 0000000000000002", false},
	{"boolean with a high bit", "42000d06 00000008 8000000000000001", false},
	{"boolean of 4 bytes", "42000d06 00000004 00000001 00000000", false},
	{"text with NUL", "42000d07 00000003 610062 0000000000", false},
	{"text, lone continuation byte", "42000d07 00000001 80 00000000000000", false},
	{"text, character cut off", "42000d07 00000001 c3 00000000000000", false},
	{"text, overlong", "42000d07 00000002 c0af 000000000000", false},
	{"text, surrogate", "42000d07 00000003 eda080 0000000000", false},
	{"text's padding not zero", "42000d07 00000005 68656c6c6f 000001", false},
	{"bytes' padding not zero", "42000d08 00000001 ff ff000000000000", false},
	{"date-time of 4 bytes", "42000d09 00000004 47da67f8 00000000", false},
	{"interval of 8 bytes", "42000d0a 00000008 0000000000000001", false},
	{"structure not a multiple of 8", "42000d01 00000004 00000000 00000000", false},
	{"structure shorter than its child", "42000d01 00000008 42000d02 00000004 0000000100000000",
	    false},
	{"structure longer than its child",
	    "42000d01 00000018 42000d02 00000004 0000000100000000 0000000000000000", false},
	{"child longer than its structure", "42000d01 00000010 42000d07 00000009 6162636465666768",
	    false},
	{"child reaches past its structure into the next",
	    "42000d01 00000030 42000d01 00000010 42000d03 00000010 0000000000000000"
	    "42000d03 00000008 0000000000000000",
	    false},
	{"length 4294967295", "42000d08 ffffffff 0000000000000000", false},
	{"length 4294967289, whose padding would wrap 32 bits", "42000d08 fffffff9", false},
	{"structure of 4294967288 bytes", "42000d01 fffffff8 42000d01 00000000", false},
};

START_TEST(encoding_is_judged)
{
	uint8_t data[256];
	size_t len = hex_read(data, sizeof(data), encodings[_i].hex);
	enum err e = check(data, len, 100);

	ck_assert_msg(e == (encodings[_i].right ? ERR_OK : ERR_INVALID_MESSAGE), "%s: %s",
	    encodings[_i].what, err_name(e));
}
END_TEST

static size_t
nested(uint8_t *out, unsigned levels)
{
	for (unsigned i = 0; i < levels; i++) {
		uint8_t header[TTLV_HEADER] = {0x42, 0, 0x0d, TTLV_STRUCTURE};

		header[6] = (uint8_t)((levels - 1 - i) * TTLV_HEADER >> 8);
		header[7] = (uint8_t)((levels - 1 - i) * TTLV_HEADER);
		memcpy(out + (size_t)i * TTLV_HEADER, header, TTLV_HEADER);
	}
	return (size_t)levels * TTLV_HEADER;
}

START_TEST(nesting_is_limited)
{
	uint8_t data[64 * TTLV_HEADER];

	ck_assert_int_eq(check(data, nested(data, TTLV_NESTING_MAX), 100), ERR_OK);
	ck_assert_int_eq(check(data, nested(data, TTLV_NESTING_MAX + 1), 100),
	    ERR_INVALID_MESSAGE);
	ck_assert_int_eq(check(data, nested(data, 64), 100), ERR_INVALID_MESSAGE);
}
END_TEST

START_TEST(elements_are_limited)
{
	uint8_t data[64 * TTLV_HEADER];
	size_t len = nested(data, 7);

	ck_assert_int_eq(check(data, len, 7), ERR_OK);
	ck_assert_int_eq(check(data, len, 6), ERR_INVALID_MESSAGE);
	ck_assert_int_eq(check(data, len, 0), ERR_INVALID_MESSAGE);
}
END_TEST

START_TEST(value_alone_is_judged_alike)
{
	uint8_t data[64 * TTLV_HEADER], text[] = {'a', 0xc3, 0xa9};

	ck_assert_int_eq(ttlv_check_value(TTLV_TEXT, text, 3, 1), ERR_OK);
	ck_assert_int_eq(ttlv_check_value(TTLV_TEXT, text, 2, 1), ERR_INVALID_MESSAGE);
	ck_assert_int_eq(ttlv_check_value(TTLV_INTEGER, text, 3, 1), ERR_INVALID_MESSAGE);
	ck_assert_int_eq(ttlv_check_value((enum ttlv_type)11, text, 3, 1), ERR_INVALID_MESSAGE);
	/* The structure around them counts as a level of its own, but not as an element. */
	ck_assert_int_eq(ttlv_check_value(TTLV_STRUCTURE, data,
			     nested(data, TTLV_NESTING_MAX - 1), TTLV_NESTING_MAX - 1),
	    ERR_OK);
	ck_assert_int_eq(ttlv_check_value(TTLV_STRUCTURE, data, nested(data, TTLV_NESTING_MAX), 99),
	    ERR_INVALID_MESSAGE);
}
END_TEST

START_TEST(total_is_foreseen)
{
	uint8_t data[MESSAGE_MAX];
	size_t len = hex_read(data, sizeof(data), msg_create);

	ck_assert_uint_eq(ttlv_total(data, TAG_REQUEST_MESSAGE, TTLV_STRUCTURE), len);
	ck_assert_uint_eq(ttlv_total(data, TAG_RESPONSE_MESSAGE, TTLV_STRUCTURE), 0);
	ck_assert_uint_eq(ttlv_total(data, TAG_REQUEST_MESSAGE, TTLV_TEXT), 0);
	hex_read(data, sizeof(data), "42007801 00000004");
	ck_assert_uint_eq(ttlv_total(data, TAG_REQUEST_MESSAGE, TTLV_STRUCTURE), 0);
	hex_read(data, sizeof(data), "42007801 fffffff8");
	ck_assert_uint_eq(ttlv_total(data, TAG_REQUEST_MESSAGE, TTLV_STRUCTURE),
	    UINT64_C(0x100000000));
	hex_read(data, sizeof(data), "42007d07 ffffffff");
	ck_assert_uint_eq(ttlv_total(data, TAG_RESULT_MESSAGE, TTLV_TEXT), UINT64_C(0x100000008));
}
END_TEST

static struct ttlv
parse(uint8_t *data, size_t max, const char *hex)
{
	struct ttlv root;
	size_t len = hex_read(data, max, hex);

	ck_assert_int_eq(ttlv_check(data, len, 100, &root), ERR_OK);
	return root;
}

#define ONE_INT "42000d02 00000004 00000001 00000000"
#define ONE_TEXT "42005507 00000002 6869 000000000000"

START_TEST(reader_takes_in_order)
{
	uint8_t data[256];
	struct ttlv root = parse(data, sizeof(data), "42000f01 00000020" ONE_INT ONE_TEXT), t;
	struct ttlv_reader r;

	ttlv_enter(&r, &root);
	ck_assert_uint_eq(ttlv_peek(&r), TAG_BATCH_COUNT);
	ck_assert(!ttlv_opt(&r, TAG_NAME_VALUE, TTLV_TEXT, &t));
	ck_assert_ptr_null(t.value);
	ck_assert(ttlv_need(&r, TAG_BATCH_COUNT, TTLV_INTEGER, &t));
	ck_assert_int_eq(ttlv_int(&t), 1);
	ck_assert(ttlv_opt(&r, TAG_NAME_VALUE, TTLV_TEXT, &t));
	ck_assert(ttlv_is_text(&t, "hi"));
	ck_assert(!ttlv_is_text(&t, "h"));
	ck_assert(!ttlv_is_text(&t, "him"));
	ck_assert_uint_eq(ttlv_peek(&r), 0);
	ck_assert(!ttlv_next(&r, &t));
	ck_assert_int_eq(ttlv_finish(&r), ERR_OK);
}
END_TEST

START_TEST(reader_errors_stick)
{
	uint8_t data[256];
	struct ttlv root = parse(data, sizeof(data), "42000f01 00000020" ONE_INT ONE_TEXT), t;
	struct ttlv_reader r;

	ttlv_enter(&r, &root);
	ck_assert(!ttlv_need(&r, TAG_NAME_VALUE, TTLV_TEXT, &t));
	ck_assert_int_eq(r.error, ERR_MISSING_DATA);
	ck_assert(!ttlv_need(&r, TAG_BATCH_COUNT, TTLV_INTEGER, &t));
	ck_assert(!ttlv_next(&r, &t));
	ck_assert_uint_eq(ttlv_peek(&r), 0);
	ck_assert_int_eq(ttlv_finish(&r), ERR_MISSING_DATA);

	ttlv_enter(&r, &root);
	ck_assert(!ttlv_opt(&r, TAG_BATCH_COUNT, TTLV_ENUM, &t));
	ck_assert_ptr_null(t.value);
	ck_assert_int_eq(ttlv_finish(&r), ERR_INVALID_MESSAGE);

	ttlv_enter(&r, &root); /* something left over */
	ck_assert(ttlv_need(&r, TAG_BATCH_COUNT, TTLV_INTEGER, &t));
	ck_assert_int_eq(ttlv_finish(&r), ERR_INVALID_MESSAGE);
}
END_TEST

START_TEST(extensions_at_the_end_are_skipped)
{
	uint8_t data[256];
	struct ttlv root, t;
	struct ttlv_reader r;

	root = parse(data, sizeof(data),
	    "42000f01 00000028" ONE_INT "54123408 00000000 54123502 00000004 0000000100000000");
	ttlv_enter(&r, &root);
	ck_assert(ttlv_need(&r, TAG_BATCH_COUNT, TTLV_INTEGER, &t));
	ck_assert_int_eq(ttlv_finish(&r), ERR_OK);

	root = parse(data, sizeof(data), "42000f01 00000018 54123408 00000000" ONE_INT);
	ttlv_enter(&r, &root);
	ck_assert_int_eq(ttlv_finish(&r), ERR_INVALID_MESSAGE);
}
END_TEST

START_TEST(writer_makes_the_specified_bytes)
{
	/* The examples of the specification, 9.1.2. */
	static const char want[] =
	    "42002001 00000090"
	    "42002002 00000004 00000008 00000000"
	    "42002003 00000008 01b69b4ba5749200"
	    "42002005 00000004 000000ff 00000000"
	    "42002006 00000008 0000000000000001"
	    "42002007 0000000b 48656c6c6f20576f 726c640000000000"
	    "42002008 00000003 0102030000000000"
	    "42002009 00000008 0000000047da67f8"
	    "4200200a 00000004 000d2f00 00000000"
	    "42002001 00000000";
	uint8_t data[256];
	size_t len = hex_read(data, sizeof(data), want), mark;
	struct buf b;

	buf_init(&b, 1024);
	mark = ttlv_begin(&b, 0x420020);
	ttlv_put_int(&b, 0x420020, 8);
	ttlv_put_long(&b, 0x420020, INT64_C(123456789000000000));
	ttlv_put_enum(&b, 0x420020, 255);
	ttlv_put_bool(&b, 0x420020, true);
	ttlv_put_text(&b, 0x420020, "Hello World", 11);
	ttlv_put_bytes(&b, 0x420020, "\1\2\3", 3);
	ttlv_put_date_time(&b, 0x420020, 0x47da67f8);
	ttlv_put_interval(&b, 0x420020, 864000);
	ttlv_end(&b, ttlv_begin(&b, 0x420020));
	ttlv_end(&b, mark);
	ck_assert_int_eq(buf_error(&b), ERR_OK);
	ck_assert_uint_eq(b.len, len);
	ck_assert_mem_eq(b.data, data, len);
	ttlv_patch_int(&b, mark + TTLV_HEADER, -2);
	ck_assert_mem_eq(b.data + 16, "\xff\xff\xff\xfe\0\0\0\0", 8);
	buf_fini(&b);
}
END_TEST

START_TEST(writer_errors_stick)
{
	struct buf b;
	size_t outer, inner;

	for (size_t max = 0; max < 72; max++) {
		buf_init(&b, max);
		outer = ttlv_begin(&b, TAG_ATTRIBUTE);
		inner = ttlv_begin(&b, TAG_NAME);
		ttlv_put_text(&b, TAG_NAME_VALUE, "nineteen characters", 19);
		ttlv_put_enum(&b, TAG_NAME_TYPE, KMIP_NAME_TYPE_URI);
		ttlv_end(&b, inner);
		ttlv_end(&b, outer);
		ttlv_patch_int(&b, inner, 1);
		ck_assert_int_eq(buf_error(&b), max < 64 ? ERR_RESPONSE_TOO_LARGE : ERR_OK);
		buf_fini(&b);
	}
}
END_TEST

/* xorshift64*: the test's own, so that a printed seed means the same everywhere. */
static uint64_t seed, state;

static uint32_t
draw(uint32_t below)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (uint32_t)((state * UINT64_C(2685821657736338717)) >> 32) % below;
}

static void
write_random(struct buf *b, unsigned depth)
{
	static const char text[] = "abc d\xc3\xa9 \xe2\x82\xac \xf0\x9f\x94\x91 and some more";
	static const size_t cuts[] = {0, 1, 5, 7, 8, 11, 12, 16, 17, 22, 30};
	uint32_t tag = (draw(4) == 0 ? 0x540000 : 0x420000) + draw(0x10000);
	int64_t big = (int64_t)((uint64_t)draw(UINT32_MAX) << 32 | draw(UINT32_MAX));
	uint8_t bytes[64];
	size_t mark;

	switch ((enum ttlv_type)(1 + draw(depth < 6 ? 11 : 10) + (depth < 6 ? 0 : 1))) {
	case TTLV_STRUCTURE:
		mark = ttlv_begin(b, tag);
		for (uint32_t n = draw(6); n > 0; n--)
			write_random(b, depth + 1);
		ttlv_end(b, mark);
		break;
	case TTLV_INTEGER:
		ttlv_put_int(b, tag, (int32_t)big);
		break;
	case TTLV_LONG:
		ttlv_put_long(b, tag, big);
		break;
	case TTLV_BIG_INTEGER:
		memset(bytes, (int)draw(256), sizeof(bytes));
		ttlv_put_raw(b, tag, TTLV_BIG_INTEGER, bytes, 8 * (1 + draw(8)));
		break;
	case TTLV_ENUM:
		ttlv_put_enum(b, tag, (uint32_t)big);
		break;
	case TTLV_BOOLEAN:
		ttlv_put_bool(b, tag, draw(2) == 1);
		break;
	case TTLV_TEXT:
		ttlv_put_text(b, tag, text, cuts[draw(sizeof(cuts) / sizeof(cuts[0]))]);
		break;
	case TTLV_BYTES:
		memset(bytes, (int)draw(256), sizeof(bytes));
		ttlv_put_bytes(b, tag, bytes, draw(64));
		break;
	case TTLV_DATE_TIME:
		ttlv_put_date_time(b, tag, big);
		break;
	case TTLV_DATE_TIME_EXTENDED:
		ttlv_put_extended(b, tag, big);
		break;
	case TTLV_INTERVAL:
		ttlv_put_interval(b, tag, (uint32_t)big);
		break;
	}
}

START_TEST(what_is_written_is_read_again)
{
	struct buf one, two;
	struct ttlv root;

	buf_init(&one, 1 << 20);
	buf_init(&two, 1 << 20);
	for (int round = 0; round < 2000; round++) {
		buf_reset(&one);
		buf_reset(&two);
		write_random(&one, 0);
		ck_assert_int_eq(buf_error(&one), ERR_OK);
		ck_assert_msg(ttlv_check(one.data, one.len, 100000, &root) == ERR_OK,
		    "KEYFERRY_SEED=%llu, round %d", (unsigned long long)seed, round);
		values_copy(&two, &root);
		ck_assert_msg(one.len == two.len && memcmp(one.data, two.data, one.len) == 0,
		    "KEYFERRY_SEED=%llu, round %d", (unsigned long long)seed, round);
	}
	buf_fini(&one);
	buf_fini(&two);
}
END_TEST

/* A single changed bit may leave a message right; what the check lets through must be walkable. */
START_TEST(changed_bits_do_no_harm)
{
	uint8_t data[MESSAGE_MAX];
	size_t len = hex_read(data, sizeof(data), msg_add_attributes);
	struct buf again;
	struct ttlv root;

	buf_init(&again, 1 << 20);
	for (size_t bit = 0; bit < 8 * len; bit++) {
		uint8_t *copy = exact(data, len);

		copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (ttlv_check(copy, len, 1000, &root) == ERR_OK) {
			buf_reset(&again);
			values_copy(&again, &root);
			ck_assert_uint_eq(again.len, len);
			ck_assert_mem_eq(again.data, copy, len);
		}
		free(copy);
	}
	for (size_t cut = 0; cut < len; cut++)
		ck_assert_int_eq(check(data, cut, 1000), ERR_INVALID_MESSAGE);
	buf_fini(&again);
}
END_TEST

int
main(void)
{
	const char *given = getenv("KEYFERRY_SEED");
	Suite *s = suite_create("ttlv");
	TCase *tc = tcase_create("ttlv");
	SRunner *sr = srunner_create(s);
	int failed;

	seed = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
	state = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
	printf("KEYFERRY_SEED=%llu\n", (unsigned long long)seed);
	tcase_add_loop_test(tc, encoding_is_judged, 0,
	    (int)(sizeof(encodings) / sizeof(encodings[0])));
	tcase_add_test(tc, nesting_is_limited);
	tcase_add_test(tc, elements_are_limited);
	tcase_add_test(tc, value_alone_is_judged_alike);
	tcase_add_test(tc, total_is_foreseen);
	tcase_add_test(tc, reader_takes_in_order);
	tcase_add_test(tc, reader_errors_stick);
	tcase_add_test(tc, extensions_at_the_end_are_skipped);
	tcase_add_test(tc, writer_makes_the_specified_bytes);
	tcase_add_test(tc, writer_errors_stick);
	tcase_add_test(tc, what_is_written_is_read_again);
	tcase_add_test(tc, changed_bits_do_no_harm);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
