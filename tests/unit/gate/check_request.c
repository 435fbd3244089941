/* SPDX-License-Identifier: Apache-2.0 */
/* One message from bytes to answer, over a ledger and a vault in memory, on virtual time. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/secret.h"
#include "kmip/names.h"
#include "kmip/ttlv.h"

#include "rqrig.h"

/* --- the life of a key --- */

START_TEST(create_get_destroy)
{
	char uid[UID_TEXT_LEN + 1];

	create_one(uid);
	one(KMIP_OPERATION_GET, uid, 0, 0);
	field(0, TAG_SYMMETRIC_KEY);
	one(KMIP_OPERATION_ACTIVATE, uid, 0, 0);
	one(KMIP_OPERATION_DESTROY, uid, FAILED, DENIED); /* Active */
	begin(1, 0, 0);
	revoke_item(uid, KMIP_REVOCATION_REASON_CODE_CESSATION_OF_OPERATION);
	run();
	expect_ok(0);
	one(KMIP_OPERATION_GET, uid, 0, 0); /* recovery of virtual machines needs it */
	one(KMIP_OPERATION_DESTROY, uid, 0, 0);
	one(KMIP_OPERATION_GET, uid, FAILED, NOT_FOUND);
	one(KMIP_OPERATION_GET_ATTRIBUTES, uid, 0, 0);
	ck_assert_uint_eq(mem.stores, 1);
	ck_assert_uint_eq(mem.destroys, 1);
}
END_TEST

/* state reached by: nothing, activate, deactivate, compromise, destroy, destroy compromised */
static const struct {
	unsigned acts; /* bits: 1 activate, 2 deactivate, 4 compromise, 8 destroy */
	uint32_t operation, revocation;
	bool allowed;
} transitions[] = {
    {0, KMIP_OPERATION_ACTIVATE, 0, true},
    {1, KMIP_OPERATION_ACTIVATE, 0, false},
    {3, KMIP_OPERATION_ACTIVATE, 0, false},
    {4, KMIP_OPERATION_ACTIVATE, 0, false},
    {8, KMIP_OPERATION_ACTIVATE, 0, false},
    {12, KMIP_OPERATION_ACTIVATE, 0, false},
    {0, KMIP_OPERATION_REVOKE, 5, false},
    {1, KMIP_OPERATION_REVOKE, 5, true},
    {3, KMIP_OPERATION_REVOKE, 5, false},
    {4, KMIP_OPERATION_REVOKE, 5, false},
    {8, KMIP_OPERATION_REVOKE, 5, false},
    {0, KMIP_OPERATION_REVOKE, 2, true},
    {1, KMIP_OPERATION_REVOKE, 2, true},
    {3, KMIP_OPERATION_REVOKE, 2, true},
    {4, KMIP_OPERATION_REVOKE, 2, false},
    {8, KMIP_OPERATION_REVOKE, 2, true},
    {12, KMIP_OPERATION_REVOKE, 2, false},
    {0, KMIP_OPERATION_DESTROY, 0, true},
    {1, KMIP_OPERATION_DESTROY, 0, false},
    {3, KMIP_OPERATION_DESTROY, 0, true},
    {4, KMIP_OPERATION_DESTROY, 0, true},
    {5, KMIP_OPERATION_DESTROY, 0, true},
    {8, KMIP_OPERATION_DESTROY, 0, false},
    {12, KMIP_OPERATION_DESTROY, 0, false},
};

