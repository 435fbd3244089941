/* SPDX-License-Identifier: Apache-2.0 */
/* Get (specification 1.4 section 4.11): the key itself, in the clear, inside TLS. */
#include "fetch.h"

#include "kmip/names.h"

#include "keyblock.h"
#include "objattr.h"

struct get {
	struct fetch fetch;
	uint32_t format; /* 0: as it is */
	bool unwrapped;  /* not as it was registered, if that is wrapped */
};

static void get_fetched(struct request *rq, enum err e);

static enum err
read_wrap_type(struct request *rq, struct get *g)
{
	struct ttlv t;

	if (rq->in.version < KMIP_1_4 || !ttlv_opt(&rq->payload, TAG_KEY_WRAP_TYPE, TTLV_ENUM, &t))
		return rq->payload.error;
	if (!kmip_value_known(SET_KEY_WRAP_TYPE, ttlv_uint(&t), rq->in.version))
		return ERR_INVALID_FIELD;
	g->unwrapped = ttlv_uint(&t) == KMIP_KEY_WRAP_TYPE_NOT_WRAPPED;
	return ERR_OK;
}

static enum err
read_get(struct request *rq, struct get *g)
{
	struct ttlv_reader *r = &rq->payload;
	struct ttlv t;
	enum err e = rq_take_uid(rq, g->fetch.uid);

	if (e != ERR_OK)
		return e;
	if (ttlv_opt(r, TAG_KEY_FORMAT_TYPE, TTLV_ENUM, &t))
		g->format = ttlv_uint(&t);
	e = read_wrap_type(rq, g);
	if (e != ERR_OK)
		return e;
	if (ttlv_opt(r, TAG_KEY_COMPRESSION_TYPE, TTLV_ENUM, &t))
		return ERR_KEY_COMPRESSION; /* a matter of elliptic curve public keys */
	if (ttlv_opt(r, TAG_KEY_WRAPPING_SPECIFICATION, TTLV_STRUCTURE, &t))
		return ERR_KEY_WRAP;
	return ttlv_finish(r);
}

/* Whether it may leave, and in the form that was asked for. */
static enum err
may_leave(struct request *rq, const struct object *o)
{
	const struct get *g = rq->state;
	struct keyform f;

	if (!objattr_flag(o, ATTR_EXTRACTABLE))
		return ERR_NOT_EXTRACTABLE;
	if (objattr_flag(o, ATTR_SENSITIVE))
		return ERR_SENSITIVE;
	if (g->format != 0 && !keyblock_has_format(o, g->format))
		return ERR_KEY_FORMAT;
	keyform_of(o, &f);
	if (g->unwrapped && f.wrapping.value != NULL)
		return ERR_KEY_WRAP; /* it is kept as it came */
	return ERR_OK;
}

void
get_start(struct request *rq)
{
	struct get *g = rq->state = arena_zalloc(rq->arena, sizeof(*g));
	enum err e = g != NULL ? fetch_init(rq, &g->fetch) : ERR_NO_MEMORY;

	if (e == ERR_OK)
		e = read_get(rq, g);
	if (e != ERR_OK) {
		rq_done(rq, e);
		return;
	}
	g->fetch.allowed = may_leave;
	g->fetch.next = get_fetched;
	fetch_start(rq, &g->fetch);
}

/*
 * The first Get makes the object not fresh.  Get counts as an operation that changes nothing: if
 * this is the only change and cannot be committed, the key is served all the same.
 */
static enum err
set_served(struct request *rq, const struct object *served)
{
	struct object *o;
	enum err e;

	if (!objattr_flag(served, ATTR_FRESH))
		return ERR_OK;
	o = object_copy(rq->arena, served);
	e = o != NULL ? objattr_set_flag(o, rq->arena, ATTR_FRESH, false) : ERR_NO_MEMORY;
	return e == ERR_OK ? changes_put(&rq->changes, CHANGE_UPDATE, o, NULL) : e;
}

static void
put_object(struct request *rq, const struct get *g)
{
	const struct object *o = g->fetch.object;
	struct keyblock_put p = {.format = g->format, .key = g->fetch.key};
	struct keyform f;

	if (p.format == 0) {
		keyform_of(o, &f);
		p.format = f.format;
	}
	ttlv_put_enum(&rq->out, TAG_OBJECT_TYPE, o->type);
	rq_put_uid(rq, o->uid);
	keyblock_put(&rq->out, o, &p);
}

static void
get_fetched(struct request *rq, enum err e)
{
	struct get *g = rq->state;

	if (e == ERR_OK)
		e = set_served(rq, g->fetch.object);
	if (e == ERR_OK && g->fetch.object->state == OBJECT_COMPROMISED)
		rq_note(rq, "compromised key served");
	if (e == ERR_OK)
		put_object(rq, g);
	rq_done(rq, e);
}
