/* SPDX-License-Identifier: Apache-2.0 */
/* The key cache under callbacks that ask, cancel, wipe and free while others are served. */
#include <stdlib.h>

#include "cacherig.h"

static struct cacherig rig;
static struct object *key1;

static void
setup(void)
{
	cacherig_init(&rig, 4096);
	key1 = cacherig_object(&rig, "east", 1);
}

static void
teardown(void)
{
	cacherig_fini(&rig);
}

static void
ask_again(struct get *t)
{
	t->then = NULL;
	get_end(t);
	get_start(t, t->rig, key1);
}

static void
cancel_other(struct get *t)
{
	wait_cancel(&((struct get *)t->arg)->g.wait);
}

static void
flush(struct get *t)
{
	cache_flush(t->rig->cache, NULL);
}

static void
forget(struct get *t)
{
	cache_forget(t->rig->cache, key1->tenant, key1->uid);
}

static void
revoke(struct get *t)
{
	custody_verdict(t->rig->custody, &(struct custody_evidence){.e = ERR_NO_ROOT_KEY});
}

static void
free_cache(struct get *t)
{
	cache_free(t->rig->cache);
	t->rig->cache = NULL;
}

static void
free_all(struct get *t)
{
	free_cache(t);
	custody_unref(t->rig->custody);
	t->rig->custody = NULL;
}

static void
drop_custody(struct get *t)
{
	custody_unref(t->rig->custody);
	t->rig->custody = NULL;
}

/* The second of three does it; the third, which waits, gets what is said here. */
static const struct {
	void (*act)(struct get *);
	enum err cold, warm, failed; /* ERR_OK in `failed`: as the vault says */
	bool never;		     /* its done does not run */
	bool keeps;		     /* the key is in memory in the end */
} acts[] = {
    {ask_again, ERR_OK, ERR_OK, ERR_OK, false, true},
    {cancel_other, ERR_OK, ERR_OK, ERR_OK, true, true},
    {flush, ERR_OK, ERR_OK, ERR_OK, false, false},
    {forget, ERR_OK, ERR_OK, ERR_OK, false, false},
    {revoke, ERR_NO_ROOT_KEY, ERR_OK, ERR_NO_ROOT_KEY, false, false},
    {free_cache, ERR_CANCELLED, ERR_CANCELLED, ERR_CANCELLED, false, false},
    {free_all, ERR_CANCELLED, ERR_CANCELLED, ERR_CANCELLED, false, false},
    {drop_custody, ERR_OK, ERR_OK, ERR_OK, false, false},
};

START_TEST(test_reentrant_load)
{
	struct get t[3] = {{.done = false}};

	t[1].then = acts[_i].act;
	t[1].arg = &t[2];
	for (size_t i = 0; i < 3; i++)
		get_start(&t[i], &rig, key1);
	cacherig_settle(&rig);
	cacherig_answer(&rig, ERR_OK);
	cacherig_settle(&rig);
	ck_assert_int_eq(t[2].done, !acts[_i].never);
	ck_assert_int_eq(t[2].e, acts[_i].cold);
	for (size_t i = 0; i < 3; i++)
		if (t[i].done)
			get_end(&t[i]);
	ck_assert_uint_eq(cacherig_kept(&rig), acts[_i].keeps ? 32 : 0);
}
END_TEST

START_TEST(test_reentrant_hit)
{
	struct get t[3] = {{.done = false}};

	ck_assert_int_eq(get_now(&rig, key1, ERR_OK), ERR_OK);
	if (acts[_i].act == drop_custody)
		return; /* those who come after have none to name */
	t[1].then = acts[_i].act;
	t[1].arg = &t[2];
	for (size_t i = 0; i < 3; i++)
		get_start(&t[i], &rig, key1);
	cacherig_settle(&rig);
	if (cacherig_pending(&rig) > 0)
		cacherig_answer(&rig, ERR_OK); /* flushed before the third was looked at */
	cacherig_settle(&rig);
	ck_assert_int_eq(t[2].done, !acts[_i].never);
	ck_assert_int_eq(t[2].e, acts[_i].warm);
	for (size_t i = 0; i < 3; i++)
		if (t[i].done)
			get_end(&t[i]);
}
END_TEST

START_TEST(test_reentrant_failure)
{
	struct get t[3] = {{.done = false}};
	enum err want = acts[_i].failed != ERR_OK ? acts[_i].failed : ERR_VAULT_DOWN;

	t[1].then = acts[_i].act;
	t[1].arg = &t[2];
	for (size_t i = 0; i < 3; i++)
		get_start(&t[i], &rig, key1);
	cacherig_settle(&rig);
	cacherig_answer(&rig, ERR_VAULT_DOWN);
	cacherig_settle(&rig);
	ck_assert_int_eq(t[2].done, !acts[_i].never);
	ck_assert(acts[_i].never || t[2].e == want);
	if (cacherig_pending(&rig) > 0)
		cacherig_answer(&rig, ERR_VAULT_DOWN); /* the one that asked again */
}
END_TEST

static void
ask_for_ever(struct get *t)
{
	get_end(t);
	get_start(t, t->rig, key1);
}

/* Who asks again as soon as it is served waits for the next turn, and lets others have theirs. */
START_TEST(test_turns)
{
	struct get t = {.then = ask_for_ever};
	unsigned served;

	ck_assert_int_eq(get_now(&rig, key1, ERR_OK), ERR_OK);
	served = rig.served;
	get_start(&t, &rig, key1);
	for (unsigned i = 1; i <= 5; i++) {
		loop_turn(rig.loop, false);
		ck_assert_uint_eq(rig.served - served, i);
	}
	wait_cancel(&t.g.wait);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("cache_reenter");
	TCase *t = tcase_create("cache_reenter");
	SRunner *r = srunner_create(s);
	int failed, count = sizeof(acts) / sizeof(acts[0]);

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, test_reentrant_load, 0, count);
	tcase_add_loop_test(t, test_reentrant_hit, 0, count);
	tcase_add_loop_test(t, test_reentrant_failure, 0, count);
	tcase_add_test(t, test_turns);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
