/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vault over keymgr.h.  An operation's `arrive` runs once for each of its calls: it decides, and
 * either ends, or asks to arrive again later.  Changes run on when their waiter leaves.
 */
#include "fakeop.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define TIMEOUT_NS (10 * NS_PER_S)
#define SETTLED_NS (10 * NS_PER_S)

bool
fakeop_read_record(struct record *r, const struct object *o)
{
	if (o->record == NULL || o->record_len != sizeof(*r))
		return false;
	memcpy(r, o->record, sizeof(*r));
	return true;
}

void
fakeop_record_id(char id[UID_TEXT_LEN + 1], const struct object *o)
{
	struct record r;

	memset(id, 0, UID_TEXT_LEN + 1);
	if (fakeop_read_record(&r, o))
		memcpy(id, r.id, sizeof(r.id));
}

/* The key manager has one. */
static void
root_key(char id[UID_TEXT_LEN + 1], const struct object *o)
{
	(void)o;
	memcpy(id, "root", sizeof("root"));
}

static uint64_t
sequence_of(const struct object *o)
{
	struct record r;

	return fakeop_read_record(&r, o) ? r.sequence : 0;
}

int
fakeop_order(const struct object *a, const struct object *b)
{
	struct record l = {.sequence = 0}, r = {.sequence = 0};

	(void)fakeop_read_record(&l, a);
	(void)fakeop_read_record(&r, b);
	if (l.sequence != r.sequence)
		return l.sequence > r.sequence ? 1 : -1;
	if (l.state != r.state)
		return l.state > r.state ? 1 : -1;
	return memcmp(r.id, l.id, sizeof(r.id));
}

/* --- operations --- */

static void
op_free(struct op *o)
{
	timer_clear(o->v->loop, &o->timer);
	list_remove(&o->link);
	arena_free(o->arena);
	alloc_free(o);
}

static void
op_end(struct op *o)
{
	struct wait *w = o->waiter;
	enum err e;

	if (w != NULL && o->e == ERR_OK && o->deliver != NULL)
		o->deliver(o);
	e = o->e;
	op_free(o);
	if (w != NULL)
		wait_finish(w, e);
}

static void
op_set(struct op *o, int64_t when)
{
	timer_set(o->v->loop, &o->timer, when);
}

int64_t
fakeop_half_way(const struct op *o)
{
	return clock_now() + (o->v->delay != NULL ? o->v->delay(o->v->arg) : 0);
}

void
fakeop_again(struct op *o, int64_t in)
{
	o->arrived = false;
	op_set(o, clock_now() + in);
}

/* What keeps every call from being heard. */
static enum err
met(const struct op *o)
{
	if (o->v->way != WAY_OPEN)
		return ERR_VAULT_DOWN;
	return o->v->role == ROLE_NONE ? ERR_VAULT_DENIED : ERR_OK;
}

enum err
fakeop_root_error(const struct op *o)
{
	return o->v->km->root == ROOT_ACTIVE ? ERR_OK : ERR_NO_ROOT_KEY;
}

static void
on_time(struct timer *t)
{
	struct op *o = CONTAINER_OF(t, struct op, timer);

	if (o->arrived) {
		op_end(o);
		return;
	}
	o->arrived = true;
	op_set(o, fakeop_half_way(o));
	o->e = met(o);
	if (o->e == ERR_OK)
		o->arrive(o);
	else if (o->v->way == WAY_HANGS)
		op_set(o, o->deadline);
}

void
fakeop_leave(struct op *o)
{
	o->waiter = NULL;
	if (!o->runs_on)
		op_free(o);
}

static int64_t
lag_until(const char *uid)
{
	int64_t age = (clock_wall_ms() - text_uuid7_ms(uid)) * NS_PER_MS;

	return age >= FAKEOP_LAG_NS ? 0 : clock_now() + FAKEOP_LAG_NS - (age > 0 ? age : 0);
}

