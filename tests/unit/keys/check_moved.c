/* SPDX-License-Identifier: Apache-2.0 */
/* Files that lose their names under a store at work: nothing is acknowledged that nobody finds again. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <check.h>
#include <sqlite3.h>

#include "base/metric.h"
#include "disk.h"
#include "store_exec.h"
#include "storecase.h"
#include "wire.h"

static struct object *made;
static char aside[DISK_PATH_MAX];
static sqlite3_vfs moving; /* SQLite's layer, with other files while it opens some */

static void
start(void)
{
	setup();
	rig_start(&rig);
	made = rig_object(&rig, "a", NULL);
	ck_assert_int_eq(rig_create(&rig, made), ERR_OK);
	ck_assert(disk_join(aside, rig.dir, "aside"));
}

static void
stop(void)
{
	sqlite3_vfs_unregister(&moving);
	teardown();
}

/* What is served goes on being served; and health has it. */
static void
refused(void)
{
	int64_t failed = metric_get(METRIC_STORE_CHANGES_FAILED_TOTAL);
	struct object *o = load_ok(made);
	struct store_health h;
	bool found;

	ck_assert_int_eq(rig_create(&rig, rig_object(&rig, "a", NULL)), ERR_STORAGE_MOVED);
	ck_assert_int_eq(rig_update(&rig, o), ERR_STORAGE_MOVED);
	ck_assert_int_eq(rig_destroy(&rig, o), ERR_STORAGE_MOVED);
	ck_assert_uint_eq(load_ok(made)->revision, o->revision);
	ck_assert_int_eq(rig_probe(&rig, "a", made->uid, &found), ERR_OK);
	ck_assert(found);
	store_health(rig.store, &h);
	ck_assert(h.up && h.reads);
	ck_assert_int_eq(h.failing, ERR_STORAGE_MOVED);
	ck_assert_int_gt(h.since_ms, 0);
	ck_assert_int_ge(metric_get(METRIC_STORE_CHANGES_FAILED_TOTAL), failed + 3);
}

static void
kept(void)
{
	struct store_health h;

	ck_assert_int_eq(rig_update(&rig, load_ok(made)), ERR_OK);
	store_health(rig.store, &h);
	ck_assert_int_eq(h.failing, ERR_OK);
	ck_assert_int_eq(rig.ended, 0);
}

/* One is enough: of the others alone nobody has a ledger. */
START_TEST(test_each_name)
{
	static const char *const names[] = {"ledger.db", "ledger.db-wal", "ledger.db-shm", "vault.db",
	    "vault.db-wal"};
	bool replaced = _i & 1;
	char path[DISK_PATH_MAX];

	ck_assert(disk_join(path, rig.state, names[_i / 2]));
	for (int round = 1; round <= 2; round++) {
		ck_assert_int_eq(rename(path, aside), 0);
		if (replaced)
			ck_assert_int_eq(disk_copy(aside, path), ERR_OK);
		refused();
		ck_assert_int_eq(rename(aside, path), 0);
		kept();
		ck_assert_int_eq(rig.failing, round);
		ck_assert_int_eq(rig.writing, round);
	}
}
END_TEST

