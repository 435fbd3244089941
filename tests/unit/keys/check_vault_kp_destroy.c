/* SPDX-License-Identifier: Apache-2.0 */
/* Records that the vault `keyprotect' destroys, wherever they are. */
#include <check.h>
#include <string.h>

#include "base/clock.h"
#include "envelope.h"
#include "kpcase.h"

START_TEST(test_destroy_writer)
{
	struct object *o = kpcase_key();

	rig->writer_only = true;
	ck_assert_int_eq(kprig_destroy(rig, o), ERR_DENIED);
	ck_assert_uint_eq(kpcase_live(), 1);
	ck_assert_uint_eq(rig->deletes, 2); /* with a newer token, once */
	ck_assert_int_eq(kprig_destroy(rig, o), ERR_DENIED);
	ck_assert_uint_eq(rig->deletes, 3); /* that was new enough */
	ck_assert_uint_eq(rig->tokens, 2);
	ck_assert_int_eq(kprig_unwrap(rig, o, NULL), ERR_OK);
	rig->writer_only = false;
	rig->fault = (struct spoiled){"DELETE", "/", 1, SPOIL_STATUS, 403, NULL, ""};
	ck_assert_int_eq(kprig_destroy(rig, o), ERR_DENIED);
	rig->fault = (struct spoiled){
	    "DELETE", "/", 1, SPOIL_STATUS, 409, NULL, KP_BODY("AUTHORIZATIONS_NOT_MET")};
	ck_assert_int_eq(kprig_destroy(rig, o), ERR_DENIED);
	ck_assert_uint_eq(kpcase_live(), 1);
}
END_TEST

START_TEST(test_faults_destroy)
{
	static const struct {
		enum spoil spoil;
		int status;
		unsigned times;
		const char *body;
		enum err e;
		unsigned live;
	} all[] = {
	    {SPOIL_RESET_BEFORE, 0, 1, NULL, ERR_OK, 0},
	    {SPOIL_RESET_AFTER, 0, 1, NULL, ERR_OK, 0}, /* then 410 */
	    {SPOIL_HANG_AFTER, 0, 1, NULL, ERR_OK, 0},
	    {SPOIL_STATUS_AFTER, 503, 1, "", ERR_OK, 0},
	    {SPOIL_STATUS, 500, 99, "", ERR_VAULT_DOWN, 1},
	    {SPOIL_STATUS, 429, 99, "", ERR_VAULT_DOWN, 1},
	    {SPOIL_STATUS, 404, 99, "nginx", ERR_VAULT_DOWN, 1}, /* no wrong success */
	    {SPOIL_STATUS, 410, 99, "nginx", ERR_VAULT_DOWN, 1},
	    {SPOIL_STATUS, 200, 99, "<html>", ERR_VAULT_DOWN, 1},
	    {SPOIL_STATUS, 404, 1, KP_BODY("KEY_NOT_FOUND_ERR"), ERR_OK, 0}, /* a lag */
	    {SPOIL_STATUS, 404, 99, KP_BODY("KEY_NOT_FOUND_ERR"), ERR_NO_OBJECT, 1},
	};
	struct object *o = kpcase_key();

	rig->fault = (struct spoiled){
	    "DELETE", "/", all[_i].times, all[_i].spoil, all[_i].status, NULL, all[_i].body};
	ck_assert_int_eq(kprig_destroy(rig, o), all[_i].e);
	ck_assert_uint_eq(kpcase_live(), all[_i].live);
}
END_TEST

