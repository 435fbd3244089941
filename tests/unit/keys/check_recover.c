/* SPDX-License-Identifier: Apache-2.0 */
/* Recovery: what becomes of intents whose message is gone, and that live ones are left alone. */
#include <signal.h>
#include <string.h>

#include <check.h>

#include "base/clock.h"
#include "base/secret.h"
#include "job.h"
#include "kprecord.h"
#include "wire.h"

static struct rig rig;
static struct recover rec;

static void
setup(void)
{
	rig_init(&rig);
	rig_start(&rig);
}

static void
teardown(void)
{
	rig_fini(&rig);
}

static struct object *
created(void)
{
	struct object *o = rig_object(&rig, "a", NULL);
	enum err e;

	ck_assert_int_eq(rig_create(&rig, o), ERR_OK);
	o = rig_load(&rig, "a", o->uid, &e);
	ck_assert_int_eq(e, ERR_OK);
	return o;
}

/* Intents, what the vault does for the first one, and the process that wrote them gone. */
static void
leave_intents(enum change_kind kind, struct object *o, bool act, struct object *updated)
{
	struct change changes[2] = {{kind, o}, {CHANGE_UPDATE, updated}};
	struct ledger_changes c = {.changes = changes, .count = updated != NULL ? 2 : 1};

	ck_assert_int_eq(rig_prepare(&rig, &c), ERR_OK);
	if (act)
		ck_assert_int_eq(rig_vault(&rig, kind == CHANGE_INSERT
		    ? rig.vault->ops->store : rig.vault->ops->destroy, o), ERR_OK);
	rig_stop(&rig);
	rig_start(&rig);
}

static void
leave_intent(enum change_kind kind, struct object *o, bool act)
{
	leave_intents(kind, o, act, NULL);
}

static enum err
state_of(const char *tenant, const char *uid, struct object **o, bool *found)
{
	enum err e;

	*o = rig_load(&rig, tenant, uid, &e);
	ck_assert_int_eq(rig_probe(&rig, tenant, uid, found), ERR_OK);
	return e;
}

START_TEST(test_create_not_stored)
{
	struct object *o = rig_object(&rig, "a", NULL), *got;
	bool found;

	leave_intent(CHANGE_INSERT, o, false);
	ck_assert_int_eq(rig_create(&rig, o), ERR_CONFLICT); /* until it is settled */
	ck_assert_int_eq(rig_recover(&rig, &rec), ERR_OK);
	ck_assert_uint_eq(rec.creates_undone, 1);
	ck_assert_int_eq(state_of("a", o->uid, &got, &found), ERR_NO_OBJECT);
	ck_assert(!found);
	ck_assert_int_eq(rig_create(&rig, o), ERR_OK);
}
END_TEST

START_TEST(test_create_stored)
{
	struct object *o = rig_object(&rig, "a", NULL), *got;
	bool found;

	leave_intent(CHANGE_INSERT, o, true);
	ck_assert_int_eq(state_of("a", o->uid, &got, &found), ERR_NO_OBJECT);
	ck_assert(found);
	ck_assert_int_eq(rig_recover(&rig, &rec), ERR_OK);
	ck_assert_int_eq(state_of("a", o->uid, &got, &found), ERR_NO_OBJECT);
	ck_assert(!found);
}
END_TEST

START_TEST(test_destroy_not_done)
{
	struct object *o = created(), *got;
	bool found;

	leave_intent(CHANGE_DESTROY, o, false);
	ck_assert_int_eq(rig_recover(&rig, &rec), ERR_OK);
	ck_assert_uint_eq(rec.destroys_undone, 1);
	ck_assert_int_eq(state_of("a", o->uid, &got, &found), ERR_OK);
	ck_assert(found);
	ck_assert_uint_eq(got->revision, 1);
	ck_assert_int_eq(got->state, OBJECT_PRE_ACTIVE);
	ck_assert_int_eq(rig_update(&rig, got), ERR_OK);
}
END_TEST

START_TEST(test_destroy_done)
{
	struct object *o = created(), *got;
	bool compromised = _i == 1, found;
	enum err e;

	if (compromised) {
		o->state = OBJECT_COMPROMISED;
		ck_assert_int_eq(rig_update(&rig, o), ERR_OK);
		o = rig_load(&rig, "a", o->uid, &e);
	}
	leave_intent(CHANGE_DESTROY, o, true);
	ck_assert_int_eq(rig_recover(&rig, &rec), ERR_OK);
	ck_assert_uint_eq(rec.destroys_done, 1);
	ck_assert_int_eq(state_of("a", o->uid, &got, &found), ERR_OK);
	ck_assert(!found);
	ck_assert_int_eq(got->state, compromised ? OBJECT_DESTROYED_COMPROMISED : OBJECT_DESTROYED);
	ck_assert_ptr_null(got->record);
	ck_assert_int_ne(got->date[DATE_DESTROY], NO_DATE);
	ck_assert_int_eq(rig_recover(&rig, &rec), ERR_OK);
	ck_assert_uint_eq(rec.destroys_done, 0);
}
END_TEST

