/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a client that may only read is refused, and what not: each operation of the gateway stands in one
 * of two tables here, whatever op.def says of it, and is asked for where it would succeed.
 */
#include <stdlib.h>
#include <string.h>

#include "../../../src/gate/op.h"

#include "keyitems.h"

/* --- operations that are about no key --- */

static void
item_locate(const char *uid)
{
	(void)uid;
	simple(KMIP_OPERATION_LOCATE, NULL);
}

static void
item_hash(const char *uid)
{
	size_t mark;

	(void)uid;
	item_begin(KMIP_OPERATION_HASH, NULL);
	mark = ttlv_begin(&msg, TAG_CRYPTOGRAPHIC_PARAMETERS);
	ttlv_put_enum(&msg, TAG_HASHING_ALGORITHM, KMIP_HASHING_ALGORITHM_SHA_256);
	ttlv_end(&msg, mark);
	ttlv_put_bytes(&msg, TAG_DATA, "abc", 3);
	item_end();
}

static void
item_rng_retrieve(const char *uid)
{
	(void)uid;
	item_begin(KMIP_OPERATION_RNG_RETRIEVE, NULL);
	ttlv_put_int(&msg, TAG_DATA_LENGTH, 16);
	item_end();
}

static void
item_rng_seed(const char *uid)
{
	(void)uid;
	item_begin(KMIP_OPERATION_RNG_SEED, NULL);
	ttlv_put_bytes(&msg, TAG_DATA, "abc", 3);
	item_end();
}

static void
of_another_answer(uint32_t operation)
{
	item_begin(operation, NULL);
	ttlv_put_bytes(&msg, TAG_ASYNCHRONOUS_CORRELATION_VALUE, "abc", 3);
	item_end();
}

static void
item_cancel(const char *uid)
{
	(void)uid;
	of_another_answer(KMIP_OPERATION_CANCEL);
}

static void
item_poll(const char *uid)
{
	(void)uid;
	of_another_answer(KMIP_OPERATION_POLL);
}

static void
item_query(const char *uid)
{
	(void)uid;
	item_begin(KMIP_OPERATION_QUERY, NULL);
	ttlv_put_enum(&msg, TAG_QUERY_FUNCTION, KMIP_QUERY_FUNCTION_QUERY_OPERATIONS);
	item_end();
}

static void
item_discover_versions(const char *uid)
{
	(void)uid;
	simple(KMIP_OPERATION_DISCOVER_VERSIONS, NULL);
}

static void
item_log(const char *uid)
{
	(void)uid;
	item_begin(KMIP_OPERATION_LOG, NULL);
	ttlv_put_text(&msg, TAG_LOG_MESSAGE, "abc", 3);
	item_end();
}

static void
item_interop(const char *uid)
{
	(void)uid;
	item_begin(KMIP_OPERATION_INTEROP, NULL);
	ttlv_put_enum(&msg, TAG_INTEROP_FUNCTION, KMIP_INTEROP_FUNCTION_BEGIN);
	item_end();
}

static void
item_ping(const char *uid)
{
	(void)uid;
	simple(KMIP_OPERATION_PING, NULL);
}

/* --- the tables --- */

struct row {
	uint32_t operation;
	void (*put)(const char *uid);
	bool pre_active, archived; /* the key that it succeeds on; else it is active */
	uint32_t reason;	   /* why it fails all the same; 0: it does not */
};
#define ON(of, item) .operation = KMIP_OPERATION_##of, .put = item_##item

static const struct row changes[] = {
    {ON(CREATE, create)},
    {ON(REGISTER, register)},
    {ON(RE_KEY, re_key)},
    {ON(DERIVE_KEY, derive)},
    {ON(ADD_ATTRIBUTE, add_attribute)},
    {ON(MODIFY_ATTRIBUTE, modify_attribute)},
    {ON(DELETE_ATTRIBUTE, delete_attribute)},
    {ON(GET_USAGE_ALLOCATION, allocate)},
    {ON(ACTIVATE, activate), .pre_active = true},
    {ON(REVOKE, compromise)},
    {ON(DESTROY, destroy), .pre_active = true},
    {ON(ARCHIVE, archive)},
    {ON(RECOVER, recover), .archived = true},
    {ON(IMPORT, import)},
    {ON(ADJUST_ATTRIBUTE, adjust_attribute)},
    {ON(SET_ATTRIBUTE, set_attribute)},
};
enum { CHANGES = sizeof(changes) / sizeof(changes[0]) };

