/* SPDX-License-Identifier: Apache-2.0 */
/* Encrypt, MAC and their kin as requests: in parts, by whom, for how long. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#include "rqrig.h"

enum { MASK = 0x1ff, INVALID = KMIP_RESULT_REASON_INVALID_FIELD,
	UNSUPPORTED = KMIP_RESULT_REASON_FEATURE_NOT_SUPPORTED,
	BUSY = KMIP_RESULT_REASON_GENERAL_FAILURE };

static char key[UID_TEXT_LEN + 1];

static void
setup_key(void)
{
	size_t template;

	setup();
	version_minor = 4;
	tenant->born_active = true;
	begin(1, 0, 0);
	item_begin(KMIP_OPERATION_CREATE, NULL);
	ttlv_put_enum(&msg, TAG_OBJECT_TYPE, KMIP_OBJECT_TYPE_SYMMETRIC_KEY);
	template = ttlv_begin(&msg, TAG_TEMPLATE_ATTRIBUTE);
	put_attr_enum("Cryptographic Algorithm", KMIP_CRYPTOGRAPHIC_ALGORITHM_AES);
	put_attr_int("Cryptographic Usage Mask", MASK);
	put_attr_int("Cryptographic Length", 256);
	ttlv_end(&msg, template);
	item_end();
	run();
	expect_ok(0);
	memcpy(key, uid_of(0), sizeof(key));
}

/* One item, with what is not empty. */
struct part {
	uint32_t operation, mode;
	const char *uid, *data;
	const uint8_t *iv;    /* 16 bytes */
	const uint8_t *value; /* Correlation Value */
	bool init, final;
};

static void
put_part(const struct part *p)
{
	size_t params;

	item_begin(p->operation, p->uid);
	if (p->mode != 0) {
		params = ttlv_begin(&msg, TAG_CRYPTOGRAPHIC_PARAMETERS);
		ttlv_put_enum(&msg,
		    p->operation == KMIP_OPERATION_HASH ? TAG_HASHING_ALGORITHM : TAG_BLOCK_CIPHER_MODE,
		    p->mode);
		ttlv_end(&msg, params);
	}
	if (p->data != NULL)
		ttlv_put_bytes(&msg, TAG_DATA, p->data, strlen(p->data));
	if (p->iv != NULL)
		ttlv_put_bytes(&msg, TAG_IV_COUNTER_NONCE, p->iv, 16);
	if (p->value != NULL)
		ttlv_put_bytes(&msg, TAG_CORRELATION_VALUE, p->value, PARTS_VALUE_LEN);
	if (p->init)
		ttlv_put_bool(&msg, TAG_INIT_INDICATOR, true);
	if (p->final)
		ttlv_put_bool(&msg, TAG_FINAL_INDICATOR, true);
	item_end();
}

static void
ask(const struct part *p)
{
	begin(1, 0, 0);
	put_part(p);
	run();
}

static const uint8_t iv[16] = "0123456789abcdef";

/* Begins an encryption in parts; its Correlation Value. */
static void
begin_parts(uint8_t value[PARTS_VALUE_LEN])
{
	struct part p = {.operation = KMIP_OPERATION_ENCRYPT, .mode = KMIP_BLOCK_CIPHER_MODE_CBC,
	    .uid = key, .data = "sixteen letters.and", .iv = iv, .init = true};
	struct ttlv t;

	ask(&p);
	expect_ok(0);
	t = field(0, TAG_CORRELATION_VALUE);
	ck_assert_uint_eq(t.len, PARTS_VALUE_LEN);
	memcpy(value, t.value, t.len);
}

static struct part
next_part(const uint8_t *value, bool final)
{
	return (struct part){.operation = KMIP_OPERATION_ENCRYPT, .uid = key,
	    .data = final ? " 13 of these." : "sixteen letters.", .value = value, .final = final};
}

static size_t
take(uint8_t *to)
{
	struct ttlv t = field(0, TAG_DATA);

	memcpy(to, t.value, t.len);
	return t.len;
}

