/* SPDX-License-Identifier: Apache-2.0 */
/* Making fields at random.  Those of a shape that fits are such that the gateway may do it. */
#include "shape.h"

#include <string.h>

#include "../kmip/values.h"
#include "kmip/attr.h"
#include "kmip/names.h"

enum { MASK = 0x3ff, KEY_LEN = 16, OPAQUE_TYPE = INT32_MIN };

static const uint8_t some_bytes[64] = "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789";
/* In the order of shape_object. */
static const uint32_t object_types[] = {KMIP_OBJECT_TYPE_SYMMETRIC_KEY,
    KMIP_OBJECT_TYPE_SECRET_DATA, KMIP_OBJECT_TYPE_OPAQUE_OBJECT, KMIP_OBJECT_TYPE_TEMPLATE};

/* --- attributes --- */

static void
put_attr(struct maker *m, struct buf *b, enum kmip_attr_id id, const char *name,
    const struct ttlv *value)
{
	struct kmip_attr at = {.id = id, .name = name, .name_len = strlen(name), .value = *value};

	kmip_attr_write(b, m->version, &at); /* not one that the version does not have */
}

static void
put_attr_number(struct maker *m, struct buf *b, enum kmip_attr_id id, uint32_t n)
{
	const struct kmip_attr_info *info = kmip_attr_info(id);
	uint8_t wire[4] = {(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
	struct ttlv t = {info->tag, info->type, wire, sizeof(wire)};

	put_attr(m, b, id, info->name, &t);
}

static void
put_vendors(struct maker *m, struct buf *b)
{
	static const char *const names[] = {"x-old", "x-new", "x-third"};
	struct ttlv t = {TAG_ATTRIBUTE_VALUE, TTLV_TEXT, some_bytes, values_below(20)};

	put_attr(m, b, ATTR_CUSTOM,
	    names[m->operation == KMIP_OPERATION_MODIFY_ATTRIBUTE ? 0 : values_below(3)], &t);
}

/* Any that the version has; of one that fits, that a client may give in this operation. */
static void
put_any_attribute(struct maker *m, struct buf *b)
{
	bool later = m->operation == KMIP_OPERATION_ADD_ATTRIBUTE ||
	    m->operation == KMIP_OPERATION_SET_ATTRIBUTE;
	unsigned flag = m->operation == KMIP_OPERATION_MODIFY_ATTRIBUTE ? ATTR_MODIFY
	    : later ? ATTR_ADD : ATTR_AT_CREATE;
	const struct kmip_attr_info *info;
	struct ttlv t;

	if (m->fits && values_below(2) == 0) {
		put_vendors(m, b);
		return;
	}
	do
		info = kmip_attr_info((enum kmip_attr_id)values_below(ATTR_COUNT));
	while (!kmip_attr_known(info, m->version) || (m->fits && (info->flags & flag) == 0));
	t = values_of(m->arena, info, m->version);
	put_attr(m, b, info->id, info->name, &t);
}

/* What the object has to say of itself. */
static void
put_needed(struct maker *m, struct buf *b)
{
	uint32_t op = m->operation, algorithm = KMIP_CRYPTOGRAPHIC_ALGORITHM_AES;
	bool made = op == KMIP_OPERATION_CREATE || op == KMIP_OPERATION_DERIVE_KEY;

	if (!m->fits || op == KMIP_OPERATION_RE_KEY || op == KMIP_OPERATION_LOCATE)
		return;
	if (made && m->object_type == KMIP_OBJECT_TYPE_SYMMETRIC_KEY)
		put_attr_number(m, b, ATTR_CRYPTOGRAPHIC_ALGORITHM, algorithm);
	if (made)
		put_attr_number(m, b, ATTR_CRYPTOGRAPHIC_LENGTH, 8 * KEY_LEN);
	if (m->object_type != KMIP_OBJECT_TYPE_OPAQUE_OBJECT)
		put_attr_number(m, b, ATTR_CRYPTOGRAPHIC_USAGE_MASK, MASK);
}

static void
put_attributes(struct maker *m, struct buf *b)
{
	put_needed(m, b);
	for (uint32_t n = values_below(3); n > 0; n--)
		put_any_attribute(m, b);
}

static void
put_list(struct maker *m, struct buf *b, uint32_t tag)
{
	size_t mark = ttlv_begin(b, tag), name;

	if (m->version < KMIP_2_0 && !m->fits && values_below(8) == 0) {
		name = ttlv_begin(b, TAG_NAME);
		ttlv_put_text(b, TAG_NAME_VALUE, "of a template", 13);
		ttlv_put_enum(b, TAG_NAME_TYPE, KMIP_NAME_TYPE_UNINTERPRETED_TEXT_STRING);
		ttlv_end(b, name);
	}
	put_attributes(m, b);
	ttlv_end(b, mark);
}

static void
put_one(struct maker *m, struct buf *b, uint32_t tag)
{
	size_t mark = 0;

	if (m->version >= KMIP_2_0)
		mark = ttlv_begin(b, tag);
	put_any_attribute(m, b);
	if (m->version >= KMIP_2_0)
		ttlv_end(b, mark);
}

/* The n-th of several: none is asked for twice. */
static void
put_reference(struct maker *m, struct buf *b, uint32_t n)
{
	const struct kmip_attr_info *info;
	struct kmip_attr at = {.id = ATTR_CUSTOM, .name = "x-old", .name_len = 5};

	if (m->operation == KMIP_OPERATION_ADJUST_ATTRIBUTE)
		at.name = "x-sum";
	if (n > 0 || values_below(2) == 0) {
		do
			info = kmip_attr_info(
			    (enum kmip_attr_id)(values_below(ATTR_COUNT / 3) * 3 + n % 3));
		while (!kmip_attr_known(info, m->version));
		at = (struct kmip_attr){.id = info->id, .name = info->name,
		    .name_len = strlen(info->name)};
	}
	kmip_attr_write_reference(b, m->version, &at);
}

/* --- values --- */

static void
put_parameters(struct maker *m, struct buf *b)
{
	switch (m->operation) {
	case KMIP_OPERATION_HASH:
	case KMIP_OPERATION_DERIVE_KEY:
		ttlv_put_enum(b, TAG_HASHING_ALGORITHM, KMIP_HASHING_ALGORITHM_SHA_256);
		break;
	case KMIP_OPERATION_MAC:
	case KMIP_OPERATION_MAC_VERIFY:
		ttlv_put_enum(b, TAG_CRYPTOGRAPHIC_ALGORITHM,
		    KMIP_CRYPTOGRAPHIC_ALGORITHM_HMAC_SHA256);
		break;
	case KMIP_OPERATION_ENCRYPT:
	case KMIP_OPERATION_DECRYPT:
		ttlv_put_enum(b, TAG_BLOCK_CIPHER_MODE, KMIP_BLOCK_CIPHER_MODE_CTR);
		break;
	default:
		ttlv_put_enum(b, TAG_BLOCK_CIPHER_MODE, KMIP_BLOCK_CIPHER_MODE_NISTKEYWRAP);
		break;
	}
}

static uint32_t
object_type(const struct maker *m)
{
	if (m->operation == KMIP_OPERATION_CREATE)
		return object_types[0];
	if (m->operation == KMIP_OPERATION_DERIVE_KEY)
		return object_types[values_below(2)];
	return object_types[values_below(m->version < KMIP_2_0 && !m->fits ? 4 : 3)];
}

/* Lengths that nothing is refused for, and what would take long. */
static uint32_t
number_of(const struct shape *s)
{
	switch (s->tag) {
	case TAG_CRYPTOGRAPHIC_LENGTH:
		return 8 * KEY_LEN;
	case TAG_CRYPTOGRAPHIC_USAGE_MASK:
		return MASK;
	case TAG_PROTECTION_STORAGE_MASK:
		return KMIP_PROTECTION_STORAGE_MASK_SOFTWARE;
	case TAG_STORAGE_STATUS_MASK:
		return 3;
	default:
		return 1 + values_below(8);
	}
}

/* False: any value of the type will do. */
static bool
put_fitting(struct buf *b, const struct shape *s)
{
	switch (s->tag) {
	case TAG_CRYPTOGRAPHIC_ALGORITHM:
		ttlv_put_enum(b, s->tag, KMIP_CRYPTOGRAPHIC_ALGORITHM_AES);
		return true;
	case TAG_WRAPPING_METHOD:
		ttlv_put_enum(b, s->tag, KMIP_WRAPPING_METHOD_ENCRYPT);
		return true;
	case TAG_KEY_FORMAT_TYPE:
		ttlv_put_enum(b, s->tag, KMIP_KEY_FORMAT_TYPE_RAW);
		return true;
	case TAG_ENCODING_OPTION:
		ttlv_put_enum(b, s->tag, KMIP_ENCODING_OPTION_TTLV_ENCODING);
		return true;
	case TAG_ATTRIBUTE_NAME:
		ttlv_put_text(b, s->tag, "State", 5);
		return true;
	case TAG_DATA:
	case TAG_DERIVATION_DATA:
		ttlv_put_bytes(b, s->tag, some_bytes, 2 * KEY_LEN);
		return true;
	case TAG_IV_COUNTER_NONCE:
		ttlv_put_bytes(b, s->tag, some_bytes, KEY_LEN);
		return true;
	default:
		break;
	}
	if (s->type == TTLV_INTEGER)
		ttlv_put_int(b, s->tag, (int32_t)number_of(s));
	else if (s->type == TTLV_LONG)
		ttlv_put_long(b, s->tag, number_of(s));
	return s->type == TTLV_INTEGER || s->type == TTLV_LONG;
}

/* Of a Key Block: what the material that follows is. */
static void
put_format(const struct maker *m, struct buf *b)
{
	static const uint32_t others[] = {KMIP_KEY_FORMAT_TYPE_RAW, KMIP_KEY_FORMAT_TYPE_OPAQUE,
	    KMIP_KEY_FORMAT_TYPE_PKCS_1, KMIP_KEY_FORMAT_TYPE_X_509};

	ttlv_put_enum(b, TAG_KEY_FORMAT_TYPE,
	    m->transparent ? KMIP_KEY_FORMAT_TYPE_TRANSPARENT_SYMMETRIC_KEY
			   : others[m->fits ? 0 : values_below(4)]);
}

static void
put_value(struct maker *m, struct buf *b, const struct shape *s)
{
	if (s->tag == TAG_OBJECT_TYPE) {
		m->object_type = object_type(m);
		ttlv_put_enum(b, s->tag, m->object_type);
	} else if (s->tag == TAG_KEY_FORMAT_TYPE && s->how == SHAPE_ONE) {
		put_format(m, b);
	} else if (s->tag == TAG_UNIQUE_IDENTIFIER && m->in_key_information) {
		ttlv_put_text(b, s->tag, m->kek, strlen(m->kek));
	} else if (s->tag == TAG_OPAQUE_DATA_TYPE) {
		ttlv_put_enum(b, s->tag, (uint32_t)OPAQUE_TYPE); /* there are extensions only */
	} else if (s->tag == TAG_ITERATION_COUNT) {
		ttlv_put_int(b, s->tag, 1 + (int32_t)values_below(3));
	} else if (!m->fits || !put_fitting(b, s)) {
		values_put(b, s->tag, s->type,
		    s->tag == TAG_MASK_GENERATOR_HASHING_ALGORITHM ? TAG_HASHING_ALGORITHM : 0,
		    m->version);
	}
}

static void
put_uid(struct maker *m, struct buf *b, const struct shape *s)
{
	uint32_t which = values_below(8);

	if (m->version >= KMIP_2_0 && !m->fits && which == 0)
		ttlv_put_enum(b, s->tag, KMIP_UNIQUE_IDENTIFIER_ID_PLACEHOLDER);
	else if (m->version >= KMIP_2_0 && !m->fits && which == 1)
		ttlv_put_int(b, s->tag, -1);
	else
		ttlv_put_text(b, s->tag, m->uid, strlen(m->uid));
}

static void
put_number(struct buf *b, const struct shape *s)
{
	static const enum ttlv_type types[] = {
	    TTLV_INTEGER, TTLV_LONG, TTLV_INTERVAL, TTLV_DATE_TIME};

	values_put(b, s->tag, types[values_below(4)], 0, 0);
}

/* --- structures --- */

static void
put_material(struct maker *m, struct buf *b)
{
	size_t mark;

	if (!m->transparent) {
		ttlv_put_bytes(b, TAG_KEY_MATERIAL, some_bytes, KEY_LEN);
		return;
	}
	mark = ttlv_begin(b, TAG_KEY_MATERIAL);
	ttlv_put_bytes(b, TAG_KEY, some_bytes, KEY_LEN);
	ttlv_end(b, mark);
}

static void
put_structure(struct maker *m, struct buf *b, uint32_t tag, const struct shape *inside)
{
	size_t mark = ttlv_begin(b, tag);

	if (tag == TAG_KEY_BLOCK) {
		m->wrapped = values_below(4) == 0;
		m->transparent = !m->wrapped && m->object_type == KMIP_OBJECT_TYPE_SYMMETRIC_KEY &&
		    values_below(3) == 0;
	}
	m->in_key_information = tag == TAG_ENCRYPTION_KEY_INFORMATION ||
	    tag == TAG_MAC_SIGNATURE_KEY_INFORMATION;
	if (tag == TAG_CRYPTOGRAPHIC_PARAMETERS && m->fits)
		put_parameters(m, b);
	else
		shape_make(m, b, inside);
	m->in_key_information = false;
	ttlv_end(b, mark);
}

static void
put_object(struct maker *m, struct buf *b)
{
	for (size_t i = 0; i < sizeof(object_types) / sizeof(object_types[0]); i++)
		if (object_types[i] == m->object_type)
			put_structure(m, b, shape_object[i].tag, shape_object[i].inside);
}

static void
put_field(struct maker *m, struct buf *b, const struct shape *s, uint32_t n)
{
	switch (s->kind) {
	case SHAPE_UID:
		put_uid(m, b, s);
		break;
	case SHAPE_ATTRIBUTE:
		put_one(m, b, s->tag);
		break;
	case SHAPE_TEMPLATE:
		put_list(m, b, m->version < KMIP_2_0 ? TAG_TEMPLATE_ATTRIBUTE : TAG_ATTRIBUTES);
		break;
	case SHAPE_ATTRIBUTES:
		if (m->version < KMIP_2_0)
			put_attributes(m, b);
		else
			put_list(m, b, TAG_ATTRIBUTES);
		break;
	case SHAPE_REFERENCE:
		put_reference(m, b, n);
		break;
	case SHAPE_OBJECT:
		put_object(m, b);
		break;
	case SHAPE_KEY_VALUE:
		if (m->wrapped)
			ttlv_put_bytes(b, s->tag, some_bytes, 3 * KEY_LEN);
		else
			put_structure(m, b, s->tag, shape_key_value);
		break;
	case SHAPE_KEY_MATERIAL:
		put_material(m, b);
		break;
	case SHAPE_NUMBER:
		put_number(b, s);
		break;
	case SHAPE_PLAIN:
		if (s->type == TTLV_STRUCTURE)
			put_structure(m, b, s->tag, s->inside);
		else
			put_value(m, b, s);
		break;
	}
}

/* Of what may be missing: what does not go with the other fields, or is refused in any case. */
static bool
stays_out(const struct maker *m, const struct shape *s)
{
	if (s->tag == TAG_KEY_WRAPPING_DATA)
		return !m->wrapped;
	if (!m->fits)
		return false;
	switch (s->tag) {
	case TAG_KEY_COMPRESSION_TYPE:
	case TAG_MAC_SIGNATURE_KEY_INFORMATION:
	case TAG_MAC_SIGNATURE:
	case TAG_CORRELATION_VALUE:
	case TAG_AUTHENTICATED_ENCRYPTION_TAG:
	case TAG_AUTHENTICATED_ENCRYPTION_ADDITIONAL_DATA:
	case TAG_CURRENT_ATTRIBUTE:
		return true;
	default:
		return false;
	}
}

/* ... and what goes with others, or is needed after all. */
static bool
comes_in(const struct maker *m, const struct shape *s)
{
	if (s->tag == TAG_KEY_WRAPPING_DATA)
		return m->wrapped;
	if (!m->fits)
		return false;
	if (s->tag == TAG_IV_COUNTER_NONCE)
		return m->operation != KMIP_OPERATION_GET;
	return s->kind == SHAPE_KEY_VALUE || s->kind == SHAPE_UID || s->kind == SHAPE_NUMBER ||
	    s->tag == TAG_ENCRYPTION_KEY_INFORMATION || s->tag == TAG_CRYPTOGRAPHIC_PARAMETERS;
}

void
shape_make(struct maker *m, struct buf *b, const struct shape *fields)
{
	for (const struct shape *s = fields; s->how != SHAPE_END; s++) {
		uint32_t count = s->how == SHAPE_ONE ? 1
		    : s->how == SHAPE_MAYBE ? values_below(2)
		    : s->how == SHAPE_SOME ? 1 + values_below(3) : values_below(3);

		if (!shape_is_in(s, m->version) || (s->how != SHAPE_ONE && stays_out(m, s)))
			continue;
		if (s->how == SHAPE_MAYBE && comes_in(m, s))
			count = 1;
		for (uint32_t n = 0; n < count; n++)
			put_field(m, b, s, n);
	}
}
