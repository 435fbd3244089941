/* SPDX-License-Identifier: Apache-2.0 */
/* Backup while keys are made, verification, restore. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <check.h>
#include <sqlite3.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/metric.h"
#include "base/secret.h"
#include "job.h"
#include "rootkey.h"

enum { BEFORE = 900, AT_ONCE = 20, STREAMS_MAX = 100000 };

static struct rig rig;
static char backup_dir[96], restore_dir[96];
static struct store_counts counts;
static const char *why;
static int wait_error, left_behind; /* how waitpid() fails once; 0: it does not */

/* In front of the library's.  One that fails may leave anything in *status. */
pid_t
waitpid(pid_t pid, int *status, int options)
{
	if (wait_error == 0)
		return wait4(pid, status, options, NULL);
	errno = wait_error;
	wait_error = 0;
	*status = left_behind;
	return -1;
}

/* --- in SQLite's place --- */

static const char *stays; /* a file's name that ends so cannot be removed */
static sqlite3_syscall_ptr real_unlink;

static int
unlink_others(const char *path)
{
	size_t len = strlen(path), end = strlen(stays);

	if (len < end || strcmp(path + len - end, stays) != 0)
		return ((int (*)(const char *))real_unlink)(path);
	errno = EIO;
	return -1;
}

static void
setup(void)
{
	rig_init(&rig);
	rig_start(&rig);
	snprintf(backup_dir, sizeof(backup_dir), "%s/backup", rig.dir);
	snprintf(restore_dir, sizeof(restore_dir), "%s/restored", rig.dir);
	ck_assert_int_eq(mkdir(backup_dir, 0700), 0);
}

static void
teardown(void)
{
	rig_fini(&rig);
}

static const char *
same_file(void *arg, const char *tenant)
{
	(void)tenant;
	return arg;
}

/* One root key file for all tenants; valid until the next call. */
static const struct store_root_keys *
by(char *path)
{
	static struct store_root_keys roots;

	roots = (struct store_root_keys){same_file, path};
	return &roots;
}

static struct object *made[BEFORE];

static void
make_many(void)
{
	static struct job jobs[BEFORE];

	for (int i = 0; i < BEFORE; i++) {
		made[i] = rig_object(&rig, "a", NULL);
		rig_pad(&rig, made[i]); /* so that the copy takes many steps */
	}
	for (int i = 0; i < BEFORE; i++)
		job_start(&jobs[i], &rig, CHANGE_INSERT, made[i], NULL);
	job_wait_all(&rig, jobs, BEFORE);
	for (int i = 0; i < BEFORE; i++)
		ck_assert_int_eq(jobs[i].e, ERR_OK);
}

static enum err
run_backup(struct store_backup *b)
{
	struct outcome out;

	*b = (struct store_backup){.directory = backup_dir};
	rig_begin(&b->wait, &out);
	store_backup(rig.store, b);
	return rig_end(&rig, &out);
}

/* Creates and destroys go on all the while; each is answered before the copy ends. */
START_TEST(test_under_load)
{
	struct store_backup b = {.directory = backup_dir};
	static struct job jobs[AT_ONCE];
	struct outcome out;
	int rounds = 0;
	struct secret *key;
	struct object *got;
	enum err e;

	make_many();
	rig_begin(&b.wait, &out);
	store_backup(rig.store, &b);
	for (; !out.done && rounds < STREAMS_MAX; rounds++) {
		struct object *fresh[AT_ONCE];

		for (int i = 0; i < AT_ONCE; i++)
			fresh[i] = rig_object(&rig, "a", NULL);
		for (int i = 0; i < AT_ONCE; i++)
			job_start(&jobs[i], &rig, CHANGE_INSERT, fresh[i], NULL);
		job_wait_all(&rig, jobs, AT_ONCE);
		got = rig_load(&rig, "a", fresh[0]->uid, &e);
		ck_assert_int_eq(e, ERR_OK);
		ck_assert_int_eq(rig_destroy(&rig, got), ERR_OK);
	}
	ck_assert_int_eq(rig_end(&rig, &out), ERR_OK);
	ck_assert_int_ge(rounds, 1); /* a fast disk may be done after one */
	ck_assert_uint_ge(b.objects, BEFORE);
	ck_assert_int_ge(rig.copying, 5);
	ck_assert_int_eq(rig.percent, 99);
	rig_stop(&rig);
	e = store_restore(backup_dir, restore_dir, by(rig.root), &counts, &why);
	ck_assert_msg(e == ERR_OK, "%s: %s", err_name(e), why);
	ck_assert_uint_eq(counts.objects, b.objects);
	ck_assert_uint_eq(counts.verified + counts.destroyed, counts.objects);
	strcpy(rig.state, restore_dir);
	rig_start(&rig);
	for (int i = 0; i < BEFORE; i++) {
		got = rig_load(&rig, "a", made[i]->uid, &e);
		ck_assert_int_eq(e, ERR_OK);
		ck_assert_int_eq(rig_unwrap(&rig, got, &key), ERR_OK);
		secret_unref(key);
	}
}
END_TEST

