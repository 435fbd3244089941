/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys that a vault of this process opened lately, in front of the unwrap that each Get would need
 * else.  A key stays with the proof of an object that is kept (keys/recent), and goes with it; or, a
 * minute or two after it was asked for last; or when the vault ends.
 *
 * They are in the half of the secure heap that is for what is kept, and come there only while less than
 * half of that is taken, since others (tokens, root keys, keys of the key manager) cannot do without.
 * Without room a key is not kept, and nobody notices.
 */
#ifndef KEYS_OPENED_H
#define KEYS_OPENED_H

#include "base/loop.h"
#include "base/secret.h"
#include "keys/object.h"

#define OPENED_LOOK_NS (60 * NS_PER_S)
enum { OPENED_KEY_MAX = 256 }; /* bytes; larger ones are not kept */

struct opened {
	struct loop *loop;
	struct list proofs;
	struct timer look;
};

void opened_init(struct opened *o, struct loop *l);
void opened_fini(struct opened *o); /* wipes them all */

/* One reference, the caller's; NULL: it is not here.  The proof may be NULL. */
struct secret *opened_find(struct opened *o, const struct object *object);
/* Whether the object's key may be kept. */
bool opened_may_keep(const struct object *object);
/* A SECRET_KEPT; takes a reference of its own.  Ignored for an object that nobody keeps. */
void opened_keep(struct opened *o, const struct object *object, struct secret *key);
/* How many there were. */
size_t opened_wipe(struct opened *o);

#endif
