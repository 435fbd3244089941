/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes: the table, the structure on the wire, checks of values, the stored form. */
#include "kmip/attr.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "kmip/message.h"
#include "kmip/names.h"
#include "messages.h"

static uint8_t data[MESSAGE_MAX];

/* A reader over the structure that hex is. */
static struct ttlv_reader
enter(const char *hex)
{
	struct ttlv_reader r;
	struct ttlv root;
	size_t len = hex_read(data, sizeof(data), hex);

	ck_assert_int_eq(ttlv_check(data, len, 100, &root), ERR_OK);
	ttlv_enter(&r, &root);
	return r;
}

static enum kmip_attr_id
find(const char *name, int version)
{
	return kmip_attr_find(name, strlen(name), version);
}

START_TEST(table_is_sound)
{
	for (int id = 0; id < ATTR_COUNT; id++) {
		const struct kmip_attr_info *i = kmip_attr_info((enum kmip_attr_id)id);

		ck_assert_int_eq(i->id, id);
		ck_assert_str_eq(kmip_tag_name(i->tag), i->name);
		ck_assert_int_eq(find(i->name, i->since), id);
		ck_assert_int_eq(find(i->name, i->since - 1), ATTR_UNKNOWN);
		ck_assert_int_eq(kmip_attr_find_tag(i->tag, i->since), id);
		ck_assert_int_eq(kmip_attr_find_tag(i->tag, i->since - 1), ATTR_UNKNOWN);
		ck_assert_int_eq(find(i->name, KMIP_2_1),
		    (i->flags & ATTR_ONLY_1) != 0 ? ATTR_UNKNOWN : id);
		ck_assert_int_eq(kmip_attr_find_tag(i->tag, KMIP_2_1), find(i->name, KMIP_2_1));
		ck_assert(i->since >= KMIP_1_0 && i->since <= KMIP_2_1);
		/* What a client may change or remove it may also set, now or later. */
		if ((i->flags & (ATTR_MODIFY | ATTR_DELETE)) != 0)
			ck_assert((i->flags & (ATTR_AT_CREATE | ATTR_ADD)) ==
			    (ATTR_AT_CREATE | ATTR_ADD));
	}
	ck_assert_ptr_null(kmip_attr_info(ATTR_CUSTOM));
	ck_assert_ptr_null(kmip_attr_info(ATTR_UNKNOWN));
}
END_TEST

START_TEST(names_are_found)
{
	ck_assert_int_eq(find("State", KMIP_1_0), ATTR_STATE);
	ck_assert_int_eq(find("state", KMIP_1_0), ATTR_UNKNOWN);
	ck_assert_int_eq(find("State ", KMIP_1_0), ATTR_UNKNOWN);
	ck_assert_int_eq(find("", KMIP_1_0), ATTR_UNKNOWN);
	ck_assert_int_eq(find("x-Product", KMIP_1_0), ATTR_CUSTOM);
	ck_assert_int_eq(find("y-anything", KMIP_1_0), ATTR_CUSTOM);
	ck_assert_int_eq(find("x", KMIP_1_0), ATTR_UNKNOWN);
	ck_assert_int_eq(find("X-Product", KMIP_1_0), ATTR_UNKNOWN);
	ck_assert_int_eq(kmip_attr_find("Names", 4, KMIP_1_0), ATTR_NAME);
	/* other vendors than x and y are 2.x's */
	ck_assert_int_eq(find("acme.com-Product", KMIP_1_4), ATTR_UNKNOWN);
	ck_assert_int_eq(find("acme.com-Product", KMIP_2_0), ATTR_CUSTOM);
	ck_assert_int_eq(find("x-Product", KMIP_2_0), ATTR_CUSTOM);
	ck_assert_int_eq(find("-Product", KMIP_2_0), ATTR_UNKNOWN);
	ck_assert_int_eq(find("a b-Product", KMIP_2_0), ATTR_UNKNOWN);
	ck_assert_int_eq(find("Product", KMIP_2_0), ATTR_UNKNOWN);
}
END_TEST

