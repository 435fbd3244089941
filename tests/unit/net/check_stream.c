/* SPDX-License-Identifier: Apache-2.0 */
/* Streams: what clients do, in order, at the wrong moment, and not at all. */
#include <sys/ioctl.h>
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/metric.h"
#include "base/secret.h"

#include "admit.h"
#include "failure.h"
#include "rig.h"

enum { TURNS = 12, CROWD = 500, BIG = 4 * 1024 * 1024 };

static struct rig rig;
static struct served served;
static struct client client;
static const struct client_options right = {.who = WHO_RIGHT};

static void
set_up(void)
{
	rig_init(&rig, &(struct rig_options){.keys = KEYS_EC});
	served = (struct served){0};
	client = (struct client){.fd = -1};
}

static void
tear_down(void)
{
	fault_test_clear();
	served_fini(&served);
	client_fini(&client);
	rig_fini(&rig);
}

static void
establish(const struct client_options *o)
{
	rig_connect(&rig, &served, &client, o);
	rig_pump(&rig, &client, TURNS);
	ck_assert_uint_eq(served.ready, 1);
	ck_assert(client.connected);
}

static void
establish_over_tcp(void)
{
	int fd[2];

	rig_pair(fd, true);
	served_start(&served, &rig, fd[0]);
	client_start(&client, &rig, fd[1], &right);
	rig_pump(&rig, &client, TURNS);
	ck_assert_uint_eq(served.ready, 1);
}

static void
pump(unsigned turns)
{
	rig_pump(&rig, &client, turns);
}

static void
expect_end(enum stream_end why)
{
	ck_assert_uint_eq(served.closed, 1);
	ck_assert_msg(served.end == why, "ended: %s (%s)", stream_end_text(served.end), served.why);
}

/* As much of len bytes as the connection takes now. */
static size_t
send_some(const uint8_t *data, size_t len)
{
	size_t sent = 0;
	int n;

	while (sent < len && (n = SSL_write(client.ssl, data + sent, (int)(len - sent))) > 0)
		sent += (size_t)n;
	return sent;
}

static void
answer(size_t len)
{
	struct buf b;
	uint8_t *at;

	buf_init(&b, BIG);
	at = buf_extend(&b, len);
	for (size_t i = 0; i < len; i++)
		at[i] = (uint8_t)(i * 7 >> 3);
	ck_assert_int_eq(stream_write(served.s, &b), ERR_OK);
	ck_assert_uint_eq(b.len, 0);
	ck_assert_ptr_null(b.data);
	ck_assert_uint_eq(b.max, BIG);
}

static void
expect_answer(size_t len)
{
	ck_assert_uint_eq(client.got.len, len);
	for (size_t i = 0; i < len; i++)
		if (client.got.data[i] != (uint8_t)(i * 7 >> 3))
			ck_abort_msg("byte %zu differs", i);
}

START_TEST(tells_alerts_from_failures_of_our_own)
{
	ck_assert_uint_eq(failure_label(SSL_R_SSLV3_ALERT_BAD_CERTIFICATE), LABEL_FAILURE_ALERT);
	ck_assert_uint_eq(failure_label(SSL_AD_REASON_OFFSET), LABEL_FAILURE_ALERT);
	ck_assert_uint_eq(failure_label(SSL_AD_REASON_OFFSET + 255), LABEL_FAILURE_ALERT);
	ck_assert_uint_eq(failure_label(SSL_AD_REASON_OFFSET + 256), LABEL_FAILURE_MALFORMED);
	ck_assert_uint_eq(failure_label(ERR_R_INTERNAL_ERROR), LABEL_FAILURE_MALFORMED);
	ck_assert_uint_eq(failure_label(ERR_R_EVP_LIB), LABEL_FAILURE_MALFORMED);
}
END_TEST

/* --- before the handshake is done --- */

START_TEST(ends_on_junk)
{
	static const char *const junk[] = {"GET / HTTP/1.1\r\n\r\n", "\x42\x00\x78\x01\x00\x00",
	    "\x16\x03\x01\xff\xff\x01\x01\x01\x01\x01", "\0\0\0\0\0\0\0\0\0\0\0\0\0\0"};
	int fd[2];

	rig_pair(fd, false);
	served_start(&served, &rig, fd[0]);
	ck_assert_int_eq(write(fd[1], junk[_i], _i == 1 ? 6 : _i == 3 ? 14 : 10), _i == 1 ? 6
		: _i == 3 ? 14 : 10);
	for (int i = 0; i < 3; i++)
		loop_turn(rig.loop, false);
	close(fd[1]);
	loop_turn(rig.loop, false);
	expect_end(STREAM_TLS_ERROR);
	ck_assert_str_ne(served.why, "");
	ck_assert_uint_eq(served.ready, 0);
}
END_TEST

