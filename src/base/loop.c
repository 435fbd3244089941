/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop: turns, timers, deferred work. */
#include "base/loop.h"

#include <assert.h>
#include <errno.h>
#include <sys/time.h>

#include <event2/event.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/metric.h"

#define BEAT_NS (100 * NS_PER_MS)
#define LAG_PERIOD_NS (60 * NS_PER_S)
#define SLOT_DUE SIZE_MAX /* a timer's slot between the heap and its call */

struct loop {
	struct event_base *base;
	struct list deferred; /* struct defer */
	struct list patient; /* loop_defer_idle() */
	unsigned put_off;    /* turns that it was, in a row */
	struct list dead;     /* blocks to free after the turn */
	struct list spent;    /* those to give back to their spares */
	struct list due;      /* timers whose time had come when this turn looked */
	struct timer **heap;  /* earliest first */
	size_t heap_len, heap_cap, due_len;
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
	list_init(&l->due);
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
	alloc_free(l->heap);
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

/* --- timers: a binary heap; slot is index + 1 --- */

static void
heap_place(struct loop *l, size_t i, struct timer *t)
{
	l->heap[i] = t;
	t->slot = i + 1;
}

static void
heap_up(struct loop *l, size_t i)
{
	struct timer *t = l->heap[i];

	while (i > 0 && l->heap[(i - 1) / 2]->when > t->when) {
		heap_place(l, i, l->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	heap_place(l, i, t);
}

static void
heap_down(struct loop *l, size_t i)
{
	struct timer *t = l->heap[i];

	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= l->heap_len)
			break;
		if (child + 1 < l->heap_len && l->heap[child + 1]->when < l->heap[child]->when)
			child++;
		if (l->heap[child]->when >= t->when)
			break;
		heap_place(l, i, l->heap[child]);
		i = child;
	}
	heap_place(l, i, t);
}

static void
heap_add(struct loop *l, struct timer *t, int64_t when)
{
	t->when = when;
	heap_place(l, l->heap_len++, t);
	heap_up(l, l->heap_len - 1);
}

static void
leave_due(struct loop *l, struct timer *t)
{
	list_remove(&t->link);
	l->due_len--;
	t->slot = 0;
}

void
timer_move(struct loop *l, struct timer *t, int64_t when)
{
	assert(timer_armed(t));
	if (t->slot == SLOT_DUE) {
		leave_due(l, t);
		heap_add(l, t, when); /* its place in the heap was kept free */
		return;
	}
	if (t->when == when)
		return;
	t->when = when;
	heap_up(l, t->slot - 1);
	heap_down(l, t->slot - 1);
}

enum err
timer_set(struct loop *l, struct timer *t, int64_t when)
{
	struct timer **bigger;
	size_t cap;

	if (t->slot != 0) {
		timer_move(l, t, when);
		return ERR_OK;
	}
	if (l->heap_len + l->due_len == l->heap_cap) {
		cap = l->heap_cap > 0 ? 2 * l->heap_cap : 64;
		bigger = alloc_resize(l->heap, cap * sizeof(struct timer *));
		if (bigger == NULL)
			return ERR_NO_MEMORY;
		l->heap = bigger;
		l->heap_cap = cap;
	}
	heap_add(l, t, when);
	return ERR_OK;
}

void
timer_clear(struct loop *l, struct timer *t)
{
	size_t i = t->slot - 1;
	struct timer *last;

	if (t->slot == 0)
		return;
	if (t->slot == SLOT_DUE) {
		leave_due(l, t);
		return;
	}
	t->slot = 0;
	last = l->heap[--l->heap_len];
	if (last == t)
		return;
	heap_place(l, i, last);
	heap_up(l, i);
	heap_down(l, last->slot - 1);
}

/* Only those that are due when it begins: a timer that sets itself again waits for its turn. */
static void
run_timers(struct loop *l)
{
	int64_t now = clock_now();

	while (l->heap_len > 0 && l->heap[0]->when <= now) {
		struct timer *t = l->heap[0];

		timer_clear(l, t);
		t->slot = SLOT_DUE;
		list_append(&l->due, &t->link);
		l->due_len++;
	}
	while (!list_empty(&l->due)) {
		struct timer *t = CONTAINER_OF(l->due.next, struct timer, link);

		leave_due(l, t);
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
	(void)!timer_set(l, t, now + BEAT_NS); /* its place in the heap is free */
}

enum err
loop_watch_lag(struct loop *l)
{
	l->beat.fn = on_beat;
	l->lag.began = clock_now();
	return timer_set(l, &l->beat, l->lag.began + BEAT_NS);
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
	if (l->heap_len > 0) {
		now = clock_now();
		if (l->heap[0]->when <= now) {
			event_base_loop(l->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
			return;
		}
		/* rounded up, so that the timer is due when we wake */
		left = l->heap[0]->when - now + 999;
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
