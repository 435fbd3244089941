/* SPDX-License-Identifier: Apache-2.0 */
/* The storage child: its faults, deadlines, death and restart. */
#include <errno.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <check.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/metric.h"
#include "storecase.h"

/* --- faults --- */

static struct store_health
look(void)
{
	struct store_health h;

	store_health(rig.store, &h);
	return h;
}

START_TEST(test_commit_fails)
{
	struct object *o;

	fault_test_arm(FAULT_STORE_COMMIT, 3, 1); /* prepare, vault, commit, and then */
	rig_start(&rig);
	o = rig_object(&rig, "a", NULL);
	ck_assert_int_eq(rig_create(&rig, o), ERR_OK);
	o = load_ok(o);
	o->usage_mask = 1;
	ck_assert_int_eq(look().failing, ERR_OK);
	ck_assert_int_eq(rig_update(&rig, o), ERR_STORAGE);
	ck_assert_int_eq(look().failing, ERR_STORAGE);
	ck_assert_uint_eq(load_ok(o)->usage_mask, 12);
	ck_assert_int_eq(look().failing, ERR_STORAGE); /* reading says nothing of it */
	ck_assert_int_eq(rig_update(&rig, o), ERR_OK);
	ck_assert_int_eq(look().failing, ERR_OK);
	ck_assert_int_eq(rig.failing, 1);
	ck_assert_int_eq(rig.writing, 1);
	ck_assert_int_eq(rig.ended, 0);
}
END_TEST

/* A full disk: each message is tried alone, so that small ones still get through. */
START_TEST(test_commit_full)
{
	static struct job jobs[MANY];

	fault_test_arm(FAULT_STORE_COMMIT_FULL, 0, 2);
	rig_start(&rig);
	create_many(jobs, 0);
	ck_assert_int_eq(jobs[0].e, ERR_STORAGE_FULL);
	for (int i = 1; i < MANY; i++)
		ck_assert_int_eq(jobs[i].e, ERR_OK);
	load_fails(jobs[0].changes[0].object, ERR_NO_OBJECT);
}
END_TEST

/* The vault's file is full, and intents are written and taken back all the same. */
START_TEST(test_full_for_what_matters)
{
	int64_t failed = metric_get(METRIC_STORE_CHANGES_FAILED_TOTAL);
	static struct job jobs[2];

	fault_test_arm(FAULT_STORE_COMMIT_FULL, 1, 1);
	rig_start(&rig);
	job_start(&jobs[0], &rig, CHANGE_INSERT, rig_object(&rig, "a", NULL), NULL);
	job_wait_all(&rig, jobs, 1);
	ck_assert_int_eq(jobs[0].e, ERR_STORAGE_FULL);
	ck_assert_int_eq(look().failing, ERR_STORAGE_FULL);
	ck_assert_int_gt(look().since_ms, 0);
	ck_assert_int_eq(metric_get(METRIC_STORE_CHANGES_FAILED_TOTAL), failed + 1);
	ck_assert(look().up && look().reads);
	ck_assert_int_eq(rig_create(&rig, rig_object(&rig, "a", NULL)), ERR_OK);
	ck_assert_int_eq(look().failing, ERR_OK);
}
END_TEST
/* For the reader that comes after a dead one. */
static void
await_reader(void)
{
	while (rig.reader_restarted == 0)
		loop_turn(rig.loop, true);
}

/* It lives, and does not hear of a call: nobody waits for that call to its deadline. */
START_TEST(test_unsent)
{
	struct object *o;

	rig_start(&rig);
	o = rig_object(&rig, "a", NULL);
	ck_assert_int_eq(rig_create(&rig, o), ERR_OK);
	fault_test_arm(FAULT_STORE_SEND, 0, 1);
	ck_assert_int_eq(rig_update(&rig, o), ERR_STORAGE_DOWN);
	await_restart(0);
	ck_assert_int_eq(rig.ended, 1);
	ck_assert_int_eq(rig.reader_ended, 0);
	fault_test_arm(FAULT_STORE_SEND, 0, 1);
	load_fails(o, ERR_STORAGE_DOWN);
	await_reader();
	ck_assert_int_eq(rig.reader_ended, 1);
	ck_assert_int_eq(rig.ended, 1);
	load_ok(o);
	ck_assert_int_eq(metric_get(METRIC_STORE_CALLS), 0);
}
END_TEST

