/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the vault `keyprotect' begin and end with. */
#include "kpcase.h"

struct kprig *rig;
static size_t heap_used;

static void
setup(void)
{
	rig = kprig_new();
	heap_used = secret_heap_used();
}

static void
teardown(void)
{
	kprig_free(rig);
	ck_assert_uint_eq(secret_heap_used(), heap_used); /* no key and no token is left */
}

struct object *
kpcase_key(void)
{
	struct object *o = kprig_object(rig, 256);

	ck_assert_int_eq(kprig_make(rig, o, NULL), ERR_OK);
	ck_assert_int_eq(kprig_store(rig, o), ERR_OK);
	rig->order[0] = '\0';
	rig->posts = rig->wraps = rig->lists = rig->metas = rig->deletes = rig->unwraps = 0;
	return o;
}

unsigned
kpcase_live(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < rig->keys_count; i++)
		n += rig->keys[i].state != 5;
	return n;
}

int
kpcase_main(const char *name, void (*add)(TCase *t))
{
	Suite *s = suite_create(name);
	TCase *t = tcase_create(name);
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	add(t);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
