/* SPDX-License-Identifier: Apache-2.0 */
/* Usage Limits (specification 1.4 section 3.21): how much a key may still protect. */
#ifndef GATE_USAGELIMITS_H
#define GATE_USAGELIMITS_H

#include "request.h"

struct usagelimits {
	int64_t total, left;
	uint32_t unit; /* KMIP Usage Limits Unit */
};

/* False when there are none: then the key may protect as much as it likes. */
bool usagelimits_of(const struct object *o, struct usagelimits *out);
/* Keeps them as the object's attribute. */
CHECKED enum err usagelimits_keep(struct object *o, struct arena *a, const struct usagelimits *l);
/* What a client sets, which starts in full: out is the whole value, in the arena. */
CHECKED enum err usagelimits_begin(struct arena *a, const struct ttlv *given, struct ttlv *out);

/* For ERR_LIMITS: more than is left. */
CHECKED enum err usagelimits_take(struct request *rq, const struct object *o, int64_t count);
/*
 * The gateway itself protects so many bytes with a key: takes what that is in its unit, if it has
 * limits.  The item fails unless that is committed.  ERR_DENIED: a client that may not change anything.
 */
CHECKED enum err usagelimits_charge(struct request *rq, const struct object *o, size_t bytes);

#endif
