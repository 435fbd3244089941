/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP server over socket pairs, on virtual time. */
#include "net/web.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/metric.h"

enum { ANSWER_MAX = 4 * 1024 * 1024, BIG = 3 * 1024 * 1024 };
#define HOST "Host: x\r\n"

static struct loop *loop;
static struct web *web;
static int client;
static char asked[256], accepted[256];
static int64_t refused_before;

static void
answer(void *user, const struct web_request *rq, struct web_answer *a)
{
	static char zeros[1024];

	ck_assert_ptr_eq(user, asked);
	snprintf(asked, sizeof(asked), "%s", rq->path);
	snprintf(accepted, sizeof(accepted), "%s", rq->accept != NULL ? rq->accept : "-");
	if (strcmp(rq->path, "/big") == 0) {
		for (int i = 0; i < BIG / 1024; i++)
			buf_put(&a->body, zeros, sizeof(zeros));
	} else if (strcmp(rq->path, "/too-big") == 0) {
		for (int i = 0; i <= ANSWER_MAX / 1024; i++)
			buf_put(&a->body, zeros, sizeof(zeros));
	} else {
		a->content_type = "text/x-test";
		buf_printf(&a->body, "hello");
	}
}

static int
connect_one(void)
{
	int fd[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	web_accept(web, fd[0]);
	return fd[1];
}

static void
set_up(void)
{
	const struct web_params p = {.answer = answer, .user = asked, .answer_max = ANSWER_MAX};
	struct web_params with_loop = p;

	clock_test_freeze(1760000000);
	loop = with_loop.loop = loop_new();
	web = web_new(&with_loop);
	ck_assert_ptr_nonnull(web);
	client = connect_one();
	asked[0] = accepted[0] = '\0';
	refused_before = metric_get(METRIC_STATS_REFUSED_TOTAL);
}

static void
tear_down(void)
{
	close(client);
	web_free(web);
	loop_turn(loop, false);
	loop_free(loop);
}

static void
turns(void)
{
	for (int i = 0; i < 6; i++)
		loop_turn(loop, false);
}

static void
say(int fd, const char *text)
{
	ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
	turns();
}

/* What has come, as text; valid until the next call. */
static const char *
heard(int fd)
{
	static char text[16384];
	ssize_t n = recv(fd, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

/* Every byte was read and the end seen. */
static bool
closed(int fd)
{
	char byte;

	return recv(fd, &byte, 1, 0) == 0;
}

static int64_t
refused(void)
{
	return metric_get(METRIC_STATS_REFUSED_TOTAL) - refused_before;
}

START_TEST(answers)
{
	const char *text;

	say(client, "GET /metrics?x=1 HTTP/1.1\r\n" HOST "accept:  a/b;q=1 \r\n\r\n");
	text = heard(client);
	ck_assert_ptr_eq(strstr(text, "HTTP/1.1 200 OK\r\nDate: Thu, 09 Oct 2025 08:53:20 GMT\r\n"), text);
	ck_assert_ptr_nonnull(strstr(text, "\r\nContent-Type: text/x-test\r\nContent-Length: 5\r\n"));
	ck_assert_ptr_null(strstr(text, "Connection: close"));
	ck_assert_str_eq(text + strlen(text) - 9, "\r\n\r\nhello");
	ck_assert_str_eq(asked, "/metrics");
	ck_assert_str_eq(accepted, "a/b;q=1");
	say(client, "HEAD /ready HTTP/1.1\r\n" HOST "\r\n"); /* on the same connection */
	text = heard(client);
	ck_assert_ptr_nonnull(strstr(text, "Content-Length: 5\r\n"));
	ck_assert_str_eq(text + strlen(text) - 4, "\r\n\r\n");
	ck_assert_str_eq(asked, "/ready");
	ck_assert_str_eq(accepted, "-");
	ck_assert_int_eq(refused(), 0);
}
END_TEST

START_TEST(byte_by_byte)
{
	const char *rq = "GET /a HTTP/1.1\r\n" HOST "\r\nGET /b HTTP/1.1\r\n" HOST "\r\n";

	for (const char *c = rq; *c != '\0'; c++) {
		char one[2] = {*c, '\0'};

		say(client, one);
	}
	ck_assert_str_eq(asked, "/b");
	ck_assert_ptr_nonnull(strstr(strstr(heard(client), "hello") + 1, "hello"));
}
END_TEST

/* What came in one piece is answered one after the other. */
START_TEST(pipeline)
{
	const char *text;

	say(client, "GET /a HTTP/1.1\r\n" HOST "\r\nGET /b HTTP/1.1\r\n" HOST
		    "\r\nGET /c HTTP/1.0\r\n\r\n");
	text = heard(client);
	for (int i = 0; i < 3; i++) {
		text = strstr(text, "hello");
		ck_assert_ptr_nonnull(text++);
	}
	ck_assert_str_eq(asked, "/c");
	ck_assert(closed(client)); /* HTTP/1.0 */
}
END_TEST

/* However many came at once, others have their turns in between. */
START_TEST(one_answer_a_turn)
{
	static const char three[] = "HEAD /a HTTP/1.1\r\n" HOST "\r\nHEAD /b HTTP/1.1\r\n" HOST
				    "\r\nHEAD /c HTTP/1.1\r\n" HOST "\r\n";
	int64_t before = metric_get(METRIC_STATS_REQUESTS_TOTAL);

	ck_assert_int_gt(send(client, three, strlen(three), MSG_NOSIGNAL), 0);
	for (int i = 1; i <= 6; i++) {
		ck_assert_int_gt(send(client, three, strlen(three), MSG_NOSIGNAL), 0);
		loop_turn(loop, false);
		ck_assert_int_eq(metric_get(METRIC_STATS_REQUESTS_TOTAL) - before, i);
	}
}
END_TEST

static const struct {
	const char *request, *status;
	bool stays;
} bad[] = {
    {"POST / HTTP/1.1\r\n" HOST "\r\n", "405 Method Not Allowed", true},
    {"get / HTTP/1.1\r\n" HOST "\r\n", "405", true},
    {"GET / HTTP/1.1\r\n\r\n", "400", false},
    {"GET / HTTP/1.1\r\n" HOST HOST "\r\n", "400", false},
    {"GET / HTTP/2.0\r\n" HOST "\r\n", "505", false},
    {"GET / FTP/1.1\r\n" HOST "\r\n", "400", false},
    {"GET  / HTTP/1.1\r\n" HOST "\r\n", "400", false},
    {"GET /a b HTTP/1.1\r\n" HOST "\r\n", "400", false},
    {"GET http://x/ HTTP/1.1\r\n" HOST "\r\n", "400", false},
    {"GET /\x7f HTTP/1.1\r\n" HOST "\r\n", "400", false},
    {"GET /\xc3\xa4 HTTP/1.1\r\n" HOST "\r\n", "400", false},
    {"GET\r\n\r\n", "400", false},
    {"\r\n\r\n", "400", false},
    {"GET / HTTP/1.1\r\n" HOST "X : y\r\n\r\n", "400", false},
    {"GET / HTTP/1.1\r\n" HOST ": y\r\n\r\n", "400", false},
    {"GET / HTTP/1.1\r\n" HOST "no colon\r\n\r\n", "400", false},
    {"GET / HTTP/1.1\r\n" HOST " folded: y\r\n\r\n", "400", false},
    {"GET / HTTP/1.1\r\n" HOST "X: a\nb\r\n\r\n", "400", false},
    {"GET / HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\nx", "400", false},
    {"GET / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", "400", false},
    {"\x16\x03\x01\x02\r\n\r\n", "400", false},
    {"GET / HTTP/1.1\r\n" HOST "Connection: x, Close\r\n\r\n", "200", false},
    {"GET / HTTP/1.1\r\n" HOST "Connection: closed\r\n\r\n", "200", true},
    {"GET / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", "200", true},
};

START_TEST(judges_requests)
{
	char want[64];
	const char *text;

	say(client, bad[_i].request);
	text = heard(client);
	snprintf(want, sizeof(want), "HTTP/1.1 %s", bad[_i].status);
	ck_assert_msg(strncmp(text, want, strlen(want)) == 0, "%s: %s", bad[_i].request, text);
	ck_assert_int_eq(strstr(text, "Connection: close\r\n") == NULL, bad[_i].stays);
	ck_assert_int_eq(closed(client), !bad[_i].stays);
}
END_TEST

START_TEST(ceiling_of_a_request)
{
	static char line[WEB_REQUEST_MAX + 100];

	memset(line, 'a', sizeof(line) - 1);
	memcpy(line, "GET /", 5);
	say(client, line);
	ck_assert_ptr_nonnull(strstr(heard(client), "HTTP/1.1 431 "));
	ck_assert(closed(client));
}
END_TEST

/* Slowly is no way to stay: the deadline is for the whole request. */
START_TEST(a_request_takes_too_long)
{
	for (int i = 0; i < 9; i++) {
		say(client, "G");
		clock_test_advance(WEB_REQUEST_NS / 10);
		turns();
		ck_assert(!closed(client));
	}
	say(client, "G");
	clock_test_advance(WEB_REQUEST_NS / 10);
	turns();
	ck_assert(closed(client));
	ck_assert_int_eq(refused(), 1);
}
END_TEST

START_TEST(idle_ones_end)
{
	say(client, "GET /a HTTP/1.1\r\n" HOST "\r\n");
	heard(client);
	clock_test_advance(WEB_IDLE_NS - 1);
	turns();
	say(client, "GET /b HTTP/1.1\r\n" HOST "\r\n");
	ck_assert_ptr_nonnull(strstr(heard(client), "hello"));
	clock_test_advance(WEB_IDLE_NS);
	turns();
	ck_assert(closed(client));
	ck_assert_int_eq(refused(), 0);
}
END_TEST

START_TEST(big_answer_to_a_slow_reader)
{
	size_t got = 0;
	const char *body;
	char part[65536];
	ssize_t n;

	say(client, "GET /big HTTP/1.1\r\n" HOST "\r\n");
	for (int i = 0; i < 10000; i++) {
		n = recv(client, part, sizeof(part), 0);
		if (got == 0) {
			body = memmem(part, (size_t)n, "\r\n\r\n", 4);
			ck_assert_ptr_nonnull(body);
			got -= (size_t)(body + 4 - part);
		}
		got += n > 0 ? (size_t)n : 0;
		turns();
	}
	ck_assert_uint_eq(got, BIG);
	say(client, "GET /after HTTP/1.1\r\n" HOST "\r\n");
	ck_assert_ptr_nonnull(strstr(heard(client), "hello"));
}
END_TEST

START_TEST(who_does_not_read_is_dropped)
{
	say(client, "GET /big HTTP/1.1\r\n" HOST "\r\n");
	clock_test_advance(WEB_ANSWER_NS);
	turns();
	ck_assert_int_eq(refused(), 1);
	ck_assert_int_eq(send(client, "x", 1, MSG_NOSIGNAL), -1);
	ck_assert_int_eq(errno, EPIPE);
}
END_TEST

START_TEST(answer_above_its_ceiling)
{
	say(client, "GET /too-big HTTP/1.1\r\n" HOST "\r\n");
	ck_assert_ptr_nonnull(strstr(heard(client), "HTTP/1.1 500 "));
}
END_TEST

/* The longest idle makes room; when all are busy the newest gets no place. */
START_TEST(ceiling_of_clients)
{
	int fd[WEB_CLIENTS_MAX + 1];

	say(client, "GET /a"); /* busy */
	for (int i = 0; i < WEB_CLIENTS_MAX - 1; i++)
		fd[i] = connect_one();
	fd[WEB_CLIENTS_MAX] = connect_one();
	turns();
	ck_assert(closed(fd[0]));
	ck_assert(!closed(client));
	ck_assert_int_eq(refused(), 1);
	for (int i = 1; i < WEB_CLIENTS_MAX - 1; i++)
		say(fd[i], "G");
	say(fd[WEB_CLIENTS_MAX], "G");
	close(fd[0]);
	fd[0] = connect_one();
	turns();
	ck_assert(closed(fd[0]));
	ck_assert_int_eq(refused(), 2);
	say(client, " HTTP/1.1\r\n" HOST "\r\n");
	ck_assert_ptr_nonnull(strstr(heard(client), "hello"));
	for (int i = 0; i < WEB_CLIENTS_MAX - 1; i++)
		close(fd[i]);
	close(fd[WEB_CLIENTS_MAX]);
	turns();
}
END_TEST

START_TEST(clients_that_leave)
{
	int64_t requests = metric_get(METRIC_STATS_REQUESTS_TOTAL);

	say(client, "GET /a HT");
	close(client);
	turns();
	client = connect_one();
	say(client, "GET /big HTTP/1.1\r\n" HOST "\r\n");
	close(client);
	turns();
	client = connect_one(); /* and what is open at the end goes with the server */
	say(client, "GET /big HTTP/1.1\r\n" HOST "\r\n");
	ck_assert_int_eq(metric_get(METRIC_STATS_REQUESTS_TOTAL) - requests, 2);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("web");
	TCase *t = tcase_create("web");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, answers);
	tcase_add_test(t, byte_by_byte);
	tcase_add_test(t, pipeline);
	tcase_add_test(t, one_answer_a_turn);
	tcase_add_loop_test(t, judges_requests, 0, (int)(sizeof(bad) / sizeof(bad[0])));
	tcase_add_test(t, ceiling_of_a_request);
	tcase_add_test(t, a_request_takes_too_long);
	tcase_add_test(t, idle_ones_end);
	tcase_add_test(t, big_answer_to_a_slow_reader);
	tcase_add_test(t, who_does_not_read_is_dropped);
	tcase_add_test(t, answer_above_its_ceiling);
	tcase_add_test(t, ceiling_of_clients);
	tcase_add_test(t, clients_that_leave);
	suite_add_tcase(suite, t);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
