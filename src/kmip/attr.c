/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes: the table of their rules, checks of values, the stored form. */
#include "kmip/attr.h"

#include <string.h>

#include "base/pack.h"
#include "kmip/names.h"

#include "attr_wire.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* No attribute of the specification comes near; a custom structure is flat anyhow. */
enum { ELEMENTS_MAX = 256 };

static const struct kmip_attr_info infos[] = {
#define ATTR(id, text, tag, type, since, flags) {ATTR_##id, text, tag, type, since, flags},
#include "kmip/attr.def"
#undef ATTR
};

static const struct kmip_field name_fields[] = {
	{TAG_NAME_VALUE, TTLV_TEXT, KMIP_1_0, true, 0},
	{TAG_NAME_TYPE, TTLV_ENUM, KMIP_1_0, true, 0},
};

static const struct kmip_field parameters_fields[] = {
	{TAG_BLOCK_CIPHER_MODE, TTLV_ENUM, KMIP_1_0, false, 0},
	{TAG_PADDING_METHOD, TTLV_ENUM, KMIP_1_0, false, 0},
	{TAG_HASHING_ALGORITHM, TTLV_ENUM, KMIP_1_0, false, 0},
	{TAG_KEY_ROLE_TYPE, TTLV_ENUM, KMIP_1_0, false, 0},
	{TAG_DIGITAL_SIGNATURE_ALGORITHM, TTLV_ENUM, KMIP_1_2, false, 0},
	{TAG_CRYPTOGRAPHIC_ALGORITHM, TTLV_ENUM, KMIP_1_2, false, 0},
	{TAG_RANDOM_IV, TTLV_BOOLEAN, KMIP_1_2, false, 0},
	{TAG_IV_LENGTH, TTLV_INTEGER, KMIP_1_2, false, 0},
	{TAG_TAG_LENGTH, TTLV_INTEGER, KMIP_1_2, false, 0},
	{TAG_FIXED_FIELD_LENGTH, TTLV_INTEGER, KMIP_1_2, false, 0},
	{TAG_INVOCATION_FIELD_LENGTH, TTLV_INTEGER, KMIP_1_2, false, 0},
	{TAG_COUNTER_LENGTH, TTLV_INTEGER, KMIP_1_2, false, 0},
	{TAG_INITIAL_COUNTER_VALUE, TTLV_INTEGER, KMIP_1_2, false, 0},
	{TAG_SALT_LENGTH, TTLV_INTEGER, KMIP_1_4, false, 0},
	{TAG_MASK_GENERATOR, TTLV_ENUM, KMIP_1_4, false, 0},
	{TAG_MASK_GENERATOR_HASHING_ALGORITHM, TTLV_ENUM, KMIP_1_4, false, TAG_HASHING_ALGORITHM},
	{TAG_P_SOURCE, TTLV_BYTES, KMIP_1_4, false, 0},
	{TAG_TRAILER_FIELD, TTLV_INTEGER, KMIP_1_4, false, 0},
};

static const struct kmip_field domain_fields[] = {
	{TAG_QLENGTH, TTLV_INTEGER, KMIP_1_0, false, 0},
	{TAG_RECOMMENDED_CURVE, TTLV_ENUM, KMIP_1_0, false, 0},
};

static const struct kmip_field digest_fields[] = {
	{TAG_HASHING_ALGORITHM, TTLV_ENUM, KMIP_1_0, true, 0},
	{TAG_DIGEST_VALUE, TTLV_BYTES, KMIP_1_0, false, 0},
	{TAG_KEY_FORMAT_TYPE, TTLV_ENUM, KMIP_1_1, false, 0},
};

static const struct kmip_field limits_fields[] = {
	{TAG_USAGE_LIMITS_TOTAL, TTLV_LONG, KMIP_1_0, true, 0},
	{TAG_USAGE_LIMITS_COUNT, TTLV_LONG, KMIP_1_0, false, 0},
	{TAG_USAGE_LIMITS_UNIT, TTLV_ENUM, KMIP_1_0, true, 0},
};

static const struct kmip_field revocation_fields[] = {
	{TAG_REVOCATION_REASON_CODE, TTLV_ENUM, KMIP_1_0, true, 0},
	{TAG_REVOCATION_MESSAGE, TTLV_TEXT, KMIP_1_0, false, 0},
};

static const struct kmip_field link_fields[] = {
	{TAG_LINK_TYPE, TTLV_ENUM, KMIP_1_0, true, 0},
	{TAG_LINKED_OBJECT_IDENTIFIER, TTLV_TEXT, KMIP_1_0, true, 0},
};

static const struct kmip_field application_fields[] = {
	{TAG_APPLICATION_NAMESPACE, TTLV_TEXT, KMIP_1_0, true, 0},
	{TAG_APPLICATION_DATA, TTLV_TEXT, KMIP_1_0, true, 0},
};

static const struct kmip_field alternative_fields[] = {
	{TAG_ALTERNATIVE_NAME_VALUE, TTLV_TEXT, KMIP_1_2, true, 0},
	{TAG_ALTERNATIVE_NAME_TYPE, TTLV_ENUM, KMIP_1_2, true, 0},
};

