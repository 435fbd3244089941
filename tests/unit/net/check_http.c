/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP calls: what comes back, and every way in which nothing does. */
#include "net/http.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/x509v3.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/metric.h"
#include "base/fault.h"

#include "certs.h"
#include "httpd.h"

enum { TURNS = 4000, ANSWER_MAX = 64 * 1024, CROWD = 5 };

static struct loop *loop;
static struct http *http;
static struct httpd server;
static struct http_route route;
static struct http_call call;
static char url[128], dir[64], ca[96];
static unsigned done_count;
static enum err done_err;

/* what the server does */
static enum { REPLY, HANG, RESET, CUT, BIG, RESET_SECOND } mode;
static const char *reply_extra, *reply_body;
static int reply_status;
static char seen_correlation[64], seen_method[16], seen_body[256], seen_path[128], seen_expect[16];

static void
answer(void *arg, struct httpd_conn *c, const struct httpd_request *r)
{
	static char big[2 * ANSWER_MAX];
	const char *id = httpd_header(r, "Correlation-Id");

	(void)arg;
	snprintf(seen_correlation, sizeof(seen_correlation), "%s", id != NULL ? id : "");
	snprintf(seen_expect, sizeof(seen_expect), "%s",
	    httpd_header(r, "Expect") != NULL ? "there" : "");
	snprintf(seen_method, sizeof(seen_method), "%s", r->method);
	snprintf(seen_path, sizeof(seen_path), "%s", r->path);
	snprintf(seen_body, sizeof(seen_body), "%s", r->body);
	switch (mode) {
	case REPLY:
		httpd_reply(c, reply_status, reply_extra, reply_body);
		break;
	case HANG:
		break;
	case RESET:
		httpd_reset(c);
		break;
	case CUT:
		httpd_raw(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"a", 43);
		httpd_close(c);
		break;
	case BIG:
		memset(big, 'x', sizeof(big) - 1);
		httpd_reply(c, 200, "", big);
		break;
	case RESET_SECOND:
		if (server.requests == 2)
			httpd_reset(c);
		else
			httpd_reply(c, 200, "", "{}");
		break;
	}
}

static void
on_done(struct wait *w, enum err e)
{
	(void)w;
	done_count++;
	done_err = e;
}

static void
setup(void)
{
	struct http_params p = {
	    .connections_max = 8, .per_host_max = 2, .connect_timeout_ns = 3 * NS_PER_S};
	const char *why;

	clock_test_freeze(1760000000);
	ck_assert_int_eq(http_init(&why), ERR_OK);
	loop = loop_new();
	http = http_new(loop, &p);
	ck_assert_ptr_nonnull(http);
	server = (struct httpd){.answer = answer};
	httpd_start(&server, loop);
	snprintf(url, sizeof(url), "%s/path?q=1", server.url);
	route = (struct http_route){.allow_plain = true};
	mode = REPLY;
	reply_status = 200;
	reply_extra = "";
	reply_body = "{\"a\":1}";
	done_count = 0;
	strcpy(dir, "/tmp/keyferry-http.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(ca, sizeof(ca), "%s/ca.pem", dir);
	call = (struct http_call){.wait.done = on_done,
	    .route = &route,
	    .method = "GET",
	    .url = url,
	    .answer_max = ANSWER_MAX};
}

static void
teardown(void)
{
	wait_cancel(&call.wait);
	http_call_fini(&call);
	ck_assert_int_eq(metric_get(METRIC_HTTP_CALLS), 0);
	http_free(http);
	httpd_stop(&server);
	loop_turn(loop, false);
	loop_free(loop);
	http_fini();
	unlink(ca);
	rmdir(dir);
}

static void
pump(unsigned wanted)
{
	for (int i = 0; i < TURNS && done_count < wanted; i++)
		loop_turn(loop, false);
}

static void
start(void)
{
	call.deadline = clock_now() + 10 * NS_PER_S;
	http_start(http, &call);
	ck_assert(wait_pending(&call.wait));
}

/* One call to its end; never from inside http_start(). */
static void
run(void)
{
	unsigned before = done_count;

	start();
	ck_assert_int_eq(metric_get(METRIC_HTTP_CALLS), 1);
	ck_assert_uint_eq(done_count, before);
	pump(before + 1);
	ck_assert_uint_eq(done_count, before + 1);
}

START_TEST(test_get)
{
	reply_extra = "Content-Type: application/json\r\nDate: Thu, 09 Oct 2025 08:53:20 GMT\r\n";
	run();
	ck_assert_int_eq(done_err, ERR_OK);
	ck_assert_int_eq(call.fail, HTTP_ANSWERED);
	ck_assert_uint_eq(call.status, 200);
	ck_assert_mem_eq(call.answer.data, "{\"a\":1}", 7);
	ck_assert_str_eq(call.content_type, "application/json");
	ck_assert_int_eq(call.date, 1760000000);
	ck_assert_int_eq(call.retry_after_ns, -1);
	ck_assert_str_eq(seen_method, "GET");
	ck_assert_str_eq(seen_path, "/path?q=1");
	ck_assert_str_eq(seen_correlation, call.correlation_id);
	ck_assert_int_eq(call.correlation_id[14], '4');
	ck_assert(call.sent);
}
END_TEST

START_TEST(test_methods)
{
	static const char *const headers[] = {"X-One: 1", NULL};

	call.method = "POST";
	call.headers = headers;
	call.body = "secret=1";
	call.body_len = 8;
	run();
	ck_assert_str_eq(seen_method, "POST");
	ck_assert_str_eq(seen_body, "secret=1");
	ck_assert_str_eq(seen_expect, "");
	call.body = NULL;
	run();
	ck_assert_str_eq(seen_method, "POST");
	call.method = "DELETE";
	reply_status = 204;
	run();
	ck_assert_str_eq(seen_method, "DELETE");
	ck_assert_uint_eq(call.status, 204);
	ck_assert_uint_eq(call.answer.len, 0);
}
END_TEST

START_TEST(test_kept_connection)
{
	char first[64];

	run();
	strcpy(first, call.correlation_id);
	for (int i = 0; i < 5; i++)
		run();
	ck_assert_str_ne(first, call.correlation_id); /* one for each attempt */
	ck_assert_uint_eq(server.accepted, 1);
	ck_assert_uint_eq(server.requests, 6);
}
END_TEST

START_TEST(test_status_and_redirect)
{
	static const int all[] = {301, 400, 401, 404, 429, 500, 503};

	reply_extra = "Location: http://127.0.0.1:1/\r\n";
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		reply_status = all[i];
		run();
		ck_assert_int_eq(done_err, ERR_OK);
		ck_assert_int_eq((int)call.status, all[i]);
	}
}
END_TEST

