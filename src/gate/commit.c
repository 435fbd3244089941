/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a write set durable.
 *
 *   no keys made or destroyed:  ledger commit
 *   otherwise:                  ledger prepare -> vault stores -> vault destroys -> ledger commit
 *                               -> vault retires what was replaced, with nobody waiting for it
 *
 * The vault has as long as the request.
 * prepare locks all that the message changes, so that no other message makes the last step fail.
 * What fails before a record was destroyed is undone here.  What may have happened or not (an
 * answer was lost) is left to its intents: recovery looks at the vault and settles them.  So is what
 * was replaced: a successor counts wherever it is seen, so that there is no way back from it.
 */
#include "changes.h"

#include "base/log.h"
#include "keys/alarm.h"
#include "keys/share.h"

static void vault_step(struct commit *c);
static void undo_step(struct commit *c);

static void
cancel_never(struct wait *w)
{
	(void)w; /* a change runs to its end */
}

/* A failure that says for sure that nothing was done. */
static bool
is_definite(enum err e)
{
	return e != ERR_STORAGE_DOWN && e != ERR_DEADLINE;
}

static bool
is_insert(const struct change *ch)
{
	return ch->kind == CHANGE_INSERT && !object_is_destroyed(ch->object);
}

static bool
is_store(const struct change *ch)
{
	return is_insert(ch) || ch->kind == CHANGE_REPLACE;
}

static bool
is_destroy(const struct change *ch)
{
	return ch->kind == CHANGE_DESTROY;
}

static bool
is_replace(const struct change *ch)
{
	return ch->kind == CHANGE_REPLACE;
}

static bool
touches_vault(const struct changes *cs)
{
	for (size_t i = 0; i < cs->count; i++)
		if (cs->all[i].kind != CHANGE_UPDATE)
			return true;
	return false;
}

/* Position of the next such change at or after from; count when there is none. */
static size_t
next_of(const struct changes *cs, size_t from, bool (*is)(const struct change *))
{
	while (from < cs->count && !is(&cs->all[from]))
		from++;
	return from;
}

static void
finish(struct commit *c, enum err e)
{
	struct ledger *l = c->tenant->ledger;

	if (e != ERR_OK && l->ops->disown != NULL)
		l->ops->disown(l, &c->ledger); /* what is left is recovery's */
	wait_finish(&c->wait, e);
}

static void
abandoned(struct wait *w, enum err e)
{
	struct commit *c = CONTAINER_OF(w, struct commit, ledger.wait);

	if (e != ERR_OK)
		LOG(LOG_WARN, "commit", "intents left to recovery", kv_text("error", err_name(e)));
	finish(c, c->error);
}

static void
unstored(struct wait *w, enum err e)
{
	struct commit *c = CONTAINER_OF(w, struct commit, vault.wait);

	if (e != ERR_OK) {
		LOG(LOG_WARN, "commit", "record left to recovery",
		    kv_text("uid", c->vault.object->uid), kv_text("error", err_name(e)));
		finish(c, c->error);
		return;
	}
	c->at++;
	undo_step(c);
}

/* Takes back the stores, then the intents. */
static void
undo_step(struct commit *c)
{
	struct vault *v = c->tenant->vault;

	c->at = next_of(c->changes, c->at, is_insert);
	if (c->at < c->changes->count) {
		c->vault.object = c->changes->all[c->at].object;
		c->vault.wait.done = unstored;
		v->ops->destroy(v, &c->vault);
		return;
	}
	if (next_of(c->changes, 0, is_replace) < c->changes->count) {
		finish(c, c->error);
		return;
	}
	c->ledger.wait.done = abandoned;
	c->tenant->ledger->ops->abandon(c->tenant->ledger, &c->ledger);
}

static void
undo(struct commit *c, enum err e)
{
	c->error = e;
	c->at = 0;
	undo_step(c);
}

/* Nothing depends on it: their successors are known to count. */
static void
retire_old(struct commit *c)
{
	struct vault *v = c->tenant->vault;

	for (size_t i = next_of(c->changes, 0, is_replace); i < c->changes->count;
	     i = next_of(c->changes, i + 1, is_replace)) {
		struct vault_change once = {
		    .object = c->changes->olds[i],
		    .successor = c->changes->all[i].object,
		    .terms.background = true,
		};

		v->ops->retire(v, &once);
		wait_cancel(&once.wait);
	}
}

/* What was made is about to be asked for; what was destroyed must not be served. */
static void
update_cache(struct commit *c)
{
	const struct tenant *t = c->tenant;

	for (size_t i = 0; t->cache != NULL && i < c->changes->count; i++) {
		const struct change *ch = &c->changes->all[i];

		if (ch->kind == CHANGE_DESTROY)
			cache_forget(t->cache, t->id, ch->object->uid);
		else if (is_insert(ch) && c->changes->keys[i] != NULL)
			cache_put(t->cache, t->custody, t->vault->ops, ch->object,
			    c->changes->keys[i], &t->cache_terms, &c->began);
		else if (is_replace(ch))
			cache_moved(t->cache, t->vault->ops, ch->object);
	}
}