static const struct kmip_field location_fields[] = {
	{TAG_KEY_VALUE_LOCATION_VALUE, TTLV_TEXT, KMIP_1_2, true, 0},
	{TAG_KEY_VALUE_LOCATION_TYPE, TTLV_ENUM, KMIP_1_2, true, 0},
};

static const struct kmip_field generator_fields[] = {
	{TAG_RNG_ALGORITHM, TTLV_ENUM, KMIP_1_3, true, 0},
	{TAG_CRYPTOGRAPHIC_ALGORITHM, TTLV_ENUM, KMIP_1_3, false, 0},
	{TAG_CRYPTOGRAPHIC_LENGTH, TTLV_INTEGER, KMIP_1_3, false, 0},
	{TAG_HASHING_ALGORITHM, TTLV_ENUM, KMIP_1_3, false, 0},
	{TAG_DRBG_ALGORITHM, TTLV_ENUM, KMIP_1_3, false, 0},
	{TAG_RECOMMENDED_CURVE, TTLV_ENUM, KMIP_1_3, false, 0},
	{TAG_FIPS186_VARIATION, TTLV_ENUM, KMIP_1_3, false, 0},
	{TAG_PREDICTION_RESISTANCE, TTLV_BOOLEAN, KMIP_1_3, false, 0},
};

static const struct kmip_field rotate_fields[] = {
	{TAG_ROTATE_NAME_VALUE, TTLV_TEXT, KMIP_2_1, true, 0},
	{TAG_ROTATE_NAME_TYPE, TTLV_ENUM, KMIP_2_1, true, 0},
};

static const struct structure {
	enum kmip_attr_id id;
	const struct kmip_field *fields;
	size_t count;
} structures[] = {
#define STRUCTURE(id, fields) {ATTR_##id, fields, COUNT(fields)}
	STRUCTURE(NAME, name_fields),
	STRUCTURE(CRYPTOGRAPHIC_PARAMETERS, parameters_fields),
	STRUCTURE(CRYPTOGRAPHIC_DOMAIN_PARAMETERS, domain_fields),
	STRUCTURE(DIGEST, digest_fields),
	STRUCTURE(USAGE_LIMITS, limits_fields),
	STRUCTURE(REVOCATION_REASON, revocation_fields),
	STRUCTURE(LINK, link_fields),
	STRUCTURE(APPLICATION_SPECIFIC_INFORMATION, application_fields),
	STRUCTURE(ALTERNATIVE_NAME, alternative_fields),
	STRUCTURE(KEY_VALUE_LOCATION, location_fields),
	STRUCTURE(RANDOM_NUMBER_GENERATOR, generator_fields),
	STRUCTURE(ROTATE_NAME, rotate_fields),
#undef STRUCTURE
};

const struct kmip_attr_info *
kmip_attr_info(enum kmip_attr_id id)
{
	return id < ATTR_COUNT ? &infos[id] : NULL;
}

static bool
begins(const char *name, size_t len, const char *prefix)
{
	return len >= strlen(prefix) && memcmp(name, prefix, strlen(prefix)) == 0;
}

bool
kmip_attr_known(const struct kmip_attr_info *info, int version)
{
	return info->since <= version && (version < KMIP_2_0 || (info->flags & ATTR_ONLY_1) == 0);
}

enum kmip_attr_id
kmip_attr_find(const char *name, size_t len, int version)
{
	if (begins(name, len, "x-") || begins(name, len, "y-"))
		return ATTR_CUSTOM; /* no other begins so */
	for (size_t i = 0; i < COUNT(infos); i++) {
		if (strlen(infos[i].name) == len && memcmp(infos[i].name, name, len) == 0)
			return kmip_attr_known(&infos[i], version) ? infos[i].id : ATTR_UNKNOWN;
	}
	return version >= KMIP_2_0 && kmip_vendor_len(name, len) > 0 ? ATTR_CUSTOM : ATTR_UNKNOWN;
}

enum kmip_attr_id
kmip_attr_find_tag(uint32_t tag, int version)
{
	for (size_t i = 0; i < COUNT(infos); i++) {
		if (infos[i].tag == tag)
			return kmip_attr_known(&infos[i], version) ? infos[i].id : ATTR_UNKNOWN;
	}
	return ATTR_UNKNOWN;
}

bool
kmip_attr_same(const struct kmip_attr *a, const struct kmip_attr *b)
{
	return a->name != NULL && b->name != NULL && a->name_len == b->name_len &&
	    memcmp(a->name, b->name, a->name_len) == 0;
}

unsigned
kmip_attr_flags(const struct kmip_attr *a)
{
	if (a->id < ATTR_COUNT)
		return infos[a->id].flags;
	if (a->id != ATTR_CUSTOM)
		return 0;
	if (begins(a->name, a->name_len, "y-"))
		return ATTR_MULTI | ATTR_KEPT;
	return ATTR_MULTI | ATTR_AT_CREATE | ATTR_ADD | ATTR_MODIFY | ATTR_DELETE | ATTR_KEPT;
}

