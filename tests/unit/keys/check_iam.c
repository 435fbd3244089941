/* SPDX-License-Identifier: Apache-2.0 */
/* Access tokens: renewed early, once for all, and not to be shaken by an IAM that fails. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "kprig.h"

enum { MANY = 50 };

static struct kprig *rig;
static size_t heap_used;

static void
setup(void)
{
	rig = kprig_new();
	heap_used = secret_heap_used();
}

static void
teardown(void)
{
	kprig_free(rig);
	ck_assert_uint_eq(secret_heap_used(), heap_used);
}

struct asked {
	struct kpjob job;
	struct iam_want want;
};

static void
ask(struct asked *a, const struct secret *refused)
{
	*a = (struct asked){.want.wait = {.done = kpjob_done, .owner = &a->job}};
	if (refused != NULL)
		iam_want_newer(rig->iam, &a->want, refused);
	else
		iam_want(rig->iam, &a->want);
	ck_assert(!a->job.done);
}

/* The number of the token that is given; 0 with an error in *e. */
static unsigned
token(enum err *e)
{
	struct asked a;
	unsigned n = 0;

	ask(&a, NULL);
	kprig_run(rig, &a.job);
	*e = a.job.e;
	if (*e == ERR_OK)
		ck_assert_int_eq(
		    sscanf((char *)secret_bytes(a.want.header), "Authorization: Bearer T%u", &n),
		    1);
	secret_unref(a.want.header);
	return n;
}

static void
expect_token(unsigned n)
{
	enum err e;

	ck_assert_uint_eq(token(&e), n);
	ck_assert_int_eq(e, ERR_OK);
}

static void
expect_error(enum err wanted)
{
	enum err e;

	token(&e);
	ck_assert_msg(e == wanted, "%s", err_name(e));
}

static void
pass(int64_t s)
{
	for (int64_t i = 0; i < s; i++) {
		clock_test_advance(NS_PER_S);
		for (int n = 0; n < 20; n++)
			loop_turn(rig->loop, false);
	}
	kprig_settle(rig);
}

START_TEST(test_form)
{
	kprig_key_file(rig, "  k&y=1/ü\r\n");
	expect_token(1);
	ck_assert_str_eq(rig->form_seen, "grant_type=urn%3Aibm%3Aparams%3Aoauth%3Agrant-type%"
					 "3Aapikey&apikey=k%26y%3D1%2F%C3%BC");
	ck_assert_int_eq(iam_state(rig->iam), IAM_GOOD);
	ck_assert_int_ge(iam_token_age(rig->iam), 0);
	ck_assert_int_lt(iam_token_age(rig->iam), 60 * NS_PER_S);
	ck_assert_str_eq(iam_name(rig->iam), rig->key_file);
}
END_TEST

START_TEST(test_one_for_all)
{
	struct asked a[MANY];

	for (int i = 0; i < MANY; i++)
		ask(&a[i], NULL);
	wait_cancel(&a[7].want.wait);
	for (int i = 0; i < MANY; i++) {
		if (i == 7)
			continue;
		kprig_run(rig, &a[i].job);
		ck_assert_int_eq(a[i].job.e, ERR_OK);
		ck_assert_ptr_eq(a[i].want.header, a[0].want.header);
	}
	for (int i = 0; i < MANY; i++)
		secret_unref(a[i].want.header);
	ck_assert(!a[7].job.done);
	ck_assert_uint_eq(rig->tokens, 1);
	ck_assert_uint_eq(rig->iam_server.requests, 1);
}
END_TEST

/* Between 75 and 80 % of its life, with nobody waiting; a day costs 31 calls or so. */
START_TEST(test_renewal)
{
	expect_token(1);
	pass(3600 * 75 / 100 - 1);
	ck_assert_uint_eq(rig->tokens, 1);
	pass(3600 * 5 / 100 + 2);
	ck_assert_uint_eq(rig->tokens, 2);
	expect_token(2);
	pass(24 * 3600);
	ck_assert_uint_ge(rig->tokens, 30);
	ck_assert_uint_le(rig->tokens, 35);
}
END_TEST

/* The wall clock does not matter, neither ours nor IAM's ("expiration":1 in every answer). */
START_TEST(test_clock_skew)
{
	expect_token(1);
	clock_test_freeze(4000000000);
	expect_token(1);
	clock_test_freeze(1000);
	expect_token(1);
	ck_assert_uint_eq(rig->tokens, 1);
}
END_TEST

