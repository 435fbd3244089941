/* SPDX-License-Identifier: Apache-2.0 */
/* Result Status and Result Reason of our errors. */
#include "kmip/reason.h"

#include <check.h>
#include <stdlib.h>

#include "kmip/names.h"

static const enum err errors[] = {
#define ERR(name, text) ERR_##name,
#include "base/err.def"
#undef ERR
};

START_TEST(every_reason_is_known_to_its_version)
{
	enum err e = errors[_i];

	for (int version = KMIP_1_0; version <= KMIP_2_1 && e != ERR_OK; version++) {
		uint32_t reason = kmip_reason(e, version, KMIP_OPERATION_GET);

		ck_assert_msg(kmip_value_known(SET_RESULT_REASON, reason, version), "%s",
		    err_name(e));
		if (version >= KMIP_2_0) /* which reserved these two */
			ck_assert(reason != KMIP_RESULT_REASON_ILLEGAL_OPERATION &&
			    reason != KMIP_RESULT_REASON_INDEX_OUT_OF_BOUNDS);
		ck_assert(kmip_status(e) != KMIP_RESULT_STATUS_SUCCESS);
	}
	ck_assert(kmip_value_known(SET_RESULT_STATUS, kmip_status(e), KMIP_1_0));
}
END_TEST

static const struct {
	enum err e;
	uint32_t reason;
} tables[] = {
	/* 11.1 */
	{ERR_VERSION_UNSUPPORTED, KMIP_RESULT_REASON_INVALID_MESSAGE},
	{ERR_INVALID_MESSAGE, KMIP_RESULT_REASON_INVALID_MESSAGE},
	{ERR_DENIED, KMIP_RESULT_REASON_PERMISSION_DENIED},
	{ERR_RESPONSE_TOO_LARGE, KMIP_RESULT_REASON_RESPONSE_TOO_LARGE},
	{ERR_OP_UNSUPPORTED, KMIP_RESULT_REASON_OPERATION_NOT_SUPPORTED},
	{ERR_CRITICAL_EXTENSION, KMIP_RESULT_REASON_FEATURE_NOT_SUPPORTED},
	/* 11.2 */
	{ERR_OBJECT_TYPE, KMIP_RESULT_REASON_INVALID_FIELD},
	{ERR_ATTRIBUTE_VALUE, KMIP_RESULT_REASON_INVALID_FIELD},
	/* 11.15 to 11.17 */
	{ERR_NO_OBJECT, KMIP_RESULT_REASON_ITEM_NOT_FOUND},
	{ERR_NO_ATTRIBUTE, KMIP_RESULT_REASON_ITEM_NOT_FOUND},
	{ERR_INDEX, KMIP_RESULT_REASON_ITEM_NOT_FOUND},
	{ERR_ATTRIBUTE_READ_ONLY, KMIP_RESULT_REASON_PERMISSION_DENIED},
	{ERR_ATTRIBUTE_EXISTS, KMIP_RESULT_REASON_ILLEGAL_OPERATION},
	{ERR_NAME_TAKEN, KMIP_RESULT_REASON_ILLEGAL_OPERATION},
	{ERR_TOO_MANY_ATTRIBUTES, KMIP_RESULT_REASON_INDEX_OUT_OF_BOUNDS},
	/* Destroy of an active object and its like */
	{ERR_WRONG_STATE, KMIP_RESULT_REASON_PERMISSION_DENIED},
	{ERR_DESTROYED, KMIP_RESULT_REASON_PERMISSION_DENIED},
	{ERR_STORAGE, KMIP_RESULT_REASON_GENERAL_FAILURE},
	{ERR_CRYPTO, KMIP_RESULT_REASON_CRYPTOGRAPHIC_FAILURE},
};

START_TEST(tables_of_the_specification)
{
	ck_assert_msg(kmip_reason(tables[_i].e, KMIP_1_4, KMIP_OPERATION_GET) == tables[_i].reason, "%s",
	    err_name(tables[_i].e));
}
END_TEST

