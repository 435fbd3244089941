/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What finding costs: no statement scans a table or sorts more than the few that an attribute led
 * to, no step takes more than so many of SQLite's instructions, and what has an index costs the
 * same however many objects there are.
 *
 * KEYFERRY_LONG=1: a table of what each question costs among 1,000 objects and among 1,000,000.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <check.h>

#include "attr_key.h"
#include "base/arena.h"
#include "base/clock.h"
#include "db_find.h"
#include "db_ledger.h"
#include "rig.h"
#include "store_finds.h"
#include "wire.h"

enum { FEW = 1000, MANY = 10000, MILLION = 1000000, PLANS_MAX = 32, SQL_LEN = 20000, GRAIN = 10,
	STEP_MAX = 400000,  /* instructions: a step of 2,048 rows with several terms */
	INDEXED_MAX = 20000 };

static struct rig rig;
static struct db db;
static struct arena *arena;
static char plans[PLANS_MAX][SQL_LEN];
static unsigned plans_count;
static uint64_t instructions;
static unsigned steps;
static double longest; /* step, in ms of CPU */

static int
note_instructions(void *user)
{
	(void)user;
	instructions += GRAIN;
	return 0;
}

static int
note_statement(unsigned what, void *user, void *st, void *text)
{
	(void)user, (void)st;
	if (what == SQLITE_TRACE_STMT && plans_count < PLANS_MAX)
		snprintf(plans[plans_count++], SQL_LEN, "%s", (const char *)text);
	return 0;
}

static void
run_sql(const char *text)
{
	ck_assert_msg(sqlite3_exec(db.h, text, NULL, NULL, NULL) == SQLITE_OK, "%s: %s", text,
	    sqlite3_errmsg(db.h));
}

static void
put_attr(sqlite3_stmt *st, const char *tenant, int object, const char *name, const char *value)
{
	uint8_t key[ATTR_KEY_LEN];

	ck_assert_int_eq(attr_key(name, value, strlen(value), key), ERR_OK);
	db_bind_text(st, 1, tenant);
	sqlite3_bind_blob(st, 2, key, sizeof(key), SQLITE_STATIC);
	sqlite3_bind_int(st, 3, object);
	ck_assert_int_eq(db_run(&db, st), ERR_OK);
}

/* Objects first, then their attributes; every tenth belongs to another tenant. */
static void
fill(int count)
{
	sqlite3_stmt *st;
	char text[1024], value[32];

	run_sql("BEGIN");
	snprintf(text, sizeof(text),
	    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)"
	    " INSERT INTO objects (id, tenant, uid, revision, type, state, algorithm, length,"
	    " usage_mask, revocation, date_initial, date_activation, date_archive, body)"
	    " SELECT i, CASE i %% 10 WHEN 0 THEN 'b' ELSE 'a' END, printf('uid-%%08d', i), 1,"
	    " CASE i %% 1000 WHEN 7 THEN 7 ELSE 2 END,"
	    " CASE i %% 500 WHEN 3 THEN %d WHEN 4 THEN %d ELSE %d END, 3, 256, 12, 0, 1000 + i,"
	    " CASE i %% 500 WHEN 4 THEN NULL ELSE 1000 END,"
	    " CASE i %% 500 WHEN 5 THEN 2000 ELSE NULL END, zeroblob(300) FROM n", count,
	    OBJECT_COMPROMISED, OBJECT_PRE_ACTIVE, OBJECT_ACTIVE);
	run_sql(text);
	st = db_prepare(&db, "INSERT INTO attrs (tenant, key, object) VALUES (?1, ?2, ?3)");
	ck_assert_ptr_nonnull(st);
	for (int i = 1; i <= count; i++) {
		const char *tenant = i % 10 == 0 ? "b" : "a";

		snprintf(value, sizeof(value), "key %d", i);
		put_attr(st, tenant, i, "Name", value);
		put_attr(st, tenant, i, "x-all", "same");
		put_attr(st, tenant, i, "Application Specific Information", value);
		if (i <= 100)
			put_attr(st, tenant, i, "Object Group", "hundred");
	}
	sqlite3_finalize(st);
	run_sql("COMMIT");
	sqlite3_progress_handler(db.h, GRAIN, note_instructions, NULL);
	sqlite3_trace_v2(db.h, SQLITE_TRACE_STMT, note_statement, NULL);
}

