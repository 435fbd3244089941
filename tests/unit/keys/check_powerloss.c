/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Power loss: random histories on a disk that forgets what was not synced.  Whatever was
 * acknowledged is there afterwards, byte for byte; whatever was not is there wholly or not at all.  In half
 * of them a sync fails first.  Beside them clients read, of both children's answers either may come first:
 * no read tells less than was acknowledged by then.
 *
 * KEYFERRY_LONG=1: 1,000 points; KEYFERRY_SEED=n: the first one, to replay it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <check.h>

#include "base/secret.h"
#include "children.h"
#include "crash_vfs.h"
#include "job.h"

enum { CLIENTS = 4, KEYS_EACH = 12, ROUNDS_MAX = 400, CUTS = 3, POINTS = 60, POINTS_LONG = 1000, READS = 8 };

/* A key as the client knows it: acknowledged, and what it asked for last. */
struct known {
	struct object *acked; /* NULL: no create was answered */
	struct object *asked; /* NULL: nothing is open */
	enum change_kind kind;
	bool kept; /* compare(): it is as asked */
};

struct client {
	struct known keys[KEYS_EACH];
	size_t count;
	struct known *busy;
	struct known *also; /* updated by the same message as busy, or NULL */
	struct known *unanswered; /* what was busy when the power went */
	struct job job;
};

/* Beside the changes: whatever was acknowledged by then has to be in the answer. */
struct read {
	struct ledger_load load;
	const struct known *key;
	const struct client *of; /* the key's */
	bool busy;
};

static struct rig rig;
static struct client clients[CLIENTS];
static struct read reads[READS];
static uint64_t rng, seed_now;
static bool full; /* the disk */
static struct {
	uint64_t acked, pairs, pairs_cut, unanswered, cut_at_work, recovered, reads, unsynced, full;
} seen;

/*
 * Either comes first, or not at all this time; an answer that was not sent in time never will be.  A writer
 * that ends before its reader leaves the log as it is; else it brings back what it knows of.
 */
static void
pump(struct rig *r)
{
	unsigned how = (unsigned)crash_random(&rng);
	enum store_part first = how & 1 ? STORE_READER : STORE_WRITER;

	(void)r;
	for (int i = 0; i < 2; i++) {
		enum store_part part = i == 0 ? first : (enum store_part)!first;

		if ((how >> (1 + i) & 3) == 0)
			continue;
		if (child_pump(&children[part], (how >> (8 + i) & 1) != 0)) {
			if (children[part].exec != NULL && crash_random(&rng) % 16 == 0)
				store_exec_idle(children[part].exec, &children[part].out);
			continue;
		}
		if (crash_vfs_is_cut() || (part == STORE_WRITER && (how >> 12 & 1) != 0))
			children_end();
		else
			child_end(&children[part]);
	}
}

/* --- histories --- */

static void
as_stored(struct object *o)
{
	o->revision++;
	if (object_is_destroyed(o)) {
		o->record = NULL;
		o->record_len = 0;
	}
}

static bool
is_alive(const struct known *k)
{
	return k->acked != NULL && !object_is_destroyed(k->acked);
}

static struct known *
pick(struct client *c)
{
	return &c->keys[c->count > 0 ? crash_random(&rng) % c->count : 0];
}

static void
ask_update(struct known *k)
{
	struct object *o = k->asked = object_copy(rig.arena, k->acked);
	char value[32];

	k->kind = CHANGE_UPDATE;
	if (crash_random(&rng) % 3 == 0) {
		o->state = OBJECT_ACTIVE;
		o->date[DATE_ACTIVATION] = (int64_t)(crash_random(&rng) % 1000000);
		return;
	}
	snprintf(value, sizeof(value), "v%" PRIu64, crash_random(&rng));
	ck_assert_int_eq(object_attr_set(o, rig.arena, "x-label", 7,
	    (uint32_t)(crash_random(&rng) % 8), (const uint8_t *)value, strlen(value)), ERR_OK);
}

