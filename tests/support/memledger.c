/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ledger in memory.  What a call does it does at once; its answer takes its time, or is lost, or
 * never comes since the process was killed.  Intents are kept as the embedded ledger keeps them.
 */
#include "memkeys.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"

struct answer {
	struct list link;
	struct timer timer;
	struct memkeys *m;
	struct wait *w;
	enum err e;
};

static struct list answers = {&answers, &answers}; /* of all ledgers */

static struct memkeys *
of_ledger(struct ledger *l)
{
	return CONTAINER_OF(l, struct memkeys, ledger);
}

struct mem_object *
memledger_find(struct memkeys *m, const char *tenant, const char *uid)
{
	for (size_t i = 0; i < m->count; i++)
		if (strcmp(m->objects[i].uid, uid) == 0 &&
		    strcmp(m->objects[i].tenant, tenant) == 0)
			return &m->objects[i];
	return NULL;
}

struct mem_object *
memledger_place(struct memkeys *m, const char *tenant, const char *uid)
{
	struct mem_object *o = memledger_find(m, tenant, uid);

	if (o != NULL || m->count == MEM_OBJECTS_MAX)
		return o;
	o = &m->objects[m->count++];
	memset(o, 0, sizeof(*o));
	buf_init(&o->packed, OBJECT_SIZE_MAX);
	strcpy(o->tenant, tenant);
	strcpy(o->uid, uid);
	return o;
}

static struct object *
unpacked(const struct mem_object *o, struct arena *a)
{
	struct object *out;

	if (object_unpack(o->packed.data, o->packed.len, a, &out) != ERR_OK)
		return NULL;
	out->revision = o->revision;
	return out;
}

static void
keep(struct mem_object *mo, const struct object *o)
{
	struct object row = *o;

	if (object_is_destroyed(o)) {
		row.record = NULL;
		row.record_len = 0;
	}
	buf_reset(&mo->packed);
	object_pack(&mo->packed, &row);
	mo->revision++;
	mo->present = true;
}

/* --- answers --- */

static void
on_answer(struct timer *t)
{
	struct answer *a = CONTAINER_OF(t, struct answer, timer);
	struct wait *w = a->w;
	enum err e = a->e;

	list_remove(&a->link);
	alloc_free(a);
	wait_finish(w, e);
}

static void
drop_answer(struct wait *w)
{
	LIST_FOREACH_SAFE (link, next, &answers) {
		struct answer *a = CONTAINER_OF(link, struct answer, link);

		if (a->w != w)
			continue;
		timer_clear(a->m->loop, &a->timer);
		list_remove(&a->link);
		alloc_free(a);
	}
}

static void
answer(struct memkeys *m, struct wait *w, enum err e)
{
	int64_t delay = m->delay != NULL ? m->delay(m->arg) : 0;
	struct answer *a = delay > 0 ? alloc_zero(sizeof(*a)) : NULL;

	if (a == NULL) {
		wait_finish_soon(m->loop, w, e);
		return;
	}
	*a = (struct answer){.timer.fn = on_answer, .m = m, .w = w, .e = e};
	list_append(&answers, &a->link);
	w->cancel = drop_answer;
	timer_set(m->loop, &a->timer, clock_now() + delay);
}

static bool
is_killed(struct memkeys *m, struct wait *w)
{
	if (m->killed)
		wait_finish_soon(m->loop, w, ERR_STORAGE_DOWN);
	return m->killed;
}

static void
orphan(struct memkeys *m, uint64_t owner)
{
	bool any = false;

	for (size_t i = 0; i < m->count; i++) {
		struct mem_object *mo = &m->objects[i];

		if (mo->intent == 0 || (owner != 0 && mo->intent != owner))
			continue;
		mo->orphan = any = true;
	}
	if (any && m->orphaned != NULL)
		m->orphaned(m->arg);
}

/* The next change is one whose answer is lost: whether it is done all the same is *done. */
static bool
is_lost(struct memkeys *m, bool *done)
{
	enum mem_loss loss = m->loses;

	m->loses = MEM_LOSES_NOTHING;
	*done = loss != MEM_LOSES_CALL;
	return loss != MEM_LOSES_NOTHING;
}

