/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of a root key, and whose deletions are for good. */
#include <check.h>
#include <string.h>

#include "base/clock.h"
#include "rootcase.h"

#define GONE "{\"resources\":[{\"errorMsg\":\"m\",\"reasons\":[{\"code\":\"KEY_DELETED_ERR\"}]}]}"

/* --- what is known of a root key --- */

struct told {
	enum err e;
	bool moved, suspended;
};

static void
ignore(void *arg, const struct vault_record *r)
{
	(void)arg, (void)r;
}

static struct told
ask(int64_t since, bool sure)
{
	struct kpjob j = {false};
	struct vault_news n = {
	    .wait = {.done = kpjob_done, .owner = &j}, .since = since, .sure = sure, .each = ignore};
	struct vault_source *s = vault_kp_source(rig->vault);

	s->news(s, &n);
	kprig_run(rig, &j);
	return (struct told){j.e, n.moved, n.suspended};
}

static struct told
ask_news(void)
{
	return ask(0, false);
}

static struct told
ask_surely(void)
{
	return ask(1, true);
}

static bool
complains(const char *of)
{
	const char *complaint = rig->vault->ops->complaint(rig->vault);

	return complaint != NULL && strstr(complaint, of) != NULL;
}

/* So that the rights are tried, and that is over. */
static void
ask_all(void)
{
	ck_assert_int_eq(ask(1, false).e, ERR_OK);
	for (int i = 0; i < 40; i++) {
		kprig_settle(rig);
		clock_test_advance(50 * NS_PER_MS);
	}
}

/* What is missing is known before a client has met it, and nothing is changed for that. */
START_TEST(test_rights)
{
	stored_key();
	ck_assert_int_eq(ask_news().e, ERR_OK); /* the first question is for the time alone */
	kprig_settle(rig);
	ck_assert_uint_eq(rig->rights_tried + rig->deletes, 0);
	ask_all();
	ck_assert_uint_eq(rig->rights_tried, 1);
	ck_assert_uint_eq(rig->deletes, 1);
	ck_assert(!complains("Manager") && !complains("Writer"));
	ask_all(); /* seldom */
	ck_assert_uint_eq(rig->deletes, 1);
	rig->writer_only = true;
	clock_test_advance(6 * 3600 * NS_PER_S);
	ask_all();
	ck_assert(complains("Manager is needed to destroy") && !complains("Writer"));
	rig->reader_only = true;
	clock_test_advance(3600 * NS_PER_S);
	ask_all();
	ck_assert(complains("Manager is needed to destroy"));
	ck_assert(complains("Writer is needed to make"));
	rig->reader_only = rig->writer_only = false;
	clock_test_advance(3600 * NS_PER_S); /* sooner, as somebody may have granted it */
	ask_all();
	ck_assert(!complains("Manager") && !complains("Writer"));
	ck_assert_uint_eq(rig->keys_count, 1);
	ck_assert_int_eq(rig->keys[0].state, 1);
	ck_assert_uint_eq(rig->posts, 1);
}
END_TEST

/* An outage tells nothing: what was known stays, and it is tried again soon. */
START_TEST(test_rights_unanswered)
{
	static const int statuses[] = {503, 429, 404};

	rig->writer_only = true;
	ask_all();
	ck_assert(complains("Manager"));
	rig->writer_only = false;
	clock_test_advance(3600 * NS_PER_S);
	rig->fault = (struct spoiled){
	    "DELETE", "/", 9, SPOIL_STATUS, statuses[_i], NULL, "<html>"};
	ask_all();
	for (int i = 0; i < 10; i++) {
		kprig_settle(rig);
		clock_test_advance(NS_PER_S);
	}
	ck_assert(complains("Manager"));
	rig->fault.times = 0;
	clock_test_advance(600 * NS_PER_S);
	ask_all();
	ck_assert(!complains("Manager"));
}
END_TEST

