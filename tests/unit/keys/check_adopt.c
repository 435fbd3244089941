/* SPDX-License-Identifier: Apache-2.0 */
/* What another gateway did, taken over from a vault that says what the test wants. */
#include <string.h>

#include <check.h>

#include "adoptcase.h"
#include "base/clock.h"
#include "base/metric.h"
#include "keys/adopt.h"

static enum err
adopt(const struct object *o, enum vault_gone gone, enum adopted *how)
{
	struct adopt a = {
	    .loop = rig.loop,
	    .vault = &fake.vault,
	    .ledger = rig.ledger,
	    .tenant = "a",
	    .uid = o->uid,
	    .gone = gone,
	};
	struct outcome out;
	enum err e;

	rig_begin(&a.wait, &out);
	adopt_start(&a);
	e = rig_end(&rig, &out);
	if (how != NULL)
		*how = a.adopted;
	return e;
}

START_TEST(test_new)
{
	struct object *o = shown(rig_object(&rig, "a", "vm"), 3, OBJECT_ACTIVE), *got;
	enum adopted how;

	ck_assert_int_eq(adopt(o, GONE_UNKNOWN, &how), ERR_OK);
	ck_assert_int_eq(how, ADOPT_NEW);
	got = stored(o);
	ck_assert_int_eq(got->state, OBJECT_ACTIVE);
	ck_assert_uint_eq(fake_sequence(got), 3);
	ck_assert_uint_eq(got->revision, 1);
	ck_assert_ptr_nonnull(object_attr_get(got, "Name", 0));
	ck_assert_int_eq(adopt(o, GONE_UNKNOWN, &how), ERR_OK);
	ck_assert_int_eq(how, ADOPT_KNOWN);
	ck_assert_uint_eq(stored(o)->revision, 1);
}
END_TEST

/* What is here counts, but for what makes it more restrictive. */
START_TEST(test_newer)
{
	struct object *o = known(1, OBJECT_ACTIVE, "vm"), *newer = shown(o, 2, OBJECT_COMPROMISED),
		      *got;
	enum adopted how;

	newer->revocation_code = 2;
	newer->revocation_text = "stolen";
	newer->date[DATE_COMPROMISE] = 77;
	ck_assert(object_attr_remove(newer, "Name", 0));
	ck_assert_int_eq(adopt(o, GONE_UNKNOWN, &how), ERR_OK);
	ck_assert_int_eq(how, ADOPT_NEWER);
	got = stored(o);
	ck_assert_uint_eq(fake_sequence(got), 2);
	ck_assert_int_eq(got->state, OBJECT_COMPROMISED);
	ck_assert_uint_eq(got->revocation_code, 2);
	ck_assert_str_eq(got->revocation_text, "stolen");
	ck_assert_int_eq(got->date[DATE_COMPROMISE], 77);
	ck_assert_ptr_nonnull(object_attr_get(got, "Name", 0));
	shown(o, 3, OBJECT_ACTIVE); /* a rewrap elsewhere, where nothing was known of it */
	ck_assert_int_eq(adopt(o, GONE_UNKNOWN, &how), ERR_OK);
	got = stored(o);
	ck_assert_uint_eq(fake_sequence(got), 3);
	ck_assert_int_eq(got->state, OBJECT_COMPROMISED);
	ck_assert_uint_eq(got->revocation_code, 2);
}
END_TEST

START_TEST(test_equal_sequence)
{
	struct object *o = known(2, OBJECT_ACTIVE, NULL);
	enum adopted how;

	shown(o, 2, OBJECT_DEACTIVATED);
	ck_assert_int_eq(adopt(o, GONE_UNKNOWN, &how), ERR_OK);
	ck_assert_int_eq(how, ADOPT_NEWER);
	ck_assert_int_eq(stored(o)->state, OBJECT_DEACTIVATED);
	shown(o, 2, OBJECT_ACTIVE);
	ck_assert_int_eq(adopt(o, GONE_UNKNOWN, &how), ERR_OK);
	ck_assert_int_eq(how, ADOPT_KNOWN);
	ck_assert_int_eq(stored(o)->state, OBJECT_DEACTIVATED);
}
END_TEST