void
memledger_kill(struct memkeys *m)
{
	LIST_FOREACH (link, &answers) {
		struct answer *a = CONTAINER_OF(link, struct answer, link);

		if (a->m != m)
			continue;
		a->e = ERR_STORAGE_DOWN;
		timer_set(m->loop, &a->timer, clock_now());
	}
	m->killed = true;
}

void
memledger_revive(struct memkeys *m)
{
	m->killed = false;
	orphan(m, 0);
}

/* --- reading --- */

static void
cancel_load(struct wait *w)
{
	(void)w;
}

static void
mem_load(struct ledger *l, struct ledger_load *c)
{
	struct memkeys *m = of_ledger(l);
	const struct mem_object *o = memledger_find(m, c->tenant, c->uid);

	if (is_killed(m, &c->wait))
		return;
	if (m->silent) {
		c->wait.cancel = cancel_load;
		return;
	}
	if (o != NULL && o->present)
		c->object = unpacked(o, c->arena);
	answer(m, &c->wait,
	    o == NULL || !o->present ? ERR_NO_OBJECT
		: c->object == NULL  ? ERR_NO_MEMORY
				     : ERR_OK);
}

static void
mem_find(struct ledger *l, struct ledger_find *f)
{
	struct memkeys *m = of_ledger(l);

	if (is_killed(m, &f->wait))
		return;
	f->uids = arena_array(f->arena, m->count + 1, sizeof(*f->uids));
	f->total = 0;
	f->uids_count = 0;
	for (size_t i = m->count; f->uids != NULL && i-- > 0;) {
		const struct mem_object *mo = &m->objects[i];
		const struct object *o = NULL;

		if (mo->present && strcmp(mo->tenant, f->tenant) == 0)
			o = unpacked(mo, f->arena);
		if (o == NULL || !ledger_find_matches(f, o))
			continue;
		if (f->total++ >= f->offset && (f->max == 0 || f->uids_count < f->max))
			memcpy(f->uids[f->uids_count++], o->uid, sizeof(o->uid));
	}
	answer(m, &f->wait, f->uids != NULL ? ERR_OK : ERR_NO_MEMORY);
}

/* --- changes --- */

static enum err
check(struct memkeys *m, const struct ledger_changes *c)
{
	if (m->conflicts > 0) {
		m->conflicts--;
		return ERR_CONFLICT;
	}
	for (size_t i = 0; i < c->count; i++) {
		const struct object *o = c->changes[i].object;
		const struct mem_object *mo = memledger_find(m, o->tenant, o->uid);

		if (mo != NULL && mo->present && mo->revision != o->revision)
			return ERR_CONFLICT;
		if ((mo != NULL ? mo->intent : 0) != c->owner)
			return ERR_CONFLICT;
	}
	return ERR_OK;
}

static enum err
put_intents(struct memkeys *m, const struct ledger_changes *c)
{
	for (size_t i = 0; i < c->count; i++) {
		struct mem_object *mo =
		    memledger_place(m, c->changes[i].object->tenant, c->changes[i].object->uid);

		if (mo == NULL)
			return ERR_STORAGE_FULL;
		mo->intent = c->owner;
		mo->kind = c->changes[i].kind;
		mo->orphan = false;
	}
	return ERR_OK;
}

static void
mem_prepare(struct ledger *l, struct ledger_changes *c)
{
	struct memkeys *m = of_ledger(l);
	enum err e = m->fail_prepare;
	bool done, lost;

	if (is_killed(m, &c->wait))
		return;
	lost = is_lost(m, &done);
	c->owner = 0;
	if (e == ERR_OK)
		e = check(m, c);
	c->owner = ++m->last_owner;
	if (e == ERR_OK && done)
		e = put_intents(m, c);
	if (lost)
		orphan(m, c->owner);
	answer(m, &c->wait, lost ? ERR_STORAGE_DOWN : e);
}

static enum err
apply(struct memkeys *m, const struct ledger_changes *c)
{
	for (size_t i = 0; i < c->count; i++) {
		const struct object *o = c->changes[i].object;
		struct mem_object *mo = memledger_place(m, o->tenant, o->uid);

		if (mo == NULL)
			return ERR_STORAGE_FULL;
		keep(mo, o);
		mo->intent = 0;
	}
	m->commits++;
	return ERR_OK;
}