START_TEST(test_old_token_kept)
{
	expect_token(1);
	rig->iam_fault = (struct spoiled){"POST", "/", 9999, SPOIL_STATUS, 503, NULL, "down"};
	pass(3500);
	ck_assert_uint_gt(rig->iam_server.requests, 10);
	ck_assert_uint_lt(rig->iam_server.requests, 200);
	ck_assert_int_eq(iam_state(rig->iam), IAM_DOWN);
	expect_token(1);
	pass(95); /* its last ten seconds are not used */
	expect_error(ERR_VAULT_DOWN);
	rig->iam_fault.times = 0;
	pass(40);
	expect_token(2);
	ck_assert_str_eq(rig->event, "renewed");
	ck_assert_uint_eq(rig->events, 3); /* good, down, good */
}
END_TEST

static const struct {
	const char *name;
	enum spoil spoil;
	int status;
	const char *extra, *body;
	enum err e;
	enum iam_state state;
} failures[] = {
    {"unknown key", SPOIL_STATUS, 400, NULL,
	"{\"errorCode\":\"BXNIM0415E\",\"errorMessage\":\"Provided API key could not be found.\"}",
	ERR_VAULT_DENIED, IAM_DENIED},
    {"disabled key", SPOIL_STATUS, 401, NULL, "{\"errorCode\":\"BXNIM0462E\"}", ERR_VAULT_DENIED,
	IAM_DENIED},
    {"a proxy's 403", SPOIL_STATUS, 403, NULL, "<html>", ERR_VAULT_DOWN, IAM_DOWN},
    {"429", SPOIL_STATUS, 429, "Retry-After: 5\r\n", "", ERR_VAULT_DOWN, IAM_DOWN},
    {"500", SPOIL_STATUS, 500, NULL, "{\"errorCode\":\"X\"}", ERR_VAULT_DOWN, IAM_DOWN},
    {"HTML", SPOIL_STATUS, 200, NULL, "<html>", ERR_VAULT_DOWN, IAM_DOWN},
    {"no token", SPOIL_STATUS, 200, NULL, "{\"expires_in\":3600}", ERR_VAULT_DOWN, IAM_DOWN},
    {"no life", SPOIL_STATUS, 200, NULL, "{\"access_token\":\"x\"}", ERR_VAULT_DOWN, IAM_DOWN},
    {"a header", SPOIL_STATUS, 200, NULL,
	"{\"access_token\":\"x\\r\\nEvil: 1\",\"expires_in\":3600}", ERR_VAULT_DOWN, IAM_DOWN},
    {"reset", SPOIL_RESET_BEFORE, 0, NULL, NULL, ERR_VAULT_DOWN, IAM_DOWN},
    {"hang", SPOIL_HANG_BEFORE, 0, NULL, NULL, ERR_VAULT_DOWN, IAM_DOWN},
    {"cut", SPOIL_CUT, 0, NULL, NULL, ERR_VAULT_DOWN, IAM_DOWN},
};

START_TEST(test_failures)
{
	unsigned asked;
	int64_t begun;

	rig->iam_fault = (struct spoiled){"POST", "/", 9999, failures[_i].spoil,
	    failures[_i].status, failures[_i].extra, failures[_i].body};
	expect_error(failures[_i].e);
	ck_assert_int_eq(iam_state(rig->iam), failures[_i].state);
	asked = rig->iam_server.requests;
	ck_assert_uint_eq(asked, failures[_i].state == IAM_DENIED ? 1 : 3);
	begun = clock_now();
	for (int i = 0; i < 20; i++)
		expect_error(failures[_i].e); /* at once, without asking */
	ck_assert_int_eq(clock_now(), begun);
	ck_assert_uint_eq(rig->iam_server.requests, asked);
	rig->iam_fault.times = 0;
	pass(61);
	expect_token(rig->tokens);
	ck_assert_uint_ge(rig->tokens, 1);
}
END_TEST

START_TEST(test_passing_failure)
{
	rig->iam_fault = (struct spoiled){"POST", "/", 2, SPOIL_STATUS, 503, NULL, ""};
	expect_token(1);
	ck_assert_uint_eq(rig->iam_server.requests, 3);
}
END_TEST

START_TEST(test_retry_after)
{
	struct asked a;
	int64_t begun = clock_now();

	rig->iam_fault =
	    (struct spoiled){"POST", "/", 1, SPOIL_STATUS, 429, "Retry-After: 7\r\n", ""};
	ask(&a, NULL);
	kprig_run(rig, &a.job);
	ck_assert_int_eq(a.job.e, ERR_OK);
	secret_unref(a.want.header);
	ck_assert_int_ge(clock_now() - begun, 7 * NS_PER_S);
}
END_TEST

/* One answer may not shut the door for a day: who waits is told, and it is tried again. */
START_TEST(test_huge_retry_after)
{
	struct asked a;

	rig->iam_fault =
	    (struct spoiled){"POST", "/", 1, SPOIL_STATUS, 429, "Retry-After: 86400\r\n", ""};
	ask(&a, NULL);
	pass(300);
	ck_assert(a.job.done);
	if (a.want.header != NULL)
		secret_unref(a.want.header);
	expect_token(1);
}
END_TEST

