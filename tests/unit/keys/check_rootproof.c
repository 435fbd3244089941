/* SPDX-License-Identifier: Apache-2.0 */
/* What proves a root key, and which root keys may take the place of others. */
#include "rootproof.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "rig.h"

#define FIRST "1 0000000000000000000000000000000000000000000000000000000000000000\n"
#define OTHER "1 1111111111111111111111111111111111111111111111111111111111111111\n"
#define SECOND "2 2222222222222222222222222222222222222222222222222222222222222222\n"
#define OTHER_SECOND "2 3333333333333333333333333333333333333333333333333333333333333333\n"

static struct rig rig;

static struct vault *
vault_with(const char *text)
{
	FILE *f = fopen(rig.root, "w");
	const char *why = "";
	struct vault *v;

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	ck_assert_int_eq(fclose(f), 0);
	ck_assert_msg(
	    vault_local_new(&v, rig.store, rig.loop, rig.root, &why) == ERR_OK, "%s", why);
	return v;
}

/* From now on the rig has this one. */
static void
use(const char *text)
{
	rig.vault->ops->free(rig.vault);
	rig.vault = vault_with(text);
	vault_local_guard(rig.vault, rig.ledger, "a");
}

static void
setup(void)
{
	rig_init(&rig);
	rig_start(&rig);
	use(FIRST);
}

static void
teardown(void)
{
	fault_test_clear();
	rig_fini(&rig);
	ck_assert_uint_eq(secret_heap_kept(), 0);
}

/* A make, of which nothing is kept. */
static enum err
make(void)
{
	struct object o = {.type = 2, .algorithm = 3, .length = 256, .tenant = "a", .uid = "u"};
	struct vault_make m = {.arena = rig.arena, .object = &o};
	struct outcome out;
	enum err e;

	rig_begin(&m.wait, &out);
	rig.vault->ops->make(rig.vault, &m);
	e = rig_end(&rig, &out);
	ck_assert((m.key != NULL) == (e == ERR_OK));
	secret_unref(m.key);
	return e;
}

static enum err
prove(void)
{
	struct wait w = {.cancel = NULL};
	struct outcome out;

	rig_begin(&w, &out);
	vault_local_prove(rig.vault, &w);
	return rig_end(&rig, &out);
}

/* A key of the ledger; damaged: its record is not what was made. */
static struct object *
key(bool damaged)
{
	static int64_t when = 1760000000;
	struct object *o = rig_object(&rig, "a", NULL);

	o->date[DATE_INITIAL] = when++; /* newest first is in this order */
	if (damaged)
		((uint8_t *)(uintptr_t)o->record)[o->record_len - 1] ^= 1;
	ck_assert_int_eq(rig_create(&rig, o), ERR_OK);
	return o;
}

static bool
complains(void)
{
	return rig.vault->ops->complaint(rig.vault) != NULL;
}

START_TEST(wrong_one_makes_nothing)
{
	struct secret *got;
	struct object *o = key(false);

	ck_assert_int_eq(make(), ERR_OK);
	use(OTHER);
	ck_assert(vault_local_is_unproven(rig.vault));
	ck_assert_int_eq(make(), ERR_WRONG_ROOT_KEY);
	ck_assert(complains());
	ck_assert(!vault_local_is_unproven(rig.vault));
	ck_assert_int_eq(make(), ERR_WRONG_ROOT_KEY);
	ck_assert_int_eq(rig_unwrap(&rig, o, &got), ERR_INTEGRITY);
	use(SECOND);
	ck_assert_int_eq(make(), ERR_WRONG_ROOT_KEY);
	use(FIRST SECOND);
	ck_assert_int_eq(make(), ERR_OK);
	ck_assert(!complains());
	key(false); /* under the second */
	use(FIRST OTHER_SECOND);
	ck_assert_int_eq(make(), ERR_WRONG_ROOT_KEY);
	use(FIRST);
	ck_assert_int_eq(make(), ERR_WRONG_ROOT_KEY);
}
END_TEST

