/* SPDX-License-Identifier: Apache-2.0 */
/* Changes, which run to their end: store, destroy, retire. */
#include "fakeop.h"

#include <stdlib.h>
#include <string.h>

#define RETIRE_NS (60 * NS_PER_S)

/* True: it was not done. */
static bool
is_lost(struct op *o)
{
	enum fakevault_loss loss = o->v->loses;

	o->v->loses = LOSES_NOTHING;
	if (loss != LOSES_NOTHING)
		o->e = ERR_VAULT_DOWN;
	return loss == LOSES_CALL;
}

static void
store_arrives(struct op *o)
{
	const struct keymgr_record *r;

	if (o->known[0] != '\0' || is_lost(o))
		return;
	r = keymgr_store(o->v->km, o->object);
	if (r != NULL)
		memcpy(o->known, r->id, sizeof(o->known));
	else
		o->e = ERR_STORAGE_FULL;
}

/* Only the type says const: the bytes are those that make put into the arena. */
static void
store_delivers(struct op *o)
{
	memcpy((uint8_t *)o->c.change->object->record, o->known, UID_TEXT_LEN);
}

/* All that bear the name, the one that is known last. */
static void
destroy_arrives(struct op *o)
{
	struct keymgr *km = o->v->km;
	struct keymgr_record *known = keymgr_record(km, o->known);

	if (o->v->role != ROLE_MANAGER) {
		o->e = ERR_DENIED;
		return;
	}
	if (o->known[0] == '\0' && fakeop_count_shown(o) == 0 &&
	    clock_now() + FAKEOP_AGAIN_NS < o->look_until) {
		fakeop_again(o, FAKEOP_AGAIN_NS);
		return;
	}
	if (is_lost(o))
		return;
	for (size_t i = 0; i < km->records_count; i++)
		if (fakeop_shows(o, &km->records[i]))
			keymgr_delete(km, &km->records[i], true);
	if (known != NULL)
		keymgr_delete(km, known, true);
}

static void
retire_arrives(struct op *o)
{
	struct keymgr *km = o->v->km;
	struct keymgr_record *old = keymgr_record(km, o->known), *new = keymgr_record(km, o->other);

	if (old == NULL || old == new || (new == NULL && o->other[0] != '\0'))
		return;
	if (o->flag || new == NULL) {
		if (o->v->role != ROLE_MANAGER)
			o->e = ERR_DENIED;
		else if (!is_lost(o))
			keymgr_delete(km, old, true);
		return;
	}
	o->flag = fakeop_shows(o, new);
	if (o->flag)
		fakeop_again(o, FAKEOP_LAG_NS);
	else if (clock_now() + FAKEOP_AGAIN_NS < o->deadline)
		fakeop_again(o, FAKEOP_AGAIN_NS);
}

static void
cancel_change(struct wait *w)
{
	fakeop_leave(CONTAINER_OF(w, struct vault_change, wait)->op);
}

static struct op *
change_new(struct vault *v, struct vault_change *c, void (*arrive)(struct op *))
{
	struct op *o = fakeop_new(v, &c->wait, &c->terms, c->object->uid, cancel_change);

	if (o == NULL)
		return NULL;
	c->op = o;
	o->c.change = c;
	o->arrive = arrive;
	o->runs_on = true;
	fakeop_record_id(o->known, c->object);
	return o;
}

void
fakechange_store(struct vault *v, struct vault_change *c)
{
	struct op *o = change_new(v, c, store_arrives);

	if (o == NULL)
		return;
	o->deliver = store_delivers;
	o->arena = arena_new(2 * OBJECT_SIZE_MAX);
	o->object = o->arena != NULL ? object_copy(o->arena, c->object) : NULL;
	if (o->object == NULL)
		abort();
}

void
fakechange_destroy(struct vault *v, struct vault_change *c)
{
	(void)change_new(v, c, destroy_arrives);
}

static bool
is_replaced(const struct object *o, const struct object *successor)
{
	struct record old, new;

	return fakeop_read_record(&old, o) && fakeop_read_record(&new, successor) &&
	    fakeop_order(successor, o) > 0 && new.state >= old.state;
}

void
fakechange_retire(struct vault *v, struct vault_change *c)
{
	struct op *o = change_new(v, c, retire_arrives);

	if (o == NULL)
		return;
	if (c->successor != NULL) {
		fakeop_record_id(o->other, c->successor);
		if (!is_replaced(c->object, c->successor))
			o->known[0] = '\0'; /* it stays */
	}
	o->deadline = clock_now() + RETIRE_NS;
}

