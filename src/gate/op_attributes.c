/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Get Attributes, Get Attribute List, Add, Modify and Delete Attribute (specification 1.4
 * sections 4.12 to 4.16).
 */
#include "request.h"

#include <string.h>

#include "base/clock.h"
#include "kmip/names.h"

#include "objattr.h"

struct attributes {
	char uid[UID_TEXT_LEN + 1];
	struct ttlv *names; /* Get Attributes: those asked for; none: all */
	size_t names_count;
	enum { ATTR_OP_ADD, ATTR_OP_MODIFY, ATTR_OP_DELETE } op;
	struct kmip_attr attr; /* the others: the one to change */
};

/* --- Get Attributes, Get Attribute List --- */

static bool
name_is(const struct kmip_attr *at, const struct ttlv *name)
{
	return at->name_len == name->len && memcmp(at->name, name->value, name->len) == 0;
}

/* The list of names; asking for one twice is an error (test case 171 of KMIP 1.1). */
static enum err
read_names(struct request *rq, struct attributes *as)
{
	struct ttlv t;
	size_t room = 0;
	struct ttlv_reader count = rq->payload;

	while (ttlv_opt(&count, TAG_ATTRIBUTE_NAME, TTLV_TEXT, &t))
		room++;
	if (room > OBJECT_ATTRS_MAX)
		return ERR_INVALID_MESSAGE;
	as->names = arena_array(rq->arena, room, sizeof(*as->names));
	if (as->names == NULL)
		return ERR_NO_MEMORY;
	while (ttlv_opt(&rq->payload, TAG_ATTRIBUTE_NAME, TTLV_TEXT, &t)) {
		for (size_t i = 0; i < as->names_count; i++)
			if (as->names[i].len == t.len &&
			    memcmp(as->names[i].value, t.value, t.len) == 0)
				return ERR_INVALID_MESSAGE;
		as->names[as->names_count++] = t;
	}
	return ttlv_finish(&rq->payload);
}

static void
attributes_loaded(struct request *rq, enum err e)
{
	struct attributes *as = rq->state;
	struct kmip_attr *list = NULL;
	size_t count = 0;

	if (e == ERR_OK)
		e = objattr_list(rq->arena, rq_object(rq), rq->in.version, &list, &count);
	if (e != ERR_OK) {
		rq_done(rq, e);
		return;
	}
	rq_put_uid(rq, rq_object(rq)->uid);
	for (size_t i = 0; as->names_count == 0 && i < count; i++)
		kmip_attr_write(&rq->out, rq->in.version, &list[i]);
	for (size_t n = 0; n < as->names_count; n++)
		for (size_t i = 0; i < count; i++)
			if (name_is(&list[i], &as->names[n]))
				kmip_attr_write(&rq->out, rq->in.version, &list[i]);
	rq_done(rq, ERR_OK);
}

void
get_attributes_start(struct request *rq)
{
	struct attributes *as = rq->state = arena_zalloc(rq->arena, sizeof(*as));
	enum err e = as != NULL ? rq_take_uid(rq, as->uid) : ERR_NO_MEMORY;

	if (e == ERR_OK)
		e = read_names(rq, as);
	if (e != ERR_OK) {
		rq_done(rq, e);
		return;
	}
	rq_load(rq, as->uid, attributes_loaded);
}

static void
attribute_list_loaded(struct request *rq, enum err e)
{
	struct kmip_attr *list = NULL;
	size_t count = 0;

	if (e == ERR_OK)
		e = objattr_list(rq->arena, rq_object(rq), rq->in.version, &list, &count);
	if (e != ERR_OK) {
		rq_done(rq, e);
		return;
	}
	rq_put_uid(rq, rq_object(rq)->uid);
	for (size_t i = 0; i < count; i++) {
		const struct kmip_attr *at = &list[i];

		/* instances of one attribute stand together: its name is listed once */
		if (i == 0 || list[i - 1].name_len != at->name_len ||
		    memcmp(list[i - 1].name, at->name, at->name_len) != 0)
			ttlv_put_text(&rq->out, TAG_ATTRIBUTE_NAME, at->name, at->name_len);
	}
	rq_done(rq, ERR_OK);
}

void
get_attribute_list_start(struct request *rq)
{
	char uid[UID_TEXT_LEN + 1];
	enum err e = rq_take_uid(rq, uid);

	if (e == ERR_OK)
		e = ttlv_finish(&rq->payload);
	if (e != ERR_OK) {
		rq_done(rq, e);
		return;
	}
	rq_load(rq, uid, attribute_list_loaded);
}

