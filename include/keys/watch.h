/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watches a shared vault for one tenant: asks it for news every third of the revocation bound, takes
 * over into the ledger what other gateways changed, drops from the cache what is gone, and lets the
 * custody know how the vault is.  Every few hours it goes through all that the vault has.
 */
#ifndef KEYS_WATCH_H
#define KEYS_WATCH_H

#include "base/loop.h"
#include "keys/cache.h"
#include "keys/custody.h"
#include "keys/ledger.h"
#include "keys/lookup.h"
#include "keys/vault.h"

struct watch;

/* All but the tenant's id are borrowed, and stay as long as the watch. */
struct watch_params {
	struct loop *loop;
	struct vault *vault; /* one that has news */
	struct ledger *ledger;
	struct lookups *lookups;
	struct cache *cache;
	struct custody *custody;
	const char *tenant;
	int64_t bound_ns; /* revocation-bound */
};

/* Asks for the first time in a moment.  NULL without memory. */
struct watch *watch_new(const struct watch_params *p);
void watch_set_bound(struct watch *w, int64_t bound_ns);
void watch_free(struct watch *w); /* NULL is allowed */

/*
 * Goes through all that the vault has, soon, and takes over into the ledger what that does not know:
 * all of it, when the ledger was lost.  Does no harm when it was not, and may be done again.
 */
struct watch_rebuild {
	struct wait wait; /* ERR_BUSY: one is under way; others when not all could be looked at */
	void (*progress)(struct watch_rebuild *r); /* now and then; may be NULL */

	/* out */
	uint64_t records; /* that are there under the tenant's prefix */
	uint64_t done;	  /* of these */
	uint64_t adopted; /* objects, or successors of their records */
	uint64_t foreign; /* records that are not the tenant's, or older than what is known */
	uint64_t left;	  /* that could not be looked at */

	struct watch *watch; /* private */
};
void watch_rebuild(struct watch *w, struct watch_rebuild *r);

#endif
