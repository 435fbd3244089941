/* SPDX-License-Identifier: Apache-2.0 */
/* Finding objects: terms, order, pages, and that no equality on an attribute scans. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "job.h"

static struct rig rig;

enum { OBJECTS = 40 };
static struct object *objects[OBJECTS];

static void
attr(struct object *o, const char *name, uint32_t index, const char *value)
{
	ck_assert_int_eq(object_attr_set(o, rig.arena, name, strlen(name), index,
	    (const uint8_t *)value, strlen(value)), ERR_OK);
}

/* Every object: x-all; each second x-even; each tenth x-ten.  Dates grow by 10. */
static void
setup(void)
{
	static struct job jobs[OBJECTS];

	rig_init(&rig);
	rig_start(&rig);
	for (int i = 0; i < OBJECTS; i++) {
		struct object *o = objects[i] = rig_object(&rig, "a", NULL);

		o->date[DATE_INITIAL] = 1000 + 10 * (i / 2); /* two share each date */
		o->usage_mask = i % 4 == 0 ? 12 : 4;
		o->state = i % 3 == 0 ? OBJECT_ACTIVE : OBJECT_PRE_ACTIVE;
		attr(o, "x-all", 0, "same");
		if (i % 2 == 0) {
			attr(o, "x-even", 0, "other");
			attr(o, "x-even", 5, "yes");
			attr(o, "x-even", 6, "yes");
		}
		if (i % 10 == 0)
			attr(o, "x-ten", 0, "1");
	}
	for (int i = 0; i < OBJECTS; i++)
		job_start(&jobs[i], &rig, CHANGE_INSERT, objects[i], NULL);
	job_wait_all(&rig, jobs, OBJECTS);
	for (int i = 0; i < OBJECTS; i++)
		ck_assert_int_eq(jobs[i].e, ERR_OK);
}

static void
teardown(void)
{
	rig_fini(&rig);
}

static struct ledger_find found;
static int64_t now; /* what the next find is asked as of */

static uint64_t
find_more(const struct ledger_term *terms, size_t count, uint32_t offset, uint32_t max, bool all,
    bool destroyed)
{
	struct outcome out;

	found = (struct ledger_find){.arena = rig.arena, .tenant = "a", .terms = terms,
	    .terms_count = count, .offset = offset, .max = max, .include_destroyed = all,
	    .only_destroyed = destroyed, .now = now};
	rig_begin(&found.wait, &out);
	rig.ledger->ops->find(rig.ledger, &found);
	ck_assert_int_eq(rig_end(&rig, &out), ERR_OK);
	return found.total;
}

static enum err
find_after(const char *uid, uint32_t max)
{
	struct outcome out;

	found = (struct ledger_find){
	    .arena = rig.arena, .tenant = "a", .after = uid, .max = max, .now = now};
	rig_begin(&found.wait, &out);
	rig.ledger->ops->find(rig.ledger, &found);
	return rig_end(&rig, &out);
}

static uint64_t
find(const struct ledger_term *terms, size_t count)
{
	uint64_t total = find_more(terms, count, 0, 0, false, false);

	ck_assert_uint_eq(total, found.uids_count);
	return total;
}

static struct ledger_term
by_attr(const char *name, const char *value)
{
	return (struct ledger_term){.field = FIELD_ATTR, .name = name,
	    .value = (const uint8_t *)value, .value_len = strlen(value)};
}

static struct ledger_term
by_number(unsigned field, enum ledger_match match, int64_t number)
{
	return (struct ledger_term){.field = field, .match = match, .number = number};
}

START_TEST(test_attrs)
{
	struct ledger_term t[3] = {by_attr("x-even", "yes"), by_attr("x-ten", "1"),
	    by_attr("x-all", "same")};

	ck_assert_uint_eq(find(t, 1), 20); /* any instance, each object once */
	ck_assert_uint_eq(find(&t[1], 1), 4);
	ck_assert_uint_eq(find(t, 3), 4);
	t[0].match = MATCH_NOT; /* all but the 20, alone and beside what leads */
	ck_assert_uint_eq(find(t, 1), find(&t[2], 1) - 20);
	ck_assert_uint_eq(find(t, 3), 0);
	ck_assert_uint_eq(find(t, 2), 0);
	t[0] = by_attr("x-even", "nobody has this");
	t[0].match = MATCH_NOT;
	ck_assert_uint_eq(find(t, 3), 4);
	t[0] = by_attr("x-even", "ye");
	ck_assert_uint_eq(find(t, 1), 0);
	t[0] = by_attr("X-EVEN", "yes");
	ck_assert_uint_eq(find(t, 1), 0);
	t[0] = by_attr("x-eveny", "es"); /* where a name ends matters */
	ck_assert_uint_eq(find(t, 1), 0);
}
END_TEST

