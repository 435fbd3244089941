/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Derive Key (specification 1.4 section 4.6): a key or secret data from another, by PBKDF2, HMAC, a
 * digest or encryption.
 */
#include "create.h"

#include <string.h>

#include "base/clock.h"
#include "kmip/names.h"

#include "cryptparams.h"
#include "fetch.h"
#include "inherit.h"
#include "keyblock.h"
#include "link.h"
#include "objattr.h"
#include "pbkdf2.h"
#include "usage.h"

enum {
	DERIVED_BITS_MAX = 8192, /* of secret data: it is in locked memory while it is made */
	BASE_ROOM = 16,		 /* attributes of the base that its links leave to others */
};

struct derive {
	struct fetch base;
	struct object *made, *old; /* old: the base, as it will be */
	uint32_t method;
	struct cryptparams params;
	struct ttlv iv, data, salt; /* value NULL: not given */
	uint32_t iterations;
	struct pbkdf2 pbkdf2;
	struct vault_make make;
};

static void base_fetched(struct request *rq, enum err e);
static void derived(struct request *rq, enum err e);
static void derived_made(struct request *rq, enum err e);

/* --- reading --- */

static enum err
read_parameters(struct request *rq, struct derive *d)
{
	struct ttlv_reader r;
	struct ttlv t;
	enum err e;

	if (!ttlv_need(&rq->payload, TAG_DERIVATION_PARAMETERS, TTLV_STRUCTURE, &t))
		return rq->payload.error;
	ttlv_enter(&r, &t);
	e = cryptparams_read(&r, rq->in.version, &d->params);
	if (e != ERR_OK)
		return e;
	ttlv_opt(&r, TAG_INITIALIZATION_VECTOR, TTLV_BYTES, &d->iv);
	ttlv_opt(&r, TAG_DERIVATION_DATA, TTLV_BYTES, &d->data);
	ttlv_opt(&r, TAG_SALT, TTLV_BYTES, &d->salt);
	if (ttlv_opt(&r, TAG_ITERATION_COUNT, TTLV_INTEGER, &t)) {
		if (ttlv_int(&t) <= 0)
			return ERR_INVALID_FIELD;
		d->iterations = ttlv_uint(&t);
	}
	return ttlv_finish(&r);
}

/* What the new object has to say, whatever it is derived from. */
static enum err
check_made(const struct object *o)
{
	if (o->length == 0 || o->usage_mask == 0 ||
	    (o->type == KMIP_OBJECT_TYPE_SYMMETRIC_KEY && o->algorithm == 0))
		return ERR_MISSING_DATA;
	if (o->type == KMIP_OBJECT_TYPE_SYMMETRIC_KEY)
		return create_check_key(o);
	return o->length % 8 == 0 && o->length <= DERIVED_BITS_MAX && o->algorithm == 0
	    ? ERR_OK : ERR_INVALID_FIELD;
}

static enum err
read_derive(struct request *rq, struct derive *d)
{
	struct ttlv t;
	enum err e;

	if (!ttlv_need(&rq->payload, TAG_OBJECT_TYPE, TTLV_ENUM, &t))
		return rq->payload.error;
	if (ttlv_uint(&t) != KMIP_OBJECT_TYPE_SYMMETRIC_KEY &&
	    ttlv_uint(&t) != KMIP_OBJECT_TYPE_SECRET_DATA)
		return ERR_OBJECT_TYPE;
	e = create_begin(rq, d->made, ttlv_uint(&t));
	if (e == ERR_OK)
		e = rq_take_uid(rq, d->base.uid);
	if (e != ERR_OK)
		return e;
	if (ttlv_peek(&rq->payload) == TAG_UNIQUE_IDENTIFIER)
		return ERR_FEATURE_UNSUPPORTED; /* derivation data from an object of its own */
	if (!ttlv_need(&rq->payload, TAG_DERIVATION_METHOD, TTLV_ENUM, &t))
		return rq->payload.error;
	d->method = ttlv_uint(&t);
	e = read_parameters(rq, d);
	if (e == ERR_OK)
		e = create_read_template(rq, d->made);
	if (e == ERR_OK)
		e = rq_take_protection(rq);
	if (e == ERR_OK)
		e = ttlv_finish(&rq->payload);
	return e == ERR_OK ? check_made(d->made) : e;
}

