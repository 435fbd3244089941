/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes that are written behind, and taken over, by two gateways over one instance. */
#include <stdio.h>
#include <string.h>

#include <check.h>

#include "attr_merge.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/metric.h"
#include "keys/adopt.h"
#include "keys/share.h"
#include "sharecase.h"

/* --- writing behind --- */

START_TEST(test_many_changes_make_one)
{
	const char *uid = new_object("vm");
	int64_t shared = metric_get(METRIC_ATTRIBUTES_SHARED_TOTAL);
	char value[16];

	for (int i = 0; i < 100; i++) {
		snprintf(value, sizeof(value), "v%d", i);
		set(&east, uid, "x-a", value);
		pass(NS_PER_S / 10);
	}
	ck_assert_uint_eq(there.stores, 0);
	pass(SHARE_QUIET_NS - NS_PER_S / 5);
	ck_assert_uint_eq(there.stores, 0);
	pass(NS_PER_S / 5);
	ck_assert_uint_eq(there.stores, 1);
	ck_assert_uint_eq(sequence_of(load(&east, uid)), 2);
	ck_assert(there.gone[0] && !there.gone[1]);
	watch(&west, uid);
	ck_assert(both_have(uid, "x-a", "v99"));
	pass(10 * SHARE_LONGEST_NS);
	ck_assert_uint_eq(there.stores, 1);
	ck_assert_int_eq(metric_get(METRIC_ATTRIBUTES_SHARED_TOTAL), shared + 1);
}
END_TEST

/* Changes that do not end: others see them once a minute. */
START_TEST(test_longest)
{
	const char *uid = new_object(NULL);
	char value[16];

	for (int64_t i = 0; i < 4 * SHARE_LONGEST_NS / NS_PER_S; i++) {
		snprintf(value, sizeof(value), "%d", (int)i);
		set(&east, uid, "x-a", value);
		pass(NS_PER_S);
		if (i == SHARE_LONGEST_NS / NS_PER_S - 2)
			ck_assert_uint_eq(there.stores, 0);
	}
	ck_assert_uint_ge(there.stores, 3);
	ck_assert_uint_le(there.stores, 4);
}
END_TEST

/* The first Get of a key changes one, and costs no record. */
START_TEST(test_fresh)
{
	const char *uid = new_object(NULL);

	set(&east, uid, "Fresh", "no");
	pass(SHARE_LONGEST_NS);
	ck_assert_uint_eq(there.stores, 0);
	set(&east, uid, "x-a", "1");
	pass(SHARE_QUIET_NS + NS_PER_S);
	watch(&west, uid);
	ck_assert(has(&west, uid, "Fresh", NULL) && has(&east, uid, "Fresh", "no"));
	set(&west, uid, "x-b", "2");
	pass(SHARE_QUIET_NS + NS_PER_S);
	watch(&east, uid);
	ck_assert(both_have(uid, "x-b", "2") && has(&east, uid, "Fresh", "no"));
}
END_TEST

/* A change of something else, or back to what it was, costs nothing. */
START_TEST(test_no_need)
{
	const char *uid = new_object(NULL);
	struct object *o;

	set(&east, uid, "x-a", "v");
	pass(NS_PER_S);
	set(&east, uid, "x-a", NULL);
	o = load(&east, uid);
	o->state = OBJECT_ACTIVE;
	commit(&east, o, CHANGE_UPDATE);
	pass(SHARE_LONGEST_NS);
	ck_assert_uint_eq(there.stores, 0);
	ck_assert_uint_eq(there.unwraps, 0);
}
END_TEST

/* Nothing was written when the gateway died: what differs from the record tells. */
START_TEST(test_after_a_start)
{
	const char *uid = new_object(NULL), *other = new_object("vm");

	set(&east, uid, "x-a", "v");
	set(&east, other, "x-b", "w");
	pass(NS_PER_S);
	end(&east);
	rig_stop(&rig);
	rig_start(&rig);
	begin(&east);
	end(&west);
	begin(&west);
	pass(2 * SHARE_QUIET_NS);
	ck_assert_uint_eq(there.stores, 2);
	watch(&west, uid);
	watch(&west, other);
	ck_assert(both_have(uid, "x-a", "v"));
	ck_assert(both_have(other, "x-b", "w"));
}
END_TEST

