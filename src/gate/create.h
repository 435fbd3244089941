/* SPDX-License-Identifier: Apache-2.0 */
/* What all operations that make objects have in common (op_create.c). */
#ifndef GATE_CREATE_H
#define GATE_CREATE_H

#include "request.h"

/* A new object of that type: its uid, its tenant, and no dates. */
CHECKED enum err create_begin(struct request *rq, struct object *o, uint32_t type);
/* Takes the Template-Attribute of the payload, which has to be there, into the object. */
CHECKED enum err create_read_template(struct request *rq, struct object *o);
/* Dates given by the client decide the state that the object is born in. */
void create_set_birth(struct request *rq, struct object *o);

#endif