/* A token that is refused while IAM has no other: that is an outage, too. */
START_TEST(test_rights_no_token)
{
	unsigned deletes;

	ck_assert_int_eq(ask_news().e, ERR_OK);
	rig->fault = (struct spoiled){"DELETE", "/", 1, SPOIL_STATUS, 401, NULL, ""};
	rig->iam_fault = (struct spoiled){
	    "POST", "/", 99, _i == 0 ? SPOIL_STATUS : SPOIL_HANG_BEFORE, 503, NULL, ""};
	ck_assert_int_eq(ask(1, false).e, ERR_OK);
	for (int i = 0; i < 60; i++) {
		kprig_settle(rig);
		clock_test_advance(NS_PER_S / 2);
	}
	ck_assert_uint_eq(rig->fault.times, 0);
	ck_assert_uint_lt(rig->iam_fault.times, 99);
	ck_assert(!complains("Manager") && !complains("Writer"));
	rig->iam_fault.times = 0;
	deletes = rig->deletes;
	clock_test_advance(600 * NS_PER_S);
	ask_all();
	ck_assert_uint_eq(rig->deletes, deletes + 1);
	ck_assert(!complains("Manager") && !complains("Writer"));
}
END_TEST

/* Its vault goes while it is under way. */
START_TEST(test_rights_left)
{
	struct kpjob j = {false};
	struct vault_news n = {
	    .wait = {.done = kpjob_done, .owner = &j}, .since = 1, .each = ignore};
	struct vault_source *s = vault_kp_source(rig->vault);

	rig->fault = (struct spoiled){"DELETE", "/", 1, SPOIL_HANG_BEFORE, 0, NULL, ""};
	s->news(s, &n);
	kprig_run(rig, &j);
	ck_assert_int_eq(j.e, ERR_OK);
	kprig_settle(rig);
	ck_assert_uint_eq(rig->fault.times, 0);
	rig->vault->ops->free(rig->vault);
	rig->vault = NULL;
}
END_TEST

/* A client's Create is refused, or served: that counts at once. */
START_TEST(test_create_refused)
{
	struct object *o = kprig_object(rig, 256);

	ck_assert_int_eq(kprig_make(rig, o, NULL), ERR_OK);
	rig->reader_only = true;
	ck_assert_int_eq(kprig_store(rig, o), ERR_VAULT_DENIED);
	ck_assert(complains("Writer is needed to make"));
	rig->reader_only = false;
	ck_assert_int_eq(kprig_store(rig, o), ERR_OK);
	ck_assert(!complains("Writer"));
}
END_TEST

START_TEST(test_complaints)
{
	struct object *o = stored_key();
	struct vault_kp_params p = rig->params;
	struct vault *third;

	add_tenant(NULL);
	p.root_key = OTHER_ROOT;
	third = vault_with(&p);
	rig->writer_only = true;
	ck_assert_int_eq(kprig_destroy(rig, o), ERR_DENIED);
	ck_assert_ptr_nonnull(rig->vault->ops->complaint(rig->vault));
	ck_assert_ptr_nonnull(other->ops->complaint(other));
	ck_assert_ptr_null(third->ops->complaint(third));
	third->ops->free(third);
	rig->writer_only = false;
	ck_assert_int_eq(kprig_destroy(rig, o), ERR_OK);
	ck_assert_ptr_null(other->ops->complaint(other));
}
END_TEST

/* A key that another root key wrapped is told as such, also when that one is gone. */
START_TEST(test_apart)
{
	struct object *o = stored_key();
	struct kpjob j[2] = {{false}};
	struct vault_unwrap u[2];

	add_tenant(OTHER_ROOT);
	for (int i = 0; i < 2; i++) {
		u[i] = (struct vault_unwrap){
		    .wait = {.done = kpjob_done, .owner = &j[i]}, .object = o};
		rig->root_state = i == 0 ? 1 : 5;
		other->ops->unwrap(other, &u[i]);
		kprig_run(rig, &j[i]);
		ck_assert_int_eq(j[i].e, i == 0 ? ERR_OK : ERR_NO_ROOT_KEY);
		ck_assert(u[i].apart);
		secret_unref(u[i].key);
	}
	rig->root_state = 1;
	j[0].done = u[0].apart = false;
	rig->vault->ops->unwrap(rig->vault, &u[0]);
	kprig_run(rig, &j[0]);
	ck_assert(!u[0].apart && !u[0].stale);
	secret_unref(u[0].key);
}
END_TEST