/* Recovery knows the uid alone: by name, every record of it, and no other. */
START_TEST(test_destroy_by_name)
{
	struct object *o = kpcase_key(), *other = kpcase_key(), bare = {0};
	bool found;

	rig->keys[rig->keys_count] = rig->keys[0]; /* made twice */
	strcpy(rig->keys[rig->keys_count++].id, "00000000-0000-4000-8000-00000000000f");
	rig->keys[rig->keys_count] = rig->keys[0]; /* not ours: names are searched without case */
	rig->keys[rig->keys_count].name[0] = 'V';
	strcpy(rig->keys[rig->keys_count++].id, "00000000-0000-4000-8000-00000000000e");
	strcpy(bare.tenant, o->tenant);
	strcpy(bare.uid, o->uid);
	rig->too_broad = _i != 0;
	ck_assert_int_eq(kprig_destroy(rig, &bare), ERR_OK);
	ck_assert_int_eq(rig->keys[0].state, 5);
	ck_assert_int_eq(rig->keys[2].state, 5);
	ck_assert_uint_eq(kpcase_live(), 2);
	ck_assert_int_eq(kprig_probe(rig, other, &found), ERR_OK);
	ck_assert(found);
	clock_test_advance(10 * NS_PER_S);
	ck_assert_int_eq(kprig_destroy(rig, &bare), ERR_OK); /* none left */
	rig->fault = (struct spoiled){"GET", "/keys?", 99, SPOIL_STATUS, 500, NULL, ""};
	ck_assert_int_eq(kprig_probe(rig, &bare, &found), ERR_VAULT_DOWN);
}
END_TEST

/*
 * The configuration names another key ring or instance since: that nothing is found there says nothing
 * of the record.  It is destroyed when it, or what took its place, is there or was deleted.
 */
START_TEST(test_destroy_elsewhere)
{
	struct object *o = kpcase_key();
	struct fake_key record = rig->keys[0], next = record;

	clock_test_advance(100 * NS_PER_S);
	rig->keys_count = 0;
	ck_assert_int_eq(kprig_destroy(rig, o), ERR_NO_OBJECT);
	ck_assert_str_eq(rig->order, "ld");
	strcpy(next.id, "00000000-0000-4000-8000-00000000000f");
	rig->keys[0] = next;
	rig->keys_count = 1;
	ck_assert_int_eq(kprig_destroy(rig, o), ERR_OK); /* it was replaced, and is purged */
	ck_assert_int_eq(rig->keys[0].state, 5);
	rig->keys[0] = record;
	ck_assert_int_eq(kprig_destroy(rig, o), ERR_OK);
	ck_assert_uint_eq(kpcase_live(), 0);
	ck_assert_int_eq(kprig_destroy(rig, o), ERR_OK);
}
END_TEST

/* A key of the embedded vault, under a configuration that has this one: nothing is looked for here. */
START_TEST(test_destroy_foreign)
{
	struct object *o = kprig_object(rig, 256);
	struct rootkeys roots = {.all[0] = {1, secret_new(ROOT_KEY_LEN, SECRET_KEPT), false}, .count = 1};
	struct envelope_crypto *crypto = envelope_crypto_new();
	struct secret *key = secret_new(32, SECRET_TRANSIENT);

	memset(secret_bytes(roots.all[0].key), 1, ROOT_KEY_LEN);
	memset(secret_bytes(key), 2, 32);
	ck_assert_int_eq(envelope_seal(crypto, &roots, o, key, rig->arena, &o->record, &o->record_len),
	    ERR_OK);
	ck_assert_str_eq(vault_made_by(o), "local");
	ck_assert_int_eq(kprig_destroy(rig, o), ERR_NO_OBJECT);
	ck_assert_int_eq(kprig_unwrap(rig, o, NULL), ERR_INTEGRITY);
	ck_assert_str_eq(rig->order, "");
	o = kpcase_key();
	ck_assert_str_eq(vault_made_by(o), "keyprotect");
	o->record = NULL;
	ck_assert_ptr_null(vault_made_by(o));
	secret_unref(key);
	rootkeys_fini(&roots);
	envelope_crypto_free(crypto);
}
END_TEST