/* A ledger that lists two at a time. */
static const struct ledger *whole;
static unsigned pages;
static bool is_gone; /* behind which to go on */
static unsigned failing_page;

static void
find_two(struct ledger *l, struct ledger_find *f)
{
	pages++;
	f->max = 2;
	if (is_gone && f->after != NULL) {
		f->after = "01000000-0000-7000-8000-000000000000";
		is_gone = false;
	}
	if (pages == failing_page) {
		wait_finish_soon(rig.loop, &f->wait, ERR_IO);
		return;
	}
	whole->ops->find(l, f);
}

/* However many there are, and how few of them the ledger lists at a time. */
START_TEST(test_looks_through_all)
{
	enum { OBJECTS = 7 };
	const struct ledger real = *rig.ledger;
	struct ledger_ops few = *rig.ledger->ops;
	const char *uids[OBJECTS];

	for (int i = 0; i < OBJECTS; i++)
		uids[i] = new_object(NULL);
	end(&east);
	for (int i = 0; i < OBJECTS; i++)
		set(&east, uids[i], "x-a", "1"); /* nobody takes note of it */
	whole = &real;
	few.find = find_two;
	pages = 0;
	rig.ledger->ops = &few;
	begin(&east);
	pass(SHARE_QUIET_NS + 10 * NS_PER_S);
	rig.ledger->ops = real.ops;
	ck_assert_uint_eq(pages, 4); /* of 2, 2, 2 and 1 */
	ck_assert_uint_eq(there.stores, OBJECTS);
	for (int i = 0; i < OBJECTS; i++) {
		watch(&west, uids[i]);
		ck_assert(both_have(uids[i], "x-a", "1"));
	}
}
END_TEST

/* The last of a part is gone when the next is asked for: all are listed anew. */
START_TEST(test_looks_anew)
{
	const struct ledger real = *rig.ledger;
	struct ledger_ops few = *rig.ledger->ops;
	const char *uids[4];

	for (int i = 0; i < 4; i++)
		uids[i] = new_object(NULL);
	end(&east);
	set(&east, uids[0], "x-a", "1"); /* the oldest: in the second part */
	whole = &real;
	few.find = find_two;
	pages = 0;
	rig.ledger->ops = &few;
	begin(&east);
	is_gone = true;
	pass(SHARE_QUIET_NS + NS_PER_S);
	ck_assert(!is_gone);
	ck_assert_uint_eq(pages, 2);
	ck_assert_uint_eq(there.stores, 0);
	pass(60 * NS_PER_S);
	rig.ledger->ops = real.ops;
	ck_assert_uint_eq(pages, 4);
	ck_assert_uint_eq(there.stores, 1);
}
END_TEST

/* A look that takes long keeps no change waiting, and loses nothing that others wrote. */
START_TEST(test_note_during_a_look)
{
	enum { OBJECTS = 20 };
	const char *uids[OBJECTS];

	for (int i = 0; i < OBJECTS; i++)
		uids[i] = new_object(NULL);
	end(&east);
	set(&west, uids[0], "x-w", "2");
	pass(SHARE_QUIET_NS + NS_PER_S);
	watch(&east, uids[0]);
	ck_assert(has(&east, uids[0], "x-w", NULL));
	set(&east, uids[1], "x-b", "3"); /* nobody takes note of it */
	begin(&east);
	set(&east, uids[0], "x-a", "1"); /* the oldest: looked at last */
	pass(SHARE_QUIET_NS + NS_PER_S / 2);
	watch(&west, uids[0]);
	watch(&west, uids[1]);
	ck_assert(both_have(uids[0], "x-a", "1") && both_have(uids[0], "x-w", "2"));
	ck_assert(has(&west, uids[1], "x-b", NULL)); /* the look has not come there */
	pass(SHARE_QUIET_NS);
	watch(&west, uids[1]);
	ck_assert(both_have(uids[1], "x-b", "3"));
	ck_assert_uint_eq(there.stores, 3);
}
END_TEST

/* More notes are due than can be served: the look goes on between them. */
START_TEST(test_look_among_notes)
{
	enum { OBJECTS = 30 };
	const char *uids[OBJECTS];

	for (int i = 0; i < OBJECTS; i++)
		uids[i] = new_object(NULL);
	end(&east);
	set(&east, uids[OBJECTS - 1], "x-b", "3"); /* nobody takes note of it */
	begin(&east);
	for (int i = 0; i < OBJECTS - 1; i++)
		set(&east, uids[i], "x-a", "1");
	pass(SHARE_QUIET_NS + NS_PER_S);
	watch(&west, uids[OBJECTS - 1]);
	ck_assert(both_have(uids[OBJECTS - 1], "x-b", "3"));
	ck_assert_int_gt(metric_get(METRIC_ATTRIBUTES_WAITING), OBJECTS / 2);
}
END_TEST

