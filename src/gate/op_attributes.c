/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Get Attributes and Get Attribute List (specification 1.4 sections 4.12 and 4.13, 2.1 section
 * 6.1).
 */
#include "request.h"

#include "kmip/names.h"

#include "objattr.h"

struct attributes {
	char uid[UID_TEXT_LEN + 1];
	struct kmip_attr *names; /* those asked for; none: all */
	size_t names_count;
};

/* The list of names; asking for one twice is an error (test case 171 of KMIP 1.1). */
static enum err
read_names(struct request *rq, struct attributes *as)
{
	struct ttlv_reader count = rq->payload;
	struct kmip_attr at;
	struct ttlv t;
	size_t room = 0;

	while (ttlv_next(&count, &t))
		room++;
	if (room > OBJECT_ATTRS_MAX)
		return ERR_INVALID_MESSAGE;
	as->names = arena_array(rq->arena, room, sizeof(*as->names));
	if (as->names == NULL)
		return ERR_NO_MEMORY;
	while (kmip_attr_take_reference(&rq->payload, rq->arena, rq->in.version, &at)) {
		for (size_t i = 0; i < as->names_count && at.name != NULL; i++)
			if (kmip_attr_same(&as->names[i], &at))
				return ERR_INVALID_MESSAGE;
		as->names[as->names_count++] = at;
	}
	return ttlv_finish(&rq->payload);
}

static void
put_attributes(struct request *rq, const struct attributes *as, const struct kmip_attr *list,
    size_t count)
{
	for (size_t n = 0; n < as->names_count; n++)
		for (size_t i = 0; i < count; i++)
			if (kmip_attr_same(&list[i], &as->names[n]))
				kmip_attr_write(&rq->out, rq->in.version, &list[i]);
}

static void
attributes_loaded(struct request *rq, enum err e)
{
	struct attributes *as = rq->state;
	struct kmip_attr *list = NULL;
	size_t count = 0, mark;

	if (e == ERR_OK && as->names_count > 0)
		e = objattr_list(rq->arena, rq_object(rq), rq->in.version, &list, &count);
	if (e != ERR_OK) {
		rq_done(rq, e);
		return;
	}
	rq_put_uid(rq, rq_object(rq)->uid);
	if (as->names_count == 0) {
		e = rq_put_attributes(rq, rq_object(rq));
	} else if (rq->in.version < KMIP_2_0) {
		put_attributes(rq, as, list, count);
	} else {
		mark = ttlv_begin(&rq->out, TAG_ATTRIBUTES);
		put_attributes(rq, as, list, count);
		ttlv_end(&rq->out, mark);
	}
	rq_done(rq, e);
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
	/* instances of one attribute stand together: its name is listed once */
	for (size_t i = 0; i < count; i++)
		if (i == 0 || !kmip_attr_same(&list[i - 1], &list[i]))
			kmip_attr_write_reference(&rq->out, rq->in.version, &list[i]);
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
