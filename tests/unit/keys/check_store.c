/* SPDX-License-Identifier: Apache-2.0 */
/* The store with a real child: group commit, faults, deadlines, death and restart. */
#include <errno.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <check.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/metric.h"
#include "base/secret.h"
#include "job.h"

static struct rig rig;

static void
setup(void)
{
	rig_init(&rig);
}

static void
teardown(void)
{
	fault_test_clear();
	rig_fini(&rig);
}

static enum err
change_file(const char *dir, const char *name, const char *text)
{
	struct store_file f = {.directory = dir, .name = name, .data = text,
	    .len = text != NULL ? strlen(text) : 0};
	struct outcome out;

	rig_begin(&f.wait, &out);
	store_file(rig.store, &f);
	return rig_end(&rig, &out);
}

/* Waits for the child that follows a dead one. */
static void
await_restart(int restarted)
{
	while (rig.restarted == restarted)
		loop_turn(rig.loop, true);
}

static struct object *
load_ok(const struct object *o)
{
	enum err e;
	struct object *got = rig_load(&rig, o->tenant, o->uid, &e);

	ck_assert_msg(e == ERR_OK, "%s: %s", o->uid, err_name(e));
	return got;
}

static void
load_fails(const struct object *o, enum err want)
{
	enum err e;

	rig_load(&rig, o->tenant, o->uid, &e);
	ck_assert_msg(e == want, "%s", err_name(e));
}

START_TEST(test_life_of_an_object)
{
	struct secret *key, *again;
	struct object *o, *got;
	bool found;

	rig_start(&rig);
	o = rig_object(&rig, "a", "first");
	ck_assert_int_eq(rig_unwrap(&rig, o, &key), ERR_OK);
	ck_assert_int_eq(rig_create(&rig, o), ERR_OK);
	got = load_ok(o);
	ck_assert_uint_eq(got->revision, 1);
	ck_assert_int_eq(rig_probe(&rig, "a", o->uid, &found), ERR_OK);
	ck_assert(found);
	got->state = OBJECT_ACTIVE;
	got->date[DATE_ACTIVATION] = 5;
	ck_assert_int_eq(rig_update(&rig, got), ERR_OK);
	rig_stop(&rig);
	rig_start(&rig);
	got = load_ok(o);
	ck_assert_uint_eq(got->revision, 2);
	ck_assert_int_eq(got->state, OBJECT_ACTIVE);
	ck_assert_int_eq(rig_unwrap(&rig, got, &again), ERR_OK);
	ck_assert(secret_equal(key, again));
	secret_unref(key);
	secret_unref(again);
	ck_assert_int_eq(rig_destroy(&rig, got), ERR_OK);
	got = load_ok(o);
	ck_assert_int_eq(got->state, OBJECT_DESTROYED);
	ck_assert_ptr_null(got->record);
	ck_assert_int_eq(rig_unwrap(&rig, got, &key), ERR_NO_KEY_VALUE);
	ck_assert_int_eq(rig_probe(&rig, "a", o->uid, &found), ERR_OK);
	ck_assert(!found);
}
END_TEST

