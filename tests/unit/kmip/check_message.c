/* SPDX-License-Identifier: Apache-2.0 */
/* Request messages as clients send them, good and bad, and response messages byte by byte. */
#include "kmip/message.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kmip/names.h"
#include "kmip/reason.h"
#include "messages.h"

/* Too large for a test's stack to be pleasant. */
static struct kmip_request rq;

/* Reads from a copy of the right size, which lives until the next call. */
static enum err
read_hex(const char *hex)
{
	static uint8_t *copy;
	uint8_t data[MESSAGE_MAX];
	size_t len = hex_read(data, sizeof(data), hex);

	kmip_request_fini(&rq);
	free(copy);
	copy = malloc(len > 0 ? len : 1);
	ck_assert_ptr_nonnull(copy);
	memcpy(copy, data, len);
	memset(&rq, 0xa5, sizeof(rq));
	return kmip_request_read(&rq, copy, len);
}

static void
expect_ubid(unsigned item, const char *text)
{
	ck_assert_uint_eq(rq.items[item].ubid.len, 8);
	ck_assert_mem_eq(rq.items[item].ubid.value, text, 8);
}

START_TEST(discover_versions)
{
	uint8_t data[MESSAGE_MAX];

	ck_assert_uint_eq(hex_read(data, sizeof(data), msg_discover_versions), 104);
	ck_assert_int_eq(read_hex(msg_discover_versions), ERR_OK);
	ck_assert_int_eq(rq.version, KMIP_1_1);
	ck_assert_uint_eq(rq.count, 1);
	ck_assert_uint_eq(rq.items[0].operation, KMIP_OPERATION_DISCOVER_VERSIONS);
	ck_assert_ptr_null(rq.items[0].ubid.value);
	ck_assert_ptr_nonnull(rq.items[0].payload.value);
	ck_assert_uint_eq(rq.items[0].payload.len, 0);
	ck_assert_int_eq(rq.continuation, KMIP_CONTINUE_STOP);
	ck_assert_uint_eq(rq.max_response, 0);
	ck_assert_uint_eq(rq.credential_type, 0);
	ck_assert(!rq.asynchronous && !rq.has_order && !rq.has_time_stamp);
	ck_assert(!rq.items[0].critical);
}
END_TEST

START_TEST(create)
{
	uint8_t data[MESSAGE_MAX];
	struct ttlv_reader r;
	struct ttlv t;

	ck_assert_uint_eq(hex_read(data, sizeof(data), msg_create), 312);
	ck_assert_int_eq(read_hex(msg_create), ERR_OK);
	ck_assert_uint_eq(rq.items[0].operation, KMIP_OPERATION_CREATE);
	expect_ubid(0, "QLKC\1\0\0");
	ttlv_enter(&r, &rq.items[0].payload);
	ck_assert(ttlv_need(&r, TAG_OBJECT_TYPE, TTLV_ENUM, &t));
	ck_assert_uint_eq(ttlv_uint(&t), KMIP_OBJECT_TYPE_SYMMETRIC_KEY);
	ck_assert(ttlv_need(&r, TAG_TEMPLATE_ATTRIBUTE, TTLV_STRUCTURE, &t));
	ck_assert_int_eq(ttlv_finish(&r), ERR_OK);
}
END_TEST

START_TEST(add_attributes)
{
	uint8_t data[MESSAGE_MAX];

	ck_assert_uint_eq(hex_read(data, sizeof(data), msg_add_attributes), 440);
	ck_assert_int_eq(read_hex(msg_add_attributes), ERR_OK);
	ck_assert_uint_eq(rq.count, 3);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_uint_eq(rq.items[i].operation, KMIP_OPERATION_ADD_ATTRIBUTE);
	expect_ubid(0, "QLKC\1\0\0");
	expect_ubid(2, "QLKC\3\0\0");
}
END_TEST