START_TEST(flags_follow_the_rules)
{
	struct kmip_attr a = {.id = ATTR_STATE};

	ck_assert_uint_eq(kmip_attr_flags(&a), 0);
	a.id = ATTR_CRYPTOGRAPHIC_USAGE_MASK;
	ck_assert_uint_eq(kmip_attr_flags(&a), ATTR_AT_CREATE);
	a.id = ATTR_ACTIVATION_DATE;
	ck_assert_uint_eq(kmip_attr_flags(&a), ATTR_AT_CREATE | ATTR_ADD | ATTR_MODIFY);
	a = (struct kmip_attr){.id = ATTR_CUSTOM, .name = "x-a", .name_len = 3};
	ck_assert(kmip_attr_flags(&a) & ATTR_ADD);
	ck_assert(kmip_attr_flags(&a) & ATTR_MULTI);
	a.name = "y-a";
	ck_assert_uint_eq(kmip_attr_flags(&a), ATTR_MULTI | ATTR_KEPT);
	a.id = ATTR_UNKNOWN;
	ck_assert_uint_eq(kmip_attr_flags(&a), 0);
}
END_TEST

#define WRAP(len, hex) "42009101 " len hex
#define STATE_NAME "42000a07 00000005 5374617465000000"
#define ACTIVE "42000b05 00000004 0000000200000000"

START_TEST(attribute_is_read)
{
	struct ttlv_reader r = enter(WRAP("00000038", "42000801 00000030" STATE_NAME
	    "42000902 00000004 0000000700000000" ACTIVE));
	struct kmip_attr a;

	ck_assert(kmip_attr_read(&r, NULL, KMIP_1_1, true, &a));
	ck_assert_int_eq(ttlv_finish(&r), ERR_OK);
	ck_assert_int_eq(a.id, ATTR_STATE);
	ck_assert_uint_eq(a.name_len, 5);
	ck_assert_mem_eq(a.name, "State", 5);
	ck_assert(a.has_index);
	ck_assert_int_eq(a.index, 7);
	ck_assert_int_eq(a.value.type, TTLV_ENUM);
	ck_assert_uint_eq(ttlv_uint(&a.value), KMIP_STATE_ACTIVE);
}
END_TEST

START_TEST(value_may_be_absent_where_allowed)
{
	static const char hex[] = WRAP("00000018", "42000801 00000010" STATE_NAME);
	struct ttlv_reader r = enter(hex);
	struct kmip_attr a;

	ck_assert(kmip_attr_read(&r, NULL, KMIP_1_1, false, &a));
	ck_assert_ptr_null(a.value.value);
	ck_assert(!a.has_index);
	r = enter(hex);
	ck_assert(!kmip_attr_read(&r, NULL, KMIP_1_1, true, &a));
	ck_assert_int_eq(ttlv_finish(&r), ERR_MISSING_DATA);
}
END_TEST

static const struct {
	const char *what, *hex;
	enum err e;
} structures[] = {
	{"nothing", WRAP("00000000", ""), ERR_MISSING_DATA},
	{"something else", WRAP("00000010", ACTIVE), ERR_MISSING_DATA},
	{"text", WRAP("00000008", "42000807 00000000"), ERR_INVALID_MESSAGE},
	{"no name", WRAP("00000018", "42000801 00000010" ACTIVE), ERR_MISSING_DATA},
	{"name as bytes", WRAP("00000020", "42000801 00000018 42000a08 00000000" ACTIVE),
	    ERR_INVALID_MESSAGE},
	{"index as a long",
	    WRAP("00000038", "42000801 00000030" STATE_NAME "42000903 00000008 0000000000000000"
		ACTIVE), ERR_INVALID_MESSAGE},
	{"index -1",
	    WRAP("00000038", "42000801 00000030" STATE_NAME "42000902 00000004 ffffffff00000000"
		ACTIVE), ERR_INVALID_FIELD},
	{"value before name", WRAP("00000028", "42000801 00000020" ACTIVE STATE_NAME),
	    ERR_MISSING_DATA},
	{"two values", WRAP("00000038", "42000801 00000030" STATE_NAME ACTIVE ACTIVE),
	    ERR_INVALID_MESSAGE},
};

