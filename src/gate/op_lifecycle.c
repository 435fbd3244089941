/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Activate, Revoke, Destroy (specification 1.4 sections 4.19, 4.20, 4.21) and the state machine
 * behind them (section 3.22).
 */
#include "request.h"

#include <string.h>

#include "base/clock.h"
#include "kmip/names.h"

enum act { ACT_ACTIVATE, ACT_DEACTIVATE, ACT_COMPROMISE, ACT_DESTROY, ACT_COUNT };

/* The state that follows, or 0 where the act is not allowed. */
static const enum object_state next_state[][ACT_COUNT] = {
    [OBJECT_PRE_ACTIVE] = {OBJECT_ACTIVE, 0, OBJECT_COMPROMISED, OBJECT_DESTROYED},
    [OBJECT_ACTIVE] = {0, OBJECT_DEACTIVATED, OBJECT_COMPROMISED, 0},
    [OBJECT_DEACTIVATED] = {0, 0, OBJECT_COMPROMISED, OBJECT_DESTROYED},
    [OBJECT_COMPROMISED] = {0, 0, 0, OBJECT_DESTROYED_COMPROMISED},
    [OBJECT_DESTROYED] = {0, 0, OBJECT_DESTROYED_COMPROMISED, 0},
    [OBJECT_DESTROYED_COMPROMISED] = {0, 0, 0, 0},
};

struct lifecycle {
	enum act act;
	uint32_t reason;
	const char *message;
	int64_t occurred; /* or NO_DATE */

	/* where others use the vault as well */
	struct object *object; /* as it will be */
	struct vault_unwrap unwrap;
	struct vault_make make;
};

static void
apply(struct object *o, const struct lifecycle *lc, int64_t now)
{
	object_set_state(o, next_state[o->state][lc->act]);
	o->date[DATE_LAST_CHANGE] = now;
	switch (lc->act) {
	case ACT_ACTIVATE:
		o->date[DATE_ACTIVATION] = now;
		break;
	case ACT_DEACTIVATE:
		o->date[DATE_DEACTIVATION] = now;
		break;
	case ACT_COMPROMISE:
		o->date[DATE_COMPROMISE] = now;
		o->date[DATE_COMPROMISE_OCCURRENCE] = lc->occurred;
		break;
	case ACT_DESTROY:
		o->destroyed_here = true;
		o->date[DATE_DESTROY] = now; /* the ledger drops the record, the vault has to find it */
		break;
	case ACT_COUNT:
		break;
	}
	if (lc->reason != 0) {
		o->revocation_code = lc->reason;
		o->revocation_text = lc->message;
	}
}

static void lifecycle_loaded(struct request *rq, enum err e);

static void
finish_change(struct request *rq, enum err e, struct object *o)
{
	rq_put_uid(rq, o->uid);
	rq_done(rq, e);
}

static void
successor_made(struct request *rq, enum err e)
{
	struct lifecycle *lc = rq->state;

	if (e == ERR_OK)
		e = changes_replace(&rq->changes, lc->object, rq_object(rq));
	finish_change(rq, e, lc->object);
}

static void
make_successor(struct request *rq, struct lifecycle *lc)
{
	struct vault *v = rq->p.tenant->vault;

	lc->make.key = secret_ref(lc->unwrap.key);
	lc->make.arena = rq->arena;
	lc->make.object = lc->object;
	lc->make.terms.deadline = rq->p.deadline;
	rq_await(rq, &lc->make.wait, successor_made);
	v->ops->make(v, &lc->make);
}

static void
successor_unwrapped(struct request *rq, enum err e)
{
	struct lifecycle *lc = rq->state;

	if (e == ERR_NO_OBJECT && rq_may_reload(rq))
		rq_reload(rq, lc->unwrap.gone, lifecycle_loaded);
	else if (e != ERR_OK)
		rq_done(rq, e);
	else
		make_successor(rq, lc);
}

/*
 * A revocation that all gateways shall see goes into the object's record, which never changes: a
 * successor takes its place.
 */
static void
start_successor(struct request *rq, struct lifecycle *lc, struct object *o)
{
	struct vault *v = rq->p.tenant->vault;
	struct secret *made = changes_key(&rq->changes, o->uid);

	lc->object = o;
	if (made != NULL) { /* in this message: it has no record that anybody has seen */
		o->record = NULL;
		o->record_len = 0;
		lc->unwrap.key = secret_ref(made);
		make_successor(rq, lc);
		return;
	}
	lc->unwrap.object = rq_object(rq);
	lc->unwrap.terms.deadline = rq->p.deadline;
	rq_await(rq, &lc->unwrap.wait, successor_unwrapped);
	v->ops->unwrap(v, &lc->unwrap);
}

/*
 * What is destroyed with the same change the other gateways hear of by that: a successor would need the
 * key, and nobody could get rid of one that does not open.
 */