START_TEST(transition)
{
	char uid[UID_TEXT_LEN + 1];

	create_one(uid);
	if (transitions[_i].acts & 1)
		one(KMIP_OPERATION_ACTIVATE, uid, 0, 0);
	for (unsigned act = 2; act <= 4; act *= 2) {
		if ((transitions[_i].acts & act) == 0)
			continue;
		begin(1, 0, 0);
		revoke_item(uid, act == 2 ? 5 : 2);
		run();
		expect_ok(0);
	}
	if (transitions[_i].acts & 8)
		one(KMIP_OPERATION_DESTROY, uid, 0, 0);
	begin(1, 0, 0);
	if (transitions[_i].operation == KMIP_OPERATION_REVOKE)
		revoke_item(uid, transitions[_i].revocation);
	else
		simple(transitions[_i].operation, uid);
	run();
	if (transitions[_i].allowed)
		expect_ok(0);
	else
		expect(0, FAILED, DENIED);
}
END_TEST

/* --- batches --- */

START_TEST(placeholder_runs_through_a_batch)
{
	begin(4, 0, 0);
	create_item();
	add_item(NULL, "x-Name", "vm-1");
	simple(KMIP_OPERATION_ACTIVATE, NULL);
	simple(KMIP_OPERATION_GET, NULL);
	run();
	for (unsigned i = 0; i < 4; i++)
		expect_ok(i);
	ck_assert_uint_eq(mem.commits, 1);
	one(KMIP_OPERATION_GET, NULL, FAILED, KMIP_RESULT_REASON_MISSING_DATA);
}
END_TEST

static void
locate_item(const char *name, int32_t max)
{
	item_begin(KMIP_OPERATION_LOCATE, NULL);
	if (max > 0)
		ttlv_put_int(&msg, TAG_MAXIMUM_ITEMS, max);
	put_attr_text("x-Name", name);
	item_end();
}

static unsigned
located(unsigned n)
{
	struct seen s;
	struct ttlv_reader r;
	struct ttlv t;
	unsigned count = 0;

	ck_assert(item(n, &s));
	ck_assert_uint_eq(s.status, KMIP_RESULT_STATUS_SUCCESS);
	ttlv_enter(&r, &s.payload);
	while (ttlv_next(&r, &t))
		count += t.tag == TAG_UNIQUE_IDENTIFIER;
	return count;
}

START_TEST(locate_sees_its_own_message)
{
	char old[UID_TEXT_LEN + 1];

	create_one(old);
	begin(1, 0, 0);
	add_item(old, "x-Name", "vm");
	run();
	begin(8, 0, 0);
	create_item();
	add_item(NULL, "x-Name", "vm");
	locate_item("vm", 0); /* both */
	locate_item("vm", 1);
	simple(KMIP_OPERATION_DESTROY, old);
	locate_item("vm", 0); /* the new one, which becomes the placeholder */
	simple(KMIP_OPERATION_DESTROY, NULL);
	locate_item("vm", 0);
	run();
	ck_assert_uint_eq(located(2), 2);
	ck_assert_uint_eq(located(3), 1);
	ck_assert_uint_eq(located(5), 1);
	expect_ok(6);
	ck_assert_uint_eq(located(7), 0);
}
END_TEST

START_TEST(stop_is_the_default)
{
	char uid[UID_TEXT_LEN + 1];

	create_one(uid);
	begin(3, 0, 0);
	add_item(uid, "x-a", "1");
	simple(KMIP_OPERATION_GET, "no-such");
	add_item(uid, "x-b", "2");
	run();
	expect_ok(0);
	expect(1, FAILED, NOT_FOUND);
	expect_count(2);
	ck_assert_uint_eq(mem.commits, 2); /* what succeeded before the error stays */
}
END_TEST

START_TEST(continue_goes_on)
{
	char uid[UID_TEXT_LEN + 1];

	create_one(uid);
	begin(3, KMIP_CONTINUE_CONTINUE, 0);
	add_item(uid, "x-a", "1");
	simple(KMIP_OPERATION_GET, "no-such");
	add_item(uid, "x-b", "2");
	run();
	expect_ok(0);
	expect(1, FAILED, NOT_FOUND);
	expect_ok(2);
}
END_TEST