static struct vault_unwrap
unwrap_it(const struct object *o)
{
	struct kpjob j = {false};
	struct vault_unwrap u = {.wait = {.done = kpjob_done, .owner = &j}, .object = o};

	rig->vault->ops->unwrap(rig->vault, &u);
	kprig_run(rig, &j);
	ck_assert_int_eq(j.e, ERR_OK);
	secret_unref(u.key);
	return u;
}

static void
use_alias(void)
{
	rig->alias = rig->params.root_key = "prod";
	strcpy(rig->root_id, OTHER_ROOT);
	kprig_vault(rig);
}

/* An alias that moves takes no key with it: each is under the root key that wrapped it. */
START_TEST(test_alias)
{
	char root[UID_TEXT_LEN + 1];
	struct vault_unwrap u;
	struct object *o, *later;
	struct told t;

	use_alias();
	o = stored_key();
	ck_assert_uint_eq(rig->looks, 1); /* which one it is has to be known before anything is wrapped */
	ck_assert_int_eq(ask_news().e, ERR_OK);
	strcpy(rig->root_id, THIRD_ROOT);
	u = unwrap_it(o);
	ck_assert(!u.apart && !u.stale);
	t = ask_news();
	ck_assert(t.e == ERR_OK && !t.moved); /* not yet seen */
	clock_test_advance(301 * NS_PER_S);
	if (_i == 1) /* the old one is gone as well: looked at out of turn */
		rig->fault = (struct spoiled){"POST", OTHER_ROOT "/actions/unwrap", 1, SPOIL_STATUS,
		    410, NULL, GONE};
	t = ask_news();
	ck_assert(t.e == ERR_OK && t.moved);
	t = ask_news();
	ck_assert(t.e == ERR_OK && !t.moved);
	rig->fault.times = 0;
	u = unwrap_it(o);
	ck_assert(u.apart && u.stale);
	later = stored_key();
	u = unwrap_it(later);
	ck_assert(!u.apart && !u.stale);
	rig->vault->ops->root_key(root, o);
	ck_assert_str_eq(root, OTHER_ROOT);
	rig->vault->ops->root_key(root, later);
	ck_assert_str_eq(root, THIRD_ROOT);
	later->record_len--;
	rig->vault->ops->root_key(root, later);
	ck_assert_str_eq(root, "");
}
END_TEST

/* Who asks to be sure hears of it at once, or that it cannot be told. */
START_TEST(test_alias_surely)
{
	struct vault_unwrap u;
	struct object *o;
	struct told t;

	use_alias();
	o = stored_key();
	ck_assert_int_eq(ask_surely().e, ERR_OK);
	rig->fault = (struct spoiled){
	    "GET", "/prod/metadata", 99, _i == 0 ? SPOIL_STATUS : SPOIL_HANG_BEFORE, 503, NULL, ""};
	ck_assert_int_eq(ask_surely().e, _i == 0 ? ERR_VAULT_DOWN : ERR_DEADLINE);
	ck_assert_int_eq(ask_news().e, ERR_OK);
	rig->fault.times = 0;
	rig->alias_gone = true;
	ck_assert_int_eq(ask_surely().e, ERR_NO_ROOT_KEY);
	ck_assert_int_eq(ask_news().e, ERR_OK);
	rig->alias_gone = false;
	rig->root_state = 2;
	t = ask_surely();
	ck_assert(t.e == ERR_NO_ROOT_KEY && t.suspended && !t.moved);
	rig->root_state = 1;
	ck_assert_int_eq(ask_surely().e, ERR_OK);
	strcpy(rig->root_id, THIRD_ROOT);
	u = unwrap_it(o);
	ck_assert(!u.apart && !u.stale);
	t = ask_surely();
	ck_assert(t.e == ERR_OK && t.moved);
	u = unwrap_it(o);
	ck_assert(u.apart && u.stale);
}
END_TEST