/* A record that was replaced must not come back, whoever brings it. */
START_TEST(test_lower_sequence)
{
	struct object *o = known(5, OBJECT_COMPROMISED, NULL);

	shown(o, 4, OBJECT_ACTIVE);
	ck_assert_int_eq(adopt(o, GONE_UNKNOWN, NULL), ERR_NO_OBJECT);
	ck_assert_uint_eq(stored(o)->revision, 1);
	ck_assert_uint_eq(fake_sequence(stored(o)), 5);
}
END_TEST

/* Whatever older ones remain: it is gone when the one that counts is. */
START_TEST(test_gone_with_older_left)
{
	struct object *o = known(5, OBJECT_ACTIVE, NULL);
	enum adopted how;

	shown(o, 4, OBJECT_ACTIVE);
	fake.withdrawn = true;
	ck_assert_int_eq(adopt(o, GONE_DESTROYED, NULL), ERR_NO_OBJECT);
	fake.withdrawn = false;
	ck_assert_int_eq(adopt(o, GONE_LATELY, NULL), ERR_NO_OBJECT);
	ck_assert_int_eq(adopt(o, GONE_WITHDRAWN, NULL), ERR_NO_OBJECT);
	ck_assert_int_eq(stored(o)->state, OBJECT_ACTIVE);
	ck_assert_int_eq(adopt(o, GONE_DESTROYED, &how), ERR_OK);
	ck_assert_int_eq(how, ADOPT_DESTROYED);
	ck_assert_int_eq(stored(o)->state, OBJECT_DESTROYED);
	ck_assert(!stored(o)->destroyed_here); /* no client said so here */
}
END_TEST

/* Two gateways made successors at once: the revocation of the one that lost counts all the same. */
START_TEST(test_lower_sequence_revoked)
{
	struct object *o = known(3, OBJECT_DEACTIVATED, NULL);
	enum adopted how;

	shown(o, 2, OBJECT_COMPROMISED)->revocation_code = 2;
	ck_assert_int_eq(adopt(o, GONE_UNKNOWN, &how), ERR_OK);
	ck_assert_int_eq(how, ADOPT_NEWER);
	ck_assert_uint_eq(fake_sequence(stored(o)), 3);
	ck_assert_int_eq(stored(o)->state, OBJECT_COMPROMISED);
	ck_assert_uint_eq(stored(o)->revocation_code, 2);
	ck_assert_int_eq(adopt(o, GONE_UNKNOWN, NULL), ERR_NO_OBJECT);
}
END_TEST

START_TEST(test_another_key)
{
	struct object *o = known(1, OBJECT_ACTIVE, NULL);
	int64_t alarms = metric_get(METRIC_INTEGRITY_ALARMS_TOTAL);

	shown(o, 2, OBJECT_ACTIVE)->digest[7] ^= 1;
	ck_assert_int_eq(adopt(o, GONE_UNKNOWN, NULL), ERR_INTEGRITY);
	ck_assert_int_eq(metric_get(METRIC_INTEGRITY_ALARMS_TOTAL), alarms + 1);
	ck_assert_uint_eq(fake_sequence(stored(o)), 1);
}
END_TEST

/* What does not open is an alarm under the name of an object, else somebody else's. */
START_TEST(test_somebody_elses)
{
	struct object *o = known(1, OBJECT_ACTIVE, NULL), *other = rig_object(&rig, "a", NULL);
	int64_t alarms = metric_get(METRIC_INTEGRITY_ALARMS_TOTAL);

	fake.e = ERR_INTEGRITY;
	ck_assert_int_eq(adopt(other, GONE_UNKNOWN, NULL), ERR_NO_OBJECT);
	ck_assert_int_eq(metric_get(METRIC_INTEGRITY_ALARMS_TOTAL), alarms);
	ck_assert_int_eq(adopt(o, GONE_UNKNOWN, NULL), ERR_INTEGRITY);
	ck_assert_int_eq(metric_get(METRIC_INTEGRITY_ALARMS_TOTAL), alarms + 1);
	ck_assert_uint_eq(stored(o)->revision, 1);
}
END_TEST

