/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes a tenant's newest keys into memory before anybody asks for them: one after the other, at a
 * bounded rate, behind everything that somebody waits for.  A key manager that is away is waited for.
 */
#ifndef KEYS_WARM_H
#define KEYS_WARM_H

#include "base/loop.h"
#include "keys/cache.h"
#include "keys/ledger.h"
#include "keys/vault.h"

struct warm {
	/* ERR_OK: all were tried.  Others: without memory or ledger; what is warm stays so. */
	struct wait wait;

	/* in; all stay until the end */
	struct loop *loop;
	struct ledger *ledger;
	struct vault *vault; /* one that the cache is for */
	struct cache *cache;
	struct custody *custody;
	struct cache_terms terms;
	const char *tenant;
	uint32_t keys; /* how many */

	/* out */
	uint32_t warmed, left; /* left: they could not be unwrapped, and are not asked for again */

	/* private */
	struct arena *arena, *step;
	struct ledger_find find;
	struct ledger_load load;
	struct cache_get get;
	struct timer pause;
	size_t at;
};
/* Set wait.done and what is in, zero the rest. */
void warm_start(struct warm *w);

#endif