/* An id names one and the same for ever. */
START_TEST(test_id_surely)
{
	unsigned looks;

	ck_assert_int_eq(ask_news().e, ERR_OK);
	looks = rig->looks;
	ck_assert_int_eq(ask_surely().e, ERR_OK);
	ck_assert_uint_eq(rig->looks, looks);
}
END_TEST

/* It moves only after it was away for some minutes; meanwhile all goes on. */
START_TEST(test_alias_gone)
{
	struct object *o;

	use_alias();
	rig->alias_gone = true;
	ck_assert_int_eq(kprig_make(rig, kprig_object(rig, 256), NULL), ERR_NO_ROOT_KEY);
	ck_assert_int_eq(ask_news().e, ERR_NO_ROOT_KEY); /* never known which one it was */
	rig->alias_gone = false;
	o = stored_key();
	ck_assert_int_eq(ask_news().e, ERR_OK);
	ck_assert_ptr_null(rig->vault->ops->complaint(rig->vault));
	rig->alias_gone = true;
	clock_test_advance(301 * NS_PER_S);
	ck_assert_int_eq(ask_news().e, ERR_OK);
	ck_assert_ptr_nonnull(rig->vault->ops->complaint(rig->vault));
	unwrap_it(o);
	unwrap_it(stored_key());
	rig->alias_gone = false;
	ck_assert_int_eq(ask_news().e, ERR_OK);
	ck_assert_ptr_null(rig->vault->ops->complaint(rig->vault));
}
END_TEST

/* Its canary opens as ever: that a root key has expired only a look at itself can tell. */
START_TEST(test_deactivated)
{
	ck_assert_int_eq(ask_news().e, ERR_OK);
	rig->root_state = 3;
	if (_i == 0) {
		ck_assert_int_eq(ask_news().e, ERR_OK);
		ck_assert_ptr_null(rig->vault->ops->complaint(rig->vault));
		clock_test_advance(301 * NS_PER_S);
	} else { /* a client met it */
		ck_assert_int_eq(
		    kprig_make(rig, kprig_object(rig, 256), NULL), ERR_NO_ROOT_KEY);
	}
	ck_assert_int_eq(ask_news().e, ERR_OK);
	ck_assert_ptr_nonnull(strstr(rig->vault->ops->complaint(rig->vault), "deactivated"));
	rig->root_state = 1;
	clock_test_advance(301 * NS_PER_S);
	ck_assert_int_eq(ask_news().e, ERR_OK);
	ck_assert_ptr_null(rig->vault->ops->complaint(rig->vault));
}
END_TEST

/* The same for one that was disabled: that it is, the canary tells. */
START_TEST(test_disabled)
{
	struct told t;

	for (int made = 0; made < 2; made++) {
		rig->root_state = 2 + 3 * _i;
		t = ask_news();
		ck_assert_int_eq(t.e, ERR_NO_ROOT_KEY);
		ck_assert_int_eq(t.suspended, _i == 0);
		ck_assert_ptr_null(rig->vault->ops->complaint(rig->vault));
		rig->root_state = 1;
		ck_assert_int_eq(ask_news().e, ERR_OK);
	}
}
END_TEST

/*
 * That it is gone, or disabled, was answered: that nobody answers a look at it takes nothing back, nor
 * does it keep the canary from being asked.  By alias or by id, before a look is due and when one is.
 */
static const struct {
	bool by_alias, due;
	int state;
	enum spoil spoil;
	int status;
} stands[] = {
    {true, false, 5, SPOIL_STATUS, 503},
    {true, false, 5, SPOIL_STATUS, 403},
    {true, false, 5, SPOIL_HANG_BEFORE, 0},
    {true, false, 2, SPOIL_STATUS, 503},
    {true, false, 2, SPOIL_HANG_BEFORE, 0},
    {true, true, 5, SPOIL_STATUS, 503},
    {true, true, 2, SPOIL_HANG_BEFORE, 0},
    {false, false, 5, SPOIL_STATUS, 503},
    {false, false, 2, SPOIL_HANG_BEFORE, 0},
    {false, true, 2, SPOIL_STATUS, 503},
    {false, true, 5, SPOIL_HANG_BEFORE, 0},
};