/* A part cannot be listed: it is asked for again.  What was deleted meanwhile stays so. */
START_TEST(test_looks_on_after_a_failure)
{
	const struct ledger real = *rig.ledger;
	struct ledger_ops few = *rig.ledger->ops;
	const char *uids[4];

	for (int i = 0; i < 4; i++)
		uids[i] = new_object(NULL);
	set(&east, uids[3], "x-c", "1");
	pass(SHARE_QUIET_NS + NS_PER_S);
	watch(&west, uids[3]);
	ck_assert(both_have(uids[3], "x-c", "1"));
	end(&east);
	set(&east, uids[0], "x-a", "1"); /* the oldest: in the second part */
	whole = &real;
	few.find = find_two;
	pages = 0;
	failing_page = 2;
	rig.ledger->ops = &few;
	begin(&east);
	pass(SHARE_QUIET_NS + NS_PER_S);
	ck_assert_uint_eq(pages, 2);
	set(&east, uids[3], "x-c", NULL);
	pass(60 * NS_PER_S);
	rig.ledger->ops = real.ops;
	failing_page = 0;
	ck_assert_uint_eq(pages, 3);
	watch(&west, uids[0]);
	watch(&west, uids[3]);
	ck_assert(both_have(uids[0], "x-a", "1") && both_have(uids[3], "x-c", NULL));
}
END_TEST

/* Its answer was lost, or it died before the commit: recovery takes over what was stored. */
START_TEST(test_successor_in_doubt)
{
	const char *uid = new_object(NULL);
	struct recover rec = {.wait = {.done = NULL}};

	there.store_fails = ERR_VAULT_DOWN;
	there.loses_answer = true;
	set(&east, uid, "x-a", "v");
	pass(SHARE_QUIET_NS + NS_PER_S);
	ck_assert_uint_eq(there.stores, 1);
	ck_assert_uint_eq(sequence_of(load(&east, uid)), 1);
	there.store_fails = ERR_OK;
	(void)rig_recover(&rig, &rec); /* the rig's vault has no successors: the intent alone goes */
	ck_assert_int_eq(adopt(&east, uid, NULL), ERR_OK);
	ck_assert_uint_eq(sequence_of(load(&east, uid)), 2);
	watch(&west, uid);
	ck_assert(both_have(uid, "x-a", "v"));
	pass(2 * SHARE_LONGEST_NS);
	ck_assert_uint_eq(there.stores, 1); /* nothing is left to be done */
}
END_TEST

START_TEST(test_failures_are_tried_again)
{
	static const enum err errors[] = {ERR_VAULT_DOWN, ERR_VAULT_FULL, ERR_INTERNAL};
	const char *uid = new_object(NULL);
	struct recover rec = {.wait = {.done = NULL}};

	there.store_fails = errors[_i];
	set(&east, uid, "x-a", "v");
	pass(SHARE_QUIET_NS + NS_PER_S);
	ck_assert_uint_eq(there.stores, 0);
	ck_assert_int_eq(metric_get(METRIC_ATTRIBUTES_WAITING), 1);
	ck_assert_int_eq(rig_recover(&rig, &rec), ERR_OK);
	there.store_fails = ERR_OK;
	pass(SHARE_LONGEST_NS);
	ck_assert_uint_eq(there.stores, 1);
}
END_TEST

/* Of one alone: more and more seldom, and told once, until a client changes it. */
START_TEST(test_one_that_goes_on_failing)
{
	const char *uid = new_object(NULL);

	there.make_fails = ERR_INTERNAL;
	set(&east, uid, "x-a", "v");
	pass(SHARE_QUIET_NS + NS_PER_S);
	ck_assert_uint_eq(there.makes, 1);
	pass(30 * NS_PER_S);
	ck_assert_uint_eq(there.makes, 2);
	pass(3600 * NS_PER_S);
	ck_assert_uint_ge(there.makes, 7);
	ck_assert_uint_le(there.makes, 9);
	there.makes = 0;
	pass(6 * 3600 * NS_PER_S);
	ck_assert_uint_ge(there.makes, 5);
	ck_assert_uint_le(there.makes, 7);
	there.makes = 0;
	set(&east, uid, "x-a", "w");
	pass(SHARE_QUIET_NS - NS_PER_S);
	ck_assert_uint_eq(there.makes, 0);
	pass(2 * NS_PER_S);
	ck_assert_uint_eq(there.makes, 1);
	there.make_fails = ERR_OK;
	pass(31 * NS_PER_S);
	ck_assert_uint_eq(there.stores, 1);
}
END_TEST