START_TEST(test_dies_at_a_commit)
{
	static const enum fault faults[] = {FAULT_STORE_DIE_BEFORE_COMMIT,
	    FAULT_STORE_DIE_AFTER_COMMIT, FAULT_STORE_DIE_BETWEEN};
	unsigned skip = (unsigned)_i % 3;
	enum fault fault = faults[_i / 3];
	struct recover rec;
	struct object *o;
	bool found, committed;
	enum err e;

	if (fault == FAULT_STORE_DIE_BETWEEN && skip > 0)
		return; /* a create has one vault commit only */
	fault_test_arm(fault, skip, 1);
	rig_start(&rig);
	o = rig_object(&rig, "a", NULL);
	ck_assert_int_eq(rig_create(&rig, o), ERR_STORAGE_DOWN);
	load_fails(o, ERR_STORAGE_DOWN);
	await_restart(0);
	ck_assert_int_eq(rig_recover(&rig, &rec), ERR_OK);
	/* all of it, or nothing */
	committed = fault == FAULT_STORE_DIE_AFTER_COMMIT && skip == 2;
	rig_load(&rig, "a", o->uid, &e);
	ck_assert_int_eq(e, committed ? ERR_OK : ERR_NO_OBJECT);
	ck_assert_int_eq(rig_probe(&rig, "a", o->uid, &found), ERR_OK);
	ck_assert(found == committed);
	ck_assert_int_eq(rig_recover(&rig, &rec), ERR_OK);
	ck_assert_uint_eq(rec.creates_undone, 0);
	if (!committed)
		ck_assert_int_eq(rig_create(&rig, o), ERR_OK);
}
END_TEST

/* --- deadlines and cancels; a stopped child stands for a stalled disk --- */

static void
turn_some(int n)
{
	while (n-- > 0)
		loop_turn(rig.loop, false);
}

START_TEST(test_deadline)
{
	struct ledger_load load = {.arena = rig.arena, .tenant = "a"};
	struct object *o;
	struct outcome out;

	clock_test_freeze(1700000000);
	rig.timeout_ns = NS_PER_S;
	rig_start(&rig);
	o = rig_object(&rig, "a", NULL);
	ck_assert_int_eq(rig_create(&rig, o), ERR_OK);
	kill(store_reader_pid(rig.store), SIGSTOP);
	load.uid = o->uid;
	rig_begin(&load.wait, &out);
	rig.ledger->ops->load(rig.ledger, &load);
	turn_some(3);
	clock_test_advance(NS_PER_S - 1);
	turn_some(3);
	ck_assert(!out.done);
	ck_assert(look().reads);
	ck_assert_int_eq(look().waits_ns, NS_PER_S - 1);
	clock_test_advance(2);
	turn_some(3);
	ck_assert(out.done);
	ck_assert_int_eq(out.e, ERR_DEADLINE);
	ck_assert_uint_eq(store_pending(rig.store), 1);
	ck_assert(!look().reads);
	ck_assert_int_eq(look().waits_ns, NS_PER_S + 1);
	kill(store_reader_pid(rig.store), SIGCONT);
	load_ok(o); /* comes behind the one that is late */
	ck_assert_uint_eq(store_pending(rig.store), 0);
	ck_assert(look().reads);
	ck_assert_int_eq(look().waits_ns, 0);
}
END_TEST

