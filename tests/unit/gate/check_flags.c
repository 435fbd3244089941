/* SPDX-License-Identifier: Apache-2.0 */
/* The yes-or-no attributes that every key has: Fresh, Sensitive, Extractable and what they were. */
#include <string.h>

#include "rqrig.h"

static bool
flag_of(const char *uid, const char *name)
{
	struct ttlv_reader r;
	struct ttlv attribute, t;

	begin(1, 0, 0);
	item_begin(KMIP_OPERATION_GET_ATTRIBUTES, uid);
	ttlv_put_text(&msg, TAG_ATTRIBUTE_NAME, name, strlen(name));
	item_end();
	run();
	attribute = field(0, TAG_ATTRIBUTE);
	ttlv_enter(&r, &attribute);
	ck_assert(ttlv_need(&r, TAG_ATTRIBUTE_NAME, TTLV_TEXT, &t));
	ck_assert(ttlv_need(&r, TAG_ATTRIBUTE_VALUE, TTLV_BOOLEAN, &t));
	return ttlv_bool(&t);
}

static void
set_flag(uint32_t operation, const char *uid, const char *name, bool v)
{
	begin(1, 0, 0);
	item_begin(operation, uid);
	put_attr_bool(name, v);
	item_end();
	run();
}

START_TEST(fresh_until_served)
{
	char uid[UID_TEXT_LEN + 1];

	create_one(uid);
	ck_assert(flag_of(uid, "Fresh"));
	mem.fail_commit = ERR_STORAGE_FULL;
	one(KMIP_OPERATION_GET, uid, 0, 0); /* the key matters more */
	field(0, TAG_SYMMETRIC_KEY);
	mem.fail_commit = ERR_OK;
	ck_assert(flag_of(uid, "Fresh"));
	one(KMIP_OPERATION_GET, uid, 0, 0);
	ck_assert(!flag_of(uid, "Fresh"));
	ck_assert_uint_eq(mem.commits, 2);
	one(KMIP_OPERATION_GET, uid, 0, 0);
	ck_assert_uint_eq(mem.commits, 2);
	set_flag(KMIP_OPERATION_MODIFY_ATTRIBUTE, uid, "Fresh", true);
	expect(0, FAILED, DENIED);
}
END_TEST

START_TEST(hidden_keys_stay)
{
	const char *name = _i == 0 ? "Sensitive" : "Extractable";
	const char *history = _i == 0 ? "Always Sensitive" : "Never Extractable";
	char uid[UID_TEXT_LEN + 1];

	version_minor = 4;
	create_one(uid);
	ck_assert(flag_of(uid, name) == (_i != 0));
	set_flag(KMIP_OPERATION_ADD_ATTRIBUTE, uid, name, _i == 0);
	expect(0, FAILED, KMIP_RESULT_REASON_ILLEGAL_OPERATION); /* it has one */
	set_flag(KMIP_OPERATION_MODIFY_ATTRIBUTE, uid, name, _i == 0);
	expect_ok(0);
	one(KMIP_OPERATION_GET, uid, FAILED,
	    _i == 0 ? KMIP_RESULT_REASON_SENSITIVE : KMIP_RESULT_REASON_NOT_EXTRACTABLE);
	version_minor = 2; /* which does not know why */
	one(KMIP_OPERATION_GET, uid, FAILED, DENIED);
	version_minor = 4;
	ck_assert(!flag_of(uid, history));
	set_flag(KMIP_OPERATION_MODIFY_ATTRIBUTE, uid, name, _i != 0);
	expect_ok(0);
	one(KMIP_OPERATION_GET, uid, 0, 0);
}
END_TEST

START_TEST(hidden_from_birth_is_remembered)
{
	char uid[UID_TEXT_LEN + 1];

	version_minor = 4;
	begin(1, 0, 0);
	create_item_with("Sensitive");
	run();
	strcpy(uid, uid_of(0));
	ck_assert(flag_of(uid, "Always Sensitive"));
	set_flag(KMIP_OPERATION_MODIFY_ATTRIBUTE, uid, "Sensitive", false);
	expect_ok(0);
	ck_assert(!flag_of(uid, "Always Sensitive"));
	set_flag(KMIP_OPERATION_MODIFY_ATTRIBUTE, uid, "Sensitive", true);
	ck_assert(!flag_of(uid, "Always Sensitive")); /* once not is not always */
}
END_TEST

int
main(void)
{
	const struct rqcase cases[] = {
	    {"fresh", fresh_until_served, 1},
	    {"hidden", hidden_keys_stay, 2},
	    {"hidden from birth", hidden_from_birth_is_remembered, 1},
	};

	return rqrig_main("flags", cases, sizeof(cases) / sizeof(cases[0]));
}