static void
expect_file(const char *name, const char *want)
{
	char path[256], got[64] = "";
	struct stat st;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", rig.state, name);
	f = fopen(path, "r");
	ck_assert_int_eq(f != NULL, want != NULL);
	if (f == NULL)
		return;
	got[fread(got, 1, sizeof(got) - 1, f)] = '\0';
	ck_assert_int_eq(fstat(fileno(f), &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0600);
	fclose(f);
	ck_assert_str_eq(got, want);
}

START_TEST(test_small_files)
{
	static const char *const ways[] = {"..", "trust/..", "/etc", "", "trust//a", ".hidden"};

	rig_start(&rig);
	ck_assert_int_eq(change_file("trust/a", "b.pem", "one"), ERR_OK);
	expect_file("trust/a/b.pem", "one");
	ck_assert_int_eq(change_file("trust/a", "b.pem", "two"), ERR_OK);
	expect_file("trust/a/b.pem", "two");
	expect_file("trust/a/b.pem.new", NULL);
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		ck_assert_int_eq(change_file(ways[i], "c.pem", "x"), ERR_INVALID_FIELD);
	ck_assert_int_eq(change_file("trust/a", "../c.pem", "x"), ERR_INVALID_FIELD);
	ck_assert_int_eq(change_file("trust/a", "b.pem", NULL), ERR_OK);
	expect_file("trust/a/b.pem", NULL);
	ck_assert_int_eq(change_file("trust/a", "b.pem", NULL), ERR_NO_OBJECT);
	ck_assert_int_eq(change_file("none/b", "b.pem", NULL), ERR_NO_OBJECT);
	expect_file("none", NULL); /* no directory is made for what goes */
}
END_TEST

START_TEST(test_tenants_are_apart)
{
	struct object *o, *twin;

	rig_start(&rig);
	o = rig_object(&rig, "a", "same");
	ck_assert_int_eq(rig_create(&rig, o), ERR_OK);
	twin = object_copy(rig.arena, o);
	strcpy(twin->tenant, "b");
	load_fails(twin, ERR_NO_OBJECT);
	ck_assert_int_eq(rig_create(&rig, twin), ERR_OK); /* uid and name are free there */
	ck_assert_str_eq(load_ok(o)->tenant, "a");
	ck_assert_str_eq(load_ok(twin)->tenant, "b");
}
END_TEST

START_TEST(test_erased_from_the_disk)
{
	char command[256];
	struct object *o;

	rig_start(&rig);
	o = rig_object(&rig, "a", NULL);
	ck_assert_int_eq(rig_create(&rig, o), ERR_OK);
	ck_assert_int_eq(rig_destroy(&rig, load_ok(o)), ERR_OK);
	rig_stop(&rig);
	/* the last 16 bytes of a record are its tag: look for a part of it, as hexadecimal */
	snprintf(command, sizeof(command),
	    "cat %s/*.db* | od -An -v -tx1 | tr -d ' \\n' | grep -q %02x%02x%02x%02x%02x%02x%02x%02x",
	    rig.state, o->record[o->record_len - 8], o->record[o->record_len - 7],
	    o->record[o->record_len - 6], o->record[o->record_len - 5],
	    o->record[o->record_len - 4], o->record[o->record_len - 3],
	    o->record[o->record_len - 2], o->record[o->record_len - 1]);
	ck_assert_int_ne(system(command), 0);
}
END_TEST

START_TEST(test_revisions)
{
	struct object *o, *one, *two;

	rig_start(&rig);
	o = rig_object(&rig, "a", NULL);
	ck_assert_int_eq(rig_update(&rig, o), ERR_NO_OBJECT);
	ck_assert_int_eq(rig_create(&rig, o), ERR_OK);
	ck_assert_int_eq(rig_create(&rig, o), ERR_CONFLICT);
	one = load_ok(o);
	two = load_ok(o);
	one->usage_mask = 1;
	two->usage_mask = 2;
	ck_assert_int_eq(rig_update(&rig, one), ERR_OK);
	ck_assert_int_eq(rig_update(&rig, two), ERR_CONFLICT);
	ck_assert_uint_eq(load_ok(o)->usage_mask, 1);
	ck_assert_uint_eq(load_ok(o)->revision, 2);
}
END_TEST

static int64_t
calls(void)
{
	return metric_get(METRIC_STORE_CALLS_TOTAL);
}

/* What a client asked for is not read again, until something changes it. */
START_TEST(test_rows_are_remembered)
{
	struct object *o, *other;
	struct ledger_load meanwhile;
	struct outcome out;
	struct job j;
	int64_t n;

	rig_start(&rig);
	o = rig_object(&rig, "a", NULL);
	other = rig_object(&rig, "a", NULL);
	ck_assert_int_eq(rig_create(&rig, o), ERR_OK);
	ck_assert_int_eq(rig_create(&rig, other), ERR_OK);
	load_ok(o);
	load_ok(other);
	n = calls();
	ck_assert_mem_eq(load_ok(o)->record, o->record, o->record_len);
	ck_assert_int_eq(calls(), n);
	o = load_ok(o);
	o->usage_mask = 77;
	job_start(&j, &rig, CHANGE_UPDATE, o, NULL);
	n = calls();
	meanwhile = (struct ledger_load){
	    .arena = rig.arena, .tenant = o->tenant, .uid = o->uid, .again = true};
	rig_begin(&meanwhile.wait, &out);
	rig.ledger->ops->load(rig.ledger, &meanwhile);
	ck_assert_int_eq(calls(), n + 1); /* it is not here any more */
	job_wait_all(&rig, &j, 1);
	ck_assert_int_eq(j.e, ERR_OK);
	ck_assert_int_eq(rig_end(&rig, &out), ERR_OK);
	ck_assert_uint_eq(load_ok(o)->usage_mask, 77);
	n = calls();
	load_ok(o);
	load_ok(other); /* which was not changed */
	ck_assert_int_eq(calls(), n);
	ck_assert_int_eq(rig_destroy(&rig, load_ok(o)), ERR_OK);
	ck_assert_int_eq(load_ok(o)->state, OBJECT_DESTROYED);
}
END_TEST

START_TEST(test_intents_lock)
{
	struct object *o, *other;
	struct change destroy = {.kind = CHANGE_DESTROY}, insert = {.kind = CHANGE_INSERT};
	struct ledger_changes c = {.changes = &destroy, .count = 1}, bare = {.count = 1}, second;
	struct outcome out;

	rig_start(&rig);
	o = rig_object(&rig, "a", NULL);
	ck_assert_int_eq(rig_create(&rig, o), ERR_OK);
	destroy.object = load_ok(o);
	ck_assert_int_eq(rig_prepare(&rig, &c), ERR_OK);
	ck_assert_int_eq(rig_update(&rig, load_ok(o)), ERR_CONFLICT);
	second = (struct ledger_changes){.changes = &destroy, .count = 1};
	ck_assert_int_eq(rig_prepare(&rig, &second), ERR_CONFLICT);
	rig_begin(&c.wait, &out);
	rig.ledger->ops->abandon(rig.ledger, &c);
	ck_assert_int_eq(rig_end(&rig, &out), ERR_OK);
	ck_assert_int_eq(rig_update(&rig, load_ok(o)), ERR_OK);
	/* nothing is inserted or destroyed without an intent of its own */
	other = rig_object(&rig, "a", NULL);
	insert.object = other;
	bare.changes = &insert;
	ck_assert_int_eq(rig_commit(&rig, &bare), ERR_CONFLICT);
	destroy.object = load_ok(o);
	bare.changes = &destroy;
	ck_assert_int_eq(rig_commit(&rig, &bare), ERR_CONFLICT);
}
END_TEST

/* What a message changes besides what it destroys is locked with that. */
START_TEST(test_updates_lock)
{
	struct object *doomed, *other;
	struct change both[2] = {{.kind = CHANGE_DESTROY}, {.kind = CHANGE_UPDATE}}, late;
	struct ledger_changes c = {.changes = both, .count = 2}, second = {.count = 1};

	rig_start(&rig);
	doomed = rig_object(&rig, "a", NULL);
	other = rig_object(&rig, "a", NULL);
	ck_assert_int_eq(rig_create(&rig, doomed), ERR_OK);
	ck_assert_int_eq(rig_create(&rig, other), ERR_OK);
	both[0].object = load_ok(doomed);
	both[0].object->state = OBJECT_DESTROYED;
	both[1].object = load_ok(other);
	both[1].object->usage_mask = 77;
	ck_assert_int_eq(rig_prepare(&rig, &c), ERR_OK);
	ck_assert_int_eq(rig_update(&rig, load_ok(other)), ERR_CONFLICT);
	late = (struct change){CHANGE_DESTROY, load_ok(other)};
	second.changes = &late;
	ck_assert_int_eq(rig_prepare(&rig, &second), ERR_CONFLICT);
	ck_assert_int_eq(rig_vault(&rig, rig.vault->ops->destroy, doomed), ERR_OK);
	ck_assert_int_eq(rig_commit(&rig, &c), ERR_OK);
	ck_assert_int_eq(load_ok(doomed)->state, OBJECT_DESTROYED);
	ck_assert_uint_eq(load_ok(other)->usage_mask, 77);
	ck_assert_int_eq(rig_update(&rig, load_ok(other)), ERR_OK);
}
END_TEST

START_TEST(test_all_or_nothing)
{
	struct object *good, *stale;
	struct change both[2];
	struct ledger_changes c = {.changes = both, .count = 2};

	rig_start(&rig);
	good = rig_object(&rig, "a", NULL);
	stale = rig_object(&rig, "a", NULL);
	ck_assert_int_eq(rig_create(&rig, good), ERR_OK);
	ck_assert_int_eq(rig_create(&rig, stale), ERR_OK);
	good = load_ok(good);
	stale = load_ok(stale);
	good->usage_mask = 77;
	stale->revision = 9;
	both[0] = (struct change){CHANGE_UPDATE, good};
	both[1] = (struct change){CHANGE_UPDATE, stale};
	ck_assert_int_eq(rig_commit(&rig, &c), ERR_CONFLICT);
	ck_assert_uint_eq(load_ok(good)->usage_mask, 12);
	ck_assert_uint_eq(load_ok(good)->revision, 1);
}
END_TEST

static void
rename_to(struct object *o, const char *name)
{
	ck_assert_int_eq(object_attr_set(o, rig.arena, "Name", 4, 0, (const uint8_t *)name,
	    strlen(name)), ERR_OK);
}

START_TEST(test_names)
{
	struct object *one, *two, *three;
	struct change swap[2];
	struct ledger_changes c = {.changes = swap, .count = 2};

	rig_start(&rig);
	one = rig_object(&rig, "a", "n1");
	two = rig_object(&rig, "a", "n2");
	three = rig_object(&rig, "a", "n1");
	ck_assert_int_eq(rig_create(&rig, one), ERR_OK);
	ck_assert_int_eq(rig_create(&rig, two), ERR_OK);
	ck_assert_int_eq(rig_create(&rig, three), ERR_NAME_TAKEN);
	two = load_ok(two);
	rename_to(two, "n1");
	ck_assert_int_eq(rig_update(&rig, two), ERR_NAME_TAKEN);
	/* two objects may swap names in one message */
	one = load_ok(one);
	rename_to(one, "n2");
	swap[0] = (struct change){CHANGE_UPDATE, two};
	swap[1] = (struct change){CHANGE_UPDATE, one};
	ck_assert_int_eq(rig_commit(&rig, &c), ERR_OK);
	/* the destroyed give theirs up */
	ck_assert_int_eq(rig_destroy(&rig, load_ok(two)), ERR_OK);
	ck_assert_int_eq(rig_create(&rig, three), ERR_OK);
	one = load_ok(one);
	rename_to(one, "n1");
	ck_assert_int_eq(rig_update(&rig, one), ERR_NAME_TAKEN);
}
END_TEST

static struct object *
created_as(const char *name)
{
	struct object *o = rig_object(&rig, "a", name);

	ck_assert_int_eq(rig_create(&rig, o), ERR_OK);
	return load_ok(o);
}

/* What prepare has let pass, no name makes fail any more. */
START_TEST(test_names_are_claimed)
{
	struct object *doomed, *taker, *rival, *keeper;
	struct change all[3] = {{.kind = CHANGE_DESTROY}, {.kind = CHANGE_UPDATE},
	    {.kind = CHANGE_UPDATE}};
	struct ledger_changes c = {.changes = all, .count = 2};
	struct outcome out;

	rig_start(&rig);
	doomed = all[0].object = created_as("n1");
	taker = all[1].object = created_as(NULL);
	rival = created_as(NULL);
	keeper = all[2].object = created_as("n3");
	doomed->state = OBJECT_DESTROYED;
	/* two of one message want it; one that stays in the message's other object is not free */
	rename_to(taker, "n2");
	rename_to(keeper, "n2");
	c.count = 3;
	ck_assert_int_eq(rig_prepare(&rig, &c), ERR_NAME_TAKEN);
	rename_to(taker, "n3");
	rename_to(keeper, "n3");
	ck_assert_int_eq(rig_prepare(&rig, &c), ERR_NAME_TAKEN);
	/* what the message destroys gives its name up; nobody else gets it meanwhile */
	rename_to(taker, "n1");
	c.count = 2;
	ck_assert_int_eq(rig_prepare(&rig, &c), ERR_OK);
	rename_to(rival, "n1");
	ck_assert_int_eq(rig_update(&rig, rival), ERR_CONFLICT);
	ck_assert_int_eq(rig_create(&rig, rig_object(&rig, "a", "n1")), ERR_NAME_TAKEN);
	ck_assert_int_eq(rig_vault(&rig, rig.vault->ops->destroy, doomed), ERR_OK);
	ck_assert_int_eq(rig_commit(&rig, &c), ERR_OK);
	ck_assert_int_eq(rig_update(&rig, rival), ERR_NAME_TAKEN);
	/* a claim ends with its message */
	taker = all[1].object = load_ok(taker);
	rename_to(taker, "n9");
	c = (struct ledger_changes){.changes = &all[1], .count = 1};
	ck_assert_int_eq(rig_prepare(&rig, &c), ERR_OK);
	rename_to(rival, "n9");
	ck_assert_int_eq(rig_update(&rig, rival), ERR_CONFLICT);
	rig_begin(&c.wait, &out);
	rig.ledger->ops->abandon(rig.ledger, &c);
	ck_assert_int_eq(rig_end(&rig, &out), ERR_OK);
	ck_assert_int_eq(rig_update(&rig, rival), ERR_OK);
}
END_TEST

/* --- group commit --- */

enum { MANY = 100 };

/* Making an object turns the loop, so all are made before the first is sent. */
static void
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

START_TEST(test_group_commit)
{
	static struct job jobs[MANY];
	const struct histogram *h = metric_histogram(METRIC_STORE_CALL_DURATION_SECONDS, 0, 0);
	int64_t before, calls, answers = 0;

	rig_start(&rig);
	before = metric_get(METRIC_STORE_COMMITS_TOTAL);
	calls = metric_get(METRIC_STORE_CALLS_TOTAL);
	for (int i = 0; i <= HISTOGRAM_BOUNDS; i++)
		answers -= h->buckets[i];
	create_many(jobs, 0);
	for (int i = 0; i < MANY; i++) {
		ck_assert_int_eq(jobs[i].e, ERR_OK);
		load_ok(jobs[i].changes[0].object);
	}
	ck_assert_int_ge(metric_get(METRIC_STORE_COMMITS_TOTAL) - before, 3);
	ck_assert_int_le(metric_get(METRIC_STORE_COMMITS_TOTAL) - before, 10);
	ck_assert_int_eq(metric_get(METRIC_STORE_CALLS), 0);
	for (int i = 0; i <= HISTOGRAM_BOUNDS; i++)
		answers += h->buckets[i];
	ck_assert_int_eq(answers, metric_get(METRIC_STORE_CALLS_TOTAL) - calls);
}
END_TEST

START_TEST(test_one_fails_alone)
{
	static struct job jobs[MANY];

	rig_start(&rig);
	create_many(jobs, 10);
	for (int i = 0; i < MANY; i++) {
		enum err want = ERR_OK;

		/* the first may still fail to take the name: the others have to ask again */
		if (i % 10 == 3 && i != 3) {
			want = jobs[i].e == ERR_CONFLICT ? ERR_CONFLICT : ERR_NAME_TAKEN;
			ck_assert_int_eq(rig_create(&rig, jobs[i].changes[0].object),
			    ERR_NAME_TAKEN);
		}
		ck_assert_msg(jobs[i].e == want, "%d: %s", i, err_name(jobs[i].e));
	}
}
END_TEST

/* --- faults --- */

START_TEST(test_commit_fails)
{
	struct object *o;

	fault_test_arm(FAULT_STORE_COMMIT, 3, 1); /* prepare, vault, commit, and then */
	rig_start(&rig);
	o = rig_object(&rig, "a", NULL);
	ck_assert_int_eq(rig_create(&rig, o), ERR_OK);
	o = load_ok(o);
	o->usage_mask = 1;
	ck_assert_int_eq(rig_update(&rig, o), ERR_STORAGE);
	ck_assert_uint_eq(load_ok(o)->usage_mask, 12);
	ck_assert_int_eq(rig_update(&rig, o), ERR_OK);
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
	kill(store_pid(rig.store), SIGSTOP);
	load.uid = o->uid;
	rig_begin(&load.wait, &out);
	rig.ledger->ops->load(rig.ledger, &load);
	turn_some(3);
	clock_test_advance(NS_PER_S - 1);
	turn_some(3);
	ck_assert(!out.done);
	clock_test_advance(2);
	turn_some(3);
	ck_assert(out.done);
	ck_assert_int_eq(out.e, ERR_DEADLINE);
	ck_assert_uint_eq(store_pending(rig.store), 1);
	kill(store_pid(rig.store), SIGCONT);
	load_ok(o); /* comes behind the one that is late */
	ck_assert_uint_eq(store_pending(rig.store), 0);
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
	kill(store_pid(rig.store), SIGSTOP);
	for (int i = 0; i < CALLS; i++) {
		loads[i] = (struct ledger_load){.arena = rig.arena, .tenant = "a", .uid = "u"};
		rig_begin(&loads[i].wait, &outs[i]);
		rig.ledger->ops->load(rig.ledger, &loads[i]);
	}
	turn_some(2);
	kill(store_pid(rig.store), SIGCONT);
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
		fputs("SKIPPED: only root sees the descriptors of the storage child\n", stderr);
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
	load_fails(o, ERR_STORAGE_DOWN); /* whether it is noticed before or after sending */
	await_restart(0);
	ck_assert_int_eq(rig.ended, 1);
	load_ok(o);
	ck_assert_int_eq(metric_get(METRIC_STORE_CALLS), 0);
}
END_TEST

static void
nothing(struct timer *t)
{
	(void)t;
}

/* There is no room for another timer, and no memory for more room: the child comes back after that. */
START_TEST(test_restart_without_memory)
{
	static struct timer timers[1024];
	struct object *o;
	size_t n = 0;

	rig_start(&rig);
	o = rig_object(&rig, "a", NULL);
	ck_assert_int_eq(rig_create(&rig, o), ERR_OK);
	fault_test_arm(FAULT_ALLOC, 0, 1000000);
	for (timers[0].fn = nothing; n < 1023 &&
	    timer_set(rig.loop, &timers[n], INT64_MAX) == ERR_OK; n++)
		timers[n + 1].fn = nothing;
	ck_assert_uint_lt(n, 1023);
	kill(store_pid(rig.store), SIGKILL);
	while (rig.ended == 0)
		loop_turn(rig.loop, true);
	for (int i = 0; i < 3; i++)
		loop_turn(rig.loop, false);
	ck_assert_int_eq(rig.restarted, 0);
	fault_test_clear();
	await_restart(0);
	load_ok(o);
	for (size_t i = 0; i < n; i++)
		timer_clear(rig.loop, &timers[i]);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("store");
	TCase *t = tcase_create("store");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_life_of_an_object);
	tcase_add_test(t, test_small_files);
	tcase_add_test(t, test_tenants_are_apart);
	tcase_add_test(t, test_erased_from_the_disk);
	tcase_add_test(t, test_revisions);
	tcase_add_test(t, test_rows_are_remembered);
	tcase_add_test(t, test_intents_lock);
	tcase_add_test(t, test_updates_lock);
	tcase_add_test(t, test_all_or_nothing);
	tcase_add_test(t, test_names);
	tcase_add_test(t, test_names_are_claimed);
	tcase_add_test(t, test_group_commit);
	tcase_add_test(t, test_one_fails_alone);
	tcase_add_test(t, test_commit_fails);
	tcase_add_test(t, test_commit_full);
	tcase_add_loop_test(t, test_dies_at_a_commit, 0, 9);
	tcase_add_test(t, test_cancel);
	tcase_add_test(t, test_cancelled_prepare);
	tcase_add_test(t, test_ceiling);
	tcase_add_test(t, test_second_daemon);
	tcase_add_test(t, test_child_is_closed_in);
	tcase_add_test(t, test_restart_and_backoff);
	tcase_add_test(t, test_restart_without_memory);
	tcase_add_test(t, test_deadline); /* last: its clock stands still from then on */
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