START_TEST(ends_a_silent_handshake)
{
	int fd[2];

	rig_pair(fd, false);
	served_start(&served, &rig, fd[0]);
	for (int i = 0; i < 3; i++)
		loop_turn(rig.loop, false);
	if (_i == 1) { /* the beginning of a ClientHello */
		ck_assert_int_eq(write(fd[1], "\x16\x03\x01\x01\x00\x01", 6), 6);
		loop_turn(rig.loop, false);
	}
	clock_test_advance(RIG_HANDSHAKE_NS - 1);
	loop_turn(rig.loop, false);
	ck_assert_uint_eq(served.closed, 0);
	clock_test_advance(1);
	loop_turn(rig.loop, false);
	expect_end(STREAM_HANDSHAKE_TIMEOUT);
	close(fd[1]);
}
END_TEST

/* What comes too late costs no CPU: not one byte is answered. */
START_TEST(drops_a_stale_handshake_unread)
{
	uint8_t byte;

	rig_connect(&rig, &served, &client, &right);
	client_step(&client);
	clock_test_advance(RIG_HANDSHAKE_NS);
	loop_turn(rig.loop, false);
	expect_end(STREAM_HANDSHAKE_TIMEOUT);
	ck_assert_int_le(recv(client.fd, &byte, 1, MSG_DONTWAIT), 0);
}
END_TEST

START_TEST(ends_when_the_client_leaves_the_handshake)
{
	rig_connect(&rig, &served, &client, &right);
	pump((unsigned)_i);
	client_leave(&client);
	for (int i = 0; i < 3; i++)
		loop_turn(rig.loop, false);
	ck_assert_uint_eq(served.closed, 1);
	if (_i == 0)
		expect_end(STREAM_LEFT);
	else
		ck_assert(served.end == STREAM_EOF || served.end == STREAM_RESET);
	ck_assert_uint_eq(served.ready, 0);
}
END_TEST

