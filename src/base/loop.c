/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop: turns, timers, deferred work. */
#include "base/loop.h"

#include <errno.h>
#include <sys/time.h>

#include <event2/event.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/metric.h"

#define BEAT_NS (100 * NS_PER_MS)
#define LAG_PERIOD_NS (60 * NS_PER_S)
enum { LOOK_AGAIN_S = 60 }; /* at the wall clock */

struct loop {
	struct event_base *base;
	struct list deferred; /* struct defer */
	struct list patient; /* loop_defer_idle() */
	unsigned put_off;    /* turns that it was, in a row */
	struct list dead;     /* blocks to free after the turn */
	struct list spent;    /* those to give back to their spares */
	struct timer *timers; /* a heap, see below */
	struct timer *due;    /* whose time had come when this turn looked, in their order */
	struct timer beat;
	struct {
		int64_t began, worst, before; /* the worst of this period and of the one before */
	} lag;
	int64_t away;
	struct event *wake; /* ends libevent's wait at the earliest timer */
	bool stop;
	bool turning;
	int64_t time, wall_ms; /* 0: to be looked up when somebody asks */
};

static void
on_wake(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what, (void)arg; /* to return from event_base_loop() is all that is wanted */
}

struct loop *
loop_new(void)
{
	struct loop *l = alloc_zero(sizeof(*l));

	if (l == NULL)
		return NULL;
	list_init(&l->deferred);
	list_init(&l->patient);
	list_init(&l->dead);
	list_init(&l->spent);
	l->base = event_base_new();
	if (l->base != NULL)
		l->wake = event_new(l->base, -1, 0, on_wake, NULL);
	if (l->wake == NULL) {
		if (l->base != NULL)
			event_base_free(l->base);
		alloc_free(l);
		return NULL;
	}
	return l;
}

static void
free_dead(struct loop *l)
{
	struct list *p;

	while ((p = list_pop(&l->dead)) != NULL)
		alloc_free(p);
	while ((p = list_pop(&l->spent)) != NULL) {
		struct spent *s = CONTAINER_OF(p, struct spent, link);

		spare_give(s->home, s, s->home->size);
	}
}

void
loop_free(struct loop *l)
{
	if (l == NULL)
		return;
	free_dead(l);
	event_free(l->wake);
	event_base_free(l->base);
	alloc_free(l);
}

struct event_base *
loop_base(struct loop *l)
{
	return l->base;
}

bool
loop_watch(struct event *ev)
{
	if (!fault_hit(FAULT_WATCH))
		return event_add(ev, NULL) == 0;
	errno = ENOMEM;
	return false;
}

/*
 * --- timers: a pairing heap ---
 * A timer is itself a node, so that setting one takes no memory.  A tree's root is the earliest in it;
 * the trees below it are a list, the eldest last.  What is due is a list, too, with nothing below.
 */

static void
put_at(struct timer **at, struct timer *t)
{
	*at = t;
	if (t != NULL)
		t->at = at;
}

static struct timer *
take_first(struct timer **list)
{
	struct timer *t = *list;

	if (t != NULL) {
		*list = t->next;
		t->next = NULL;
	}
	return t;
}

/* One tree of two. */
static struct timer *
join(struct timer *elder, struct timer *t)
{
	struct timer *first = t->when < elder->when ? t : elder;
	struct timer *below = first == t ? elder : t;

	put_at(&below->next, first->below);
	put_at(&first->below, below);
	return first;
}

/* One tree of a list, NULL of an empty one: in pairs, and those one by one, which keeps trees flat. */
static struct timer *
join_all(struct timer *list)
{
	struct timer *pairs = NULL, *tree, *t;

	while ((t = take_first(&list)) != NULL) {
		struct timer *elder = take_first(&list);

		if (elder != NULL)
			t = join(elder, t);
		t->next = pairs;
		pairs = t;
	}
	tree = take_first(&pairs);
	while ((t = take_first(&pairs)) != NULL)
		tree = join(tree, t);
	return tree;
}

