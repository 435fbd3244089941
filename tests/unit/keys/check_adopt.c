/* SPDX-License-Identifier: Apache-2.0 */
/* What another gateway did, taken over from a vault that says what the test wants; look-ups. */
#include <string.h>

#include <check.h>

#include "base/clock.h"
#include "base/metric.h"
#include "keys/adopt.h"
#include "keys/lookup.h"
#include "rig.h"

enum { SHARERS = 1000, AT_ONCE = 16, OF_ONE = 8 };

/* A vault whose records are eight bytes: the sequence. */
static struct {
	struct vault vault;
	enum err e;	      /* what find ends with */
	struct object *found; /* when that is ERR_OK */
	uint64_t sequence;    /* when it is ERR_NO_ROOT_KEY */
	unsigned finds;
	bool expected, background, holds; /* holds: find ends only by release() */
	bool last_words, withdrawn;
	unsigned held_count;
	struct vault_find *held[2 * AT_ONCE];
} fake;

static struct rig rig;

static void
answer(struct vault_find *f)
{
	if (fake.e == ERR_OK) {
		f->object = object_copy(f->arena, fake.found);
		f->key = NULL;
	}
	f->withdrawn = fake.withdrawn;
	f->sequence = fake.sequence;
	wait_finish_soon(rig.loop, &f->wait, fake.e);
}

static void
fake_cancel(struct wait *w)
{
	for (unsigned i = 0; i < fake.held_count; i++)
		if (w == &fake.held[i]->wait)
			fake.held[i] = fake.held[--fake.held_count];
}

static void
fake_find(struct vault *v, struct vault_find *f)
{
	ck_assert_ptr_eq(v, &fake.vault);
	fake.finds++;
	fake.expected = f->expected;
	fake.background = f->terms.background;
	fake.last_words = f->last_words;
	if (!fake.holds) {
		answer(f);
		return;
	}
	f->wait.cancel = fake_cancel;
	ck_assert_uint_lt(fake.held_count, 2 * AT_ONCE);
	fake.held[fake.held_count++] = f;
}

static void
release(void)
{
	ck_assert_uint_gt(fake.held_count, 0);
	while (fake.held_count > 0)
		answer(fake.held[--fake.held_count]);
}

static uint64_t
fake_sequence(const struct object *o)
{
	uint64_t n = 0;

	if (o->record_len == sizeof(n))
		memcpy(&n, o->record, sizeof(n));
	return n;
}

static int
fake_order(const struct object *a, const struct object *b)
{
	uint64_t as = fake_sequence(a), bs = fake_sequence(b);

	return as > bs ? 1 : as < bs ? -1 : 0;
}

static const struct vault_ops fake_ops = {
    .name = "fake", .find = fake_find, .sequence = fake_sequence, .order = fake_order};

static void
setup(void)
{
	clock_test_freeze(1760000000);
	rig_init(&rig);
	rig_start(&rig);
	memset(&fake, 0, sizeof(fake));
	fake.vault.ops = &fake_ops;
}

static void
teardown(void)
{
	rig_fini(&rig);
}

/* As another gateway's vault shows it: a state, and a record of that sequence. */
static struct object *
shown(const struct object *as, uint64_t sequence, enum object_state state)
{
	struct object *o = object_copy(rig.arena, as);

	ck_assert_ptr_nonnull(o);
	o->revision = 0;
	o->state = state;
	o->record = arena_copy(rig.arena, (const uint8_t *)&sequence, sizeof(sequence));
	o->record_len = sizeof(sequence);
	fake.e = ERR_OK;
	return fake.found = o;
}

/* In the ledger, with a record of that sequence. */
static struct object *
known(uint64_t sequence, enum object_state state, const char *name)
{
	struct object *o = shown(rig_object(&rig, "a", name), sequence, state);
	struct change change = {CHANGE_ADOPT, o};
	struct ledger_changes c = {.changes = &change, .count = 1};
	struct outcome out;
	enum err e;

	rig_begin(&c.wait, &out);
	rig.ledger->ops->commit(rig.ledger, &c);
	ck_assert_int_eq(rig_end(&rig, &out), ERR_OK);
	o = rig_load(&rig, "a", o->uid, &e);
	ck_assert_int_eq(e, ERR_OK);
	return o;
}

static struct object *
stored(const struct object *o)
{
	enum err e;
	struct object *got = rig_load(&rig, "a", o->uid, &e);

	ck_assert_int_eq(e, ERR_OK);
	return got;
}