START_TEST(test_refusal_stands)
{
	struct told t;

	if (stands[_i].by_alias)
		use_alias();
	ck_assert_int_eq(ask_news().e, ERR_OK);
	ck_assert_int_eq(ask_news().e, ERR_OK);
	if (stands[_i].due)
		clock_test_advance(301 * NS_PER_S);
	rig->root_state = stands[_i].state;
	rig->fault = (struct spoiled){
	    "GET", "/metadata", 99, stands[_i].spoil, stands[_i].status, NULL, ""};
	t = ask_news();
	if (stands[_i].due && stands[_i].spoil == SPOIL_HANG_BEFORE) { /* which took all its time */
		ck_assert_int_eq(t.e, ERR_DEADLINE);
		t = ask_news();
	}
	ck_assert_int_eq(t.e, ERR_NO_ROOT_KEY);
	ck_assert_int_eq(t.suspended, stands[_i].state == 2);
	if (!stands[_i].by_alias && !stands[_i].due)
		ck_assert_uint_eq(rig->fault.times, 99); /* an id cannot come to be another */
	rig->root_state = 1;
	ck_assert_int_eq(ask_news().e, ERR_OK);
}
END_TEST

/* The alias names another, of which nothing was heard: that is an outage. */
START_TEST(test_refusal_of_another)
{
	struct told t;

	use_alias();
	ck_assert_int_eq(ask_news().e, ERR_OK);
	strcpy(rig->root_id, THIRD_ROOT);
	rig->fault = (struct spoiled){
	    "POST", OTHER_ROOT "/actions/unwrap", 1, SPOIL_STATUS, 410, NULL, GONE};
	t = ask_news();
	ck_assert(t.e == ERR_OK && t.moved && !t.suspended);
	strcpy(rig->root_id, OTHER_ROOT);
	clock_test_advance(301 * NS_PER_S);
	rig->fault = (struct spoiled){
	    "POST", OTHER_ROOT "/actions/", 99, SPOIL_STATUS, 503, NULL, ""};
	t = ask_news();
	ck_assert(t.e == ERR_VAULT_DOWN && t.moved);
}
END_TEST

/* --- whose deletions are for good --- */

static enum vault_gone told_gone;

static void
note(void *arg, const struct vault_record *r)
{
	(void)arg;
	if (r->gone != GONE_UNKNOWN)
		told_gone = r->gone;
}

/* What the news say of the record that was deleted. */
static enum vault_gone
how_gone(void)
{
	struct kpjob j = {false};
	struct vault_news n = {
	    .wait = {.done = kpjob_done, .owner = &j}, .since = 1, .each = note};
	struct vault_source *s = vault_kp_source(rig->vault);

	told_gone = GONE_UNKNOWN;
	s->news(s, &n);
	kprig_run(rig, &j);
	ck_assert_int_eq(j.e, ERR_OK);
	return told_gone;
}

/* Another gateway's service ID is known by what it has made, once that was opened. */
START_TEST(test_ours_learned)
{
	struct object *o;
	struct kpjob j = {false};
	struct vault_find f = {
	    .wait = {.done = kpjob_done, .owner = &j}, .arena = rig->arena, .tenant = "east"};

	stored_key();
	rig->keys[0].created_by = "iam-ServiceId-A";
	fake_key_deleted(&rig->keys[0], "iam-ServiceId-B", clock_wall() - 60);
	ck_assert_int_eq(how_gone(), GONE_WITHDRAWN);
	o = stored_key();
	rig->keys[1].created_by = "iam-ServiceId-B";
	ck_assert_int_eq(how_gone(), GONE_WITHDRAWN); /* seen, but not opened */
	if (_i == 0) {
		unwrap_it(o);
	} else {
		f.uid = o->uid;
		rig->vault->ops->find(rig->vault, &f);
		kprig_run(rig, &j);
		ck_assert_int_eq(j.e, ERR_OK);
		secret_unref(f.key);
	}
	ck_assert_int_eq(how_gone(), GONE_DESTROYED);
	fake_key_deleted(&rig->keys[0], "IBMid-1", clock_wall() - 60);
	ck_assert_int_eq(how_gone(), GONE_WITHDRAWN);
}
END_TEST

