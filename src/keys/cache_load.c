/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gets, and the loads that they share.  A get is looked at in the turn after it came; it is served
 * from memory, or waits for a load.  A load runs to its end whoever leaves; what was wiped, flushed
 * or forgotten meanwhile it does not bring back.
 */
#include "keys/cache.h"

#include <string.h>

#include "base/alloc.h"
#include "base/metric.h"
#include "cache_parts.h"

enum { FLIGHTS_MAX = 4096 };

struct flight {
	struct list dead; /* for loop_free_later() */
	struct list link; /* the cache's */
	struct list kin;  /* the custody's */
	struct list peer; /* the entry's */
	struct cache *cache;
	struct custody *custody; /* NULL: it is over */
	struct entry *entry;	 /* NULL: what comes of it is not kept */
	const struct vault *vault; /* to be compared alone: it may go before the load has ended */
	struct arena *arena;
	const struct object *object;
	struct place place;
	bool moved; /* that is a successor's: what it loads is not what counts any more */
	struct vault_unwrap load;
	struct stamp began;
	struct cache_terms terms; /* its first waiter's */
	struct list waiters;
};

/* --- loads --- */

static void
flight_detach(struct flight *f)
{
	struct entry *en = f->entry;

	if (en == NULL)
		return;
	list_remove(&f->peer);
	f->entry = NULL;
	entry_release(en);
}

/* Safe twice: a waiter that is served may free the cache. */
static void
flight_end(struct flight *f)
{
	struct custody *cu = f->custody;

	if (cu == NULL)
		return;
	flight_detach(f);
	wait_cancel(&f->load.wait);
	secret_unref(f->load.key); /* may be there already when the end is still to be told */
	list_remove(&f->link);
	list_remove(&f->kin);
	f->cache->flights_count--;
	f->custody = NULL;
	arena_free(f->arena);
	loop_free_later(f->cache->loop, f);
	custody_release(cu);
}

/* Whoever waits hears it in the next turn. */
static void
fail_all(struct cache *c, struct list *gets, enum err e)
{
	struct list *link;

	while ((link = list_pop(gets)) != NULL) {
		struct cache_get *g = CONTAINER_OF(link, struct cache_get, wait.link);

		timer_clear(c->loop, &g->timer);
		wait_finish_soon(c->loop, &g->wait, e);
	}
}

void
entry_detach(struct entry *en)
{
	struct list all, *link;

	list_init(&all);
	list_move_all(&all, &en->flights);
	while ((link = list_pop(&all)) != NULL)
		CONTAINER_OF(link, struct flight, peer)->entry = NULL;
	entry_release(en);
}

void
entry_detach_record(struct entry *en, const char *record_id)
{
	LIST_FOREACH_SAFE (link, next, &en->flights) {
		struct flight *f = CONTAINER_OF(link, struct flight, peer);

		if (f->place.record_id[0] != '\0' && strcmp(f->place.record_id, record_id) != 0)
			continue;
		list_remove(&f->peer);
		f->entry = NULL;
	}
	entry_release(en);
}

void
entry_place_loads(struct entry *en, const uint8_t digest[32], const struct place *to)
{
	LIST_FOREACH (link, &en->flights) {
		struct flight *f = CONTAINER_OF(link, struct flight, peer);

		if (memcmp(f->object->digest, digest, sizeof(f->object->digest)) != 0)
			continue;
		f->moved |= strcmp(f->place.record_id, to->record_id) != 0;
		place_move(&f->place, to);
	}
}

void
cache_detach(struct cache *c, const char *tenant)
{
	LIST_FOREACH (link, &c->flights) {
		struct flight *f = CONTAINER_OF(link, struct flight, link);

		if (tenant == NULL || strcmp(tenant, f->object->tenant) == 0)
			flight_detach(f);
	}
}

void
cache_end_loads(struct cache *c)
{
	fail_all(c, &c->arrived, ERR_CANCELLED);
	fail_all(c, &c->batch, ERR_CANCELLED);
	while (!list_empty(&c->flights)) {
		struct flight *f = CONTAINER_OF(c->flights.next, struct flight, link);

		fail_all(c, &f->waiters, ERR_CANCELLED);
		flight_end(f);
	}
}

static size_t
drop_entries(struct custody *cu)
{
	size_t count = 0;

	for (; !list_empty(&cu->entries); count++)
		entry_drop(CONTAINER_OF(cu->entries.next, struct entry, kin));
	return count;
}