static enum err
adopt(const struct object *o, enum vault_gone gone, enum adopted *how)
{
	struct adopt a = {
	    .loop = rig.loop,
	    .vault = &fake.vault,
	    .ledger = rig.ledger,
	    .tenant = "a",
	    .uid = o->uid,
	    .gone = gone,
	};
	struct outcome out;
	enum err e;

	rig_begin(&a.wait, &out);
	adopt_start(&a);
	e = rig_end(&rig, &out);
	if (how != NULL)
		*how = a.adopted;
	return e;
}

START_TEST(test_new)
{
	struct object *o = shown(rig_object(&rig, "a", "vm"), 3, OBJECT_ACTIVE), *got;
	enum adopted how;

	ck_assert_int_eq(adopt(o, GONE_UNKNOWN, &how), ERR_OK);
	ck_assert_int_eq(how, ADOPT_NEW);
	got = stored(o);
	ck_assert_int_eq(got->state, OBJECT_ACTIVE);
	ck_assert_uint_eq(fake_sequence(got), 3);
	ck_assert_uint_eq(got->revision, 1);
	ck_assert_ptr_nonnull(object_attr_get(got, "Name", 0));
	ck_assert_int_eq(adopt(o, GONE_UNKNOWN, &how), ERR_OK);
	ck_assert_int_eq(how, ADOPT_KNOWN);
	ck_assert_uint_eq(stored(o)->revision, 1);
}
END_TEST

/* What is here counts, but for what makes it more restrictive. */
START_TEST(test_newer)
{
	struct object *o = known(1, OBJECT_ACTIVE, "vm"), *newer = shown(o, 2, OBJECT_COMPROMISED),
		      *got;
	enum adopted how;

	newer->revocation_code = 2;
	newer->revocation_text = "stolen";
	newer->date[DATE_COMPROMISE] = 77;
	ck_assert(object_attr_remove(newer, "Name", 0));
	ck_assert_int_eq(adopt(o, GONE_UNKNOWN, &how), ERR_OK);
	ck_assert_int_eq(how, ADOPT_NEWER);
	got = stored(o);
	ck_assert_uint_eq(fake_sequence(got), 2);
	ck_assert_int_eq(got->state, OBJECT_COMPROMISED);
	ck_assert_uint_eq(got->revocation_code, 2);
	ck_assert_str_eq(got->revocation_text, "stolen");
	ck_assert_int_eq(got->date[DATE_COMPROMISE], 77);
	ck_assert_ptr_nonnull(object_attr_get(got, "Name", 0));
	shown(o, 3, OBJECT_ACTIVE); /* a rewrap elsewhere, where nothing was known of it */
	ck_assert_int_eq(adopt(o, GONE_UNKNOWN, &how), ERR_OK);
	got = stored(o);
	ck_assert_uint_eq(fake_sequence(got), 3);
	ck_assert_int_eq(got->state, OBJECT_COMPROMISED);
	ck_assert_uint_eq(got->revocation_code, 2);
}
END_TEST

START_TEST(test_equal_sequence)
{
	struct object *o = known(2, OBJECT_ACTIVE, NULL);
	enum adopted how;

	shown(o, 2, OBJECT_DEACTIVATED);
	ck_assert_int_eq(adopt(o, GONE_UNKNOWN, &how), ERR_OK);
	ck_assert_int_eq(how, ADOPT_NEWER);
	ck_assert_int_eq(stored(o)->state, OBJECT_DEACTIVATED);
	shown(o, 2, OBJECT_ACTIVE);
	ck_assert_int_eq(adopt(o, GONE_UNKNOWN, &how), ERR_OK);
	ck_assert_int_eq(how, ADOPT_KNOWN);
	ck_assert_int_eq(stored(o)->state, OBJECT_DEACTIVATED);
}
END_TEST

/* A record that was replaced must not come back, whoever brings it. */
START_TEST(test_lower_sequence)
{
	struct object *o = known(5, OBJECT_COMPROMISED, NULL);

	shown(o, 4, OBJECT_ACTIVE);
	ck_assert_int_eq(adopt(o, GONE_UNKNOWN, NULL), ERR_NO_OBJECT);
	ck_assert_uint_eq(stored(o)->revision, 1);
	ck_assert_uint_eq(fake_sequence(stored(o)), 5);
}
END_TEST

