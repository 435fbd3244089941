/* SPDX-License-Identifier: Apache-2.0 */
/* Look-ups of keys that are not in the ledger: shared, remembered and rationed. */
#include <check.h>

#include "adoptcase.h"
#include "base/clock.h"
#include "base/metric.h"
#include "keys/lookup.h"

enum { SHARERS = 1000, AT_ONCE = 16, OF_ONE = 8 };

static struct lookups *lookups;

static void
setup_lookups(void)
{
	setup();
	lookups = lookups_new(rig.loop);
	ck_assert_ptr_nonnull(lookups);
}

static void
teardown_lookups(void)
{
	lookups_free(lookups);
	teardown();
}

static struct lookup
of(const char *uid, const uint8_t *client)
{
	return (struct lookup){
	    .vault = &fake.vault,
	    .ledger = rig.ledger,
	    .tenant = "a",
	    .uid = uid,
	    .client = client,
	};
}

static enum err
look_up(const char *uid, const uint8_t *client)
{
	struct lookup l = of(uid, client);
	struct outcome out;

	rig_begin(&l.wait, &out);
	lookup_start(lookups, &l);
	return rig_end(&rig, &out);
}

static const uint8_t client[LOOKUP_CLIENT_LEN] = {1}, other[LOOKUP_CLIENT_LEN] = {2};
#define OLD_UID "01890000-0000-7000-8000-000000000001"

START_TEST(test_shared)
{
	static struct lookup all[SHARERS];
	static struct outcome outs[SHARERS];
	struct object *o = shown(rig_object(&rig, "a", NULL), 1, OBJECT_ACTIVE);

	fake.holds = true;
	for (size_t i = 0; i < SHARERS; i++) {
		all[i] = of(o->uid, client);
		rig_begin(&all[i].wait, &outs[i]);
		lookup_start(lookups, &all[i]);
	}
	wait_cancel(&all[0].wait);
	wait_cancel(&all[SHARERS / 2].wait);
	release();
	ck_assert_int_eq(rig_end(&rig, &outs[SHARERS - 1]), ERR_OK);
	ck_assert_uint_eq(fake.finds, 1);
	for (size_t i = 0; i < SHARERS; i++)
		ck_assert_int_eq(outs[i].done, i != 0 && i != SHARERS / 2);
	ck_assert_int_eq(stored(o)->state, OBJECT_ACTIVE);
}
END_TEST

/* Who did not know it looked, and it became known meanwhile, by a newer record than lists show. */
START_TEST(test_known_by_now)
{
	struct object *o = known(2, OBJECT_ACTIVE, NULL);
	struct lookup l = of(o->uid, client);
	struct outcome out;
	unsigned finds;

	shown(o, 1, OBJECT_ACTIVE);
	ck_assert_int_eq(look_up(o->uid, client), ERR_OK);
	finds = fake.finds;
	l.known = true; /* and the next one is not told that there is none */
	rig_begin(&l.wait, &out);
	lookup_start(lookups, &l);
	ck_assert_int_eq(rig_end(&rig, &out), ERR_NO_OBJECT);
	ck_assert_uint_eq(fake.finds, finds + 1);
}
END_TEST

/* A flight under way may have looked before the record was there that a list shows now. */
START_TEST(test_one_record_is_looked_at)
{
	struct object *o = shown(rig_object(&rig, "a", NULL), 1, OBJECT_ACTIVE);
	struct lookup name = of(o->uid, NULL), record = of(o->uid, NULL);
	struct outcome outs[2];

	record.record_id = "11111111-2222-4333-8444-555555555555";
	fake.holds = true;
	rig_begin(&name.wait, &outs[0]);
	lookup_start(lookups, &name);
	fake.holds = false;
	rig_begin(&record.wait, &outs[1]);
	lookup_start(lookups, &record);
	ck_assert_int_eq(rig_end(&rig, &outs[1]), ERR_OK);
	ck_assert_uint_eq(fake.finds, 2);
	ck_assert(!outs[0].done);
	release();
	ck_assert_int_eq(rig_end(&rig, &outs[0]), ERR_OK);
}
END_TEST

