/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of tags and enumerations: order, duplicates, spelling, first versions. */
#include "kmip/names.h"

#include <check.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct row {
	const char *name, *text;
	int set; /* -1: a tag */
	uint32_t number;
	int since;
} rows[] = {
#define TAG(name, number, text) {#name, text, -1, number, KMIP_1_0},
#define ENUM(set, name, number, since, text)
#include "kmip/kmip.def"
#undef TAG
#undef ENUM
#define TAG(name, number, text)
#define ENUM(set, name, number, since, text) {#name, text, SET_##set, number, since},
#include "kmip/kmip.def"
#undef TAG
#undef ENUM
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static const struct {
	const char *name;
	uint32_t tag;
} sets[] = {
#define SET(name, tag) {#name, tag},
#include "kmip/kmip_sets.def"
#undef SET
};

START_TEST(tables_are_in_order)
{
	for (size_t i = 1; i < ROWS; i++) {
		const struct row *a = &rows[i - 1], *b = &rows[i];

		ck_assert_msg(a->set < b->set || (a->set == b->set && a->number < b->number),
		    "%s is out of order", b->text);
	}
}
END_TEST

START_TEST(texts_are_found_once)
{
	for (size_t i = 0; i < ROWS; i++)
		for (size_t k = i + 1; k < ROWS && rows[k].set == rows[i].set; k++)
			ck_assert_msg(strcmp(rows[i].text, rows[k].text) != 0, "%s", rows[i].text);
}
END_TEST

/* The C name follows from the text, so a slip in one of both is seen. */
START_TEST(names_follow_from_texts)
{
	for (size_t i = 0; i < ROWS; i++) {
		char want[128];
		size_t n = 0;

		for (const char *p = rows[i].text; *p != '\0'; p++) {
			if (isalnum((unsigned char)*p))
				want[n++] = (char)toupper((unsigned char)*p);
			else if (n > 0 && want[n - 1] != '_')
				want[n++] = '_';
		}
		while (n > 0 && want[n - 1] == '_')
			n--;
		want[n] = '\0';
		ck_assert_str_eq(rows[i].name, want);
	}
}
END_TEST

START_TEST(every_row_is_found)
{
	uint32_t number;

	for (size_t i = 0; i < ROWS; i++) {
		const struct row *r = &rows[i];

		if (r->set < 0) {
			ck_assert_ptr_nonnull(kmip_tag_name(r->number));
			ck_assert_str_eq(kmip_tag_name(r->number), r->text);
			ck_assert_uint_eq(r->number >> 16, 0x42);
			continue;
		}
		ck_assert_ptr_nonnull(kmip_value_name((enum kmip_set)r->set, r->number));
		ck_assert_str_eq(kmip_value_name((enum kmip_set)r->set, r->number), r->text);
		ck_assert(kmip_value_by_name((enum kmip_set)r->set, r->text, &number));
		ck_assert_uint_eq(number, r->number);
		ck_assert(kmip_value_known((enum kmip_set)r->set, r->number, r->since));
		ck_assert(kmip_value_known((enum kmip_set)r->set, r->number, KMIP_2_1));
		ck_assert(!kmip_value_known((enum kmip_set)r->set, r->number, r->since - 1));
		ck_assert(r->since >= KMIP_1_0 && r->since <= KMIP_2_1);
	}
}
END_TEST

START_TEST(tags_leave_no_gap)
{
	for (uint32_t tag = 0x420001; tag <= TAG_ASYNCHRONOUS_CORRELATION_VALUES; tag++)
		if (tag != 0x42013e && tag != 0x42013f) /* reserved */
			ck_assert_msg(kmip_tag_name(tag) != NULL, "%06x", (unsigned)tag);
	ck_assert_ptr_null(kmip_tag_name(0x420000));
	ck_assert_ptr_null(kmip_tag_name(TAG_ASYNCHRONOUS_CORRELATION_VALUES + 1));
	ck_assert_ptr_null(kmip_tag_name(0x540001));
}
END_TEST

START_TEST(unknown_is_unknown)
{
	uint32_t number = 7;

	ck_assert_ptr_null(kmip_value_name(SET_STATE, 0));
	ck_assert_ptr_null(kmip_value_name(SET_STATE, 7));
	ck_assert_ptr_null(kmip_value_name(SET_OPAQUE_DATA_TYPE, 1));
	ck_assert_ptr_null(kmip_value_name(SET_STATE, 0x80000001));
	ck_assert(!kmip_value_by_name(SET_STATE, "active", &number));
	ck_assert(!kmip_value_by_name(SET_STATE, "Success", &number));
	ck_assert_uint_eq(number, 7);
	ck_assert(!kmip_value_known(SET_OPERATION, 0, KMIP_1_4));
}
END_TEST

START_TEST(sets_have_their_tags)
{
	enum kmip_set set;

	for (size_t i = 0; i < SET_COUNT; i++) {
		ck_assert(kmip_set_of_tag(sets[i].tag, &set));
		ck_assert_int_eq(set, i);
		ck_assert_ptr_nonnull(kmip_tag_name(sets[i].tag));
	}
	set = SET_STATE;
	ck_assert(!kmip_set_of_tag(TAG_NAME_VALUE, &set));
	ck_assert_int_eq(set, SET_STATE);
}
END_TEST

/* Numbers and versions on which clients depend most, written down a second time. */
START_TEST(pillars_stand)
{
	ck_assert_uint_eq(TAG_UNIQUE_IDENTIFIER, 0x420094);
	ck_assert_uint_eq(TAG_REQUEST_MESSAGE, 0x420078);
	ck_assert_uint_eq(TAG_RESPONSE_MESSAGE, 0x42007b);
	ck_assert_uint_eq(TAG_RESULT_STATUS, 0x42007f);
	ck_assert_uint_eq(TAG_KEY_MATERIAL, 0x420043);
	ck_assert_uint_eq(KMIP_OPERATION_DISCOVER_VERSIONS, 0x1e);
	ck_assert_uint_eq(KMIP_OPERATION_GET, 0xa);
	ck_assert_uint_eq(KMIP_OPERATION_DESTROY, 0x14);
	ck_assert_uint_eq(KMIP_RESULT_REASON_GENERAL_FAILURE, 0x100);
	ck_assert_uint_eq(KMIP_RESULT_REASON_PERMISSION_DENIED, 0xc);
	ck_assert_uint_eq(KMIP_LINK_TYPE_REPLACEMENT_OBJECT_LINK, 0x106);
	ck_assert_uint_eq(KMIP_CRYPTOGRAPHIC_ALGORITHM_3DES, 2);
	ck_assert_uint_eq(KMIP_CRYPTOGRAPHIC_ALGORITHM_SHAKE_256, 0x28);
	ck_assert_uint_eq(KMIP_RECOMMENDED_CURVE_BRAINPOOLP512T1, 0x44);
	ck_assert_uint_eq(KMIP_PROFILE_NAME_XML_SERVER_KMIP_V1_4, 0x9c);
	ck_assert_uint_eq(KMIP_CRYPTOGRAPHIC_USAGE_MASK_TRANSLATE_UNWRAP, 0x80000);
	ck_assert_uint_eq(TAG_ATTRIBUTES, 0x420125);
	ck_assert_uint_eq(TAG_ATTRIBUTE_REFERENCE, 0x42013b);
	ck_assert_uint_eq(TAG_ROTATE_LATEST, 0x420172);
	ck_assert_uint_eq(KMIP_OPERATION_PING, 0x3b);
	ck_assert_uint_eq(KMIP_OPERATION_SET_ATTRIBUTE, 0x31);
	ck_assert_uint_eq(KMIP_RESULT_REASON_WRONG_KEY_LIFECYCLE_STATE, 0x43);
	ck_assert_uint_eq(KMIP_RESULT_REASON_DUPLICATE_PROCESS_REQUEST, 0x4c);
	ck_assert_uint_eq(KMIP_PROTECTION_STORAGE_MASK_SAME_JURISDICTION, 0x2000);
	ck_assert(!kmip_value_known(SET_OPERATION, KMIP_OPERATION_PING, KMIP_2_0));
	ck_assert(!kmip_value_known(SET_OPERATION, KMIP_OPERATION_DISCOVER_VERSIONS, KMIP_1_0));
	ck_assert(kmip_value_known(SET_OPERATION, KMIP_OPERATION_DISCOVER_VERSIONS, KMIP_1_1));
	ck_assert(!kmip_value_known(SET_OPERATION, KMIP_OPERATION_IMPORT, KMIP_1_3));
	ck_assert(!kmip_value_known(SET_QUERY_FUNCTION, KMIP_QUERY_FUNCTION_QUERY_PROFILES,
	    KMIP_1_2));
}
END_TEST

/* For comparing the tables with those of other programs: set, number and version, one a line. */
static int
dump(void)
{
	for (size_t i = 0; i < ROWS; i++)
		printf("%s %s %#x %d.%d\n", rows[i].set < 0 ? "TAG" : sets[rows[i].set].name,
		    rows[i].name, (unsigned)rows[i].number, rows[i].since >> 4, rows[i].since & 15);
	return EXIT_SUCCESS;
}

int
main(int argc, char **argv)
{
	Suite *s;
	TCase *tc;
	SRunner *sr;
	int failed;

	if (argc == 2 && strcmp(argv[1], "--dump") == 0)
		return dump();
	s = suite_create("names");
	tc = tcase_create("names");
	sr = srunner_create(s);
	tcase_add_test(tc, tables_are_in_order);
	tcase_add_test(tc, texts_are_found_once);
	tcase_add_test(tc, names_follow_from_texts);
	tcase_add_test(tc, every_row_is_found);
	tcase_add_test(tc, tags_leave_no_gap);
	tcase_add_test(tc, unknown_is_unknown);
	tcase_add_test(tc, sets_have_their_tags);
	tcase_add_test(tc, pillars_stand);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
