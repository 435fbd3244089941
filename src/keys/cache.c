/* SPDX-License-Identifier: Apache-2.0 */
/* The key cache: a table of entries, the order of their use, and what may stay in memory. */
#include "keys/cache.h"

#include <string.h>

#include <openssl/rand.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/metric.h"
#include "cache_parts.h"
#include "name_hash.h"

enum {
	KEY_MIN = 16,	/* the least that a key takes on the secure heap */
	EVICT_MAX = 8,	/* for one key, when others than the cache fill the heap */
};
#define LOOK_EVERY_NS (1 * NS_PER_S)
#define SOON_NS (100 * NS_PER_MS) /* what expires within it goes together: one walk for many keys */

static const uint8_t no_digest[32];

/* --- the table --- */

static size_t
bucket_of(const struct cache *c, const char *tenant, const char *uid)
{
	return (size_t)name_hash(c->seed, tenant, uid) & (c->buckets_count - 1);
}

struct entry *
entry_find(struct cache *c, const char *tenant, const char *uid)
{
	struct entry *en = c->buckets[bucket_of(c, tenant, uid)];

	while (en != NULL && !name_is(en->names, tenant, uid))
		en = en->next;
	return en;
}

struct entry *
entry_at(struct cache *c, const struct object *o)
{
	struct entry *en = entry_find(c, o->tenant, o->uid), **bucket;

	if (en != NULL)
		return en;
	en = alloc_zero(sizeof(*en) + name_room(o->tenant, o->uid));
	if (en == NULL)
		return NULL;
	name_put(en->names, o->tenant, o->uid);
	en->cache = c;
	list_init(&en->flights);
	bucket = &c->buckets[bucket_of(c, o->tenant, o->uid)];
	en->next = *bucket;
	*bucket = en;
	return en;
}

void
entry_release(struct entry *en)
{
	struct entry **at;

	if (en->key != NULL || !list_empty(&en->flights))
		return;
	at = &en->cache->buckets[bucket_of(en->cache, en->names, name_uid(en->names))];
	while (*at != en)
		at = &(*at)->next;
	*at = en->next;
	alloc_free(en);
}

/* --- keys --- */

static void
count_key(struct cache *c, const struct secret *key, int sign)
{
	int64_t len = (int64_t)secret_len(key);

	c->bytes += (size_t)(sign * len);
	c->keys += (size_t)sign;
	metric_add(METRIC_CACHE_BYTES, sign * len);
	metric_add(METRIC_CACHE_KEYS, sign);
}

static void
take_key_out(struct entry *en)
{
	if (en->key == NULL)
		return;
	count_key(en->cache, en->key, -1);
	list_remove(&en->lru);
	list_remove(&en->kin);
	secret_unref(en->key);
	en->key = NULL;
	en->custody = NULL;
	en->hits = 0;
}

void
entry_drop(struct entry *en)
{
	take_key_out(en);
	entry_release(en);
}

static void
evict(struct cache *c)
{
	metric_inc(METRIC_CACHE_EVICTIONS_TOTAL);
	entry_drop(CONTAINER_OF(c->lru.next, struct entry, lru));
}

/* NULL: there is no room, and none can be made. */
static struct secret *
kept_copy(struct cache *c, struct secret *key)
{
	size_t len = secret_len(key);
	struct secret *copy;

	if (len > c->bytes_max)
		return NULL;
	while (c->bytes > c->bytes_max - len || c->keys >= c->keys_max)
		evict(c);
	copy = secret_new(len, SECRET_KEPT);
	for (int i = 0; copy == NULL && i < EVICT_MAX && !list_empty(&c->lru); i++) {
		evict(c);
		copy = secret_new(len, SECRET_KEPT);
	}
	if (copy != NULL)
		memcpy(secret_bytes(copy), secret_bytes(key), len);
	return copy;
}

int64_t
entry_age(const struct entry *en, int64_t bound_ns)
{
	int64_t own = stamp_age(&en->proved, bound_ns);
	int64_t all = stamp_age(&en->custody->confirmed, bound_ns);

	return own < all || en->place.apart ? own : all;
}

/* How long a proof can be of use: the key is fresh or ridden out. */
static int64_t
longest(const struct cache_terms *t)
{
	return t->bound_ns > t->ride_out_ns ? t->bound_ns : t->ride_out_ns;
}

static int64_t
time_left(const struct entry *en)
{
	int64_t most = longest(&en->terms), age = entry_age(en, en->terms.bound_ns);

	return age < most ? most - age : 0;
}

static void
look_later(struct cache *c)
{
	int64_t next = clock_now() + LOOK_EVERY_NS;

	c->looked = stamp_now();
	c->looked_at = clock_now();
	timer_set(c->loop, &c->sweep, c->sweep_at < next ? c->sweep_at : next);
}

