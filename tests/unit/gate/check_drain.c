/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of sessions when the gate drains: whatever was there before is answered. */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/secret.h"

#include "guests.h"

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

static unsigned done;

static void
begin(void)
{
	set_up();
	done = 0;
}

static void
count_end(void *arg)
{
	(void)arg;
	done++;
}

/* As from a signal's event: what came since descriptors were looked at is not known of yet. */
static void
drain(void)
{
	gate_drain(gate, count_end, NULL);
}

static void
expect_end(struct client *c, size_t answered)
{
	ck_assert_uint_eq(answers(c), answered);
	ck_assert(c->ended);
	ck_assert(!c->broken);
	ck_assert_int_eq(c->reason, 0);
}

static void
expect_open(struct client *c, size_t answered)
{
	ck_assert_uint_eq(answers(c), answered);
	ck_assert(!c->ended);
}

static void
leave(void)
{
	for (size_t i = 0; i < count; i++)
		client_leave(&guests[i]);
	pump();
	ck_assert_uint_eq(done, 1);
}

/* The record of a request, which is not sent. */
static struct buf
make_record(struct client *c)
{
	BIO *socket = SSL_get_wbio(c->ssl), *memory = BIO_new(BIO_s_mem());
	struct buf b;
	char *bytes;
	long n;

	ck_assert_int_eq(BIO_up_ref(socket), 1);
	SSL_set0_wbio(c->ssl, memory);
	ask(c);
	n = BIO_get_mem_data(memory, &bytes);
	buf_init(&b, REQUEST_MAX);
	buf_put(&b, bytes, (size_t)n);
	SSL_set0_wbio(c->ssl, socket);
	return b;
}

/* --- what was there before --- */

START_TEST(an_idle_session_closes_at_once)
{
	struct client *c = keep(versions[_i]);

	drain();
	pump();
	expect_end(c, 0);
	leave();
}
END_TEST

static bool
is_any(void *arg, const struct session_info *info)
{
	(void)arg, (void)info;
	return true;
}

/* Without the time that it would have had. */
START_TEST(one_that_may_still_ask_closes_by_command)
{
	struct client *c = come(versions[_i]);

	drain();
	pump();
	expect_open(c, 0);
	ck_assert_uint_eq(gate_close_sessions(gate, is_any, NULL), 1);
	pump();
	expect_end(c, 0);
	leave();
}
END_TEST

START_TEST(what_lies_in_the_socket_is_answered)
{
	for (int i = 0; i < GUESTS; i++)
		(void)keep(versions[_i]);
	for (int i = 0; i < GUESTS; i++)
		if (i != 2)
			ask(&guests[i]);
	drain();
	pump();
	for (int i = 0; i < GUESTS; i++)
		expect_end(&guests[i], i != 2);
	leave();
}
END_TEST

/* Some with one in OpenSSL's buffer or ours, and one under way. */
START_TEST(what_follows_in_the_socket_is_answered)
{
	struct client *c = keep(versions[_i % 2]);

	for (int i = 0; i < 3; i++)
		ask(c);
	for (int n = _i / 2; n > 0; n--)
		loop_turn(rig.loop, false);
	drain();
	pump();
	expect_end(c, 3);
	leave();
}
END_TEST

START_TEST(what_follows_the_first_is_answered)
{
	struct client *c = come(versions[_i]);

	drain();
	pump();
	expect_open(c, 0);
	ask(c);
	ask(c);
	pump();
	expect_end(c, 2);
	leave();
}
END_TEST

/* Not for ever. */
START_TEST(so_many_are_answered)
{
	struct client *c = keep(versions[_i]);

	for (int i = 0; i < 2 * ANSWERS; i++)
		ask(c);
	drain();
	for (int i = 0; i < ANSWERS; i++)
		pump();
	expect_end(c, ANSWERS);
	leave();
}
END_TEST

START_TEST(what_a_limit_holds_is_answered)
{
	struct client *c;

	limit_set(limit, &(struct limit_settings){.request_rate_max = 1});
	c = keep(versions[_i]);
	ask(c);
	ask(c);
	pump();
	drain();
	pump();
	expect_open(c, 0);
	for (int i = 0; i < 4; i++) {
		clock_test_advance(NS_PER_S);
		pump();
	}
	expect_end(c, 2);
	leave();
}
END_TEST

/* --- what is half there --- */

/* Of its header alone OpenSSL says nothing. */
static const int cuts[] = {1, 4, 5, 6, 40, -1};
enum { CUTS = sizeof(cuts) / sizeof(cuts[0]) };