static struct change meanwhile;
static struct ledger_changes changes_meanwhile;
static struct outcome outcome_meanwhile;

static void
change_now(void)
{
	rig_begin(&changes_meanwhile.wait, &outcome_meanwhile);
	rig.ledger->ops->commit(rig.ledger, &changes_meanwhile);
	there.before_store = NULL;
}

/* While the successor is stored nobody else changes the object: a client's message comes again. */
START_TEST(test_locked)
{
	const char *uid = new_object(NULL);

	set(&east, uid, "x-a", "v");
	meanwhile = (struct change){CHANGE_UPDATE, load(&east, uid)};
	changes_meanwhile = (struct ledger_changes){.changes = &meanwhile, .count = 1};
	there.before_store = change_now;
	pass(SHARE_QUIET_NS + NS_PER_S);
	ck_assert_int_eq(rig_end(&rig, &outcome_meanwhile), ERR_CONFLICT);
	ck_assert_uint_eq(there.stores, 1);
	set(&east, uid, "x-a", "w");
	pass(SHARE_QUIET_NS + NS_PER_S);
	ck_assert_uint_eq(there.stores, 2);
}
END_TEST

/* Somebody else is at work on it when it is due: it comes again soon. */
START_TEST(test_at_work)
{
	const char *uid = new_object(NULL);
	struct change change = {CHANGE_REPLACE, NULL};
	struct ledger_changes c = {.changes = &change, .count = 1};

	set(&east, uid, "x-a", "v");
	change.object = load(&east, uid);
	ck_assert_int_eq(rig_prepare(&rig, &c), ERR_OK);
	pass(SHARE_QUIET_NS + NS_PER_S);
	ck_assert_uint_eq(there.stores, 0);
	ck_assert_int_eq(rig_commit(&rig, &c), ERR_OK);
	pass(SHARE_QUIET_NS + NS_PER_S);
	ck_assert_uint_eq(there.stores, 1);
}
END_TEST

START_TEST(test_many_objects)
{
	enum { MANY = 20 };
	const char *uids[MANY];
	int64_t begun;

	for (int i = 0; i < MANY; i++)
		uids[i] = new_object(NULL);
	for (int i = 0; i < MANY; i++)
		set(&east, uids[i], "x-a", "v");
	pass(SHARE_QUIET_NS - NS_PER_S / 5);
	begun = clock_now();
	while (there.stores < MANY)
		pass(NS_PER_S / 10);
	ck_assert_int_ge(clock_now() - begun, (MANY - 1) * NS_PER_S / 5); /* five a second */
	ck_assert_int_eq(metric_get(METRIC_ATTRIBUTES_WAITING), 0);
}
END_TEST

START_TEST(test_freed_in_the_middle)
{
	const char *uid = new_object(NULL);

	set(&east, uid, "x-a", "v");
	clock_test_advance(SHARE_QUIET_NS);
	for (int i = 0; i < _i; i++)
		loop_turn(rig.loop, false);
	end(&east);
	ck_assert_ptr_null(east.vault.share);
	pass(SHARE_LONGEST_NS);
	ck_assert_uint_le(there.stores, 1);
}
END_TEST

/* --- two gateways --- */

START_TEST(test_different_attributes)
{
	const char *uid = new_object("vm");

	set(&east, uid, "x-a", "1");
	pass(NS_PER_S);
	set(&west, uid, "x-b", "2");
	pass(SHARE_QUIET_NS - NS_PER_S / 2); /* the first wrote; the second has not */
	ck_assert_uint_eq(there.stores, 1);
	watch(&west, uid);
	ck_assert(has(&west, uid, "x-a", "1") && has(&west, uid, "x-b", "2"));
	pass(2 * SHARE_QUIET_NS);
	ck_assert_uint_eq(there.stores, 2);
	watch(&east, uid);
	ck_assert(both_have(uid, "x-a", "1") && both_have(uid, "x-b", "2"));
	pass(2 * SHARE_LONGEST_NS);
	ck_assert_uint_eq(there.stores, 2);
}
END_TEST

