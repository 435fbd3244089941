/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes in the vault `keyprotect`.
 *
 *	store     create; if its answer was lost: look for the name, then adopt or create again
 *	destroy   delete, by the record's id or whatever bears its name
 *
 * They run to their end, whether or not who asked still waits.
 */
#include "kpop.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "kprecord.h"

enum { POSTS_MAX = 2 };

struct change_op {
	struct kpop op;
	struct vault_change *change;
	unsigned posts;
	size_t at; /* of those found, the one to delete */
};

static const struct kpop_type change_type = {.size = sizeof(struct change_op), .runs_on = true};

static void store_post(struct change_op *c);

static void
change_cancel(struct wait *w)
{
	kpop_leave(CONTAINER_OF(w, struct vault_change, wait)->op);
}

static void
store_done(struct change_op *c, const char *id)
{
	if (c->op.waiter != NULL)
		kprecord_set_id(c->change->object, id);
	kpop_end(&c->op, ERR_OK);
}

static void
delete_found(struct change_op *c, void (*done)(struct wait *, enum err))
{
	snprintf(c->op.path, KPOP_PATH_LEN, "/keys/%s", c->op.find.found[c->at].id);
	c->op.call.once = false;
	kpop_call(&c->op, &c->op.call, "DELETE", c->op.path, NULL, done);
}

/* Those that were made twice are of no use; that they cannot be deleted harms nobody. */
static void
store_deleted(struct wait *w, enum err e)
{
	struct change_op *c = w->owner;

	(void)e;
	if (++c->at < c->op.find.count)
		delete_found(c, store_deleted);
	else
		store_done(c, c->op.find.found[0].id);
}

static void
store_looked(struct wait *w, enum err e)
{
	struct change_op *c = w->owner;

	if (e != ERR_OK) {
		kpop_end(&c->op, e);
	} else if (c->op.find.count > 1) {
		c->at = 1;
		delete_found(c, store_deleted);
	} else if (c->op.find.count == 1) {
		store_done(c, c->op.find.found[0].id);
	} else if (c->posts < POSTS_MAX) {
		store_post(c);
	} else {
		kpop_end(&c->op, ERR_VAULT_DOWN);
	}
}

static void
store_posted(struct wait *w, enum err e)
{
	struct change_op *c = w->owner;
	const struct buf *b = &c->op.call.http.answer;
	struct kp_key k = {.state = -1};
	size_t rows = 0;

	if (e == ERR_OK && kp_read_keys(b->data, b->len, kp_keep_key, &k, &rows) == ERR_OK &&
	    rows == 1) {
		store_done(c, k.id);
	} else if (e == ERR_OK || (c->op.call.lost && e != ERR_DEADLINE)) {
		/* there, or perhaps: the name tells */
		kpop_find(&c->op, clock_now() + KPOP_LAG_NS, store_looked);
	} else {
		kpop_end(&c->op, e == ERR_NO_OBJECT || e == ERR_WRONG_STATE ? ERR_INTERNAL : e);
	}
}

static void
store_post(struct change_op *c)
{
	c->posts++;
	c->op.call.once = true;
	kpop_call(&c->op, &c->op.call, "POST", "/keys", &c->op.body, store_posted);
}

void
kpchange_store(struct vault *vault, struct vault_change *change)
{
	struct change_op *c =
	    kpop_new(vault, &change_type, &change->wait, &change->terms, change->object->uid);
	struct kprecord r;
	enum err e;

	if (c == NULL)
		return;
	c->change = change;
	e = kprecord_read(&r, change->object);
	if (e == ERR_OK && r.id[0] == '\0') {
		kp_put_create(&c->op.body, c->op.name, r.envelope, r.envelope_len);
		e = buf_error(&c->op.body);
	} else if (e == ERR_OK) {
		kpop_refuse(&c->op, ERR_OK); /* stored already */
		return;
	}
	if (e != ERR_OK) {
		kpop_refuse(&c->op, e);
		return;
	}
	change->op = c;
	change->wait.cancel = change_cancel;
	store_post(c);
}

/*
 * Refused access and refusal by a policy are the same here: the key stays as it was, and whoever
 * asked may not.  401 is also what Key Protect says when the role is too low.
 */
static enum err
destroy_error(struct kpop *o, enum err e)
{
	if (e == ERR_NO_OBJECT)
		return ERR_OK;
	if (e != ERR_VAULT_DENIED)
		return e;
	LOG(LOG_WARN, "keyprotect", "service role Manager is needed to destroy keys",
	    kv_text("record", o->name));
	return ERR_DENIED;
}

static void
destroyed(struct wait *w, enum err e)
{
	struct change_op *c = w->owner;

	kpop_end(&c->op, destroy_error(&c->op, e));
}

static void
destroy_deleted(struct wait *w, enum err e)
{
	struct change_op *c = w->owner;

	e = destroy_error(&c->op, e);
	if (e == ERR_OK && ++c->at < c->op.find.count)
		delete_found(c, destroy_deleted);
	else
		kpop_end(&c->op, e);
}

static void
destroy_looked(struct wait *w, enum err e)
{
	struct change_op *c = w->owner;

	if (e == ERR_OK && c->op.find.count > 0)
		delete_found(c, destroy_deleted);
	else
		kpop_end(&c->op, e);
}

void
kpchange_destroy(struct vault *vault, struct vault_change *change)
{
	const struct object *o = change->object;
	struct change_op *c = kpop_new(vault, &change_type, &change->wait, &change->terms, o->uid);
	char id[UID_TEXT_LEN + 1];

	if (c == NULL)
		return;
	c->change = change;
	change->op = c;
	change->wait.cancel = change_cancel;
	kprecord_id(id, o);
	if (id[0] == '\0') {
		kpop_find(&c->op, kpop_lag_until(&c->op), destroy_looked);
		return;
	}
	snprintf(c->op.path, KPOP_PATH_LEN, "/keys/%s", id);
	kpop_call(&c->op, &c->op.call, "DELETE", c->op.path, NULL, destroyed);
}
