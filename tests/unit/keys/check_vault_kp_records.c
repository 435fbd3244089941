/* SPDX-License-Identifier: Apache-2.0 */
/* Several records of one object: which one counts, and what becomes of the others. */
#include <check.h>
#include <string.h>

#include "base/clock.h"
#include "kpcase.h"

/* A successor as a gateway makes it that knows o. */
static struct object *
successor_of(const struct object *o, enum object_state state)
{
	struct object *next = arena_zalloc(rig->arena, sizeof(*next));
	struct secret *key;

	*next = *o;
	next->state = state;
	ck_assert_int_eq(kprig_unwrap(rig, o, &key), ERR_OK);
	ck_assert_int_eq(kprig_make(rig, next, &key), ERR_OK);
	secret_unref(key);
	ck_assert_int_eq(kprig_store(rig, next), ERR_OK);
	return next;
}

/* Where nobody may delete, each rewrap and each Revoke leaves a record of that name behind. */
static struct object *
many_records(unsigned count)
{
	struct object *o = kpcase_key();

	for (unsigned i = 1; i < count; i++)
		o = successor_of(o, OBJECT_ACTIVE);
	ck_assert_uint_eq(rig->vault->ops->sequence(o), count);
	return o;
}

START_TEST(test_find_newest_of_many)
{
	struct object *o = many_records(50);
	struct vault_find f = {.record_id = NULL};

	rig->too_broad = _i != 0;
	ck_assert_int_eq(kprig_find(rig, &f, o), ERR_OK);
	ck_assert_uint_eq(rig->vault->ops->sequence(f.object), 50);
	ck_assert_int_eq(rig->vault->ops->order(f.object, o), 0);
}
END_TEST

/* It says which one it was that would count, whether or not it is alone or asked for by its id. */
START_TEST(test_find_without_root_key)
{
	struct object *o = many_records(1 + (unsigned)_i);
	struct vault_find f = {.record_id = NULL}, one = {.record_id = rig->keys[_i].id};

	for (int state = 2; state <= 5; state += 3) {
		rig->root_state = state;
		ck_assert_int_eq(kprig_find(rig, &f, o), ERR_NO_ROOT_KEY);
		ck_assert_int_eq(rig->vault->ops->order(f.unopened, o), 0);
		ck_assert_int_eq(f.suspended, state == 2);
		ck_assert_int_eq(kprig_find(rig, &one, o), ERR_NO_ROOT_KEY);
		ck_assert_int_eq(rig->vault->ops->order(one.unopened, o), 0);
	}
	rig->root_state = 1;
	rig->fault = (struct spoiled){"POST", "/unwrap", 1, SPOIL_STATUS, 400, NULL,
	    "{\"resources\":[{\"errorMsg\":\"CKR_IBM_WK_NOT_INITIALIZED\"}]}"};
	ck_assert_int_eq(kprig_find(rig, &f, o), ERR_NO_ROOT_KEY);
	ck_assert(f.suspended);
	ck_assert_int_eq(kprig_find(rig, &f, o), ERR_OK);
}
END_TEST

START_TEST(test_destroy_many)
{
	struct object *o = many_records(50);

	rig->too_broad = _i != 0;
	ck_assert_int_eq(kprig_destroy(rig, o), ERR_OK);
	ck_assert_uint_eq(kpcase_live(), 0);
}
END_TEST

/* The record that is known goes last: what fails, or is refused, leaves the key as it was. */
START_TEST(test_destroy_known_last)
{
	struct object *o = kpcase_key();

	successor_of(o, OBJECT_DEACTIVATED); /* by another gateway */
	rig->fault = (struct spoiled){"DELETE", rig->keys[0].id, 99, SPOIL_STATUS, 403, NULL, ""};
	ck_assert_int_eq(kprig_destroy(rig, o), ERR_DENIED);
	ck_assert_int_eq(rig->keys[0].state, 1);
	ck_assert_int_eq(rig->keys[1].state, 5);
	rig->fault.times = 0;
	ck_assert_int_eq(kprig_destroy(rig, o), ERR_OK);
	ck_assert_uint_eq(kpcase_live(), 0);
}
END_TEST

/* The answer to the last one's create was lost. */
START_TEST(test_create_lost_among_many)
{
	struct object *o = many_records(20), next = *o;

	ck_assert_int_eq(kprig_make(rig, &next, NULL), ERR_OK);
	rig->fault = (struct spoiled){"POST", "/api/v2/keys", 1, SPOIL_RESET_AFTER, 0, NULL, NULL};
	ck_assert_int_eq(kprig_store(rig, &next), ERR_OK);
	ck_assert_uint_eq(kpcase_live(), 21);
	ck_assert_mem_eq(next.record, rig->keys[20].id, 36);
}
END_TEST

