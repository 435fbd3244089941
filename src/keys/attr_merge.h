/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attributes that gateways share through successors of records.  What an object's own record says
 * is what was shared last; where the ledger says something else, that was changed here since.
 *
 * Names go one way: two objects of one gateway never share a Name, so an object may have had to do
 * without the one that another gateway gave it.  Therefore a Name that is missing here is no
 * change. Fresh, which the first Get ends, is each gateway's own.  Archive Date, which clients do not
 * set themselves, is shared as they are.
 */
#ifndef ATTR_MERGE_H
#define ATTR_MERGE_H

#include "keys/object.h"

/* Whether others do not know yet what its attributes are.  recorded: as its record says. */
bool attr_merge_is_due(const struct object *o, const struct object *recorded);

/*
 * Two gateways have given one Name to two objects: the later one goes without.  False: it had
 * none.
 */
bool attr_merge_drop_names(struct object *o);

/*
 * Takes over what another gateway changed: each instance that was not changed here since the
 * record `base'.  NULL for that: nothing is known of what was shared, so what is here stays, and
 * what is new comes in.  Of two links that came to one index, here and there, theirs moves to a free
 * one.  What the object cannot hold is left out, and the log says so.
 *
 * ERR_NO_MEMORY: it is merged in part, and is not to be stored: others would see the rest disappear.
 */
CHECKED enum err attr_merge(struct object *o, struct arena *a, const struct object *base,
    const struct object *theirs);

#endif