/* An intent in the copy is settled by the first recovery after a restore. */
START_TEST(test_intents_come_along)
{
	struct object *o = rig_object(&rig, "a", NULL), *lost = rig_object(&rig, "a", NULL);
	struct change change = {CHANGE_INSERT, lost};
	struct ledger_changes c = {.changes = &change, .count = 1};
	struct store_backup b;
	struct recover rec;
	bool found;

	ck_assert_int_eq(rig_create(&rig, o), ERR_OK);
	ck_assert_int_eq(rig_prepare(&rig, &c), ERR_OK);
	ck_assert_int_eq(rig_vault(&rig, rig.vault->ops->store, lost), ERR_OK);
	ck_assert_int_eq(run_backup(&b), ERR_OK);
	ck_assert_int_eq(rig_commit(&rig, &c), ERR_OK);
	rig_stop(&rig);
	ck_assert_int_eq(store_restore(backup_dir, restore_dir, by(rig.root), &counts, &why),
	    ERR_OK);
	ck_assert_uint_eq(counts.objects, 1);
	strcpy(rig.state, restore_dir);
	rig_start(&rig);
	ck_assert_int_eq(rig_recover(&rig, &rec), ERR_OK);
	ck_assert_uint_eq(rec.creates_undone, 1);
	ck_assert_int_eq(rig_probe(&rig, "a", lost->uid, &found), ERR_OK);
	ck_assert(!found);
}
END_TEST

START_TEST(test_refusals)
{
	struct store_backup b;
	struct stat st;
	char path[128];

	ck_assert_int_eq(rig_create(&rig, rig_object(&rig, "a", NULL)), ERR_OK);
	ck_assert_int_eq(run_backup(&b), ERR_OK);
	ck_assert_uint_eq(b.objects, 1);
	ck_assert_int_eq(run_backup(&b), ERR_INVALID_FIELD); /* not empty any more */
	snprintf(path, sizeof(path), "%s/vault.db", backup_dir);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	ck_assert_int_eq(store_restore(backup_dir, rig.state, by(rig.root), &counts, &why),
	    ERR_IN_USE);
	/* the directory of a gateway at work is no backup */
	ck_assert_int_eq(store_verify_copy(rig.state, by(rig.root), &counts, &why), ERR_STORAGE);
	ck_assert_ptr_nonnull(strstr(why, "write-ahead log"));
	snprintf(path, sizeof(path), "%s/none", rig.dir);
	strcpy(backup_dir, path);
	ck_assert_int_eq(run_backup(&b), ERR_INVALID_FIELD);
}
END_TEST

