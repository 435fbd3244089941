/* SPDX-License-Identifier: Apache-2.0 */
/* Successors of records, one object at a time. */
#include "succeed.h"

#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "keys/cache.h"
#include "keys/underway.h"

enum { ARENA_MAX = 3 * OBJECT_ARENA_MAX };

struct succeed {
	struct list dead; /* first: see loop_free_later() */
	struct succeed_params p;
	struct underway underway;
	bool left; /* nobody is told, and the vault may be gone */
	bool changing;
	bool alone; /* what failed is the one record's, or the root key's that it is under */
	struct arena *arena;
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

static void
free_soon(struct succeed *s)
{
	underway_end(&s->underway);
	secret_unref(s->unwrap.key);
	secret_unref(s->make.key);
	secret_unref(s->back.key);
	arena_free(s->arena);
	loop_free_later(s->p.loop, s);
}

static bool
is_general(enum err e)
{
	return e == ERR_VAULT_DOWN || e == ERR_VAULT_DENIED || e == ERR_VAULT_FULL ||
	    e == ERR_NO_ROOT_KEY || e == ERR_STORAGE_DOWN || e == ERR_STORAGE_FULL ||
	    e == ERR_STORAGE_MOVED || e == ERR_DEADLINE || e == ERR_CANCELLED;
}

static void
end(struct succeed *s, enum err e, bool made)
{
	void (*done)(void *, enum err, bool, bool) = s->left ? NULL : s->p.done;

	if (e != ERR_OK && e != ERR_NO_OBJECT)
		LOG(s->p.quiet ? LOG_DEBUG : LOG_WARN, "successor", "left as it is",
		    kv_text("tenant", s->load.tenant), kv_text("uid", s->load.uid),
		    kv_text("error", err_name(e)));
	free_soon(s);
	if (done != NULL)
		done(s->p.arg, e, made, is_general(e) && !s->alone);
}

/* --- the change --- */

static void
retire(struct succeed *s)
{
	struct vault_change once = {
	    .object = s->load.object, .successor = s->object, .terms.background = true};

	s->p.vault->ops->retire(s->p.vault, &once);
	wait_cancel(&once.wait);
}

static void
committed(struct wait *w, enum err e)
{
	struct succeed *s = CONTAINER_OF(w, struct succeed, changes.wait);

	if (e != ERR_OK && s->p.ledger->ops->disown != NULL)
		s->p.ledger->ops->disown(s->p.ledger, &s->changes);
	if (e == ERR_OK && !s->left) {
		if (s->p.vault->cache != NULL)
			cache_moved(s->p.vault->cache, s->p.vault->ops, s->object);
		retire(s);
	}
	end(s, e, e == ERR_OK);
}

/* Gives up the intent: the step fails with this error. */
static void
disown(struct succeed *s, enum err e)
{
	if (s->p.ledger->ops->disown != NULL)
		s->p.ledger->ops->disown(s->p.ledger, &s->changes);
	end(s, e, false);
}

static void
read_back(struct wait *w, enum err e)
{
	struct succeed *s = CONTAINER_OF(w, struct succeed, back.wait);

	if (s->left)
		e = ERR_CANCELLED;
	if (e == ERR_NO_OBJECT)
		e = ERR_BUSY; /* it does not show yet, and is left as it is */
	if (e == ERR_OK &&
	    (memcmp(s->back.object->digest, s->load.object->digest, sizeof(s->load.object->digest)) !=
		    0 ||
		s->p.vault->ops->sequence(s->back.object) != s->p.vault->ops->sequence(s->object)))
		e = ERR_INTEGRITY;
	if (e != ERR_OK) {
		disown(s, e);
		return;
	}
	s->changes.wait.done = committed;
	s->p.ledger->ops->commit(s->p.ledger, &s->changes);
}

static void
stored(struct wait *w, enum err e)
{
	struct succeed *s = CONTAINER_OF(w, struct succeed, store.wait);

	if (s->left)
		e = ERR_CANCELLED;
	if (e == ERR_OK) {
		s->p.vault->ops->record_id(s->id, s->object);
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
	s->p.vault->ops->find(s->p.vault, &s->back);
}

static void
prepared(struct wait *w, enum err e)
{
	struct succeed *s = CONTAINER_OF(w, struct succeed, changes.wait);

	if (e != ERR_OK) {
		end(s, e, false);
		return;
	}
	if (s->left) {
		disown(s, ERR_CANCELLED);
		return;
	}
	s->store = (struct vault_change){
	    .wait.done = stored, .object = s->object, .terms.background = true};
	s->p.vault->ops->store(s->p.vault, &s->store);
}

/* --- before it --- */

static void
made(struct wait *w, enum err e)
{
	struct succeed *s = CONTAINER_OF(w, struct succeed, make.wait);

	if (e != ERR_OK) {
		end(s, e, false);
		return;
	}
	s->changing = true;
	s->change = (struct change){CHANGE_REPLACE, s->object};
	s->changes = (struct ledger_changes){
	    .wait.done = prepared, .changes = &s->change, .count = 1};
	s->p.ledger->ops->prepare(s->p.ledger, &s->changes);
}

/* False: it has ended, since it is not wanted, or that cannot be told. */
static bool
goes_on(struct succeed *s, const struct vault_unwrap *u)
{
	bool wanted = false;
	enum err e = s->p.wanted(s->p.vault, s->load.object, u, &wanted);

	if (e == ERR_OK && wanted)
		return true;
	end(s, e, false);
	return false;
}

static void
unwrapped(struct wait *w, enum err e)
{
	struct succeed *s = CONTAINER_OF(w, struct succeed, unwrap.wait);

	s->alone = (e == ERR_VAULT_DENIED && (s->unwrap.record_only || s->unwrap.apart)) ||
	    (e == ERR_NO_ROOT_KEY && s->unwrap.apart);
	if (e != ERR_OK) {
		end(s, e, false);
		return;
	}
	if (!goes_on(s, &s->unwrap))
		return;
	s->object = object_copy(s->arena, s->load.object);
	if (s->object == NULL) {
		end(s, ERR_NO_MEMORY, false);
		return;
	}
	s->make = (struct vault_make){
	    .wait.done = made,
	    .arena = s->arena,
	    .object = s->object,
	    .key = secret_ref(s->unwrap.key),
	    .whole = s->p.whole,
	    .terms.background = true,
	};
	s->p.vault->ops->make(s->p.vault, &s->make);
}

static void
loaded(struct wait *w, enum err e)
{
	struct succeed *s = CONTAINER_OF(w, struct succeed, load.wait);

	if (e != ERR_OK || object_is_destroyed(s->load.object)) {
		end(s, e, false);
		return;
	}
	if (!goes_on(s, NULL))
		return;
	s->unwrap = (struct vault_unwrap){
	    .wait.done = unwrapped, .object = s->load.object, .terms.background = true};
	s->p.vault->ops->unwrap(s->p.vault, &s->unwrap);
}

struct succeed *
succeed_start(const struct succeed_params *p)
{
	struct succeed *s = alloc_zero(sizeof(*s));

	if (s != NULL)
		s->arena = arena_new(ARENA_MAX);
	if (s == NULL || s->arena == NULL) {
		alloc_free(s);
		return NULL;
	}
	s->p = *p;
	s->load = (struct ledger_load){
	    .wait.done = loaded,
	    .arena = s->arena,
	    .tenant = arena_text(s->arena, p->tenant, strlen(p->tenant)),
	    .uid = arena_text(s->arena, p->uid, strlen(p->uid)),
	};
	underway_begin(&s->underway, s->load.tenant);
	s->p.ledger->ops->load(s->p.ledger, &s->load);
	return s;
}

void
succeed_leave(struct succeed *s)
{
	s->left = true;
	if (s->changing)
		return;
	wait_cancel(&s->load.wait);
	wait_cancel(&s->unwrap.wait);
	wait_cancel(&s->make.wait);
	free_soon(s);
}
