/* SPDX-License-Identifier: Apache-2.0 */
/* The watch on virtual time: rounds, what they settle, full passes, tenants that come and go. */
#include <stdio.h>
#include <string.h>

#include "base/metric.h"
#include "fakes.h"
#include "keys/cache.h"
#include "keys/lookup.h"
#include "watch_parts.h"

#define BOUND (60 * NS_PER_S)
#define THIRD (BOUND / 3)
#define HOUR (3600 * NS_PER_S)
enum { OVERLAP_S = 2 * 60 + 15, EVENTS = 200000 };

static struct fake fake;
static struct cache *cache;
static struct custody *custody;
static struct lookups *lookups;
static struct watch *watch;
static struct watch_tenant *east, *west;
static struct vault *vault_east, *vault_west;

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

/* Two tenants, and a round that found nothing. */
static void
setup_new(void)
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

static void
hurry_full(void)
{
	timer_move(fake.loop, &watch->full_timer, clock_now());
	fake_settle(&fake);
}

/* The first full pass is over, too. */
static void
setup(void)
{
	setup_new();
	hurry_full();
}

static void
teardown(void)
{
	watch_remove(east);
	watch_remove(west);
	watch_free(watch);
	lookups_free(lookups);
	cache_free(cache);
	custody_unref(custody);
	fake_fini(&fake);
}

/* Up to the end of the next round. */
static void
round_of(void)
{
	unsigned calls = fake.news.calls;

	for (int i = 0; i < 1000 && fake.news.calls == calls; i++)
		fake_advance(&fake, NS_PER_S / 4);
	ck_assert_uint_eq(fake.news.calls, calls + 1);
}

static void
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

static unsigned
cached(const char *tenant)
{
	unsigned n = 0;

	cache_each(cache, tenant, count_one, &n);
	return n;
}

/* An object that ledger, vault and cache have. */
static struct object *
known(struct vault *v, const char *tenant, unsigned number)
{
	struct object *o = fake_object(&fake, tenant, number);

	fake_know(&fake, o, fake_record(&fake, v, o, 1));
	remember(fake_known(&fake, tenant, o->uid));
	return o;
}

static struct fake_record *
record_of(const struct object *o)
{
	for (size_t i = 0; i < fake.count; i++)
		if (strstr(fake.records[i].name, o->uid) != NULL)
			return &fake.records[i];
	ck_abort();
}

static uint64_t
sequence_known(const struct object *o)
{
	return fake_sequence_of(fake_known(&fake, o->tenant, o->uid));
}

struct job {
	struct watch_rebuild r;
	unsigned ended, told;
	enum err e;
};

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

static void
rebuild(struct watch_tenant *t, struct job *j)
{
	*j = (struct job){.r = {.wait.done = rebuilt, .progress = on_progress}};
	watch_rebuild(t, &j->r);
	ck_assert_uint_eq(j->ended, 0);
}

static void
finish(struct job *j)
{
	for (int i = 0; i < 1000 && j->ended == 0; i++)
		fake_settle(&fake);
	ck_assert_uint_eq(j->ended, 1);
}

/* --- rounds --- */

/* The vault's clock first, then what happened lately, then what happens. */
START_TEST(test_start)
{
	ck_assert_uint_eq(fake.news.calls, 2);
	ck_assert_int_eq(fake.asked_since, clock_wall() - 3600);
	ck_assert_int_eq(custody_state(custody), CUSTODY_FRESH);
	round_of();
	ck_assert_int_ge(fake.asked_since, clock_wall() - OVERLAP_S - 23);
	ck_assert_int_lt(fake.asked_since, clock_wall() - OVERLAP_S);
	ck_assert_int_eq(east->since, watch->clock - OVERLAP_S);
}
END_TEST

/* Each third of the bound, give or take a tenth of that, and not all alike. */
START_TEST(test_jitter)
{
	int64_t last, gap, least = INT64_MAX, most = 0;

	round_of();
	for (int i = 0; i < 60; i++) {
		last = fake.asked_at;
		round_of();
		gap = fake.asked_at - last;
		ck_assert_int_ge(gap, THIRD * 9 / 10);
		ck_assert_int_le(gap, THIRD * 11 / 10 + NS_PER_S / 4);
		least = gap < least ? gap : least;
		most = gap > most ? gap : most;
		ck_assert_int_lt(stamp_age(&watch->round.began, BOUND), BOUND);
	}
	ck_assert_int_gt(most - least, THIRD / 20);
}
END_TEST

START_TEST(test_bound_changes)
{
	unsigned calls = fake.news.calls;
	int64_t last;

	watch_set_bound(watch, BOUND); /* no change */
	fake_settle(&fake);
	ck_assert_uint_eq(fake.news.calls, calls);
	watch_set_bound(watch, BOUND / 4);
	fake_settle(&fake);
	ck_assert_uint_eq(fake.news.calls, calls + 1); /* at once, as the new bound may be over */
	for (int i = 0; i < 10; i++) {
		last = fake.asked_at;
		round_of();
		ck_assert_int_le(fake.asked_at - last, THIRD / 4 * 11 / 10 + NS_PER_S / 4);
	}
	fake.news.holds = true;
	round_of();
	watch_set_bound(watch, BOUND * 10); /* while one is under way */
	fake.news.holds = false;
	fake_release(&fake);
	fake_settle(&fake);
	last = fake.asked_at;
	round_of();
	ck_assert_int_ge(fake.asked_at - last, THIRD * 9);
}
END_TEST