/*
 * The base is linked to all that is derived from it: who follows its links has to find that.  When they
 * take up what it can hold it can still be labelled and replaced.
 */
static enum err
may_derive(struct request *rq, const struct object *o)
{
	enum err e;

	(void)rq;
	if (o->type != KMIP_OBJECT_TYPE_SYMMETRIC_KEY && o->type != KMIP_OBJECT_TYPE_SECRET_DATA)
		return ERR_OBJECT_TYPE;
	e = usage_allowed(o, KMIP_CRYPTOGRAPHIC_USAGE_MASK_DERIVE_KEY, USAGE_PROTECT, clock_wall());
	if (e != ERR_OK)
		return e;
	return o->attrs_count < OBJECT_ATTRS_MAX - BASE_ROOM ? ERR_OK : ERR_TOO_MANY_DERIVED;
}

static void
drop_pbkdf2(void *p)
{
	secret_unref(((struct pbkdf2 *)p)->key);
}

void
derive_key_start(struct request *rq)
{
	struct derive *d = rq->state = arena_zalloc(rq->arena, sizeof(*d));
	enum err e = ERR_NO_MEMORY;

	if (d != NULL)
		d->made = arena_zalloc(rq->arena, sizeof(*d->made));
	if (d != NULL && d->made != NULL && arena_on_free(rq->arena, drop_pbkdf2, &d->pbkdf2) == 0)
		e = fetch_init(rq, &d->base);
	if (e == ERR_OK)
		e = rq_own_secret(rq, &d->make.key);
	if (e == ERR_OK)
		e = read_derive(rq, d);
	if (e != ERR_OK) {
		rq_done(rq, e);
		return;
	}
	d->base.allowed = may_derive;
	d->base.next = base_fetched;
	fetch_start(rq, &d->base);
}

/* --- the methods that are done at once --- */

static enum err
begin_encrypt(struct derive *d, struct crypto **c)
{
	struct crypto_cipher p = {.encrypt = true, .mode = d->params.mode,
	    .padding = d->params.padding, .key = d->base.key, .iv = d->iv.value,
	    .iv_len = d->iv.len, .tag_len = CRYPTO_TAG_MAX};

	if (d->base.object->algorithm != KMIP_CRYPTOGRAPHIC_ALGORITHM_AES)
		return ERR_ALGORITHM;
	if (p.mode == 0)
		return ERR_MISSING_DATA;
	return crypto_cipher_new(c, &p);
}

static enum err
run_method(struct derive *d, struct buf *out)
{
	const uint8_t *data = d->data.value;
	size_t len = d->data.len;
	struct crypto *c = NULL;
	enum err e;

	if (d->method == KMIP_DERIVATION_METHOD_HASH) {
		if (data != NULL)
			return ERR_INVALID_FIELD; /* a digest of that alone would be no secret */
		data = secret_bytes(d->base.key);
		len = secret_len(d->base.key);
	}
	if (data == NULL)
		return ERR_MISSING_DATA;
	if (d->method == KMIP_DERIVATION_METHOD_HASH)
		e = crypto_hash_new(&c, d->params.hash);
	else if (d->method == KMIP_DERIVATION_METHOD_HMAC)
		e = crypto_mac_new(&c, crypto_hmac_of(d->params.hash), d->base.key);
	else
		e = begin_encrypt(d, &c);
	if (e == ERR_OK)
		e = crypto_add(c, data, len, out);
	if (e == ERR_OK)
		e = crypto_end(c, out);
	crypto_free(c);
	return e;
}