START_TEST(get)
{
	uint8_t data[MESSAGE_MAX];

	ck_assert_uint_eq(hex_read(data, sizeof(data), msg_get), 136);
	ck_assert_int_eq(read_hex(msg_get), ERR_OK);
	ck_assert_uint_eq(rq.items[0].operation, KMIP_OPERATION_GET);
}
END_TEST

START_TEST(login)
{
	ck_assert_int_eq(read_hex(msg_activate_with_login), ERR_OK);
	ck_assert_uint_eq(rq.credential_type, KMIP_CREDENTIAL_TYPE_USERNAME_AND_PASSWORD);
	ck_assert(ttlv_is_text(&rq.username, "vcenter"));
}
END_TEST

/* Pieces of messages. */
#define V_(minor) "42006901 00000020 42006a02 00000004 0000000100000000"                           \
		  "42006b02 00000004 000000" minor "00000000"
#define V11 V_("01")
#define V14 V_("04")
#define V2_(minor) "42006901 00000020 42006a02 00000004 0000000200000000"                          \
		   "42006b02 00000004 000000" minor "00000000"
#define V20 V2_("00")
#define V21 V2_("01")
#define COUNT(hex) "42000d02 00000004 " hex "00000000"
#define COUNT1 COUNT("00000001")
#define GET "42005c05 00000004 0000000a00000000"
#define PAYLOAD "42007901 00000000"
#define UBID(hex) "42009308 00000001" hex "00000000000000"
#define ITEM "42000f01 00000018" GET PAYLOAD
#define ITEM_UBID(hex) "42000f01 00000028" GET UBID(hex) PAYLOAD
/* "{header}items": message() puts in the lengths, so that a case shows what is special in it. */


static const char *
message(const char *text)
{
	static char out[8192];
	const char *end = strchr(text, '}');
	size_t header = 0, rest = 0;

	if (*text != '{')
		return text;
	for (const char *p = text + 1; *p != '\0'; p++)
		if (*p != ' ' && *p != '}')
			*(p < end ? &header : &rest) += 1;
	snprintf(out, sizeof(out), "42007801 %08zx 42007701 %08zx %.*s %s", (header + rest) / 2 + 8,
	    header / 2, (int)(end - text - 1), text + 1, end + 1);
	return out;
}