/* What is gone leaves the cache before the rest is taken for proved. */
START_TEST(test_gone)
{
	struct object *o = known(vault_east, "east", 1), *kept = known(vault_east, "east", 2),
		      *other = known(vault_west, "west", 3);

	fake_delete(record_of(o), GONE_WITHDRAWN);
	round_of();
	ck_assert_uint_eq(cached("east"), 1);
	ck_assert_uint_eq(cached("west"), 1);
	ck_assert_int_eq(fake_known(&fake, "east", o->uid)->state, OBJECT_ACTIVE);
	fake_delete(record_of(other), GONE_DESTROYED);
	round_of();
	ck_assert_uint_eq(cached("west"), 0);
	ck_assert_int_eq(fake_known(&fake, "west", other->uid)->state, OBJECT_DESTROYED);
	ck_assert_int_eq(fake_known(&fake, "east", kept->uid)->state, OBJECT_ACTIVE);
	ck_assert_uint_eq(cached(NULL), 1);
}
END_TEST

/* That a predecessor is retired takes no key out of memory, whoever hears of it, and when. */
START_TEST(test_predecessor)
{
	struct object *o = known(vault_east, "east", 1);
	unsigned finds;

	fake_record(&fake, vault_east, o, 2);
	round_of();
	ck_assert_uint_eq(sequence_known(o), 2);
	finds = fake.find.calls;
	fake_delete(record_of(o), GONE_LATELY);
	round_of();
	ck_assert_uint_eq(cached("east"), 1);
	record_of(o)->gone = GONE_DESTROYED;
	round_of();
	ck_assert_uint_eq(cached("east"), 1);
	ck_assert_uint_eq(fake.find.calls, finds);
	fake_delete(&fake.records[1], GONE_LATELY);
	round_of();
	ck_assert_uint_eq(cached("east"), 0);
}
END_TEST

/* A key of a predecessor, as a load was slower than who replaced it: the ledger knows what counts. */
START_TEST(test_ledger_knows)
{
	static const struct {
		enum vault_gone gone;
		enum err e;
		bool second;
		unsigned kept;
	} deletions[] = {
	    {GONE_LATELY, ERR_OK, true, 0},
	    {GONE_WITHDRAWN, ERR_OK, true, 0},
	    {GONE_DESTROYED, ERR_OK, true, 0},
	    {GONE_WITHDRAWN, ERR_OK, false, 1},
	    {GONE_WITHDRAWN, ERR_STORAGE_DOWN, false, 0}, /* in doubt */
	    {GONE_WITHDRAWN, ERR_NO_OBJECT, false, 0},
	};
	struct object *o = known(vault_east, "east", 1);

	fake_record(&fake, vault_east, o, 2);
	fake_record(&fake, vault_east, o, 1);
	fake_know(&fake, o, &fake.records[1]);
	fake.records[0].when = fake.records[1].when -= HOUR / NS_PER_S;
	round_of();
	ck_assert_uint_eq(cached("east"), 1);
	fake.load.e = deletions[_i].e;
	fake.load.times = 1;
	fake_delete(&fake.records[deletions[_i].second ? 1 : 2], deletions[_i].gone);
	round_of();
	ck_assert_uint_eq(cached("east"), deletions[_i].kept);
}
END_TEST

static void
ignore(struct wait *w, enum err e)
{
	(void)w, (void)e;
}

/* A successor was found before it went, and taken over after that was heard, when nobody knew it. */
START_TEST(test_taken_over_late)
{
	struct object *o = known(vault_east, "east", 1);
	struct lookup l = {.wait.done = ignore, .vault = vault_east, .ledger = &fake.ledger,
	    .tenant = "east", .uid = o->uid};

	fake_record(&fake, vault_east, o, 2);
	fake.find.holds = true;
	lookup_start(lookups, &l);
	fake_settle(&fake);
	fake.find.holds = false;
	fake_delete(&fake.records[1], GONE_DESTROYED);
	round_of();
	ck_assert_uint_eq(sequence_known(o), 1);
	ck_assert_uint_eq(cached("east"), 1);
	fake_release(&fake);
	fake_settle(&fake);
	ck_assert_uint_eq(sequence_known(o), 2);
	ck_assert_uint_eq(cached("east"), 1);
	round_of();
	ck_assert_uint_eq(cached("east"), 0);
}
END_TEST

START_TEST(test_looked_up_destroyed)
{
	struct object *o = known(vault_east, "east", 1);
	struct lookup l = {.wait.done = ignore, .vault = vault_east, .ledger = &fake.ledger,
	    .tenant = "east", .uid = o->uid, .gone = GONE_DESTROYED};

	fake_delete(record_of(o), GONE_DESTROYED);
	lookup_start(lookups, &l);
	fake_settle(&fake);
	ck_assert_int_eq(fake_known(&fake, "east", o->uid)->state, OBJECT_DESTROYED);
	ck_assert_uint_eq(cached("east"), 0);
}
END_TEST

/* A deletion of a moment ago may have a successor that no list shows yet: later. */
START_TEST(test_lag)
{
	struct object *o = known(vault_east, "east", 1);
	struct fake_record *r = record_of(o);

	fake_delete(r, GONE_LATELY);
	round_of();
	round_of();
	ck_assert_uint_eq(cached("east"), 0);
	ck_assert_uint_eq(fake.find.calls, 0);
	ck_assert_int_eq(fake_known(&fake, "east", o->uid)->state, OBJECT_ACTIVE);
	r->gone = GONE_DESTROYED;
	round_of();
	ck_assert_int_eq(fake_known(&fake, "east", o->uid)->state, OBJECT_DESTROYED);
}
END_TEST

/* A record that a list shows late is met all the same, since rounds overlap. */
START_TEST(test_late_record)
{
	struct object *o = known(vault_east, "east", 1);

	round_of();
	fake_advance(&fake, 5 * NS_PER_S);
	fake_record(&fake, vault_east, o, 2)->when = clock_wall() - OVERLAP_S + 30;
	round_of();
	ck_assert_uint_eq(sequence_known(o), 2);
}
END_TEST