/* So many of the first bytes as the new object wants. */
static enum err
derive_at_once(struct derive *d, size_t len)
{
	struct buf out;
	enum err e;

	buf_init(&out, d->data.len + 2 * CRYPTO_MAC_MAX);
	e = run_method(d, &out);
	if (e == ERR_OK && out.len < len)
		e = ERR_INVALID_FIELD;
	if (e == ERR_OK) {
		d->make.key = secret_new(len, SECRET_TRANSIENT);
		if (d->make.key != NULL)
			memcpy(secret_bytes(d->make.key), out.data, len);
		else
			e = ERR_NO_SECURE_MEMORY;
	}
	buf_fini(&out);
	return e;
}

/* --- going on --- */

static void
start_pbkdf2(struct request *rq, struct derive *d, size_t len)
{
	if (d->salt.value == NULL || d->iterations == 0) {
		rq_done(rq, ERR_MISSING_DATA);
		return;
	}
	d->pbkdf2.loop = rq->p.loop;
	d->pbkdf2.algorithm =
	    crypto_hmac_of(d->params.hash != 0 ? d->params.hash : KMIP_HASHING_ALGORITHM_SHA_1);
	d->pbkdf2.password = d->base.key;
	d->pbkdf2.salt = d->salt.value;
	d->pbkdf2.salt_len = d->salt.len;
	d->pbkdf2.iterations = d->iterations;
	d->pbkdf2.len = len;
	rq_await(rq, &d->pbkdf2.wait, derived);
	pbkdf2_start(&d->pbkdf2);
}

static void
base_fetched(struct request *rq, enum err e)
{
	struct derive *d = rq->state;
	size_t len = object_material_len(d->made);

	if (e != ERR_OK) {
		rq_done(rq, e);
		return;
	}
	switch (d->method) {
	case KMIP_DERIVATION_METHOD_PBKDF2:
		start_pbkdf2(rq, d, len);
		break;
	case KMIP_DERIVATION_METHOD_HASH:
	case KMIP_DERIVATION_METHOD_HMAC:
	case KMIP_DERIVATION_METHOD_ENCRYPT:
		derived(rq, derive_at_once(d, len));
		break;
	default:
		rq_done(rq, ERR_FEATURE_UNSUPPORTED);
		break;
	}
}

static enum err
finish_object(struct request *rq, struct derive *d)
{
	struct keyform seed = {
	    .format = KMIP_KEY_FORMAT_TYPE_RAW, .data_type = KMIP_SECRET_DATA_TYPE_SEED};
	enum err e = ERR_OK;

	if (d->made->type == KMIP_OBJECT_TYPE_SECRET_DATA)
		e = keyform_keep(d->made, rq->arena, &seed);
	if (e == ERR_OK)
		e = inherit(rq->arena, d->made, d->base.object, true);
	if (e == ERR_OK)
		e = objattr_set_no_rng(d->made, rq->arena);
	d->old = object_copy(rq->arena, d->base.object);
	if (e == ERR_OK && d->old == NULL)
		e = ERR_NO_MEMORY;
	if (e == ERR_OK)
		e = link_add(d->made, rq->arena, KMIP_LINK_TYPE_DERIVATION_BASE_OBJECT_LINK,
		    d->base.uid);
	if (e == ERR_OK)
		e = link_add(d->old, rq->arena, KMIP_LINK_TYPE_DERIVED_KEY_LINK, d->made->uid);
	if (e != ERR_OK)
		return e;
	d->old->date[DATE_LAST_CHANGE] = clock_wall();
	create_set_birth(rq, d->made);
	create_set_origin(rq, d->made);
	return ERR_OK;
}

static void
derived(struct request *rq, enum err e)
{
	struct derive *d = rq->state;

	if (e == ERR_OK)
		e = finish_object(rq, d);
	if (e != ERR_OK) {
		rq_done(rq, e);
		return;
	}
	if (d->make.key == NULL) {
		d->make.key = d->pbkdf2.key;
		d->pbkdf2.key = NULL;
	}
	create_make(rq, &d->make, d->made, derived_made);
}

static void
derived_made(struct request *rq, enum err e)
{
	struct derive *d = rq->state;

	rq_done(rq, e == ERR_OK ? create_insert_from(rq, &d->make, d->old) : e);
}
