/* SPDX-License-Identifier: Apache-2.0 */
/* Turns, timers, deferred work and waits, in virtual time. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/loop.h"
#include "base/metric.h"

enum { MANY = 500 };

static struct loop *loop;
static char trace[64];

static void
set_up(void)
{
	clock_test_freeze(1760000000);
	loop = loop_new();
	trace[0] = '\0';
}

static void
tear_down(void)
{
	fault_test_clear();
	loop_free(loop);
}

static void
turn(void)
{
	loop_turn(loop, false);
}

struct ticker {
	struct timer timer;
	struct defer defer;
	char name[2];
	struct ticker *other;
	int64_t again;
	unsigned ran;
};

static void
tick(struct timer *t)
{
	struct ticker *k = CONTAINER_OF(t, struct ticker, timer);

	k->ran++;
	if (strlen(trace) < sizeof(trace) - 1)
		strcat(trace, k->name);
	ck_assert(!timer_armed(t));
	if (k->other != NULL)
		timer_clear(loop, &k->other->timer);
	if (k->again >= 0)
		timer_set(loop, t, clock_now() + k->again);
}

static struct ticker
ticker(const char *name)
{
	struct ticker k = {.timer.fn = tick, .again = -1};

	k.name[0] = name[0];
	return k;
}

static void
arm(struct ticker *k, int64_t in)
{
	timer_set(loop, &k->timer, clock_now() + in);
}

START_TEST(runs_timers_in_order_when_due)
{
	struct ticker a = ticker("a"), b = ticker("b"), c = ticker("c");

	arm(&c, 30);
	arm(&a, 10);
	arm(&b, 20);
	clock_test_advance(9);
	turn();
	ck_assert_str_eq(trace, "");
	clock_test_advance(1);
	turn();
	ck_assert_str_eq(trace, "a");
	clock_test_advance(100);
	turn();
	ck_assert_str_eq(trace, "abc");
	turn();
	ck_assert_str_eq(trace, "abc");
}
END_TEST

static int64_t told[2], told_wall[2];

static void
tell_time(struct defer *d)
{
	(void)d;
	told[0] = loop_time(loop);
	told_wall[0] = loop_wall_ms(loop);
	clock_test_advance(7 * NS_PER_MS);
	told[1] = loop_time(loop);
	told_wall[1] = loop_wall_ms(loop);
}

/* Within a turn it may stand still; never from one to the next, nor outside of turns. */
START_TEST(knows_the_time_of_its_turn)
{
	struct defer d = {.fn = tell_time};
	int64_t before = clock_now(), wall = clock_wall_ms();

	for (int n = 0; n < 2; n++) {
		loop_defer(loop, &d);
		turn();
		ck_assert_int_eq(told[0], before + 7 * n * NS_PER_MS);
		ck_assert_int_eq(told[1], told[0]);
		ck_assert_int_eq(told_wall[0], wall + 7 * n);
		ck_assert_int_eq(told_wall[1], told_wall[0]);
		ck_assert_int_eq(loop_time(loop), clock_now());
		ck_assert_int_eq(loop_wall_ms(loop), clock_wall_ms());
		ck_assert_int_eq(loop_wall(loop), clock_wall());
	}
}
END_TEST

/* A limit that is gone lets go of its line at a time before all others. */
START_TEST(runs_a_timer_of_the_beginning_of_time)
{
	struct ticker a = ticker("a");

	a.again = -1;
	timer_set(loop, &a.timer, INT64_MIN);
	loop_turn(loop, true);
	ck_assert_str_eq(trace, "a");
}
END_TEST

START_TEST(moves_and_clears_timers)
{
	struct ticker a = ticker("a"), b = ticker("b"), c = ticker("c");

	arm(&a, 10);
	arm(&b, 20);
	arm(&c, 30);
	arm(&a, 25);
	timer_set(loop, &c.timer, clock_now() + 5);
	timer_clear(loop, &b.timer);
	timer_clear(loop, &b.timer);
	ck_assert(!timer_armed(&b.timer));
	clock_test_advance(50);
	turn();
	ck_assert_str_eq(trace, "ca");
}
END_TEST

