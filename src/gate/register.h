/* SPDX-License-Identifier: Apache-2.0 */
/* What Register and Import have in common (op_register.c): material that the client has already. */
#ifndef GATE_REGISTER_H
#define GATE_REGISTER_H

#include "create.h"
#include "keyblock.h"

/*
 * Whether attributes and material belong together; what the object does not say of its key it takes
 * from the key block.  ERR_INVALID_FIELD, ERR_MISSING_DATA, ERR_ALGORITHM.
 */
CHECKED enum err register_check(struct object *o, const struct keyblock *k);
/* Keeps the material's form, and that nobody here knows how it was made unless the client says so. */
CHECKED enum err register_keep(struct request *rq, struct object *o, const struct keyblock *k);
/* The key bytes go from the message into locked memory, and nowhere else. */
CHECKED enum err register_take_material(const struct keyblock *k, struct secret **out);

#endif