/* The ledger comes last, so that no gateway starts on half a copy. */
START_TEST(test_restore_cut_off)
{
	char path[128], away[128];
	struct store_backup b;

	ck_assert_int_eq(rig_create(&rig, rig_object(&rig, "a", NULL)), ERR_OK);
	ck_assert_int_eq(run_backup(&b), ERR_OK);
	rig_stop(&rig);
	snprintf(path, sizeof(path), "%s/vault.db", backup_dir);
	snprintf(away, sizeof(away), "%s/away", rig.dir);
	ck_assert_int_eq(rename(path, away), 0);
	ck_assert_int_eq(store_restore(backup_dir, restore_dir, by(rig.root), &counts, &why), ERR_IO);
	ck_assert_int_eq(rename(away, path), 0);
	strcpy(rig.state, restore_dir);
	ck_assert_int_eq(rig_try_start(&rig, &why), ERR_CORRUPT);
	ck_assert_ptr_nonnull(strstr(why, "a restore into it was cut off"));
	ck_assert_int_eq(store_restore(backup_dir, restore_dir, by(rig.root), &counts, &why),
	    ERR_IN_USE);
	ck_assert_ptr_nonnull(strstr(why, "move away"));
	ck_assert_int_eq(rename(restore_dir, away), 0);
	ck_assert_int_eq(store_restore(backup_dir, restore_dir, by(rig.root), &counts, &why), ERR_OK);
	ck_assert_uint_eq(counts.verified, 1);
	rig_start(&rig);
}
END_TEST