START_TEST(wrong_structure_is_refused)
{
	struct ttlv_reader r = enter(structures[_i].hex);
	struct kmip_attr a = {.index = 99};
	enum err e;

	ck_assert(!kmip_attr_read(&r, NULL, KMIP_1_1, true, &a));
	ck_assert_int_eq(a.index, 99);
	e = ttlv_finish(&r);
	ck_assert_msg(e == structures[_i].e, "%s: %s", structures[_i].what, err_name(e));
}
END_TEST

/* Values as they stand in an Attribute Value element. */
static const struct {
	enum kmip_attr_id id;
	const char *hex;
	int version;
	enum err e;
} values[] = {
	{ATTR_CRYPTOGRAPHIC_ALGORITHM, "42000b05 00000004 0000000300000000", KMIP_1_0, ERR_OK},
	{ATTR_CRYPTOGRAPHIC_ALGORITHM, "42000b05 00000004 0000001c00000000", KMIP_1_4, ERR_OK},
	{ATTR_CRYPTOGRAPHIC_ALGORITHM, "42000b05 00000004 0000001c00000000", KMIP_1_3,
	    ERR_ATTRIBUTE_VALUE},
	{ATTR_CRYPTOGRAPHIC_ALGORITHM, "42000b05 00000004 0000000000000000", KMIP_1_4,
	    ERR_ATTRIBUTE_VALUE},
	{ATTR_CRYPTOGRAPHIC_ALGORITHM, "42000b02 00000004 0000000300000000", KMIP_1_4,
	    ERR_ATTRIBUTE_VALUE},
	{ATTR_CRYPTOGRAPHIC_LENGTH, "42000b02 00000004 0000010000000000", KMIP_1_0, ERR_OK},
	{ATTR_CRYPTOGRAPHIC_LENGTH, "42000b02 00000004 0000000000000000", KMIP_1_0,
	    ERR_ATTRIBUTE_VALUE},
	{ATTR_CRYPTOGRAPHIC_LENGTH, "42000b02 00000004 ffffff0000000000", KMIP_1_0,
	    ERR_ATTRIBUTE_VALUE},
	{ATTR_CRYPTOGRAPHIC_USAGE_MASK, "42000b02 00000004 8000000c00000000", KMIP_1_0, ERR_OK},
	{ATTR_ACTIVATION_DATE, "42000b09 00000008 0000000000000000", KMIP_1_0, ERR_OK},
	{ATTR_ACTIVATION_DATE, "42000b09 00000008 0000003afff4417f", KMIP_1_0, ERR_OK},
	{ATTR_ACTIVATION_DATE, "42000b09 00000008 0000003afff44180", KMIP_1_0,
	    ERR_ATTRIBUTE_VALUE},
	{ATTR_ACTIVATION_DATE, "42000b09 00000008 8000000000000000", KMIP_1_0,
	    ERR_ATTRIBUTE_VALUE},
	{ATTR_ACTIVATION_DATE, "42000b03 00000008 0000000000000000", KMIP_1_0,
	    ERR_ATTRIBUTE_VALUE},
	{ATTR_OBJECT_GROUP, "42000b07 00000002 6131000000000000", KMIP_1_0, ERR_OK},
	{ATTR_OBJECT_GROUP, "42000b08 00000002 6131000000000000", KMIP_1_0, ERR_ATTRIBUTE_VALUE},
	{ATTR_FRESH, "42000b06 00000008 0000000000000001", KMIP_1_1, ERR_OK},
	{ATTR_FRESH, "42000b06 00000008 0000000000000001", KMIP_1_0, ERR_ATTRIBUTE_UNKNOWN},
	/* Name */
	{ATTR_NAME, "42000b01 00000020 42005507 00000001 6100000000000000"
	    "42005405 00000004 0000000100000000", KMIP_1_0, ERR_OK},
	{ATTR_NAME, "42000b01 00000020 42005507 00000001 6100000000000000"
	    "42005405 00000004 0000000300000000", KMIP_1_0, ERR_ATTRIBUTE_VALUE},
	{ATTR_NAME, "42000b01 00000010 42005507 00000001 6100000000000000", KMIP_1_0,
	    ERR_ATTRIBUTE_VALUE},
	{ATTR_NAME, "42000b01 00000020 42005405 00000004 0000000100000000"
	    "42005507 00000001 6100000000000000", KMIP_1_0, ERR_ATTRIBUTE_VALUE},
	{ATTR_NAME, "42000b01 00000030 42005507 00000001 6100000000000000"
	    "42005405 00000004 0000000100000000 42005507 00000001 6200000000000000", KMIP_1_0,
	    ERR_ATTRIBUTE_VALUE},
	{ATTR_NAME, "42000b01 00000000", KMIP_1_0, ERR_ATTRIBUTE_VALUE},
	/* Cryptographic Parameters */
	{ATTR_CRYPTOGRAPHIC_PARAMETERS, "42000b01 00000000", KMIP_1_0, ERR_OK},
	{ATTR_CRYPTOGRAPHIC_PARAMETERS, "42000b01 00000020 42001105 00000004 0000000100000000"
	    "42005f05 00000004 0000000300000000", KMIP_1_0, ERR_OK},
	{ATTR_CRYPTOGRAPHIC_PARAMETERS, "42000b01 00000010 42001105 00000004 0000001200000000",
	    KMIP_1_3, ERR_ATTRIBUTE_VALUE},
	{ATTR_CRYPTOGRAPHIC_PARAMETERS, "42000b01 00000010 4200cd02 00000004 0000000c00000000",
	    KMIP_1_2, ERR_OK},
	{ATTR_CRYPTOGRAPHIC_PARAMETERS, "42000b01 00000010 4200cd02 00000004 0000000c00000000",
	    KMIP_1_1, ERR_ATTRIBUTE_VALUE},
	{ATTR_CRYPTOGRAPHIC_PARAMETERS, "42000b01 00000010 4200cd02 00000004 fffffffc00000000",
	    KMIP_1_2, ERR_ATTRIBUTE_VALUE},
	{ATTR_CRYPTOGRAPHIC_PARAMETERS, "42000b01 00000010 42010205 00000004 0000000600000000",
	    KMIP_1_4, ERR_OK},
	{ATTR_CRYPTOGRAPHIC_PARAMETERS, "42000b01 00000010 42010205 00000004 0000009900000000",
	    KMIP_1_4, ERR_ATTRIBUTE_VALUE},
	/* the others */
	{ATTR_LINK, "42000b01 00000020 42004b05 00000004 0000010600000000"
	    "42004c07 00000001 3200000000000000", KMIP_1_0, ERR_OK},
	{ATTR_LINK, "42000b01 00000020 42004b05 00000004 0000010800000000"
	    "42004c07 00000001 3200000000000000", KMIP_1_1, ERR_ATTRIBUTE_VALUE},
	{ATTR_APPLICATION_SPECIFIC_INFORMATION, "42000b01 00000020"
	    "42000307 00000003 73736c0000000000 42000207 00000001 6100000000000000", KMIP_1_0,
	    ERR_OK},
	{ATTR_APPLICATION_SPECIFIC_INFORMATION, "42000b01 00000010"
	    "42000207 00000001 6100000000000000", KMIP_1_0, ERR_ATTRIBUTE_VALUE},
	{ATTR_APPLICATION_SPECIFIC_INFORMATION, "42000b01 00000010"
	    "42000307 00000003 73736c0000000000", KMIP_1_0, ERR_NAMESPACE},
	{ATTR_USAGE_LIMITS, "42000b01 00000020 42009703 00000008 0000000000001000"
	    "42009805 00000004 0000000100000000", KMIP_1_0, ERR_OK},
	{ATTR_USAGE_LIMITS, "42000b01 00000020 42009703 00000008 ffffffffffffffff"
	    "42009805 00000004 0000000100000000", KMIP_1_0, ERR_ATTRIBUTE_VALUE},
	{ATTR_ALTERNATIVE_NAME, "42000b01 00000020 4200c007 00000001 6100000000000000"
	    "4200c105 00000004 0000000500000000", KMIP_1_2, ERR_OK},
	{ATTR_ALTERNATIVE_NAME, "42000b01 00000020 4200c007 00000001 6100000000000000"
	    "4200c105 00000004 0000000500000000", KMIP_1_1, ERR_ATTRIBUTE_UNKNOWN},
	{ATTR_KEY_VALUE_LOCATION, "42000b01 00000020 4200b907 00000001 6100000000000000"
	    "4200ba05 00000004 0000000200000000", KMIP_1_2, ERR_OK},
	{ATTR_RANDOM_NUMBER_GENERATOR, "42000b01 00000010 4200da05 00000004 0000000100000000",
	    KMIP_1_3, ERR_OK},
	{ATTR_RANDOM_NUMBER_GENERATOR, "42000b01 00000000", KMIP_1_3, ERR_ATTRIBUTE_VALUE},
	{ATTR_REVOCATION_REASON, "42000b01 00000010 42008205 00000004 0000000200000000", KMIP_1_0,
	    ERR_OK},
	{ATTR_DIGEST, "42000b01 00000020 42003805 00000004 0000000600000000"
	    "42003508 00000002 aabb000000000000", KMIP_1_0, ERR_OK},
	{ATTR_CRYPTOGRAPHIC_DOMAIN_PARAMETERS,
	    "42000b01 00000010 42007505 00000004 0000000700000000", KMIP_1_0, ERR_OK},
	{ATTR_CUSTOM, "42000b04 00000008 0000000000000001", KMIP_1_0, ERR_OK},
	{ATTR_CUSTOM, "42000b01 00000010 42000d02 00000004 ffffffff00000000", KMIP_1_0, ERR_OK},
	{ATTR_UNKNOWN, "42000b07 00000000", KMIP_1_4, ERR_ATTRIBUTE_UNKNOWN},
	{ATTR_CUSTOM, "42000b0b 00000008 0000000000000001", KMIP_2_0, ERR_OK},
	{ATTR_CUSTOM, "42000b0b 00000008 0000000000000001", KMIP_1_4, ERR_ATTRIBUTE_VALUE},
	{ATTR_CUSTOM, "42000b01 00000010 4200920b 00000008 0000000000000001", KMIP_2_0, ERR_OK},
	{ATTR_CUSTOM, "42000b01 00000010 4200920b 00000008 0000000000000001", KMIP_1_4,
	    ERR_ATTRIBUTE_VALUE},
	/* 2.x */
	{ATTR_OPERATION_POLICY_NAME, "42000b07 00000001 6100000000000000", KMIP_1_4, ERR_OK},
	{ATTR_OPERATION_POLICY_NAME, "42000b07 00000001 6100000000000000", KMIP_2_0,
	    ERR_ATTRIBUTE_UNKNOWN},
	{ATTR_PROTECTION_LEVEL, "42014505 00000004 0000000100000000", KMIP_2_0, ERR_OK},
	{ATTR_PROTECTION_LEVEL, "42014505 00000004 0000000300000000", KMIP_2_0,
	    ERR_ATTRIBUTE_VALUE},
	{ATTR_PROTECTION_LEVEL, "42014505 00000004 0000000100000000", KMIP_1_4,
	    ERR_ATTRIBUTE_UNKNOWN},
	{ATTR_QUANTUM_SAFE, "42014706 00000008 0000000000000001", KMIP_2_0, ERR_OK},
	{ATTR_NIST_KEY_TYPE, "42013a05 00000004 0000001300000000", KMIP_2_0, ERR_OK},
	{ATTR_ROTATE_NAME, "42016f01 00000020 42017007 00000001 6100000000000000"
	    "42017105 00000004 0000000200000000", KMIP_2_1, ERR_OK},
	{ATTR_ROTATE_NAME, "42016f01 00000020 42017007 00000001 6100000000000000"
	    "42017105 00000004 0000000200000000", KMIP_2_0, ERR_ATTRIBUTE_UNKNOWN},
	{ATTR_CRYPTOGRAPHIC_ALGORITHM, "42002805 00000004 0000002900000000", KMIP_2_0, ERR_OK},
	{ATTR_CRYPTOGRAPHIC_ALGORITHM, "42002805 00000004 0000002900000000", KMIP_1_4,
	    ERR_ATTRIBUTE_VALUE},
};

