/* SPDX-License-Identifier: Apache-2.0 */
/* Key Blocks, in and out. */
#include "keyblock.h"

#include "kmip/attr.h"
#include "kmip/message.h"
#include "kmip/names.h"

#include "objattr.h"

/* --- the form that is kept --- */

void
keyform_of(const struct object *o, struct keyform *f)
{
	const struct object_attr *oa = object_attr_get(o, OBJECT_FORM, 0);
	struct ttlv value, t;
	struct ttlv_reader r;

	*f = (struct keyform){.format = KMIP_KEY_FORMAT_TYPE_RAW};
	if (oa == NULL || !kmip_attr_unpack_value(oa->value, oa->value_len, &value))
		return;
	ttlv_enter(&r, &value);
	if (ttlv_opt(&r, TAG_KEY_FORMAT_TYPE, TTLV_ENUM, &t))
		f->format = ttlv_uint(&t);
	if (ttlv_opt(&r, TAG_SECRET_DATA_TYPE, TTLV_ENUM, &t) ||
	    ttlv_opt(&r, TAG_OPAQUE_DATA_TYPE, TTLV_ENUM, &t))
		f->data_type = ttlv_uint(&t);
	ttlv_opt(&r, TAG_KEY_WRAPPING_DATA, TTLV_STRUCTURE, &f->wrapping);
}

static uint32_t
data_type_tag(const struct object *o)
{
	return o->type == KMIP_OBJECT_TYPE_SECRET_DATA ? TAG_SECRET_DATA_TYPE : TAG_OPAQUE_DATA_TYPE;
}

enum err
keyform_keep(struct object *o, struct arena *a, const struct keyform *f)
{
	struct buf b;
	size_t mark;
	enum err e;

	if (f->format == KMIP_KEY_FORMAT_TYPE_RAW && f->data_type == 0 && f->wrapping.value == NULL)
		return ERR_OK;
	buf_init(&b, ATTR_VALUE_MAX);
	mark = ttlv_begin(&b, TAG_ATTRIBUTE_VALUE);
	ttlv_put_enum(&b, TAG_KEY_FORMAT_TYPE, f->format);
	if (f->data_type != 0)
		ttlv_put_enum(&b, data_type_tag(o), f->data_type);
	if (f->wrapping.value != NULL)
		ttlv_put_raw(&b, TAG_KEY_WRAPPING_DATA, TTLV_STRUCTURE, f->wrapping.value,
		    f->wrapping.len);
	ttlv_end(&b, mark);
	e = objattr_keep(o, a, OBJECT_FORM, 0, &b);
	buf_fini(&b);
	return e == ERR_RESPONSE_TOO_LARGE ? ERR_INVALID_FIELD : e;
}

/* --- in --- */

/* Key Information: whose key, and how it is used. */
static enum err
check_information(const struct ttlv *structure)
{
	struct ttlv_reader r;
	struct ttlv t;

	ttlv_enter(&r, structure);
	ttlv_need(&r, TAG_UNIQUE_IDENTIFIER, TTLV_TEXT, &t);
	ttlv_opt(&r, TAG_CRYPTOGRAPHIC_PARAMETERS, TTLV_STRUCTURE, &t);
	return ttlv_finish(&r);
}

/* encoded: the Key Value is a byte string, not a structure. */
static enum err
check_wrapping(const struct ttlv *wrapping, bool encoded, int version)
{
	struct ttlv_reader r;
	struct ttlv t;
	uint32_t encoding = KMIP_ENCODING_OPTION_TTLV_ENCODING;
	enum err e = ERR_OK;

	ttlv_enter(&r, wrapping);
	if (!ttlv_need(&r, TAG_WRAPPING_METHOD, TTLV_ENUM, &t))
		return r.error;
	if (!kmip_value_known(SET_WRAPPING_METHOD, ttlv_uint(&t), version))
		return ERR_INVALID_FIELD;
	if (ttlv_opt(&r, TAG_ENCRYPTION_KEY_INFORMATION, TTLV_STRUCTURE, &t))
		e = check_information(&t);
	if (e == ERR_OK && ttlv_opt(&r, TAG_MAC_SIGNATURE_KEY_INFORMATION, TTLV_STRUCTURE, &t))
		e = check_information(&t);
	ttlv_opt(&r, TAG_MAC_SIGNATURE, TTLV_BYTES, &t);
	ttlv_opt(&r, TAG_IV_COUNTER_NONCE, TTLV_BYTES, &t);
	if (version >= KMIP_1_1 && ttlv_opt(&r, TAG_ENCODING_OPTION, TTLV_ENUM, &t))
		encoding = ttlv_uint(&t);
	if (e == ERR_OK)
		e = ttlv_finish(&r);
	if (e == ERR_OK && (encoding == KMIP_ENCODING_OPTION_TTLV_ENCODING) != encoded)
		e = ERR_ENCODING;
	return e;
}