/* A new key or the end of one, and in many messages a change of another; or just a change. */
static void
ask(struct client *c)
{
	struct known *k = pick(c), *other;

	if (c->count < KEYS_EACH && (c->count == 0 || crash_random(&rng) % 3 == 0)) {
		k = &c->keys[c->count++];
		k->kind = CHANGE_INSERT;
		k->asked = rig_object(&rig, "a", NULL);
	} else if (!is_alive(k)) {
		return;
	} else if (crash_random(&rng) % 4 == 0) {
		k->kind = CHANGE_DESTROY;
		k->asked = object_copy(rig.arena, k->acked);
		k->asked->state = OBJECT_DESTROYED;
		k->asked->date[DATE_DESTROY] = 77;
	} else {
		ask_update(k);
	}
	other = pick(c);
	if (k->kind != CHANGE_UPDATE && other != k && is_alive(other)) {
		ask_update(other);
		c->also = other;
	}
	c->busy = k;
}

static void
send_asked(struct client *c)
{
	struct known *k = c->busy;

	if (k != NULL && !c->job.done && c->job.rig == NULL)
		job_start(&c->job, &rig, k->kind, object_copy(rig.arena, k->asked),
		    c->also != NULL ? object_copy(rig.arena, c->also->asked) : NULL);
}

static void
take_as_acked(struct known *k)
{
	as_stored(k->asked);
	k->acked = k->asked;
	k->asked = NULL;
}

/* Takes the answer.  One without success leaves both versions possible. */
static void
answered(struct client *c)
{
	struct known *k = c->busy;

	if (c->job.e == ERR_OK) {
		take_as_acked(k);
		if (c->also != NULL)
			take_as_acked(c->also);
		seen.pairs += c->also != NULL;
		c->also = NULL;
		seen.acked++;
	} else {
		seen.unanswered++;
		ck_assert_msg(c->job.e == ERR_STORAGE_DOWN ||
		    (full && c->job.e == ERR_STORAGE_FULL), "seed %" PRIu64 ": %s", seed_now,
		    err_name(c->job.e));
	}
	c->unanswered = c->job.e == ERR_OK ? NULL : k;
	c->busy = NULL;
	c->job = (struct job){.rig = NULL};
}

static void
turn(void)
{
	pump(&rig);
	loop_turn(rig.loop, false);
}

/* --- reads --- */

static uint64_t
revision_acked(const struct read *r)
{
	const struct client *c = r->of;
	bool now = c->job.done && c->job.e == ERR_OK && (c->busy == r->key || c->also == r->key);

	if (now) /* answered() is about to say so */
		return r->key->asked->revision + 1;
	return r->key->acked != NULL ? r->key->acked->revision : 0;
}

static void
on_read(struct wait *w, enum err e)
{
	struct read *r = CONTAINER_OF(w, struct read, load.wait);
	uint64_t least = revision_acked(r);

	r->busy = false;
	seen.reads += e == ERR_OK;
	if (e == ERR_STORAGE_DOWN)
		return;
	ck_assert_msg(e == ERR_OK || (e == ERR_NO_OBJECT && least == 0),
	    "seed %" PRIu64 ": a read fails: %s", seed_now, err_name(e));
	ck_assert_msg(e != ERR_OK || r->load.object->revision >= least,
	    "seed %" PRIu64 ": a read tells of revision %" PRIu64 ", acknowledged was %" PRIu64,
	    seed_now, r->load.object->revision, least);
}

static void
read_some(void)
{
	for (int i = 0; i < READS; i++) {
		const struct client *c = &clients[crash_random(&rng) % CLIENTS];
		const struct known *k = &c->keys[c->count > 0 ? crash_random(&rng) % c->count : 0];
		const struct object *o = k->acked != NULL ? k->acked : k->asked;

		if (reads[i].busy || o == NULL || crash_random(&rng) % 2 == 0)
			continue;
		reads[i] = (struct read){.key = k, .of = c, .busy = true, .load = {.arena = rig.arena,
		    .tenant = "a", .uid = o->uid, .again = true, .wait.done = on_read}};
		rig.ledger->ops->load(rig.ledger, &reads[i].load);
	}
}

