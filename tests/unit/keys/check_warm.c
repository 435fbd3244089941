/* SPDX-License-Identifier: Apache-2.0 */
/* Warm at start: which keys, at which rate, and what stops it. */
#include "keys/warm.h"

#include <string.h>

#include "base/metric.h"
#include "cacherig.h"

enum { KEYS = 5 };
#define PACE (100 * NS_PER_MS)
#define LONG (60 * NS_PER_S)

static struct cacherig rig;
static struct object *objects[KEYS]; /* the newest first */
static struct warm warm;
static bool done;
static enum err done_err;

/* --- a ledger of a few objects --- */

static void
leave(struct wait *w)
{
	(void)w;
}

static void
fake_find(struct ledger *l, struct ledger_find *f)
{
	(void)l;
	ck_assert(!f->include_destroyed && f->terms_count == 0);
	f->uids_count = f->max < KEYS ? f->max : KEYS;
	f->uids = arena_zalloc(f->arena, f->uids_count * sizeof(f->uids[0]));
	ck_assert_ptr_nonnull(f->uids);
	for (size_t i = 0; i < f->uids_count; i++)
		memcpy(f->uids[i], objects[i]->uid, sizeof(f->uids[i]));
	f->wait.cancel = leave;
	wait_finish_soon(rig.loop, &f->wait, ERR_OK);
}

static void
fake_load(struct ledger *l, struct ledger_load *load)
{
	enum err e = ERR_NO_OBJECT;

	(void)l;
	for (size_t i = 0; i < KEYS; i++)
		if (strcmp(objects[i]->uid, load->uid) == 0) {
			load->object = object_copy(load->arena, objects[i]);
			e = ERR_OK;
		}
	load->wait.cancel = leave;
	wait_finish_soon(rig.loop, &load->wait, e);
}

static const struct ledger_ops fake_ops = {.name = "fake", .find = fake_find, .load = fake_load};
static struct ledger ledger = {&fake_ops};

static void
on_done(struct wait *w, enum err e)
{
	(void)w;
	ck_assert(!done);
	done = true;
	done_err = e;
}

static void
setup(void)
{
	cacherig_init(&rig, 4096);
	for (unsigned i = 0; i < KEYS; i++)
		objects[i] = cacherig_object(&rig, "east", i + 1);
	done = false;
}

static void
teardown(void)
{
	wait_cancel(&warm.wait);
	cacherig_fini(&rig);
}

static void
start_again(uint32_t keys, const struct warm_progress *progress)
{
	warm = (struct warm){
	    .wait.done = on_done,
	    .loop = rig.loop,
	    .ledger = &ledger,
	    .vault = &rig.vault,
	    .cache = rig.cache,
	    .custody = rig.custody,
	    .terms = rig.terms,
	    .tenant = "east",
	    .keys = keys,
	    .progress = *progress,
	};
	done = false;
	warm_start(&warm);
	ck_assert(!done);
	cacherig_settle(&rig);
}

static void
start(uint32_t keys)
{
	start_again(keys, &(struct warm_progress){0});
}

/* What is asked of the vault now: this key alone, in the background. */
static void
expect_load(unsigned n, enum err e)
{
	struct vault_unwrap *u;

	ck_assert_uint_eq(cacherig_pending(&rig), 1);
	u = CONTAINER_OF(rig.pending.next, struct vault_unwrap, wait.link);
	ck_assert_str_eq(u->object->uid, objects[n]->uid);
	ck_assert(u->terms.background);
	cacherig_answer(&rig, e);
	cacherig_settle(&rig);
	ck_assert_uint_eq(cacherig_pending(&rig), 0); /* never two in a row */
}

START_TEST(test_newest_first)
{
	int64_t before = metric_get(METRIC_WARMED_TOTAL);

	start(3);
	for (unsigned i = 0; i < 3; i++) {
		expect_load(i, ERR_OK);
		cacherig_advance(&rig, PACE - 1);
		ck_assert_uint_eq(cacherig_pending(&rig), 0);
		ck_assert(!done);
		cacherig_advance(&rig, 1);
	}
	ck_assert(done);
	ck_assert_int_eq(done_err, ERR_OK);
	ck_assert_uint_eq(warm.progress.warmed, 3);
	ck_assert_uint_eq(warm.progress.left, 0);
	ck_assert_int_eq(metric_get(METRIC_WARMED_TOTAL) - before, 3);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(get_warm(&rig, objects[i]), ERR_OK);
	ck_assert_uint_eq(rig.loads, 3);
}
END_TEST