START_TEST(undo_leaves_nothing)
{
	begin(4, KMIP_CONTINUE_UNDO, 0);
	create_item();
	add_item(NULL, "x-a", "1");
	simple(KMIP_OPERATION_GET, NULL);
	simple(KMIP_OPERATION_GET, "no-such");
	run();
	for (unsigned i = 0; i < 3; i++) {
		struct seen s;

		ck_assert(item(i, &s));
		ck_assert_uint_eq(s.status, KMIP_RESULT_STATUS_OPERATION_UNDONE);
		ck_assert(s.payload.value == NULL); /* no key that will never be */
	}
	expect(3, FAILED, NOT_FOUND);
	ck_assert_uint_eq(mem.commits + mem.stores, 0);
}
END_TEST

/* After a failed Create, Destroy without an identifier must not mean the one before. */
START_TEST(failure_ends_the_placeholder)
{
	begin(3, KMIP_CONTINUE_CONTINUE, 0);
	create_item();
	simple(KMIP_OPERATION_CREATE, NULL);
	simple(KMIP_OPERATION_DESTROY, NULL);
	run();
	expect_ok(0);
	expect(1, FAILED, KMIP_RESULT_REASON_MISSING_DATA);
	expect(2, FAILED, KMIP_RESULT_REASON_MISSING_DATA);
	one(KMIP_OPERATION_GET, uid_of(0), 0, 0);
}
END_TEST

/* An item whose answer has no room fails, so its change must not be made. */
START_TEST(no_room_for_an_answer_changes_nothing)
{
	static char label[8000];
	char uid[UID_TEXT_LEN + 1];
	struct seen s;

	create_one(uid);
	memset(label, 'v', sizeof(label) - 1);
	begin(10, KMIP_CONTINUE_CONTINUE, 0);
	for (int i = 0; i < 10; i++) {
		char name[8] = "x-0";

		name[2] = (char)('0' + i);
		add_item(uid, name, label);
	}
	run();
	ck_assert(item(0, &s));
	ck_assert_uint_eq(s.reason, KMIP_RESULT_REASON_RESPONSE_TOO_LARGE);
	ck_assert_uint_eq(mem.commits, 1);
}
END_TEST

START_TEST(long_revocation_message_is_read_back)
{
	static char text[ATTR_VALUE_MAX + 1];
	char uid[UID_TEXT_LEN + 1];
	size_t mark;

	create_one(uid);
	memset(text, 'm', ATTR_VALUE_MAX);
	begin(1, 0, 0);
	item_begin(KMIP_OPERATION_REVOKE, uid);
	mark = ttlv_begin(&msg, TAG_REVOCATION_REASON);
	ttlv_put_enum(&msg, TAG_REVOCATION_REASON_CODE, KMIP_REVOCATION_REASON_CODE_KEY_COMPROMISE);
	ttlv_put_text(&msg, TAG_REVOCATION_MESSAGE, text, ATTR_VALUE_MAX);
	ttlv_end(&msg, mark);
	item_end();
	run();
	expect_ok(0);
	one(KMIP_OPERATION_GET_ATTRIBUTES, uid, 0, 0);
}
END_TEST

START_TEST(create_and_destroy_in_one_message)
{
	begin(2, 0, 0);
	create_item();
	simple(KMIP_OPERATION_DESTROY, NULL);
	run();
	expect_ok(0);
	expect_ok(1);
	ck_assert_uint_eq(mem.stores, 0);
	one(KMIP_OPERATION_GET, uid_of(0), FAILED, NOT_FOUND);
}
END_TEST

START_TEST(max_response_changes_nothing)
{
	struct seen s;

	begin(1, 0, 64);
	create_item();
	run();
	ck_assert(item(0, &s));
	ck_assert_uint_eq(s.status, FAILED);
	ck_assert_uint_eq(s.reason, KMIP_RESULT_REASON_RESPONSE_TOO_LARGE);
	ck_assert_uint_eq(mem.commits + mem.stores, 0);
}
END_TEST

