/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rewrap: for each object that the ledger has
 *
 *	load -> unwrap -> (new enough: next) -> make -> prepare -> store -> read back -> commit -> retire
 *
 * What fails after the store, or is cancelled from prepare on, is left to the intent: recovery takes
 * the successor over, if there is one.
 */
#include "keys/rewrap.h"

#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"

enum { FIND_ARENA_MAX = 16 * 1024 * 1024, STEP_ARENA_MAX = 6 * OBJECT_SIZE_MAX };
#define PACE_NS (200 * NS_PER_MS) /* between two that were rewrapped */

/* One object. */
struct rewrap_step {
	struct list dead; /* first: see loop_free_later() */
	struct rewrap *job; /* NULL: was cancelled, and the vault may be gone */
	struct loop *loop;
	struct vault *vault;
	struct ledger *ledger;
	struct arena *arena;
	bool changing;
	struct ledger_load load;
	struct vault_unwrap unwrap;
	struct vault_make make;
	struct object *object;
	struct change change;
	struct ledger_changes changes;
	struct vault_change store;
	struct vault_find back;
	char id[UID_TEXT_LEN + 1];
};

static void next_object(struct rewrap *r);

static void
finish(struct rewrap *r, enum err e)
{
	timer_clear(r->loop, &r->pause);
	arena_free(r->arena);
	r->arena = NULL;
	wait_finish(&r->wait, e);
}

static void
step_free(struct rewrap_step *s)
{
	secret_unref(s->unwrap.key);
	secret_unref(s->make.key);
	secret_unref(s->back.key);
	arena_free(s->arena);
	loop_free_later(s->loop, s);
}

/* Errors that will meet the next object as well. */
static bool
is_general(enum err e)
{
	return e == ERR_VAULT_DOWN || e == ERR_VAULT_DENIED || e == ERR_VAULT_FULL ||
	    e == ERR_NO_ROOT_KEY || e == ERR_STORAGE_DOWN || e == ERR_STORAGE_FULL ||
	    e == ERR_DEADLINE || e == ERR_CANCELLED;
}

static void
on_pause(struct timer *t)
{
	next_object(CONTAINER_OF(t, struct rewrap, pause));
}

/* rewrapped: it had to be done, and was. */
static void
step_end(struct rewrap_step *s, enum err e, bool rewrapped)
{
	struct rewrap *r = s->job;

	if (e != ERR_OK && e != ERR_NO_OBJECT)
		LOG(LOG_WARN, "rewrap", "left as it is", kv_text("tenant", s->load.tenant),
		    kv_text("uid", s->load.uid), kv_text("error", err_name(e)));
	if (rewrapped)
		metric_inc(METRIC_REWRAPPED_TOTAL);
	step_free(s);
	if (r == NULL)
		return;
	r->step = NULL;
	r->done++;
	r->rewrapped += rewrapped;
	r->left += e != ERR_OK && e != ERR_NO_OBJECT;
	if (r->progress != NULL)
		r->progress(r);
	if (e != ERR_OK && is_general(e))
		finish(r, e);
	else if (timer_set(r->loop, &r->pause, clock_now() + (rewrapped ? PACE_NS : 0)) != ERR_OK)
		finish(r, ERR_NO_MEMORY);
}

/* --- the change --- */

static void
retire(struct rewrap_step *s)
{
	struct vault_change once = {
	    .object = s->load.object, .successor = s->object, .terms.background = true};

	s->vault->ops->retire(s->vault, &once);
	wait_cancel(&once.wait);
}

static void
committed(struct wait *w, enum err e)
{
	struct rewrap_step *s = CONTAINER_OF(w, struct rewrap_step, changes.wait);

	if (e != ERR_OK && s->ledger->ops->disown != NULL)
		s->ledger->ops->disown(s->ledger, &s->changes);
	if (e == ERR_OK && s->job != NULL)
		retire(s);
	step_end(s, e, e == ERR_OK);
}

/* Gives up the intent: the step fails with this error. */
static void
disown(struct rewrap_step *s, enum err e)
{
	if (s->ledger->ops->disown != NULL)
		s->ledger->ops->disown(s->ledger, &s->changes);
	step_end(s, e, false);
}

static void
read_back(struct wait *w, enum err e)
{
	struct rewrap_step *s = CONTAINER_OF(w, struct rewrap_step, back.wait);

	if (s->job == NULL)
		e = ERR_CANCELLED;
	if (e == ERR_NO_OBJECT)
		e = ERR_BUSY; /* it does not show yet, and is left as it is */
	if (e == ERR_OK &&
	    (memcmp(s->back.object->digest, s->load.object->digest, sizeof(s->load.object->digest)) !=
		    0 ||
		s->vault->ops->sequence(s->back.object) != s->vault->ops->sequence(s->object)))
		e = ERR_INTEGRITY;
	if (e != ERR_OK) {
		disown(s, e);
		return;
	}
	s->changes.wait.done = committed;
	s->ledger->ops->commit(s->ledger, &s->changes);
}

