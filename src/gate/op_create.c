/* SPDX-License-Identifier: Apache-2.0 */
/* Create (specification 1.4 section 4.1, 2.1 section 6.1.8): a new symmetric key. */
#include "create.h"

#include <string.h>

#include <openssl/rand.h>

#include "base/clock.h"
#include "kmip/names.h"

#include "appdata.h"
#include "objattr.h"
#include "template.h"

enum { HMAC_BITS_MIN = 112, HMAC_BITS_MAX = 1024 };

struct create {
	struct object *object;
	struct vault_make make;
};

static void create_made(struct request *rq, enum err e);

enum err
create_begin(struct request *rq, struct object *o, uint32_t type)
{
	o->type = type;
	for (int i = 0; i < DATE_COUNT; i++)
		o->date[i] = NO_DATE;
	memcpy(o->tenant, rq->p.tenant->id, sizeof(o->tenant));
	return rq->p.tenant->keys_in == NULL ? text_uuid7(o->uid) : ERR_OTHER_VAULT;
}

static uint32_t
template_tag(const struct request *rq)
{
	return rq->in.version < KMIP_2_0 ? TAG_TEMPLATE_ATTRIBUTE : TAG_ATTRIBUTES;
}

bool
create_has_template(const struct request *rq)
{
	return ttlv_peek(&rq->payload) == template_tag(rq);
}

/* 2.x is not told: its answers have no place for attributes. */
static void
note_implied(struct request *rq, struct kmip_attr *at, uint32_t index)
{
	if (rq->in.version >= KMIP_2_0)
		return;
	at->index = (int32_t)index;
	at->has_index = index > 0;
	kmip_attr_write(&rq->implied, rq->in.version, at);
}

static enum err
take_attribute(struct request *rq, struct object *o, struct kmip_attr *at)
{
	uint32_t index = 0;
	bool made;
	enum err e = appdata_complete(rq->arena, at, &made);

	if (e == ERR_OK)
		e = objattr_set(o, rq->arena, at, BY_CREATE, rq->in.version, &index);
	if (e == ERR_OK && made)
		note_implied(rq, at, index);
	return e;
}

enum err
create_take_attributes(struct request *rq, struct ttlv_reader *r, struct object *o)
{
	struct kmip_attr at;
	enum err e = ERR_OK;

	while (e == ERR_OK && kmip_attr_follows(r, rq->in.version) &&
	    kmip_attr_read(r, rq->arena, rq->in.version, true, &at))
		e = take_attribute(rq, o, &at);
	return e != ERR_OK ? e : ttlv_finish(r);
}

enum err
create_read_template(struct request *rq, struct object *o)
{
	struct ttlv_reader r;
	struct ttlv t;
	enum err e;

	if (!ttlv_need(&rq->payload, template_tag(rq), TTLV_STRUCTURE, &t))
		return rq->payload.error;
	ttlv_enter(&r, &t);
	while (rq->in.version < KMIP_2_0 && ttlv_opt(&r, TAG_NAME, TTLV_STRUCTURE, &t))
		; /* of templates, which were found by now */
	e = create_take_attributes(rq, &r, o);
	return e == ERR_OK ? template_apply(rq, o) : e;
}

enum err
create_check_key(const struct object *o)
{
	if (o->algorithm == 0 || o->length == 0 || o->usage_mask == 0)
		return ERR_MISSING_DATA;
	switch (o->algorithm) {
	case KMIP_CRYPTOGRAPHIC_ALGORITHM_AES:
		return o->length == 128 || o->length == 192 || o->length == 256 ? ERR_OK
										: ERR_ALGORITHM;
	case KMIP_CRYPTOGRAPHIC_ALGORITHM_3DES:
		return o->length == 112 || o->length == 168 ? ERR_OK : ERR_ALGORITHM;
	case KMIP_CRYPTOGRAPHIC_ALGORITHM_HMAC_SHA1:
	case KMIP_CRYPTOGRAPHIC_ALGORITHM_HMAC_SHA224:
	case KMIP_CRYPTOGRAPHIC_ALGORITHM_HMAC_SHA256:
	case KMIP_CRYPTOGRAPHIC_ALGORITHM_HMAC_SHA384:
	case KMIP_CRYPTOGRAPHIC_ALGORITHM_HMAC_SHA512:
		return o->length >= HMAC_BITS_MIN && o->length <= HMAC_BITS_MAX && o->length % 8 == 0
		    ? ERR_OK
		    : ERR_ALGORITHM;
	default:
		return ERR_ALGORITHM;
	}
}