void
timer_clear(struct loop *l, struct timer *t)
{
	struct timer *heir;

	(void)l;
	if (!timer_armed(t))
		return;
	heir = join_all(t->below); /* none is earlier than what was before t */
	if (heir != NULL) {
		put_at(&heir->next, t->next);
		put_at(t->at, heir);
	} else {
		put_at(t->at, t->next);
	}
	t->at = NULL;
	t->below = t->next = NULL;
}

void
timer_set(struct loop *l, struct timer *t, int64_t when)
{
	timer_clear(l, t);
	t->when = when;
	put_at(&l->timers, l->timers != NULL ? join(l->timers, t) : t);
}

int64_t
timer_when(int64_t wall)
{
	int64_t ms = clock_wall_ms(), seconds = wall - ms / 1000;

	if (seconds <= 0)
		return clock_now();
	if (seconds > LOOK_AGAIN_S) /* thousands of years are too many ns */
		return clock_now() + LOOK_AGAIN_S * NS_PER_S;
	return clock_now() + seconds * NS_PER_S - ms % 1000 * NS_PER_MS;
}

/* Only those that are due when it begins: a timer that sets itself again waits for its turn. */
static void
run_timers(struct loop *l)
{
	struct timer **end = &l->due, *t;
	int64_t now = clock_now();

	while (*end != NULL) /* a turn within a turn */
		end = &(*end)->next;
	while ((t = l->timers) != NULL && t->when <= now) {
		timer_clear(l, t);
		put_at(end, t);
		end = &t->next;
	}
	while ((t = l->due) != NULL) {
		timer_clear(l, t);
		t->fn(t);
	}
}

/* --- lag --- */

static void
on_beat(struct timer *t)
{
	struct loop *l = CONTAINER_OF(t, struct loop, beat);
	int64_t now = clock_now(), late = now - t->when;

	metric_observe(METRIC_LOOP_LAG_SECONDS, 0, 0, late);
	if (now - l->lag.began >= LAG_PERIOD_NS) {
		l->lag.began = now;
		l->lag.before = l->lag.worst;
		l->lag.worst = 0;
	}
	if (late >= BEAT_NS)
		l->away += late;
	if (late > l->lag.worst)
		l->lag.worst = late;
	metric_set(METRIC_LOOP_LAG_WORST_SECONDS,
	    l->lag.worst > l->lag.before ? l->lag.worst : l->lag.before);
	timer_set(l, t, now + BEAT_NS);
}

void
loop_watch_lag(struct loop *l)
{
	l->beat.fn = on_beat;
	l->lag.began = clock_now();
	timer_set(l, &l->beat, l->lag.began + BEAT_NS);
}

int64_t
loop_away(const struct loop *l)
{
	int64_t late = timer_armed(&l->beat) ? clock_now() - l->beat.when : 0;

	return l->away + (late >= BEAT_NS ? late : 0); /* the beat has not had its turn */
}

/* --- turns --- */

static void
run_batch(struct list *from)
{
	struct list batch, *p;

	list_init(&batch);
	list_move_all(&batch, from);
	while ((p = list_pop(&batch)) != NULL) {
		struct defer *d = CONTAINER_OF(p, struct defer, link);

		d->fn(d);
	}
}

static void
run_deferred(struct loop *l)
{
	run_batch(&l->deferred);
	if (list_empty(&l->patient) ||
	    (!list_empty(&l->deferred) && ++l->put_off < LOOP_PATIENCE))
		return;
	l->put_off = 0;
	run_batch(&l->patient);
}

/*
 * Lets libevent wait until something happens or the next timer is due; or only look.  EVLOOP_ONCE
 * in both cases: without it libevent looks again for as long as there is something to do, and
 * timers and deferred work would never come to their turn.
 */
