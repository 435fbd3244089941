/* SPDX-License-Identifier: Apache-2.0 */
/* State directories of which a part was lost: no start hides that, and none loses more. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <check.h>

#include "base/fault.h"
#include "base/secret.h"
#include "db_ledger.h"
#include "db_whole.h"
#include "disk.h"
#include "rig.h"

static struct rig rig;
static const char *why;
static struct object *made;

static void
setup(void)
{
	rig_init(&rig);
	rig_start(&rig);
	made = rig_object(&rig, "a", "n");
	ck_assert_int_eq(rig_create(&rig, made), ERR_OK);
}

/* SQLite's own way of looking for files; NULL: as before. */
static void
replace_looks(sqlite3_syscall_ptr with_stat, sqlite3_syscall_ptr with_access)
{
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);

	ck_assert_int_eq(vfs->xSetSystemCall(vfs, "stat", with_stat), SQLITE_OK);
	ck_assert_int_eq(vfs->xSetSystemCall(vfs, "access", with_access), SQLITE_OK);
}

static void
teardown(void)
{
	replace_looks(NULL, NULL);
	rig_fini(&rig);
}

/* Valid until the next but one. */
static const char *
in(const char *dir, const char *name)
{
	static char paths[2][DISK_PATH_MAX];
	static int next;
	char *path = paths[next++ % 2];

	ck_assert(disk_join(path, dir, name));
	return path;
}

static int64_t
size_of(const char *name)
{
	struct stat st;

	return stat(in(rig.state, name), &st) == 0 ? st.st_size : -1;
}

static void
lose(const char *name)
{
	ck_assert_int_eq(unlink(in(rig.state, name)), 0);
}

static void
keep(const char *name)
{
	ck_assert_int_eq(disk_copy(in(rig.state, name), in(rig.dir, name)), ERR_OK);
}

/* What a start left in its place is overwritten, as cp does. */
static void
put_back(const char *name)
{
	(void)unlink(in(rig.state, name));
	ck_assert_int_eq(disk_copy(in(rig.dir, name), in(rig.state, name)), ERR_OK);
}

/* Twice, as a service manager would. */
static void
refused(const char *says)
{
	for (int i = 0; i < 2; i++) {
		why = "";
		ck_assert_int_eq(rig_try_start(&rig, &why), ERR_CORRUPT);
		ck_assert_msg(strstr(why, says) != NULL, "%s", why);
	}
}

static void
key_is_there(void)
{
	struct secret *key;
	struct object *o;
	bool found;
	enum err e;

	rig_start(&rig);
	o = rig_load(&rig, "a", made->uid, &e);
	ck_assert_int_eq(e, ERR_OK);
	ck_assert_int_eq(rig_unwrap(&rig, o, &key), ERR_OK);
	secret_unref(key);
	ck_assert_int_eq(rig_probe(&rig, "a", made->uid, &found), ERR_OK);
	ck_assert(found);
}

START_TEST(test_one_file_lost)
{
	static const char *const files[] = {"ledger.db", "vault.db"}, *const says[] = {
	    "ledger.db is missing or empty, but vault.db", "vault.db is missing or empty, but ledger.db"};

	rig_stop(&rig);
	keep(files[_i]);
	lose(files[_i]);
	refused(says[_i]);
	put_back(files[_i]);
	ck_assert_int_eq(truncate(in(rig.state, files[_i]), 0), 0);
	refused(says[_i]);
	put_back(files[_i]);
	key_is_there();
	ck_assert_int_eq(rig.made, 1);
}
END_TEST

/* SQLite alone would remove that log, and all that is in it. */
START_TEST(test_log_without_its_file)
{
	static const char *const files[] = {"ledger.db", "vault.db"}, *const logs[] = {"ledger.db-wal",
	    "vault.db-wal"};
	int64_t size = size_of(logs[_i]);

	ck_assert_int_gt(size, 0);
	keep(files[_i]);
	keep(logs[_i]);
	rig_stop(&rig);
	put_back(logs[_i]);
	lose(files[_i]);
	refused("its log");
	ck_assert_ptr_nonnull(strstr(why, files[_i]));
	ck_assert_int_eq(size_of(files[_i]), -1);
	put_back(files[_i]);
	ck_assert_int_eq(truncate(in(rig.state, files[_i]), 0), 0);
	refused("its log");
	ck_assert_int_eq(size_of(logs[_i]), size);
	put_back(files[_i]);
	key_is_there();
}
END_TEST

static const char *unseen; /* the end of a path that cannot be looked at */
static int unseen_errno;

static bool
is_unseen(const char *path)
{
	size_t len = strlen(path), end = strlen(unseen);

	return len >= end && strcmp(path + len - end, unseen) == 0;
}

