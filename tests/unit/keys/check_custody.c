/* SPDX-License-Identifier: Apache-2.0 */
/* What the key manager says, for how long it holds, and what it does to keys in memory. */
#include <stdlib.h>
#include <string.h>

#include "base/metric.h"
#include "cache_parts.h"
#include "cacherig.h"

static struct cacherig rig;
static struct object *key1, *key2;

static void
setup(void)
{
	cacherig_init(&rig, 4096);
	key1 = cacherig_object(&rig, "east", 1);
	key2 = cacherig_object(&rig, "east", 2);
}

static void
teardown(void)
{
	cacherig_fini(&rig);
}

static void
verdict(enum err e)
{
	custody_verdict(rig.custody, &(struct custody_evidence){.e = e, .began = stamp_now()});
}

static enum custody_state
state(void)
{
	return custody_state(rig.custody);
}

/* Both keys in memory, proved now. */
static void
warm_up(void)
{
	ck_assert_int_eq(get_now(&rig, key1, ERR_OK), ERR_OK);
	ck_assert_int_eq(get_now(&rig, key2, ERR_OK), ERR_OK);
	ck_assert_int_eq(state(), CUSTODY_FRESH);
	rig.loads = 0;
}

/* --- fresh --- */

START_TEST(test_bound)
{
	warm_up();
	cacherig_advance(&rig, BOUND - 1);
	ck_assert_int_eq(get_warm(&rig, key1), ERR_OK);
	cacherig_advance(&rig, 1);
	ck_assert_int_eq(get_now(&rig, key1, ERR_OK), ERR_OK);
	ck_assert_uint_eq(rig.loads, 1);
	cacherig_advance(&rig, BOUND - 1); /* the load proved its own key alone */
	ck_assert_int_eq(get_warm(&rig, key1), ERR_OK);
	ck_assert_int_eq(get_now(&rig, key2, ERR_OK), ERR_OK);
	ck_assert_uint_eq(rig.loads, 2);
}
END_TEST

/* A proof is as old as the beginning of its call. */
START_TEST(test_slow_load)
{
	struct get t = {.done = false};

	get_start(&t, &rig, key1);
	cacherig_settle(&rig);
	cacherig_advance(&rig, 20 * NS_PER_S);
	cacherig_answer(&rig, ERR_OK);
	get_end(&t);
	cacherig_advance(&rig, BOUND - 20 * NS_PER_S - 1);
	ck_assert_int_eq(get_warm(&rig, key1), ERR_OK);
	cacherig_advance(&rig, 1);
	ck_assert_int_eq(get_now(&rig, key1, ERR_NO_OBJECT), ERR_NO_OBJECT);
	/* slower than the bound is no proof: it is asked again, and that is all there is to it */
	rig.terms.ride_out_ns = _i ? RIDE_OUT : 0;
	get_start(&t, &rig, key2);
	cacherig_settle(&rig);
	cacherig_advance(&rig, BOUND);
	verdict(ERR_VAULT_DOWN);
	ck_assert_int_eq(state(), CUSTODY_RIDING_OUT);
	cacherig_answer(&rig, ERR_OK);
	ck_assert_int_eq(state(), CUSTODY_RIDING_OUT);
	ck_assert(!t.done);
	cacherig_settle(&rig);
	if (!_i) {
		cacherig_advance(&rig, BOUND);
		cacherig_answer(&rig, ERR_OK);
		ck_assert(t.done && t.e == ERR_DEADLINE);
		return;
	}
	ck_assert(t.done && t.g.ridden_out); /* on the outage that was met */
	get_end(&t);
	cacherig_answer(&rig, ERR_OK);
}
END_TEST

/* --- what slept: a process that was stopped, a machine suspended, or one that was paused --- */

static void
sleep_long(int how)
{
	if (how == 0)
		clock_test_advance(RIDE_OUT / 2);
	else
		clock_test_jump(RIDE_OUT / 2, how == 1 ? RIDE_OUT / 2 : 0);
}

/* Whatever a load under way brings is of before: nobody is served on it, and it is asked again. */
START_TEST(test_load_slept)
{
	static const enum err ends[] = {ERR_OK, ERR_VAULT_DOWN, ERR_DEADLINE};
	struct get a = {.done = false}, b = {.done = false};

	warm_up();
	cacherig_advance(&rig, BOUND);
	get_start(&a, &rig, key1);
	get_start(&b, &rig, cacherig_object(&rig, "east", 3)); /* not in memory */
	cacherig_settle(&rig);
	ck_assert_uint_eq(rig.loads, 2);
	sleep_long(_i / 3);
	cacherig_answer(&rig, ends[_i % 3]); /* heard before the timers are looked at */
	ck_assert(!a.done);
	cacherig_answer(&rig, ends[_i % 3]);
	ck_assert(!b.done);
	cacherig_settle(&rig);
	ck_assert(!a.done && !b.done);
	ck_assert_uint_eq(rig.loads, 4);
	cacherig_answer(&rig, ERR_NO_ROOT_KEY);
	cacherig_settle(&rig);
	ck_assert(a.done && a.e == ERR_NO_ROOT_KEY);
	ck_assert(b.done && b.e == ERR_NO_ROOT_KEY);
	ck_assert_uint_eq(cacherig_kept(&rig), 0);
	cacherig_answer(&rig, ERR_OK);
}
END_TEST

