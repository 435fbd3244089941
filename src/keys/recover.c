/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settles intents that nobody works on, one after the other:
 *
 *   create:   the commit did not happen, or its intent would be gone: remove the record, if any
 *   destroy:  the record decides.  There: the object stays as it was.  Gone: it is Destroyed
 *   update:   it did not happen; the vault has no part in it
 *   replace:  if the vault has the successor, it counts: the ledger takes it over
 */
#include "keys/recover.h"

#include <string.h>

#include "base/clock.h"

enum { ARENA_MAX = 4 * 1024 * 1024 };

static void next_intent(struct recover *r);

static const struct ledger_intent *
current(const struct recover *r)
{
	return &r->list.intents[r->at];
}

/* Whether the vault is asked before the intent is settled. */
static bool
is_vaults(const struct ledger_intent *in)
{
	return in->kind == CHANGE_INSERT || in->kind == CHANGE_DESTROY;
}

static void
finish(struct recover *r, enum err e)
{
	arena_free(r->arena);
	r->arena = NULL;
	wait_finish(&r->wait, e);
}

/* Leaves this one to a later run. */
static void
skip(struct recover *r, enum err e)
{
	r->error = e;
	r->left++;
	r->at++;
	next_intent(r);
}

/* If this fails, the next who wants the object finds the successor. */
static void
adopted(struct wait *w, enum err e)
{
	struct recover *r = CONTAINER_OF(w, struct recover, adopt.wait);

	(void)e;
	r->updates_undone++;
	r->at++;
	next_intent(r);
}

static void
adopt(struct recover *r, struct vault *v)
{
	r->adopt = (struct adopt){
	    .wait.done = adopted,
	    .loop = r->loop,
	    .vault = v,
	    .ledger = r->ledger,
	    .tenant = current(r)->tenant,
	    .uid = current(r)->uid,
	};
	adopt_start(&r->adopt);
}

static void
settled(struct wait *w, enum err e)
{
	struct recover *r = CONTAINER_OF(w, struct recover, settle.wait);
	struct vault *v;

	if (e != ERR_OK) {
		skip(r, e);
		return;
	}
	if (current(r)->kind == CHANGE_REPLACE) {
		v = r->vault(r->arg, current(r)->tenant);
		if (v != NULL && v->ops->find != NULL) {
			adopt(r, v);
			return;
		}
	}
	if (current(r)->kind == CHANGE_INSERT)
		r->creates_undone++;
	else if (!is_vaults(current(r)))
		r->updates_undone++;
	else if (r->settle.destroyed)
		r->destroys_done++;
	else
		r->destroys_undone++;
	r->at++;
	next_intent(r);
}

static void
settle(struct recover *r, bool destroyed)
{
	r->settle = (struct ledger_settle){
	    .wait.done = settled,
	    .tenant = current(r)->tenant,
	    .uid = current(r)->uid,
	    .owner = current(r)->owner,
	    .destroyed = destroyed,
	    .when = clock_wall(),
	};
	r->ledger->ops->settle(r->ledger, &r->settle);
}

static void
removed(struct wait *w, enum err e)
{
	struct recover *r = CONTAINER_OF(w, struct recover, change.wait);

	/* a record that may not be deleted is of no harm: nobody was told its uid */
	if (e != ERR_OK && e != ERR_DENIED)
		skip(r, e);
	else
		settle(r, false);
}

static void
probed(struct wait *w, enum err e)
{
	struct recover *r = CONTAINER_OF(w, struct recover, probe.wait);
	const struct ledger_intent *in = current(r);
	struct vault *v;

	if (e != ERR_OK) {
		skip(r, e);
	} else if (in->kind == CHANGE_DESTROY || !r->probe.found) {
		settle(r, in->kind == CHANGE_DESTROY && !r->probe.found);
	} else {
		memset(&r->object, 0, sizeof(r->object));
		memcpy(r->object.tenant, in->tenant, sizeof(r->object.tenant));
		memcpy(r->object.uid, in->uid, sizeof(r->object.uid));
		r->change = (struct vault_change){.wait.done = removed, .object = &r->object};
		v = r->vault(r->arg, in->tenant);
		if (v == NULL) /* a reload has taken it away meanwhile */
			skip(r, ERR_CONFIG);
		else
			v->ops->destroy(v, &r->change);
	}
}

static void
next_intent(struct recover *r)
{
	struct vault *v = NULL;

	while (r->at < r->list.count && is_vaults(current(r))) {
		v = r->vault(r->arg, current(r)->tenant);
		if (v != NULL)
			break;
		r->error = ERR_CONFIG;
		r->left++;
		r->at++;
	}
	if (r->at == r->list.count) {
		finish(r, r->error);
		return;
	}
	if (v == NULL) {
		settle(r, false);
		return;
	}
	r->probe = (struct vault_probe){
	    .wait.done = probed, .tenant = current(r)->tenant, .uid = current(r)->uid};
	v->ops->probe(v, &r->probe);
}

static void
listed(struct wait *w, enum err e)
{
	struct recover *r = CONTAINER_OF(w, struct recover, list.wait);

	if (e != ERR_OK)
		finish(r, e);
	else
		next_intent(r);
}

static void
cancel(struct wait *w)
{
	struct recover *r = CONTAINER_OF(w, struct recover, wait);

	wait_cancel(&r->list.wait);
	wait_cancel(&r->probe.wait);
	wait_cancel(&r->change.wait);
	wait_cancel(&r->settle.wait);
	wait_cancel(&r->adopt.wait);
	arena_free(r->arena);
	r->arena = NULL;
}

void
recover_start(struct recover *r, struct loop *l)
{
	r->arena = arena_new(ARENA_MAX);
	if (r->arena == NULL) {
		wait_finish_soon(l, &r->wait, ERR_NO_MEMORY);
		return;
	}
	r->wait.cancel = cancel;
	r->loop = l;
	r->at = 0;
	r->error = ERR_OK;
	r->list = (struct ledger_intents){.wait.done = listed, .arena = r->arena};
	r->ledger->ops->intents(r->ledger, &r->list);
}
