/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The attributes of an object, whether they are fields of struct object or kept as they were
 * given: one place that knows which is which.
 */
#ifndef GATE_OBJATTR_H
#define GATE_OBJATTR_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "keys/ledger.h"
#include "keys/object.h"
#include "kmip/attr.h"
#include "kmip/names.h"

/*
 * All attributes of the object that have a value, in the order of the attribute table, custom
 * ones last.  The list and the values live in the arena (or in the object).
 */
CHECKED enum err objattr_list(struct arena *a, const struct object *o, int version,
    struct kmip_attr **out, size_t *count);

/* The value of one of the yes-or-no attributes that every object has: Fresh, Sensitive, ... */
bool objattr_flag(const struct object *o, enum kmip_attr_id id);
/* Sets it, for the server: no rules are asked. */
CHECKED enum err objattr_set_flag(struct object *o, struct arena *a, enum kmip_attr_id id,
    bool value);

/* How what we keep is protected: by software, whoever keeps the root key (2.x). */
#define OBJATTR_PROTECTION ((uint32_t)KMIP_PROTECTION_STORAGE_MASK_SOFTWARE)

/*
 * Keeps the one element that was written into b as an instance of the attribute of that name, for the
 * server: no rules are asked.  ERR_NO_MEMORY, ERR_TOO_MANY_ATTRIBUTES, and what went wrong with b.
 */
CHECKED enum err objattr_keep(struct object *o, struct arena *a, const char *name, uint32_t index,
    const struct buf *b);

/* Of an object that was not made here: its generator is not known. */
CHECKED enum err objattr_set_no_rng(struct object *o, struct arena *a);

/* The RNG Parameters of what we generate: OpenSSL's generator, a CTR_DRBG with AES-256. */
void objattr_put_rng(struct buf *b, uint32_t tag);

enum { OBJATTR_LEASE_S = 3600 }; /* keys are not leased for real */

/* Who wants to set an attribute.  Import sets any, as it was elsewhere: nobody's rules are asked. */
enum objattr_by { BY_CREATE, BY_ADD, BY_MODIFY, BY_IMPORT };

/*
 * Sets or adds an attribute that a client gave; *index is the instance that it became (for
 * BY_MODIFY: the one to change, on entry).  Checks name, value, and the rules of the table.
 */
CHECKED enum err objattr_set(struct object *o, struct arena *a, const struct kmip_attr *at,
    enum objattr_by by, int version, uint32_t *index);

/* Removes an instance.  The rules of the table hold. */
CHECKED enum err objattr_remove(struct object *o, const struct kmip_attr *at, int version);

/* The term that finds objects of which a yes-or-no attribute has that value. */
CHECKED enum err objattr_flag_term(struct arena *a, enum kmip_attr_id id, bool value,
    struct ledger_term *out);

/*
 * What Locate asks for: the term that finds objects with this attribute.  ERR_INVALID_FIELD for
 * one that nothing can be found by.
 */
CHECKED enum err objattr_term(struct arena *a, const struct kmip_attr *at, int version,
    struct ledger_term *out);

#endif