static const struct {
	const char *what;
	const char *hex;
	enum err e;
} requests[] = {
	{"smallest", "{" V11 COUNT1 "}" ITEM, ERR_OK},
	{"version 1.0", "{" V_("00") COUNT1 "}" ITEM, ERR_OK},
	{"version 1.4", "{" V14 COUNT1 "}" ITEM, ERR_OK},
	{"no payload", "{" V11 COUNT1 "} 42000f01 00000010" GET, ERR_OK},
	{"unknown operation",
	    "{" V11 COUNT1 "} 42000f01 00000010 42005c05 00000004 000000ff00000000",
	    ERR_OK},
	{"two items", "{" V11 COUNT("00000002") "}" ITEM_UBID("01") ITEM_UBID("02"), ERR_OK},
	{"every option of 1.1",
	    "{" V11 "42005002 00000004 0000100000000000 42000706 00000008 0000000000000001"
	    "42000e05 00000004 0000000100000000 42001006 00000008 0000000000000001"
	    "42009209 00000008 0000000047da67f8" COUNT1 "}" ITEM,
	    ERR_OK},
	{"every option of 1.4",
	    "{" V14 "42010507 00000002 6869000000000000 42010607 00000002 6869000000000000"
	    "4200d306 00000008 0000000000000001 4200c705 00000004 0000000100000000"
	    "4200c705 00000004 0000000200000000" COUNT1 "}" ITEM,
	    ERR_OK},
	{"device credential",
	    "{" V11 "42000c01 00000030 42002301 00000028 42002405 00000004 0000000200000000"
	    "42002501 00000010 4200b007 00000002 3132000000000000" COUNT1 "}" ITEM,
	    ERR_OK},
	{"attestation and unheard-of credentials",
	    "{" V14 "42000c01 00000050 42002301 00000018 42002405 00000004 0000000300000000"
	    "42002501 00000000 42002301 00000028 42002405 00000004 8000000100000000"
	    "42002507 0000000a 6162636465666768 6970000000000000" COUNT1 "}" ITEM,
	    ERR_OK},
	{"message extension, not critical",
	    "{" V11 COUNT1 "} 42000f01 00000048" GET PAYLOAD
	    "42005101 00000028 42009d07 00000002 4142000000000000"
	    "42002606 00000008 0000000000000000 42009c01 00000000",
	    ERR_OK},
	{"extension tag in the header", "{" V11 COUNT1 "54000108 00000000 }" ITEM, ERR_OK},

	{"nothing", "", ERR_INVALID_MESSAGE},
	{"response message", "42007b01 00000000", ERR_INVALID_MESSAGE},
	{"text instead of a message", "42007807 00000000", ERR_INVALID_MESSAGE},
	{"empty message", "42007801 00000000", ERR_MISSING_DATA},
	{"empty header", "{}" ITEM, ERR_MISSING_DATA},
	{"items first", "42007801 00000020" ITEM, ERR_MISSING_DATA},
	{"no version", "{" COUNT1 "}" ITEM, ERR_MISSING_DATA},
	{"no major version",
	    "{ 42006901 00000010 42006b02 00000004 0000000100000000" COUNT1 "}" ITEM,
	    ERR_MISSING_DATA},
	{"minor version first",
	    "{ 42006901 00000020 42006b02 00000004 0000000100000000"
	    "42006a02 00000004 0000000100000000" COUNT1 "}" ITEM,
	    ERR_MISSING_DATA},
	{"version as an enumeration",
	    "{ 42006901 00000010 42006a05 00000004 0000000100000000" COUNT1 "}" ITEM,
	    ERR_INVALID_MESSAGE},
	{"version 1.5", "{" V_("05") COUNT1 "}" ITEM, ERR_VERSION_UNSUPPORTED},
	{"version 1.255", "{" V_("ff") COUNT1 "}" ITEM, ERR_VERSION_UNSUPPORTED},
	{"version 3.0 and a type that we do not know",
	    "{ 42006901 00000020 42006a02 00000004 0000000300000000"
	    "42006b02 00000004 0000000000000000 4200920f 00000008 0000000000000000" COUNT1
	    "}" ITEM,
	    ERR_VERSION_UNSUPPORTED},
	{"version 2.0", "{" V20 COUNT1 "}" ITEM, ERR_OK},
	{"version 2.1", "{" V21 COUNT1 "}" ITEM, ERR_OK},
	{"version 2.2", "{" V2_("02") COUNT1 "}" ITEM, ERR_VERSION_UNSUPPORTED},
	{"asynchronous by a boolean in 2.0", "{" V20 "42000706 00000008 0000000000000000" COUNT1 "}"
	    ITEM, ERR_INVALID_MESSAGE},
	{"asynchronous by an enumeration in 1.4",
	    "{" V14 "42000705 00000004 0000000300000000" COUNT1 "}" ITEM, ERR_INVALID_MESSAGE},
	{"asynchronous prohibited", "{" V20 "42000705 00000004 0000000300000000" COUNT1 "}" ITEM,
	    ERR_OK},
	{"asynchronous 4", "{" V20 "42000705 00000004 0000000400000000" COUNT1 "}" ITEM,
	    ERR_INVALID_FIELD},
	{"a time stamp in microseconds in 1.4",
	    "{" V14 COUNT1 "} 42000f01 00000028" GET "42007901 00000010"
	    "42009a0b 00000008 0000000000000001", ERR_INVALID_MESSAGE},
	{"the same in 2.0",
	    "{" V20 COUNT1 "} 42000f01 00000028" GET "42007901 00000010"
	    "42009a0b 00000008 0000000000000001", ERR_OK},
	{"ephemeral in 1.4", "{" V14 COUNT1 "} 42000f01 00000028" GET
	    "42015406 00000008 0000000000000001" PAYLOAD, ERR_INVALID_MESSAGE},
	{"ephemeral in 2.0", "{" V20 COUNT1 "} 42000f01 00000028" GET
	    "42015406 00000008 0000000000000001" PAYLOAD, ERR_OK},
	{"ephemeral behind the payload", "{" V20 COUNT1 "} 42000f01 00000028" GET PAYLOAD
	    "42015406 00000008 0000000000000001", ERR_INVALID_MESSAGE},
	{"version -1.1",
	    "{ 42006901 00000020 42006a02 00000004 ffffffff00000000"
	    "42006b02 00000004 0000000100000000" COUNT1 "}" ITEM,
	    ERR_VERSION_UNSUPPORTED},
	{"no count", "{" V11 "}" ITEM, ERR_MISSING_DATA},
	{"count 0", "{" V11 COUNT("00000000") "}", ERR_INVALID_MESSAGE},
	{"count 0 and an item", "{" V11 COUNT("00000000") "}" ITEM, ERR_INVALID_MESSAGE},
	{"count -1", "{" V11 COUNT("ffffffff") "}" ITEM, ERR_INVALID_MESSAGE},
	{"count 129", "{" V11 COUNT("00000081") "}" ITEM, ERR_INVALID_MESSAGE},
	{"count too high", "{" V11 COUNT("00000002") "}" ITEM_UBID("01"), ERR_INVALID_MESSAGE},
	{"count too low", "{" V11 COUNT1 "}" ITEM ITEM, ERR_INVALID_MESSAGE},
	{"count twice", "{" V11 COUNT1 COUNT1 "}" ITEM, ERR_INVALID_MESSAGE},
	{"header twice", "{" V11 COUNT1 "} 42007701 00000000" ITEM, ERR_INVALID_MESSAGE},
	{"options in the wrong order",
	    "{" V11 "42001006 00000008 0000000000000001 42000e05 00000004 0000000100000000" COUNT1
	    "}" ITEM,
	    ERR_MISSING_DATA},
	{"unknown field in the header", "{" V11 "42009407 00000000" COUNT1 "}" ITEM,
	    ERR_MISSING_DATA},
	{"field of 1.4 in 1.1", "{" V11 "42010507 00000002 6869000000000000" COUNT1 "}" ITEM,
	    ERR_MISSING_DATA},
	{"maximum response size 0", "{" V11 "42005002 00000004 0000000000000000" COUNT1 "}" ITEM,
	    ERR_INVALID_FIELD},
	{"maximum response size -1", "{" V11 "42005002 00000004 ffffffff00000000" COUNT1 "}" ITEM,
	    ERR_INVALID_FIELD},
	{"continuation 4", "{" V11 "42000e05 00000004 0000000400000000" COUNT1 "}" ITEM,
	    ERR_INVALID_FIELD},
	{"continuation as an integer", "{" V11 "42000e02 00000004 0000000100000000" COUNT1 "}" ITEM,
	    ERR_INVALID_MESSAGE},
	{"empty authentication", "{" V11 "42000c01 00000000" COUNT1 "}" ITEM, ERR_MISSING_DATA},
	{"credential without type", "{" V11 "42000c01 00000008 42002301 00000000" COUNT1 "}" ITEM,
	    ERR_MISSING_DATA},
	{"credential without value",
	    "{" V11 "42000c01 00000018 42002301 00000010 42002405 00000004 0000000200000000" COUNT1
	    "}" ITEM,
	    ERR_MISSING_DATA},
	{"password without user",
	    "{" V11 "42000c01 00000030 42002301 00000028 42002405 00000004 0000000100000000"
	    "42002501 00000010 4200a107 00000002 7077000000000000" COUNT1 "}" ITEM,
	    ERR_MISSING_DATA},
	{"user and password as text",
	    "{" V11 "42000c01 00000028 42002301 00000020 42002405 00000004 0000000100000000"
	    "42002507 00000002 7077000000000000" COUNT1 "}" ITEM,
	    ERR_INVALID_MESSAGE},
	{"no operation", "{" V11 COUNT1 "} 42000f01 00000008" PAYLOAD, ERR_MISSING_DATA},
	{"empty item", "{" V11 COUNT1 "} 42000f01 00000000", ERR_MISSING_DATA},
	{"operation as an integer",
	    "{" V11 COUNT1 "} 42000f01 00000010 42005c02 00000004 0000000a00000000",
	    ERR_INVALID_MESSAGE},
	{"operation twice", "{" V11 COUNT1 "} 42000f01 00000020" GET GET, ERR_INVALID_MESSAGE},
	{"payload before the item's id",
	    "{" V11 COUNT1 "} 42000f01 00000028" GET PAYLOAD UBID("01"),
	    ERR_INVALID_MESSAGE},
	{"second of two items without id",
	    "{" V11 COUNT("00000002") "}" ITEM_UBID("01") ITEM, ERR_MISSING_DATA},
	{"item's id as text",
	    "{" V11 COUNT1 "} 42000f01 00000028" GET "42009307 00000001 3100000000000000" PAYLOAD,
	    ERR_INVALID_MESSAGE},
	{"message extension without criticality",
	    "{" V11 COUNT1 "} 42000f01 00000038" GET PAYLOAD
	    "42005101 00000018 42009d07 00000002 4142000000000000 42009c01 00000000",
	    ERR_MISSING_DATA},
	{"something behind the items", "{" V11 COUNT1 "}" ITEM "42009401 00000000",
	    ERR_INVALID_MESSAGE},
};