/* Nor is its own waiting a silence of the vault's; and it joins no load that slept. */
START_TEST(test_patience_slept)
{
	struct get t = {.done = false};
	struct vault_unwrap *slept;

	warm_up();
	cacherig_advance(&rig, BOUND);
	get_start(&t, &rig, key1);
	cacherig_settle(&rig);
	slept = CONTAINER_OF(rig.pending.next, struct vault_unwrap, wait.link);
	sleep_long(_i);
	cacherig_advance(&rig, CACHE_PATIENCE_NS);
	ck_assert(!t.done);
	ck_assert_uint_eq(rig.loads, 2);
	cacherig_advance(&rig, CACHE_PATIENCE_NS - 1);
	ck_assert(!t.done);
	cacherig_advance(&rig, 1);
	ck_assert(t.done && t.e == ERR_OK && t.g.ridden_out); /* this is one */
	get_end(&t);
	cacherig_finish(&rig, slept, ERR_OK);
	cacherig_answer(&rig, ERR_OK);
	ck_assert_int_eq(get_warm(&rig, key1), ERR_OK);
}
END_TEST

/* With hardly any time left there is nothing to conclude from. */
START_TEST(test_deadline_slept)
{
	struct get t = {.done = false};

	warm_up();
	cacherig_advance(&rig, BOUND);
	t.g.vault_terms.deadline = clock_now() + NS_PER_S;
	get_start(&t, &rig, key1);
	cacherig_settle(&rig);
	sleep_long(_i);
	if (_i > 0) {
		cacherig_advance(&rig, NS_PER_S - 1);
		cacherig_answer(&rig, ERR_VAULT_DOWN);
		cacherig_settle(&rig);
		ck_assert(!t.done);
		cacherig_advance(&rig, 1);
	}
	cacherig_settle(&rig);
	ck_assert(t.done && t.e == ERR_DEADLINE);
	cacherig_answer(&rig, ERR_OK);
	ck_assert_int_eq(get_now(&rig, key1, ERR_OK), ERR_OK);
}
END_TEST

/* A check that slept and then failed is no news of an outage. */
START_TEST(test_outage_slept)
{
	struct get t = {.done = false};
	struct stamp began;

	warm_up();
	cacherig_advance(&rig, BOUND);
	ck_assert(get_rides(&rig, key1, ERR_VAULT_DOWN));
	began = stamp_now();
	sleep_long(_i);
	custody_verdict(
	    rig.custody, &(struct custody_evidence){.e = ERR_VAULT_DOWN, .began = began});
	get_start(&t, &rig, key1);
	cacherig_settle(&rig);
	ck_assert(!t.done);
	cacherig_answer(&rig, ERR_NO_ROOT_KEY);
	cacherig_settle(&rig);
	ck_assert_int_eq(t.e, ERR_NO_ROOT_KEY);
}
END_TEST

START_TEST(test_confirmed)
{
	struct stamp began, later;

	warm_up();
	cacherig_advance(&rig, 30 * NS_PER_S);
	began = stamp_now();
	cacherig_advance(&rig, 10 * NS_PER_S);
	later = stamp_now();
	custody_confirmed(rig.custody, &began);
	cacherig_advance(&rig, 50 * NS_PER_S - 1);
	ck_assert_int_eq(get_warm(&rig, key1), ERR_OK);
	ck_assert_int_eq(get_warm(&rig, key2), ERR_OK);
	cacherig_advance(&rig, 1);
	ck_assert_int_eq(get_now(&rig, key1, ERR_OK), ERR_OK);
	ck_assert_uint_eq(rig.loads, 1);
	custody_confirmed(rig.custody, &later); /* the older one, told late, takes nothing back */
	custody_confirmed(rig.custody, &began);
	cacherig_advance(&rig, 10 * NS_PER_S - 1);
	ck_assert_int_eq(get_warm(&rig, key2), ERR_OK);
}
END_TEST

/* A virtual machine was paused: its own clocks did not see it, the wall clock did. */
START_TEST(test_clock_jump)
{
	rig.terms.ride_out_ns = _i ? RIDE_OUT : 0;
	warm_up();
	clock_test_jump(BOUND, 0);
	ck_assert_int_eq(get_warm(&rig, key1), ERR_OK);
	clock_test_jump(NS_PER_MS, 0);
	ck_assert_int_eq(get_now(&rig, key1, ERR_OK), ERR_OK);
	ck_assert_uint_eq(rig.loads, 1);
	clock_test_jump(-BOUND, 0); /* a step back lends no time */
	cacherig_advance(&rig, BOUND);
	ck_assert_int_eq(get_now(&rig, key1, ERR_OK), ERR_OK);
	clock_test_jump(BOUND, BOUND); /* suspended */
	ck_assert_int_eq(get_now(&rig, key1, ERR_OK), ERR_OK);
	ck_assert_uint_eq(rig.loads, 3);
	/* riding out counts the time that passed outside, and asks first */
	clock_test_jump(RIDE_OUT - NS_PER_MS, 0);
	ck_assert_int_eq(get_rides(&rig, key1, ERR_VAULT_DOWN), _i);
	ck_assert_uint_eq(rig.loads, 4);
	clock_test_jump(NS_PER_MS, 0);
	ck_assert(!get_rides(&rig, key1, ERR_VAULT_DOWN));
	ck_assert_int_eq(state(), CUSTODY_CUT_OFF);
}
END_TEST