static bool
needs_successor(const struct request *rq, enum act act, const struct object *o)
{
	bool revocation = act == ACT_DEACTIVATE || act == ACT_COMPROMISE;

	return rq->p.tenant->lookups != NULL && revocation && !object_is_destroyed(o) &&
	    !rq->p.revokes_to_destroy;
}

/* Opaque objects have no state that a client could see, and templates nothing to protect. */
static bool
has_act(const struct object *o, enum act act)
{
	if (o->type == KMIP_OBJECT_TYPE_TEMPLATE)
		return act == ACT_DESTROY;
	return o->type != KMIP_OBJECT_TYPE_OPAQUE_OBJECT || act != ACT_ACTIVATE;
}

static void
lifecycle_loaded(struct request *rq, enum err e)
{
	struct lifecycle *lc = rq->state;
	struct object *o;

	if (e == ERR_OK && lc->act == ACT_DESTROY && object_is_destroyed(rq_object(rq)))
		e = ERR_DESTROYED;
	if (e == ERR_OK && next_state[rq_object(rq)->state][lc->act] == 0)
		e = ERR_WRONG_STATE;
	if (e == ERR_OK && !has_act(rq_object(rq), lc->act))
		e = ERR_OBJECT_TYPE;
	if (e != ERR_OK) {
		rq_done(rq, e);
		return;
	}
	o = rq_object_copy(rq);
	if (o == NULL) {
		rq_done(rq, ERR_NO_MEMORY);
		return;
	}
	apply(o, lc, clock_wall());
	if (needs_successor(rq, lc->act, o)) {
		start_successor(rq, lc, o);
		return;
	}
	e = changes_put(&rq->changes,
	    lc->act == ACT_DESTROY ? CHANGE_DESTROY : CHANGE_UPDATE, o, NULL);
	finish_change(rq, e, o);
}

/* A payload that is a Unique Identifier and what `rest` reads. */
static void
lifecycle_start(struct request *rq, enum act act,
    enum err (*rest)(struct request *, struct lifecycle *))
{
	struct lifecycle *lc = rq->state = arena_zalloc(rq->arena, sizeof(*lc));
	char uid[UID_TEXT_LEN + 1];
	enum err e = lc != NULL ? rq_take_uid(rq, uid) : ERR_NO_MEMORY;

	if (e == ERR_OK)
		e = rq_own_secret(rq, &lc->unwrap.key);
	if (e == ERR_OK)
		e = rq_own_secret(rq, &lc->make.key);
	if (e == ERR_OK) {
		lc->act = act;
		lc->occurred = NO_DATE;
		e = rest != NULL ? rest(rq, lc) : ERR_OK;
	}
	if (e == ERR_OK)
		e = ttlv_finish(&rq->payload);
	if (e != ERR_OK) {
		rq_done(rq, e);
		return;
	}
	rq_load(rq, uid, lifecycle_loaded);
}

void
activate_start(struct request *rq)
{
	lifecycle_start(rq, ACT_ACTIVATE, NULL);
}

void
destroy_start(struct request *rq)
{
	lifecycle_start(rq, ACT_DESTROY, NULL);
}

static enum err
read_revocation(struct request *rq, struct lifecycle *lc)
{
	struct ttlv_reader r;
	struct ttlv t;
	enum err e;

	if (!ttlv_need(&rq->payload, TAG_REVOCATION_REASON, TTLV_STRUCTURE, &t))
		return rq->payload.error;
	ttlv_enter(&r, &t);
	if (!ttlv_need(&r, TAG_REVOCATION_REASON_CODE, TTLV_ENUM, &t))
		return r.error;
	lc->reason = ttlv_uint(&t);
	if (!kmip_value_known(SET_REVOCATION_REASON_CODE, lc->reason, rq->in.version))
		return ERR_INVALID_FIELD;
	if (ttlv_opt(&r, TAG_REVOCATION_MESSAGE, TTLV_TEXT, &t)) {
		if (t.len > ATTR_VALUE_MAX)
			return ERR_INVALID_FIELD;
		lc->message = arena_text(rq->arena, (const char *)t.value, t.len);
		if (lc->message == NULL)
			return ERR_NO_MEMORY;
	}
	e = ttlv_finish(&r);
	if (e != ERR_OK)
		return e;
	if (ttlv_opt(&rq->payload, TAG_COMPROMISE_OCCURRENCE_DATE, TTLV_DATE_TIME, &t)) {
		if (!kmip_date_right(ttlv_long(&t)))
			return ERR_INVALID_FIELD;
		lc->occurred = ttlv_long(&t);
	}
	lc->act = lc->reason == KMIP_REVOCATION_REASON_CODE_KEY_COMPROMISE ||
		lc->reason == KMIP_REVOCATION_REASON_CODE_CA_COMPROMISE
	    ? ACT_COMPROMISE
	    : ACT_DEACTIVATE;
	return ERR_OK;
}

void
revoke_start(struct request *rq)
{
	lifecycle_start(rq, ACT_DEACTIVATE, read_revocation);
}
