/* SPDX-License-Identifier: Apache-2.0 */
/* Streams whose handshake is not done: clients that are silent, leave, or are too many. */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/metric.h"

#include "admit.h"
#include "failure.h"
#include "stream_rig.h"

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

/* Nobody is told that a certificate is not good as nobody could look at it. */
START_TEST(no_memory_is_no_refusal)
{
	rig.lacks = _i < 2;
	rig.lacks_behind = _i >= 2;
	rig_connect(&rig, &served, &client, &(struct client_options){.who = WHO_RIGHT,
	    .version = _i % 2 == 0 ? TLS1_2_VERSION : TLS1_3_VERSION});
	pump(TURNS);
	fault_test_clear();
	client_leave(&client);
	pump(3);
	if (_i < 2) {
		expect_end(STREAM_NO_MEMORY);
		ck_assert(!served.proven);
		ck_assert_int_eq(client.reason, SSL_R_TLSV1_ALERT_INTERNAL_ERROR);
	} else {
		ck_assert(served.closed == 1 && served.end != STREAM_REFUSED);
	}
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

/* Its steps, not what it waited between them. */
START_TEST(tells_what_a_handshake_took)
{
	rig.check_ns = 7 * NS_PER_MS;
	rig_connect(&rig, &served, &client, &(struct client_options){
	    .who = _i == 0 ? WHO_RIGHT : WHO_UNKNOWN});
	client_step(&client);
	loop_turn(rig.loop, false);
	ck_assert_int_eq(stream_worked(served.s), 0);
	clock_test_advance(100 * NS_PER_MS);
	pump(TURNS);
	ck_assert_uint_eq(rig.checks, 1);
	ck_assert_uint_eq(served.ready, _i == 0);
	ck_assert_int_eq(stream_worked(served.s), rig.check_ns);
	client_leave(&client);
	pump(2);
	expect_end(_i == 0 ? STREAM_EOF : STREAM_REFUSED);
	ck_assert_int_eq(stream_worked(served.s), rig.check_ns);
}
END_TEST

/* Records of which a client can send as many as it likes, after its hello. */
static const struct {
	const char *bytes;
	int len, version;
} endless[] = {
    {"\x14\3\3\0\1\1", 6, TLS1_2_VERSION},	  /* ChangeCipherSpec */
    {"\x14\3\3\0\1\1", 6, TLS1_3_VERSION},	  /* which means nothing there */
    {"\x15\3\3\0\2\1\x5a", 7, TLS1_2_VERSION}, /* a warning */
    {"\x15\3\3\0\2\1\x5a", 7, TLS1_3_VERSION},
    {"\x16\3\3\0\0", 5, TLS1_2_VERSION},	  /* nothing */
    {"\x16\3\3\0\0", 5, TLS1_3_VERSION},
    {"\x17\3\3\0\0", 5, TLS1_2_VERSION},
    {"\x17\3\3\0\0", 5, TLS1_3_VERSION},
};

/* Each is a step of its own. */
START_TEST(a_stranger_has_so_many_steps)
{
	int steps = 0;

	rig_connect(&rig, &served, &client, &(struct client_options){.who = WHO_RIGHT,
	    .version = endless[_i].version});
	client_step(&client);
	pump(1);
	while (served.closed == 0 && stream_lingers_for(served.s) == 0) {
		ck_assert_int_lt(steps++, 2 * ADMIT_STEPS);
		(void)send(client.fd, endless[_i].bytes, (size_t)endless[_i].len, MSG_NOSIGNAL);
		loop_turn(rig.loop, false);
		clock_test_advance(1); /* so that lingering is seen */
	}
	client_leave(&client);
	pump(2);
	expect_end(STREAM_TLS_ERROR);
}
END_TEST

/* A message in records of a byte each ends with its length, and comes last after some of them. */
START_TEST(a_message_in_bytes_comes_to_its_end)
{
	enum { SAYS = 4096 };
	int64_t dripped = metric_get(METRIC_HANDSHAKES_DRIPPED_TOTAL);
	uint8_t bytes[] = {0x16, 3, 3, 0, 1, 0};
	static const uint8_t head[] = {0x0b, 0, SAYS >> 8, SAYS & 0xff}; /* Certificate */
	int n = 0;

	rig_connect(&rig, &served, &client, &(struct client_options){.who = WHO_RIGHT,
	    .version = TLS1_2_VERSION});
	client_step(&client);
	pump(1);
	for (; served.closed == 0 && stream_lingers_for(served.s) == 0; n++) {
		ck_assert_int_lt(n, SAYS + 4);
		bytes[5] = n < 4 ? head[n] : 0;
		(void)send(client.fd, bytes, sizeof(bytes), MSG_NOSIGNAL);
		loop_turn(rig.loop, false);
		clock_test_advance(1);
	}
	ck_assert_int_gt(n, ADMIT_STEPS);
	ck_assert_int_eq(metric_get(METRIC_HANDSHAKES_DRIPPED_TOTAL), dripped + 1);
	client_leave(&client);
	pump(2);
	expect_end(STREAM_TLS_ERROR);
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

/* Its hello lies in the socket while the process stands still. */
START_TEST(an_absence_is_no_fault_of_the_client)
{
	loop_watch_lag(rig.loop);
	rig_connect(&rig, &served, &client, &right);
	client_step(&client);
	clock_test_advance(100 * NS_PER_MS + RIG_HANDSHAKE_NS);
	pump(TURNS);
	ck_assert_uint_eq(served.ready, 1);
	client_leave(&client);
	pump(2);
	expect_end(STREAM_EOF);
}
END_TEST

/* Nor more time for it: what it had before and has afterwards is as much as that of others. */
START_TEST(an_absence_is_not_counted)
{
	int64_t before = 3 * NS_PER_S, beat = 100 * NS_PER_MS;
	int fd[2];

	loop_watch_lag(rig.loop);
	rig_pair(fd, false);
	served_start(&served, &rig, fd[0]);
	for (int64_t t = 0; t < before; t += beat) {
		clock_test_advance(beat);
		loop_turn(rig.loop, false);
	}
	for (int i = 0; i < 2; i++) { /* longer than all the time it has */
		clock_test_advance(beat + 2 * RIG_HANDSHAKE_NS);
		loop_turn(rig.loop, false);
	}
	for (int64_t t = before + 3 * beat; t < RIG_HANDSHAKE_NS; t += beat) {
		ck_assert_uint_eq(served.closed, 0);
		clock_test_advance(beat);
		loop_turn(rig.loop, false);
	}
	clock_test_advance(beat);
	loop_turn(rig.loop, false);
	expect_end(STREAM_HANDSHAKE_TIMEOUT);
	close(fd[1]);
}
END_TEST

/* It was in the listener's queue. */
START_TEST(who_comes_after_an_absence_has_no_more_time)
{
	int64_t beat = 100 * NS_PER_MS;
	int fd[2];

	loop_watch_lag(rig.loop);
	clock_test_advance(beat + 2 * RIG_HANDSHAKE_NS);
	rig_pair(fd, false);
	served_start(&served, &rig, fd[0]);
	for (int64_t t = 0; t < RIG_HANDSHAKE_NS; t += beat) {
		loop_turn(rig.loop, false);
		ck_assert_uint_eq(served.closed, 0);
		clock_test_advance(beat);
	}
	loop_turn(rig.loop, false);
	expect_end(STREAM_HANDSHAKE_TIMEOUT);
	close(fd[1]);
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

int
main(void)
{
	TCase *t = stream_case();

	tcase_add_test(t, tells_alerts_from_failures_of_our_own);
	tcase_add_loop_test(t, ends_on_junk, 0, 4);
	tcase_add_loop_test(t, no_memory_is_no_refusal, 0, 4);
	tcase_add_loop_test(t, ends_a_silent_handshake, 0, 2);
	tcase_add_loop_test(t, tells_what_a_handshake_took, 0, 2);
	tcase_add_loop_test(t, a_stranger_has_so_many_steps, 0,
	    sizeof(endless) / sizeof(endless[0]));
	tcase_add_test(t, a_message_in_bytes_comes_to_its_end);
	tcase_add_test(t, drops_a_stale_handshake_unread);
	tcase_add_test(t, an_absence_is_no_fault_of_the_client);
	tcase_add_test(t, an_absence_is_not_counted);
	tcase_add_test(t, who_comes_after_an_absence_has_no_more_time);
	tcase_add_loop_test(t, ends_when_the_client_leaves_the_handshake, 0, 2);
	tcase_add_test(t, a_hello_without_a_client_is_not_read);
	tcase_add_loop_test(t, a_hello_of_one_who_broke_off_is_not_read, 0, 2);
	tcase_add_test(t, makes_some_handshakes_in_a_turn);
	tcase_add_test(t, the_latest_come_first_when_others_waited_too_long);
	return stream_case_run("stream-begin", t);
}