size_t
cache_wipe(struct custody *cu, enum err e)
{
	LIST_FOREACH (link, &cu->flights) {
		struct flight *f = CONTAINER_OF(link, struct flight, kin);

		fail_all(f->cache, &f->waiters, e);
		flight_detach(f);
	}
	return drop_entries(cu);
}

void
cache_abandon(struct custody *cu)
{
	LIST_FOREACH (link, &cu->flights) {
		struct flight *f = CONTAINER_OF(link, struct flight, kin);

		f->load.apart = true; /* what was its root key when it began is none now */
		flight_detach(f);
	}
	drop_entries(cu);
}

void
cache_withdraw(struct custody *cu, const char *tenant)
{
	LIST_FOREACH (link, &cu->flights) {
		struct flight *f = CONTAINER_OF(link, struct flight, kin);

		if (strcmp(f->object->tenant, tenant) == 0)
			flight_detach(f);
	}
	LIST_FOREACH_SAFE (link, next, &cu->entries) {
		struct entry *en = CONTAINER_OF(link, struct entry, kin);

		if (strcmp(en->names, tenant) == 0)
			entry_drop(en);
	}
}

/* --- serving --- */

enum memory { MEMORY_NOTHING, MEMORY_FRESH, MEMORY_RIDES };

/* What memory could serve to this get now. */
static enum memory
memory_for(const struct cache_get *g, struct entry **out)
{
	struct entry *en = entry_find(g->cache, g->object->tenant, g->object->uid);
	int64_t age;

	if (en == NULL || en->key == NULL || en->custody != g->custody ||
	    memcmp(en->digest, g->object->digest, sizeof(en->digest)) != 0)
		return MEMORY_NOTHING;
	age = entry_age(en, g->terms.bound_ns);
	if (age >= g->terms.bound_ns && age >= g->terms.ride_out_ns) {
		entry_drop(en);
		return MEMORY_NOTHING;
	}
	*out = en;
	return age < g->terms.bound_ns ? MEMORY_FRESH : MEMORY_RIDES;
}

static void
get_arrive(struct cache_get *g)
{
	g->began = stamp_now();
	list_append(&g->cache->arrived, &g->wait.link);
	loop_defer(g->cache->loop, &g->cache->turn);
}

static void
hand_over(struct cache_get *g, struct secret *key, bool ridden_out)
{
	g->key = secret_ref(key);
	g->ridden_out = ridden_out;
	if (ridden_out)
		metric_inc(METRIC_RIDE_OUT_GETS_TOTAL);
	timer_clear(g->cache->loop, &g->timer);
	wait_finish(&g->wait, ERR_OK);
}

static void
serve_memory(struct cache_get *g, struct entry *en, enum memory m)
{
	metric_inc(METRIC_CACHE_HITS_TOTAL);
	metric_observe(METRIC_CACHE_AGE_SECONDS, 0, 0, entry_age(en, g->terms.bound_ns));
	en->hits++;
	entry_touch(en, &g->terms);
	g->from_memory = true;
	hand_over(g, en->key, m == MEMORY_RIDES);
}

static void
fail(struct cache_get *g, enum err e)
{
	timer_clear(g->cache->loop, &g->timer);
	wait_finish(&g->wait, e);
}

/* A load, or waiting for one, that slept through the bound: it tells how things were before. */
static bool
is_stale(const struct cache_get *g, const struct stamp *began)
{
	return stamp_age(began, g->terms.bound_ns) >= g->terms.bound_ns;
}

/* As if it had come now; but only once, since a vault may be slower than the bound each time. */
static void
begin_again(struct cache_get *g, enum err e)
{
	int64_t deadline = g->vault_terms.deadline;

	if (g->again || (deadline != 0 && deadline <= clock_now())) {
		fail(g, e);
		return;
	}
	g->again = true;
	timer_clear(g->cache->loop, &g->timer);
	list_remove(&g->wait.link);
	get_arrive(g);
}

/* The key is as good as its proof. */
static void
serve_loaded(struct cache_get *g, const struct stamp *began, struct secret *key)
{
	if (is_stale(g, began))
		begin_again(g, ERR_DEADLINE);
	else
		hand_over(g, key, false);
}

static void
serve_failed(struct cache_get *g, const struct flight *f, enum err e)
{
	enum memory m = MEMORY_NOTHING;
	bool outage = custody_is_outage(e);
	struct entry *en;

	g->gone = f->load.gone;
	if (outage)
		m = memory_for(g, &en);
	if (outage && m != MEMORY_FRESH && is_stale(g, &f->began))
		begin_again(g, e);
	else if (m != MEMORY_NOTHING)
		serve_memory(g, en, m);
	else
		fail(g, e);
}