/* To the millisecond when that is near, and soon enough to see a clock that was set when it is not. */
START_TEST(a_timer_goes_by_a_wall_clock_that_may_be_set)
{
	int64_t now = clock_now(), wall = clock_wall();

	ck_assert_int_eq(timer_when(wall + 60), now + 60 * NS_PER_S);
	ck_assert_int_eq(timer_when(wall + 61), now + 60 * NS_PER_S);
	ck_assert_int_eq(timer_when(INT64_MAX), now + 60 * NS_PER_S);
	ck_assert_int_eq(timer_when(wall), now);
	ck_assert_int_eq(timer_when(0), now);
	clock_test_advance(250 * NS_PER_MS);
	ck_assert_int_eq(timer_when(wall + 1), now + NS_PER_S);
}
END_TEST

/* A timer that is always due must not keep the turn, nor those behind it, waiting. */
START_TEST(a_timer_that_sets_itself_waits_for_its_turn)
{
	struct ticker a = ticker("a"), b = ticker("b");

	a.again = 0;
	arm(&a, 0);
	arm(&b, 0);
	turn();
	ck_assert_str_eq(trace, "ab");
	turn();
	ck_assert_str_eq(trace, "aba");
	timer_clear(loop, &a.timer);
}
END_TEST

START_TEST(a_due_timer_can_be_cleared_or_moved_by_another)
{
	struct ticker a = ticker("a"), b = ticker("b"), c = ticker("c");

	a.other = &b;
	arm(&a, 1);
	arm(&b, 2);
	arm(&c, 3);
	clock_test_advance(10);
	turn();
	ck_assert_str_eq(trace, "ac");
	ck_assert(!timer_armed(&b.timer));
}
END_TEST

static struct ticker crowd[MANY];

static void
move_all(struct timer *t)
{
	(void)t;
	for (int i = 1; i < MANY; i++) {
		ck_assert(timer_armed(&crowd[i].timer));
		timer_set(loop, &crowd[i].timer, clock_now() + 100);
	}
}

START_TEST(due_timers_can_all_be_moved)
{
	for (int i = 0; i < MANY; i++) {
		crowd[i] = ticker("x");
		arm(&crowd[i], i);
	}
	crowd[0].timer.fn = move_all;
	clock_test_advance(MANY);
	turn();
	for (int i = 0; i < MANY; i++)
		ck_assert_uint_eq(crowd[i].ran, 0);
	clock_test_advance(100);
	turn();
	for (int i = 1; i < MANY; i++)
		ck_assert_uint_eq(crowd[i].ran, 1);
}
END_TEST

/* Against the plainest model there is: at each step, those whose time has come have run. */
START_TEST(the_heap_holds_under_random_use)
{
	static struct ticker k[64];
	int64_t due[64];
	unsigned ran[64] = {0};

	srand(1);
	for (int i = 0; i < 64; i++) {
		k[i] = ticker("x");
		due[i] = -1;
	}
	for (int step = 0; step < 20000; step++) {
		int i = rand() % 64;

		if (rand() % 3 == 0) {
			timer_clear(loop, &k[i].timer);
			due[i] = -1;
		} else {
			due[i] = clock_now() + rand() % 100 + 1;
			timer_set(loop, &k[i].timer, due[i]);
		}
		if (step % 8 != 0)
			continue;
		clock_test_advance(rand() % 20);
		turn();
		for (int j = 0; j < 64; j++) {
			if (due[j] >= 0 && due[j] <= clock_now()) {
				ran[j]++;
				due[j] = -1;
			}
			ck_assert_uint_eq(k[j].ran, ran[j]);
			ck_assert(timer_armed(&k[j].timer) == (due[j] >= 0));
		}
	}
}
END_TEST

/* However many there are: what runs for years would end with the one that cannot be set. */
START_TEST(timers_take_no_memory)
{
	fault_test_arm(FAULT_ALLOC, 0, 1000000);
	for (int i = 0; i < MANY; i++) {
		crowd[i] = ticker("x");
		crowd[i].again = 10;
		arm(&crowd[i], 10);
	}
	for (unsigned round = 1; round < 10; round++) {
		clock_test_advance(10);
		turn();
		for (int i = 0; i < MANY; i++)
			ck_assert_uint_eq(crowd[i].ran, round);
	}
	fault_test_clear();
}
END_TEST

static void
turn_inside(struct timer *t)
{
	strcat(trace, "(");
	turn();
	strcat(trace, ")");
	ck_assert(!timer_armed(t));
}

