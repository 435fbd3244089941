/* SPDX-License-Identifier: Apache-2.0 */
/* Opening the files: schema versions, damage, foreign files, modes; query plans. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <check.h>

#include "base/clock.h"
#include "base/fault.h"
#include "db_ledger.h"
#include "rig.h"
#include "wire.h"

static struct rig rig;
static const char *why;
static struct {
	int gate, slept;
	pid_t pid;
} holder;

static void
setup(void)
{
	rig_init(&rig);
	why = "";
}

static void
teardown(void)
{
	rig_fini(&rig);
}

static void
sql(const char *file, const char *text)
{
	char path[128];
	sqlite3 *h;

	snprintf(path, sizeof(path), "%s/%s", rig.state, file);
	ck_assert_int_eq(sqlite3_open(path, &h), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(h, text, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(h);
}

static void
make_files(void)
{
	rig_start(&rig);
	ck_assert_int_eq(rig_create(&rig, rig_object(&rig, "a", "n")), ERR_OK);
	rig_stop(&rig);
}

static void
open_ready(struct db *db, const struct db_schema *schema)
{
	ck_assert_int_eq(db_open(db, schema, rig.state, NULL, &why), ERR_OK);
	ck_assert_int_eq(db_make_ready(db, NULL, &why), ERR_OK);
}

START_TEST(test_no_memory_for_a_handle)
{
	struct db db;

	sqlite3_hard_heap_limit64(1);
	ck_assert_int_ne(db_open(&db, &db_vault_schema, rig.state, NULL, &why), ERR_OK);
	sqlite3_hard_heap_limit64(0);
}
END_TEST

/* Each file of a later release is refused before the other one, of an older, is brought to ours. */
START_TEST(test_newer_schema)
{
	struct db db;

	make_files();
	sql("ledger.db", "DROP TABLE uses; PRAGMA user_version = 1");
	sql("vault.db", "PRAGMA user_version = 99");
	ck_assert_int_eq(rig_try_start(&rig, &why), ERR_SCHEMA);
	ck_assert_ptr_nonnull(strstr(why, "later release"));
	ck_assert_int_eq(db_open(&db, &db_ledger_schema, rig.state, NULL, &why), ERR_OK);
	ck_assert_int_eq(db.found, 1);
	db_close(&db);
}
END_TEST

/* The number is right, and the tables are not. */
START_TEST(test_other_tables)
{
	make_files();
	sql("ledger.db", "ALTER TABLE intents RENAME COLUMN kind TO destroy");
	ck_assert_int_eq(rig_try_start(&rig, &why), ERR_SCHEMA);
	ck_assert_ptr_nonnull(strstr(why, "tables"));
}
END_TEST

#define UNDO_3                                                                                     \
	"DROP INDEX objects_archived; DROP INDEX objects_newest;"                                  \
	"ALTER TABLE objects DROP COLUMN date_archive;"                                            \
	"CREATE INDEX objects_newest ON objects (tenant, date_initial, uid, state);"

/* A ledger of schema 1: what it held is there, and its uses are recorded from now on. */
START_TEST(test_schema_1)
{
	struct ledger_load load = {.tenant = "a"};
	struct ledger_use use = {.tenant = "a", .when = clock_wall() + 5};
	struct ledger_uses note = {.uses = &use, .count = 1};
	struct object *o;
	struct outcome out;
	int64_t before = clock_wall();

	rig_start(&rig);
	o = rig_object(&rig, "a", "n");
	ck_assert_int_eq(rig_create(&rig, o), ERR_OK);
	load.arena = rig.arena;
	load.uid = use.uid = o->uid;
	rig_stop(&rig);
	sql("ledger.db", "DROP TABLE uses;" UNDO_3 "PRAGMA user_version = 1");
	rig_start(&rig);
	rig_begin(&load.wait, &out);
	rig.ledger->ops->load(rig.ledger, &load);
	ck_assert_int_eq(rig_end(&rig, &out), ERR_OK);
	ck_assert_int_ge(load.known_since, before);
	ck_assert_int_le(load.known_since, clock_wall());
	ck_assert_int_eq(load.used, NO_DATE);
	rig_begin(&note.wait, &out);
	rig.ledger->ops->note_uses(rig.ledger, &note);
	ck_assert_int_eq(rig_end(&rig, &out), ERR_OK);
	rig_stop(&rig);
	rig_start(&rig);
	rig_begin(&load.wait, &out);
	rig.ledger->ops->load(rig.ledger, &load);
	ck_assert_int_eq(rig_end(&rig, &out), ERR_OK);
	ck_assert_int_eq(load.used, use.when);
	ck_assert_int_eq(load.object->date[DATE_ARCHIVE], NO_DATE);
}
END_TEST

