/* SPDX-License-Identifier: Apache-2.0 */
/* Templates: finding them by name, applying them, in and out. */
#include "template.h"

#include <string.h>

#include "base/clock.h"
#include "kmip/names.h"

#include "create.h"
#include "keyblock.h"
#include "objattr.h"

enum { NAMES_MAX = 16, TERMS = 2 };

struct resolve {
	struct ttlv_reader names;
	struct ledger_find find;
	struct ledger_term terms[TERMS];
};

static void resolve_next(struct request *rq);
static void template_found(struct request *rq, enum err e);
static void template_loaded(struct request *rq, enum err e);

/* --- finding --- */

/* The Template-Attribute of the payload, if it begins with a name. */
static bool
find_names(const struct request *rq, struct ttlv_reader *names)
{
	struct ttlv_reader r = rq->payload;
	struct ttlv t;

	while (ttlv_next(&r, &t)) {
		if (t.tag != TAG_TEMPLATE_ATTRIBUTE || t.type != TTLV_STRUCTURE)
			continue;
		ttlv_enter(names, &t);
		return ttlv_peek(names) == TAG_NAME;
	}
	return false;
}

bool
template_is_named(const struct request *rq)
{
	struct ttlv_reader names;

	return rq->in.version < KMIP_2_0 && rq->op->right == RIGHT_CHANGE && find_names(rq, &names);
}

void
template_resolve(struct request *rq)
{
	struct resolve *rs = rq->state = arena_zalloc(rq->arena, sizeof(*rs));

	rq->templates = arena_array(rq->arena, NAMES_MAX, sizeof(struct object *));
	if (rs == NULL || rq->templates == NULL) {
		rq_done(rq, ERR_NO_MEMORY);
		return;
	}
	(void)!find_names(rq, &rs->names);
	resolve_next(rq);
}

static enum err
set_terms(struct request *rq, struct resolve *rs, const struct ttlv *name)
{
	const struct kmip_attr_info *info = kmip_attr_info(ATTR_NAME);
	struct kmip_attr at = {.id = ATTR_NAME, .name = info->name, .name_len = strlen(info->name),
	    .value = *name};

	rs->terms[0] = (struct ledger_term){.field = FIELD_TYPE, .number = KMIP_OBJECT_TYPE_TEMPLATE};
	rs->find = (struct ledger_find){
	    .arena = rq->arena,
	    .tenant = rq->p.tenant->id,
	    .terms = rs->terms,
	    .terms_count = TERMS,
	    .now = clock_wall(),
	    .max = 1,
	};
	return objattr_term(rq->arena, &at, rq->in.version, &rs->terms[1]);
}

/* One that the message made or changed. */
static const struct object *
find_in_changes(const struct request *rq, const struct ledger_find *f)
{
	for (size_t i = 0; i < rq->changes.count; i++)
		if (ledger_find_matches(f, rq->changes.all[i].object))
			return rq->changes.all[i].object;
	return NULL;
}

/* Names stand in front of attributes, and are as short a list. */
static void
resolve_next(struct request *rq)
{
	struct ledger *ledger = rq->p.tenant->ledger;
	struct resolve *rs = rq->state;
	const struct object *changed;
	struct ttlv name;
	enum err e;

	if (!ttlv_opt(&rs->names, TAG_NAME, TTLV_STRUCTURE, &name)) {
		rq->state = NULL;
		rq->object = NULL;
		rq->op->start(rq);
		return;
	}
	e = rq->templates_count < NAMES_MAX ? set_terms(rq, rs, &name) : ERR_INVALID_FIELD;
	if (e != ERR_OK) {
		rq_done(rq, e);
		return;
	}
	changed = find_in_changes(rq, &rs->find);
	if (changed != NULL) {
		rq_load(rq, changed->uid, template_loaded);
		return;
	}
	rq_await(rq, &rs->find.wait, template_found);
	ledger->ops->find(ledger, &rs->find);
}

