/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes that Locate asks for, as terms of a search in the ledger. */
#include "objattr.h"

#include <string.h>

#include "base/buf.h"
#include "kmip/message.h"
#include "kmip/ttlv.h"

#include "objattr_field.h"

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
	bool stands = value == objattr_standing_of(id)->flag;
	struct buf b;
	enum err e = ERR_NO_MEMORY;

	buf_init(&b, OBJATTR_SCRATCH_MAX);
	ttlv_put_bool(&b, TAG_ATTRIBUTE_VALUE, stands ? !value : value);
	*out = (struct ledger_term){.match = stands ? MATCH_NOT : MATCH_EQUAL};
	if (objattr_view(a, &b, &at.value))
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
	const struct objattr_field *f = objattr_field_of(at->id);
	enum err e;

	*out = (struct ledger_term){.match = MATCH_EQUAL};
	if (at->id == ATTR_UNKNOWN)
		return ERR_INVALID_FIELD;
	e = kmip_attr_check(at, version);
	if (e != ERR_OK)
		return e;
	if (f == NULL && objattr_standing_of(at->id) != NULL && at->value.type == TTLV_BOOLEAN)
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