static const struct {
	const char *extra;
	int64_t s;
} retry[] = {
    {"Retry-After: 7\r\n", 7},
    {"retry-after:  0 \r\n", 0},
    {"Retry-After: -5\r\n", 0},
    {"Retry-After: Thu, 09 Oct 2025 08:53:30 GMT\r\n", 10},
    /* by the server's clock, an hour away from ours */
    {"Date: Thu, 09 Oct 2025 09:53:20 GMT\r\nRetry-After: Thu, 09 Oct 2025 09:53:50 GMT\r\n", 30},
    {"Retry-After: Thu, 09 Oct 2024 08:53:30 GMT\r\n", 0},
    {"Retry-After: 99999999999\r\n", 86400},
    {"Retry-After: 99999999999999999999\r\n", 86400}, /* more than a long */
    {"Retry-After: soon\r\n", -1},
    {"", -1},
};

START_TEST(test_retry_after)
{
	reply_status = 429;
	reply_extra = retry[_i].extra;
	run();
	ck_assert_int_eq(call.retry_after_ns, retry[_i].s < 0 ? -1 : retry[_i].s * NS_PER_S);
}
END_TEST

START_TEST(test_refused)
{
	snprintf(url, sizeof(url), "http://127.0.0.1:1/");
	run();
	ck_assert_int_eq(done_err, ERR_IO);
	ck_assert_int_eq(call.fail, HTTP_REFUSED);
	ck_assert(!call.sent);
}
END_TEST

START_TEST(test_deadline)
{
	mode = HANG;
	start();
	pump(1);
	clock_test_advance(10 * NS_PER_S - 1);
	pump(1);
	ck_assert_uint_eq(done_count, 0);
	clock_test_advance(1);
	pump(1);
	ck_assert_int_eq(done_err, ERR_DEADLINE);
	ck_assert_int_eq(call.fail, HTTP_TIMEOUT);
	ck_assert(call.sent);
	call.deadline = clock_now(); /* over before it begins */
	http_start(http, &call);
	pump(2);
	ck_assert_int_eq(call.fail, HTTP_TIMEOUT);
	ck_assert(!call.sent);
}
END_TEST

/* A host that accepts and never says a word of TLS. */
START_TEST(test_connect_timeout)
{
	server.silent = true;
	snprintf(url, sizeof(url), "https://127.0.0.1:%d/", server.port);
	start();
	pump(1);
	clock_test_advance(3 * NS_PER_S);
	pump(1);
	ck_assert_int_eq(call.fail, HTTP_TIMEOUT);
	ck_assert(!call.sent);
}
END_TEST