static void
setup(void)
{
	const char *why;

	rig_init(&rig);
	arena = arena_new(1024 * 1024);
	ck_assert_int_eq(db_open(&db, &db_ledger_schema, rig.state, NULL, &why), ERR_OK);
	ck_assert_int_eq(db_make_ready(&db, NULL, &why), ERR_OK);
}

static void
teardown(void)
{
	db_close(&db);
	arena_free(arena);
	rig_fini(&rig);
}

enum { TERMS = 40 };

/* One question. */
struct question {
	const char *what;
	struct ledger_term terms[TERMS];
	size_t count;
	uint32_t offset, max;
	bool total;
	uint32_t listed;   /* as many are found, of FEW and of MANY */
	const char *index; /* that one leads; NULL: not said */
	bool indexed;	   /* it costs the same for any number of objects */
};

#define ATTR(n, v) {.field = FIELD_ATTR, .name = (n), .value = (const uint8_t *)(v), \
	.value_len = sizeof(v) - 1}
#define NUMBER(f, m, n) {.field = (f), .match = (m), .number = (n)}

/* CPU time. */
static double
ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static const struct question questions[] = {
    {"name", {ATTR("Name", "key 11")}, 1, 0, 0, false, 1, "PRIMARY KEY", true},
    {"a name of another tenant", {ATTR("Name", "key 10")}, 1, 0, 0, false, 0, "PRIMARY KEY", true},
    {"no such name", {ATTR("Name", "nobody")}, 1, 0, 0, true, 0, "PRIMARY KEY", true},
    {"state and name",
	{NUMBER(FIELD_STATE, MATCH_EQUAL, OBJECT_ACTIVE), ATTR("Name", "key 11")}, 2, 0, 0, false,
	1, "PRIMARY KEY", true},
    {"x- that all have, and a name", {ATTR("x-all", "same"), ATTR("Name", "key 11")}, 2, 0, 0,
	false, 1, "PRIMARY KEY", false},
    {"x- that all have, ten", {ATTR("x-all", "same")}, 1, 0, 10, false, 10, NULL, false},
    {"group", {ATTR("Object Group", "hundred")}, 1, 0, 0, false, 90, "PRIMARY KEY", true},
    {"group, a page", {ATTR("Object Group", "hundred")}, 1, 20, 10, true, 10, "PRIMARY KEY", true},
    {"group and type",
	{NUMBER(FIELD_TYPE, MATCH_EQUAL, 2), ATTR("Object Group", "hundred")}, 2, 0, 5, false, 5,
	"PRIMARY KEY", true},
    {"application specific", {ATTR("Application Specific Information", "key 21")}, 1, 0, 0, false,
	1, "PRIMARY KEY", true},
    {"the newest ten", {{0}}, 0, 0, 10, false, 10, "objects_newest", true},
    {"active, ten", {NUMBER(FIELD_STATE, MATCH_EQUAL, OBJECT_ACTIVE)}, 1, 0, 10, false, 10,
	"objects_newest", true},
    {"compromised, two", {NUMBER(FIELD_STATE, MATCH_EQUAL, OBJECT_COMPROMISED)}, 1, 0, 2, false, 2,
	"objects_state", true},
    {"pre-active, two", {NUMBER(FIELD_STATE, MATCH_EQUAL, OBJECT_PRE_ACTIVE)}, 1, 0, 2, false, 2,
	"objects_state", true},
    {"secret data, one", {NUMBER(FIELD_TYPE, MATCH_EQUAL, 7)}, 1, 0, 1, false, 1, "objects_type",
	true},
    {"no template, ten", {NUMBER(FIELD_TYPE, MATCH_NOT, 6)}, 1, 0, 10, false, 10,
	"objects_newest", true},
    {"uid", {{.field = FIELD_UID, .name = "uid-00000011"}}, 1, 0, 0, true, 1, "uid=?", true},
    {"dates alone",
	{NUMBER(FIELD_DATE + DATE_DEACTIVATION, MATCH_AT_LEAST, 5),
	    NUMBER(FIELD_DATE + DATE_DEACTIVATION, MATCH_AT_MOST, 6)}, 2, 0, 10, false, 0,
	"objects_newest", false},
    {"an algorithm that none has", {NUMBER(FIELD_ALGORITHM, MATCH_EQUAL, 99)}, 1, 0, 10, true, 0,
	"objects_newest", false},
    {"archived, two", {{0}}, 0, 0, 2, false, 2, "objects_archived", true},
    {"not that group", {{.field = FIELD_ATTR, .match = MATCH_NOT, .name = "x-all",
	.value = (const uint8_t *)"same", .value_len = 4}}, 1, 0, 10, false, 0, "objects_newest",
	false},
};
enum { QUESTIONS = sizeof(questions) / sizeof(questions[0]) };

