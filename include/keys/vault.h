/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vault: who wraps and keeps wrapped keys.  An interface with several providers.  Every call
 * completes through its `wait`, never from inside the call (base/loop.h).  The caller owns the
 * call's struct and the arena; both stay until the wait is done or cancelled.
 */
#ifndef KEYS_VAULT_H
#define KEYS_VAULT_H

#include "base/arena.h"
#include "base/loop.h"
#include "base/secret.h"
#include "keys/object.h"

struct vault;

/* For providers that call over a network.  Zero: somebody waits, as long as the provider allows. */
struct vault_terms {
	int64_t deadline; /* clock_now() time */
	bool background;  /* those that somebody waits for go first */
};

/*
 * Makes a key and wraps it, or wraps one that is given; keeps nothing yet.  The record that
 * results is set in the object (in the arena), the plaintext is the caller's (one reference).
 */
struct vault_make {
	struct wait wait;
	struct arena *arena;	/* in */
	struct object *object;	/* in: all creation fields; out: record, digest */
	struct secret *key;	/* in: NULL to make one; out: the key, also on import */
	struct vault_terms terms; /* in */
	void *op;		/* the provider's */
};

/*
 * Unwraps the object's record.  ERR_INTEGRITY: not what was stored.  ERR_NO_ROOT_KEY: its root
 * key version is not there.  ERR_NO_OBJECT: the vault does not have it any more.  Of a vault over a
 * network: ERR_VAULT_DOWN, ERR_VAULT_DENIED.  ERR_NO_SECURE_MEMORY, ERR_STORAGE_DOWN, ERR_DEADLINE.
 */
struct vault_unwrap {
	struct wait wait;
	const struct object *object; /* in */
	struct secret *key;	     /* out: one reference, the caller's */
	struct vault_terms terms;    /* in */
	void *op;		     /* the provider's */
};

/*
 * Stores or destroys the object's record; returns only once that is durable.  Both idempotent.
 * store may complete the record that make put into the arena, in place, with where it is kept.
 * Cancelling leaves the change to run to its end.
 */
struct vault_change {
	struct wait wait;
	const struct object *object; /* in */
	struct vault_terms terms;    /* in */
	void *op;		     /* the provider's */
};

/* Whether the vault has a record for the object. */
struct vault_probe {
	struct wait wait;
	const char *tenant, *uid; /* in */
	bool found;		  /* out */
	struct vault_terms terms; /* in */
	void *op;		  /* the provider's */
};

struct vault_ops {
	const char *name;
	void (*make)(struct vault *, struct vault_make *);
	void (*unwrap)(struct vault *, struct vault_unwrap *);
	void (*store)(struct vault *, struct vault_change *);
	void (*destroy)(struct vault *, struct vault_change *);
	void (*probe)(struct vault *, struct vault_probe *);
	void (*free)(struct vault *);
};

/* The first member of every provider's own struct. */
struct vault {
	const struct vault_ops *ops;
};

#endif