/* The same one at both: that which is written last stays, at both. */
START_TEST(test_same_attribute)
{
	const char *uid = new_object(NULL);

	set(&east, uid, "x-a", "1");
	pass(NS_PER_S);
	set(&west, uid, "x-a", "2");
	pass(SHARE_QUIET_NS - NS_PER_S / 2);
	watch(&west, uid);
	ck_assert(has(&west, uid, "x-a", "2"));
	pass(2 * SHARE_QUIET_NS);
	watch(&east, uid);
	ck_assert(both_have(uid, "x-a", "2"));
	ck_assert_uint_eq(there.stores, 2);
}
END_TEST

START_TEST(test_deleted)
{
	const char *uid = new_object(NULL);

	set(&east, uid, "x-a", "1");
	pass(SHARE_QUIET_NS + NS_PER_S);
	watch(&west, uid);
	set(&west, uid, "x-a", NULL);
	pass(SHARE_QUIET_NS + NS_PER_S);
	watch(&east, uid);
	ck_assert(both_have(uid, "x-a", NULL));
	ck_assert_uint_eq(there.stores, 2);
}
END_TEST

static void
archive(struct gateway *g, const char *uid, int64_t when)
{
	struct object *o = load(g, uid);

	o->date[DATE_ARCHIVE] = when;
	commit(g, o, CHANGE_UPDATE);
}

/* What is archived at one is so at the other, until it is recovered at either. */
START_TEST(test_archived)
{
	const char *uid = new_object(NULL);

	archive(&east, uid, 5);
	pass(SHARE_QUIET_NS + NS_PER_S);
	watch(&west, uid);
	ck_assert_int_eq(load(&west, uid)->date[DATE_ARCHIVE], 5);
	archive(&west, uid, NO_DATE);
	pass(SHARE_QUIET_NS + NS_PER_S);
	watch(&east, uid);
	ck_assert(!object_is_archived(load(&east, uid)));
	ck_assert_uint_eq(there.stores, 2);
	pass(2 * SHARE_LONGEST_NS);
	ck_assert_uint_eq(there.stores, 2);
}
END_TEST

/* One archives while the other sets an attribute: it stays archived, whoever's record wins. */
START_TEST(test_archived_at_once)
{
	const char *uid = new_object(NULL);

	archive(_i == 0 ? &east : &west, uid, 5);
	set(_i == 0 ? &west : &east, uid, "x-b", "2");
	pass(SHARE_QUIET_NS + NS_PER_S);
	for (int i = 0; i < 4; i++) {
		watch(&east, uid);
		watch(&west, uid);
		pass(2 * SHARE_QUIET_NS);
	}
	ck_assert(both_have(uid, "x-b", "2"));
	ck_assert_int_eq(load(&east, uid)->date[DATE_ARCHIVE], 5);
	ck_assert_int_eq(load(&west, uid)->date[DATE_ARCHIVE], 5);
}
END_TEST

/* Both write at one moment, and neither has seen the other's: nothing is lost. */
START_TEST(test_at_once)
{
	const char *uid = new_object(NULL);

	set(&east, uid, "x-a", "1");
	set(&west, uid, "x-b", "2");
	pass(SHARE_QUIET_NS + NS_PER_S);
	ck_assert_uint_eq(there.stores, 2);
	ck_assert_uint_eq(sequence_of(load(&east, uid)), 2);
	ck_assert_uint_eq(sequence_of(load(&west, uid)), 2);
	for (int i = 0; i < 4; i++) {
		watch(&east, uid);
		watch(&west, uid);
		pass(2 * SHARE_QUIET_NS);
	}
	ck_assert(both_have(uid, "x-a", "1") && both_have(uid, "x-b", "2"));
	ck_assert_uint_eq(there.stores, 3);
	ck_assert_uint_eq(sequence_of(load(&east, uid)), 3);
	ck_assert_uint_eq(sequence_of(load(&west, uid)), 3);
}
END_TEST