/* Whatever older ones remain: it is gone when the one that counts is. */
START_TEST(test_gone_with_older_left)
{
	struct object *o = known(5, OBJECT_ACTIVE, NULL);
	enum adopted how;

	shown(o, 4, OBJECT_ACTIVE);
	fake.withdrawn = true;
	ck_assert_int_eq(adopt(o, GONE_DESTROYED, NULL), ERR_NO_OBJECT);
	fake.withdrawn = false;
	ck_assert_int_eq(adopt(o, GONE_LATELY, NULL), ERR_NO_OBJECT);
	ck_assert_int_eq(adopt(o, GONE_WITHDRAWN, NULL), ERR_NO_OBJECT);
	ck_assert_int_eq(stored(o)->state, OBJECT_ACTIVE);
	ck_assert_int_eq(adopt(o, GONE_DESTROYED, &how), ERR_OK);
	ck_assert_int_eq(how, ADOPT_DESTROYED);
	ck_assert_int_eq(stored(o)->state, OBJECT_DESTROYED);
	ck_assert(!stored(o)->destroyed_here); /* no client said so here */
}
END_TEST

/* Two gateways made successors at once: the revocation of the one that lost counts all the same. */
START_TEST(test_lower_sequence_revoked)
{
	struct object *o = known(3, OBJECT_DEACTIVATED, NULL);
	enum adopted how;

	shown(o, 2, OBJECT_COMPROMISED)->revocation_code = 2;
	ck_assert_int_eq(adopt(o, GONE_UNKNOWN, &how), ERR_OK);
	ck_assert_int_eq(how, ADOPT_NEWER);
	ck_assert_uint_eq(fake_sequence(stored(o)), 3);
	ck_assert_int_eq(stored(o)->state, OBJECT_COMPROMISED);
	ck_assert_uint_eq(stored(o)->revocation_code, 2);
	ck_assert_int_eq(adopt(o, GONE_UNKNOWN, NULL), ERR_NO_OBJECT);
}
END_TEST

START_TEST(test_another_key)
{
	struct object *o = known(1, OBJECT_ACTIVE, NULL);
	int64_t alarms = metric_get(METRIC_INTEGRITY_ALARMS_TOTAL);

	shown(o, 2, OBJECT_ACTIVE)->digest[7] ^= 1;
	ck_assert_int_eq(adopt(o, GONE_UNKNOWN, NULL), ERR_INTEGRITY);
	ck_assert_int_eq(metric_get(METRIC_INTEGRITY_ALARMS_TOTAL), alarms + 1);
	ck_assert_uint_eq(fake_sequence(stored(o)), 1);
}
END_TEST

/* What does not open is an alarm under the name of an object, else somebody else's. */
START_TEST(test_somebody_elses)
{
	struct object *o = known(1, OBJECT_ACTIVE, NULL), *other = rig_object(&rig, "a", NULL);
	int64_t alarms = metric_get(METRIC_INTEGRITY_ALARMS_TOTAL);

	fake.e = ERR_INTEGRITY;
	ck_assert_int_eq(adopt(other, GONE_UNKNOWN, NULL), ERR_NO_OBJECT);
	ck_assert_int_eq(metric_get(METRIC_INTEGRITY_ALARMS_TOTAL), alarms);
	ck_assert_int_eq(adopt(o, GONE_UNKNOWN, NULL), ERR_INTEGRITY);
	ck_assert_int_eq(metric_get(METRIC_INTEGRITY_ALARMS_TOTAL), alarms + 1);
	ck_assert_uint_eq(stored(o)->revision, 1);
}
END_TEST

/* Under a root key that is not there: of no use if it is older, else nobody can tell. */
START_TEST(test_without_root_key)
{
	struct object *o = known(3, OBJECT_ACTIVE, NULL), *other = rig_object(&rig, "a", NULL);

	fake.e = ERR_NO_ROOT_KEY;
	fake.sequence = 2;
	ck_assert_int_eq(adopt(o, GONE_UNKNOWN, NULL), ERR_NO_OBJECT);
	ck_assert_int_eq(adopt(other, GONE_UNKNOWN, NULL), ERR_NO_ROOT_KEY);
	for (fake.sequence = 3; fake.sequence < 5; fake.sequence++)
		ck_assert_int_eq(adopt(o, GONE_UNKNOWN, NULL), ERR_NO_ROOT_KEY);
	ck_assert_uint_eq(stored(o)->revision, 1);
}
END_TEST

