/* SPDX-License-Identifier: Apache-2.0 */
/* Object fields and kept values as attributes. */
#include "objattr.h"

#include <string.h>

#include <openssl/sha.h>

#include "base/buf.h"
#include "kmip/message.h"
#include "kmip/ttlv.h"

#include "keyblock.h"
#include "usagelimits.h"

/* Which field of struct object an attribute is. */
static const struct field {
	enum kmip_attr_id id;
	enum { F_UID, F_SHORT_UID, F_U32, F_DATE, F_DIGEST, F_REVOCATION, F_LEASE, F_FORMAT,
		F_PROTECTION } kind;
	size_t at;	/* offset of a u32, number of a date */
	unsigned term; /* enum ledger_field */
} fields[] = {
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
static const struct standing {
	enum kmip_attr_id id;
	bool flag;
} standing[] = {
    {ATTR_FRESH, true},
    {ATTR_RANDOM_NUMBER_GENERATOR, false},
    {ATTR_SENSITIVE, false},
    {ATTR_ALWAYS_SENSITIVE, false},
    {ATTR_EXTRACTABLE, true},
    {ATTR_NEVER_EXTRACTABLE, false},
};

enum {
	FIELDS = sizeof(fields) / sizeof(fields[0]),
	STANDING = sizeof(standing) / sizeof(standing[0]),
	SCRATCH_MAX = ATTR_VALUE_MAX + 64
};

static const struct field *
field_of(enum kmip_attr_id id)
{
	for (size_t i = 0; i < FIELDS; i++)
		if (fields[i].id == id)
			return &fields[i];
	return NULL;
}

static const struct standing *
standing_of(enum kmip_attr_id id)
{
	for (size_t i = 0; i < STANDING; i++)
		if (standing[i].id == id)
			return &standing[i];
	return NULL;
}

static uint32_t *
u32_of(const struct object *o, const struct field *f)
{
	return (uint32_t *)(void *)((char *)(uintptr_t)o + f->at);
}

/* --- reading --- */

/* The element that was just written into b, as a view of a copy in the arena. */
static bool
view(struct arena *a, const struct buf *b, struct ttlv *out)
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
put_field(struct buf *b, const struct object *o, const struct field *f, enum ttlv_type type,
    int version)
{
	switch (f->kind) {
	case F_UID:
		ttlv_put_text(b, TAG_ATTRIBUTE_VALUE, o->uid, strlen(o->uid));
		return true;
	case F_U32:
		if (type == TTLV_ENUM)
			ttlv_put_enum(b, TAG_ATTRIBUTE_VALUE, *u32_of(o, f));
		else
			ttlv_put_int(b, TAG_ATTRIBUTE_VALUE, (int32_t)*u32_of(o, f));
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
put_standing(struct buf *b, const struct object *o, const struct standing *st, const char *name)
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
	const struct field *f = field_of(id);

	if (f == NULL || f->kind == F_SHORT_UID || f->kind == F_UID)
		return f != NULL;
	if (f->kind == F_U32)
		return id != ATTR_STATE && *u32_of(o, f) != 0;
	return f->kind == F_DATE;
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
	const struct field *f = field_of(id);
	struct kmip_attr at = {.id = id, .name = info->name, .name_len = strlen(info->name)};
	struct buf b;
	enum err e = ERR_OK;

	if (!kmip_attr_known(info, version) || !applies(o, id))
		return ERR_OK;
	buf_init(&b, SCRATCH_MAX);
	if (f != NULL ? put_field(&b, o, f, info->type, version)
		      : put_standing(&b, o, standing_of(id), info->name)) {
		if (view(a, &b, &at.value))
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
	return standing_of(id)->flag;
}

/* --- writing --- */

/* May this client's act touch the attribute at all? */
static enum err
allowed(const struct kmip_attr *at, unsigned flag)
{
	const struct kmip_attr_info *info = kmip_attr_info(at->id);

	if (at->id == ATTR_UNKNOWN)
		return ERR_ATTRIBUTE_UNKNOWN;
	if (info != NULL && (info->flags & flag) == 0)
		return ERR_ATTRIBUTE_READ_ONLY;
	return ERR_OK;
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
import_field(struct object *o, struct arena *a, const struct kmip_attr *at, const struct field *f)
{
	if (f->kind == F_REVOCATION)
		return set_revocation(o, a, &at->value);
	if (f->kind != F_U32)
		return ERR_OK;
	if (*u32_of(o, f) != 0 && *u32_of(o, f) != ttlv_uint(&at->value))
		return ERR_ATTRIBUTE_VALUE;
	*u32_of(o, f) = ttlv_uint(&at->value);
	return ERR_OK;
}

static enum err
set_field(struct object *o, struct arena *a, const struct kmip_attr *at, const struct field *f,
    enum objattr_by by)
{
	if (f->kind == F_DATE)
		return set_date(o, (enum object_date)f->at, ttlv_long(&at->value), by);
	if (by == BY_IMPORT)
		return import_field(o, a, at, f);
	if (f->kind == F_FORMAT) /* a wish, for what we make */
		return ttlv_uint(&at->value) == KMIP_KEY_FORMAT_TYPE_RAW ? ERR_OK : ERR_KEY_FORMAT;
	if (f->kind != F_U32)
		return ERR_ATTRIBUTE_READ_ONLY;
	if (by == BY_ADD || (by == BY_CREATE && *u32_of(o, f) != 0))
		return ERR_ATTRIBUTE_EXISTS;
	*u32_of(o, f) = ttlv_uint(&at->value);
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

	buf_init(&b, SCRATCH_MAX);
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

	buf_init(&b, SCRATCH_MAX);
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
	bool stands = next == 0 && standing_of(at->id) != NULL;
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

enum err
objattr_set(struct object *o, struct arena *a, const struct kmip_attr *at, enum objattr_by by,
    int version, uint32_t *index)
{
	static const unsigned flag[] = {
	    [BY_CREATE] = ATTR_AT_CREATE, [BY_ADD] = ATTR_ADD, [BY_MODIFY] = ATTR_MODIFY};
	const struct field *f = field_of(at->id);
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
	const struct field *f = field_of(at->id);
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

/* --- finding --- */

static enum err
kept_term(struct arena *a, const struct kmip_attr *at, struct ledger_term *out)
{
	struct buf b;
	enum err e = ERR_NO_MEMORY;

	buf_init(&b, ATTR_VALUE_MAX + 16);
	kmip_attr_pack_value(&b, &at->value);
	out->field = FIELD_ATTR;
	out->name = arena_text(a, at->name, at->name_len);
	if (buf_error(&b) == ERR_OK) {
		out->value = arena_copy(a, b.data, b.len);
		out->value_len = b.len;
	}
	if (out->name != NULL && out->value != NULL)
		e = ERR_OK;
	buf_fini(&b);
	return e;
}

/* Who has no such attribute stored has it all the same, so look for those with the other value. */
enum err
objattr_flag_term(struct arena *a, enum kmip_attr_id id, bool value, struct ledger_term *out)
{
	const struct kmip_attr_info *info = kmip_attr_info(id);
	struct kmip_attr at = {.id = id, .name = info->name, .name_len = strlen(info->name)};
	bool stands = value == standing_of(id)->flag;
	struct buf b;
	enum err e = ERR_NO_MEMORY;

	buf_init(&b, SCRATCH_MAX);
	ttlv_put_bool(&b, TAG_ATTRIBUTE_VALUE, stands ? !value : value);
	*out = (struct ledger_term){.match = stands ? MATCH_NOT : MATCH_EQUAL};
	if (view(a, &b, &at.value))
		e = kept_term(a, &at, out);
	buf_fini(&b);
	return e;
}

static enum err
revocation_term(const struct kmip_attr *at, struct ledger_term *out)
{
	struct ttlv_reader r;
	struct ttlv code;

	ttlv_enter(&r, &at->value);
	if (!ttlv_need(&r, TAG_REVOCATION_REASON_CODE, TTLV_ENUM, &code))
		return ERR_INVALID_FIELD;
	out->number = ttlv_uint(&code);
	return ERR_OK;
}

enum err
objattr_term(struct arena *a, const struct kmip_attr *at, int version, struct ledger_term *out)
{
	const struct field *f = field_of(at->id);
	enum err e;

	*out = (struct ledger_term){.match = MATCH_EQUAL};
	if (at->id == ATTR_UNKNOWN)
		return ERR_INVALID_FIELD;
	e = kmip_attr_check(at, version);
	if (e != ERR_OK)
		return e;
	if (f == NULL && standing_of(at->id) != NULL && at->value.type == TTLV_BOOLEAN)
		return objattr_flag_term(a, at->id, ttlv_bool(&at->value), out);
	if (f == NULL)
		return kept_term(a, at, out);
	if (f->term == FIELD_ATTR)
		return ERR_INVALID_FIELD;
	out->field = f->term;
	if (f->kind == F_REVOCATION)
		return revocation_term(at, out);
	if (f->kind == F_DATE) {
		out->number = ttlv_long(&at->value);
	} else if (f->kind == F_U32) {
		out->number = ttlv_uint(&at->value);
	} else {
		out->name = arena_text(a, (const char *)at->value.value, at->value.len);
		e = out->name != NULL ? ERR_OK : ERR_NO_MEMORY;
	}
	return e;
}