/* Where a gateway was killed both logs are there: what they hold no restore may leave behind. */
START_TEST(test_restore_of_a_log)
{
	static const char *const logs[] = {"ledger.db-wal", "vault.db-wal", "ledger.db-journal",
	    "vault.db-journal"};
	struct store_backup b;
	char path[128];

	ck_assert_int_eq(rig_create(&rig, rig_object(&rig, "a", NULL)), ERR_OK);
	ck_assert_int_eq(store_restore(rig.state, restore_dir, by(rig.root), &counts, &why), ERR_STORAGE);
	ck_assert_ptr_nonnull(strstr(why, "write-ahead log"));
	ck_assert_int_eq(run_backup(&b), ERR_OK);
	for (size_t i = 0; i < sizeof(logs) / sizeof(logs[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", backup_dir, logs[i]);
		close(open(path, O_CREAT | O_WRONLY, 0600));
		ck_assert_int_eq(
		    store_restore(backup_dir, restore_dir, by(rig.root), &counts, &why), ERR_STORAGE);
		ck_assert_ptr_nonnull(strstr(why, "write-ahead log"));
		ck_assert_int_eq(
		    store_verify_copy(backup_dir, by(rig.root), &counts, &why), ERR_STORAGE);
		ck_assert_ptr_nonnull(strstr(why, "write-ahead log"));
		ck_assert_int_eq(access(restore_dir, F_OK), -1);
		ck_assert_int_eq(unlink(path), 0);
	}
	ck_assert_int_eq(store_restore(backup_dir, restore_dir, by(rig.root), &counts, &why), ERR_OK);
	ck_assert_uint_eq(counts.verified, 1);
}
END_TEST

/* What cannot be read to its end is no copy, and no gateway starts on it. */
START_TEST(test_restore_of_junk)
{
	struct store_backup b;
	char path[128];

	ck_assert_int_eq(rig_create(&rig, rig_object(&rig, "a", NULL)), ERR_OK);
	ck_assert_int_eq(run_backup(&b), ERR_OK);
	rig_stop(&rig);
	snprintf(path, sizeof(path), "%s/ledger.db", backup_dir);
	ck_assert_int_eq(truncate(path, 0), 0);
	ck_assert_int_eq(store_restore(backup_dir, restore_dir, by(rig.root), &counts, &why), ERR_SCHEMA);
	ck_assert_str_eq(why, "a file of the copy is empty");
	snprintf(path, sizeof(path), "%s/ledger.db", restore_dir);
	ck_assert_int_eq(access(path, F_OK), -1);
	strcpy(rig.state, restore_dir);
	ck_assert_int_eq(rig_try_start(&rig, &why), ERR_CORRUPT);
}
END_TEST

static void
sql(const char *file, const char *text)
{
	char path[128], command[512];

	snprintf(path, sizeof(path), "%s/%s", backup_dir, file);
	snprintf(command, sizeof(command), "sqlite3 %s \"%s\"", path, text);
	ck_assert_int_eq(system(command), 0);
}

START_TEST(test_verify_finds)
{
	char other[96], path[128];
	struct store_backup b;
	uint8_t junk[4096];
	int fd;

	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(rig_create(&rig, rig_object(&rig, "a", NULL)), ERR_OK);
	ck_assert_int_eq(run_backup(&b), ERR_OK);
	ck_assert_int_eq(store_verify_copy(backup_dir, by(rig.root), &counts, &why), ERR_OK);
	ck_assert_uint_eq(counts.verified, 3);
	snprintf(other, sizeof(other), "%s/other", rig.dir);
	ck_assert_int_eq(vault_local_make_root_key(other), ERR_OK);
	ck_assert_int_eq(store_verify_copy(backup_dir, by(other), &counts, &why), ERR_INTEGRITY);
	ck_assert_uint_eq(counts.damaged, 3);
	sql("vault.db", "DELETE FROM records WHERE uid = (SELECT min(uid) FROM records)");
	ck_assert_int_eq(store_verify_copy(backup_dir, by(rig.root), &counts, &why), ERR_INTEGRITY);
	ck_assert_uint_eq(counts.missing, 1);
	ck_assert_uint_eq(counts.verified, 2);
	sql("ledger.db", "PRAGMA user_version = 99");
	ck_assert_int_eq(store_verify_copy(backup_dir, by(rig.root), &counts, &why), ERR_SCHEMA);
	sql("ledger.db", "PRAGMA user_version = 3");
	snprintf(path, sizeof(path), "%s/ledger.db", backup_dir);
	memset(junk, 0x33, sizeof(junk));
	fd = open(path, O_WRONLY);
	ck_assert_int_eq(pwrite(fd, junk, sizeof(junk), 4096), (ssize_t)sizeof(junk));
	close(fd);
	ck_assert_int_eq(store_verify_copy(backup_dir, by(rig.root), &counts, &why), ERR_CORRUPT);
	unlink(path);
	ck_assert_int_eq(store_verify_copy(backup_dir, by(rig.root), &counts, &why), ERR_STORAGE);
}
END_TEST

/* It says nothing of a key that could not be looked at. */
START_TEST(test_verify_without_memory)
{
	struct object *o = rig_object(&rig, "a", NULL);
	enum err e = ERR_NO_MEMORY;
	struct store_backup b;

	rig_pad(&rig, o);
	ck_assert_int_eq(rig_create(&rig, o), ERR_OK);
	ck_assert_int_eq(run_backup(&b), ERR_OK);
	for (unsigned n = 0; e != ERR_OK; n++) {
		fault_test_arm(FAULT_ALLOC, n, 1);
		e = store_verify_copy(backup_dir, by(rig.root), &counts, &why);
		fault_test_clear();
		ck_assert_int_ne(e, ERR_INTEGRITY);
	}
	ck_assert_uint_eq(counts.verified, 1);
}
END_TEST

/* What a configuration knows: a file each for some tenants. */
struct known {
	const char *a, *b;
};

static const char *
file_of(void *arg, const char *tenant)
{
	const struct known *k = arg;

	return strcmp(tenant, "a") == 0 ? k->a : strcmp(tenant, "b") == 0 ? k->b : NULL;
}

static enum err
verify_with(const char *a, const char *b)
{
	struct known known = {a, b};
	const struct store_root_keys roots = {file_of, &known};

	memset(&counts, 0, sizeof(counts));
	return store_verify_copy(backup_dir, &roots, &counts, &why);
}

/* Tenants with root key files of their own, all in one backup. */
START_TEST(test_two_tenants)
{
	struct vault *of_a = rig.vault;
	struct known known = {rig.root, NULL};
	const struct store_root_keys roots = {file_of, &known};
	struct store_backup b;
	char other[96];

	snprintf(other, sizeof(other), "%s/other", rig.dir);
	ck_assert_int_eq(vault_local_make_root_key(other), ERR_OK);
	ck_assert_int_eq(rig_create(&rig, rig_object(&rig, "a", NULL)), ERR_OK);
	ck_assert_int_eq(vault_local_new(&rig.vault, rig.store, rig.loop, other, &why), ERR_OK);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(rig_create(&rig, rig_object(&rig, "b", NULL)), ERR_OK);
	rig.vault->ops->free(rig.vault);
	rig.vault = of_a;
	ck_assert_int_eq(run_backup(&b), ERR_OK);

	ck_assert_int_eq(verify_with(rig.root, other), ERR_OK);
	ck_assert_uint_eq(counts.verified, 3);
	ck_assert_uint_eq(counts.unverified, 0);
	ck_assert_int_eq(verify_with(rig.root, NULL), ERR_NO_ROOT_KEY);
	ck_assert_uint_eq(counts.verified, 1);
	ck_assert_uint_eq(counts.unverified, 2);
	ck_assert_int_eq(verify_with(other, rig.root), ERR_INTEGRITY);
	ck_assert_uint_eq(counts.damaged, 3);
	ck_assert_int_eq(verify_with(rig.root, "/nonexistent/root"), ERR_CONFIG);
	ck_assert_str_eq(why, "/nonexistent/root: the root key file does not exist");
	/* damage counts for more than what nobody could look at */
	sql("vault.db", "DELETE FROM records WHERE tenant = 'a'");
	ck_assert_int_eq(verify_with(rig.root, NULL), ERR_INTEGRITY);
	ck_assert_uint_eq(counts.missing, 1);
	ck_assert_uint_eq(counts.unverified, 2);
	ck_assert_int_eq(store_restore(backup_dir, restore_dir, &roots, &counts, &why),
	    ERR_INTEGRITY);
}
END_TEST

/* Each tenant's own file, with the root key of all as its first version. */
static const char *
own_file(void *arg, const char *tenant)
{
	static char path[160];

	snprintf(path, sizeof(path), "%s/%s.root", (const char *)arg, tenant);
	return path;
}

static void
make_own_file(const char *tenant, const char *first)
{
	FILE *f = fopen(own_file(rig.dir, tenant), "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fchmod(fileno(f), 0600), 0);
	fputs(first, f);
	for (unsigned version = 2; version <= ROOT_KEYS_MAX; version++)
		fprintf(f, "%u %064x\n", version, version);
	fclose(f);
}

/* Their root keys would not all fit into the secure heap. */
START_TEST(test_tenants_with_many_root_keys)
{
	enum { TENANTS = (1 << 20) / 64 / ROOT_KEYS_MAX + 1 };
	static struct job jobs[TENANTS];
	const struct store_root_keys roots = {own_file, rig.dir};
	char first[256] = "", tenant[16];
	FILE *f = fopen(rig.root, "r");
	struct store_backup b;

	ck_assert_ptr_nonnull(f);
	ck_assert_ptr_nonnull(fgets(first, sizeof(first), f));
	fclose(f);
	for (int i = 0; i < TENANTS; i++) {
		snprintf(tenant, sizeof(tenant), "t%d", i);
		make_own_file(tenant, first);
		job_start(&jobs[i], &rig, CHANGE_INSERT, rig_object(&rig, tenant, NULL), NULL);
	}
	job_wait_all(&rig, jobs, TENANTS);
	ck_assert_int_eq(run_backup(&b), ERR_OK);
	ck_assert_int_eq(store_verify_copy(backup_dir, &roots, &counts, &why), ERR_OK);
	ck_assert_uint_eq(counts.verified, TENANTS);
}
END_TEST

static void
assert_backed_up(int64_t when, int64_t newer)
{
	ck_assert_int_eq(metric_get(METRIC_STORE_LAST_BACKUP_SECONDS), when);
	ck_assert_int_eq(metric_get(METRIC_STORE_OBJECTS_NOT_BACKED_UP), newer);
}

/* When the last backup was made, and what is newer, is known at once and after any restart. */
START_TEST(test_last_backup_is_known)
{
	struct store_backup b;
	int64_t when;

	assert_backed_up(0, 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(rig_create(&rig, rig_object(&rig, "a", NULL)), ERR_OK);
	assert_backed_up(0, 3);
	ck_assert_int_eq(run_backup(&b), ERR_OK);
	when = metric_get(METRIC_STORE_LAST_BACKUP_SECONDS);
	ck_assert_int_le(llabs(when - clock_wall()), 60);
	assert_backed_up(when, 0);
	ck_assert_int_eq(rig_create(&rig, rig_object(&rig, "a", NULL)), ERR_OK);
	assert_backed_up(when, 1);
	ck_assert_int_eq(run_backup(&b), ERR_INVALID_FIELD);
	assert_backed_up(when, 1);
	rig_stop(&rig);
	metric_set(METRIC_STORE_LAST_BACKUP_SECONDS, 0);
	metric_set(METRIC_STORE_OBJECTS_NOT_BACKED_UP, 0);
	rig_start(&rig);
	assert_backed_up(when, 1);
	rig_stop(&rig);
	/* the copy knows of itself */
	ck_assert_int_eq(store_restore(backup_dir, restore_dir, by(rig.root), &counts, &why),
	    ERR_OK);
	strcpy(rig.state, restore_dir);
	rig_start(&rig);
	assert_backed_up(when, 0);
}
END_TEST

/* The disk of the state directory has no room for the note: the copy is good all the same. */
START_TEST(test_cannot_be_noted)
{
	struct store_backup b;

	rig_stop(&rig);
	fault_test_arm(FAULT_STORE_COMMIT_FULL, 0, 1);
	rig_start(&rig);
	ck_assert_int_eq(run_backup(&b), ERR_OK);
	ck_assert(!b.noted);
	assert_backed_up(0, 0);
	ck_assert_int_eq(store_verify_copy(backup_dir, by(rig.root), &counts, &why), ERR_OK);
	strcat(backup_dir, ".2");
	ck_assert_int_eq(mkdir(backup_dir, 0700), 0);
	ck_assert_int_eq(run_backup(&b), ERR_OK);
	ck_assert(b.noted);
}
END_TEST

/* A backup whose storage child is told so of its syncer, once. */
static enum err
backup_when_wait_fails(int error, int left)
{
	struct store_backup b;

	rig_stop(&rig);
	wait_error = error;
	left_behind = left;
	rig_start(&rig);
	wait_error = 0; /* the child has its own */
	return run_backup(&b);
}

/* The copies may be on no disk: such a backup does not count. */
START_TEST(test_nobody_knows_whether_it_was_synced)
{
	ck_assert_int_eq(rig_create(&rig, rig_object(&rig, "a", NULL)), ERR_OK);
	ck_assert_int_eq(backup_when_wait_fails(ECHILD, W_EXITCODE(ERR_OK, 0)), ERR_STORAGE);
	assert_backed_up(0, 1);
}
END_TEST

/* Nobody could restore it. */
START_TEST(test_log_that_stays)
{
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
	const char *const logs[] = {"/backup/ledger.db-wal", "/backup/vault.db-wal"};
	struct store_backup b;

	rig_stop(&rig);
	stays = logs[_i];
	real_unlink = vfs->xGetSystemCall(vfs, "unlink");
	vfs->xSetSystemCall(vfs, "unlink", (sqlite3_syscall_ptr)unlink_others);
	rig_start(&rig);
	vfs->xSetSystemCall(vfs, "unlink", NULL); /* the child has its own */
	ck_assert_int_eq(rig_create(&rig, rig_object(&rig, "a", NULL)), ERR_OK);
	ck_assert_int_eq(run_backup(&b), ERR_STORAGE);
	assert_backed_up(0, 1);
}
END_TEST

START_TEST(test_a_look_is_interrupted)
{
	ck_assert_int_eq(backup_when_wait_fails(EINTR, W_EXITCODE(ERR_STORAGE, 0)), ERR_OK);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("backup");
	TCase *t = tcase_create("backup");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 120);
	tcase_add_test(t, test_under_load);
	tcase_add_test(t, test_intents_come_along);
	tcase_add_test(t, test_refusals);
	tcase_add_test(t, test_restore_cut_off);
	tcase_add_test(t, test_restore_of_a_log);
	tcase_add_test(t, test_restore_of_junk);
	tcase_add_test(t, test_verify_finds);
	tcase_add_test(t, test_verify_without_memory);
	tcase_add_test(t, test_two_tenants);
	tcase_add_test(t, test_tenants_with_many_root_keys);
	tcase_add_test(t, test_last_backup_is_known);
	tcase_add_test(t, test_cannot_be_noted);
	tcase_add_test(t, test_nobody_knows_whether_it_was_synced);
	tcase_add_test(t, test_a_look_is_interrupted);
	tcase_add_loop_test(t, test_log_that_stays, 0, 2);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