START_TEST(test_cancel)
{
	struct ledger_load load = {.arena = rig.arena, .tenant = "a"};
	struct change change = {.kind = CHANGE_UPDATE};
	struct ledger_changes c = {.changes = &change, .count = 1};
	struct object *o;
	struct outcome read, write;

	rig_start(&rig);
	o = rig_object(&rig, "a", NULL);
	ck_assert_int_eq(rig_create(&rig, o), ERR_OK);
	load.uid = o->uid;
	rig_begin(&load.wait, &read);
	rig.ledger->ops->load(rig.ledger, &load);
	change.object = load_ok(o);
	change.object->usage_mask = 3;
	rig_begin(&c.wait, &write);
	rig.ledger->ops->commit(rig.ledger, &c);
	wait_cancel(&c.wait);
	read.done = false;
	rig_begin(&load.wait, &read);
	rig.ledger->ops->load(rig.ledger, &load);
	wait_cancel(&load.wait);
	ck_assert(!wait_pending(&load.wait));
	while (store_pending(rig.store) > 0)
		loop_turn(rig.loop, true);
	ck_assert(!read.done && !write.done);
	ck_assert_uint_eq(load_ok(o)->usage_mask, 3); /* the change ran to its end */
}
END_TEST

/* A prepare that nobody waits for any more takes its intents back. */
START_TEST(test_cancelled_prepare)
{
	struct change change = {.kind = CHANGE_DESTROY};
	struct ledger_changes c = {.changes = &change, .count = 1};
	struct object *o;
	struct outcome out;

	rig_start(&rig);
	o = rig_object(&rig, "a", NULL);
	ck_assert_int_eq(rig_create(&rig, o), ERR_OK);
	change.object = load_ok(o);
	rig_begin(&c.wait, &out);
	rig.ledger->ops->prepare(rig.ledger, &c);
	wait_cancel(&c.wait);
	while (store_pending(rig.store) > 0)
		loop_turn(rig.loop, true);
	ck_assert_int_eq(rig_update(&rig, load_ok(o)), ERR_OK);
}
END_TEST

START_TEST(test_ceiling)
{
	enum { CEILING = 65536, CALLS = CEILING + 8 };
	struct ledger_load *loads = calloc(CALLS, sizeof(*loads));
	struct outcome *outs = calloc(CALLS, sizeof(*outs));
	int busy = 0;

	rig_start(&rig);
	kill(store_reader_pid(rig.store), SIGSTOP);
	for (int i = 0; i < CALLS; i++) {
		loads[i] = (struct ledger_load){.arena = rig.arena, .tenant = "a", .uid = "u"};
		rig_begin(&loads[i].wait, &outs[i]);
		rig.ledger->ops->load(rig.ledger, &loads[i]);
	}
	turn_some(2);
	kill(store_reader_pid(rig.store), SIGCONT);
	for (int i = 0; i < CALLS; i++) {
		enum err e = rig_end(&rig, &outs[i]);

		ck_assert(e == ERR_NO_OBJECT || e == ERR_BUSY);
		busy += e == ERR_BUSY;
	}
	ck_assert_int_eq(busy, CALLS - CEILING);
	free(loads);
	free(outs);
}
END_TEST

/* --- the child --- */

START_TEST(test_second_daemon)
{
	struct rig second = rig;
	const char *why = "";

	rig_start(&rig);
	second.store = NULL;
	ck_assert_int_eq(rig_try_start(&second, &why), ERR_IN_USE);
	ck_assert_ptr_nonnull(strstr(why, "another process"));
	rig_stop(&rig);
	rig_start(&rig);
}
END_TEST

