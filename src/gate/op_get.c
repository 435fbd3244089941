/* SPDX-License-Identifier: Apache-2.0 */
/* Get (specification 1.4 section 4.11): the key itself, in the clear, inside TLS. */
#include "request.h"

#include "kmip/names.h"

#include "objattr.h"

struct get {
	char uid[UID_TEXT_LEN + 1];
	uint32_t format;
	struct vault_unwrap unwrap; /* these two: one of them */
	struct cache_get cached;
};

static void get_loaded(struct request *rq, enum err e);
static void get_unwrapped(struct request *rq, enum err e);
static void get_cached(struct request *rq, enum err e);

static enum err
read_get(struct request *rq, struct get *g)
{
	struct ttlv_reader *r = &rq->payload;
	struct ttlv t;
	enum err e = rq_take_uid(rq, g->uid);

	g->format = KMIP_KEY_FORMAT_TYPE_RAW;
	if (e != ERR_OK)
		return e;
	if (ttlv_opt(r, TAG_KEY_FORMAT_TYPE, TTLV_ENUM, &t))
		g->format = ttlv_uint(&t);
	if (rq->in.version >= KMIP_1_4 && ttlv_opt(r, TAG_KEY_WRAP_TYPE, TTLV_ENUM, &t) &&
	    ttlv_uint(&t) != KMIP_KEY_WRAP_TYPE_NOT_WRAPPED)
		return ERR_KEY_WRAP;
	if (ttlv_opt(r, TAG_KEY_COMPRESSION_TYPE, TTLV_ENUM, &t))
		return ERR_KEY_COMPRESSION; /* a matter of elliptic curve public keys */
	if (ttlv_opt(r, TAG_KEY_WRAPPING_SPECIFICATION, TTLV_STRUCTURE, &t))
		return ERR_KEY_WRAP;
	e = ttlv_finish(r);
	if (e == ERR_OK && g->format != KMIP_KEY_FORMAT_TYPE_RAW &&
	    g->format != KMIP_KEY_FORMAT_TYPE_TRANSPARENT_SYMMETRIC_KEY)
		e = ERR_KEY_FORMAT;
	return e;
}

void
get_start(struct request *rq)
{
	struct get *g = rq->state = arena_zalloc(rq->arena, sizeof(*g));
	enum err e = g != NULL ? rq_own_secret(rq, &g->unwrap.key) : ERR_NO_MEMORY;

	if (e == ERR_OK)
		e = rq_own_secret(rq, &g->cached.key);
	if (e == ERR_OK)
		e = read_get(rq, g);
	if (e != ERR_OK) {
		rq_done(rq, e);
		return;
	}
	rq_load(rq, g->uid, get_loaded);
}

/* Such keys leave wrapped or not at all; we cannot wrap. */
static bool
is_hidden(const struct object *o)
{
	return objattr_flag(o, ATTR_SENSITIVE) || !objattr_flag(o, ATTR_EXTRACTABLE);
}

/* The end of a Get that came as far as a key: what was asked for is what was stored, or it is not. */
static void
get_end(struct request *rq, enum err e)
{
	const struct tenant *t = rq->p.tenant;
	const struct get *g = rq->state;

	if (e == ERR_INTEGRITY)
		alarms_raise(t->alarms, t->id, g->uid);
	else if (e == ERR_OK || e == ERR_NO_OBJECT)
		alarms_clear(t->alarms, t->id, g->uid);
	if (e == ERR_OK)
		uses_note(t->uses, t->id, g->uid);
	rq_done(rq, e);
}

static void
ask_cache(struct request *rq, struct get *g)
{
	const struct tenant *t = rq->p.tenant;

	g->cached = (struct cache_get){
	    .custody = t->custody,
	    .vault = t->vault,
	    .object = rq_object(rq),
	    .vault_terms.deadline = rq->p.deadline,
	    .terms = t->cache_terms,
	};
	rq_await(rq, &g->cached.wait, get_cached);
	cache_get(t->cache, &g->cached);
}

