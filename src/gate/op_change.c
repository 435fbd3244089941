/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Add, Modify, Delete, Set and Adjust Attribute (specification 1.4 sections 4.14 to 4.16, 2.1
 * section 6.1).  All load the object, change a copy and put that into the message's write set.
 */
#include "request.h"

#include "base/clock.h"
#include "kmip/names.h"

#include "appdata.h"
#include "instances.h"
#include "objattr.h"

struct change_attr {
	char uid[UID_TEXT_LEN + 1];
	enum err (*change)(struct request *, struct change_attr *, struct object *);
	struct kmip_attr attr;	  /* the new instance, or what names the attribute */
	struct kmip_attr current; /* 2.x: the instance to change or delete; may be without a value */
	bool all;		  /* 2.x: delete all instances */
	uint32_t adjustment;
	struct ttlv by;
};

static enum err
find(struct request *rq, struct change_attr *ca, const struct object *o, struct instances *out)
{
	return instances_find(rq->arena, o, &ca->attr, rq->in.version, out);
}

/* 1.x is answered with the attribute as it is now: to limits the server adds what is left. */
static void
put_changed(struct request *rq, struct change_attr *ca, const struct object *o)
{
	struct instances now;

	if (ca->attr.id == ATTR_USAGE_LIMITS && find(rq, ca, o, &now) == ERR_OK && now.count > 0)
		ca->attr.value = now.all[0].value;
	kmip_attr_write(&rq->out, rq->in.version, &ca->attr);
}

static void
change_loaded(struct request *rq, enum err e)
{
	struct change_attr *ca = rq->state;
	struct object *o = NULL;

	if (e == ERR_OK) {
		o = rq_object_copy(rq);
		e = o != NULL ? ca->change(rq, ca, o) : ERR_NO_MEMORY;
	}
	if (e == ERR_OK) {
		o->date[DATE_LAST_CHANGE] = clock_wall();
		e = changes_put(&rq->changes, CHANGE_UPDATE, o, NULL);
		rq_put_uid(rq, o->uid);
		if (rq->in.version < KMIP_2_0)
			put_changed(rq, ca, o);
	}
	rq_done(rq, e);
}

static void
change_start(struct request *rq, enum err (*read)(struct request *, struct change_attr *),
    enum err (*change)(struct request *, struct change_attr *, struct object *))
{
	struct change_attr *ca = rq->state = arena_zalloc(rq->arena, sizeof(*ca));
	enum err e = ca != NULL ? rq_take_uid(rq, ca->uid) : ERR_NO_MEMORY;

	if (e == ERR_OK) {
		ca->change = change;
		e = read(rq, ca);
	}
	if (e == ERR_OK)
		e = ttlv_finish(&rq->payload);
	if (e == ERR_OK && ca->attr.index < 0)
		e = ERR_INDEX;
	if (e != ERR_OK) {
		rq_done(rq, e);
		return;
	}
	rq_load(rq, ca->uid, change_loaded);
}

/* Sets the attribute; its index and value become those that the instance has now. */
static enum err
set(struct request *rq, struct change_attr *ca, struct object *o, enum objattr_by by,
    uint32_t index)
{
	bool made;
	enum err e = appdata_complete(rq->arena, &ca->attr, &made);

	if (e == ERR_OK)
		e = objattr_set(o, rq->arena, &ca->attr, by, rq->in.version, &index);
	ca->attr.index = (int32_t)index;
	ca->attr.has_index = index > 0;
	return e;
}

/* --- Add --- */

/* A new instance gets its index from us; some clients send 0 all the same. */
static enum err
read_add(struct request *rq, struct change_attr *ca)
{
	enum err e = rq_take_attribute(rq, TAG_NEW_ATTRIBUTE, &ca->attr);

	return e == ERR_OK && ca->attr.index != 0 ? ERR_INVALID_FIELD : e;
}

static enum err
add(struct request *rq, struct change_attr *ca, struct object *o)
{
	return set(rq, ca, o, BY_ADD, 0);
}

void
add_attribute_start(struct request *rq)
{
	change_start(rq, read_add, add);
}

/* --- Modify --- */

static enum err
read_modify(struct request *rq, struct change_attr *ca)
{
	enum err e = ERR_OK;

	if (rq->in.version >= KMIP_2_0 && ttlv_peek(&rq->payload) == TAG_CURRENT_ATTRIBUTE)
		e = rq_take_attribute(rq, TAG_CURRENT_ATTRIBUTE, &ca->current);
	if (e == ERR_OK)
		e = rq_take_attribute(rq, TAG_NEW_ATTRIBUTE, &ca->attr);
	return e;
}

static enum err
modify(struct request *rq, struct change_attr *ca, struct object *o)
{
	uint32_t index = (uint32_t)ca->attr.index;
	struct instances in;
	enum err e = ERR_OK;

	if (rq->in.version >= KMIP_2_0) {
		if (ca->current.value.value != NULL && !kmip_attr_same(&ca->current, &ca->attr))
			return ERR_INVALID_FIELD;
		e = find(rq, ca, o, &in);
		if (e == ERR_OK)
			e = instances_pick(&in, &ca->current, &index);
	}
	return e == ERR_OK ? set(rq, ca, o, BY_MODIFY, index) : e;
}