/* Asks, and returns the instructions that it took; no step takes too many. */
static uint64_t
ask(const struct question *q, struct buf *answer)
{
	struct ledger_find wanted = {.tenant = "a", .terms = q->terms, .terms_count = q->count,
	    .offset = q->offset, .max = q->max, .no_total = !q->total, .now = 5000,
	    .no_online = q->index != NULL && strcmp(q->index, "objects_archived") == 0};
	struct db_find *f;
	struct buf body;
	struct unpack u;
	uint64_t all = 0;
	double began;
	enum err e;
	bool more;

	buf_init(&body, WIRE_FRAME_MAX);
	wire_pack_find(&body, &wanted);
	unpack_init(&u, body.data, body.len);
	ck_assert_int_eq(db_find_new(&f, &u), ERR_OK);
	plans_count = steps = 0;
	longest = 0;
	do {
		began = ms();
		instructions = 0;
		more = steps++ == 0 ? db_find_begin(&db, f, &e) : db_find_step(&db, f, &e);
		ck_assert_int_eq(e, ERR_OK);
		ck_assert_msg(instructions <= STEP_MAX, "%s: %llu in a step", q->what,
		    (unsigned long long)instructions);
		all += instructions;
		if (ms() - began > longest)
			longest = ms() - began;
	} while (more);
	db_find_put(f, answer);
	db_find_free(f);
	buf_fini(&body);
	return all;
}

static uint32_t
listed(const struct buf *answer, uint64_t *total)
{
	struct unpack u;

	unpack_init(&u, answer->data, answer->len);
	*total = unpack_u64(&u);
	return unpack_u32(&u);
}

static uint64_t
ask_right(const struct question *q)
{
	struct buf answer;
	uint64_t all, total;

	buf_init(&answer, WIRE_FRAME_MAX);
	all = ask(q, &answer);
	ck_assert_msg(listed(&answer, &total) == q->listed, "%s", q->what);
	if (q->total && q->max == 10 && q->offset == 20)
		ck_assert_uint_eq(total, 90);
	buf_fini(&answer);
	return all;
}

/* The plan of each statement that was run. */
static void
check_plans(const struct question *q)
{
	bool seen = q->index == NULL;
	unsigned count = plans_count;

	ck_assert_uint_gt(count, 0);
	for (unsigned i = 0; i < count; i++) {
		char text[SQL_LEN + 32];
		sqlite3_stmt *st;

		snprintf(text, sizeof(text), "EXPLAIN QUERY PLAN %.*s", SQL_LEN, plans[i]);
		st = db_prepare(&db, text);
		ck_assert_msg(st != NULL, "%s", plans[i]);
		while (sqlite3_step(st) == SQLITE_ROW) {
			const char *step = (const char *)sqlite3_column_text(st, 3);
			bool counted = strncmp(step, "SCAN (subquery", 14) == 0;

			ck_assert_msg(strncmp(step, "SCAN", 4) != 0 || counted, "%s: %s: %s",
			    q->what, step, plans[i]);
			if (strstr(plans[i], "LIMIT") != NULL)
				ck_assert_msg(strstr(step, "TEMP B-TREE") == NULL, "%s: %s",
				    q->what, step);
			seen = seen || strstr(step, q->index) != NULL;
		}
		sqlite3_finalize(st);
	}
	ck_assert_msg(seen, "%s does not use %s", q->what, q->index);
}