/* Told at once, not when the writer notices; and again of the files that the next writer opens. */
START_TEST(test_in_place)
{
	char path[DISK_PATH_MAX], old[DISK_PATH_MAX];

	ck_assert(disk_join(path, rig.state, "ledger.db") && disk_join(old, aside, "ledger.db"));
	ck_assert_int_eq(store_in_place(rig.store), ERR_OK);
	ck_assert_int_eq(rename(rig.state, aside), 0);
	ck_assert_int_eq(store_in_place(rig.store), ERR_STORAGE_MOVED);
	ck_assert_int_eq(mkdir(rig.state, 0700), 0);
	ck_assert_int_eq(store_in_place(rig.store), ERR_STORAGE_MOVED);
	ck_assert_int_eq(disk_copy(old, path), ERR_OK);
	ck_assert_int_eq(store_in_place(rig.store), ERR_STORAGE_MOVED);
	rig_remove(rig.state);
	ck_assert_int_eq(rename(aside, rig.state), 0);
	ck_assert_int_eq(store_in_place(rig.store), ERR_OK);
	ck_assert_int_eq(rename(path, aside), 0);
	ck_assert_int_eq(store_in_place(rig.store), ERR_STORAGE_MOVED);
	ck_assert_int_eq(disk_copy(aside, path), ERR_OK);
	kill(store_pid(rig.store), SIGKILL);
	await_restart(0);
	ck_assert_int_eq(store_in_place(rig.store), ERR_OK);
	ck_assert_int_eq(rename(aside, path), 0);
	ck_assert_int_eq(store_in_place(rig.store), ERR_STORAGE_MOVED);
}
END_TEST

/* What cannot be looked at may be where it was: it is not called moved, but nothing is written either. */
START_TEST(test_cannot_be_looked_at)
{
	if (geteuid() == 0) {
		puts("SKIPPED test_cannot_be_looked_at: root looks at everything");
		return;
	}
	ck_assert_int_eq(chmod(rig.dir, 0), 0);
	ck_assert_int_eq(rig_create(&rig, rig_object(&rig, "a", NULL)), ERR_STORAGE);
	ck_assert_int_eq(store_in_place(rig.store), ERR_STORAGE);
	ck_assert_int_eq(chmod(rig.dir, 0700), 0);
	kept();
}
END_TEST

static const char *
root_key(void *arg, const char *tenant)
{
	(void)tenant;
	return arg;
}

static void
back_up(char *directory)
{
	const struct store_root_keys roots = {root_key, rig.root};
	struct store_backup b = {.directory = directory};
	struct store_counts counts;
	struct outcome out;
	const char *why = "";
	enum err e;

	ck_assert_int_eq(mkdir(directory, 0700), 0);
	rig_begin(&b.wait, &out);
	store_backup(rig.store, &b);
	ck_assert_int_eq(rig_end(&rig, &out), ERR_OK);
	e = store_verify_copy(directory, &roots, &counts, &why);
	ck_assert_msg(e == ERR_OK, "%s: %s", err_name(e), why);
	ck_assert_uint_eq(counts.verified, 1);
	ck_assert_int_eq(metric_get(METRIC_STORE_OBJECTS_NOT_BACKED_UP), 0); /* what was noted can be read */
}

/* A client that a command trusts would not be trusted after the next start. */
static void
refuses_files(void)
{
	struct store_file f = {.directory = "trust/a", .name = "n.pem", .data = "x", .len = 1};
	struct outcome out;

	rig_begin(&f.wait, &out);
	store_file(rig.store, &f);
	ck_assert_int_eq(rig_end(&rig, &out), ERR_STORAGE_MOVED);
	ck_assert_int_eq(rig.failing, 1); /* it is the first to meet it */
}

/* The way back: a backup of what is still open.  Nothing is left in the directory that comes after. */
START_TEST(test_backup_of_what_is_open)
{
	char backup[DISK_PATH_MAX], path[DISK_PATH_MAX];
	const struct store_root_keys roots = {root_key, rig.root};
	struct store_counts counts;
	const char *why = "";

	ck_assert(disk_join(backup, rig.dir, "backup"));
	ck_assert_int_eq(rename(rig.state, aside), 0);
	ck_assert_int_eq(mkdir(rig.state, 0700), 0);
	refuses_files();
	if (_i == 1) /* they are removed, too */
		rig_remove(aside);
	refused();
	back_up(backup);
	refused();
	ck_assert(disk_dir_empty(rig.state));
	rig_stop(&rig);
	ck_assert(disk_dir_empty(rig.state));
	ck_assert_int_eq(store_restore(backup, rig.state, &roots, &counts, &why), ERR_OK);
	rig_start(&rig);
	kept();
	ck_assert(disk_join(path, aside, "ledger.db"));
	ck_assert_int_eq(access(path, F_OK) == 0, _i == 0);
}
END_TEST

