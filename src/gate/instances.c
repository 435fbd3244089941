/* SPDX-License-Identifier: Apache-2.0 */
/* The instances that an object has of one attribute. */
#include "instances.h"

#include <string.h>

#include "kmip/names.h"

#include "objattr.h"

static bool
same_value(const struct ttlv *a, const struct ttlv *b)
{
	return a->type == b->type && a->len == b->len && memcmp(a->value, b->value, a->len) == 0;
}

enum err
instances_find(struct arena *a, const struct object *o, const struct kmip_attr *at, int version,
    struct instances *out)
{
	struct kmip_attr *list;
	size_t count, first = 0, n = 0;
	enum err e;

	if (at->id == ATTR_UNKNOWN)
		return ERR_ATTRIBUTE_UNKNOWN;
	e = objattr_list(a, o, version, &list, &count);
	if (e != ERR_OK)
		return e;
	while (first < count && !kmip_attr_same(&list[first], at))
		first++;
	while (first + n < count && kmip_attr_same(&list[first + n], at)) /* they stand together */
		n++;
	*out = (struct instances){.all = list + first, .count = n};
	return ERR_OK;
}

enum err
instances_pick(const struct instances *in, const struct kmip_attr *at, uint32_t *index)
{
	if (in->count == 0)
		return ERR_NO_ATTRIBUTE;
	if (at->value.value == NULL) {
		*index = (uint32_t)in->all[0].index;
		return in->count == 1 ? ERR_OK : ERR_MULTI_VALUED;
	}
	for (size_t i = 0; i < in->count; i++) {
		if (same_value(&in->all[i].value, &at->value)) {
			*index = (uint32_t)in->all[i].index;
			return ERR_OK;
		}
	}
	return ERR_INDEX;
}

/* --- adjusting --- */

/* As a number; false for what is none. */
static bool
number_of(const struct ttlv *t, int64_t *out)
{
	switch (t->type) {
	case TTLV_INTEGER:
		*out = ttlv_int(t);
		return true;
	case TTLV_INTERVAL:
		*out = ttlv_uint(t);
		return true;
	case TTLV_LONG:
	case TTLV_DATE_TIME:
	case TTLV_DATE_TIME_EXTENDED:
		*out = ttlv_long(t);
		return true;
	case TTLV_STRUCTURE:
	case TTLV_BIG_INTEGER:
	case TTLV_ENUM:
	case TTLV_BOOLEAN:
	case TTLV_TEXT:
	case TTLV_BYTES:
		break;
	}
	return false;
}

/* Writes the number as that type, into whose range it has to fit. */
static enum err
put_number(struct buf *b, enum ttlv_type type, int64_t n)
{
	if (type == TTLV_INTEGER && n >= INT32_MIN && n <= INT32_MAX)
		ttlv_put_int(b, TAG_ATTRIBUTE_VALUE, (int32_t)n);
	else if (type == TTLV_INTERVAL && n >= 0 && n <= UINT32_MAX)
		ttlv_put_interval(b, TAG_ATTRIBUTE_VALUE, (uint32_t)n);
	else if (type == TTLV_LONG)
		ttlv_put_long(b, TAG_ATTRIBUTE_VALUE, n);
	else if (type == TTLV_DATE_TIME && n >= 0)
		ttlv_put_date_time(b, TAG_ATTRIBUTE_VALUE, n);
	else if (type == TTLV_DATE_TIME_EXTENDED && n >= 0)
		ttlv_put_extended(b, TAG_ATTRIBUTE_VALUE, n);
	else
		return ERR_NUMERIC_RANGE;
	return buf_error(b);
}

static enum err
adjust_number(struct buf *b, enum ttlv_type type, int64_t n, uint32_t how, const struct ttlv *by)
{
	int64_t step = 1;
	bool left;

	if (by->value != NULL && !number_of(by, &step))
		return ERR_DATA_TYPE;
	if (how == KMIP_ADJUSTMENT_TYPE_INCREMENT)
		left = __builtin_add_overflow(n, step, &n);
	else if (how == KMIP_ADJUSTMENT_TYPE_DECREMENT)
		left = __builtin_sub_overflow(n, step, &n);
	else if (type == TTLV_INTEGER || type == TTLV_LONG)
		left = __builtin_sub_overflow(0, n, &n);
	else
		return ERR_DATA_TYPE; /* there are no intervals or dates below zero */
	return left ? ERR_NUMERIC_RANGE : put_number(b, type, n);
}

static enum err
adjust(struct buf *b, const struct ttlv *old, uint32_t how, const struct ttlv *by)
{
	int64_t n;

	if (number_of(old, &n))
		return adjust_number(b, old->type, n, how, by);
	if (old->type != TTLV_BOOLEAN || how != KMIP_ADJUSTMENT_TYPE_NEGATE)
		return ERR_DATA_TYPE;
	ttlv_put_bool(b, TAG_ATTRIBUTE_VALUE, !ttlv_bool(old));
	return buf_error(b);
}

/* What an attribute without a value is taken for: zero or false; of other types, nothing. */
static enum err
nothing_of(const struct kmip_attr *at, const struct ttlv *by, struct ttlv *out)
{
	static const uint8_t zero[8];
	const struct kmip_attr_info *info = kmip_attr_info(at->id);
	enum ttlv_type type = info != NULL ? info->type : by->type;

	if (info == NULL && by->value == NULL)
		return ERR_NO_ATTRIBUTE;
	if (type != TTLV_INTEGER && type != TTLV_LONG && type != TTLV_INTERVAL &&
	    type != TTLV_BOOLEAN)
		return ERR_NO_ATTRIBUTE;
	*out = (struct ttlv){.type = type, .value = zero,
	    .len = type == TTLV_LONG || type == TTLV_BOOLEAN ? 8 : 4};
	return ERR_OK;
}

enum err
instances_adjust(struct arena *a, const struct instances *in, const struct kmip_attr *at,
    uint32_t how, const struct ttlv *by, struct ttlv *out)
{
	struct ttlv old;
	struct buf b;
	uint8_t *copy;
	enum err e;

	if (in->count > 1)
		return ERR_MULTI_VALUED;
	if (in->count == 1) {
		old = in->all[0].value;
	} else {
		e = nothing_of(at, by, &old);
		if (e != ERR_OK)
			return e;
	}
	buf_init(&b, 64);
	e = adjust(&b, &old, how, by);
	if (e == ERR_OK) {
		copy = arena_copy(a, b.data, b.len);
		if (copy == NULL || ttlv_check(copy, b.len, 1, out) != ERR_OK)
			e = ERR_NO_MEMORY;
	}
	buf_fini(&b);
	return e;
}
