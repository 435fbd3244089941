/* SPDX-License-Identifier: Apache-2.0 */
/* Streams: bytes in and out, what TLS allows a client, and many at a time. */
#include <sys/ioctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/secret.h"

#include "stream_rig.h"

enum { CROWD = 500 };

/* --- bytes in --- */

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

static size_t
read_some(size_t len)
{
	uint8_t bytes[4096];
	size_t done = 0;
	int n;

	while (done < len && (n = SSL_read(client.ssl, bytes, sizeof(bytes))) > 0)
		done += (size_t)n;
	return done;
}

/* It takes some all the time: half as much as the slowest that is served, or twice. */
START_TEST(ends_when_the_reader_is_too_slow)
{
	const int64_t in_all = RIG_WRITE_NS + (int64_t)BIG * NS_PER_S / STREAM_RATE_MIN;
	const int64_t step = RIG_WRITE_NS / 2;
	const size_t even = (size_t)(STREAM_RATE_MIN * step / NS_PER_S), each = _i == 0 ? even / 2 : 2 * even;
	int fd[2], small = 4096;
	int64_t took = 0;

	rig_pair(fd, false);
	ck_assert_int_eq(setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	served_start(&served, &rig, fd[0]);
	client_start(&client, &rig, fd[1], &right);
	pump(TURNS);
	answer(BIG);
	client.stalled = true;
	for (; served.closed == 0 && served.drained == 0; took += step) {
		size_t got = 0;

		for (int tries = 0; got < each && tries < 100; tries++) {
			got += read_some(4096);
			pump(2);
		}
		clock_test_advance(step);
		pump(1);
	}
	ck_assert_int_le(took, in_all + 2 * step);
	ck_assert_uint_eq(served.drained, _i);
	if (_i == 1)
		return;
	ck_assert_int_ge(took, in_all);
	expect_end(STREAM_WRITE_TIMEOUT);
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

/*
 * The n-th allocation of a connection fails, on either side: it ends in order, or not at all.
 * KEYFERRY_LONG=1: every one, not every ninth.
 */
START_TEST(survives_a_failed_allocation)
{
	enum { PER_TEST = 450 };
	unsigned stride = getenv("KEYFERRY_LONG") != NULL ? 1 : 9;
	unsigned first = (unsigned)_i * PER_TEST;

	for (unsigned skip = first; skip < first + PER_TEST; skip += stride) {
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
		/* the certificate is a good one */
		ck_assert_msg(served.end == STREAM_NO_MEMORY ||
		    strcmp(served.why, "certificate verify failed") != 0, "allocation %u", skip);
		client_fini(&client);
		served_fini(&served);
	}
	client = (struct client){.fd = -1};
}
END_TEST

int
main(void)
{
	TCase *t = stream_case();

	tcase_add_loop_test(t, takes_a_drip, 0, 2);
	tcase_add_test(t, key_updates_take_turns);
	tcase_add_test(t, holds_pipelined_bytes_while_paused);
	tcase_add_test(t, offers_what_is_buffered_on_resuming);
	tcase_add_test(t, an_idle_stream_owns_no_buffer);
	tcase_add_test(t, reads_what_came_with_the_last_flight);
	tcase_add_test(t, stops_reading_at_the_ceiling);
	tcase_add_test(t, leaves_turns_to_others);
	tcase_add_test(t, writes_much_to_a_slow_reader);
	tcase_add_loop_test(t, ends_when_the_reader_stalls, 0, 3);
	tcase_add_loop_test(t, ends_when_the_reader_is_too_slow, 0, 2);
	tcase_add_test(t, writes_while_paused_and_reads_while_writing);
	tcase_add_test(t, drops_what_is_written_after_the_end);
	tcase_add_test(t, an_empty_write_drains);
	tcase_add_test(t, refuses_renegotiation);
	tcase_add_test(t, follows_a_key_update);
	tcase_add_test(t, ends_on_a_forged_record);
	tcase_add_test(t, tells_addresses);
	tcase_add_test(t, makes_a_crowd_of_handshakes);
	tcase_add_loop_test(t, survives_a_failed_allocation, 0, 8);
	return stream_case_run("stream", t);
}