static enum err
read_material(struct keyblock *k)
{
	struct ttlv_reader r, in;
	struct ttlv t;

	ttlv_enter(&r, &k->value);
	if (k->form.format != KMIP_KEY_FORMAT_TYPE_TRANSPARENT_SYMMETRIC_KEY ||
	    k->form.wrapping.value != NULL)
		return ttlv_need(&r, TAG_KEY_MATERIAL, TTLV_BYTES, &k->material) ? ERR_OK : r.error;
	if (!ttlv_need(&r, TAG_KEY_MATERIAL, TTLV_STRUCTURE, &t))
		return r.error;
	ttlv_enter(&in, &t);
	ttlv_need(&in, TAG_KEY, TTLV_BYTES, &k->material);
	return ttlv_finish(&in);
}

static enum err
check_format(uint32_t format, uint32_t type)
{
	if (type == KMIP_OBJECT_TYPE_SECRET_DATA)
		return format == KMIP_KEY_FORMAT_TYPE_RAW || format == KMIP_KEY_FORMAT_TYPE_OPAQUE
		    ? ERR_OK
		    : ERR_KEY_FORMAT;
	return format == KMIP_KEY_FORMAT_TYPE_RAW ||
		format == KMIP_KEY_FORMAT_TYPE_TRANSPARENT_SYMMETRIC_KEY
	    ? ERR_OK
	    : ERR_KEY_FORMAT;
}

/* Since 1.2 a key may be kept elsewhere, and only its attributes here: not by this gateway. */
static enum err
no_value(const struct ttlv_reader *r, int version)
{
	if (r->error != ERR_OK)
		return r->error;
	return version < KMIP_1_2 ? ERR_MISSING_DATA : ERR_FEATURE_UNSUPPORTED;
}

/* Key Value: a structure, or the bytes of a wrapped one; then what the block says about it. */
static enum err
read_value(struct ttlv_reader *r, struct keyblock *k, int version)
{
	struct ttlv t, value;
	enum err e = ERR_OK;

	if (ttlv_peek(r) != TAG_KEY_VALUE)
		return no_value(r, version);
	ttlv_next(r, &value);
	if (ttlv_opt(r, TAG_CRYPTOGRAPHIC_ALGORITHM, TTLV_ENUM, &t))
		k->algorithm = ttlv_uint(&t);
	if (ttlv_opt(r, TAG_CRYPTOGRAPHIC_LENGTH, TTLV_INTEGER, &t)) {
		if (ttlv_int(&t) <= 0)
			return ERR_INVALID_FIELD;
		k->length = ttlv_uint(&t);
	}
	ttlv_opt(r, TAG_KEY_WRAPPING_DATA, TTLV_STRUCTURE, &k->form.wrapping);
	if (r->error != ERR_OK)
		return r->error;
	if (k->form.wrapping.value != NULL)
		e = check_wrapping(&k->form.wrapping, value.type == TTLV_BYTES, version);
	if (e != ERR_OK)
		return e;
	if (value.type == TTLV_BYTES && k->form.wrapping.value != NULL) {
		k->material = value;
		return ERR_OK;
	}
	if (value.type != TTLV_STRUCTURE)
		return ERR_INVALID_MESSAGE;
	k->value = value;
	return read_material(k);
}

