/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may do what, as a table: every operation of the gateway on a key in every state, also an
 * archived one, and at, before and after each of its dates.  An operation without a row fails.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../../src/gate/op.h"
#include "base/clock.h"

#include "keyitems.h"

enum { LATER = 1000, STATES = 6, DATES = 4 };

/*
 * The columns of the table: the states; then one second before, at, and one after each of these
 * dates, of a key that was active before but for the first.
 */
static const char *const state_names[STATES] = {"Pre-Active", "Active", "Deactivated",
    "Compromised", "Destroyed", "Destroyed Compromised"};
static const char *const date_names[DATES] = {"Activation Date", "Process Start Date",
    "Protect Stop Date", "Deactivation Date"};

/*
 * What needs the key online is refused with Object Archived of an archived one, the others are as
 * ever.  An operation that 1.4 does not have is asked for in 2.1.
 */
static const struct row {
	uint32_t operation;
	const char *name;
	void (*put)(const char *uid);
	char states[STATES + 1];	/* each letter a reason, see reason_of() */
	char dates[DATES][4];
	bool online; /* the key has to be */
} rows[] = {
#define ALWAYS {"...", "...", "...", "..."}
#define PROTECTS {"D..", "...", ".DD", ".DD"}
#define PROCESSES {"D..", "D..", "...", "..."}
#define ON(operation, name, item, ...) {KMIP_OPERATION_##operation, name, item_##item, __VA_ARGS__}
    ON(GET, "Get", get, "....NN", ALWAYS, true),
    ON(GET, "Get, wrapped", get_wrapped, "....NN", ALWAYS, true),
    ON(GET, "Get, wrapping another", wrap_another, "D.DDNN", PROTECTS, true),
    ON(GET_ATTRIBUTES, "Get Attributes", get_attributes, "......", ALWAYS, false),
    ON(GET_ATTRIBUTE_LIST, "Get Attribute List", get_attribute_list, "......", ALWAYS, false),
    ON(ADD_ATTRIBUTE, "Add Attribute", add_attribute, "......", ALWAYS, false),
    ON(ADD_ATTRIBUTE, "Add Attribute, a start", add_start, ".DDDDD",
	{".DD", "III", "DDD", "DDD"}, false),
    ON(ADD_ATTRIBUTE, "Add Attribute, an end", add_end, "..IDDD",
	{"...", "...", "...", "III"}, false),
    ON(MODIFY_ATTRIBUTE, "Modify Attribute", modify_attribute, "......", ALWAYS, false),
    ON(DELETE_ATTRIBUTE, "Delete Attribute", delete_attribute, "......", ALWAYS, false),
    ON(SET_ATTRIBUTE, "Set Attribute", set_attribute, "......", ALWAYS, false),
    ON(ADJUST_ATTRIBUTE, "Adjust Attribute", adjust_attribute, "......", ALWAYS, false),
    ON(ACTIVATE, "Activate", activate, ".DDDDD", {".DD", "DDD", "DDD", "DDD"}, false),
    ON(REVOKE, "Revoke, ceased", deactivate, "D.DDDD", {"D..", "...", "...", ".DD"}, false),
    ON(REVOKE, "Revoke, compromised", compromise, "...D.D", ALWAYS, false),
    ON(DESTROY, "Destroy", destroy, ".D..DD", {".DD", "DDD", "DDD", "D.."}, false),
    ON(ENCRYPT, "Encrypt", encrypt, "D.DDNN", PROTECTS, true),
    ON(DECRYPT, "Decrypt", decrypt, "D...NN", PROCESSES, true),
    ON(MAC, "MAC", mac, "D.DDNN", PROTECTS, true),
    ON(MAC_VERIFY, "MAC Verify", mac_verify, "D...NN", PROCESSES, true),
    ON(DERIVE_KEY, "Derive Key", derive, "D.DDNN", PROTECTS, true),
    ON(RE_KEY, "Re-key", re_key, "....NN", ALWAYS, true),
    ON(CHECK, "Check", check, "....NN", ALWAYS, true),
    ON(GET_USAGE_ALLOCATION, "Get Usage Allocation", allocate, "D.DDNN", PROTECTS, true),
    ON(OBTAIN_LEASE, "Obtain Lease", obtain_lease, "...DNN", ALWAYS, true),
    ON(EXPORT, "Export", export, "......", ALWAYS, true),
    ON(IMPORT, "Import, not replacing", import_new, "EEEEEE",
	{"EEE", "EEE", "EEE", "EEE"}, false),
    ON(IMPORT, "Import, as it was made", import_as_made, ".DDDDD",
	{".DD", "DDD", "DDD", "DDD"}, false),
    ON(IMPORT, "Import, compromised", import_compromised, "....DD", ALWAYS, false),
    ON(IMPORT, "Import, unwrapped by it", import_unwrapped, "D...NN", PROCESSES, true),
    ON(ARCHIVE, "Archive", archive, "....NN", ALWAYS, true),
    ON(RECOVER, "Recover", recover, "....NN", ALWAYS, false),
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

/* These are about no key; what state new ones are in, and which are found, stands below. */
static const uint32_t without_key[] = {
    KMIP_OPERATION_CREATE, KMIP_OPERATION_REGISTER, KMIP_OPERATION_LOCATE, KMIP_OPERATION_HASH,
    KMIP_OPERATION_RNG_RETRIEVE, KMIP_OPERATION_RNG_SEED, KMIP_OPERATION_CANCEL,
    KMIP_OPERATION_POLL, KMIP_OPERATION_QUERY, KMIP_OPERATION_DISCOVER_VERSIONS,
    KMIP_OPERATION_LOG, KMIP_OPERATION_INTEROP, KMIP_OPERATION_PING};

static bool
has_row(uint32_t operation)
{
	for (size_t i = 0; i < ROWS; i++)
		if (rows[i].operation == operation)
			return true;
	for (size_t i = 0; i < sizeof(without_key) / sizeof(without_key[0]); i++)
		if (without_key[i] == operation)
			return true;
	return false;
}

START_TEST(every_operation_has_a_row)
{
	const struct op *op;

	for (size_t n = 0; (op = op_at(n)) != NULL; n++)
		ck_assert_msg(has_row(op->operation), "%s: in which states?",
		    kmip_value_name(SET_OPERATION, op->operation));
}
END_TEST

static uint32_t
reason_of(char letter)
{
	switch (letter) {
	case 'D':
		return KMIP_RESULT_REASON_PERMISSION_DENIED;
	case 'N':
		return KMIP_RESULT_REASON_ITEM_NOT_FOUND;
	case 'I':
		return KMIP_RESULT_REASON_ILLEGAL_OPERATION;
	case 'E':
		return KMIP_RESULT_REASON_OBJECT_ALREADY_EXISTS;
	default:
		ck_assert_int_eq(letter, '.');
		return 0;
	}
}

static void
act_and_expect(const struct row *row, const char *uid, const char *where, uint32_t reason)
{
	bool is_new = op_find(row->operation, KMIP_1_4) == NULL;
	struct seen s;

	version_major = is_new ? 2 : 1;
	version_minor = is_new ? 1 : 4;
	act(row->put, uid);
	ck_assert(item(0, &s));
	if (s.reason != reason)
		ck_abort_msg("%s, %s: reason %u instead of %u", row->name, where, s.reason, reason);
	version_major = 1;
	version_minor = 4;
}

START_TEST(every_operation_in_every_state)
{
	const struct row *row = &rows[_i];
	char uid[UID_TEXT_LEN + 1];

	for (int state = OBJECT_PRE_ACTIVE; state <= OBJECT_DESTROYED_COMPROMISED; state++) {
		key_in_state(uid, (enum object_state)state);
		act_and_expect(row, uid, state_names[state - 1], reason_of(row->states[state - 1]));
	}
}
END_TEST

START_TEST(archived_in_every_state)
{
	const struct row *row = &rows[_i];
	char uid[UID_TEXT_LEN + 1];

	for (int state = OBJECT_PRE_ACTIVE; state <= OBJECT_COMPROMISED; state++) {
		key_in_state(uid, (enum object_state)state);
		act(item_archive, uid);
		expect_ok(0);
		act_and_expect(row, uid, "archived",
		    row->online ? KMIP_RESULT_REASON_OBJECT_ARCHIVED
				: reason_of(row->states[state - 1]));
	}
}
END_TEST

/* Three keys with the date, in the second before it. */
static void
keys_with(char uid[3][UID_TEXT_LEN + 1], int date)
{
	struct date d = {date_names[date], WALL + LATER};

	clock_test_freeze(WALL);
	for (int i = 0; i < 3; i++)
		make_key(uid[i], &d, date != 0 ? &active_now : &no_date);
	clock_test_freeze(WALL + LATER - 1);
}

START_TEST(every_operation_around_each_date)
{
	static const char *const names[] = {"before", "at", "after"};
	const struct row *row = &rows[_i];
	char uid[3][UID_TEXT_LEN + 1], where[64];

	for (int date = 0; date < DATES; date++) {
		keys_with(uid, date);
		for (int i = 0; i < 3; i++) {
			snprintf(where, sizeof(where), "%s its %s", names[i], date_names[date]);
			act_and_expect(row, uid[i], where, reason_of(row->dates[date][i]));
			clock_test_freeze(WALL + LATER + i);
		}
	}
}
END_TEST

/* --- new keys --- */

static enum object_state
state_of(const char *uid)
{
	struct ttlv t;
	struct ttlv_reader r;

	begin(1, 0, 0);
	item_begin(KMIP_OPERATION_GET_ATTRIBUTES, uid);
	ttlv_put_text(&msg, TAG_ATTRIBUTE_NAME, "State", 5);
	item_end();
	run();
	t = field(0, TAG_ATTRIBUTE);
	ttlv_enter(&r, &t);
	ck_assert(ttlv_need(&r, TAG_ATTRIBUTE_NAME, TTLV_TEXT, &t));
	ck_assert(ttlv_need(&r, TAG_ATTRIBUTE_VALUE, TTLV_ENUM, &t));
	return (enum object_state)ttlv_uint(&t);
}

static bool
ends_states(const struct row *row)
{
	return row->operation == KMIP_OPERATION_REVOKE || row->operation == KMIP_OPERATION_DESTROY ||
	    row->put == item_import_compromised;
}

/* A clock that was ahead of a date, and is set right, has changed no key's state for good. */
START_TEST(a_clock_ahead_changes_no_state)
{
	static const struct {
		int date;
		enum object_state before, at;
	} cases[] = {{0, OBJECT_PRE_ACTIVE, OBJECT_ACTIVE}, {3, OBJECT_ACTIVE, OBJECT_DEACTIVATED}};
	const struct row *row = &rows[_i];
	char uid[3][UID_TEXT_LEN + 1];

	for (int i = 0; i < 2 && !ends_states(row); i++) {
		keys_with(uid, cases[i].date);
		for (int ahead = 0; ahead < 2; ahead++) {
			clock_test_freeze(WALL + LATER + ahead * LATER);
			act_and_expect(row, uid[ahead], "ahead", reason_of(row->dates[cases[i].date][1 + ahead]));
			ck_assert_int_eq(state_of(uid[ahead]), cases[i].at);
			clock_test_freeze(WALL + LATER - 1);
			ck_assert_msg(state_of(uid[ahead]) == cases[i].before, "%s, %s: %d", row->name,
			    date_names[cases[i].date], (int)state_of(uid[ahead]));
		}
	}
}
END_TEST

static const struct {
	const char *name;
	void (*put)(const char *uid);
} makers[] = {
    {"Create", item_create}, {"Register", item_register}, {"Derive Key", item_derive},
    {"Re-key", item_re_key}, {"Import", item_import}};

/* The state of a new key whose date came a second ago, comes now, or will come in a second. */
START_TEST(new_keys_have_the_state_of_their_dates)
{
	static const enum object_state states[DATES][3] = {
	    {OBJECT_ACTIVE, OBJECT_ACTIVE, OBJECT_PRE_ACTIVE},
	    {OBJECT_ACTIVE, OBJECT_ACTIVE, OBJECT_ACTIVE},
	    {OBJECT_ACTIVE, OBJECT_ACTIVE, OBJECT_ACTIVE},
	    {OBJECT_DEACTIVATED, OBJECT_DEACTIVATED, OBJECT_ACTIVE}};
	static const struct date long_active = {"Activation Date", WALL - 60};
	char base[UID_TEXT_LEN + 1], uid[UID_TEXT_LEN + 1];

	for (int date = 0; date < DATES; date++) {
		for (int i = 0; i < 3; i++) {
			make_key(base, &active_now, &no_date);
			items_dates[0] = (struct date){date_names[date], WALL - 1 + i};
			items_dates[1] = date != 0 ? long_active : no_date;
			act(makers[_i].put, base);
			expect_ok(0);
			memcpy(uid, uid_of(0), sizeof(uid));
			ck_assert_msg(state_of(uid) == states[date][i], "%s, %s %d: %d",
			    makers[_i].name, date_names[date], i - 1, (int)state_of(uid));
		}
	}
}
END_TEST

/* How many of the three keys are found in that state. */
static unsigned
located(enum object_state state)
{
	struct ttlv_reader r;
	struct seen s;
	struct ttlv t;
	unsigned n = 0;

	begin(1, 0, 0);
	item_begin(KMIP_OPERATION_LOCATE, NULL);
	put_attr_enum("State", state);
	put_attr_text("x-old", "value");
	item_end();
	run();
	ck_assert(item(0, &s));
	ttlv_enter(&r, &s.payload);
	while (ttlv_opt(&r, TAG_UNIQUE_IDENTIFIER, TTLV_TEXT, &t))
		n++;
	return n;
}

START_TEST(located_around_each_date)
{
	static const enum object_state states[DATES][3] = {
	    {OBJECT_PRE_ACTIVE, OBJECT_ACTIVE, OBJECT_ACTIVE},
	    {OBJECT_ACTIVE, OBJECT_ACTIVE, OBJECT_ACTIVE},
	    {OBJECT_ACTIVE, OBJECT_ACTIVE, OBJECT_ACTIVE},
	    {OBJECT_ACTIVE, OBJECT_DEACTIVATED, OBJECT_DEACTIVATED}};
	unsigned others[STATES + 1];
	char uid[3][UID_TEXT_LEN + 1];

	for (int state = OBJECT_PRE_ACTIVE; state <= OBJECT_DEACTIVATED; state++)
		others[state] = located((enum object_state)state);
	keys_with(uid, _i);
	for (int i = 0; i < 3; i++) {
		for (int state = OBJECT_PRE_ACTIVE; state <= OBJECT_DEACTIVATED; state++)
			ck_assert_uint_eq(located((enum object_state)state) - others[state],
			    states[_i][i] == (enum object_state)state ? 3 : 0);
		clock_test_freeze(WALL + LATER + i);
	}
}
END_TEST

/* What is taken off usage limits is committed, or the data does not leave. */
START_TEST(limits_are_committed)
{
	char uid[UID_TEXT_LEN + 1];

	make_key(uid, &active_now, &no_date);
	mem.fail_commit = ERR_STORAGE;
	act(item_encrypt, uid);
	expect(0, FAILED, KMIP_RESULT_REASON_GENERAL_FAILURE);
	mem.fail_commit = ERR_OK;
	mem.conflicts = 2;
	act(item_encrypt, uid);
	expect_ok(0);
	for (int i = 1; i < 31; i++) /* of 1000 bytes there are 31 times 32 */
		act(item_encrypt, uid);
	expect_ok(0);
	act(item_encrypt, uid);
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
	tcase_add_test(tc, every_operation_has_a_row);
	tcase_add_loop_test(tc, every_operation_in_every_state, 0, ROWS);
	tcase_add_loop_test(tc, archived_in_every_state, 0, ROWS);
	tcase_add_loop_test(tc, every_operation_around_each_date, 0, ROWS);
	tcase_add_loop_test(tc, a_clock_ahead_changes_no_state, 0, ROWS);
	tcase_add_loop_test(tc, new_keys_have_the_state_of_their_dates, 0,
	    sizeof(makers) / sizeof(makers[0]));
	tcase_add_loop_test(tc, located_around_each_date, 0, DATES);
	tcase_add_test(tc, limits_are_committed);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
