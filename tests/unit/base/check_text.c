/* SPDX-License-Identifier: Apache-2.0 */
/* Text forms. */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"

START_TEST(hex_there_and_back)
{
	uint8_t in[] = {0x00, 0xff, 0x1a}, out[3];
	char text[7];

	text_hex(text, in, sizeof(in));
	ck_assert_str_eq(text, "00ff1a");
	ck_assert(text_unhex(out, 3, "00FF1a"));
	ck_assert_mem_eq(out, in, 3);
	ck_assert(!text_unhex(out, 3, "00FF1"));
	ck_assert(!text_unhex(out, 3, "00FF1a0"));
	ck_assert(!text_unhex(out, 3, "00FF1g"));
	ck_assert(!text_unhex(out, 3, ""));
	ck_assert(text_unhex(out, 0, ""));
}
END_TEST

START_TEST(uuids_are_ordered_by_time)
{
	char a[UID_TEXT_LEN + 1], b[UID_TEXT_LEN + 1];

	clock_test_freeze(1760000000);
	ck_assert_int_eq(text_uuid7(a), ERR_OK);
	clock_test_advance(NS_PER_MS);
	ck_assert_int_eq(text_uuid7(b), ERR_OK);
	ck_assert_uint_eq(strlen(a), UID_TEXT_LEN);
	ck_assert_int_lt(strcmp(a, b), 0);
	ck_assert_int_eq(strncmp(a, "0199c82c-c000-7", 13), 0);
	ck_assert(a[14] == '7' && strchr("89ab", a[19]) != NULL);
	for (int i = 0; i < 2000; i++) { /* all in one millisecond */
		strcpy(a, b);
		ck_assert_int_eq(text_uuid7(b), ERR_OK);
		ck_assert_int_lt(strcmp(a, b), 0);
	}
}
END_TEST

static const char *
escaped(void (*fn)(struct buf *, const void *, size_t), const char *s, size_t len)
{
	static char out[256];
	struct buf b;

	buf_init(&b, sizeof(out) - 1);
	fn(&b, s, len);
	memcpy(out, b.len > 0 ? (const char *)b.data : "", b.len);
	out[b.len] = '\0';
	buf_fini(&b);
	return out;
}

START_TEST(escapes_for_a_line)
{
	ck_assert_str_eq(escaped(text_escape, "a b\n\"\\\0\x7f\xc3", 9), "a b\\x0a\\x22\\x5c\\x00\\x7f"
	    "\\xc3");
	ck_assert_str_eq(escaped(text_escape, "", 0), "");
}
END_TEST

/* Up to U+FFFF; returns its length. */
static size_t
utf8_of(uint32_t c, char *out)
{
	size_t n = 0;

	if (c < 0x80)
		out[n++] = (char)c;
	else if (c < 0x800)
		out[n++] = (char)(0xc0 | c >> 6);
	else
		out[n++] = (char)(0xe0 | c >> 12);
	if (c >= 0x800)
		out[n++] = (char)(0x80 | (c >> 6 & 0x3f));
	if (c >= 0x80)
		out[n++] = (char)(0x80 | (c & 0x3f));
	out[n] = '\0';
	return n;
}

