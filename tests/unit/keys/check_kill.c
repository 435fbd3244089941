/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The storage child killed at random moments under load: whatever was acknowledged is there, what
 * was not is there wholly or not at all.  KEYFERRY_LONG=1: 200 times; KEYFERRY_SEED: replays.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <check.h>

#include "base/secret.h"
#include "crash_vfs.h"
#include "job.h"

enum { STREAMS = 16, KEYS = 64, KILLS = 20, KILLS_LONG = 200 };

struct known {
	struct object *object;
	bool acked, destroyed, asked_destroy;
};

static struct rig rig;
static uint64_t rng;
static struct known known[KEYS];
static size_t known_count;

static struct {
	struct job job;
	struct known *on;
} streams[STREAMS];

static void
start_stream(size_t i)
{
	struct known *k = known_count > 0 ? &known[crash_random(&rng) % known_count] : NULL;
	struct object *o;

	for (size_t j = 0; j < STREAMS && k != NULL; j++)
		if (streams[j].on == k)
			k = NULL; /* another stream works on it */
	streams[i].job = (struct job){.rig = NULL};
	if (k != NULL && k->acked && !k->destroyed && crash_random(&rng) % 3 == 0) {
		o = object_copy(rig.arena, k->object);
		o->revision = 1;
		o->state = OBJECT_DESTROYED;
		k->asked_destroy = true;
		streams[i].on = k;
		job_start(&streams[i].job, &rig, CHANGE_DESTROY, o, NULL);
	} else if (known_count < KEYS) {
		k = streams[i].on = &known[known_count++];
		k->object = rig_object(&rig, "a", NULL);
		o = object_copy(rig.arena, k->object);
		job_start(&streams[i].job, &rig, CHANGE_INSERT, o, NULL);
	}
}

static void
take_answer(size_t i)
{
	struct known *k = streams[i].on;

	if (k == NULL || !streams[i].job.done)
		return;
	if (streams[i].job.e == ERR_OK && streams[i].job.changes[0].kind == CHANGE_INSERT)
		k->acked = true;
	else if (streams[i].job.e == ERR_OK)
		k->destroyed = true;
	else
		ck_assert_int_eq(streams[i].job.e, ERR_STORAGE_DOWN);
	streams[i].on = NULL;
}

static void
check_known(const struct known *k)
{
	struct secret *key;
	struct object *got;
	bool found, gone;
	enum err e;

	got = rig_load(&rig, "a", k->object->uid, &e);
	ck_assert_int_eq(rig_probe(&rig, "a", k->object->uid, &found), ERR_OK);
	if (!k->acked && e == ERR_NO_OBJECT) {
		ck_assert(!found);
		return;
	}
	ck_assert_msg(e == ERR_OK, "%s: %s", k->object->uid, err_name(e));
	gone = object_is_destroyed(got);
	ck_assert(gone || !k->destroyed);
	ck_assert(!gone || k->asked_destroy);
	ck_assert(found == !gone);
	if (gone)
		return;
	ck_assert_uint_eq(got->record_len, k->object->record_len);
	ck_assert_mem_eq(got->record, k->object->record, got->record_len);
	ck_assert_int_eq(rig_unwrap(&rig, got, &key), ERR_OK);
	secret_unref(key);
}

/* Killed after some turns of the loop, and a moment that no turn marks. */
static void
kill_once(void)
{
	int restarted = rig.restarted, turns = (int)(crash_random(&rng) % 40);
	struct timespec moment = {.tv_nsec = (long)(crash_random(&rng) % 300000)};
	struct recover rec;

	known_count = 0;
	memset(known, 0, sizeof(known));
	for (int t = 0; t < turns; t++) {
		for (size_t i = 0; i < STREAMS; i++) {
			take_answer(i);
			if (streams[i].on == NULL)
				start_stream(i);
		}
		loop_turn(rig.loop, false);
	}
	nanosleep(&moment, NULL);
	kill(store_pid(rig.store), SIGKILL);
	while (rig.restarted == restarted)
		loop_turn(rig.loop, true);
	for (size_t i = 0; i < STREAMS; i++)
		if (streams[i].on != NULL) {
			job_wait_all(&rig, &streams[i].job, 1);
			take_answer(i);
		}
	ck_assert_int_eq(rig_recover(&rig, &rec), ERR_OK);
	for (size_t i = 0; i < known_count; i++)
		check_known(&known[i]);
}

START_TEST(test_kill)
{
	const char *given = getenv("KEYFERRY_SEED");
	int kills = getenv("KEYFERRY_LONG") != NULL ? KILLS_LONG : KILLS;

	rng = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
	printf("kill: KEYFERRY_SEED=%" PRIu64 "\n", rng);
	rig_init(&rig);
	for (int i = 0; i < kills; i++) {
		if (i % 4 == 0) { /* a new store, whose backoff begins anew, on the same files */
			rig_stop(&rig);
			arena_free(rig.arena);
			rig.arena = arena_new(256 << 20);
			rig_start(&rig);
		}
		kill_once();
	}
	rig_fini(&rig);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("kill");
	TCase *t = tcase_create("kill");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 1200);
	tcase_add_test(t, test_kill);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