START_TEST(test_what_is_warm_already)
{
	ck_assert_int_eq(get_now(&rig, objects[0], ERR_OK), ERR_OK);
	start(100);
	cacherig_advance(&rig, PACE);
	for (unsigned i = 1; i < KEYS; i++) {
		expect_load(i, ERR_OK);
		cacherig_advance(&rig, PACE);
	}
	ck_assert(done);
	ck_assert_uint_eq(warm.progress.warmed, KEYS);
	ck_assert_uint_eq(rig.loads, KEYS);
}
END_TEST

/* An outage or a refusal is no matter of this key, and ends the attempt; the next goes on there. */
START_TEST(test_away)
{
	static const enum err all[] = {ERR_VAULT_DOWN, ERR_VAULT_DENIED, ERR_NO_ROOT_KEY, ERR_DEADLINE};
	struct warm_progress progress;

	start(3);
	expect_load(0, ERR_OK);
	cacherig_advance(&rig, PACE);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		expect_load(1, all[i]);
		ck_assert(done);
		ck_assert_int_eq(done_err, all[i]);
		cacherig_advance(&rig, LONG);
		ck_assert_uint_eq(cacherig_pending(&rig), 0);
		progress = warm.progress;
		start_again(3, &progress);
	}
	expect_load(1, ERR_OK);
	cacherig_advance(&rig, PACE);
	expect_load(2, ERR_OK);
	cacherig_advance(&rig, PACE);
	ck_assert(done);
	ck_assert_int_eq(done_err, ERR_OK);
	ck_assert_uint_eq(warm.progress.warmed, 3);
	ck_assert_uint_eq(warm.progress.left, 0);
}
END_TEST

/* The key at which it stopped is gone: the attempt begins with the newest, which are warm. */
START_TEST(test_away_and_gone)
{
	struct warm_progress progress;

	start(2);
	expect_load(0, ERR_OK);
	cacherig_advance(&rig, PACE);
	expect_load(1, ERR_VAULT_DOWN);
	progress = warm.progress;
	memset(progress.uid, 'x', sizeof(progress.uid) - 1);
	start_again(2, &progress);
	cacherig_advance(&rig, PACE);
	expect_load(1, ERR_OK);
	cacherig_advance(&rig, PACE);
	ck_assert(done);
	ck_assert_int_eq(done_err, ERR_OK);
}
END_TEST

START_TEST(test_one_key_fails)
{
	start(3);
	expect_load(0, ERR_INTEGRITY);
	cacherig_advance(&rig, PACE);
	expect_load(1, ERR_NO_OBJECT);
	cacherig_advance(&rig, PACE);
	expect_load(2, ERR_OK);
	cacherig_advance(&rig, PACE);
	ck_assert(done);
	ck_assert_int_eq(done_err, ERR_OK);
	ck_assert_uint_eq(warm.progress.warmed, 1);
	ck_assert_uint_eq(warm.progress.left, 2);
}
END_TEST

/* A client does not wait for what is held back for clients: it makes a load of its own. */
START_TEST(test_client_goes_first)
{
	struct get t = {.done = false};

	start(1);
	ck_assert_uint_eq(cacherig_pending(&rig), 1);
	get_start(&t, &rig, objects[0]);
	cacherig_settle(&rig);
	ck_assert_uint_eq(cacherig_pending(&rig), 2);
	cacherig_finish(&rig, CONTAINER_OF(rig.pending.prev, struct vault_unwrap, wait.link), ERR_OK);
	cacherig_settle(&rig);
	ck_assert(t.done && t.e == ERR_OK);
	get_end(&t);
	cacherig_answer(&rig, ERR_OK);
	cacherig_settle(&rig);
	cacherig_advance(&rig, PACE);
	ck_assert(done);
}
END_TEST

START_TEST(test_cancel)
{
	for (int when = 0; when < 3; when++) {
		start(2);
		if (when == 1)
			cacherig_answer(&rig, ERR_OK);
		if (when == 2) {
			cacherig_settle(&rig);
			cacherig_advance(&rig, PACE);
		}
		wait_cancel(&warm.wait);
		while (cacherig_pending(&rig) > 0)
			cacherig_answer(&rig, ERR_OK); /* the load runs to its end */
		cacherig_settle(&rig);
		cacherig_advance(&rig, LONG);
		ck_assert_uint_eq(cacherig_pending(&rig), 0);
		ck_assert(!done);
		cache_flush(rig.cache, NULL);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("warm");
	TCase *t = tcase_create("warm");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_newest_first);
	tcase_add_test(t, test_what_is_warm_already);
	tcase_add_test(t, test_away);
	tcase_add_test(t, test_away_and_gone);
	tcase_add_test(t, test_one_key_fails);
	tcase_add_test(t, test_client_goes_first);
	tcase_add_test(t, test_cancel);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