static void
stored(struct wait *w, enum err e)
{
	struct rewrap_step *s = CONTAINER_OF(w, struct rewrap_step, store.wait);

	if (s->job == NULL)
		e = ERR_CANCELLED;
	if (e == ERR_OK) {
		s->vault->ops->record_id(s->id, s->object);
		e = s->id[0] != '\0' ? ERR_OK : ERR_INTERNAL;
	}
	if (e != ERR_OK) {
		disown(s, e);
		return;
	}
	s->back = (struct vault_find){
	    .wait.done = read_back,
	    .arena = s->arena,
	    .tenant = s->object->tenant,
	    .uid = s->object->uid,
	    .record_id = s->id,
	    .terms.background = true,
	};
	s->vault->ops->find(s->vault, &s->back);
}

static void
prepared(struct wait *w, enum err e)
{
	struct rewrap_step *s = CONTAINER_OF(w, struct rewrap_step, changes.wait);

	if (e != ERR_OK) {
		step_end(s, e, false);
		return;
	}
	if (s->job == NULL) {
		disown(s, ERR_CANCELLED);
		return;
	}
	s->store = (struct vault_change){
	    .wait.done = stored, .object = s->object, .terms.background = true};
	s->vault->ops->store(s->vault, &s->store);
}

/* --- before it --- */

static void
made(struct wait *w, enum err e)
{
	struct rewrap_step *s = CONTAINER_OF(w, struct rewrap_step, make.wait);

	if (e != ERR_OK) {
		step_end(s, e, false);
		return;
	}
	s->changing = true;
	s->change = (struct change){CHANGE_REPLACE, s->object};
	s->changes = (struct ledger_changes){
	    .wait.done = prepared, .changes = &s->change, .count = 1};
	s->ledger->ops->prepare(s->ledger, &s->changes);
}

static void
unwrapped(struct wait *w, enum err e)
{
	struct rewrap_step *s = CONTAINER_OF(w, struct rewrap_step, unwrap.wait);

	if (e != ERR_OK || !s->unwrap.stale) {
		step_end(s, e, false);
		return;
	}
	s->object = object_copy(s->arena, s->load.object);
	if (s->object == NULL) {
		step_end(s, ERR_NO_MEMORY, false);
		return;
	}
	s->make = (struct vault_make){
	    .wait.done = made,
	    .arena = s->arena,
	    .object = s->object,
	    .key = secret_ref(s->unwrap.key),
	    .terms.background = true,
	};
	s->vault->ops->make(s->vault, &s->make);
}

static void
loaded(struct wait *w, enum err e)
{
	struct rewrap_step *s = CONTAINER_OF(w, struct rewrap_step, load.wait);

	if (e != ERR_OK || object_is_destroyed(s->load.object)) {
		step_end(s, e, false);
		return;
	}
	s->unwrap = (struct vault_unwrap){
	    .wait.done = unwrapped, .object = s->load.object, .terms.background = true};
	s->vault->ops->unwrap(s->vault, &s->unwrap);
}

static void
next_object(struct rewrap *r)
{
	struct rewrap_step *s;

	if (r->done == r->objects) {
		finish(r, r->left > 0 ? ERR_BUSY : ERR_OK);
		return;
	}
	s = alloc_zero(sizeof(*s));
	if (s != NULL)
		s->arena = arena_new(STEP_ARENA_MAX);
	if (s == NULL || s->arena == NULL) {
		alloc_free(s);
		finish(r, ERR_NO_MEMORY);
		return;
	}
	r->step = s;
	s->job = r;
	s->loop = r->loop;
	s->vault = r->vault;
	s->ledger = r->ledger;
	s->load = (struct ledger_load){
	    .wait.done = loaded,
	    .arena = s->arena,
	    .tenant = arena_text(s->arena, r->tenant, strlen(r->tenant)),
	    .uid = arena_text(s->arena, r->find.uids[r->done], UID_TEXT_LEN),
	};
	s->ledger->ops->load(s->ledger, &s->load);
}

static void
listed(struct wait *w, enum err e)
{
	struct rewrap *r = CONTAINER_OF(w, struct rewrap, find.wait);

	if (e != ERR_OK) {
		finish(r, e);
		return;
	}
	r->objects = r->find.uids_count;
	next_object(r);
}

static void
cancel(struct wait *w)
{
	struct rewrap *r = CONTAINER_OF(w, struct rewrap, wait);
	struct rewrap_step *s = r->step;

	wait_cancel(&r->find.wait);
	timer_clear(r->loop, &r->pause);
	if (s != NULL && s->changing) {
		s->job = NULL;
	} else if (s != NULL) {
		wait_cancel(&s->load.wait);
		wait_cancel(&s->unwrap.wait);
		wait_cancel(&s->make.wait);
		step_free(s);
	}
	r->step = NULL;
	arena_free(r->arena);
	r->arena = NULL;
}

void
rewrap_start(struct rewrap *r)
{
	r->arena = arena_new(FIND_ARENA_MAX);
	if (r->arena == NULL) {
		wait_finish_soon(r->loop, &r->wait, ERR_NO_MEMORY);
		return;
	}
	r->wait.cancel = cancel;
	r->pause.fn = on_pause;
	r->objects = r->done = r->rewrapped = r->left = 0;
	r->find = (struct ledger_find){
	    .wait.done = listed,
	    .arena = r->arena,
	    .tenant = r->tenant,
	    .now = clock_wall(),
	};
	r->ledger->ops->find(r->ledger, &r->find);
}