static void
note(const struct ledger_use *uses, size_t count, enum err want)
{
	struct ledger_uses n = {.uses = uses, .count = count};
	struct outcome out;

	rig_begin(&n.wait, &out);
	rig.ledger->ops->note_uses(rig.ledger, &n);
	ck_assert_int_eq(rig_end(&rig, &out), want);
}

/* A use is none of the object's changes, never goes back, and counts from when it is recorded. */
START_TEST(test_uses)
{
	struct ledger_term t[2] = {by_number(FIELD_USED, MATCH_AT_LEAST, 5000000000),
	    by_attr("x-ten", "1")};
	struct ledger_use used[4] = {{"a", objects[0]->uid, 5000000000},
	    {"a", objects[1]->uid, 5000000001}, {"b", objects[2]->uid, 5000000000},
	    {"a", "nobody", 5000000000}};
	static struct ledger_use many[LEDGER_USES_MAX + 1];
	struct ledger_load load = {.arena = rig.arena, .tenant = "a", .uid = objects[0]->uid};
	struct outcome out;

	ck_assert_uint_eq(find(t, 1), 0);
	note(used, 4, ERR_OK);
	ck_assert_uint_eq(find(t, 1), 2);
	ck_assert_uint_eq(find(t, 2), 1);
	used[0].when = used[1].when = 7;
	note(used, 2, ERR_OK);
	ck_assert_uint_eq(find(t, 1), 2);
	t[0] = by_number(FIELD_USED, MATCH_AT_MOST, 4999999999);
	ck_assert_uint_eq(find(t, 1), OBJECTS - 2);
	t[0].number = 2000; /* after their initial dates, before the ledger knew them */
	ck_assert_uint_eq(find(t, 1), 0);
	rig_begin(&load.wait, &out);
	rig.ledger->ops->load(rig.ledger, &load);
	ck_assert_int_eq(rig_end(&rig, &out), ERR_OK);
	ck_assert_int_eq(load.used, 5000000000);
	ck_assert_uint_eq(load.object->revision, objects[0]->revision + 1);
	for (size_t i = 0; i <= LEDGER_USES_MAX; i++)
		many[i] = used[0];
	note(many, LEDGER_USES_MAX, ERR_OK);
	note(many, LEDGER_USES_MAX + 1, ERR_REQUEST_TOO_LARGE);
}
END_TEST

START_TEST(test_fields)
{
	struct ledger_term t[2];

	ck_assert_uint_eq(find(NULL, 0), OBJECTS);
	t[0] = by_number(FIELD_STATE, MATCH_EQUAL, OBJECT_ACTIVE);
	ck_assert_uint_eq(find(t, 1), 14);
	t[1] = by_attr("x-even", "yes");
	ck_assert_uint_eq(find(t, 2), 7);
	t[0] = by_number(FIELD_USAGE_MASK, MATCH_EQUAL, 8); /* all these bits, others or not */
	ck_assert_uint_eq(find(t, 1), 10);
	t[0] = by_number(FIELD_TYPE, MATCH_EQUAL, 2);
	ck_assert_uint_eq(find(t, 1), OBJECTS);
	t[0] = by_number(FIELD_LENGTH, MATCH_EQUAL, 128);
	ck_assert_uint_eq(find(t, 1), 0);
	t[0] = by_number(FIELD_ALGORITHM, MATCH_EQUAL, 3);
	t[1] = by_number(FIELD_REVOCATION, MATCH_EQUAL, 0);
	ck_assert_uint_eq(find(t, 2), OBJECTS);
	t[0] = (struct ledger_term){.field = FIELD_UID, .name = objects[7]->uid};
	ck_assert_uint_eq(find(t, 1), 1);
	ck_assert_str_eq(found.uids[0], objects[7]->uid);
	t[0].name = "no-such-uid-and-longer-than-any-uid-can-be";
	ck_assert_uint_eq(find(t, 1), 0);
}
END_TEST