/* Only a deletion by one of us, some time ago, with nothing in its place, ends an object. */
START_TEST(test_gone)
{
	static const enum vault_gone all[] = {
	    GONE_UNKNOWN, GONE_LATELY, GONE_WITHDRAWN, GONE_DESTROYED};
	struct object *o = known(1, OBJECT_ACTIVE, NULL);
	enum adopted how;

	for (size_t i = 0; i < 3; i++) {
		fake.e = ERR_NO_OBJECT;
		ck_assert_int_eq(adopt(o, all[i], NULL), ERR_NO_OBJECT);
		ck_assert_int_eq(fake.expected, all[i] == GONE_LATELY);
		ck_assert_int_eq(stored(o)->state, OBJECT_ACTIVE);
	}
	shown(o, 2, OBJECT_ACTIVE);
	ck_assert_int_eq(adopt(o, GONE_DESTROYED, &how), ERR_OK);
	ck_assert_int_eq(how, ADOPT_NEWER);
	fake.sequence = 3;
	for (enum err e = ERR_INVALID_MESSAGE; e <= ERR_CONFIG; e++) {
		if (e == ERR_NO_OBJECT)
			continue;
		fake.e = e;
		ck_assert_int_eq(adopt(o, GONE_DESTROYED, NULL), e);
		ck_assert_int_eq(stored(o)->state, OBJECT_ACTIVE);
	}
	fake.e = ERR_NO_OBJECT;
	ck_assert_int_eq(adopt(o, GONE_DESTROYED, &how), ERR_OK);
	ck_assert_int_eq(how, ADOPT_DESTROYED);
	ck_assert_int_eq(stored(o)->state, OBJECT_DESTROYED);
	ck_assert_int_eq(stored(o)->date[DATE_DESTROY], clock_wall());
	ck_assert_ptr_null(stored(o)->record);
	shown(o, 9, OBJECT_ACTIVE); /* restored by mistake */
	ck_assert_int_eq(adopt(o, GONE_UNKNOWN, &how), ERR_OK);
	ck_assert_int_eq(how, ADOPT_KNOWN);
	ck_assert_int_eq(stored(o)->state, OBJECT_DESTROYED);
}
END_TEST

/* Its successor was deleted by somebody else, who may bring it back: so it is not Destroyed. */
START_TEST(test_withdrawn)
{
	struct object *o = known(1, OBJECT_ACTIVE, NULL);
	enum adopted how;

	fake.e = ERR_NO_OBJECT;
	fake.withdrawn = true;
	ck_assert_int_eq(adopt(o, GONE_DESTROYED, NULL), ERR_NO_OBJECT);
	ck_assert(fake.last_words);
	ck_assert_int_eq(stored(o)->state, OBJECT_ACTIVE);
	shown(o, 2, OBJECT_DEACTIVATED);
	ck_assert_int_eq(adopt(o, GONE_DESTROYED, &how), ERR_OK);
	ck_assert_int_eq(how, ADOPT_NEWER);
	ck_assert_int_eq(stored(o)->state, OBJECT_DEACTIVATED);
}
END_TEST

START_TEST(test_compromised_and_gone)
{
	struct object *o = known(1, OBJECT_COMPROMISED, NULL);

	fake.e = ERR_NO_OBJECT;
	ck_assert_int_eq(adopt(o, GONE_DESTROYED, NULL), ERR_OK);
	ck_assert_int_eq(stored(o)->state, OBJECT_DESTROYED_COMPROMISED);
}
END_TEST

/* Two gateways gave one Name to two objects: nobody loses a key for that. */
START_TEST(test_name_taken)
{
	struct object *o;
	enum adopted how;

	known(1, OBJECT_ACTIVE, "vm");
	o = shown(rig_object(&rig, "a", "vm"), 1, OBJECT_ACTIVE);
	ck_assert_int_eq(adopt(o, GONE_UNKNOWN, &how), ERR_OK);
	ck_assert_int_eq(how, ADOPT_NEW);
	ck_assert_ptr_null(object_attr_get(stored(o), "Name", 0));
}
END_TEST

/* What is due by then. */
static void
pass(int64_t ns)
{
	for (int64_t step = 20 * NS_PER_MS; ns > 0; ns -= step) {
		clock_test_advance(step);
		do
			loop_turn(rig.loop, false);
		while (store_pending(rig.store) > 0);
		loop_turn(rig.loop, false);
	}
}

/* A message is at work on the object: it is waited for, but not for ever. */
START_TEST(test_locked)
{
	struct object *o = known(1, OBJECT_ACTIVE, NULL);
	struct change change = {CHANGE_REPLACE, stored(o)};
	struct ledger_changes c = {.changes = &change, .count = 1};
	struct adopt a = {.loop = rig.loop, .vault = &fake.vault, .ledger = rig.ledger,
	    .tenant = "a", .uid = o->uid};
	struct outcome out;

	if (_i == 1) /* whose waiter has less time than that */
		a.terms.deadline = clock_now() + NS_PER_S;
	a.terms.background = _i == 4; /* nobody waits: a later round meets it again */
	ck_assert_int_eq(rig_prepare(&rig, &c), ERR_OK);
	shown(o, 2, OBJECT_DEACTIVATED);
	rig_begin(&a.wait, &out);
	adopt_start(&a);
	pass(NS_PER_S - 100 * NS_PER_MS);
	ck_assert_int_eq(out.done, _i == 1 || _i == 4);
	if (_i == 2) {
		ck_assert_int_eq(rig_commit(&rig, &c), ERR_OK);
		pass(NS_PER_S);
		ck_assert_int_eq(rig_end(&rig, &out), ERR_OK);
	} else if (_i == 3) {
		wait_cancel(&a.wait);
	} else {
		pass(5 * NS_PER_S);
		ck_assert(out.done);
		ck_assert_int_eq(out.e, ERR_BUSY);
		ck_assert_int_eq(rig_commit(&rig, &c), ERR_OK);
		ck_assert_int_eq(adopt(o, GONE_UNKNOWN, NULL), ERR_OK);
	}
	if (_i != 3)
		ck_assert_int_eq(stored(o)->state, OBJECT_DEACTIVATED);
}
END_TEST

