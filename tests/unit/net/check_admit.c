/* SPDX-License-Identifier: Apache-2.0 */
/* Whose handshake is next. */
#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/metric.h"

#include "admit.h"

static struct place a, b, c;

static void
wait_in_order(void)
{
	while (admit_next() != NULL) /* of the test before */
		;
	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	memset(&c, 0, sizeof(c));
	clock_test_freeze(1000);
	/* what is known of addresses is forgotten, and a second begins */
	clock_test_advance((ADMIT_GOOD_S + 2) * NS_PER_S - clock_now() % NS_PER_S);
	admit_wait(&a, false);
	clock_test_advance(NS_PER_MS);
	admit_wait(&b, false);
	admit_wait(&c, false);
}

static int64_t
overtaken(void)
{
	return metric_get(METRIC_HANDSHAKES_LATEST_FIRST_TOTAL);
}

START_TEST(those_who_came_first_come_first)
{
	int64_t before = overtaken();

	clock_test_advance(ADMIT_WAIT_MAX - NS_PER_MS); /* not longer than that */
	ck_assert_ptr_eq(admit_next(), &a);
	ck_assert_ptr_eq(admit_next(), &b);
	ck_assert(admit_anybody());
	ck_assert_ptr_eq(admit_next(), &c);
	ck_assert(!admit_anybody());
	ck_assert_ptr_null(admit_next());
	ck_assert_int_eq(overtaken(), before);
}
END_TEST

START_TEST(begun_ones_come_before_all)
{
	struct place begun = {0};

	admit_wait(&begun, true);
	ck_assert_ptr_eq(admit_next(), &begun);
	ck_assert_ptr_eq(admit_next(), &a);
	clock_test_advance(ADMIT_WAIT_MAX + 1);
	admit_wait(&begun, true);
	ck_assert_ptr_eq(admit_next(), &begun);
	ck_assert_ptr_eq(admit_next(), &c);
	ck_assert_ptr_eq(admit_next(), &b);
}
END_TEST

START_TEST(the_latest_first_while_the_oldest_waits_too_long)
{
	int64_t before = overtaken();

	clock_test_advance(ADMIT_WAIT_MAX);
	ck_assert_ptr_eq(admit_next(), &c);
	ck_assert_int_eq(overtaken(), before + 1);
	admit_leave(&a); /* its client left; b has waited for just as long as is well */
	ck_assert_ptr_eq(admit_next(), &b);
	ck_assert_int_eq(overtaken(), before + 1); /* alone, it overtook nobody */
}
END_TEST

START_TEST(a_place_is_kept)
{
	admit_wait(&a, false); /* it has one, and does not go to the end */
	ck_assert_ptr_eq(admit_next(), &a);
	admit_leave(&a);
	admit_leave(&b);
	ck_assert_ptr_eq(admit_next(), &c);
	ck_assert_ptr_null(admit_next());
}
END_TEST

/* --- crowds --- */

enum { FLOOD = 200 };
static struct place flood[FLOOD];

static uint32_t
whose_is(const char *address)
{
	struct sockaddr_storage ss = {0};
	struct sockaddr_in four = {.sin_family = AF_INET};
	struct sockaddr_in6 six = {.sin6_family = AF_INET6};

	if (inet_pton(AF_INET, address, &four.sin_addr) == 1) {
		memcpy(&ss, &four, sizeof(four));
	} else {
		ck_assert_int_eq(inet_pton(AF_INET6, address, &six.sin6_addr), 1);
		memcpy(&ss, &six, sizeof(six));
	}
	return admit_whose(&ss);
}

static bool
share_a_crowd(const char *a_text, const char *b_text)
{
	uint32_t one = whose_is(a_text), other = whose_is(b_text);

	ck_assert_uint_ne(one, other); /* of 32 bits: one of seven million runs may see such a pair */
	return one % ADMIT_CROWDS == other % ADMIT_CROWDS;
}

