/* SPDX-License-Identifier: Apache-2.0 */
/* Last uses: when they are written, how often, and that nobody waits for them. */
#include <stdio.h>
#include <string.h>

#include <check.h>

#include "base/clock.h"
#include "keys/uses.h"

#define HOUR (3600 * NS_PER_S)
#define START INT64_C(1760000000)

/* A ledger that answers when it is told to. */
static struct {
	struct ledger ledger;
	struct ledger_uses *call; /* under way */
	unsigned calls;
	size_t written; /* in all */
	char last_uid[UID_TEXT_LEN + 1];
	int64_t last_when;
} fake;
static struct loop *loop;
static struct uses *uses;

static void
cancel_call(struct wait *w)
{
	(void)w;
	fake.call = NULL;
}

static void
fake_note_uses(struct ledger *l, struct ledger_uses *c)
{
	(void)l;
	ck_assert_ptr_null(fake.call);
	ck_assert_uint_gt(c->count, 0);
	c->wait.cancel = cancel_call;
	fake.call = c;
	fake.calls++;
	snprintf(fake.last_uid, sizeof(fake.last_uid), "%s", c->uses[c->count - 1].uid);
	fake.last_when = c->uses[c->count - 1].when;
}

static const struct ledger_ops fake_ops = {.name = "fake", .note_uses = fake_note_uses};

static void
setup(void)
{
	clock_test_freeze(START);
	memset(&fake, 0, sizeof(fake));
	fake.ledger.ops = &fake_ops;
	loop = loop_new();
	uses = uses_new(loop, &fake.ledger);
	ck_assert_ptr_nonnull(uses);
}

static void
teardown(void)
{
	uses_free(uses);
	loop_free(loop);
}

static void
answer(enum err e)
{
	struct ledger_uses *c = fake.call;

	ck_assert_ptr_nonnull(c);
	fake.call = NULL;
	if (e == ERR_OK)
		fake.written += c->count;
	wait_finish(&c->wait, e);
	loop_turn(loop, false);
}

static void
pass(int64_t ns)
{
	clock_test_advance(ns);
	loop_turn(loop, false);
}

static void
note_many(size_t from, size_t to)
{
	char uid[32];

	for (size_t i = from; i < to; i++) {
		snprintf(uid, sizeof(uid), "key %zu", i);
		uses_note(uses, "a", uid);
	}
}

struct flush {
	struct wait wait;
	bool done;
	enum err e;
};

static void
flushed(struct wait *w, enum err e)
{
	struct flush *f = CONTAINER_OF(w, struct flush, wait);

	f->done = true;
	f->e = e;
}

/* However often keys are used, an hour costs one write, with the last time of each. */
START_TEST(test_once_an_hour)
{
	for (int minute = 0; minute < 59; minute++) {
		uses_note(uses, "a", "one");
		uses_note(uses, "b", "one");
		pass(60 * NS_PER_S);
	}
	ck_assert_uint_eq(fake.calls, 0);
	ck_assert_int_eq(uses_last(uses, "b", "one"), START + 58 * 60);
	ck_assert_int_eq(uses_last(uses, "c", "one"), NO_DATE);
	pass(60 * NS_PER_S);
	ck_assert_uint_eq(fake.calls, 1);
	ck_assert_uint_eq(fake.call->count, 2);
	ck_assert_int_eq(fake.last_when, START + 58 * 60);
	answer(ERR_OK);
	ck_assert_int_eq(uses_last(uses, "a", "one"), NO_DATE); /* the ledger has it */
	pass(10 * HOUR);
	ck_assert_uint_eq(fake.calls, 1);
}
END_TEST

