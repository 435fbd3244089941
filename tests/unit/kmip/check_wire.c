/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attributes in the encodings of all versions.  What is written, read and written again has to be
 * the same bytes: for values made at random out of the tables, and for some written by hand.
 */
#include "../../../src/kmip/attr_wire.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "kmip/names.h"
#include "messages.h"
#include "values.h"

static const int versions[] = {
    KMIP_1_0, KMIP_1_1, KMIP_1_2, KMIP_1_3, KMIP_1_4, KMIP_2_0, KMIP_2_1};
enum { VERSIONS = sizeof(versions) / sizeof(versions[0]), ROUNDS = 40 };

static struct arena *arena;
static uint64_t seed;

static void
setup(void)
{
	arena = arena_new(1 << 20);
	ck_assert_ptr_nonnull(arena);
	values_seed(seed);
}

static void
teardown(void)
{
	arena_free(arena);
}

/* Writes a, reads it from there, writes it again: the same bytes, and the same attribute. */
static void
round_trip(const struct kmip_attr *a, int version)
{
	struct kmip_attr back = {.id = ATTR_UNKNOWN};
	struct ttlv_reader r;
	struct ttlv root;
	struct buf one, two;

	buf_init(&one, 8192);
	buf_init(&two, 8192);
	ck_assert(kmip_attr_write(&one, version, a));
	ck_assert_int_eq(ttlv_check(one.data, one.len, 100, &root), ERR_OK);
	r = (struct ttlv_reader){one.data, one.data + one.len, ERR_OK};
	ck_assert(kmip_attr_follows(&r, version));
	ck_assert(kmip_attr_read(&r, arena, version, true, &back));
	ck_assert(!kmip_attr_follows(&r, version));
	ck_assert_int_eq(back.id, a->id);
	ck_assert_uint_eq(back.name_len, a->name_len);
	ck_assert_mem_eq(back.name, a->name, a->name_len);
	ck_assert_int_eq(back.index, version < KMIP_2_0 ? a->index : 0);
	ck_assert_int_eq(back.value.type, a->value.type);
	ck_assert_uint_eq(back.value.len, a->value.len);
	ck_assert_mem_eq(back.value.value, a->value.value, a->value.len);
	ck_assert_msg(kmip_attr_check(&back, version) == ERR_OK, "%.*s", (int)a->name_len, a->name);
	ck_assert(kmip_attr_write(&two, version, &back));
	ck_assert_uint_eq(one.len, two.len);
	ck_assert_mem_eq(one.data, two.data, one.len);
	buf_fini(&one);
	buf_fini(&two);
}

static void
reference_round_trip(const struct kmip_attr *a, int version)
{
	struct kmip_attr back = {.id = ATTR_UNKNOWN};
	struct ttlv_reader r;
	struct ttlv root;
	struct buf one, two;

	buf_init(&one, 1024);
	buf_init(&two, 1024);
	ck_assert(kmip_attr_write_reference(&one, version, a));
	ck_assert_int_eq(ttlv_check(one.data, one.len, 100, &root), ERR_OK);
	r = (struct ttlv_reader){one.data, one.data + one.len, ERR_OK};
	ck_assert(kmip_attr_take_reference(&r, arena, version, &back));
	ck_assert(!kmip_attr_take_reference(&r, arena, version, &back));
	ck_assert_int_eq(r.error, ERR_OK);
	ck_assert_int_eq(back.id, a->id);
	ck_assert_mem_eq(back.name, a->name, a->name_len);
	ck_assert(kmip_attr_write_reference(&two, version, &back));
	ck_assert_uint_eq(one.len, two.len);
	ck_assert_mem_eq(one.data, two.data, one.len);
	buf_fini(&one);
	buf_fini(&two);
}

START_TEST(every_attribute_in_every_version)
{
	int version = versions[_i];

	for (int id = 0; id < ATTR_COUNT; id++) {
		const struct kmip_attr_info *info = kmip_attr_info((enum kmip_attr_id)id);
		struct kmip_attr a = {.id = info->id, .name = info->name,
		    .name_len = strlen(info->name)};

		for (int n = 0; kmip_attr_known(info, version) && n < ROUNDS; n++) {
			a.value = values_of(arena, info, version);
			a.index = (int32_t)values_below(3);
			round_trip(&a, version);
		}
		if (kmip_attr_known(info, version))
			reference_round_trip(&a, version);
	}
}
END_TEST