START_TEST(tells_addresses_apart)
{
	unsigned same = 0;
	char text[32];

	ck_assert_uint_eq(whose_is("192.0.2.1"), whose_is("192.0.2.1"));
	ck_assert_uint_eq(whose_is("2001:db8::1"), whose_is("2001:db8::ffff:1")); /* of one network */
	for (int i = 0; i < 200; i++) {
		snprintf(text, sizeof(text), "192.0.2.%d", i);
		same += share_a_crowd(text, "198.51.100.1");
		snprintf(text, sizeof(text), "::ffff:192.0.2.%d", i);
		same += share_a_crowd(text, "::ffff:198.51.100.1");
		snprintf(text, sizeof(text), "2001:db8:%d::1", i);
		same += share_a_crowd(text, "2001:db8:5555::1");
	}
	ck_assert_uint_lt(same, 12);
}
END_TEST

/* An address that floods does not keep out the others, nor do these keep it out. */
START_TEST(a_crowd_gets_half_of_the_turns)
{
	int64_t crowded = metric_get(METRIC_HANDSHAKES_CROWDED_TOTAL);
	struct place others[20] = {0}, *p;
	unsigned served = 0, turns = 0;

	while (admit_next() != NULL)
		;
	memset(flood, 0, sizeof(flood));
	for (int i = 0; i < FLOOD; i++) {
		flood[i].whose = 7;
		admit_wait(&flood[i], false);
	}
	ck_assert_int_eq(metric_get(METRIC_HANDSHAKES_CROWDED_TOTAL) - crowded, FLOOD - ADMIT_SHARE);
	for (unsigned i = 0; i < 20; i++) {
		others[i].whose = 100 + i;
		admit_wait(&others[i], false);
	}
	for (; served < 20; turns++) {
		p = admit_next();
		ck_assert_ptr_nonnull(p);
		served += p->whose != 7;
	}
	/* the share came first; then both in turn */
	ck_assert_uint_le(turns, 2 * (ADMIT_SHARE + 20));
	ck_assert_uint_ge(turns, 2 * 20);
	while ((p = admit_next()) != NULL)
		turns++;
	ck_assert_uint_eq(turns, FLOOD + 20);
	/* all have left: it has its share again */
	crowded = metric_get(METRIC_HANDSHAKES_CROWDED_TOTAL);
	for (int i = 0; i < ADMIT_SHARE; i++)
		admit_wait(&flood[i], false);
	ck_assert_int_eq(metric_get(METRIC_HANDSHAKES_CROWDED_TOTAL), crowded);
	admit_leave(&flood[0]);
	admit_wait(&flood[0], false);
	ck_assert_int_eq(metric_get(METRIC_HANDSHAKES_CROWDED_TOTAL), crowded);
	while (admit_next() != NULL)
		;
}
END_TEST

/* However often it comes to wait apart. */
START_TEST(a_place_is_one_of_a_crowd_once)
{
	int64_t before = metric_get(METRIC_HANDSHAKES_CROWDED_TOTAL);

	while (admit_next() != NULL)
		;
	memset(flood, 0, sizeof(flood));
	for (int n = 0; n < 3; n++) {
		for (int i = 0; i <= ADMIT_SHARE; i++) {
			flood[i].whose = 7;
			admit_wait(&flood[i], false);
		}
		ck_assert_int_eq(metric_get(METRIC_HANDSHAKES_CROWDED_TOTAL), before + 1);
		while (admit_next() != NULL)
			;
	}
}
END_TEST

/* --- how long the oldest waits --- */

enum { TICKS = 2000, LOAD = 3 }; /* each tick one is served, and LOAD more come */

/*
 * The latest come first, and more come than are served: one with `older' before it, which has all the
 * patience in the world, has its turn within ADMIT_OLDEST_TURN turns for each of these and itself.
 */
