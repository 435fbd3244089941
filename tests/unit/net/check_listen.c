/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets: addresses, pauses, exhaustion. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/metric.h"
#include "net/listen.h"

enum { MANY = 100 };

static struct loop *loop;
static struct listener *ls;
static int taken[2 * MANY];
static size_t taken_count;
static size_t pause_after, free_after;
static int log_pipe[2];
static int64_t pauses_before;

static void
on_accepted(void *user, int fd)
{
	ck_assert_ptr_eq(user, &taken);
	taken[taken_count++] = fd;
	if (taken_count == pause_after)
		listener_pause(ls);
	if (taken_count == free_after) {
		listener_free(ls);
		ls = NULL;
	}
}

static const struct listen_ops ops = {.accepted = on_accepted};

static void
set_up(void)
{
	const char *why = "";

	clock_test_freeze(1760000000);
	loop = loop_new();
	taken_count = pause_after = free_after = 0;
	ck_assert_int_eq(pipe2(log_pipe, O_NONBLOCK), 0);
	log_set_output(log_pipe[1], false);
	ck_assert_msg(listener_new(&ls, loop, "127.0.0.1:0", false, &ops, &taken, &why) == ERR_OK, "%s",
	    why);
	pauses_before = metric_get(METRIC_LISTENER_PAUSES_TOTAL);
}

static void
tear_down(void)
{
	fault_test_clear();
	listener_free(ls);
	loop_turn(loop, false);
	loop_free(loop);
	while (taken_count > 0)
		close(taken[--taken_count]);
	log_set_output(STDERR_FILENO, true);
	close(log_pipe[0]);
	close(log_pipe[1]);
}

static int
dial(const struct listener *to)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	const char *colon = strrchr(listener_address(to), ':');
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	sin.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
	ck_assert_int_ne(sin.sin_port, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	return fd;
}

static void
turn(void)
{
	loop_turn(loop, false);
}

static int64_t
pauses(void)
{
	return metric_get(METRIC_LISTENER_PAUSES_TOTAL) - pauses_before;
}

static int
log_lines(void)
{
	char text[4096];
	ssize_t n = read(log_pipe[0], text, sizeof(text));
	int lines = 0;

	for (ssize_t i = 0; i < n; i++)
		lines += text[i] == '\n';
	return lines;
}

START_TEST(tells_how_many_wait)
{
	int clients[3];

	listener_pause(ls);
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_uint_eq(listener_waiting(ls), i);
		clients[i] = dial(ls);
	}
	ck_assert_uint_eq(listener_waiting(ls), 3);
	listener_resume(ls);
	turn();
	ck_assert_uint_eq(listener_waiting(ls), 0);
	for (unsigned i = 0; i < 3; i++)
		close(clients[i]);
}
END_TEST

