/* SPDX-License-Identifier: Apache-2.0 */
/* What one tenant may use, in virtual time. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/loop.h"
#include "base/metric.h"
#include "gate/limit.h"

enum { CLIENTS = 40 };

static struct loop *loop;
static struct limit *limit;

static struct client {
	struct limit_turn turn;
	bool waits;
	int64_t started; /* 0: not yet */
} clients[CLIENTS];

static unsigned order[CLIENTS], started;

static void
on_turn(struct limit_turn *t)
{
	struct client *c = CONTAINER_OF(t, struct client, turn);

	ck_assert(c->waits);
	c->waits = false;
	c->started = clock_now();
	order[started++] = (unsigned)(c - clients);
}

static void
ask(unsigned n)
{
	struct client *c = &clients[n];

	c->turn.fn = on_turn;
	c->waits = !limit_request(limit, &c->turn);
	if (!c->waits) {
		c->started = clock_now();
		order[started++] = n;
	}
}

static void
set(unsigned sessions, unsigned rate)
{
	const struct limit_settings s = {sessions, rate};

	limit_set(limit, &s);
}

static void
pass(int64_t ns)
{
	for (int64_t step = NS_PER_MS; ns > 0; ns -= step) {
		clock_test_advance(step);
		loop_turn(loop, false);
	}
}

static struct limit_state
state(void)
{
	struct limit_state s;

	limit_tell(limit, &s);
	return s;
}

static void
set_up(void)
{
	clock_test_freeze(1760000000);
	loop = loop_new();
	limit = limit_new(loop, "a");
	memset(clients, 0, sizeof(clients));
	started = 0;
}

static void
tear_down(void)
{
	for (unsigned n = 0; n < CLIENTS; n++)
		limit_give_up(limit, &clients[n].turn);
	ck_assert_int_eq(metric_get(METRIC_REQUESTS_HELD), 0);
	limit_unref(limit);
	loop_free(loop);
}

START_TEST(without_a_limit)
{
	for (unsigned n = 0; n < CLIENTS; n++) {
		ask(n);
		ck_assert(limit_enter(limit));
	}
	ck_assert_uint_eq(started, CLIENTS);
	ck_assert_uint_eq(state().sessions, CLIENTS);
	for (unsigned n = 0; n < CLIENTS; n++)
		limit_leave(limit);
	ck_assert(limit_enter(NULL));
	limit_leave(NULL);
	ck_assert(limit_request(NULL, &clients[0].turn));
}
END_TEST

START_TEST(sessions_at_a_time)
{
	int64_t before = metric_get_by(METRIC_TENANT_LIMITS_REACHED_TOTAL, LABEL_LIMIT_SESSIONS, 0);

	set(2, 0);
	ck_assert(limit_enter(limit));
	ck_assert(limit_enter(limit));
	ck_assert(!limit_enter(limit));
	limit_leave(limit);
	ck_assert(limit_enter(limit));
	set(1, 0); /* who is there may stay */
	ck_assert_uint_eq(state().sessions, 2);
	limit_leave(limit);
	ck_assert(!limit_enter(limit));
	limit_leave(limit);
	ck_assert(limit_enter(limit));
	limit_leave(limit);
	ck_assert_uint_eq(state().sessions_refused, 2);
	ck_assert_int_eq(
	    metric_get_by(METRIC_TENANT_LIMITS_REACHED_TOTAL, LABEL_LIMIT_SESSIONS, 0), before + 2);
}
END_TEST

/* A second's at once, then one after the other, in the order in which they came. */
START_TEST(requests_a_second)
{
	int64_t began = clock_now();

	set(0, 10);
	for (unsigned n = 0; n < 35; n++)
		ask(n);
	ck_assert_uint_eq(started, 10);
	ck_assert_uint_eq(state().waiting, 25);
	ck_assert_int_eq(metric_get(METRIC_REQUESTS_HELD), 25);
	pass(NS_PER_S / 2);
	ck_assert_uint_eq(started, 15);
	ask(35); /* not in front of those that wait */
	pass(3 * NS_PER_S);
	ck_assert_uint_eq(started, 36);
	for (unsigned n = 0; n < 36; n++) {
		ck_assert_uint_eq(order[n], n);
		if (n >= 10)
			ck_assert_int_eq(clients[n].started, began + (n - 9) * (NS_PER_S / 10));
	}
	ck_assert_uint_eq(state().requests_delayed, 26);
}
END_TEST

START_TEST(quiet_times_are_not_saved_up)
{
	set(0, 10);
	pass(10 * NS_PER_S);
	for (unsigned n = 0; n < 20; n++)
		ask(n);
	ck_assert_uint_eq(started, 10);
	pass(NS_PER_S);
	ck_assert_uint_eq(started, 20);
}
END_TEST

START_TEST(one_a_second)
{
	set(0, 1);
	for (unsigned n = 0; n < 4; n++)
		ask(n);
	for (unsigned n = 1; n <= 4; n++) {
		ck_assert_uint_eq(started, n);
		pass(NS_PER_S);
	}
}
END_TEST

/* Who leaves takes no place of those behind it. */
START_TEST(leaving_the_line)
{
	set(0, 1);
	for (unsigned n = 0; n < 6; n++)
		ask(n);
	for (unsigned n = 1; n < 5; n++) {
		limit_give_up(limit, &clients[n].turn);
		limit_give_up(limit, &clients[n].turn); /* harmless */
	}
	pass(NS_PER_S);
	ck_assert_uint_eq(started, 2);
	ck_assert_uint_eq(order[1], 5);
	ck_assert_uint_eq(state().waiting, 0);
}
END_TEST

START_TEST(other_settings_count_at_once)
{
	set(0, 1);
	for (unsigned n = 0; n < 30; n++)
		ask(n);
	set(0, 20);
	pass(NS_PER_S);
	ck_assert_uint_ge(started, 20);
	ck_assert_uint_lt(started, 30);
	set(0, 0);
	loop_turn(loop, false);
	ck_assert_uint_eq(started, 30);
	ck_assert_uint_eq(state().waiting, 0);
}
END_TEST

/* A client that is answered at once, and asks again from there. */
static void
on_turn_ask_again(struct limit_turn *t)
{
	on_turn(t);
	if (started < CLIENTS)
		clients[t == &clients[1].turn ? 2 : 1].waits =
		    !limit_request(limit, &clients[t == &clients[1].turn ? 2 : 1].turn);
}

START_TEST(asks_again_meanwhile)
{
	set(0, 5);
	clients[1].turn.fn = clients[2].turn.fn = on_turn_ask_again;
	for (unsigned n = 3; n < 8; n++)
		ask(n);
	clients[1].waits = !limit_request(limit, &clients[1].turn);
	pass(2 * NS_PER_S);
	ck_assert_uint_eq(started, 5 + 10);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("limit");
	TCase *t = tcase_create("all");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, without_a_limit);
	tcase_add_test(t, sessions_at_a_time);
	tcase_add_test(t, requests_a_second);
	tcase_add_test(t, quiet_times_are_not_saved_up);
	tcase_add_test(t, one_a_second);
	tcase_add_test(t, leaving_the_line);
	tcase_add_test(t, other_settings_count_at_once);
	tcase_add_test(t, asks_again_meanwhile);
	suite_add_tcase(suite, t);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