START_TEST(test_absurd_clock)
{
	struct stamp never = {0}, s;

	ck_assert_int_eq(stamp_age(&never, BOUND), INT64_MAX);
	clock_test_jump(INT64_C(7000000000000000000), 0);
	s = stamp_now();
	ck_assert_int_eq(stamp_age(&s, BOUND), 0);
	clock_test_jump(INT64_C(-7000000000000000000), 0);
	clock_test_jump(INT64_C(-7000000000000000000), 0);
	ck_assert_int_eq(stamp_age(&s, BOUND), 0);
	s = stamp_now();
	clock_test_jump(INT64_C(7000000000000000000), 0);
	clock_test_jump(INT64_C(7000000000000000000), 0);
	ck_assert_int_eq(stamp_age(&s, BOUND), INT64_MAX);
}
END_TEST

/* After a pause the state says "away", but that is no news: the key manager is asked first. */
START_TEST(test_jump_while_riding)
{
	struct get t = {.done = false};

	warm_up();
	cacherig_advance(&rig, BOUND);
	ck_assert(get_rides(&rig, key1, ERR_VAULT_DOWN));
	clock_test_jump(2 * BOUND, 0);
	get_start(&t, &rig, key1);
	cacherig_settle(&rig);
	ck_assert(!t.done);
	cacherig_answer(&rig, ERR_NO_ROOT_KEY);
	cacherig_settle(&rig);
	ck_assert_int_eq(t.e, ERR_NO_ROOT_KEY);
}
END_TEST

/* --- riding out --- */

START_TEST(test_ride_out)
{
	static const enum err outages[] = {ERR_VAULT_DOWN, ERR_DEADLINE, ERR_STORAGE_DOWN};
	int64_t gets = metric_get(METRIC_RIDE_OUT_GETS_TOTAL);
	int64_t times = metric_get(METRIC_CUSTODY_RIDING_OUT_TOTAL), since = clock_wall_ms();
	char text[CUSTODY_TEXT_MAX];

	warm_up();
	cacherig_advance(&rig, BOUND - 1);
	ck_assert_int_eq(custody_proved_ago(rig.custody), BOUND - 1); /* no check yet: since it is */
	verdict(outages[_i]); /* within the bound it is a blip */
	ck_assert_int_eq(state(), CUSTODY_FRESH);
	cacherig_advance(&rig, 1);
	ck_assert(get_rides(&rig, key1, outages[_i]));
	ck_assert_int_eq(state(), CUSTODY_RIDING_OUT);
	ck_assert_int_eq(custody_since(rig.custody), since);
	ck_assert_int_eq(custody_until(rig.custody, RIDE_OUT), since + RIDE_OUT / NS_PER_MS);
	custody_text(rig.custody, RIDE_OUT, text);
	ck_assert_str_eq(text,
	    "riding out since 2025-10-09T08:53:20.000Z until 2025-10-09T09:53:20.000Z");
	ck_assert_int_eq(metric_get(METRIC_CUSTODY_RIDING_OUT_TOTAL) - times, 1);
	cacherig_advance(&rig, RIDE_OUT - BOUND - 1);
	ck_assert(get_rides(&rig, key1, outages[_i]));
	ck_assert_int_eq(state(), CUSTODY_RIDING_OUT);
	ck_assert_int_eq(metric_get(METRIC_RIDE_OUT_GETS_TOTAL) - gets, 2);
	cacherig_advance(&rig, 1);
	ck_assert(!get_rides(&rig, key1, outages[_i]));
	ck_assert_int_eq(state(), CUSTODY_CUT_OFF);
	ck_assert_int_eq(custody_until(rig.custody, RIDE_OUT), 0);
	ck_assert_uint_eq(cacherig_kept(&rig), 0);
	ck_assert_int_eq(get_now(&rig, key1, ERR_OK), ERR_OK); /* back */
	ck_assert_int_eq(state(), CUSTODY_FRESH);
}
END_TEST

/* Confirmations count for riding out as well; and keys that nobody asks for go by themselves. */
START_TEST(test_ride_out_since_check)
{
	struct stamp began;

	warm_up();
	cacherig_advance(&rig, RIDE_OUT - 1);
	began = stamp_now();
	cacherig_advance(&rig, BOUND);
	custody_confirmed(rig.custody, &began);
	ck_assert_uint_eq(cacherig_kept(&rig), 0); /* too late for these */
	warm_up();
	cacherig_advance(&rig, NS_PER_S);
	began = stamp_now();
	custody_confirmed(rig.custody, &began);
	cacherig_advance(&rig, RIDE_OUT - 100 * NS_PER_MS - 1); /* the sweep may come a bit early */
	ck_assert(get_rides(&rig, key1, ERR_VAULT_DOWN));
	cacherig_advance(&rig, NS_PER_S);
	ck_assert_uint_eq(cacherig_kept(&rig), 0);
}
END_TEST