/* Under a root key that is not there: what would change nothing is of no use, else nobody can tell. */
START_TEST(test_without_root_key)
{
	static const struct {
		uint64_t sequence;
		enum object_state state;
		enum err e;
	} all[] = {
	    {2, OBJECT_ACTIVE, ERR_NO_OBJECT},
	    {2, OBJECT_COMPROMISED, ERR_NO_ROOT_KEY}, /* a revocation counts whichever record says it */
	    {3, OBJECT_ACTIVE, ERR_OK},
	    {4, OBJECT_ACTIVE, ERR_NO_ROOT_KEY},
	};
	struct object *o = known(3, OBJECT_ACTIVE, NULL), *other = rig_object(&rig, "a", NULL);
	enum adopted how = ADOPT_NEW;

	shown(o, all[_i].sequence, all[_i].state);
	fake.e = ERR_NO_ROOT_KEY;
	ck_assert_int_eq(adopt(o, GONE_UNKNOWN, &how), all[_i].e);
	if (all[_i].e == ERR_OK)
		ck_assert_int_eq(how, ADOPT_KNOWN);
	ck_assert_int_eq(adopt(other, GONE_UNKNOWN, NULL), ERR_NO_ROOT_KEY);
	ck_assert_uint_eq(stored(o)->revision, 1);
}
END_TEST

/* Only a deletion by one of us, some time ago, with nothing in its place, ends an object. */
START_TEST(test_gone)
{
	static const enum vault_gone all[] = {
	    GONE_UNKNOWN, GONE_LATELY, GONE_WITHDRAWN, GONE_DESTROYED};
	struct object *o = known(1, OBJECT_ACTIVE, NULL);
	enum adopted how;

	for (size_t i = 0; i < 3; i++) {
		fake.e = ERR_NO_OBJECT;
		ck_assert_int_eq(adopt(o, all[i], NULL), ERR_NO_OBJECT);
		ck_assert_int_eq(fake.expected, all[i] == GONE_LATELY);
		ck_assert_int_eq(stored(o)->state, OBJECT_ACTIVE);
	}
	shown(o, 2, OBJECT_ACTIVE);
	ck_assert_int_eq(adopt(o, GONE_DESTROYED, &how), ERR_OK);
	ck_assert_int_eq(how, ADOPT_NEWER);
	shown(o, 3, OBJECT_ACTIVE);
	for (enum err e = ERR_INVALID_MESSAGE; e <= ERR_CONFIG; e++) {
		if (e == ERR_NO_OBJECT)
			continue;
		fake.e = e;
		ck_assert_int_eq(adopt(o, GONE_DESTROYED, NULL), e);
		ck_assert_int_eq(stored(o)->state, OBJECT_ACTIVE);
	}
	fake.e = ERR_NO_OBJECT;
	ck_assert_int_eq(adopt(o, GONE_DESTROYED, &how), ERR_OK);
	ck_assert_int_eq(how, ADOPT_DESTROYED);
	ck_assert_int_eq(stored(o)->state, OBJECT_DESTROYED);
	ck_assert_int_eq(stored(o)->date[DATE_DESTROY], clock_wall());
	ck_assert_ptr_null(stored(o)->record);
	shown(o, 9, OBJECT_ACTIVE); /* restored by mistake */
	ck_assert_int_eq(adopt(o, GONE_UNKNOWN, &how), ERR_OK);
	ck_assert_int_eq(how, ADOPT_KNOWN);
	ck_assert_int_eq(stored(o)->state, OBJECT_DESTROYED);
}
END_TEST

/* Its successor was deleted by somebody else, who may bring it back: so it is not Destroyed. */
START_TEST(test_withdrawn)
{
	struct object *o = known(1, OBJECT_ACTIVE, NULL);
	enum adopted how;

	fake.e = ERR_NO_OBJECT;
	fake.withdrawn = true;
	ck_assert_int_eq(adopt(o, GONE_DESTROYED, NULL), ERR_NO_OBJECT);
	ck_assert(fake.last_words);
	ck_assert_int_eq(stored(o)->state, OBJECT_ACTIVE);
	shown(o, 2, OBJECT_DEACTIVATED);
	ck_assert_int_eq(adopt(o, GONE_DESTROYED, &how), ERR_OK);
	ck_assert_int_eq(how, ADOPT_NEWER);
	ck_assert_int_eq(stored(o)->state, OBJECT_DEACTIVATED);
}
END_TEST

START_TEST(test_compromised_and_gone)
{
	struct object *o = known(1, OBJECT_COMPROMISED, NULL);

	fake.e = ERR_NO_OBJECT;
	ck_assert_int_eq(adopt(o, GONE_DESTROYED, NULL), ERR_OK);
	ck_assert_int_eq(stored(o)->state, OBJECT_DESTROYED_COMPROMISED);
}
END_TEST