/* It runs what the outer one had still to run, and what is due by now, each once. */
START_TEST(a_turn_may_run_within_a_timer)
{
	struct ticker a = ticker("a"), b = ticker("b"), c = ticker("c");

	a.timer.fn = turn_inside;
	arm(&a, 1);
	arm(&b, 2);
	arm(&c, 3);
	clock_test_advance(2);
	turn();
	ck_assert_str_eq(trace, "(b)");
	clock_test_advance(1);
	arm(&a, -2);
	arm(&b, -1);
	turn();
	ck_assert_str_eq(trace, "(b)(bc)");
}
END_TEST

/* --- deferred work --- */

static void
run_again(struct defer *d)
{
	struct ticker *k = CONTAINER_OF(d, struct ticker, defer);

	k->ran++;
	strcat(trace, k->name);
	if (k->other != NULL)
		loop_undefer(&k->other->defer);
	if (k->again >= 0)
		loop_defer(loop, d);
}

START_TEST(deferred_work_runs_once_and_in_order)
{
	struct ticker a = ticker("a"), b = ticker("b"), c = ticker("c");

	a.defer.fn = b.defer.fn = c.defer.fn = run_again;
	loop_defer(loop, &a.defer);
	loop_defer(loop, &b.defer);
	loop_defer(loop, &a.defer);
	loop_defer(loop, &c.defer);
	a.other = &b; /* taken back by one that ran before it in the same turn */
	ck_assert_str_eq(trace, "");
	turn();
	ck_assert_str_eq(trace, "ac");
	turn();
	ck_assert_str_eq(trace, "ac");
}
END_TEST

START_TEST(work_deferred_by_deferred_work_waits_for_the_next_turn)
{
	struct ticker a = ticker("a");

	a.defer.fn = run_again;
	a.again = 0;
	loop_defer(loop, &a.defer);
	turn();
	ck_assert_str_eq(trace, "a");
	loop_turn(loop, true); /* must not block: there is work */
	ck_assert_str_eq(trace, "aa");
	loop_undefer(&a.defer);
}
END_TEST

static void
on_always(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	++*(unsigned *)arg;
}

START_TEST(idle_work_waits_for_a_turn_without_other_work)
{
	struct ticker a = ticker("a"), idle = ticker("i");

	a.defer.fn = idle.defer.fn = run_again;
	loop_defer_idle(loop, &idle.defer);
	loop_defer_idle(loop, &idle.defer); /* twice is once */
	turn();
	ck_assert_uint_eq(idle.ran, 1); /* there was none */
	turn();
	ck_assert_uint_eq(idle.ran, 1);
	a.again = 1; /* defers itself again and again */
	loop_defer(loop, &a.defer);
	loop_defer_idle(loop, &idle.defer);
	for (int i = 0; i < LOOP_PATIENCE - 1; i++)
		turn();
	ck_assert_uint_eq(idle.ran, 1);
	turn();
	ck_assert_uint_eq(idle.ran, 2);
	loop_defer_idle(loop, &idle.defer);
	loop_undefer(&idle.defer);
	loop_undefer(&a.defer);
	turn();
	ck_assert_uint_eq(idle.ran, 2);
}
END_TEST

/* A descriptor that is always ready must not keep timers and deferred work from their turn. */
START_TEST(a_busy_descriptor_starves_nobody)
{
	struct ticker a = ticker("a"), b = ticker("b");
	unsigned ready = 0;
	struct event *ev;
	int fd[2];

	ck_assert_int_eq(pipe(fd), 0);
	ck_assert_int_eq(write(fd[1], "x", 1), 1);
	ev = event_new(loop_base(loop), fd[0], EV_READ | EV_PERSIST, on_always, &ready);
	event_add(ev, NULL);
	arm(&a, 0);
	b.defer.fn = run_again;
	loop_defer(loop, &b.defer);
	turn();
	ck_assert_uint_eq(ready, 1);
	ck_assert_str_eq(trace, "ab");
	loop_turn(loop, true);
	ck_assert_uint_eq(ready, 2);
	event_free(ev);
	close(fd[0]);
	close(fd[1]);
}
END_TEST

static void
step(struct defer *d)
{
	struct ticker *k = CONTAINER_OF(d, struct ticker, defer);

	if (++k->ran == 100)
		loop_stop(loop);
	else
		loop_defer(loop, d);
}

