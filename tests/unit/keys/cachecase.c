/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of the key cache and of custody begin with. */
#include "cachecase.h"

#include "base/fault.h"

struct cacherig rig;
struct object *key1, *key2;

void
setup(void)
{
	cacherig_init(&rig, 4096);
	key1 = cacherig_object(&rig, "east", 1);
	key2 = cacherig_object(&rig, "east", 2);
}

void
teardown(void)
{
	fault_test_clear();
	cacherig_fini(&rig);
}

void
verdict(enum err e)
{
	custody_verdict(rig.custody, &(struct custody_evidence){.e = e, .began = stamp_now()});
}

enum custody_state
state(void)
{
	return custody_state(rig.custody);
}

void
warm_up(void)
{
	ck_assert_int_eq(get_now(&rig, key1, ERR_OK), ERR_OK);
	ck_assert_int_eq(get_now(&rig, key2, ERR_OK), ERR_OK);
	ck_assert_int_eq(state(), CUSTODY_FRESH);
	rig.loads = 0;
}

int
cachecase_main(const char *name, void (*add)(TCase *t))
{
	Suite *s = suite_create(name);
	TCase *t = tcase_create(name);
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	add(t);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
