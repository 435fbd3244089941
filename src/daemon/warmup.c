/* SPDX-License-Identifier: Apache-2.0 */
/* Keys into memory after a start: one tenant after the other, and again those that could not. */
#include "warmup.h"

#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "keys/warm.h"

#include "daemon.h"

#define AGAIN_NS (30 * NS_PER_S)

/* A tenant whose keys are not all in memory. */
struct cold {
	char id[TENANT_ID_MAX + 1];
	struct warm_progress progress;
	bool told; /* that it takes longer */
};

struct warmup {
	struct keyferryd *daemon;
	struct cold *cold;
	size_t count, at;
	struct tenant *tenant; /* whose turn it is; its vault lives until the attempt is over */
	struct warm job;
	struct timer again;
};

static void next_tenant(struct warmup *u);

void
warmup_stop(struct keyferryd *d)
{
	struct warmup *u = d->warmup;

	if (u == NULL)
		return;
	d->warmup = NULL;
	wait_cancel(&u->job.wait);
	timer_clear(d->loop, &u->again);
	tenant_unref(u->tenant);
	alloc_free(u->cold);
	alloc_free(u);
}

static void
drop(struct warmup *u)
{
	u->count--;
	memmove(u->cold + u->at, u->cold + u->at + 1, (u->count - u->at) * sizeof(*u->cold));
}

static void
warmed(struct wait *w, enum err e)
{
	struct warmup *u = CONTAINER_OF(w, struct warmup, job.wait);
	struct cold *c = &u->cold[u->at];

	c->progress = u->job.progress;
	if (e == ERR_OK || !c->told)
		LOG(e == ERR_OK && c->progress.left == 0 ? LOG_NOTICE : LOG_WARN, "warm",
		    e == ERR_OK ? "keys were taken into memory"
				: "keys cannot be taken into memory now, and will be later",
		    kv_text("tenant", c->id), kv_int("keys", c->progress.warmed),
		    kv_int("left", c->progress.left),
		    kv_text("error", e != ERR_OK ? err_name(e) : "none"));
	c->told = true;
	if (e == ERR_OK)
		drop(u);
	else
		u->at++;
	tenant_unref(u->tenant);
	u->tenant = NULL;
	next_tenant(u);
}

static bool
wants_warmth(const struct tenant *t)
{
	return t != NULL && t->cache != NULL && t->warm_keys > 0;
}

/* Or the end, or a pause until all that are left have their next turn. */
static void
next_tenant(struct warmup *u)
{
	struct keyferryd *d = u->daemon;
	struct tenant *t = NULL;

	/* a reload may have taken it away, or its wish */
	while (u->at < u->count &&
	    !wants_warmth(t = tenants_by_id(gate_tenants(d->gate), u->cold[u->at].id)))
		drop(u);
	if (u->at == u->count) {
		u->at = 0;
		if (u->count == 0)
			warmup_stop(d);
		else
			timer_set(d->loop, &u->again, clock_now() + AGAIN_NS);
		return;
	}
	u->tenant = tenant_ref(t);
	u->job = (struct warm){
	    .wait.done = warmed,
	    .loop = d->loop,
	    .ledger = t->ledger,
	    .vault = t->vault,
	    .cache = t->cache,
	    .custody = t->custody,
	    .terms = t->cache_terms,
	    .tenant = t->id,
	    .keys = t->warm_keys,
	    .progress = u->cold[u->at].progress,
	};
	warm_start(&u->job);
}

static void
on_again(struct timer *t)
{
	next_tenant(CONTAINER_OF(t, struct warmup, again));
}

void
warmup_start(struct keyferryd *d)
{
	const struct tenants *ts = gate_tenants(d->gate);
	struct warmup *u = d->warmup = alloc_zero(sizeof(*u));

	if (u == NULL)
		return;
	u->daemon = d;
	u->again.fn = on_again;
	u->cold = alloc_array(tenants_count(ts), sizeof(*u->cold));
	if (u->cold == NULL) {
		warmup_stop(d);
		return;
	}
	for (size_t i = 0; i < tenants_count(ts); i++)
		if (wants_warmth(tenants_at(ts, i)))
			memcpy(u->cold[u->count++].id, tenants_at(ts, i)->id, TENANT_ID_MAX + 1);
	next_tenant(u);
}
