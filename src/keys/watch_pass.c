/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pass: reads the lists, then goes through what they show of the tenants, one after the other.
 *
 *	gone			    a key that may be from it is dropped from the cache at once: who
 *				    wants it proves it anew.  From another: stays, if the ledger agrees
 *	  for good, and known	    a successor is looked for; without one it is Destroyed
 *	there, not in the ledger    nothing, but that it was absent is forgotten; a rebuild looks it up
 *	there, another record	    perhaps a successor: looked up.  An older one that is ours is retired
 *	there, destroyed here	    a record of ours is deleted: its maker did not know yet, or somebody
 *				    brought it back
 *
 * Lists overlap, so what was settled once is remembered for some time.
 */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "watch_parts.h"

enum { EVENTS_MAX = 200000, PROGRESS_EVERY = 50 };

static void next_event(struct pass *p);

/* --- what was settled before --- */

static uint64_t
hash_text(uint64_t h, const char *s)
{
	for (; *s != '\0'; s++)
		h = (h ^ (uint8_t)*s) * UINT64_C(1099511628211);
	return h;
}

static uint64_t
record_hash(const struct event *ev)
{
	uint64_t h = UINT64_C(14695981039346656037);

	return hash_text(hash_text(h, ev->record_id), ev->tenant->id);
}

static struct settled *
settled_of(struct watch *w, const struct event *ev)
{
	uint64_t h = record_hash(ev);

	for (size_t i = 0; i < SETTLED_MAX; i++)
		if (w->settled[i].record == h)
			return &w->settled[i];
	return NULL;
}

static bool
is_settled(struct watch *w, const struct event *ev)
{
	const struct settled *s = settled_of(w, ev);

	return s != NULL && s->gone == ev->gone;
}

/* In place of what was seen to before: it may be restored, and deleted again. */
static void
note_settled(struct watch *w, const struct event *ev)
{
	struct settled *s = settled_of(w, ev);

	if (s == NULL)
		s = &w->settled[w->next_settled++ % SETTLED_MAX];
	*s = (struct settled){record_hash(ev), ev->gone};
}

/* --- the end --- */

/* Harmless twice. */
static void
clean(struct pass *p)
{
	loop_undefer(&p->turn);
	alloc_free(p->events);
	p->events = NULL;
	p->count = p->room = p->at = 0;
	arena_free(p->arena);
	p->arena = NULL;
}

static void
end(struct pass *p, enum err e)
{
	clean(p);
	watch_passed(p, e);
}

/* What is being done about the event; true when there was anything. */
static bool
leave_event(struct pass *p)
{
	bool any = wait_pending(&p->load.wait) || wait_pending(&p->lookup.wait) ||
	    wait_pending(&p->find.wait) || wait_pending(&p->drop.wait);

	wait_cancel(&p->load.wait);
	wait_cancel(&p->lookup.wait);
	wait_cancel(&p->find.wait);
	wait_cancel(&p->drop.wait);
	secret_unref(p->find.key);
	p->find.key = NULL;
	return any;
}

void
pass_stop(struct pass *p)
{
	wait_cancel(&p->news.wait);
	leave_event(p);
	clean(p);
}

/* --- one event --- */

/* It cannot be told whether the record that is gone is the one that counts. */
static void
doubt(const struct pass *p, const struct event *ev)
{
	if (!p->full && ev->gone != GONE_UNKNOWN)
		cache_forget(p->watch->p.cache, ev->tenant->id, ev->uid);
}

static struct watch_rebuild *
rebuild_of(const struct pass *p, const struct watch_tenant *t)
{
	return p->full && t->rebuilding ? t->rebuild : NULL;
}

static void
advance(struct pass *p)
{
	struct watch_rebuild *r = rebuild_of(p, p->events[p->at].tenant);

	if (r != NULL && ++r->done % PROGRESS_EVERY == 0 && r->progress != NULL)
		r->progress(r);
	p->at++;
	next_event(p);
}