START_TEST(test_absent_is_remembered)
{
	fake.e = ERR_NO_OBJECT;
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(look_up(OLD_UID, client), ERR_NO_OBJECT);
	ck_assert_uint_eq(fake.finds, 1);
	ck_assert_int_eq(look_up(OLD_UID, NULL), ERR_NO_OBJECT); /* ourselves */
	ck_assert_uint_eq(fake.finds, 2);
	lookups_seen(lookups, "b", OLD_UID);
	ck_assert_int_eq(look_up(OLD_UID, client), ERR_NO_OBJECT);
	ck_assert_uint_eq(fake.finds, 2);
	lookups_seen(lookups, "a", OLD_UID);
	ck_assert_int_eq(look_up(OLD_UID, client), ERR_NO_OBJECT);
	ck_assert_uint_eq(fake.finds, 3);
	clock_test_advance(61 * NS_PER_S);
	ck_assert_int_eq(look_up(OLD_UID, client), ERR_NO_OBJECT);
	ck_assert_uint_eq(fake.finds, 4);
	fake.e = ERR_VAULT_DOWN; /* says nothing */
	clock_test_advance(61 * NS_PER_S);
	ck_assert_int_eq(look_up(OLD_UID, client), ERR_VAULT_DOWN);
	ck_assert_int_eq(look_up(OLD_UID, client), ERR_VAULT_DOWN);
	ck_assert_uint_eq(fake.finds, 6);
}
END_TEST

/* A list shows a record that was replaced long ago: that does not make the object absent. */
START_TEST(test_old_record_is_not_absence)
{
	struct object *o = known(5, OBJECT_ACTIVE, NULL);
	struct lookup old = of(o->uid, NULL), lately = of(o->uid, client);
	struct outcome out, out_lately;

	shown(o, 4, OBJECT_ACTIVE);
	fake.holds = true;
	old.record_id = OLD_UID;
	rig_begin(&old.wait, &out);
	lookup_start(lookups, &old);
	fake.holds = false; /* a client comes meanwhile, which wants the successor */
	shown(o, 6, OBJECT_ACTIVE);
	lately.gone = GONE_LATELY;
	rig_begin(&lately.wait, &out_lately);
	lookup_start(lookups, &lately);
	ck_assert_int_eq(rig_end(&rig, &out_lately), ERR_OK);
	ck_assert(fake.expected);
	shown(o, 4, OBJECT_ACTIVE);
	release();
	ck_assert_int_eq(rig_end(&rig, &out), ERR_NO_OBJECT);
	shown(o, 7, OBJECT_ACTIVE);
	ck_assert_int_eq(look_up(o->uid, client), ERR_OK);
	ck_assert_uint_eq(fake_sequence(stored(o)), 7);
}
END_TEST

START_TEST(test_rations)
{
	char uid[UID_TEXT_LEN + 1];
	unsigned served = 0;

	fake.e = ERR_NO_OBJECT;
	for (int i = 0; i < 100; i++) {
		ck_assert_int_eq(text_uuid7(uid), ERR_OK);
		served += look_up(uid, client) == ERR_NO_OBJECT;
	}
	ck_assert_uint_eq(served, 50);
	ck_assert_uint_eq(fake.finds, 50);
	ck_assert_int_eq(text_uuid7(uid), ERR_OK);
	ck_assert_int_eq(look_up(uid, other), ERR_NO_OBJECT); /* somebody else's ration */
	clock_test_advance(NS_PER_S);
	for (int i = 0; i < 5; i++) {
		ck_assert_int_eq(text_uuid7(uid), ERR_OK);
		ck_assert_int_eq(look_up(uid, client), i < 2 ? ERR_NO_OBJECT : ERR_BUSY);
	}
	clock_test_advance(NS_PER_S);
	for (int i = 0; i < 100; i++) { /* what is found costs nothing */
		shown(rig_object(&rig, "a", NULL), 1, OBJECT_ACTIVE);
		ck_assert_int_eq(look_up(fake.found->uid, client), ERR_OK);
	}
}
END_TEST