/* Two gateways gave one Name to two objects: nobody loses a key for that. */
START_TEST(test_name_taken)
{
	struct object *o;
	enum adopted how;

	known(1, OBJECT_ACTIVE, "vm");
	o = shown(rig_object(&rig, "a", "vm"), 1, OBJECT_ACTIVE);
	ck_assert_int_eq(adopt(o, GONE_UNKNOWN, &how), ERR_OK);
	ck_assert_int_eq(how, ADOPT_NEW);
	ck_assert_ptr_null(object_attr_get(stored(o), "Name", 0));
}
END_TEST

/* What is due by then. */
static void
pass(int64_t ns)
{
	for (int64_t step = 20 * NS_PER_MS; ns > 0; ns -= step) {
		clock_test_advance(step);
		do
			loop_turn(rig.loop, false);
		while (store_pending(rig.store) > 0);
		loop_turn(rig.loop, false);
	}
}

/* A message is at work on the object: it is waited for, but not for ever. */
START_TEST(test_locked)
{
	struct object *o = known(1, OBJECT_ACTIVE, NULL);
	struct change change = {CHANGE_REPLACE, stored(o)};
	struct ledger_changes c = {.changes = &change, .count = 1};
	struct adopt a = {.loop = rig.loop, .vault = &fake.vault, .ledger = rig.ledger,
	    .tenant = "a", .uid = o->uid};
	struct outcome out;

	if (_i == 1) /* whose waiter has less time than that */
		a.terms.deadline = clock_now() + NS_PER_S;
	a.terms.background = _i == 4; /* nobody waits: a later round meets it again */
	ck_assert_int_eq(rig_prepare(&rig, &c), ERR_OK);
	shown(o, 2, OBJECT_DEACTIVATED);
	rig_begin(&a.wait, &out);
	adopt_start(&a);
	pass(NS_PER_S - 100 * NS_PER_MS);
	ck_assert_int_eq(out.done, _i == 1 || _i == 4);
	if (_i == 2) {
		ck_assert_int_eq(rig_commit(&rig, &c), ERR_OK);
		pass(NS_PER_S);
		ck_assert_int_eq(rig_end(&rig, &out), ERR_OK);
	} else if (_i == 3) {
		wait_cancel(&a.wait);
	} else {
		pass(5 * NS_PER_S);
		ck_assert(out.done);
		ck_assert_int_eq(out.e, ERR_BUSY);
		ck_assert_int_eq(rig_commit(&rig, &c), ERR_OK);
		ck_assert_int_eq(adopt(o, GONE_UNKNOWN, NULL), ERR_OK);
	}
	if (_i != 3)
		ck_assert_int_eq(stored(o)->state, OBJECT_DEACTIVATED);
}
END_TEST

START_TEST(test_cancel)
{
	struct object *o = known(1, OBJECT_ACTIVE, NULL);
	struct adopt a = {.loop = rig.loop, .vault = &fake.vault, .ledger = rig.ledger,
	    .tenant = "a", .uid = o->uid};
	struct outcome out;

	for (unsigned turns = 0; turns < 6; turns++) {
		memset(&a.find, 0, sizeof(a.find));
		shown(o, 2 + turns, OBJECT_ACTIVE);
		rig_begin(&a.wait, &out);
		adopt_start(&a);
		for (unsigned i = 0; i < turns && !out.done; i++)
			loop_turn(rig.loop, false);
		wait_cancel(&a.wait);
		loop_turn(rig.loop, false);
	}
}
END_TEST

/* --- look-ups --- */

int
main(void)
{
	Suite *s = suite_create("adopt");
	TCase *t = tcase_create("adopt");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_new);
	tcase_add_test(t, test_newer);
	tcase_add_test(t, test_equal_sequence);
	tcase_add_test(t, test_lower_sequence);
	tcase_add_test(t, test_lower_sequence_revoked);
	tcase_add_test(t, test_gone_with_older_left);
	tcase_add_test(t, test_another_key);
	tcase_add_test(t, test_somebody_elses);
	tcase_add_loop_test(t, test_without_root_key, 0, 4);
	tcase_add_test(t, test_gone);
	tcase_add_test(t, test_withdrawn);
	tcase_add_test(t, test_compromised_and_gone);
	tcase_add_test(t, test_name_taken);
	tcase_add_loop_test(t, test_locked, 0, 5);
	tcase_add_test(t, test_cancel);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
