/* SPDX-License-Identifier: Apache-2.0 */
/* Usage Limits. */
#include "usagelimits.h"

#include "base/clock.h"
#include "kmip/message.h"
#include "kmip/names.h"

#include "objattr.h"

enum { VALUE_MAX = 128 };

static bool
read_value(const struct ttlv *value, struct usagelimits *l)
{
	struct ttlv_reader r;
	struct ttlv total, count, unit;
	bool counted;

	ttlv_enter(&r, value);
	ttlv_need(&r, TAG_USAGE_LIMITS_TOTAL, TTLV_LONG, &total);
	counted = ttlv_opt(&r, TAG_USAGE_LIMITS_COUNT, TTLV_LONG, &count);
	if (!ttlv_need(&r, TAG_USAGE_LIMITS_UNIT, TTLV_ENUM, &unit))
		return false;
	*l = (struct usagelimits){.total = ttlv_long(&total), .unit = ttlv_uint(&unit)};
	l->left = counted ? ttlv_long(&count) : l->total;
	return true;
}

bool
usagelimits_of(const struct object *o, struct usagelimits *out)
{
	const struct kmip_attr_info *info = kmip_attr_info(ATTR_USAGE_LIMITS);
	const struct object_attr *oa = object_attr_get(o, info->name, 0);
	struct ttlv value;

	return oa != NULL && kmip_attr_unpack_value(oa->value, oa->value_len, &value) &&
	    read_value(&value, out);
}

static void
write_value(struct buf *b, const struct usagelimits *l)
{
	size_t mark = ttlv_begin(b, TAG_ATTRIBUTE_VALUE);

	ttlv_put_long(b, TAG_USAGE_LIMITS_TOTAL, l->total);
	ttlv_put_long(b, TAG_USAGE_LIMITS_COUNT, l->left);
	ttlv_put_enum(b, TAG_USAGE_LIMITS_UNIT, l->unit);
	ttlv_end(b, mark);
}

enum err
usagelimits_keep(struct object *o, struct arena *a, const struct usagelimits *l)
{
	struct buf b;
	enum err e;

	buf_init(&b, VALUE_MAX);
	write_value(&b, l);
	e = objattr_keep(o, a, kmip_attr_info(ATTR_USAGE_LIMITS)->name, 0, &b);
	buf_fini(&b);
	return e;
}

enum err
usagelimits_begin(struct arena *a, const struct ttlv *given, struct ttlv *out)
{
	struct usagelimits l;
	struct buf b;
	uint8_t *copy;
	enum err e = ERR_NO_MEMORY;

	if (!read_value(given, &l))
		return ERR_ATTRIBUTE_VALUE;
	l.left = l.total;
	buf_init(&b, VALUE_MAX);
	write_value(&b, &l);
	copy = buf_error(&b) == ERR_OK ? arena_copy(a, b.data, b.len) : NULL;
	if (copy != NULL)
		e = ttlv_check(copy, b.len, KMIP_ELEMENTS_MAX, out);
	buf_fini(&b);
	return e;
}

enum err
usagelimits_take(struct request *rq, const struct object *o, int64_t count)
{
	struct usagelimits l;
	struct object *changed;
	enum err e;

	if (!usagelimits_of(o, &l))
		return ERR_NO_LIMITS;
	if (count > l.left)
		return ERR_LIMITS;
	l.left -= count;
	changed = object_copy(rq->arena, o);
	e = changed != NULL ? usagelimits_keep(changed, rq->arena, &l) : ERR_NO_MEMORY;
	if (e != ERR_OK)
		return e;
	changed->date[DATE_LAST_CHANGE] = clock_wall();
	return changes_put(&rq->changes, CHANGE_UPDATE, changed, NULL);
}

enum err
usagelimits_charge(struct request *rq, const struct object *o, size_t bytes)
{
	struct usagelimits l;

	if (!usagelimits_of(o, &l))
		return ERR_OK;
	if (rq->p.read_only)
		return ERR_DENIED;
	rq_must_commit(rq);
	return usagelimits_take(rq, o, l.unit == KMIP_USAGE_LIMITS_UNIT_BYTE ? (int64_t)bytes : 1);
}