START_TEST(test_strict)
{
	rig.terms.ride_out_ns = 0;
	warm_up();
	cacherig_advance(&rig, BOUND - 1);
	ck_assert_int_eq(get_warm(&rig, key1), ERR_OK);
	cacherig_advance(&rig, 1);
	ck_assert(!get_rides(&rig, key1, ERR_VAULT_DOWN));
	cacherig_advance(&rig, NS_PER_S);
	ck_assert_uint_eq(cacherig_kept(&rig), 0); /* nothing could serve the other either */
	/* the term can come with a reload */
	rig.terms.ride_out_ns = RIDE_OUT;
	warm_up();
	rig.terms.ride_out_ns = 0;
	ck_assert_int_eq(get_warm(&rig, key1), ERR_OK);
	cacherig_advance(&rig, BOUND);
	ck_assert_uint_eq(cacherig_kept(&rig), 32);
}
END_TEST

/*
 * Asleep no timer goes off: what is expired when the machine wakes goes at once, and what may still
 * be ridden out stays.
 */
START_TEST(test_expired_asleep)
{
	warm_up();
	cacherig_advance(&rig, 10 * NS_PER_S);
	clock_test_jump(RIDE_OUT / 2, _i ? RIDE_OUT / 2 : 0);
	cacherig_advance(&rig, NS_PER_S);
	ck_assert_uint_eq(cacherig_kept(&rig), 64);
	clock_test_jump(RIDE_OUT / 2, _i ? RIDE_OUT / 2 : 0);
	cacherig_advance(&rig, NS_PER_S);
	ck_assert_uint_eq(cacherig_kept(&rig), 0);
	rig.terms.ride_out_ns = 0;
	warm_up();
	clock_test_jump(BOUND + NS_PER_MS, _i ? BOUND + NS_PER_MS : 0);
	cacherig_advance(&rig, NS_PER_S);
	ck_assert_uint_eq(cacherig_kept(&rig), 0);
}
END_TEST

/* A load that took so long that nothing can be served on it leaves nothing behind. */
START_TEST(test_expired_load)
{
	struct get t = {.done = false};

	rig.terms.ride_out_ns = 0;
	get_start(&t, &rig, key1);
	cacherig_settle(&rig);
	cacherig_advance(&rig, BOUND);
	cacherig_answer(&rig, ERR_OK);
	ck_assert_uint_eq(cacherig_kept(&rig), 0);
	wait_cancel(&t.g.wait);
}
END_TEST

/* There was no memory for the timer: a key that lives longer does not make this one live as long. */
START_TEST(test_expired_without_timer)
{
	rig.terms.ride_out_ns = 0;
	ck_assert_int_eq(get_now(&rig, key1, ERR_OK), ERR_OK);
	timer_clear(rig.loop, &rig.cache->sweep);
	rig.terms.ride_out_ns = RIDE_OUT;
	ck_assert_int_eq(get_now(&rig, key2, ERR_OK), ERR_OK);
	cacherig_advance(&rig, BOUND);
	ck_assert_uint_eq(cacherig_kept(&rig), 32);
}
END_TEST

/* Keys whose times are hardly apart cost one walk through the cache, and none lives longer for it. */
START_TEST(test_expire_together)
{
	ck_assert_int_eq(get_now(&rig, key1, ERR_OK), ERR_OK);
	cacherig_advance(&rig, 100 * NS_PER_MS);
	ck_assert_int_eq(get_now(&rig, key2, ERR_OK), ERR_OK);
	cacherig_advance(&rig, 1);
	ck_assert_int_eq(get_now(&rig, cacherig_object(&rig, "east", 3), ERR_OK), ERR_OK);
	cacherig_advance(&rig, RIDE_OUT - 100 * NS_PER_MS - 2);
	ck_assert_uint_eq(cacherig_kept(&rig), 96);
	cacherig_advance(&rig, 1);
	ck_assert_uint_eq(cacherig_kept(&rig), 32);
	cacherig_advance(&rig, 100 * NS_PER_MS + 1);
	ck_assert_uint_eq(cacherig_kept(&rig), 0);
}
END_TEST

/* Other terms hold for what is in memory, too, and need nobody to ask for it. */
START_TEST(test_terms_change)
{
	struct cache_terms strict = {BOUND, 2 * BOUND}, none = {BOUND, 0};
	struct object *west = cacherig_object(&rig, "west", 1);

	warm_up();
	ck_assert_int_eq(get_now(&rig, west, ERR_OK), ERR_OK);
	cacherig_advance(&rig, BOUND);
	cache_set_terms(rig.cache, "east", &strict);
	cacherig_advance(&rig, BOUND - 1);
	ck_assert_uint_eq(cacherig_kept(&rig), 96);
	cacherig_advance(&rig, 1);
	ck_assert_uint_eq(cacherig_kept(&rig), 32);
	warm_up();
	cacherig_advance(&rig, BOUND + NS_PER_S);
	cache_set_terms(rig.cache, "east", &none);
	ck_assert_uint_eq(cacherig_kept(&rig), 32); /* at once */
}
END_TEST

