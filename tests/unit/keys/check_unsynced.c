/* SPDX-License-Identifier: Apache-2.0 */
/* Disks that fail, fill and lose their power, step by step.  KEYFERRY_LONG=1: more of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <check.h>
#include <sqlite3.h>

#include "base/clock.h"

#include "children.h"
#include "crash_vfs.h"
#include "db_ledger.h"

enum { CUTS = 100 }; /* of the power, after so many writes of a first start */

static struct rig rig;

static void
setup(void)
{
	rig_init(&rig);
	children_init(&rig);
	rig.pump = children_pump;
}

static void
teardown(void)
{
	children_end();
	rig_fini(&rig);
	crash_vfs_reset(0);
}

static void
label(struct object *o, char c)
{
	char value[2000];

	memset(value, c, sizeof(value));
	ck_assert_int_eq(object_attr_set(o, rig.arena, "x-label", 7, 0, (const uint8_t *)value,
	    sizeof(value)), ERR_OK);
}

static struct object *
make_one(void)
{
	struct object *o = rig_object(&rig, "a", NULL);

	label(o, 'A');
	ck_assert_int_eq(rig_create(&rig, o), ERR_OK);
	o->revision = 1;
	return o;
}

static struct object *
start_with_one(uint64_t seed)
{
	crash_vfs_reset(seed);
	rig_start(&rig);
	return make_one();
}

static void
turn_well(void)
{
	children_pump(&rig);
	loop_turn(rig.loop, false);
}

/* After a start from what is on the disk. */
static struct object *
load_then(const struct object *o)
{
	struct object *got;
	enum err e;

	children_end();
	rig_stop(&rig);
	if (crash_vfs_is_cut())
		crash_vfs_power_on();
	rig_start(&rig);
	got = rig_load(&rig, "a", o->uid, &e);
	ck_assert_int_eq(e, ERR_OK);
	return got;
}

/* A log that cannot be brought back ends the writer, and takes no answer back of what is in it. */
START_TEST(test_log_stays)
{
	struct object *o = start_with_one(1);
	unsigned rounds = 0;

	crash_vfs_break("ledger.db");
	while (rig.ended == 0) {
		label(o, (char)('a' + ++rounds % 26));
		ck_assert_int_eq(rig_update(&rig, o), ERR_OK);
		o->revision++;
		for (int i = 0; i < 3; i++)
			turn_well();
	}
	ck_assert_uint_gt(rounds, 10);
	crash_vfs_break(NULL);
	ck_assert_uint_eq(load_then(o)->revision, o->revision);
}
END_TEST

/*
 * What the log holds is in memory alone, and there is no room to write it anew: nothing is put behind it
 * until there is, as it would be lost with it.
 */
START_TEST(test_full_after_a_failed_sync)
{
	static const enum crash_room rooms[] = {CRASH_FULL, CRASH_QUOTA};
	struct object *o = start_with_one(1);
	enum err e;

	label(o, 'a');
	crash_vfs_fail_sync(1, rooms[_i]);
	ck_assert_int_eq(rig_update(&rig, o), ERR_STORAGE_DOWN);
	while (rig.restarted == 0)
		turn_well();
	ck_assert_int_eq(rig.refused, 0);
	o = rig_load(&rig, "a", o->uid, &e);
	ck_assert_int_eq(e, ERR_OK);
	label(o, 'b');
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(rig_update(&rig, o), ERR_STORAGE_FULL);
	ck_assert_int_eq(rig.ended, 1);
	crash_vfs_fill(CRASH_ROOM);
	ck_assert_int_eq(rig_update(&rig, o), ERR_STORAGE_DOWN); /* the next child settles it */
	while (rig.restarted == 1)
		turn_well();
	ck_assert_int_eq(rig_update(&rig, o), ERR_OK);
	crash_vfs_cut_after(1);
	ck_assert_int_eq(rig_create(&rig, rig_object(&rig, "a", NULL)), ERR_STORAGE_DOWN);
	ck_assert_uint_eq(load_then(o)->revision, o->revision + 1);
}
END_TEST