static int
failing_stat(const char *path, struct stat *st)
{
	if (!is_unseen(path))
		return stat(path, st);
	errno = unseen_errno;
	return -1;
}

static int
failing_access(const char *path, int how)
{
	if (!is_unseen(path))
		return access(path, how);
	errno = unseen_errno;
	return -1;
}

/* A disk that does not answer has lost nothing that is known. */
START_TEST(test_cannot_be_looked_at)
{
	static const char *const files[] = {"/ledger.db", "/vault.db", "/ledger.db-wal", "/ledger.db.new"};
	static const int errnos[] = {EIO, ENOMEM, EACCES};

	replace_looks((sqlite3_syscall_ptr)failing_stat, (sqlite3_syscall_ptr)failing_access);
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
		for (size_t j = 0; j < sizeof(errnos) / sizeof(*errnos); j++) {
			unseen = files[i];
			unseen_errno = errnos[j];
			ck_assert_int_eq(db_whole_logs(rig.state, NULL, &why), ERR_STORAGE);
			ck_assert_msg(strstr(why, unseen + 1) != NULL, "%s: %s", unseen, why);
			ck_assert_msg(strstr(why, strerror(unseen_errno)) != NULL, "%s", why);
		}
	replace_looks(NULL, NULL);
	ck_assert_int_eq(db_whole_logs(rig.state, NULL, &why), ERR_OK);
}
END_TEST

START_TEST(test_damaged_beside_a_lost_one)
{
	char junk[4096];
	int fd;

	rig_stop(&rig);
	lose("ledger.db");
	memset(junk, 0x77, sizeof(junk));
	fd = open(in(rig.state, "vault.db"), O_WRONLY);
	ck_assert_int_eq(pwrite(fd, junk, sizeof(junk), 4096), (ssize_t)sizeof(junk));
	close(fd);
	why = "";
	ck_assert_int_eq(rig_try_start(&rig, &why), ERR_CORRUPT);
	ck_assert_ptr_nonnull(strstr(why, "vault.db cannot be read"));
}
END_TEST

/* Its key is in Key Protect. */
static void
put_away(struct object *away)
{
	struct change change = {.kind = CHANGE_INSERT, .object = away};
	struct ledger_changes c = {.changes = &change, .count = 1};
	char *record = arena_zalloc(rig.arena, 64);

	strcpy(record, away->uid); /* the id, as Key Protect's come */
	away->record = (const uint8_t *)record;
	away->record_len = 64;
	ck_assert_int_eq(rig_prepare(&rig, &c), ERR_OK);
	ck_assert_int_eq(rig_commit(&rig, &c), ERR_OK);
}

/* Nothing of it is missed: its keys are elsewhere, or destroyed. */
START_TEST(test_vault_that_holds_nothing)
{
	struct object *away = rig_object(&rig, "b", NULL);
	enum err e;

	put_away(away);
	ck_assert_int_eq(rig_destroy(&rig, rig_load(&rig, "a", made->uid, &e)), ERR_OK);
	rig_stop(&rig);
	lose("vault.db");
	rig_start(&rig);
	ck_assert_ptr_nonnull(rig_load(&rig, "b", away->uid, &e));
	ck_assert_int_eq(rig.made, 1);
	rig_stop(&rig);
	lose("ledger.db");
	rig_start(&rig);
	ck_assert_int_eq(rig.made, 2);
}
END_TEST

/* Nobody knows whether a key that could not be read is one of the file that was lost. */
START_TEST(test_without_memory)
{
	struct object *away = rig_object(&rig, "b", NULL);
	struct db ledger, vault;
	enum err e = ERR_NO_MEMORY;

	rig_pad(&rig, away);
	put_away(away);
	ck_assert_int_eq(rig_destroy(&rig, rig_load(&rig, "a", made->uid, &e)), ERR_OK);
	rig_stop(&rig);
	lose("vault.db");
	ck_assert_int_eq(db_open(&ledger, &db_ledger_schema, rig.state, NULL, &why), ERR_OK);
	ck_assert_int_eq(db_open(&vault, &db_vault_schema, rig.state, NULL, &why), ERR_OK);
	e = ERR_NO_MEMORY;
	for (unsigned n = 0; e == ERR_NO_MEMORY; n++) {
		fault_test_arm(FAULT_ALLOC, n, 1);
		e = db_whole_pair(&ledger, &vault, &why);
		fault_test_clear();
	}
	ck_assert_int_eq(e, ERR_OK);
	db_close(&ledger);
	db_close(&vault);
}
END_TEST