START_TEST(test_child_is_closed_in)
{
	int fd = dup(STDERR_FILENO), high = dup2(fd, 200), open_fds = 0;
	char path[128];
	struct dirent *de;
	struct stat st;
	DIR *d;

	rig_start(&rig);
	ck_assert_int_ge(high, 0);
	/* beside what it opened itself (below the state directory) there is only the socket */
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)store_pid(rig.store));
	d = opendir(path);
	if (d == NULL && errno == EACCES) {
		/* it may not be traced, so only root looks into it */
		puts("SKIPPED test_child_is_closed_in: only root sees the storage child's descriptors");
		close(fd);
		close(high);
		return;
	}
	ck_assert_ptr_nonnull(d);
	while ((de = readdir(d)) != NULL) {
		char name[400], to[256];
		ssize_t n;

		snprintf(name, sizeof(name), "%s/%s", path, de->d_name);
		n = readlink(name, to, sizeof(to) - 1);
		if (n <= 0 || atoi(de->d_name) <= 2)
			continue;
		to[n] = '\0';
		if (strncmp(to, rig.state, strlen(rig.state)) != 0)
			open_fds++;
	}
	closedir(d);
	ck_assert_int_eq(open_fds, 1);
	snprintf(path, sizeof(path), "%s/ledger.db", rig.state);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	close(fd);
	close(high);
}
END_TEST

START_TEST(test_restart_and_backoff)
{
	struct object *o;

	rig_start(&rig);
	o = rig_object(&rig, "a", NULL);
	ck_assert_int_eq(rig_create(&rig, o), ERR_OK);
	kill(store_pid(rig.store), SIGKILL);
	/* whether it is noticed before or after sending */
	ck_assert_int_eq(rig_update(&rig, o), ERR_STORAGE_DOWN);
	load_fails(o, ERR_STORAGE_DOWN); /* the reader went with it */
	await_restart(0);
	ck_assert_int_eq(rig.ended, 1);
	load_ok(o);
	ck_assert_int_eq(metric_get(METRIC_STORE_CALLS), 0);
}
END_TEST

/* Its death is no matter of those who write. */
START_TEST(test_reader_restarts_alone)
{
	int64_t before = metric_get(METRIC_STORE_READER_RESTARTS_TOTAL);
	pid_t writer, reader;
	struct object *o;

	rig_start(&rig);
	o = rig_object(&rig, "a", NULL);
	ck_assert_int_eq(rig_create(&rig, o), ERR_OK);
	writer = store_pid(rig.store);
	reader = store_reader_pid(rig.store);
	ck_assert(writer > 0 && reader > 0 && writer != reader);
	kill(reader, SIGKILL);
	load_fails(o, ERR_STORAGE_DOWN);
	ck_assert_int_eq(rig_create(&rig, rig_object(&rig, "a", NULL)), ERR_OK);
	await_reader();
	ck_assert_int_eq(rig.reader_ended, 1);
	ck_assert_int_eq(rig.ended + rig.restarted, 0);
	ck_assert_int_eq(store_pid(rig.store), writer);
	ck_assert_int_ne(store_reader_pid(rig.store), reader);
	load_ok(o);
	ck_assert_int_eq(metric_get(METRIC_STORE_READER_RESTARTS_TOTAL) - before, 1);
	ck_assert_int_eq(metric_get(METRIC_STORE_CALLS), 0);
}
END_TEST

/* The disk keeps the writer waiting: whoever reads does not wait, and sees what was acknowledged. */
START_TEST(test_stalled_writer)
{
	struct change change = {.kind = CHANGE_UPDATE};
	struct ledger_changes c = {.changes = &change, .count = 1};
	struct ledger_find find = {.arena = rig.arena, .tenant = "a"};
	struct object *o, *unknown;
	struct outcome write, found;

	rig_start(&rig);
	o = rig_object(&rig, "a", NULL);
	unknown = rig_object(&rig, "a", NULL);
	ck_assert_int_eq(rig_create(&rig, o), ERR_OK);
	o = load_ok(o);
	kill(store_pid(rig.store), SIGSTOP);
	change.object = object_copy(rig.arena, o);
	change.object->usage_mask = 1;
	rig_begin(&c.wait, &write);
	rig.ledger->ops->commit(rig.ledger, &c);
	ck_assert_uint_eq(load_ok(o)->usage_mask, 12);
	load_fails(unknown, ERR_NO_OBJECT);
	rig_begin(&find.wait, &found);
	rig.ledger->ops->find(rig.ledger, &find);
	ck_assert_int_eq(rig_end(&rig, &found), ERR_OK);
	ck_assert_uint_eq(find.total, 1);
	ck_assert(!write.done);
	kill(store_pid(rig.store), SIGCONT);
	ck_assert_int_eq(rig_end(&rig, &write), ERR_OK);
	ck_assert_uint_eq(load_ok(o)->usage_mask, 1);
}
END_TEST

