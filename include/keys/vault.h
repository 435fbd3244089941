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

struct cache;
struct share;
struct vault;

/* For providers that call over a network.  Zero: somebody waits, as long as the provider allows. */
struct vault_terms {
	int64_t deadline; /* clock_now() time */
	bool background;  /* those that somebody waits for go first */
};

/*
 * Makes a key and wraps it, or wraps one that is given; keeps nothing yet.  The record that
 * results is set in the object (in the arena), the plaintext is the caller's (one reference).
 * If the object has a record, the new one is its successor: it says what the object is now.  No
 * revocation or rewrap depends on attributes: a record that cannot hold them all goes without some, and
 * the object keeps them.
 */
struct vault_make {
	struct wait wait;
	struct arena *arena;	/* in */
	struct object *object;	/* in: all creation fields; out: record, digest */
	struct secret *key;	/* in: NULL to make one; out: the key, also on import */
	bool whole;		/* in: with all attributes, or not at all: ERR_TOO_MANY_ATTRIBUTES */
	struct vault_terms terms; /* in */
	void *op;		/* the provider's */
};

/*
 * Unwraps the object's record.  ERR_INTEGRITY: not what was stored.  ERR_NO_ROOT_KEY: its root
 * key version is not there.  ERR_NO_OBJECT: the vault does not have it any more.  Of a vault over a
 * network: ERR_VAULT_DOWN, ERR_VAULT_DENIED.  ERR_NO_SECURE_MEMORY, ERR_STORAGE_DOWN, ERR_DEADLINE.
 */
enum vault_gone {
	GONE_UNKNOWN,	/* nothing is known of a record */
	GONE_LATELY,	/* a moment ago: lists may not show yet what took its place */
	GONE_DESTROYED, /* by one of us: for good, unless something took its place */
	GONE_WITHDRAWN, /* by somebody else, who may bring it back */
};
struct vault_unwrap {
	struct wait wait;
	const struct object *object; /* in */
	struct secret *key;	     /* out: one reference, the caller's */
	enum vault_gone gone;	     /* out, with ERR_NO_OBJECT: how */
	bool suspended; /* out, with ERR_NO_ROOT_KEY: it is there, but disabled or sealed */
	bool unkeyed; /* out, with ERR_NO_ROOT_KEY: no root key of the version that it is under is here */
	uint32_t root_version; /* out, with that: which */
	bool record_only; /* out, with ERR_VAULT_DENIED: the record alone is refused, the root key opened */
	bool stale; /* out: wrapped under an older version of the root key, or another */
	bool apart; /* out, in any case: under another than the vault's, whose proof is not its */
	struct vault_terms terms;    /* in */
	void *op;		     /* the provider's */
};

/*
 * Stores the object's record, destroys all that the vault has of the object, or retires this one
 * record; returns only once that is durable.  All idempotent.
 * store may complete the record that make put into the arena, in place, with where it is kept.
 * retire waits, which takes its time, until everybody can see the successor, and deletes nothing that
 * counts before it, says more of a revocation, or bears another name; without a successor it deletes
 * the record at once.
 * Cancelling leaves the change to run to its end.  ERR_DENIED: the gateway lacks the right, and the
 * object's record is still there.  ERR_NO_OBJECT, of destroy: neither the object's record nor another
 * of it is there, or is known to have been; it may be where the gateway does not look any more, as in
 * another kind of vault, unless the caller knows better (missing_is_gone).
 * ERR_BUSY: enough is being retired.
 */
struct vault_change {
	struct wait wait;
	const struct object *object; /* in */
	const struct object *successor; /* in, to retire: the object with its new record, or NULL */
	bool missing_is_gone; /* in, to destroy: where nothing is known of, nothing is left to destroy */
	bool missing; /* out, to destroy: that was so, and nothing was deleted; set at ERR_OK alone */
	struct vault_terms terms;    /* in */
	void *op;		     /* the provider's */
};

/*
 * Whether the vault has the object's record; if the object has none here, whether it has any of that
 * uid.  Not found and GONE_UNKNOWN says nothing: it may be where the gateway does not look any more.
 */
struct vault_probe {
	struct wait wait;
	const struct object *object; /* in */
	bool found;		  /* out */
	enum vault_gone gone;	  /* out, when it was not found: what the vault says of it */
	struct vault_terms terms; /* in */
	void *op;		  /* the provider's */
};