/* A ledger of schema 2: its objects are online, and can be archived. */
START_TEST(test_schema_2)
{
	struct ledger_find find = {.tenant = "a", .no_archived = true};
	struct object *o;
	struct outcome out;
	enum err e;

	rig_start(&rig);
	ck_assert_int_eq(rig_create(&rig, rig_object(&rig, "a", "n")), ERR_OK);
	rig_stop(&rig);
	sql("ledger.db", UNDO_3 "PRAGMA user_version = 2");
	rig_start(&rig);
	find.arena = rig.arena;
	for (unsigned archived = 0; archived < 2; archived++) {
		rig_begin(&find.wait, &out);
		rig.ledger->ops->find(rig.ledger, &find);
		ck_assert_int_eq(rig_end(&rig, &out), ERR_OK);
		ck_assert_uint_eq(find.uids_count, 1 - archived);
		if (archived == 0) {
			o = rig_load(&rig, "a", find.uids[0], &e);
			o->date[DATE_ARCHIVE] = 5;
			ck_assert_int_eq(rig_update(&rig, o), ERR_OK);
		}
	}
}
END_TEST

/* So many objects that to bring them to another schema is worth a word. */
static void
make_many(void)
{
	char text[256];

	make_files();
	for (char round = 'a'; round <= 'm'; round++) {
		snprintf(text, sizeof(text),
		    "CREATE TEMP TABLE more AS SELECT * FROM objects;"
		    "UPDATE more SET id = NULL, uid = uid || '%c';"
		    "INSERT INTO objects SELECT * FROM more", round);
		sql("ledger.db", text);
	}
}

static pid_t
spawn_on_schema_2(void *arg, int fd, enum store_part part)
{
	if (part == STORE_WRITER)
		sql("ledger.db", UNDO_3 "PRAGMA user_version = 2");
	return rig_fork_child(arg, fd, part);
}

/* A start that takes long says so while it does, and any other says nothing. */
START_TEST(test_long_migration)
{
	make_many();
	rig_start(&rig);
	rig_stop(&rig);
	ck_assert_int_eq(rig.migrating, 0);
	rig.spawn = spawn_on_schema_2;
	rig_start(&rig);
	ck_assert_int_ge(rig.migrating, 1);
	ck_assert_int_eq(rig_create(&rig, rig_object(&rig, "a", "another")), ERR_OK);
}
END_TEST

/* Nobody waits with a time of his own for a child that is started anew; it comes all the same. */
START_TEST(test_long_migration_at_a_restart)
{
	int told;

	make_many();
	rig.spawn = spawn_on_schema_2;
	rig_start(&rig);
	told = rig.migrating;
	ck_assert_int_eq(kill(store_pid(rig.store), SIGKILL), 0);
	while (rig.restarted == 0)
		loop_turn(rig.loop, true);
	ck_assert_int_eq(rig.refused, 0);
	ck_assert_int_eq(rig.ended, 1);
	ck_assert_int_eq(rig.migrating, told);
}
END_TEST

START_TEST(test_foreign_database)
{
	sql("ledger.db", "CREATE TABLE theirs (a)");
	ck_assert_int_eq(rig_try_start(&rig, &why), ERR_SCHEMA);
	ck_assert_ptr_nonnull(strstr(why, "another program"));
}
END_TEST