/* --- what is counted --- */

static int64_t
observed(const struct histogram *h)
{
	int64_t n = 0;

	for (int i = 0; i <= HISTOGRAM_BOUNDS; i++)
		n += h->buckets[i];
	return n;
}

START_TEST(operations_are_counted)
{
	unsigned create = op_label(op_find(KMIP_OPERATION_CREATE, KMIP_1_0));
	unsigned get = op_label(op_find(KMIP_OPERATION_GET, KMIP_1_0)), unknown = op_label(NULL);
	const struct histogram *made =
	    metric_histogram(METRIC_OPERATION_DURATION_SECONDS, create, LABEL_OUTCOME_OK);
	const struct histogram *failed =
	    metric_histogram(METRIC_OPERATION_DURATION_SECONDS, get, LABEL_OUTCOME_FAILED);
	int64_t made_before = observed(made), failed_before = observed(failed);
	int64_t ok = metric_get_by(METRIC_OPERATIONS_TOTAL, create, ERR_OK);
	int64_t absent = metric_get_by(METRIC_OPERATIONS_TOTAL, get, ERR_NO_OBJECT);
	int64_t strange = metric_get_by(METRIC_OPERATIONS_TOTAL, unknown, ERR_OP_UNSUPPORTED);
	char uid[UID_TEXT_LEN + 1];

	create_one(uid);
	one(KMIP_OPERATION_GET, "nobody", FAILED, NOT_FOUND);
	one(0x7f, uid, FAILED, KMIP_RESULT_REASON_OPERATION_NOT_SUPPORTED);
	ck_assert_int_eq(metric_get_by(METRIC_OPERATIONS_TOTAL, create, ERR_OK), ok + 1);
	ck_assert_int_eq(metric_get_by(METRIC_OPERATIONS_TOTAL, get, ERR_NO_OBJECT), absent + 1);
	ck_assert_int_eq(
	    metric_get_by(METRIC_OPERATIONS_TOTAL, unknown, ERR_OP_UNSUPPORTED), strange + 1);
	ck_assert_int_eq(observed(made), made_before + 1);
	ck_assert_int_eq(observed(failed), failed_before + 1);
	ck_assert_str_eq(op_label_text(get), "Get");
	ck_assert_str_eq(op_label_text(unknown), "unknown");
}
END_TEST

/* --- what goes wrong --- */

START_TEST(conflict_runs_again)
{
	char uid[UID_TEXT_LEN + 1];
	int64_t before = metric_get(METRIC_REQUESTS_RESTARTED_TOTAL);

	create_one(uid);
	mem.conflicts = 3;
	one(KMIP_OPERATION_ACTIVATE, uid, 0, 0);
	ck_assert_int_eq(metric_get(METRIC_REQUESTS_RESTARTED_TOTAL), before + 3);
	ck_assert_uint_eq(mem.commits, 2);
}
END_TEST

/* Somebody else is always quicker: the message ends at its deadline, without having hurried. */
START_TEST(endless_conflict_ends)
{
	char uid[UID_TEXT_LEN + 1];
	int64_t before;
	unsigned was;

	create_one(uid);
	before = metric_get(METRIC_REQUESTS_RESTARTED_TOTAL);
	was = answers;
	mem.conflicts = 100000;
	begin(1, 0, 0);
	simple(KMIP_OPERATION_ACTIVATE, uid);
	start();
	turns(170 * 1000);
	ck_assert_uint_eq(answers, was + 1);
	expect(0, FAILED, KMIP_RESULT_REASON_GENERAL_FAILURE);
	ck_assert_int_lt(metric_get(METRIC_REQUESTS_RESTARTED_TOTAL) - before, 200);
	ck_assert_uint_eq(mem.commits, 1);
}
END_TEST