static void
cancel_reads(void)
{
	for (int i = 0; i < READS; i++)
		wait_cancel(&reads[i].load.wait);
	memset(reads, 0, sizeof(reads));
}

static void
run_round(void)
{
	for (int i = 0; i < CLIENTS; i++)
		if (clients[i].busy == NULL && !(full && clients[i].unanswered != NULL))
			ask(&clients[i]); /* unless it has to be recovered first */
	for (int i = 0; i < CLIENTS; i++)
		send_asked(&clients[i]);
	read_some();
	for (unsigned n = 1 + crash_random(&rng) % 4; n > 0; n--)
		turn();
	for (int i = 0; i < CLIENTS; i++)
		if (clients[i].busy != NULL && clients[i].job.done)
			answered(&clients[i]);
}

static void
run_clients(void)
{
	for (int round = 0; round < ROUNDS_MAX && !crash_vfs_is_cut(); round++)
		run_round();
	seen.cut_at_work += crash_vfs_is_cut();
	cancel_reads();
	crash_vfs_cut_after(1); /* if it has not come yet: now, with jobs under way */
	for (int i = 0; i < CLIENTS; i++) {
		while (clients[i].busy != NULL && !clients[i].job.done) {
			if (children_are_there())
				children_end();
			turn();
		}
		if (clients[i].busy != NULL)
			answered(&clients[i]);
	}
}

/* --- comparing --- */

/* Recovery ends a destroy whose record is gone with a date of its own. */
static bool
destroyed_by_recovery(const struct known *k, const struct object *got)
{
	return k->asked != NULL && k->kind == CHANGE_DESTROY && object_is_destroyed(got) &&
	    got->record == NULL && got->revision == k->acked->revision + 1;
}

/* NULL: all is well; else what is wrong. */
static const char *
compare(struct known *k)
{
	const char *uid = (k->acked != NULL ? k->acked : k->asked)->uid;
	struct secret *key = NULL;
	struct object *got;
	bool found;
	enum err e;

	got = rig_load(&rig, "a", uid, &e);
	if (rig_probe(&rig, "a", uid, &found) != ERR_OK)
		return "the vault does not answer";
	if (e == ERR_NO_OBJECT) {
		if (k->acked != NULL)
			return "an acknowledged object is lost";
		k->asked = NULL;
		k->kept = false;
		return found ? "a record without an object is left" : NULL;
	}
	if (e != ERR_OK)
		return err_name(e);
	if (k->asked != NULL)
		as_stored(k->asked);
	if (!(k->acked != NULL && rig_same(got, k->acked)) &&
	    !(k->asked != NULL && rig_same(got, k->asked)) && !destroyed_by_recovery(k, got))
		return "an object is neither as acknowledged nor as asked";
	k->kept = k->asked != NULL && rig_same(got, k->asked);
	k->acked = got;
	k->asked = NULL;
	if (found == object_is_destroyed(got))
		return "ledger and vault do not agree";
	if (!found)
		return NULL;
	e = rig_unwrap(&rig, got, &key);
	secret_unref(key);
	return e != ERR_OK ? "a key does not unwrap" : NULL;
}

/* The ledger keeps both changes of a message that was not answered, or neither. */
static const char *
compare_pair(struct client *c)
{
	struct known *first = c->unanswered, *also = c->also;

	c->unanswered = c->also = NULL;
	if (also == NULL)
		return NULL;
	seen.pairs_cut++;
	return first->kept == also->kept ? NULL : "half of a message was kept";
}