START_TEST(the_oldest_has_its_turn)
{
	static const unsigned older_ones[] = {0, 1, 40};
	static struct place others[LOAD * TICKS];
	unsigned older = older_ones[_i], came = 0, bound = ADMIT_OLDEST_TURN * (older + 1), turns = 0;
	struct place patient = {.whose = 9}, *p = NULL;

	while (admit_next() != NULL)
		;
	memset(others, 0, sizeof(others));
	for (unsigned i = 0; i < LOAD * TICKS; i++)
		others[i].whose = 100 + i; /* nobody's share is used up */
	for (; came < older; came++)
		admit_wait(&others[came], false);
	admit_wait(&patient, false);
	clock_test_advance(ADMIT_WAIT_MAX + 1);
	for (; p != &patient; turns++) {
		ck_assert_uint_lt(turns, bound);
		for (int i = 0; i < LOAD; i++)
			admit_wait(&others[came++], false);
		p = admit_next();
		clock_test_advance(NS_PER_MS);
	}
	ck_assert_uint_eq(turns, bound); /* nor sooner: most turns are for those whose clients wait yet */
	while (admit_next() != NULL)
		;
}
END_TEST

/* --- what is known of addresses --- */

enum { GOOD = 11, BAD = 12, NOBODY = 13 };

static void
judge(void)
{
	struct place good = {.whose = GOOD}, bad = {.whose = BAD};

	while (admit_next() != NULL)
		;
	admit_succeeded(&good);
	admit_blame(&bad);
}

START_TEST(what_is_known_has_an_end)
{
	judge();
	ck_assert(admit_is_good(GOOD) && !admit_is_suspect(GOOD));
	ck_assert(!admit_is_good(BAD) && admit_is_suspect(BAD));
	ck_assert(!admit_is_good(NOBODY) && !admit_is_suspect(NOBODY));
	clock_test_advance(ADMIT_SUSPECT_S * NS_PER_S - NS_PER_MS);
	ck_assert(admit_is_suspect(BAD));
	clock_test_advance(NS_PER_S + NS_PER_MS);
	ck_assert(!admit_is_suspect(BAD));
	ck_assert(admit_is_good(GOOD));
	clock_test_advance(ADMIT_GOOD_S * NS_PER_S);
	ck_assert(!admit_is_good(GOOD));
}
END_TEST

/* Anybody's neighbour may be hostile; who succeeds is no suspect any more. */
START_TEST(success_counts_for_more)
{
	struct place p = {.whose = BAD}, good = {.whose = GOOD};

	judge();
	admit_blame(&good);
	ck_assert(good.blamed);
	ck_assert(!admit_is_suspect(GOOD));
	admit_succeeded(&p);
	ck_assert(!admit_is_suspect(BAD));
	clock_test_advance((ADMIT_GOOD_S + 1) * NS_PER_S);
	ck_assert(!admit_is_suspect(BAD));
}
END_TEST

/* Hostile ones with many addresses stand in every crowd; and honest ones in theirs. */
START_TEST(nobody_answers_for_another_of_its_crowd)
{
	struct place bad = {.whose = BAD}, bad_too = {.whose = BAD + ADMIT_CROWDS},
		     good_too = {.whose = GOOD + 3 * ADMIT_CROWDS};

	judge();
	ck_assert(!admit_is_suspect(bad_too.whose));
	ck_assert(!admit_is_good(good_too.whose));
	for (int i = 0; i <= ADMIT_CHANCES; i++)
		ck_assert(!admit_turns_away(bad_too.whose));
	admit_succeeded(&bad_too);
	ck_assert(admit_is_good(bad_too.whose));
	ck_assert(admit_is_suspect(BAD) && !admit_is_good(BAD));
	/* of each crowd the latest is known */
	admit_blame(&good_too);
	ck_assert(admit_is_suspect(good_too.whose) && admit_is_good(GOOD));
	admit_succeeded(&bad);
	ck_assert(admit_is_good(BAD) && !admit_is_suspect(BAD));
	ck_assert(!admit_is_good(bad_too.whose));
}
END_TEST

