/* SPDX-License-Identifier: Apache-2.0 */
/* Links between objects that the server sets (specification 1.4 section 3.35). */
#ifndef GATE_LINK_H
#define GATE_LINK_H

#include "base/arena.h"
#include "base/err.h"
#include "keys/object.h"

/* Adds a link of that KMIP Link Type.  ERR_TOO_MANY_ATTRIBUTES, ERR_NO_MEMORY. */
CHECKED enum err link_add(struct object *o, struct arena *a, uint32_t type, const char *uid);

#endif
