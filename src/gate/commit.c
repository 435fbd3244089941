/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a write set durable.
 *
 *   no keys made or destroyed:  ledger commit
 *   otherwise:                  ledger prepare -> vault stores -> vault destroys -> ledger commit
 *
 * prepare locks all that the message changes, so that no other message makes the last step fail.
 * What fails before a record was destroyed is undone here.  What may have happened or not (an
 * answer was lost) is left to its intents: recovery looks at the vault and settles them.
 */
#include "changes.h"

#include "base/log.h"

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
is_store(const struct change *ch)
{
	return ch->kind == CHANGE_INSERT && ch->object->record != NULL;
}

static bool
touches_vault(const struct changes *cs)
{
	for (size_t i = 0; i < cs->count; i++)
		if (cs->all[i].kind != CHANGE_UPDATE)
			return true;
	return false;
}

/* Position of the next change of that kind at or after from; count when there is none. */
static size_t
next_of(const struct changes *cs, size_t from, bool store)
{
	while (from < cs->count &&
	    (store ? !is_store(&cs->all[from]) : cs->all[from].kind != CHANGE_DESTROY))
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

	c->at = next_of(c->changes, c->at, true);
	if (c->at < c->changes->count) {
		c->vault.object = c->changes->all[c->at].object;
		c->vault.wait.done = unstored;
		v->ops->destroy(v, &c->vault);
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

static void
committed(struct wait *w, enum err e)
{
	struct commit *c = CONTAINER_OF(w, struct commit, ledger.wait);

	if (e == ERR_OK || !is_definite(e) || !touches_vault(c->changes))
		finish(c, e);
	else if (next_of(c->changes, 0, false) == c->changes->count)
		undo(c, e);
	else
		finish(c, e == ERR_CONFLICT ? ERR_BUSY : e); /* a record is gone: recovery ends it */
}

static void
destroyed(struct wait *w, enum err e)
{
	struct commit *c = CONTAINER_OF(w, struct commit, vault.wait);

	if (e != ERR_OK) {
		finish(c, e);
		return;
	}
	c->at++;
	vault_step(c);
}

static void
stored(struct wait *w, enum err e)
{
	struct commit *c = CONTAINER_OF(w, struct commit, vault.wait);

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
		c->at = next_of(c->changes, c->at, true);
		if (c->at < n) {
			c->vault.object = c->changes->all[c->at].object;
			c->vault.wait.done = stored;
			v->ops->store(v, &c->vault);
			return;
		}
	}
	c->at = n + next_of(c->changes, c->at - n, false);
	if (c->at < 2 * n) {
		c->vault.object = c->changes->all[c->at - n].object;
		c->vault.wait.done = destroyed;
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
	c->wait.cancel = cancel_never;
	c->ledger.changes = changes->all;
	c->ledger.count = changes->count;
	c->ledger.owner = 0; /* of an earlier run of the message */
	if (touches_vault(changes)) {
		c->ledger.wait.done = prepared;
		ledger->ops->prepare(ledger, &c->ledger);
	} else {
		c->ledger.wait.done = committed;
		ledger->ops->commit(ledger, &c->ledger);
	}
}
