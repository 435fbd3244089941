/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes that a client or the server sets: who may, when, and where the value goes. */
#include "objattr.h"

#include <string.h>

#include "base/buf.h"
#include "kmip/message.h"
#include "kmip/ttlv.h"

#include "objattr_field.h"
#include "usagelimits.h"

/* May this client's act touch the attribute at all? */
static enum err
allowed(const struct kmip_attr *at, unsigned flag)
{
	if (at->id == ATTR_UNKNOWN)
		return ERR_ATTRIBUTE_UNKNOWN;
	return kmip_attr_flags(at) & flag ? ERR_OK : ERR_ATTRIBUTE_READ_ONLY;
}

/* Dates that say when a key may be used are only changed before that time has come. */
static enum err
set_date(struct object *o, enum object_date d, int64_t when, enum objattr_by by)
{
	bool set = o->date[d] != NO_DATE;

	if (by != BY_MODIFY && set)
		return ERR_ATTRIBUTE_EXISTS;
	if (by == BY_MODIFY && !set)
		return ERR_NO_ATTRIBUTE;
	if (by == BY_ADD || by == BY_MODIFY) {
		if ((d == DATE_ACTIVATION || d == DATE_PROCESS_START) &&
		    o->state != OBJECT_PRE_ACTIVE)
			return ERR_WRONG_STATE;
		if (o->state != OBJECT_PRE_ACTIVE && o->state != OBJECT_ACTIVE)
			return ERR_WRONG_STATE;
	}
	o->date[d] = when;
	return ERR_OK;
}

static enum err
set_revocation(struct object *o, struct arena *a, const struct ttlv *value)
{
	struct ttlv_reader r;
	struct ttlv t;

	ttlv_enter(&r, value);
	if (!ttlv_need(&r, TAG_REVOCATION_REASON_CODE, TTLV_ENUM, &t))
		return ERR_ATTRIBUTE_VALUE;
	o->revocation_code = ttlv_uint(&t);
	if (!ttlv_opt(&r, TAG_REVOCATION_MESSAGE, TTLV_TEXT, &t))
		return ERR_OK;
	o->revocation_text = arena_text(a, (const char *)t.value, t.len);
	return o->revocation_text != NULL ? ERR_OK : ERR_NO_MEMORY;
}

/* What follows from the object, or is for this server to say, stays as it is here. */
static enum err
import_field(struct object *o, struct arena *a, const struct kmip_attr *at,
    const struct objattr_field *f)
{
	if (f->kind == F_REVOCATION)
		return set_revocation(o, a, &at->value);
	if (f->kind != F_U32)
		return ERR_OK;
	if (*objattr_u32(o, f) != 0 && *objattr_u32(o, f) != ttlv_uint(&at->value))
		return ERR_ATTRIBUTE_VALUE;
	*objattr_u32(o, f) = ttlv_uint(&at->value);
	return ERR_OK;
}

static enum err
set_field(struct object *o, struct arena *a, const struct kmip_attr *at,
    const struct objattr_field *f, enum objattr_by by)
{
	if (f->kind == F_DATE)
		return set_date(o, (enum object_date)f->at, ttlv_long(&at->value), by);
	if (by == BY_IMPORT)
		return import_field(o, a, at, f);
	if (f->kind == F_FORMAT) /* a wish, for what we make */
		return ttlv_uint(&at->value) == KMIP_KEY_FORMAT_TYPE_RAW ? ERR_OK : ERR_KEY_FORMAT;
	if (f->kind != F_U32)
		return ERR_ATTRIBUTE_READ_ONLY;
	if (by == BY_ADD || (by == BY_CREATE && *objattr_u32(o, f) != 0))
		return ERR_ATTRIBUTE_EXISTS;
	*objattr_u32(o, f) = ttlv_uint(&at->value);
	return ERR_OK;
}

/* The index that a new instance gets: one past the highest. */
static uint32_t
next_index(const struct object *o, const char *name, size_t len)
{
	uint32_t next = 0;

	for (size_t i = 0; i < o->attrs_count; i++) {
		const struct object_attr *oa = &o->attrs[i];

		if (strlen(oa->name) == len && memcmp(oa->name, name, len) == 0 &&
		    oa->index >= next)
			next = oa->index + 1;
	}
	return next;
}