START_TEST(test_successor)
{
	struct object *o = known(vault_east, "east", 1), *newer = fake_object(&fake, "east", 1);

	newer->state = OBJECT_COMPROMISED;
	fake_record(&fake, vault_east, newer, 2);
	fake_delete(record_of(o), GONE_DESTROYED);
	round_of();
	ck_assert_uint_eq(sequence_known(o), 2);
	ck_assert_int_eq(fake_known(&fake, "east", o->uid)->state, OBJECT_COMPROMISED);
}
END_TEST

/* What was looked at once is not looked at again, however often lists show it. */
START_TEST(test_settled)
{
	struct object *o = known(vault_east, "east", 1);
	unsigned finds, loads;

	fake_record(&fake, vault_east, o, 2);
	fake_record(&fake, vault_east, o, 3)->tenant = "somebody";
	round_of();
	finds = fake.find.calls;
	loads = fake.load.calls;
	ck_assert_uint_ge(finds, 1);
	for (int i = 0; i < 4; i++) {
		round_of();
		if (i == 0) /* not settled: "nothing to be found" may be a lag */
			ck_assert_uint_eq(fake.find.calls, finds + 2);
	}
	ck_assert_uint_le(fake.load.calls - loads, 4 * 2);
	ck_assert_uint_eq(sequence_known(o), 2);
}
END_TEST

static void
ended(struct wait *w, enum err e)
{
	*(enum err *)w->owner = e;
}

static enum err
look_up(const struct object *o)
{
	static const uint8_t client[LOOKUP_CLIENT_LEN] = "c";
	enum err e = ERR_INTERNAL;
	struct lookup l = {.wait = {.done = ended, .owner = &e}, .vault = vault_east,
	    .ledger = &fake.ledger, .tenant = "east", .uid = o->uid, .client = client};

	lookup_start(lookups, &l);
	fake_settle(&fake);
	return e;
}

/* An unknown record is nobody's business yet, but that there was none is no longer true. */
START_TEST(test_unknown)
{
	struct object *o = fake_object(&fake, "east", 7);

	ck_assert_int_eq(look_up(o), ERR_NO_OBJECT);
	fake_record(&fake, vault_east, o, 1);
	ck_assert_int_eq(look_up(o), ERR_NO_OBJECT); /* remembered */
	ck_assert_uint_eq(fake.find.calls, 1);
	round_of();
	ck_assert_uint_eq(fake.find.calls, 1);
	ck_assert_ptr_null(fake_known(&fake, "east", o->uid));
	ck_assert_int_eq(look_up(o), ERR_OK);
	ck_assert_ptr_nonnull(fake_known(&fake, "east", o->uid));
}
END_TEST

/* An older record that nobody retired: its gateway was killed, or could not delete. */
START_TEST(test_leftover)
{
	struct object *o = fake_object(&fake, "east", 1);
	struct fake_record *old = fake_record(&fake, vault_east, o, 1);
	unsigned finds;

	fake_know(&fake, o, fake_record(&fake, vault_east, o, 2));
	old = &fake.records[0];
	if (_i == 1) { /* long ago */
		fake.records[0].when = fake.records[1].when = 1000;
		fake_advance(&fake, 7 * HOUR);
	} else {
		round_of();
	}
	ck_assert_uint_eq(fake.retire.calls, 1);
	ck_assert_int_eq(old->gone, GONE_DESTROYED);
	ck_assert_int_eq(fake.records[1].gone, GONE_UNKNOWN);
	ck_assert_uint_eq(sequence_known(o), 2);
	ck_assert_int_eq(fake_known(&fake, "east", o->uid)->state, OBJECT_ACTIVE);
	finds = fake.find.calls;
	for (int i = 0; i < 4; i++)
		round_of();
	ck_assert_uint_le(fake.find.calls - finds, 1); /* its deletion was met */
	ck_assert_uint_eq(fake.retire.calls, 1);
}
END_TEST

/* Two gateways made a successor at once, and both gateways choose the same: never none is left. */
START_TEST(test_successors_at_once)
{
	struct object *o = fake_object(&fake, "east", 1);

	fake_record(&fake, vault_east, o, 2);
	fake_record(&fake, vault_east, o, 2);
	fake_know(&fake, o, &fake.records[_i]);
	round_of();
	round_of();
	fake_advance(&fake, 7 * HOUR);
	ck_assert_int_eq(fake.records[0].gone, GONE_UNKNOWN);
	ck_assert_int_eq(fake.records[1].gone, GONE_DESTROYED);
	ck_assert_mem_eq(fake_known(&fake, "east", o->uid)->record, fake.records[0].id, UID_TEXT_LEN);
}
END_TEST

/* Destroyed by a client's word here, and still there: its maker did not know, or it was restored. */
START_TEST(test_destroyed_here)
{
	enum { OURS, FOUND_SO, SOMEBODYS, OTHER_KEY, NO_RIGHT, FAILS };
	struct object *o = fake_object(&fake, "east", 1), *known;
	struct fake_record *r;

	fake_know(&fake, o, NULL);
	known = fake_known(&fake, "east", o->uid);
	known->state = OBJECT_DESTROYED;
	known->destroyed_here = _i != FOUND_SO;
	if (_i == OTHER_KEY)
		o->digest[0] ^= 1;
	r = fake_record(&fake, vault_east, o, 2);
	if (_i == SOMEBODYS)
		r->tenant = "somebody";
	fake.retire.e = _i == NO_RIGHT ? ERR_DENIED : _i == FAILS ? ERR_VAULT_DOWN : ERR_OK;
	fake.retire.times = 1;
	round_of();
	ck_assert_int_eq(r->gone == GONE_DESTROYED, _i == OURS);
	ck_assert_uint_eq(fake.retire.calls, _i == OURS || _i == NO_RIGHT || _i == FAILS);
	round_of();
	ck_assert_int_eq(r->gone == GONE_DESTROYED, _i == OURS || _i == FAILS);
	ck_assert_int_eq(fake_known(&fake, "east", o->uid)->state, OBJECT_DESTROYED);
	if (_i != SOMEBODYS && _i != FAILS) /* settled */
		ck_assert_int_gt(east->since, fake.asked_since - 1);
}
END_TEST