START_TEST(parts_are_the_whole)
{
	uint8_t value[PARTS_VALUE_LEN], all[64], whole[64];
	struct part p;
	size_t n;

	begin_parts(value);
	n = take(all);
	ck_assert_uint_eq(n, 16); /* what is not a whole block yet waits */
	p = next_part(value, false);
	ask(&p);
	expect_ok(0);
	ck_assert_mem_eq(field(0, TAG_CORRELATION_VALUE).value, value, sizeof(value));
	n += take(all + n);
	p = next_part(value, true);
	p.uid = NULL; /* known by its Correlation Value */
	ask(&p);
	expect_ok(0);
	n += take(all + n);
	p = (struct part){.operation = KMIP_OPERATION_ENCRYPT, .mode = KMIP_BLOCK_CIPHER_MODE_CBC,
	    .uid = key, .data = "sixteen letters.andsixteen letters. 13 of these.", .iv = iv};
	ask(&p);
	expect_ok(0);
	ck_assert_uint_eq(take(whole), n);
	ck_assert_mem_eq(all, whole, n);
	p = next_part(value, true); /* it is over */
	ask(&p);
	expect(0, FAILED, INVALID);
}
END_TEST

START_TEST(hash_in_parts)
{
	struct part p = {.operation = KMIP_OPERATION_HASH, .mode = KMIP_HASHING_ALGORITHM_SHA_256,
	    .data = "a", .init = true};
	uint8_t value[PARTS_VALUE_LEN], digest[32];

	ask(&p);
	expect_ok(0);
	memcpy(value, field(0, TAG_CORRELATION_VALUE).value, sizeof(value));
	p = (struct part){
	    .operation = KMIP_OPERATION_HASH, .data = "bc", .value = value, .final = true};
	ask(&p);
	expect_ok(0);
	ck_assert_uint_eq(take(digest), 32);
	p = (struct part){.operation = KMIP_OPERATION_HASH, .mode = KMIP_HASHING_ALGORITHM_SHA_256,
	    .data = "abc"};
	ask(&p);
	ck_assert_mem_eq(field(0, TAG_DATA).value, digest, 32);
}
END_TEST

/* By nobody else, for nothing else, not among other items, and not with a key that is no more. */
START_TEST(whose_parts)
{
	uint8_t value[PARTS_VALUE_LEN];
	struct part p;

	begin_parts(value);
	client = 2;
	p = next_part(value, false);
	ask(&p);
	expect(0, FAILED, INVALID);
	client = 1;
	p.operation = KMIP_OPERATION_DECRYPT;
	ask(&p);
	expect(0, FAILED, INVALID);
	p.operation = KMIP_OPERATION_ENCRYPT;
	p.uid = "another";
	ask(&p);
	expect(0, FAILED, INVALID);
	p.uid = key;
	begin(2, 0, 0);
	put_part(&p);
	simple(KMIP_OPERATION_GET_ATTRIBUTES, key);
	run();
	expect(0, FAILED, UNSUPPORTED);
	ask(&p); /* none of these has taken anything away */
	expect_ok(0);
	begin(1, 0, 0);
	revoke_item(key, KMIP_REVOCATION_REASON_CODE_KEY_COMPROMISE);
	run();
	ask(&p);
	expect(0, FAILED, DENIED);
	one(KMIP_OPERATION_DESTROY, key, 0, 0);
	ask(&p);
	expect(0, FAILED, NOT_FOUND);
}
END_TEST

START_TEST(what_is_not_gone_on_with_is_given_up)
{
	uint8_t early[PARTS_VALUE_LEN], late[PARTS_VALUE_LEN];
	struct part p;

	begin_parts(early);
	clock_test_advance((PARTS_TIMEOUT_S - 1) * NS_PER_S);
	begin_parts(late);
	p = next_part(early, false);
	ask(&p); /* the minute begins anew */
	expect_ok(0);
	clock_test_advance((PARTS_TIMEOUT_S - 1) * NS_PER_S);
	ask(&p);
	expect_ok(0);
	clock_test_advance(2 * NS_PER_S);
	turns(2);
	ask(&p);
	expect_ok(0);
	p = next_part(late, false);
	ask(&p);
	expect(0, FAILED, INVALID);
}
END_TEST

/* Each part asks for the key: the root key may be gone since the last one. */
START_TEST(key_is_taken_away_between_parts)
{
	uint8_t value[PARTS_VALUE_LEN];
	struct part p;

	begin_parts(value);
	mem.fail_unwrap = ERR_NO_ROOT_KEY;
	p = next_part(value, false);
	ask(&p);
	expect(0, FAILED, KMIP_RESULT_REASON_CRYPTOGRAPHIC_FAILURE);
	mem.fail_unwrap = ERR_OK;
	ask(&p);
	expect_ok(0);
}
END_TEST