START_TEST(whom_we_kept_waiting_is_not_blamed)
{
	struct place p = {.whose = NOBODY};

	judge();
	admit_wait(&p, false);
	clock_test_advance(ADMIT_BLAMELESS + 1);
	ck_assert_ptr_eq(admit_next(), &p);
	admit_blame(&p);
	ck_assert(!p.blamed);
	ck_assert(!admit_is_suspect(NOBODY));
}
END_TEST

/* So much is done for all suspects together in a second, while places are short. */
START_TEST(suspects_have_some_chances)
{
	judge();
	for (int second = 0; second < 2; second++) {
		for (int i = 0; i < ADMIT_CHANCES; i++)
			ck_assert(!admit_turns_away(BAD));
		ck_assert(admit_turns_away(BAD));
		ck_assert(!admit_turns_away(NOBODY));
		ck_assert(!admit_turns_away(GOOD));
		clock_test_advance(NS_PER_S);
	}
}
END_TEST

/* However many suspects and strangers wait, one that is known is next. */
START_TEST(known_ones_are_served_beside_any_flood)
{
	struct place known[8] = {0};
	unsigned strangers = 0;

	judge();
	memset(flood, 0, sizeof(flood));
	for (unsigned i = 0; i < FLOOD; i++) {
		flood[i].whose = i % 2 == 0 ? BAD : 100 + i;
		admit_wait(&flood[i], false);
	}
	for (unsigned i = 0; i < 20; i++) /* it has been going on */
		ck_assert_ptr_nonnull(admit_next());
	for (unsigned i = 0; i < 8; i++) {
		known[i].whose = GOOD;
		admit_wait(&known[i], false);
	}
	for (unsigned n = 0; n < 8;) {
		struct place *p = admit_next();

		n += p->whose == GOOD;
		strangers += p->whose != GOOD;
	}
	ck_assert_uint_le(strangers, 5); /* four and one for eight */
	while (admit_next() != NULL)
		;
}
END_TEST

START_TEST(suspects_get_a_turn_among_strangers)
{
	unsigned suspects = 0;

	judge();
	memset(flood, 0, sizeof(flood));
	for (unsigned i = 0; i < FLOOD; i++) {
		flood[i].whose = i % 2 == 0 ? BAD : 100 + i;
		admit_wait(&flood[i], false);
	}
	for (unsigned turns = 0; turns < 50; turns++)
		suspects += admit_next()->whose == BAD;
	ck_assert_uint_eq(suspects, 10); /* one for four */
	while (admit_next() != NULL)
		;
}
END_TEST

/* However many have begun, and take one cheap step after the other. */
START_TEST(begun_ones_leave_turns)
{
	struct place known = {.whose = GOOD}, begun = {.whose = GOOD};
	unsigned turns = 1;

	judge();
	memset(flood, 0, sizeof(flood));
	for (unsigned i = 0; i < FLOOD; i++) {
		flood[i].whose = 100 + i;
		admit_wait(&flood[i], true);
	}
	admit_wait(&known, false);
	admit_wait(&begun, true); /* the latest, but known */
	ck_assert_ptr_eq(admit_next(), &begun);
	while (admit_next() != &known)
		turns++;
	ck_assert_uint_le(turns, ADMIT_BEGUN_TURNS);
	for (unsigned i = 0; i < FLOOD - (turns - 1); i++) /* alone, they have all turns */
		ck_assert_ptr_nonnull(admit_next());
	ck_assert_ptr_null(admit_next());
}
END_TEST

/* A newcomer waits for some of those who drip, not for a step of each. */
START_TEST(who_drips_comes_last)
{
	struct place newcomer = {.whose = NOBODY};
	unsigned dripping = 0;

	judge();
	memset(flood, 0, sizeof(flood));
	for (unsigned i = 0; i < FLOOD; i++) {
		flood[i].whose = 100 + i;
		flood[i].steps = ADMIT_STEPS;
		admit_wait(&flood[i], true);
	}
	for (unsigned i = 0; i < 20; i++)
		ck_assert_ptr_nonnull(admit_next());
	admit_wait(&newcomer, false);
	while (admit_next() != &newcomer)
		dripping++;
	ck_assert_uint_le(dripping, 1);
	while (admit_next() != NULL)
		;
}
END_TEST