static bool
enum_known(uint32_t tag, const struct ttlv *t, int version)
{
	enum kmip_set set;

	return kmip_set_of_tag(tag, &set) && kmip_value_known(set, ttlv_uint(t), version);
}

/*
 * Ranges that follow from the type: nothing here counts backwards from zero, and dates are ones
 * that can be written down.
 */
static bool
range_right(const struct ttlv *t)
{
	switch (t->type) {
	case TTLV_INTEGER:
		return ttlv_int(t) >= 0;
	case TTLV_LONG:
		return ttlv_long(t) >= 0;
	case TTLV_DATE_TIME:
		return kmip_date_right(ttlv_long(t));
	case TTLV_STRUCTURE:
	case TTLV_BIG_INTEGER:
	case TTLV_ENUM:
	case TTLV_BOOLEAN:
	case TTLV_TEXT:
	case TTLV_BYTES:
	case TTLV_INTERVAL:
	case TTLV_DATE_TIME_EXTENDED:
		break;
	}
	return true;
}

const struct kmip_field *
kmip_attr_fields(enum kmip_attr_id id, size_t *count)
{
	for (size_t i = 0; i < COUNT(structures); i++) {
		if (structures[i].id == id) {
			*count = structures[i].count;
			return structures[i].fields;
		}
	}
	return NULL;
}

static bool
fields_right(const struct kmip_attr_info *info, const struct ttlv *value, int version)
{
	size_t count = 0;
	const struct kmip_field *fields = kmip_attr_fields(info->id, &count);
	struct ttlv_reader r;
	struct ttlv t;

	if (fields == NULL)
		return false;
	ttlv_enter(&r, value);
	for (const struct kmip_field *f = fields; f < fields + count; f++) {
		if (f->since > version)
			continue;
		if (!ttlv_opt(&r, f->tag, f->type, &t)) {
			if (f->required)
				return false;
			continue;
		}
		if (!range_right(&t))
			return false;
		if (f->type == TTLV_ENUM &&
		    !enum_known(f->values != 0 ? f->values : f->tag, &t, version))
			return false;
	}
	return ttlv_finish(&r) == ERR_OK;
}

static bool
value_right(const struct kmip_attr_info *info, const struct ttlv *value, int version)
{
	if (value->type != info->type)
		return false;
	if (info->id == ATTR_CRYPTOGRAPHIC_LENGTH)
		return ttlv_int(value) > 0;
	if (info->id == ATTR_CRYPTOGRAPHIC_USAGE_MASK)
		return true; /* the top bits are for extensions: any is one the client may know */
	if (info->type == TTLV_ENUM)
		return enum_known(info->tag, value, version);
	if (info->type != TTLV_STRUCTURE)
		return range_right(value);
	return fields_right(info, value, version);
}

bool
kmip_attr_lacks_application_data(const struct kmip_attr *a, struct ttlv *name)
{
	struct ttlv_reader r;

	if (a->id != ATTR_APPLICATION_SPECIFIC_INFORMATION || a->value.type != TTLV_STRUCTURE)
		return false;
	ttlv_enter(&r, &a->value);
	return ttlv_need(&r, TAG_APPLICATION_NAMESPACE, TTLV_TEXT, name) &&
	    ttlv_finish(&r) == ERR_OK;
}

enum err
kmip_attr_check(const struct kmip_attr *a, int version)
{
	const struct kmip_attr_info *info = kmip_attr_info(a->id);
	const struct ttlv *v = &a->value;
	struct ttlv name;

	if (a->id == ATTR_UNKNOWN || (info != NULL && !kmip_attr_known(info, version)))
		return ERR_ATTRIBUTE_UNKNOWN;
	if (v->value == NULL || v->len > ATTR_VALUE_MAX)
		return ERR_ATTRIBUTE_VALUE;
	if (ttlv_check_value(v->type, v->value, v->len, ELEMENTS_MAX) != ERR_OK)
		return ERR_ATTRIBUTE_VALUE;
	if (version < KMIP_2_0 && !ttlv_is_of_1(v))
		return ERR_ATTRIBUTE_VALUE;
	if (info == NULL)
		return a->name_len <= ATTR_NAME_MAX ? ERR_OK : ERR_ATTRIBUTE_UNKNOWN;
	if (kmip_attr_lacks_application_data(a, &name))
		return ERR_NAMESPACE;
	return value_right(info, v, version) ? ERR_OK : ERR_ATTRIBUTE_VALUE;
}

void
kmip_attr_pack_value(struct buf *b, const struct ttlv *value)
{
	pack_u8(b, (uint8_t)value->type);
	buf_put(b, value->value, value->len);
}

bool
kmip_attr_unpack_value(const uint8_t *data, size_t len, struct ttlv *out)
{
	struct ttlv t = {.tag = TAG_ATTRIBUTE_VALUE};

	if (len == 0)
		return false;
	t.type = (enum ttlv_type)data[0];
	t.value = data + 1;
	if (ttlv_check_value(t.type, t.value, len - 1, ELEMENTS_MAX) != ERR_OK)
		return false;
	t.len = (uint32_t)(len - 1);
	*out = t;
	return true;
}