/* Never heard of: nothing to ride on. */
START_TEST(test_cold_outage)
{
	char text[CUSTODY_TEXT_MAX];

	custody_text(rig.custody, RIDE_OUT, text);
	ck_assert_str_eq(text, "not asked yet since 2025-10-09T08:53:20.000Z");
	ck_assert(!get_rides(&rig, key1, ERR_VAULT_DOWN));
	ck_assert_int_eq(state(), CUSTODY_CUT_OFF);
	ck_assert_int_eq(custody_since(rig.custody), clock_wall_ms());
	ck_assert_int_eq(get_now(&rig, key1, ERR_OK), ERR_OK);
	ck_assert_int_eq(state(), CUSTODY_FRESH);
}
END_TEST

/* The vault hangs: memory serves when patience or the waiter's time is over. */
START_TEST(test_patience)
{
	struct get a = {.done = false}, b = {.done = false}, c = {.done = false};

	warm_up();
	cacherig_advance(&rig, BOUND);
	b.g.vault_terms.deadline = clock_now() + NS_PER_S;
	c.g.vault_terms.deadline = clock_now() + 3 * NS_PER_S;
	get_start(&a, &rig, key1);
	get_start(&b, &rig, key1);
	get_start(&c, &rig, cacherig_object(&rig, "east", 3)); /* not in memory */
	cacherig_settle(&rig);
	cacherig_advance(&rig, NS_PER_S);
	ck_assert(b.done && b.e == ERR_OK && b.g.ridden_out && !a.done);
	cacherig_advance(&rig, NS_PER_S - 1);
	ck_assert(!a.done);
	cacherig_advance(&rig, 1);
	ck_assert(a.done && a.e == ERR_OK && a.g.ridden_out && !c.done);
	cacherig_advance(&rig, NS_PER_S);
	ck_assert(c.done && c.e == ERR_DEADLINE);
	get_end(&a);
	get_end(&b);
	ck_assert_uint_eq(rig.loads, 2);
	cacherig_answer(&rig, ERR_OK); /* the load went on */
	ck_assert_int_eq(get_warm(&rig, key1), ERR_OK);
	cacherig_answer(&rig, ERR_OK);
}
END_TEST

/* In an outage that is known, nobody waits, and one load looks whether it is over. */
START_TEST(test_known_outage)
{
	struct get t[4] = {{.done = false}};

	warm_up();
	cacherig_advance(&rig, BOUND);
	ck_assert(get_rides(&rig, key1, ERR_VAULT_DOWN));
	rig.loads = 0;
	for (size_t i = 0; i < 4; i++)
		get_start(&t[i], &rig, i < 2 ? key1 : key2);
	cacherig_settle(&rig);
	for (size_t i = 0; i < 4; i++) {
		ck_assert(t[i].done && t[i].e == ERR_OK && t[i].g.ridden_out);
		get_end(&t[i]);
	}
	ck_assert_uint_eq(rig.loads, 1);
	cacherig_answer(&rig, ERR_OK);
	ck_assert_int_eq(state(), CUSTODY_FRESH);
	ck_assert_int_eq(get_warm(&rig, key1), ERR_OK);
	get_start(&t[0], &rig, key2);
	cacherig_settle(&rig);
	ck_assert(!t[0].done); /* has to be proved again */
	cacherig_answer(&rig, ERR_OK);
	get_end(&t[0]);
}
END_TEST

/* --- refusals --- */

START_TEST(test_wiped)
{
	struct custody_evidence ev = {.e = ERR_NO_ROOT_KEY, .suspended = _i};
	enum metric m = _i ? METRIC_CUSTODY_SUSPENDED_TOTAL : METRIC_CUSTODY_REVOKED_TOTAL;
	int64_t times = metric_get(m), wipes = metric_get(METRIC_CACHE_WIPES_TOTAL);
	struct object *key3 = cacherig_object(&rig, "east", 3);
	struct get waiter = {.done = false};
	struct stamp old;

	warm_up();
	old = stamp_now();
	get_start(&waiter, &rig, key3);
	cacherig_settle(&rig);
	custody_verdict(rig.custody, &ev);
	ck_assert_uint_eq(cacherig_kept(&rig), 0);
	ck_assert_int_eq(state(), _i ? CUSTODY_SUSPENDED : CUSTODY_REVOKED);
	ck_assert(!waiter.done);
	cacherig_settle(&rig);
	ck_assert(waiter.done && waiter.e == ERR_NO_ROOT_KEY);
	cacherig_answer(&rig, ERR_OK); /* the load began before */
	custody_confirmed(rig.custody, &old);
	cacherig_advance(&rig, 2 * BOUND);
	verdict(ERR_VAULT_DOWN); /* silence after a refusal changes nothing */
	ck_assert_uint_eq(cacherig_kept(&rig), 0);
	ck_assert_int_eq(state(), _i ? CUSTODY_SUSPENDED : CUSTODY_REVOKED);
	ck_assert_int_eq(get_now(&rig, key1, ERR_VAULT_DOWN), ERR_VAULT_DOWN);
	custody_verdict(rig.custody, &ev);
	ck_assert_int_eq(metric_get(m) - times, 1);
	ck_assert_int_eq(metric_get(METRIC_CACHE_WIPES_TOTAL) - wipes, 1);
	/* restored: works again by itself, each key by its own proof */
	ck_assert_int_eq(get_now(&rig, key1, ERR_OK), ERR_OK);
	ck_assert_int_eq(state(), CUSTODY_FRESH);
	custody_confirmed(rig.custody, &old);
	ck_assert_int_eq(get_now(&rig, key2, ERR_NO_ROOT_KEY), ERR_NO_ROOT_KEY);
	ck_assert_uint_eq(cacherig_kept(&rig), 0);
}
END_TEST