/* Two gateways replace one record at once: each finds the same one, in whatever order they came. */
START_TEST(test_successors_at_once)
{
	static const struct {
		enum object_state a, b;
		unsigned wins;
	} all[] = {{OBJECT_ACTIVE, OBJECT_ACTIVE, 1}, {OBJECT_ACTIVE, OBJECT_COMPROMISED, 2},
	    {OBJECT_COMPROMISED, OBJECT_ACTIVE, 1}};
	struct object *o = kpcase_key(), *a = successor_of(o, all[_i].a),
		      *b = successor_of(o, all[_i].b), *wins = all[_i].wins == 1 ? a : b;
	struct vault_find f = {.record_id = NULL};

	ck_assert_int_eq(kprig_find(rig, &f, o), ERR_OK);
	ck_assert_int_eq(rig->vault->ops->order(f.object, wins), 0);
	ck_assert_int_eq(f.object->state, wins->state);
	ck_assert_int_gt(rig->vault->ops->order(wins, wins == a ? b : a), 0);
	ck_assert_int_lt(rig->vault->ops->order(wins == a ? b : a, wins), 0);
	ck_assert_int_eq(kprig_retire(rig, wins, wins == a ? b : a), ERR_OK); /* does nothing */
	ck_assert_uint_eq(kpcase_live(), 3);
	ck_assert_int_eq(kprig_retire(rig, wins == a ? b : a, wins), ERR_OK);
	ck_assert_int_eq(kprig_retire(rig, o, wins), ERR_OK);
	ck_assert_uint_eq(kpcase_live(), 1);
	ck_assert_int_eq(kprig_unwrap(rig, wins, NULL), ERR_OK);
}
END_TEST

/* A revocation counts that only an older record says, and that one stays for those who come later. */
START_TEST(test_revoked_by_an_older_one)
{
	struct object *o = kpcase_key(), *lost = successor_of(o, OBJECT_COMPROMISED),
		      *newest = successor_of(successor_of(o, OBJECT_ACTIVE), OBJECT_DEACTIVATED);
	struct vault_find f = {.record_id = NULL};

	ck_assert_int_eq(kprig_find(rig, &f, o), ERR_OK);
	ck_assert_uint_eq(rig->vault->ops->sequence(f.object), 3);
	ck_assert_int_eq(f.object->state, OBJECT_COMPROMISED);
	ck_assert_int_eq(kprig_retire(rig, lost, newest), ERR_OK);
	ck_assert_int_eq(rig->keys[1].state, 1);
	newest = successor_of(f.object, OBJECT_COMPROMISED);
	ck_assert_int_eq(kprig_retire(rig, lost, newest), ERR_OK);
	ck_assert_int_eq(rig->keys[1].state, 5);
}
END_TEST

/* Nothing is deleted whose successor is not there, or not where others look for it. */
START_TEST(test_retire_left_behind)
{
	struct object *o = kpcase_key(), *next = successor_of(o, OBJECT_DEACTIVATED);
	struct fake_key *k = &rig->keys[1];

	clock_test_advance(600 * NS_PER_S); /* long ago */
	k->state = 5;
	ck_assert_int_eq(kprig_retire(rig, o, next), ERR_NO_OBJECT);
	k->state = 1;
	k->name[0] = 'x';
	ck_assert_int_eq(kprig_retire(rig, o, next), ERR_NO_OBJECT);
	k->name[0] = 'v';
	ck_assert_int_eq(rig->keys[0].state, 1);
	rig->lists = 0;
	ck_assert_int_eq(kprig_retire(rig, o, next), ERR_OK);
	ck_assert_int_eq(rig->keys[0].state, 5);
	ck_assert_uint_eq(rig->lists, 0); /* what is so old is in all lists */
	ck_assert_int_eq(kprig_unwrap(rig, next, NULL), ERR_OK);
}
END_TEST

/* The prefix was changed here: a gateway that has the old one yet finds no successor of that name. */
START_TEST(test_retire_of_another_name)
{
	struct object *o = kpcase_key(), *next;
	struct fake_key *k = &rig->keys[0];

	rig->params.name_prefix = "keyferry";
	kprig_vault(rig);
	next = successor_of(o, OBJECT_DEACTIVATED);
	clock_test_advance(_i == 0 ? 0 : 600 * NS_PER_S);
	ck_assert_int_eq(kprig_retire(rig, o, next), ERR_OK);
	ck_assert_uint_eq(rig->deletes, 0);
	rig->fault = (struct spoiled){"GET", k->id, 99, SPOIL_STATUS, 503, NULL, ""};
	ck_assert_int_eq(kprig_retire(rig, o, next), ERR_VAULT_DOWN); /* not known under which name */
	ck_assert_uint_eq(rig->deletes, 0);
	rig->fault.times = 0;
	strcpy(k->name, rig->keys[1].name);
	ck_assert_int_eq(kprig_retire(rig, o, next), ERR_OK);
	ck_assert_uint_eq(kpcase_live(), 1);
	ck_assert_int_eq(k->state, 5);
	rig->deletes = 0;
	ck_assert_int_eq(kprig_retire(rig, o, next), ERR_OK); /* it is gone */
	ck_assert_uint_eq(rig->deletes, 0);
}
END_TEST