static enum err
store_kept(struct object *o, struct arena *a, const struct kmip_attr *at, uint32_t index)
{
	struct buf b;
	enum err e;

	buf_init(&b, ATTR_VALUE_MAX + 16);
	kmip_attr_pack_value(&b, &at->value);
	e = buf_error(&b);
	if (e == ERR_OK)
		e = object_attr_set(o, a, at->name, at->name_len, index, b.data, b.len);
	else if (e == ERR_RESPONSE_TOO_LARGE)
		e = ERR_ATTRIBUTE_VALUE;
	buf_fini(&b);
	return e;
}

enum err
objattr_keep(
    struct object *o, struct arena *a, const char *name, uint32_t index, const struct buf *b)
{
	struct ttlv value;
	struct buf packed;
	enum err e = buf_error(b);

	if (e == ERR_OK)
		e = ttlv_check(b->data, b->len, KMIP_ELEMENTS_MAX, &value);
	if (e != ERR_OK)
		return e;
	buf_init(&packed, b->len + 1);
	kmip_attr_pack_value(&packed, &value);
	e = buf_error(&packed);
	if (e == ERR_OK)
		e = object_attr_set(o, a, name, strlen(name), index, packed.data, packed.len);
	buf_fini(&packed);
	return e;
}

enum err
objattr_set_no_rng(struct object *o, struct arena *a)
{
	struct buf b;
	size_t mark;
	enum err e;

	buf_init(&b, OBJATTR_SCRATCH_MAX);
	mark = ttlv_begin(&b, TAG_ATTRIBUTE_VALUE);
	ttlv_put_enum(&b, TAG_RNG_ALGORITHM, KMIP_RNG_ALGORITHM_UNSPECIFIED);
	ttlv_end(&b, mark);
	e = objattr_keep(o, a, kmip_attr_info(ATTR_RANDOM_NUMBER_GENERATOR)->name, 0, &b);
	buf_fini(&b);
	return e;
}

enum err
objattr_set_flag(struct object *o, struct arena *a, enum kmip_attr_id id, bool value)
{
	struct buf b;
	enum err e;

	buf_init(&b, OBJATTR_SCRATCH_MAX);
	ttlv_put_bool(&b, TAG_ATTRIBUTE_VALUE, value);
	e = objattr_keep(o, a, kmip_attr_info(id)->name, 0, &b);
	buf_fini(&b);
	return e;
}

/* "Always" and "never" begin with the object's first value and end with the first other one. */
static enum err
remember_history(struct object *o, struct arena *a, const struct kmip_attr *at, enum objattr_by by)
{
	bool sensitive = at->id == ATTR_SENSITIVE;
	bool hidden;

	if (!sensitive && at->id != ATTR_EXTRACTABLE)
		return ERR_OK;
	hidden = ttlv_bool(&at->value) == sensitive;
	if (by != BY_CREATE && hidden)
		return ERR_OK;
	return objattr_set_flag(o, a, sensitive ? ATTR_ALWAYS_SENSITIVE : ATTR_NEVER_EXTRACTABLE,
	    hidden);
}

static enum err
set_kept(struct object *o, struct arena *a, const struct kmip_attr *at, enum objattr_by by,
    uint32_t *index)
{
	const struct kmip_attr_info *info = kmip_attr_info(at->id);
	bool multi = info == NULL || (info->flags & ATTR_MULTI) != 0;
	uint32_t next = next_index(o, at->name, at->name_len);
	bool stands = next == 0 && objattr_standing_of(at->id) != NULL;
	const char *name;

	if (at->id == ATTR_ROTATE_AUTOMATIC && ttlv_bool(&at->value))
		return ERR_FEATURE_UNSUPPORTED; /* nobody would do it */
	if (by != BY_MODIFY) {
		if ((!multi && next > 0) || (stands && by == BY_ADD))
			return ERR_ATTRIBUTE_EXISTS;
		*index = next;
		return store_kept(o, a, at, next);
	}
	name = arena_text(a, at->name, at->name_len);
	if (name == NULL)
		return ERR_NO_MEMORY;
	if (object_attr_get(o, name, *index) == NULL && !(stands && *index == 0))
		return next > 0 || stands ? ERR_INDEX : ERR_INVALID_FIELD;
	return store_kept(o, a, at, *index);
}