START_TEST(test_cancel)
{
	struct object *o = known(1, OBJECT_ACTIVE, NULL);
	struct adopt a = {.loop = rig.loop, .vault = &fake.vault, .ledger = rig.ledger,
	    .tenant = "a", .uid = o->uid};
	struct outcome out;

	for (unsigned turns = 0; turns < 6; turns++) {
		memset(&a.find, 0, sizeof(a.find));
		shown(o, 2 + turns, OBJECT_ACTIVE);
		rig_begin(&a.wait, &out);
		adopt_start(&a);
		for (unsigned i = 0; i < turns && !out.done; i++)
			loop_turn(rig.loop, false);
		wait_cancel(&a.wait);
		loop_turn(rig.loop, false);
	}
}
END_TEST

/* --- look-ups --- */

static struct lookups *lookups;

static void
setup_lookups(void)
{
	setup();
	lookups = lookups_new(rig.loop);
	ck_assert_ptr_nonnull(lookups);
}

static void
teardown_lookups(void)
{
	lookups_free(lookups);
	teardown();
}

static struct lookup
of(const char *uid, const uint8_t *client)
{
	return (struct lookup){
	    .vault = &fake.vault,
	    .ledger = rig.ledger,
	    .tenant = "a",
	    .uid = uid,
	    .client = client,
	};
}

static enum err
look_up(const char *uid, const uint8_t *client)
{
	struct lookup l = of(uid, client);
	struct outcome out;

	rig_begin(&l.wait, &out);
	lookup_start(lookups, &l);
	return rig_end(&rig, &out);
}

static const uint8_t client[LOOKUP_CLIENT_LEN] = {1}, other[LOOKUP_CLIENT_LEN] = {2};
#define OLD_UID "01890000-0000-7000-8000-000000000001"

START_TEST(test_shared)
{
	static struct lookup all[SHARERS];
	static struct outcome outs[SHARERS];
	struct object *o = shown(rig_object(&rig, "a", NULL), 1, OBJECT_ACTIVE);

	fake.holds = true;
	for (size_t i = 0; i < SHARERS; i++) {
		all[i] = of(o->uid, client);
		rig_begin(&all[i].wait, &outs[i]);
		lookup_start(lookups, &all[i]);
	}
	wait_cancel(&all[0].wait);
	wait_cancel(&all[SHARERS / 2].wait);
	release();
	ck_assert_int_eq(rig_end(&rig, &outs[SHARERS - 1]), ERR_OK);
	ck_assert_uint_eq(fake.finds, 1);
	for (size_t i = 0; i < SHARERS; i++)
		ck_assert_int_eq(outs[i].done, i != 0 && i != SHARERS / 2);
	ck_assert_int_eq(stored(o)->state, OBJECT_ACTIVE);
}
END_TEST

/* Who did not know it looked, and it became known meanwhile, by a newer record than lists show. */
START_TEST(test_known_by_now)
{
	struct object *o = known(2, OBJECT_ACTIVE, NULL);
	struct lookup l = of(o->uid, client);
	struct outcome out;
	unsigned finds;

	shown(o, 1, OBJECT_ACTIVE);
	ck_assert_int_eq(look_up(o->uid, client), ERR_OK);
	finds = fake.finds;
	l.known = true; /* and the next one is not told that there is none */
	rig_begin(&l.wait, &out);
	lookup_start(lookups, &l);
	ck_assert_int_eq(rig_end(&rig, &out), ERR_NO_OBJECT);
	ck_assert_uint_eq(fake.finds, finds + 1);
}
END_TEST