static const char *
compare_all(void)
{
	struct ledger_find find = {.arena = rig.arena, .tenant = "a", .include_destroyed = true};
	struct outcome out;
	uint64_t want = 0;
	const char *wrong;

	for (int i = 0; i < CLIENTS; i++) {
		size_t kept = 0;

		for (size_t k = 0; k < clients[i].count; k++) {
			wrong = compare(&clients[i].keys[k]);
			if (wrong != NULL)
				return wrong;
		}
		wrong = compare_pair(&clients[i]);
		if (wrong != NULL)
			return wrong;
		for (size_t k = 0; k < clients[i].count; k++)
			if (clients[i].keys[k].acked != NULL)
				clients[i].keys[kept++] = clients[i].keys[k];
		memset(&clients[i].keys[kept], 0, (KEYS_EACH - kept) * sizeof(struct known));
		clients[i].count = kept;
		want += kept;
	}
	rig_begin(&find.wait, &out);
	rig.ledger->ops->find(rig.ledger, &find);
	if (rig_end(&rig, &out) != ERR_OK)
		return "find fails";
	return find.total == want ? NULL : "an object shows that nobody made";
}

/* Answers may still be on their way. */
static void
answer_open(void)
{
	for (int i = 0; i < CLIENTS; i++) {
		while (clients[i].busy != NULL && !clients[i].job.done)
			turn();
		if (clients[i].busy != NULL)
			answered(&clients[i]);
	}
}

/* What could not be settled at the start is now, by this child or the next. */
static void
find_room(void)
{
	bool found;

	crash_vfs_fill(CRASH_ROOM);
	full = false;
	store_exec_idle(children[STORE_WRITER].exec, &children[STORE_WRITER].out);
	while (rig_probe(&rig, "a", "none", &found) != ERR_OK)
		turn();
}

/* Nothing is changed, and the children live; then there is room again. */
static void
live_without_room(void)
{
	int ended = rig.ended;
	uint64_t acked = seen.acked;

	for (unsigned n = crash_random(&rng) % 8; n > 0; n--)
		run_round();
	answer_open();
	ck_assert_msg(rig.ended == ended && rig.refused == 0, "seed %" PRIu64 ": a full disk ends the"
	    " writer", seed_now);
	ck_assert_msg(seen.acked == acked, "seed %" PRIu64 ": kept without room", seed_now);
	seen.full++;
	find_room();
}

/*
 * A sync fails, once, and what it should have made durable never will be, though all of it can be read: the
 * next child finds what the last one left in memory, goes on from there, and loses its power later.
 */
static const char *
survive_failed_sync(void)
{
	int ended = rig.ended, restarted = rig.restarted;
	enum crash_room then = CRASH_ROOM;
	struct recover rec;

	full = crash_random(&rng) % 4 != 0;
	if (full)
		then = crash_random(&rng) % 2 == 0 ? CRASH_FULL : CRASH_QUOTA;
	crash_vfs_fail_sync(1 + (unsigned)(crash_random(&rng) % 60), then);
	for (int round = 0; round < ROUNDS_MAX && rig.ended == ended; round++)
		run_round();
	if (!crash_vfs_failed_sync()) {
		full = false;
		crash_vfs_fail_sync(0, CRASH_ROOM);
		return NULL;
	}
	while (rig.ended == ended)
		turn();
	seen.unsynced++;
	answer_open();
	while (rig.restarted == restarted)
		turn();
	if (full)
		live_without_room();
	cancel_reads();
	return rig_recover(&rig, &rec) == ERR_OK ? compare_all() : "no recovery after a failed sync";
}

/* Recovery may lose its power, too. */
static void
start_and_recover(void)
{
	struct recover rec;
	const char *why = "";
	enum err e;

	if (crash_random(&rng) % 3 == 0)
		crash_vfs_cut_after(1 + (unsigned)(crash_random(&rng) % 12));
	for (;;) {
		e = rig_try_start(&rig, &why);
		if (e == ERR_OK)
			e = rig_recover(&rig, &rec);
		if (e == ERR_OK)
			seen.recovered += rec.creates_undone + rec.updates_undone +
			    rec.destroys_done + rec.destroys_undone;
		if (e == ERR_OK && !crash_vfs_is_cut())
			break;
		ck_assert_msg(crash_vfs_is_cut(), "seed %" PRIu64 ": opening fails: %s (%s)",
		    seed_now, err_name(e), why);
		children_end();
		rig_stop(&rig);
		crash_vfs_power_on();
	}
	crash_vfs_cut_after(0);
}

