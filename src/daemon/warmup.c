/* SPDX-License-Identifier: Apache-2.0 */
/* Keys into memory after a start: one tenant after the other. */
#include "warmup.h"

#include "base/alloc.h"
#include "base/log.h"
#include "keys/warm.h"

#include "daemon.h"

struct warmup {
	struct keyferryd *daemon;
	struct tenants *tenants; /* of the start: their vaults live until this is over */
	size_t next;
	struct warm job;
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
	tenants_unref(u->tenants);
	alloc_free(u);
}

static void
warmed(struct wait *w, enum err e)
{
	struct warmup *u = CONTAINER_OF(w, struct warmup, job.wait);

	LOG(e == ERR_OK && u->job.left == 0 ? LOG_NOTICE : LOG_WARN, "warm",
	    "keys were taken into memory", kv_text("tenant", u->job.tenant),
	    kv_int("keys", u->job.warmed), kv_int("left", u->job.left),
	    kv_text("error", e != ERR_OK ? err_name(e) : "none"));
	next_tenant(u);
}

static void
next_tenant(struct warmup *u)
{
	const struct tenant *t;

	do {
		t = tenants_at(u->tenants, u->next++);
	} while (t != NULL && (t->cache == NULL || t->warm_keys == 0));
	if (t == NULL) {
		warmup_stop(u->daemon);
		return;
	}
	u->job = (struct warm){
	    .wait.done = warmed,
	    .loop = u->daemon->loop,
	    .ledger = t->ledger,
	    .vault = t->vault,
	    .cache = t->cache,
	    .custody = t->custody,
	    .terms = t->cache_terms,
	    .tenant = t->id,
	    .keys = t->warm_keys,
	};
	warm_start(&u->job);
}

void
warmup_start(struct keyferryd *d)
{
	struct warmup *u = d->warmup = alloc_zero(sizeof(*u));

	if (u == NULL)
		return;
	u->daemon = d;
	u->tenants = tenants_ref(gate_tenants(d->gate));
	next_tenant(u);
}
