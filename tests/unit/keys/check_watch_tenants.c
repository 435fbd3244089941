/* SPDX-License-Identifier: Apache-2.0 */
/* Tenants of the watch, which come and go at any time. */
#include <stdio.h>

#include "watchrig.h"

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
	Suite *s = suite_create("watch_tenants");
	TCase *t = tcase_create("watch_tenants");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, watchrig_init, watchrig_fini);
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
