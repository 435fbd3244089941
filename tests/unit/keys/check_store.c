/* SPDX-License-Identifier: Apache-2.0 */
/* The store with a real child: what it keeps, names, and group commit. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <check.h>

#include "base/metric.h"
#include "base/secret.h"
#include "kprecord.h"
#include "storecase.h"

static enum err
ask_for_file(struct store_file *f)
{
	struct outcome out;

	rig_begin(&f->wait, &out);
	store_file(rig.store, f);
	return rig_end(&rig, &out);
}

static enum err
change_file(const char *dir, const char *name, const char *text)
{
	struct store_file f = {.directory = dir, .name = name, .data = text,
	    .len = text != NULL ? strlen(text) : 0};

	return ask_for_file(&f);
}

static enum err
remove_below(const char *dir, const char *name)
{
	struct store_file f = {.directory = dir, .name = name, .below = true};

	return ask_for_file(&f);
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

/* The key is in Key Protect, and the configuration says that it is here: that nothing is, proves nothing. */
START_TEST(test_key_of_another_vault)
{
	struct object *o;
	struct secret *key;

	rig_start(&rig);
	o = rig_object(&rig, "a", NULL);
	ck_assert_str_eq(vault_made_by(o), "local");
	ck_assert(!vault_is_foreign(rig.vault->ops, o));
	rig_as_in_keyprotect(&rig, o);
	if (_i == 1)
		kprecord_set_id(o, o->uid);
	ck_assert_str_eq(vault_made_by(o), "keyprotect");
	ck_assert_int_eq(rig_create(&rig, o), ERR_OK);
	o = load_ok(o);
	ck_assert_int_eq(rig_unwrap(&rig, o, &key), ERR_INTEGRITY);
	ck_assert_int_eq(rig_destroy(&rig, o), ERR_NO_OBJECT);
	ck_assert_int_eq(load_ok(o)->state, OBJECT_PRE_ACTIVE);
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

START_TEST(test_files_of_all_directories)
{
	char path[1024];

	rig_start(&rig);
	ck_assert_int_eq(remove_below("trust", "b.pem"), ERR_NO_OBJECT);
	expect_file("trust", NULL);
	ck_assert_int_eq(change_file("trust/a", "b.pem", "one"), ERR_OK);
	ck_assert_int_eq(change_file("trust/b", "b.pem", "one"), ERR_OK);
	ck_assert_int_eq(change_file("trust/b", "stays.pem", "two"), ERR_OK);
	ck_assert_int_eq(change_file("trust/c", "stays.pem", "three"), ERR_OK);
	ck_assert_int_eq(change_file("trust", "stray", "no directory"), ERR_OK);
	ck_assert_int_eq(change_file("trust", "b.pem", "not below"), ERR_OK);
	ck_assert_int_eq(remove_below("trust", "../b.pem"), ERR_INVALID_FIELD);
	ck_assert_int_eq(remove_below("..", "b.pem"), ERR_INVALID_FIELD);
	ck_assert_int_eq(remove_below("trust", "b.pem"), ERR_OK);
	expect_file("trust/a/b.pem", NULL);
	expect_file("trust/b/b.pem", NULL);
	expect_file("trust/b/stays.pem", "two");
	expect_file("trust/c/stays.pem", "three");
	expect_file("trust/b.pem", "not below");
	ck_assert_int_eq(remove_below("trust", "b.pem"), ERR_NO_OBJECT);
	/* one that cannot be removed is told, and keeps no other */
	snprintf(path, sizeof(path), "%s/trust/b/b.pem", rig.state);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	ck_assert_int_eq(change_file("trust/a", "b.pem", "one"), ERR_OK);
	ck_assert_int_eq(change_file("trust/c", "b.pem", "one"), ERR_OK);
	ck_assert_int_eq(remove_below("trust", "b.pem"), ERR_STORAGE);
	expect_file("trust/a/b.pem", NULL);
	expect_file("trust/c/b.pem", NULL);
	ck_assert_int_eq(rmdir(path), 0);
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

/* --- the child --- */

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
	tcase_add_loop_test(t, test_key_of_another_vault, 0, 2);
	tcase_add_test(t, test_small_files);
	tcase_add_test(t, test_files_of_all_directories);
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
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