START_TEST(test_broken)
{
	mode = RESET;
	run();
	ck_assert_int_eq(call.fail, HTTP_RESET);
	ck_assert(call.sent);
	mode = CUT;
	run();
	ck_assert_int_eq(call.fail, HTTP_RESET);
	mode = BIG;
	run();
	ck_assert_int_eq(done_err, ERR_RESPONSE_TOO_LARGE);
	ck_assert_int_eq(call.fail, HTTP_TOO_LARGE);
	ck_assert_uint_le(call.answer.len, ANSWER_MAX);
}
END_TEST

/* A kept connection that breaks: what may be repeated is, by libcurl; what may not is sent once. */
START_TEST(test_stale)
{
	mode = RESET_SECOND;
	run();
	call.method = "POST";
	call.body = "x";
	call.body_len = 1;
	call.once = _i != 0;
	run();
	if (call.once) {
		ck_assert_int_eq(call.fail, HTTP_RESET);
		ck_assert(call.sent);
		ck_assert_uint_eq(server.requests, 2);
	} else {
		ck_assert_int_eq(done_err, ERR_OK);
		ck_assert_uint_eq(server.requests, 3);
	}
}
END_TEST

START_TEST(test_ceiling)
{
	struct http_call more[5];

	mode = HANG;
	for (int i = 0; i < 5; i++) {
		more[i] = call;
		more[i].deadline = clock_now() + 2 * NS_PER_S;
		http_start(http, &more[i]);
	}
	pump(1);
	ck_assert_uint_eq(server.accepted, 2);
	ck_assert_uint_eq(server.requests, 2);
	clock_test_advance(2 * NS_PER_S);
	pump(5);
	ck_assert_uint_eq(done_count, 5);
	for (int i = 0; i < 5; i++)
		http_call_fini(&more[i]);
}
END_TEST

START_TEST(test_cancel)
{
	start();
	wait_cancel(&call.wait); /* before anything happened */
	pump(1);
	mode = HANG;
	start();
	pump(1);
	wait_cancel(&call.wait); /* sent */
	pump(1);
	ck_assert_uint_eq(done_count, 0);
}
END_TEST

/* --- TLS --- */

static SSL_CTX *
make_tls(const char *alt_name)
{
	struct identity id = identity_new(CERT_EC, "kms", -3600, 3600);
	X509_EXTENSION *san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, alt_name);
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	ck_assert_int_eq(X509_add_ext(id.cert, san, -1), 1);
	ck_assert_int_gt(X509_sign(id.cert, id.key, EVP_sha256()), 0);
	SSL_CTX_use_certificate(ctx, id.cert);
	SSL_CTX_use_PrivateKey(ctx, id.key);
	identity_write_cert(&id, ca);
	X509_EXTENSION_free(san);
	identity_free(&id);
	return ctx;
}

/* The system's clock is what OpenSSL asks, and the virtual one says 2025. */
static void
serve_tls(const char *alt_name)
{
	httpd_stop(&server);
	clock_test_freeze((int64_t)time(NULL));
	server = (struct httpd){.answer = answer, .tls = make_tls(alt_name)};
	httpd_start(&server, loop);
	snprintf(url, sizeof(url), "%s/", server.url);
}

START_TEST(test_tls)
{
	serve_tls("IP:127.0.0.1");
	run();
	ck_assert_int_eq(call.fail, HTTP_TLS); /* not one of the system's */
	ck_assert(!call.sent);
	ck_assert_uint_eq(server.requests, 0);
	route.ca_file = ca;
	run();
	ck_assert_msg(done_err == ERR_OK, "%s", http_fail_name(call.fail));
	ck_assert_uint_eq(call.status, 200);
	route.ca_file = "/nonexistent";
	run();
	ck_assert_int_ne(done_err, ERR_OK);
	SSL_CTX_free(server.tls);
}
END_TEST

START_TEST(test_tls_wrong_host)
{
	serve_tls("DNS:kms.example");
	route.ca_file = ca;
	run();
	ck_assert_int_eq(call.fail, HTTP_TLS);
	ck_assert_uint_eq(server.requests, 0);
	SSL_CTX_free(server.tls);
}
END_TEST

START_TEST(test_plain_refused)
{
	route.allow_plain = false;
	run();
	ck_assert_int_eq(call.fail, HTTP_LOCAL);
	ck_assert_uint_eq(server.accepted, 0);
	strcpy(url, "file:///etc/passwd");
	run();
	ck_assert_int_eq(call.fail, HTTP_LOCAL);
}
END_TEST