/* A bad key that is replaced acts at once; a good one at the next renewal or refusal. */
START_TEST(test_replaced_file)
{
	struct asked a;

	kprig_key_file(rig, "BAD");
	expect_error(ERR_VAULT_DENIED);
	expect_error(ERR_VAULT_DENIED);
	ck_assert_uint_eq(rig->iam_server.requests, 1);
	kprig_key_file(rig, "KEY-2");
	expect_token(1);
	ck_assert_str_eq(rig->api_key_seen, "KEY-2");
	kprig_key_file(rig, "BAD");
	pass(3000);
	ck_assert_int_eq(iam_state(rig->iam), IAM_DENIED);
	expect_token(1); /* the old one, until the new one works */
	kprig_key_file(rig, "KEY-3");
	pass(61);
	expect_token(2);
	kprig_key_file(rig, "KEY-4");
	ask(&a, NULL);
	kprig_run(rig, &a.job);
	struct secret *refused = a.want.header;
	ask(&a, refused);
	kprig_run(rig, &a.job);
	ck_assert_int_eq(a.job.e, ERR_OK);
	ck_assert_str_eq(rig->api_key_seen, "KEY-4");
	ck_assert_ptr_ne(a.want.header, refused);
	secret_unref(a.want.header);
	secret_unref(refused);
}
END_TEST

/* Refused: one newer token for all; and when that is refused, too, no more for a while. */
START_TEST(test_newer)
{
	struct asked a[3], b;
	struct secret *refused;

	ask(&a[0], NULL);
	kprig_run(rig, &a[0].job);
	refused = a[0].want.header;
	for (int i = 0; i < 3; i++)
		ask(&a[i], refused);
	ask(&b, NULL); /* the present one is still given out meanwhile */
	kprig_run(rig, &b.job);
	ck_assert_ptr_eq(b.want.header, refused);
	secret_unref(b.want.header);
	for (int i = 0; i < 3; i++) {
		kprig_run(rig, &a[i].job);
		ck_assert_int_eq(a[i].job.e, ERR_OK);
		ck_assert_ptr_ne(a[i].want.header, refused);
		if (i > 0)
			secret_unref(a[i].want.header);
	}
	ck_assert_uint_eq(rig->tokens, 2);
	secret_unref(refused);
	refused = a[0].want.header;
	ask(&a[1], refused);
	kprig_run(rig, &a[1].job);
	ck_assert_int_eq(a[1].job.e, ERR_VAULT_DENIED);
	ck_assert_uint_eq(rig->tokens, 2);
	pass(31);
	ask(&a[1], refused);
	kprig_run(rig, &a[1].job);
	ck_assert_int_eq(a[1].job.e, ERR_OK);
	ck_assert_uint_eq(rig->tokens, 3);
	secret_unref(a[1].want.header);
	secret_unref(refused);
}
END_TEST

/* That no newer one could be had is no verdict on who wants it. */
START_TEST(test_newer_fails)
{
	struct asked a;
	struct secret *refused;

	ask(&a, NULL);
	kprig_run(rig, &a.job);
	refused = a.want.header;
	pass(1);
	rig->iam_fault = (struct spoiled){"POST", "/", 1, SPOIL_STATUS, 503, NULL, ""};
	for (int i = 0; i < 2; i++) {
		ask(&a, refused);
		kprig_run(rig, &a.job);
		ck_assert_msg(a.job.e == ERR_VAULT_DOWN, "%s", err_name(a.job.e));
	}
	pass(2);
	ask(&a, refused);
	kprig_run(rig, &a.job);
	ck_assert_int_eq(a.job.e, ERR_OK);
	ck_assert_ptr_ne(a.want.header, refused);
	secret_unref(a.want.header);
	secret_unref(refused);
}
END_TEST

START_TEST(test_file_faults)
{
	unlink(rig->key_file);
	expect_error(ERR_VAULT_DENIED);
	ck_assert_uint_eq(rig->iam_server.requests, 0);
	kprig_key_file(rig, " \n");
	expect_error(ERR_VAULT_DENIED);
	kprig_key_file(rig, "KEY-1");
	expect_token(1);
}
END_TEST

/* What the machine cannot do now is no refusal: that would have the cache emptied. */
START_TEST(test_file_cannot_be_opened_now)
{
	struct rlimit before, few;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = before;
	few.rlim_cur = 3;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	expect_error(ERR_VAULT_DOWN);
	ck_assert_int_eq(iam_state(rig->iam), IAM_DOWN);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	pass(40);
	expect_token(1);
}
END_TEST

