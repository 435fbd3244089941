/* SPDX-License-Identifier: Apache-2.0 */
/* Object fields and kept values as attributes: which is which, and what an object has. */
#include "objattr.h"

#include <string.h>

#include <openssl/sha.h>

#include "base/buf.h"
#include "kmip/message.h"
#include "kmip/ttlv.h"

#include "keyblock.h"
#include "objattr_field.h"

static const struct objattr_field fields[] = {
    {ATTR_UNIQUE_IDENTIFIER, F_UID, 0, FIELD_UID},
    {ATTR_SHORT_UNIQUE_IDENTIFIER, F_SHORT_UID, 0, FIELD_ATTR},
    {ATTR_OBJECT_TYPE, F_U32, offsetof(struct object, type), FIELD_TYPE},
    {ATTR_CRYPTOGRAPHIC_ALGORITHM, F_U32, offsetof(struct object, algorithm), FIELD_ALGORITHM},
    {ATTR_CRYPTOGRAPHIC_LENGTH, F_U32, offsetof(struct object, length), FIELD_LENGTH},
    {ATTR_DIGEST, F_DIGEST, 0, FIELD_ATTR},
    {ATTR_CRYPTOGRAPHIC_USAGE_MASK, F_U32, offsetof(struct object, usage_mask), FIELD_USAGE_MASK},
    {ATTR_LEASE_TIME, F_LEASE, 0, FIELD_ATTR},
    {ATTR_STATE, F_U32, offsetof(struct object, state), FIELD_STATE},
    {ATTR_INITIAL_DATE, F_DATE, DATE_INITIAL, FIELD_DATE + DATE_INITIAL},
    {ATTR_ACTIVATION_DATE, F_DATE, DATE_ACTIVATION, FIELD_DATE + DATE_ACTIVATION},
    {ATTR_PROCESS_START_DATE, F_DATE, DATE_PROCESS_START, FIELD_DATE + DATE_PROCESS_START},
    {ATTR_PROTECT_STOP_DATE, F_DATE, DATE_PROTECT_STOP, FIELD_DATE + DATE_PROTECT_STOP},
    {ATTR_DEACTIVATION_DATE, F_DATE, DATE_DEACTIVATION, FIELD_DATE + DATE_DEACTIVATION},
    {ATTR_DESTROY_DATE, F_DATE, DATE_DESTROY, FIELD_DATE + DATE_DESTROY},
    {ATTR_COMPROMISE_OCCURRENCE_DATE, F_DATE, DATE_COMPROMISE_OCCURRENCE,
	FIELD_DATE + DATE_COMPROMISE_OCCURRENCE},
    {ATTR_COMPROMISE_DATE, F_DATE, DATE_COMPROMISE, FIELD_DATE + DATE_COMPROMISE},
    {ATTR_REVOCATION_REASON, F_REVOCATION, 0, FIELD_REVOCATION},
    {ATTR_LAST_CHANGE_DATE, F_DATE, DATE_LAST_CHANGE, FIELD_DATE + DATE_LAST_CHANGE},
    {ATTR_ORIGINAL_CREATION_DATE, F_DATE, DATE_ORIGINAL_CREATION,
	FIELD_DATE + DATE_ORIGINAL_CREATION},
    {ATTR_ARCHIVE_DATE, F_DATE, DATE_ARCHIVE, FIELD_DATE + DATE_ARCHIVE},
    {ATTR_KEY_FORMAT_TYPE, F_FORMAT, 0, FIELD_ATTR},
    {ATTR_PROTECTION_STORAGE_MASK, F_PROTECTION, 0, FIELD_ATTR},
};

/*
 * Attributes that every object has: as they were kept, or with these values.  The value of Random
 * Number Generator is objattr_put_rng()'s.
 */
static const struct objattr_standing standing[] = {
    {ATTR_FRESH, true},
    {ATTR_RANDOM_NUMBER_GENERATOR, false},
    {ATTR_SENSITIVE, false},
    {ATTR_ALWAYS_SENSITIVE, false},
    {ATTR_EXTRACTABLE, true},
    {ATTR_NEVER_EXTRACTABLE, false},
};

enum {
	FIELDS = sizeof(fields) / sizeof(fields[0]),
	STANDING = sizeof(standing) / sizeof(standing[0])
};

const struct objattr_field *
objattr_field_of(enum kmip_attr_id id)
{
	for (size_t i = 0; i < FIELDS; i++)
		if (fields[i].id == id)
			return &fields[i];
	return NULL;
}

const struct objattr_standing *
objattr_standing_of(enum kmip_attr_id id)
{
	for (size_t i = 0; i < STANDING; i++)
		if (standing[i].id == id)
			return &standing[i];
	return NULL;
}