static void
sweep_within(struct cache *c, int64_t ns)
{
	int64_t when = clock_now() + ns;

	if (!timer_armed(&c->sweep)) {
		c->sweep_at = when;
		look_later(c);
	} else if (when < c->sweep_at) {
		c->sweep_at = when;
		if (when < c->sweep.when)
			timer_set(c->loop, &c->sweep, when);
	}
}

/* Timers know nothing of the time that the machine was suspended or paused; keys age in it. */
static bool
slept(const struct cache *c)
{
	int64_t awake = clock_now() - c->looked_at;

	return stamp_age(&c->looked, LOOK_EVERY_NS) > awake + LOOK_EVERY_NS;
}

/* A key that only a new load could serve again has no reason to be in memory. */
static void
sweep(struct cache *c)
{
	int64_t next = INT64_MAX;

	LIST_FOREACH_SAFE (link, after, &c->lru) {
		struct entry *en = CONTAINER_OF(link, struct entry, lru);
		int64_t left = time_left(en);

		if (left <= SOON_NS)
			entry_drop(en);
		else if (left < next)
			next = left;
	}
	timer_clear(c->loop, &c->sweep);
	c->sweep_at = 0;
	if (next != INT64_MAX)
		sweep_within(c, next);
}

static void
look(struct timer *t)
{
	struct cache *c = CONTAINER_OF(t, struct cache, sweep);

	if (clock_now() >= c->sweep_at || slept(c))
		sweep(c);
	else
		look_later(c);
}

static bool
has_terms(const struct entry *en, const struct cache_terms *terms)
{
	return en->terms.bound_ns == terms->bound_ns && en->terms.ride_out_ns == terms->ride_out_ns;
}

void
cache_set_terms(struct cache *c, const char *tenant, const struct cache_terms *terms)
{
	bool changed = false;

	LIST_FOREACH (link, &c->lru) {
		struct entry *en = CONTAINER_OF(link, struct entry, lru);

		if (has_terms(en, terms) || strcmp(en->names, tenant) != 0)
			continue;
		en->terms = *terms;
		changed = true;
	}
	if (changed)
		sweep(c);
}

void
entry_touch(struct entry *en, const struct cache_terms *terms)
{
	list_remove(&en->lru);
	list_append(&en->cache->lru, &en->lru);
	en->used = clock_now();
	if (has_terms(en, terms))
		return;
	en->terms = *terms;
	sweep_within(en->cache, time_left(en));
}

struct place
place_of(const struct cache *c, const struct vault_ops *ops, const struct object *o)
{
	char root_key[UID_TEXT_LEN + 1] = "";
	struct place p = {.record_id = ""};

	if (ops->record_id != NULL)
		ops->record_id(p.record_id, o);
	if (ops->root_key != NULL)
		ops->root_key(root_key, o);
	if (root_key[0] != '\0')
		p.root_key = name_hash(c->seed, "", root_key);
	return p;
}

void
place_move(struct place *p, const struct place *to)
{
	bool apart = p->apart || to->root_key == 0 || to->root_key != p->root_key;

	*p = *to;
	p->apart = apart;
}

/* What began last knows best. */
static void
set_place(struct entry *en, const struct place *p, uint64_t order)
{
	if (order < en->placed)
		return;
	en->place = *p;
	en->placed = order;
}

static enum err
confirm_key(struct entry *en, const struct proof *p)
{
	if (!secret_equal(en->key, p->key)) {
		metric_inc(METRIC_INTEGRITY_ALARMS_TOTAL);
		LOG(LOG_ERROR, "cache", "the vault has another key than before",
		    kv_text("tenant", en->names), kv_text("uid", name_uid(en->names)));
		take_key_out(en);
		return ERR_INTEGRITY;
	}
	if (en->custody != p->custody) {
		list_remove(&en->kin);
		list_append(&p->custody->entries, &en->kin);
		en->custody = p->custody;
		en->proved = *p->began;
		en->placed = 0; /* what is apart from one need not be from the other */
	} else if (p->began->order > en->proved.order) {
		en->proved = *p->began;
	}
	set_place(en, p->place, p->began->order);
	entry_touch(en, p->terms);
	return ERR_OK;
}

enum err
entry_keep(struct entry *en, const struct proof *p)
{
	struct secret *copy;

	if (p->began->order < p->custody->refused.order)
		return ERR_OK; /* what began before a refusal proves nothing after it */
	en->denials = 0;
	if (en->key != NULL && memcmp(en->digest, p->digest, sizeof(en->digest)) == 0)
		return confirm_key(en, p);
	take_key_out(en);
	if (memcmp(p->digest, no_digest, sizeof(no_digest)) == 0 ||
	    stamp_age(p->began, p->terms->bound_ns) >= longest(p->terms))
		return ERR_OK; /* no get would match it, or be served on so old a proof */
	copy = kept_copy(en->cache, p->key);
	if (copy == NULL)
		return ERR_OK;
	en->key = copy;
	en->custody = p->custody;
	memcpy(en->digest, p->digest, sizeof(en->digest));
	en->placed = 0;
	set_place(en, p->place, p->began->order);
	en->proved = *p->began;
	en->terms = *p->terms;
	en->used = clock_now();
	count_key(en->cache, copy, 1);
	list_append(&en->cache->lru, &en->lru);
	list_append(&p->custody->entries, &en->kin);
	sweep_within(en->cache, time_left(en));
	return ERR_OK;
}

