/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Get and Export (specification 1.4 sections 4.11 and 4.40): the key itself, in the clear or wrapped,
 * inside TLS; Export with all attributes.
 */
#include "fetch.h"

#include <string.h>

#include "kmip/names.h"

#include "objattr.h"
#include "template.h"
#include "wrap.h"

struct get {
	struct fetch fetch;
	uint32_t format; /* 0: as it is */
	bool unwrapped;  /* not as it was registered, if that is wrapped */
	bool export;
	struct wrap *wrap;
};

static void get_fetched(struct request *rq, enum err e);
static void wrapping_key_fetched(struct request *rq, enum err e);

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
	if (ttlv_opt(r, TAG_KEY_FORMAT_TYPE, TTLV_ENUM, &t)) {
		g->format = ttlv_uint(&t);
		if (!keyblock_is_format(g->format))
			return ERR_KEY_FORMAT;
	}
	e = read_wrap_type(rq, g);
	if (e != ERR_OK)
		return e;
	if (ttlv_opt(r, TAG_KEY_COMPRESSION_TYPE, TTLV_ENUM, &t))
		return ERR_KEY_COMPRESSION; /* a matter of elliptic curve public keys */
	if (ttlv_peek(r) == TAG_KEY_WRAPPING_SPECIFICATION) {
		g->wrap = arena_zalloc(rq->arena, sizeof(*g->wrap));
		e = g->wrap != NULL ? wrap_read(rq, g->wrap) : ERR_NO_MEMORY;
	}
	return e == ERR_OK ? ttlv_finish(r) : e;
}

/* Whether it may leave, and in the form that was asked for. */
static enum err
may_leave(struct request *rq, const struct object *o)
{
	const struct get *g = rq->state;
	struct keyform f;

	if (!objattr_flag(o, ATTR_EXTRACTABLE))
		return ERR_NOT_EXTRACTABLE;
	if (objattr_flag(o, ATTR_SENSITIVE) && g->wrap == NULL)
		return ERR_SENSITIVE;
	if (g->format != 0 && !keyblock_has_format(o, g->format))
		return ERR_KEY_FORMAT;
	if (g->wrap != NULL &&
	    (o->type == KMIP_OBJECT_TYPE_OPAQUE_OBJECT || o->type == KMIP_OBJECT_TYPE_TEMPLATE ||
		strcmp(o->uid, g->wrap->key.uid) == 0))
		return ERR_OBJECT_TYPE;
	keyform_of(o, &f);
	if ((g->unwrapped || g->wrap != NULL) && f.wrapping.value != NULL)
		return ERR_WRAPPED;
	return ERR_OK;
}

static void
begin(struct request *rq, bool export)
{
	struct get *g = rq->state = arena_zalloc(rq->arena, sizeof(*g));
	enum err e = g != NULL ? fetch_init(rq, &g->fetch) : ERR_NO_MEMORY;

	if (e == ERR_OK) {
		g->export = export;
		e = read_get(rq, g);
	}
	if (e != ERR_OK) {
		rq_done(rq, e);
		return;
	}
	g->fetch.allowed = may_leave;
	g->fetch.next = get_fetched;
	fetch_start(rq, &g->fetch);
}

void
get_start(struct request *rq)
{
	begin(rq, false);
}

void
export_start(struct request *rq)
{
	begin(rq, true);
}

/*
 * The first Get makes the object not fresh.  Get counts as an operation that changes nothing: if
 * this is the only change and cannot be committed, or not soon, the key is served all the same.
 */
static enum err
set_served(struct request *rq, const struct object *served)
{
	struct object *o;
	enum err e;

	if (served->type == KMIP_OBJECT_TYPE_TEMPLATE || !objattr_flag(served, ATTR_FRESH))
		return ERR_OK;
	o = object_copy(rq->arena, served);
	e = o != NULL ? objattr_set_flag(o, rq->arena, ATTR_FRESH, false) : ERR_NO_MEMORY;
	return e == ERR_OK ? changes_put(&rq->changes, CHANGE_UPDATE, o, NULL) : e;
}

static enum err
put_object(struct request *rq, const struct get *g)
{
	const struct object *o = g->fetch.object;
	struct keyblock_put p = {.format = g->format, .key = g->fetch.key};
	struct keyform f;
	enum err e = ERR_OK;

	if (p.format == 0) {
		keyform_of(o, &f);
		p.format = f.format;
	}
	if (g->wrap != NULL)
		e = wrap_do(rq, g->wrap, o, &p);
	if (e != ERR_OK)
		return e;
	ttlv_put_enum(&rq->out, TAG_OBJECT_TYPE, o->type);
	rq_put_uid(rq, o->uid);
	if (g->export) {
		e = rq_put_attributes(rq, o);
		rq_set_placeholder(rq, o->uid);
	}
	if (o->type == KMIP_OBJECT_TYPE_TEMPLATE)
		return e == ERR_OK ? template_put(rq, o) : e;
	keyblock_put(&rq->out, o, &p);
	return e;
}

static void
serve(struct request *rq, struct get *g)
{
	enum err e = put_object(rq, g);

	if (e == ERR_OK)
		e = set_served(rq, g->fetch.object);
	if (e == ERR_TOO_MANY_ATTRIBUTES)
		e = ERR_OK; /* no room to note it: served all the same */
	if (e == ERR_OK && g->fetch.object->state == OBJECT_COMPROMISED)
		rq_note(rq, "compromised key served");
	rq_done(rq, e);
}

/* Of what is destroyed Export still gives the attributes, and an object without its value. */
static bool
is_remembered(const struct get *g, enum err e)
{
	return g->export && e == ERR_NO_OBJECT && g->fetch.object != NULL &&
	    object_is_destroyed(g->fetch.object);
}

static void
get_fetched(struct request *rq, enum err e)
{
	struct get *g = rq->state;

	if (is_remembered(g, e)) {
		g->wrap = NULL;
		rq_done(rq, put_object(rq, g));
	} else if (e != ERR_OK) {
		rq_done(rq, e);
	} else if (g->wrap != NULL) {
		g->wrap->key.next = wrapping_key_fetched;
		fetch_start(rq, &g->wrap->key);
	} else {
		serve(rq, g);
	}
}

/*
 * Who could ever read the wrapping key could read what it wraps, and so could who decrypts with it,
 * since AES key wrap is AES block by block: that would be no wrap at all.
 */
static bool
hides(const struct object *wrapper)
{
	return (objattr_flag(wrapper, ATTR_ALWAYS_SENSITIVE) ||
		   objattr_flag(wrapper, ATTR_NEVER_EXTRACTABLE)) &&
	    (wrapper->usage_mask & KMIP_CRYPTOGRAPHIC_USAGE_MASK_DECRYPT) == 0;
}

static void
wrapping_key_fetched(struct request *rq, enum err e)
{
	const struct get *g = rq->state;

	if (e == ERR_OK && objattr_flag(g->fetch.object, ATTR_SENSITIVE) &&
	    !hides(g->wrap->key.object))
		e = ERR_SENSITIVE_WRAPPER;
	if (e == ERR_OK)
		serve(rq, rq->state);
	else
		rq_done(rq, wrap_error(g->wrap, e));
}
