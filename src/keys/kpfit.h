/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of an object its next record of the vault `keyprotect' says, when it cannot say all: a key that
 * has more attributes than a record can hold has to be revoked and rewrapped all the same.
 */
#ifndef KPFIT_H
#define KPFIT_H

#include "keys/object.h"

/*
 * *out: o itself when it has no record yet, or all of it fits; else a shallow copy in the arena.  That
 * has all that attributes are not, and of these, as far as there is room: what decides whether and how
 * the key is served; the message of its revocation; what its record has, as that has it; the others.
 * Each in the order of the object: so the same object and record make the same choice.  An instance
 * that the object has no more is not taken from its record.
 *
 * Others merge what they see disappear from a record: so it changes as little as it can.
 *
 * ERR_TOO_MANY_ATTRIBUTES: without room for the form of the key it would be served as another one.
 * ERR_NO_MEMORY.
 */
CHECKED enum err kpfit(const struct object *o, struct arena *a, const struct object **out);

#endif