START_TEST(test_systemd_credential)
{
	struct iam_params p = {.url = rig->iam_url, .api_key_file = "credential:apikey"};
	const char *why, *name = strrchr(rig->key_file, '/') + 1;
	char text[64];

	snprintf(text, sizeof(text), "credential:%s", name);
	p.api_key_file = text;
	p.route = (struct http_route){.allow_plain = true};
	iam_unref(rig->iam);
	ck_assert_int_eq(iam_get(rig->set, &p, &rig->iam), ERR_OK);
	ck_assert_str_eq(iam_name(rig->iam), text);
	ck_assert_int_eq(iam_check(rig->iam, &why), ERR_CONFIG);
	ck_assert_ptr_nonnull(strstr(why, "CREDENTIALS_DIRECTORY"));
	setenv("CREDENTIALS_DIRECTORY", rig->dir, 1);
	chmod(rig->key_file, 0440);
	ck_assert_int_eq(iam_check(rig->iam, &why), ERR_OK);
	kprig_key_file(rig, "BAD");
	expect_error(ERR_VAULT_DENIED);
	kprig_key_file(rig, "KEY-2"); /* noticed where it is */
	expect_token(1);
	ck_assert_str_eq(rig->api_key_seen, "KEY-2");
	unsetenv("CREDENTIALS_DIRECTORY");
}
END_TEST

START_TEST(test_shared)
{
	struct iam_params p = {.url = rig->iam_url, .api_key_file = rig->key_file};
	struct iam *other, *profile;

	ck_assert_int_eq(iam_get(rig->set, &p, &other), ERR_OK);
	ck_assert_ptr_eq(other, rig->iam);
	iam_unref(other);
	p.url = "https://private.iam.cloud.ibm.com/identity/token";
	ck_assert_int_eq(iam_get(rig->set, &p, &other), ERR_OK);
	ck_assert_ptr_ne(other, rig->iam);
	iam_unref(other);
	p.url = rig->iam_url; /* a reload with another way to IAM, while the old one is in use */
	p.route.proxy = "http://proxy.example:3128";
	ck_assert_int_eq(iam_get(rig->set, &p, &other), ERR_OK);
	ck_assert_ptr_ne(other, rig->iam);
	iam_unref(other);
	p.profile_id = "Profile-1";
	ck_assert_int_eq(iam_get(rig->set, &p, &profile), ERR_CONFIG);
	p.api_key_file = p.profile_id = NULL;
	ck_assert_int_eq(iam_get(rig->set, &p, &profile), ERR_CONFIG);
	p.profile_id = p.profile_name = "x";
	ck_assert_int_eq(iam_get(rig->set, &p, &profile), ERR_CONFIG);
}
END_TEST

START_TEST(test_profile)
{
	struct iam_params p = {.url = rig->iam_url,
	    .token_file = rig->key_file,
	    .profile_name = "gateway one",
	    .route.allow_plain = true};
	struct asked a = {.want.wait = {.done = kpjob_done, .owner = &a.job}};
	struct iam *i;

	ck_assert_int_eq(iam_get(rig->set, &p, &i), ERR_OK);
	iam_want(i, &a.want);
	kprig_run(rig, &a.job);
	ck_assert_int_eq(a.job.e, ERR_OK);
	ck_assert_str_eq(rig->form_seen,
	    "grant_type=urn%3Aibm%3Aparams%3Aoauth%3Agrant-type%3Acr-token"
	    "&cr_token=KEY-1&profile_name=gateway%20one");
	secret_unref(a.want.header);
	iam_unref(i);
}
END_TEST

/* A life of seconds is used, too. */
START_TEST(test_short_life)
{
	rig->token_life_s = 5;
	expect_token(1);
	pass(60);
	ck_assert_uint_ge(rig->tokens, 12);
	ck_assert_uint_le(rig->tokens, 20);
	expect_token(rig->tokens);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("iam");
	TCase *t = tcase_create("iam");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_form);
	tcase_add_test(t, test_one_for_all);
	tcase_add_test(t, test_renewal);
	tcase_add_test(t, test_clock_skew);
	tcase_add_test(t, test_old_token_kept);
	tcase_add_loop_test(t, test_failures, 0, (int)(sizeof(failures) / sizeof(*failures)));
	tcase_add_test(t, test_passing_failure);
	tcase_add_test(t, test_retry_after);
	tcase_add_test(t, test_huge_retry_after);
	tcase_add_test(t, test_replaced_file);
	tcase_add_test(t, test_newer);
	tcase_add_test(t, test_newer_fails);
	tcase_add_test(t, test_file_faults);
	tcase_add_test(t, test_file_cannot_be_opened_now);
	tcase_add_test(t, test_systemd_credential);
	tcase_add_test(t, test_shared);
	tcase_add_test(t, test_profile);
	tcase_add_test(t, test_short_life);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
