/* SPDX-License-Identifier: Apache-2.0 */
/* The yes-or-no attributes that every key has: Fresh, Sensitive, Extractable and what they were. */
#include <string.h>

#include "base/clock.h"
#include "base/metric.h"

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

/* The load is answered at once, the commit after ten seconds. */
static int64_t
slow_commit(void *arg)
{
	unsigned *calls = arg;

	return (*calls)++ == 0 ? 0 : 10 * NS_PER_S;
}

static unsigned
answers_within(int64_t ns)
{
	unsigned before = answers;

	clock_test_advance(ns);
	turns(20);
	return answers - before;
}

/* A disk that hangs keeps the note waiting, not who wants the key; and nobody who changes is told early. */
START_TEST(served_before_it_is_noted)
{
	char uid[UID_TEXT_LEN + 1];
	unsigned calls = 0;
	size_t used;

	create_one(uid);
	used = secret_heap_used();
	mem.delay = slow_commit;
	mem.arg = &calls;
	begin(1, 0, 0);
	item_begin(KMIP_OPERATION_GET, uid);
	item_end();
	start();
	ck_assert_uint_eq(answers_within(0), 0);
	ck_assert_uint_eq(answers_within(200 * NS_PER_MS), 0);
	ck_assert_uint_eq(answers_within(50 * NS_PER_MS), 1);
	expect_ok(0);
	field(0, TAG_SYMMETRIC_KEY);
	ck_assert_int_eq(metric_get(METRIC_REQUESTS), 1);
	ck_assert_uint_eq(secret_heap_used(), used); /* the note needs no key */
	ck_assert_uint_eq(answers_within(10 * NS_PER_S), 0);
	ck_assert_int_eq(metric_get(METRIC_REQUESTS), 0);
	calls = 0;
	begin(1, 0, 0);
	create_item();
	start();
	ck_assert_uint_eq(answers_within(5 * NS_PER_S), 0);
	ck_assert_uint_eq(answers_within(30 * NS_PER_S), 1);
	mem.delay = NULL;
	ck_assert(!flag_of(uid, "Fresh"));
}
END_TEST

/* One tenant's clients leave so many behind, and no more: whoever comes then waits, as long as it takes. */
START_TEST(few_are_behind)
{
	static char uids[66][UID_TEXT_LEN + 1];
	unsigned calls, early = 0;

	for (int i = 0; i < 66; i++)
		create_one(uids[i]);
	mem.delay = slow_commit;
	mem.arg = &calls;
	for (int i = 0; i < 66; i++) {
		calls = 0;
		begin(1, 0, 0);
		item_begin(KMIP_OPERATION_GET, uids[i]);
		item_end();
		start();
		early += answers_within(0);
	}
	ck_assert_uint_eq(early, 0);
	ck_assert_uint_eq(answers_within(300 * NS_PER_MS), 64);
	ck_assert_uint_eq(answers_within(5 * NS_PER_S), 0);
	ck_assert_uint_eq(answers_within(10 * NS_PER_S), 2);
	ck_assert_int_eq(metric_get(METRIC_REQUESTS), 0);
	ck_assert_uint_eq(tenant->behind, 0);
	mem.delay = NULL;
	for (int i = 0; i < 66; i++)
		ck_assert(!flag_of(uids[i], "Fresh"));
}
END_TEST

/* So does a client that leaves meanwhile, whether it was answered or not. */
START_TEST(left_before_it_is_noted)
{
	char uid[UID_TEXT_LEN + 1];
	unsigned calls = 0;
	struct request *rq;

	create_one(uid);
	mem.delay = slow_commit;
	mem.arg = &calls;
	begin(1, 0, 0);
	item_begin(KMIP_OPERATION_GET, uid);
	item_end();
	rq = start();
	ck_assert_uint_eq(answers_within(0), 0);
	rq_abandon(rq);
	ck_assert_uint_eq(answers_within(NS_PER_S), 0);
	ck_assert_int_eq(metric_get(METRIC_REQUESTS), 1);
	ck_assert_uint_eq(answers_within(10 * NS_PER_S), 0);
	ck_assert_int_eq(metric_get(METRIC_REQUESTS), 0);
	mem.delay = NULL;
	ck_assert(!flag_of(uid, "Fresh"));
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
	    {"fresh, a slow disk", served_before_it_is_noted, 1},
	    {"fresh, a slow disk and many", few_are_behind, 1},
	    {"fresh, a slow disk and no client", left_before_it_is_noted, 1},
	    {"hidden", hidden_keys_stay, 2},
	    {"hidden from birth", hidden_from_birth_is_remembered, 1},
	};

	return rqrig_main("flags", cases, sizeof(cases) / sizeof(cases[0]));
}