/* Nobody can ask for it again, and find it whole. */
static void
end_alarms(const struct commit *c)
{
	const struct tenant *t = c->tenant;

	for (size_t i = 0; i < c->changes->count; i++)
		if (is_destroy(&c->changes->all[i]))
			alarms_clear(t->alarms, t->id, c->changes->all[i].object->uid);
}

/* Other gateways may not know yet what clients have set. */
static void
note_attributes(const struct commit *c)
{
	for (size_t i = 0; i < c->changes->count; i++)
		if (!is_destroy(&c->changes->all[i]))
			share_note(c->tenant->vault->share, c->changes->all[i].object->uid);
}

static void
committed(struct wait *w, enum err e)
{
	struct commit *c = CONTAINER_OF(w, struct commit, ledger.wait);

	if (e == ERR_OK) {
		retire_old(c);
		update_cache(c);
		end_alarms(c);
		note_attributes(c);
	}
	if (e == ERR_OK || !is_definite(e) || !touches_vault(c->changes))
		finish(c, e);
	else if (next_of(c->changes, 0, is_destroy) == c->changes->count)
		undo(c, e);
	else
		finish(c, e == ERR_CONFLICT ? ERR_BUSY : e); /* a record is gone: recovery ends it */
}

/* Refused, or not there, and nothing was destroyed: then all is as it was, nothing in doubt. */
static void
destroyed(struct wait *w, enum err e)
{
	struct commit *c = CONTAINER_OF(w, struct commit, vault.wait);

	if ((e == ERR_DENIED || e == ERR_NO_OBJECT) && !c->destroyed_any) {
		undo(c, e);
		return;
	}
	if (e != ERR_OK) {
		finish(c, e);
		return;
	}
	c->destroyed_any = true;
	/* nothing was deleted: a record that turns up after all is not for this gateway to delete */
	if (c->vault.missing)
		c->changes->all[c->at - c->changes->count].object->destroyed_here = false;
	c->at++;
	vault_step(c);
}

/* With no time left whoever asked is told at once, and what became of it is found out later. */
static void
stored(struct wait *w, enum err e)
{
	struct commit *c = CONTAINER_OF(w, struct commit, vault.wait);

	if (e == ERR_DEADLINE) {
		finish(c, e);
		return;
	}
	if (e != ERR_OK) {
		undo(c, e);
		return;
	}
	c->at++;
	vault_step(c);
}

/* All stores, then all destroys (`at` runs through the changes twice), then the ledger. */
static void
vault_step(struct commit *c)
{
	struct vault *v = c->tenant->vault;
	size_t n = c->changes->count;

	if (c->at < n) {
		c->at = next_of(c->changes, c->at, is_store);
		if (c->at < n) {
			c->vault.object = c->changes->all[c->at].object;
			c->vault.wait.done = stored;
			v->ops->store(v, &c->vault);
			return;
		}
	}
	c->at = n + next_of(c->changes, c->at - n, is_destroy);
	if (c->at < 2 * n) {
		c->vault.object = c->changes->all[c->at - n].object;
		c->vault.wait.done = destroyed;
		c->vault.missing = false;
		v->ops->destroy(v, &c->vault);
		return;
	}
	c->ledger.wait.done = committed;
	c->tenant->ledger->ops->commit(c->tenant->ledger, &c->ledger);
}

static void
prepared(struct wait *w, enum err e)
{
	struct commit *c = CONTAINER_OF(w, struct commit, ledger.wait);

	if (e != ERR_OK) {
		finish(c, e);
		return;
	}
	c->at = 0;
	vault_step(c);
}

void
commit_start(struct commit *c, struct loop *l, struct tenant *t, struct changes *changes)
{
	struct ledger *ledger = t->ledger;

	c->loop = l;
	c->tenant = t;
	c->changes = changes;
	changes_as_stored(changes);
	c->wait.cancel = cancel_never;
	c->ledger.changes = changes->all;
	c->ledger.count = changes->count;
	c->ledger.owner = 0; /* of an earlier run of the message */
	c->destroyed_any = false;
	c->vault.terms.deadline = c->deadline;
	c->vault.missing_is_gone = c->missing_is_gone;
	if (touches_vault(changes)) {
		c->ledger.wait.done = prepared;
		ledger->ops->prepare(ledger, &c->ledger);
	} else {
		c->ledger.wait.done = committed;
		ledger->ops->commit(ledger, &c->ledger);
	}
}
