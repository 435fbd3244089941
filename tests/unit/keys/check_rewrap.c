/* SPDX-License-Identifier: Apache-2.0 */
/* Rewrap on virtual time: its pace, its order, what fails, what is cancelled, and going on. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/metric.h"
#include "fakes.h"
#include "keys/rewrap.h"
#include "keys/underway.h"

#define PACE (200 * NS_PER_MS)
enum { OBJECTS = 5, MANY = 130 };

static struct fake fake;
static struct vault *vault;
static struct object *objects[OBJECTS];
static size_t heap_used;

static struct {
	struct rewrap r;
	unsigned ended, told;
	enum err e;
	unsigned asked;
} job;

static void
setup(void)
{
	fake_init(&fake);
	heap_used = secret_heap_used();
	vault = fake_vault(&fake, "east", "kmip");
	fake.stale = true;
	for (unsigned i = 0; i < OBJECTS; i++) {
		objects[i] = fake_object(&fake, "east", i);
		fake_know(&fake, objects[i], fake_record(&fake, vault, objects[i], 1));
	}
}

static void
teardown(void)
{
	fake_fini(&fake);
	ck_assert_uint_eq(secret_heap_used(), heap_used);
}

static void
done(struct wait *w, enum err e)
{
	(void)w;
	job.ended++;
	job.e = e;
}

static void
on_progress(struct rewrap *r)
{
	ck_assert_ptr_eq(r, &job.r);
	job.told++;
}

static bool
may_never_begin(struct rewrap *r)
{
	ck_assert_ptr_eq(r, &job.r);
	job.asked++;
	return false;
}

static bool
may_begin_later(struct rewrap *r)
{
	may_never_begin(r);
	return job.asked == 3;
}

static void
start_when(bool (*may_begin)(struct rewrap *r))
{
	memset(&job, 0, sizeof(job));
	job.r = (struct rewrap){.wait.done = done,
	    .progress = on_progress,
	    .may_begin = may_begin,
	    .loop = fake.loop,
	    .vault = vault,
	    .ledger = &fake.ledger,
	    .tenant = "east"};
	rewrap_start(&job.r);
	ck_assert_uint_eq(job.ended, 0);
	fake_settle(&fake);
}

static void
start(void)
{
	start_when(NULL);
}

static enum err
run(void)
{
	start();
	for (int i = 0; i < 100 && job.ended == 0; i++)
		fake_advance(&fake, PACE);
	ck_assert_uint_eq(job.ended, 1);
	return job.e;
}

static uint64_t
sequence(unsigned i)
{
	return fake_sequence_of(fake_known(&fake, "east", objects[i]->uid));
}

/* Records that are there, of that object. */
static unsigned
live(unsigned i)
{
	unsigned n = 0;

	for (size_t k = 0; k < fake.count; k++)
		n += fake.records[k].gone == GONE_UNKNOWN &&
		    strstr(fake.records[k].name, objects[i]->uid) != NULL;
	return n;
}

/* Make, intent, store, read back, commit; only then the old record goes. */
START_TEST(test_order)
{
	int64_t rewrapped = metric_get(METRIC_REWRAPPED_TOTAL);

	fake.objects_count = 1;
	ck_assert_int_eq(run(), ERR_OK);
	ck_assert_str_eq(fake.order, "umPsfCr");
	ck_assert_uint_eq(job.r.objects, 1);
	ck_assert_uint_eq(job.r.done, 1);
	ck_assert_uint_eq(job.r.rewrapped, 1);
	ck_assert_uint_eq(job.r.left, 0);
	ck_assert_int_eq(metric_get(METRIC_REWRAPPED_TOTAL), rewrapped + 1);
	ck_assert_uint_eq(sequence(0), 2);
	ck_assert_uint_eq(live(0), 1);
}
END_TEST

/* One after the other, a pause after each that was rewrapped, none after the others. */
START_TEST(test_pace)
{
	fake_know(&fake, objects[1], fake_record(&fake, vault, objects[1], 2)); /* new enough */
	start();
	for (unsigned i = 1; i <= OBJECTS - 1; i++) {
		ck_assert_uint_eq(job.r.rewrapped, i);
		if (i == OBJECTS - 1)
			break;
		fake_advance(&fake, PACE - NS_PER_MS);
		ck_assert_uint_eq(job.r.rewrapped, i);
		fake_advance(&fake, NS_PER_MS);
	}
	fake_advance(&fake, PACE);
	ck_assert_uint_eq(job.ended, 1);
	ck_assert_int_eq(job.e, ERR_OK);
	ck_assert_uint_eq(job.told, OBJECTS);
	ck_assert_uint_eq(sequence(1), 2);
	ck_assert_uint_eq(fake.make.calls, OBJECTS - 1);
}
END_TEST