START_TEST(request_is_judged)
{
	enum err e = read_hex(message(requests[_i].hex));

	ck_assert_msg(e == requests[_i].e, "%s: %s", requests[_i].what, err_name(e));
	ck_assert_int_ge(rq.continuation, KMIP_CONTINUE_CONTINUE);
	ck_assert_int_le(rq.continuation, KMIP_CONTINUE_UNDO);
}
END_TEST

START_TEST(options_are_read)
{
	ck_assert_int_eq(
	    read_hex(message("{" V14 "42005002 00000004 0000100000000000"
			     "42010507 00000002 6869000000000000"
			     "42000706 00000008 0000000000000001"
			     "42000e05 00000004 0000000300000000"
			     "42001006 00000008 0000000000000001"
			     "42009209 00000008 0000000047da67f8" COUNT1 "}" ITEM)),
	    ERR_OK);
	ck_assert_int_eq(rq.version, KMIP_1_4);
	ck_assert_uint_eq(rq.max_response, 4096);
	ck_assert(ttlv_is_text(&rq.correlation, "hi"));
	ck_assert(rq.asynchronous && rq.has_order && rq.order && rq.has_time_stamp);
	ck_assert_int_eq(rq.continuation, KMIP_CONTINUE_UNDO);
	ck_assert_int_eq(rq.time_stamp, 0x47da67f8);
}
END_TEST