static void
settle(struct pass *p)
{
	if (!p->full) /* which has far more than is remembered */
		note_settled(p->watch, &p->events[p->at]);
	advance(p);
}

/* A later round meets it again.  ERR_NO_OBJECT: nothing is to be done about it now. */
static void
put_off(struct pass *p, enum err e)
{
	struct watch_tenant *t = p->events[p->at].tenant;
	struct watch_rebuild *r = rebuild_of(p, t);

	if (e != ERR_NO_OBJECT && r != NULL) {
		r->left++;
		if (e != ERR_VAULT_DOWN && e != ERR_DEADLINE) /* which meet all the others as well */
			LOG(LOG_WARN, "watch", "record left: it does not open",
			    kv_text("tenant", t->id), kv_text("uid", p->events[p->at].uid),
			    kv_text("error", err_name(e)));
	}
	if (e == ERR_NO_ROOT_KEY && !p->full)
		p->watch->missed = true;
	/* a root key that went with its records stays away, perhaps for good: that holds up nothing */
	if (e != ERR_NO_OBJECT && e != ERR_NO_ROOT_KEY && !p->full)
		t->behind = true;
	advance(p);
}

static void
dropped(struct wait *wait, enum err e)
{
	struct pass *p = CONTAINER_OF(wait, struct pass, drop.wait);
	const struct event *ev = &p->events[p->at];

	if (e == ERR_OK)
		LOG(LOG_WARN, "watch", "record of a destroyed key deleted",
		    kv_text("tenant", ev->tenant->id), kv_text("uid", ev->uid));
	if (e == ERR_OK || e == ERR_DENIED) /* without the right it stays, and is served nowhere */
		settle(p);
	else
		put_off(p, e);
}

/* The record has opened, so that it is ours. */
static void
sweep(struct pass *p, const struct object *found)
{
	const struct object *known = p->load.object;
	struct vault *v = p->events[p->at].tenant->vault;
	bool destroyed = object_is_destroyed(known);
	struct vault_change once = {
	    .object = found, .successor = known, .terms.background = true};

	if (memcmp(found->digest, known->digest, sizeof(found->digest)) != 0) {
		settle(p); /* another key: nobody's to delete */
	} else if (destroyed) {
		p->drop = (struct vault_change){
		    .wait.done = dropped, .object = found, .terms.background = true};
		v->ops->retire(v, &p->drop);
	} else if (v->ops->order(found, known) < 0) {
		v->ops->retire(v, &once); /* takes its time, and a later pass may do it as well */
		wait_cancel(&once.wait);
		settle(p);
	} else {
		put_off(p, ERR_NO_OBJECT);
	}
}

static void
found(struct wait *wait, enum err e)
{
	struct pass *p = CONTAINER_OF(wait, struct pass, find.wait);

	secret_unref(p->find.key);
	p->find.key = NULL;
	if (e == ERR_OK)
		sweep(p, p->find.object);
	else if (e == ERR_INTEGRITY || e == ERR_NO_ROOT_KEY) /* whose it is cannot be told */
		settle(p);
	else
		put_off(p, e);
}

/* A record that is there and should not be: whose is it? */
static void
find(struct pass *p)
{
	const struct event *ev = &p->events[p->at];

	p->find = (struct vault_find){
	    .wait.done = found,
	    .arena = p->arena,
	    .tenant = ev->tenant->id,
	    .uid = ev->uid,
	    .record_id = ev->record_id,
	    .terms.background = true,
	};
	ev->tenant->vault->ops->find(ev->tenant->vault, &p->find);
}

