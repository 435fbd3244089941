/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may do what, as a table: every operation on a key in every state, and at, before and after each
 * of its dates.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#include "rqrig.h"

enum { MASK = 0x3ff, LATER = 1000, STATES = 6 };

/* --- items --- */

static const char *kek; /* an active key that wraps, or is wrapped */

static void
put_params(uint32_t tag, uint32_t value)
{
	size_t mark = ttlv_begin(&msg, TAG_CRYPTOGRAPHIC_PARAMETERS);

	ttlv_put_enum(&msg, tag, value);
	ttlv_end(&msg, mark);
}

static void
crypt_item(uint32_t operation, const char *uid, bool verify)
{
	static const uint8_t block[32];

	item_begin(operation, uid);
	if (operation == KMIP_OPERATION_ENCRYPT || operation == KMIP_OPERATION_DECRYPT)
		put_params(TAG_BLOCK_CIPHER_MODE, KMIP_BLOCK_CIPHER_MODE_ECB);
	else
		put_params(TAG_CRYPTOGRAPHIC_ALGORITHM, KMIP_CRYPTOGRAPHIC_ALGORITHM_HMAC_SHA256);
	ttlv_put_bytes(&msg, TAG_DATA, block, sizeof(block));
	if (verify)
		ttlv_put_bytes(&msg, TAG_MAC_DATA, block, sizeof(block));
	item_end();
}

static void
encrypt(const char *uid)
{
	crypt_item(KMIP_OPERATION_ENCRYPT, uid, false);
}

static void
decrypt(const char *uid)
{
	crypt_item(KMIP_OPERATION_DECRYPT, uid, false);
}

static void
mac(const char *uid)
{
	crypt_item(KMIP_OPERATION_MAC, uid, false);
}

static void
mac_verify(const char *uid)
{
	crypt_item(KMIP_OPERATION_MAC_VERIFY, uid, true);
}

static void
get(const char *uid)
{
	simple(KMIP_OPERATION_GET, uid);
}

static void
wrapped_item(const char *uid, const char *by)
{
	size_t spec, info;

	item_begin(KMIP_OPERATION_GET, uid);
	spec = ttlv_begin(&msg, TAG_KEY_WRAPPING_SPECIFICATION);
	ttlv_put_enum(&msg, TAG_WRAPPING_METHOD, KMIP_WRAPPING_METHOD_ENCRYPT);
	info = ttlv_begin(&msg, TAG_ENCRYPTION_KEY_INFORMATION);
	ttlv_put_text(&msg, TAG_UNIQUE_IDENTIFIER, by, strlen(by));
	ttlv_end(&msg, info);
	ttlv_end(&msg, spec);
	item_end();
}

static void
get_wrapped(const char *uid)
{
	wrapped_item(uid, kek);
}

static void
wrap_another(const char *uid)
{
	wrapped_item(kek, uid);
}

static void
get_attributes(const char *uid)
{
	simple(KMIP_OPERATION_GET_ATTRIBUTES, uid);
}

static void
get_attribute_list(const char *uid)
{
	simple(KMIP_OPERATION_GET_ATTRIBUTE_LIST, uid);
}

static void
add_attribute(const char *uid)
{
	add_item(uid, "x-new", "value");
}

static void
modify_attribute(const char *uid)
{
	item_begin(KMIP_OPERATION_MODIFY_ATTRIBUTE, uid);
	put_attr_text("x-old", "another");
	item_end();
}

static void
delete_attribute(const char *uid)
{
	item_begin(KMIP_OPERATION_DELETE_ATTRIBUTE, uid);
	ttlv_put_text(&msg, TAG_ATTRIBUTE_NAME, "x-old", 5);
	item_end();
}

static void
activate(const char *uid)
{
	simple(KMIP_OPERATION_ACTIVATE, uid);
}

static void
deactivate(const char *uid)
{
	revoke_item(uid, KMIP_REVOCATION_REASON_CODE_CESSATION_OF_OPERATION);
}

static void
compromise(const char *uid)
{
	revoke_item(uid, KMIP_REVOCATION_REASON_CODE_KEY_COMPROMISE);
}

static void
destroy(const char *uid)
{
	simple(KMIP_OPERATION_DESTROY, uid);
}