START_TEST(test_ours_named)
{
	stored_key();
	rig->keys[0].created_by = "iam-ServiceId-A";
	fake_key_deleted(&rig->keys[0], "iam-ServiceId-B", clock_wall() - 60);
	rig->params.service_ids = "iam-ServiceId-C iam-ServiceId-B";
	kprig_vault(rig);
	ck_assert_int_eq(how_gone(), GONE_DESTROYED);
	rig->params.service_ids = "iam-ServiceId-C";
	kprig_vault(rig);
	ck_assert_int_eq(how_gone(), GONE_WITHDRAWN);
}
END_TEST

/* The server's clock counts; ours where it says nothing. */
START_TEST(test_lately)
{
	stored_key();
	rig->keys[0].created_by = "A";
	rig->date = -1;
	if (_i == 1) {
		rig->date = clock_wall();
		clock_test_jump(NS_PER_S * 3600, 0);
	}
	fake_key_deleted(&rig->keys[0], "A", (_i == 1 ? rig->date : clock_wall()) - 5);
	ck_assert_int_eq(how_gone(), GONE_LATELY);
	rig->date += _i == 1 ? 6 : 0;
	clock_test_advance(6 * NS_PER_S);
	ck_assert_int_eq(how_gone(), GONE_DESTROYED);
}
END_TEST

/* The canary and what was learned stay while one vault does; news under way ends with the last. */
START_TEST(test_life)
{
	struct kpjob j = {false}, again = {false}, last = {false};
	struct vault_news n = {.wait = {.done = kpjob_done, .owner = &j}};
	struct vault_source *s = vault_kp_source(rig->vault);

	s->news(s, &n);
	kprig_run(rig, &j);
	ck_assert_int_eq(j.e, ERR_OK);
	ck_assert_uint_eq(rig->wraps, 1);
	add_tenant(NULL);
	n.wait.owner = &again;
	s->news(s, &n);
	rig->vault->ops->free(rig->vault); /* its news go on for the other */
	rig->vault = NULL;
	kprig_run(rig, &again);
	ck_assert_int_eq(again.e, ERR_OK);
	ck_assert_uint_eq(rig->wraps, 1);
	ck_assert_uint_eq(rig->unwraps, 1);
	n.wait.owner = &last;
	s->news(s, &n);
	other->ops->free(other);
	other = NULL;
	kprig_run(rig, &last);
	ck_assert_int_eq(last.e, ERR_CANCELLED);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("kproot");
	TCase *t = tcase_create("kproot");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_rights);
	tcase_add_loop_test(t, test_rights_unanswered, 0, 3);
	tcase_add_loop_test(t, test_rights_no_token, 0, 2);
	tcase_add_test(t, test_rights_left);
	tcase_add_test(t, test_create_refused);
	tcase_add_test(t, test_complaints);
	tcase_add_loop_test(t, test_ours_learned, 0, 2);
	tcase_add_test(t, test_ours_named);
	tcase_add_loop_test(t, test_lately, 0, 2);
	tcase_add_test(t, test_apart);
	tcase_add_loop_test(t, test_alias, 0, 2);
	tcase_add_loop_test(t, test_alias_surely, 0, 2);
	tcase_add_test(t, test_id_surely);
	tcase_add_test(t, test_alias_gone);
	tcase_add_loop_test(t, test_deactivated, 0, 2);
	tcase_add_loop_test(t, test_disabled, 0, 2);
	tcase_add_loop_test(t, test_refusal_stands, 0, (int)(sizeof(stands) / sizeof(*stands)));
	tcase_add_test(t, test_refusal_of_another);
	tcase_add_test(t, test_life);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