START_TEST(test_dates)
{
	struct ledger_term t[2] = {by_number(FIELD_DATE + DATE_INITIAL, MATCH_AT_LEAST, 1020),
	    by_number(FIELD_DATE + DATE_INITIAL, MATCH_AT_MOST, 1040)};

	ck_assert_uint_eq(find(t, 2), 6);
	t[0] = by_number(FIELD_DATE + DATE_INITIAL, MATCH_EQUAL, 1020);
	ck_assert_uint_eq(find(t, 1), 2);
	t[0] = by_number(FIELD_DATE + DATE_DESTROY, MATCH_AT_LEAST, 0); /* has none */
	ck_assert_uint_eq(find(t, 1), 0);
}
END_TEST

/* Newest first, by date and uid; pages join without gap or repeat. */
START_TEST(test_order_and_pages)
{
	char all[OBJECTS][UID_TEXT_LEN + 1];

	ck_assert_uint_eq(find(NULL, 0), OBJECTS);
	memcpy(all, found.uids, sizeof(all));
	ck_assert(strcmp(all[0], objects[39]->uid) == 0 || strcmp(all[0], objects[38]->uid) == 0);
	for (int i = 0; i < OBJECTS; i += 2)
		ck_assert_int_gt(strcmp(all[i], all[i + 1]), 0);
	for (uint32_t at = 0; at < OBJECTS; at += 7) {
		ck_assert_uint_eq(find_more(NULL, 0, at, 7, false, false), OBJECTS);
		ck_assert_uint_eq(found.uids_count, OBJECTS - at < 7 ? OBJECTS - at : 7);
		for (size_t i = 0; i < found.uids_count; i++)
			ck_assert_str_eq(found.uids[i], all[at + i]);
	}
	ck_assert_uint_eq(find_more(NULL, 0, 1000, 7, false, false), OBJECTS);
	ck_assert_uint_eq(found.uids_count, 0);
}
END_TEST

/* In parts, each behind the last one's end. */
START_TEST(test_after)
{
	char all[OBJECTS][UID_TEXT_LEN + 1];

	ck_assert_uint_eq(find(NULL, 0), OBJECTS);
	memcpy(all, found.uids, sizeof(all));
	for (size_t at = 1; at <= OBJECTS; at++) {
		ck_assert_int_eq(find_after(all[at - 1], 7), ERR_OK);
		ck_assert_uint_eq(found.total, OBJECTS - at);
		ck_assert_uint_eq(found.uids_count, OBJECTS - at < 7 ? OBJECTS - at : 7);
		for (size_t i = 0; i < found.uids_count; i++)
			ck_assert_str_eq(found.uids[i], all[at + i]);
	}
	ck_assert_int_eq(find_after("nobody", 7), ERR_NO_OBJECT);
}
END_TEST

START_TEST(test_destroyed_and_changed)
{
	struct ledger_term t = by_attr("x-ten", "1");
	struct object *o;
	enum err e;

	o = rig_load(&rig, "a", objects[0]->uid, &e);
	ck_assert_int_eq(rig_destroy(&rig, o), ERR_OK);
	ck_assert_uint_eq(find(&t, 1), 3);
	ck_assert_uint_eq(find_more(&t, 1, 0, 0, true, false), 4);
	ck_assert_uint_eq(find_more(&t, 1, 0, 0, true, true), 1);
	ck_assert_str_eq(found.uids[0], objects[0]->uid);
	o = rig_load(&rig, "a", objects[10]->uid, &e);
	ck_assert(object_attr_remove(o, "x-ten", 0));
	ck_assert(object_attr_remove(o, "x-even", 5)); /* the other instance still has the value */
	ck_assert_int_eq(rig_update(&rig, o), ERR_OK);
	ck_assert_uint_eq(find(&t, 1), 2);
	t = by_attr("x-even", "yes");
	ck_assert_uint_eq(find(&t, 1), 19);
}
END_TEST