START_TEST(two_at_once_lose_nothing)
{
	char uid[UID_TEXT_LEN + 1];
	struct ttlv t;
	struct seen s;
	struct ttlv_reader r;
	unsigned found = 0;

	create_one(uid);
	for (int i = 0; i < 8; i++) {
		char name[8] = "x-0";

		name[2] = (char)('0' + i);
		begin(1, 0, 0);
		add_item(uid, name, "v");
		start();
	}
	turns(2000);
	ck_assert_uint_eq(answers, 9);
	one(KMIP_OPERATION_GET_ATTRIBUTE_LIST, uid, 0, 0);
	ck_assert(item(0, &s));
	ttlv_enter(&r, &s.payload);
	while (ttlv_next(&r, &t))
		found += t.tag == TAG_ATTRIBUTE_NAME && t.len == 3 && memcmp(t.value, "x-", 2) == 0;
	ck_assert_uint_eq(found, 8);
}
END_TEST

/*
 * One message destroys a key and labels another; a second one labels that one as well, a turn later
 * each time.  Neither may fail: a message whose key is gone from the vault has to be kept whole.
 */
START_TEST(destroy_locks_what_it_changes_besides)
{
	char doomed[UID_TEXT_LEN + 1], other[UID_TEXT_LEN + 1];
	struct ttlv_reader r;
	struct ttlv t;
	struct seen s;
	unsigned labels = 0;

	create_one(doomed);
	create_one(other);
	begin(2, 0, 0);
	simple(KMIP_OPERATION_DESTROY, doomed);
	add_item(other, "x-one", "1");
	start();
	turns((unsigned)_i);
	begin(1, 0, 0);
	add_item(other, "x-two", "2");
	start();
	for (int i = 0; i < 20000 && answers < 4; i++) {
		unsigned before = answers;

		turns(1);
		for (unsigned n = 0; answers > before && item(n, &s); n++)
			ck_assert_uint_eq(s.status, 0);
	}
	ck_assert_uint_eq(answers, 4);
	ck_assert_uint_eq(mem.destroys, 1);
	one(KMIP_OPERATION_GET, doomed, FAILED, NOT_FOUND);
	one(KMIP_OPERATION_GET_ATTRIBUTE_LIST, other, 0, 0);
	ck_assert(item(0, &s));
	ttlv_enter(&r, &s.payload);
	while (ttlv_next(&r, &t))
		labels += t.tag == TAG_ATTRIBUTE_NAME && t.len == 5 && memcmp(t.value, "x-", 2) == 0;
	ck_assert_uint_eq(labels, 2);
}
END_TEST

START_TEST(failed_commit_is_no_success)
{
	struct seen s;

	mem.fail_commit = ERR_STORAGE_FULL;
	begin(2, 0, 0);
	create_item();
	simple(KMIP_OPERATION_GET, NULL);
	run();
	ck_assert(item(0, &s));
	ck_assert_uint_eq(s.status, FAILED);
	ck_assert(s.payload.value == NULL);
	ck_assert(item(1, &s));
	ck_assert_uint_eq(s.status, FAILED); /* the key that it read is not kept anywhere */
	ck_assert(s.payload.value == NULL);
	ck_assert_uint_eq(mem.destroys, 1); /* the record is taken back */
	ck_assert(!mem.objects[0].intent && !mem.objects[0].record);
}
END_TEST

START_TEST(unknown_commit_is_left_to_recovery)
{
	mem.fail_commit = ERR_STORAGE_DOWN;
	begin(1, 0, 0);
	create_item();
	run();
	expect(0, FAILED, KMIP_RESULT_REASON_GENERAL_FAILURE);
	ck_assert_uint_eq(mem.destroys, 0);
	ck_assert(mem.objects[0].intent && mem.objects[0].record);
}
END_TEST

START_TEST(failed_store_is_undone)
{
	mem.fail_store = ERR_STORAGE;
	begin(1, 0, 0);
	create_item();
	run();
	expect(0, FAILED, KMIP_RESULT_REASON_GENERAL_FAILURE);
	ck_assert(!mem.objects[0].intent && !mem.objects[0].present);
}
END_TEST

