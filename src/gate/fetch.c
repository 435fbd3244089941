/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fetching a key: from the message's own changes, from the cache, or from the vault.  What was asked
 * for is what was stored, or there is an alarm.
 */
#include "fetch.h"

static void fetch_loaded(struct request *rq, enum err e);
static void fetch_unwrapped(struct request *rq, enum err e);

enum err
fetch_init(struct request *rq, struct fetch *f)
{
	enum err e = rq_own_secret(rq, &f->unwrap.key);

	if (e == ERR_OK)
		e = rq_own_secret(rq, &f->cached.key);
	return e == ERR_OK ? rq_own_secret(rq, &f->key) : e;
}

void
fetch_start(struct request *rq, struct fetch *f)
{
	rq->fetch = f;
	rq_load(rq, f->uid, fetch_loaded);
}

static void
fetch_end(struct request *rq, enum err e)
{
	const struct tenant *t = rq->p.tenant;
	struct fetch *f = rq->fetch;

	if (e == ERR_INTEGRITY)
		alarms_raise(t->alarms, t->id, f->uid);
	else if (e == ERR_NO_ROOT_KEY && f->unwrap.unkeyed)
		alarms_raise_unkeyed(t->alarms, t->id, f->uid, f->unwrap.root_version);
	else if (e == ERR_OK || e == ERR_NO_OBJECT)
		alarms_clear(t->alarms, t->id, f->uid);
	if (e == ERR_OK)
		uses_note(t->uses, t->id, f->uid);
	f->next(rq, e);
}

/* From here on it is as if the vault had answered. */
static void
fetch_cached(struct request *rq, enum err e)
{
	struct fetch *f = rq->fetch;

	f->unwrap.key = f->cached.key;
	f->unwrap.gone = f->cached.gone;
	f->cached.key = NULL;
	fetch_unwrapped(rq, e);
}

static void
ask_cache(struct request *rq, struct fetch *f)
{
	const struct tenant *t = rq->p.tenant;

	f->cached = (struct cache_get){
	    .custody = t->custody,
	    .vault = t->vault,
	    .object = f->object,
	    .vault_terms.deadline = rq->p.deadline,
	    .terms = t->cache_terms,
	};
	rq_await(rq, &f->cached.wait, fetch_cached);
	cache_get(t->cache, &f->cached);
}

/* The tenant does not want it to be served or used, whoever has it meanwhile. */
static bool
is_refused(struct request *rq, const struct object *o)
{
	bool refused = o->state == OBJECT_COMPROMISED && rq->p.tenant->refuse_compromised;

	if (refused)
		rq_note(rq, "compromised key refused");
	return refused;
}

static void
fetch_loaded(struct request *rq, enum err e)
{
	struct fetch *f = rq->fetch;
	struct vault *v = rq->p.tenant->vault;
	struct secret *made;

	f->object = rq_object(rq);
	if (e == ERR_OK && object_is_destroyed(f->object))
		e = ERR_NO_OBJECT; /* it does not exist any more for those who want it */
	if (e == ERR_OK && object_is_archived(f->object))
		e = ERR_ARCHIVED;
	if (e == ERR_OK && is_refused(rq, f->object))
		e = ERR_DENIED;
	if (e == ERR_OK && f->allowed != NULL)
		e = f->allowed(rq, f->object);
	if (e != ERR_OK) {
		fetch_end(rq, e);
		return;
	}
	made = changes_key(&rq->changes, f->uid);
	if (made != NULL) {
		f->unwrap.key = secret_ref(made);
		rq_await(rq, &f->unwrap.wait, fetch_unwrapped);
		wait_finish_soon(rq->p.loop, &f->unwrap.wait, ERR_OK);
	} else if (rq->p.tenant->cache != NULL) {
		ask_cache(rq, f);
	} else {
		f->unwrap.object = f->object;
		f->unwrap.terms.deadline = rq->p.deadline;
		rq_await(rq, &f->unwrap.wait, fetch_unwrapped);
		v->ops->unwrap(v, &f->unwrap);
	}
}

static void
fetch_unwrapped(struct request *rq, enum err e)
{
	struct fetch *f = rq->fetch;

	if (e == ERR_NO_OBJECT && rq_may_reload(rq)) {
		rq_reload(rq, f->unwrap.gone, fetch_loaded);
		return;
	}
	if (e == ERR_OK) {
		f->key = f->unwrap.key;
		f->unwrap.key = NULL;
	}
	fetch_end(rq, e);
}
