/* SPDX-License-Identifier: Apache-2.0 */
/* Keys that the vault here keeps opened: for whom, for how long, and what takes them away. */
#include "opened.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "rig.h"

static struct rig rig;
static struct object *object, named;
static size_t roots;

static void
setup(void)
{
	clock_test_freeze(1760000000);
	rig_init(&rig);
	rig_start(&rig);
	object = rig_object(&rig, "a", "name");
		ck_assert_int_eq(rig_create(&rig, object), ERR_OK);
	named = *object; /* the arena may go */
	object = &named;
	roots = secret_heap_kept();
}

static void
teardown(void)
{
	fault_test_clear();
	rig_fini(&rig);
	ck_assert_uint_eq(secret_heap_kept(), 0);
}

/* Bytes of opened keys: root keys are kept as well. */
static size_t
kept(void)
{
	return secret_heap_kept() - roots;
}

/* As a Get does it, whose arena goes afterwards. */
static struct secret *
get(const struct object *o)
{
	struct arena *a = arena_new(1 << 20);
	struct ledger_load load = {.arena = a, .tenant = o->tenant, .uid = o->uid, .again = true};
	struct secret *key = NULL;
	struct outcome out;

	rig_begin(&load.wait, &out);
	rig.ledger->ops->load(rig.ledger, &load);
	ck_assert_int_eq(rig_end(&rig, &out), ERR_OK);
	ck_assert_int_eq(rig_unwrap(&rig, load.object, &key), ERR_OK);
	ck_assert_uint_eq(secret_len(key), 32);
	arena_free(a);
	return key;
}

static void
get_and_drop(const struct object *o)
{
	secret_unref(get(o));
}

/* Until its key is kept: the first load remembers the row, the second one opens it there. */
static void
open_it(const struct object *o)
{
	get_and_drop(o);
	ck_assert_uint_eq(kept(), 0);
	get_and_drop(o);
	ck_assert_uint_gt(kept(), 0);
}

static void
pass(int64_t ns)
{
	clock_test_advance(ns);
	loop_turn(rig.loop, false);
}

START_TEST(is_the_same_key)
{
	struct secret *first = get(object), *second = get(object), *third = get(object);

	ck_assert(secret_equal(first, second));
	ck_assert_ptr_ne(first, second);
	ck_assert_ptr_eq(second, third);
	secret_unref(first);
	secret_unref(second);
	secret_unref(third);
}
END_TEST

START_TEST(goes_when_nobody_asks)
{
	open_it(object);
	pass(OPENED_LOOK_NS - 1);
	ck_assert_uint_gt(kept(), 0);
	pass(1);
	ck_assert_uint_gt(kept(), 0); /* asked for within that minute */
	get_and_drop(object);
	pass(OPENED_LOOK_NS);
	ck_assert_uint_gt(kept(), 0);
	pass(OPENED_LOOK_NS);
	ck_assert_uint_eq(kept(), 0);
	get_and_drop(object); /* and comes back, with its timer */
	ck_assert_uint_gt(kept(), 0);
	pass(OPENED_LOOK_NS);
	pass(OPENED_LOOK_NS);
	ck_assert_uint_eq(kept(), 0);
}
END_TEST

START_TEST(goes_with_a_change)
{
	struct object *loaded;
	enum err e;

	open_it(object);
	loaded = rig_load(&rig, object->tenant, object->uid, &e);
	ck_assert_ptr_nonnull(loaded);
	loaded->state = OBJECT_ACTIVE;
	ck_assert_int_eq(rig_update(&rig, loaded), ERR_OK);
	arena_free(rig.arena); /* the load held it */
	rig.arena = arena_new(1 << 20);
	ck_assert_uint_eq(kept(), 0);
	open_it(object);
	loaded = rig_load(&rig, object->tenant, object->uid, &e);
	ck_assert_ptr_nonnull(loaded);
	ck_assert_int_eq(rig_destroy(&rig, loaded), ERR_OK);
	arena_free(rig.arena);
	rig.arena = arena_new(1 << 20);
	ck_assert_uint_eq(kept(), 0);
}
END_TEST

/* Who has it goes on with it. */
START_TEST(goes_by_command)
{
	struct object *other = rig_object(&rig, "b", "name");
	struct secret *held;

	ck_assert_int_eq(rig_create(&rig, other), ERR_OK);
	get_and_drop(other);
	get_and_drop(object);
	get_and_drop(other);
	held = get(object);
	ck_assert_uint_eq(rig.vault->ops->flush(rig.vault), 2);
	ck_assert_uint_eq(rig.vault->ops->flush(rig.vault), 0);
	ck_assert_uint_gt(kept(), 0);
	secret_unref(held);
	ck_assert_uint_eq(kept(), 0);
}
END_TEST

START_TEST(goes_with_its_vault)
{
	open_it(object);
	rig.vault->ops->free(rig.vault);
	ck_assert_uint_eq(secret_heap_kept(), 0);
	rig.vault = NULL;
	ck_assert_int_eq(
	    vault_local_new(&rig.vault, rig.store, rig.loop, rig.root, &(const char *){NULL}), ERR_OK);
	get_and_drop(object);
	ck_assert_uint_eq(rig.vault->ops->flush(rig.vault), 1);
}
END_TEST

/* Others need the heap more: then keys are served and not kept. */
START_TEST(is_not_kept_without_room)
{
	static struct secret *fill[1 << 16];
	size_t n = 0;

	while (secret_heap_kept() < secret_heap_size() / 4) {
		fill[n] = secret_new(32, SECRET_KEPT);
		ck_assert_ptr_nonnull(fill[n++]);
	}
	get_and_drop(object);
	get_and_drop(object);
	get_and_drop(object);
	ck_assert_uint_eq(rig.vault->ops->flush(rig.vault), 0);
	while (n > 0)
		secret_unref(fill[--n]);
	get_and_drop(object);
	ck_assert_uint_eq(rig.vault->ops->flush(rig.vault), 1);
}
END_TEST

/* Whatever allocation fails, the Get works or says so. */
START_TEST(survives_without_memory)
{
	enum err e = ERR_INTERNAL;

	for (unsigned n = 0; n < 16; n++) {
		struct arena *a = arena_new(1 << 20);
		struct ledger_load load = {
		    .arena = a, .tenant = object->tenant, .uid = object->uid, .again = true};
		struct secret *key = NULL;
		struct outcome out;

		get_and_drop(object);
		rig_begin(&load.wait, &out);
		rig.ledger->ops->load(rig.ledger, &load);
		ck_assert_int_eq(rig_end(&rig, &out), ERR_OK);
		rig.vault->ops->flush(rig.vault);
		fault_test_arm(FAULT_ALLOC, n, 1);
		e = rig_unwrap(&rig, load.object, &key);
		fault_test_clear();
		ck_assert(e == ERR_OK || e == ERR_NO_SECURE_MEMORY || e == ERR_CRYPTO);
		secret_unref(key);
		pass(OPENED_LOOK_NS);
		pass(OPENED_LOOK_NS);
		ck_assert_uint_eq(kept(), 0);
		arena_free(a);
	}
	ck_assert_int_eq(e, ERR_OK); /* there were fewer than that */
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("opened");
	TCase *t = tcase_create("opened");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, is_the_same_key);
	tcase_add_test(t, goes_when_nobody_asks);
	tcase_add_test(t, goes_with_a_change);
	tcase_add_test(t, goes_by_command);
	tcase_add_test(t, goes_with_its_vault);
	tcase_add_test(t, is_not_kept_without_room);
	tcase_add_test(t, survives_without_memory);
	suite_add_tcase(suite, t);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
