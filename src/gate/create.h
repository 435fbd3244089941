/* SPDX-License-Identifier: Apache-2.0 */
/* What all operations that make objects have in common (op_create.c). */
#ifndef GATE_CREATE_H
#define GATE_CREATE_H

#include "request.h"

/* A new object of that type: its uid, its tenant, and no dates. */
CHECKED enum err create_begin(struct request *rq, struct object *o, uint32_t type);
/*
 * Takes the Template-Attribute of the payload, in 2.x its Attributes, into the object, and what the
 * templates have that it names.  It has to be there; create_has_template() tells whether it is.
 */
bool create_has_template(const struct request *rq);
CHECKED enum err create_read_template(struct request *rq, struct object *o);
/* Takes the attributes that stand in r, up to its end. */
CHECKED enum err create_take_attributes(struct request *rq, struct ttlv_reader *r, struct object *o);
/* Dates given by the client decide the state that the object is born in. */
void create_set_birth(struct request *rq, struct object *o);
/* Of one that comes into being here: since 1.3 it says when. */
void create_set_origin(struct request *rq, struct object *o);
/* What the object has to say to be a key of an algorithm and length that can be made here. */
CHECKED enum err create_check_key(const struct object *o);
/* A key that the vault would not make as it should be; *out stays as it is if it would. */
CHECKED enum err create_choose_key(const struct object *o, struct secret **out);

/*
 * Has the vault make the object's record, and its key unless m->key is one, then runs made.  *m is in
 * the arena, m->key the request's (rq_own_secret()).  Last statement of a function.
 */
void create_make(struct request *rq, struct vault_make *m, struct object *o,
    void (*made)(struct request *, enum err));
/*
 * Then: the object is among the changes, later items mean it, and the item's answer names it; in 1.x
 * also what rq->implied has.
 */
CHECKED enum err create_insert(struct request *rq, const struct vault_make *m);
/* The same of one that was made from another, which is told: neither is changed without the other. */
CHECKED enum err create_insert_from(struct request *rq, const struct vault_make *m, struct object *from);

#endif
