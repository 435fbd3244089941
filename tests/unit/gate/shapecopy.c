/* SPDX-License-Identifier: Apache-2.0 */
/* Reading fields by their types, and writing what was read. */
#include "shape.h"

#include <stdio.h>

#include "../kmip/values.h"
#include "kmip/attr.h"
#include "kmip/names.h"

static const char *
wrong(uint32_t tag, const char *what)
{
	static char text[128];

	snprintf(text, sizeof(text), "%s: %s", kmip_tag_name(tag), what);
	return text;
}

/* The fields of t in a structure of its tag. */
static const char *
copy_structure(struct buf *b, struct arena *a, const struct ttlv *t, const struct shape *inside,
    int version)
{
	size_t mark = ttlv_begin(b, t->tag);
	struct ttlv_reader r;
	const char *e;

	ttlv_enter(&r, t);
	e = shape_copy(b, a, &r, inside, version);
	ttlv_end(b, mark);
	return e;
}

static const char *
copy_attribute(struct buf *b, struct arena *a, struct ttlv_reader *r, int version)
{
	struct kmip_attr at;

	if (!kmip_attr_read(r, a, version, false, &at))
		return wrong(TAG_ATTRIBUTE, err_text(r->error));
	if (at.value.value != NULL && kmip_attr_check(&at, version) != ERR_OK)
		return wrong(TAG_ATTRIBUTE_VALUE, at.name != NULL ? at.name : "of no attribute");
	return kmip_attr_write(b, version, &at) ? NULL : wrong(TAG_ATTRIBUTE, "of other versions");
}

static const char *
copy_attributes(struct buf *b, struct arena *a, struct ttlv_reader *r, int version)
{
	const char *e = NULL;

	while (e == NULL && kmip_attr_follows(r, version))
		e = copy_attribute(b, a, r, version);
	return e;
}

/* Attributes in a structure: names of templates before them, if it is a Template-Attribute. */
static const char *
copy_list(struct buf *b, struct arena *a, const struct ttlv *t, int version)
{
	static const struct shape name[] = {
	    {SHAPE_ONE, SHAPE_PLAIN, TAG_NAME_VALUE, TTLV_TEXT, 0, 0, NULL},
	    {SHAPE_ONE, SHAPE_PLAIN, TAG_NAME_TYPE, TTLV_ENUM, 0, 0, NULL},
	    {.how = SHAPE_END}};
	size_t mark = ttlv_begin(b, t->tag);
	const char *e = NULL;
	struct ttlv_reader r;
	struct ttlv n;

	ttlv_enter(&r, t);
	while (e == NULL && version < KMIP_2_0 && ttlv_opt(&r, TAG_NAME, TTLV_STRUCTURE, &n))
		e = copy_structure(b, a, &n, name, version);
	if (e == NULL)
		e = copy_attributes(b, a, &r, version);
	ttlv_end(b, mark);
	return e == NULL && ttlv_finish(&r) != ERR_OK ? wrong(t->tag, "something else in it") : e;
}

/* One attribute: as it is in 1.x, in a structure in 2.x. */
static const char *
copy_one(struct buf *b, struct arena *a, struct ttlv_reader *r, uint32_t tag, int version)
{
	struct ttlv_reader in;
	struct ttlv t;
	size_t mark;
	const char *e;

	if (version < KMIP_2_0)
		return copy_attribute(b, a, r, version);
	if (!ttlv_need(r, tag, TTLV_STRUCTURE, &t))
		return wrong(tag, "missing");
	mark = ttlv_begin(b, tag);
	ttlv_enter(&in, &t);
	e = copy_attribute(b, a, &in, version);
	ttlv_end(b, mark);
	return e == NULL && ttlv_finish(&in) != ERR_OK ? wrong(tag, "more than one") : e;
}

static const char *
copy_object(struct buf *b, struct arena *a, const struct ttlv *t, int version)
{
	for (const struct shape *s = shape_object; s->how != SHAPE_END; s++)
		if (s->tag == t->tag)
			return copy_structure(b, a, t, s->inside, version);
	return wrong(t->tag, "no object");
}

/* A structure where the shape has bytes, or bytes where it has a structure. */
static const char *
copy_either(struct buf *b, struct arena *a, const struct ttlv *t, const struct shape *inside,
    int version)
{
	if (t->type == TTLV_STRUCTURE)
		return copy_structure(b, a, t, inside, version);
	if (t->type != TTLV_BYTES)
		return wrong(t->tag, "wrong type");
	values_copy(b, t);
	return NULL;
}