/* What the message changed was looked at: it has another name by now. */
static void
template_found(struct request *rq, enum err e)
{
	struct resolve *rs = rq->state;

	if (e == ERR_OK &&
	    (rs->find.uids_count == 0 || changes_find(&rq->changes, rs->find.uids[0]) != NULL))
		e = ERR_NO_OBJECT;
	if (e == ERR_OK)
		rq_load(rq, rs->find.uids[0], template_loaded);
	else
		rq_done(rq, e);
}

static void
template_loaded(struct request *rq, enum err e)
{
	if (e == ERR_OK && object_is_archived(rq_object(rq)))
		e = ERR_ARCHIVED;
	if (e != ERR_OK) {
		rq_done(rq, e);
		return;
	}
	rq->templates[rq->templates_count++] = rq_object(rq);
	resolve_next(rq);
}

/* --- applying --- */

/* What is the template's own is not for others. */
static bool
is_for_others(const struct kmip_attr *at)
{
	return at->id != ATTR_NAME && (kmip_attr_flags(at) & ATTR_AT_CREATE) != 0;
}

/* The object has the attribute with that value already. */
static bool
has_value(const struct object *o, const struct kmip_attr *at)
{
	struct ttlv v;

	for (size_t i = 0; i < o->attrs_count; i++) {
		const struct object_attr *oa = &o->attrs[i];

		if (strlen(oa->name) == at->name_len &&
		    memcmp(oa->name, at->name, at->name_len) == 0 &&
		    kmip_attr_unpack_value(oa->value, oa->value_len, &v) &&
		    v.type == at->value.type && v.len == at->value.len &&
		    memcmp(v.value, at->value.value, v.len) == 0)
			return true;
	}
	return false;
}

static enum err
apply_one(struct request *rq, struct object *o, const struct object *from)
{
	struct kmip_attr *list = NULL;
	size_t count = 0;
	enum err e = objattr_list(rq->arena, from, rq->in.version, &list, &count);

	for (size_t i = 0; e == ERR_OK && i < count; i++) {
		uint32_t index = 0;

		if (!is_for_others(&list[i]) || has_value(o, &list[i]))
			continue;
		e = objattr_set(o, rq->arena, &list[i], BY_CREATE, rq->in.version, &index);
		if (e == ERR_ATTRIBUTE_EXISTS)
			e = ERR_OK; /* what was said before counts */
	}
	return e;
}

enum err
template_apply(struct request *rq, struct object *o)
{
	enum err e = ERR_OK;

	for (size_t i = rq->templates_count; e == ERR_OK && i-- > 0;)
		e = apply_one(rq, o, rq->templates[i]);
	return e;
}

/* --- in and out --- */

enum err
template_read(struct request *rq, struct object *o, struct secret **word)
{
	static const char text[] = "template";
	const struct keyform form = {.format = KMIP_KEY_FORMAT_TYPE_OPAQUE};
	struct ttlv_reader r;
	struct ttlv t;
	enum err e;

	if (!ttlv_need(&rq->payload, TAG_TEMPLATE, TTLV_STRUCTURE, &t))
		return rq->payload.error;
	ttlv_enter(&r, &t);
	e = create_take_attributes(rq, &r, o);
	if (e == ERR_OK)
		e = keyform_keep(o, rq->arena, &form);
	if (e != ERR_OK)
		return e;
	*word = secret_new(strlen(text), SECRET_TRANSIENT);
	if (*word == NULL)
		return ERR_NO_SECURE_MEMORY;
	memcpy(secret_bytes(*word), text, strlen(text));
	return ERR_OK;
}

enum err
template_put(struct request *rq, const struct object *o)
{
	size_t count = 0, mark = ttlv_begin(&rq->out, TAG_TEMPLATE);
	struct kmip_attr *list = NULL;
	enum err e = objattr_list(rq->arena, o, rq->in.version, &list, &count);

	for (size_t i = 0; e == ERR_OK && i < count; i++)
		if ((kmip_attr_flags(&list[i]) & ATTR_AT_CREATE) != 0)
			kmip_attr_write(&rq->out, rq->in.version, &list[i]);
	ttlv_end(&rq->out, mark);
	return e;
}