START_TEST(test_not_a_database)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/ledger.db", rig.state);
	f = fopen(path, "w");
	for (int i = 0; i < 8192; i++)
		fputc('x', f);
	fclose(f);
	ck_assert_int_eq(rig_try_start(&rig, &why), ERR_CORRUPT);
	ck_assert_uint_gt(strlen(why), 10);
}
END_TEST

START_TEST(test_damaged)
{
	char path[128], junk[4096];
	int fd;

	make_files();
	snprintf(path, sizeof(path), "%s/ledger.db", rig.state);
	memset(junk, 0x77, sizeof(junk));
	fd = open(path, O_WRONLY);
	ck_assert_int_eq(pwrite(fd, junk, sizeof(junk), 4096), (ssize_t)sizeof(junk));
	close(fd);
	ck_assert_int_eq(rig_try_start(&rig, &why), ERR_CORRUPT);
	ck_assert_ptr_nonnull(strstr(why, "damaged"));
}
END_TEST

START_TEST(test_directory_mode)
{
	chmod(rig.state, 0750);
	ck_assert_int_eq(rig_try_start(&rig, &why), ERR_STORAGE);
	ck_assert_ptr_nonnull(strstr(why, "chmod 0700"));
	chmod(rig.state, 0700);
	strcat(rig.state, "x");
	ck_assert_int_eq(rig_try_start(&rig, &why), ERR_STORAGE);
	ck_assert_ptr_nonnull(strstr(why, "does not exist"));
}
END_TEST

START_TEST(test_settings)
{
	static const struct {
		const char *pragma;
		int64_t want;
	} settings[] = {{"PRAGMA synchronous", 2}, {"PRAGMA secure_delete", 1},
	    {"PRAGMA foreign_keys", 1}, {"PRAGMA busy_timeout", 1000}, {"PRAGMA user_version", 3}};
	sqlite3_stmt *st;
	struct db db;
	bool row;

	open_ready(&db, &db_ledger_schema);
	for (size_t i = 0; i < sizeof(settings) / sizeof(*settings); i++) {
		st = db_prepare(&db, settings[i].pragma);
		ck_assert_int_eq(db_step(&db, st, &row), ERR_OK);
		ck_assert(row);
		ck_assert_int_eq(sqlite3_column_int64(st, 0), settings[i].want);
		sqlite3_finalize(st);
	}
	st = db_prepare(&db, "PRAGMA journal_mode");
	ck_assert_int_eq(db_step(&db, st, &row), ERR_OK);
	ck_assert_str_eq((const char *)sqlite3_column_text(st, 0), "wal");
	sqlite3_finalize(st);
	for (unsigned i = 0; i < db_ledger_schema.sql_count; i++)
		ck_assert_msg(db_stmt(&db, i) != NULL, "statement %u", i);
	db_close(&db);
}
END_TEST

static int errno_of_writes;

static ssize_t
refuse_write(void)
{
	errno = errno_of_writes;
	return -1;
}

/* SQLite's own way of writing files; NULL: as before. */
static void
replace_writes(sqlite3_syscall_ptr call)
{
	static const char *const names[] = {"write", "pwrite", "pwrite64"};
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		ck_assert_int_eq(vfs->xSetSystemCall(vfs, names[i], call), SQLITE_OK);
}

/* A full disk or quota undoes the group, and no more; whatever else keeps a write away breaks the file. */
START_TEST(test_refused_writes)
{
	static const struct {
		int refusal;
		enum err want;
	} cases[] = {{ENOSPC, ERR_STORAGE_FULL}, {EDQUOT, ERR_STORAGE_FULL}, {ENOSPC, ERR_STORAGE_FULL},
	    {EIO, ERR_STORAGE}};
	struct db db;

	open_ready(&db, &db_ledger_schema);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		errno_of_writes = cases[i].refusal;
		replace_writes((sqlite3_syscall_ptr)refuse_write);
		ck_assert_int_eq(db_group_begin(&db), ERR_OK);
		ck_assert_int_eq(db_ledger_note_backup(&db, 1, 1), ERR_OK);
		ck_assert_int_eq(db_group_commit(&db), cases[i].want);
		ck_assert(db.failed == (cases[i].want == ERR_STORAGE));
		replace_writes(NULL);
		ck_assert_int_eq(db_group_begin(&db), ERR_OK);
		ck_assert_int_eq(db_ledger_note_backup(&db, 1, 1), ERR_OK);
		ck_assert_int_eq(db_group_commit(&db), ERR_OK);
	}
	db_close(&db);
}
END_TEST

