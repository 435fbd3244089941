/* SPDX-License-Identifier: Apache-2.0 */
/* A key cache on virtual time, in front of a vault that answers when and as the test says. */
#ifndef TESTS_CACHERIG_H
#define TESTS_CACHERIG_H

#include <check.h>

#include "base/clock.h"
#include "keys/cache.h"

#define BOUND (60 * NS_PER_S)
#define RIDE_OUT (3600 * NS_PER_S)

struct cacherig {
	struct vault vault, other; /* over one connection */
	struct vault *asked;	   /* by gets; the first of them */
	struct loop *loop;
	struct cache *cache;
	struct custody *custody;
	struct arena *arena;
	struct cache_terms terms;
	struct list pending; /* unwraps under way, by their wait.link */
	unsigned loads, cancelled;
	bool suspended;	  /* the root key that it misses is disabled only */
	bool other_bytes; /* the vault has other keys than before */
	bool record_only; /* what it refuses is the one record */
	bool apart;	  /* they are under another root key */
	unsigned served;  /* gets that ended, to number them */
	size_t kept;	  /* bytes of kept secrets before */
};

struct get {
	struct cache_get g;
	struct cacherig *rig;
	bool done;
	enum err e;
	unsigned nth; /* which to end, from 1 */
	void (*then)(struct get *);
	void *arg;
};

void cacherig_init(struct cacherig *r, size_t bytes_max);
/* Frees what is there yet; no key may be left. */
void cacherig_fini(struct cacherig *r);
void cacherig_settle(struct cacherig *r);
void cacherig_advance(struct cacherig *r, int64_t ns);

/*
 * An object whose number gives its uid, and with the tenant its digest and key.  Its record has the same
 * id; the first digit of a record's id stands for the root key that it is under.
 */
struct object *cacherig_object(struct cacherig *r, const char *tenant, unsigned number);
/* Ends the load that waits longest. */
void cacherig_answer(struct cacherig *r, enum err e);
void cacherig_finish(struct cacherig *r, struct vault_unwrap *u, enum err e);
unsigned cacherig_pending(const struct cacherig *r);
size_t cacherig_kept(const struct cacherig *r); /* bytes of keys in memory */

void get_start(struct get *t, struct cacherig *r, const struct object *o);
/* Starts, settles, answers with e what is asked of the vault; the key is given back. */
enum err get_now(struct cacherig *r, const struct object *o, enum err e);
/* The same, and it may ask the vault nothing. */
enum err get_warm(struct cacherig *r, const struct object *o);
/* True when it was ridden out although the vault says e, else it ends so. */
bool get_rides(struct cacherig *r, const struct object *o, enum err e);
bool get_key_is(const struct get *t, const struct object *o);
void get_end(struct get *t); /* gives the key back */

#endif