static bool
is_type(const struct shape *s, enum ttlv_type type, int version)
{
	if (s->kind == SHAPE_UID && version >= KMIP_2_0)
		return type == TTLV_TEXT || type == TTLV_ENUM || type == TTLV_INTEGER;
	if (s->kind == SHAPE_NUMBER)
		return type == TTLV_INTEGER || type == TTLV_LONG || type == TTLV_INTERVAL ||
		    type == TTLV_DATE_TIME;
	return type == s->type;
}

/* Takes the next field, which is one of this shape. */
static const char *
copy_field(struct buf *b, struct arena *a, struct ttlv_reader *r, const struct shape *s,
    int version)
{
	static const struct shape transparent[] = {
	    {SHAPE_ONE, SHAPE_PLAIN, TAG_KEY, TTLV_BYTES, 0, 0, NULL}, {.how = SHAPE_END}};
	struct kmip_attr at;
	struct ttlv t;

	if (s->kind == SHAPE_ATTRIBUTE)
		return copy_one(b, a, r, s->tag, version);
	if (s->kind == SHAPE_ATTRIBUTES && version < KMIP_2_0)
		return copy_attributes(b, a, r, version);
	if (s->kind == SHAPE_REFERENCE)
		return kmip_attr_take_reference(r, a, version, &at) &&
			kmip_attr_write_reference(b, version, &at)
		    ? NULL
		    : wrong(s->tag, "none");
	ttlv_next(r, &t);
	switch (s->kind) {
	case SHAPE_TEMPLATE:
	case SHAPE_ATTRIBUTES:
		return copy_list(b, a, &t, version);
	case SHAPE_OBJECT:
		return copy_object(b, a, &t, version);
	case SHAPE_KEY_VALUE:
		return copy_either(b, a, &t, shape_key_value, version);
	case SHAPE_KEY_MATERIAL:
		return copy_either(b, a, &t, transparent, version);
	case SHAPE_PLAIN:
	case SHAPE_UID:
	case SHAPE_NUMBER:
	case SHAPE_ATTRIBUTE:
	case SHAPE_REFERENCE:
		break;
	}
	if (!is_type(s, t.type, version))
		return wrong(s->tag, "wrong type");
	if (t.type == TTLV_STRUCTURE)
		return copy_structure(b, a, &t, s->inside, version);
	values_copy(b, &t);
	return NULL;
}

/* Whether the next field is one of this shape. */
static bool
follows(const struct ttlv_reader *r, const struct shape *s, int version)
{
	uint32_t tag = ttlv_peek(r);

	switch (s->kind) {
	case SHAPE_ATTRIBUTE:
		return version < KMIP_2_0 ? tag == TAG_ATTRIBUTE : tag == s->tag;
	case SHAPE_ATTRIBUTES:
		return tag == (version < KMIP_2_0 ? TAG_ATTRIBUTE : TAG_ATTRIBUTES);
	case SHAPE_TEMPLATE:
		return tag == (version < KMIP_2_0 ? TAG_TEMPLATE_ATTRIBUTE : TAG_ATTRIBUTES);
	case SHAPE_REFERENCE:
		return tag == (version < KMIP_2_0 ? TAG_ATTRIBUTE_NAME : TAG_ATTRIBUTE_REFERENCE);
	case SHAPE_OBJECT:
		return tag == TAG_SYMMETRIC_KEY || tag == TAG_SECRET_DATA ||
		    tag == TAG_OPAQUE_OBJECT || tag == TAG_TEMPLATE;
	case SHAPE_PLAIN:
	case SHAPE_UID:
	case SHAPE_NUMBER:
	case SHAPE_KEY_VALUE:
	case SHAPE_KEY_MATERIAL:
		break;
	}
	return tag == s->tag;
}

/* In 1.x a list of attributes may be empty, and so is not there. */
static bool
has_to_be(const struct shape *s, int version)
{
	if (s->kind == SHAPE_ATTRIBUTES && version < KMIP_2_0)
		return false;
	return s->how == SHAPE_ONE || s->how == SHAPE_SOME;
}

const char *
shape_copy(struct buf *b, struct arena *a, struct ttlv_reader *r, const struct shape *fields,
    int version)
{
	const char *e = NULL;

	for (const struct shape *s = fields; e == NULL && s->how != SHAPE_END; s++) {
		bool many = s->how == SHAPE_ANY || s->how == SHAPE_SOME;

		if (!shape_is_in(s, version))
			continue;
		if (has_to_be(s, version) && !follows(r, s, version))
			return wrong(s->tag, "missing");
		for (bool more = true; e == NULL && more && follows(r, s, version); more = many)
			e = copy_field(b, a, r, s, version);
	}
	if (e == NULL && ttlv_peek(r) != 0)
		e = wrong(ttlv_peek(r), "not expected here");
	return e;
}