START_TEST(test_nothing_left)
{
	enum err e;

	rig_stop(&rig);
	ck_assert_int_eq(rig.made, 1);
	rig_start(&rig);
	ck_assert_int_eq(rig.made, 1);
	rig_stop(&rig);
	rig_remove(rig.state);
	ck_assert_int_eq(mkdir(rig.state, 0700), 0);
	rig_start(&rig);
	ck_assert_int_eq(rig.made, 2);
	ck_assert_ptr_null(rig_load(&rig, "a", made->uid, &e));
	ck_assert_int_eq(e, ERR_NO_OBJECT);
	ck_assert_int_eq(rig_create(&rig, rig_object(&rig, "a", NULL)), ERR_OK);
}
END_TEST

/* Under a gateway at work: what is served from then on is nothing, not something else. */
START_TEST(test_lost_at_work)
{
	static const char told[] = "refused: CORRUPT: ", begins[] = "its file ledger.db is missing or empty, but";
	struct store_health h;
	int ended;

	ck_assert_int_eq(kill(store_pid(rig.store), SIGKILL), 0);
	keep("ledger.db");
	lose("ledger.db");
	while (rig.refused == 0)
		loop_turn(rig.loop, true);
	ck_assert_int_eq(rig.restarted, 0);
	ck_assert_int_eq(rig.made, 1);
	ck_assert_msg(strncmp(rig.why, told, strlen(told)) == 0, "%s", rig.why);
	store_health(rig.store, &h);
	ck_assert(!h.up);
	ck_assert_msg(strncmp(h.why, begins, strlen(begins)) == 0, "%s", h.why);
	ck_assert_str_eq(h.why, rig.why + strlen(told));
	put_back("ledger.db");
	while (rig.restarted == 0)
		loop_turn(rig.loop, true);
	store_health(rig.store, &h);
	ck_assert(h.up);
	ended = rig.ended;
	ck_assert_int_eq(kill(store_pid(rig.store), SIGKILL), 0);
	while (rig.ended == ended)
		loop_turn(rig.loop, true);
	store_health(rig.store, &h);
	ck_assert(!h.up);
	ck_assert_str_eq(h.why, ""); /* nobody has said anything since */
}
END_TEST

/* As when it was moved away or unmounted: what is there then is no new ledger, and none is made. */
START_TEST(test_all_lost_at_work)
{
	static const char told[] = "refused: CORRUPT: its file ledger.db is missing or empty, and was not when";
	const char *aside = in(rig.dir, "aside");
	enum err e;

	ck_assert_int_eq(kill(store_pid(rig.store), SIGKILL), 0);
	ck_assert_int_eq(rename(rig.state, aside), 0);
	ck_assert_int_eq(mkdir(rig.state, 0700), 0);
	while (rig.refused < 2)
		loop_turn(rig.loop, true);
	ck_assert_msg(strncmp(rig.why, told, strlen(told)) == 0, "%s", rig.why);
	ck_assert(disk_dir_empty(rig.state));
	ck_assert_ptr_null(rig_load(&rig, "a", made->uid, &e));
	ck_assert_int_eq(e, ERR_STORAGE_DOWN);
	ck_assert_int_eq(rmdir(rig.state), 0);
	ck_assert_int_eq(rename(aside, rig.state), 0);
	while (rig.restarted == 0)
		loop_turn(rig.loop, true);
	ck_assert_ptr_nonnull(rig_load(&rig, "a", made->uid, &e));
	ck_assert_int_eq(rig.made, 1);
}
END_TEST

/* Also of one that had no key yet: the gateway knows that it was there. */
START_TEST(test_empty_one_lost_at_work)
{
	enum err e;

	ck_assert_int_eq(rig_destroy(&rig, rig_load(&rig, "a", made->uid, &e)), ERR_OK);
	rig_stop(&rig);
	rig_start(&rig);
	keep("vault.db");
	ck_assert_int_eq(kill(store_pid(rig.store), SIGKILL), 0);
	lose("vault.db");
	while (rig.refused == 0)
		loop_turn(rig.loop, true);
	ck_assert_ptr_nonnull(strstr(rig.why, "its file vault.db is missing or empty"));
	ck_assert_int_eq(size_of("vault.db"), -1);
	put_back("vault.db");
	while (rig.restarted == 0)
		loop_turn(rig.loop, true);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("whole");
	TCase *t = tcase_create("whole");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, test_one_file_lost, 0, 2);
	tcase_add_loop_test(t, test_log_without_its_file, 0, 2);
	tcase_add_test(t, test_cannot_be_looked_at);
	tcase_add_test(t, test_damaged_beside_a_lost_one);
	tcase_add_test(t, test_vault_that_holds_nothing);
	tcase_add_test(t, test_without_memory);
	tcase_add_test(t, test_nothing_left);
	tcase_add_test(t, test_lost_at_work);
	tcase_add_test(t, test_all_lost_at_work);
	tcase_add_test(t, test_empty_one_lost_at_work);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