void
modify_attribute_start(struct request *rq)
{
	change_start(rq, read_modify, modify);
}

/* --- Delete --- */

static enum err
read_delete(struct request *rq, struct change_attr *ca)
{
	struct ttlv t;

	if (rq->in.version >= KMIP_2_0 && ttlv_peek(&rq->payload) == TAG_CURRENT_ATTRIBUTE)
		return rq_take_attribute(rq, TAG_CURRENT_ATTRIBUTE, &ca->attr);
	if (!kmip_attr_take_reference(&rq->payload, rq->arena, rq->in.version, &ca->attr))
		return rq->payload.error != ERR_OK ? rq->payload.error : ERR_MISSING_DATA;
	ca->all = rq->in.version >= KMIP_2_0;
	if (!ca->all && ttlv_opt(&rq->payload, TAG_ATTRIBUTE_INDEX, TTLV_INTEGER, &t)) {
		ca->attr.index = ttlv_int(&t);
		ca->attr.has_index = ca->attr.index > 0;
	}
	return rq->payload.error;
}

/* 1.x: one instance, which is answered as it was. */
static enum err
delete_indexed(struct request *rq, struct change_attr *ca, struct object *o)
{
	struct instances in = {0};
	enum err e = ca->attr.id != ATTR_UNKNOWN ? find(rq, ca, o, &in) : ERR_OK;

	for (size_t i = 0; i < in.count; i++)
		if (in.all[i].index == ca->attr.index)
			ca->attr.value = in.all[i].value;
	return e == ERR_OK ? objattr_remove(o, &ca->attr, rq->in.version) : e;
}

static enum err
delete(struct request *rq, struct change_attr *ca, struct object *o)
{
	uint32_t index = 0;
	struct instances in;
	enum err e;

	if (rq->in.version < KMIP_2_0)
		return delete_indexed(rq, ca, o);
	e = find(rq, ca, o, &in);
	if (e == ERR_OK && (in.count == 0 || !ca->all))
		e = instances_pick(&in, &ca->attr, &index);
	for (size_t i = 0; e == ERR_OK && i < in.count; i++) {
		ca->attr.index = in.all[i].index;
		if (ca->all || (uint32_t)ca->attr.index == index)
			e = objattr_remove(o, &ca->attr, rq->in.version);
	}
	return e;
}

void
delete_attribute_start(struct request *rq)
{
	change_start(rq, read_delete, delete);
}

/* --- Set, Adjust --- */

/* Adds the attribute or changes its only instance. */
static enum err
set_only(struct request *rq, struct change_attr *ca, struct object *o, const struct instances *in)
{
	if (in->count > 1)
		return ERR_MULTI_VALUED;
	if (in->count == 0)
		return set(rq, ca, o, BY_ADD, 0);
	return set(rq, ca, o, BY_MODIFY, (uint32_t)in->all[0].index);
}

static enum err
read_set(struct request *rq, struct change_attr *ca)
{
	return rq_take_attribute(rq, TAG_NEW_ATTRIBUTE, &ca->attr);
}

static enum err
set_attribute(struct request *rq, struct change_attr *ca, struct object *o)
{
	struct instances in;
	enum err e = find(rq, ca, o, &in);

	return e == ERR_OK ? set_only(rq, ca, o, &in) : e;
}

void
set_attribute_start(struct request *rq)
{
	change_start(rq, read_set, set_attribute);
}

static enum err
read_adjust(struct request *rq, struct change_attr *ca)
{
	struct ttlv_reader *r = &rq->payload;
	struct ttlv t;

	if (!kmip_attr_take_reference(r, rq->arena, rq->in.version, &ca->attr))
		return r->error != ERR_OK ? r->error : ERR_MISSING_DATA;
	if (!ttlv_need(r, TAG_ADJUSTMENT_TYPE, TTLV_ENUM, &t))
		return r->error;
	ca->adjustment = ttlv_uint(&t);
	if (!kmip_value_known(SET_ADJUSTMENT_TYPE, ca->adjustment, rq->in.version))
		return ERR_INVALID_FIELD;
	if (ttlv_peek(r) == TAG_ADJUSTMENT_VALUE)
		ttlv_next(r, &ca->by);
	return r->error;
}

static enum err
adjust_attribute(struct request *rq, struct change_attr *ca, struct object *o)
{
	struct instances in;
	enum err e = find(rq, ca, o, &in);

	if (e == ERR_OK)
		e = instances_adjust(
		    rq->arena, &in, &ca->attr, ca->adjustment, &ca->by, &ca->attr.value);
	return e == ERR_OK ? set_only(rq, ca, o, &in) : e;
}

void
adjust_attribute_start(struct request *rq)
{
	change_start(rq, read_adjust, adjust_attribute);
}