/* It is in another kind of vault than the tenant has just now: that nothing of it is here proves nothing. */
START_TEST(test_destroy_of_another_vaults)
{
	struct object *o = rig_object(&rig, "a", NULL), *got;
	struct change change = {.kind = CHANGE_INSERT, .object = o};
	struct ledger_changes c = {.changes = &change, .count = 1};
	bool found;

	rig_as_in_keyprotect(&rig, o);
	kprecord_set_id(o, o->uid);
	ck_assert_int_eq(rig_prepare(&rig, &c), ERR_OK);
	ck_assert_int_eq(rig_commit(&rig, &c), ERR_OK);
	ck_assert_int_eq(state_of("a", o->uid, &got, &found), ERR_OK);
	leave_intent(CHANGE_DESTROY, got, false);
	ck_assert_int_eq(rig_recover(&rig, &rec), ERR_OK);
	ck_assert_int_eq(state_of("a", o->uid, &got, &found), ERR_OK);
	ck_assert_int_eq(got->state, OBJECT_PRE_ACTIVE);
	ck_assert(!got->destroyed_here);
	ck_assert_int_eq(rig_update(&rig, got), ERR_OK); /* nothing is in doubt */
}
END_TEST

/* What a message changes besides is unlocked, with its record as it was, or not even looked for. */
START_TEST(test_update_is_dropped)
{
	const char *tenant = _i < 2 ? "a" : "unknown";
	struct object *doomed = rig_object(&rig, tenant, NULL), *other, *got, *rival;
	bool act = _i != 1, found;
	enum err e;

	ck_assert_int_eq(rig_create(&rig, doomed), ERR_OK);
	doomed = rig_load(&rig, tenant, doomed->uid, &e);
	other = rig_object(&rig, tenant, NULL);
	ck_assert_int_eq(rig_create(&rig, other), ERR_OK);
	other = rig_load(&rig, tenant, other->uid, &e);
	other->usage_mask = 77;
	ck_assert_int_eq(object_attr_set(other, rig.arena, "Name", 4, 0, (const uint8_t *)"n", 1),
	    ERR_OK);
	leave_intents(CHANGE_DESTROY, doomed, act, other);
	ck_assert_int_eq(rig_update(&rig, other), ERR_CONFLICT); /* until it is settled */
	ck_assert_int_eq(rig_recover(&rig, &rec), _i < 2 ? ERR_OK : ERR_CONFIG);
	ck_assert_uint_eq(rec.updates_undone, 1);
	ck_assert_uint_eq(rec.destroys_done, _i == 0);
	ck_assert_uint_eq(rec.destroys_undone, _i == 1);
	ck_assert_uint_eq(rec.left, _i == 2);
	ck_assert_int_eq(state_of(tenant, other->uid, &got, &found), ERR_OK);
	ck_assert(found);
	ck_assert_uint_eq(got->revision, 1);
	ck_assert_uint_eq(got->usage_mask, 12);
	rival = rig_object(&rig, tenant, "n"); /* the name that it had claimed is free */
	ck_assert_int_eq(rig_create(&rig, rival), ERR_OK);
	ck_assert_int_eq(rig_update(&rig, got), ERR_OK);
}
END_TEST

/* A message that is at work keeps its intents, also when the child was restarted under it. */
START_TEST(test_live_is_left)
{
	struct object *o = rig_object(&rig, "a", NULL);
	struct change change = {CHANGE_INSERT, o};
	struct ledger_changes c = {.changes = &change, .count = 1};
	enum err e;

	ck_assert_int_eq(rig_prepare(&rig, &c), ERR_OK);
	kill(store_pid(rig.store), SIGKILL);
	while (rig.restarted == 0)
		loop_turn(rig.loop, true);
	ck_assert_int_eq(rig_recover(&rig, &rec), ERR_OK);
	ck_assert_uint_eq(rec.creates_undone, 0);
	ck_assert_int_eq(rig_vault(&rig, rig.vault->ops->store, o), ERR_OK);
	ck_assert_int_eq(rig_commit(&rig, &c), ERR_OK);
	rig_load(&rig, "a", o->uid, &e);
	ck_assert_int_eq(e, ERR_OK);
	ck_assert_int_eq(rig_recover(&rig, &rec), ERR_OK);
	ck_assert_uint_eq(rec.creates_undone + rec.left, 0);
}
END_TEST

