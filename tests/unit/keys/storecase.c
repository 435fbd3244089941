/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of the store begin with. */
#include "storecase.h"

#include <check.h>

#include "base/fault.h"

struct rig rig;

void
setup(void)
{
	rig_init(&rig);
}

void
teardown(void)
{
	fault_test_clear();
	rig_fini(&rig);
}

void
await_restart(int restarted)
{
	while (rig.restarted == restarted)
		loop_turn(rig.loop, true);
}

struct object *
load_ok(const struct object *o)
{
	enum err e;
	struct object *got = rig_load(&rig, o->tenant, o->uid, &e);

	ck_assert_msg(e == ERR_OK, "%s: %s", o->uid, err_name(e));
	return got;
}

void
load_fails(const struct object *o, enum err want)
{
	enum err e;

	rig_load(&rig, o->tenant, o->uid, &e);
	ck_assert_msg(e == want, "%s", err_name(e));
}

void
create_many(struct job *jobs, int shared_every)
{
	struct object *objects[MANY];

	for (int i = 0; i < MANY; i++)
		objects[i] = rig_object(&rig, "a",
		    shared_every > 0 && i % shared_every == 3 ? "shared" : NULL);
	for (int i = 0; i < MANY; i++)
		job_start(&jobs[i], &rig, CHANGE_INSERT, objects[i], NULL);
	job_wait_all(&rig, jobs, MANY);
}