START_TEST(critical_extension_is_marked)
{
	ck_assert_int_eq(read_hex(message("{" V11 COUNT1 "} 42000f01 00000048" GET PAYLOAD
					  "42005101 00000028 42009d07 00000002 4142000000000000"
					  "42002606 00000008 0000000000000001"
					  "42009c01 00000000")),
	    ERR_OK);
	ck_assert(rq.items[0].critical);
}
END_TEST

/* An error is answered in the request's version, if that could be read at all. */
START_TEST(version_survives_errors)
{
	ck_assert_int_eq(read_hex(message("{" V14 COUNT1 "} 42000f01 00000000")),
	    ERR_MISSING_DATA);
	ck_assert_int_eq(rq.version, KMIP_1_4);
	ck_assert_int_eq(read_hex(message("{" V14 COUNT1 "} 43000f01 00000000")),
	    ERR_INVALID_MESSAGE);
	ck_assert_int_eq(rq.version, KMIP_1_4);
	ck_assert_int_eq(read_hex(message("{" V_("05") COUNT1 "}" ITEM)), ERR_VERSION_UNSUPPORTED);
	ck_assert_int_eq(rq.version, 0x15);
	ck_assert_int_eq(read_hex(message("{" COUNT1 "}" ITEM)), ERR_MISSING_DATA);
	ck_assert_int_eq(rq.version, 0);
}
END_TEST