static void
looked_up(struct wait *wait, enum err e)
{
	struct pass *p = CONTAINER_OF(wait, struct pass, lookup.wait);
	const struct event *ev = &p->events[p->at];
	struct watch_rebuild *r = rebuild_of(p, ev->tenant);

	if (ev->gone != GONE_UNKNOWN) /* a get may have brought it back before the ledger knew */
		cache_forget_record(p->watch->p.cache, ev->tenant->id, ev->uid, ev->record_id);
	if (r != NULL) {
		r->adopted += e == ERR_OK;
		r->foreign += e == ERR_NO_OBJECT || e == ERR_INTEGRITY;
	}
	if (e == ERR_OK || e == ERR_INTEGRITY)
		settle(p);
	else if (e == ERR_NO_OBJECT && ev->gone == GONE_UNKNOWN && p->load.object != NULL)
		find(p);
	else
		put_off(p, e);
}

static void
look_up(struct pass *p)
{
	const struct event *ev = &p->events[p->at];

	p->lookup = (struct lookup){
	    .wait.done = looked_up,
	    .vault = ev->tenant->vault,
	    .ledger = p->watch->p.ledger,
	    .tenant = ev->tenant->id,
	    .uid = ev->uid,
	    .record_id = ev->gone == GONE_UNKNOWN ? ev->record_id : NULL,
	    .gone = ev->gone,
	    .terms.background = true,
	};
	lookup_start(p->watch->p.lookups, &p->lookup);
}

/* A deletion that may be made good yet: that concerns the cache alone. */
static bool
is_passing(const struct event *ev)
{
	return ev->gone == GONE_LATELY || ev->gone == GONE_WITHDRAWN;
}

static void
absent(struct pass *p)
{
	const struct event *ev = &p->events[p->at];

	if (p->full && ev->tenant->rebuilding && ev->gone == GONE_UNKNOWN) {
		look_up(p);
		return;
	}
	lookups_seen(p->watch->p.lookups, ev->tenant->id, ev->uid);
	put_off(p, ERR_NO_OBJECT); /* not settled: it may become known, by an older record */
}

static void
weigh(struct pass *p, const struct object *o)
{
	const struct event *ev = &p->events[p->at];
	bool gone = ev->gone != GONE_UNKNOWN, same;
	char known[UID_TEXT_LEN + 1] = "";

	ev->tenant->vault->ops->record_id(known, o);
	same = strcmp(known, ev->record_id) == 0;
	if (gone && (same || known[0] == '\0'))
		cache_forget(p->watch->p.cache, ev->tenant->id, ev->uid);
	if (!gone && o->destroyed_here)
		find(p);
	else if (is_passing(ev))
		put_off(p, ERR_NO_OBJECT);
	else if (object_is_destroyed(o) || same != gone)
		settle(p); /* known and there, or a predecessor that was retired */
	else
		look_up(p);
}

static void
loaded(struct wait *wait, enum err e)
{
	struct pass *p = CONTAINER_OF(wait, struct pass, load.wait);

	if (e == ERR_OK) {
		weigh(p, p->load.object);
		return;
	}
	doubt(p, &p->events[p->at]);
	if (e == ERR_NO_OBJECT)
		absent(p);
	else
		put_off(p, e);
}

/* A round that takes so long would keep the next one from proving anything in time. */
static void
cut(struct pass *p)
{
	for (; p->at < p->count; p->at++) {
		const struct event *ev = &p->events[p->at];

		if (ev->tenant == NULL)
			continue;
		ev->tenant->behind = true;
		doubt(p, ev);
	}
}

static void
next_event(struct pass *p)
{
	const struct event *ev;

	if (!p->full && clock_now() >= p->cut_at)
		cut(p);
	while (p->at < p->count && p->events[p->at].tenant == NULL)
		p->at++;
	if (p->at == p->count) {
		end(p, ERR_OK);
		return;
	}
	ev = &p->events[p->at];
	arena_free(p->arena);
	p->arena = arena_new(OBJECT_ARENA_MAX);
	if (p->arena == NULL) {
		end(p, ERR_NO_MEMORY);
		return;
	}
	p->load = (struct ledger_load){
	    .wait.done = loaded,
	    .arena = p->arena,
	    .tenant = ev->tenant->id,
	    .uid = ev->uid,
	};
	p->watch->p.ledger->ops->load(p->watch->p.ledger, &p->load);
}

