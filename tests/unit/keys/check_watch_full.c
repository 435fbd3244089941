/* SPDX-License-Identifier: Apache-2.0 */
/* Full passes of the watch: a ledger that was lost, and what rounds did not see. */
#include "watchrig.h"

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

/* What one that has to be sure asks is its own pass's, whatever is under way. */
START_TEST(test_rebuild_surely)
{
	struct job a, b;

	round_of();
	fake.news.holds = true;
	rebuild(east, &a);
	fake_settle(&fake);
	ck_assert(!fake.asked_surely);
	rebuild(west, &b);
	b.r.sure = true;
	fake.news.holds = false;
	fake_release(&fake);
	finish(&a);
	finish(&b);
	ck_assert(fake.asked_surely);
	rebuild(west, &b);
	finish(&b);
	ck_assert(!fake.asked_surely);
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
	if (_i > 0) { /* the key manager, or the root key, is not there yet */
		fake.news.e = _i == 1 ? ERR_VAULT_DOWN : ERR_NO_ROOT_KEY;
		fake.news.times = 1000;
		for (int i = 0; i < 60; i++)
			fake_advance(&fake, 2 * NS_PER_S);
		fake.news.times = 0;
		began = _i == 1 ? began + 600 * NS_PER_S : clock_now();
	}
	while (sequence_known(o) == 1) {
		was = clock_now();
		fake_advance(&fake, NS_PER_S);
	}
	ck_assert(_i == 1 || was - began >= BOUND * 2 / 3 - NS_PER_S);
	ck_assert_int_le(was - began, _i == 0 ? BOUND : _i == 1 ? 3 * BOUND : 3 * BOUND / 2);
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

int
main(void)
{
	Suite *s = suite_create("watch_full");
	TCase *t = tcase_create("watch_full"), *n = tcase_create("new");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(n, watchrig_init_new, watchrig_fini);
	tcase_add_loop_test(n, test_away, 0, 3);
	suite_add_tcase(s, n);
	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, watchrig_init, watchrig_fini);
	tcase_add_test(t, test_rebuild);
	tcase_add_test(t, test_rebuild_beside);
	tcase_add_test(t, test_rebuild_fails);
	tcase_add_test(t, test_rebuild_surely);
	tcase_add_test(t, test_rebuild_cancelled);
	tcase_add_test(t, test_away_tenant);
	tcase_add_test(t, test_reconciliation);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