/* Has the writer's lock of the ledger's log until its input ends, and says so. */
static pid_t
spawn_holder(int said, int ends)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 120, .l_len = 1};
	char path[128], c = 0;
	pid_t pid = fork();
	int fd;

	if (pid != 0)
		return pid;
	close(holder.gate);
	snprintf(path, sizeof(path), "%s/ledger.db-shm", rig.state);
	fd = open(path, O_RDWR);
	if (fcntl(fd, F_SETLK, &lock) != 0 || write(said, &c, 1) != 1 || read(ends, &c, 1) != 0)
		_exit(1);
	_exit(0);
}

/* SQLite's, while it waits for a lock. */
static int
let_go(sqlite3_vfs *vfs, int us)
{
	int status;

	(void)vfs;
	if (holder.slept++ == 0) {
		close(holder.gate);
		ck_assert_int_eq(waitpid(holder.pid, &status, 0), holder.pid);
		ck_assert_int_eq(status, 0);
	}
	return us;
}

/* A reader that looks for the end of the log has the writer's lock for a moment: no change fails by it. */
START_TEST(test_waits_for_a_reader)
{
	sqlite3_vfs vfs = *sqlite3_vfs_find(NULL);
	int said[2], ends[2];
	struct db db;
	char c;

	vfs.zName = "patient";
	vfs.xSleep = let_go;
	ck_assert_int_eq(sqlite3_vfs_register(&vfs, 0), SQLITE_OK);
	ck_assert_int_eq(db_open(&db, &db_ledger_schema, rig.state, "patient", &why), ERR_OK);
	ck_assert_int_eq(db_make_ready(&db, NULL, &why), ERR_OK);
	ck_assert(pipe(said) == 0 && pipe(ends) == 0);
	holder.gate = ends[1];
	holder.pid = spawn_holder(said[1], ends[0]);
	ck_assert_int_eq(read(said[0], &c, 1), 1);
	ck_assert_int_eq(db_group_begin(&db), ERR_OK);
	ck_assert_int_ge(holder.slept, 1);
	ck_assert_int_eq(db_group_commit(&db), ERR_OK);
	db_close(&db);
	sqlite3_vfs_unregister(&vfs);
	close(said[0]);
	close(said[1]);
	close(ends[0]);
}
END_TEST

/* What a plan says about a statement must not have "SCAN". */
static void
no_scan(struct db *db, const char *text)
{
	char explain[2048];
	sqlite3_stmt *st;
	bool row;

	snprintf(explain, sizeof(explain), "EXPLAIN QUERY PLAN %s", text);
	st = db_prepare(db, explain);
	ck_assert_ptr_nonnull(st);
	while (db_step(db, st, &row) == ERR_OK && row) {
		const char *detail = (const char *)sqlite3_column_text(st, 3);

		ck_assert_msg(strstr(detail, "SCAN") == NULL, "%s: %s", text, detail);
	}
	sqlite3_finalize(st);
}