/* Two objects have one Name, each at its own gateway: no gateway takes the other's away. */
START_TEST(test_names)
{
	const char *uid = new_object(NULL);
	struct object *mine = rig_object(&rig, west.tenant, "vm");

	make_record(mine, rig.arena);
	put_record(mine);
	commit(&west, mine, CHANGE_ADOPT);
	set(&east, uid, "Name", "vm"); /* the same stored form is not needed for this */
	set(&east, uid, "x-a", "1");
	pass(SHARE_QUIET_NS + NS_PER_S);
	watch(&west, uid);
	set(&west, uid, "x-b", "2");
	pass(SHARE_QUIET_NS + NS_PER_S);
	watch(&east, uid);
	ck_assert(has(&east, uid, "Name", "vm"));
	ck_assert(both_have(uid, "x-a", "1") && both_have(uid, "x-b", "2"));
	ck_assert_ptr_nonnull(object_attr_get(load(&west, mine->uid), "Name", 0));
}
END_TEST

static void
put_at(struct object *o, const char *name, uint32_t index, const char *value)
{
	ck_assert_int_eq(object_attr_set(o, rig.arena, name, strlen(name), index,
			     (const uint8_t *)value, strlen(value)), ERR_OK);
}

static void
put(struct object *o, const char *name, const char *value)
{
	put_at(o, name, 0, value);
}

/* As Derive Key does. */
static void
add_link(struct gateway *g, const char *uid, const char *value)
{
	struct object *o = load(g, uid);
	uint32_t index = 0;

	while (object_attr_get(o, "Link", index) != NULL)
		index++;
	put_at(o, "Link", index, value);
	commit(g, o, CHANGE_UPDATE);
}

static unsigned
count_links(struct gateway *g, const char *uid, const char *value)
{
	const struct object *o = load(g, uid);
	unsigned n = 0;

	for (size_t i = 0; i < o->attrs_count; i++)
		n += strcmp(o->attrs[i].name, "Link") == 0 &&
		    o->attrs[i].value_len == strlen(value) &&
		    memcmp(o->attrs[i].value, value, strlen(value)) == 0;
	return n;
}

/* A key is derived from one base at either: the base is linked to both, and to each once. */
START_TEST(test_links)
{
	static const char *const all[] = {"k0", "k1", "k2", "k3"};
	const char *uid = new_object(NULL);
	unsigned stores;

	set(&west, uid, "x-a", "1");
	if (_i / 2 == 1) { /* they have a base that is no first record */
		pass(SHARE_QUIET_NS + NS_PER_S);
		watch(&east, uid);
	}
	add_link(&east, uid, "k0");
	if (_i % 2 == 1) /* else both write at one moment */
		pass(NS_PER_S);
	add_link(&west, uid, "k1");
	add_link(&west, uid, "k2");
	for (int i = 0; i < 5; i++) {
		pass(SHARE_QUIET_NS - NS_PER_S / 2);
		watch(i % 2 == 0 ? &west : &east, uid);
	}
	add_link(&east, uid, "k3");
	for (int i = 0; i < 6; i++) {
		pass(2 * SHARE_QUIET_NS);
		watch(i % 2 == 0 ? &west : &east, uid);
	}
	for (size_t i = 0; i < 4; i++) {
		ck_assert_uint_eq(count_links(&east, uid, all[i]), 1);
		ck_assert_uint_eq(count_links(&west, uid, all[i]), 1);
	}
	stores = there.stores;
	pass(4 * SHARE_LONGEST_NS);
	watch(&east, uid);
	watch(&west, uid);
	pass(4 * SHARE_LONGEST_NS);
	ck_assert_uint_eq(there.stores, stores); /* they agree */
	ck_assert(has(&east, uid, "x-a", "1"));
}
END_TEST

/* What is no new link is merged as anything else: changed here, or there, or deleted here. */
START_TEST(test_links_changed)
{
	struct object mine = {.attrs = NULL}, theirs = {.attrs = NULL}, base = {.attrs = NULL};

	for (uint32_t i = 0; i < 3; i++)
		put_at(&base, "Link", i, "old");
	put_at(&mine, "Link", 0, "mine");
	put_at(&mine, "Link", 1, "old");
	put_at(&theirs, "Link", 0, "theirs");
	put_at(&theirs, "Link", 1, "theirs");
	put_at(&theirs, "Link", 2, "old");
	ck_assert_int_eq(attr_merge(&mine, rig.arena, &base, &theirs), ERR_OK);
	ck_assert_uint_eq(mine.attrs_count, 2);
	ck_assert_uint_eq(object_attr_get(&mine, "Link", 0)->value[0], 'm');
	ck_assert_uint_eq(object_attr_get(&mine, "Link", 1)->value[0], 't');
}
END_TEST