/* --- the end of a load --- */

/* The other root key that the key is under was refused.  True when that is more than a blip. */
static bool
deny(struct entry *en, int64_t bound_ns)
{
	if (en->denials == 0)
		en->denied_first_ns = clock_boot();
	if (en->denials < UINT8_MAX)
		en->denials++;
	return custody_is_denied(en->denials, en->denied_first_ns, bound_ns);
}

static bool
is_refused(const struct flight *f, enum err e)
{
	if (e != ERR_VAULT_DENIED)
		return false;
	return f->load.record_only || (f->load.apart && deny(f->entry, f->custody->bound_ns));
}

/* What a load says about its own key. */
static enum err
settle_entry(struct flight *f, struct secret *key, enum err e)
{
	struct entry *en = f->entry;

	if (en == NULL)
		return e;
	f->place.apart |= f->load.apart;
	if (e == ERR_OK)
		return entry_keep(en, &(struct proof){f->custody, f->object->digest, &f->place, key,
					  &f->terms, &f->began});
	/* that a predecessor is gone, or refused, says nothing of the record that took its place */
	if ((!f->moved && (e == ERR_NO_OBJECT || is_refused(f, e))) || e == ERR_INTEGRITY ||
	    e == ERR_NO_ROOT_KEY) {
		f->entry = NULL;
		list_remove(&f->peer);
		entry_drop(en);
	}
	return e;
}

static void
loaded(struct wait *w, enum err e)
{
	struct flight *f = w->owner;
	struct secret *key = f->load.key;
	struct list *link;

	f->load.key = NULL;
	/* what comes of a record, or of another root key, says nothing about the custody's own; silence does */
	if (custody_is_outage(e) || (!f->load.record_only && !f->load.apart))
		custody_verdict(f->custody,
		    &(struct custody_evidence){
			.e = e, .suspended = f->load.suspended, .began = f->began});
	e = settle_entry(f, key, e);
	if (e == ERR_OK && f->entry != NULL && f->entry->key != NULL) {
		secret_unref(key); /* all share the copy that is kept */
		key = secret_ref(f->entry->key);
	}
	flight_detach(f); /* who begins again does not join it */
	while ((link = list_pop(&f->waiters)) != NULL) {
		struct cache_get *g = CONTAINER_OF(link, struct cache_get, wait.link);

		if (e == ERR_OK)
			serve_loaded(g, &f->began, key);
		else
			serve_failed(g, f, e);
	}
	secret_unref(key);
	flight_end(f);
}

/* --- gets --- */

static void
get_leave(struct wait *w)
{
	struct cache_get *g = CONTAINER_OF(w, struct cache_get, wait);

	timer_clear(g->cache->loop, &g->timer);
}

/* Its waiting says that the vault is silent.  What began again may not have waited long yet. */
static bool
met_silence(const struct cache_get *g)
{
	int64_t waited = stamp_age(&g->began, g->terms.bound_ns);

	return !is_stale(g, &g->began) && (!g->again || waited >= CACHE_PATIENCE_NS);
}

/* After a refusal silence is not enough to ride out. */
static bool
is_in_doubt(const struct cache_get *g, const struct entry *en)
{
	return g->custody->denials > 0 || en->denials > 0;
}

/* Out of patience, or of time. */
static void
get_on_time(struct timer *t)
{
	struct cache_get *g = CONTAINER_OF(t, struct cache_get, timer);
	int64_t deadline = g->vault_terms.deadline;
	struct entry *en;
	enum memory m = memory_for(g, &en);

	if (m == MEMORY_FRESH ||
	    (m == MEMORY_RIDES && !is_in_doubt(g, en) && met_silence(g))) {
		serve_memory(g, en, m);
		return;
	}
	if (m == MEMORY_RIDES && is_stale(g, &g->began)) {
		begin_again(g, ERR_DEADLINE);
		return;
	}
	if (deadline == 0)
		return;
	if (deadline > clock_now())
		timer_set(g->cache->loop, t, deadline);
	else
		fail(g, ERR_DEADLINE);
}

static void
get_wait(struct cache_get *g, struct flight *f, enum memory m)
{
	int64_t deadline = g->vault_terms.deadline, when = deadline;
	int64_t patience = clock_now() + CACHE_PATIENCE_NS;

	if (m == MEMORY_RIDES && (deadline == 0 || patience < deadline))
		when = patience;
	if (when != 0)
		timer_set(g->cache->loop, &g->timer, when);
	list_append(&f->waiters, &g->wait.link);
}