/* What a load meets is told as exactly as what a check does. */
START_TEST(test_load_finds_it_disabled)
{
	char text[CUSTODY_TEXT_MAX];

	warm_up();
	rig.suspended = true;
	ck_assert_int_eq(get_now(&rig, cacherig_object(&rig, "east", 3), ERR_NO_ROOT_KEY), ERR_NO_ROOT_KEY);
	ck_assert_int_eq(state(), CUSTODY_SUSPENDED);
	custody_text(rig.custody, RIDE_OUT, text);
	ck_assert_str_eq(text,
	    "suspended since 2025-10-09T08:53:20.000Z: the root key is disabled or sealed: its "
	    "keys were wiped from memory");
	rig.suspended = false;
	ck_assert_int_eq(get_now(&rig, key1, ERR_NO_ROOT_KEY), ERR_NO_ROOT_KEY);
	ck_assert_int_eq(state(), CUSTODY_REVOKED);
}
END_TEST

/* A check of before a refusal proves nothing after it, not even when the clocks favour it. */
START_TEST(test_check_of_before)
{
	struct stamp old = stamp_now();

	clock_test_jump(-2 * BOUND, 0);
	verdict(ERR_NO_ROOT_KEY);
	ck_assert_int_eq(get_now(&rig, key1, ERR_OK), ERR_OK);
	custody_confirmed(rig.custody, &old);
	clock_test_jump(2 * BOUND, 0); /* the load looks old now, and that check does not */
	ck_assert_int_eq(get_now(&rig, key1, ERR_NO_OBJECT), ERR_NO_OBJECT);
}
END_TEST

/* A load finds out: all others of its custody fail with it, those of another are served on. */
START_TEST(test_load_finds_out)
{
	struct custody_params p = {.name = "other", .bound_ns = BOUND};
	struct custody *mine = rig.custody, *other = custody_new(&p);
	struct object *west = cacherig_object(&rig, "west", 1);
	struct get a = {.done = false}, b = {.done = false};

	rig.custody = other;
	ck_assert_int_eq(get_now(&rig, west, ERR_OK), ERR_OK);
	rig.custody = mine;
	get_start(&a, &rig, key1);
	get_start(&b, &rig, key2);
	cacherig_settle(&rig);
	cacherig_answer(&rig, ERR_NO_ROOT_KEY);
	cacherig_settle(&rig);
	ck_assert(a.e == ERR_NO_ROOT_KEY && b.done && b.e == ERR_NO_ROOT_KEY);
	cacherig_answer(&rig, ERR_OK);
	ck_assert_int_eq(state(), CUSTODY_REVOKED);
	ck_assert_uint_eq(cacherig_kept(&rig), 32);
	rig.custody = other;
	ck_assert_int_eq(get_warm(&rig, west), ERR_OK);
	custody_unref(mine);
}
END_TEST

START_TEST(test_own_root_keys)
{
	struct custody_params p = {.name = "local", .bound_ns = BOUND, .own_root_keys = true};

	custody_unref(rig.custody);
	rig.custody = custody_new(&p);
	warm_up();
	cacherig_advance(&rig, BOUND);
	ck_assert(!get_rides(&rig, key1, ERR_NO_ROOT_KEY));
	ck_assert_uint_eq(cacherig_kept(&rig), 32);
	ck_assert_int_eq(state(), CUSTODY_FRESH);
}
END_TEST

/* A key under another root key is proved by its own loads, and tells of nobody else's. */
START_TEST(test_another_root_key)
{
	struct stamp began;

	warm_up();
	rig.apart = true;
	cacherig_advance(&rig, BOUND);
	ck_assert_int_eq(get_now(&rig, key1, ERR_OK), ERR_OK);
	cacherig_advance(&rig, BOUND - 1);
	began = stamp_now();
	custody_confirmed(rig.custody, &began);
	ck_assert_int_eq(get_warm(&rig, key1), ERR_OK);
	cacherig_advance(&rig, 1);
	ck_assert_int_eq(get_warm(&rig, key2), ERR_OK);
	ck_assert_uint_eq(rig.loads, 1);
	ck_assert(!get_rides(&rig, key1, ERR_NO_ROOT_KEY)); /* it was asked for */
	ck_assert_uint_eq(rig.loads, 2);
	ck_assert_int_eq(state(), CUSTODY_FRESH);
	ck_assert_uint_eq(cacherig_kept(&rig), 32);
	ck_assert_int_eq(get_warm(&rig, key2), ERR_OK);
	verdict(ERR_NO_ROOT_KEY);
	ck_assert_int_eq(get_now(&rig, key1, ERR_OK), ERR_OK);
	ck_assert_int_eq(state(), CUSTODY_REVOKED); /* that the other is there is no news of it */
	rig.apart = false; /* rewrapped */
	cacherig_advance(&rig, BOUND);
	ck_assert_int_eq(get_now(&rig, key1, ERR_OK), ERR_OK);
	ck_assert_int_eq(state(), CUSTODY_FRESH);
	cacherig_advance(&rig, BOUND);
	began = stamp_now();
	custody_confirmed(rig.custody, &began);
	ck_assert_int_eq(get_warm(&rig, key1), ERR_OK);
}
END_TEST