/* Running goes on with what is deferred before it looks at descriptors again, but not for long. */
START_TEST(a_run_looks_at_descriptors_seldom)
{
	struct ticker a = ticker("a"), idle = ticker("i");
	unsigned ready = 0;
	struct event *ev;
	int fd[2];

	ck_assert_int_eq(pipe(fd), 0);
	ck_assert_int_eq(write(fd[1], "x", 1), 1);
	ev = event_new(loop_base(loop), fd[0], EV_READ | EV_PERSIST, on_always, &ready);
	event_add(ev, NULL);
	a.defer.fn = step;
	idle.defer.fn = run_again;
	loop_defer(loop, &a.defer);
	loop_run(loop);
	ck_assert_uint_eq(ready, 100 / (1 + LOOP_ROUNDS));
	/* what was busy before is not held against those who wait now */
	a.defer.fn = run_again;
	a.again = 1;
	loop_defer(loop, &a.defer);
	loop_defer_idle(loop, &idle.defer);
	for (int i = 0; i < LOOP_PATIENCE - 1; i++)
		turn();
	ck_assert_uint_eq(idle.ran, 0);
	turn();
	ck_assert_uint_eq(idle.ran, 1);
	loop_undefer(&a.defer);
	event_free(ev);
	close(fd[0]);
	close(fd[1]);
}
END_TEST

START_TEST(frees_when_the_turn_is_over)
{
	loop_free_later(loop, alloc_zero(100));
	loop_free_later(loop, alloc_zero(sizeof(struct list)));
	turn();
	loop_free_later(loop, alloc_zero(100)); /* and in loop_free() */
}
END_TEST

/* What callbacks of this turn may still look at stays as it is until then. */
START_TEST(gives_back_when_the_turn_is_over)
{
	static struct spares spares = SPARES(64, 1);
	struct spent *s = spare_take(&spares), *other;
	char *text = (char *)(s + 1);

	strcpy(text, "here");
	loop_give_later(loop, s, &spares);
	ck_assert_str_eq(text, "here");
	other = spare_take(&spares);
	ck_assert_ptr_ne(other, s);
	alloc_free(other);
	turn();
	ck_assert_ptr_eq(spare_take(&spares), s);
	ck_assert_str_eq(text, "");
	loop_give_later(loop, s, &spares); /* and in loop_free() */
}
END_TEST

static void
stop(struct defer *d)
{
	(void)d;
	loop_stop(loop);
}

START_TEST(runs_until_stopped)
{
	struct defer d = {.fn = stop};

	loop_defer(loop, &d);
	loop_run(loop);
}
END_TEST

/* --- waits --- */

struct waiter {
	struct wait wait;
	unsigned done;
	enum err result;
};

static void
waited(struct wait *w, enum err e)
{
	struct waiter *k = CONTAINER_OF(w, struct waiter, wait);

	ck_assert(!wait_pending(w));
	k->done++;
	k->result = e;
}

static unsigned cancels;

static void
on_cancel(struct wait *w)
{
	(void)w;
	cancels++;
}

START_TEST(a_known_answer_goes_round_the_loop)
{
	struct waiter k = {.wait.done = waited};

	wait_finish_soon(loop, &k.wait, ERR_BUSY);
	ck_assert(wait_pending(&k.wait));
	ck_assert_uint_eq(k.done, 0);
	turn();
	ck_assert_uint_eq(k.done, 1);
	ck_assert_int_eq(k.result, ERR_BUSY);
	turn();
	ck_assert_uint_eq(k.done, 1);
}
END_TEST

START_TEST(nothing_comes_after_cancel)
{
	struct waiter k = {.wait.done = waited};
	struct list queue;

	cancels = 0;
	list_init(&queue);
	wait_finish_soon(loop, &k.wait, ERR_OK);
	wait_cancel(&k.wait);
	ck_assert(!wait_pending(&k.wait));
	turn();
	ck_assert_uint_eq(k.done, 0);
	k.wait.cancel = on_cancel;
	list_append(&queue, &k.wait.link);
	wait_cancel(&k.wait);
	ck_assert_uint_eq(cancels, 1);
	ck_assert(list_empty(&queue));
	wait_cancel(&k.wait);
	ck_assert_uint_eq(cancels, 1);
}
END_TEST

START_TEST(finishing_leaves_the_queue)
{
	struct waiter k = {.wait.done = waited};
	struct list queue;

	list_init(&queue);
	k.wait.cancel = on_cancel;
	list_append(&queue, &k.wait.link);
	wait_finish_soon(loop, &k.wait, ERR_OK);
	ck_assert(list_empty(&queue));
	wait_finish(&k.wait, ERR_IO); /* now after all; the turn must not finish it again */
	turn();
	ck_assert_uint_eq(k.done, 1);
	ck_assert_int_eq(k.result, ERR_IO);
}
END_TEST