START_TEST(vendors_attributes_in_every_version)
{
	static const char *const names[] = {"x-Product", "y-", "x-a-b", "acme.com-Set", "A_1-x y"};
	static const enum ttlv_type types[] = {TTLV_INTEGER, TTLV_LONG, TTLV_BOOLEAN, TTLV_TEXT,
	    TTLV_BYTES, TTLV_DATE_TIME, TTLV_INTERVAL, TTLV_DATE_TIME_EXTENDED};
	int version = versions[_i];

	for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++) {
		for (size_t k = 0; k < sizeof(types) / sizeof(types[0]); k++) {
			struct kmip_attr_info info = {.tag = TAG_ATTRIBUTE_VALUE, .type = types[k]};
			struct kmip_attr a = {.id = ATTR_CUSTOM, .name = names[n],
			    .name_len = strlen(names[n])};

			a.value = values_of(arena, &info, version);
			if (kmip_attr_find(a.name, a.name_len, version) == ATTR_UNKNOWN)
				continue; /* 1.x has x and y only */
			if (types[k] == TTLV_DATE_TIME_EXTENDED && version < KMIP_2_0) {
				struct buf b;

				buf_init(&b, 1024); /* a type that 1.x could not read */
				ck_assert(!kmip_attr_write(&b, version, &a));
				ck_assert_uint_eq(b.len, 0);
				continue;
			}
			round_trip(&a, version);
			reference_round_trip(&a, version);
		}
	}
}
END_TEST

/* What is in the Attributes structure that hex is, byte for byte what the specification shows. */
START_TEST(elements_of_2_x_are_what_they_are)
{
	static const char hex[] = "42012501 00000068"
	    "42002a02 00000004 0000010000000000"
	    "42000801 00000030 42009d07 00000001 7800000000000000"
	    "42000a07 00000002 4944000000000000 42000b02 00000004 0000000700000000"
	    "42005d07 00000001 6100000000000000"
	    "54000102 00000004 0000000100000000";
	uint8_t data[256];
	struct ttlv_reader r;
	struct kmip_attr a;
	struct ttlv t;

	ck_assert_int_eq(ttlv_check(data, hex_read(data, sizeof(data), hex), 100, &t), ERR_OK);
	ttlv_enter(&r, &t);
	ck_assert(kmip_attr_read(&r, arena, KMIP_2_0, true, &a));
	ck_assert_int_eq(a.id, ATTR_CRYPTOGRAPHIC_LENGTH);
	ck_assert_int_eq(ttlv_int(&a.value), 256);
	ck_assert(kmip_attr_read(&r, arena, KMIP_2_0, true, &a));
	ck_assert_int_eq(a.id, ATTR_CUSTOM);
	ck_assert_uint_eq(a.name_len, 4);
	ck_assert_mem_eq(a.name, "x-ID", 4);
	ck_assert_int_eq(ttlv_int(&a.value), 7);
	/* Operation Policy Name has gone */
	ck_assert(kmip_attr_read(&r, arena, KMIP_2_0, true, &a));
	ck_assert_int_eq(a.id, ATTR_UNKNOWN);
	/* an extension is none of ours */
	ck_assert(!kmip_attr_follows(&r, KMIP_2_0));
	ck_assert_int_eq(ttlv_finish(&r), ERR_OK);
	ck_assert(!kmip_attr_read(&r, arena, KMIP_2_0, true, &a));
	ck_assert_int_eq(r.error, ERR_MISSING_DATA);
}
END_TEST

#define VENDOR "42009d07 00000001 7800000000000000"
#define NAME "42000a07 00000002 4944000000000000"
#define VALUE "42000b02 00000004 0000000700000000"