/* When what did not open is gone, nothing speaks against the root key any more. */
START_TEST(looks_anew_while_it_is_wrong)
{
	struct object *o = key(false);
	enum err e;

	use(OTHER);
	ck_assert_int_eq(make(), ERR_WRONG_ROOT_KEY);
	o = rig_load(&rig, o->tenant, o->uid, &e);
	ck_assert_ptr_nonnull(o);
	ck_assert_int_eq(rig_destroy(&rig, o), ERR_OK);
	ck_assert_int_eq(make(), ERR_OK);
	ck_assert(!complains());
}
END_TEST

START_TEST(damaged_keys_prove_nothing)
{
	key(false);
	for (int i = 1; i < ROOT_PROOF_KEYS; i++)
		key(true);
	use(FIRST);
	ck_assert_int_eq(make(), ERR_OK);
	key(true);
	use(FIRST);
	ck_assert_int_eq(make(), ERR_WRONG_ROOT_KEY);
	use(FIRST SECOND);
	ck_assert_int_eq(make(), ERR_WRONG_ROOT_KEY);
}
END_TEST

/* A key that was asked for proves as much as one that was looked for. */
START_TEST(served_key_proves)
{
	struct object *o = key(false);
	struct secret *got;

	use(FIRST);
	ck_assert_int_eq(rig_unwrap(&rig, o, &got), ERR_OK);
	secret_unref(got);
	ck_assert(!vault_local_is_unproven(rig.vault));
}
END_TEST

START_TEST(several_wait_for_one_look)
{
	struct object o[3] = {{.uid = ""}};
	struct vault_make m[3];
	struct outcome out[3];

	key(false);
	use(FIRST);
	for (int i = 0; i < 3; i++) {
		o[i] = (struct object){.type = 2, .algorithm = 3, .length = 256, .tenant = "a", .uid = "u"};
		m[i] = (struct vault_make){.arena = rig.arena, .object = &o[i]};
		rig_begin(&m[i].wait, &out[i]);
		rig.vault->ops->make(rig.vault, &m[i]);
	}
	wait_cancel(&m[1].wait);
	ck_assert_int_eq(rig_end(&rig, &out[0]), ERR_OK);
	ck_assert_int_eq(rig_end(&rig, &out[2]), ERR_OK);
	ck_assert(!out[1].done);
	secret_unref(m[0].key);
	secret_unref(m[2].key);

	use(FIRST); /* and all leave, then the vault goes */
	rig_begin(&m[0].wait, &out[0]);
	rig.vault->ops->make(rig.vault, &m[0]);
	wait_cancel(&m[0].wait);
	use(FIRST);
	rig_begin(&m[0].wait, &out[0]);
	rig.vault->ops->make(rig.vault, &m[0]);
	ck_assert(!out[0].done);
	wait_cancel(&m[0].wait);
}
END_TEST

/* Nothing is made, and the root key is not called wrong for it. */
START_TEST(survives_without_memory)
{
	enum err e = ERR_INTERNAL;

	key(false);
	for (unsigned n = 0; n < 64; n++) {
		use(FIRST);
		fault_test_arm(FAULT_ALLOC, n, 1);
		e = n % 2 == 0 ? make() : prove();
		fault_test_clear();
		ck_assert_int_ne(e, ERR_WRONG_ROOT_KEY);
		ck_assert(!complains());
		ck_assert_int_eq(make(), ERR_OK);
	}
	ck_assert_int_eq(e, ERR_OK); /* there were fewer than that */
}
END_TEST

/* A key that could not be read for want of memory is none that is damaged, and not passed over. */
START_TEST(wrong_one_makes_nothing_without_memory)
{
	enum err e = ERR_INTERNAL;
	struct object *o = rig_object(&rig, "a", NULL);

	rig_pad(&rig, o);
	ck_assert_int_eq(rig_create(&rig, o), ERR_OK);
	for (unsigned n = 0; n < 64; n++) {
		use(OTHER);
		fault_test_arm(FAULT_ALLOC, n, 1);
		e = make();
		fault_test_clear();
		ck_assert_int_ne(e, ERR_OK);
	}
	ck_assert_int_eq(e, ERR_WRONG_ROOT_KEY);
}
END_TEST