/* A flight under way may have looked before the record was there that a list shows now. */
START_TEST(test_one_record_is_looked_at)
{
	struct object *o = shown(rig_object(&rig, "a", NULL), 1, OBJECT_ACTIVE);
	struct lookup name = of(o->uid, NULL), record = of(o->uid, NULL);
	struct outcome outs[2];

	record.record_id = "11111111-2222-4333-8444-555555555555";
	fake.holds = true;
	rig_begin(&name.wait, &outs[0]);
	lookup_start(lookups, &name);
	fake.holds = false;
	rig_begin(&record.wait, &outs[1]);
	lookup_start(lookups, &record);
	ck_assert_int_eq(rig_end(&rig, &outs[1]), ERR_OK);
	ck_assert_uint_eq(fake.finds, 2);
	ck_assert(!outs[0].done);
	release();
	ck_assert_int_eq(rig_end(&rig, &outs[0]), ERR_OK);
}
END_TEST

START_TEST(test_absent_is_remembered)
{
	fake.e = ERR_NO_OBJECT;
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(look_up(OLD_UID, client), ERR_NO_OBJECT);
	ck_assert_uint_eq(fake.finds, 1);
	ck_assert_int_eq(look_up(OLD_UID, NULL), ERR_NO_OBJECT); /* ourselves */
	ck_assert_uint_eq(fake.finds, 2);
	lookups_seen(lookups, "b", OLD_UID);
	ck_assert_int_eq(look_up(OLD_UID, client), ERR_NO_OBJECT);
	ck_assert_uint_eq(fake.finds, 2);
	lookups_seen(lookups, "a", OLD_UID);
	ck_assert_int_eq(look_up(OLD_UID, client), ERR_NO_OBJECT);
	ck_assert_uint_eq(fake.finds, 3);
	clock_test_advance(61 * NS_PER_S);
	ck_assert_int_eq(look_up(OLD_UID, client), ERR_NO_OBJECT);
	ck_assert_uint_eq(fake.finds, 4);
	fake.e = ERR_VAULT_DOWN; /* says nothing */
	clock_test_advance(61 * NS_PER_S);
	ck_assert_int_eq(look_up(OLD_UID, client), ERR_VAULT_DOWN);
	ck_assert_int_eq(look_up(OLD_UID, client), ERR_VAULT_DOWN);
	ck_assert_uint_eq(fake.finds, 6);
}
END_TEST

/* A list shows a record that was replaced long ago: that does not make the object absent. */
START_TEST(test_old_record_is_not_absence)
{
	struct object *o = known(5, OBJECT_ACTIVE, NULL);
	struct lookup old = of(o->uid, NULL), lately = of(o->uid, client);
	struct outcome out, out_lately;

	shown(o, 4, OBJECT_ACTIVE);
	fake.holds = true;
	old.record_id = OLD_UID;
	rig_begin(&old.wait, &out);
	lookup_start(lookups, &old);
	fake.holds = false; /* a client comes meanwhile, which wants the successor */
	shown(o, 6, OBJECT_ACTIVE);
	lately.gone = GONE_LATELY;
	rig_begin(&lately.wait, &out_lately);
	lookup_start(lookups, &lately);
	ck_assert_int_eq(rig_end(&rig, &out_lately), ERR_OK);
	ck_assert(fake.expected);
	shown(o, 4, OBJECT_ACTIVE);
	release();
	ck_assert_int_eq(rig_end(&rig, &out), ERR_NO_OBJECT);
	shown(o, 7, OBJECT_ACTIVE);
	ck_assert_int_eq(look_up(o->uid, client), ERR_OK);
	ck_assert_uint_eq(fake_sequence(stored(o)), 7);
}
END_TEST

START_TEST(test_rations)
{
	char uid[UID_TEXT_LEN + 1];
	unsigned served = 0;

	fake.e = ERR_NO_OBJECT;
	for (int i = 0; i < 100; i++) {
		ck_assert_int_eq(text_uuid7(uid), ERR_OK);
		served += look_up(uid, client) == ERR_NO_OBJECT;
	}
	ck_assert_uint_eq(served, 50);
	ck_assert_uint_eq(fake.finds, 50);
	ck_assert_int_eq(text_uuid7(uid), ERR_OK);
	ck_assert_int_eq(look_up(uid, other), ERR_NO_OBJECT); /* somebody else's ration */
	clock_test_advance(NS_PER_S);
	for (int i = 0; i < 5; i++) {
		ck_assert_int_eq(text_uuid7(uid), ERR_OK);
		ck_assert_int_eq(look_up(uid, client), i < 2 ? ERR_NO_OBJECT : ERR_BUSY);
	}
	clock_test_advance(NS_PER_S);
	for (int i = 0; i < 100; i++) { /* what is found costs nothing */
		shown(rig_object(&rig, "a", NULL), 1, OBJECT_ACTIVE);
		ck_assert_int_eq(look_up(fake.found->uid, client), ERR_OK);
	}
}
END_TEST

