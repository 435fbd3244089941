/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The watch: when to ask, from when on, and what the answer says about the custody.  Rounds and
 * full passes go on side by side, so that a long one delays no proof.
 */
#include "keys/watch.h"

#include <stdio.h>
#include <string.h>

#include <openssl/rand.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"
#include "watch_parts.h"

enum {
	LOOK_BACK_S = 3600, /* for who is new, until a full pass has seen to what is older */
	LAG_S = 15,	    /* lists lag, and a deletion is sure only after some seconds */
	FROM_THE_START = 1,
};
#define FULL_EVERY (6 * 3600 * NS_PER_S)
#define FULL_AGAIN (600 * NS_PER_S) /* after one that failed */

/* --- when --- */

static double
chance(void)
{
	uint16_t r = 0;

	return RAND_bytes((uint8_t *)&r, sizeof(r)) == 1 ? (double)r / UINT16_MAX : 0.5;
}

/* Give or take a tenth: watches that began together do not stay together. */
static int64_t
about(int64_t ns)
{
	return ns * 9 / 10 + (int64_t)((double)(ns / 5) * chance());
}

/*
 * What happened while nobody here watched, however long ago, is heard of within the bound.  The first
 * rounds go first, and passes of many root keys, or of gateways that start together, are spread.
 */
static int64_t
soon(const struct watch *w)
{
	return w->p.bound_ns * 2 / 3 + (int64_t)((double)(w->p.bound_ns / 3) * chance());
}

static void
set_timer(struct watch *w, struct timer *t, int64_t in_ns)
{
	timer_set(w->p.loop, t, clock_now() + in_ns);
}

/* While a pass runs its timer is not armed; its end sees to what is wanted. */
static void
hurry(struct watch *w, struct timer *t)
{
	if (timer_armed(t))
		set_timer(w, t, 0);
}

static void
full_within(struct watch *w, int64_t in_ns)
{
	int64_t when = clock_now() + in_ns;

	if (timer_armed(&w->full_timer) && w->full_timer.when > when)
		timer_set(w->p.loop, &w->full_timer, when);
}

/* --- rounds --- */

/*
 * They begin every third of the bound, however long the last one had to do with what it found.  After
 * a refusal of access the next ones come in haste: three are needed, over a third of the bound, and
 * the keys have to be out of memory within it though nobody asks for one.
 */
static int64_t
next_round(const struct watch *w)
{
	int64_t in = about(w->p.bound_ns / 3) - stamp_age(&w->round.began, w->p.bound_ns);
	int64_t least = w->p.bound_ns / 60;

	if (custody_is_in_doubt(w->p.custody))
		return w->p.bound_ns / 6 + (int64_t)((double)least * chance()) + 1;
	return in > least ? in : least;
}

static int64_t
server_time(const struct pass *p)
{
	return p->news.now > 0 ? p->news.now : clock_wall();
}

void
watch_told(struct pass *p, enum err e)
{
	struct watch *w = p->watch;
	struct custody_evidence ev = {
	    .e = e, .suspended = p->news.suspended, .began = p->began};

	if (p->news.moved)
		custody_moved(w->p.custody);
	if (p->full) {
		w->missed |= e == ERR_NO_ROOT_KEY; /* as soon as it is back, and not after FULL_AGAIN */
		return;
	}
	custody_verdict(w->p.custody, &ev);
	if (e == ERR_OK && w->missed) {
		w->missed = false;
		full_within(w, soon(w));
	}
	/* what is gone is out of the cache by now; the rest is proved, whatever is to be done yet */
	if (e == ERR_OK && p->news.since != 0)
		custody_confirmed(w->p.custody, &p->began);
}

/* True when somebody is waiting for the next one. */
static bool
end_round(struct watch *w, enum err e)
{
	int64_t from = server_time(&w->round) - 2 * (w->p.bound_ns / NS_PER_S) - LAG_S;
	bool first = w->round.news.since == 0, waiting = false;

	if (e != ERR_OK)
		return false;
	w->clock = server_time(&w->round);
	LIST_FOREACH (link, &w->tenants) {
		struct watch_tenant *t = CONTAINER_OF(link, struct watch_tenant, link);

		if (t->in_round && !t->behind && !first)
			t->since = from;
		waiting |= !t->in_round;
	}
	return first || waiting;
}

static int64_t
ask_from(const struct watch *w)
{
	int64_t since = w->clock, from;

	if (w->clock == 0)
		return 0; /* the vault's time is asked for, and nothing else */
	LIST_FOREACH (link, &w->tenants) {
		from = CONTAINER_OF(link, struct watch_tenant, link)->since;
		if (from == 0)
			from = w->clock - LOOK_BACK_S;
		if (from < since)
			since = from;
	}
	return since;
}

