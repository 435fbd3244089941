/* SPDX-License-Identifier: Apache-2.0 */
/* A watch with two tenants, between a key manager and a ledger in memory, on virtual time. */
#ifndef TESTS_WATCHRIG_H
#define TESTS_WATCHRIG_H

#include "fakes.h"
#include "keys/cache.h"
#include "keys/lookup.h"
#include "watch_parts.h"

#define BOUND (60 * NS_PER_S)
#define THIRD (BOUND / 3)
#define HOUR (3600 * NS_PER_S)
enum { OVERLAP_S = 2 * 60 + 15 };

extern struct fake fake;
extern struct cache *cache;
extern struct custody *custody;
extern struct lookups *lookups;
extern struct watch *watch;
extern struct watch_tenant *east, *west;
extern struct vault *vault_east, *vault_west;

/* Two tenants, and a round that found nothing. */
void watchrig_init_new(void);
/* The first full pass is over, too. */
void watchrig_init(void);
void watchrig_fini(void);

/* Up to the end of the next round. */
void round_of(void);
/* The next full pass begins at once. */
void hurry_full(void);

/* An object that ledger, vault and cache have. */
struct object *known(struct vault *v, const char *tenant, unsigned number);
/* The cache has it. */
void remember(const struct object *o);
unsigned cached(const char *tenant); /* how many keys; NULL: of all */
/* Its first record. */
struct fake_record *record_of(const struct object *o);
uint64_t sequence_known(const struct object *o);

struct job {
	struct watch_rebuild r;
	unsigned ended, told;
	enum err e;
};
void rebuild(struct watch_tenant *t, struct job *j);
/* Until it ends. */
void finish(struct job *j);

#endif
