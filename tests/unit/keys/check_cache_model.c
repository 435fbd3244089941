/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The key cache against a model that keeps nothing but proofs: whatever happens in whatever order,
 * nobody is served a key whose last proof is older than the bound unless it may be ridden out, nor
 * one that was proved before the last refusal, or before it was forgotten.
 * KEYFERRY_LONG=1: a hundred times as many steps; KEYFERRY_SEED=n: replays.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cacherig.h"

enum { KEYS = 12, UIDS = 4, CUSTODIES = 2, GETS = 64, CHECKS = 4, PROOFS = 8, STEPS = 1000 };

static const char *const tenants[] = {"east", "west", "south"};
static const struct cache_terms terms[] = {
    {BOUND, 600 * NS_PER_S}, {BOUND, 0}, {30 * NS_PER_S, RIDE_OUT}};

/* The model's own: what was heard, and when. */
struct word {
	int64_t boot, wall_ms;
	uint64_t order;
};

struct model_custody {
	struct custody *custody;
	int64_t bound;
	struct word confirmed, refused, outage, denied, denied_first;
	unsigned denials;
};

struct model_key {
	struct object *object;
	struct model_custody *mc;
	const struct cache_terms *terms;
	struct word proofs[PROOFS]; /* the last ones: by loads, or made */
	unsigned proofs_count;
	uint64_t forgot, apart; /* apart: since when a load of before may not be joined */
};

struct model_get {
	struct get t;
	struct model_key *key;
	bool used;
	struct word arrived;
	uint64_t forgot; /* as it was when it arrived */
};

static struct cacherig rig;
static struct model_custody custodies[CUSTODIES];
static struct model_key keys[KEYS];
static struct model_get gets[GETS];
static struct stamp checks[CUSTODIES][CHECKS];
static struct {
	struct vault_unwrap *u;
	struct word began;
} loads[GETS * 4];
static size_t loads_count;
static struct {
	int64_t now; /* clock_now() */
	struct word w;
} moments[5 * STEPS]; /* of the round: all that there were */
static size_t moments_count;
static uint64_t seed, rng;
static struct {
	unsigned served, warm, ridden, failed, wiped, cancelled;
} seen;

static uint64_t
rnd(uint64_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (rng >> 11) % n;
}

static struct word
word_now(void)
{
	struct stamp s = stamp_now();

	return (struct word){s.boot_ns, s.wall_ms, s.order};
}

static int64_t
age_of(struct word w, int64_t bound)
{
	int64_t boot = clock_boot() - w.boot, wall = (clock_wall_ms() - w.wall_ms) * NS_PER_MS;

	return w.order == 0 ? INT64_MAX : wall > boot + bound ? wall : boot;
}

#define MUST(what) ck_assert_msg(what, "%s; replay with KEYFERRY_SEED=%" PRIu64, #what, seed)

/* --- what may be served --- */

static bool
counts(const struct model_get *mg, struct word w)
{
	return w.order > mg->forgot && w.order > mg->key->mc->refused.order;
}

/*
 * Of all proofs that count the youngest, and that is not always the last: one that was noted while
 * the wall clock was behind looks older once it was set right.
 */
static int64_t
best_age(const struct model_get *mg)
{
	const struct model_key *k = mg->key;
	int64_t bound = k->terms->bound_ns, age = INT64_MAX, all;

	for (size_t i = 0; i < PROOFS; i++)
		if (counts(mg, k->proofs[i]) && age_of(k->proofs[i], bound) < age)
			age = age_of(k->proofs[i], bound);
	all = age != INT64_MAX ? age_of(k->mc->confirmed, bound) : INT64_MAX;
	return all < age ? all : age;
}

static uint64_t
oldest_proof(const struct model_get *mg)
{
	uint64_t order = UINT64_MAX;

	for (size_t i = 0; i < PROOFS; i++)
		if (counts(mg, mg->key->proofs[i]) && mg->key->proofs[i].order < order)
			order = mg->key->proofs[i].order;
	return order;
}

/* For how long it has waited without sleeping through the bound. */
static int64_t
waited(const struct model_get *mg)
{
	size_t i = moments_count;

	while (i > 0 && moments[i - 1].now >= mg->arrived.boot &&
	    age_of(moments[i - 1].w, mg->key->terms->bound_ns) < mg->key->terms->bound_ns)
		i--;
	return i < moments_count ? clock_now() - moments[i].now : 0;
}

