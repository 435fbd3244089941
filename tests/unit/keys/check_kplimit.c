/* SPDX-License-Identifier: Apache-2.0 */
/* Places among the calls of one instance. */
#include <check.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/loop.h"
#include "kplimit.h"

enum { WANTED = 100 };

static struct loop *loop;
static struct kplimit limit;
static struct kpslot slots[WANTED];

static void
placed(struct wait *w, enum err e)
{
	ck_assert_int_eq(e, ERR_OK);
	*(bool *)w->owner = true;
}

static void
setup(void)
{
	clock_test_freeze(1760000000);
	loop = loop_new();
	limit = (struct kplimit){.loop = loop, .rate_max = 50, .in_flight_max = 32};
	kplimit_init(&limit);
}

static void
teardown(void)
{
	kplimit_fini(&limit);
	loop_free(loop);
}

static void
want(struct kpslot *s, bool *in, bool background)
{
	*in = false;
	*s = (struct kpslot){.wait = {.done = placed, .owner = in},
	    .background = background,
	    .deadline = clock_now() + 3600 * NS_PER_S};
	kplimit_enter(&limit, s);
}

/* More is wanted than the rate allows: what revokes keys must get its share all the same. */
START_TEST(test_background_is_not_starved)
{
	struct kpslot back;
	bool in[WANTED], in_back;

	for (int i = 0; i < WANTED; i++)
		want(&slots[i], &in[i], false);
	want(&back, &in_back, true);
	for (int step = 0; step < 60 * 50 && !in_back; step++) {
		clock_test_advance(20 * NS_PER_MS);
		loop_turn(loop, false);
		loop_turn(loop, false);
		for (int i = 0; i < WANTED; i++) {
			if (!in[i])
				continue;
			kplimit_leave(&limit, &slots[i], KPLIMIT_GOOD, -1);
			want(&slots[i], &in[i], false);
		}
	}
	ck_assert(in_back);
	kplimit_leave(&limit, &back, KPLIMIT_GOOD, -1);
	for (int i = 0; i < WANTED; i++) {
		wait_cancel(&slots[i].wait);
		kplimit_leave(&limit, &slots[i], KPLIMIT_GOOD, -1);
	}
}
END_TEST

/* A day without a call for one header: an instance that answers again is to be used again. */
START_TEST(test_huge_retry_after)
{
	struct kpslot s;
	bool in;

	want(&s, &in, false);
	loop_turn(loop, false);
	loop_turn(loop, false);
	ck_assert(in);
	kplimit_leave(&limit, &s, KPLIMIT_THROTTLED, 86400 * NS_PER_S);
	clock_test_advance(300 * NS_PER_S);
	s.deadline = clock_now() + 10 * NS_PER_S;
	want(&s, &in, false);
	for (int step = 0; step < 600 && !in; step++) {
		clock_test_advance(20 * NS_PER_MS);
		loop_turn(loop, false);
	}
	ck_assert(in);
	kplimit_leave(&limit, &s, KPLIMIT_GOOD, -1);
}
END_TEST

/* Nobody is let in before the time that the instance gave, and then not all at once. */
START_TEST(test_retry_after)
{
	struct kpslot s, other[2];
	bool in, in_other[2];

	want(&s, &in, false);
	loop_turn(loop, false);
	ck_assert(in);
	kplimit_leave(&limit, &s, KPLIMIT_THROTTLED, 5 * NS_PER_S);
	want(&other[0], &in_other[0], false);
	want(&other[1], &in_other[1], false);
	for (int i = 0; i < 5; i++) {
		ck_assert(!in_other[0]);
		loop_turn(loop, false);
		clock_test_advance(NS_PER_S - (i == 4));
		loop_turn(loop, false);
	}
	ck_assert(!in_other[0]);
	clock_test_advance(1);
	loop_turn(loop, false);
	ck_assert(in_other[0] && !in_other[1]);
	clock_test_advance(NS_PER_S / 10);
	loop_turn(loop, false);
	ck_assert(in_other[1]);
	kplimit_leave(&limit, &other[0], KPLIMIT_GOOD, -1);
	kplimit_leave(&limit, &other[1], KPLIMIT_GOOD, -1);
}
END_TEST

/* --- a server with a limit of its own, and more callers than it serves --- */

enum { CALLERS = 48, STEP_MS = 2, CONNECT_MS = 250 };

struct server {
	unsigned rate, burst; /* calls a second, and how many at once */
	int64_t hold_ns;      /* Retry-After; -1: it does not say */
	int64_t connected;    /* clock_now() time up to which calls wait for a connection */
	double tokens;
	unsigned served, throttled;
};