/* Nothing is stale: nothing is done, and no time passes. */
START_TEST(test_nothing)
{
	fake.stale = false;
	start();
	fake_settle(&fake);
	ck_assert_uint_eq(job.ended, 1);
	ck_assert_int_eq(job.e, ERR_OK);
	ck_assert_uint_eq(job.r.done, OBJECTS);
	ck_assert_uint_eq(job.r.rewrapped, 0);
	ck_assert_str_eq(fake.order, "uuuuu");
	fake.objects_count = 0;
	ck_assert_int_eq(run(), ERR_OK);
	ck_assert_uint_eq(job.r.objects, 0);
}
END_TEST

/* What the ledger does not list at once is done all the same. */
START_TEST(test_more_than_a_list)
{
	fake.list_max = (size_t)_i;
	ck_assert_int_eq(run(), ERR_OK);
	ck_assert_uint_eq(job.r.objects, OBJECTS);
	ck_assert_uint_eq(job.r.done, OBJECTS);
	ck_assert_uint_eq(job.r.rewrapped, OBJECTS);
}
END_TEST

START_TEST(test_destroyed)
{
	fake_known(&fake, "east", objects[0]->uid)->state = OBJECT_DESTROYED;
	fake_known(&fake, "east", objects[1]->uid)->state = OBJECT_DESTROYED_COMPROMISED;
	ck_assert_int_eq(run(), ERR_OK);
	ck_assert_uint_eq(job.r.rewrapped, OBJECTS - 2);
	ck_assert_uint_eq(fake.unwrap.calls, OBJECTS - 2);
	ck_assert_uint_eq(sequence(0), 1);
}
END_TEST

/* The old record stays when its successor is not what it has to be; the intent is left behind. */
START_TEST(test_read_back)
{
	static const enum err all[] = {
	    ERR_OK, ERR_INTEGRITY, ERR_NO_OBJECT, ERR_NO_SECURE_MEMORY};

	fake.objects_count = 1;
	fake.wrong_back = _i == 0; /* it opens, but holds another key */
	fake.find.e = all[_i];
	fake.find.times = 1;
	ck_assert_int_eq(run(), ERR_BUSY);
	ck_assert_uint_eq(job.r.left, 1);
	ck_assert_str_eq(fake.order, "umPsfD");
	ck_assert_uint_eq(job.r.rewrapped, 0);
	ck_assert_uint_eq(sequence(0), 1);
	ck_assert_uint_eq(live(0), 2);
	ck_assert_uint_eq(fake.retire.calls, 0);
}
END_TEST

/* What concerns one object is left; what will meet the next one as well ends it all. */
static const struct {
	struct fake_fault *at;
	enum err e;
	bool general;
	const char *order; /* of the first object */
} faults[] = {
    {&fake.load, ERR_STORAGE_DOWN, true, ""},
    {&fake.load, ERR_NO_MEMORY, false, ""},
    {&fake.unwrap, ERR_INTEGRITY, false, "u"},
    {&fake.unwrap, ERR_NO_OBJECT, false, "u"},
    {&fake.unwrap, ERR_VAULT_DOWN, true, "u"},
    {&fake.unwrap, ERR_VAULT_DENIED, true, "u"},
    {&fake.unwrap, ERR_NO_ROOT_KEY, true, "u"},
    {&fake.make, ERR_NO_ROOT_KEY, true, "um"},
    {&fake.make, ERR_CRYPTO, false, "um"},
    {&fake.prepare, ERR_CONFLICT, false, "umP"},
    {&fake.prepare, ERR_BUSY, false, "umP"},
    {&fake.prepare, ERR_STORAGE_FULL, true, "umP"},
    {&fake.store, ERR_VAULT_DOWN, true, "umPsD"},
    {&fake.store, ERR_DEADLINE, true, "umPsD"},
    {&fake.store, ERR_DENIED, false, "umPsD"},
    {&fake.find, ERR_VAULT_DOWN, true, "umPsfD"},
    {&fake.commit, ERR_STORAGE_DOWN, true, "umPsfCD"},
    {&fake.commit, ERR_CONFLICT, false, "umPsfCD"},
};