/* serve-compromised = false: the key is neither given out nor used. */
START_TEST(compromised_key_is_not_used)
{
	struct part p = {.operation = KMIP_OPERATION_DECRYPT, .mode = KMIP_BLOCK_CIPHER_MODE_CTR,
	    .uid = key, .data = "sixteen letters.", .iv = iv};

	begin(1, 0, 0);
	revoke_item(key, KMIP_REVOCATION_REASON_CODE_KEY_COMPROMISE);
	run();
	expect_ok(0);
	ask(&p);
	expect_ok(0);
	tenant->refuse_compromised = true;
	ask(&p);
	expect(0, FAILED, KMIP_RESULT_REASON_PERMISSION_DENIED);
}
END_TEST

START_TEST(ceilings)
{
	uint8_t values[PARTS_CLIENT_MAX][PARTS_VALUE_LEN];
	struct part first = {.operation = KMIP_OPERATION_ENCRYPT, .mode = KMIP_BLOCK_CIPHER_MODE_CBC,
	    .uid = key, .data = "x", .iv = iv, .init = true};
	struct part p;

	for (unsigned i = 0; i < PARTS_CLIENT_MAX; i++)
		begin_parts(values[i]);
	ask(&first);
	expect(0, FAILED, BUSY);
	client = 2;
	ask(&first);
	expect_ok(0);
	client = 1;
	p = next_part(values[7], true); /* one of them ends: there is room for another */
	p.data = "sixteen letters, minus 3: cbc";
	ask(&p);
	ask(&first);
	expect_ok(0);
	for (unsigned c = 3; c < 3 + PARTS_MAX / PARTS_CLIENT_MAX; c++) {
		client = (uint8_t)c;
		for (unsigned i = 0; i < PARTS_CLIENT_MAX; i++)
			ask(&first);
	}
	expect(0, FAILED, BUSY);
}
END_TEST

START_TEST(nothing_is_done_in_parts_before_they_came)
{
	struct part p = {.operation = KMIP_OPERATION_ENCRYPT, .mode = KMIP_BLOCK_CIPHER_MODE_CBC,
	    .uid = key, .data = "x", .iv = iv, .init = true};

	version_minor = 2;
	ask(&p);
	expect(0, FAILED, KMIP_RESULT_REASON_INVALID_MESSAGE);
	version_minor = 1;
	p.init = false;
	ask(&p);
	expect(0, FAILED, KMIP_RESULT_REASON_OPERATION_NOT_SUPPORTED);
}
END_TEST

/* Decrypted data of GCM is not given out before its tag was seen. */
START_TEST(gcm_is_not_decrypted_in_parts)
{
	struct part p = {.operation = KMIP_OPERATION_DECRYPT, .mode = KMIP_BLOCK_CIPHER_MODE_GCM,
	    .uid = key, .data = "x", .iv = iv, .init = true};

	ask(&p);
	expect(0, FAILED, UNSUPPORTED);
	p.operation = KMIP_OPERATION_ENCRYPT;
	ask(&p);
	expect_ok(0);
	p.init = false;
	version_minor = 3; /* which has no place for the tag */
	ask(&p);
	expect(0, FAILED, UNSUPPORTED);
}
END_TEST

START_TEST(random_bytes)
{
	static const struct {
		int32_t len;
		uint32_t reason;
	} lens[] = {{1, 0}, {32, 0}, {16384, 0}, {0, INVALID}, {-1, INVALID}, {16385, INVALID}};

	begin(1, 0, 0);
	item_begin(KMIP_OPERATION_RNG_RETRIEVE, NULL);
	ttlv_put_int(&msg, TAG_DATA_LENGTH, lens[_i].len);
	item_end();
	run();
	expect(0, lens[_i].reason != 0 ? FAILED : 0, lens[_i].reason);
	if (lens[_i].reason == 0)
		ck_assert_uint_eq(field(0, TAG_DATA).len, (uint32_t)lens[_i].len);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("crypt");
	TCase *tc = tcase_create("crypt");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(tc, setup_key, teardown);
	tcase_add_test(tc, parts_are_the_whole);
	tcase_add_test(tc, hash_in_parts);
	tcase_add_test(tc, whose_parts);
	tcase_add_test(tc, what_is_not_gone_on_with_is_given_up);
	tcase_add_test(tc, key_is_taken_away_between_parts);
	tcase_add_test(tc, compromised_key_is_not_used);
	tcase_add_test(tc, ceilings);
	tcase_add_test(tc, nothing_is_done_in_parts_before_they_came);
	tcase_add_test(tc, gcm_is_not_decrypted_in_parts);
	tcase_add_loop_test(tc, random_bytes, 0, 6);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