static void
mem_commit(struct ledger *l, struct ledger_changes *c)
{
	struct memkeys *m = of_ledger(l);
	enum err e = m->fail_commit;
	bool done, lost;

	if (is_killed(m, &c->wait))
		return;
	lost = is_lost(m, &done);
	if (e == ERR_OK)
		e = check(m, c);
	if (e == ERR_OK && done)
		e = apply(m, c);
	if (lost && c->owner != 0)
		orphan(m, c->owner);
	answer(m, &c->wait, lost ? ERR_STORAGE_DOWN : e);
}

static void
mem_abandon(struct ledger *l, struct ledger_changes *c)
{
	struct memkeys *m = of_ledger(l);

	if (is_killed(m, &c->wait))
		return;
	for (size_t i = 0; i < c->count; i++) {
		struct mem_object *mo = memledger_find(
		    m, c->changes[i].object->tenant, c->changes[i].object->uid);

		if (mo != NULL && mo->intent == c->owner)
			mo->intent = 0;
	}
	answer(m, &c->wait, ERR_OK);
}

static void
mem_disown(struct ledger *l, struct ledger_changes *c)
{
	if (c->owner != 0)
		orphan(of_ledger(l), c->owner);
}

/* --- recovery --- */

static void
mem_intents(struct ledger *l, struct ledger_intents *c)
{
	struct memkeys *m = of_ledger(l);

	if (is_killed(m, &c->wait))
		return;
	c->intents = arena_array(c->arena, m->count + 1, sizeof(*c->intents));
	c->count = 0;
	for (size_t i = 0; c->intents != NULL && i < m->count; i++) {
		const struct mem_object *mo = &m->objects[i];
		struct ledger_intent *in = &c->intents[c->count];

		if (mo->intent == 0 || !mo->orphan)
			continue;
		in->owner = mo->intent;
		in->kind = mo->kind;
		strcpy(in->tenant, mo->tenant);
		strcpy(in->uid, mo->uid);
		c->count++;
	}
	answer(m, &c->wait, c->intents != NULL ? ERR_OK : ERR_NO_MEMORY);
}

static enum err
settle_destroyed(struct mem_object *mo, int64_t when)
{
	struct arena *a = arena_new(2 * OBJECT_SIZE_MAX);
	struct object *o = a != NULL ? unpacked(mo, a) : NULL;

	if (o != NULL && !object_is_destroyed(o)) {
		o->state = o->state == OBJECT_COMPROMISED ? OBJECT_DESTROYED_COMPROMISED
							  : OBJECT_DESTROYED;
		o->date[DATE_DESTROY] = o->date[DATE_LAST_CHANGE] = when;
		keep(mo, o);
	}
	arena_free(a);
	return o != NULL ? ERR_OK : ERR_NO_MEMORY;
}

static void
mem_settle(struct ledger *l, struct ledger_settle *c)
{
	struct memkeys *m = of_ledger(l);
	struct mem_object *mo = memledger_find(m, c->tenant, c->uid);
	enum err e = ERR_OK;
	bool done, lost;

	if (is_killed(m, &c->wait))
		return;
	lost = is_lost(m, &done);
	if (done && mo != NULL && mo->intent == c->owner) {
		mo->intent = 0;
		if (c->destroyed && mo->present)
			e = settle_destroyed(mo, c->when);
	}
	answer(m, &c->wait, lost ? ERR_STORAGE_DOWN : e);
}

static void
mem_free(struct ledger *l)
{
	(void)l;
}

void
memledger_init(struct memkeys *m)
{
	static const struct ledger_ops ops = {.name = "memory",
	    .load = mem_load,
	    .find = mem_find,
	    .prepare = mem_prepare,
	    .commit = mem_commit,
	    .abandon = mem_abandon,
	    .disown = mem_disown,
	    .intents = mem_intents,
	    .settle = mem_settle,
	    .free = mem_free};

	m->ledger.ops = &ops;
}

void
memledger_fini(struct memkeys *m)
{
	for (size_t i = 0; i < m->count; i++)
		buf_fini(&m->objects[i].packed);
	m->count = 0;
}