/* --- Add, Modify, Delete Attribute --- */

/* What Delete Attribute answers with: the instance as it was. */
static enum err
fill_deleted(struct request *rq, struct attributes *as)
{
	struct kmip_attr *list;
	size_t count;
	enum err e = objattr_list(rq->arena, rq_object(rq), rq->in.version, &list, &count);

	for (size_t i = 0; e == ERR_OK && i < count; i++) {
		if (list[i].name_len == as->attr.name_len && list[i].index == as->attr.index &&
		    memcmp(list[i].name, as->attr.name, list[i].name_len) == 0)
			as->attr.value = list[i].value;
	}
	return e;
}

static enum err
change(struct request *rq, struct attributes *as, struct object *o)
{
	uint32_t index = (uint32_t)as->attr.index;
	enum err e;

	if (as->op == ATTR_OP_DELETE) {
		e = fill_deleted(rq, as);
		return e != ERR_OK ? e : objattr_remove(o, &as->attr, rq->in.version);
	}
	e = objattr_set(o, rq->arena, &as->attr, as->op == ATTR_OP_ADD ? BY_ADD : BY_MODIFY,
	    rq->in.version, &index);
	as->attr.index = (int32_t)index;
	as->attr.has_index = index > 0;
	return e;
}

static void
change_loaded(struct request *rq, enum err e)
{
	struct attributes *as = rq->state;
	struct object *o = NULL;

	if (e == ERR_OK) {
		o = rq_object_copy(rq);
		e = o != NULL ? change(rq, as, o) : ERR_NO_MEMORY;
	}
	if (e == ERR_OK) {
		o->date[DATE_LAST_CHANGE] = clock_wall();
		e = changes_put(&rq->changes, CHANGE_UPDATE, o, NULL);
		rq_put_uid(rq, o->uid);
		kmip_attr_write(&rq->out, rq->in.version, &as->attr);
	}
	rq_done(rq, e);
}

static void
change_start(struct request *rq, enum err (*read)(struct request *, struct attributes *))
{
	struct attributes *as = rq->state = arena_zalloc(rq->arena, sizeof(*as));
	enum err e = as != NULL ? rq_take_uid(rq, as->uid) : ERR_NO_MEMORY;

	if (e == ERR_OK)
		e = read(rq, as);
	if (e == ERR_OK)
		e = ttlv_finish(&rq->payload);
	if (e == ERR_OK && as->attr.index < 0)
		e = ERR_INDEX;
	if (e != ERR_OK) {
		rq_done(rq, e);
		return;
	}
	rq_load(rq, as->uid, change_loaded);
}

static enum err
read_attribute(struct request *rq, struct attributes *as)
{
	if (ttlv_peek(&rq->payload) != TAG_ATTRIBUTE)
		return ERR_MISSING_DATA;
	kmip_attr_read(&rq->payload, rq->arena, rq->in.version, true, &as->attr);
	return rq->payload.error;
}

/* A new instance gets its index from us; some clients send 0 all the same. */
static enum err
read_add(struct request *rq, struct attributes *as)
{
	enum err e = read_attribute(rq, as);

	as->op = ATTR_OP_ADD;
	return e == ERR_OK && as->attr.index != 0 ? ERR_INVALID_FIELD : e;
}

static enum err
read_modify(struct request *rq, struct attributes *as)
{
	as->op = ATTR_OP_MODIFY;
	return read_attribute(rq, as);
}

static enum err
read_delete(struct request *rq, struct attributes *as)
{
	struct ttlv t;

	as->op = ATTR_OP_DELETE;
	if (!ttlv_need(&rq->payload, TAG_ATTRIBUTE_NAME, TTLV_TEXT, &t))
		return rq->payload.error;
	as->attr.name = (const char *)t.value;
	as->attr.name_len = t.len;
	as->attr.id = kmip_attr_find(as->attr.name, t.len, rq->in.version);
	if (ttlv_opt(&rq->payload, TAG_ATTRIBUTE_INDEX, TTLV_INTEGER, &t)) {
		as->attr.index = ttlv_int(&t);
		as->attr.has_index = as->attr.index > 0;
	}
	return rq->payload.error;
}

void
add_attribute_start(struct request *rq)
{
	change_start(rq, read_add);
}

void
modify_attribute_start(struct request *rq)
{
	change_start(rq, read_modify);
}

void
delete_attribute_start(struct request *rq)
{
	change_start(rq, read_delete);
}