/* What it did not come to is left, though nobody counted it: by "left 0" a root key is deleted. */
START_TEST(test_cannot_list)
{
	bool later = _i == 1;

	fake.list_max = 2;
	fake.list.e = ERR_STORAGE_DOWN;
	fake.list.times = later ? 0 : 1;
	start();
	fake.list.times = 1;
	for (int i = 0; i < 100 && job.ended == 0; i++)
		fake_advance(&fake, PACE);
	ck_assert_int_eq(job.e, ERR_STORAGE_DOWN);
	ck_assert_uint_eq(job.r.rewrapped, later ? 2 : 0);
	ck_assert_uint_eq(job.r.left, 1);
}
END_TEST

static bool
until_two_are_done(struct rewrap *r)
{
	return r->done < 2;
}

START_TEST(test_does_not_go_on)
{
	start();
	job.r.goes_on = until_two_are_done;
	for (int i = 0; i < 100 && job.ended == 0; i++)
		fake_advance(&fake, PACE);
	ck_assert_int_eq(job.e, ERR_CANCELLED);
	ck_assert_uint_eq(job.r.rewrapped, 2);
	ck_assert_uint_eq(job.r.left, 1);
}
END_TEST

START_TEST(test_faults)
{
	const char *order = faults[_i].order;
	enum err e;

	faults[_i].at->e = faults[_i].e;
	faults[_i].at->times = 1;
	e = run();
	ck_assert_int_eq(e, faults[_i].general ? faults[_i].e : ERR_BUSY);
	ck_assert_uint_eq(job.r.left, 1);
	ck_assert_uint_eq(job.r.rewrapped, faults[_i].general ? 0 : OBJECTS - 1);
	ck_assert_uint_eq(job.r.done, faults[_i].general ? 1 : OBJECTS);
	ck_assert_int_eq(strncmp(fake.order, order, strlen(order)), 0);
	ck_assert(fake.order[strlen(order)] != 'r');
	ck_assert_uint_eq(sequence(0), 1);
	ck_assert_uint_ge(live(0), 1);
	ck_assert_int_eq(run(), ERR_OK); /* again: what is done is skipped */
	ck_assert_uint_eq(job.r.rewrapped, faults[_i].general ? OBJECTS : 1);
	for (unsigned i = 0; i < OBJECTS; i++)
		ck_assert_uint_eq(sequence(i), 2);
}
END_TEST

/* A record that alone is refused, or is under another root key than new ones are; not an outage. */
START_TEST(test_alone)
{
	static const struct {
		enum err e;
		bool record_only, apart, general;
	} all[] = {
	    {ERR_VAULT_DENIED, true, false, false},
	    {ERR_VAULT_DENIED, false, true, false},
	    {ERR_NO_ROOT_KEY, false, true, false},
	    {ERR_VAULT_DOWN, true, true, true},
	    {ERR_DEADLINE, true, true, true},
	};

	fake.record_only = all[_i].record_only;
	fake.apart = all[_i].apart;
	fake.unwrap.e = all[_i].e;
	fake.unwrap.times = 1;
	ck_assert_int_eq(run(), all[_i].general ? all[_i].e : ERR_BUSY);
	ck_assert_uint_eq(job.r.left, 1);
	ck_assert_uint_eq(job.r.rewrapped, all[_i].general ? 0 : OBJECTS - 1);
	ck_assert_uint_eq(sequence(0), 1);
	ck_assert_int_eq(run(), ERR_OK);
	ck_assert_uint_eq(sequence(0), 2);
}
END_TEST

/* What began before is waited for, and then what it has left in the ledger is met. */
START_TEST(test_begins_later)
{
	struct object *late = fake_object(&fake, "east", OBJECTS);

	start_when(may_begin_later);
	fake_advance(&fake, NS_PER_S / 10);
	ck_assert_uint_eq(job.asked, 2);
	fake_know(&fake, late, fake_record(&fake, vault, late, 1));
	for (int i = 0; i < 100 && job.ended == 0; i++)
		fake_advance(&fake, PACE);
	ck_assert_uint_eq(job.asked, 3);
	ck_assert_int_eq(job.e, ERR_OK);
	ck_assert_uint_eq(job.r.rewrapped, OBJECTS + 1);
}
END_TEST

/* Who waits no longer has one left: nothing that it might not have come to is told to be done. */
START_TEST(test_begins_at_last)
{
	start_when(may_never_begin);
	for (int i = 0; i < 599; i++)
		fake_advance(&fake, NS_PER_S / 10);
	ck_assert_str_eq(fake.order, "");
	for (int i = 0; i < 100 && job.ended == 0; i++)
		fake_advance(&fake, PACE);
	ck_assert_int_eq(job.e, ERR_BUSY);
	ck_assert_uint_eq(job.r.rewrapped, OBJECTS);
	ck_assert_uint_eq(job.r.left, 1);
}
END_TEST