struct op *
fakeop_new(struct vault *vault, struct wait *w, const struct vault_terms *t, const char *uid,
    void (*cancel)(struct wait *))
{
	struct fakevault *v = CONTAINER_OF(vault, struct fakevault, vault);
	struct op *o = v->killed ? NULL : alloc_zero(sizeof(*o));
	int64_t latest = clock_now() + TIMEOUT_NS;

	if (o == NULL) {
		wait_finish_soon(v->loop, w, ERR_VAULT_DOWN);
		return NULL;
	}
	o->v = v;
	o->waiter = w;
	o->timer.fn = on_time;
	o->deadline = t->deadline != 0 && t->deadline < latest ? t->deadline : latest;
	o->look_until = lag_until(uid);
	strcpy(o->uid, uid);
	w->cancel = cancel;
	list_append(&v->ops, &o->link);
	op_set(o, fakeop_half_way(o));
	return o;
}

bool
fakeop_shows(const struct op *o, const struct keymgr_record *r)
{
	return r->deleted == 0 && strcmp(r->uid, o->uid) == 0 && keymgr_is_listed(o->v->km, r);
}

size_t
fakeop_count_shown(const struct op *o)
{
	size_t count = 0;

	for (size_t i = 0; i < o->v->km->records_count; i++)
		count += fakeop_shows(o, &o->v->km->records[i]);
	return count;
}

enum vault_gone
fakeop_how_gone(const struct op *o, const struct keymgr_record *r)
{
	if (r == NULL || keymgr_now(o->v->km) - r->deleted < SETTLED_NS)
		return GONE_LATELY;
	return r->by_gateway ? GONE_DESTROYED : GONE_WITHDRAWN;
}

/* --- the vault --- */

static const char *
complaint(const struct vault *v)
{
	(void)v;
	return NULL;
}

/* Records are named by the uid alone. */
static const char *
uid_in(const struct vault *v, const char *name)
{
	(void)v;
	return name;
}

static void
fake_free(struct vault *v)
{
	struct fakevault *f = CONTAINER_OF(v, struct fakevault, vault);

	LIST_FOREACH_SAFE (link, next, &f->ops) {
		struct op *o = CONTAINER_OF(link, struct op, link);
		struct wait *w = o->waiter;

		op_free(o);
		if (w != NULL)
			wait_finish_soon(f->loop, w, ERR_CANCELLED);
	}
}

void
fakevault_init(struct fakevault *v, struct loop *l, struct keymgr *km)
{
	static const struct vault_ops ops = {
	    .name = "fake",
	    .make = fakeread_make,
	    .unwrap = fakeread_unwrap,
	    .store = fakechange_store,
	    .destroy = fakechange_destroy,
	    .probe = fakeread_probe,
	    .retire = fakechange_retire,
	    .find = fakeread_find,
	    .uid_in = uid_in,
	    .complaint = complaint,
	    .record_id = fakeop_record_id,
	    .root_key = root_key,
	    .sequence = sequence_of,
	    .order = fakeop_order,
	    .free = fake_free,
	};

	*v = (struct fakevault){
	    .vault.ops = &ops, .source.news = fakeread_news, .loop = l, .km = km, .role = ROLE_MANAGER};
	list_init(&v->ops);
}

void
fakevault_kill(struct fakevault *v)
{
	v->killed = true;
	LIST_FOREACH_SAFE (link, next, &v->ops) {
		struct op *o = CONTAINER_OF(link, struct op, link);

		if (o->waiter == NULL) {
			op_free(o);
			continue;
		}
		o->arrived = true;
		o->e = ERR_VAULT_DOWN;
		timer_set(v->loop, &o->timer, clock_now());
	}
}

size_t
fakevault_calls(const struct fakevault *v)
{
	size_t count = 0;

	LIST_FOREACH (link, &v->ops)
		count++;
	return count;
}
