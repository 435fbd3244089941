/* SPDX-License-Identifier: Apache-2.0 */
/* Which attributes are fields of struct object, for those who list, set and look for them. */
#ifndef GATE_OBJATTR_FIELD_H
#define GATE_OBJATTR_FIELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "keys/object.h"
#include "kmip/attr.h"
#include "kmip/ttlv.h"

/* Which field of struct object an attribute is. */
struct objattr_field {
	enum kmip_attr_id id;
	enum { F_UID, F_SHORT_UID, F_U32, F_DATE, F_DIGEST, F_REVOCATION, F_LEASE, F_FORMAT,
		F_PROTECTION } kind;
	size_t at;	/* offset of a u32, number of a date */
	unsigned term; /* enum ledger_field */
};

/* An attribute that every object has, with this value as long as no other is kept. */
struct objattr_standing {
	enum kmip_attr_id id;
	bool flag;
};

enum { OBJATTR_SCRATCH_MAX = ATTR_VALUE_MAX + 64 };

/* NULL: it is no field, or none that stands. */
const struct objattr_field *objattr_field_of(enum kmip_attr_id id);
const struct objattr_standing *objattr_standing_of(enum kmip_attr_id id);

/* The field of kind F_U32. */
uint32_t *objattr_u32(const struct object *o, const struct objattr_field *f);

/* The element that was just written into b, as a view of a copy in the arena. */
bool objattr_view(struct arena *a, const struct buf *b, struct ttlv *out);

#endif
