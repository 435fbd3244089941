/* SPDX-License-Identifier: Apache-2.0 */
/* Who cannot be read must not be readable in what comes of it. */
#ifndef GATE_INHERIT_H
#define GATE_INHERIT_H

#include "objattr.h"

/*
 * Makes an object Sensitive, or not Extractable, as the one that it comes from is.  born: it comes into
 * being by that, with the other's history, so that what comes of a readable one hides nothing; else it was
 * somewhere before, and its own is kept as far as the other's bears it out.  ERR_INHERITED when the object
 * says the contrary.
 */
CHECKED enum err inherit(struct arena *a, struct object *made, const struct object *from,
    bool born);

#endif
