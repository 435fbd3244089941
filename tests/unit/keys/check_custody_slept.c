/* SPDX-License-Identifier: Apache-2.0 */
/* Pauses: of the process, of the machine, and of one that was suspended; and clocks that are set. */

#include "cache_parts.h"
#include "cachecase.h"

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

static void
add_tests(TCase *t)
{
	tcase_add_loop_test(t, test_load_slept, 0, 9);
	tcase_add_loop_test(t, test_patience_slept, 0, 3);
	tcase_add_loop_test(t, test_deadline_slept, 0, 3);
	tcase_add_loop_test(t, test_outage_slept, 0, 3);
	tcase_add_loop_test(t, test_clock_jump, 0, 2);
	tcase_add_test(t, test_absurd_clock);
	tcase_add_test(t, test_jump_while_riding);
	tcase_add_loop_test(t, test_expired_asleep, 0, 2);
}

int
main(void)
{
	return cachecase_main("custody slept", add_tests);
}
