/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The watch: a round asks for news, then goes through them one after the other.
 *
 *	gone                         dropped from the cache at once: who wants it proves it anew
 *	  for good, and known        a successor is looked for; without one it is Destroyed
 *	there, not in the ledger     nothing, but that it was absent is forgotten
 *	there, another record        perhaps a successor: looked up
 *
 * Lists overlap, so what was settled once is remembered for some time.
 */
#include "keys/watch.h"

#include <stdio.h>
#include <string.h>

#include <openssl/rand.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"

enum {
	ARENA_MAX = 2 * OBJECT_SIZE_MAX,
	EVENTS_MAX = 200000,
	SETTLED_MAX = 1024,
	LOOK_BACK_S = 3600, /* in the first round: what happened while the gateway was not there */
	LAG_S = 15,	    /* lists lag, and a deletion is sure only after some seconds */
	FROM_THE_START = 1,
	PROGRESS_EVERY = 50,
};
#define FULL_EVERY (6 * 3600 * NS_PER_S)

struct event {
	char uid[UID_TEXT_LEN + 1], record_id[UID_TEXT_LEN + 1];
	enum vault_gone gone;
};

struct watch {
	struct watch_params p;
	char tenant[TENANT_ID_MAX + 1];
	struct timer timer;
	struct stamp began; /* the round */
	int64_t since;	    /* the vault's time from which the next round asks */
	struct vault_news news;
	struct event *events; /* as long as a round lasts */
	size_t count, room, at;
	bool failed;
	int64_t next_full; /* when all that the vault has is looked at again */
	struct watch_rebuild *rebuild; /* wanted, or under way */
	bool full, rebuilding; /* this round */
	struct arena *arena;
	struct ledger_load load;
	struct lookup lookup;
	uint64_t settled[SETTLED_MAX], next_settled;
};

static void next_event(struct watch *w);

/* The next round: every third of the bound, give or take a tenth. */
static void
set_timer(struct watch *w)
{
	int64_t third = w->p.bound_ns / 3;
	uint16_t r = 0;

	if (RAND_bytes((uint8_t *)&r, sizeof(r)) != 1)
		r = 0;
	if (timer_set(w->p.loop, &w->timer,
		clock_now() + third * 9 / 10 + third / 5 * r / UINT16_MAX) !=
	    ERR_OK)
		LOG(LOG_ERROR, "watch", "no memory for the timer", kv_text("tenant", w->tenant));
}

/* --- what was settled before --- */

static uint64_t
event_hash(const struct event *ev)
{
	uint64_t h = UINT64_C(14695981039346656037) + ev->gone;

	for (const char *s = ev->record_id; *s != '\0'; s++)
		h = (h ^ (uint8_t)*s) * UINT64_C(1099511628211);
	return h;
}

static bool
is_settled(const struct watch *w, const struct event *ev)
{
	uint64_t h = event_hash(ev);

	for (size_t i = 0; i < SETTLED_MAX; i++)
		if (w->settled[i] == h)
			return true;
	return false;
}

/* --- a round's end --- */

static int64_t
server_time(const struct watch *w)
{
	return w->news.now > 0 ? w->news.now : clock_wall();
}

static void
end_rebuild(struct watch *w, enum err e)
{
	struct watch_rebuild *r = w->rebuild;

	w->rebuild = NULL;
	w->rebuilding = false;
	if (r != NULL)
		wait_finish(&r->wait, e == ERR_OK && r->left > 0 ? ERR_VAULT_DOWN : e);
}

static void
end_round(struct watch *w, enum err e)
{
	struct custody_evidence ev = {.e = e, .suspended = w->news.suspended, .began = w->began};

	alloc_free(w->events);
	w->events = NULL;
	w->count = w->room = 0;
	arena_free(w->arena);
	w->arena = NULL;
	metric_inc(e == ERR_OK ? METRIC_WATCH_ROUNDS_TOTAL : METRIC_WATCH_FAILURES_TOTAL);
	custody_verdict(w->p.custody, &ev);
	if (e == ERR_OK && !w->failed) {
		custody_confirmed(w->p.custody, &w->began);
		w->since = server_time(w) - 2 * (w->p.bound_ns / NS_PER_S) - LAG_S;
	}
	if (w->full)
		w->next_full = clock_now() + FULL_EVERY;
	set_timer(w);
	if (w->rebuilding)
		end_rebuild(w, e);
	else if (w->rebuild != NULL && timer_armed(&w->timer))
		timer_move(w->p.loop, &w->timer, clock_now());
}