START_TEST(test_no_scans)
{
	struct db db;

	open_ready(&db, &db_ledger_schema);
	for (unsigned i = 0; i < db_ledger_schema.sql_count; i++)
		if (strstr(db_ledger_schema.sql[i], "WHERE") != NULL)
			no_scan(&db, db_ledger_schema.sql[i]);
	no_scan(&db, "SELECT o.uid FROM attrs a CROSS JOIN objects o ON o.id = a.object WHERE"
		     " a.tenant = 'a' AND a.key = x'00' AND o.tenant = 'a'");
	no_scan(&db, "SELECT o.uid FROM objects o WHERE o.tenant = 'a' AND o.state BETWEEN 1 AND 2");
	no_scan(&db, "SELECT o.uid FROM objects o WHERE o.tenant = 'a' AND o.type = 2");
	no_scan(&db, "SELECT o.uid FROM objects o WHERE o.tenant = 'a' AND (SELECT"
		     " max(coalesce(u.time, 0), u.since) FROM uses u WHERE u.object = o.id) <= 1");
	no_scan(&db, "SELECT o.uid FROM objects o WHERE o.tenant = 'a' AND o.uid = 'u'");
	no_scan(&db, "SELECT o.uid FROM objects o WHERE o.tenant = 'a' AND o.state NOT IN (5, 6)"
		     " AND (o.date_archive IS NOT NULL)");
	db_close(&db);
}
END_TEST

/* A message's savepoint undoes its part of the group and nothing else. */
START_TEST(test_savepoints)
{
	struct db db;
	sqlite3_stmt *st;
	bool row;

	open_ready(&db, &db_vault_schema);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(db_group_begin(&db), ERR_OK);
		ck_assert_int_eq(db_message_begin(&db), ERR_OK);
		st = db_prepare(&db, "INSERT INTO records VALUES ('t', ?1, x'00')");
		sqlite3_bind_int(st, 1, i);
		ck_assert_int_eq(db_run(&db, st), ERR_OK);
		sqlite3_finalize(st);
		ck_assert_int_eq(db_message_end(&db, i != 1), ERR_OK);
	}
	ck_assert_int_eq(db_group_commit(&db), ERR_OK);
	db_close(&db);
	open_ready(&db, &db_vault_schema);
	st = db_prepare(&db, "SELECT group_concat(uid) FROM records");
	ck_assert_int_eq(db_step(&db, st, &row), ERR_OK);
	ck_assert_str_eq((const char *)sqlite3_column_text(st, 0), "0,2");
	sqlite3_finalize(st);
	db_close(&db);
}
END_TEST

static struct object *
make_big(void)
{
	struct object *o = rig_object(&rig, "a", NULL);

	rig_pad(&rig, o);
	ck_assert_int_eq(rig_create(&rig, o), ERR_OK);
	o->revision = 1;
	return o;
}

/* Each allocation fails once, until there are no more. */
static void
fail_allocations(struct db *db, enum err (*call)(struct db *, struct unpack *, struct buf *),
    const struct buf *body)
{
	enum err e = ERR_NO_MEMORY;
	struct unpack u;

	for (unsigned n = 0; e == ERR_NO_MEMORY; n++) {
		unpack_init(&u, body->data, body->len);
		ck_assert_int_eq(db_group_begin(db), ERR_OK);
		fault_test_arm(FAULT_ALLOC, n, 1);
		e = call(db, &u, NULL);
		fault_test_clear();
		db_group_rollback(db);
	}
	ck_assert_int_eq(e, ERR_OK);
}

/* A row, or a change, that could not be read for want of memory is none that is damaged. */
START_TEST(test_changes_without_memory)
{
	struct change update = {.kind = CHANGE_UPDATE}, destroy = {.kind = CHANGE_DESTROY};
	struct ledger_changes changed = {.changes = &update, .count = 1},
			      begun = {.changes = &destroy, .count = 1};
	struct buf body;
	struct db db;

	rig_start(&rig);
	update.object = make_big();
	destroy.object = make_big();
	ck_assert_int_eq(rig_prepare(&rig, &begun), ERR_OK);
	rig_stop(&rig);
	open_ready(&db, &db_ledger_schema);
	buf_init(&body, 1 << 20);
	wire_pack_changes(&body, &changed);
	fail_allocations(&db, db_ledger_commit, &body);
	buf_reset(&body);
	pack_text(&body, "a");
	pack_text(&body, destroy.object->uid);
	pack_u64(&body, begun.owner);
	pack_u8(&body, true);
	pack_u64(&body, 1760000000);
	fail_allocations(&db, db_ledger_settle, &body);
	buf_fini(&body);
	db_close(&db);
}
END_TEST