static enum err
read_block(const struct ttlv *block, uint32_t type, int version, struct keyblock *k)
{
	struct ttlv_reader r;
	struct ttlv t;
	enum err e;

	ttlv_enter(&r, block);
	if (!ttlv_need(&r, TAG_KEY_FORMAT_TYPE, TTLV_ENUM, &t))
		return r.error;
	k->form.format = ttlv_uint(&t);
	if (ttlv_opt(&r, TAG_KEY_COMPRESSION_TYPE, TTLV_ENUM, &t))
		return ERR_KEY_COMPRESSION; /* a matter of elliptic curve public keys */
	e = check_format(k->form.format, type);
	if (e == ERR_OK)
		e = read_value(&r, k, version);
	return e == ERR_OK ? ttlv_finish(&r) : e;
}

static enum err
read_secret_data(struct ttlv_reader *r, int version, struct keyblock *k)
{
	struct ttlv t;

	if (!ttlv_need(r, TAG_SECRET_DATA_TYPE, TTLV_ENUM, &t))
		return r->error;
	k->form.data_type = ttlv_uint(&t);
	if (!kmip_value_known(SET_SECRET_DATA_TYPE, k->form.data_type, version))
		return ERR_INVALID_FIELD;
	if (!ttlv_need(r, TAG_KEY_BLOCK, TTLV_STRUCTURE, &t))
		return r->error;
	return read_block(&t, KMIP_OBJECT_TYPE_SECRET_DATA, version, k);
}

static enum err
read_opaque(struct ttlv_reader *r, struct keyblock *k)
{
	struct ttlv t;

	if (!ttlv_need(r, TAG_OPAQUE_DATA_TYPE, TTLV_ENUM, &t))
		return r->error;
	k->form.data_type = ttlv_uint(&t);
	k->form.format = KMIP_KEY_FORMAT_TYPE_OPAQUE;
	return ttlv_need(r, TAG_OPAQUE_DATA_VALUE, TTLV_BYTES, &k->material) ? ERR_OK : r->error;
}

static uint32_t
tag_of_type(uint32_t type)
{
	switch (type) {
	case KMIP_OBJECT_TYPE_SYMMETRIC_KEY:
		return TAG_SYMMETRIC_KEY;
	case KMIP_OBJECT_TYPE_SECRET_DATA:
		return TAG_SECRET_DATA;
	case KMIP_OBJECT_TYPE_OPAQUE_OBJECT:
		return TAG_OPAQUE_OBJECT;
	default:
		return 0;
	}
}

enum err
keyblock_read(struct ttlv_reader *r, uint32_t type, int version, struct keyblock *out)
{
	struct ttlv object, t;
	struct ttlv_reader in;
	enum err e = ERR_OK;

	*out = (struct keyblock){.length = 0};
	if (tag_of_type(type) == 0)
		return ERR_OBJECT_TYPE;
	if (!ttlv_need(r, tag_of_type(type), TTLV_STRUCTURE, &object))
		return r->error;
	ttlv_enter(&in, &object);
	if (type == KMIP_OBJECT_TYPE_SECRET_DATA)
		e = read_secret_data(&in, version, out);
	else if (type == KMIP_OBJECT_TYPE_OPAQUE_OBJECT)
		e = read_opaque(&in, out);
	else if (ttlv_need(&in, TAG_KEY_BLOCK, TTLV_STRUCTURE, &t))
		e = read_block(&t, type, version, out);
	if (e == ERR_OK)
		e = ttlv_finish(&in);
	return e == ERR_OK && out->material.len == 0 ? ERR_INVALID_FIELD : e;
}

enum err
keyblock_read_value(struct secret *bytes, struct keyblock *k)
{
	struct ttlv value;
	enum err e = ttlv_check(secret_bytes(bytes), secret_len(bytes), KMIP_ELEMENTS_MAX, &value);

	if (e != ERR_OK)
		return e;
	if (value.tag != TAG_KEY_VALUE || value.type != TTLV_STRUCTURE)
		return ERR_INVALID_MESSAGE;
	k->value = value;
	k->form.wrapping = (struct ttlv){.value = NULL};
	e = read_material(k);
	return e == ERR_OK && k->material.len == 0 ? ERR_INVALID_FIELD : e;
}

/* --- out --- */

bool
keyblock_is_format(uint32_t format)
{
	return check_format(format, KMIP_OBJECT_TYPE_SYMMETRIC_KEY) == ERR_OK ||
	    check_format(format, KMIP_OBJECT_TYPE_SECRET_DATA) == ERR_OK;
}