/* Unless an administrator says that nothing is left. */
START_TEST(test_destroy_missing)
{
	struct kpjob j = {false};
	struct vault_change c = {.wait = {.done = kpjob_done, .owner = &j}, .missing_is_gone = true};

	c.object = kpcase_key();
	clock_test_advance(100 * NS_PER_S);
	if (_i == 0)
		rig->keys_count = 0;
	rig->vault->ops->destroy(rig->vault, &c);
	kprig_run(rig, &j);
	ck_assert_int_eq(j.e, ERR_OK);
	ck_assert_uint_eq(kpcase_live(), 0); /* what is there is destroyed all the same */
	ck_assert_int_eq(c.missing, _i == 0);
}
END_TEST

/* A list that is slow leaves the deletion its own time, within the request's. */
START_TEST(test_destroy_slow_list)
{
	struct kpjob j = {false};
	struct vault_change c = {.wait = {.done = kpjob_done, .owner = &j}};
	int64_t began;

	rig->params.attempt_ns = 4 * NS_PER_S;
	kprig_vault(rig);
	c.object = kpcase_key();
	c.terms.deadline = clock_now() + (_i == 0 ? 15 : 11) * NS_PER_S;
	rig->fault = (struct spoiled){"GET", "/keys?", 2, SPOIL_HANG_BEFORE, 0, NULL, NULL};
	began = clock_now();
	rig->vault->ops->destroy(rig->vault, &c);
	while (!j.done) {
		kprig_settle(rig);
		if (rig->fault.times == 0 && *rig->fault.method == 'G')
			rig->fault = (struct spoiled){
			    "DELETE", "/keys/", 1, SPOIL_HANG_BEFORE, 0, NULL, NULL};
		clock_test_advance(50 * NS_PER_MS);
		ck_assert_int_lt(clock_now() - began, 20 * NS_PER_S);
	}
	ck_assert_int_gt(clock_now() - began, 10 * NS_PER_S);
	ck_assert_int_eq(j.e, _i == 0 ? ERR_OK : ERR_DEADLINE);
	ck_assert_uint_eq(kpcase_live(), (unsigned)_i);
}
END_TEST

/* However long the walk through a large instance takes, it ends; within the request's time. */
START_TEST(test_destroy_long_walk)
{
	struct kpjob j = {false};
	struct vault_change c = {.wait = {.done = kpjob_done, .owner = &j}};
	int64_t began = clock_now();

	c.object = kpcase_key();
	c.terms.background = _i == 0;
	c.terms.deadline = _i == 0 ? 0 : clock_now() + (_i == 1 ? 30 : 11) * NS_PER_S;
	rig->too_broad = true;
	rig->pages = 12;
	rig->vault->ops->destroy(rig->vault, &c);
	kprig_run(rig, &j);
	ck_assert_int_eq(j.e, _i == 2 ? ERR_DEADLINE : ERR_OK);
	ck_assert_uint_eq(kpcase_live(), _i == 2);
	ck_assert_int_lt(clock_now() - began, (_i == 2 ? 12 : 14) * NS_PER_S);
}
END_TEST

/* What is read of the records after it has its own time, too. */
START_TEST(test_find_long_walk)
{
	struct object *o = kpcase_key();
	struct vault_find f = {.record_id = NULL};

	rig->too_broad = true;
	rig->pages = 12;
	ck_assert_int_eq(kprig_find(rig, &f, o), ERR_OK);
}
END_TEST

/* --- many of one name --- */

static void
add(TCase *t)
{
	tcase_add_test(t, test_destroy_writer);
	tcase_add_loop_test(t, test_faults_destroy, 0, 10);
	tcase_add_test(t, test_destroy_elsewhere);
	tcase_add_test(t, test_destroy_foreign);
	tcase_add_loop_test(t, test_destroy_missing, 0, 2);
	tcase_add_loop_test(t, test_destroy_slow_list, 0, 2);
	tcase_add_loop_test(t, test_destroy_long_walk, 0, 3);
	tcase_add_test(t, test_find_long_walk);
	tcase_add_loop_test(t, test_destroy_by_name, 0, 2);
}

int
main(void)
{
	return kpcase_main("vault_kp_destroy", add);
}