/* It was looked at when it was made: that the customer brought it back is still news. */
START_TEST(test_restored)
{
	struct object *o = known(vault_east, "east", 1), *known;
	struct fake_record *r = record_of(o);

	round_of();
	fake_delete(r, GONE_DESTROYED); /* by a Destroy here */
	known = fake_known(&fake, "east", o->uid);
	known->state = OBJECT_DESTROYED;
	known->destroyed_here = true;
	round_of();
	for (unsigned i = 1; i <= 2; i++) {
		r->gone = GONE_UNKNOWN;
		round_of();
		ck_assert_int_eq(r->gone, GONE_DESTROYED);
		ck_assert_uint_eq(fake.retire.calls, i);
		round_of();
	}
}
END_TEST

/* Lists lag: that something may come back is asked again, while they show the deletion. */
START_TEST(test_withdrawn_for_now)
{
	struct object *o = known(vault_east, "east", 1);

	fake.withdrawn = true;
	fake_delete(record_of(o), GONE_DESTROYED);
	round_of();
	ck_assert_int_eq(fake_known(&fake, "east", o->uid)->state, OBJECT_ACTIVE);
	fake.withdrawn = false;
	fake_advance(&fake, 61 * NS_PER_S); /* what is not there is remembered */
	ck_assert_int_eq(fake_known(&fake, "east", o->uid)->state, OBJECT_DESTROYED);
	ck_assert_uint_eq(cached("east"), 0);
}
END_TEST

/* --- failure --- */

START_TEST(test_outage)
{
	struct object *o = known(vault_east, "east", 1);
	int64_t from, failures = metric_get(METRIC_WATCH_FAILURES_TOTAL);

	round_of();
	from = east->since;
	fake.news.e = ERR_VAULT_DOWN;
	fake.news.times = 1000;
	round_of();
	ck_assert_int_eq(custody_state(custody), CUSTODY_FRESH); /* a blip */
	for (int i = 0; i < 6; i++)
		round_of();
	ck_assert_int_eq(custody_state(custody), CUSTODY_RIDING_OUT);
	ck_assert_int_eq(metric_get(METRIC_WATCH_FAILURES_TOTAL), failures + 7);
	ck_assert_uint_eq(cached("east"), 1);
	fake_delete(record_of(o), GONE_DESTROYED); /* early in the outage */
	record_of(o)->when = from + 60;
	for (int i = 0; i < 60; i++)
		round_of();
	ck_assert_int_eq(fake.asked_since, from);
	fake.news.times = 0;
	round_of();
	ck_assert_int_eq(custody_state(custody), CUSTODY_FRESH);
	ck_assert_int_eq(fake.asked_since, from);
	ck_assert_int_eq(fake_known(&fake, "east", o->uid)->state, OBJECT_DESTROYED);
	round_of();
	ck_assert_int_gt(fake.asked_since, from);
}
END_TEST

START_TEST(test_refusals)
{
	known(vault_east, "east", 1);
	known(vault_west, "west", 1);
	fake.news.e = ERR_VAULT_DENIED;
	fake.news.times = 2;
	round_of();
	round_of();
	ck_assert_uint_eq(cached(NULL), 2);
	round_of();
	ck_assert_int_eq(custody_state(custody), CUSTODY_FRESH);
	fake.news.times = 3;
	for (int i = 0; i < 3; i++)
		round_of();
	ck_assert_int_eq(custody_state(custody), CUSTODY_WITHDRAWN);
	ck_assert_uint_eq(cached(NULL), 0); /* of every tenant */
	round_of();
	ck_assert_int_eq(custody_state(custody), CUSTODY_FRESH);
}
END_TEST

/*
 * Access is withdrawn right after a check and nobody asks for a key: they leave the memory within the
 * bound all the same, whatever the dice say, and however long that round has to do with what it found.
 */
START_TEST(test_withdrawn_without_traffic)
{
	int64_t from;

	for (int i = 0; i < 40; i++) {
		struct object *o = known(vault_east, "east", 1);

		if (_i != 0)
			fake_record(&fake, vault_east, o, 2 + (uint64_t)i);
		fake.find.holds = _i != 0;
		round_of();
		remember(o);
		from = clock_now();
		fake.news.e = ERR_VAULT_DENIED;
		fake.news.times = 1000;
		if (_i != 0) {
			ck_assert_uint_eq(fake_held(&fake), 1);
			fake_advance(&fake, THIRD);
			fake.find.holds = false;
			fake_release(&fake);
			fake_settle(&fake);
		}
		while (cached(NULL) > 0 && clock_now() - from <= 2 * BOUND)
			fake_advance(&fake, NS_PER_S / 4);
		ck_assert_int_eq(custody_state(custody), CUSTODY_WITHDRAWN);
		ck_assert_int_lt(clock_now() - from, BOUND);
		ck_assert_int_ge(clock_now() - from, THIRD * 9 / 10); /* no blip is enough */
		fake.news.times = 0;
		fake.objects_count = 0; /* the next starts afresh */
		round_of();
		ck_assert_int_eq(custody_state(custody), CUSTODY_FRESH);
	}
}
END_TEST

/* Once refused it is asked as seldom as before. */
START_TEST(test_refused_is_no_haste)
{
	int64_t last;

	fake.news.e = ERR_VAULT_DENIED;
	fake.news.times = 1000;
	for (int i = 0; i < 4; i++)
		round_of();
	ck_assert_int_eq(custody_state(custody), CUSTODY_WITHDRAWN);
	for (int i = 0; i < 10; i++) {
		last = fake.asked_at;
		round_of();
		ck_assert_int_ge(fake.asked_at - last, THIRD * 9 / 10);
	}
}
END_TEST