static void
get_loaded(struct request *rq, enum err e)
{
	struct get *g = rq->state;
	const struct object *o = rq_object(rq);
	struct vault *v = rq->p.tenant->vault;
	struct secret *made;

	if (e == ERR_OK && object_is_destroyed(o))
		e = ERR_NO_OBJECT; /* it does not exist any more for those who want it */
	else if (e == ERR_OK && is_hidden(o))
		e = ERR_DENIED;
	if (e != ERR_OK) {
		get_end(rq, e);
		return;
	}
	made = changes_key(&rq->changes, g->uid);
	if (made != NULL) {
		g->unwrap.key = secret_ref(made);
		rq_await(rq, &g->unwrap.wait, get_unwrapped);
		wait_finish_soon(rq->p.loop, &g->unwrap.wait, ERR_OK);
	} else if (rq->p.tenant->cache != NULL) {
		ask_cache(rq, g);
	} else {
		g->unwrap.object = o;
		g->unwrap.terms.deadline = rq->p.deadline;
		rq_await(rq, &g->unwrap.wait, get_unwrapped);
		v->ops->unwrap(v, &g->unwrap);
	}
}

static void
put_key_value(struct buf *b, uint32_t format, struct secret *key)
{
	size_t value = ttlv_begin(b, TAG_KEY_VALUE);

	if (format == KMIP_KEY_FORMAT_TYPE_RAW) {
		ttlv_put_bytes(b, TAG_KEY_MATERIAL, secret_bytes(key), secret_len(key));
	} else {
		size_t material = ttlv_begin(b, TAG_KEY_MATERIAL);

		ttlv_put_bytes(b, TAG_KEY, secret_bytes(key), secret_len(key));
		ttlv_end(b, material);
	}
	ttlv_end(b, value);
}

static void
put_symmetric_key(struct buf *b, const struct object *o, uint32_t format, struct secret *key)
{
	size_t object = ttlv_begin(b, TAG_SYMMETRIC_KEY);
	size_t block = ttlv_begin(b, TAG_KEY_BLOCK);

	ttlv_put_enum(b, TAG_KEY_FORMAT_TYPE, format);
	put_key_value(b, format, key);
	ttlv_put_enum(b, TAG_CRYPTOGRAPHIC_ALGORITHM, o->algorithm);
	ttlv_put_int(b, TAG_CRYPTOGRAPHIC_LENGTH, (int32_t)o->length);
	ttlv_end(b, block);
	ttlv_end(b, object);
}

/*
 * The first Get makes the object not fresh.  Get counts as an operation that changes nothing: if
 * this is the only change and cannot be committed, the key is served all the same.
 */
static enum err
set_served(struct request *rq)
{
	struct object *o;
	enum err e;

	if (!objattr_flag(rq_object(rq), ATTR_FRESH))
		return ERR_OK;
	o = rq_object_copy(rq);
	e = o != NULL ? objattr_set_flag(o, rq->arena, ATTR_FRESH, false) : ERR_NO_MEMORY;
	return e == ERR_OK ? changes_put(&rq->changes, CHANGE_UPDATE, o, NULL) : e;
}

/* From here on it is as if the vault had answered. */
static void
get_cached(struct request *rq, enum err e)
{
	struct get *g = rq->state;

	g->unwrap.key = g->cached.key;
	g->unwrap.gone = g->cached.gone;
	g->cached.key = NULL;
	get_unwrapped(rq, e);
}

static void
get_unwrapped(struct request *rq, enum err e)
{
	struct get *g = rq->state;
	const struct object *o = rq_object(rq);

	if (e == ERR_NO_OBJECT && rq_may_reload(rq)) {
		rq_reload(rq, g->unwrap.gone, get_loaded);
		return;
	}
	if (e == ERR_OK)
		e = set_served(rq);
	if (e == ERR_OK && o->state == OBJECT_COMPROMISED)
		rq_note(rq, "compromised key served");
	if (e == ERR_OK) {
		ttlv_put_enum(&rq->out, TAG_OBJECT_TYPE, o->type);
		rq_put_uid(rq, o->uid);
		put_symmetric_key(&rq->out, o, g->format, g->unwrap.key);
		secret_unref(g->unwrap.key);
		g->unwrap.key = NULL;
	}
	get_end(rq, e);
}