static void
wait_for_events(struct loop *l, bool may_block)
{
	struct timeval tv;
	int64_t now, left;

	if (!may_block || !list_empty(&l->deferred) || !list_empty(&l->patient)) {
		event_base_loop(l->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
		return;
	}
	if (l->timers != NULL) {
		now = clock_now();
		if (l->timers->when <= now) {
			event_base_loop(l->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
			return;
		}
		/* rounded up, so that the timer is due when we wake */
		left = l->timers->when - now + 999;
		tv.tv_sec = left / NS_PER_S;
		tv.tv_usec = left % NS_PER_S / 1000;
		if (event_add(l->wake, &tv) != 0) { /* no memory: better a busy loop than a deaf one */
			event_base_loop(l->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
			return;
		}
	} else {
		event_del(l->wake);
	}
	event_base_loop(l->base, EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY);
}

int64_t
loop_time(struct loop *l)
{
	if (!l->turning)
		return clock_now();
	if (l->time == 0)
		l->time = clock_now();
	return l->time;
}

int64_t
loop_wall_ms(struct loop *l)
{
	if (!l->turning)
		return clock_wall_ms();
	if (l->wall_ms == 0)
		l->wall_ms = clock_wall_ms();
	return l->wall_ms;
}

int64_t
loop_wall(struct loop *l)
{
	return loop_wall_ms(l) / 1000;
}

/* The times that are kept are of what ran before. */
static void
forget_times(struct loop *l)
{
	l->time = l->wall_ms = 0;
}

void
loop_turn(struct loop *l, bool may_block)
{
	l->turning = true;
	forget_times(l);
	wait_for_events(l, may_block);
	run_timers(l);
	forget_times(l);
	run_deferred(l);
	l->turning = false;
	free_dead(l);
}

/* What is patient waits for a turn: descriptors come first. */
static void
go_on(struct loop *l)
{
	for (int n = 0; n < LOOP_ROUNDS && !l->stop && !list_empty(&l->deferred); n++) {
		l->turning = true;
		forget_times(l);
		run_batch(&l->deferred);
		if (!list_empty(&l->patient))
			l->put_off++;
		l->turning = false;
		free_dead(l);
	}
}

void
loop_run(struct loop *l)
{
	l->stop = false;
	while (!l->stop) {
		loop_turn(l, true);
		go_on(l);
	}
}

void
loop_stop(struct loop *l)
{
	l->stop = true;
	event_base_loopbreak(l->base);
}

void
loop_defer(struct loop *l, struct defer *d)
{
	if (!list_linked(&d->link))
		list_append(&l->deferred, &d->link);
}

void
loop_defer_idle(struct loop *l, struct defer *d)
{
	if (!list_linked(&d->link))
		list_append(&l->patient, &d->link);
}

void
loop_undefer(struct defer *d)
{
	list_remove(&d->link);
}

void
loop_free_later(struct loop *l, void *p)
{
	struct list *link = p;

	*link = (struct list){0};
	list_append(&l->dead, link);
}

void
loop_give_later(struct loop *l, struct spent *s, struct spares *home)
{
	*s = (struct spent){.home = home};
	list_append(&l->spent, &s->link);
}

/* --- waits --- */

static void
wait_turn(struct defer *d)
{
	struct wait *w = CONTAINER_OF(d, struct wait, turn);

	wait_finish(w, w->result);
}

void
wait_finish(struct wait *w, enum err e)
{
	list_remove(&w->link);
	loop_undefer(&w->turn);
	w->cancel = NULL;
	w->done(w, e);
}

static void
cancel_soon(struct wait *w)
{
	loop_undefer(&w->turn);
}

void
wait_finish_soon(struct loop *l, struct wait *w, enum err e)
{
	list_remove(&w->link);
	w->result = e;
	w->cancel = cancel_soon;
	w->turn.fn = wait_turn;
	loop_defer(l, &w->turn);
}

void
wait_cancel(struct wait *w)
{
	void (*cancel)(struct wait *) = w->cancel;

	if (cancel == NULL)
		return;
	w->cancel = NULL;
	list_remove(&w->link);
	cancel(w);
}