/* Keys that are there: nobody is refused, though not all are looked for at once. */
START_TEST(test_many_strangers)
{
	enum { MANY = 200 };
	static struct lookup all[MANY];
	static struct outcome outs[MANY];
	static char uids[MANY][UID_TEXT_LEN + 1];
	int64_t refused = metric_get(METRIC_LOOKUPS_REFUSED_TOTAL);

	fake.e = ERR_VAULT_DOWN; /* neither found nor missed */
	fake.holds = true;
	for (size_t i = 0; i < MANY; i++) {
		ck_assert_int_eq(text_uuid7(uids[i]), ERR_OK);
		all[i] = of(uids[i], client);
		rig_begin(&all[i].wait, &outs[i]);
		lookup_start(lookups, &all[i]);
	}
	wait_cancel(&all[MANY - 2].wait); /* has left before its turn came */
	ck_assert_uint_eq(fake.held_count, OF_ONE);
	for (int i = 0; i <= MANY / OF_ONE && !outs[MANY - 1].done; i++) {
		release();
		loop_turn(rig.loop, false);
		loop_turn(rig.loop, false);
		ck_assert_uint_le(fake.held_count, OF_ONE);
	}
	ck_assert(outs[MANY - 1].done);
	ck_assert_uint_eq(fake.finds, MANY - 1);
	ck_assert_int_eq(metric_get(METRIC_LOOKUPS_REFUSED_TOTAL), refused);
}
END_TEST

/* As many of one client's as may be under way, all held: what it asks for next is queued. */
static void
begin_many(void)
{
	static struct lookup ahead[OF_ONE];
	static struct outcome outs[OF_ONE];
	static char uids[OF_ONE][UID_TEXT_LEN + 1];

	fake.e = ERR_VAULT_DOWN;
	fake.holds = true;
	for (size_t i = 0; i < OF_ONE; i++) {
		ck_assert_int_eq(text_uuid7(uids[i]), ERR_OK);
		ahead[i] = of(uids[i], client);
		rig_begin(&ahead[i].wait, &outs[i]);
		lookup_start(lookups, &ahead[i]);
	}
}

/* A reload takes a vault away while one of its look-ups is queued: nobody has it begin after that. */
START_TEST(test_vault_goes)
{
	struct vault gone = {.ops = &fake_ops}; /* fake_find() refuses it */
	struct lookup before = of(OLD_UID, client), after = of(OLD_UID, client);
	struct outcome out_before, out_after;

	begin_many();
	before.vault = &gone;
	rig_begin(&before.wait, &out_before);
	lookup_start(lookups, &before);
	wait_cancel(&before.wait);
	rig_begin(&after.wait, &out_after);
	lookup_start(lookups, &after);
	fake.holds = false;
	release();
	ck_assert_int_eq(rig_end(&rig, &out_after), ERR_VAULT_DOWN);
	ck_assert(!out_before.done);
	ck_assert_uint_eq(fake.finds, OF_ONE + 1);
}
END_TEST

/* Who came first has no time left when its turn comes, or when the key manager answers; who joined has. */
START_TEST(test_first_has_no_time_left)
{
	struct object *o = shown(rig_object(&rig, "a", NULL), 1, OBJECT_ACTIVE);
	struct lookup first = of(o->uid, client), joined = of(o->uid, client);
	struct outcome out_first, out;
	unsigned finds;

	if (_i == 0)
		begin_many();
	fake.holds = true;
	first.terms.deadline = clock_now() + 15 * NS_PER_S;
	rig_begin(&first.wait, &out_first);
	lookup_start(lookups, &first);
	finds = fake.finds;
	clock_test_advance(14 * NS_PER_S);
	joined.terms.deadline = clock_now() + 15 * NS_PER_S;
	rig_begin(&joined.wait, &out);
	lookup_start(lookups, &joined);
	ck_assert_uint_eq(fake.finds, finds);
	clock_test_advance(NS_PER_S);
	wait_cancel(&first.wait);
	fake.holds = false;
	release();
	fake.e = ERR_OK;
	ck_assert_int_eq(rig_end(&rig, &out), ERR_OK);
	ck_assert_uint_eq(fake.finds, finds + 1);
	ck_assert(!out_first.done);
}
END_TEST