START_TEST(child_that_is_away_is_no_verdict)
{
	enum err e;

	key(false);
	use(FIRST);
	ck_assert_int_eq(kill(store_reader_pid(rig.store), SIGKILL), 0);
	while ((e = make()) != ERR_OK) {
		ck_assert_int_eq(e, ERR_STORAGE_DOWN);
		ck_assert(!complains());
		loop_turn(rig.loop, false);
	}
	ck_assert_int_eq(rig.reader_ended, 1);
}
END_TEST

/* Whether the second may follow the first, of which `proven' is known. */
static enum err
follow(enum err proven, const char *before, const char *now)
{
	const char *why = "";
	struct vault *v;
	enum err e;

	use(before);
	ck_assert_int_eq(prove(), proven);
	v = vault_with(now);
	vault_local_guard(v, rig.ledger, "a");
	e = vault_local_follow(v, rig.vault, &why);
	ck_assert((e == ERR_OK) == (why[0] == '\0'));
	v->ops->free(v);
	return e;
}

START_TEST(what_may_follow)
{
	ck_assert_int_eq(follow(ERR_OK, FIRST, FIRST), ERR_OK);
	ck_assert_int_eq(follow(ERR_OK, FIRST, OTHER), ERR_CONFIG);
	ck_assert_int_eq(follow(ERR_OK, FIRST, FIRST SECOND), ERR_OK);
	ck_assert_int_eq(follow(ERR_OK, FIRST, SECOND), ERR_CONFIG);
	ck_assert_int_eq(follow(ERR_OK, FIRST SECOND, SECOND), ERR_OK); /* nothing is known of it */
	use(FIRST);
	key(false);
	ck_assert_int_eq(follow(ERR_OK, FIRST SECOND, SECOND), ERR_CONFIG);
	ck_assert_int_eq(follow(ERR_OK, FIRST SECOND, FIRST), ERR_CONFIG); /* it may have wrapped */
	ck_assert_int_eq(follow(ERR_OK, FIRST SECOND, FIRST OTHER_SECOND), ERR_CONFIG);
	ck_assert_int_eq(follow(ERR_OK, FIRST SECOND, SECOND FIRST), ERR_OK);
	ck_assert_int_eq(follow(ERR_WRONG_ROOT_KEY, OTHER, FIRST), ERR_OK);
	ck_assert_int_eq(follow(ERR_WRONG_ROOT_KEY, SECOND, FIRST), ERR_OK);
	use(FIRST SECOND);
	key(false);
	ck_assert_int_eq(follow(ERR_WRONG_ROOT_KEY, FIRST OTHER_SECOND, FIRST SECOND), ERR_OK);
	ck_assert_int_eq(follow(ERR_WRONG_ROOT_KEY, FIRST, FIRST SECOND), ERR_OK);
}
END_TEST

/* One that was not judged yet, and what the next one knows. */
START_TEST(judgement_is_inherited)
{
	const char *why;
	struct vault *v;

	key(false);
	use(FIRST);
	v = vault_with(OTHER);
	ck_assert_int_eq(vault_local_follow(v, rig.vault, &why), ERR_CONFIG);
	v->ops->free(v);
	ck_assert_int_eq(prove(), ERR_OK);
	v = vault_with(FIRST SECOND);
	vault_local_guard(v, rig.ledger, "a");
	ck_assert(vault_local_is_unproven(v));
	ck_assert_int_eq(vault_local_follow(v, rig.vault, &why), ERR_OK);
	ck_assert(!vault_local_is_unproven(v));
	v->ops->free(v);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("rootproof");
	TCase *t = tcase_create("rootproof");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, wrong_one_makes_nothing);
	tcase_add_test(t, looks_anew_while_it_is_wrong);
	tcase_add_test(t, damaged_keys_prove_nothing);
	tcase_add_test(t, served_key_proves);
	tcase_add_test(t, several_wait_for_one_look);
	tcase_add_test(t, survives_without_memory);
	tcase_add_test(t, wrong_one_makes_nothing_without_memory);
	tcase_add_test(t, child_that_is_away_is_no_verdict);
	tcase_add_test(t, what_may_follow);
	tcase_add_test(t, judgement_is_inherited);
	suite_add_tcase(suite, t);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