/* The vault had no time left: nobody waits until it is undone. */
START_TEST(late_store_is_left_to_recovery)
{
	int64_t deadline = clock_now() + 15 * NS_PER_S;

	mem.fail_store = ERR_DEADLINE;
	begin(1, 0, 0);
	create_item();
	run();
	expect(0, FAILED, KMIP_RESULT_REASON_GENERAL_FAILURE);
	ck_assert_uint_eq(mem.destroys, 0);
	ck_assert(mem.objects[0].intent);
	ck_assert_int_eq(mem.deadline, deadline);
}
END_TEST

/*
 * Who may not destroy, or does not find what to destroy, has changed nothing: nothing is in doubt, what
 * came before is taken back.
 */
START_TEST(refused_destroy_is_undone)
{
	uint32_t reason = _i == 0 ? DENIED : NOT_FOUND;
	char uid[UID_TEXT_LEN + 1];

	create_one(uid);
	mem.fail_destroy = _i == 0 ? ERR_DENIED : ERR_NO_OBJECT;
	begin(2, 0, 0);
	create_item();
	simple(KMIP_OPERATION_DESTROY, uid);
	run();
	expect(0, FAILED, reason);
	expect(1, FAILED, reason);
	ck_assert_uint_eq(mem.count, 2);
	ck_assert(!mem.objects[0].intent && mem.objects[0].record && mem.objects[0].present);
	ck_assert(!mem.objects[1].intent && !mem.objects[1].record && !mem.objects[1].present);
	one(KMIP_OPERATION_GET, uid, 0, 0);
}
END_TEST

/* The second one is refused: the first is gone, and recovery has to find that out. */
START_TEST(half_destroyed_is_left_to_recovery)
{
	char first[UID_TEXT_LEN + 1], second[UID_TEXT_LEN + 1];

	create_one(first);
	create_one(second);
	mem.fail_destroy = ERR_DENIED;
	mem.destroys_fine = 1;
	begin(2, 0, 0);
	simple(KMIP_OPERATION_DESTROY, first);
	simple(KMIP_OPERATION_DESTROY, second);
	run();
	expect(0, FAILED, DENIED);
	expect(1, FAILED, DENIED);
	ck_assert(mem.objects[0].intent && !mem.objects[0].record);
	ck_assert(mem.objects[1].intent && mem.objects[1].record);
}
END_TEST

START_TEST(deadline_answers)
{
	char uid[UID_TEXT_LEN + 1];

	create_one(uid);
	mem.silent = true;
	begin(1, 0, 0);
	simple(KMIP_OPERATION_GET, uid);
	start();
	turns(5);
	ck_assert_uint_eq(answers, 1);
	clock_test_advance(16 * NS_PER_S);
	turns(5);
	ck_assert_uint_eq(answers, 2);
	expect(0, FAILED, KMIP_RESULT_REASON_GENERAL_FAILURE);
}
END_TEST

START_TEST(abandoned_read_ends)
{
	char uid[UID_TEXT_LEN + 1];
	struct request *rq;

	create_one(uid);
	mem.silent = true;
	begin(1, 0, 0);
	simple(KMIP_OPERATION_GET, uid);
	rq = start();
	turns(3);
	rq_abandon(rq);
	turns(3);
	ck_assert_uint_eq(answers, 1);
}
END_TEST

/* The client goes in every turn of a Create; either nothing or everything is there afterwards. */
START_TEST(abandoned_change_is_whole)
{
	struct request *rq;

	begin(1, 0, 0);
	create_item();
	rq = start();
	turns((unsigned)_i);
	if (answers == 0)
		rq_abandon(rq);
	turns(30);
	for (size_t i = 0; i < mem.count; i++) {
		ck_assert(!mem.objects[i].intent);
		ck_assert_int_eq(mem.objects[i].present, mem.objects[i].record);
	}
}
END_TEST