static void
derive(const char *uid)
{
	size_t mark;

	item_begin(KMIP_OPERATION_DERIVE_KEY, NULL);
	ttlv_put_enum(&msg, TAG_OBJECT_TYPE, KMIP_OBJECT_TYPE_SYMMETRIC_KEY);
	ttlv_put_text(&msg, TAG_UNIQUE_IDENTIFIER, uid, strlen(uid));
	ttlv_put_enum(&msg, TAG_DERIVATION_METHOD, KMIP_DERIVATION_METHOD_HASH);
	mark = ttlv_begin(&msg, TAG_DERIVATION_PARAMETERS);
	put_params(TAG_HASHING_ALGORITHM, KMIP_HASHING_ALGORITHM_SHA_256);
	ttlv_end(&msg, mark);
	mark = ttlv_begin(&msg, TAG_TEMPLATE_ATTRIBUTE);
	put_attr_enum("Cryptographic Algorithm", KMIP_CRYPTOGRAPHIC_ALGORITHM_AES);
	put_attr_int("Cryptographic Usage Mask", 4);
	put_attr_int("Cryptographic Length", 128);
	ttlv_end(&msg, mark);
	item_end();
}

static void
re_key(const char *uid)
{
	simple(KMIP_OPERATION_RE_KEY, uid);
}

static void
check(const char *uid)
{
	simple(KMIP_OPERATION_CHECK, uid);
}

static void
allocate(const char *uid)
{
	item_begin(KMIP_OPERATION_GET_USAGE_ALLOCATION, uid);
	ttlv_put_long(&msg, TAG_USAGE_LIMITS_COUNT, 1);
	item_end();
}

static void
obtain_lease(const char *uid)
{
	simple(KMIP_OPERATION_OBTAIN_LEASE, uid);
}

static void
archive(const char *uid)
{
	simple(KMIP_OPERATION_ARCHIVE, uid);
}

static void
export(const char *uid)
{
	simple(KMIP_OPERATION_EXPORT, uid);
}

static void
recover(const char *uid)
{
	simple(KMIP_OPERATION_RECOVER, uid);
}

/* --- keys --- */

struct date {
	const char *name;
	int64_t when; /* 0: none */
};

static void
put_attr_date(const struct date *d)
{
	size_t at = ttlv_begin(&msg, TAG_ATTRIBUTE);

	ttlv_put_text(&msg, TAG_ATTRIBUTE_NAME, d->name, strlen(d->name));
	ttlv_put_date_time(&msg, TAG_ATTRIBUTE_VALUE, d->when);
	ttlv_end(&msg, at);
}

static void
put_attr_limits(void)
{
	size_t at = ttlv_begin(&msg, TAG_ATTRIBUTE), value;

	ttlv_put_text(&msg, TAG_ATTRIBUTE_NAME, "Usage Limits", 12);
	value = ttlv_begin(&msg, TAG_ATTRIBUTE_VALUE);
	ttlv_put_long(&msg, TAG_USAGE_LIMITS_TOTAL, 1000);
	ttlv_put_enum(&msg, TAG_USAGE_LIMITS_UNIT, KMIP_USAGE_LIMITS_UNIT_BYTE);
	ttlv_end(&msg, value);
	ttlv_end(&msg, at);
}

static void
make_key(char uid[UID_TEXT_LEN + 1], const struct date *first, const struct date *second)
{
	size_t template;

	begin(1, 0, 0);
	item_begin(KMIP_OPERATION_CREATE, NULL);
	ttlv_put_enum(&msg, TAG_OBJECT_TYPE, KMIP_OBJECT_TYPE_SYMMETRIC_KEY);
	template = ttlv_begin(&msg, TAG_TEMPLATE_ATTRIBUTE);
	put_attr_enum("Cryptographic Algorithm", KMIP_CRYPTOGRAPHIC_ALGORITHM_AES);
	put_attr_int("Cryptographic Usage Mask", MASK);
	put_attr_int("Cryptographic Length", 256);
	put_attr_text("x-old", "value");
	put_attr_limits();
	if (first->when != 0)
		put_attr_date(first);
	if (second->when != 0)
		put_attr_date(second);
	ttlv_end(&msg, template);
	item_end();
	run();
	expect_ok(0);
	memcpy(uid, uid_of(0), UID_TEXT_LEN + 1);
}

static void
act(void (*put)(const char *), const char *uid)
{
	begin(1, 0, 0);
	put(uid);
	run();
}

static const struct date none = {"", 0}, active_now = {"Activation Date", WALL};

static void
key_in_state(char uid[UID_TEXT_LEN + 1], enum object_state state)
{
	make_key(uid, &none, &none);
	if (state == OBJECT_ACTIVE || state == OBJECT_DEACTIVATED)
		act(activate, uid);
	if (state == OBJECT_DEACTIVATED)
		act(deactivate, uid);
	if (state == OBJECT_COMPROMISED || state == OBJECT_DESTROYED_COMPROMISED)
		act(compromise, uid);
	if (state == OBJECT_DESTROYED || state == OBJECT_DESTROYED_COMPROMISED)
		act(destroy, uid);
	expect_ok(0);
}

static char kek_uid[UID_TEXT_LEN + 1];