/* Archived objects are found unless they are left out; what is destroyed has its own say. */
START_TEST(test_archived)
{
	static const struct {
		bool destroyed, no_online, no_archived;
		unsigned found;
	} cases[] = {
	    {false, false, false, 3}, {false, true, false, 1}, {false, false, true, 2},
	    {true, false, false, 4}, {true, true, false, 2}, {true, false, true, 3}};
	struct ledger_term t = by_attr("x-ten", "1"), by_date;
	struct ledger_find find;
	struct outcome out;
	struct object *o;
	enum err e;

	for (int i = 0; i < 20; i += 10) {
		o = rig_load(&rig, "a", objects[i]->uid, &e);
		o->date[DATE_ARCHIVE] = 1000 + i;
		ck_assert_int_eq(rig_update(&rig, o), ERR_OK);
		by_date = by_number(FIELD_DATE + DATE_ARCHIVE, MATCH_AT_LEAST, 1000 + i);
		ck_assert_uint_eq(find_more(&by_date, 1, 0, 0, false, false), 1);
	}
	o = rig_load(&rig, "a", objects[0]->uid, &e);
	ck_assert_int_eq(rig_destroy(&rig, o), ERR_OK);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		unsigned matching = 0;

		find = (struct ledger_find){.arena = rig.arena, .tenant = "a", .terms = &t,
		    .terms_count = 1, .include_destroyed = cases[i].destroyed,
		    .no_online = cases[i].no_online, .no_archived = cases[i].no_archived};
		rig_begin(&find.wait, &out);
		rig.ledger->ops->find(rig.ledger, &find);
		ck_assert_int_eq(rig_end(&rig, &out), ERR_OK);
		ck_assert_msg(find.uids_count == cases[i].found, "case %zu: %zu", i, find.uids_count);
		for (int n = 0; n < OBJECTS; n++)
			matching += ledger_find_matches(
			    &find, rig_load(&rig, "a", objects[n]->uid, &e));
		ck_assert_msg(matching == cases[i].found, "case %zu: %u match", i, matching);
	}
}
END_TEST

/* A state is what the dates make of it at that time, whatever the row says. */
START_TEST(test_state_by_dates)
{
	static const struct {
		int64_t now;
		unsigned pre_active, active, deactivated;
	} at[] = {{99, 26, 14, 0}, {100, 25, 15, 0}, {199, 25, 15, 0}, {200, 25, 13, 2}};
	struct ledger_term t[2] = {by_number(FIELD_STATE, MATCH_EQUAL, 0), by_attr("x-all", "same")};
	struct object *o;
	enum err e;

	o = rig_load(&rig, "a", objects[1]->uid, &e); /* Pre-Active: Active, then Deactivated */
	o->date[DATE_ACTIVATION] = 100;
	o->date[DATE_DEACTIVATION] = 200;
	ck_assert_int_eq(rig_update(&rig, o), ERR_OK);
	o = rig_load(&rig, "a", objects[0]->uid, &e); /* Active: Deactivated */
	o->date[DATE_DEACTIVATION] = 200;
	ck_assert_int_eq(rig_update(&rig, o), ERR_OK);
	o = rig_load(&rig, "a", objects[2]->uid, &e); /* Pre-Active, and stays it */
	o->date[DATE_DEACTIVATION] = 50;
	ck_assert_int_eq(rig_update(&rig, o), ERR_OK);
	for (size_t i = 0; i < sizeof(at) / sizeof(*at); i++) {
		now = at[i].now;
		for (size_t terms = 1; terms <= 2; terms++) { /* led by the state, by an attribute */
			t[0].number = OBJECT_PRE_ACTIVE;
			ck_assert_uint_eq(find(t, terms), at[i].pre_active);
			t[0].number = OBJECT_ACTIVE;
			ck_assert_uint_eq(find(t, terms), at[i].active);
			t[0].number = OBJECT_DEACTIVATED;
			ck_assert_uint_eq(find(t, terms), at[i].deactivated);
			t[0].number = 99;
			ck_assert_uint_eq(find(t, terms), 0);
		}
	}
	ck_assert_uint_eq(find_more(t, 0, 0, 0, true, true), 0); /* no date destroys anything */
	now = 0;
}
END_TEST

START_TEST(test_other_tenant)
{
	struct ledger_term t = by_attr("x-all", "same");
	struct outcome out;

	found = (struct ledger_find){.arena = rig.arena, .tenant = "b", .terms = &t,
	    .terms_count = 1};
	rig_begin(&found.wait, &out);
	rig.ledger->ops->find(rig.ledger, &found);
	ck_assert_int_eq(rig_end(&rig, &out), ERR_OK);
	ck_assert_uint_eq(found.total, 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("find");
	TCase *t = tcase_create("find");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_attrs);
	tcase_add_test(t, test_uses);
	tcase_add_test(t, test_fields);
	tcase_add_test(t, test_dates);
	tcase_add_test(t, test_order_and_pages);
	tcase_add_test(t, test_after);
	tcase_add_test(t, test_destroyed_and_changed);
	tcase_add_test(t, test_archived);
	tcase_add_test(t, test_state_by_dates);
	tcase_add_test(t, test_other_tenant);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