/* Nobody has more time than the look had: that it was not enough is the answer. */
START_TEST(test_nobody_has_time_left)
{
	struct lookup l = of(OLD_UID, client);
	struct outcome out;

	fake.holds = true;
	l.terms.deadline = clock_now() + 15 * NS_PER_S;
	rig_begin(&l.wait, &out);
	lookup_start(lookups, &l);
	clock_test_advance(15 * NS_PER_S);
	fake.holds = false;
	release();
	ck_assert_int_eq(rig_end(&rig, &out), ERR_DEADLINE);
	ck_assert_uint_eq(fake.finds, 1);
}
END_TEST

/* What is known is kept waiting neither behind what nobody waits for, nor in the queue of strangers. */
START_TEST(test_known_joins_none_that_waits)
{
	char uid[UID_TEXT_LEN + 1];
	struct lookup held = of(uid, _i == 0 ? NULL : client), l = of(uid, client);
	struct outcome out_held, out;
	unsigned finds;

	ck_assert_int_eq(text_uuid7(uid), ERR_OK);
	if (_i == 1)
		begin_many();
	fake.holds = true;
	held.terms.background = _i == 0;
	rig_begin(&held.wait, &out_held);
	lookup_start(lookups, &held);
	finds = fake.finds;
	l.known = true;
	rig_begin(&l.wait, &out);
	lookup_start(lookups, &l);
	ck_assert_uint_eq(fake.finds, finds + 1);
	ck_assert(!fake.background);
	wait_cancel(&held.wait);
	held.terms.background = true; /* which may join what somebody waits for */
	rig_begin(&held.wait, &out_held);
	held.client = NULL;
	lookup_start(lookups, &held);
	ck_assert_uint_eq(fake.finds, finds + 1);
	wait_cancel(&held.wait);
	wait_cancel(&l.wait);
}
END_TEST

/* Each is looked for during seconds: one client's leave room for those of others, first come. */
START_TEST(test_one_leaves_room)
{
	static const uint8_t third[LOOKUP_CLIENT_LEN] = {3};
	static const struct {
		const uint8_t *client;
		unsigned count, held; /* held: then */
	} come[] = {{client, 40, OF_ONE}, {other, 1, OF_ONE + 1}, {third, 40, AT_ONCE},
	    {other, 1, AT_ONCE}};
	static struct lookup all[82];
	static struct outcome outs[82];
	static char uids[82][UID_TEXT_LEN + 1];
	size_t n = 0;

	fake.e = ERR_VAULT_DOWN;
	fake.holds = true;
	for (size_t i = 0; i < sizeof(come) / sizeof(come[0]); i++) {
		for (unsigned k = 0; k < come[i].count; k++, n++) {
			ck_assert_int_eq(text_uuid7(uids[n]), ERR_OK);
			all[n] = of(uids[n], come[i].client);
			rig_begin(&all[n].wait, &outs[n]);
			lookup_start(lookups, &all[n]);
		}
		ck_assert_uint_eq(fake.held_count, come[i].held);
	}
	ck_assert(!outs[81].done);
	for (int i = 0; i < 82 && !(outs[39].done && outs[80].done && outs[81].done); i++) {
		release();
		loop_turn(rig.loop, false);
		loop_turn(rig.loop, false);
		ck_assert_uint_le(fake.held_count, AT_ONCE);
	}
	for (size_t i = 0; i < 82; i++)
		ck_assert(outs[i].done);
}
END_TEST

