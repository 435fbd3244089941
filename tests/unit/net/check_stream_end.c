/* SPDX-License-Identifier: Apache-2.0 */
/* How streams end, while paused and not: what the client does, and what it is told. */
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#include "stream_rig.h"

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
	timer_set(rig.loop, &timer, clock_now() + 5 * NS_PER_MS);
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

START_TEST(tells_how_long_it_lingers)
{
	establish(&right);
	ck_assert_int_eq(stream_lingers_for(served.s), 0);
	stream_shut(served.s);
	loop_turn(rig.loop, false);
	clock_test_advance(NS_PER_MS);
	loop_turn(rig.loop, false);
	ck_assert_int_eq(stream_lingers_for(served.s), NS_PER_MS);
	ck_assert_int_eq(stream_lingers_after(served.s), STREAM_EOF);
	ck_assert_uint_eq(served.closed, 0);
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

int
main(void)
{
	TCase *t = stream_case();

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
	tcase_add_test(t, tells_how_long_it_lingers);
	tcase_add_loop_test(t, shuts_in_the_middle_of_a_handshake, 0, 2);
	tcase_add_loop_test(t, frees_inside_each_callback, FREE_READY, FREE_CLOSED + 1);
	return stream_case_run("stream-end", t);
}
