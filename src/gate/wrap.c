/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wrapping a key for an answer, and unwrapping one of a request: AES key wrap of the key's bytes, or of
 * the Key Value around them.
 */
#include "wrap.h"

#include <string.h>

#include "base/clock.h"
#include "kmip/attr.h"
#include "kmip/names.h"

#include "cryptparams.h"
#include "crypto.h"
#include "usagelimits.h"
#include "objattr.h"
#include "usage.h"

enum { VALUE_MAX = 256 << 10, WRAPPING_MAX = 1024 };

static void
drop_buf(void *b)
{
	buf_fini(b);
}

static enum err
may_wrap(struct request *rq, const struct object *o)
{
	(void)rq;
	if (o->type != KMIP_OBJECT_TYPE_SYMMETRIC_KEY ||
	    o->algorithm != KMIP_CRYPTOGRAPHIC_ALGORITHM_AES)
		return ERR_ALGORITHM;
	return usage_allowed(o, KMIP_CRYPTOGRAPHIC_USAGE_MASK_WRAP_KEY, USAGE_PROTECT, clock_wall());
}

static enum err
may_unwrap(struct request *rq, const struct object *o)
{
	(void)rq;
	if (o->type != KMIP_OBJECT_TYPE_SYMMETRIC_KEY ||
	    o->algorithm != KMIP_CRYPTOGRAPHIC_ALGORITHM_AES)
		return ERR_ALGORITHM;
	return usage_allowed(
	    o, KMIP_CRYPTOGRAPHIC_USAGE_MASK_UNWRAP_KEY, USAGE_PROCESS, clock_wall());
}

enum err
wrap_error(const struct wrap *w, enum err e)
{
	if (e == ERR_ARCHIVED)
		return ERR_WRAPPER_ARCHIVED;
	if (e != ERR_NO_OBJECT)
		return e;
	return w->key.object != NULL && object_is_destroyed(w->key.object) ? ERR_WRAPPER_DESTROYED
									   : ERR_NO_WRAPPER;
}

static enum err
read_key(struct request *rq, struct wrap *w, const struct ttlv *information)
{
	struct cryptparams cp;
	struct ttlv_reader r;
	struct ttlv t;
	enum err e;

	ttlv_enter(&r, information);
	if (!ttlv_need(&r, TAG_UNIQUE_IDENTIFIER, TTLV_TEXT, &t))
		return r.error;
	if (t.len == 0 || t.len > UID_TEXT_LEN)
		return ERR_NO_WRAPPER;
	memcpy(w->key.uid, t.value, t.len);
	w->key.uid[t.len] = '\0';
	e = cryptparams_read(&r, rq->in.version, &cp);
	if (e != ERR_OK)
		return e;
	w->mode = cp.mode;
	return ttlv_finish(&r);
}

/* The names stay where they are, in the message. */
static enum err
read_names(struct ttlv_reader *r, struct wrap *w)
{
	struct ttlv t;
	bool any = false;

	w->names = *r;
	while (ttlv_opt(r, TAG_ATTRIBUTE_NAME, TTLV_TEXT, &t))
		any = true;
	if (!any)
		w->names.p = w->names.end;
	return r->error;
}

static enum err
read_specification(struct request *rq, struct wrap *w, const struct ttlv *specification)
{
	struct ttlv_reader r;
	struct ttlv t;
	enum err e;

	ttlv_enter(&r, specification);
	if (!ttlv_need(&r, TAG_WRAPPING_METHOD, TTLV_ENUM, &t))
		return r.error;
	if (ttlv_uint(&t) != KMIP_WRAPPING_METHOD_ENCRYPT)
		return ERR_KEY_WRAP;
	if (!ttlv_need(&r, TAG_ENCRYPTION_KEY_INFORMATION, TTLV_STRUCTURE, &t))
		return r.error;
	e = read_key(rq, w, &t);
	if (e != ERR_OK)
		return e;
	if (ttlv_opt(&r, TAG_MAC_SIGNATURE_KEY_INFORMATION, TTLV_STRUCTURE, &t))
		return ERR_KEY_WRAP;
	e = read_names(&r, w);
	w->encoded = true;
	if (rq->in.version >= KMIP_1_1 && ttlv_opt(&r, TAG_ENCODING_OPTION, TTLV_ENUM, &t)) {
		w->option_given = true;
		w->encoded = ttlv_uint(&t) == KMIP_ENCODING_OPTION_TTLV_ENCODING;
		if (!w->encoded && ttlv_uint(&t) != KMIP_ENCODING_OPTION_NO_ENCODING)
			e = ERR_ENCODING;
	}
	if (e == ERR_OK)
		e = ttlv_finish(&r);
	if (e == ERR_OK && !w->encoded && w->names.p != w->names.end)
		e = ERR_ENCODING; /* there is no place for attributes */
	return e;
}

enum err
wrap_read(struct request *rq, struct wrap *w)
{
	struct ttlv t;

	if (!ttlv_need(&rq->payload, TAG_KEY_WRAPPING_SPECIFICATION, TTLV_STRUCTURE, &t))
		return rq->payload.error;
	buf_init(&w->value, VALUE_MAX);
	buf_init(&w->wrapping, WRAPPING_MAX);
	if (fetch_init(rq, &w->key) != ERR_OK ||
	    rq_own(rq, drop_buf, &w->value) != ERR_OK ||
	    rq_own(rq, drop_buf, &w->wrapping) != ERR_OK)
		return ERR_NO_MEMORY;
	w->key.allowed = may_wrap;
	return read_specification(rq, w, &t);
}