/* Who may not delete does not try with each record. */
START_TEST(test_retire_refused)
{
	struct object *o = kpcase_key(), *next = successor_of(o, OBJECT_DEACTIVATED);
	unsigned deletes;

	clock_test_advance(600 * NS_PER_S);
	rig->writer_only = true;
	ck_assert_int_eq(kprig_retire(rig, o, next), ERR_DENIED);
	deletes = rig->deletes;
	ck_assert_int_eq(kprig_retire(rig, o, next), ERR_DENIED);
	ck_assert_uint_eq(rig->deletes, deletes);
	rig->writer_only = false;
	clock_test_advance(600 * NS_PER_S);
	ck_assert_int_eq(kprig_retire(rig, o, next), ERR_OK);
	ck_assert_int_eq(rig->keys[0].state, 5);
}
END_TEST

/* --- probing and finding --- */

/* The record's own word counts; where it is not found, that proves nothing. */
START_TEST(test_probe)
{
	struct object *o = kpcase_key();
	enum vault_gone gone;
	bool found;

	rig->params.name_prefix = "another";
	kprig_vault(rig);
	ck_assert_int_eq(kprig_probe_gone(rig, o, &found, &gone), ERR_OK);
	ck_assert(found);
	clock_test_advance(600 * NS_PER_S);
	rig->fault = (struct spoiled){
	    "GET", "/metadata", 1, SPOIL_STATUS, 404, "", KP_BODY("KEY_NOT_FOUND_ERR")};
	ck_assert_int_eq(kprig_probe_gone(rig, o, &found, &gone), ERR_OK);
	ck_assert(!found && gone == GONE_UNKNOWN); /* perhaps in another ring */
	kprig_delete(&rig->keys[0], "us");
	ck_assert_int_eq(kprig_probe_gone(rig, o, &found, &gone), ERR_OK);
	ck_assert(!found && gone == GONE_LATELY);
	clock_test_advance(11 * NS_PER_S);
	ck_assert_int_eq(kprig_probe_gone(rig, o, &found, &gone), ERR_OK);
	ck_assert(!found && gone == GONE_DESTROYED);
	rig->keys[0].deleted_by = "customer";
	ck_assert_int_eq(kprig_probe_gone(rig, o, &found, &gone), ERR_OK);
	ck_assert(!found && gone == GONE_WITHDRAWN);
}
END_TEST

/* Another gateway named the object, whose clock is half a minute before ours, or behind. */
START_TEST(test_clocks_differ)
{
	struct object *o = kpcase_key();
	struct vault_find f = {.record_id = NULL};

	clock_test_jump((_i == 0 ? 30 : -30) * NS_PER_S, 0);
	rig->lag = 3;
	ck_assert_int_eq(kprig_find(rig, &f, o), ERR_OK);
}
END_TEST

/* Who has no time to wait until the lists show what is new does not take it for gone. */
START_TEST(test_lag_ends_late)
{
	struct object *o = kpcase_key();
	struct vault_find f = {.terms.deadline = clock_now() + 3 * NS_PER_S};
	int64_t began = clock_now();

	rig->lag = 100;
	ck_assert_int_eq(kprig_find(rig, &f, o), ERR_DEADLINE);
	ck_assert_int_lt(clock_now() - began, 3 * NS_PER_S);
	ck_assert_uint_ge(rig->lists, 4);
	f = (struct vault_find){.record_id = NULL};
	ck_assert_int_eq(kprig_find(rig, &f, o), ERR_NO_OBJECT);
	rig->lag = 0;
	ck_assert_int_eq(kprig_find(rig, &f, o), ERR_OK);
}
END_TEST

/* A list shows the record that was just made, and another server does not know it yet. */
START_TEST(test_read_lags)
{
	struct object *o = kpcase_key();
	struct vault_find f = {.record_id = rig->keys[0].id, .expected = true};

	clock_test_advance(600 * NS_PER_S);
	rig->fault = (struct spoiled){
	    "GET", "/keys/", 2, SPOIL_STATUS, 404, "", KP_BODY("KEY_NOT_FOUND_ERR")};
	ck_assert_int_eq(kprig_find(rig, &f, o), ERR_OK);
	f.expected = false;
	rig->fault.times = 2;
	ck_assert_int_eq(kprig_find(rig, &f, o), ERR_NO_OBJECT);
}
END_TEST

