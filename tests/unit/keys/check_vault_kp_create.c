/* SPDX-License-Identifier: Apache-2.0 */
/* Records that the vault `keyprotect' makes, or may have made. */
#include <check.h>
#include <string.h>

#include "kpcase.h"

static const struct {
	const char *name;
	enum spoil spoil;
	int status;
	unsigned times;
	const char *extra;
	unsigned lag;
	enum err e;
	unsigned posts, live; /* arrived and done; left behind */
	bool looks;
} creates[] = {
    {"reset before", SPOIL_RESET_BEFORE, 0, 1, NULL, 0, ERR_OK, 1, 1, true},
    {"reset after", SPOIL_RESET_AFTER, 0, 1, NULL, 0, ERR_OK, 1, 1, true},
    {"reset after, list lags", SPOIL_RESET_AFTER, 0, 1, NULL, 3, ERR_OK, 1, 1, true},
    {"cut", SPOIL_CUT, 0, 1, NULL, 0, ERR_OK, 1, 1, true},
    {"hang after", SPOIL_HANG_AFTER, 0, 1, NULL, 0, ERR_OK, 1, 1, true},
    {"503 after", SPOIL_STATUS_AFTER, 503, 1, NULL, 0, ERR_OK, 1, 1, true},
    {"500 before", SPOIL_STATUS, 500, 1, NULL, 0, ERR_OK, 1, 1, true},
    {"HTML", SPOIL_STATUS_AFTER, 200, 1, NULL, 0, ERR_OK, 1, 1, true},
    {"429", SPOIL_STATUS, 429, 1, "Retry-After: 1\r\n", 0, ERR_OK, 1, 1, false},
    {"429 always", SPOIL_STATUS, 429, 99, NULL, 0, ERR_VAULT_DOWN, 0, 0, false},
    {"401 once", SPOIL_STATUS, 401, 1, NULL, 0, ERR_OK, 1, 1, false},
    {"401", SPOIL_STATUS, 401, 99, NULL, 0, ERR_VAULT_DENIED, 0, 0, false},
    {"403", SPOIL_STATUS, 403, 99, NULL, 0, ERR_VAULT_DENIED, 0, 0, false},
};

START_TEST(test_faults_create)
{
	struct object *o = kprig_object(rig, 256);
	enum err e;

	ck_assert_int_eq(kprig_make(rig, o, NULL), ERR_OK);
	rig->fault = (struct spoiled){"POST", "/api/v2/keys", creates[_i].times, creates[_i].spoil,
	    creates[_i].status, creates[_i].extra, NULL};
	rig->lag = creates[_i].lag;
	e = kprig_store(rig, o);
	ck_assert_msg(e == creates[_i].e, "%s: %s", creates[_i].name, err_name(e));
	ck_assert_uint_eq(rig->posts, creates[_i].posts);
	ck_assert_uint_eq(kpcase_live(), creates[_i].live);
	ck_assert_int_eq(rig->lists > 0, creates[_i].looks);
	rig->fault.times = 0;
	if (e == ERR_OK) {
		ck_assert_mem_eq(o->record, rig->keys[0].id, 36);
		ck_assert_int_eq(kprig_unwrap(rig, o, NULL), ERR_OK);
	}
}
END_TEST

/* Nothing answers, and nothing was sent: told as such, and nothing is there. */
START_TEST(test_create_unreachable)
{
	struct object *o = kprig_object(rig, 256);

	ck_assert_int_eq(kprig_make(rig, o, NULL), ERR_OK);
	httpd_stop(&rig->kp);
	ck_assert_int_eq(kprig_store(rig, o), ERR_VAULT_DOWN);
	httpd_start(&rig->kp, rig->loop); /* for the teardown */
}
END_TEST

/* Both posts were done and both answers lost, the first unseen for long: one is left. */
START_TEST(test_create_twice)
{
	struct object *o = kprig_object(rig, 256);

	ck_assert_int_eq(kprig_make(rig, o, NULL), ERR_OK);
	rig->fault = (struct spoiled){"POST", "/api/v2/keys", 2, SPOIL_RESET_AFTER, 0, NULL, NULL};
	rig->lag = 10;
	ck_assert_int_eq(kprig_store(rig, o), ERR_OK);
	ck_assert_uint_eq(rig->posts, 2);
	ck_assert_uint_eq(kpcase_live(), 1);
	ck_assert_int_eq(rig->keys[0].state, 1); /* the older one */
	ck_assert_mem_eq(o->record, rig->keys[0].id, 36);
}
END_TEST

