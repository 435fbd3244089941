/* SPDX-License-Identifier: Apache-2.0 */
/* What the watch does about records that were made and deleted, in ledger and cache. */
#include "watchrig.h"

/* What is gone leaves the cache before the rest is taken for proved. */
START_TEST(test_gone)
{
	struct object *o = known(vault_east, "east", 1), *kept = known(vault_east, "east", 2),
		      *other = known(vault_west, "west", 3);

	fake_delete(record_of(o), GONE_WITHDRAWN);
	round_of();
	ck_assert_uint_eq(cached("east"), 1);
	ck_assert_uint_eq(cached("west"), 1);
	ck_assert_int_eq(fake_known(&fake, "east", o->uid)->state, OBJECT_ACTIVE);
	fake_delete(record_of(other), GONE_DESTROYED);
	round_of();
	ck_assert_uint_eq(cached("west"), 0);
	ck_assert_int_eq(fake_known(&fake, "west", other->uid)->state, OBJECT_DESTROYED);
	ck_assert_int_eq(fake_known(&fake, "east", kept->uid)->state, OBJECT_ACTIVE);
	ck_assert_uint_eq(cached(NULL), 1);
}
END_TEST

/* That a predecessor is retired takes no key out of memory, whoever hears of it, and when. */
START_TEST(test_predecessor)
{
	struct object *o = known(vault_east, "east", 1);
	unsigned finds;

	fake_record(&fake, vault_east, o, 2);
	round_of();
	ck_assert_uint_eq(sequence_known(o), 2);
	finds = fake.find.calls;
	fake_delete(record_of(o), GONE_LATELY);
	round_of();
	ck_assert_uint_eq(cached("east"), 1);
	record_of(o)->gone = GONE_DESTROYED;
	round_of();
	ck_assert_uint_eq(cached("east"), 1);
	ck_assert_uint_eq(fake.find.calls, finds);
	fake_delete(&fake.records[1], GONE_LATELY);
	round_of();
	ck_assert_uint_eq(cached("east"), 0);
}
END_TEST

/* A key of a predecessor, as a load was slower than who replaced it: the ledger knows what counts. */
START_TEST(test_ledger_knows)
{
	static const struct {
		enum vault_gone gone;
		enum err e;
		bool second;
		unsigned kept;
	} deletions[] = {
	    {GONE_LATELY, ERR_OK, true, 0},
	    {GONE_WITHDRAWN, ERR_OK, true, 0},
	    {GONE_DESTROYED, ERR_OK, true, 0},
	    {GONE_WITHDRAWN, ERR_OK, false, 1},
	    {GONE_WITHDRAWN, ERR_STORAGE_DOWN, false, 0}, /* in doubt */
	    {GONE_WITHDRAWN, ERR_NO_OBJECT, false, 0},
	};
	struct object *o = known(vault_east, "east", 1);

	fake_record(&fake, vault_east, o, 2);
	fake_record(&fake, vault_east, o, 1);
	fake_know(&fake, o, &fake.records[1]);
	fake.records[0].when = fake.records[1].when -= HOUR / NS_PER_S;
	round_of();
	ck_assert_uint_eq(cached("east"), 1);
	fake.load.e = deletions[_i].e;
	fake.load.times = 1;
	fake_delete(&fake.records[deletions[_i].second ? 1 : 2], deletions[_i].gone);
	round_of();
	ck_assert_uint_eq(cached("east"), deletions[_i].kept);
}
END_TEST

static void
ignore(struct wait *w, enum err e)
{
	(void)w, (void)e;
}

/* A successor was found before it went, and taken over after that was heard, when nobody knew it. */
START_TEST(test_taken_over_late)
{
	struct object *o = known(vault_east, "east", 1);
	struct lookup l = {.wait.done = ignore, .vault = vault_east, .ledger = &fake.ledger,
	    .tenant = "east", .uid = o->uid};

	fake_record(&fake, vault_east, o, 2);
	fake.find.holds = true;
	lookup_start(lookups, &l);
	fake_settle(&fake);
	fake.find.holds = false;
	fake_delete(&fake.records[1], GONE_DESTROYED);
	round_of();
	ck_assert_uint_eq(sequence_known(o), 1);
	ck_assert_uint_eq(cached("east"), 1);
	fake_release(&fake);
	fake_settle(&fake);
	ck_assert_uint_eq(sequence_known(o), 2);
	ck_assert_uint_eq(cached("east"), 1);
	round_of();
	ck_assert_uint_eq(cached("east"), 0);
}
END_TEST

START_TEST(test_looked_up_destroyed)
{
	struct object *o = known(vault_east, "east", 1);
	struct lookup l = {.wait.done = ignore, .vault = vault_east, .ledger = &fake.ledger,
	    .tenant = "east", .uid = o->uid, .gone = GONE_DESTROYED};

	fake_delete(record_of(o), GONE_DESTROYED);
	lookup_start(lookups, &l);
	fake_settle(&fake);
	ck_assert_int_eq(fake_known(&fake, "east", o->uid)->state, OBJECT_DESTROYED);
	ck_assert_uint_eq(cached("east"), 0);
}
END_TEST

