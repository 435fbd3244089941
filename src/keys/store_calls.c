/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that were sent to a storage child and are not answered. */
#include "store_calls.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/metric.h"

enum { CALLS_MAX = 65536 }; /* each session may have one, and all may come at once */

/* A call that was sent, or is about to be.  With an empty waiter nobody wants the answer. */
struct store_call {
	struct list slot;     /* by id */
	struct list in_order; /* of timed, late or patient */
	struct list waiter;   /* wait.link, or empty after a cancel */
	const struct store_call_type *type;
	void *ctx;
	uint64_t id, token;
	int64_t began, deadline;
	bool late;
};

static void
call_forget(struct calls *cs, struct store_call *c)
{
	list_remove(&c->slot);
	list_remove(&c->in_order);
	cs->count--;
	if (c->late && c->type->kind == WIRE_LOAD)
		cs->late_loads--;
	metric_add(METRIC_STORE_CALLS, -1);
}

static struct wait *
call_waiter(struct store_call *c)
{
	struct list *l = list_pop(&c->waiter);

	return l != NULL ? CONTAINER_OF(l, struct wait, link) : NULL;
}

/* c is out of all lists.  The waiter may start other calls from here. */
static void
call_over(struct store_call *c, enum err e, struct unpack *body)
{
	struct wait *w = call_waiter(c);

	if (w != NULL && e != ERR_STORAGE_DOWN && c->type->again != NULL &&
	    c->type->again(c->ctx, w, &e)) {
		alloc_free(c);
		return;
	}
	if (e == ERR_OK && w != NULL && c->type->answer != NULL) {
		e = c->type->answer(c->ctx, w, body);
		if (e == ERR_OK && !unpack_done(body))
			e = ERR_STORAGE;
	}
	if (c->type->over != NULL)
		c->type->over(c->ctx, c->token, e, w != NULL);
	alloc_free(c);
	if (w != NULL)
		wait_finish(w, e);
}

/* Its answer is still awaited, so that its place stays taken. */
static void
call_is_late(struct calls *cs, struct store_call *c)
{
	c->late = true;
	if (c->type->kind == WIRE_LOAD)
		cs->late_loads++;
	list_remove(&c->in_order);
	list_append(&cs->late, &c->in_order);
}

static void
expire_calls(struct timer *t)
{
	struct calls *cs = CONTAINER_OF(t, struct calls, expire);
	int64_t now = clock_now(), next = 0;
	struct list late, *l;

	list_init(&late);
	LIST_FOREACH_SAFE(it, nx, &cs->timed) {
		struct store_call *c = CONTAINER_OF(it, struct store_call, in_order);
		struct wait *w;

		if (c->deadline > now) {
			next = c->deadline;
			break;
		}
		w = call_waiter(c);
		if (w != NULL)
			list_append(&late, &w->link);
		call_is_late(cs, c);
	}
	if (next != 0)
		timer_set(cs->loop, &cs->expire, next);
	while ((l = list_pop(&late)) != NULL)
		wait_finish(CONTAINER_OF(l, struct wait, link), ERR_DEADLINE);
}

void
calls_init(struct calls *cs, struct loop *l)
{
	cs->loop = l;
	cs->expire.fn = expire_calls;
	list_init(&cs->timed);
	list_init(&cs->late);
	list_init(&cs->patient);
	for (int i = 0; i < CALLS_SLOTS; i++)
		list_init(&cs->slots[i]);
}

enum err
calls_new(struct calls *cs, const struct store_call_type *type, int64_t deadline,
    struct store_call **out, uint64_t *id)
{
	struct store_call *c;

	if (cs->count >= CALLS_MAX)
		return ERR_BUSY;
	c = alloc_zero(sizeof(*c));
	if (c == NULL)
		return ERR_NO_MEMORY;
	if (!type->patient && !timer_armed(&cs->expire))
		timer_set(cs->loop, &cs->expire, deadline);
	c->id = ++cs->last_id;
	c->type = type;
	c->deadline = deadline;
	list_init(&c->waiter);
	*out = c;
	*id = c->id;
	return ERR_OK;
}

void
calls_drop(struct store_call *c)
{
	alloc_free(c);
}

static void
cancel_call(struct wait *w)
{
	(void)w; /* its link is gone from the call: the answer finds nobody */
}

void
calls_sent(struct calls *cs, struct store_call *c, struct wait *w, void *ctx, uint64_t token)
{
	c->ctx = ctx;
	c->token = token;
	c->began = clock_now();
	w->cancel = cancel_call;
	list_append(&c->waiter, &w->link);
	list_append(&cs->slots[c->id % CALLS_SLOTS], &c->slot);
	list_append(c->type->patient ? &cs->patient : &cs->timed, &c->in_order);
	cs->count++;
	metric_add(METRIC_STORE_CALLS, 1);
	metric_inc(METRIC_STORE_CALLS_TOTAL);
}

bool
calls_answer(struct calls *cs, uint64_t id, enum err e, struct unpack *body)
{
	LIST_FOREACH(it, &cs->slots[id % CALLS_SLOTS]) {
		struct store_call *c = CONTAINER_OF(it, struct store_call, slot);

		if (c->id == id) {
			call_forget(cs, c);
			trouble_note(&cs->trouble, c->type->kind, e);
			metric_observe(METRIC_STORE_CALL_DURATION_SECONDS, 0, 0,
			    clock_now() - c->began);
			call_over(c, e, body);
			return true;
		}
	}
	return false;
}

static void
fail_list(struct calls *cs, struct list *calls)
{
	struct list failed, *l;

	list_init(&failed);
	list_move_all(&failed, calls);
	while ((l = list_pop(&failed)) != NULL) {
		struct store_call *c = CONTAINER_OF(l, struct store_call, in_order);

		call_forget(cs, c);
		call_over(c, ERR_STORAGE_DOWN, NULL);
	}
}

void
calls_fail(struct calls *cs)
{
	timer_clear(cs->loop, &cs->expire);
	fail_list(cs, &cs->late);
	fail_list(cs, &cs->timed);
	fail_list(cs, &cs->patient);
}

/* Searches are few (STORE_FINDS_MAX), so that the first that is none is found soon. */
static const struct store_call *
oldest_of(const struct list *calls)
{
	LIST_FOREACH(it, calls) {
		const struct store_call *c = CONTAINER_OF(it, struct store_call, in_order);

		if (c->type->kind != WIRE_FIND)
			return c;
	}
	return NULL;
}

int64_t
calls_waits(const struct calls *cs)
{
	const struct store_call *c = oldest_of(&cs->late);

	if (c == NULL)
		c = oldest_of(&cs->timed);
	return c != NULL ? clock_now() - c->began : 0;
}