/* Of 2.1: the tables of errors that stand with the operations. */
static const struct {
	uint32_t operation;
	enum err e;
	uint32_t reason;
} tables_2[] = {
	{0, ERR_VERSION_UNSUPPORTED, KMIP_RESULT_REASON_UNSUPPORTED_PROTOCOL_VERSION},
	{0, ERR_INVALID_MESSAGE, KMIP_RESULT_REASON_INVALID_MESSAGE},
	{KMIP_OPERATION_GET, ERR_NO_OBJECT, KMIP_RESULT_REASON_OBJECT_NOT_FOUND},
	{KMIP_OPERATION_GET, ERR_DENIED, KMIP_RESULT_REASON_PERMISSION_DENIED},
	{KMIP_OPERATION_DESTROY, ERR_WRONG_STATE, KMIP_RESULT_REASON_WRONG_KEY_LIFECYCLE_STATE},
	{KMIP_OPERATION_DESTROY, ERR_DESTROYED, KMIP_RESULT_REASON_OBJECT_DESTROYED},
	{KMIP_OPERATION_GET_USAGE_ALLOCATION, ERR_NO_OBJECT, KMIP_RESULT_REASON_OBJECT_NOT_FOUND},
	{KMIP_OPERATION_GET_USAGE_ALLOCATION, ERR_WRONG_STATE,
	    KMIP_RESULT_REASON_PERMISSION_DENIED},
	{KMIP_OPERATION_ADD_ATTRIBUTE, ERR_ATTRIBUTE_EXISTS,
	    KMIP_RESULT_REASON_ATTRIBUTE_SINGLE_VALUED},
	{KMIP_OPERATION_ADD_ATTRIBUTE, ERR_ATTRIBUTE_UNKNOWN, KMIP_RESULT_REASON_INVALID_ATTRIBUTE},
	{KMIP_OPERATION_ADD_ATTRIBUTE, ERR_NAME_TAKEN, KMIP_RESULT_REASON_NON_UNIQUE_NAME_ATTRIBUTE},
	{KMIP_OPERATION_ADD_ATTRIBUTE, ERR_ATTRIBUTE_READ_ONLY,
	    KMIP_RESULT_REASON_READ_ONLY_ATTRIBUTE},
	{KMIP_OPERATION_ADD_ATTRIBUTE, ERR_TOO_MANY_ATTRIBUTES,
	    KMIP_RESULT_REASON_SERVER_LIMIT_EXCEEDED},
	{KMIP_OPERATION_DELETE_ATTRIBUTE, ERR_NO_ATTRIBUTE, KMIP_RESULT_REASON_ATTRIBUTE_NOT_FOUND},
	{KMIP_OPERATION_DELETE_ATTRIBUTE, ERR_INDEX,
	    KMIP_RESULT_REASON_ATTRIBUTE_INSTANCE_NOT_FOUND},
	{KMIP_OPERATION_DELETE_ATTRIBUTE, ERR_ATTRIBUTE_READ_ONLY,
	    KMIP_RESULT_REASON_ATTRIBUTE_READ_ONLY},
	{KMIP_OPERATION_ENCRYPT, ERR_USAGE,
	    KMIP_RESULT_REASON_INCOMPATIBLE_CRYPTOGRAPHIC_USAGE_MASK},
	{KMIP_OPERATION_POLL, ERR_NO_OPERATION,
	    KMIP_RESULT_REASON_INVALID_ASYNCHRONOUS_CORRELATION_VALUE},
	{KMIP_OPERATION_ADJUST_ATTRIBUTE, ERR_ATTRIBUTE_UNKNOWN,
	    KMIP_RESULT_REASON_UNSUPPORTED_ATTRIBUTE},
	{KMIP_OPERATION_ADJUST_ATTRIBUTE, ERR_NO_OBJECT, KMIP_RESULT_REASON_ITEM_NOT_FOUND},
};

START_TEST(tables_of_2_x)
{
	for (int version = KMIP_2_0; version <= KMIP_2_1; version++)
		ck_assert_msg(kmip_reason(tables_2[_i].e, version, tables_2[_i].operation) ==
		    tables_2[_i].reason, "%s", err_name(tables_2[_i].e));
}
END_TEST

START_TEST(older_versions_lack_reasons)
{
	ck_assert_uint_eq(kmip_reason(ERR_NO_KEY_VALUE, KMIP_1_2, 0),
	    KMIP_RESULT_REASON_KEY_VALUE_NOT_PRESENT);
	ck_assert_uint_eq(kmip_reason(ERR_NO_KEY_VALUE, KMIP_1_1, 0),
	    KMIP_RESULT_REASON_GENERAL_FAILURE);
}
END_TEST

START_TEST(statuses)
{
	ck_assert_uint_eq(kmip_status(ERR_OK), KMIP_RESULT_STATUS_SUCCESS);
	ck_assert_uint_eq(kmip_status(ERR_UNDONE), KMIP_RESULT_STATUS_OPERATION_UNDONE);
	ck_assert_uint_eq(kmip_status(ERR_DENIED), KMIP_RESULT_STATUS_OPERATION_FAILED);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("reason");
	TCase *tc = tcase_create("reason");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_add_loop_test(tc, every_reason_is_known_to_its_version, 0,
	    (int)(sizeof(errors) / sizeof(errors[0])));
	tcase_add_loop_test(tc, tables_of_the_specification, 0,
	    (int)(sizeof(tables) / sizeof(tables[0])));
	tcase_add_loop_test(tc, tables_of_2_x, 0, (int)(sizeof(tables_2) / sizeof(tables_2[0])));
	tcase_add_test(tc, older_versions_lack_reasons);
	tcase_add_test(tc, statuses);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