static void
put_many(struct object *o, char letter, int count)
{
	char name[] = "x-000";

	for (int i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "%c-%03d", letter, i);
		put(o, name, "1");
	}
}

/* What finds no room keeps nothing else away. */
START_TEST(test_more_than_fits)
{
	struct object mine = {.attrs = NULL}, theirs = {.attrs = NULL}, base = {.attrs = NULL};

	put_many(&mine, 'y', 200);
	put(&base, "y-000", "1");
	put_many(&theirs, 'x', 100);
	put(&theirs, "y-000", "2");
	ck_assert_int_eq(attr_merge(&mine, rig.arena, &base, &theirs), ERR_OK);
	ck_assert_uint_eq(mine.attrs_count, OBJECT_ATTRS_MAX);
	ck_assert_uint_eq(object_attr_get(&mine, "y-000", 0)->value[0], '2');
}
END_TEST

/* What was not merged for want of memory is not taken for deleted, and nobody else loses it. */
START_TEST(test_merge_without_memory)
{
	static char large[20000];
	const char *uid = new_object(NULL);
	uint64_t before = sequence_of(load(&west, uid));

	memset(large, 'v', sizeof(large) - 1);
	set(&east, uid, "x-a", large);
	pass(SHARE_QUIET_NS + NS_PER_S);
	ck_assert_uint_eq(there.stores, 1);
	fault_test_arm(FAULT_ALLOC, (unsigned)_i, 1);
	watch(&west, uid);
	fault_test_clear();
	ck_assert(sequence_of(load(&west, uid)) == before || has(&west, uid, "x-a", large));
	watch(&west, uid);
	pass(2 * SHARE_LONGEST_NS);
	watch(&east, uid);
	ck_assert(both_have(uid, "x-a", large));
}
END_TEST

/* Nor does what was there before come back: that would undo it for everybody. */
START_TEST(test_change_without_memory)
{
	static char old[20000], new[20000];
	const char *uid = new_object(NULL);
	uint64_t before;

	memset(old, 'o', sizeof(old) - 1);
	memset(new, 'n', sizeof(new) - 1);
	set(&east, uid, "x-a", old);
	set(&east, uid, "x-b", "1");
	pass(SHARE_QUIET_NS + NS_PER_S);
	watch(&west, uid);
	ck_assert(both_have(uid, "x-a", old) && both_have(uid, "x-b", "1"));
	before = sequence_of(load(&west, uid));
	set(&east, uid, "x-a", new);
	set(&east, uid, "x-b", NULL);
	archive(&east, uid, 5);
	pass(SHARE_QUIET_NS + NS_PER_S);
	fault_test_arm(FAULT_ALLOC, (unsigned)_i, 1);
	watch(&west, uid);
	fault_test_clear();
	ck_assert(sequence_of(load(&west, uid)) == before || has(&west, uid, "x-a", new));
	watch(&west, uid);
	pass(2 * SHARE_LONGEST_NS);
	watch(&east, uid);
	ck_assert(both_have(uid, "x-a", new) && both_have(uid, "x-b", NULL));
	ck_assert_int_eq(load(&east, uid)->date[DATE_ARCHIVE], 5);
	ck_assert_int_eq(load(&west, uid)->date[DATE_ARCHIVE], 5);
}
END_TEST

/* Whether a change is to be written could not be told for want of memory: it is looked at again. */
START_TEST(test_due_without_memory)
{
	const char *uid = new_object(NULL);
	bool noted = _i > 0;

	if (!noted)
		end(&east);
	set(&east, uid, "x-a", "1");
	if (!noted)
		begin(&east);
	there.recorded_fails = noted ? (unsigned)_i : 1; /* before it is unwrapped, and after */
	pass(SHARE_QUIET_NS + NS_PER_S);
	ck_assert_uint_eq(there.recorded_fails, 0);
	ck_assert_uint_eq(there.stores, 0);
	pass(SHARE_LONGEST_NS);
	ck_assert_uint_eq(there.stores, 1);
	watch(&west, uid);
	ck_assert(both_have(uid, "x-a", "1"));
	ck_assert_int_eq(metric_get(METRIC_ATTRIBUTES_WAITING), 1); /* the west's, of what it took over */
}
END_TEST