START_TEST(no_scan)
{
	fill(FEW);
	for (size_t i = 0; i < QUESTIONS; i++) {
		ask_right(&questions[i]);
		check_plans(&questions[i]);
	}
}
END_TEST

/* Beside that, what has no index takes steps, each of them short. */
START_TEST(as_cheap_among_many)
{
	uint64_t few[QUESTIONS];

	fill(FEW);
	for (size_t i = 0; i < QUESTIONS; i++)
		few[i] = ask_right(&questions[i]);
	run_sql("DELETE FROM objects; DELETE FROM attrs");
	fill(MANY);
	for (size_t i = 0; i < QUESTIONS; i++) {
		uint64_t many = ask_right(&questions[i]);

		if (questions[i].indexed) {
			ck_assert_msg(many <= few[i] + few[i] / 10 + 100, "%s: %llu, not %llu",
			    questions[i].what, (unsigned long long)many,
			    (unsigned long long)few[i]);
			ck_assert_uint_le(many, INDEXED_MAX);
			ck_assert_uint_eq(steps, 1);
		}
		if (questions[i].listed == 0 && !questions[i].indexed)
			ck_assert_uint_gt(steps, MANY / 10 * 9 / 2048);
	}
}
END_TEST

/* Steps are as short for a question of many attributes, and what is said again costs nothing. */
START_TEST(many_attributes)
{
	struct question q = questions[QUESTIONS - 1];
	char names[TERMS][16];
	uint64_t once;

	fill(MANY);
	for (size_t i = 0; i < TERMS; i++) {
		snprintf(names[i], sizeof(names[i]), "x-not-%zu", i);
		q.terms[i] = q.terms[0];
		q.terms[i].name = i == 0 ? "x-all" : names[i];
	}
	q.count = TERMS;
	ask_right(&q);
	ck_assert_uint_gt(steps, MANY / 10 * 9 / 2048 * 10);
	q.count = 1;
	once = ask_right(&q);
	for (size_t i = 1; i < TERMS; i++)
		q.terms[i] = q.terms[0];
	q.count = TERMS;
	ck_assert_uint_eq(ask_right(&q), once);
}
END_TEST

/* As many as there may be, done in turn: each is answered once, the first of them first. */
START_TEST(in_turn)
{
	static const struct ledger_term never = NUMBER(FIELD_ALGORITHM, MATCH_EQUAL, 99);
	const struct ledger_find wanted = {.tenant = "a", .terms = &never, .terms_count = 1};
	struct buf body, out;
	struct store_finds finds;
	struct unpack u;
	uint64_t id, last = 0;
	uint8_t status;
	unsigned rounds = 0;
	bool bad, more = true;

	fill(MANY);
	store_finds_init(&finds);
	buf_init(&body, WIRE_FRAME_MAX);
	buf_init(&out, WIRE_FRAME_MAX);
	wire_pack_find(&body, &wanted);
	for (id = 1; id <= STORE_FINDS_MAX + 1; id++) {
		unpack_init(&u, body.data, body.len);
		ck_assert_uint_eq(out.len, 0);
		store_finds_start(&finds, &db, id, &u, &out);
	}
	ck_assert_uint_ne(wire_take(out.data, out.len, &id, &status, &u, &bad), 0);
	ck_assert_uint_eq(id, STORE_FINDS_MAX + 1);
	ck_assert_int_eq(status, ERR_BUSY);
	while (more) {
		buf_reset(&out);
		instructions = 0;
		more = store_finds_step(&finds, &db, &out);
		ck_assert_uint_le(instructions, STEP_MAX);
		rounds++;
		if (out.len == 0)
			continue;
		ck_assert_uint_eq(wire_take(out.data, out.len, &id, &status, &u, &bad), out.len);
		ck_assert_int_eq(status, ERR_OK);
		ck_assert_uint_eq(id, ++last);
	}
	ck_assert_uint_eq(last, STORE_FINDS_MAX);
	ck_assert_uint_eq(rounds, STORE_FINDS_MAX * (MANY / 10 * 9 / 2048));
	store_finds_fini(&finds);
	buf_fini(&body);
	buf_fini(&out);
}
END_TEST