/* Keys that are there: nobody is refused, though not all are looked for at once. */
START_TEST(test_many_strangers)
{
	enum { MANY = 200 };
	static struct lookup all[MANY];
	static struct outcome outs[MANY];
	static char uids[MANY][UID_TEXT_LEN + 1];
	int64_t refused = metric_get(METRIC_LOOKUPS_REFUSED_TOTAL);

	fake.e = ERR_VAULT_DOWN; /* neither found nor missed */
	fake.holds = true;
	for (size_t i = 0; i < MANY; i++) {
		ck_assert_int_eq(text_uuid7(uids[i]), ERR_OK);
		all[i] = of(uids[i], client);
		rig_begin(&all[i].wait, &outs[i]);
		lookup_start(lookups, &all[i]);
	}
	wait_cancel(&all[MANY - 2].wait); /* has left before its turn came */
	ck_assert_uint_eq(fake.held_count, OF_ONE);
	for (int i = 0; i <= MANY / OF_ONE && !outs[MANY - 1].done; i++) {
		release();
		loop_turn(rig.loop, false);
		loop_turn(rig.loop, false);
		ck_assert_uint_le(fake.held_count, OF_ONE);
	}
	ck_assert(outs[MANY - 1].done);
	ck_assert_uint_eq(fake.finds, MANY - 1);
	ck_assert_int_eq(metric_get(METRIC_LOOKUPS_REFUSED_TOTAL), refused);
}
END_TEST

/* A reload takes a vault away while one of its look-ups is queued: nobody has it begin after that. */
START_TEST(test_vault_goes)
{
	struct vault gone = {.ops = &fake_ops}; /* fake_find() refuses it */
	struct lookup ahead[OF_ONE], before = of(OLD_UID, client), after = of(OLD_UID, client);
	struct outcome outs[OF_ONE], out_before, out_after;
	char uids[OF_ONE][UID_TEXT_LEN + 1];

	fake.e = ERR_VAULT_DOWN;
	fake.holds = true;
	for (size_t i = 0; i < OF_ONE; i++) {
		ck_assert_int_eq(text_uuid7(uids[i]), ERR_OK);
		ahead[i] = of(uids[i], client);
		rig_begin(&ahead[i].wait, &outs[i]);
		lookup_start(lookups, &ahead[i]);
	}
	before.vault = &gone;
	rig_begin(&before.wait, &out_before);
	lookup_start(lookups, &before);
	wait_cancel(&before.wait);
	rig_begin(&after.wait, &out_after);
	lookup_start(lookups, &after);
	fake.holds = false;
	release();
	ck_assert_int_eq(rig_end(&rig, &out_after), ERR_VAULT_DOWN);
	ck_assert(!out_before.done);
	ck_assert_uint_eq(fake.finds, OF_ONE + 1);
}
END_TEST

/* Each is looked for during seconds: one client's leave room for those of others, first come. */
START_TEST(test_one_leaves_room)
{
	static const uint8_t third[LOOKUP_CLIENT_LEN] = {3};
	static const struct {
		const uint8_t *client;
		unsigned count, held; /* held: then */
	} come[] = {{client, 40, OF_ONE}, {other, 1, OF_ONE + 1}, {third, 40, AT_ONCE},
	    {other, 1, AT_ONCE}};
	static struct lookup all[82];
	static struct outcome outs[82];
	static char uids[82][UID_TEXT_LEN + 1];
	size_t n = 0;

	fake.e = ERR_VAULT_DOWN;
	fake.holds = true;
	for (size_t i = 0; i < sizeof(come) / sizeof(come[0]); i++) {
		for (unsigned k = 0; k < come[i].count; k++, n++) {
			ck_assert_int_eq(text_uuid7(uids[n]), ERR_OK);
			all[n] = of(uids[n], come[i].client);
			rig_begin(&all[n].wait, &outs[n]);
			lookup_start(lookups, &all[n]);
		}
		ck_assert_uint_eq(fake.held_count, come[i].held);
	}
	ck_assert(!outs[81].done);
	for (int i = 0; i < 82 && !(outs[39].done && outs[80].done && outs[81].done); i++) {
		release();
		loop_turn(rig.loop, false);
		loop_turn(rig.loop, false);
		ck_assert_uint_le(fake.held_count, AT_ONCE);
	}
	for (size_t i = 0; i < 82; i++)
		ck_assert(outs[i].done);
}
END_TEST

