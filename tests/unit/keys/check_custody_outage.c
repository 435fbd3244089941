/* SPDX-License-Identifier: Apache-2.0 */
/* The key manager is silent: how long keys in memory are served on, and when they go. */

#include "base/metric.h"
#include "cache_parts.h"
#include "cachecase.h"

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

/* Answers to clients alone prove nothing of what was deleted. */
START_TEST(test_overdue)
{
	struct stamp began = stamp_now();

	ck_assert(!custody_is_overdue(rig.custody));
	warm_up();
	custody_confirmed(rig.custody, &began);
	cacherig_advance(&rig, 2 * BOUND);
	verdict(ERR_OK);
	verdict(ERR_INTERNAL);
	ck_assert(!custody_is_overdue(rig.custody));
	cacherig_advance(&rig, 2);
	verdict(ERR_OK);
	ck_assert_int_eq(state(), CUSTODY_FRESH);
	ck_assert(custody_is_overdue(rig.custody));
	verdict(ERR_NO_ROOT_KEY);
	ck_assert(!custody_is_overdue(rig.custody)); /* said by the state itself */
	began = stamp_now();
	custody_confirmed(rig.custody, &began);
	ck_assert(!custody_is_overdue(rig.custody));
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

static void
add_tests(TCase *t)
{
	tcase_add_loop_test(t, test_ride_out, 0, 3);
	tcase_add_test(t, test_overdue);
	tcase_add_test(t, test_ride_out_since_check);
	tcase_add_test(t, test_strict);
	tcase_add_test(t, test_expired_load);
	tcase_add_test(t, test_expire_together);
	tcase_add_test(t, test_terms_change);
	tcase_add_test(t, test_cold_outage);
	tcase_add_test(t, test_patience);
	tcase_add_test(t, test_known_outage);
}

int
main(void)
{
	return cachecase_main("custody outage", add_tests);
}