START_TEST(as_many_items_as_allowed)
{
	uint8_t item[64], data[KMIP_ITEMS_MAX * 64 + 128];
	size_t item_len = hex_read(item, sizeof(item), ITEM_UBID("01"));
	struct buf b;
	size_t mark, header;

	buf_init(&b, sizeof(data));
	mark = ttlv_begin(&b, TAG_REQUEST_MESSAGE);
	header = ttlv_begin(&b, TAG_REQUEST_HEADER);
	kmip_put_version(&b, KMIP_1_2);
	ttlv_put_int(&b, TAG_BATCH_COUNT, KMIP_ITEMS_MAX);
	ttlv_end(&b, header);
	for (int i = 0; i < KMIP_ITEMS_MAX; i++)
		buf_put(&b, item, item_len);
	ttlv_end(&b, mark);
	ck_assert_int_eq(buf_error(&b), ERR_OK);
	kmip_request_fini(&rq);
	ck_assert_int_eq(kmip_request_read(&rq, b.data, b.len), ERR_OK);
	ck_assert_uint_eq(rq.count, KMIP_ITEMS_MAX);
	buf_fini(&b);
}
END_TEST

START_TEST(versions)
{
	ck_assert_uint_eq(kmip_versions_count, 7);
	ck_assert_int_eq(kmip_versions[0], KMIP_2_1);
	ck_assert(kmip_version_known(0x11));
	ck_assert(!kmip_version_known(0));
	ck_assert(kmip_version_known(KMIP_2_0));
	ck_assert(!kmip_version_known(0x22));
	/* who speaks 1.x, or cannot be read, is not answered in 2.x */
	ck_assert_int_eq(kmip_version_answered(KMIP_1_1), KMIP_1_1);
	ck_assert_int_eq(kmip_version_answered(KMIP_2_0), KMIP_2_0);
	ck_assert_int_eq(kmip_version_answered(0), KMIP_1_4);
	ck_assert_int_eq(kmip_version_answered(0x15), KMIP_1_4);
	ck_assert_int_eq(kmip_version_answered(0x30), KMIP_2_1);
}
END_TEST

START_TEST(response_to_activate)
{
	/* 168 bytes, as vCenter gets them for a uid of 36 bytes. */
	static const char want[] =
	    "42007b01 000000a0"				 /* Response Message */
	    "42007a01 00000048"				 /*   Response Header */
	    "42006901 00000020"				 /*     Protocol Version */
	    "42006a02 00000004 0000000100000000"	 /*       major */
	    "42006b02 00000004 0000000100000000"	 /*       minor */
	    "42009209 00000008 0000000047da67f8"	 /*     Time Stamp */
	    "42000d02 00000004 0000000100000000"	 /*     Batch Count */
	    "42000f01 00000048"				 /*   Batch Item */
	    "42005c05 00000004 0000001200000000"	 /*     Operation: Activate */
	    "42009308 00000008 514c4b4301000000"	 /*     Unique Batch Item ID */
	    "42007f05 00000004 0000000000000000"	 /*     Result Status: Success */
	    "42007c01 00000010"				 /*     Response Payload */
	    "42009407 00000001 3100000000000000";	 /*       Unique Identifier */
	uint8_t data[256], payload[24];
	size_t len = hex_read(data, sizeof(data), want), payload_len;
	struct kmip_response rs;
	struct buf b;

	payload_len = hex_read(payload, sizeof(payload),
	    "42007c01 00000010 42009407 00000001 3100000000000000");
	ck_assert_int_eq(read_hex(msg_activate_with_login), ERR_OK);
	buf_init(&b, 1024);
	kmip_response_begin(&rs, &b, KMIP_1_1, 0x47da67f8, 0);
	kmip_response_item(&rs, KMIP_OPERATION_ACTIVATE, &rq.items[0].ubid, ERR_OK, KMIP_1_1,
	    payload, payload_len);
	kmip_response_end(&rs);
	ck_assert_int_eq(buf_error(&b), ERR_OK);
	ck_assert_uint_eq(b.len, 168);
	ck_assert_uint_eq(b.len, len);
	ck_assert_mem_eq(b.data, data, len);
	buf_fini(&b);
}
END_TEST