START_TEST(no_secure_memory)
{
	fault_test_arm(FAULT_SECRET_ALLOC, 0, 1);
	begin(1, 0, 0);
	create_item();
	run();
	expect(0, FAILED, KMIP_RESULT_REASON_GENERAL_FAILURE);
	ck_assert_uint_eq(mem.stores, 0);
}
END_TEST

/* Every allocation of a whole life fails once: an answer or none, never a crash or a leak. */
START_TEST(allocations_fail)
{
	unsigned before = answers;
	struct request_params p = {.loop = loop, .tenant = tenant, .server_name = "t",
	    .response_max = 64 << 10, .items_max = 128, .deadline = clock_now() + NS_PER_S,
	    .answered = answered};
	struct request *rq;
	bool started;

	begin(4, 0, 0);
	create_item();
	add_item(NULL, "x-Name", "vm");
	simple(KMIP_OPERATION_GET, NULL);
	simple(KMIP_OPERATION_GET_ATTRIBUTES, NULL);
	ttlv_end(&msg, msg_mark);
	buf_reset(&answer);
	fault_test_arm(FAULT_ALLOC, (unsigned)_i, 1);
	started = rq_start(&rq, &p, msg.data, msg.len);
	turns(60);
	fault_test_clear();
	ck_assert_uint_eq(answers, before + started);
}
END_TEST

/* --- who may see what --- */

START_TEST(other_tenants_key_does_not_exist)
{
	struct tenant *mine = tenant, *other = memkeys_tenant(&mem, "t2");
	char uid[UID_TEXT_LEN + 1];
	struct buf foreign;

	create_one(uid);
	tenant = other;
	one(KMIP_OPERATION_GET, uid, FAILED, NOT_FOUND);
	buf_init(&foreign, 4096);
	buf_put(&foreign, answer.data, answer.len);
	one(KMIP_OPERATION_GET, "0190b5a0-0000-7000-8000-000000000000", FAILED, NOT_FOUND);
	ck_assert_uint_eq(foreign.len, answer.len);
	ck_assert_mem_eq(foreign.data, answer.data, answer.len);
	buf_fini(&foreign);
	begin(1, 0, 0);
	simple(KMIP_OPERATION_LOCATE, NULL);
	run();
	expect_ok(0);
	ck_assert_uint_eq(mem.count, 1);
	tenant_unref(other);
	tenant = mine;
}
END_TEST

static unsigned
located_in_state(uint32_t state)
{
	struct ttlv_reader r;
	struct ttlv t;
	struct seen s;
	unsigned found = 0;

	begin(1, 0, 0);
	item_begin(KMIP_OPERATION_LOCATE, NULL);
	put_attr_enum("State", state);
	item_end();
	run();
	expect_ok(0);
	ck_assert(item(0, &s));
	ttlv_enter(&r, &s.payload);
	while (ttlv_next(&r, &t))
		found += t.tag == TAG_UNIQUE_IDENTIFIER;
	return found;
}

START_TEST(activation_date_acts_by_itself)
{
	char uid[UID_TEXT_LEN + 1];
	size_t at;

	create_one(uid);
	begin(1, 0, 0);
	item_begin(KMIP_OPERATION_ADD_ATTRIBUTE, uid);
	at = ttlv_begin(&msg, TAG_ATTRIBUTE);
	ttlv_put_text(&msg, TAG_ATTRIBUTE_NAME, "Activation Date", 15);
	ttlv_put_date_time(&msg, TAG_ATTRIBUTE_VALUE, WALL + 100);
	ttlv_end(&msg, at);
	item_end();
	run();
	expect_ok(0);
	ck_assert_uint_eq(located_in_state(KMIP_STATE_PRE_ACTIVE), 1);
	ck_assert_uint_eq(located_in_state(KMIP_STATE_ACTIVE), 0);
	clock_test_advance(200 * NS_PER_S);
	one(KMIP_OPERATION_DESTROY, uid, FAILED, DENIED); /* it is Active by now */
	ck_assert_uint_eq(located_in_state(KMIP_STATE_PRE_ACTIVE), 0);
	ck_assert_uint_eq(located_in_state(KMIP_STATE_ACTIVE), 1);
}
END_TEST

