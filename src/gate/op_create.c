/* SPDX-License-Identifier: Apache-2.0 */
/* Create (specification 1.4 section 4.1): a new symmetric key. */
#include "request.h"

#include <string.h>

#include "base/clock.h"
#include "kmip/names.h"

#include "objattr.h"

struct create {
	struct object *object;
	struct vault_make make;
};

static void create_made(struct request *rq, enum err e);

static enum err
read_template(struct request *rq, struct object *o)
{
	struct ttlv_reader r;
	struct ttlv t;
	struct kmip_attr at;
	uint32_t index;
	enum err e = ERR_OK;

	if (!ttlv_need(&rq->payload, TAG_TEMPLATE_ATTRIBUTE, TTLV_STRUCTURE, &t))
		return rq->payload.error;
	ttlv_enter(&r, &t);
	if (ttlv_peek(&r) == TAG_NAME)
		return ERR_NO_OBJECT; /* names of templates, of which there are none */
	while (e == ERR_OK && ttlv_peek(&r) == TAG_ATTRIBUTE &&
	    kmip_attr_read(&r, rq->arena, rq->in.version, true, &at)) {
		index = 0;
		e = objattr_set(o, rq->arena, &at, BY_CREATE, rq->in.version, &index);
	}
	return e != ERR_OK ? e : ttlv_finish(&r);
}

/* What the template had to say, and whether we can make such a key. */
static enum err
check_key(const struct object *o)
{
	if (o->algorithm == 0 || o->length == 0 || o->usage_mask == 0)
		return ERR_MISSING_DATA;
	if (o->algorithm != KMIP_CRYPTOGRAPHIC_ALGORITHM_AES ||
	    (o->length != 128 && o->length != 192 && o->length != 256))
		return ERR_ALGORITHM;
	return ERR_OK;
}

/* Dates given by the client decide the state that the key is born in. */
static void
set_birth(struct request *rq, struct object *o)
{
	int64_t now = clock_wall();

	o->state = OBJECT_PRE_ACTIVE;
	o->date[DATE_INITIAL] = now;
	o->date[DATE_LAST_CHANGE] = now;
	if (rq->p.tenant->born_active && o->date[DATE_ACTIVATION] == NO_DATE)
		o->date[DATE_ACTIVATION] = now;
	if (o->date[DATE_ACTIVATION] != NO_DATE && o->date[DATE_ACTIVATION] <= now)
		o->state = OBJECT_ACTIVE;
	if (rq->in.version >= KMIP_1_3)
		o->date[DATE_ORIGINAL_CREATION] = now;
}

static enum err
read_create(struct request *rq, struct object *o)
{
	struct ttlv type;
	enum err e;

	if (!ttlv_need(&rq->payload, TAG_OBJECT_TYPE, TTLV_ENUM, &type))
		return rq->payload.error;
	if (ttlv_uint(&type) != KMIP_OBJECT_TYPE_SYMMETRIC_KEY)
		return ERR_OBJECT_TYPE;
	o->type = ttlv_uint(&type);
	for (int i = 0; i < DATE_COUNT; i++)
		o->date[i] = NO_DATE;
	e = read_template(rq, o);
	if (e == ERR_OK)
		e = ttlv_finish(&rq->payload);
	if (e == ERR_OK)
		e = check_key(o);
	if (e == ERR_OK)
		e = text_uuid7(o->uid);
	memcpy(o->tenant, rq->p.tenant->id, sizeof(o->tenant));
	return e;
}

void
create_start(struct request *rq)
{
	struct create *c = rq->state = arena_zalloc(rq->arena, sizeof(*c));
	struct vault *v = rq->p.tenant->vault;
	enum err e = ERR_NO_MEMORY;

	if (c != NULL)
		c->object = arena_zalloc(rq->arena, sizeof(*c->object));
	if (c != NULL && c->object != NULL)
		e = rq_own_secret(rq, &c->make.key);
	if (e == ERR_OK)
		e = read_create(rq, c->object);
	if (e != ERR_OK) {
		rq_done(rq, e);
		return;
	}
	set_birth(rq, c->object);
	c->make.arena = rq->arena;
	c->make.object = c->object;
	c->make.terms.deadline = rq->p.deadline;
	rq_await(rq, &c->make.wait, create_made);
	v->ops->make(v, &c->make);
}

static void
create_made(struct request *rq, enum err e)
{
	struct create *c = rq->state;

	if (e == ERR_OK)
		e = changes_put(&rq->changes, CHANGE_INSERT, c->object, secret_ref(c->make.key));
	if (e == ERR_OK) {
		rq_set_placeholder(rq, c->object->uid);
		ttlv_put_enum(&rq->out, TAG_OBJECT_TYPE, c->object->type);
		rq_put_uid(rq, c->object->uid);
	}
	rq_done(rq, e);
}
