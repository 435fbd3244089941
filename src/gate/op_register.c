/* SPDX-License-Identifier: Apache-2.0 */
/* Register (specification 1.4 section 4.3): an object that the client has already. */
#include "register.h"

#include <string.h>

#include "kmip/names.h"

#include "objattr.h"
#include "template.h"

struct registering {
	struct object *object;
	struct vault_make make;
};

static void registered(struct request *rq, enum err e);

/* Attributes that stand beside the material count as if they stood in the template. */
static enum err
take_attributes(struct request *rq, struct object *o, const struct keyblock *k)
{
	struct ttlv_reader r;
	struct ttlv t;
	enum err e;

	if (k->value.value == NULL)
		return ERR_OK;
	ttlv_enter(&r, &k->value);
	ttlv_next(&r, &t); /* the material */
	if (rq->in.version < KMIP_2_0)
		return create_take_attributes(rq, &r, o);
	if (ttlv_opt(&r, TAG_ATTRIBUTES, TTLV_STRUCTURE, &t)) {
		struct ttlv_reader in;

		ttlv_enter(&in, &t);
		e = create_take_attributes(rq, &in, o);
		if (e != ERR_OK)
			return e;
	}
	return ttlv_finish(&r);
}

static bool
takes(uint32_t *field, uint32_t said)
{
	if (*field == 0)
		*field = said;
	return said == 0 || *field == said;
}

/* A key whose bytes can be seen has the length that it says, and one that is in use. */
static enum err
check_length(const struct object *o, size_t len)
{
	switch (o->algorithm) {
	case KMIP_CRYPTOGRAPHIC_ALGORITHM_AES:
		if (o->length != 128 && o->length != 192 && o->length != 256)
			return ERR_ALGORITHM;
		break;
	case KMIP_CRYPTOGRAPHIC_ALGORITHM_3DES:
		if (len != 16 && len != 24)
			return ERR_ALGORITHM;
		break;
	default:
		break;
	}
	return object_material_len(o) == len ? ERR_OK : ERR_INVALID_FIELD;
}

static enum err
check_symmetric(struct object *o, const struct keyblock *k)
{
	if (!takes(&o->algorithm, k->algorithm) || !takes(&o->length, k->length))
		return ERR_INVALID_FIELD;
	if (o->algorithm == 0 || o->usage_mask == 0)
		return ERR_MISSING_DATA;
	switch (o->algorithm) {
	case KMIP_CRYPTOGRAPHIC_ALGORITHM_AES:
	case KMIP_CRYPTOGRAPHIC_ALGORITHM_3DES:
	case KMIP_CRYPTOGRAPHIC_ALGORITHM_HMAC_SHA1:
	case KMIP_CRYPTOGRAPHIC_ALGORITHM_HMAC_SHA224:
	case KMIP_CRYPTOGRAPHIC_ALGORITHM_HMAC_SHA256:
	case KMIP_CRYPTOGRAPHIC_ALGORITHM_HMAC_SHA384:
	case KMIP_CRYPTOGRAPHIC_ALGORITHM_HMAC_SHA512:
		break;
	default:
		return ERR_ALGORITHM;
	}
	if (k->form.wrapping.value != NULL)
		return o->length != 0 ? ERR_OK : ERR_MISSING_DATA;
	if (o->length == 0)
		o->length = (uint32_t)k->material.len * 8;
	return check_length(o, k->material.len);
}

/* What is no key has no algorithm, and no usage unless it is given; its bytes tell its length. */
static enum err
check_other(struct object *o, const struct keyblock *k)
{
	if (o->algorithm != 0)
		return ERR_INVALID_FIELD;
	o->length = (uint32_t)k->material.len * 8;
	return ERR_OK;
}

enum err
register_check(struct object *o, const struct keyblock *k)
{
	return o->type == KMIP_OBJECT_TYPE_SYMMETRIC_KEY ? check_symmetric(o, k) : check_other(o, k);
}

enum err
register_keep(struct request *rq, struct object *o, const struct keyblock *k)
{
	const struct kmip_attr_info *info = kmip_attr_info(ATTR_RANDOM_NUMBER_GENERATOR);
	enum err e = keyform_keep(o, rq->arena, &k->form);

	if (e == ERR_OK && object_attr_get(o, info->name, 0) == NULL)
		e = objattr_set_no_rng(o, rq->arena);
	return e;
}

enum err
register_take_material(const struct keyblock *k, struct secret **out)
{
	struct secret *key = secret_new(k->material.len, SECRET_TRANSIENT);

	if (key == NULL)
		return ERR_NO_SECURE_MEMORY;
	memcpy(secret_bytes(key), k->material.value, k->material.len);
	*out = key;
	return ERR_OK;
}

static enum err
read_object(struct request *rq, struct registering *rg)
{
	struct object *o = rg->object;
	struct keyblock k;
	enum err e;

	if (o->type == KMIP_OBJECT_TYPE_TEMPLATE && rq->in.version < KMIP_2_0) {
		e = template_read(rq, o, &rg->make.key);
		return e == ERR_OK ? ttlv_finish(&rq->payload) : e;
	}
	e = keyblock_read(&rq->payload, o->type, rq->in.version, &k);
	if (e == ERR_OK)
		e = rq_take_protection(rq);
	if (e == ERR_OK)
		e = ttlv_finish(&rq->payload);
	if (e == ERR_OK)
		e = take_attributes(rq, o, &k);
	if (e == ERR_OK)
		e = register_check(o, &k);
	if (e == ERR_OK)
		e = register_keep(rq, o, &k);
	return e == ERR_OK ? register_take_material(&k, &rg->make.key) : e;
}

static enum err
read_register(struct request *rq, struct registering *rg)
{
	struct ttlv type;
	enum err e;

	if (!ttlv_need(&rq->payload, TAG_OBJECT_TYPE, TTLV_ENUM, &type))
		return rq->payload.error;
	e = create_begin(rq, rg->object, ttlv_uint(&type));
	if (e == ERR_OK)
		e = create_read_template(rq, rg->object);
	return e == ERR_OK ? read_object(rq, rg) : e;
}

void
register_start(struct request *rq)
{
	struct registering *rg = rq->state = arena_zalloc(rq->arena, sizeof(*rg));
	enum err e = ERR_NO_MEMORY;

	if (rg != NULL)
		rg->object = arena_zalloc(rq->arena, sizeof(*rg->object));
	if (rg != NULL && rg->object != NULL)
		e = rq_own_secret(rq, &rg->make.key);
	if (e == ERR_OK)
		e = read_register(rq, rg);
	if (e != ERR_OK) {
		rq_done(rq, e);
		return;
	}
	create_set_birth(rq, rg->object);
	create_make(rq, &rg->make, rg->object, registered);
}

static void
registered(struct request *rq, enum err e)
{
	struct registering *rg = rq->state;

	rq_done(rq, e == ERR_OK ? create_insert(rq, &rg->make) : e);
}