/* What SQLite asks for comes from our allocator, and it takes a refusal without a crash. */
START_TEST(test_memory)
{
	sqlite3 *h = NULL;

	ck_assert_int_eq(sqlite3_shutdown(), SQLITE_OK);
	ck_assert_int_eq(store_memory_install(), ERR_OK);
	ck_assert_int_eq(sqlite3_initialize(), SQLITE_OK);
	ck_assert_int_eq(store_memory_install(), ERR_INTERNAL);
	fault_test_arm(FAULT_ALLOC, 0, 1000);
	ck_assert_int_ne(sqlite3_open(":memory:", &h), SQLITE_OK);
	sqlite3_close(h);
	fault_test_clear();
	ck_assert_int_eq(sqlite3_open(":memory:", &h), SQLITE_OK);
	for (unsigned n = 0; n < 200; n++) {
		fault_test_arm(FAULT_ALLOC, n, 1);
		(void)sqlite3_exec(h, "CREATE TABLE IF NOT EXISTS t (a TEXT);"
				      "INSERT INTO t VALUES (hex(randomblob(3000)))",
		    NULL, NULL, NULL);
	}
	fault_test_clear();
	ck_assert_int_eq(sqlite3_exec(h, "SELECT count(*) FROM t", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(h);
}
END_TEST

static unsigned reads_left; /* before one fails */

static ssize_t
failing_pread(int fd, void *to, size_t len, off_t at)
{
	if (reads_left-- > 0)
		return pread(fd, to, len, at);
	errno = EIO;
	return -1;
}

static void
fail_read(unsigned n)
{
	static const char *const names[] = {"pread", "pread64"};
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);

	reads_left = n;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		ck_assert_int_eq(
		    vfs->xSetSystemCall(vfs, names[i], (sqlite3_syscall_ptr)failing_pread), SQLITE_OK);
}

static void
fail_allocation(unsigned n)
{
	fault_test_arm(FAULT_ALLOC, n, 1);
}

static void
fail_nothing(void)
{
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);

	fault_test_clear();
	ck_assert_int_eq(vfs->xSetSystemCall(vfs, "pread", NULL), SQLITE_OK);
	ck_assert_int_eq(vfs->xSetSystemCall(vfs, "pread64", NULL), SQLITE_OK);
}

static enum err
try_start(struct db *db)
{
	enum err e = db_open(db, &db_ledger_schema, rig.state, NULL, &why);

	return e == ERR_OK ? db_make_ready(db, NULL, &why) : e;
}

static enum err
try_copy(struct db *db)
{
	return db_open_copy(db, &db_ledger_schema, rig.state, &why);
}

/* Each call fails once; when many that would have failed were not made there are no more. */
static void
is_never_damaged(enum err (*try)(struct db *), void (*arm)(unsigned n))
{
	struct db db;
	enum err e;

	for (unsigned n = 0, good = 0; good < 30; n++) {
		arm(n);
		e = try(&db);
		fail_nothing();
		if (db.h != NULL)
			db_close(&db);
		good = e == ERR_OK ? good + 1 : 0;
		ck_assert_msg(e != ERR_CORRUPT, "%u: %s", n, why);
		ck_assert_msg(e == ERR_OK || strstr(why, "restore") == NULL, "%u: %s", n, why);
		ck_assert_msg(e == ERR_OK || strstr(why, "is damaged") == NULL, "%u: %s", n, why);
	}
}