/* Changed four times, by what nobody has made durable the last time. */
static void
fail_last_change(struct object *o, enum crash_room then)
{
	for (char c = 'a'; c < 'd'; c++, o->revision++) {
		label(o, c);
		ck_assert_int_eq(rig_update(&rig, o), ERR_OK);
	}
	crash_vfs_fail_sync(1, then);
	label(o, 'd');
	ck_assert_int_eq(rig_update(&rig, o), ERR_STORAGE_DOWN);
	ck_assert_str_eq(rig.why, "gave up: STORAGE: reading or writing the state directory failed");
	o->revision++;
}

/* What is told to whoever asks is as good as acknowledged. */
static void
read_it_and_lose_power(const struct object *o)
{
	enum err e;

	ck_assert(rig_same(rig_load(&rig, "a", o->uid, &e), o));
	crash_vfs_cut_after(1);
	ck_assert_int_eq(rig_create(&rig, rig_object(&rig, "a", NULL)), ERR_STORAGE_DOWN);
	ck_assert(rig_same(load_then(o), o));
}

/*
 * What the next child finds of a change whose sync failed: neither it nor anything else is lost with the
 * power, even while it is settled.
 */
START_TEST(test_power_loss_after_a_failed_sync)
{
	struct object *o = start_with_one(1 + (uint64_t)_i), *got;

	fail_last_change(o, CRASH_ROOM);
	crash_vfs_cut_after((unsigned)_i / 8); /* 0: not then */
	while (rig.restarted == 0 && !crash_vfs_is_cut())
		turn_well();
	if (!crash_vfs_is_cut()) {
		read_it_and_lose_power(o);
		return;
	}
	got = load_then(o);
	if (got->revision < o->revision) {
		label(o, 'c');
		o->revision--;
	}
	ck_assert(rig_same(got, o));
}
END_TEST

static void
await_restart(int times)
{
	while (rig.restarted < times)
		turn_well();
}

static void
all_are_there(struct object *const *all, size_t count)
{
	enum err e;

	for (size_t i = 0; i < count; i++) {
		const struct object *got = rig_load(&rig, "a", all[i]->uid, &e);

		ck_assert(e == ERR_OK && rig_same(got, all[i]));
	}
}

/* There was no room to settle it; when there is, nobody asks for anything. */
static void
find_room(void)
{
	crash_vfs_fill(CRASH_ROOM);
	store_exec_idle(children[STORE_WRITER].exec, &children[STORE_WRITER].out);
	await_restart(2);
}

START_TEST(test_power_loss_after_a_full_disk)
{
	struct object *o = start_with_one(1 + (uint64_t)_i);

	fail_last_change(o, CRASH_FULL);
	await_restart(1);
	find_room();
	read_it_and_lose_power(o);
}
END_TEST

/* All that may be lost of the log then is what was never acknowledged. */
START_TEST(test_memory_is_short_on_a_full_disk)
{
	struct object *o = start_with_one(1), *others[8];

	for (size_t i = 0; i < 8; i++)
		others[i] = make_one();
	fail_last_change(o, CRASH_FULL);
	await_restart(1);
	crash_vfs_evict();
	find_room();
	ck_assert_int_eq(rig.refused, 0);
	ck_assert_uint_ge(load_then(o)->revision, o->revision - 1);
	all_are_there(others, 8);
}
END_TEST

/* As at the gateway's end: the reader goes first, so that whoever else closes the ledger is the last. */
static void
pump_at_the_end(struct rig *r)
{
	(void)r;
	if (child_pump(&children[STORE_WRITER], true))
		return;
	child_send(&children[STORE_WRITER]);
	children_end();
}