START_TEST(value_is_judged)
{
	struct kmip_attr a = {.id = values[_i].id, .name = "x-a", .name_len = 3};
	size_t len = hex_read(data, sizeof(data), values[_i].hex);
	const char *name = a.id < ATTR_COUNT ? kmip_attr_info(a.id)->name : "custom";
	enum err e;

	ck_assert_int_eq(ttlv_check(data, len, 100, &a.value), ERR_OK);
	e = kmip_attr_check(&a, values[_i].version);
	ck_assert_msg(e == values[_i].e, "%s %s: %s", name, values[_i].hex, err_name(e));
}
END_TEST

START_TEST(values_and_names_are_bounded)
{
	static uint8_t text[ATTR_VALUE_MAX + 1];
	struct kmip_attr a = {.id = ATTR_CUSTOM, .name = (const char *)text, .name_len = 3,
	    .value = {TAG_ATTRIBUTE_VALUE, TTLV_TEXT, text, ATTR_VALUE_MAX}};

	memset(text, 'x', sizeof(text));
	ck_assert_int_eq(kmip_attr_check(&a, KMIP_1_1), ERR_OK);
	a.value.len++;
	ck_assert_int_eq(kmip_attr_check(&a, KMIP_1_1), ERR_ATTRIBUTE_VALUE);
	a.value.len = 8;
	a.name_len = ATTR_NAME_MAX;
	ck_assert_int_eq(kmip_attr_check(&a, KMIP_1_1), ERR_OK);
	a.name_len++;
	ck_assert_int_eq(kmip_attr_check(&a, KMIP_1_1), ERR_ATTRIBUTE_UNKNOWN);
	a.name_len = 3;
	a.value.value = NULL;
	ck_assert_int_eq(kmip_attr_check(&a, KMIP_1_1), ERR_ATTRIBUTE_VALUE);
}
END_TEST