/* Keys that never were cost the key manager only so much, and others hardly wait. */
START_TEST(test_many_that_are_not)
{
	enum { MANY = 200 };
	static struct lookup all[MANY];
	static struct outcome outs[MANY];
	static char uids[MANY][UID_TEXT_LEN + 1];
	unsigned refused = 0;

	fake.e = ERR_NO_OBJECT;
	for (size_t i = 0; i < MANY; i++) {
		ck_assert_int_eq(text_uuid7(uids[i]), ERR_OK);
		all[i] = of(uids[i], i == MANY - 1 ? other : client);
		rig_begin(&all[i].wait, &outs[i]);
		lookup_start(lookups, &all[i]);
	}
	ck_assert_int_eq(rig_end(&rig, &outs[MANY - 1]), ERR_NO_OBJECT);
	for (size_t i = 0; i < MANY - 1; i++)
		refused += rig_end(&rig, &outs[i]) == ERR_BUSY;
	ck_assert_uint_le(MANY - 1 - refused, 50 + AT_ONCE);
	ck_assert_uint_le(fake.finds, 50 + AT_ONCE + 1);
}
END_TEST

START_TEST(test_priority)
{
	char uid[UID_TEXT_LEN + 1];

	fake.e = ERR_NO_OBJECT;
	ck_assert_int_eq(text_uuid7(uid), ERR_OK);
	ck_assert_int_eq(look_up(uid, client), ERR_NO_OBJECT);
	ck_assert(!fake.background); /* who made it is perhaps asking elsewhere now */
	ck_assert_int_eq(look_up(OLD_UID, client), ERR_NO_OBJECT);
	ck_assert(fake.background);
	ck_assert_int_eq(look_up("6ee0f1f6-1c36-4d4e-9d6b-4f0f6b1f7c52", client), ERR_NO_OBJECT);
	ck_assert_uint_eq(fake.finds, 2); /* never one of ours */
}
END_TEST

/* What the ledger knows is looked for whatever the client asked for before. */
START_TEST(test_known_is_not_rationed)
{
	char uid[UID_TEXT_LEN + 1];
	struct lookup l = of(OLD_UID, client);
	struct outcome out;

	fake.e = ERR_NO_OBJECT;
	for (int i = 0; i < 51; i++) {
		ck_assert_int_eq(text_uuid7(uid), ERR_OK);
		(void)look_up(uid, client);
	}
	ck_assert_int_eq(look_up(OLD_UID, client), ERR_BUSY);
	l.known = true;
	rig_begin(&l.wait, &out);
	lookup_start(lookups, &l);
	ck_assert_int_eq(rig_end(&rig, &out), ERR_NO_OBJECT);
	ck_assert(!fake.background);
}
END_TEST

START_TEST(test_free_under_way)
{
	struct lookup l = of(OLD_UID, client);
	struct outcome out;

	fake.holds = true;
	rig_begin(&l.wait, &out);
	lookup_start(lookups, &l);
	lookups_free(lookups);
	lookups = NULL;
	ck_assert(out.done);
	ck_assert_int_eq(out.e, ERR_CANCELLED);
	ck_assert_uint_eq(fake.held_count, 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("adopt");
	TCase *t = tcase_create("adopt"), *l = tcase_create("look-ups");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_new);
	tcase_add_test(t, test_newer);
	tcase_add_test(t, test_equal_sequence);
	tcase_add_test(t, test_lower_sequence);
	tcase_add_test(t, test_lower_sequence_revoked);
	tcase_add_test(t, test_gone_with_older_left);
	tcase_add_test(t, test_another_key);
	tcase_add_test(t, test_somebody_elses);
	tcase_add_test(t, test_without_root_key);
	tcase_add_test(t, test_gone);
	tcase_add_test(t, test_withdrawn);
	tcase_add_test(t, test_compromised_and_gone);
	tcase_add_test(t, test_name_taken);
	tcase_add_loop_test(t, test_locked, 0, 5);
	tcase_add_test(t, test_cancel);
	suite_add_tcase(s, t);
	tcase_add_checked_fixture(l, setup_lookups, teardown_lookups);
	tcase_add_test(l, test_shared);
	tcase_add_test(l, test_known_by_now);
	tcase_add_test(l, test_one_record_is_looked_at);
	tcase_add_test(l, test_absent_is_remembered);
	tcase_add_test(l, test_old_record_is_not_absence);
	tcase_add_test(l, test_rations);
	tcase_add_test(l, test_many_strangers);
	tcase_add_test(l, test_vault_goes);
	tcase_add_test(l, test_one_leaves_room);
	tcase_add_test(l, test_many_that_are_not);
	tcase_add_test(l, test_priority);
	tcase_add_test(l, test_known_is_not_rationed);
	tcase_add_test(l, test_free_under_way);
	suite_add_tcase(s, l);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