static bool
has_record_of(const struct object *a, const struct object *b)
{
	return a->record_len == b->record_len &&
	    (a->record_len == 0 || memcmp(a->record, b->record, a->record_len) == 0);
}

/*
 * Not one in the background, which may be held back for those that somebody waits for; nor one
 * whose proof would be none; nor one of another vault, which ends with that when a reload took it away.
 */
static struct flight *
flight_to_join(const struct cache_get *g)
{
	const struct object *o = g->object;
	struct entry *en = entry_find(g->cache, o->tenant, o->uid);

	if (en == NULL)
		return NULL;
	LIST_FOREACH (link, &en->flights) {
		struct flight *f = CONTAINER_OF(link, struct flight, peer);

		if (f->custody == g->custody && f->vault == g->vault && !is_stale(g, &f->began) &&
		    memcmp(f->object->digest, o->digest, sizeof(o->digest)) == 0 &&
		    has_record_of(f->object, o) &&
		    (!f->load.terms.background || g->vault_terms.background))
			return f;
	}
	return NULL;
}

/* NULL without memory. */
static struct flight *
flight_new(const struct cache_get *g)
{
	struct flight *f = alloc_zero(sizeof(*f));

	if (f == NULL)
		return NULL;
	f->arena = arena_new(OBJECT_ARENA_MAX);
	if (f->arena != NULL)
		f->object = object_copy(f->arena, g->object);
	if (f->object != NULL)
		f->entry = entry_at(g->cache, g->object);
	if (f->entry == NULL) {
		arena_free(f->arena);
		alloc_free(f);
		return NULL;
	}
	f->place = place_of(g->cache, g->vault->ops, f->object);
	f->cache = g->cache;
	f->custody = g->custody;
	f->vault = g->vault;
	f->terms = g->terms;
	list_init(&f->waiters);
	list_append(&f->cache->flights, &f->link);
	list_append(&f->custody->flights, &f->kin);
	list_append(&f->entry->flights, &f->peer);
	f->cache->flights_count++;
	return f;
}

static enum err
flight_start(const struct cache_get *g, struct flight **out)
{
	struct flight *f;

	if (g->cache->flights_count == FLIGHTS_MAX)
		return ERR_BUSY;
	f = flight_new(g);
	if (f == NULL)
		return ERR_NO_MEMORY;
	metric_inc(METRIC_CACHE_LOADS_TOTAL);
	f->load.object = f->object;
	f->load.terms.background = g->vault_terms.background;
	f->load.wait.done = loaded;
	f->load.wait.owner = f;
	f->began = stamp_now();
	*out = f;
	g->vault->ops->unwrap(g->vault, &f->load);
	return ERR_OK;
}

static void
get_load(struct cache_get *g, enum memory m)
{
	struct flight *f = flight_to_join(g);
	enum err e = ERR_OK;

	if (f != NULL)
		metric_inc(METRIC_CACHE_LOADS_SHARED_TOTAL);
	else
		e = flight_start(g, &f);
	if (e == ERR_OK)
		get_wait(g, f, m);
	else
		wait_finish(&g->wait, e);
}

/* In a known outage one load at a time is enough to see its end. */
static void
get_ride(struct cache_get *g, struct entry *en)
{
	struct flight *f;

	if (list_empty(&g->custody->flights))
		(void)!flight_start(g, &f);
	serve_memory(g, en, MEMORY_RIDES);
}

static void
get_admit(struct cache_get *g)
{
	struct entry *en;
	enum memory m = memory_for(g, &en);

	if (m == MEMORY_FRESH) {
		serve_memory(g, en, m);
	} else if (m == MEMORY_RIDES && en->denials == 0 && custody_is_out(g->custody)) {
		get_ride(g, en);
	} else {
		metric_inc(METRIC_CACHE_MISSES_TOTAL);
		get_load(g, m);
	}
}

/* What a get that is served starts is for the next turn. */
void
cache_turn(struct defer *d)
{
	struct cache *c = CONTAINER_OF(d, struct cache, turn);
	struct list *link;

	list_move_all(&c->batch, &c->arrived);
	while ((link = list_pop(&c->batch)) != NULL)
		get_admit(CONTAINER_OF(link, struct cache_get, wait.link));
}

void
cache_get(struct cache *c, struct cache_get *g)
{
	g->key = NULL;
	g->from_memory = g->ridden_out = g->again = false;
	g->gone = GONE_UNKNOWN;
	g->cache = c;
	g->timer = (struct timer){.fn = get_on_time};
	g->wait.cancel = get_leave;
	get_arrive(g);
}
