/* SPDX-License-Identifier: Apache-2.0 */
/* A watch between the fakes. */
#include "watchrig.h"

#include <string.h>

struct fake fake;
struct cache *cache;
struct custody *custody;
struct lookups *lookups;
struct watch *watch;
struct watch_tenant *east, *west;
struct vault *vault_east, *vault_west;

static void
begin(void)
{
	struct custody_params cp = {.name = "i/k", .bound_ns = BOUND, .ride_out_ns = HOUR};
	struct watch_params p = {.loop = fake.loop, .source = &fake.source, .ledger = &fake.ledger,
	    .bound_ns = BOUND};

	p.cache = cache = cache_new(fake.loop, 64 * 1024);
	p.custody = custody = custody_new(&cp);
	p.lookups = lookups = lookups_new(fake.loop);
	watch = watch_new(&p);
	ck_assert_ptr_nonnull(watch);
}

void
watchrig_init_new(void)
{
	fake_init(&fake);
	vault_east = fake_vault(&fake, "east", "kmip");
	vault_west = fake_vault(&fake, "west", "kmip_west");
	begin();
	vault_east->cache = vault_west->cache = cache;
	east = watch_add(watch, "east", vault_east);
	west = watch_add(watch, "west", vault_west);
	fake_settle(&fake);
}

void
hurry_full(void)
{
	timer_set(fake.loop, &watch->full_timer, clock_now());
	fake_settle(&fake);
}

void
watchrig_init(void)
{
	watchrig_init_new();
	hurry_full();
}

void
watchrig_fini(void)
{
	watch_remove(east);
	watch_remove(west);
	watch_free(watch);
	lookups_free(lookups);
	cache_free(cache);
	custody_unref(custody);
	fake_fini(&fake);
}

void
round_of(void)
{
	unsigned calls = fake.news.calls;

	for (int i = 0; i < 1000 && fake.news.calls == calls; i++)
		fake_advance(&fake, NS_PER_S / 4);
	ck_assert_uint_eq(fake.news.calls, calls + 1);
}

void
remember(const struct object *o)
{
	struct cache_terms terms = {BOUND, HOUR};
	struct secret *key = secret_new(32, SECRET_TRANSIENT);
	struct stamp now = stamp_now();

	memcpy(secret_bytes(key), o->digest, 32);
	cache_put(cache, custody, vault_east->ops, o, key, &terms, &now);
	secret_unref(key);
}

static void
count_one(const struct cache_info *info, void *count)
{
	(void)info;
	++*(unsigned *)count;
}

unsigned
cached(const char *tenant)
{
	unsigned n = 0;

	cache_each(cache, tenant, count_one, &n);
	return n;
}

struct object *
known(struct vault *v, const char *tenant, unsigned number)
{
	struct object *o = fake_object(&fake, tenant, number);

	fake_know(&fake, o, fake_record(&fake, v, o, 1));
	remember(fake_known(&fake, tenant, o->uid));
	return o;
}

struct fake_record *
record_of(const struct object *o)
{
	for (size_t i = 0; i < fake.count; i++)
		if (strstr(fake.records[i].name, o->uid) != NULL)
			return &fake.records[i];
	ck_abort();
}

uint64_t
sequence_known(const struct object *o)
{
	return fake_sequence_of(fake_known(&fake, o->tenant, o->uid));
}

static void
rebuilt(struct wait *w, enum err e)
{
	struct job *j = CONTAINER_OF(w, struct job, r.wait);

	j->ended++;
	j->e = e;
}

static void
on_progress(struct watch_rebuild *r)
{
	CONTAINER_OF(r, struct job, r)->told++;
}

void
rebuild(struct watch_tenant *t, struct job *j)
{
	*j = (struct job){.r = {.wait.done = rebuilt, .progress = on_progress}};
	watch_rebuild(t, &j->r);
	ck_assert_uint_eq(j->ended, 0);
}

void
finish(struct job *j)
{
	for (int i = 0; i < 1000 && j->ended == 0; i++)
		fake_settle(&fake);
	ck_assert_uint_eq(j->ended, 1);
}