START_TEST(accepts_ready_sockets)
{
	int client = dial(ls), flag = 0;
	socklen_t len = sizeof(flag);

	turn();
	ck_assert_uint_eq(taken_count, 1);
	ck_assert_int_ne(fcntl(taken[0], F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_ne(fcntl(taken[0], F_GETFD) & FD_CLOEXEC, 0);
	ck_assert_int_eq(getsockopt(taken[0], IPPROTO_TCP, TCP_NODELAY, &flag, &len), 0);
	ck_assert_int_ne(flag, 0);
	close(client);
}
END_TEST

START_TEST(accepts_some_in_a_turn)
{
	int clients[MANY];

	for (int i = 0; i < MANY; i++)
		clients[i] = dial(ls);
	turn();
	ck_assert_uint_eq(taken_count, 64);
	turn();
	ck_assert_uint_eq(taken_count, MANY);
	for (int i = 0; i < MANY; i++)
		close(clients[i]);
}
END_TEST

START_TEST(pauses_for_its_user)
{
	int clients[3];

	pause_after = 1;
	for (int i = 0; i < 3; i++)
		clients[i] = dial(ls);
	turn();
	turn();
	ck_assert_uint_eq(taken_count, 1);
	ck_assert_int_eq(pauses(), 1);
	listener_pause(ls);
	ck_assert_int_eq(pauses(), 1);
	clock_test_advance(10 * NS_PER_S);
	turn();
	ck_assert_uint_eq(taken_count, 1); /* no timer ends the user's pause */
	listener_resume(ls);
	listener_resume(ls);
	turn();
	ck_assert_uint_eq(taken_count, 3);
	for (int i = 0; i < 3; i++)
		close(clients[i]);
}
END_TEST

START_TEST(retries_when_exhausted)
{
	int client = dial(ls);

	fault_test_arm(FAULT_ACCEPT_EMFILE, 0, 3);
	turn();
	ck_assert_int_eq(pauses(), 1);
	ck_assert_int_eq(log_lines(), 1);
	turn();
	turn();
	ck_assert_int_eq(pauses(), 1); /* it does not try in between */
	clock_test_advance(NS_PER_S - 1);
	turn();
	ck_assert_int_eq(pauses(), 1);
	clock_test_advance(1);
	turn();
	turn();
	ck_assert_int_eq(pauses(), 2);
	listener_resume(ls); /* a session ended */
	turn();
	ck_assert_int_eq(pauses(), 3);
	ck_assert_uint_eq(taken_count, 0);
	clock_test_advance(NS_PER_S);
	turn();
	turn();
	ck_assert_uint_eq(taken_count, 1);
	ck_assert_int_eq(log_lines(), 0); /* said once was enough */
	close(client);
}
END_TEST

START_TEST(stays_paused_when_exhausted_and_paused)
{
	int client = dial(ls);

	fault_test_arm(FAULT_ACCEPT_EMFILE, 0, 1);
	turn();
	listener_pause(ls);
	clock_test_advance(2 * NS_PER_S);
	turn();
	turn();
	ck_assert_uint_eq(taken_count, 0);
	listener_resume(ls);
	turn();
	ck_assert_uint_eq(taken_count, 1);
	close(client);
}
END_TEST

/* Nor does it keep the processor busy. */
START_TEST(is_not_deaf_without_memory)
{
	int client = dial(ls);

	fault_test_arm(FAULT_ACCEPT_EMFILE, 0, 1);
	fault_test_arm(FAULT_ALLOC, 0, 1000);
	turn();
	turn();
	ck_assert_uint_eq(taken_count, 0);
	ck_assert_int_eq(log_lines(), 1);
	clock_test_advance(NS_PER_S);
	turn();
	fault_test_clear();
	turn();
	ck_assert_uint_eq(taken_count, 1);
	close(client);
}
END_TEST

/* It tries again, whatever it was that paused it, and says so once. */
START_TEST(is_not_deaf_without_the_kernels_memory)
{
	int client = dial(ls);

	if (_i == 0) { /* at the end of a pause of its user's */
		listener_pause(ls);
		fault_test_arm(FAULT_WATCH, 0, 2);
		listener_resume(ls);
	} else { /* at the end of one of its own */
		fault_test_arm(FAULT_ACCEPT_EMFILE, 0, 1);
		turn();
		ck_assert_int_eq(log_lines(), 1);
		fault_test_arm(FAULT_WATCH, 0, 2);
		clock_test_advance(NS_PER_S);
		turn();
	}
	ck_assert_int_eq(log_lines(), _i == 0);
	for (int second = 0; second < 2; second++) {
		turn();
		ck_assert_uint_eq(taken_count, 0);
		clock_test_advance(NS_PER_S);
		turn();
	}
	turn();
	ck_assert_uint_eq(taken_count, 1);
	ck_assert_int_eq(log_lines(), 0);
	close(client);
}
END_TEST

START_TEST(may_be_freed_inside_accepted)
{
	int clients[3];

	free_after = 2;
	for (int i = 0; i < 3; i++)
		clients[i] = dial(ls);
	turn();
	ck_assert_uint_eq(taken_count, 2);
	ck_assert_ptr_null(ls);
	for (int i = 0; i < 3; i++)
		close(clients[i]);
}
END_TEST

static enum err
try(const char *address, const char *want)
{
	struct listener *l = NULL;
	const char *why = "";
	enum err e = listener_new(&l, loop, address, false, &ops, &taken, &why);

	ck_assert((e == ERR_OK) == (l != NULL));
	if (e != ERR_OK)
		ck_assert_msg(strstr(why, want) != NULL && strstr(why, address) != NULL,
		    "no \"%s\" in: %s", want, why);
	listener_free(l);
	return e;
}

START_TEST(refuses_what_is_no_address)
{
	static const char *const bad[] = {"", "5696", ":5696", "localhost", "127.0.0.1:",
	    "127.0.0.1:65536", "127.0.0.1:5x", "127.0.0.1:-1", "::1:5696", "[]:1", "[::1:5696",
	    "[::1]5696", "127.0.0.1:000001", "[::1] :1"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(try(bad[i], "") == ERR_INVALID_FIELD, "%s", bad[i]);
}
END_TEST

START_TEST(tells_why_it_cannot_listen)
{
	ck_assert_int_eq(try("192.0.2.1:5696", "does not have that address"), ERR_IO);
	ck_assert_int_eq(try(listener_address(ls), "another process"), ERR_IO);
}
END_TEST

/* All have to say so, and each gets some of what comes. */
START_TEST(shares_its_address)
{
	struct listener *first = NULL, *second = NULL, *third = NULL;
	const char *why = "";
	int clients[40];
	unsigned all;

	ck_assert_int_eq(listener_new(&first, loop, "127.0.0.1:0", true, &ops, &taken, &why), ERR_OK);
	ck_assert_int_eq(listener_new(&second, loop, listener_address(first), true, &ops, &taken, &why),
	    ERR_OK);
	ck_assert_int_eq(listener_new(&third, loop, listener_address(first), false, &ops, &taken, &why),
	    ERR_IO);
	for (size_t i = 0; i < 40; i++)
		clients[i] = dial(first);
	listener_pause(second);
	turn();
	ck_assert_uint_gt(taken_count, 0);
	ck_assert_uint_lt(taken_count, 40);
	all = taken_count;
	listener_resume(second);
	turn();
	ck_assert_uint_gt(taken_count, all);
	ck_assert_uint_eq(taken_count, 40);
	for (size_t i = 0; i < 40; i++)
		close(clients[i]);
	listener_free(first);
	listener_free(second);
}
END_TEST

/* One socket for both families; the IPv4 client is shown as one. */
START_TEST(listens_on_both_families)
{
	struct listener *both = NULL;
	const char *why = "";
	int client;

	if (listener_new(&both, loop, "[::]:0", false, &ops, &taken, &why) != ERR_OK)
		return; /* a machine without IPv6 */
	ck_assert_int_eq(strncmp(listener_address(both), "[::]:", 5), 0);
	client = dial(both);
	turn();
	ck_assert_uint_eq(taken_count, 1);
	close(client);
	listener_free(both);
}
END_TEST

START_TEST(takes_a_descriptor)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "\0keyferry-listen-test"};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
	struct listener *l = NULL;

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	ck_assert_int_eq(listener_from_fd(&l, loop, fd, &ops, &taken), ERR_OK);
	ck_assert_str_eq(listener_address(l), "local");
	ck_assert_int_eq(connect(client, (struct sockaddr *)&un, sizeof(un)), 0);
	turn();
	ck_assert_uint_eq(taken_count, 1);
	listener_free(l);
	close(client);
}
END_TEST

START_TEST(refuses_a_descriptor_that_does_not_listen)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct listener *l = NULL;

	ck_assert_int_eq(listener_from_fd(&l, loop, fd, &ops, &taken), ERR_IO);
	ck_assert_int_eq(fcntl(fd, F_GETFD), -1); /* taken all the same */
	ck_assert_int_eq(errno, EBADF);
	ck_assert_ptr_null(l);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("listen");
	TCase *t = tcase_create("listen");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, tells_how_many_wait);
	tcase_add_test(t, accepts_ready_sockets);
	tcase_add_test(t, accepts_some_in_a_turn);
	tcase_add_test(t, pauses_for_its_user);
	tcase_add_test(t, retries_when_exhausted);
	tcase_add_test(t, stays_paused_when_exhausted_and_paused);
	tcase_add_test(t, is_not_deaf_without_memory);
	tcase_add_loop_test(t, is_not_deaf_without_the_kernels_memory, 0, 2);
	tcase_add_test(t, may_be_freed_inside_accepted);
	tcase_add_test(t, refuses_what_is_no_address);
	tcase_add_test(t, tells_why_it_cannot_listen);
	tcase_add_test(t, shares_its_address);
	tcase_add_test(t, listens_on_both_families);
	tcase_add_test(t, takes_a_descriptor);
	tcase_add_test(t, refuses_a_descriptor_that_does_not_listen);
	suite_add_tcase(suite, t);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