/* A reader that dies meanwhile has no successor: that one would read what lies in the place of the files. */
START_TEST(test_no_other_reader)
{
	char path[DISK_PATH_MAX], old[DISK_PATH_MAX];
	struct store_health h;
	pid_t reader, now;

	ck_assert(disk_join(path, rig.state, "ledger.db") && disk_join(old, aside, "ledger.db"));
	ck_assert_int_eq(rename(rig.state, aside), 0);
	ck_assert_int_eq(mkdir(rig.state, 0700), 0);
	ck_assert_int_eq(disk_copy(old, path), ERR_OK);
	refused();
	reader = store_reader_pid(rig.store);
	kill(reader, SIGKILL);
	while (rig.reader_ended == 0)
		loop_turn(rig.loop, true);
	for (int i = 0; i < 50; i++)
		ck_assert_int_eq(rig_create(&rig, rig_object(&rig, "a", NULL)), ERR_STORAGE_MOVED);
	store_health(rig.store, &h);
	ck_assert(!h.up);
	ck_assert_int_eq(h.failing, ERR_STORAGE_MOVED);
	ck_assert_int_eq(rig.reader_ended, 1);
	now = store_reader_pid(rig.store);
	ck_assert(now == -1 || now == reader); /* who may wait to be reaped; no other one is on its way */
	rig_remove(rig.state);
	ck_assert_int_eq(rename(aside, rig.state), 0);
	ck_assert_int_eq(rig_create(&rig, rig_object(&rig, "a", NULL)), ERR_OK);
	while (rig.reader_restarted == 0)
		loop_turn(rig.loop, true);
	kept();
}
END_TEST

static char other[DISK_PATH_MAX], marker[DISK_PATH_MAX];

/* Makes another object, which an older copy of the ledger, elsewhere, does not have. */
static struct object *
make_newer(void)
{
	char path[DISK_PATH_MAX], copy[DISK_PATH_MAX];
	struct object *o;

	rig_stop(&rig); /* what is in the log is then in the file */
	ck_assert(disk_join(other, rig.dir, "other") && disk_join(marker, rig.dir, "marker"));
	ck_assert(disk_join(path, rig.state, "ledger.db") && disk_join(copy, other, "ledger.db"));
	ck_assert_int_eq(mkdir(other, 0700), 0);
	ck_assert_int_eq(disk_copy(path, copy), ERR_OK);
	rig_start(&rig);
	o = rig_object(&rig, "a", NULL);
	ck_assert_int_eq(rig_create(&rig, o), ERR_OK);
	return o;
}

static bool
replace(void)
{
	return rename(rig.state, aside) == 0 && rename(other, rig.state) == 0;
}

static bool
put_back(void)
{
	return rename(rig.state, other) == 0 && rename(aside, rig.state) == 0;
}

static void
end_reader(void)
{
	pid_t reader = store_reader_pid(rig.store);

	ck_assert_int_gt(reader, 0);
	kill(reader, SIGKILL);
	while (rig.refused == 0 && rig.reader_restarted == 0)
		loop_turn(rig.loop, true);
}

static void
await_right_reader(const struct object *newer)
{
	while (rig.reader_restarted == 0)
		loop_turn(rig.loop, true);
	load_ok(newer);
	kept();
}

