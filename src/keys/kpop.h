/* SPDX-License-Identifier: Apache-2.0 */
/* An operation of the vault `keyprotect`: what all of them have, from their start to their end. */
#ifndef KPOP_H
#define KPOP_H

#include "base/clock.h"
#include "envelope.h"
#include "keys/vault.h"
#include "kpcall.h"
#include "kpfind.h"

enum { KPOP_PATH_LEN = sizeof("/keys//actions/unwrap") + KP_NAME_MAX, KPOP_HEADER_MAX = 160 };
#define KPOP_LAG_NS (5 * NS_PER_S) /* how long a list may not show what was just made */

struct vault_kp {
	struct vault vault;
	struct kplink link;
	struct envelope_crypto *crypto;
	char *url, *ca_file, *proxy, *root_key, *prefix;
	char instance[KPOP_HEADER_MAX], ring[KPOP_HEADER_MAX];
	bool own_generator, shut;
	int64_t timeout_ns;
	struct list ops;
};

struct kpop;
struct kpop_type {
	size_t size;
	bool runs_on; /* when its waiter has left */
	void (*fini)(struct kpop *);
};

/* The first member of every operation's own struct. */
struct kpop {
	struct list link; /* first: see loop_free_later() */
	const struct kpop_type *type;
	struct vault_kp *v;
	struct wait *waiter; /* NULL: has left */
	int64_t deadline;
	bool background;
	char name[KP_NAME_MAX + 1]; /* of the record */
	int64_t made_ms;	    /* when its object was made */
	char path[KPOP_PATH_LEN];
	struct kpcall call;
	struct kpfind find;
	struct buf body;
};

/* NULL without memory or when the vault is shut; then the waiter is told. */
void *kpop_new(struct vault *v, const struct kpop_type *type, struct wait *w,
    const struct vault_terms *t, const char *uid);
/* For what fails before it began: its waiter is told in the next turn. */
void kpop_refuse(struct kpop *o, enum err e);
/* The one way out of one that began; always from a callback. */
void kpop_end(struct kpop *o, enum err e);
/* Its waiter has cancelled. */
void kpop_leave(struct kpop *o);
/* Gives it up; nobody is told. */
void kpop_free(struct kpop *o);

/* Both hand the operation to done as the wait's owner. */
void kpop_call(struct kpop *o, struct kpcall *c, const char *method, const char *path,
    const struct buf *body, void (*done)(struct wait *, enum err));
void kpop_find(struct kpop *o, int64_t look_until, void (*done)(struct wait *, enum err));
/* Up to when a list, or a read, may not know yet of what was made when the object was. */
int64_t kpop_lag_until(const struct kpop *o);

/* In kpchange.c. */
void kpchange_store(struct vault *v, struct vault_change *change);
void kpchange_destroy(struct vault *v, struct vault_change *change);

#endif
