/* SPDX-License-Identifier: Apache-2.0 */
/* Warm at start: list, then for each key load, get, pause. */
#include "keys/warm.h"

#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/metric.h"

enum { FIND_ARENA_MAX = 16 * 1024 * 1024 };
#define PACE_NS (100 * NS_PER_MS)

static void
release(struct warm *w)
{
	wait_cancel(&w->find.wait);
	wait_cancel(&w->load.wait);
	wait_cancel(&w->get.wait);
	timer_clear(w->loop, &w->pause);
	arena_free(w->step);
	arena_free(w->arena);
	w->step = w->arena = NULL;
}

static void
finish(struct warm *w, enum err e)
{
	release(w);
	wait_finish(&w->wait, e);
}

static void
cancel(struct wait *wait)
{
	release(CONTAINER_OF(wait, struct warm, wait));
}

static bool
is_general(enum err e)
{
	return e == ERR_VAULT_DOWN || e == ERR_VAULT_DENIED || e == ERR_NO_ROOT_KEY ||
	    e == ERR_DEADLINE || e == ERR_BUSY || e == ERR_STORAGE_DOWN ||
	    e == ERR_NO_SECURE_MEMORY;
}

static void
pause_for(struct warm *w, int64_t ns)
{
	timer_set(w->loop, &w->pause, clock_now() + ns);
}

/* This key is done with, or it is the first one of another attempt. */
static void
step_end(struct warm *w, enum err e)
{
	if (is_general(e)) {
		memcpy(w->progress.uid, w->find.uids[w->at], sizeof(w->progress.uid));
		finish(w, e);
		return;
	}
	w->progress.warmed += e == ERR_OK;
	w->progress.left += e != ERR_OK;
	if (e == ERR_OK)
		metric_inc(METRIC_WARMED_TOTAL);
	w->at++;
	pause_for(w, PACE_NS);
}

static void
got(struct wait *wait, enum err e)
{
	struct warm *w = CONTAINER_OF(wait, struct warm, get.wait);

	secret_unref(w->get.key);
	w->get.key = NULL;
	step_end(w, e);
}

static void
loaded(struct wait *wait, enum err e)
{
	struct warm *w = CONTAINER_OF(wait, struct warm, load.wait);

	if (e == ERR_OK && object_is_destroyed(w->load.object))
		e = ERR_NO_OBJECT;
	if (e != ERR_OK) {
		step_end(w, e);
		return;
	}
	w->get = (struct cache_get){
	    .wait.done = got,
	    .custody = w->custody,
	    .vault = w->vault,
	    .object = w->load.object,
	    .vault_terms.background = true,
	    .terms = w->terms,
	};
	cache_get(w->cache, &w->get);
}

static void
next_key(struct timer *t)
{
	struct warm *w = CONTAINER_OF(t, struct warm, pause);

	if (w->at == w->find.uids_count) {
		finish(w, ERR_OK);
		return;
	}
	arena_free(w->step);
	w->step = arena_new(OBJECT_ARENA_MAX);
	if (w->step == NULL) {
		finish(w, ERR_NO_MEMORY);
		return;
	}
	w->load = (struct ledger_load){
	    .wait.done = loaded,
	    .arena = w->step,
	    .tenant = w->tenant,
	    .uid = w->find.uids[w->at],
	};
	w->ledger->ops->load(w->ledger, &w->load);
}

static void
listed(struct wait *wait, enum err e)
{
	struct warm *w = CONTAINER_OF(wait, struct warm, find.wait);

	if (e != ERR_OK) {
		finish(w, e);
		return;
	}
	/* those that are newer were tried, or are in memory since they were made */
	for (size_t i = 0; i < w->find.uids_count; i++)
		if (strcmp(w->find.uids[i], w->progress.uid) == 0)
			w->at = i;
	pause_for(w, 0);
}

void
warm_start(struct warm *w)
{
	w->at = 0;
	w->pause.fn = next_key;
	w->arena = arena_new(FIND_ARENA_MAX);
	if (w->arena == NULL) {
		wait_finish_soon(w->loop, &w->wait, ERR_NO_MEMORY);
		return;
	}
	w->wait.cancel = cancel;
	w->find = (struct ledger_find){
	    .wait.done = listed,
	    .arena = w->arena,
	    .tenant = w->tenant,
	    .now = clock_wall(),
	    .max = w->keys,
	    .no_total = true,
	};
	w->ledger->ops->find(w->ledger, &w->find);
}