START_TEST(escapes_for_json)
{
	ck_assert_str_eq(escaped(text_json, "a\"\\\n\0\x7f", 6), "\"a\\\"\\\\\\u000a\\u0000\\u007f\"");
	ck_assert_str_eq(escaped(text_json, "\xc3\xa4", 2), "\"\xc3\xa4\"");
	ck_assert_str_eq(escaped(text_json, "\xc3", 1), "\"\xef\xbf\xbd\"");
	ck_assert_str_eq(escaped(text_json, "\xed\xa0\x80", 3),
	    "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
}
END_TEST

/* What a byte becomes does not depend on where it stands. */
START_TEST(escapes_at_each_place)
{
	for (unsigned c = 0; c < 256; c++) {
		bool ascii = c > 0 && c < 0x80;
		char text[20], want[64], alone[16];
		int len = snprintf(alone, sizeof(alone), "%s",
		    escaped(text_json, &(char){(char)c}, 1) + 1);

		ck_assert_int_lt(len, (int)sizeof(alone));
		alone[strlen(alone) - 1] = '\0';
		for (size_t at = 0; at < sizeof(text); at++) {
			memset(text, 'a', sizeof(text));
			text[at] = (char)c;
			snprintf(want, sizeof(want), "\"%.*s%s%.*s\"", (int)at, "aaaaaaaaaaaaaaaaaaaa",
			    alone, (int)(sizeof(text) - at - 1), "aaaaaaaaaaaaaaaaaaaa");
			ck_assert_str_eq(escaped(text_json, text, sizeof(text)), want);
			ck_assert(text_is_utf8(text, sizeof(text)) == ascii);
			ck_assert_uint_eq(strlen(escaped(text_escape, text, sizeof(text))),
			    c >= 0x20 && c < 0x7f && c != '"' && c != '\\' ? sizeof(text) : sizeof(text) + 3);
		}
	}
}
END_TEST

/* Of C0, DEL, C1 and what turns the direction of text, each; their neighbours stand as they are. */
START_TEST(escapes_what_terminals_obey)
{
	static const struct {
		uint32_t first, last;
	} controls[] = {{0, 0x1f}, {0x7f, 0x9f}, {0x202a, 0x202e}, {0x2066, 0x2069}};
	size_t kind = 0;

	for (uint32_t c = 0; c < 0x3000; c++) {
		char s[5], want[16], plain[16];
		size_t len = utf8_of(c, s);
		bool control;

		if (kind < 3 && c > controls[kind].last)
			kind++;
		control = c >= controls[kind].first && c <= controls[kind].last;
		ck_assert_msg(text_is_harmless(s, len) == !control, "U+%04x", c);
		snprintf(want, sizeof(want), "\"\\u%04x\"", c);
		snprintf(plain, sizeof(plain), "\"%s%s\"", c == '"' || c == '\\' ? "\\" : "", s);
		ck_assert_str_eq(escaped(text_json, s, len), control ? want : plain);
	}
	ck_assert(!text_is_harmless("a\x9b" "31m", 5)); /* raw C1, which is no UTF-8 */
	ck_assert(!text_is_harmless("a\xc2", 2));
	ck_assert(text_is_harmless("\xf0\x9f\x94\x91 \xc3\xa4 plain text", 18));
	ck_assert(text_is_harmless("", 0));
}
END_TEST

START_TEST(knows_utf8)
{
	static const struct {
		const char *s;
		bool good;
	} cases[] = {{"plain", true}, {"\xc3\xa4", true}, {"\xe2\x82\xac", true},
	    {"\xf0\x9f\x94\x91", true}, {"\xf4\x8f\xbf\xbf", true}, {"\xc0\xaf", false},
	    {"\xe0\x80\xaf", false}, {"\xf0\x80\x80\xaf", false}, {"\xed\xa0\x80", false},
	    {"\xf4\x90\x80\x80", false}, {"\xf5\x80\x80\x80", false}, {"\x80", false},
	    {"\xe2\x82", false}, {"\xe2\x28\xa1", false}, {"\xff", false}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ck_assert_msg(text_is_utf8(cases[i].s, strlen(cases[i].s)) == cases[i].good,
		    "case %zu", i);
	ck_assert(!text_is_utf8("a\0b", 3));
	ck_assert(text_is_utf8("", 0));
}
END_TEST

START_TEST(reads_durations_and_sizes)
{
	static const char *const bad[] = {"", "s", "1", "-1s", "+1s", " 1s", "1 s", "1.5h", "1S",
	    "99999999999999999999s", "9223372036854775807d", "1sx", "0x1s"};
	int64_t ns = 7;
	uint64_t bytes = 7;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!text_duration(bad[i], &ns), "%s", bad[i]);
	ck_assert_int_eq(ns, 7);
	ck_assert(text_duration("0", &ns) && ns == 0);
	ck_assert(text_duration("250ms", &ns) && ns == 250 * NS_PER_MS);
	ck_assert(text_duration("90s", &ns) && ns == 90 * NS_PER_S);
	ck_assert(text_duration("5min", &ns) && ns == 300 * NS_PER_S);
	ck_assert(text_duration("1h", &ns) && ns == 3600 * NS_PER_S);
	ck_assert(text_duration("2d", &ns) && ns == 172800 * NS_PER_S);
	ck_assert(!text_size("64", &bytes) && !text_size("1MB", &bytes) && bytes == 7);
	ck_assert(text_size("512B", &bytes) && bytes == 512);
	ck_assert(text_size("64KiB", &bytes) && bytes == 65536);
	ck_assert(text_size("4MiB", &bytes) && bytes == 4194304);
	ck_assert(text_size("8GiB", &bytes) && bytes == UINT64_C(8589934592));
	ck_assert(text_size("0", &bytes) && bytes == 0);
}
END_TEST

START_TEST(writes_times)
{
	char out[25];

	text_time(out, INT64_C(1760000000123));
	ck_assert_str_eq(out, "2025-10-09T08:53:20.123Z");
	text_time(out, 0);
	ck_assert_str_eq(out, "1970-01-01T00:00:00.000Z");
	text_time(out, -1);
	ck_assert_str_eq(out, "1969-12-31T23:59:59.999Z");
	text_time(out, -1000);
	ck_assert_str_eq(out, "1969-12-31T23:59:59.000Z");
	text_time(out, INT64_C(2147483648000)); /* 32 bits end here, signed */
	ck_assert_str_eq(out, "2038-01-19T03:14:08.000Z");
	text_time(out, INT64_C(4294967296001));
	ck_assert_str_eq(out, "2106-02-07T06:28:16.001Z");
	text_time(out, INT64_C(253402300799999));
	ck_assert_str_eq(out, "9999-12-31T23:59:59.999Z");
	text_time(out, INT64_C(253402300800000)); /* what cannot be written is all zero */
	ck_assert_str_eq(out, "0000-00-00T00:00:00.000Z");
	text_time(out, -INT64_C(62135596800000)); /* the year 1 */
	ck_assert_str_eq(out, "0000-00-00T00:00:00.000Z");
	text_time(out, INT64_MAX);
	ck_assert_str_eq(out, "0000-00-00T00:00:00.807Z");
}
END_TEST

/* RFC 4648 section 10, and what is no base64. */
START_TEST(test_base64)
{
	static const char *const good[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"},
	    {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}, {"\xff\xfe", "//4="}};
	static const char *const bad[] = {"Z", "Zg", "Zg=", "=g==", "Z===", "====", "Zg==Zg==", " Zg==",
	    "Zg==\n", "Zm 9", "Zm9-", "Zm9\n"};
	uint8_t out[16];
	struct buf b;

	buf_init(&b, 100);
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		size_t len = strlen(good[i][1]);

		buf_reset(&b);
		text_base64(&b, good[i][0], strlen(good[i][0]));
		ck_assert_uint_eq(b.len, len);
		ck_assert(len == 0 || memcmp(b.data, good[i][1], len) == 0);
		ck_assert_uint_eq(text_unbase64_len(good[i][1], len), strlen(good[i][0]));
		memset(out, 0x55, sizeof(out));
		ck_assert(text_unbase64(out, good[i][1], len));
		ck_assert_int_eq(memcmp(out, good[i][0], strlen(good[i][0])), 0);
		ck_assert_uint_eq(out[strlen(good[i][0])], 0x55); /* not one byte more */
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		ck_assert_msg(!text_unbase64(out, bad[i], strlen(bad[i])), "%s", bad[i]);
	buf_fini(&b);
}
END_TEST

START_TEST(test_uuid4)
{
	char a[UID_TEXT_LEN + 1], b[UID_TEXT_LEN + 1];

	ck_assert_int_eq(text_uuid4(a), ERR_OK);
	ck_assert_int_eq(text_uuid4(b), ERR_OK);
	ck_assert_uint_eq(strlen(a), UID_TEXT_LEN);
	ck_assert_str_ne(a, b);
	ck_assert_int_eq(a[14], '4');
	ck_assert_ptr_nonnull(strchr("89ab", a[19]));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("text");
	TCase *t = tcase_create("text");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(t, hex_there_and_back);
	tcase_add_test(t, uuids_are_ordered_by_time);
	tcase_add_test(t, escapes_for_a_line);
	tcase_add_test(t, escapes_for_json);
	tcase_add_test(t, escapes_at_each_place);
	tcase_add_test(t, escapes_what_terminals_obey);
	tcase_add_test(t, knows_utf8);
	tcase_add_test(t, reads_durations_and_sizes);
	tcase_add_test(t, writes_times);
	tcase_add_test(t, test_base64);
	tcase_add_test(t, test_uuid4);
	suite_add_tcase(suite, t);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
