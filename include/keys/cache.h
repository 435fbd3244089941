/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The key cache: unwrapped keys in front of any vault, tenant by tenant.  A key is served from
 * memory while it was proved within the revocation bound, by its own load or by a check of its
 * whole custody; later only if the vault cannot be reached and riding out is allowed.
 */
#ifndef KEYS_CACHE_H
#define KEYS_CACHE_H

#include "base/clock.h"
#include "keys/custody.h"
#include "keys/vault.h"

struct cache;

/* How long a get waits for the vault if memory has a key that may be ridden out. */
#define CACHE_PATIENCE_NS (2 * NS_PER_S)

/* bytes_max: of key material; keys are also limited in number.  NULL without memory. */
struct cache *cache_new(struct loop *l, size_t bytes_max);
/* Wipes all; those who wait are told ERR_CANCELLED.  NULL is allowed. */
void cache_free(struct cache *c);

/* What a tenant wants. */
struct cache_terms {
	int64_t bound_ns;    /* revocation-bound; above zero */
	int64_t ride_out_ns; /* ride-out-max; 0: never */
};

/*
 * One get.  The vault's errors come as they are; of our own: ERR_DEADLINE (the waiter's, or the
 * proof took longer than the bound, twice), ERR_BUSY, ERR_NO_MEMORY, ERR_CANCELLED, ERR_INTEGRITY (other
 * bytes than before).  Several gets of one key from one vault share one load, which runs to its end even if all
 * of them left; vaults are freed only after their loads ended (their free() sees to that).
 */
struct cache_get {
	struct wait wait;

	/* in, all borrowed until the end */
	struct custody *custody;
	struct vault *vault;
	const struct object *object;
	struct vault_terms vault_terms; /* deadline: this waiter's; the load has the vault's own */
	struct cache_terms terms;

	/* out */
	struct secret *key; /* one reference, the caller's */
	bool from_memory;
	bool ridden_out; /* its proof is older than the bound */
	enum vault_gone gone; /* as the vault's unwrap says with ERR_NO_OBJECT */

	/* private */
	struct cache *cache;
	struct timer timer;
	struct stamp began;
	bool again; /* it began a second time */
};
void cache_get(struct cache *c, struct cache_get *g);

/* A key that was made and stored.  began: before it was wrapped.  The key stays the caller's. */
void cache_put(struct cache *c, struct custody *cu, const struct vault_ops *ops,
    const struct object *o, struct secret *key, const struct cache_terms *terms,
    const struct stamp *began);
/*
 * The object was destroyed, or is gone from the vault.  A load under way is served to those who wait
 * for it already, not kept, and joined by nobody else.
 */
void cache_forget(struct cache *c, const char *tenant, const char *uid);
/*
 * One record of the object is gone: the same, unless the key is known to be from another one.  True:
 * there is one that was kept.
 */
bool cache_forget_record(
    struct cache *c, const char *tenant, const char *uid, const char *record_id);
/*
 * The object's key was found in this record, and the ledger says so from now on: one that is in memory,
 * or being loaded, is as if it came from there.  If that is under another root key than before, or
 * nobody can tell, only loads prove it, until one shows that it is the custody's own.
 */
void cache_moved(struct cache *c, const struct vault_ops *ops, const struct object *o);
/* The same for all keys of a tenant, or of all (NULL).  Returns how many were in memory. */
size_t cache_flush(struct cache *c, const char *tenant);

/* A tenant wants other terms from now on: they hold for what is in memory, too. */
void cache_set_terms(struct cache *c, const char *tenant, const struct cache_terms *terms);

/*
 * A tenant uses a custody no more that others still use: its keys leave the memory, and who waits
 * for one waits on.
 */
void cache_withdraw(struct custody *cu, const char *tenant);

struct cache_info {
	const char *tenant, *uid;
	const struct custody *custody;
	int64_t proved_ns; /* ago */
	int64_t used_ns;   /* ago */
	uint64_t hits;
};
/* The most recently used first; of one tenant or of all (NULL).  fn may not touch the cache. */
void cache_each(struct cache *c, const char *tenant,
    void (*fn)(const struct cache_info *, void *arg), void *arg);

#endif
