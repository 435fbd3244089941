/* SPDX-License-Identifier: Apache-2.0 */
/* What the key cache is made of: entries, loads under way, and the custodies they belong to. */
#ifndef CACHE_PARTS_H
#define CACHE_PARTS_H

#include "keys/cache.h"

struct custody {
	unsigned refs;
	char *name;
	int64_t bound_ns, ride_out_ns;
	bool own_root_keys;
	enum custody_state state;
	int64_t since_ms;
	struct stamp made;
	struct stamp heard;	/* when the last call began that proved something */
	struct stamp confirmed; /* when the last check began that proved everything */
	struct stamp outage;	/* when the last call began that met one */
	struct stamp refused;	/* when keys were last wiped for what the key manager said */
	struct stamp moved;	/* when another root key last became the one that is proved */
	struct stamp denied, denied_first;
	unsigned denials; /* since the last success */
	struct list entries; /* that have a key */
	struct list flights;
};

/* Where a key is kept. */
struct place {
	char record_id[UID_TEXT_LEN + 1]; /* empty: not known */
	bool apart;	   /* under a root key that the custody's checks do not prove, as far as is known */
	uint64_t root_key; /* a hash of which one; 0: not known */
};

/* A place for one key: it has the key, or is being loaded, or both. */
struct entry {
	struct entry *next; /* in its bucket */
	struct cache *cache;
	struct list flights; /* whose result will be kept, and that a get may join */

	/* with a key only */
	struct secret *key;
	struct list lru, kin; /* kin: in the custody */
	struct custody *custody;
	uint8_t digest[32];
	uint8_t denials;	 /* of its other root key, since its own last proof */
	int64_t denied_first_ns; /* clock_boot() time */
	struct place place;
	uint64_t placed;     /* when that was found out */
	struct stamp proved; /* when its own last proof began */
	struct cache_terms terms;
	int64_t used;
	uint64_t hits;
	char names[]; /* name_put(): tenant and uid */
};

struct cache {
	struct list dead; /* for loop_free_later() */
	struct loop *loop;
	size_t bytes, bytes_max, keys, keys_max, flights_count;
	struct list lru; /* entries with a key, the least recently used first */
	struct list flights;
	struct list arrived, batch; /* gets that nobody looked at yet; those of this turn */
	struct defer turn;
	struct timer sweep;  /* for keys that nothing can serve any more; armed while there are any */
	int64_t sweep_at;    /* clock_now() time when the first of them may expire; 0: there are none */
	struct stamp looked; /* when it looked last */
	int64_t looked_at;   /* the same as clock_now() time */
	uint64_t seed;
	size_t buckets_count; /* a power of two */
	struct entry **buckets;
};

/* --- cache.c: entries --- */

struct entry *entry_find(struct cache *c, const char *tenant, const char *uid);
/* Finds or makes it; NULL without memory. */
struct entry *entry_at(struct cache *c, const struct object *o);
/* Gives it up unless it has a key or is being loaded. */
void entry_release(struct entry *en);
/* Takes the key out, then as above. */
void entry_drop(struct entry *en);
/* Since when it is proved, by its own load or by its custody's check. */
int64_t entry_age(const struct entry *en, int64_t bound_ns);
/* It was used now. */
void entry_touch(struct entry *en, const struct cache_terms *terms);
/* A key that was proved. */
struct proof {
	struct custody *custody;
	const uint8_t *digest;
	const struct place *place;
	struct secret *key;
	const struct cache_terms *terms;
	const struct stamp *began;
};
/*
 * Keeps it, if there is room; or confirms the one that is there.  ERR_INTEGRITY: they differ; then
 * none is there.  The entry stays.
 */
CHECKED enum err entry_keep(struct entry *en, const struct proof *p);
/* Where the object's record says; not apart. */
struct place place_of(const struct cache *c, const struct vault_ops *ops, const struct object *o);
/* Its record has made way for another one: what proved the old one's root key does no other. */
void place_move(struct place *p, const struct place *to);

/* --- cache_load.c: gets and loads --- */

void cache_turn(struct defer *d);
void cache_end_loads(struct cache *c);
/* Loads of the tenant (NULL: all) under way are not kept, nor joined. */
void cache_detach(struct cache *c, const char *tenant);
void entry_detach(struct entry *en);
void entry_detach_record(struct entry *en, const char *record_id); /* those of this record, or of any */
/* What loads of this key bring is as if it came from there. */
void entry_place_loads(struct entry *en, const uint8_t digest[32], const struct place *to);
/* The custody's keys leave the memory; who waits for one fails, loads under way are not kept. */
size_t cache_wipe(struct custody *cu, enum err e);
/* The same when nobody asks any more: who waits, waits on. */
void cache_abandon(struct custody *cu);

/* --- custody.c --- */

/* Frees it when neither owners nor loads are left. */
void custody_release(struct custody *cu);
bool custody_is_outage(enum err e);
/* So many refusals of access, the first at this clock_boot() time, are more than a blip. */
bool custody_is_denied(unsigned denials, int64_t first_ns, int64_t bound_ns);
/* An outage is known: who may ride out need not wait to see it. */
bool custody_is_out(const struct custody *cu);

#endif