struct caller {
	struct kpslot slot;
	bool in, asked, under_way, good;
	int64_t at; /* when its call arrives, then is answered; or when it wants the next */
};

static uint32_t dice;

static int64_t
delay(void)
{
	dice = dice * 1664525 + 1013904223;
	return (int64_t)(15 + (dice >> 16) % 50) * NS_PER_MS;
}

static bool
serve(struct server *s)
{
	bool good = s->tokens >= 1;

	s->tokens -= good;
	s->served += good;
	s->throttled += !good;
	return good;
}

static void
caller_step(struct caller *c, struct server *s)
{
	if (c->in && !c->under_way) {
		c->under_way = true;
		c->asked = false;
		c->at = (clock_now() < s->connected ? s->connected : clock_now()) + delay();
	} else if (c->under_way && !c->asked && clock_now() >= c->at) {
		c->good = serve(s);
		c->asked = true;
		c->at = clock_now() + delay();
	} else if (c->under_way && c->asked && clock_now() >= c->at) {
		kplimit_leave(&limit, &c->slot, c->good ? KPLIMIT_GOOD : KPLIMIT_THROTTLED,
		    c->good ? -1 : s->hold_ns);
		c->in = c->under_way = false;
		c->at = clock_now() + (c->good ? 0 : 4 * delay());
	} else if (!c->in && !wait_pending(&c->slot.wait) && clock_now() >= c->at) {
		want(&c->slot, &c->in, false);
	}
}

static void
refill(struct server *s, int64_t ns)
{
	s->tokens += s->rate * ((double)ns / NS_PER_S);
	if (s->tokens > s->burst)
		s->tokens = s->burst;
}

static void
demand(struct caller *callers, struct server *s, int seconds)
{
	s->served = s->throttled = 0;
	s->connected = clock_now() + CONNECT_MS * NS_PER_MS;
	for (int ms = 0; ms < seconds * 1000; ms += STEP_MS) {
		clock_test_advance(STEP_MS * NS_PER_MS);
		refill(s, STEP_MS * NS_PER_MS);
		for (int i = 0; i < CALLERS; i++)
			caller_step(&callers[i], s);
		loop_turn(loop, false);
	}
}

static void
leave(struct caller *callers)
{
	for (int i = 0; i < CALLERS; i++) {
		wait_cancel(&callers[i].slot.wait);
		kplimit_leave(&limit, &callers[i].slot, KPLIMIT_UNKNOWN, -1);
		callers[i] = (struct caller){.at = 0};
	}
}

static const struct {
	unsigned rate, burst;
	int64_t hold_s;
} servers[] = {{50, 50, 0}, {50, 50, 1}, {50, 10, 0}, {20, 20, 0}, {20, 20, 1}, {20, 5, 0},
    {5, 5, 0}, {500, 500, 0}};

static void
judge(const struct server *s, const char *what, int seconds)
{
	unsigned may = s->rate < limit.rate_max ? s->rate : limit.rate_max;

	printf("limit %u, burst %u, hold %d, %s: %.1f/s served, %u throttled\n", s->rate, s->burst,
	    (int)(s->hold_ns / NS_PER_S), what, (double)s->served / seconds, s->throttled);
	ck_assert_uint_ge(s->served, (unsigned)seconds * may * 85 / 100);
	ck_assert_uint_le(s->throttled, limit.rate_max * 6 / 5);
}

/*
 * Whatever the server's limit is, most of what it would serve is asked for, and little more.  That
 * holds for a storm from the first second on, though the calls that had to wait for a connection meet
 * those that came after, unless the server allows fewer at once than we may send.
 */
START_TEST(test_settles_at_the_servers_limit)
{
	static struct caller callers[CALLERS];
	struct server s = {.rate = servers[_i].rate,
	    .burst = servers[_i].burst,
	    .tokens = servers[_i].burst,
	    .hold_ns = servers[_i].hold_s > 0 ? servers[_i].hold_s * NS_PER_S : -1};

	dice = (uint32_t)_i;
	demand(callers, &s, 20);
	if (s.burst == s.rate)
		judge(&s, "a storm", 20);
	demand(callers, &s, 120);
	judge(&s, "for long", 120);
	leave(callers);
	clock_test_advance(300 * NS_PER_S);
	refill(&s, 300 * NS_PER_S);
	demand(callers, &s, 20);
	judge(&s, "a storm after a pause", 20);
	leave(callers);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("kplimit");
	TCase *t = tcase_create("kplimit");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_background_is_not_starved);
	tcase_add_test(t, test_huge_retry_after);
	tcase_add_test(t, test_retry_after);
	tcase_add_loop_test(t, test_settles_at_the_servers_limit, 0,
	    (int)(sizeof(servers) / sizeof(servers[0])));
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