static const char *
run_point(uint64_t seed, bool lie, bool fails)
{
	const char *wrong = NULL;

	seed_now = rng = seed;
	memset(clients, 0, sizeof(clients));
	crash_vfs_reset(seed ^ UINT64_C(0x5eed));
	for (int i = 0; i < CUTS && wrong == NULL; i++) {
		start_and_recover();
		crash_vfs_lie(lie);
		wrong = fails ? survive_failed_sync() : NULL;
		if (wrong != NULL)
			break;
		crash_vfs_cut_after(1 + (unsigned)(crash_random(&rng) % 300));
		run_clients();
		children_end();
		rig_stop(&rig);
		crash_vfs_power_on();
		crash_vfs_lie(false);
		if (lie) { /* what it then finds may be anything */
			const char *why;

			wrong = "the files do not open";
			if (rig_try_start(&rig, &why) != ERR_OK)
				break;
		} else {
			start_and_recover();
		}
		wrong = compare_all();
		children_end();
		rig_stop(&rig);
	}
	children_end();
	rig_stop(&rig);
	return wrong;
}

static void
setup(void)
{
	rig_init(&rig);
	children_init(&rig);
	rig.pump = pump;
}

static void
teardown(void)
{
	children_end();
	rig_fini(&rig);
	crash_vfs_reset(0);
}

/* A fresh arena for each point: rig_object() takes from it. */
static const char *
run_fresh(uint64_t seed, bool lie, bool fails)
{
	arena_free(rig.arena);
	rig.arena = arena_new(256 << 20);
	return run_point(seed, lie, fails);
}

START_TEST(test_power_loss)
{
	const char *given = getenv("KEYFERRY_SEED"), *wrong;
	int points = getenv("KEYFERRY_LONG") != NULL ? POINTS_LONG : POINTS;
	uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)time(NULL) << 20;

	for (int i = 0; i < points; i++, seed++) {
		wrong = run_fresh(seed, false, seed % 2 == 1);
		ck_assert_msg(wrong == NULL, "%s; replay with KEYFERRY_SEED=%" PRIu64, wrong, seed);
	}
	printf("%" PRIu64 " objects read, %" PRIu64 " syncs failed, then the disk was full %" PRIu64
	       " times\n", seen.reads, seen.unsynced, seen.full);
	printf("power loss: %" PRIu64 " messages acknowledged, %" PRIu64 " of them with two changes; %"
	       PRIu64 " unanswered, %" PRIu64 " with two; %" PRIu64 " cuts at work, %" PRIu64
	       " intents settled; last seed %" PRIu64 "\n",
	    seen.acked, seen.pairs, seen.unanswered, seen.pairs_cut, seen.cut_at_work,
	    seen.recovered, seed - 1);
	ck_assert_uint_gt(seen.acked, 20 * (uint64_t)points);
	ck_assert_uint_gt(seen.cut_at_work, (uint64_t)points);
	ck_assert_uint_gt(seen.recovered, (uint64_t)points / 10);
	ck_assert_uint_gt(seen.pairs, 3 * (uint64_t)points);
	ck_assert_uint_gt(seen.pairs_cut, (uint64_t)points / 2);
	ck_assert_uint_gt(seen.unsynced, (uint64_t)points / 2);
	ck_assert_uint_gt(seen.reads, 20 * (uint64_t)points);
}
END_TEST

/* The same on a disk that does not sync has to be noticed, or the test above shows nothing. */
START_TEST(test_would_notice)
{
	int noticed = 0;

	for (uint64_t seed = 1; seed <= 10; seed++)
		noticed += run_fresh(seed, true, false) != NULL;
	ck_assert_int_ge(noticed, 5);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("powerloss");
	TCase *t = tcase_create("powerloss");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 3600);
	tcase_add_test(t, test_power_loss);
	tcase_add_test(t, test_would_notice);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
