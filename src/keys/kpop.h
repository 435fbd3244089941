/* SPDX-License-Identifier: Apache-2.0 */
/* An operation of the vault `keyprotect`: what all of them have, from their start to their end. */
#ifndef KPOP_H
#define KPOP_H

#include "base/clock.h"
#include "envelope.h"
#include "keys/vault.h"
#include "kpcall.h"
#include "kpfind.h"

enum { KPOP_PATH_LEN = sizeof("/keys//actions/unwrap") + KP_NAME_MAX };
#define KPOP_LAG_NS (5 * NS_PER_S)	 /* how long a list may not show what was just made */
#define KPOP_RETIRE_NS (60 * NS_PER_S) /* for what is retired without haste */

/* Whose the operations are. */
struct kphome {
	struct kplink link;
	int64_t timeout_ns;
	struct list ops;
	bool shut;
};

struct kproot;

struct vault_kp {
	struct vault vault;
	struct kphome home;
	struct kproot *root; /* kproot.h */
	struct list kin;     /* vaults of that root */
	struct envelope_crypto *crypto;
	char *prefix;
	bool own_generator;
};

struct kpop;
struct kpop_type {
	size_t size;
	bool runs_on;  /* when its waiter has left */
	bool searches; /* what does not pass its check may be somebody else's: no alarm */
	unsigned label; /* of LABELS_VAULT_CALL */
	void (*fini)(struct kpop *);
};

/* The first member of every operation's own struct. */
struct kpop {
	struct list link; /* first: see loop_free_later() */
	const struct kpop_type *type;
	struct kphome *home;
	struct vault_kp *v; /* NULL: not a vault's */
	struct wait *waiter; /* NULL: has left */
	int64_t began;
	int64_t deadline; /* of its step */
	int64_t latest;	  /* of all of it: its waiter's, or INT64_MAX */
	unsigned label; /* the type's, unless one type has several operations */
	bool background;
	size_t answer_max; /* 0: as usual */
	char name[KP_NAME_MAX + 1]; /* of the record */
	int64_t made_ms;	    /* when its object was made */
	char path[KPOP_PATH_LEN];
	struct kpcall call;
	struct kpfind find;
	struct buf body;
};

/* NULL without memory or when the home is shut; then the waiter, if there is one, is told. */
void *kpop_new(struct kphome *h, const struct kpop_type *type, struct wait *w,
    const struct vault_terms *t);
/* The same for an object of a vault. */
void *kpop_new_for(struct vault *v, const struct kpop_type *type, struct wait *w,
    const struct vault_terms *t, const char *uid);
/* From now on it has as long again as an operation has, within its waiter's time. */
void kpop_step(struct kpop *o);
/* For what fails before it began: its waiter is told in the next turn. */
void kpop_refuse(struct kpop *o, enum err e);
/* The one way out of one that began; always from a callback. */
void kpop_end(struct kpop *o, enum err e);
/* Its waiter has cancelled. */
void kpop_leave(struct kpop *o);
/* Gives it up; nobody is told. */
void kpop_free(struct kpop *o);
/* All of them; those who wait are told. */
void kpop_free_all(struct kphome *h, enum err e);

/* Both hand the operation to done as the wait's owner. */
void kpop_call(struct kpop *o, struct kpcall *c, const char *method, const char *path,
    const struct buf *body, void (*done)(struct wait *, enum err));
void kpop_find(struct kpop *o, int64_t look_until, void (*done)(struct wait *, enum err));
/* When that is done, and more calls follow: those have their own time if it was a long walk. */
void kpop_walked(struct kpop *o);
/* Up to when a list, or a read, may not know yet of what was made when the object was. */
int64_t kpop_lag_until(const struct kpop *o);

/* What became of a key that is gone; now: the server's time, or -1 when it did not say. */
enum vault_gone kpop_how_gone(const struct kpop *o, const struct kp_key *k, int64_t now);
/* What an error means when it was the root key that was called. */
enum err kpop_root_key_error(enum err e);
/*
 * Takes the key from the answer of an unwrap call, and its digest.  ERR_INTEGRITY: it is not as long
 * as the object says.  The action is the caller's to end.
 */
CHECKED enum err kpop_read_key(struct kpop *o, struct kpcall *c, const struct object *object,
    struct kp_action *a, uint8_t digest[32]);

/* In kpchange.c. */
void kpchange_store(struct vault *v, struct vault_change *change);
void kpchange_destroy(struct vault *v, struct vault_change *change);
void kpchange_retire(struct vault *v, struct vault_change *change);
/* In kpseek.c. */
void kpseek_find(struct vault *v, struct vault_find *find);

#endif
