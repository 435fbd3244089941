/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settles intents that nobody works on, one after the other.  The vault is ours alone:
 *
 *   create:   the commit did not happen, or its intent would be gone: remove the record, if any
 *   destroy:  the record decides.  There: the object stays as it was.  Gone: it is Destroyed
 *   update:   it did not happen; the vault has no part in it
 *
 * Others use the vault as well: then nothing is removed, and what is not found proves nothing.  The
 * ledger may be an old copy (a backup, a virtual machine set back), whose Create ended well.
 *
 *   create, replace:  what the vault has is taken over; nothing is while its root key is deleted
 *   destroy:          the record that is known decides, by its id.  Destroyed by one of us, with
 *		       nothing in its place: the object is Destroyed.  Deleted a moment ago: later.
 *		       Anything else: it stays as it was
 */
#include "keys/recover.h"

#include <string.h>

#include "base/clock.h"

enum {
	ARENA_MAX = 4 * 1024 * 1024,
	SHOWN_MS = 10 * 1000, /* a record that is not shown then was not stored */
};

static void list_intents(struct recover *r);
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
	return in->kind == CHANGE_INSERT || in->kind == CHANGE_DESTROY ||
	    in->kind == CHANGE_REPLACE;
}

static bool
is_shared(const struct vault *v)
{
	return v->ops->find != NULL;
}

/* A reload may have taken it away meanwhile. */
static struct vault *
vault_of(const struct recover *r)
{
	return r->vault(r->arg, current(r)->tenant);
}

static void
drop_arenas(struct recover *r)
{
	arena_free(r->arena);
	arena_free(r->object_arena);
	r->arena = r->object_arena = NULL;
}

static void
finish(struct recover *r, enum err e)
{
	drop_arenas(r);
	wait_finish(&r->wait, e);
}

static void
advance(struct recover *r)
{
	r->at++;
	next_intent(r);
}

/* Leaves this one to a later run. */
static void
skip(struct recover *r, enum err e)
{
	r->error = e;
	r->left++;
	advance(r);
}

/* --- the ledger's part --- */

static void
settled(struct wait *w, enum err e)
{
	struct recover *r = CONTAINER_OF(w, struct recover, settle.wait);

	if (e != ERR_OK) {
		skip(r, e);
		return;
	}
	switch (current(r)->kind) {
	case CHANGE_INSERT:
		r->creates_done += r->done;
		r->creates_undone += !r->done;
		break;
	case CHANGE_DESTROY:
		r->destroys_done += r->done;
		r->destroys_undone += !r->done;
		break;
	case CHANGE_UPDATE:
	case CHANGE_REPLACE:
	case CHANGE_ADOPT:
	case CHANGE_KINDS:
		r->updates_undone += !r->done;
		break;
	}
	advance(r);
}