void
create_set_birth(struct request *rq, struct object *o)
{
	int64_t now = clock_wall();

	o->state = OBJECT_PRE_ACTIVE;
	o->date[DATE_INITIAL] = now;
	o->date[DATE_LAST_CHANGE] = now;
	if (rq->p.tenant->born_active && o->date[DATE_ACTIVATION] == NO_DATE &&
	    o->type != KMIP_OBJECT_TYPE_OPAQUE_OBJECT && o->type != KMIP_OBJECT_TYPE_TEMPLATE)
		o->date[DATE_ACTIVATION] = now;
	if (o->date[DATE_ACTIVATION] != NO_DATE && o->date[DATE_ACTIVATION] <= now)
		o->state = OBJECT_ACTIVE;
}

void
create_set_origin(struct request *rq, struct object *o)
{
	if (rq->in.version >= KMIP_1_2)
		o->date[DATE_ORIGINAL_CREATION] = o->date[DATE_INITIAL];
}

static enum err
read_create(struct request *rq, struct object *o)
{
	struct ttlv type;
	enum err e;

	if (!ttlv_need(&rq->payload, TAG_OBJECT_TYPE, TTLV_ENUM, &type))
		return rq->payload.error;
	if (ttlv_uint(&type) != KMIP_OBJECT_TYPE_SYMMETRIC_KEY)
		return ERR_OBJECT_TYPE;
	e = create_begin(rq, o, ttlv_uint(&type));
	if (e == ERR_OK)
		e = create_read_template(rq, o);
	if (e == ERR_OK)
		e = rq_take_protection(rq);
	if (e == ERR_OK)
		e = ttlv_finish(&rq->payload);
	return e == ERR_OK ? create_check_key(o) : e;
}

/* Vaults make keys of so many random bits; those of 3DES have parity bits beside them. */
enum err
create_choose_key(const struct object *o, struct secret **out)
{
	struct secret *key;
	uint8_t *b;

	if (o->algorithm != KMIP_CRYPTOGRAPHIC_ALGORITHM_3DES)
		return ERR_OK;
	key = secret_new(object_material_len(o), SECRET_TRANSIENT);
	if (key == NULL)
		return ERR_NO_SECURE_MEMORY;
	b = secret_bytes(key);
	if (RAND_priv_bytes(b, (int)secret_len(key)) != 1) {
		secret_unref(key);
		return ERR_CRYPTO;
	}
	for (size_t i = 0; i < secret_len(key); i++)
		b[i] = (uint8_t)((b[i] & ~1U) | !__builtin_parity(b[i] & ~1U));
	*out = key;
	return ERR_OK;
}

void
create_make(struct request *rq, struct vault_make *m, struct object *o,
    void (*made)(struct request *, enum err))
{
	struct vault *v = rq->p.tenant->vault;

	m->arena = rq->arena;
	m->object = o;
	m->terms.deadline = rq->p.deadline;
	rq_await(rq, &m->wait, made);
	v->ops->make(v, m);
}

static void
put_implied(struct request *rq)
{
	size_t mark;

	if (rq->implied.len == 0)
		return;
	mark = ttlv_begin(&rq->out, TAG_TEMPLATE_ATTRIBUTE);
	buf_put(&rq->out, rq->implied.data, rq->implied.len);
	ttlv_end(&rq->out, mark);
}

enum err
create_insert(struct request *rq, const struct vault_make *m)
{
	enum err e = buf_error(&rq->implied);

	if (e == ERR_OK)
		e = changes_put(&rq->changes, CHANGE_INSERT, m->object, secret_ref(m->key));
	if (e != ERR_OK)
		return e;
	rq_set_placeholder(rq, m->object->uid);
	rq_put_uid(rq, m->object->uid);
	put_implied(rq);
	return ERR_OK;
}

/* The second of an item's two changes always has room, and needs no memory. */
enum err
create_insert_from(struct request *rq, const struct vault_make *m, struct object *from)
{
	enum err e = create_insert(rq, m);

	return e == ERR_OK ? changes_put(&rq->changes, CHANGE_UPDATE, from, NULL) : e;
}

void
create_start(struct request *rq)
{
	struct create *c = rq->state = arena_zalloc(rq->arena, sizeof(*c));
	enum err e = ERR_NO_MEMORY;

	if (c != NULL)
		c->object = arena_zalloc(rq->arena, sizeof(*c->object));
	if (c != NULL && c->object != NULL)
		e = rq_own_secret(rq, &c->make.key);
	if (e == ERR_OK)
		e = read_create(rq, c->object);
	if (e == ERR_OK)
		e = create_choose_key(c->object, &c->make.key);
	if (e != ERR_OK) {
		rq_done(rq, e);
		return;
	}
	create_set_birth(rq, c->object);
	create_set_origin(rq, c->object);
	create_make(rq, &c->make, c->object, create_made);
}

static void
create_made(struct request *rq, enum err e)
{
	struct create *c = rq->state;

	if (e == ERR_OK) {
		ttlv_put_enum(&rq->out, TAG_OBJECT_TYPE, c->object->type);
		e = create_insert(rq, &c->make);
	}
	rq_done(rq, e);
}