/* What vCenter put into Create and Add Attribute comes back as it was. */
START_TEST(real_attributes_come_back)
{
	static struct kmip_request rq;
	uint8_t msg[MESSAGE_MAX];
	size_t len = hex_read(msg, sizeof(msg), msg_create);
	static const enum kmip_attr_id want[] = {ATTR_CRYPTOGRAPHIC_ALGORITHM,
	    ATTR_CRYPTOGRAPHIC_USAGE_MASK, ATTR_CRYPTOGRAPHIC_LENGTH};
	struct ttlv_reader r;
	struct kmip_attr a;
	struct ttlv t;
	struct buf b;

	ck_assert_int_eq(kmip_request_read(&rq, msg, len), ERR_OK);
	ttlv_enter(&r, &rq.items[0].payload);
	ck_assert(ttlv_next(&r, &t) && ttlv_next(&r, &t));
	ttlv_enter(&r, &t);
	buf_init(&b, 1024);
	for (size_t i = 0; i < 3; i++) {
		ck_assert(kmip_attr_read(&r, NULL, rq.version, true, &a));
		ck_assert_int_eq(a.id, want[i]);
		ck_assert_int_eq(kmip_attr_check(&a, rq.version), ERR_OK);
		ck_assert(kmip_attr_write(&b, rq.version, &a));
	}
	ck_assert_int_eq(ttlv_finish(&r), ERR_OK);
	ck_assert_uint_eq(b.len, t.len);
	ck_assert_mem_eq(b.data, t.value, t.len);

	len = hex_read(msg, sizeof(msg), msg_add_attributes);
	kmip_request_fini(&rq);
	ck_assert_int_eq(kmip_request_read(&rq, msg, len), ERR_OK);
	ttlv_enter(&r, &rq.items[1].payload);
	ck_assert(ttlv_next(&r, &t));
	ck_assert(kmip_attr_read(&r, NULL, rq.version, true, &a));
	ck_assert_int_eq(a.id, ATTR_CUSTOM);
	ck_assert(ttlv_is_text(&a.value, "VMware, Inc."));
	ck_assert_int_eq(kmip_attr_check(&a, rq.version), ERR_OK);
	buf_fini(&b);
	kmip_request_fini(&rq);
}
END_TEST