/* A turn that took long is seen, and for a minute or two it stays the worst. */
START_TEST(lag_is_told)
{
	const struct histogram *h = metric_histogram(METRIC_LOOP_LAG_SECONDS, 0, 0);
	struct histogram was = *h;

	loop_watch_lag(loop);
	clock_test_advance(100 * NS_PER_MS);
	turn();
	ck_assert_int_eq(h->buckets[0], was.buckets[0] + 1);
	clock_test_advance(100 * NS_PER_MS + 80 * NS_PER_MS);
	turn();
	ck_assert_int_eq(h->sum_ns - was.sum_ns, 80 * NS_PER_MS);
	for (int second = 0; second < 59; second++) {
		for (int beat = 0; beat < 10; beat++) {
			clock_test_advance(100 * NS_PER_MS);
			turn();
		}
		ck_assert_int_eq(metric_get(METRIC_LOOP_LAG_WORST_SECONDS), 80 * NS_PER_MS);
	}
	for (int beat = 0; beat < 1300; beat++) {
		clock_test_advance(100 * NS_PER_MS);
		turn();
	}
	ck_assert_int_eq(metric_get(METRIC_LOOP_LAG_WORST_SECONDS), 0);
	ck_assert_int_eq(loop_away(loop), 0);
}
END_TEST

/* Before any other timer that came due meanwhile. */
static void
asks_how_long(struct timer *t)
{
	(void)t;
	ck_assert_int_eq(loop_away(loop), 7 * NS_PER_S);
}

START_TEST(an_absence_is_told)
{
	struct timer late = {.fn = asks_how_long};

	loop_watch_lag(loop);
	timer_set(loop, &late, clock_now() + NS_PER_S);
	clock_test_advance(100 * NS_PER_MS + 7 * NS_PER_S);
	ck_assert_int_eq(loop_away(loop), 7 * NS_PER_S); /* also before the first turn after it */
	turn();
	ck_assert(!timer_armed(&late));
	clock_test_advance(100 * NS_PER_MS + 100 * NS_PER_MS - 1);
	turn();
	ck_assert_int_eq(loop_away(loop), 7 * NS_PER_S);
	clock_test_advance(100 * NS_PER_MS + 100 * NS_PER_MS);
	turn();
	ck_assert_int_eq(loop_away(loop), 7 * NS_PER_S + 100 * NS_PER_MS);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("loop");
	TCase *t = tcase_create("loop");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, runs_timers_in_order_when_due);
	tcase_add_test(t, knows_the_time_of_its_turn);
	tcase_add_test(t, runs_a_timer_of_the_beginning_of_time);
	tcase_add_test(t, moves_and_clears_timers);
	tcase_add_test(t, a_timer_goes_by_a_wall_clock_that_may_be_set);
	tcase_add_test(t, a_timer_that_sets_itself_waits_for_its_turn);
	tcase_add_test(t, a_due_timer_can_be_cleared_or_moved_by_another);
	tcase_add_test(t, due_timers_can_all_be_moved);
	tcase_add_test(t, the_heap_holds_under_random_use);
	tcase_add_test(t, timers_take_no_memory);
	tcase_add_test(t, a_turn_may_run_within_a_timer);
	tcase_add_test(t, deferred_work_runs_once_and_in_order);
	tcase_add_test(t, work_deferred_by_deferred_work_waits_for_the_next_turn);
	tcase_add_test(t, a_busy_descriptor_starves_nobody);
	tcase_add_test(t, a_run_looks_at_descriptors_seldom);
	tcase_add_test(t, frees_when_the_turn_is_over);
	tcase_add_test(t, gives_back_when_the_turn_is_over);
	tcase_add_test(t, runs_until_stopped);
	tcase_add_test(t, a_known_answer_goes_round_the_loop);
	tcase_add_test(t, nothing_comes_after_cancel);
	tcase_add_test(t, finishing_leaves_the_queue);
	tcase_add_test(t, idle_work_waits_for_a_turn_without_other_work);
	tcase_add_test(t, lag_is_told);
	tcase_add_test(t, an_absence_is_told);
	suite_add_tcase(suite, t);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