/* Nor one that comes before the writer has looked: it would go on reading that when the files are back. */
START_TEST(test_no_reader_of_others)
{
	struct object *newer = make_newer();

	ck_assert(replace());
	end_reader();
	load_fails(newer, ERR_STORAGE_DOWN);
	load_fails(made, ERR_STORAGE_DOWN); /* as that copy has it */
	ck_assert_int_eq(rig.reader_restarted, 0);
	ck_assert_str_eq(rig.why, "refused: STORAGE_MOVED: what is in the state directory is not what is open to "
	    "be written");
	if (_i == 1) /* it looks then */
		ck_assert_int_eq(rig_create(&rig, rig_object(&rig, "a", NULL)), ERR_STORAGE_MOVED);
	ck_assert(put_back());
	if (_i == 1)
		ck_assert_int_eq(rig_create(&rig, rig_object(&rig, "a", NULL)), ERR_OK);
	await_right_reader(newer);
}
END_TEST

/* Once it finds others there, which are away when it looks again. */
static int
open_others(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out)
{
	bool moves = (flags & SQLITE_OPEN_MAIN_DB) && unlink(marker) == 0;
	int rc;

	if (moves)
		(void)replace(); /* unless they are there already */
	rc = sqlite3_vfs_find("unix")->xOpen(vfs, name, file, flags, out);
	if (moves)
		(void)put_back();
	return rc;
}

START_TEST(test_put_back_while_it_opens)
{
	struct object *newer = make_newer();

	moving = *sqlite3_vfs_find("unix");
	moving.zName = "moving";
	moving.xOpen = open_others;
	ck_assert_int_eq(disk_copy(rig.root, marker), ERR_OK);
	if (_i == 1)
		ck_assert(replace());
	sqlite3_vfs_register(&moving, 1);
	end_reader();
	ck_assert_str_eq(rig.why, "refused: STORAGE_MOVED: a file of the state directory was moved while it was "
	    "opened");
	await_right_reader(newer);
}
END_TEST

/* The word of an idle writer: 1 or 0, or -1 when it says nothing. */
static int
says(struct store_exec *x)
{
	struct unpack body;
	struct buf out;
	uint8_t result;
	uint64_t id;
	int moved = -1;
	bool bad;

	buf_init(&out, 1 << 20);
	store_exec_idle(x, &out);
	if (out.len > 0) {
		ck_assert_uint_eq(wire_take(out.data, out.len, &id, &result, &body, &bad), out.len);
		ck_assert(id == 0 && result == ERR_OK);
		(void)unpack_u32(&body), (void)unpack_u64(&body), (void)unpack_u64(&body), (void)unpack_u8(&body);
		moved = unpack_u8(&body);
		ck_assert(unpack_done(&body));
	}
	buf_fini(&out);
	return moved;
}

/* Where nobody changes anything it is told all the same, once. */
START_TEST(test_told_when_idle)
{
	const struct store_exec_params p = {.state_dir = rig.state, .part = STORE_WRITER};
	struct store_exec *x;
	const char *why;

	rig_stop(&rig);
	ck_assert_int_eq(store_exec_open(&x, &p, &why), ERR_OK);
	ck_assert_int_eq(says(x), -1);
	for (int round = 0; round < 2; round++) {
		ck_assert_int_eq(rename(rig.state, aside), 0);
		ck_assert_int_eq(says(x), 1);
		ck_assert_int_eq(says(x), -1);
		ck_assert_int_eq(rename(aside, rig.state), 0);
		ck_assert_int_eq(says(x), 0);
		ck_assert_int_eq(says(x), -1);
	}
	store_exec_close(x);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("moved");
	TCase *t = tcase_create("moved");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, start, stop);
	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, test_each_name, 0, 10);
	tcase_add_test(t, test_in_place);
	tcase_add_test(t, test_cannot_be_looked_at);
	tcase_add_loop_test(t, test_backup_of_what_is_open, 0, 2);
	tcase_add_test(t, test_no_other_reader);
	tcase_add_loop_test(t, test_no_reader_of_others, 0, 2);
	tcase_add_loop_test(t, test_put_back_while_it_opens, 0, 2);
	tcase_add_test(t, test_told_when_idle);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