START_TEST(younger_attributes_are_not_written)
{
	struct kmip_attr a = {.id = ATTR_FRESH,
	    .value = {TAG_ATTRIBUTE_VALUE, TTLV_BOOLEAN, (const uint8_t *)"\0\0\0\0\0\0\0\1", 8}};
	struct buf b;

	buf_init(&b, 256);
	ck_assert(!kmip_attr_write(&b, KMIP_1_0, &a));
	ck_assert_uint_eq(b.len, 0);
	ck_assert(kmip_attr_write(&b, KMIP_1_1, &a));
	ck_assert_uint_eq(b.len, 8 + 16 + 16);
	a.id = ATTR_UNKNOWN;
	ck_assert(!kmip_attr_write(&b, KMIP_1_4, &a));
	buf_fini(&b);
}
END_TEST

/* Whoever asks need not have read it from a message that was checked. */
START_TEST(encoding_of_a_value_is_judged)
{
	struct kmip_attr a = {.id = ATTR_FRESH,
	    .value = {TAG_ATTRIBUTE_VALUE, TTLV_BOOLEAN, (const uint8_t *)"\0\0\0\0\0\0\0\1", 8}};

	ck_assert_int_eq(kmip_attr_check(&a, KMIP_1_1), ERR_OK);
	a.value.len = 4;
	ck_assert_int_eq(kmip_attr_check(&a, KMIP_1_1), ERR_ATTRIBUTE_VALUE);
	a.value.len = 8;
	a.value.value = (const uint8_t *)"\0\0\0\0\0\0\0\2";
	ck_assert_int_eq(kmip_attr_check(&a, KMIP_1_1), ERR_ATTRIBUTE_VALUE);
}
END_TEST

