/* SPDX-License-Identifier: Apache-2.0 */
/* Register: what comes in is what comes out, and what does not fit is refused. */
#include <stdlib.h>
#include <string.h>

#include "rqrig.h"

enum { BYTES_MAX = 64, INVALID = KMIP_RESULT_REASON_INVALID_FIELD,
	MISSING = KMIP_RESULT_REASON_MISSING_DATA };

/* One object as it is registered. */
struct given {
	uint32_t type, format, algorithm, data_type;
	int32_t length, mask;
	size_t bytes;
	bool wrapped, encoded;
};

static const uint8_t material[BYTES_MAX] = "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789ABCDE";

static void
put_wrapping(const struct given *g)
{
	size_t data = ttlv_begin(&msg, TAG_KEY_WRAPPING_DATA), key;

	ttlv_put_enum(&msg, TAG_WRAPPING_METHOD, KMIP_WRAPPING_METHOD_ENCRYPT);
	key = ttlv_begin(&msg, TAG_ENCRYPTION_KEY_INFORMATION);
	ttlv_put_text(&msg, TAG_UNIQUE_IDENTIFIER, "theirs", 6);
	ttlv_end(&msg, key);
	if (!g->encoded)
		ttlv_put_enum(&msg, TAG_ENCODING_OPTION, KMIP_ENCODING_OPTION_NO_ENCODING);
	ttlv_end(&msg, data);
}

static void
put_value(const struct given *g)
{
	size_t value, inner;

	if (g->encoded) {
		ttlv_put_bytes(&msg, TAG_KEY_VALUE, material, g->bytes);
		return;
	}
	value = ttlv_begin(&msg, TAG_KEY_VALUE);
	if (g->format == KMIP_KEY_FORMAT_TYPE_TRANSPARENT_SYMMETRIC_KEY) {
		inner = ttlv_begin(&msg, TAG_KEY_MATERIAL);
		ttlv_put_bytes(&msg, TAG_KEY, material, g->bytes);
		ttlv_end(&msg, inner);
	} else {
		ttlv_put_bytes(&msg, TAG_KEY_MATERIAL, material, g->bytes);
	}
	ttlv_end(&msg, value);
}

static void
put_block(const struct given *g)
{
	size_t block = ttlv_begin(&msg, TAG_KEY_BLOCK);

	ttlv_put_enum(&msg, TAG_KEY_FORMAT_TYPE, g->format);
	put_value(g);
	if (g->algorithm != 0)
		ttlv_put_enum(&msg, TAG_CRYPTOGRAPHIC_ALGORITHM, g->algorithm);
	if (g->length != 0)
		ttlv_put_int(&msg, TAG_CRYPTOGRAPHIC_LENGTH, g->length);
	if (g->wrapped)
		put_wrapping(g);
	ttlv_end(&msg, block);
}

static uint32_t
tag_of(uint32_t type)
{
	return type == KMIP_OBJECT_TYPE_SECRET_DATA  ? TAG_SECRET_DATA
	    : type == KMIP_OBJECT_TYPE_OPAQUE_OBJECT ? TAG_OPAQUE_OBJECT
						     : TAG_SYMMETRIC_KEY;
}

static void
put_object(const struct given *g)
{
	size_t object = ttlv_begin(&msg, tag_of(g->type));

	if (g->type == KMIP_OBJECT_TYPE_OPAQUE_OBJECT) {
		ttlv_put_enum(&msg, TAG_OPAQUE_DATA_TYPE, g->data_type);
		ttlv_put_bytes(&msg, TAG_OPAQUE_DATA_VALUE, material, g->bytes);
	} else {
		if (g->type == KMIP_OBJECT_TYPE_SECRET_DATA)
			ttlv_put_enum(&msg, TAG_SECRET_DATA_TYPE, g->data_type);
		put_block(g);
	}
	ttlv_end(&msg, object);
}

static void
register_item(const struct given *g, const char *flag)
{
	size_t template;

	item_begin(KMIP_OPERATION_REGISTER, NULL);
	ttlv_put_enum(&msg, TAG_OBJECT_TYPE, g->type);
	template = ttlv_begin(&msg, TAG_TEMPLATE_ATTRIBUTE);
	if (g->mask != 0)
		put_attr_int("Cryptographic Usage Mask", g->mask);
	if (flag != NULL)
		put_attr_bool(flag, flag[0] == 'S');
	ttlv_end(&msg, template);
	put_object(g);
	item_end();
}