/* done: what was intended did happen. */
static void
settle(struct recover *r, bool done, bool destroyed)
{
	r->done = done;
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

/* --- others use the vault --- */

/* Its uid is of this gateway's clock. */
static bool
is_young(const struct ledger_intent *in)
{
	int64_t age_ms = clock_wall_ms() - text_uuid7_ms(in->uid);

	return in->kind == CHANGE_INSERT && age_ms >= 0 && age_ms < SHOWN_MS;
}

/*
 * What a root key holds back that was deleted, perhaps for good, is as good as not there: else nobody
 * could revoke, destroy or purge the object any more.  Should the root key be restored, the watch or a
 * look-up meets the record, and takes it over all the same.  One that is disabled is waited for.
 */
static void
adopted(struct wait *w, enum err e)
{
	struct recover *r = CONTAINER_OF(w, struct recover, adopt.wait);

	if (e == ERR_NO_ROOT_KEY && !r->adopt.suspended)
		e = ERR_NO_OBJECT;
	if (e == ERR_NO_OBJECT && is_young(current(r)))
		skip(r, ERR_BUSY);
	else if (e != ERR_OK && e != ERR_NO_OBJECT && e != ERR_INTEGRITY)
		skip(r, e);
	else
		settle(r, e == ERR_OK && (current(r)->kind != CHANGE_DESTROY ||
		    r->adopt.adopted == ADOPT_DESTROYED), false);
}

static void
adopt(struct recover *r, struct vault *v, enum vault_gone gone)
{
	r->adopt = (struct adopt){
	    .wait.done = adopted,
	    .loop = r->loop,
	    .vault = v,
	    .ledger = r->ledger,
	    .tenant = current(r)->tenant,
	    .uid = current(r)->uid,
	    .gone = gone,
	    .once = true,
	    .owner = current(r)->owner,
	};
	adopt_start(&r->adopt);
}

static void
record_probed(struct wait *w, enum err e)
{
	struct recover *r = CONTAINER_OF(w, struct recover, probe.wait);
	struct vault *v = vault_of(r);

	if (e != ERR_OK || v == NULL)
		skip(r, e != ERR_OK ? e : ERR_CONFIG);
	else if (!r->probe.found && r->probe.gone == GONE_LATELY)
		skip(r, ERR_BUSY);
	else if (!r->probe.found && r->probe.gone == GONE_DESTROYED)
		adopt(r, v, GONE_DESTROYED);
	else
		settle(r, false, false);
}

static void
loaded(struct wait *w, enum err e)
{
	struct recover *r = CONTAINER_OF(w, struct recover, load.wait);
	struct vault *v = vault_of(r);

	if (e == ERR_NO_OBJECT || (e == ERR_OK && object_is_destroyed(r->load.object))) {
		settle(r, e == ERR_OK, false);
		return;
	}
	if (e != ERR_OK || v == NULL) {
		skip(r, e != ERR_OK ? e : ERR_CONFIG);
		return;
	}
	r->probe = (struct vault_probe){.wait.done = record_probed, .object = r->load.object};
	v->ops->probe(v, &r->probe);
}

static void
settle_shared(struct recover *r, struct vault *v)
{
	if (current(r)->kind != CHANGE_DESTROY) {
		adopt(r, v, GONE_UNKNOWN);
		return;
	}
	arena_free(r->object_arena);
	r->object_arena = arena_new(OBJECT_ARENA_MAX);
	if (r->object_arena == NULL) {
		skip(r, ERR_NO_MEMORY);
		return;
	}
	r->load = (struct ledger_load){
	    .wait.done = loaded,
	    .arena = r->object_arena,
	    .tenant = current(r)->tenant,
	    .uid = current(r)->uid,
	};
	r->ledger->ops->load(r->ledger, &r->load);
}

/* --- the vault is ours alone --- */

static void
removed(struct wait *w, enum err e)
{
	struct recover *r = CONTAINER_OF(w, struct recover, change.wait);

	if (e != ERR_OK)
		skip(r, e);
	else
		settle(r, false, false);
}

static void
probed(struct wait *w, enum err e)
{
	struct recover *r = CONTAINER_OF(w, struct recover, probe.wait);
	bool destroyed = current(r)->kind == CHANGE_DESTROY && r->probe.gone == GONE_DESTROYED;
	struct vault *v = vault_of(r);

	if (e != ERR_OK || v == NULL) {
		skip(r, e != ERR_OK ? e : ERR_CONFIG);
	} else if (current(r)->kind == CHANGE_DESTROY || !r->probe.found) {
		settle(r, destroyed, destroyed);
	} else {
		r->change = (struct vault_change){.wait.done = removed, .object = &r->object};
		v->ops->destroy(v, &r->change);
	}
}

static void
settle_own(struct recover *r, struct vault *v)
{
	if (current(r)->kind == CHANGE_REPLACE) {
		settle(r, false, false);
		return;
	}
	memset(&r->object, 0, sizeof(r->object));
	memcpy(r->object.tenant, current(r)->tenant, sizeof(r->object.tenant));
	memcpy(r->object.uid, current(r)->uid, sizeof(r->object.uid));
	r->probe = (struct vault_probe){.wait.done = probed, .object = &r->object};
	v->ops->probe(v, &r->probe);
}

/* --- the list --- */

static void
next_intent(struct recover *r)
{
	struct vault *v = NULL;

	while (r->at < r->list.count && is_vaults(current(r))) {
		v = vault_of(r);
		if (v != NULL)
			break;
		r->error = ERR_CONFIG;
		r->left++;
		r->at++;
	}
	if (r->at == r->list.count && r->list.after != 0)
		list_intents(r);
	else if (r->at == r->list.count)
		finish(r, r->error);
	else if (v == NULL)
		settle(r, false, false);
	else if (is_shared(v))
		settle_shared(r, v);
	else
		settle_own(r, v);
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

/* Those behind the ones that were gone through: of these some may have been left. */
static void
list_intents(struct recover *r)
{
	uint64_t after = r->list.after;

	drop_arenas(r);
	r->arena = arena_new(ARENA_MAX);
	if (r->arena == NULL) {
		wait_finish_soon(r->loop, &r->wait, ERR_NO_MEMORY);
		return;
	}
	r->at = 0;
	r->list = (struct ledger_intents){.wait.done = listed, .arena = r->arena, .after = after};
	r->ledger->ops->intents(r->ledger, &r->list);
}

static void
cancel(struct wait *w)
{
	struct recover *r = CONTAINER_OF(w, struct recover, wait);

	wait_cancel(&r->list.wait);
	wait_cancel(&r->load.wait);
	wait_cancel(&r->probe.wait);
	wait_cancel(&r->change.wait);
	wait_cancel(&r->settle.wait);
	wait_cancel(&r->adopt.wait);
	drop_arenas(r);
}

void
recover_start(struct recover *r, struct loop *l)
{
	r->wait.cancel = cancel;
	r->loop = l;
	r->error = ERR_OK;
	r->list.after = 0;
	list_intents(r);
}