/* Neither as what somebody asks for, nor without the value that 2.x has instead of a name. */
START_TEST(what_cannot_be_written_leaves_nothing)
{
	struct kmip_attr a = {.id = ATTR_FRESH, .name = "Fresh", .name_len = 5};
	struct buf b;

	buf_init(&b, 256);
	ck_assert(!kmip_attr_write_reference(&b, KMIP_1_0, &a));
	ck_assert(!kmip_attr_write(&b, KMIP_2_0, &a));
	ck_assert_uint_eq(b.len, 0);
	ck_assert(kmip_attr_write_reference(&b, KMIP_1_1, &a));
	ck_assert(kmip_attr_write_reference(&b, KMIP_2_0, &a));
	ck_assert_uint_eq(b.len, 16 + 16);
	buf_fini(&b);
}
END_TEST

/* Names decide, to the last letter; without one nothing is the same. */
START_TEST(same_names_are_the_same)
{
	struct kmip_attr a = {.name = "x-ab", .name_len = 4}, b = a;

	ck_assert(kmip_attr_same(&a, &b));
	b.name_len = 3;
	ck_assert(!kmip_attr_same(&a, &b));
	b = (struct kmip_attr){.name = "x-aB", .name_len = 4};
	ck_assert(!kmip_attr_same(&a, &b));
	b.name = NULL;
	ck_assert(!kmip_attr_same(&a, &b));
	ck_assert(!kmip_attr_same(&b, &a));
}
END_TEST