START_TEST(fields_of_2_x)
{
	ck_assert_int_eq(read_hex(message("{" V20 "42000705 00000004 0000000100000000" COUNT1 "}" ITEM)),
	    ERR_OK);
	ck_assert(rq.asynchronous);
	ck_assert(!rq.items[0].ephemeral);
	ck_assert_int_eq(read_hex(message("{" V20 "42000705 00000004 0000000200000000" COUNT1
	    "} 42000f01 00000028" GET "42015406 00000008 0000000000000001" PAYLOAD)), ERR_OK);
	ck_assert(!rq.asynchronous);
	ck_assert(rq.items[0].ephemeral);
}
END_TEST

/* Since 1.4 an answer can say which request of our log it is. */
START_TEST(answers_since_1_4_are_numbered)
{
	static const char want[] = "42007b01 00000060 42007a01 00000058" V20
	    "42009209 00000008 0000000000000001 42010607 00000002 3432000000000000"
	    COUNT("00000000");
	uint8_t data[128];
	size_t len = hex_read(data, sizeof(data), want);
	struct kmip_response rs;
	struct buf b;

	buf_init(&b, 1024);
	kmip_response_begin(&rs, &b, KMIP_2_0, 1, 42);
	kmip_response_end(&rs);
	ck_assert_uint_eq(b.len, len);
	ck_assert_mem_eq(b.data, data, len);
	buf_reset(&b);
	kmip_response_begin(&rs, &b, KMIP_1_4, 1, 42);
	ck_assert_uint_eq(b.len, len);
	buf_reset(&b);
	kmip_response_begin(&rs, &b, KMIP_1_3, 1, 42);
	ck_assert_uint_eq(b.len, len - 16);
	buf_fini(&b);
}
END_TEST

START_TEST(failures_in_a_response)
{
	struct kmip_response rs;
	struct ttlv root, t, ubid = {TAG_UNIQUE_BATCH_ITEM_ID, TTLV_BYTES,
	    (const uint8_t *)"abc", 3};
	struct ttlv_reader r, in;
	struct buf b;

	buf_init(&b, 1024);
	kmip_response_begin(&rs, &b, KMIP_1_0, 0, 0);
	kmip_response_item(&rs, KMIP_OPERATION_GET, &ubid, ERR_NO_OBJECT, KMIP_1_0, "payload", 7);
	kmip_response_item(&rs, 0, NULL, ERR_INVALID_MESSAGE, KMIP_1_0, NULL, 0);
	kmip_response_end(&rs);
	ck_assert_int_eq(buf_error(&b), ERR_OK);
	ck_assert_int_eq(ttlv_check(b.data, b.len, 100, &root), ERR_OK);
	ttlv_enter(&r, &root);
	ck_assert(ttlv_need(&r, TAG_RESPONSE_HEADER, TTLV_STRUCTURE, &t));
	ttlv_enter(&in, &t);
	ck_assert(ttlv_next(&in, &t) && ttlv_next(&in, &t));
	ck_assert(ttlv_need(&in, TAG_BATCH_COUNT, TTLV_INTEGER, &t));
	ck_assert_int_eq(ttlv_int(&t), 2);

	ck_assert(ttlv_need(&r, TAG_BATCH_ITEM, TTLV_STRUCTURE, &t));
	ttlv_enter(&in, &t);
	ck_assert(ttlv_need(&in, TAG_OPERATION, TTLV_ENUM, &t));
	ck_assert(ttlv_need(&in, TAG_UNIQUE_BATCH_ITEM_ID, TTLV_BYTES, &t));
	ck_assert_mem_eq(t.value, "abc", 3);
	ck_assert(ttlv_need(&in, TAG_RESULT_STATUS, TTLV_ENUM, &t));
	ck_assert_uint_eq(ttlv_uint(&t), KMIP_RESULT_STATUS_OPERATION_FAILED);
	ck_assert(ttlv_need(&in, TAG_RESULT_REASON, TTLV_ENUM, &t));
	ck_assert_uint_eq(ttlv_uint(&t), KMIP_RESULT_REASON_ITEM_NOT_FOUND);
	ck_assert(ttlv_need(&in, TAG_RESULT_MESSAGE, TTLV_TEXT, &t));
	ck_assert(ttlv_is_text(&t, err_text(ERR_NO_OBJECT)));
	ck_assert_int_eq(ttlv_finish(&in), ERR_OK);

	ck_assert(ttlv_need(&r, TAG_BATCH_ITEM, TTLV_STRUCTURE, &t));
	ttlv_enter(&in, &t);
	ck_assert(ttlv_need(&in, TAG_RESULT_STATUS, TTLV_ENUM, &t)); /* no Operation */
	ck_assert_int_eq(ttlv_finish(&r), ERR_OK);
	buf_fini(&b);
}
END_TEST