/* --- one event --- */

static void
settle(struct watch *w)
{
	const struct event *ev = &w->events[w->at];

	w->settled[w->next_settled++ % SETTLED_MAX] = event_hash(ev);
	w->at++;
	next_event(w);
}

/* A later round meets it again. */
static void
put_off(struct watch *w, bool failed)
{
	w->failed |= failed;
	if (w->rebuilding && w->rebuild != NULL && failed)
		w->rebuild->left++;
	w->at++;
	next_event(w);
}

static void
looked_up(struct wait *wait, enum err e)
{
	struct watch *w = CONTAINER_OF(wait, struct watch, lookup.wait);

	const struct event *ev = &w->events[w->at];

	if (w->rebuilding && w->rebuild != NULL) {
		w->rebuild->adopted += e == ERR_OK;
		w->rebuild->foreign += e == ERR_NO_OBJECT || e == ERR_INTEGRITY;
	}
	if (e == ERR_OK || e == ERR_INTEGRITY || (e == ERR_NO_OBJECT && ev->gone != GONE_UNKNOWN))
		settle(w);
	else
		put_off(w, e != ERR_NO_OBJECT);
}

static void
look_up(struct watch *w, const char *record_id)
{
	const struct event *ev = &w->events[w->at];

	w->lookup = (struct lookup){
	    .wait.done = looked_up,
	    .vault = w->p.vault,
	    .ledger = w->p.ledger,
	    .tenant = w->tenant,
	    .uid = ev->uid,
	    .record_id = record_id,
	    .gone = ev->gone,
	    .terms.background = true,
	};
	lookup_start(w->p.lookups, &w->lookup);
}

static void
loaded(struct wait *wait, enum err e)
{
	struct watch *w = CONTAINER_OF(wait, struct watch, load.wait);
	const struct event *ev = &w->events[w->at];
	char known[UID_TEXT_LEN + 1] = "";

	if (e == ERR_NO_OBJECT && w->rebuilding && ev->gone == GONE_UNKNOWN) {
		look_up(w, ev->record_id);
		return;
	}
	if (e == ERR_NO_OBJECT) { /* not settled: it may become known, by an older record */
		lookups_seen(w->p.lookups, w->tenant, ev->uid);
		put_off(w, false);
		return;
	}
	if (e != ERR_OK) {
		put_off(w, true);
		return;
	}
	w->p.vault->ops->record_id(known, w->load.object);
	if (object_is_destroyed(w->load.object) ||
	    (strcmp(known, ev->record_id) == 0) == (ev->gone == GONE_UNKNOWN))
		settle(w); /* known and there, or a predecessor that was retired */
	else
		look_up(w, ev->gone == GONE_UNKNOWN ? ev->record_id : NULL);
}

static void
tell_progress(struct watch *w)
{
	struct watch_rebuild *r = w->rebuild;

	if (!w->rebuilding || r == NULL)
		return;
	r->records = w->count;
	r->done = w->at;
	if (r->progress != NULL && w->at % PROGRESS_EVERY == 0)
		r->progress(r);
}

static void
next_event(struct watch *w)
{
	tell_progress(w);
	while (w->at < w->count && is_settled(w, &w->events[w->at]))
		w->at++;
	if (w->at == w->count) {
		end_round(w, ERR_OK);
		return;
	}
	arena_free(w->arena);
	w->arena = arena_new(ARENA_MAX);
	if (w->arena == NULL) {
		end_round(w, ERR_NO_MEMORY);
		return;
	}
	w->load = (struct ledger_load){
	    .wait.done = loaded,
	    .arena = w->arena,
	    .tenant = w->tenant,
	    .uid = w->events[w->at].uid,
	};
	w->p.ledger->ops->load(w->p.ledger, &w->load);
}

/* --- a round --- */

static bool
make_room(struct watch *w)
{
	size_t room = w->room > 0 ? 2 * w->room : 64;
	struct event *grown;

	if (w->count < w->room)
		return true;
	grown = w->count < EVENTS_MAX ? alloc_resize(w->events, room * sizeof(*grown)) : NULL;
	if (grown == NULL)
		return false;
	w->events = grown;
	w->room = room;
	return true;
}

