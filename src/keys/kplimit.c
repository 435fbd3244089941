/* SPDX-License-Identifier: Apache-2.0 */
/* The rate, the ceiling and the breaker of one instance. */
#include "kplimit.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"

enum {
	OUTAGES_MAX = 5, /* in a row open the breaker */
	CREEP_S = 60,	 /* from nothing back to the full rate, if it could */
	CREEP_PART = 20, /* but no more than such a part of itself in a second */
	PROBES_MAX = 2,	 /* a Get makes two calls at once */
	BACKGROUND_PART = 4, /* of the calls in flight, background work has at most one in so many */
	BACKGROUND_EVERY = 8, /* nor is it passed over more often: what revokes keys is among it */
};
#define OPEN_NS (1 * NS_PER_S)
#define OPEN_MAX_NS (16 * NS_PER_S)
#define CREEP_AFTER_NS (1 * NS_PER_S)
/* Of the rate, at a cut: what is a little too much, and what is far too much. */
#define CUT_LITTLE 0.9
#define CUT_MUCH 0.5
/* So many answers, in calls a second, say how far off the rate is. */
#define CUT_SAMPLE 0.2
#define HOLD_MAX_NS (30 * NS_PER_S) /* then it is asked whether it still means that */

static void pump(struct kplimit *l);

static void
on_turn(struct defer *d)
{
	pump(CONTAINER_OF(d, struct kplimit, turn));
}

static void
on_time(struct timer *t)
{
	pump(CONTAINER_OF(t, struct kplimit, timer));
}

void
kplimit_init(struct kplimit *l)
{
	list_init(&l->queue[0]);
	list_init(&l->queue[1]);
	l->rate = l->tokens = l->rate_max;
	l->counted = clock_now();
	l->timer.fn = on_time;
	l->turn.fn = on_turn;
}

void
kplimit_fini(struct kplimit *l)
{
	timer_clear(l->loop, &l->timer);
	loop_undefer(&l->turn);
}

bool
kplimit_is_open(const struct kplimit *l)
{
	return l->open_ns != 0;
}

/* While open, few are let through each time that the breaker's time is over. */
static bool
refuses(const struct kplimit *l)
{
	return kplimit_is_open(l) && (l->probing == PROBES_MAX || clock_now() < l->open_until);
}

/* In calls a second, each second: a low rate grows slowly, lest it meets its limit all the time. */
static double
creep(const struct kplimit *l)
{
	double full = (double)l->rate_max / CREEP_S, part = l->rate / CREEP_PART;

	return part < full ? part : full;
}

static void
count_tokens(struct kplimit *l)
{
	int64_t now = clock_now();
	double s = (double)(now - l->counted) / NS_PER_S;

	if (now < l->counted) /* held back: what is held saves nothing up */
		return;
	l->counted = now;
	if (l->rate < l->rate_max && now - l->cut_at > CREEP_AFTER_NS)
		l->rate += s * creep(l);
	if (l->rate > l->rate_max)
		l->rate = l->rate_max;
	l->tokens += s * l->rate;
	if (l->tokens > l->rate)
		l->tokens = l->rate > 1 ? l->rate : 1;
}

static struct kpslot *
next_slot(struct kplimit *l)
{
	unsigned background_max = (l->in_flight_max + BACKGROUND_PART - 1) / BACKGROUND_PART;

	bool wanted = !list_empty(&l->queue[0]);
	bool may = !list_empty(&l->queue[1]) && l->background < background_max;

	if (l->in_flight >= l->in_flight_max || (!wanted && !may))
		return NULL;
	if (may && (!wanted || l->passed_over >= BACKGROUND_EVERY))
		return CONTAINER_OF(l->queue[1].next, struct kpslot, wait.link);
	return CONTAINER_OF(l->queue[0].next, struct kpslot, wait.link);
}

static void
let_in(struct kplimit *l, struct kpslot *s)
{
	l->tokens -= 1;
	l->in_flight++;
	l->background += s->background;
	l->passed_over = s->background || list_empty(&l->queue[1]) ? 0 : l->passed_over + 1;
	s->in = true;
	s->cuts = l->cuts;
	s->probe = kplimit_is_open(l);
	l->probing += s->probe;
	wait_finish(&s->wait, ERR_OK);
}

static void
turn_away(struct kplimit *l)
{
	struct list all, *link;

	list_init(&all);
	list_move_all(&all, &l->queue[0]);
	list_move_all(&all, &l->queue[1]);
	while ((link = list_pop(&all)) != NULL)
		wait_finish(&CONTAINER_OF(link, struct kpslot, wait.link)->wait, ERR_VAULT_DOWN);
}