/* What may bring a record yet: with the next news of it the ledger has it, under whatever root key it is. */
START_TEST(test_in_doubt)
{
	static struct ledger_intent doubts[] = {
	    {.tenant = "west", .uid = "u1", .kind = CHANGE_INSERT},
	    {.tenant = "east", .uid = "u2", .kind = CHANGE_DESTROY},
	    {.tenant = "east", .uid = "u3", .kind = CHANGE_UPDATE},
	    {.tenant = "east", .uid = "u4", .kind = CHANGE_INSERT},
	    {.tenant = "east", .uid = "u5", .kind = CHANGE_REPLACE},
	};

	fake.doubts = doubts;
	fake.doubts_count = (size_t)_i;
	ck_assert_int_eq(run(), _i < 4 ? ERR_OK : ERR_BUSY);
	ck_assert_uint_eq(job.r.left, _i < 4 ? 0 : (unsigned)_i - 3);
	ck_assert_uint_eq(job.r.rewrapped, OBJECTS);
	ck_assert_uint_eq(fake.doubt.calls, _i < 3 ? 1 : _i < 5 ? 2 : 3);
}
END_TEST

START_TEST(test_doubts_are_not_told)
{
	fake.doubt.e = ERR_STORAGE_DOWN;
	fake.doubt.times = 1;
	ck_assert_int_eq(run(), ERR_STORAGE_DOWN);
	ck_assert_uint_eq(job.r.left, 1);
	ck_assert_str_eq(fake.order, "");
}
END_TEST

static bool
until_it_was_asked_twice(struct rewrap *r)
{
	(void)r;
	return job.asked < 2;
}

/* Cancelled, or cut off by a reload, before it began. */
START_TEST(test_never_begins)
{
	start_when(may_never_begin);
	if (_i == 0)
		wait_cancel(&job.r.wait);
	else
		job.r.goes_on = until_it_was_asked_twice;
	for (int i = 0; i < 1000; i++)
		fake_advance(&fake, NS_PER_S / 10);
	ck_assert_uint_eq(job.asked, _i == 0 ? 1 : 2);
	ck_assert_uint_eq(job.ended, _i == 0 ? 0 : 1);
	ck_assert_int_eq(job.e, _i == 0 ? ERR_OK : ERR_CANCELLED);
	ck_assert_uint_eq(job.r.left, _i == 0 ? 0 : 1);
	ck_assert_str_eq(fake.order, "");
}
END_TEST

/* A successor that is made here as well, until it is in the ledger, whoever has left it. */
START_TEST(test_under_way)
{
	struct fake_fault *const at[] = {&fake.load, &fake.make, &fake.prepare, &fake.store, &fake.commit};
	bool changing = at[_i / 2] != &fake.load && at[_i / 2] != &fake.make;

	at[_i / 2]->holds = true;
	start();
	ck_assert(underway_before(underway_next(), "east"));
	ck_assert(!underway_before(underway_next(), "west"));
	if (_i % 2 == 1) {
		wait_cancel(&job.r.wait);
		ck_assert(underway_before(underway_next(), "east") == changing);
	}
	at[_i / 2]->holds = false;
	while (fake_held(&fake) > 0)
		fake_release(&fake);
	fake_settle(&fake);
	ck_assert(!underway_before(underway_next(), "east"));
	wait_cancel(&job.r.wait);
}
END_TEST

/* As many lines as somebody reads, and how many more there would be. */
START_TEST(test_many_left)
{
	static char text[65536];
	const char *reason = _i == 0 ? "successor: left as it is" : "rewrap: left: the record";
	unsigned named = 0;
	int ends[2];
	ssize_t n;

	for (unsigned i = OBJECTS; i < MANY; i++) {
		struct object *o = fake_object(&fake, "east", i);

		fake_know(&fake, o, fake_record(&fake, vault, o, 1));
	}
	fake.unwrap.e = _i == 0 ? ERR_INTEGRITY : ERR_NO_OBJECT;
	fake.unwrap.times = MANY;
	ck_assert_int_eq(pipe2(ends, O_NONBLOCK), 0);
	log_set_output(ends[1], false);
	ck_assert_int_eq(run(), ERR_BUSY);
	log_set_output(STDERR_FILENO, true);
	ck_assert_uint_eq(job.r.left, MANY);
	n = read(ends[0], text, sizeof(text) - 1);
	ck_assert_int_gt(n, 0);
	for (const char *p = text; (p = strstr(p, reason)) != NULL; p++)
		named++;
	ck_assert_uint_eq(named, 100);
	ck_assert_ptr_nonnull(strstr(text, "more keys were left than are named tenant=east left=130"));
	close(ends[0]);
	close(ends[1]);
}
END_TEST