START_TEST(test_root_key)
{
	known(vault_east, "east", 1);
	known(vault_west, "west", 1);
	fake.news.e = ERR_NO_ROOT_KEY;
	fake.news.times = 1;
	fake.suspended = _i != 0;
	round_of();
	ck_assert_int_eq(custody_state(custody), _i != 0 ? CUSTODY_SUSPENDED : CUSTODY_REVOKED);
	ck_assert_uint_eq(cached(NULL), 0);
}
END_TEST

/* Of every tenant, whichever of the two passes it was that saw it. */
START_TEST(test_moved)
{
	known(vault_east, "east", 1);
	known(vault_west, "west", 1);
	fake.moved = true;
	if (_i == 0)
		round_of();
	else
		hurry_full();
	ck_assert_uint_eq(cached(NULL), 0);
	ck_assert_int_eq(custody_state(custody), CUSTODY_FRESH);
}
END_TEST

/* What one tenant could not settle is asked for again, and holds up neither proof nor the other. */
START_TEST(test_one_fails)
{
	struct object *o = known(vault_east, "east", 1), *w = known(vault_west, "west", 1);
	int64_t from;

	round_of();
	fake_record(&fake, vault_east, o, 2);
	fake_record(&fake, vault_west, w, 2);
	fake.find.e = ERR_VAULT_DOWN;
	fake.find.times = 1; /* the first one's */
	from = east->since;
	round_of();
	ck_assert_uint_eq(sequence_known(o), 1);
	ck_assert_uint_eq(sequence_known(w), 2);
	ck_assert_int_eq(east->since, from);
	ck_assert_int_gt(west->since, from);
	ck_assert_int_lt(stamp_age(&watch->round.began, BOUND), THIRD);
	ck_assert_int_eq(custody_state(custody), CUSTODY_FRESH);
	round_of();
	ck_assert_int_eq(fake.asked_since, from);
	ck_assert_uint_eq(sequence_known(o), 2);
	ck_assert_int_gt(east->since, from);
	fake_record(&fake, vault_east, o, 3);
	fake.load.e = ERR_STORAGE_DOWN;
	fake.load.times = 1;
	from = east->since;
	round_of();
	ck_assert_int_eq(east->since, from);
	round_of();
	ck_assert_uint_eq(sequence_known(o), 3);
}
END_TEST

/* A root key that is not there holds up nothing: not the watch, nor a rebuild with an old record. */
START_TEST(test_record_without_root_key)
{
	struct object *o = known(vault_east, "east", 1);
	int64_t from;
	struct job j;

	fake_know(&fake, o, fake_record(&fake, vault_east, o, 2)); /* moved to another root key */
	fake.find.e = ERR_NO_ROOT_KEY;
	fake.find.times = 1000;
	round_of();
	from = east->since;
	for (int i = 0; i < 3; i++)
		round_of();
	ck_assert_uint_ge(fake.find.calls, 1);
	ck_assert_int_gt(east->since, from);
	rebuild(east, &j);
	finish(&j);
	ck_assert_int_eq(j.e, ERR_OK);
	ck_assert_uint_eq(j.r.left, 0);
	fake_record(&fake, vault_east, o, 3); /* this one would count */
	rebuild(east, &j);
	finish(&j);
	ck_assert_int_eq(j.e, ERR_VAULT_DOWN);
	ck_assert_uint_eq(j.r.left, 1);
	fake.find.times = 0;
	round_of();
	ck_assert_uint_eq(sequence_known(o), 3);
}
END_TEST

static void
got(struct wait *w, enum err e)
{
	ck_assert_int_eq(e, ERR_OK);
	*(bool *)w->owner = true;
}

/* The root key was away just then, and rounds do not go back so far again. */
START_TEST(test_root_key_comes_back)
{
	struct object *o = known(vault_east, "east", 1);

	fake_advance(&fake, HOUR); /* the first full pass is over */
	round_of();
	fake_record(&fake, vault_east, o, 2)->when = clock_wall() - OVERLAP_S + 5;
	fake.find.e = ERR_NO_ROOT_KEY;
	fake.find.times = 1;
	round_of();
	ck_assert_uint_eq(sequence_known(o), 1);
	round_of();
	ck_assert_uint_eq(sequence_known(o), 1); /* it is not shown any more */
	fake_advance(&fake, 2 * BOUND);
	ck_assert_uint_eq(sequence_known(o), 2);
}
END_TEST

/* Proof does not wait for what is slow to be taken over; and a round that drags on is cut. */
START_TEST(test_slow)
{
	struct object *o = known(vault_east, "east", 1), *second = known(vault_east, "east", 2);
	bool done = false;
	struct cache_get g = {.wait = {.done = got, .owner = &done},
	    .custody = custody,
	    .vault = vault_east,
	    .object = second,
	    .terms = {BOUND, 0}};
	unsigned calls;

	fake_advance(&fake, 30 * NS_PER_S);
	fake_record(&fake, vault_east, o, 2);
	fake_record(&fake, vault_east, second, 2);
	fake.find.holds = true;
	round_of();
	ck_assert_uint_eq(fake_held(&fake), 1);
	fake_advance(&fake, BOUND * 3 / 4); /* longer than the bound since it was put there */
	cache_get(cache, &g);
	fake_settle(&fake);
	ck_assert(done);
	ck_assert(g.from_memory && !g.ridden_out);
	secret_unref(g.key);
	calls = fake.news.calls;
	fake.find.holds = false;
	fake_release(&fake);
	fake_settle(&fake);
	ck_assert_uint_eq(sequence_known(o), 2);
	ck_assert_uint_eq(sequence_known(second), 1); /* left to the next */
	ck_assert_uint_eq(fake.news.calls, calls);
	round_of();
	ck_assert_uint_eq(sequence_known(second), 2);
}
END_TEST

