/* SPDX-License-Identifier: Apache-2.0 */
/* What the key manager says, for how long it holds, and what it does to keys in memory. */
#include <string.h>

#include "base/metric.h"
#include "cachecase.h"

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

/* However fast refusals of another root key come, they concern the keys under that one. */
START_TEST(test_another_root_key_refused)
{
	struct stamp began;

	warm_up();
	rig.apart = true;
	cacherig_advance(&rig, BOUND);
	ck_assert_int_eq(get_now(&rig, key1, ERR_OK), ERR_OK);
	cacherig_advance(&rig, BOUND);
	for (int i = 0; i < 20; i++) {
		began = stamp_now();
		ck_assert_int_eq(get_now(&rig, key1, ERR_VAULT_DENIED), ERR_VAULT_DENIED);
		ck_assert(!custody_is_in_doubt(rig.custody));
		ck_assert_uint_eq(cacherig_kept(&rig), i < 2 ? 64 : 32); /* three, over a third of the bound */
		custody_confirmed(rig.custody, &began);
		ck_assert_int_eq(state(), CUSTODY_FRESH);
		ck_assert_int_eq(get_warm(&rig, key2), ERR_OK);
		cacherig_advance(&rig, BOUND / 6);
	}
}
END_TEST

/* One refusal of it may be a blip; the others ride out an outage after it as if there had been none. */
START_TEST(test_another_root_key_in_doubt)
{
	struct get t = {.done = false};

	warm_up();
	rig.apart = true;
	cacherig_advance(&rig, BOUND);
	ck_assert_int_eq(get_now(&rig, key1, ERR_OK), ERR_OK);
	for (int i = 0; i < 5; i++) {
		cacherig_advance(&rig, BOUND);
		ck_assert_int_eq(get_now(&rig, key1, ERR_VAULT_DENIED), ERR_VAULT_DENIED);
		ck_assert_int_eq(get_now(&rig, key1, ERR_OK), ERR_OK);
		ck_assert_uint_eq(cacherig_kept(&rig), 64);
	}
	cacherig_advance(&rig, BOUND);
	ck_assert_int_eq(get_now(&rig, key1, ERR_VAULT_DENIED), ERR_VAULT_DENIED);
	ck_assert(get_rides(&rig, key2, ERR_VAULT_DOWN));
	ck_assert_int_eq(state(), CUSTODY_RIDING_OUT);
	rig.loads = 0;
	get_start(&t, &rig, key2);
	cacherig_settle(&rig);
	ck_assert(t.done && t.e == ERR_OK && t.g.ridden_out); /* at once */
	get_end(&t);
	cacherig_answer(&rig, ERR_VAULT_DOWN);
	t = (struct get){.g.vault_terms.deadline = clock_now() + 5 * NS_PER_S};
	get_start(&t, &rig, key1);
	cacherig_settle(&rig);
	ck_assert(!t.done);
	cacherig_advance(&rig, 4 * NS_PER_S);
	ck_assert(!t.done); /* nor on silence */
	cacherig_answer(&rig, ERR_VAULT_DOWN);
	ck_assert(t.done && t.e == ERR_OK && t.g.ridden_out);
	get_end(&t);
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

/* That the root key of before is gone, which a load asked for before it moved, is no news of the new one. */
START_TEST(test_moved_meanwhile)
{
	static const enum err answers[] = {ERR_NO_ROOT_KEY, ERR_VAULT_DENIED};
	struct get waiter = {.done = false}, later = {.done = false};

	warm_up();
	get_start(&waiter, &rig, cacherig_object(&rig, "east", 3));
	cacherig_settle(&rig);
	custody_moved(rig.custody);
	get_start(&later, &rig, key1);
	cacherig_settle(&rig);
	cacherig_finish(&rig, CONTAINER_OF(rig.pending.prev, struct vault_unwrap, wait.link), ERR_OK);
	get_end(&later);
	cacherig_answer(&rig, answers[_i]);
	ck_assert(waiter.done && waiter.e == answers[_i]);
	ck_assert_int_eq(state(), CUSTODY_FRESH);
	ck_assert(!custody_is_in_doubt(rig.custody));
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
	static const enum err about[] = {ERR_NO_OBJECT, ERR_INTEGRITY, ERR_VAULT_DENIED};

	warm_up();
	cacherig_advance(&rig, BOUND);
	rig.record_only = about[_i] == ERR_VAULT_DENIED;
	ck_assert(!get_rides(&rig, key1, about[_i]));
	rig.record_only = false;
	ck_assert_uint_eq(cacherig_kept(&rig), 32);
	ck_assert_int_eq(state(), CUSTODY_FRESH);
	ck_assert(!get_rides(&rig, key1, ERR_VAULT_DOWN)); /* there is nothing to ride on */
	ck_assert(get_rides(&rig, key2, ERR_VAULT_DOWN));
}
END_TEST

/* However often one record is refused, the others' keys stay, and are ridden out. */
START_TEST(test_one_record_refused)
{
	warm_up();
	cacherig_advance(&rig, BOUND);
	rig.record_only = true;
	for (int i = 0; i < 20; i++) {
		ck_assert_int_eq(get_now(&rig, key1, ERR_VAULT_DENIED), ERR_VAULT_DENIED);
		ck_assert(!custody_is_in_doubt(rig.custody));
		cacherig_advance(&rig, BOUND / 10);
	}
	rig.record_only = false;
	ck_assert_int_eq(state(), CUSTODY_FRESH);
	ck_assert_uint_eq(cacherig_kept(&rig), 32);
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

static void
add_tests(TCase *t)
{
	tcase_add_test(t, test_bound);
	tcase_add_loop_test(t, test_slow_load, 0, 2);
	tcase_add_test(t, test_confirmed);
	tcase_add_loop_test(t, test_wiped, 0, 2);
	tcase_add_test(t, test_load_finds_it_disabled);
	tcase_add_test(t, test_check_of_before);
	tcase_add_test(t, test_load_finds_out);
	tcase_add_test(t, test_own_root_keys);
	tcase_add_test(t, test_another_root_key);
	tcase_add_test(t, test_another_root_key_refused);
	tcase_add_test(t, test_another_root_key_in_doubt);
	tcase_add_test(t, test_moved);
	tcase_add_loop_test(t, test_moved_meanwhile, 0, 2);
	tcase_add_loop_test(t, test_denials, 0, (int)(sizeof(denials) / sizeof(denials[0])));
	tcase_add_test(t, test_success_between_denials);
	tcase_add_test(t, test_denial_is_not_ridden_out);
	tcase_add_test(t, test_withdrawn_load_fails);
	tcase_add_loop_test(t, test_one_key, 0, 3);
	tcase_add_test(t, test_one_record_refused);
	tcase_add_test(t, test_other_bytes);
	tcase_add_loop_test(t, test_no_evidence, 0, 4);
}

int
main(void)
{
	return cachecase_main("custody", add_tests);
}