/* Beside what a specification has there may be a MAC or signature and an IV: of no method of ours. */
enum err
wrap_read_data(struct request *rq, struct wrap *w, const struct ttlv *data)
{
	struct ttlv_reader r;
	struct ttlv t;

	ttlv_enter(&r, data);
	while (ttlv_next(&r, &t))
		if (t.tag == TAG_MAC_SIGNATURE || t.tag == TAG_IV_COUNTER_NONCE)
			return ERR_KEY_WRAP;
	if (fetch_init(rq, &w->key) != ERR_OK)
		return ERR_NO_MEMORY;
	w->key.allowed = may_unwrap;
	return read_specification(rq, w, data);
}

/* The asked-for attributes of the object, behind its material. */
static enum err
put_attributes(struct request *rq, struct wrap *w, const struct object *o, struct buf *b)
{
	struct ttlv_reader names = w->names;
	struct kmip_attr *list;
	struct ttlv name;
	size_t count, mark = 0;
	bool structured = rq->in.version >= KMIP_2_0 && names.p != names.end;
	enum err e = objattr_list(rq->arena, o, rq->in.version, &list, &count);

	if (structured)
		mark = ttlv_begin(b, TAG_ATTRIBUTES);
	while (e == ERR_OK && ttlv_peek(&names) == TAG_ATTRIBUTE_NAME && ttlv_next(&names, &name))
		for (size_t i = 0; i < count; i++)
			if (list[i].name_len == name.len &&
			    memcmp(list[i].name, name.value, name.len) == 0)
				kmip_attr_write(b, rq->in.version, &list[i]);
	if (structured)
		ttlv_end(b, mark);
	return e;
}

static void
put_wrapping(struct wrap *w)
{
	size_t mark = ttlv_begin(&w->wrapping, TAG_KEY_WRAPPING_DATA), key, params;

	ttlv_put_enum(&w->wrapping, TAG_WRAPPING_METHOD, KMIP_WRAPPING_METHOD_ENCRYPT);
	key = ttlv_begin(&w->wrapping, TAG_ENCRYPTION_KEY_INFORMATION);
	ttlv_put_text(&w->wrapping, TAG_UNIQUE_IDENTIFIER, w->key.uid, strlen(w->key.uid));
	params = ttlv_begin(&w->wrapping, TAG_CRYPTOGRAPHIC_PARAMETERS);
	ttlv_put_enum(&w->wrapping, TAG_BLOCK_CIPHER_MODE, w->mode);
	ttlv_end(&w->wrapping, params);
	ttlv_end(&w->wrapping, key);
	if (w->option_given)
		ttlv_put_enum(&w->wrapping, TAG_ENCODING_OPTION,
		    w->encoded ? KMIP_ENCODING_OPTION_TTLV_ENCODING
			       : KMIP_ENCODING_OPTION_NO_ENCODING);
	ttlv_end(&w->wrapping, mark);
}

/* The mode that was asked for, or the wrapping key's own, or the usual one. */
static enum err
choose_mode(struct wrap *w, int version)
{
	struct cryptparams own;
	enum err e = ERR_OK;

	if (w->mode == 0) {
		e = cryptparams_of(w->key.object, version, &own);
		w->mode = crypto_wraps(own.mode) ? own.mode : KMIP_BLOCK_CIPHER_MODE_NISTKEYWRAP;
	}
	return e == ERR_OK && !crypto_wraps(w->mode) ? ERR_KEY_WRAP : e;
}

enum err
wrap_do(struct request *rq, struct wrap *w, const struct object *o, struct keyblock_put *p)
{
	struct buf plain;
	enum err e = choose_mode(w, rq->in.version);

	if (e != ERR_OK)
		return e;
	buf_init(&plain, VALUE_MAX);
	if (w->encoded) {
		size_t mark = keyblock_begin_value(&plain, p->format, p->key);

		e = put_attributes(rq, w, o, &plain);
		ttlv_end(&plain, mark);
	} else if (p->format != KMIP_KEY_FORMAT_TYPE_TRANSPARENT_SYMMETRIC_KEY) {
		buf_put(&plain, secret_bytes(p->key), secret_len(p->key));
	} else {
		e = ERR_ENCODING; /* there is nothing but the structure that says it is one */
	}
	if (e == ERR_OK)
		e = buf_error(&plain);
	if (e == ERR_OK)
		e = crypto_wrap(w->mode, w->key.key, plain.data, plain.len, &w->value);
	if (e == ERR_OK)
		e = usagelimits_charge(rq, w->key.object, plain.len);
	buf_fini(&plain);
	put_wrapping(w);
	p->wrapped = &w->value;
	p->wrapping = &w->wrapping;
	p->encoded = w->encoded;
	return e == ERR_OK ? buf_error(&w->wrapping) : e;
}

enum err
wrap_undo(struct request *rq, struct wrap *w, struct keyblock *k, struct secret **out)
{
	enum err e = choose_mode(w, rq->in.version);

	if (e == ERR_OK)
		e = crypto_unwrap(w->mode, w->key.key, k->material.value, k->material.len, out);
	if (e != ERR_OK)
		return e;
	if (w->encoded)
		return keyblock_read_value(*out, k);
	k->form.wrapping = (struct ttlv){.value = NULL};
	k->material.value = secret_bytes(*out);
	k->material.len = (uint32_t)secret_len(*out);
	return ERR_OK;
}