/*
 * Looks for what the vault has of an object, by its uid alone: of the records that open the one that
 * counts, and the most restrictive state of all.  ERR_NO_OBJECT: nothing, or nothing yet (lists may
 * lag; an object made a moment ago is looked for again for some seconds).  ERR_INTEGRITY: nothing
 * that opens, which may be somebody else's.  ERR_NO_ROOT_KEY: what counts by its own words is under
 * a root key that is not there.
 */
struct vault_find {
	struct wait wait;
	struct arena *arena;	/* in */
	const char *tenant, *uid; /* in */
	const char *record_id;	/* in: where a list shows it, or NULL */
	bool expected;		/* in: something may be on its way */
	bool once;		/* in: nobody waits for what does not show yet */
	bool last_words;	/* in: if there is nothing, say whether something may come back */
	bool withdrawn; /* out: of what somebody else deleted, something may come back and count */
	struct object *object;	/* out: as that record says, with its record and digest */
	const struct object *unopened; /* out, with ERR_NO_ROOT_KEY: the record's, by its own words alone */
	bool suspended;		/* out, with that: its root key is there, but disabled or sealed */
	struct secret *key;	/* out: one reference, the caller's */
	struct vault_terms terms; /* in */
	void *op;		/* the provider's */
};

/*
 * Proves that root key and right are there, then tells what has happened since: each record that
 * was made or deleted, and perhaps some that were told before, and some of others than us.
 */
struct vault_record {
	const char *name; /* whose it is, and of which uid: see uid_in */
	const char *record_id;
	enum vault_gone gone; /* GONE_UNKNOWN: it is there */
};
struct vault_news {
	struct wait wait; /* errors as those of an unwrap of the object nobody has */
	int64_t since;	  /* in: the vault's time, seconds since 1970; 0: the proof alone */
	bool sure; /* in: fails as well unless it was seen which root key the configuration names now */
	void (*each)(void *arg, const struct vault_record *r); /* in */
	void *arg;		  /* in */
	int64_t now;		  /* out: the vault's time when this began, or -1 */
	bool suspended;		  /* out, with ERR_NO_ROOT_KEY: it is there, but disabled or sealed */
	bool moved;		  /* out, in any case: from now on another root key is proved */
	struct vault_terms terms; /* in */
	void *op;		  /* the provider's */
};
/* Who has news for all vaults on one connection and root key. */
struct vault_source {
	void (*news)(struct vault_source *, struct vault_news *);
};

struct vault_ops {
	const char *name;
	void (*make)(struct vault *, struct vault_make *);
	void (*unwrap)(struct vault *, struct vault_unwrap *);
	void (*store)(struct vault *, struct vault_change *);
	void (*destroy)(struct vault *, struct vault_change *);
	void (*probe)(struct vault *, struct vault_probe *);
	/* What an administrator should see to, in static storage, or NULL. */
	const char *(*complaint)(const struct vault *);
	/* These are NULL when nobody else uses the vault. */
	void (*retire)(struct vault *, struct vault_change *);
	void (*find)(struct vault *, struct vault_find *);
	/* The uid in the name of a record, if that is one of this vault; else NULL. */
	const char *(*uid_in)(const struct vault *, const char *name);
	/* Where the object's record is, as lists show it; empty: not known. */
	void (*record_id)(char id[UID_TEXT_LEN + 1], const struct object *o);
	/* The id of the root key that it is under; empty: not known. */
	void (*root_key)(char id[UID_TEXT_LEN + 1], const struct object *o);
	uint64_t (*sequence)(const struct object *o); /* of the object's record; 0: it has none */
	/* The object as its own record says it is, in the arena.  ERR_INTEGRITY, ERR_NO_MEMORY, .... */
	enum err (*recorded)(const struct object *o, struct arena *a, struct object **out);
	/* Whose record counts, the same at all gateways: positive: a's.  Zero: it is one record. */
	int (*order)(const struct object *a, const struct object *b);
	/* Wipes the keys that the vault itself keeps in memory, and says how many; NULL: it keeps none. */
	size_t (*flush)(struct vault *);
	void (*free)(struct vault *);
};

/* The first member of every provider's own struct. */
struct vault {
	const struct vault_ops *ops;
	struct share *share; /* attributes are shared with other gateways; NULL: they stay here */
	struct cache *cache; /* of its keys, to be told what becomes of their records; NULL: there is none */
};

/* The name, as in vault_ops, of the kind of vault that made the object's record; NULL: it cannot be told. */
const char *vault_made_by(const struct object *o);
/* The record is of another kind of vault: what this one has, or has not, says nothing of it. */
bool vault_is_foreign(const struct vault_ops *ops, const struct object *o);

#endif