static void
register_one(const struct given *g, const char *flag, char uid[UID_TEXT_LEN + 1])
{
	begin(1, 0, 0);
	register_item(g, flag);
	run();
	expect_ok(0);
	memcpy(uid, uid_of(0), UID_TEXT_LEN + 1);
}

/* Everything that Get answers behind the uid is, byte for byte, what was registered. */
static void
expect_same(const struct given *g)
{
	struct ttlv object = field(0, tag_of(g->type));

	buf_reset(&msg);
	put_object(g);
	ck_assert_uint_eq(msg.len, TTLV_HEADER + object.len);
	ck_assert_mem_eq(msg.data + TTLV_HEADER, object.value, object.len);
	ck_assert_uint_eq(ttlv_uint(&(struct ttlv){.value = field(0, TAG_OBJECT_TYPE).value, .len = 4}),
	    g->type);
}

#define KEY KMIP_OBJECT_TYPE_SYMMETRIC_KEY
#define SECRET KMIP_OBJECT_TYPE_SECRET_DATA
#define OPAQUE KMIP_OBJECT_TYPE_OPAQUE_OBJECT
#define RAW KMIP_KEY_FORMAT_TYPE_RAW
#define CLEAR KMIP_KEY_FORMAT_TYPE_TRANSPARENT_SYMMETRIC_KEY
#define AES KMIP_CRYPTOGRAPHIC_ALGORITHM_AES
#define TDES KMIP_CRYPTOGRAPHIC_ALGORITHM_3DES
#define HMAC KMIP_CRYPTOGRAPHIC_ALGORITHM_HMAC_SHA256

static const struct given taken[] = {
    {KEY, RAW, AES, 0, 128, 12, 16, false, false},
    {KEY, RAW, AES, 0, 192, 12, 24, false, false},
    {KEY, RAW, AES, 0, 256, 12, 32, false, false},
    {KEY, CLEAR, AES, 0, 256, 12, 32, false, false},
    {KEY, RAW, TDES, 0, 112, 12, 16, false, false},
    {KEY, RAW, TDES, 0, 168, 12, 24, false, false},
    {KEY, RAW, TDES, 0, 192, 12, 24, false, false},
    {KEY, RAW, HMAC, 0, 160, 0x180, 20, false, false},
    {KEY, RAW, AES, 0, 256, 12, 40, true, false},
    {KEY, RAW, AES, 0, 256, 12, 64, true, true},
    {SECRET, KMIP_KEY_FORMAT_TYPE_OPAQUE, 0, KMIP_SECRET_DATA_TYPE_PASSWORD, 0, 2, 7, false, false},
    {SECRET, RAW, 0, KMIP_SECRET_DATA_TYPE_SEED, 0, 0x200, 33, false, false},
    {OPAQUE, 0, 0, 0x80000001, 0, 0, 13, false, false},
    {OPAQUE, 0, 0, 0x80000001, 0, 4, 13, false, false},
    {SECRET, RAW, 0, KMIP_SECRET_DATA_TYPE_PASSWORD, 0, 0, 7, false, false},
};

START_TEST(what_comes_in_comes_out)
{
	const struct given *g = &taken[_i];
	char uid[UID_TEXT_LEN + 1];

	register_one(g, NULL, uid);
	one(KMIP_OPERATION_GET, uid, 0, 0);
	expect_same(g);
	one(KMIP_OPERATION_GET_ATTRIBUTES, uid, 0, 0);
	one(KMIP_OPERATION_DESTROY, uid, 0, 0);
	one(KMIP_OPERATION_GET, uid, FAILED, NOT_FOUND);
}
END_TEST

static const struct refused {
	struct given g;
	uint32_t reason;
} refused[] = {
    {{KEY, RAW, AES, 0, 256, 12, 16, false, false}, INVALID}, /* not as long as it says */
    {{KEY, RAW, AES, 0, 0, 12, 20, false, false}, INVALID},
    {{KEY, RAW, AES, 0, 256, 12, 0, false, false}, INVALID},
    {{KEY, RAW, TDES, 0, 160, 12, 20, false, false}, INVALID},
    {{KEY, RAW, 0, 0, 256, 12, 32, false, false}, MISSING},
    {{KEY, RAW, AES, 0, 256, 0, 32, false, false}, MISSING},
    {{KEY, RAW, AES, 0, 0, 12, 40, true, false}, MISSING}, /* nobody can see how long it is */
    {{KEY, RAW, KMIP_CRYPTOGRAPHIC_ALGORITHM_BLOWFISH, 0, 256, 12, 32, false, false}, INVALID},
    {{KEY, KMIP_KEY_FORMAT_TYPE_PKCS_1, AES, 0, 256, 12, 32, false, false},
	KMIP_RESULT_REASON_KEY_FORMAT_TYPE_NOT_SUPPORTED},
    {{KEY, RAW, AES, 0, 256, 12, 32, false, true}, KMIP_RESULT_REASON_INVALID_MESSAGE},
    {{SECRET, RAW, 0, 99, 0, 2, 7, false, false}, INVALID},
    {{KMIP_OBJECT_TYPE_CERTIFICATE, RAW, 0, 0, 0, 12, 7, false, false}, INVALID},
};