static const struct {
	const char *what, *hex;
	enum err e;
} wrong[] = {
	{"no vendor", "42000801 00000020" NAME VALUE, ERR_MISSING_DATA},
	{"no name", "42000801 00000020" VENDOR VALUE, ERR_MISSING_DATA},
	{"no value", "42000801 00000020" VENDOR NAME, ERR_MISSING_DATA},
	{"an index", "42000801 00000040" VENDOR NAME "42000902 00000004 0000000000000000" VALUE,
	    ERR_MISSING_DATA},
	{"something behind", "42000801 00000040" VENDOR NAME VALUE VALUE, ERR_INVALID_MESSAGE},
	{"a vendor with a hyphen", "42000801 00000030 42009d07 00000002 782d000000000000" NAME VALUE,
	    ERR_INVALID_FIELD},
	{"an empty vendor", "42000801 00000028 42009d07 00000000" NAME VALUE, ERR_INVALID_FIELD},
	{"no structure", "42000807 00000002 4944000000000000", ERR_INVALID_MESSAGE},
};

START_TEST(wrong_elements_of_2_x_are_refused)
{
	uint8_t data[256];
	size_t len = hex_read(data, sizeof(data), wrong[_i].hex);
	struct ttlv_reader r = {data, data + len, ERR_OK};
	struct kmip_attr a = {.index = 99};

	ck_assert(!kmip_attr_read(&r, arena, KMIP_2_0, true, &a));
	ck_assert_int_eq(a.index, 99);
	ck_assert_msg(r.error == wrong[_i].e, "%s: %s", wrong[_i].what, err_name(r.error));
}
END_TEST

/* The name of a vendor's attribute is put together in the arena. */
START_TEST(a_full_arena_is_told)
{
	static const char hex[] = "42000801 00000030" VENDOR NAME VALUE;
	struct arena *small = arena_new(64);
	uint8_t data[256];
	size_t len = hex_read(data, sizeof(data), hex);
	struct ttlv_reader r = {data, data + len, ERR_OK};
	struct kmip_attr a;

	while (arena_zalloc(small, 1) != NULL)
		;
	ck_assert(!kmip_attr_read(&r, small, KMIP_2_0, true, &a));
	ck_assert_int_eq(r.error, ERR_NO_MEMORY);
	arena_free(small);
}
END_TEST

START_TEST(references_of_2_x_are_two)
{
	static const char hex[] = "42013b05 00000004 0042008d00000000"
	    "42013b01 00000020" VENDOR NAME
	    "42013b05 00000004 0042005d00000000"
	    "42013b07 00000005 5374617465000000";
	uint8_t data[256];
	size_t len = hex_read(data, sizeof(data), hex);
	struct ttlv_reader r = {data, data + len, ERR_OK};
	struct kmip_attr a;

	ck_assert(kmip_attr_take_reference(&r, arena, KMIP_2_0, &a));
	ck_assert_int_eq(a.id, ATTR_STATE);
	ck_assert(kmip_attr_take_reference(&r, arena, KMIP_2_0, &a));
	ck_assert_int_eq(a.id, ATTR_CUSTOM);
	ck_assert_mem_eq(a.name, "x-ID", 4);
	ck_assert(kmip_attr_take_reference(&r, arena, KMIP_2_0, &a));
	ck_assert_int_eq(a.id, ATTR_UNKNOWN);
	ck_assert(!kmip_attr_take_reference(&r, arena, KMIP_2_0, &a));
	ck_assert_int_eq(r.error, ERR_INVALID_MESSAGE);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("wire");
	TCase *tc = tcase_create("wire");
	SRunner *sr = srunner_create(s);
	int failed;

	seed = values_first_seed();
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, every_attribute_in_every_version, 0, VERSIONS);
	tcase_add_loop_test(tc, vendors_attributes_in_every_version, 0, VERSIONS);
	tcase_add_test(tc, elements_of_2_x_are_what_they_are);
	tcase_add_loop_test(tc, wrong_elements_of_2_x_are_refused, 0,
	    (int)(sizeof(wrong) / sizeof(wrong[0])));
	tcase_add_test(tc, a_full_arena_is_told);
	tcase_add_test(tc, references_of_2_x_are_two);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