/* Lists that grow side by side: some end, so that the others come to theirs, and all is given back. */
START_TEST(bytes_have_a_ceiling)
{
	static const struct ledger_term all = ATTR("x-all", "same");
	const struct ledger_find wanted = {.tenant = "a", .terms = &all, .terms_count = 1};
	enum { ASKED = 10 };
	unsigned ended[2] = {0};
	struct store_finds finds;
	struct buf body, out;
	struct unpack u;
	uint64_t id;
	uint8_t status;
	bool bad, more = true;

	fill(MANY);
	store_finds_init(&finds);
	ck_assert_uint_eq(finds.bytes_max, STORE_FINDS_BYTES_MAX);
	finds.bytes_max = 640 * 1024; /* five of these lists */
	buf_init(&body, WIRE_FRAME_MAX);
	buf_init(&out, WIRE_FRAME_MAX);
	wire_pack_find(&body, &wanted);
	for (id = 1; id <= ASKED; id++) {
		unpack_init(&u, body.data, body.len);
		store_finds_start(&finds, &db, id, &u, &out);
		ck_assert_uint_eq(out.len, 0);
	}
	while (more) {
		buf_reset(&out);
		more = store_finds_step(&finds, &db, &out);
		ck_assert_uint_le(finds.bytes, finds.bytes_max);
		if (out.len == 0)
			continue;
		ck_assert_uint_eq(wire_take(out.data, out.len, &id, &status, &u, &bad), out.len);
		ck_assert(status == ERR_OK || status == ERR_BUSY);
		if (status == ERR_OK)
			ck_assert_uint_eq(unpack_u64(&u), MANY / 10 * 9);
		ended[status == ERR_BUSY]++;
	}
	ck_assert_uint_eq(ended[0] + ended[1], ASKED);
	ck_assert_uint_ge(ended[0], 3);
	ck_assert_uint_ge(ended[1], 3);
	ck_assert_uint_eq(finds.bytes, 0);
	store_finds_fini(&finds);
	buf_fini(&body);
	buf_fini(&out);
}
END_TEST

/* Those who asked have given up: the places are for others. */
START_TEST(too_old)
{
	static const struct ledger_term never = NUMBER(FIELD_ALGORITHM, MATCH_EQUAL, 99);
	const struct ledger_find wanted = {.tenant = "a", .terms = &never, .terms_count = 1};
	struct buf body, out;
	struct store_finds finds;
	struct unpack u;
	uint64_t id;
	uint8_t status;
	bool bad;

	clock_test_freeze(1760000000);
	fill(MANY);
	store_finds_init(&finds);
	buf_init(&body, WIRE_FRAME_MAX);
	buf_init(&out, WIRE_FRAME_MAX);
	wire_pack_find(&body, &wanted);
	unpack_init(&u, body.data, body.len);
	store_finds_start(&finds, &db, 7, &u, &out);
	clock_test_advance(20 * NS_PER_S);
	ck_assert(store_finds_step(&finds, &db, &out));
	ck_assert_uint_eq(out.len, 0);
	clock_test_advance(NS_PER_MS);
	ck_assert(!store_finds_step(&finds, &db, &out));
	ck_assert_uint_eq(wire_take(out.data, out.len, &id, &status, &u, &bad), out.len);
	ck_assert_uint_eq(id, 7);
	ck_assert_int_eq(status, ERR_BUSY);
	ck_assert_uint_eq(finds.count, 0);
	store_finds_fini(&finds);
	buf_fini(&body);
	buf_fini(&out);
}
END_TEST