START_TEST(test_proxy)
{
	setenv("http_proxy", "http://127.0.0.1:1", 1); /* is not asked */
	run();
	ck_assert_int_eq(done_err, ERR_OK);
	unsetenv("http_proxy");
	route.proxy = "http://127.0.0.1:1";
	run();
	ck_assert_int_eq(call.fail, HTTP_PROXY);
	route.proxy = server.url;
	strcpy(url, "https://kms.example/");
	reply_status = 403;
	run();
	ck_assert_int_eq(call.fail, HTTP_PROXY);
	ck_assert_str_eq(seen_method, "CONNECT");
	ck_assert(!call.sent);
}
END_TEST

/* Each allocation of a call's start fails once: it ends all the same. */
START_TEST(test_no_memory_at_start)
{
	unsigned failed = 0;

	for (unsigned skip = 0; skip < 100; skip++) {
		unsigned before = done_count;

		fault_test_arm(FAULT_ALLOC, skip, 1);
		start();
		fault_test_clear();
		pump(before + 1);
		ck_assert_uint_eq(done_count, before + 1);
		failed += done_err != ERR_OK;
	}
	ck_assert_uint_gt(failed, 10);
	run();
	ck_assert_int_eq(done_err, ERR_OK);
}
END_TEST

/* Starts so many that some have to wait for a connection, and sees all of them end. */
static unsigned
crowd_without_memory(unsigned skip)
{
	struct http_call calls[CROWD];
	unsigned broken = 0;

	done_count = 0;
	fault_test_arm(FAULT_ALLOC, skip, 1);
	for (unsigned i = 0; i < CROWD; i++) {
		calls[i] = call;
		calls[i].deadline = clock_now() + 10 * NS_PER_S;
		http_start(http, &calls[i]);
	}
	pump(CROWD);
	fault_test_clear();
	ck_assert_uint_eq(done_count, CROWD);
	for (unsigned i = 0; i < CROWD; i++) {
		ck_assert_msg(calls[i].fail == HTTP_LOCAL ||
			(calls[i].fail == HTTP_ANSWERED && calls[i].status == 200 &&
			    calls[i].answer.len == strlen(reply_body)),
		    "%u: %s", skip, http_fail_name(calls[i].fail));
		broken += calls[i].fail == HTTP_LOCAL;
		http_call_fini(&calls[i]);
	}
	return broken;
}

/* Each allocation of calls' course fails once, and those after them are as if nothing had been. */
START_TEST(test_no_memory)
{
	unsigned broken = 0;

	for (int kept = 0; kept < 2; kept++) {
		uint64_t before;
		unsigned skip = 0;

		reply_extra = kept ? "" : "Connection: close\r\n";
		do {
			before = alloc_failures();
			broken += crowd_without_memory(skip++);
			run();
			ck_assert_int_eq(done_err, ERR_OK);
			http_call_fini(&call); /* which is copied */
		} while (alloc_failures() > before);
		ck_assert_uint_gt(skip, 100);
	}
	ck_assert_uint_gt(broken, 200);
}
END_TEST

START_TEST(test_escape)
{
	struct buf b;

	buf_init(&b, 100);
	http_escape(&b, "a-Z_0.~ :/\"\xc3\xa4", 12);
	ck_assert_uint_eq(b.len, 7 + 4 * 3 + 2 * 3 - 3);
	ck_assert_mem_eq(b.data, "a-Z_0.~%20%3A%2F%22%C3", 22);
	buf_fini(&b);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("http");
	TCase *t = tcase_create("http");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_get);
	tcase_add_test(t, test_methods);
	tcase_add_test(t, test_kept_connection);
	tcase_add_test(t, test_status_and_redirect);
	tcase_add_loop_test(t, test_retry_after, 0, (int)(sizeof(retry) / sizeof(*retry)));
	tcase_add_test(t, test_refused);
	tcase_add_test(t, test_deadline);
	tcase_add_test(t, test_connect_timeout);
	tcase_add_test(t, test_broken);
	tcase_add_loop_test(t, test_stale, 0, 2);
	tcase_add_test(t, test_ceiling);
	tcase_add_test(t, test_cancel);
	tcase_add_test(t, test_tls);
	tcase_add_test(t, test_tls_wrong_host);
	tcase_add_test(t, test_plain_refused);
	tcase_add_test(t, test_proxy);
	tcase_add_test(t, test_no_memory_at_start);
	tcase_add_test(t, test_no_memory);
	tcase_add_test(t, test_escape);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