START_TEST(index_is_written_when_it_says_something)
{
	struct kmip_attr a = {.id = ATTR_OBJECT_GROUP,
	    .value = {TAG_ATTRIBUTE_VALUE, TTLV_TEXT, (const uint8_t *)"g", 1}};
	struct buf b;
	size_t without;

	buf_init(&b, 256);
	ck_assert(kmip_attr_write(&b, KMIP_1_1, &a));
	without = b.len;
	buf_reset(&b);
	a.has_index = true;
	ck_assert(kmip_attr_write(&b, KMIP_1_1, &a));
	ck_assert_uint_eq(b.len, without + 16);
	buf_reset(&b);
	a.has_index = false;
	a.index = 2;
	ck_assert(kmip_attr_write(&b, KMIP_1_1, &a));
	ck_assert_uint_eq(b.len, without + 16);
	buf_fini(&b);
}
END_TEST

START_TEST(stored_form_comes_back)
{
	struct buf b;

	buf_init(&b, 1024);
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		size_t len = hex_read(data, sizeof(data), values[i].hex);
		struct ttlv t, back;

		buf_reset(&b);
		ck_assert_int_eq(ttlv_check(data, len, 100, &t), ERR_OK);
		kmip_attr_pack_value(&b, &t);
		ck_assert(kmip_attr_unpack_value(b.data, b.len, &back));
		ck_assert_int_eq(back.type, t.type);
		ck_assert_uint_eq(back.len, t.len);
		if (t.len > 0)
			ck_assert_mem_eq(back.value, t.value, t.len);
	}
	buf_fini(&b);
}
END_TEST

START_TEST(damaged_stored_form_is_refused)
{
	static const char *const bad[] = {"", "00", "0b", "0b 00000001",
	    "0c 0000000000000001", "02 000000", "02 0000000000", "06 02",
	    "06 0000000000000002", "07 00", "07 ff", "01 00", "01 42000d02 00000004 00000001",
	    "01 42000d02 00000004 00000001 00000001", "04"};
	struct ttlv t = {.tag = 5};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		size_t len = hex_read(data, sizeof(data), bad[i]);

		ck_assert_msg(!kmip_attr_unpack_value(data, len, &t), "%s", bad[i]);
		ck_assert_uint_eq(t.tag, 5);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("attr");
	TCase *tc = tcase_create("attr");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_add_test(tc, table_is_sound);
	tcase_add_test(tc, names_are_found);
	tcase_add_test(tc, flags_follow_the_rules);
	tcase_add_test(tc, attribute_is_read);
	tcase_add_test(tc, value_may_be_absent_where_allowed);
	tcase_add_loop_test(tc, wrong_structure_is_refused, 0,
	    (int)(sizeof(structures) / sizeof(structures[0])));
	tcase_add_loop_test(tc, value_is_judged, 0, (int)(sizeof(values) / sizeof(values[0])));
	tcase_add_test(tc, values_and_names_are_bounded);
	tcase_add_test(tc, real_attributes_come_back);
	tcase_add_test(tc, younger_attributes_are_not_written);
	tcase_add_test(tc, encoding_of_a_value_is_judged);
	tcase_add_test(tc, what_cannot_be_written_leaves_nothing);
	tcase_add_test(tc, same_names_are_the_same);
	tcase_add_test(tc, index_is_written_when_it_says_something);
	tcase_add_test(tc, stored_form_comes_back);
	tcase_add_test(tc, damaged_stored_form_is_refused);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
