/* SPDX-License-Identifier: Apache-2.0 */
/* One message from bytes to answer, over a ledger and a vault in memory, on virtual time. */
#include <check.h>
#include <string.h>


#include "base/alloc.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/metric.h"
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
	    .client = memkeys_client(), .answered = answered};
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

int
main(void)
{
	const struct rqcase cases[] = {
	    {"life", create_get_destroy, 1},
	    {"transition", transition, sizeof(transitions) / sizeof(transitions[0])},
	    {"long revocation message", long_revocation_message_is_read_back, 1},
	    {"counted", operations_are_counted, 1},
	    {"deadline", deadline_answers, 1},
	    {"abandoned read", abandoned_read_ends, 1},
	    {"abandoned change", abandoned_change_is_whole, 14},
	    {"no secure memory", no_secure_memory, 1},
	    {"allocations", allocations_fail, 150},
	    {"other tenant", other_tenants_key_does_not_exist, 1},
	    {"activation date", activation_date_acts_by_itself, 1},
	    {"located items", located_items_with_offset, 2},
	};

	return rqrig_main("request", cases, sizeof(cases) / sizeof(cases[0]));
}