/* What is used while it is being written is written again, and an hour later. */
START_TEST(test_used_meanwhile)
{
	uses_note(uses, "a", "one");
	pass(HOUR);
	pass(5 * NS_PER_S);
	uses_note(uses, "a", "one");
	answer(ERR_OK);
	ck_assert_int_eq(uses_last(uses, "a", "one"), START + 3605);
	ck_assert_uint_eq(fake.calls, 1);
	pass(HOUR - NS_PER_S);
	ck_assert_uint_eq(fake.calls, 1);
	pass(NS_PER_S);
	ck_assert_uint_eq(fake.calls, 2);
	ck_assert_int_eq(fake.last_when, START + 3605);
	answer(ERR_OK);
	ck_assert_uint_eq(fake.written, 2);
}
END_TEST

/* Nothing is forgotten when the storage is away. */
START_TEST(test_failure)
{
	note_many(0, LEDGER_USES_MAX + 10);
	pass(HOUR);
	answer(ERR_STORAGE_DOWN);
	ck_assert_ptr_null(fake.call); /* the rest would fail as well */
	ck_assert_int_eq(uses_last(uses, "a", "key 0"), START);
	pass(HOUR);
	answer(ERR_OK);
	answer(ERR_OK);
	ck_assert_uint_eq(fake.written, LEDGER_USES_MAX + 10);
	ck_assert_ptr_null(fake.call);
}
END_TEST

START_TEST(test_flush)
{
	struct flush one = {.wait.done = flushed}, two = {.wait.done = flushed},
		     never = {.wait.done = flushed};

	uses_flush(uses, &one.wait);
	ck_assert(!one.done); /* not from inside the call */
	loop_turn(loop, false);
	ck_assert(one.done && one.e == ERR_OK);
	one.done = false;
	uses_note(uses, "a", "one");
	uses_flush(uses, &one.wait);
	uses_flush(uses, &never.wait);
	wait_cancel(&never.wait);
	clock_test_advance(NS_PER_S);
	uses_note(uses, "a", "one"); /* which the second flush has to write */
	uses_flush(uses, &two.wait);
	answer(ERR_OK);
	ck_assert(!two.done);
	answer(ERR_OK);
	ck_assert(one.done && one.e == ERR_OK && two.done && two.e == ERR_OK && !never.done);
	ck_assert_int_eq(fake.last_when, START + 1);
	two.done = false;
	uses_note(uses, "a", "two");
	uses_flush(uses, &two.wait);
	answer(ERR_STORAGE);
	ck_assert(two.done && two.e == ERR_STORAGE);
}
END_TEST

/* A full table writes before its hour, so that there is room again. */
START_TEST(test_full)
{
	note_many(0, USES_MAX);
	ck_assert_uint_eq(fake.calls, 0);
	uses_note(uses, "a", "one too many");
	ck_assert_uint_eq(fake.calls, 1);
	ck_assert_int_eq(uses_last(uses, "a", "one too many"), NO_DATE);
	answer(ERR_OK);
	uses_note(uses, "a", "one too many");
	ck_assert_int_eq(uses_last(uses, "a", "one too many"), START);
	while (fake.call != NULL)
		answer(ERR_OK);
	ck_assert_uint_eq(fake.written, USES_MAX);
}
END_TEST

START_TEST(test_free_under_way)
{
	struct flush one = {.wait.done = flushed};

	uses_note(uses, "a", "one");
	uses_flush(uses, &one.wait);
	uses_note(uses, "a", "two");
	uses_free(uses);
	uses = NULL;
	ck_assert_ptr_null(fake.call);
	loop_turn(loop, false);
	ck_assert(!one.done && !wait_pending(&one.wait));
	uses_note(NULL, "a", "one");
	ck_assert_int_eq(uses_last(NULL, "a", "one"), NO_DATE);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("uses");
	TCase *t = tcase_create("uses");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_once_an_hour);
	tcase_add_test(t, test_used_meanwhile);
	tcase_add_test(t, test_failure);
	tcase_add_test(t, test_flush);
	tcase_add_test(t, test_full);
	tcase_add_test(t, test_free_under_way);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