/* Keys that never were cost the key manager only so much, and others hardly wait. */
START_TEST(test_many_that_are_not)
{
	enum { MANY = 200 };
	static struct lookup all[MANY];
	static struct outcome outs[MANY];
	static char uids[MANY][UID_TEXT_LEN + 1];
	unsigned refused = 0;

	fake.e = ERR_NO_OBJECT;
	for (size_t i = 0; i < MANY; i++) {
		ck_assert_int_eq(text_uuid7(uids[i]), ERR_OK);
		all[i] = of(uids[i], i == MANY - 1 ? other : client);
		rig_begin(&all[i].wait, &outs[i]);
		lookup_start(lookups, &all[i]);
	}
	ck_assert_int_eq(rig_end(&rig, &outs[MANY - 1]), ERR_NO_OBJECT);
	for (size_t i = 0; i < MANY - 1; i++)
		refused += rig_end(&rig, &outs[i]) == ERR_BUSY;
	ck_assert_uint_le(MANY - 1 - refused, 50 + AT_ONCE);
	ck_assert_uint_le(fake.finds, 50 + AT_ONCE + 1);
}
END_TEST

START_TEST(test_priority)
{
	char uid[UID_TEXT_LEN + 1];

	fake.e = ERR_NO_OBJECT;
	ck_assert_int_eq(text_uuid7(uid), ERR_OK);
	ck_assert_int_eq(look_up(uid, client), ERR_NO_OBJECT);
	ck_assert(!fake.background); /* who made it is perhaps asking elsewhere now */
	ck_assert_int_eq(look_up(OLD_UID, client), ERR_NO_OBJECT);
	ck_assert(fake.background);
	ck_assert_int_eq(look_up("6ee0f1f6-1c36-4d4e-9d6b-4f0f6b1f7c52", client), ERR_NO_OBJECT);
	ck_assert_uint_eq(fake.finds, 2); /* never one of ours */
}
END_TEST

/* What the ledger knows is looked for whatever the client asked for before. */
START_TEST(test_known_is_not_rationed)
{
	char uid[UID_TEXT_LEN + 1];
	struct lookup l = of(OLD_UID, client);
	struct outcome out;

	fake.e = ERR_NO_OBJECT;
	for (int i = 0; i < 51; i++) {
		ck_assert_int_eq(text_uuid7(uid), ERR_OK);
		(void)look_up(uid, client);
	}
	ck_assert_int_eq(look_up(OLD_UID, client), ERR_BUSY);
	l.known = true;
	rig_begin(&l.wait, &out);
	lookup_start(lookups, &l);
	ck_assert_int_eq(rig_end(&rig, &out), ERR_NO_OBJECT);
	ck_assert(!fake.background);
}
END_TEST

START_TEST(test_free_under_way)
{
	struct lookup l = of(OLD_UID, client);
	struct outcome out;

	fake.holds = true;
	rig_begin(&l.wait, &out);
	lookup_start(lookups, &l);
	lookups_free(lookups);
	lookups = NULL;
	ck_assert(out.done);
	ck_assert_int_eq(out.e, ERR_CANCELLED);
	ck_assert_uint_eq(fake.held_count, 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("lookup");
	TCase *t = tcase_create("lookup");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup_lookups, teardown_lookups);
	tcase_add_test(t, test_shared);
	tcase_add_test(t, test_known_by_now);
	tcase_add_test(t, test_one_record_is_looked_at);
	tcase_add_test(t, test_absent_is_remembered);
	tcase_add_test(t, test_old_record_is_not_absence);
	tcase_add_test(t, test_rations);
	tcase_add_test(t, test_many_strangers);
	tcase_add_test(t, test_vault_goes);
	tcase_add_loop_test(t, test_first_has_no_time_left, 0, 2);
	tcase_add_test(t, test_nobody_has_time_left);
	tcase_add_loop_test(t, test_known_joins_none_that_waits, 0, 2);
	tcase_add_test(t, test_one_leaves_room);
	tcase_add_test(t, test_many_that_are_not);
	tcase_add_test(t, test_priority);
	tcase_add_test(t, test_known_is_not_rationed);
	tcase_add_test(t, test_free_under_way);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