/* Steps that lead nowhere, as many as one likes, do not keep out those who have not begun. */
START_TEST(who_drips_is_not_preferred)
{
	int64_t before = metric_get(METRIC_HANDSHAKES_DRIPPED_TOTAL);
	struct place drip = {0}, other = {0};

	while (admit_next() != NULL)
		;
	for (int i = 0; i < ADMIT_STEPS; i++) {
		other = (struct place){0};
		admit_wait(&other, false);
		admit_wait(&drip, true);
		ck_assert_ptr_eq(admit_next(), &drip);
		ck_assert_ptr_eq(admit_next(), &other);
	}
	admit_wait(&drip, true); /* where it is last, this is its first turn */
	ck_assert_ptr_eq(admit_next(), &drip);
	for (int i = 0; i < ADMIT_STEPS; i++) {
		other = (struct place){0};
		admit_wait(&drip, true);
		admit_wait(&other, false);
		ck_assert_ptr_eq(admit_next(), &other);
		ck_assert_ptr_eq(admit_next(), &drip);
	}
	ck_assert_int_eq(metric_get(METRIC_HANDSHAKES_DRIPPED_TOTAL), before + 1);
}
END_TEST

START_TEST(knows_who_waits_for_whom)
{
	struct place p = {.whose = 3}, q = {.whose = 3};

	admit_enter(&p);
	admit_enter(&q);
	ck_assert_uint_eq(admit_under_way(&p), 2);
	while (admit_next() != NULL)
		;
	admit_wait(&p, false);
	clock_test_advance(5);
	ck_assert_int_eq(admit_waited(&p), 5);
	ck_assert_ptr_eq(admit_next(), &p);
	clock_test_advance(100); /* it keeps us waiting */
	ck_assert_int_eq(admit_waited(&p), 5);
	admit_wait(&p, true);
	clock_test_advance(7);
	ck_assert_int_eq(admit_waited(&p), 12);
	admit_exit(&p);
	admit_exit(&p);
	ck_assert(!admit_anybody());
	ck_assert_uint_eq(admit_under_way(&q), 1);
	admit_exit(&q);
	ck_assert_uint_eq(admit_under_way(&q), 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("admit");
	TCase *t = tcase_create("admit");
	SRunner *r = srunner_create(s);
	int failed;

	suite_add_tcase(s, t);
	tcase_add_checked_fixture(t, wait_in_order, NULL);
	tcase_add_test(t, those_who_came_first_come_first);
	tcase_add_test(t, begun_ones_come_before_all);
	tcase_add_test(t, the_latest_first_while_the_oldest_waits_too_long);
	tcase_add_test(t, a_place_is_kept);
	tcase_add_test(t, tells_addresses_apart);
	tcase_add_test(t, a_crowd_gets_half_of_the_turns);
	tcase_add_test(t, a_place_is_one_of_a_crowd_once);
	tcase_add_loop_test(t, the_oldest_has_its_turn, 0, 3);
	tcase_add_test(t, what_is_known_has_an_end);
	tcase_add_test(t, success_counts_for_more);
	tcase_add_test(t, nobody_answers_for_another_of_its_crowd);
	tcase_add_test(t, whom_we_kept_waiting_is_not_blamed);
	tcase_add_test(t, suspects_have_some_chances);
	tcase_add_test(t, known_ones_are_served_beside_any_flood);
	tcase_add_test(t, suspects_get_a_turn_among_strangers);
	tcase_add_test(t, begun_ones_leave_turns);
	tcase_add_test(t, who_drips_comes_last);
	tcase_add_test(t, who_drips_is_not_preferred);
	tcase_add_test(t, knows_who_waits_for_whom);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