/* What the other root key proved is no proof any more; who waits is served all the same. */
START_TEST(test_moved)
{
	struct object *key3 = cacherig_object(&rig, "east", 3);
	struct get waiter = {.done = false};

	warm_up();
	get_start(&waiter, &rig, key3);
	cacherig_settle(&rig);
	custody_moved(rig.custody);
	ck_assert_uint_eq(cacherig_kept(&rig), 0);
	ck_assert_int_eq(state(), CUSTODY_FRESH);
	cacherig_answer(&rig, ERR_OK);
	ck_assert(waiter.done && waiter.e == ERR_OK);
	get_end(&waiter);
	ck_assert_uint_eq(cacherig_kept(&rig), 0);
	ck_assert_int_eq(get_now(&rig, key1, ERR_OK), ERR_OK);
	ck_assert_int_eq(get_warm(&rig, key1), ERR_OK);
}
END_TEST

/* Three refusals over a third of the bound. */
static const struct {
	int64_t at_s[4]; /* after the first */
	int count;
	bool wiped;
} denials[] = {
    {{0, 20}, 2, false},
    {{0, 1800}, 2, false},
    {{0, 10, 19}, 3, false},
    {{0, 0, 20}, 3, true},
    {{0, 10, 20}, 3, true},
    {{0, 1, 2, 20}, 4, true},
    {{0, 1, 2, 3}, 4, false},
};

START_TEST(test_denials)
{
	struct stamp confirm;
	int64_t t = 0;

	warm_up();
	for (int i = 0; i < denials[_i].count; i++) {
		cacherig_advance(&rig, (denials[_i].at_s[i] - t) * NS_PER_S);
		t = denials[_i].at_s[i];
		confirm = stamp_now(); /* before it: does not take it back */
		verdict(ERR_VAULT_DENIED);
		if (denials[_i].wiped && i == denials[_i].count - 1)
			break;
		custody_confirmed(rig.custody, &confirm);
		ck_assert_int_eq(state(), CUSTODY_FRESH);
		ck_assert_int_eq(get_warm(&rig, key1), ERR_OK);
	}
	ck_assert_int_eq(state() == CUSTODY_WITHDRAWN, denials[_i].wiped);
	ck_assert_uint_eq(cacherig_kept(&rig), denials[_i].wiped ? 0 : 64);
	ck_assert_int_eq(get_now(&rig, key1, ERR_OK), ERR_OK);
	ck_assert_int_eq(state(), CUSTODY_FRESH);
}
END_TEST

START_TEST(test_success_between_denials)
{
	char text[CUSTODY_TEXT_MAX];

	warm_up();
	for (int i = 0; i < 20; i++) {
		verdict(ERR_VAULT_DENIED);
		cacherig_advance(&rig, 25 * NS_PER_S);
		verdict(ERR_VAULT_DENIED);
		custody_text(rig.custody, RIDE_OUT, text);
		ck_assert_ptr_nonnull(strstr(text, ", 2 refusals of access"));
		verdict(ERR_OK);
		ck_assert_int_eq(state(), CUSTODY_FRESH);
	}
	ck_assert_uint_eq(cacherig_kept(&rig), 64);
}
END_TEST

/* A get that meets a refusal fails; nobody rides out on silence that follows one. */
START_TEST(test_denial_is_not_ridden_out)
{
	struct get t = {.done = false};

	warm_up();
	cacherig_advance(&rig, BOUND);
	t.g.vault_terms.deadline = clock_now() + 5 * NS_PER_S;
	ck_assert(!get_rides(&rig, key1, ERR_VAULT_DENIED));
	ck_assert_uint_eq(cacherig_kept(&rig), 64);
	get_start(&t, &rig, key1);
	cacherig_settle(&rig);
	cacherig_advance(&rig, 4 * NS_PER_S);
	ck_assert(!t.done);
	cacherig_advance(&rig, NS_PER_S);
	ck_assert(t.done && t.e == ERR_DEADLINE);
	cacherig_answer(&rig, ERR_VAULT_DOWN);
	ck_assert(get_rides(&rig, key1, ERR_VAULT_DOWN)); /* an outage is one, though */
	ck_assert_int_eq(state(), CUSTODY_RIDING_OUT);
	t = (struct get){.done = false};
	get_start(&t, &rig, key1);
	cacherig_settle(&rig);
	ck_assert(!t.done); /* not at once, as if nothing but the outage were known */
	cacherig_answer(&rig, ERR_VAULT_DENIED);
	ck_assert_int_eq(t.e, ERR_VAULT_DENIED);
}
END_TEST