/* More than is kept in mind at once: nothing is lost, and a rebuild says that it is not whole. */
START_TEST(test_crowded)
{
	struct object *last;
	int64_t from;

	round_of();
	from = east->since;
	for (unsigned i = 0; i < EVENTS; i++)
		fake_record(&fake, vault_east, fake_object(&fake, "east", i), 1);
	last = known(vault_east, "east", EVENTS);
	fake_record(&fake, vault_east, last, 2);
	while (watch->round.count < EVENTS)
		fake_advance(&fake, NS_PER_S / 4);
	ck_assert_uint_eq(watch->round.count, EVENTS);
	ck_assert(east->behind && !west->behind);
	while (!timer_armed(&watch->timer))
		fake_settle(&fake);
	ck_assert_int_eq(east->since, from);
	ck_assert_int_gt(west->since, from);
	fake.count = 0; /* most were somebody's passing fancy */
	fake_record(&fake, vault_east, last, 3);
	round_of();
	ck_assert_int_eq(fake.asked_since, from);
	ck_assert_uint_eq(sequence_known(last), 3);
	ck_assert_int_gt(east->since, from);
}
END_TEST

/* --- rebuild --- */

START_TEST(test_rebuild)
{
	struct object *o;
	struct job j;

	fake_advance(&fake, 48 * HOUR); /* long ago */
	for (unsigned i = 0; i < 120; i++)
		fake_record(&fake, vault_east, fake_object(&fake, "east", i), 1);
	o = known(vault_east, "east", 500);
	fake_record(&fake, vault_east, fake_object(&fake, "east", 501), 1)->tenant = "IBM";
	fake_delete(fake_record(&fake, vault_east, fake_object(&fake, "east", 502), 1),
	    GONE_DESTROYED);
	fake_delete(fake_record(&fake, vault_east, fake_object(&fake, "east", 503), 1),
	    GONE_WITHDRAWN);
	fake_delete(fake_record(&fake, vault_east, o, 0), GONE_DESTROYED); /* retired long ago */
	fake_record(&fake, vault_west, fake_object(&fake, "west", 1), 1);
	for (size_t i = 0; i < fake.count; i++)
		fake.records[i].when = 1000;
	rebuild(east, &j);
	finish(&j);
	ck_assert_int_eq(j.e, ERR_OK);
	ck_assert_uint_eq(j.r.records, 124);
	ck_assert_uint_eq(j.r.done, 124);
	ck_assert_uint_eq(j.r.adopted, 120);
	ck_assert_uint_eq(j.r.foreign, 1);
	ck_assert_uint_eq(j.r.left, 0);
	ck_assert_uint_eq(j.told, 2);
	for (unsigned i = 0; i < 120; i++)
		ck_assert_ptr_nonnull(
		    fake_known(&fake, "east", fake_object(&fake, "east", i)->uid));
	ck_assert_uint_eq(sequence_known(o), 1);
	ck_assert_uint_eq(cached("east"), 1); /* nothing leaves the cache for it */
	ck_assert_ptr_null(fake_known(&fake, "west", fake_object(&fake, "west", 1)->uid));
	rebuild(east, &j); /* again: nothing to be done */
	finish(&j);
	ck_assert_int_eq(j.e, ERR_OK);
	ck_assert_uint_eq(j.r.adopted, 0);
}
END_TEST

/* Rounds prove while it walks, and each tenant has its own. */
START_TEST(test_rebuild_beside)
{
	struct job a, b, again;
	unsigned rounds;

	fake_record(&fake, vault_east, fake_object(&fake, "east", 1), 1);
	fake_record(&fake, vault_west, fake_object(&fake, "west", 1), 1);
	round_of();
	fake.find.holds = true;
	rebuild(east, &a);
	rebuild(east, &again);
	fake_settle(&fake);
	ck_assert_uint_eq(again.ended, 1);
	ck_assert_int_eq(again.e, ERR_BUSY);
	rebuild(west, &b); /* comes too late for the pass under way */
	ck_assert_uint_eq(fake_held(&fake), 1);
	rounds = fake.news.calls;
	for (int i = 0; i < 50; i++)
		fake_advance(&fake, THIRD / 5);
	ck_assert_uint_ge(fake.news.calls, rounds + 7);
	ck_assert_int_eq(custody_state(custody), CUSTODY_FRESH);
	ck_assert_uint_eq(a.ended + b.ended, 0);
	fake.find.holds = false;
	fake_release(&fake);
	finish(&a);
	ck_assert_int_eq(a.e, ERR_OK);
	ck_assert_uint_eq(a.r.adopted, 1);
	finish(&b);
	ck_assert_int_eq(b.e, ERR_OK);
	ck_assert_uint_eq(b.r.records, 1);
	ck_assert_uint_eq(b.r.adopted, 1);
}
END_TEST

START_TEST(test_rebuild_fails)
{
	struct job j;

	for (unsigned i = 0; i < 3; i++)
		fake_record(&fake, vault_east, fake_object(&fake, "east", i), 1);
	round_of();
	fake.news.e = ERR_VAULT_DENIED;
	fake.news.times = 1;
	rebuild(east, &j);
	finish(&j);
	ck_assert_int_eq(j.e, ERR_VAULT_DENIED);
	fake.find.e = ERR_DEADLINE;
	fake.find.times = 1;
	rebuild(east, &j);
	finish(&j);
	ck_assert_int_eq(j.e, ERR_VAULT_DOWN);
	ck_assert_uint_eq(j.r.left, 1);
	ck_assert_uint_eq(j.r.adopted, 2);
	rebuild(east, &j);
	finish(&j);
	ck_assert_int_eq(j.e, ERR_OK);
	ck_assert_uint_eq(j.r.adopted, 1);
}
END_TEST

