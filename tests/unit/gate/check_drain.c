/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of sessions when the gate drains: whatever was there before is answered. */
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/secret.h"
#include "gate/gate.h"
#include "kmip/names.h"
#include "kmip/ttlv.h"

#include "../../support/memkeys.h"
#include "rig.h"

enum { GUESTS = 5, TURNS = 12, REQUEST_MAX = 4096, ANSWERS = 16 /* of one session */ };

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

static struct rig rig;
static struct memkeys mem;
static struct gate *gate;
static struct limit *limit;
static struct client guests[GUESTS];
static size_t count;
static unsigned done;
static struct buf request;

static void
make_request(void)
{
	size_t message, header, version, item;

	buf_init(&request, REQUEST_MAX);
	message = ttlv_begin(&request, TAG_REQUEST_MESSAGE);
	header = ttlv_begin(&request, TAG_REQUEST_HEADER);
	version = ttlv_begin(&request, TAG_PROTOCOL_VERSION);
	ttlv_put_int(&request, TAG_PROTOCOL_VERSION_MAJOR, 1);
	ttlv_put_int(&request, TAG_PROTOCOL_VERSION_MINOR, 1);
	ttlv_end(&request, version);
	ttlv_put_int(&request, TAG_BATCH_COUNT, 1);
	ttlv_end(&request, header);
	item = ttlv_begin(&request, TAG_BATCH_ITEM);
	ttlv_put_enum(&request, TAG_OPERATION, KMIP_OPERATION_DISCOVER_VERSIONS);
	ttlv_end(&request, ttlv_begin(&request, TAG_REQUEST_PAYLOAD));
	ttlv_end(&request, item);
	ttlv_end(&request, message);
	ck_assert_int_eq(buf_error(&request), ERR_OK);
}

static void
configure(void)
{
	const struct gate_limits limits = {.sessions_max = 100, .handshakes_max = 100,
	    .handshake_timeout_ns = 60 * NS_PER_S, .request_timeout_ns = 60 * NS_PER_S,
	    .idle_timeout_ns = 60 * NS_PER_S, .request_max = REQUEST_MAX, .response_max = 4096,
	    .items_max = 1};
	struct certificate_text text = {.not_after = clock_wall() + 86400};
	struct tenants *ts = tenants_new();
	struct tenant *t = memkeys_tenant(&mem, "a");
	struct pinned *p;

	memcpy(text.digest, rig.digests[WHO_RIGHT], TLS_DIGEST_LEN);
	p = pinned_new(&text, "file", false, false);
	t->limit = limit;
	ck_assert_int_eq(tenants_add(ts, t), ERR_OK);
	ck_assert_int_eq(tenants_pin(ts, t, p), ERR_OK);
	(void)gate_configure(gate, rig.tls, ts, &limits);
	pinned_unref(p);
	tenant_unref(t);
	tenants_unref(ts);
}

static void
set_up(void)
{
	struct gate_params p = {.server_name = "a gateway"};

	rig_init(&rig, &(struct rig_options){.keys = KEYS_EC});
	log_set_output(open("/dev/null", O_WRONLY | O_CLOEXEC), false);
	memkeys_init(&mem, rig.loop);
	p.loop = rig.loop;
	gate = gate_new(&p);
	ck_assert_ptr_nonnull(gate);
	limit = limit_new(rig.loop, "a");
	ck_assert_ptr_nonnull(limit);
	make_request();
	configure();
	count = done = 0;
}

static void
tear_down(void)
{
	fault_test_clear();
	gate_free(gate);
	for (size_t i = 0; i < count; i++)
		client_fini(&guests[i]);
	buf_fini(&request);
	loop_turn(rig.loop, false);
	limit_unref(limit);
	memkeys_fini(&mem);
	rig_fini(&rig);
	ck_assert_int_eq(metric_get(METRIC_SESSIONS), 0);
}

static void
pump(void)
{
	for (int n = 0; n < TURNS; n++) {
		for (size_t i = 0; i < count; i++)
			client_step(&guests[i]);
		loop_turn(rig.loop, false);
	}
}

static struct client *
come(int version)
{
	struct client *c = &guests[count++];
	int fd[2];

	rig_pair(fd, false);
	gate_accept(gate, fd[0]);
	client_start(c, &rig, fd[1], &(struct client_options){.who = WHO_RIGHT, .version = version});
	pump();
	ck_assert(c->connected);
	return c;
}

static void
ask(struct client *c)
{
	client_send(c, request.data, request.len);
}

/* How many came since the last look; all are whole. */
static size_t
answers(struct client *c)
{
	size_t n = 0, len = 0, at = 0;

	for (; at + TTLV_HEADER <= c->got.len; at += len) {
		len = ttlv_total(c->got.data + at, TAG_RESPONSE_MESSAGE, TTLV_STRUCTURE);
		ck_assert_uint_gt(len, 0);
		n++;
	}
	ck_assert_uint_eq(at, c->got.len);
	buf_reset(&c->got);
	return n;
}

/* One that has had an answer. */
static struct client *
keep(int version)
{
	struct client *c = come(version);

	ask(c);
	pump();
	ck_assert_uint_eq(answers(c), 1);
	ck_assert(!c->ended);
	return c;
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
	tcase_add_checked_fixture(t, set_up, tear_down);
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