/* --- the cache --- */

struct cache *
cache_new(struct loop *l, size_t bytes_max)
{
	struct cache *c = alloc_zero(sizeof(*c));

	if (c == NULL)
		return NULL;
	c->loop = l;
	c->bytes_max = bytes_max;
	c->keys_max = bytes_max / KEY_MIN + 1;
	c->buckets_count = 16;
	while (c->buckets_count < c->keys_max)
		c->buckets_count *= 2;
	c->buckets = alloc_array(c->buckets_count, sizeof(struct entry *));
	if (c->buckets == NULL || RAND_bytes((uint8_t *)&c->seed, sizeof(c->seed)) != 1) {
		alloc_free(c->buckets);
		alloc_free(c);
		return NULL;
	}
	list_init(&c->lru);
	list_init(&c->flights);
	list_init(&c->arrived);
	list_init(&c->batch);
	c->turn.fn = cache_turn;
	c->sweep.fn = look;
	return c;
}

static size_t
drop_all(struct cache *c, const char *tenant)
{
	size_t count = 0;

	LIST_FOREACH_SAFE (link, next, &c->lru) {
		struct entry *en = CONTAINER_OF(link, struct entry, lru);

		if (tenant != NULL && strcmp(en->names, tenant) != 0)
			continue;
		entry_drop(en);
		count++;
	}
	return count;
}

void
cache_free(struct cache *c)
{
	if (c == NULL)
		return;
	cache_end_loads(c);
	drop_all(c, NULL);
	loop_undefer(&c->turn);
	timer_clear(c->loop, &c->sweep);
	alloc_free(c->buckets);
	loop_free_later(c->loop, c); /* it may be one of its gets that frees it */
}

void
cache_put(struct cache *c, struct custody *cu, const struct vault_ops *ops, const struct object *o,
    struct secret *key, const struct cache_terms *terms, const struct stamp *began)
{
	struct entry *en = entry_at(c, o);
	struct place p = place_of(c, ops, o);

	if (en == NULL)
		return;
	p.apart = began->order < cu->moved.order; /* it may have been wrapped by the one of before */
	/* other bytes than before: that was told, and the next get asks the vault */
	(void)!entry_keep(en, &(struct proof){cu, o->digest, &p, key, terms, began});
	entry_release(en);
}

void
cache_forget(struct cache *c, const char *tenant, const char *uid)
{
	struct entry *en = entry_find(c, tenant, uid);

	if (en == NULL)
		return;
	take_key_out(en);
	entry_detach(en);
}

bool
cache_forget_record(struct cache *c, const char *tenant, const char *uid, const char *record_id)
{
	struct entry *en = entry_find(c, tenant, uid);
	bool kept;

	if (en == NULL)
		return false;
	if (en->place.record_id[0] == '\0' || strcmp(en->place.record_id, record_id) == 0)
		take_key_out(en);
	kept = en->key != NULL;
	entry_detach_record(en, record_id);
	return kept;
}

void
cache_moved(struct cache *c, const struct vault_ops *ops, const struct object *o)
{
	struct entry *en = entry_find(c, o->tenant, o->uid);
	struct place to = place_of(c, ops, o);

	if (en == NULL)
		return;
	if (en->key != NULL && memcmp(en->digest, o->digest, sizeof(en->digest)) == 0) {
		place_move(&en->place, &to);
		en->placed = stamp_now().order;
		sweep_within(c, time_left(en));
	}
	entry_place_loads(en, o->digest, &to);
}

size_t
cache_flush(struct cache *c, const char *tenant)
{
	cache_detach(c, tenant);
	return drop_all(c, tenant);
}

void
cache_each(struct cache *c, const char *tenant, void (*fn)(const struct cache_info *, void *),
    void *arg)
{
	for (struct list *link = c->lru.prev; link != &c->lru; link = link->prev) {
		const struct entry *en = CONTAINER_OF(link, struct entry, lru);
		struct cache_info info = {
		    .tenant = en->names,
		    .uid = name_uid(en->names),
		    .custody = en->custody,
		    .proved_ns = entry_age(en, en->terms.bound_ns),
		    .used_ns = clock_now() - en->used,
		    .hits = en->hits,
		};

		if (tenant == NULL || strcmp(tenant, en->names) == 0)
			fn(&info, arg);
	}
}