/*
 * The answer to a successor's create is lost.  Its predecessor bears the same name: taking that for
 * the successor, and retiring it then, would lose the key.
 */
START_TEST(test_successor_is_not_its_predecessor)
{
	static const enum spoil how[] = {SPOIL_RESET_AFTER, SPOIL_STATUS_AFTER};
	struct object *o = kpcase_key(), next = *o;

	ck_assert_uint_eq(rig->vault->ops->sequence(o), 1);
	ck_assert_int_eq(kprig_make(rig, &next, NULL), ERR_OK);
	ck_assert_uint_eq(rig->vault->ops->sequence(&next), 2);
	rig->fault = (struct spoiled){"POST", "/api/v2/keys", 1, how[_i], 503, NULL, NULL};
	rig->order[0] = '\0';
	ck_assert_int_eq(kprig_store(rig, &next), ERR_OK);
	ck_assert_uint_eq(kpcase_live(), 2);
	ck_assert_mem_eq(next.record, rig->keys[1].id, 36);
	ck_assert_int_eq(rig->keys[0].state, 1);
	ck_assert_ptr_nonnull(strchr(rig->order, 'r'));
	ck_assert_int_eq(kprig_unwrap(rig, &next, NULL), ERR_OK);
	ck_assert_int_eq(kprig_unwrap(rig, o, NULL), ERR_OK);
}
END_TEST

START_TEST(test_create_forbidden)
{
	struct object *o = kprig_object(rig, 256);

	ck_assert_int_eq(kprig_make(rig, o, NULL), ERR_OK);
	rig->fault = (struct spoiled){"POST", "/api/v2/keys", 1, SPOIL_STATUS, 409, NULL,
	    KP_BODY("KEY_CREATE_IMPORT_ACCESS_ERR")};
	ck_assert_int_eq(kprig_store(rig, o), ERR_DENIED);
}
END_TEST

/* HPCS holds 50,000 keys.  There is no code that could be relied on. */
START_TEST(test_create_full)
{
	static const char *const bodies[] = {
	    KP_BODY("KEY_QUOTA_ERR"), KP_BODY("LIMIT_ERR")};
	struct object *o = kprig_object(rig, 256);

	ck_assert_int_eq(kprig_make(rig, o, NULL), ERR_OK);
	rig->fault = (struct spoiled){
	    "POST", "/api/v2/keys", 1, SPOIL_STATUS, 409, NULL, bodies[_i]};
	ck_assert_int_eq(kprig_store(rig, o), ERR_VAULT_FULL);
	ck_assert_uint_eq(kpcase_live(), 0);
	ck_assert_ptr_nonnull(strstr(rig->vault->ops->complaint(rig->vault), "as many keys"));
	ck_assert_int_eq(kprig_store(rig, o), ERR_OK);
	ck_assert_ptr_null(rig->vault->ops->complaint(rig->vault));
}
END_TEST

/* Who asked has gone: the record is made all the same. */
START_TEST(test_create_cancelled)
{
	struct object *o = kprig_object(rig, 256);
	struct kpjob j = {false};
	struct vault_change c = {.wait = {.done = kpjob_done, .owner = &j}, .object = o};

	ck_assert_int_eq(kprig_make(rig, o, NULL), ERR_OK);
	rig->vault->ops->store(rig->vault, &c);
	wait_cancel(&c.wait);
	kprig_settle(rig);
	ck_assert(!j.done);
	ck_assert_uint_eq(kpcase_live(), 1);
}
END_TEST

/* --- destroy --- */

static void
add(TCase *t)
{
	tcase_add_loop_test(t, test_faults_create, 0, (int)(sizeof(creates) / sizeof(*creates)));
	tcase_add_test(t, test_create_unreachable);
	tcase_add_test(t, test_create_twice);
	tcase_add_loop_test(t, test_successor_is_not_its_predecessor, 0, 2);
	tcase_add_test(t, test_create_forbidden);
	tcase_add_loop_test(t, test_create_full, 0, 2);
	tcase_add_test(t, test_create_cancelled);
}

int
main(void)
{
	return kpcase_main("vault_kp_create", add);
}