START_TEST(a_million)
{
	uint64_t few[QUESTIONS];
	double time[QUESTIONS], began;

	fill(FEW);
	for (size_t i = 0; i < QUESTIONS; i++) {
		ask_right(&questions[i]); /* once for the pages */
		began = ms();
		few[i] = ask_right(&questions[i]);
		time[i] = ms() - began;
	}
	run_sql("DELETE FROM objects; DELETE FROM attrs; PRAGMA cache_size = -1000000");
	fill(MILLION);
	printf("%-28s %21s %21s\n%-28s %11s %9s %11s %9s %6s %12s\n", "", "1,000 objects",
	    "1,000,000 objects", "", "VM instr.", "ms", "VM instr.", "ms", "steps", "longest, ms");
	for (size_t i = 0; i < QUESTIONS; i++) {
		const struct question *q = &questions[i];
		struct buf answer;
		uint64_t many;

		buf_init(&answer, WIRE_FRAME_MAX);
		ask(q, &answer);
		buf_reset(&answer);
		began = ms();
		many = ask(q, &answer);
		began = ms() - began;
		printf("%-28s %11llu %9.3f %11llu %9.3f %6u %12.3f\n", q->what,
		    (unsigned long long)few[i], time[i], (unsigned long long)many, began, steps,
		    longest);
		if (q->indexed)
			ck_assert_msg(many <= few[i] + few[i] / 10 + 100, "%s", q->what);
		buf_fini(&answer);
	}
	fflush(stdout);
}
END_TEST

/* Page by page it is the same list, with and without a total, over the ends of steps. */
START_TEST(pages)
{
	struct question q = {"pages", {ATTR("x-all", "same")}, 1, 0, 0, true, 0, NULL, false};
	struct buf all, page, joined;
	uint64_t total, of_page;
	struct unpack u;

	fill(MANY);
	buf_init(&all, WIRE_FRAME_MAX);
	buf_init(&joined, WIRE_FRAME_MAX);
	ask(&q, &all);
	ck_assert_uint_eq(listed(&all, &total), MANY / 10 * 9);
	ck_assert_uint_eq(total, MANY / 10 * 9);
	for (q.max = 4999; q.offset < total; q.offset += q.max) {
		buf_init(&page, WIRE_FRAME_MAX);
		q.total = q.offset != q.max;
		ask(&q, &page);
		listed(&page, &of_page);
		if (q.total)
			ck_assert_uint_eq(of_page, total);
		unpack_init(&u, page.data, page.len);
		unpack_u64(&u);
		unpack_u32(&u);
		buf_put(&joined, u.p, (size_t)(page.data + page.len - u.p));
		buf_fini(&page);
	}
	unpack_init(&u, all.data, all.len);
	unpack_u64(&u);
	unpack_u32(&u);
	ck_assert_uint_eq(joined.len, (size_t)(all.data + all.len - u.p));
	ck_assert_mem_eq(joined.data, u.p, joined.len);
	buf_fini(&all);
	buf_fini(&joined);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("locate");
	TCase *tc = tcase_create("cost");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, no_scan);
	tcase_add_test(tc, as_cheap_among_many);
	tcase_add_test(tc, pages);
	tcase_add_test(tc, many_attributes);
	tcase_add_test(tc, in_turn);
	tcase_add_test(tc, bytes_have_a_ceiling);
	tcase_add_test(tc, too_old);
	suite_add_tcase(s, tc);
	if (getenv("KEYFERRY_LONG") != NULL) {
		tc = tcase_create("long");
		tcase_set_timeout(tc, 3600);
		tcase_add_checked_fixture(tc, setup, teardown);
		tcase_add_test(tc, a_million);
		suite_add_tcase(s, tc);
	}
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