/* Cancelled: it looks up no more, and another may begin. */
START_TEST(test_rebuild_cancelled)
{
	struct job j, next;
	unsigned finds;

	for (unsigned i = 0; i < 5; i++)
		fake_record(&fake, vault_east, fake_object(&fake, "east", i), 1);
	round_of();
	rebuild(east, &j);
	wait_cancel(&j.r.wait); /* before it began */
	fake_settle(&fake);
	ck_assert_uint_eq(fake.find.calls, 0);
	fake.find.holds = true;
	rebuild(east, &j);
	fake_settle(&fake);
	ck_assert_uint_eq(fake_held(&fake), 1);
	wait_cancel(&j.r.wait);
	rebuild(east, &next);
	finds = fake.find.calls;
	fake.find.holds = false;
	fake_release(&fake);
	finish(&next);
	ck_assert_uint_eq(j.ended, 0);
	ck_assert_int_eq(next.e, ERR_OK);
	ck_assert_uint_eq(next.r.adopted, 4); /* the first was under way, and came through */
	ck_assert_uint_eq(fake.find.calls, finds + 4);
}
END_TEST

/* What happened while this gateway was away, longer ago than rounds look back. */
START_TEST(test_away)
{
	struct object *o = known(vault_east, "east", 1), *gone = known(vault_west, "west", 2);
	int64_t began = clock_now(), was = 0;

	fake_delete(record_of(gone), GONE_DESTROYED);
	record_of(gone)->when = clock_wall() - 7200;
	fake_record(&fake, vault_east, o, 2)->when = clock_wall() - 7200;
	if (_i == 1) { /* the key manager is not there yet */
		fake.news.e = ERR_VAULT_DOWN;
		fake.news.times = 1000;
		for (int i = 0; i < 60; i++)
			fake_advance(&fake, 2 * NS_PER_S);
		fake.news.times = 0;
		began += 600 * NS_PER_S;
	}
	while (sequence_known(o) == 1) {
		was = clock_now();
		fake_advance(&fake, NS_PER_S);
	}
	ck_assert(_i == 1 || was - began >= BOUND * 2 / 3 - NS_PER_S);
	ck_assert_int_le(was - began, _i == 0 ? BOUND : 3 * BOUND);
	ck_assert_int_eq(fake_known(&fake, "west", gone->uid)->state, OBJECT_DESTROYED);
	ck_assert_uint_eq(cached("west"), 0);
}
END_TEST

/* The same for a tenant that comes with a reload. */
START_TEST(test_away_tenant)
{
	struct vault *v = fake_vault(&fake, "north", "kmip_north");
	struct watch_tenant *north;
	struct object *o;

	fake_advance(&fake, HOUR);
	o = known(v, "north", 1);
	fake_record(&fake, v, o, 2)->when = clock_wall() - 7200;
	north = watch_add(watch, "north", v);
	for (int i = 0; i < 61; i++)
		fake_advance(&fake, NS_PER_S);
	ck_assert_uint_eq(sequence_known(o), 2);
	watch_remove(north);
}
END_TEST

/* Every few hours all is gone through; what a list never showed is found then. */
START_TEST(test_reconciliation)
{
	struct object *o = known(vault_east, "east", 1), *n = fake_object(&fake, "east", 2);

	round_of();
	fake_record(&fake, vault_east, o, 2)->when = 1000;
	fake_record(&fake, vault_east, n, 1)->when = 1000;
	round_of();
	ck_assert_uint_eq(sequence_known(o), 1);
	for (int i = 0; i < 7 * 180; i++)
		fake_advance(&fake, THIRD);
	ck_assert_uint_eq(sequence_known(o), 2);
	ck_assert_ptr_null(fake_known(&fake, "east", n->uid));
}
END_TEST

/* --- tenants --- */

/* The prefix is exact: one that begins with another's is not the other's. */
START_TEST(test_prefixes)
{
	struct object *o = known(vault_east, "east", 1), *w = known(vault_west, "west", 1);

	fake_record(&fake, vault_west, w, 2);
	fake_record(&fake, vault_east, o, 2);
	snprintf(fake_record(&fake, vault_east, o, 3)->name, 100, "kmip_%s_x", o->uid);
	snprintf(fake_record(&fake, vault_east, o, 3)->name, 100, "kmip");
	round_of();
	ck_assert_uint_eq(fake.find.calls, 2);
	ck_assert_uint_eq(sequence_known(o), 2);
	ck_assert_uint_eq(sequence_known(w), 2);
}
END_TEST

/* In whatever state the pass is, the other tenant's part is done. */
START_TEST(test_remove)
{
	struct fake_fault *held[] = {&fake.news, &fake.load, &fake.find};
	struct object *o = known(vault_east, "east", 1), *w = known(vault_west, "west", 1);

	fake_record(&fake, vault_east, o, 2);
	fake_record(&fake, vault_west, w, 2);
	held[_i]->holds = true;
	round_of();
	ck_assert_uint_eq(fake_held(&fake), 1);
	watch_remove(east);
	east = NULL;
	held[_i]->holds = false;
	while (fake_held(&fake) > 0)
		fake_release(&fake);
	fake_settle(&fake);
	ck_assert_uint_eq(sequence_known(w), 2);
	ck_assert(timer_armed(&watch->timer));
	round_of();
}
END_TEST

/* The last one's part ends the round; the watch may stay or go. */
START_TEST(test_remove_all)
{
	struct object *o = known(vault_east, "east", 1);

	fake_record(&fake, vault_east, o, 2);
	fake.find.holds = true;
	round_of();
	watch_remove(west);
	watch_remove(east);
	east = west = NULL;
	if (_i == 0) {
		fake_settle(&fake);
		ck_assert(timer_armed(&watch->timer));
		round_of();
	}
	fake.find.holds = false;
	fake_release(&fake);
}
END_TEST

