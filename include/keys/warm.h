/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes a tenant's newest keys into memory before anybody asks for them: one after the other, at a
 * bounded rate, behind everything that somebody waits for.
 */
#ifndef KEYS_WARM_H
#define KEYS_WARM_H

#include "base/loop.h"
#include "keys/cache.h"
#include "keys/ledger.h"
#include "keys/vault.h"

struct warm {
	/*
	 * ERR_OK: all were tried.  Others are no matter of one key: what is warm stays so, and
	 * another attempt may go on from there.
	 */
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

	/* in and out: where the attempts before this one have come; zero at the first */
	struct warm_progress {
		char uid[UID_TEXT_LEN + 1]; /* the next key; "": the newest */
		/* left: they could not be unwrapped, and are not asked for again */
		uint32_t warmed, left;
	} progress;

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
