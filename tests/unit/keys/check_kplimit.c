/* SPDX-License-Identifier: Apache-2.0 */
/* Places among the calls of one instance. */
#include <check.h>

#include "base/clock.h"
#include "base/loop.h"
#include "kplimit.h"

enum { WANTED = 100 };

static struct loop *loop;
static struct kplimit limit;
static struct kpslot slots[WANTED];

static void
placed(struct wait *w, enum err e)
{
	ck_assert_int_eq(e, ERR_OK);
	*(bool *)w->owner = true;
}

static void
setup(void)
{
	clock_test_freeze(1760000000);
	loop = loop_new();
	limit = (struct kplimit){.loop = loop, .rate_max = 50, .in_flight_max = 32};
	kplimit_init(&limit);
}

static void
teardown(void)
{
	kplimit_fini(&limit);
	loop_free(loop);
}

static void
want(struct kpslot *s, bool *in, bool background)
{
	*in = false;
	*s = (struct kpslot){.wait = {.done = placed, .owner = in},
	    .background = background,
	    .deadline = clock_now() + 3600 * NS_PER_S};
	kplimit_enter(&limit, s);
}

/* More is wanted than the rate allows: what revokes keys must get its share all the same. */
START_TEST(test_background_is_not_starved)
{
	struct kpslot back;
	bool in[WANTED], in_back;

	for (int i = 0; i < WANTED; i++)
		want(&slots[i], &in[i], false);
	want(&back, &in_back, true);
	for (int step = 0; step < 60 * 50 && !in_back; step++) {
		clock_test_advance(20 * NS_PER_MS);
		loop_turn(loop, false);
		loop_turn(loop, false);
		for (int i = 0; i < WANTED; i++) {
			if (!in[i])
				continue;
			kplimit_leave(&limit, &slots[i], KPLIMIT_GOOD, -1);
			want(&slots[i], &in[i], false);
		}
	}
	ck_assert(in_back);
	kplimit_leave(&limit, &back, KPLIMIT_GOOD, -1);
	for (int i = 0; i < WANTED; i++) {
		wait_cancel(&slots[i].wait);
		kplimit_leave(&limit, &slots[i], KPLIMIT_GOOD, -1);
	}
}
END_TEST

/* A day without a call for one header: an instance that answers again is to be used again. */
START_TEST(test_huge_retry_after)
{
	struct kpslot s;
	bool in;

	want(&s, &in, false);
	loop_turn(loop, false);
	loop_turn(loop, false);
	ck_assert(in);
	kplimit_leave(&limit, &s, KPLIMIT_THROTTLED, 86400 * NS_PER_S);
	clock_test_advance(300 * NS_PER_S);
	s.deadline = clock_now() + 10 * NS_PER_S;
	want(&s, &in, false);
	for (int step = 0; step < 600 && !in; step++) {
		clock_test_advance(20 * NS_PER_MS);
		loop_turn(loop, false);
	}
	ck_assert(in);
	kplimit_leave(&limit, &s, KPLIMIT_GOOD, -1);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("kplimit");
	TCase *t = tcase_create("kplimit");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_background_is_not_starved);
	tcase_add_test(t, test_huge_retry_after);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