/* A deletion of a moment ago may have a successor that no list shows yet: later. */
START_TEST(test_lag)
{
	struct object *o = known(vault_east, "east", 1);
	struct fake_record *r = record_of(o);

	fake_delete(r, GONE_LATELY);
	round_of();
	round_of();
	ck_assert_uint_eq(cached("east"), 0);
	ck_assert_uint_eq(fake.find.calls, 0);
	ck_assert_int_eq(fake_known(&fake, "east", o->uid)->state, OBJECT_ACTIVE);
	r->gone = GONE_DESTROYED;
	round_of();
	ck_assert_int_eq(fake_known(&fake, "east", o->uid)->state, OBJECT_DESTROYED);
}
END_TEST

/* A record that a list shows late is met all the same, since rounds overlap. */
START_TEST(test_late_record)
{
	struct object *o = known(vault_east, "east", 1);

	round_of();
	fake_advance(&fake, 5 * NS_PER_S);
	fake_record(&fake, vault_east, o, 2)->when = clock_wall() - OVERLAP_S + 30;
	round_of();
	ck_assert_uint_eq(sequence_known(o), 2);
}
END_TEST

START_TEST(test_successor)
{
	struct object *o = known(vault_east, "east", 1), *newer = fake_object(&fake, "east", 1);

	newer->state = OBJECT_COMPROMISED;
	fake_record(&fake, vault_east, newer, 2);
	fake_delete(record_of(o), GONE_DESTROYED);
	round_of();
	ck_assert_uint_eq(sequence_known(o), 2);
	ck_assert_int_eq(fake_known(&fake, "east", o->uid)->state, OBJECT_COMPROMISED);
}
END_TEST

/* What was looked at once is not looked at again, however often lists show it. */
START_TEST(test_settled)
{
	struct object *o = known(vault_east, "east", 1);
	unsigned finds, loads;

	fake_record(&fake, vault_east, o, 2);
	fake_record(&fake, vault_east, o, 3)->tenant = "somebody";
	round_of();
	finds = fake.find.calls;
	loads = fake.load.calls;
	ck_assert_uint_ge(finds, 1);
	for (int i = 0; i < 4; i++) {
		round_of();
		if (i == 0) /* not settled: "nothing to be found" may be a lag */
			ck_assert_uint_eq(fake.find.calls, finds + 2);
	}
	ck_assert_uint_le(fake.load.calls - loads, 4 * 2);
	ck_assert_uint_eq(sequence_known(o), 2);
}
END_TEST

static void
ended(struct wait *w, enum err e)
{
	*(enum err *)w->owner = e;
}

static enum err
look_up(const struct object *o)
{
	static const uint8_t client[LOOKUP_CLIENT_LEN] = "c";
	enum err e = ERR_INTERNAL;
	struct lookup l = {.wait = {.done = ended, .owner = &e}, .vault = vault_east,
	    .ledger = &fake.ledger, .tenant = "east", .uid = o->uid, .client = client};

	lookup_start(lookups, &l);
	fake_settle(&fake);
	return e;
}

/* An unknown record is nobody's business yet, but that there was none is no longer true. */
START_TEST(test_unknown)
{
	struct object *o = fake_object(&fake, "east", 7);

	ck_assert_int_eq(look_up(o), ERR_NO_OBJECT);
	fake_record(&fake, vault_east, o, 1);
	ck_assert_int_eq(look_up(o), ERR_NO_OBJECT); /* remembered */
	ck_assert_uint_eq(fake.find.calls, 1);
	round_of();
	ck_assert_uint_eq(fake.find.calls, 1);
	ck_assert_ptr_null(fake_known(&fake, "east", o->uid));
	ck_assert_int_eq(look_up(o), ERR_OK);
	ck_assert_ptr_nonnull(fake_known(&fake, "east", o->uid));
}
END_TEST

/* An older record that nobody retired: its gateway was killed, or could not delete. */
START_TEST(test_leftover)
{
	struct object *o = fake_object(&fake, "east", 1);
	struct fake_record *old = fake_record(&fake, vault_east, o, 1);
	unsigned finds;

	fake_know(&fake, o, fake_record(&fake, vault_east, o, 2));
	old = &fake.records[0];
	if (_i == 1) { /* long ago */
		fake.records[0].when = fake.records[1].when = 1000;
		fake_advance(&fake, 7 * HOUR);
	} else {
		round_of();
	}
	ck_assert_uint_eq(fake.retire.calls, 1);
	ck_assert_int_eq(old->gone, GONE_DESTROYED);
	ck_assert_int_eq(fake.records[1].gone, GONE_UNKNOWN);
	ck_assert_uint_eq(sequence_known(o), 2);
	ck_assert_int_eq(fake_known(&fake, "east", o->uid)->state, OBJECT_ACTIVE);
	finds = fake.find.calls;
	for (int i = 0; i < 4; i++)
		round_of();
	ck_assert_uint_le(fake.find.calls - finds, 1); /* its deletion was met */
	ck_assert_uint_eq(fake.retire.calls, 1);
}
END_TEST

