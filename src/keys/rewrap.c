/* SPDX-License-Identifier: Apache-2.0 */
/* Rewrap: a successor for each object that the ledger has, unless it is wrapped as new ones are. */
#include "keys/rewrap.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"
#include "succeed.h"

enum { FIND_ARENA_MAX = 16 * 1024 * 1024, NAMED_MAX = 100 /* of those left, in the log */ };
#define LOOK_NS (100 * NS_PER_MS)  /* between two looks whether it may begin */
#define BEGIN_NS (60 * NS_PER_S)    /* so long it waits for that */
#define PACE_NS (200 * NS_PER_MS) /* between two that were rewrapped */

static void next_object(struct rewrap *r);
static bool list_more(struct rewrap *r, const char *after);
static bool list_doubts(struct rewrap *r, uint64_t after);

static void
finish(struct rewrap *r, enum err e)
{
	timer_clear(r->loop, &r->pause);
	arena_free(r->arena);
	r->arena = NULL;
	if (e != ERR_OK && r->left == 0) {
		LOG(LOG_WARN, "rewrap", "it did not come to all keys", kv_text("tenant", r->tenant),
		    kv_text("error", err_name(e)));
		r->left = 1; /* by "left 0" root keys are deleted */
	}
	if (r->left > NAMED_MAX)
		LOG(LOG_WARN, "rewrap", "more keys were left than are named", kv_text("tenant", r->tenant),
		    kv_int("left", (int64_t)r->left), kv_int("named", NAMED_MAX));
	wait_finish(&r->wait, e);
}

/* False: it may begin; or after all that time it has to, and what it does not come to is left. */
static bool
waits(struct rewrap *r)
{
	if (r->may_begin == NULL || r->may_begin(r))
		return false;
	if (clock_now() < r->begin_by) {
		timer_set(r->loop, &r->pause, clock_now() + LOOK_NS);
		return true;
	}
	LOG(LOG_WARN, "rewrap", "left: what began before is still under way", kv_text("tenant", r->tenant));
	r->left++;
	return false;
}

static bool
is_cut_off(struct rewrap *r)
{
	return r->goes_on != NULL && !r->goes_on(r);
}

static void
on_pause(struct timer *t)
{
	struct rewrap *r = CONTAINER_OF(t, struct rewrap, pause);

	if (r->arena != NULL)
		next_object(r);
	else if (is_cut_off(r))
		finish(r, ERR_CANCELLED);
	else if (!waits(r) && !list_doubts(r, 0))
		finish(r, ERR_NO_MEMORY);
}

static enum err
is_stale(const struct vault *v, const struct object *o, const struct vault_unwrap *u, bool *stale)
{
	(void)v, (void)o;
	*stale = u == NULL || u->stale;
	return ERR_OK;
}

static void
object_done(void *arg, enum err e, bool rewrapped, bool general)
{
	struct rewrap *r = arg;

	r->step = NULL;
	/* a record that was withdrawn may come back, one that made way has another in its place */
	if (e == ERR_NO_OBJECT && r->left < NAMED_MAX)
		LOG(LOG_WARN, "rewrap", "left: the record that is known of the key is not there",
		    kv_text("tenant", r->tenant), kv_text("uid", r->find.uids[r->at]));
	if (rewrapped)
		metric_inc(METRIC_REWRAPPED_TOTAL);
	r->at++;
	r->done++;
	r->rewrapped += rewrapped;
	r->left += e != ERR_OK;
	if (r->progress != NULL)
		r->progress(r);
	if (general)
		finish(r, e);
	else
		timer_set(r->loop, &r->pause, clock_now() + (rewrapped ? PACE_NS : 0));
}