static void
judge_served(const struct model_get *mg)
{
	const struct model_key *k = mg->key;
	const struct model_custody *mc = k->mc;
	const struct cache_get *g = &mg->t.g;
	int64_t age = best_age(mg);

	MUST(get_key_is(&mg->t, k->object));
	MUST(age != INT64_MAX); /* there is a proof at all */
	seen.served++;
	seen.warm += g->from_memory;
	seen.ridden += g->ridden_out;
	if (!g->ridden_out) {
		MUST(age < k->terms->bound_ns);
		return;
	}
	MUST(age < k->terms->ride_out_ns && g->from_memory);
	/* on an outage that was met since it last slept, or a vault that keeps us waiting */
	MUST((mc->outage.order > oldest_proof(mg) &&
		 age_of(mc->outage, k->terms->bound_ns) < k->terms->bound_ns) ||
	    waited(mg) >= CACHE_PATIENCE_NS ||
	    (g->vault_terms.deadline != 0 && g->vault_terms.deadline <= clock_now()));
}

static void
ended(struct get *t)
{
	struct model_get *mg = CONTAINER_OF(t, struct model_get, t);

	if (t->e == ERR_OK)
		judge_served(mg);
	else
		seen.failed++;
	MUST(t->e != ERR_CANCELLED);
	get_end(t);
	mg->used = false;
}

/* --- what happens --- */

static struct model_key *
key_of_load(const struct vault_unwrap *u)
{
	for (size_t i = 0; i < KEYS; i++)
		if (strcmp(keys[i].object->uid, u->object->uid) == 0 &&
		    strcmp(keys[i].object->tenant, u->object->tenant) == 0)
			return &keys[i];
	abort();
}

/* Notes loads that began, and that no two of one key run that could be one. */
static void
see_loads(void)
{
	LIST_FOREACH (link, &rig.pending) {
		struct vault_unwrap *u = CONTAINER_OF(link, struct vault_unwrap, wait.link);
		struct model_key *k = key_of_load(u);
		size_t i = 0;

		while (i < loads_count && loads[i].u != u)
			i++;
		if (i < loads_count)
			continue;
		for (i = 0; i < loads_count; i++)
			MUST(key_of_load(loads[i].u) != k || loads[i].began.order < k->apart ||
			    age_of(loads[i].began, k->terms->bound_ns) >= k->terms->bound_ns);
		MUST(loads_count < sizeof(loads) / sizeof(loads[0]));
		loads[loads_count].u = u;
		loads[loads_count++].began = word_now();
	}
}

static void
note_moment(void)
{
	MUST(moments_count < sizeof(moments) / sizeof(moments[0]));
	moments[moments_count].now = clock_now();
	moments[moments_count++].w = word_now();
}

static void
settle(void)
{
	cacherig_settle(&rig);
	see_loads();
}

static void
set_apart(struct model_custody *mc, const char *tenant)
{
	uint64_t now = word_now().order;

	for (size_t i = 0; i < KEYS; i++)
		if ((mc == NULL || keys[i].mc == mc) &&
		    (tenant == NULL || strcmp(keys[i].object->tenant, tenant) == 0))
			keys[i].apart = now;
}

static void
count_one(const struct cache_info *info, void *arg)
{
	const struct custody *of = *(struct custody *const *)arg;

	MUST(info->custody != of);
}

/* Before the custody hears it; true when it has to wipe. */
static bool
note_evidence(struct model_custody *mc, enum err e, struct word began)
{
	struct word now = word_now();

	if (e == ERR_OK && began.order > mc->refused.order && began.order > mc->denied.order)
		mc->denials = 0;
	if ((e == ERR_VAULT_DOWN || e == ERR_DEADLINE) && began.order > mc->outage.order)
		mc->outage = began;
	if (e == ERR_VAULT_DENIED) {
		mc->denied = now;
		if (mc->denials++ == 0)
			mc->denied_first = now;
	}
	if (e != ERR_NO_ROOT_KEY && (e != ERR_VAULT_DENIED || mc->denials < 3 ||
					mc->denied.boot - mc->denied_first.boot < mc->bound / 3))
		return false;
	mc->refused = now;
	set_apart(mc, NULL);
	seen.wiped++;
	return true;
}

