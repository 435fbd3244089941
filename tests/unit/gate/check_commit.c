/* SPDX-License-Identifier: Apache-2.0 */
/* The writes of a message: all or nothing, beside other writers, and when vault or disk fails. */
#include <string.h>

#include "base/clock.h"
#include "base/metric.h"

#include "rqrig.h"

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

/* The commit that was under way at the message's deadline met somebody else's. */
START_TEST(late_conflict_is_no_success)
{
	char uid[UID_TEXT_LEN + 1];
	struct request *rq;
	int64_t done;
	struct seen s;

	create_one(uid);
	done = metric_get(METRIC_ITEMS_OK_TOTAL);
	mem.conflicts = 1;
	begin(1, 0, 0);
	simple(KMIP_OPERATION_ACTIVATE, uid);
	rq = start();
	while (!rq->committing)
		turns(1);
	clock_test_advance(60 * NS_PER_S);
	turns(20);
	ck_assert(item(0, &s));
	ck_assert_uint_eq(s.status, FAILED);
	ck_assert_uint_eq(mem.conflicts, 0);
	ck_assert_uint_eq(mem.commits, 1);
	ck_assert_int_eq(metric_get(METRIC_ITEMS_OK_TOTAL), done);
}
END_TEST

/* An answer that may not leave serves no key, and is not told as if it had. */
START_TEST(answer_too_large_is_no_success)
{
	char uid[UID_TEXT_LEN + 1];
	int64_t done;
	struct seen s;

	create_one(uid);
	one(KMIP_OPERATION_GET, uid, 0, 0); /* the first one changes the object */
	done = metric_get(METRIC_ITEMS_OK_TOTAL);
	begin(1, 0, 100);
	simple(KMIP_OPERATION_GET, uid);
	run();
	ck_assert(item(0, &s));
	ck_assert_uint_eq(s.reason, KMIP_RESULT_REASON_RESPONSE_TOO_LARGE);
	ck_assert_int_eq(metric_get(METRIC_ITEMS_OK_TOTAL), done);
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

/* A rewrap waits for it, though its client may have gone at any moment. */
START_TEST(is_under_way_to_its_end)
{
	struct request *rq;
	uint64_t next;

	begin(1, 0, 0);
	create_item();
	rq = start();
	next = underway_next();
	for (int i = 0; i < 30; i++) {
		bool there = metric_get(METRIC_REQUESTS) > 0;

		ck_assert(underway_before(next, tenant->id) == there);
		ck_assert(!underway_before(next - 1, tenant->id));
		ck_assert(!underway_before(next, "another"));
		if (i == _i && there)
			rq_abandon(rq);
		turns(1);
	}
	ck_assert(!underway_before(next, tenant->id));
}
END_TEST

int
main(void)
{
	const struct rqcase cases[] = {
	    {"conflict", conflict_runs_again, 1},
	    {"endless conflict", endless_conflict_ends, 1},
	    {"answer too large is no success", answer_too_large_is_no_success, 1},
	    {"late conflict is no success", late_conflict_is_no_success, 1},
	    {"two at once", two_at_once_lose_nothing, 1},
	    {"destroy and change", destroy_locks_what_it_changes_besides, 12},
	    {"failed commit", failed_commit_is_no_success, 1},
	    {"unknown commit", unknown_commit_is_left_to_recovery, 1},
	    {"failed store", failed_store_is_undone, 1},
	    {"late store", late_store_is_left_to_recovery, 1},
	    {"refused destroy", refused_destroy_is_undone, 2},
	    {"half destroyed", half_destroyed_is_left_to_recovery, 1},
	    {"under way", is_under_way_to_its_end, 12},
	};

	return rqrig_main("commit", cases, sizeof(cases) / sizeof(cases[0]));
}
