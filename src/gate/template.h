/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Templates (specification 1.0 to 1.4, sections 2.2.6 and 2.1.8): named lists of attributes for objects
 * to come.  2.0 took them away, so that its clients see none.
 *
 * A template is an object without a key.  That every object has a record in the vault is how gateways
 * know of each other's: a template's wraps a word that means nothing.
 */
#ifndef GATE_TEMPLATE_H
#define GATE_TEMPLATE_H

#include "request.h"

/* Whether the item's Template-Attribute names templates. */
bool template_is_named(const struct request *rq);
/* Finds those templates, then starts the operation.  Last statement of a function. */
void template_resolve(struct request *rq);
/*
 * Gives the object what the templates have that it has not been given.  Of two templates the later one
 * counts; of an attribute that may have several values all are given.
 */
CHECKED enum err template_apply(struct request *rq, struct object *o);

/* Takes a Template object from the payload into o.  The word for the vault is the caller's. */
CHECKED enum err template_read(struct request *rq, struct object *o, struct secret **word);
/* The Template object into the answer. */
CHECKED enum err template_put(struct request *rq, const struct object *o);

#endif