static void
next_object(struct rewrap *r)
{
	struct succeed_params p = {
	    .loop = r->loop,
	    .vault = r->vault,
	    .ledger = r->ledger,
	    .tenant = r->tenant,
	    .wanted = is_stale,
	    .quiet = r->left >= NAMED_MAX,
	    .done = object_done,
	    .arg = r,
	};

	if (is_cut_off(r)) {
		finish(r, ERR_CANCELLED);
		return;
	}
	if (r->at == r->find.uids_count && r->done < r->objects) {
		if (!list_more(r, r->find.uids[r->at - 1]))
			finish(r, ERR_NO_MEMORY);
		return;
	}
	if (r->at == r->find.uids_count) {
		finish(r, r->left > 0 ? ERR_BUSY : ERR_OK);
		return;
	}
	p.uid = r->find.uids[r->at];
	r->step = succeed_start(&p);
	if (r->step == NULL)
		finish(r, ERR_NO_MEMORY);
}

static void
cancel(struct wait *w)
{
	struct rewrap *r = CONTAINER_OF(w, struct rewrap, wait);
	wait_cancel(&r->doubts.wait);
	wait_cancel(&r->find.wait);
	timer_clear(r->loop, &r->pause);
	if (r->step != NULL)
		succeed_leave(r->step);
	r->step = NULL;
	arena_free(r->arena);
	r->arena = NULL;
}

static void
listed(struct wait *w, enum err e)
{
	struct rewrap *r = CONTAINER_OF(w, struct rewrap, find.wait);

	if (e != ERR_OK) {
		finish(r, e);
		return;
	}
	r->at = 0;
	r->objects = r->done + (r->find.uids_count > 0 ? r->find.total : 0);
	next_object(r);
}

/* The ledger gives so many at a time, and all have to be done before the old root key may go. */
static bool
list_more(struct rewrap *r, const char *after)
{
	struct arena *last = r->arena; /* it has what after points to */
	const char *from = NULL;

	r->arena = arena_new(FIND_ARENA_MAX);
	if (r->arena != NULL && after != NULL)
		from = arena_text(r->arena, after, strlen(after));
	arena_free(last);
	if (r->arena == NULL || (from == NULL) != (after == NULL))
		return false;
	r->find = (struct ledger_find){
	    .wait.done = listed,
	    .arena = r->arena,
	    .tenant = r->tenant,
	    .now = clock_wall(),
	    .after = from,
	};
	r->ledger->ops->find(r->ledger, &r->find);
	return true;
}

static void
count_doubt(struct rewrap *r, const struct ledger_intent *in)
{
	if (strcmp(in->tenant, r->tenant) != 0 ||
	    (in->kind != CHANGE_INSERT && in->kind != CHANGE_REPLACE))
		return;
	if (r->left < NAMED_MAX)
		LOG(LOG_WARN, "rewrap", "left: whether a record was stored is in doubt",
		    kv_text("tenant", r->tenant), kv_text("uid", in->uid));
	r->left++;
}

static void
doubts_listed(struct wait *w, enum err e)
{
	struct rewrap *r = CONTAINER_OF(w, struct rewrap, doubts.wait);
	bool goes_on;

	if (e != ERR_OK) {
		finish(r, e);
		return;
	}
	for (size_t i = 0; i < r->doubts.count; i++)
		count_doubt(r, &r->doubts.intents[i]);
	goes_on = r->doubts.after != 0 ? list_doubts(r, r->doubts.after) : list_more(r, NULL);
	if (!goes_on)
		finish(r, ERR_NO_MEMORY);
}

/*
 * Messages that ended without knowing whether the vault had stored their records: recovery takes those
 * over, and perhaps behind our back.
 */
static bool
list_doubts(struct rewrap *r, uint64_t after)
{
	arena_free(r->arena);
	r->arena = arena_new(FIND_ARENA_MAX);
	if (r->arena == NULL)
		return false;
	r->doubts = (struct ledger_intents){
	    .wait.done = doubts_listed, .arena = r->arena, .after = after};
	r->ledger->ops->intents(r->ledger, &r->doubts);
	return true;
}

void
rewrap_start(struct rewrap *r)
{
	r->wait.cancel = cancel;
	r->pause.fn = on_pause;
	r->objects = r->done = r->rewrapped = r->left = 0;
	r->begin_by = clock_now() + BEGIN_NS;
	if (!waits(r) && !list_doubts(r, 0)) {
		r->left = 1;
		wait_finish_soon(r->loop, &r->wait, ERR_NO_MEMORY);
	}
}