static const struct row reads[] = {
    {ON(CHECK, check)},
    {ON(LOCATE, locate)},
    {ON(GET, get)},
    {ON(GET_ATTRIBUTES, get_attributes)},
    {ON(GET_ATTRIBUTE_LIST, get_attribute_list)},
    {ON(OBTAIN_LEASE, obtain_lease)},
    {ON(ENCRYPT, encrypt)},
    {ON(DECRYPT, decrypt)},
    {ON(MAC, mac)},
    {ON(MAC_VERIFY, mac_verify)},
    {ON(HASH, hash)},
    {ON(RNG_RETRIEVE, rng_retrieve)},
    {ON(RNG_SEED, rng_seed)},
    {ON(CANCEL, cancel)},
    {ON(POLL, poll), .reason = KMIP_RESULT_REASON_ITEM_NOT_FOUND},
    {ON(QUERY, query)},
    {ON(DISCOVER_VERSIONS, discover_versions)},
    {ON(EXPORT, export)},
    {ON(LOG, log)},
    {ON(INTEROP, interop)},
    {ON(PING, ping)},
};
enum { READS = sizeof(reads) / sizeof(reads[0]) };

static unsigned
rows_of(uint32_t operation)
{
	unsigned n = 0;

	for (size_t i = 0; i < CHANGES; i++)
		n += changes[i].operation == operation;
	for (size_t i = 0; i < READS; i++)
		n += reads[i].operation == operation;
	return n;
}

START_TEST(every_operation_is_in_one_table)
{
	const struct op *op;
	size_t n;

	for (n = 0; (op = op_at(n)) != NULL; n++)
		ck_assert_msg(rows_of(op->operation) == 1, "%s: does it change anything?",
		    kmip_value_name(SET_OPERATION, op->operation));
	ck_assert_uint_eq(n, CHANGES + READS);
}
END_TEST

/* Asks for it as one who may only read, or may do all; the reason of its failure, or 0. */
static uint32_t
ask(const struct row *row, const char *uid, bool as_reader)
{
	bool is_new = op_find(row->operation, KMIP_1_4) == NULL;
	struct seen s;

	version_major = is_new ? 2 : 1;
	version_minor = is_new ? 1 : 4;
	read_only = as_reader;
	act(row->put, uid);
	read_only = false;
	ck_assert(item(0, &s));
	ck_assert_uint_eq(s.operation, row->operation);
	version_major = 1;
	version_minor = 4;
	return s.status == KMIP_RESULT_STATUS_SUCCESS ? 0 : s.reason;
}

static unsigned
changes_made(void)
{
	return mem.commits + mem.stores + mem.destroys;
}

/* Who may do all succeeds where the reader did not, and changes something. */
static void
denied_to_readers_only(const struct row *row, const char *uid)
{
	const char *name = kmip_value_name(SET_OPERATION, row->operation);
	unsigned before = changes_made();
	uint32_t reason = ask(row, uid, true);

	ck_assert_msg(reason == DENIED, "%s is answered a reader: %u", name, reason);
	ck_assert_msg(changes_made() == before, "%s of a reader changed something", name);
	reason = ask(row, uid, false);
	ck_assert_msg(reason == 0, "%s fails for whoever asks: %u", name, reason);
	ck_assert_msg(changes_made() > before, "%s changes nothing", name);
}

START_TEST(readers_change_nothing)
{
	const struct row *row = &changes[_i];
	char uid[UID_TEXT_LEN + 1];

	key_in_state(uid, row->pre_active ? OBJECT_PRE_ACTIVE : OBJECT_ACTIVE);
	if (row->archived) {
		act(item_archive, uid);
		expect_ok(0);
	}
	denied_to_readers_only(row, uid);
}
END_TEST

/* Of a key without usage limits. */
START_TEST(readers_read)
{
	const struct row *row = &reads[_i];
	char uid[UID_TEXT_LEN + 1];
	uint32_t reason;

	act(item_create, NULL);
	expect_ok(0);
	memcpy(uid, uid_of(0), sizeof(uid));
	act(item_activate, uid);
	expect_ok(0);
	reason = ask(row, uid, true);
	ck_assert_msg(reason == row->reason, "%s is answered a reader: %u",
	    kmip_value_name(SET_OPERATION, row->operation), reason);
}
END_TEST

/* What is charged to a key's usage limits is a change, and so not for readers. */
START_TEST(readers_spend_no_limits)
{
	static const struct row spends[] = {
	    {ON(ENCRYPT, encrypt)}, {ON(MAC, mac)}, {ON(GET, wrap_another)}};
	char uid[UID_TEXT_LEN + 1];

	key_in_state(uid, OBJECT_ACTIVE);
	for (size_t i = 0; i < sizeof(spends) / sizeof(spends[0]); i++)
		denied_to_readers_only(&spends[i], uid);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("rights");
	TCase *tc = tcase_create("rights");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(tc, setup_kek, teardown);
	tcase_add_test(tc, every_operation_is_in_one_table);
	tcase_add_loop_test(tc, readers_change_nothing, 0, CHANGES);
	tcase_add_loop_test(tc, readers_read, 0, READS);
	tcase_add_test(tc, readers_spend_no_limits);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