START_TEST(item_lengths_are_foreseen)
{
	static const enum err errs[] = {ERR_OK, ERR_NO_OBJECT, ERR_UNDONE, ERR_DENIED};
	static const uint32_t operations[] = {0, KMIP_OPERATION_GET};
	uint8_t payload[64] = {0x42, 0, 0x7c, TTLV_STRUCTURE, 0, 0, 0, 56};
	struct kmip_response rs;
	struct buf b;

	for (size_t e = 0; e < 4; e++) {
		for (size_t o = 0; o < 2; o++) {
			for (uint32_t n = 0; n <= 17; n++) {
				struct ttlv ubid = {TAG_UNIQUE_BATCH_ITEM_ID, TTLV_BYTES,
				    n > 0 ? payload : NULL, n};
				size_t before;

				buf_init(&b, 1024);
				kmip_response_begin(&rs, &b, KMIP_1_3, 0, 0);
				before = b.len;
				kmip_response_item(&rs, operations[o], &ubid, errs[e], KMIP_1_3,
				    payload, sizeof(payload));
				ck_assert_uint_eq(b.len - before,
				    kmip_response_item_len(operations[o], &ubid, errs[e],
					sizeof(payload)));
				buf_fini(&b);
			}
		}
	}
}
END_TEST

START_TEST(response_has_a_ceiling)
{
	struct kmip_response rs;
	struct buf b;

	buf_init(&b, 200);
	kmip_response_begin(&rs, &b, KMIP_1_4, 0, 0);
	for (int i = 0; i < 10; i++)
		kmip_response_item(&rs, KMIP_OPERATION_GET, NULL, ERR_BUSY, KMIP_1_4, NULL, 0);
	kmip_response_end(&rs);
	ck_assert_int_eq(buf_error(&b), ERR_RESPONSE_TOO_LARGE);
	ck_assert_uint_le(b.len, 200);
	buf_fini(&b);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("message");
	TCase *tc = tcase_create("message");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_add_test(tc, discover_versions);
	tcase_add_test(tc, create);
	tcase_add_test(tc, add_attributes);
	tcase_add_test(tc, get);
	tcase_add_test(tc, login);
	tcase_add_loop_test(tc, request_is_judged, 0,
	    (int)(sizeof(requests) / sizeof(requests[0])));
	tcase_add_test(tc, options_are_read);
	tcase_add_test(tc, critical_extension_is_marked);
	tcase_add_test(tc, version_survives_errors);
	tcase_add_test(tc, as_many_items_as_allowed);
	tcase_add_test(tc, versions);
	tcase_add_test(tc, response_to_activate);
	tcase_add_test(tc, fields_of_2_x);
	tcase_add_test(tc, answers_since_1_4_are_numbered);
	tcase_add_test(tc, failures_in_a_response);
	tcase_add_test(tc, item_lengths_are_foreseen);
	tcase_add_test(tc, response_has_a_ceiling);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