/* --- attributes that every key has --- */

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

/* Located Items belongs to Offset Items. */
START_TEST(located_items_with_offset)
{
	struct ttlv_reader r;
	struct ttlv t;
	struct seen s;
	unsigned found = 0;

	version_minor = 4;
	begin(1, 0, 0);
	item_begin(KMIP_OPERATION_LOCATE, NULL);
	if (_i > 0)
		ttlv_put_int(&msg, TAG_OFFSET_ITEMS, 0);
	item_end();
	run();
	expect_ok(0);
	ck_assert(item(0, &s));
	ttlv_enter(&r, &s.payload);
	while (ttlv_next(&r, &t))
		found += t.tag == TAG_LOCATED_ITEMS;
	ck_assert_uint_eq(found, (unsigned)_i);
}
END_TEST

static Suite *
request_suite(void)
{
	const struct {
		const char *name;
		const TTest *test;
		int times;
	} tests[] = {
	    {"life", create_get_destroy, 1},
	    {"transition", transition, sizeof(transitions) / sizeof(transitions[0])},
	    {"placeholder", placeholder_runs_through_a_batch, 1},
	    {"locate in a batch", locate_sees_its_own_message, 1},
	    {"stop", stop_is_the_default, 1},
	    {"continue", continue_goes_on, 1},
	    {"undo", undo_leaves_nothing, 1},
	    {"failure and placeholder", failure_ends_the_placeholder, 1},
	    {"no room for an answer", no_room_for_an_answer_changes_nothing, 1},
	    {"long revocation message", long_revocation_message_is_read_back, 1},
	    {"create and destroy", create_and_destroy_in_one_message, 1},
	    {"maximum response size", max_response_changes_nothing, 1},
	    {"counted", operations_are_counted, 1},
	    {"conflict", conflict_runs_again, 1},
	    {"endless conflict", endless_conflict_ends, 1},
	    {"two at once", two_at_once_lose_nothing, 1},
	    {"destroy and change", destroy_locks_what_it_changes_besides, 12},
	    {"failed commit", failed_commit_is_no_success, 1},
	    {"unknown commit", unknown_commit_is_left_to_recovery, 1},
	    {"failed store", failed_store_is_undone, 1},
	    {"late store", late_store_is_left_to_recovery, 1},
	    {"refused destroy", refused_destroy_is_undone, 2},
	    {"half destroyed", half_destroyed_is_left_to_recovery, 1},
	    {"deadline", deadline_answers, 1},
	    {"abandoned read", abandoned_read_ends, 1},
	    {"abandoned change", abandoned_change_is_whole, 14},
	    {"no secure memory", no_secure_memory, 1},
	    {"allocations", allocations_fail, 150},
	    {"other tenant", other_tenants_key_does_not_exist, 1},
	    {"activation date", activation_date_acts_by_itself, 1},
	    {"fresh", fresh_until_served, 1},
	    {"hidden", hidden_keys_stay, 2},
	    {"hidden from birth", hidden_from_birth_is_remembered, 1},
	    {"located items", located_items_with_offset, 2},
	};
	Suite *s = suite_create("request");

	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		TCase *tc = tcase_create(tests[i].name);

		tcase_add_checked_fixture(tc, setup, teardown);
		tcase_add_loop_test(tc, tests[i].test, 0, tests[i].times);
		suite_add_tcase(s, tc);
	}
	return s;
}

int
main(void)
{
	SRunner *r = srunner_create(request_suite());
	int failed;

	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