static void
on_turn(struct defer *d)
{
	next_event(CONTAINER_OF(d, struct pass, turn));
}

void
pass_drop(struct pass *p, const struct watch_tenant *t)
{
	if (p->at < p->count && p->events[p->at].tenant == t && leave_event(p))
		loop_defer(p->watch->p.loop, &p->turn);
	for (size_t i = p->at; i < p->count; i++)
		if (p->events[i].tenant == t)
			p->events[i].tenant = NULL;
}

/* --- the lists --- */

static bool
make_room(struct pass *p)
{
	size_t room = p->room > 0 ? 2 * p->room : 64;
	struct event *grown;

	if (p->count < p->room)
		return true;
	if (room > EVENTS_MAX)
		room = EVENTS_MAX;
	grown = p->count < EVENTS_MAX ? alloc_resize(p->events, room * sizeof(*grown)) : NULL;
	if (grown == NULL)
		return false;
	p->events = grown;
	p->room = room;
	return true;
}

static void
tell_crowded(struct pass *p)
{
	if (!p->crowded)
		LOG(LOG_WARN, "watch", "more changes than are looked at in one pass",
		    kv_text("name", custody_name(p->watch->p.custody)));
	p->crowded = true;
}

/* One that does not fit is met again. */
static void
add_event(struct pass *p, const struct event *ev)
{
	struct watch_rebuild *r = rebuild_of(p, ev->tenant);

	if (r != NULL)
		r->records++;
	if (make_room(p)) {
		p->events[p->count++] = *ev;
		return;
	}
	tell_crowded(p);
	doubt(p, ev);
	if (r != NULL)
		r->left++;
	if (!p->full)
		ev->tenant->behind = true;
}

/*
 * Rounds alone keep the cache right: a full pass meets what was retired long ago.  A key that stays
 * because it is from another record is checked against the ledger in a moment, however often that is
 * heard: what counts now may have been found before it went.
 */
static void
on_record_of(struct pass *p, struct watch_tenant *t, const char *uid, const struct vault_record *r)
{
	struct event ev = {.tenant = t, .gone = r->gone};
	bool kept = false;

	snprintf(ev.uid, sizeof(ev.uid), "%s", uid);
	snprintf(ev.record_id, sizeof(ev.record_id), "%s", r->record_id);
	if (!p->full && ev.gone != GONE_UNKNOWN)
		kept = cache_forget_record(p->watch->p.cache, t->id, ev.uid, ev.record_id);
	if (!p->full && !kept && is_settled(p->watch, &ev))
		return;
	if (kept || !is_passing(&ev))
		add_event(p, &ev);
}

static void
on_record(void *arg, const struct vault_record *r)
{
	struct pass *p = arg;

	LIST_FOREACH (link, &p->watch->tenants) {
		struct watch_tenant *t = CONTAINER_OF(link, struct watch_tenant, link);
		const char *uid = t->vault->ops->uid_in(t->vault, r->name);

		if (uid != NULL)
			on_record_of(p, t, uid, r);
	}
}

static void
told(struct wait *wait, enum err e)
{
	struct pass *p = CONTAINER_OF(wait, struct pass, news.wait);

	p->cut_at = clock_now() + p->watch->p.bound_ns / 3;
	watch_told(p, e);
	if (e != ERR_OK)
		end(p, e);
	else
		next_event(p);
}

void
pass_init(struct pass *p, struct watch *w, bool full)
{
	*p = (struct pass){.watch = w, .full = full, .turn.fn = on_turn};
}

void
pass_start(struct pass *p, int64_t since, bool sure)
{
	p->crowded = false;
	p->began = stamp_now();
	p->news = (struct vault_news){
	    .wait.done = told,
	    .since = since,
	    .sure = sure,
	    .each = on_record,
	    .arg = p,
	    .terms.background = true,
	};
	p->watch->p.source->news(p->watch->p.source, &p->news);
}
