/* SPDX-License-Identifier: Apache-2.0 */
/* The watch on virtual time: when it asks, and what answers and failures mean. */
#include "base/fault.h"
#include "base/metric.h"
#include "watchrig.h"

enum { EVENTS = 200000 };

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

/* A pass ends while there is no memory at all: there is another. */
START_TEST(test_a_pass_without_memory)
{
	struct timer *t = _i == 0 ? &watch->timer : &watch->full_timer;

	fake.news.holds = true;
	timer_set(fake.loop, t, clock_now());
	fake_settle(&fake);
	ck_assert(!timer_armed(t));
	fake.news.holds = false;
	fake_release(&fake);
	fault_test_arm(FAULT_ALLOC, 0, 1000);
	fake_settle(&fake);
	fault_test_clear();
	ck_assert(timer_armed(t));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("watch");
	TCase *t = tcase_create("watch"), *n = tcase_create("new");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(n, watchrig_init_new, watchrig_fini);
	tcase_add_test(n, test_start);
	suite_add_tcase(s, n);
	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, watchrig_init, watchrig_fini);
	tcase_add_test(t, test_jitter);
	tcase_add_test(t, test_bound_changes);
	tcase_add_test(t, test_outage);
	tcase_add_test(t, test_refusals);
	tcase_add_loop_test(t, test_withdrawn_without_traffic, 0, 2);
	tcase_add_test(t, test_refused_is_no_haste);
	tcase_add_loop_test(t, test_root_key, 0, 2);
	tcase_add_loop_test(t, test_moved, 0, 2);
	tcase_add_test(t, test_one_fails);
	tcase_add_test(t, test_record_without_root_key);
	tcase_add_test(t, test_root_key_comes_back);
	tcase_add_test(t, test_slow);
	tcase_add_test(t, test_crowded);
	tcase_add_loop_test(t, test_a_pass_without_memory, 0, 2);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