static enum err
find_last_words(const struct object *o, bool *withdrawn)
{
	struct vault_find f = {.last_words = true};
	enum err e = kprig_find(rig, &f, o);

	*withdrawn = f.withdrawn;
	return e;
}

/*
 * With nothing left, the record that was made last says whether anything may come back; but one that
 * a gateway deleted may have made way for an older one of the same sequence.
 */
START_TEST(test_last_words)
{
	static const struct {
		const char *first;
		int first_at;
		const char *second;
		int second_at;
		bool at_once, withdrawn;
	} deletions[] = {
	    {"us", 0, "us", 0, false, false},	      /* destroyed */
	    {"us", 0, "customer", 600, false, true}, /* retired, then its successor was deleted */
	    {"us", 600, "customer", 0, false, true},
	    {"customer", 0, "us", 600, false, false}, /* it was not there to make way for */
	    {"customer", 600, "us", 0, false, true},
	    {"customer", 0, "us", 60, false, true}, /* while the other was being retired */
	    {"customer", 0, "customer", 0, false, true},
	    {"us", 0, "customer", 0, true, true}, /* in one second: no key is given up for that */
	    {"customer", 0, "us", 600, true, true},
	};
	struct object *o = kpcase_key();
	int64_t began = clock_wall();
	bool withdrawn;

	rig->too_broad = _i != 0;
	rig->keys[1] = rig->keys[0];
	rig->keys_count = 2;
	rig->keys[1].id[35] = 'f';
	clock_test_advance(10 * NS_PER_S);
	for (size_t i = 0; i < sizeof(deletions) / sizeof(*deletions); i++) {
		fake_key_deleted(&rig->keys[0], deletions[i].first, began + deletions[i].first_at);
		fake_key_deleted(&rig->keys[1], deletions[i].second, began + deletions[i].second_at);
		strcpy(rig->keys[1].created,
		    deletions[i].at_once ? rig->keys[0].created : "2025-10-09T09:00:00Z");
		ck_assert_int_eq(find_last_words(o, &withdrawn), ERR_NO_OBJECT);
		ck_assert_int_eq(withdrawn, deletions[i].withdrawn);
	}
	rig->keys[1].state = 1; /* as a list shows it, but then it is gone: nobody knows whose doing */
	rig->fault = (struct spoiled){
	    "GET", "/keys/", 1, SPOIL_STATUS, 410, NULL, KP_BODY("KEY_DELETED_ERR")};
	ck_assert_int_eq(find_last_words(o, &withdrawn), ERR_NO_OBJECT);
	ck_assert(withdrawn);
	ck_assert_int_eq(find_last_words(o, &withdrawn), ERR_OK);
}
END_TEST

/* --- how many, how fast --- */

/* Else a key that another gateway moved to a new record would be taken for destroyed. */
START_TEST(test_unreadable_is_not_absent)
{
	static const char *const bodies[] = {"", "{", "<html>", "{\"resources\":[{\"id\":1}]}"};
	struct object *o = kpcase_key();
	bool withdrawn;

	for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++) {
		rig->fault =
		    (struct spoiled){"GET", "/keys/", 9999, SPOIL_STATUS, 200, NULL, bodies[i]};
		ck_assert_msg(find_last_words(o, &withdrawn) == ERR_VAULT_DOWN, "%s", bodies[i]);
	}
	rig->fault.times = 0;
	ck_assert_int_eq(find_last_words(o, &withdrawn), ERR_OK);
}
END_TEST

static void
add(TCase *t)
{
	tcase_add_loop_test(t, test_find_newest_of_many, 0, 2);
	tcase_add_loop_test(t, test_find_without_root_key, 0, 2);
	tcase_add_loop_test(t, test_destroy_many, 0, 2);
	tcase_add_test(t, test_destroy_known_last);
	tcase_add_test(t, test_create_lost_among_many);
	tcase_add_loop_test(t, test_successors_at_once, 0, 3);
	tcase_add_test(t, test_revoked_by_an_older_one);
	tcase_add_test(t, test_retire_left_behind);
	tcase_add_test(t, test_retire_refused);
	tcase_add_loop_test(t, test_retire_of_another_name, 0, 2);
	tcase_add_test(t, test_probe);
	tcase_add_loop_test(t, test_clocks_differ, 0, 2);
	tcase_add_test(t, test_lag_ends_late);
	tcase_add_test(t, test_read_lags);
	tcase_add_loop_test(t, test_last_words, 0, 2);
	tcase_add_test(t, test_unreadable_is_not_absent);
}

int
main(void)
{
	return kpcase_main("vault_kp_records", add);
}