/* Usage limits start in full, and are the client's to change as long as nothing was taken of them. */
static enum err
set_limits(struct object *o, struct arena *a, const struct kmip_attr *at, enum objattr_by by,
    uint32_t *index)
{
	struct kmip_attr full = *at;
	struct usagelimits l;
	enum err e;

	if (by == BY_MODIFY && usagelimits_of(o, &l) && l.left != l.total)
		return ERR_ATTRIBUTE_READ_ONLY;
	e = usagelimits_begin(a, &at->value, &full.value);
	return e == ERR_OK ? set_kept(o, a, &full, by, index) : e;
}

/* What a template may say of objects to come, and the name that it has itself (1.0, section 2.2.6). */
static bool
may_be_in_template(enum kmip_attr_id id)
{
	static const enum kmip_attr_id ids[] = {ATTR_NAME, ATTR_CRYPTOGRAPHIC_ALGORITHM,
	    ATTR_CRYPTOGRAPHIC_LENGTH, ATTR_CRYPTOGRAPHIC_PARAMETERS,
	    ATTR_CRYPTOGRAPHIC_DOMAIN_PARAMETERS, ATTR_OPERATION_POLICY_NAME,
	    ATTR_CRYPTOGRAPHIC_USAGE_MASK, ATTR_USAGE_LIMITS, ATTR_ACTIVATION_DATE,
	    ATTR_PROCESS_START_DATE, ATTR_PROTECT_STOP_DATE, ATTR_DEACTIVATION_DATE,
	    ATTR_OBJECT_GROUP, ATTR_APPLICATION_SPECIFIC_INFORMATION, ATTR_CONTACT_INFORMATION,
	    ATTR_CUSTOM};

	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
		if (ids[i] == id)
			return true;
	return false;
}

enum err
objattr_set(struct object *o, struct arena *a, const struct kmip_attr *at, enum objattr_by by,
    int version, uint32_t *index)
{
	static const unsigned flag[] = {
	    [BY_CREATE] = ATTR_AT_CREATE, [BY_ADD] = ATTR_ADD, [BY_MODIFY] = ATTR_MODIFY};
	const struct objattr_field *f = objattr_field_of(at->id);
	enum err e = ERR_OK;

	if (by != BY_IMPORT)
		e = allowed(at, flag[by]);
	if (e == ERR_OK)
		e = kmip_attr_check(at, version);
	if (e != ERR_OK)
		return e;
	if (o->type == KMIP_OBJECT_TYPE_TEMPLATE) {
		if (!may_be_in_template(at->id))
			return ERR_INVALID_FIELD;
		if (f != NULL && f->kind == F_DATE)
			f = NULL; /* it is a date of objects to come, on which nothing happens here */
	}
	if (at->id == ATTR_USAGE_LIMITS && by != BY_IMPORT)
		return set_limits(o, a, at, by, index);
	if (f == NULL) {
		e = set_kept(o, a, at, by, index);
		return e == ERR_OK && by != BY_IMPORT ? remember_history(o, a, at, by) : e;
	}
	if (*index != 0 && by == BY_MODIFY)
		return ERR_INDEX;
	*index = 0;
	return set_field(o, a, at, f, by);
}

enum err
objattr_remove(struct object *o, const struct kmip_attr *at, int version)
{
	const struct objattr_field *f = objattr_field_of(at->id);
	enum err e = allowed(at, ATTR_DELETE);
	char name[ATTR_NAME_MAX + 1];
	struct usagelimits l;

	(void)version;
	if (e != ERR_OK)
		return e;
	if (f != NULL)
		return ERR_ATTRIBUTE_READ_ONLY;
	if (at->name_len > ATTR_NAME_MAX)
		return ERR_NO_ATTRIBUTE;
	memcpy(name, at->name, at->name_len);
	name[at->name_len] = '\0';
	if (at->id == ATTR_USAGE_LIMITS && usagelimits_of(o, &l) && l.left != l.total)
		return ERR_ATTRIBUTE_READ_ONLY;
	if (object_attr_remove(o, name, (uint32_t)at->index))
		return ERR_OK;
	return next_index(o, at->name, at->name_len) > 0 ? ERR_INDEX : ERR_NO_ATTRIBUTE;
}