START_TEST(what_does_not_fit_is_refused)
{
	begin(1, 0, 0);
	register_item(&refused[_i].g, NULL);
	run();
	expect(0, FAILED, refused[_i].reason);
	ck_assert_uint_eq(mem.stores, 0);
}
END_TEST

START_TEST(hidden_ones_stay)
{
	const char *flag = _i == 0 ? "Sensitive" : "Extractable";
	char uid[UID_TEXT_LEN + 1];

	version_minor = 4;
	register_one(&taken[2], flag, uid);
	one(KMIP_OPERATION_GET, uid, FAILED,
	    _i == 0 ? KMIP_RESULT_REASON_SENSITIVE : KMIP_RESULT_REASON_NOT_EXTRACTABLE);
}
END_TEST

static void
get_as(const char *uid, uint32_t tag, uint32_t value)
{
	begin(1, 0, 0);
	item_begin(KMIP_OPERATION_GET, uid);
	ttlv_put_enum(&msg, tag, value);
	item_end();
	run();
}

START_TEST(formats)
{
	enum { UNSUPPORTED = KMIP_RESULT_REASON_KEY_FORMAT_TYPE_NOT_SUPPORTED };
	struct given raw = taken[2];
	char uid[UID_TEXT_LEN + 1];

	register_one(&taken[3], NULL, uid);
	get_as(uid, TAG_KEY_FORMAT_TYPE, RAW);
	expect_same(&raw);
	get_as(uid, TAG_KEY_FORMAT_TYPE, KMIP_KEY_FORMAT_TYPE_OPAQUE);
	expect(0, FAILED, UNSUPPORTED);
	register_one(&taken[8], NULL, uid); /* a wrapped one has the form that it has */
	get_as(uid, TAG_KEY_FORMAT_TYPE, CLEAR);
	expect(0, FAILED, UNSUPPORTED);
	get_as(uid, TAG_KEY_COMPRESSION_TYPE, 1);
	expect(0, FAILED, KMIP_RESULT_REASON_KEY_COMPRESSION_TYPE_NOT_SUPPORTED);
	register_one(&taken[12], NULL, uid);
	get_as(uid, TAG_KEY_FORMAT_TYPE, RAW);
	expect(0, FAILED, UNSUPPORTED);
}
END_TEST

START_TEST(wrapped_as_registered)
{
	char uid[UID_TEXT_LEN + 1];

	version_minor = 4;
	register_one(&taken[8], NULL, uid);
	get_as(uid, TAG_KEY_WRAP_TYPE, KMIP_KEY_WRAP_TYPE_AS_REGISTERED);
	expect_same(&taken[8]);
	get_as(uid, TAG_KEY_WRAP_TYPE, KMIP_KEY_WRAP_TYPE_NOT_WRAPPED);
	expect(0, FAILED, KMIP_RESULT_REASON_ILLEGAL_OPERATION);
	get_as(uid, TAG_KEY_WRAP_TYPE, 3);
	expect(0, FAILED, INVALID);
}
END_TEST

/* Dates decide; what is no key is in no state that a client could change by itself. */
START_TEST(born_active_where_that_is_set)
{
	char uid[UID_TEXT_LEN + 1];

	tenant->born_active = true;
	register_one(&taken[2], NULL, uid);
	one(KMIP_OPERATION_DESTROY, uid, FAILED, DENIED);
	register_one(&taken[12], NULL, uid);
	one(KMIP_OPERATION_DESTROY, uid, 0, 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("register");
	TCase *tc = tcase_create("register");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, what_comes_in_comes_out, 0, sizeof(taken) / sizeof(taken[0]));
	tcase_add_loop_test(tc, what_does_not_fit_is_refused, 0, sizeof(refused) / sizeof(refused[0]));
	tcase_add_loop_test(tc, hidden_ones_stay, 0, 2);
	tcase_add_test(tc, formats);
	tcase_add_test(tc, wrapped_as_registered);
	tcase_add_test(tc, born_active_where_that_is_set);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
