/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watches a key manager for all tenants on one connection: asks it for news every third of the
 * revocation bound, lets the custody know how it is, drops from the cache what is gone, and takes
 * over into the ledger what other gateways changed.  Beside that it goes through all that the key
 * manager has: soon after the start, soon after a tenant came, and every few hours.
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
struct watch_tenant;

/* All are borrowed, and stay as long as the watch. */
struct watch_params {
	struct loop *loop;
	struct vault_source *source;
	struct ledger *ledger;
	struct lookups *lookups;
	struct cache *cache;
	struct custody *custody;
	int64_t bound_ns; /* the shortest revocation-bound of its tenants */
};

/* Asks for the first time in a moment.  NULL without memory. */
struct watch *watch_new(const struct watch_params *p);
void watch_set_bound(struct watch *w, int64_t bound_ns);
void watch_free(struct watch *w); /* its tenants were removed; NULL is allowed */

/*
 * A tenant comes and goes whenever it likes: soon after it came, the watch has looked at what
 * happened to its records lately.  The vault is borrowed until then; the id is copied.  NULL
 * without memory.
 */
struct watch_tenant *watch_add(struct watch *w, const char *tenant, struct vault *vault);
void watch_remove(struct watch_tenant *t); /* NULL is allowed */

/*
 * Goes through all that the vault has, soon, and takes over into the ledger what that does not know:
 * all of it, when the ledger was lost.  Does no harm when it was not, and may be done again.
 */
struct watch_rebuild {
	/*
	 * ERR_BUSY: the tenant has one under way.  ERR_CANCELLED: the tenant went.  Others: not all
	 * could be looked at.  Cancelling ends the looking up.
	 */
	struct wait wait;
	void (*progress)(struct watch_rebuild *r); /* now and then; may be NULL; removes no tenant */
	bool sure; /* in: as with vault_news */

	/* out */
	uint64_t records; /* under the tenant's prefix, as far as something may be to do about them */
	uint64_t done;	  /* of these */
	uint64_t adopted; /* objects, or successors of their records */
	uint64_t foreign; /* records that are not the tenant's, or older than what is known */
	uint64_t left;	  /* that could not be looked at */

	struct watch_tenant *tenant; /* private */
};
void watch_rebuild(struct watch_tenant *t, struct watch_rebuild *r);

#endif