static void
on_time(struct timer *timer)
{
	struct watch *w = CONTAINER_OF(timer, struct watch, timer);

	LIST_FOREACH (link, &w->tenants) {
		struct watch_tenant *t = CONTAINER_OF(link, struct watch_tenant, link);

		t->in_round = true;
		t->behind = false;
	}
	pass_start(&w->round, ask_from(w), false);
}

/* --- full passes --- */

static void
end_rebuild(struct watch_tenant *t, enum err e)
{
	struct watch_rebuild *r = t->rebuild;

	t->rebuild = NULL;
	t->rebuilding = false;
	if (r != NULL)
		wait_finish_soon(t->watch->p.loop, &r->wait,
		    e == ERR_OK && r->left > 0 ? ERR_VAULT_DOWN : e);
}

/* True when somebody is waiting for the next one. */
static bool
end_full(struct watch *w, enum err e)
{
	bool waiting = false;

	LIST_FOREACH (link, &w->tenants) {
		struct watch_tenant *t = CONTAINER_OF(link, struct watch_tenant, link);

		if (t->rebuilding)
			end_rebuild(t, e);
		waiting |= t->rebuild != NULL;
	}
	return waiting;
}

static void
on_full_time(struct timer *timer)
{
	struct watch *w = CONTAINER_OF(timer, struct watch, full_timer);
	bool sure = false;

	LIST_FOREACH (link, &w->tenants) {
		struct watch_tenant *t = CONTAINER_OF(link, struct watch_tenant, link);

		t->rebuilding = t->rebuild != NULL;
		sure |= t->rebuilding && t->rebuild->sure;
	}
	pass_start(&w->full, FROM_THE_START, sure);
}

void
watch_passed(struct pass *p, enum err e)
{
	struct watch *w = p->watch;
	bool waiting;

	metric_inc(e == ERR_OK ? METRIC_WATCH_ROUNDS_TOTAL : METRIC_WATCH_FAILURES_TOTAL);
	if (p->full) {
		waiting = end_full(w, e);
		set_timer(w, &w->full_timer,
		    waiting ? 0 : about(e == ERR_OK ? FULL_EVERY : FULL_AGAIN));
	} else {
		waiting = end_round(w, e);
		set_timer(w, &w->timer, waiting ? 0 : next_round(w));
	}
}

static void
leave_rebuild(struct wait *wait)
{
	struct watch_tenant *t = CONTAINER_OF(wait, struct watch_rebuild, wait)->tenant;

	t->rebuild = NULL;
	t->rebuilding = false; /* the pass goes on, and looks up no more */
}

void
watch_rebuild(struct watch_tenant *t, struct watch_rebuild *r)
{
	struct watch *w = t->watch;

	if (t->rebuild != NULL) {
		wait_finish_soon(w->p.loop, &r->wait, ERR_BUSY);
		return;
	}
	r->records = r->done = r->adopted = r->foreign = r->left = 0;
	r->tenant = t;
	r->wait.cancel = leave_rebuild;
	t->rebuild = r;
	hurry(w, &w->full_timer);
}

/* --- tenants --- */

struct watch_tenant *
watch_add(struct watch *w, const char *tenant, struct vault *vault)
{
	struct watch_tenant *t = alloc_zero(sizeof(*t));

	if (t == NULL)
		return NULL;
	t->watch = w;
	t->vault = vault;
	snprintf(t->id, sizeof(t->id), "%s", tenant);
	list_append(&w->tenants, &t->link);
	hurry(w, &w->timer);
	if (timer_armed(&w->full_timer) && w->full_timer.when > clock_now() + w->p.bound_ns)
		set_timer(w, &w->full_timer, soon(w));
	return t;
}

void
watch_remove(struct watch_tenant *t)
{
	if (t == NULL)
		return;
	end_rebuild(t, ERR_CANCELLED);
	pass_drop(&t->watch->round, t);
	pass_drop(&t->watch->full, t);
	list_remove(&t->link);
	alloc_free(t);
}

/* --- life --- */

struct watch *
watch_new(const struct watch_params *p)
{
	struct watch *w = alloc_zero(sizeof(*w));

	if (w == NULL)
		return NULL;
	w->p = *p;
	w->timer.fn = on_time;
	w->full_timer.fn = on_full_time;
	list_init(&w->tenants);
	pass_init(&w->round, w, false);
	pass_init(&w->full, w, true);
	set_timer(w, &w->timer, NS_PER_MS);
	set_timer(w, &w->full_timer, soon(w));
	return w;
}

void
watch_set_bound(struct watch *w, int64_t bound_ns)
{
	if (bound_ns == w->p.bound_ns)
		return;
	w->p.bound_ns = bound_ns;
	hurry(w, &w->timer);
}

void
watch_free(struct watch *w)
{
	if (w == NULL)
		return;
	timer_clear(w->p.loop, &w->timer);
	timer_clear(w->p.loop, &w->full_timer);
	pass_stop(&w->round);
	pass_stop(&w->full);
	alloc_free(w);
}