static void
setup_kek(void)
{
	setup();
	version_minor = 4;
	make_key(kek_uid, &active_now, &none);
	kek = kek_uid;
}

/* --- states --- */

/*
 * The reason why it is refused, in each state; 0: it is done.  What needs the key online is refused
 * with Object Archived of an archived one, the others are as ever.
 */
static const struct row {
	const char *name;
	void (*put)(const char *uid);
	uint32_t reason[STATES]; /* Pre-Active, Active, Deactivated, Compromised, Destroyed, both */
	bool online; /* the key has to be */
} rows[] = {
#define D DENIED
#define N NOT_FOUND
    {"Get", get, {0, 0, 0, 0, N, N}, true},
    {"Get, wrapped", get_wrapped, {0, 0, 0, 0, N, N}, true},
    {"Get, wrapping another", wrap_another, {D, 0, D, D, N, N}, true},
    {"Get Attributes", get_attributes, {0, 0, 0, 0, 0, 0}, false},
    {"Get Attribute List", get_attribute_list, {0, 0, 0, 0, 0, 0}, false},
    {"Add Attribute", add_attribute, {0, 0, 0, 0, 0, 0}, false},
    {"Modify Attribute", modify_attribute, {0, 0, 0, 0, 0, 0}, false},
    {"Delete Attribute", delete_attribute, {0, 0, 0, 0, 0, 0}, false},
    {"Activate", activate, {0, D, D, D, D, D}, false},
    {"Revoke, ceased", deactivate, {D, 0, D, D, D, D}, false},
    {"Revoke, compromised", compromise, {0, 0, 0, D, 0, D}, false},
    {"Destroy", destroy, {0, D, 0, 0, D, D}, false},
    {"Encrypt", encrypt, {D, 0, D, D, N, N}, true},
    {"Decrypt", decrypt, {D, 0, 0, 0, N, N}, true},
    {"MAC", mac, {D, 0, D, D, N, N}, true},
    {"MAC Verify", mac_verify, {D, 0, 0, 0, N, N}, true},
    {"Derive Key", derive, {D, 0, D, D, N, N}, true},
    {"Re-key", re_key, {0, 0, 0, 0, N, N}, true},
    {"Check", check, {0, 0, 0, 0, N, N}, true},
    {"Get Usage Allocation", allocate, {D, 0, D, D, D, D}, true},
    {"Obtain Lease", obtain_lease, {0, 0, 0, 0, N, N}, true},
    {"Export", export, {0, 0, 0, 0, 0, 0}, true},
    {"Archive", archive, {0, 0, 0, 0, N, N}, true},
    {"Recover", recover, {0, 0, 0, 0, N, N}, false},
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static void
expect_reason(const char *what, const char *where, uint32_t reason)
{
	struct seen s;

	ck_assert(item(0, &s));
	if (s.reason != reason)
		ck_abort_msg("%s, %s: reason %u instead of %u", what, where, s.reason, reason);
}

START_TEST(every_operation_in_every_state)
{
	static const char *const names[] = {"Pre-Active", "Active", "Deactivated", "Compromised",
	    "Destroyed", "Destroyed Compromised"};
	const struct row *row = &rows[_i];
	char uid[UID_TEXT_LEN + 1];

	for (int state = OBJECT_PRE_ACTIVE; state <= OBJECT_DESTROYED_COMPROMISED; state++) {
		key_in_state(uid, (enum object_state)state);
		act(row->put, uid);
		expect_reason(row->name, names[state - 1], row->reason[state - 1]);
	}
}
END_TEST

START_TEST(archived_in_every_state)
{
	const struct row *row = &rows[_i];
	char uid[UID_TEXT_LEN + 1];

	for (int state = OBJECT_PRE_ACTIVE; state <= OBJECT_COMPROMISED; state++) {
		key_in_state(uid, (enum object_state)state);
		act(archive, uid);
		expect_ok(0);
		act(row->put, uid);
		expect_reason(row->name, "archived",
		    row->online ? KMIP_RESULT_REASON_OBJECT_ARCHIVED : row->reason[state - 1]);
	}
}
END_TEST

/* --- dates --- */

/* Refused one second before the date, at it, and one second after it. */
static const struct {
	const char *date;
	bool active; /* the key is before that date */
	const char *name;
	void (*put)(const char *uid);
	uint32_t reason[3];
} moments[] = {
    {"Activation Date", false, "Encrypt", encrypt, {D, 0, 0}},
    {"Activation Date", false, "Decrypt", decrypt, {D, 0, 0}},
    {"Activation Date", false, "MAC", mac, {D, 0, 0}},
    {"Activation Date", false, "MAC Verify", mac_verify, {D, 0, 0}},
    {"Activation Date", false, "wrap", wrap_another, {D, 0, 0}},
    {"Activation Date", false, "Derive Key", derive, {D, 0, 0}},
    {"Activation Date", false, "Get Usage Allocation", allocate, {D, 0, 0}},
    {"Activation Date", false, "Activate", activate, {0, D, D}},
    {"Activation Date", false, "Revoke", deactivate, {D, 0, 0}},
    {"Activation Date", false, "Destroy", destroy, {0, D, D}},
    {"Activation Date", false, "Get", get, {0, 0, 0}},
    {"Activation Date", false, "Re-key", re_key, {0, 0, 0}},
    {"Process Start Date", true, "Encrypt", encrypt, {0, 0, 0}},
    {"Process Start Date", true, "MAC", mac, {0, 0, 0}},
    {"Process Start Date", true, "wrap", wrap_another, {0, 0, 0}},
    {"Process Start Date", true, "Decrypt", decrypt, {D, 0, 0}},
    {"Process Start Date", true, "MAC Verify", mac_verify, {D, 0, 0}},
    {"Process Start Date", true, "Get", get, {0, 0, 0}},
    {"Protect Stop Date", true, "Encrypt", encrypt, {0, D, D}},
    {"Protect Stop Date", true, "MAC", mac, {0, D, D}},
    {"Protect Stop Date", true, "wrap", wrap_another, {0, D, D}},
    {"Protect Stop Date", true, "Derive Key", derive, {0, D, D}},
    {"Protect Stop Date", true, "Get Usage Allocation", allocate, {0, D, D}},
    {"Protect Stop Date", true, "Decrypt", decrypt, {0, 0, 0}},
    {"Protect Stop Date", true, "MAC Verify", mac_verify, {0, 0, 0}},
    {"Protect Stop Date", true, "Get", get, {0, 0, 0}},
    {"Protect Stop Date", true, "Destroy", destroy, {D, D, D}},
    {"Deactivation Date", true, "Encrypt", encrypt, {0, D, D}},
    {"Deactivation Date", true, "MAC", mac, {0, D, D}},
    {"Deactivation Date", true, "wrap", wrap_another, {0, D, D}},
    {"Deactivation Date", true, "Derive Key", derive, {0, D, D}},
    {"Deactivation Date", true, "Get Usage Allocation", allocate, {0, D, D}},
    {"Deactivation Date", true, "Decrypt", decrypt, {0, 0, 0}},
    {"Deactivation Date", true, "MAC Verify", mac_verify, {0, 0, 0}},
    {"Deactivation Date", true, "Revoke", deactivate, {0, D, D}},
    {"Deactivation Date", true, "Destroy", destroy, {D, 0, 0}},
    {"Deactivation Date", true, "Get", get, {0, 0, 0}},
    {"Deactivation Date", true, "Re-key", re_key, {0, 0, 0}},
};

START_TEST(around_each_date)
{
	static const char *const names[] = {"before", "at", "after"};
	char uid[3][UID_TEXT_LEN + 1], what[64];
	struct date date = {moments[_i].date, WALL + LATER};

	for (int i = 0; i < 3; i++)
		make_key(uid[i], &date, moments[_i].active ? &active_now : &none);
	clock_test_freeze(WALL + LATER - 1);
	snprintf(what, sizeof(what), "%s, %s", moments[_i].name, moments[_i].date);
	for (int i = 0; i < 3; i++) {
		act(moments[_i].put, uid[i]);
		expect_reason(what, names[i], moments[_i].reason[i]);
		clock_test_freeze(WALL + LATER + i);
	}
}
END_TEST

/* What is taken off usage limits is committed, or the data does not leave. */
START_TEST(limits_are_committed)
{
	char uid[UID_TEXT_LEN + 1];

	make_key(uid, &active_now, &none);
	mem.fail_commit = ERR_STORAGE;
	act(encrypt, uid);
	expect_reason("Encrypt", "no storage", KMIP_RESULT_REASON_GENERAL_FAILURE);
	mem.fail_commit = ERR_OK;
	mem.conflicts = 2;
	act(encrypt, uid);
	expect_ok(0);
	for (int i = 1; i < 31; i++) /* of 1000 bytes there are 31 times 32 */
		act(encrypt, uid);
	expect_ok(0);
	act(encrypt, uid);
	expect(0, FAILED, DENIED);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("states");
	TCase *tc = tcase_create("table");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(tc, setup_kek, teardown);
	tcase_add_loop_test(tc, every_operation_in_every_state, 0, ROWS);
	tcase_add_loop_test(tc, archived_in_every_state, 0, ROWS);
	tcase_add_loop_test(tc, around_each_date, 0, sizeof(moments) / sizeof(moments[0]));
	tcase_add_test(tc, limits_are_committed);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
