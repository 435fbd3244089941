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

/*
 * Makes a key and wraps it, or wraps one that is given; keeps nothing yet.  The record that
 * results is set in the object (in the arena), the plaintext is the caller's (one reference).
 */
struct vault_make {
	struct wait wait;
	struct arena *arena;	/* in */
	struct object *object;	/* in: all creation fields; out: record, digest */
	struct secret *key;	/* in: NULL to make one; out: the key, also on import */
};

/*
 * Unwraps the object's record.  ERR_INTEGRITY: not what was stored.  ERR_NO_ROOT_KEY: its root
 * key version is not there.  ERR_NO_SECURE_MEMORY, ERR_STORAGE_DOWN, ERR_DEADLINE.
 */
struct vault_unwrap {
	struct wait wait;
	const struct object *object; /* in */
	struct secret *key;	     /* out: one reference, the caller's */
};

/* Stores or destroys the object's record; returns only once that is durable.  Both idempotent. */
struct vault_change {
	struct wait wait;
	const struct object *object; /* in */
};

/* Whether the vault has a record for the object. */
struct vault_probe {
	struct wait wait;
	const char *tenant, *uid; /* in */
	bool found;		  /* out */
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