/* Once disowned it is recovery's, and its message cannot come back to it. */
START_TEST(test_disowned)
{
	struct object *o = rig_object(&rig, "a", NULL), *got;
	struct change change = {CHANGE_INSERT, o};
	struct ledger_changes c = {.changes = &change, .count = 1};
	bool found;

	ck_assert_int_eq(rig_prepare(&rig, &c), ERR_OK);
	ck_assert_int_eq(rig_vault(&rig, rig.vault->ops->store, o), ERR_OK);
	rig.ledger->ops->disown(rig.ledger, &c);
	ck_assert_int_eq(rig.orphaned, 1);
	ck_assert_int_eq(rig_recover(&rig, &rec), ERR_OK);
	ck_assert_uint_eq(rec.creates_undone, 1);
	ck_assert_int_eq(rig_commit(&rig, &c), ERR_CONFLICT);
	ck_assert_int_eq(state_of("a", o->uid, &got, &found), ERR_NO_OBJECT);
	ck_assert(!found);
}
END_TEST

START_TEST(test_unknown_tenant)
{
	struct object *o = rig_object(&rig, "unknown", NULL);

	leave_intent(CHANGE_INSERT, o, true);
	leave_intent(CHANGE_INSERT, rig_object(&rig, "a", NULL), true);
	ck_assert_int_eq(rig_recover(&rig, &rec), ERR_CONFIG);
	ck_assert_uint_eq(rec.left, 1);
	ck_assert_uint_eq(rec.creates_undone, 1); /* the other one was settled nevertheless */
}
END_TEST

/* More than a list holds, of which none can be settled: those behind them are, all the same. */
START_TEST(test_behind_a_full_list)
{
	enum { LISTS = WIRE_INTENTS_MAX / WIRE_CHANGES_MAX + 1 };
	static struct change changes[LISTS][WIRE_CHANGES_MAX];
	static struct ledger_changes all[LISTS];
	struct object *o = rig_object(&rig, "unknown", NULL), *copy;

	for (size_t i = 0; i < LISTS; i++) {
		for (size_t k = 0; k < WIRE_CHANGES_MAX; k++) {
			copy = arena_copy(rig.arena, o, sizeof(*o));
			ck_assert_ptr_nonnull(copy);
			ck_assert_int_eq(text_uuid7(copy->uid), ERR_OK);
			changes[i][k] = (struct change){CHANGE_INSERT, copy};
		}
		all[i] = (struct ledger_changes){.changes = changes[i], .count = WIRE_CHANGES_MAX};
		ck_assert_int_eq(rig_prepare(&rig, &all[i]), ERR_OK);
	}
	leave_intent(CHANGE_INSERT, rig_object(&rig, "a", NULL), true);
	ck_assert_int_eq(rig_recover(&rig, &rec), ERR_CONFIG);
	ck_assert_uint_eq(rec.left, LISTS * WIRE_CHANGES_MAX);
	ck_assert_uint_eq(rec.creates_undone, 1);
}
END_TEST

START_TEST(test_settle_needs_the_owner)
{
	struct object *o = created(), *got;
	struct change change = {CHANGE_DESTROY, o};
	struct ledger_changes c = {.changes = &change, .count = 1};
	struct ledger_settle settle = {.tenant = "a", .uid = o->uid, .destroyed = true};
	struct outcome out;
	bool found;

	ck_assert_int_eq(rig_prepare(&rig, &c), ERR_OK);
	settle.owner = c.owner ^ 2;
	rig_begin(&settle.wait, &out);
	rig.ledger->ops->settle(rig.ledger, &settle);
	ck_assert_int_eq(rig_end(&rig, &out), ERR_OK);
	ck_assert_int_eq(state_of("a", o->uid, &got, &found), ERR_OK);
	ck_assert_int_eq(got->state, OBJECT_PRE_ACTIVE);
	ck_assert_int_eq(rig_update(&rig, got), ERR_CONFLICT); /* the intent is still there */
}
END_TEST

START_TEST(test_cancel)
{
	struct outcome out;

	leave_intent(CHANGE_INSERT, rig_object(&rig, "a", NULL), true);
	memset(&rec, 0, sizeof(rec));
	rec.ledger = rig.ledger;
	rig_begin(&rec.wait, &out);
	recover_start(&rec, rig.loop);
	wait_cancel(&rec.wait);
	while (store_pending(rig.store) > 0)
		loop_turn(rig.loop, true);
	ck_assert(!out.done);
	ck_assert_int_eq(rig_recover(&rig, &rec), ERR_OK);
	ck_assert_uint_eq(rec.creates_undone, 1);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("recover");
	TCase *t = tcase_create("recover");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_create_not_stored);
	tcase_add_test(t, test_create_stored);
	tcase_add_test(t, test_destroy_not_done);
	tcase_add_loop_test(t, test_destroy_done, 0, 2);
	tcase_add_test(t, test_destroy_of_another_vaults);
	tcase_add_loop_test(t, test_update_is_dropped, 0, 3);
	tcase_add_test(t, test_live_is_left);
	tcase_add_test(t, test_disowned);
	tcase_add_test(t, test_unknown_tenant);
	tcase_add_test(t, test_behind_a_full_list);
	tcase_add_test(t, test_settle_needs_the_owner);
	tcase_add_test(t, test_cancel);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