/* Whether a read of o that is sent before a change of another, or of o itself, is sent again after it. */
static bool
is_overtaken(struct object *o, struct object *changed)
{
	struct ledger_load load = {.arena = rig.arena, .tenant = "a", .uid = o->uid};
	int64_t again = metric_get(METRIC_STORE_READS_AGAIN_TOTAL);
	struct outcome read;

	kill(store_reader_pid(rig.store), SIGSTOP);
	rig_begin(&load.wait, &read);
	rig.ledger->ops->load(rig.ledger, &load);
	turn_some(3);
	ck_assert_int_eq(o == changed ? rig_destroy(&rig, o) : rig_update(&rig, changed), ERR_OK);
	ck_assert(!read.done);
	kill(store_reader_pid(rig.store), SIGCONT);
	ck_assert_int_eq(rig_end(&rig, &read), ERR_OK);
	ck_assert(object_is_destroyed(load.object));
	again = metric_get(METRIC_STORE_READS_AGAIN_TOTAL) - again;
	ck_assert_int_le(again, 1);
	return again == 1;
}

/* Read before a change, told after it was acknowledged: it is read again, and not remembered as it was. */
START_TEST(test_overtaken_read)
{
	struct object *o, *others[3];
	int overtaken = 0;

	rig_start(&rig);
	o = rig_object(&rig, "a", NULL);
	ck_assert_int_eq(rig_create(&rig, o), ERR_OK);
	o->revision = 1;
	ck_assert(is_overtaken(o, o));
	for (int i = 0; i < 3; i++) { /* now and then one is counted together with it */
		others[i] = rig_object(&rig, "a", NULL);
		ck_assert_int_eq(rig_create(&rig, others[i]), ERR_OK);
		others[i]->revision = 1;
		overtaken += is_overtaken(o, others[i]);
	}
	ck_assert_int_lt(overtaken, 3);
}
END_TEST

/* The child comes back once there is memory. */
START_TEST(test_restart_without_memory)
{
	struct object *o;

	rig_start(&rig);
	o = rig_object(&rig, "a", NULL);
	ck_assert_int_eq(rig_create(&rig, o), ERR_OK);
	fault_test_arm(FAULT_ALLOC, 0, 1000000);
	kill(store_pid(rig.store), SIGKILL);
	while (rig.ended == 0)
		loop_turn(rig.loop, true);
	for (int i = 0; i < 3; i++)
		loop_turn(rig.loop, false);
	fault_test_clear();
	await_restart(0);
	load_ok(o);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("store child");
	TCase *t = tcase_create("store child");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_commit_fails);
	tcase_add_test(t, test_commit_full);
	tcase_add_test(t, test_full_for_what_matters);
	tcase_add_loop_test(t, test_dies_at_a_commit, 0, 9);
	tcase_add_test(t, test_unsent);
	tcase_add_test(t, test_cancel);
	tcase_add_test(t, test_cancelled_prepare);
	tcase_add_test(t, test_ceiling);
	tcase_add_test(t, test_second_daemon);
	tcase_add_test(t, test_child_is_closed_in);
	tcase_add_test(t, test_restart_and_backoff);
	tcase_add_test(t, test_restart_without_memory);
	tcase_add_test(t, test_reader_restarts_alone);
	tcase_add_test(t, test_stalled_writer);
	tcase_add_test(t, test_overtaken_read);
	tcase_add_test(t, test_deadline); /* last: its clock stands still from then on */
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