static void
on_record(void *arg, const struct vault_record *r)
{
	struct watch *w = arg;
	struct event ev = {.gone = r->gone};

	snprintf(ev.uid, sizeof(ev.uid), "%s", r->uid);
	snprintf(ev.record_id, sizeof(ev.record_id), "%s", r->record_id);
	if (is_settled(w, &ev))
		return;
	if (ev.gone != GONE_UNKNOWN)
		cache_forget(w->p.cache, w->tenant, ev.uid);
	if (ev.gone == GONE_LATELY || ev.gone == GONE_WITHDRAWN)
		return;
	if (make_room(w))
		w->events[w->count++] = ev;
	else
		w->failed = true; /* the next round begins where this one did */
}

static void
told(struct wait *wait, enum err e)
{
	struct watch *w = CONTAINER_OF(wait, struct watch, news.wait);

	if (e != ERR_OK || w->since != 0) {
		if (w->failed)
			LOG(LOG_WARN, "watch", "more changes than are looked at in one round",
			    kv_text("tenant", w->tenant));
		if (e != ERR_OK)
			end_round(w, e);
		else
			next_event(w);
		return;
	}
	w->failed = true; /* the vault's time is known now, and nothing else */
	w->since = server_time(w) - LOOK_BACK_S;
	end_round(w, ERR_OK);
	if (timer_armed(&w->timer))
		timer_move(w->p.loop, &w->timer, clock_now());
}

static void
on_time(struct timer *t)
{
	struct watch *w = CONTAINER_OF(t, struct watch, timer);

	w->began = stamp_now();
	w->at = 0;
	w->failed = false;
	w->rebuilding = w->rebuild != NULL && w->since != 0;
	w->full = w->rebuilding || (w->since != 0 && clock_now() >= w->next_full);
	if (w->full)
		memset(w->settled, 0, sizeof(w->settled));
	w->news = (struct vault_news){
	    .wait.done = told,
	    .since = w->full ? FROM_THE_START : w->since,
	    .each = on_record,
	    .arg = w,
	    .terms.background = true,
	};
	w->p.vault->ops->news(w->p.vault, &w->news);
}

struct watch *
watch_new(const struct watch_params *p)
{
	struct watch *w = alloc_zero(sizeof(*w));

	if (w == NULL)
		return NULL;
	w->p = *p;
	snprintf(w->tenant, sizeof(w->tenant), "%s", p->tenant);
	w->timer.fn = on_time;
	w->next_full = clock_now() + FULL_EVERY;
	if (timer_set(p->loop, &w->timer, clock_now() + NS_PER_MS) != ERR_OK) {
		alloc_free(w);
		return NULL;
	}
	return w;
}

void
watch_set_bound(struct watch *w, int64_t bound_ns)
{
	if (bound_ns == w->p.bound_ns)
		return;
	w->p.bound_ns = bound_ns;
	if (timer_armed(&w->timer))
		timer_move(w->p.loop, &w->timer, clock_now());
}

void
watch_free(struct watch *w)
{
	if (w == NULL)
		return;
	if (w->rebuild != NULL)
		wait_finish_soon(w->p.loop, &w->rebuild->wait, ERR_CANCELLED);
	timer_clear(w->p.loop, &w->timer);
	wait_cancel(&w->news.wait);
	wait_cancel(&w->load.wait);
	wait_cancel(&w->lookup.wait);
	alloc_free(w->events);
	arena_free(w->arena);
	alloc_free(w);
}

static void
leave_rebuild(struct wait *wait)
{
	CONTAINER_OF(wait, struct watch_rebuild, wait)->watch->rebuild = NULL; /* the round goes on */
}

void
watch_rebuild(struct watch *w, struct watch_rebuild *r)
{
	if (w->rebuild != NULL) {
		wait_finish_soon(w->p.loop, &r->wait, ERR_BUSY);
		return;
	}
	r->records = r->done = r->adopted = r->foreign = r->left = 0;
	r->watch = w;
	r->wait.cancel = leave_rebuild;
	w->rebuild = r;
	if (timer_armed(&w->timer))
		timer_move(w->p.loop, &w->timer, clock_now());
}