static void
pump(struct kplimit *l)
{
	struct kpslot *s;
	int64_t when;

	count_tokens(l);
	while ((s = next_slot(l)) != NULL) {
		if (refuses(l)) {
			turn_away(l);
			return;
		}
		when = l->held_until;
		if (l->tokens < 1 &&
		    l->counted + (int64_t)((1 - l->tokens) / l->rate * NS_PER_S) > when)
			when = l->counted + (int64_t)((1 - l->tokens) / l->rate * NS_PER_S) + 1;
		if (when <= clock_now()) {
			let_in(l, s);
			continue;
		}
		timer_set(l->loop, &l->timer, when);
		return;
	}
}

static void
leave_queue(struct wait *w)
{
	(void)w; /* taken out of it already */
}

void
kplimit_enter(struct kplimit *l, struct kpslot *s)
{
	s->in = s->probe = false;
	if (refuses(l) || l->held_until > s->deadline) {
		wait_finish_soon(l->loop, &s->wait, ERR_VAULT_DOWN);
		return;
	}
	s->wait.cancel = leave_queue;
	list_append(&l->queue[s->background], &s->wait.link);
	loop_defer(l->loop, &l->turn);
}

/*
 * By the part of the calls that it served since the last cut, and those that were let in before are
 * not held against the rate after it.  A rate just above the limit is only told so by one call in
 * many: to halve it each time would use half of what there is.
 */
static void
cut(struct kplimit *l)
{
	double answers = l->good + l->throttled, part = l->good / answers;

	if (answers < 2 || answers < l->rate * CUT_SAMPLE)
		return;
	l->rate *= part > CUT_LITTLE ? CUT_LITTLE : part < CUT_MUCH ? CUT_MUCH : part;
	if (l->rate < 1)
		l->rate = 1;
	l->tokens = 0;
	l->good = l->throttled = 0;
	l->cuts++;
	l->cut_at = clock_now();
}

static void
throttle(struct kplimit *l, const struct kpslot *s, int64_t hold_ns)
{
	int64_t now = clock_now();

	metric_inc(METRIC_KEYPROTECT_THROTTLED_TOTAL);
	count_tokens(l);
	if (s->cuts == l->cuts) {
		l->throttled++;
		cut(l);
	}
	if (hold_ns > HOLD_MAX_NS)
		hold_ns = HOLD_MAX_NS;
	if (hold_ns <= 0 || now + hold_ns <= l->held_until)
		return;
	l->held_until = l->counted = now + hold_ns;
	if (l->tokens > 1)
		l->tokens = 1;
}

static void
count_outage(struct kplimit *l, bool probe)
{
	metric_inc(METRIC_KEYPROTECT_OUTAGES_TOTAL);
	if (++l->outages < OUTAGES_MAX || (kplimit_is_open(l) && !probe))
		return;
	if (!kplimit_is_open(l)) {
		metric_inc(METRIC_KEYPROTECT_BREAKS_TOTAL);
		LOG(LOG_WARN, "keyprotect", "does not answer: calls fail at once",
		    kv_int("outages", l->outages));
	}
	l->open_ns = l->open_ns == 0		? OPEN_NS
		     : l->open_ns < OPEN_MAX_NS ? 2 * l->open_ns
						: OPEN_MAX_NS;
	l->open_until = clock_now() + l->open_ns;
}

static void
close_breaker(struct kplimit *l)
{
	l->outages = 0;
	if (!kplimit_is_open(l))
		return;
	l->open_ns = 0;
	LOG(LOG_NOTICE, "keyprotect", "answers again");
}

void
kplimit_leave(struct kplimit *l, struct kpslot *s, enum kplimit_outcome outcome, int64_t hold_ns)
{
	if (!s->in)
		return;
	s->in = false;
	l->in_flight--;
	l->background -= s->background;
	l->probing -= s->probe;
	switch (outcome) {
	case KPLIMIT_GOOD:
		l->good += s->cuts == l->cuts;
		close_breaker(l);
		break;
	case KPLIMIT_OUTAGE:
		count_outage(l, s->probe);
		break;
	case KPLIMIT_THROTTLED:
		throttle(l, s, hold_ns);
		break;
	case KPLIMIT_UNKNOWN:
		break;
	}
	loop_defer(l->loop, &l->turn);
}