bool
keyblock_has_format(const struct object *o, uint32_t format)
{
	struct keyform f;

	if (o->type == KMIP_OBJECT_TYPE_OPAQUE_OBJECT || o->type == KMIP_OBJECT_TYPE_TEMPLATE)
		return false;
	keyform_of(o, &f);
	if (f.wrapping.value != NULL)
		return format == f.format;
	return check_format(format, o->type) == ERR_OK; /* all are the same bytes */
}

size_t
keyblock_begin_value(struct buf *b, uint32_t format, struct secret *key)
{
	size_t value = ttlv_begin(b, TAG_KEY_VALUE);

	if (format != KMIP_KEY_FORMAT_TYPE_TRANSPARENT_SYMMETRIC_KEY) {
		ttlv_put_bytes(b, TAG_KEY_MATERIAL, secret_bytes(key), secret_len(key));
	} else {
		size_t material = ttlv_begin(b, TAG_KEY_MATERIAL);

		ttlv_put_bytes(b, TAG_KEY, secret_bytes(key), secret_len(key));
		ttlv_end(b, material);
	}
	return value;
}

/* Wrapped material stands where the material would, or is all of the Key Value. */
static void
put_wrapped_value(struct buf *b, const void *data, size_t len, bool encoded)
{
	size_t value;

	if (encoded) {
		ttlv_put_bytes(b, TAG_KEY_VALUE, data, len);
		return;
	}
	value = ttlv_begin(b, TAG_KEY_VALUE);
	ttlv_put_bytes(b, TAG_KEY_MATERIAL, data, len);
	ttlv_end(b, value);
}

static bool
is_encoded(const struct ttlv *wrapping)
{
	struct ttlv_reader r;
	struct ttlv t;

	ttlv_enter(&r, wrapping);
	while (ttlv_next(&r, &t))
		if (t.tag == TAG_ENCODING_OPTION)
			return ttlv_uint(&t) == KMIP_ENCODING_OPTION_TTLV_ENCODING;
	return true;
}

static void
put_block(struct buf *b, const struct object *o, const struct keyform *f,
    const struct keyblock_put *p)
{
	size_t block = ttlv_begin(b, TAG_KEY_BLOCK);
	bool wrapping = f->wrapping.value != NULL;

	ttlv_put_enum(b, TAG_KEY_FORMAT_TYPE, p->format);
	if (p->key == NULL)
		wrapping = false;
	else if (p->wrapped != NULL)
		put_wrapped_value(b, p->wrapped->data, p->wrapped->len, p->encoded);
	else if (wrapping)
		put_wrapped_value(b, secret_bytes(p->key), secret_len(p->key),
		    is_encoded(&f->wrapping));
	else
		ttlv_end(b, keyblock_begin_value(b, p->format, p->key));
	if (o->algorithm != 0) {
		ttlv_put_enum(b, TAG_CRYPTOGRAPHIC_ALGORITHM, o->algorithm);
		ttlv_put_int(b, TAG_CRYPTOGRAPHIC_LENGTH, (int32_t)o->length);
	}
	if (p->wrapping != NULL)
		buf_put(b, p->wrapping->data, p->wrapping->len);
	else if (wrapping)
		ttlv_put_raw(b, TAG_KEY_WRAPPING_DATA, TTLV_STRUCTURE, f->wrapping.value,
		    f->wrapping.len);
	ttlv_end(b, block);
}

void
keyblock_put(struct buf *b, const struct object *o, const struct keyblock_put *p)
{
	size_t object = ttlv_begin(b, tag_of_type(o->type));
	struct keyform f;

	keyform_of(o, &f);
	if (f.data_type != 0 || o->type != KMIP_OBJECT_TYPE_SYMMETRIC_KEY)
		ttlv_put_enum(b, data_type_tag(o), f.data_type);
	if (o->type != KMIP_OBJECT_TYPE_OPAQUE_OBJECT)
		put_block(b, o, &f, p);
	else if (p->key != NULL)
		ttlv_put_bytes(b, TAG_OPAQUE_DATA_VALUE, secret_bytes(p->key), secret_len(p->key));
	ttlv_end(b, object);
}