/* While somebody reads, the log can be brought back in part alone, which is not synced. */
static void
grow_log_beside_a_search(struct object *o)
{
	struct db search;
	const char *why;

	ck_assert_int_eq(db_open_to_read(&search, &db_ledger_schema, rig.state, CRASH_VFS, &why), ERR_OK);
	ck_assert_int_eq(sqlite3_exec(search.h, "BEGIN; SELECT count(*) FROM objects", NULL, NULL,
	    NULL), SQLITE_OK);
	for (int i = 0; i < 250; i++, o->revision++) {
		label(o, (char)('a' + i % 26));
		ck_assert_int_eq(rig_update(&rig, o), ERR_OK);
		turn_well();
	}
	ck_assert_int_eq(sqlite3_exec(search.h, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	db_close(&search);
}

/* What the file's failed sync has lost is in the log still, which the same child must not end. */
START_TEST(test_file_that_fails_keeps_its_log)
{
	struct object *all[30];

	all[0] = start_with_one(1 + (uint64_t)_i);
	for (size_t i = 1; i < 30; i++)
		all[i] = make_one();
	grow_log_beside_a_search(all[0]);
	ck_assert_int_eq(rig.ended, 0);
	rig.pump = pump_at_the_end;
	crash_vfs_fail_sync(3, CRASH_ROOM); /* of the commit, of the log, of the file */
	label(all[0], 'z');
	ck_assert_int_eq(rig_update(&rig, all[0]), ERR_OK);
	all[0]->revision++;
	ck_assert(crash_vfs_failed_sync());
	rig.pump = children_pump;
	children_end();
	rig_stop(&rig);
	crash_vfs_power_on();
	rig_start(&rig);
	all_are_there(all, 30);
}
END_TEST

/* What stands in its own way cannot be waited for: it is begun anew, and nothing is lost. */
START_TEST(test_lock_that_is_not_given_up)
{
	struct object *o = start_with_one(1);
	unsigned failed = 0;

	crash_vfs_keep_mark();
	while (rig.ended == 0) {
		label(o, (char)('a' + o->revision % 26));
		if (rig_update(&rig, o) == ERR_OK)
			o->revision++;
		else
			ck_assert_uint_lt(++failed, 3);
		turn_well();
	}
	while (rig.restarted == 0)
		turn_well();
	ck_assert_int_eq(rig_update(&rig, o), ERR_OK);
	o->revision++;
	ck_assert(rig_same(load_then(o), o));
}
END_TEST

/* Each sync of the first start fails once: it is refused, or all is as it should be. */
START_TEST(test_first_start)
{
	struct object *o;
	const char *why;
	bool found;

	crash_vfs_reset(1 + (uint64_t)_i);
	crash_vfs_fail_sync(1 + (unsigned)_i / 8, CRASH_ROOM);
	while (rig_try_start(&rig, &why) != ERR_OK) {
		ck_assert(crash_vfs_failed_sync());
		crash_vfs_fail_sync(0, CRASH_ROOM);
		children_end();
	}
	crash_vfs_fail_sync(0, CRASH_ROOM);
	o = make_one();
	children_end();
	rig_stop(&rig);
	crash_vfs_power_on();
	ck_assert(rig_same(load_then(o), o));
	ck_assert_int_eq(rig_probe(&rig, "a", o->uid, &found), ERR_OK);
	ck_assert(found);
}
END_TEST

/* What it leaves then is no loss of anything: the next one begins anew. */
START_TEST(test_power_loss_at_a_first_start)
{
	struct object *o;
	const char *why = "";

	crash_vfs_reset(1 + (uint64_t)_i);
	crash_vfs_cut_after(1 + (unsigned)_i % CUTS);
	(void)!rig_try_start(&rig, &why);
	children_end();
	rig_stop(&rig);
	if (crash_vfs_is_cut())
		crash_vfs_power_on();
	crash_vfs_cut_after(0);
	rig_start(&rig);
	o = make_one();
	ck_assert(rig_same(load_then(o), o));
}
END_TEST

/* Nor is it brought back unsettled by whoever is the last to close it. */
START_TEST(test_unsettled_log_stays)
{
	struct object *o = start_with_one(1);
	sqlite3_vfs *disk = sqlite3_vfs_find(CRASH_VFS);
	char path[256];
	int there = 0;

	fail_last_change(o, CRASH_FULL);
	await_restart(1);
	crash_vfs_fill(CRASH_ROOM);
	children_end();
	snprintf(path, sizeof(path), "%s/ledger.db-wal", rig.state);
	ck_assert_int_eq(disk->xAccess(disk, path, SQLITE_ACCESS_EXISTS, &there), SQLITE_OK);
	ck_assert_int_eq(there, 1);
	ck_assert(rig_same(load_then(o), o));
}
END_TEST

/* A reader that serves alone is away while another writer is tried. */
static const struct object *
load_alone(const struct object *o)
{
	const struct object *got;
	enum err e;

	do {
		turn_well();
		got = rig_load(&rig, "a", o->uid, &e);
	} while (e == ERR_STORAGE_DOWN);
	ck_assert_msg(e == ERR_OK, "%s", err_name(e));
	return got;
}

static void
await_alone(int times)
{
	while (rig.alone < times)
		turn_well();
}

/* Last, as a disk that is away to be mended. */
static void
be_refused_otherwise(void)
{
	int refused = rig.refused;

	ck_assert_int_eq(chmod(rig.state, 0777), 0);
	while (rig.refused == refused || strstr(rig.why, "READ_ONLY") != NULL)
		turn_well();
	ck_assert_int_eq(chmod(rig.state, 0700), 0);
}

/* As long as no writer can open the files keys are served from what is there, the log included. */
START_TEST(test_served_without_a_writer)
{
	struct object *all[4], *o = start_with_one(1);
	struct store_health health;

	for (size_t i = 0; i < 4; i++)
		all[i] = make_one();
	crash_vfs_break("ledger.db-wal");
	label(o, 'b');
	ck_assert_int_eq(rig_update(&rig, o), ERR_STORAGE_DOWN);
	for (int i = 0; i < 4; i++) {
		await_alone(i + 1);
		ck_assert(rig_same(load_alone(all[i]), all[i]));
		ck_assert_int_eq(rig_update(&rig, o), ERR_STORAGE_DOWN);
	}
	await_alone(5);
	store_health(rig.store, &health);
	ck_assert(health.up);
	ck_assert_int_eq(health.failing, ERR_STORAGE);
	ck_assert_int_eq(rig.failing, 1);
	ck_assert_int_eq(rig.restarted, 0);
	if (_i == 1)
		be_refused_otherwise();
	crash_vfs_break(NULL);
	await_restart(1);
	store_health(rig.store, &health); /* before anybody changes anything */
	ck_assert_int_eq(health.failing, ERR_OK);
	ck_assert_int_eq(rig.writing, 1);
	ck_assert_int_eq(rig_update(&rig, o), ERR_OK);
	o->revision++;
	ck_assert(rig_same(load_then(o), o));
}
END_TEST

/* No writer tells by opening the files that there is room. */
START_TEST(test_still_full)
{
	struct object *o = start_with_one(1);
	struct store_health health;

	crash_vfs_fill(CRASH_FULL);
	label(o, 'b');
	ck_assert_int_eq(rig_update(&rig, o), ERR_STORAGE_FULL);
	children_end();
	be_refused_otherwise();
	await_restart(1);
	store_health(rig.store, &health);
	ck_assert_int_eq(health.failing, ERR_STORAGE_FULL);
	ck_assert_int_eq(rig.writing, 0);
}
END_TEST

/* Where a try takes long, as disks do before they fail, keys are served for as long before the next one. */
START_TEST(test_slow_tries_leave_time_to_read)
{
	struct object *o = start_with_one(1), *kept = make_one();

	clock_test_freeze(1700000000);
	crash_vfs_break("ledger.db-wal");
	label(o, 'b');
	ck_assert_int_eq(rig_update(&rig, o), ERR_STORAGE_DOWN);
	for (int i = 1; i <= 3; i++) {
		int tries = children_tries;

		for (; children_tries == tries; turn_well())
			clock_test_advance(NS_PER_S / 10);
		clock_test_advance(40 * NS_PER_S); /* until what it says is heard */
		await_alone(i);
		for (int s = 0; s < 39; s++) {
			ck_assert(rig_same(load_alone(kept), kept));
			ck_assert_int_eq(children_tries, tries + 1);
			clock_test_advance(NS_PER_S);
		}
	}
	crash_vfs_break(NULL);
	for (; rig.restarted == 0; turn_well())
		clock_test_advance(NS_PER_S);
	ck_assert_int_eq(rig_update(&rig, o), ERR_OK);
}
END_TEST

/* What a dying writer has left in the log is seen then already, and no later writer makes it known. */
START_TEST(test_reader_alone_sees_what_was_left)
{
	struct object *o = start_with_one(1);

	fail_last_change(o, CRASH_BROKEN);
	await_alone(1);
	ck_assert(rig_same(load_alone(o), o));
	crash_vfs_fill(CRASH_ROOM);
	await_restart(1);
	read_it_and_lose_power(o);
}
END_TEST

static void
pump_writer(struct rig *r)
{
	(void)r;
	ck_assert(child_pump(&children[STORE_WRITER], true));
}

/* A change overtakes each answer of the reader: in the end whoever asked is told that. */
START_TEST(test_overtaken_every_time)
{
	struct ledger_load load = {.arena = rig.arena, .tenant = "a"};
	struct object *o = start_with_one(1);
	struct outcome out;
	unsigned rounds = 0;

	rig.pump = pump_writer;
	load.uid = o->uid;
	rig_begin(&load.wait, &out);
	rig.ledger->ops->load(rig.ledger, &load);
	for (; !out.done; rounds++) {
		loop_turn(rig.loop, false);
		ck_assert(child_pump(&children[STORE_READER], false));
		ck_assert_uint_gt(children[STORE_READER].out.len, 0);
		label(o, (char)('a' + rounds % 26));
		ck_assert_int_eq(rig_update(&rig, o), ERR_OK);
		o->revision++;
		child_send(&children[STORE_READER]);
		loop_turn(rig.loop, false);
	}
	ck_assert_int_eq(out.e, ERR_BUSY);
	ck_assert_uint_eq(rounds, 9);
	rig.pump = children_pump;
	ck_assert_uint_eq(rig_load(&rig, "a", o->uid, &out.e)->revision, o->revision);
}
END_TEST

int
main(void)
{
	const int seeds = getenv("KEYFERRY_LONG") != NULL ? 8 : 2; /* of each cut */
	Suite *s = suite_create("unsynced");
	TCase *t = tcase_create("unsynced");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 600);
	tcase_add_test(t, test_log_stays);
	tcase_add_test(t, test_overtaken_every_time);
	tcase_add_loop_test(t, test_full_after_a_failed_sync, 0, 2);
	tcase_add_loop_test(t, test_power_loss_after_a_failed_sync, 0, 8 * 12);
	tcase_add_loop_test(t, test_power_loss_after_a_full_disk, 0, 16);
	tcase_add_test(t, test_unsettled_log_stays);
	tcase_add_test(t, test_memory_is_short_on_a_full_disk);
	tcase_add_loop_test(t, test_file_that_fails_keeps_its_log, 0, 2);
	tcase_add_test(t, test_lock_that_is_not_given_up);
	tcase_add_loop_test(t, test_first_start, 0, 10 * 8);
	tcase_add_loop_test(t, test_power_loss_at_a_first_start, 0, CUTS * seeds);
	suite_add_tcase(s, t);
	t = tcase_create("no writer");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 600);
	tcase_add_loop_test(t, test_served_without_a_writer, 0, 2);
	tcase_add_test(t, test_still_full);
	tcase_add_test(t, test_reader_alone_sees_what_was_left);
	tcase_add_test(t, test_slow_tries_leave_time_to_read); /* its clock stands from then on */
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