START_TEST(test_withdrawn_load_fails)
{
	struct get t = {.done = false};

	warm_up();
	cacherig_advance(&rig, BOUND);
	verdict(ERR_VAULT_DENIED);
	verdict(ERR_VAULT_DENIED);
	get_start(&t, &rig, key1);
	cacherig_settle(&rig);
	cacherig_advance(&rig, BOUND / 3);
	verdict(ERR_VAULT_DENIED);
	cacherig_settle(&rig);
	ck_assert(t.done && t.e == ERR_VAULT_DENIED);
	ck_assert_uint_eq(cacherig_kept(&rig), 0);
	ck_assert_int_eq(state(), CUSTODY_WITHDRAWN);
	cacherig_answer(&rig, ERR_OK);
	ck_assert_uint_eq(cacherig_kept(&rig), 0);
	ck_assert_int_eq(state(), CUSTODY_WITHDRAWN);
}
END_TEST

/* --- about one key --- */

START_TEST(test_one_key)
{
	static const enum err about[] = {ERR_NO_OBJECT, ERR_INTEGRITY};

	warm_up();
	cacherig_advance(&rig, BOUND);
	ck_assert(!get_rides(&rig, key1, about[_i]));
	ck_assert_uint_eq(cacherig_kept(&rig), 32);
	ck_assert_int_eq(state(), CUSTODY_FRESH);
	ck_assert(!get_rides(&rig, key1, ERR_VAULT_DOWN)); /* there is nothing to ride on */
	ck_assert(get_rides(&rig, key2, ERR_VAULT_DOWN));
}
END_TEST

START_TEST(test_other_bytes)
{
	int64_t alarms = metric_get(METRIC_INTEGRITY_ALARMS_TOTAL);
	struct get t = {.done = false};

	warm_up();
	cacherig_advance(&rig, BOUND);
	rig.other_bytes = true;
	get_start(&t, &rig, key1);
	cacherig_settle(&rig);
	cacherig_answer(&rig, ERR_OK);
	ck_assert_int_eq(t.e, ERR_INTEGRITY);
	ck_assert_int_eq(metric_get(METRIC_INTEGRITY_ALARMS_TOTAL) - alarms, 1);
	ck_assert_uint_eq(cacherig_kept(&rig), 32);
}
END_TEST

/* What goes wrong here says nothing about the key manager, and is not ridden out. */
START_TEST(test_no_evidence)
{
	static const enum err own[] = {
	    ERR_NO_MEMORY, ERR_NO_SECURE_MEMORY, ERR_CRYPTO, ERR_CANCELLED};

	warm_up();
	cacherig_advance(&rig, 2 * BOUND);
	ck_assert(!get_rides(&rig, key1, own[_i]));
	ck_assert_int_eq(state(), CUSTODY_FRESH);
	ck_assert_uint_eq(cacherig_kept(&rig), 64);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("custody");
	TCase *t = tcase_create("custody");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_bound);
	tcase_add_loop_test(t, test_slow_load, 0, 2);
	tcase_add_loop_test(t, test_load_slept, 0, 9);
	tcase_add_loop_test(t, test_patience_slept, 0, 3);
	tcase_add_loop_test(t, test_deadline_slept, 0, 3);
	tcase_add_loop_test(t, test_outage_slept, 0, 3);
	tcase_add_test(t, test_confirmed);
	tcase_add_loop_test(t, test_clock_jump, 0, 2);
	tcase_add_test(t, test_absurd_clock);
	tcase_add_test(t, test_jump_while_riding);
	tcase_add_loop_test(t, test_ride_out, 0, 3);
	tcase_add_test(t, test_ride_out_since_check);
	tcase_add_test(t, test_strict);
	tcase_add_loop_test(t, test_expired_asleep, 0, 2);
	tcase_add_test(t, test_expired_load);
	tcase_add_test(t, test_expired_without_timer);
	tcase_add_test(t, test_expire_together);
	tcase_add_test(t, test_terms_change);
	tcase_add_test(t, test_cold_outage);
	tcase_add_test(t, test_patience);
	tcase_add_test(t, test_known_outage);
	tcase_add_loop_test(t, test_wiped, 0, 2);
	tcase_add_test(t, test_load_finds_it_disabled);
	tcase_add_test(t, test_check_of_before);
	tcase_add_test(t, test_load_finds_out);
	tcase_add_test(t, test_own_root_keys);
	tcase_add_test(t, test_another_root_key);
	tcase_add_test(t, test_moved);
	tcase_add_loop_test(t, test_denials, 0, (int)(sizeof(denials) / sizeof(denials[0])));
	tcase_add_test(t, test_success_between_denials);
	tcase_add_test(t, test_denial_is_not_ridden_out);
	tcase_add_test(t, test_withdrawn_load_fails);
	tcase_add_loop_test(t, test_one_key, 0, 2);
	tcase_add_test(t, test_other_bytes);
	tcase_add_loop_test(t, test_no_evidence, 0, 4);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
