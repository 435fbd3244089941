/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes as the protocol versions encode them. */
#include "attr_wire.h"

#include <string.h>

#include "kmip/names.h"

enum { TAG_BLOCK_KMIP = 0x42 };

static bool
is_vendor_char(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	    c == '_' || c == '.';
}

size_t
kmip_vendor_len(const char *name, size_t len)
{
	size_t n = 0;

	while (n < len && is_vendor_char(name[n]))
		n++;
	return n < len && name[n] == '-' ? n : 0;
}

/* --- reading --- */

static void
read_value(struct ttlv_reader *r, bool needed, struct kmip_attr *a)
{
	if (ttlv_peek(r) == TAG_ATTRIBUTE_VALUE)
		ttlv_next(r, &a->value);
	else if (needed && r->error == ERR_OK)
		r->error = ERR_MISSING_DATA;
}

static enum err
read_named(const struct ttlv *structure, int version, bool value_needed, struct kmip_attr *a)
{
	struct ttlv_reader r;
	struct ttlv t;

	ttlv_enter(&r, structure);
	if (ttlv_need(&r, TAG_ATTRIBUTE_NAME, TTLV_TEXT, &t)) {
		a->name = (const char *)t.value;
		a->name_len = t.len;
		a->id = kmip_attr_find(a->name, a->name_len, version);
	}
	if (ttlv_opt(&r, TAG_ATTRIBUTE_INDEX, TTLV_INTEGER, &t)) {
		a->has_index = true;
		a->index = ttlv_int(&t);
		if (a->index < 0)
			return ERR_INVALID_FIELD;
	}
	read_value(&r, value_needed, a);
	return ttlv_finish(&r);
}

/* "vendor" and "name" become "vendor-name". */
static enum err
join(struct arena *arena, const struct ttlv *vendor, const struct ttlv *name, struct kmip_attr *a)
{
	char *joined;

	if (vendor->len == 0 || vendor->len + (size_t)name->len + 1 > ATTR_NAME_MAX)
		return ERR_INVALID_FIELD;
	joined = arena_zalloc(arena, vendor->len + (size_t)name->len + 2);
	if (joined == NULL)
		return ERR_NO_MEMORY;
	memcpy(joined, vendor->value, vendor->len);
	joined[vendor->len] = '-';
	memcpy(joined + vendor->len + 1, name->value, name->len);
	a->name = joined;
	a->name_len = vendor->len + (size_t)name->len + 1;
	if (kmip_vendor_len(joined, a->name_len) != vendor->len)
		return ERR_INVALID_FIELD;
	a->id = ATTR_CUSTOM;
	return ERR_OK;
}

/* A vendor's attribute, or what refers to one. */
static enum err
read_vendors(const struct ttlv *structure, struct arena *arena, bool value, bool value_needed,
    struct kmip_attr *a)
{
	struct ttlv_reader r;
	struct ttlv vendor, name;
	enum err e;

	ttlv_enter(&r, structure);
	ttlv_need(&r, TAG_VENDOR_IDENTIFICATION, TTLV_TEXT, &vendor);
	ttlv_need(&r, TAG_ATTRIBUTE_NAME, TTLV_TEXT, &name);
	if (value)
		read_value(&r, value_needed, a);
	e = ttlv_finish(&r);
	return e == ERR_OK ? join(arena, &vendor, &name, a) : e;
}

static void
set_tag(struct kmip_attr *a, uint32_t tag, int version)
{
	a->id = kmip_attr_find_tag(tag, version);
	if (a->id == ATTR_UNKNOWN)
		return;
	a->name = kmip_attr_info(a->id)->name;
	a->name_len = strlen(a->name);
}

static enum err
read_tagged(const struct ttlv *t, struct arena *arena, int version, bool value_needed,
    struct kmip_attr *a)
{
	if (t->tag == TAG_ATTRIBUTE)
		return t->type == TTLV_STRUCTURE ? read_vendors(t, arena, true, value_needed, a)
						 : ERR_INVALID_MESSAGE;
	set_tag(a, t->tag, version);
	a->value = *t;
	return ERR_OK;
}

bool
kmip_attr_follows(const struct ttlv_reader *r, int version)
{
	return version < KMIP_2_0 ? ttlv_peek(r) == TAG_ATTRIBUTE
				  : ttlv_peek(r) >> 16 == TAG_BLOCK_KMIP;
}

bool
kmip_attr_read(struct ttlv_reader *r, struct arena *a, int version, bool value_needed,
    struct kmip_attr *out)
{
	struct kmip_attr found = {.id = ATTR_UNKNOWN};
	struct ttlv t;

