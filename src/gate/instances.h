/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The instances that an object has of one attribute.  1.x tells them apart by their index, which
 * 2.x does not have: there it is the value, or that there is only one.
 */
#ifndef GATE_INSTANCES_H
#define GATE_INSTANCES_H

#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "keys/object.h"
#include "kmip/attr.h"

struct instances {
	const struct kmip_attr *all; /* in the arena */
	size_t count;
};

/* Those of at's attribute, by its name; at's value and index are not looked at. */
CHECKED enum err instances_find(struct arena *a, const struct object *o,
    const struct kmip_attr *at, int version, struct instances *out);

/*
 * The one that is meant: the one with at's value; without a value, the only one.
 * ERR_NO_ATTRIBUTE, ERR_INDEX (none has that value), ERR_MULTI_VALUED.
 */
CHECKED enum err instances_pick(const struct instances *in, const struct kmip_attr *at,
    uint32_t *index);

/*
 * The value that Adjust Attribute makes of an attribute's only instance, or of none.  how: KMIP
 * Adjustment Type; by: the Adjustment Value, or value NULL.  ERR_MULTI_VALUED, ERR_DATA_TYPE,
 * ERR_NUMERIC_RANGE, ERR_NO_ATTRIBUTE (and nothing to begin with).
 */
CHECKED enum err instances_adjust(struct arena *a, const struct instances *in,
    const struct kmip_attr *at, uint32_t how, const struct ttlv *by, struct ttlv *out);

#endif