START_TEST(test_list_fails)
{
	fake.list.e = ERR_STORAGE_DOWN;
	fake.list.times = 1;
	ck_assert_int_eq(run(), ERR_STORAGE_DOWN);
	ck_assert_uint_eq(job.r.done, 0);
	ck_assert_str_eq(fake.order, "");
}
END_TEST

/*
 * Cancelled at each step of the first object.  Before the intent nothing was done; from then on the
 * change ends by itself, without the old record going, and the vault may be gone by then.
 */
START_TEST(test_cancel)
{
	static const struct {
		struct fake_fault *at;
		const char *order;
	} all[] = {
	    {&fake.doubt, ""},
	    {&fake.list, ""},
	    {&fake.load, ""},
	    {&fake.unwrap, "u"},
	    {&fake.make, "um"},
	    {&fake.prepare, "umPD"},
	    {&fake.store, "umPsD"},
	    {&fake.find, "umPsfD"},
	    {&fake.commit, "umPsfC"},
	};

	all[_i].at->holds = true;
	start();
	ck_assert_uint_eq(fake_held(&fake), 1);
	wait_cancel(&job.r.wait);
	all[_i].at->holds = false;
	memset(&job.r, 0xee, sizeof(job.r)); /* the caller's memory is its own again */
	while (fake_held(&fake) > 0)
		fake_release(&fake);
	fake_settle(&fake);
	fake_advance(&fake, 10 * PACE);
	ck_assert_uint_eq(job.ended, 0);
	ck_assert_str_eq(fake.order, all[_i].order);
	ck_assert_uint_eq(fake.retire.calls, 0);
	ck_assert_uint_ge(live(0), 1);
	ck_assert_int_eq(run(), ERR_OK);
	for (unsigned i = 0; i < OBJECTS; i++)
		ck_assert_uint_eq(sequence(i), 2);
}
END_TEST

/* Between two objects, and before it began at all. */
START_TEST(test_cancel_between)
{
	start();
	ck_assert_uint_eq(job.r.rewrapped, 1);
	wait_cancel(&job.r.wait);
	fake_advance(&fake, 10 * PACE);
	ck_assert_uint_eq(job.ended, 0);
	ck_assert_uint_eq(fake.make.calls, 1);
	rewrap_start(&job.r);
	wait_cancel(&job.r.wait);
	fake_settle(&fake);
	ck_assert_uint_eq(job.ended, 0);
	ck_assert_int_eq(run(), ERR_OK);
	ck_assert_uint_eq(job.r.rewrapped, OBJECTS - 1);
}
END_TEST

/* That the old record may not be deleted is no failure: its successor counts. */
START_TEST(test_writer)
{
	fake.retire.e = ERR_DENIED;
	fake.retire.times = 99;
	ck_assert_int_eq(run(), ERR_OK);
	ck_assert_uint_eq(job.r.rewrapped, OBJECTS);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("rewrap");
	TCase *t = tcase_create("rewrap");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_order);
	tcase_add_test(t, test_pace);
	tcase_add_test(t, test_nothing);
	tcase_add_loop_test(t, test_more_than_a_list, 1, OBJECTS + 1);
	tcase_add_test(t, test_destroyed);
	tcase_add_loop_test(t, test_read_back, 0, 4);
	tcase_add_loop_test(t, test_cannot_list, 0, 2);
	tcase_add_test(t, test_does_not_go_on);
	tcase_add_loop_test(t, test_faults, 0, (int)(sizeof(faults) / sizeof(*faults)));
	tcase_add_loop_test(t, test_alone, 0, 5);
	tcase_add_loop_test(t, test_many_left, 0, 2);
	tcase_add_test(t, test_begins_later);
	tcase_add_test(t, test_begins_at_last);
	tcase_add_loop_test(t, test_in_doubt, 0, 6);
	tcase_add_test(t, test_doubts_are_not_told);
	tcase_add_loop_test(t, test_never_begins, 0, 2);
	tcase_add_loop_test(t, test_under_way, 0, 10);
	tcase_add_test(t, test_list_fails);
	tcase_add_loop_test(t, test_cancel, 0, 9);
	tcase_add_test(t, test_cancel_between);
	tcase_add_test(t, test_writer);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