uint32_t *
objattr_u32(const struct object *o, const struct objattr_field *f)
{
	return (uint32_t *)(void *)((char *)(uintptr_t)o + f->at);
}

bool
objattr_view(struct arena *a, const struct buf *b, struct ttlv *out)
{
	uint8_t *copy = buf_error(b) == ERR_OK ? arena_copy(a, b->data, b->len) : NULL;

	return copy != NULL && ttlv_check(copy, b->len, KMIP_ELEMENTS_MAX, out) == ERR_OK;
}

static void
put_digest(struct buf *b, const struct object *o, int version)
{
	size_t mark = ttlv_begin(b, TAG_ATTRIBUTE_VALUE);
	struct keyform form;

	keyform_of(o, &form);
	ttlv_put_enum(b, TAG_HASHING_ALGORITHM, KMIP_HASHING_ALGORITHM_SHA_256);
	ttlv_put_bytes(b, TAG_DIGEST_VALUE, o->digest, sizeof(o->digest));
	if (version >= KMIP_1_1)
		ttlv_put_enum(b, TAG_KEY_FORMAT_TYPE, form.format);
	ttlv_end(b, mark);
}

static void
put_revocation(struct buf *b, const struct object *o)
{
	size_t mark = ttlv_begin(b, TAG_ATTRIBUTE_VALUE);

	ttlv_put_enum(b, TAG_REVOCATION_REASON_CODE, o->revocation_code);
	if (o->revocation_text != NULL && o->revocation_text[0] != '\0')
		ttlv_put_text(b, TAG_REVOCATION_MESSAGE, o->revocation_text,
		    strlen(o->revocation_text));
	ttlv_end(b, mark);
}

static void
put_format(struct buf *b, const struct object *o)
{
	struct keyform form;

	keyform_of(o, &form);
	ttlv_put_enum(b, TAG_ATTRIBUTE_VALUE, form.format);
}

/* As the specification would have it (2.1, 4.56). */
static void
put_short_uid(struct buf *b, const struct object *o)
{
	uint8_t hash[SHA256_DIGEST_LENGTH];

	if (SHA256((const uint8_t *)o->uid, strlen(o->uid), hash) != NULL)
		ttlv_put_bytes(b, TAG_ATTRIBUTE_VALUE, hash, sizeof(hash));
	else if (b->error == ERR_OK)
		b->error = ERR_CRYPTO;
}

/* Writes the field's value; false when the object has none. */
static bool
put_field(struct buf *b, const struct object *o, const struct objattr_field *f, enum ttlv_type type,
    int version)
{
	switch (f->kind) {
	case F_UID:
		ttlv_put_text(b, TAG_ATTRIBUTE_VALUE, o->uid, strlen(o->uid));
		return true;
	case F_U32:
		if (type == TTLV_ENUM)
			ttlv_put_enum(b, TAG_ATTRIBUTE_VALUE, *objattr_u32(o, f));
		else
			ttlv_put_int(b, TAG_ATTRIBUTE_VALUE, (int32_t)*objattr_u32(o, f));
		return true;
	case F_DATE:
		if (o->date[f->at] == NO_DATE)
			return false;
		ttlv_put_date_time(b, TAG_ATTRIBUTE_VALUE, o->date[f->at]);
		return true;
	case F_DIGEST:
		put_digest(b, o, version);
		return true;
	case F_REVOCATION:
		if (o->revocation_code == 0)
			return false;
		put_revocation(b, o);
		return true;
	case F_LEASE:
		ttlv_put_interval(b, TAG_ATTRIBUTE_VALUE, OBJATTR_LEASE_S);
		return true;
	case F_SHORT_UID:
		put_short_uid(b, o);
		return true;
	case F_FORMAT:
		put_format(b, o);
		return true;
	case F_PROTECTION:
		ttlv_put_int(b, TAG_ATTRIBUTE_VALUE, (int32_t)OBJATTR_PROTECTION);
		return true;
	}
	return false;
}

void
objattr_put_rng(struct buf *b, uint32_t tag)
{
	size_t mark = ttlv_begin(b, tag);

	ttlv_put_enum(b, TAG_RNG_ALGORITHM, KMIP_RNG_ALGORITHM_DRBG);
	ttlv_put_enum(b, TAG_CRYPTOGRAPHIC_ALGORITHM, KMIP_CRYPTOGRAPHIC_ALGORITHM_AES);
	ttlv_put_int(b, TAG_CRYPTOGRAPHIC_LENGTH, 256);
	ttlv_put_enum(b, TAG_DRBG_ALGORITHM, KMIP_DRBG_ALGORITHM_CTR);
	ttlv_end(b, mark);
}