/* Two gateways made a successor at once, and both gateways choose the same: never none is left. */
START_TEST(test_successors_at_once)
{
	struct object *o = fake_object(&fake, "east", 1);

	fake_record(&fake, vault_east, o, 2);
	fake_record(&fake, vault_east, o, 2);
	fake_know(&fake, o, &fake.records[_i]);
	round_of();
	round_of();
	fake_advance(&fake, 7 * HOUR);
	ck_assert_int_eq(fake.records[0].gone, GONE_UNKNOWN);
	ck_assert_int_eq(fake.records[1].gone, GONE_DESTROYED);
	ck_assert_mem_eq(fake_known(&fake, "east", o->uid)->record, fake.records[0].id, UID_TEXT_LEN);
}
END_TEST

/* Destroyed by a client's word here, and still there: its maker did not know, or it was restored. */
START_TEST(test_destroyed_here)
{
	enum { OURS, FOUND_SO, SOMEBODYS, OTHER_KEY, NO_RIGHT, FAILS };
	struct object *o = fake_object(&fake, "east", 1), *known;
	struct fake_record *r;

	fake_know(&fake, o, NULL);
	known = fake_known(&fake, "east", o->uid);
	known->state = OBJECT_DESTROYED;
	known->destroyed_here = _i != FOUND_SO;
	if (_i == OTHER_KEY)
		o->digest[0] ^= 1;
	r = fake_record(&fake, vault_east, o, 2);
	if (_i == SOMEBODYS)
		r->tenant = "somebody";
	fake.retire.e = _i == NO_RIGHT ? ERR_DENIED : _i == FAILS ? ERR_VAULT_DOWN : ERR_OK;
	fake.retire.times = 1;
	round_of();
	ck_assert_int_eq(r->gone == GONE_DESTROYED, _i == OURS);
	ck_assert_uint_eq(fake.retire.calls, _i == OURS || _i == NO_RIGHT || _i == FAILS);
	round_of();
	ck_assert_int_eq(r->gone == GONE_DESTROYED, _i == OURS || _i == FAILS);
	ck_assert_int_eq(fake_known(&fake, "east", o->uid)->state, OBJECT_DESTROYED);
	if (_i != SOMEBODYS && _i != FAILS) /* settled */
		ck_assert_int_gt(east->since, fake.asked_since - 1);
}
END_TEST

/* It was looked at when it was made: that the customer brought it back is still news. */
START_TEST(test_restored)
{
	struct object *o = known(vault_east, "east", 1), *known;
	struct fake_record *r = record_of(o);

	round_of();
	fake_delete(r, GONE_DESTROYED); /* by a Destroy here */
	known = fake_known(&fake, "east", o->uid);
	known->state = OBJECT_DESTROYED;
	known->destroyed_here = true;
	round_of();
	for (unsigned i = 1; i <= 2; i++) {
		r->gone = GONE_UNKNOWN;
		round_of();
		ck_assert_int_eq(r->gone, GONE_DESTROYED);
		ck_assert_uint_eq(fake.retire.calls, i);
		round_of();
	}
}
END_TEST

/* Lists lag: that something may come back is asked again, while they show the deletion. */
START_TEST(test_withdrawn_for_now)
{
	struct object *o = known(vault_east, "east", 1);

	fake.withdrawn = true;
	fake_delete(record_of(o), GONE_DESTROYED);
	round_of();
	ck_assert_int_eq(fake_known(&fake, "east", o->uid)->state, OBJECT_ACTIVE);
	fake.withdrawn = false;
	fake_advance(&fake, 61 * NS_PER_S); /* what is not there is remembered */
	ck_assert_int_eq(fake_known(&fake, "east", o->uid)->state, OBJECT_DESTROYED);
	ck_assert_uint_eq(cached("east"), 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("watch_records");
	TCase *t = tcase_create("watch_records");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, watchrig_init, watchrig_fini);
	tcase_add_test(t, test_gone);
	tcase_add_test(t, test_predecessor);
	tcase_add_loop_test(t, test_ledger_knows, 0, 6);
	tcase_add_test(t, test_taken_over_late);
	tcase_add_test(t, test_looked_up_destroyed);
	tcase_add_test(t, test_lag);
	tcase_add_test(t, test_late_record);
	tcase_add_test(t, test_successor);
	tcase_add_test(t, test_settled);
	tcase_add_test(t, test_unknown);
	tcase_add_loop_test(t, test_leftover, 0, 2);
	tcase_add_loop_test(t, test_successors_at_once, 0, 2);
	tcase_add_loop_test(t, test_destroyed_here, 0, 6);
	tcase_add_test(t, test_restored);
	tcase_add_test(t, test_withdrawn_for_now);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