static void
expect_none(struct model_custody *mc)
{
	cache_each(rig.cache, NULL, count_one, &mc->custody);
	MUST(custody_state(mc->custody) >= CUSTODY_REVOKED);
}

static enum err
any_answer(void)
{
	static const enum err others[] = {ERR_VAULT_DOWN, ERR_VAULT_DOWN, ERR_VAULT_DOWN,
	    ERR_DEADLINE, ERR_VAULT_DENIED, ERR_VAULT_DENIED, ERR_VAULT_DENIED, ERR_NO_ROOT_KEY,
	    ERR_NO_OBJECT, ERR_NO_MEMORY, ERR_INTEGRITY};

	return rnd(2) ? ERR_OK : others[rnd(sizeof(others) / sizeof(others[0]))];
}

static void
answer(void)
{
	size_t i = loads_count > 0 ? (size_t)rnd(loads_count) : 0;
	struct vault_unwrap *u = loads[i].u;
	struct word began = loads[i].began;
	enum err e = any_answer();
	struct model_key *k;
	bool wipes;

	if (loads_count == 0)
		return;
	k = key_of_load(u);
	loads[i] = loads[--loads_count];
	wipes = note_evidence(k->mc, e, began);
	if (e == ERR_OK)
		k->proofs[k->proofs_count++ % PROOFS] = began;
	cacherig_finish(&rig, u, e);
	if (wipes)
		expect_none(k->mc);
}

static void
start_get(void)
{
	struct model_get *mg = &gets[rnd(GETS)];
	struct model_key *k = &keys[rnd(KEYS)];

	if (mg->used)
		return;
	*mg = (struct model_get){.key = k, .used = true, .forgot = k->forgot};
	mg->arrived = word_now();
	mg->arrived.boot = clock_now(); /* patience and deadlines know no suspension */
	if (rnd(2))
		mg->t.g.vault_terms.deadline = clock_now() + (int64_t)rnd(20 * NS_PER_S);
	mg->t.then = ended;
	rig.terms = *k->terms;
	rig.custody = k->mc->custody;
	get_start(&mg->t, &rig, k->object);
}

static void
cancel_get(void)
{
	struct model_get *mg = &gets[rnd(GETS)];

	if (!mg->used)
		return;
	wait_cancel(&mg->t.g.wait);
	mg->used = false;
	seen.cancelled++;
}

/* A check that began some time ago ends, and another begins. */
static void
end_check(void)
{
	size_t i = (size_t)rnd(CUSTODIES);
	struct model_custody *mc = &custodies[i];
	struct stamp *began = &checks[i][rnd(CHECKS)];
	enum err e = any_answer();

	if (began->order != 0) {
		struct word w = {began->boot_ns, began->wall_ms, began->order};
		bool wipes = note_evidence(mc, e, w);

		if (e == ERR_OK && began->order > mc->confirmed.order &&
		    began->order > mc->refused.order)
			mc->confirmed = w;
		if (e == ERR_OK)
			custody_confirmed(mc->custody, began);
		else
			custody_verdict(mc->custody,
			    &(struct custody_evidence){e, rnd(2) != 0, *began});
		if (wipes)
			expect_none(mc);
	}
	*began = stamp_now();
}

static void
make_key(void)
{
	struct model_key *k = &keys[rnd(KEYS)];
	struct secret *key = secret_new(32, SECRET_TRANSIENT);
	struct stamp began = stamp_now();

	for (size_t i = 0; i < 32; i++)
		secret_bytes(key)[i] = k->object->digest[i] ^ 0x5a;
	cache_put(rig.cache, k->mc->custody, rig.vault.ops, k->object, key, k->terms, &began);
	secret_unref(key);
	k->proofs[k->proofs_count++ % PROOFS] =
	    (struct word){began.boot_ns, began.wall_ms, began.order};
}

static void
forget_key(void)
{
	struct model_key *k = &keys[rnd(KEYS)];

	if (rnd(2) == 0)
		cache_forget(rig.cache, k->object->tenant, k->object->uid);
	else
		cache_forget_record(
		    rig.cache, k->object->tenant, k->object->uid, k->object->uid);
	k->forgot = k->apart = word_now().order;
}