	if (version >= KMIP_2_0) {
		if (!ttlv_next(r, &t)) {
			r->error = r->error == ERR_OK ? ERR_MISSING_DATA : r->error;
			return false;
		}
		r->error = read_tagged(&t, a, version, value_needed, &found);
	} else {
		if (!ttlv_need(r, TAG_ATTRIBUTE, TTLV_STRUCTURE, &t))
			return false;
		r->error = read_named(&t, version, value_needed, &found);
	}
	if (r->error != ERR_OK)
		return false;
	*out = found;
	return true;
}

static enum err
read_reference(const struct ttlv *t, struct arena *arena, int version, struct kmip_attr *a)
{
	if (t->type == TTLV_STRUCTURE)
		return read_vendors(t, arena, false, false, a);
	if (t->type != TTLV_ENUM)
		return ERR_INVALID_MESSAGE;
	set_tag(a, ttlv_uint(t), version);
	return ERR_OK;
}

bool
kmip_attr_take_reference(struct ttlv_reader *r, struct arena *a, int version,
    struct kmip_attr *out)
{
	struct kmip_attr found = {.id = ATTR_UNKNOWN};
	struct ttlv t;

	if (version < KMIP_2_0) {
		if (!ttlv_opt(r, TAG_ATTRIBUTE_NAME, TTLV_TEXT, &t))
			return false;
		found.name = (const char *)t.value;
		found.name_len = t.len;
		found.id = kmip_attr_find(found.name, found.name_len, version);
	} else {
		if (ttlv_peek(r) != TAG_ATTRIBUTE_REFERENCE || !ttlv_next(r, &t))
			return false;
		r->error = read_reference(&t, a, version, &found);
	}
	if (r->error == ERR_OK)
		*out = found;
	return r->error == ERR_OK;
}

/* --- writing --- */

static void
put_named(struct buf *b, const struct kmip_attr *a, const struct kmip_attr_info *info)
{
	size_t mark = ttlv_begin(b, TAG_ATTRIBUTE);

	if (info != NULL)
		ttlv_put_text(b, TAG_ATTRIBUTE_NAME, info->name, strlen(info->name));
	else
		ttlv_put_text(b, TAG_ATTRIBUTE_NAME, a->name, a->name_len);
	if (a->has_index || a->index != 0)
		ttlv_put_int(b, TAG_ATTRIBUTE_INDEX, a->index);
	if (a->value.value != NULL)
		ttlv_put_raw(b, TAG_ATTRIBUTE_VALUE, a->value.type, a->value.value, a->value.len);
	ttlv_end(b, mark);
}

static void
put_vendors(struct buf *b, uint32_t tag, const struct kmip_attr *a)
{
	size_t mark = ttlv_begin(b, tag), vendor = kmip_vendor_len(a->name, a->name_len);

	ttlv_put_text(b, TAG_VENDOR_IDENTIFICATION, a->name, vendor);
	ttlv_put_text(b, TAG_ATTRIBUTE_NAME, a->name + vendor + 1, a->name_len - vendor - 1);
	if (tag == TAG_ATTRIBUTE && a->value.value != NULL)
		ttlv_put_raw(b, TAG_ATTRIBUTE_VALUE, a->value.type, a->value.value, a->value.len);
	ttlv_end(b, mark);
}

static bool
can_write(const struct kmip_attr *a, int version)
{
	const struct kmip_attr_info *info = kmip_attr_info(a->id);

	if (a->id == ATTR_UNKNOWN || (info != NULL && !kmip_attr_known(info, version)))
		return false;
	if (version < KMIP_2_0 && info == NULL && a->value.value != NULL && !ttlv_is_of_1(&a->value))
		return false;
	return info != NULL || version < KMIP_2_0 || kmip_vendor_len(a->name, a->name_len) > 0;
}

bool
kmip_attr_write(struct buf *b, int version, const struct kmip_attr *a)
{
	const struct kmip_attr_info *info = kmip_attr_info(a->id);

	if (!can_write(a, version))
		return false;
	if (version < KMIP_2_0)
		put_named(b, a, info);
	else if (info == NULL)
		put_vendors(b, TAG_ATTRIBUTE, a);
	else if (a->value.value == NULL)
		return false;
	else
		ttlv_put_raw(b, info->tag, a->value.type, a->value.value, a->value.len);
	return true;
}

bool
kmip_attr_write_reference(struct buf *b, int version, const struct kmip_attr *a)
{
	const struct kmip_attr_info *info = kmip_attr_info(a->id);

	if (!can_write(a, version))
		return false;
	if (version < KMIP_2_0)
		ttlv_put_text(b, TAG_ATTRIBUTE_NAME, a->name, a->name_len);
	else if (info == NULL)
		put_vendors(b, TAG_ATTRIBUTE_REFERENCE, a);
	else
		ttlv_put_enum(b, TAG_ATTRIBUTE_REFERENCE, info->tag);
	return true;
}