/* A session with a part of a request's record, known of or still in the socket; the rest of it. */
static struct client *
ask_by_half(int i, struct buf *rest)
{
	struct client *c = keep(versions[i % 2]);
	int cut = cuts[i / 4];

	*rest = make_record(c);
	if (cut < 0)
		cut += (int)rest->len;
	ck_assert_int_eq(write(c->fd, rest->data, (size_t)cut), cut);
	buf_consume(rest, (size_t)cut);
	if (i / 2 % 2 == 1)
		pump();
	return c;
}

START_TEST(half_a_record_is_waited_for)
{
	struct buf rest;
	struct client *c = ask_by_half(_i, &rest);

	drain();
	pump();
	clock_test_advance(NS_PER_S);
	pump();
	expect_open(c, 0);
	ck_assert_int_eq(write(c->fd, rest.data, rest.len), (ssize_t)rest.len);
	pump();
	expect_end(c, 1);
	buf_fini(&rest);
	leave();
}
END_TEST

START_TEST(half_a_record_is_not_waited_for_for_ever)
{
	struct buf rest;
	struct client *c = ask_by_half(_i, &rest);

	drain();
	pump();
	expect_open(c, 0);
	clock_test_advance(2 * NS_PER_S);
	pump();
	expect_end(c, 0);
	buf_fini(&rest);
	leave();
}
END_TEST

/* --- what is no request --- */

START_TEST(a_key_update_is_no_request)
{
	struct client *c = keep(TLS1_3_VERSION);

	for (int i = 0; i <= _i; i++) {
		ck_assert_int_eq(SSL_key_update(c->ssl, i % 2 == 0 ? SSL_KEY_UPDATE_REQUESTED
								     : SSL_KEY_UPDATE_NOT_REQUESTED), 1);
		ck_assert_int_eq(SSL_do_handshake(c->ssl), 1);
	}
	if (_i % 2 == 1)
		ask(c);
	drain();
	pump();
	expect_end(c, _i % 2);
	leave();
}
END_TEST

START_TEST(who_left_is_gone)
{
	struct client *c = keep(versions[_i % 2]);

	if (_i / 2 == 1)
		SSL_shutdown(c->ssl);
	if (_i / 2 == 2)
		ask(c);
	client_leave(c);
	drain();
	pump();
	ck_assert_uint_eq(done, 1);
}
END_TEST

START_TEST(no_memory_ends_it)
{
	struct client *c = keep(versions[_i % 2]);

	ask(c);
	fault_test_arm(FAULT_ALLOC, (unsigned)_i / 2, 1);
	drain();
	pump();
	fault_test_clear();
	ck_assert(c->ended);
	leave();
}
END_TEST

/* By command one session alone: what is under way is answered, and nothing else. */
static bool
everyone(void *arg, const struct session_info *info)
{
	(void)arg, (void)info;
	return true;
}

START_TEST(who_is_sent_away_is_not_asked)
{
	struct client *c = keep(versions[_i]);

	ask(c);
	ck_assert_uint_eq(gate_close_sessions(gate, everyone, NULL), 1);
	pump();
	expect_end(c, 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("drain");
	TCase *t = tcase_create("drain");
	SRunner *r;
	bool locked;
	int failed;

	signal(SIGPIPE, SIG_IGN);
	if (alloc_install() != ERR_OK || secret_heap_init(4096 * 1024, true, &locked) != ERR_OK)
		abort();
	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, begin, tear_down);
	tcase_add_loop_test(t, an_idle_session_closes_at_once, 0, 2);
	tcase_add_loop_test(t, one_that_may_still_ask_closes_by_command, 0, 2);
	tcase_add_loop_test(t, what_lies_in_the_socket_is_answered, 0, 2);
	tcase_add_loop_test(t, what_follows_in_the_socket_is_answered, 0, 6);
	tcase_add_loop_test(t, what_follows_the_first_is_answered, 0, 2);
	tcase_add_loop_test(t, so_many_are_answered, 0, 2);
	tcase_add_loop_test(t, what_a_limit_holds_is_answered, 0, 2);
	tcase_add_loop_test(t, half_a_record_is_waited_for, 0, 4 * CUTS);
	tcase_add_loop_test(t, half_a_record_is_not_waited_for_for_ever, 0, 4 * CUTS);
	tcase_add_loop_test(t, a_key_update_is_no_request, 0, 4);
	tcase_add_loop_test(t, who_left_is_gone, 0, 6);
	tcase_add_loop_test(t, no_memory_ends_it, 0, 40);
	tcase_add_loop_test(t, who_is_sent_away_is_not_asked, 0, 2);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