START_TEST(test_remove_rebuilding)
{
	struct job j, waits;

	fake_record(&fake, vault_east, fake_object(&fake, "east", 1), 1);
	fake_record(&fake, vault_west, fake_object(&fake, "west", 1), 1);
	round_of();
	fake.find.holds = true;
	rebuild(east, &j);
	fake_settle(&fake);
	rebuild(west, &waits);
	watch_remove(east);
	east = NULL;
	fake_settle(&fake);
	ck_assert_uint_eq(j.ended, 1);
	ck_assert_int_eq(j.e, ERR_CANCELLED);
	fake.find.holds = false;
	while (fake_held(&fake) > 0)
		fake_release(&fake);
	finish(&waits);
	ck_assert_int_eq(waits.e, ERR_OK);
	ck_assert_uint_eq(waits.r.adopted, 1);
}
END_TEST

/* Who comes later is looked back for, at once; who was there is not asked for again. */
START_TEST(test_add)
{
	struct vault *v = fake_vault(&fake, "north", "kmip_north");
	struct object *o = known(v, "north", 1);
	struct watch_tenant *north;
	unsigned calls;
	int64_t from;

	for (int i = 0; i < 60; i++)
		round_of(); /* out of the overlap */
	fake_delete(record_of(o), GONE_DESTROYED);
	record_of(o)->when = clock_wall() - 1200;
	calls = fake.news.calls;
	if (_i == 1) { /* while a round is under way */
		fake.news.holds = true;
		round_of();
	}
	north = watch_add(watch, "north", v);
	fake.news.holds = false;
	if (_i == 1)
		fake_release(&fake);
	fake_settle(&fake);
	ck_assert_uint_eq(fake.news.calls, calls + 1 + (unsigned)_i);
	ck_assert_int_le(fake.asked_since, clock_wall() - 3600);
	ck_assert_int_eq(fake_known(&fake, "north", o->uid)->state, OBJECT_DESTROYED);
	from = fake.asked_since;
	round_of();
	ck_assert_int_gt(fake.asked_since, from + 3000);
	watch_remove(north);
}
END_TEST

/* In a reload the old and the new vault of a tenant are there together; either may go. */
START_TEST(test_two_of_one)
{
	struct vault *v = fake_vault(&fake, "east", "kmip");
	struct object *o = known(vault_east, "east", 1);
	struct watch_tenant *again = watch_add(watch, "east", v);

	fake_settle(&fake);
	fake_record(&fake, vault_east, o, 2);
	fake.load.holds = true;
	round_of();
	watch_remove(_i == 0 ? east : again);
	if (_i == 0)
		east = again;
	fake.load.holds = false;
	while (fake_held(&fake) > 0)
		fake_release(&fake);
	fake_settle(&fake);
	ck_assert_uint_eq(sequence_known(o), 2);
}
END_TEST

/* Freed in any state. */
START_TEST(test_free)
{
	struct fake_fault *held[] = {&fake.news, &fake.load, &fake.find};
	struct job j;
	struct object *o = known(vault_east, "east", 1);

	fake_record(&fake, vault_east, o, 2);
	held[_i]->holds = true;
	rebuild(east, &j);
	round_of();
	watch_remove(east);
	watch_remove(west);
	watch_free(watch);
	watch = NULL;
	east = west = NULL;
	fake_settle(&fake);
	ck_assert_int_eq(j.e, ERR_CANCELLED);
	held[_i]->holds = false;
	while (fake_held(&fake) > 0)
		fake_release(&fake);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("watch");
	TCase *t = tcase_create("watch"), *n = tcase_create("new");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(n, setup_new, teardown);
	tcase_add_test(n, test_start);
	tcase_add_loop_test(n, test_away, 0, 2);
	suite_add_tcase(s, n);
	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_jitter);
	tcase_add_test(t, test_bound_changes);
	tcase_add_test(t, test_gone);
	tcase_add_test(t, test_predecessor);
	tcase_add_loop_test(t, test_ledger_knows, 0, 6);
	tcase_add_test(t, test_taken_over_late);
	tcase_add_test(t, test_looked_up_destroyed);
	tcase_add_test(t, test_lag);
	tcase_add_test(t, test_late_record);
	tcase_add_test(t, test_successor);
	tcase_add_test(t, test_settled);
	tcase_add_test(t, test_unknown);
	tcase_add_loop_test(t, test_leftover, 0, 2);
	tcase_add_loop_test(t, test_successors_at_once, 0, 2);
	tcase_add_loop_test(t, test_destroyed_here, 0, 6);
	tcase_add_test(t, test_restored);
	tcase_add_test(t, test_withdrawn_for_now);
	tcase_add_test(t, test_outage);
	tcase_add_test(t, test_refusals);
	tcase_add_loop_test(t, test_withdrawn_without_traffic, 0, 2);
	tcase_add_test(t, test_refused_is_no_haste);
	tcase_add_test(t, test_record_without_root_key);
	tcase_add_loop_test(t, test_moved, 0, 2);
	tcase_add_loop_test(t, test_root_key, 0, 2);
	tcase_add_test(t, test_one_fails);
	tcase_add_test(t, test_root_key_comes_back);
	tcase_add_test(t, test_slow);
	tcase_add_test(t, test_crowded);
	tcase_add_test(t, test_rebuild);
	tcase_add_test(t, test_rebuild_beside);
	tcase_add_test(t, test_rebuild_fails);
	tcase_add_test(t, test_rebuild_cancelled);
	tcase_add_test(t, test_away_tenant);
	tcase_add_test(t, test_reconciliation);
	tcase_add_test(t, test_prefixes);
	tcase_add_loop_test(t, test_remove, 0, 3);
	tcase_add_loop_test(t, test_remove_all, 0, 2);
	tcase_add_test(t, test_remove_rebuilding);
	tcase_add_loop_test(t, test_add, 0, 2);
	tcase_add_loop_test(t, test_two_of_one, 0, 2);
	tcase_add_loop_test(t, test_free, 0, 3);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