/* Writes the value that stands as long as none is kept; false when one is. */
static bool
put_standing(struct buf *b, const struct object *o, const struct objattr_standing *st,
    const char *name)
{
	if (object_attr_get(o, name, 0) != NULL)
		return false;
	if (st->id == ATTR_RANDOM_NUMBER_GENERATOR)
		objattr_put_rng(b, TAG_ATTRIBUTE_VALUE);
	else
		ttlv_put_bool(b, TAG_ATTRIBUTE_VALUE, st->flag);
	return true;
}

/* Of itself a template has these; the others say what is to become of objects. */
static bool
applies_to_template(const struct object *o, enum kmip_attr_id id)
{
	const struct objattr_field *f = objattr_field_of(id);

	if (f == NULL || f->kind == F_SHORT_UID || f->kind == F_UID)
		return f != NULL;
	if (f->kind == F_U32)
		return id != ATTR_STATE && *objattr_u32(o, f) != 0;
	return f->kind == F_DATE;
}

/* Not all attributes are of all types of objects. */
static bool
applies(const struct object *o, enum kmip_attr_id id)
{
	if (o->type == KMIP_OBJECT_TYPE_TEMPLATE)
		return applies_to_template(o, id);
	if (id == ATTR_CRYPTOGRAPHIC_USAGE_MASK)
		return o->usage_mask != 0; /* what is no key need not have one */
	if (o->type == KMIP_OBJECT_TYPE_SYMMETRIC_KEY)
		return true;
	if (id == ATTR_CRYPTOGRAPHIC_ALGORITHM || id == ATTR_CRYPTOGRAPHIC_LENGTH)
		return false;
	return o->type != KMIP_OBJECT_TYPE_OPAQUE_OBJECT ||
	    (id != ATTR_STATE && id != ATTR_KEY_FORMAT_TYPE);
}

static enum err
add_own(struct arena *a, const struct object *o, enum kmip_attr_id id, int version,
    struct kmip_attr *out, size_t *count)
{
	const struct kmip_attr_info *info = kmip_attr_info(id);
	const struct objattr_field *f = objattr_field_of(id);
	struct kmip_attr at = {.id = id, .name = info->name, .name_len = strlen(info->name)};
	struct buf b;
	enum err e = ERR_OK;

	if (!kmip_attr_known(info, version) || !applies(o, id))
		return ERR_OK;
	buf_init(&b, OBJATTR_SCRATCH_MAX);
	if (f != NULL ? put_field(&b, o, f, info->type, version)
		      : put_standing(&b, o, objattr_standing_of(id), info->name)) {
		if (objattr_view(a, &b, &at.value))
			out[(*count)++] = at;
		else
			e = ERR_NO_MEMORY;
	}
	buf_fini(&b);
	return e;
}

static bool
add_kept(const struct object_attr *oa, int version, struct kmip_attr *out)
{
	*out = (struct kmip_attr){.name = oa->name, .name_len = strlen(oa->name),
	    .has_index = oa->index > 0, .index = (int32_t)oa->index};
	out->id = kmip_attr_find(out->name, out->name_len, version);
	return out->id != ATTR_UNKNOWN &&
	    kmip_attr_unpack_value(oa->value, oa->value_len, &out->value);
}

enum err
objattr_list(struct arena *a, const struct object *o, int version, struct kmip_attr **out,
    size_t *count)
{
	struct kmip_attr *list = arena_array(a, FIELDS + STANDING + o->attrs_count, sizeof(*list));
	size_t n = 0;
	enum err e = ERR_OK;

	if (list == NULL)
		return ERR_NO_MEMORY;
	for (size_t i = 0; e == ERR_OK && i < FIELDS; i++)
		e = add_own(a, o, fields[i].id, version, list, &n);
	for (size_t i = 0; e == ERR_OK && i < STANDING; i++)
		e = add_own(a, o, standing[i].id, version, list, &n);
	if (e != ERR_OK)
		return e;
	for (size_t i = 0; i < o->attrs_count; i++)
		if (add_kept(&o->attrs[i], version, &list[n]))
			n++;
	*out = list;
	*count = n;
	return ERR_OK;
}

bool
objattr_flag(const struct object *o, enum kmip_attr_id id)
{
	const struct object_attr *oa = object_attr_get(o, kmip_attr_info(id)->name, 0);
	struct ttlv value;

	if (oa != NULL && kmip_attr_unpack_value(oa->value, oa->value_len, &value))
		return ttlv_bool(&value);
	return objattr_standing_of(id)->flag;
}