/* It waits for its turn no longer: its place is somebody else's. */
START_TEST(a_hello_of_one_who_broke_off_is_not_read)
{
	enum { MANY = 20, STEP = 8 };
	struct linger now = {1, 0};
	struct served d[MANY] = {{0}};
	struct client c[MANY];
	int fd[2];

	for (int i = 0; i < MANY; i++) {
		rig_pair(fd, true);
		served_start(&d[i], &rig, fd[0]);
		client_start(&c[i], &rig, fd[1], &right);
		client_step(&c[i]);
		setsockopt(fd[1], SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		if (_i == 0)
			client_leave(&c[i]);
	}
	loop_turn(rig.loop, false); /* some have a turn */
	for (int i = 0; i < MANY; i++) {
		if (_i == 1)
			client_leave(&c[i]);
	}
	loop_turn(rig.loop, false);
	for (int i = 0; i < MANY; i++) {
		ck_assert_uint_eq(d[i].closed, 1);
		ck_assert(d[i].end == (_i == 1 && i < STEP ? STREAM_RESET : STREAM_LEFT));
		client_fini(&c[i]);
		served_fini(&d[i]);
	}
	ck_assert_uint_eq(rig.checks, 0);
}
END_TEST

/* Its hello is there, but nobody waits for the answer. */
START_TEST(a_hello_without_a_client_is_not_read)
{
	rig_connect(&rig, &served, &client, &right);
	client_step(&client);
	ck_assert_int_eq(shutdown(client.fd, SHUT_WR), 0);
	loop_turn(rig.loop, false);
	expect_end(STREAM_LEFT);
	ck_assert_uint_eq(rig.checks, 0);
}
END_TEST

/* When the gateway cannot keep up, who came last waits yet, and who came first has mostly left. */
START_TEST(the_latest_come_first_when_others_waited_too_long)
{
	enum { MANY = 20 };
	struct served d[MANY] = {{0}};
	struct client c[MANY];
	uint8_t byte;

	for (int i = 0; i < MANY; i++) {
		rig_connect(&rig, &d[i], &c[i], &right);
		client_step(&c[i]);
	}
	loop_turn(rig.loop, false); /* the first eight */
	clock_test_advance(ADMIT_WAIT_MAX + 1);
	loop_turn(rig.loop, false);
	for (int i = 0; i < MANY; i++)
		ck_assert_int_eq(recv(c[i].fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1,
		    i < 8 || i >= MANY - 8);
	for (int i = 0; i < MANY; i++) {
		rig_pump(&rig, &c[i], 6);
		ck_assert_uint_eq(d[i].ready, 1);
		client_fini(&c[i]);
		served_fini(&d[i]);
	}
}
END_TEST

/* Established streams come first, and handshakes some at a time. */
START_TEST(makes_some_handshakes_in_a_turn)
{
	enum { MANY = 20, STEP = 8 };
	struct served d[MANY] = {{0}};
	struct client c[MANY];
	int answered = 0;
	uint8_t byte;

	establish(&right);
	for (int i = 0; i < MANY; i++) {
		rig_connect(&rig, &d[i], &c[i], &right);
		client_step(&c[i]);
	}
	client_send(&client, "now", 3);
	loop_turn(rig.loop, false);
	ck_assert_uint_eq(served.got.len, 3);
	for (int i = 0; i < MANY; i++)
		answered += recv(c[i].fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
	ck_assert_int_eq(answered, STEP);
	stream_free(d[10].s); /* leaves the queue */
	d[10].s = NULL;
	for (int i = 0; i < 4; i++)
		loop_turn(rig.loop, false);
	for (int i = 0; i < MANY; i++) {
		rig_pump(&rig, &c[i], 6);
		ck_assert_uint_eq(d[i].ready, i != 10);
		client_fini(&c[i]);
		served_fini(&d[i]);
	}
}
END_TEST

/* --- bytes in --- */

/* Moves up to max bytes between two sockets. */
static void
relay(int from, int to, size_t max)
{
	uint8_t bytes[4096];
	ssize_t n = recv(from, bytes, max < sizeof(bytes) ? max : sizeof(bytes), MSG_DONTWAIT);

	if (n > 0)
		ck_assert_int_eq(send(to, bytes, (size_t)n, 0), n);
}

START_TEST(takes_a_drip)
{
	int near[2], far[2];

	rig_pair(near, false);
	rig_pair(far, false);
	served_start(&served, &rig, near[0]);
	client_start(&client, &rig, far[1], &(struct client_options){.who = WHO_RIGHT,
	    .version = _i == 0 ? TLS1_2_VERSION : TLS1_3_VERSION});
	for (int i = 0; i < 6000 && served.got.len < 5; i++) {
		if (client.connected && served.ready == 1 && served.data == 0 && i % 100 == 0)
			client_send(&client, "hello", 5);
		pump(1);
		relay(far[0], near[1], 1);
		relay(near[1], far[0], 4096);
	}
	ck_assert_uint_eq(served.got.len, 5);
	ck_assert_mem_eq(served.got.data, "hello", 5);
	close(near[1]);
	close(far[0]);
}
END_TEST

/* Records that bring no bytes may not hold the loop; what stands behind them still comes. */
START_TEST(key_updates_take_turns)
{
	enum { UPDATES = 20000 }; /* some 500 KiB; a read takes 16 KiB at most */
	int fd[2], sent = 0, unread = 0;

	rig_pair(fd, true);
	served_start(&served, &rig, fd[0]);
	client_start(&client, &rig, fd[1], &(struct client_options){.who = WHO_RIGHT,
	    .version = TLS1_3_VERSION});
	pump(20);
	ck_assert_uint_eq(served.ready, 1);
	do {
		ck_assert_int_eq(SSL_key_update(client.ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
	} while (SSL_do_handshake(client.ssl) == 1 && ++sent < UPDATES);
	loop_turn(rig.loop, false);
	ck_assert_int_eq(ioctl(fd[0], FIONREAD, &unread), 0);
	ck_assert_int_gt(unread, 0);
	for (int i = 0; i < 1000 && SSL_do_handshake(client.ssl) != 1; i++)
		loop_turn(rig.loop, false);
	client_send(&client, "behind", 6);
	for (int i = 0; i < 1000 && served.got.len < 6; i++)
		loop_turn(rig.loop, false);
	ck_assert_uint_eq(served.got.len, 6);
}
END_TEST

START_TEST(holds_pipelined_bytes_while_paused)
{
	establish(&right);
	served.pause_on_data = true;
	client_send(&client, "one", 3);
	pump(2);
	client_send(&client, "two", 3);
	client_send(&client, "three", 5);
	pump(4);
	ck_assert_uint_eq(served.data, 1);
	ck_assert_uint_eq(served.got.len, 3);
	stream_resume(served.s);
	ck_assert_uint_eq(served.data, 1); /* never from inside a call */
	pump(1);
	ck_assert_uint_eq(served.data, 2);
	ck_assert_mem_eq(served.got.data, "onetwothree", 11);
}
END_TEST

/* A request behind the one that was taken lies in our buffer, with no event to come. */
START_TEST(offers_what_is_buffered_on_resuming)
{
	establish(&right);
	served.keep_input = served.pause_on_data = true;
	client_send(&client, "onetwo", 6);
	pump(2);
	ck_assert_uint_eq(served.data, 1);
	buf_consume(stream_input(served.s), 3);
	stream_resume(served.s);
	pump(2);
	ck_assert_uint_eq(served.data, 2);
	ck_assert_uint_eq(stream_input(served.s)->len, 3);
	ck_assert_mem_eq(stream_input(served.s)->data, "two", 3);
}
END_TEST

/* Those that were busy last keep theirs; each handshake of another counts as well. */
START_TEST(an_idle_stream_owns_no_buffer)
{
	enum { OTHERS = 70 };
	static struct served d[OTHERS];
	static struct client c[OTHERS];

	establish(&right);
	client_send(&client, "one", 3);
	pump(2);
	ck_assert_uint_eq(served.got.len, 3);
	ck_assert_ptr_nonnull(stream_input(served.s)->data);
	for (int i = 0; i < OTHERS; i++) {
		rig_connect(&rig, &d[i], &c[i], &right);
		rig_pump(&rig, &c[i], TURNS);
		ck_assert_uint_eq(d[i].ready, 1);
	}
	ck_assert_ptr_null(stream_input(served.s)->data);
	client_send(&client, "two", 3);
	pump(2);
	ck_assert_uint_eq(served.got.len, 6);
	for (int i = 0; i < OTHERS; i++) {
		client_fini(&c[i]);
		served_fini(&d[i]);
	}
}
END_TEST

/* The request may come in the very packet that ends the handshake. */
START_TEST(reads_what_came_with_the_last_flight)
{
	rig_connect(&rig, &served, &client, &(struct client_options){.who = WHO_RIGHT,
	    .version = TLS1_3_VERSION});
	while (!client.connected)
		pump(1);
	client_send(&client, "early", 5);
	for (int i = 0; i < 4; i++)
		loop_turn(rig.loop, false);
	ck_assert_uint_eq(served.ready, 1);
	ck_assert_uint_eq(served.got.len, 5);
}
END_TEST

START_TEST(stops_reading_at_the_ceiling)
{
	static uint8_t bytes[100 * 1024];
	size_t sent, total = 0;

	establish(&right);
	served.keep_input = true;
	sent = send_some(bytes, sizeof(bytes));
	ck_assert_uint_gt(sent, 2 * RIG_INPUT_MAX);
	pump(6);
	ck_assert_uint_eq(stream_input(served.s)->len, RIG_INPUT_MAX);
	served.keep_input = false;
	total = stream_input(served.s)->len;
	buf_consume(stream_input(served.s), total);
	stream_resume(served.s);
	pump(6);
	ck_assert_uint_eq(total + served.got.len, sent);
	ck_assert_uint_le(served.biggest_input, RIG_INPUT_MAX);
}
END_TEST

START_TEST(leaves_turns_to_others)
{
	static uint8_t bytes[150 * 1024];
	size_t sent, before = 0;
	int turns = 0;

	establish(&right);
	sent = send_some(bytes, sizeof(bytes));
	while (served.got.len < sent && turns++ < 100) {
		before = served.got.len;
		loop_turn(rig.loop, false);
		ck_assert_uint_le(served.got.len - before, 2 * 64 * 1024); /* event and deferred */
	}
	ck_assert_uint_eq(served.got.len, sent);
	ck_assert_int_gt(turns, 1);
}
END_TEST

/* --- the end, while paused and not --- */

START_TEST(notices_that_the_client_left_while_paused)
{
	establish(&right);
	served.pause_on_data = true;
	client_send(&client, "one", 3);
	pump(2);
	if (_i == 1)
		client_send(&client, "unread", 6);
	if (_i == 2)
		SSL_shutdown(client.ssl);
	pump(2);
	ck_assert_uint_eq(served.closed, 0);
	client_leave(&client);
	loop_turn(rig.loop, false);
	expect_end(STREAM_EOF);
	ck_assert_uint_eq(served.data, 1);
}
END_TEST

/* With TLS 1.3 the server has nothing to say after it, so that no write would fail. */
START_TEST(notices_a_reset_behind_the_last_flight)
{
	static const struct client_options o = {.who = WHO_RIGHT, .version = TLS1_3_VERSION};
	struct linger now = {1, 0};
	int fd[2];

	rig_pair(fd, true);
	served_start(&served, &rig, fd[0]);
	client_start(&client, &rig, fd[1], &o);
	while (!client.connected) {
		client_step(&client);
		if (!client.connected)
			loop_turn(rig.loop, false);
	}
	setsockopt(client.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	client_leave(&client);
	for (int i = 0; i < 4; i++)
		loop_turn(rig.loop, false);
	expect_end(STREAM_RESET);
}
END_TEST

/* In the same turn as bytes that are not all of a flight, or of a record: there is one edge for both. */
START_TEST(notices_a_reset_behind_half_of_something)
{
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	struct linger now = {1, 0};
	int near[2], far[2];

	rig_pair(near, true);
	rig_pair(far, false);
	served_start(&served, &rig, near[0]);
	client_start(&client, &rig, far[1], &(struct client_options){.who = WHO_RIGHT,
	    .version = versions[_i % 2]});
	for (int flight = 0; flight < 30; flight++) {
		client_step(&client);
		if (flight == 29)
			client_send(&client, "half of a record", 16);
		if (_i / 2 == 0 ? flight == 0 : _i / 2 == 1 ? flight == 1 : flight == 29) {
			relay(far[0], near[1], 40 / (_i / 2 == 2 ? 2 : 1));
			break;
		}
		relay(far[0], near[1], 4096);
		for (int i = 0; i < 3; i++)
			loop_turn(rig.loop, false);
		relay(near[1], far[0], 4096);
	}
	ck_assert_uint_eq(served.ready, _i / 2 == 2);
	setsockopt(near[1], SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(near[1]);
	for (int i = 0; i < 3; i++)
		loop_turn(rig.loop, false);
	ck_assert_uint_eq(served.closed, 1);
	ck_assert(served.end == (_i / 2 == 0 ? STREAM_LEFT : STREAM_RESET));
	close(far[0]);
}
END_TEST

START_TEST(notices_a_reset_while_paused)
{
	struct linger now = {1, 0};

	establish_over_tcp();
	stream_pause(served.s);
	if (_i == 1)
		client_send(&client, "unread", 6);
	pump(2);
	setsockopt(client.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	client_leave(&client);
	for (int i = 0; i < 3; i++)
		loop_turn(rig.loop, false);
	expect_end(STREAM_RESET);
	ck_assert_str_eq(served.why, "Connection reset by peer");
}
END_TEST

static void
wake(struct timer *t)
{
	(void)t;
}

/* Unread bytes must not keep the loop awake: with nothing else to do it blocks. */
START_TEST(does_not_spin_while_paused)
{
	struct timespec before, after;
	struct timer timer = {.fn = wake};

	establish(&right);
	stream_pause(served.s);
	pump(2);
	client_send(&client, "unread", 6);
	pump(2);
	ck_assert_int_eq(timer_set(rig.loop, &timer, clock_now() + 5 * NS_PER_MS), ERR_OK);
	clock_gettime(CLOCK_MONOTONIC, &before);
	loop_turn(rig.loop, true);
	clock_gettime(CLOCK_MONOTONIC, &after);
	ck_assert_int_ge((after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec -
	    before.tv_nsec, 4 * NS_PER_MS);
	timer_clear(rig.loop, &timer);
}
END_TEST

/*
 * A refused client may be gone before it is told: its proof came, in whatever way it left, and
 * though the alert went nowhere.
 */
START_TEST(a_proof_counts_though_its_client_left)
{
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	struct linger now = {1, 0};
	int fd[2];

	rig_pair(fd, true);
	served_start(&served, &rig, fd[0]);
	client_start(&client, &rig, fd[1], &(struct client_options){.who = WHO_UNKNOWN,
	    .version = versions[_i % 2]});
	client_step(&client);
	pump(1);
	client_step(&client); /* its certificate, proof and Finished */
	ck_assert(!client.ended);
	switch (_i / 2) {
	case 0:
		ck_assert_int_eq(shutdown(client.fd, SHUT_WR), 0);
		break;
	case 1:
		setsockopt(client.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		client_leave(&client);
		break;
	case 2: /* its kernel answers our alert with a reset */
		ck_assert_int_eq(shutdown(client.fd, SHUT_RD), 0);
		client_leave(&client);
		break;
	}
	for (int i = 0; i < 4; i++)
		loop_turn(rig.loop, false);
	expect_end(STREAM_REFUSED);
	ck_assert(served.proven);
}
END_TEST

START_TEST(answers_close_notify)
{
	establish(&(struct client_options){.who = WHO_RIGHT, .version = TLS1_2_VERSION});
	client_send(&client, "last", 4);
	ck_assert_int_eq(SSL_shutdown(client.ssl), 0);
	loop_turn(rig.loop, false);
	ck_assert_uint_eq(served.got.len, 4); /* bytes before the end are not lost */
	expect_end(STREAM_EOF);
	ck_assert_int_eq(SSL_shutdown(client.ssl), 1);
}
END_TEST

START_TEST(takes_an_end_without_close_notify)
{
	establish(&right);
	client_send(&client, "last", 4);
	client_leave(&client);
	loop_turn(rig.loop, false);
	ck_assert_uint_eq(served.got.len, 4);
	expect_end(STREAM_EOF);
	ck_assert_str_eq(served.why, "");
}
END_TEST

START_TEST(tells_a_reset)
{
	struct linger now = {1, 0};

	establish_over_tcp();
	setsockopt(client.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	client_leave(&client);
	for (int i = 0; i < 3; i++)
		loop_turn(rig.loop, false);
	expect_end(STREAM_RESET);
}
END_TEST

START_TEST(shuts_after_what_is_queued)
{
	establish(&right);
	answer(200000);
	stream_shut(served.s);
	pump(40);
	expect_answer(200000);
	ck_assert(client.ended && client.reason == 0 && !client.broken);
	ck_assert_uint_eq(served.closed, 0);
	client_leave(&client);
	loop_turn(rig.loop, false);
	expect_end(STREAM_EOF);
}
END_TEST

START_TEST(lingers_for_a_while_only)
{
	static uint8_t bytes[100 * 1024];

	establish(&right);
	stream_shut(served.s);
	loop_turn(rig.loop, false);
	if (_i == 0) {
		clock_test_advance(2 * NS_PER_S - 1);
		loop_turn(rig.loop, false);
		ck_assert_uint_eq(served.closed, 0);
		clock_test_advance(1);
	} else {
		ck_assert_uint_gt(send_some(bytes, sizeof(bytes)), 64 * 1024);
	}
	loop_turn(rig.loop, false);
	expect_end(STREAM_EOF);
}
END_TEST

START_TEST(lingers_for_less_in_a_hurry)
{
	establish(&right);
	stream_hurry(served.s); /* not lingering, it goes on */
	ck_assert_int_eq(stream_lingers_for(served.s), 0);
	stream_shut(served.s);
	loop_turn(rig.loop, false);
	clock_test_advance(NS_PER_MS);
	loop_turn(rig.loop, false);
	ck_assert_int_eq(stream_lingers_for(served.s), NS_PER_MS);
	stream_hurry(served.s);
	ck_assert_uint_eq(served.closed, 0); /* no callback from inside a call */
	loop_turn(rig.loop, false);
	expect_end(STREAM_EOF);
}
END_TEST

START_TEST(shuts_in_the_middle_of_a_handshake)
{
	rig_connect(&rig, &served, &client, &right);
	pump((unsigned)_i);
	stream_shut(served.s);
	pump(2);
	client_leave(&client);
	loop_turn(rig.loop, false);
	expect_end(STREAM_EOF);
	ck_assert_uint_eq(served.ready, 0);
}
END_TEST

START_TEST(frees_inside_each_callback)
{
	served.free_in = (enum free_in)_i;
	rig_connect(&rig, &served, &client, &right);
	pump(TURNS);
	if (_i == FREE_DATA || _i == FREE_CLOSED)
		client_send(&client, "hello", 5);
	if (_i == FREE_DRAINED)
		answer(10);
	pump(2);
	client_leave(&client);
	loop_turn(rig.loop, false);
	ck_assert_ptr_null(served.s);
	ck_assert_uint_eq(served.closed, _i == FREE_CLOSED);
}
END_TEST

/* --- bytes out --- */

START_TEST(writes_much_to_a_slow_reader)
{
	establish(&right);
	answer(BIG);
	client.stalled = true;
	for (int i = 0; i < 20 && served.drained == 0; i++) {
		pump(4);
		clock_test_advance(RIG_WRITE_NS - 1);
		pump(1);
		ck_assert_uint_eq(served.closed, 0);
		client.stalled = false; /* some progress each time moves the deadline */
		pump(2);
		client.stalled = true;
	}
	client.stalled = false;
	pump(200);
	ck_assert_uint_eq(served.drained, 1);
	expect_answer(BIG);
	answer(100);
	pump(4);
	ck_assert_uint_eq(served.drained, 2);
	clock_test_advance(10 * RIG_WRITE_NS);
	pump(2);
	ck_assert_uint_eq(served.closed, 0); /* no deadline is left behind */
}
END_TEST

START_TEST(ends_when_the_reader_stalls)
{
	establish(&right);
	if (_i == 1)
		stream_pause(served.s);
	answer(BIG);
	if (_i == 2)
		stream_shut(served.s);
	client.stalled = true;
	pump(20);
	clock_test_advance(RIG_WRITE_NS - 1);
	pump(2);
	ck_assert_uint_eq(served.closed, 0);
	clock_test_advance(1);
	pump(1);
	expect_end(STREAM_WRITE_TIMEOUT);
	ck_assert_uint_eq(served.drained, 0);
}
END_TEST

START_TEST(writes_while_paused_and_reads_while_writing)
{
	establish(&right);
	answer(BIG);
	client.stalled = true;
	pump(8);
	client_send(&client, "next", 4);
	pump(4);
	ck_assert_uint_eq(served.got.len, 4);
	stream_pause(served.s);
	client.stalled = false;
	pump(200);
	ck_assert_uint_eq(served.drained, 1);
	expect_answer(BIG);
}
END_TEST

START_TEST(drops_what_is_written_after_the_end)
{
	struct buf b;

	establish(&right);
	client_leave(&client);
	loop_turn(rig.loop, false);
	expect_end(STREAM_EOF);
	answer(100);
	stream_resume(served.s);
	stream_shut(served.s);
	loop_turn(rig.loop, false);
	ck_assert_uint_eq(served.closed, 1);
	ck_assert_uint_eq(served.drained, 0);
	buf_init(&b, 1);
	buf_put(&b, "ab", 2);
	ck_assert_int_eq(stream_write(served.s, &b), buf_error(&b));
	ck_assert_int_ne(buf_error(&b), ERR_OK);
}
END_TEST

START_TEST(an_empty_write_drains)
{
	establish(&right);
	answer(0);
	pump(1);
	ck_assert_uint_eq(served.drained, 1);
}
END_TEST

/* --- what TLS allows a client --- */

START_TEST(refuses_renegotiation)
{
	establish(&(struct client_options){.who = WHO_RIGHT, .version = TLS1_2_VERSION});
	ck_assert_int_eq(SSL_renegotiate(client.ssl), 1);
	SSL_do_handshake(client.ssl);
	pump(4);
	ck_assert_int_eq(client.reason, SSL_R_NO_RENEGOTIATION);
	ck_assert_uint_eq(served.ready, 1);
	ck_assert_uint_eq(rig.checks, 1);
}
END_TEST

START_TEST(follows_a_key_update)
{
	establish(&(struct client_options){.who = WHO_RIGHT, .version = TLS1_3_VERSION});
	ck_assert_int_eq(SSL_key_update(client.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
	client_send(&client, "new keys", 8);
	pump(4);
	ck_assert_uint_eq(served.got.len, 8);
	answer(100);
	pump(4);
	expect_answer(100);
}
END_TEST

START_TEST(ends_on_a_forged_record)
{
	establish(&right);
	ck_assert_int_eq(write(client.fd, "\x17\x03\x03\x00\x14" "aaaaaaaaaaaaaaaaaaaa", 25), 25);
	pump(2);
	client_leave(&client);
	pump(2);
	expect_end(STREAM_TLS_ERROR);
	ck_assert_uint_eq(served.data, 0);
}
END_TEST

START_TEST(tells_addresses)
{
	char text[80];
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	establish_over_tcp();
	ck_assert_int_eq(getsockname(client.fd, (struct sockaddr *)&ss, &len), 0);
	snprintf(text, sizeof(text), "127.0.0.1:%u",
	    (unsigned)((uint8_t)((char *)&ss)[2] << 8 | (uint8_t)((char *)&ss)[3]));
	ck_assert_str_eq(stream_address(served.s), text);
}
END_TEST

/* --- many, and with little memory --- */

/* Half of the secure heap is full of keys: the other half must do for every handshake. */
START_TEST(makes_a_crowd_of_handshakes)
{
	static struct served d[CROWD];
	static struct client c[CROWD];
	static struct secret *kept[200000];
	size_t base, peak = 0, n = 0;

	while ((kept[n] = secret_new(32, SECRET_KEPT)) != NULL)
		n++;
	ck_assert_uint_gt(secret_heap_kept(), secret_heap_size() / 2 - 1024);
	base = secret_heap_used();
	memset(d, 0, sizeof(d));
	for (int i = 0; i < CROWD; i++)
		rig_connect(&rig, &d[i], &c[i], &(struct client_options){.who = WHO_RIGHT,
		    .version = i % 2 == 0 ? TLS1_2_VERSION : TLS1_3_VERSION});
	for (int turn = 0; turn < 400; turn++) {
		for (int i = 0; i < CROWD; i++)
			if (!c[i].connected || d[i].ready == 0)
				client_step(&c[i]);
		loop_turn(rig.loop, false);
		if (secret_heap_used() > peak)
			peak = secret_heap_used();
	}
	for (int i = 0; i < CROWD; i++) {
		ck_assert_msg(d[i].ready == 1 && d[i].closed == 0, "number %d: %s", i,
		    d[i].closed != 0 ? d[i].why : "unfinished");
		client_fini(&c[i]);
	}
	ck_assert_uint_gt(peak, base);
	for (int i = 0; i < CROWD; i++)
		served_fini(&d[i]);
	loop_turn(rig.loop, false);
	ck_assert_uint_eq(secret_heap_used(), base);
	while (n > 0)
		secret_unref(kept[--n]);
	ck_assert_uint_eq(secret_heap_kept(), 0);
}
END_TEST

/* The n-th allocation of a connection fails, on either side: it ends in order, or not at all. */
START_TEST(survives_a_failed_allocation)
{
	enum { STRIDE = 9, PER_TEST = 50 };
	unsigned first = (unsigned)_i * PER_TEST * STRIDE;

	for (unsigned skip = first; skip < first + PER_TEST * STRIDE; skip += STRIDE) {
		served = (struct served){0};
		rig_connect(&rig, &served, &client, &right);
		fault_test_arm(FAULT_ALLOC, skip, 1);
		for (int i = 0; i < TURNS; i++) {
			if (i == TURNS - 4 && client.connected && !client.ended)
				(void)SSL_write(client.ssl, "hello", 5);
			pump(1);
		}
		fault_test_clear();
		ck_assert_uint_le(served.closed, 1);
		client_leave(&client);
		pump(3);
		expect_end(served.end);
		client_fini(&client);
		served_fini(&served);
	}
	client = (struct client){.fd = -1};
}
END_TEST

static Suite *
stream_suite(void)
{
	Suite *suite = suite_create("stream");
	TCase *t = tcase_create("stream");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_set_timeout(t, 120);
	tcase_add_test(t, tells_alerts_from_failures_of_our_own);
	tcase_add_loop_test(t, ends_on_junk, 0, 4);
	tcase_add_loop_test(t, ends_a_silent_handshake, 0, 2);
	tcase_add_test(t, drops_a_stale_handshake_unread);
	tcase_add_loop_test(t, ends_when_the_client_leaves_the_handshake, 0, 2);
	tcase_add_test(t, a_hello_without_a_client_is_not_read);
	tcase_add_loop_test(t, a_hello_of_one_who_broke_off_is_not_read, 0, 2);
	tcase_add_test(t, makes_some_handshakes_in_a_turn);
	tcase_add_test(t, the_latest_come_first_when_others_waited_too_long);
	tcase_add_loop_test(t, takes_a_drip, 0, 2);
	tcase_add_test(t, key_updates_take_turns);
	tcase_add_test(t, holds_pipelined_bytes_while_paused);
	tcase_add_test(t, offers_what_is_buffered_on_resuming);
	tcase_add_test(t, an_idle_stream_owns_no_buffer);
	tcase_add_test(t, reads_what_came_with_the_last_flight);
	tcase_add_test(t, stops_reading_at_the_ceiling);
	tcase_add_test(t, leaves_turns_to_others);
	tcase_add_loop_test(t, notices_that_the_client_left_while_paused, 0, 3);
	tcase_add_test(t, notices_a_reset_behind_the_last_flight);
	tcase_add_loop_test(t, notices_a_reset_behind_half_of_something, 0, 6);
	tcase_add_loop_test(t, notices_a_reset_while_paused, 0, 2);
	tcase_add_test(t, does_not_spin_while_paused);
	tcase_add_loop_test(t, a_proof_counts_though_its_client_left, 0, 6);
	tcase_add_test(t, answers_close_notify);
	tcase_add_test(t, takes_an_end_without_close_notify);
	tcase_add_test(t, tells_a_reset);
	tcase_add_test(t, shuts_after_what_is_queued);
	tcase_add_loop_test(t, lingers_for_a_while_only, 0, 2);
	tcase_add_test(t, lingers_for_less_in_a_hurry);
	tcase_add_loop_test(t, shuts_in_the_middle_of_a_handshake, 0, 2);
	tcase_add_loop_test(t, frees_inside_each_callback, FREE_READY, FREE_CLOSED + 1);
	tcase_add_test(t, writes_much_to_a_slow_reader);
	tcase_add_loop_test(t, ends_when_the_reader_stalls, 0, 3);
	tcase_add_test(t, writes_while_paused_and_reads_while_writing);
	tcase_add_test(t, drops_what_is_written_after_the_end);
	tcase_add_test(t, an_empty_write_drains);
	tcase_add_test(t, refuses_renegotiation);
	tcase_add_test(t, follows_a_key_update);
	tcase_add_test(t, ends_on_a_forged_record);
	tcase_add_test(t, tells_addresses);
	tcase_add_test(t, makes_a_crowd_of_handshakes);
	tcase_add_loop_test(t, survives_a_failed_allocation, 0, 8);
	suite_add_tcase(suite, t);
	return suite;
}

static void
prepare(void)
{
	struct rlimit files;
	bool locked;

	signal(SIGPIPE, SIG_IGN);
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	if (alloc_install() != ERR_OK || secret_heap_init(4096 * 1024, true, &locked) != ERR_OK)
		abort();
}

int
main(void)
{
	SRunner *runner;
	int failed;

	prepare();
	runner = srunner_create(stream_suite());
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