static void
flush(void)
{
	const char *tenant = rnd(4) ? tenants[rnd(3)] : NULL;

	cache_flush(rig.cache, tenant);
	set_apart(NULL, tenant);
}

static void
pass_time(void)
{
	static const int64_t most[] = {
	    NS_PER_MS, NS_PER_S, 20 * NS_PER_S, 90 * NS_PER_S, 1500 * NS_PER_S};
	int64_t by = (int64_t)rnd((uint64_t)most[rnd(rnd(8) ? 4 : 5)]) + 1;

	/* in parts, as the loop would see it: timers go off in between */
	for (int i = 0; i < 4; i++) {
		clock_test_advance(by / 4);
		note_moment();
		settle();
	}
}

static void
jump(void)
{
	int64_t by = (int64_t)rnd(300 * NS_PER_S) / NS_PER_MS * NS_PER_MS;

	if (rnd(2))
		clock_test_jump(by, by);
	else
		clock_test_jump(rnd(3) ? by : -by, 0);
	note_moment();
}

static void
step(void)
{
	static const struct {
		unsigned weight;
		void (*act)(void);
	} acts[] = {{40, start_get}, {30, answer}, {15, pass_time}, {12, end_check},
	    {6, cancel_get}, {3, make_key}, {2, forget_key}, {1, flush}, {1, jump}};
	unsigned sum = 0, at;

	for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++)
		sum += acts[i].weight;
	at = (unsigned)rnd(sum);
	for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
		if (at < acts[i].weight) {
			acts[i].act();
			break;
		}
		at -= acts[i].weight;
	}
	if (rnd(4))
		settle();
	see_loads();
}

/* --- the run --- */

static void
begin(void)
{
	cacherig_init(&rig, rnd(2) ? 5 * 32 : 4096);
	custody_unref(rig.custody);
	memset(custodies, 0, sizeof(custodies));
	memset(keys, 0, sizeof(keys));
	memset(gets, 0, sizeof(gets));
	memset(checks, 0, sizeof(checks));
	loads_count = moments_count = 0;
	note_moment();
	for (unsigned i = 0; i < CUSTODIES; i++) {
		struct custody_params p = {.name = "model",
		    .bound_ns = i == 0 ? BOUND : 30 * NS_PER_S,
		    .ride_out_ns = RIDE_OUT};

		custodies[i].custody = custody_new(&p);
		custodies[i].bound = p.bound_ns;
	}
	for (unsigned i = 0; i < KEYS; i++) {
		keys[i].object = cacherig_object(&rig, tenants[i / UIDS], i % UIDS);
		keys[i].terms = &terms[i / UIDS];
		keys[i].mc = &custodies[i / UIDS == 2];
	}
}

static void
finish(void)
{
	settle();
	while (loads_count > 0) {
		answer();
		settle();
	}
	for (size_t i = 0; i < GETS; i++)
		MUST(!gets[i].used); /* everybody got an answer */
	for (size_t i = 0; i < CUSTODIES; i++)
		custody_unref(custodies[i].custody);
	rig.custody = NULL;
	cacherig_fini(&rig);
}

START_TEST(test_model)
{
	const char *given = getenv("KEYFERRY_SEED");
	unsigned rounds = getenv("KEYFERRY_LONG") != NULL ? 6000 : 60;

	seed = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)time(NULL) << 20;
	for (unsigned i = 0; i < rounds; i++, seed++) {
		rng = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15);
		begin();
		for (unsigned n = 0; n < STEPS; n++)
			step();
		finish();
	}
	printf("cache model: %u served (%u from memory, %u ridden out), %u failed, %u cancelled, "
	       "%u wipes; last seed %" PRIu64 "\n",
	    seen.served, seen.warm, seen.ridden, seen.failed, seen.cancelled, seen.wiped, seed - 1);
	ck_assert_uint_gt(seen.warm, 20 * rounds);
	ck_assert_uint_gt(seen.ridden, 2 * rounds);
	ck_assert_uint_gt(seen.served - seen.warm, 20 * rounds);
	ck_assert_uint_gt(seen.wiped, 2 * rounds);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("cache_model");
	TCase *t = tcase_create("cache_model");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 3600);
	tcase_add_test(t, test_model);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