/* A check that finds no memory, or a disk that does not read, has found no damage. */
START_TEST(test_unchecked_is_not_damaged)
{
	rig_start(&rig);
	for (int i = 0; i < 20; i++) /* more pages than SQLite has room for from the beginning */
		make_big();
	rig_stop(&rig);
	sql("ledger.db", "CREATE TABLE gone AS SELECT randomblob(20000); DROP TABLE gone");
	ck_assert_int_eq(sqlite3_shutdown(), SQLITE_OK);
	ck_assert_int_eq(store_memory_install(), ERR_OK);
	is_never_damaged(try_start, fail_read);
	is_never_damaged(try_start, fail_allocation);
	is_never_damaged(try_copy, fail_read);
	is_never_damaged(try_copy, fail_allocation);
}
END_TEST

static void
limit_files(rlim_t size)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = size;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* The linker has disk.c call this in the place of posix_fadvise(), by the name that it has with 64-bit offsets. */

int __wrap_posix_fadvise64(int fd, off_t offset, off_t len, int advice);

static char forgotten[128];

int
__wrap_posix_fadvise64(int fd, off_t offset, off_t len, int advice)
{
	char link[64];
	ssize_t n;

	ck_assert(offset == 0 && len == 0 && advice == POSIX_FADV_DONTNEED);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, forgotten, sizeof(forgotten) - 1);
	ck_assert_int_gt(n, 0);
	forgotten[n] = '\0';
	return 0;
}

/* What memory alone has of the log may leave it while a reader's index names it. */
START_TEST(test_reader_takes_the_log_from_the_disk)
{
	char log[128];
	struct db db;

	rig_start(&rig);
	snprintf(log, sizeof(log), "%s/ledger.db-wal", rig.state);
	ck_assert_int_eq(db_open_to_read(&db, &db_ledger_schema, rig.state, NULL, &why), ERR_OK);
	ck_assert_str_eq(forgotten, log);
	db_close(&db);
	rig_stop(&rig);
}
END_TEST

/* Where the log's index cannot be made on the disk, either, what only the log has is read all the same. */
START_TEST(test_read_without_writing)
{
	void (*before)(int) = signal(SIGXFSZ, SIG_IGN);
	sqlite3_stmt *st;
	struct db db;
	enum err e;
	bool row;

	rig_start(&rig);
	ck_assert_int_eq(rig_create(&rig, rig_object(&rig, "a", "n")), ERR_OK);
	ck_assert_int_eq(kill(store_reader_pid(rig.store), SIGKILL), 0);
	ck_assert_int_eq(kill(store_pid(rig.store), SIGKILL), 0);
	rig_stop(&rig);
	limit_files(0);
	e = db_open_to_read(&db, &db_ledger_schema, rig.state, NULL, &why);
	limit_files(RLIM_INFINITY);
	ck_assert_int_eq(e, ERR_OK);
	st = db_prepare(&db, "SELECT 1 FROM objects");
	ck_assert_ptr_nonnull(st);
	ck_assert_int_eq(db_step(&db, st, &row), ERR_OK);
	ck_assert(row);
	sqlite3_finalize(st);
	db_close(&db);
	signal(SIGXFSZ, before);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("db");
	TCase *t = tcase_create("db");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_no_memory_for_a_handle);
	tcase_add_test(t, test_newer_schema);
	tcase_add_test(t, test_other_tables);
	tcase_add_test(t, test_schema_1);
	tcase_add_test(t, test_schema_2);
	tcase_add_test(t, test_long_migration);
	tcase_add_test(t, test_long_migration_at_a_restart);
	tcase_add_test(t, test_foreign_database);
	tcase_add_test(t, test_not_a_database);
	tcase_add_test(t, test_damaged);
	tcase_add_test(t, test_directory_mode);
	tcase_add_test(t, test_settings);
	tcase_add_test(t, test_refused_writes);
	tcase_add_test(t, test_waits_for_a_reader);
	tcase_add_test(t, test_reader_takes_the_log_from_the_disk);
	tcase_add_test(t, test_read_without_writing);
	tcase_add_test(t, test_no_scans);
	tcase_add_test(t, test_savepoints);
	tcase_add_test(t, test_changes_without_memory);
	tcase_add_test(t, test_memory);
	tcase_add_test(t, test_unchecked_is_not_damaged);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