/* Where attributes are local, they stay as they are, whatever another gateway writes. */
START_TEST(test_local)
{
	const char *uid = new_object(NULL);

	end(&west);
	share_note(west.vault.share, uid);
	set(&east, uid, "x-a", "1");
	pass(SHARE_QUIET_NS + NS_PER_S);
	watch(&west, uid);
	ck_assert_uint_eq(sequence_of(load(&west, uid)), 2);
	ck_assert(has(&west, uid, "x-a", NULL) && has(&east, uid, "x-a", "1"));
}
END_TEST

/* The others have shared theirs for a while when this one begins: nothing of theirs is deleted. */
START_TEST(test_begins_later)
{
	const char *uid = new_object(NULL);
	struct object *mine = rig_object(&rig, west.tenant, "vm");
	const struct object_attr *name = object_attr_get(mine, "Name", 0);
	struct object *theirs;

	end(&west);
	make_record(mine, rig.arena);
	put_record(mine);
	commit(&west, mine, CHANGE_ADOPT);
	if (_i == 1) { /* and have given a Name that is another object's here */
		theirs = load(&east, uid);
		ck_assert_int_eq(object_attr_set(theirs, rig.arena, "Name", 4, 0, name->value,
				     name->value_len),
		    ERR_OK);
		commit(&east, theirs, CHANGE_UPDATE);
	}
	set(&east, uid, "x-a", "1");
	set(&west, uid, "x-b", "2");
	pass(SHARE_QUIET_NS + NS_PER_S);
	watch(&west, uid);
	ck_assert(has(&west, uid, "x-a", NULL));
	ck_assert_uint_eq(there.stores, 1);
	begin(&west);
	pass(2 * SHARE_QUIET_NS);
	ck_assert_uint_eq(there.stores, 2);
	watch(&east, uid);
	ck_assert(both_have(uid, "x-a", "1") && both_have(uid, "x-b", "2"));
	ck_assert_int_eq(object_attr_get(load(&east, uid), "Name", 0) != NULL, _i == 1);
	ck_assert_ptr_null(object_attr_get(load(&west, uid), "Name", 0));
	pass(2 * SHARE_LONGEST_NS);
	ck_assert_uint_eq(there.stores, 2 + (unsigned)_i); /* the Name is written once more */
	watch(&west, uid);
	pass(2 * SHARE_LONGEST_NS);
	ck_assert_uint_eq(there.stores, 2 + (unsigned)_i);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("share");
	TCase *t = tcase_create("share");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_many_changes_make_one);
	tcase_add_test(t, test_longest);
	tcase_add_test(t, test_fresh);
	tcase_add_test(t, test_no_need);
	tcase_add_test(t, test_after_a_start);
	tcase_add_test(t, test_looks_through_all);
	tcase_add_test(t, test_looks_anew);
	tcase_add_test(t, test_note_during_a_look);
	tcase_add_test(t, test_look_among_notes);
	tcase_add_test(t, test_looks_on_after_a_failure);
	tcase_add_test(t, test_successor_in_doubt);
	tcase_add_loop_test(t, test_failures_are_tried_again, 0, 3);
	tcase_add_test(t, test_one_that_goes_on_failing);
	tcase_add_test(t, test_locked);
	tcase_add_test(t, test_at_work);
	tcase_add_test(t, test_many_objects);
	tcase_add_loop_test(t, test_freed_in_the_middle, 0, 12);
	tcase_add_test(t, test_different_attributes);
	tcase_add_test(t, test_same_attribute);
	tcase_add_test(t, test_deleted);
	tcase_add_test(t, test_archived);
	tcase_add_loop_test(t, test_archived_at_once, 0, 2);
	tcase_add_test(t, test_at_once);
	tcase_add_test(t, test_names);
	tcase_add_loop_test(t, test_links, 0, 4);
	tcase_add_test(t, test_links_changed);
	tcase_add_test(t, test_more_than_fits);
	tcase_add_loop_test(t, test_merge_without_memory, 0, 16);
	tcase_add_loop_test(t, test_change_without_memory, 0, 24);
	tcase_add_loop_test(t, test_due_without_memory, 0, 3);
	tcase_add_test(t, test_local);
	tcase_add_loop_test(t, test_begins_later, 0, 2);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
