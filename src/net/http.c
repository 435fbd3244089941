/* SPDX-License-Identifier: Apache-2.0 */
/* Calls: what libcurl is told of each, and what comes of it. */
#include "net/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/metric.h"
#include "http_parts.h"

enum {
	IDLE_MAX_S = 60,
	LIFETIME_MAX_S = 3600,
	HEADERS_MAX = 32,
	RETRY_AFTER_MAX = 64,
	RETRY_AFTER_MAX_S = 86400,
	AUTHORITIES_MAX_S = 1,
};

/* --- the library --- */

enum err
http_init(const char **why)
{
	const curl_version_info_data *info;

	unsetenv("SSLKEYLOGFILE"); /* libcurl would write the sessions' keys there */
	/*
	 * The C library's own five seconds for a name server are more than a connection has: with a dead one
	 * in front no call would ever come to the next.
	 */
	if (setenv("RES_OPTIONS", "timeout:1 attempts:2", 0) != 0) {
		*why = "out of memory";
		return ERR_NO_MEMORY;
	}
	if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, alloc_bytes, alloc_free, alloc_resize,
		alloc_text, alloc_array) != CURLE_OK) {
		*why = "libcurl cannot be initialised";
		return ERR_INTERNAL;
	}
	info = curl_version_info(CURLVERSION_NOW);
	if ((info->features & CURL_VERSION_ASYNCHDNS) == 0 ||
	    (info->features & CURL_VERSION_SSL) == 0) {
		curl_global_cleanup();
		*why = "this libcurl resolves names blocking, or has no TLS";
		return ERR_CONFIG;
	}
	return ERR_OK;
}

void
http_fini(void)
{
	curl_global_cleanup();
}

const char *
http_fail_name(enum http_fail f)
{
	switch (f) {
	case HTTP_ANSWERED:
		return "answered";
	case HTTP_REFUSED:
		return "not reached";
	case HTTP_TIMEOUT:
		return "timeout";
	case HTTP_TLS:
		return "TLS";
	case HTTP_DNS:
		return "name not resolved";
	case HTTP_PROXY:
		return "proxy";
	case HTTP_RESET:
		return "connection broke";
	case HTTP_TOO_LARGE:
		return "answer too large";
	case HTTP_LOCAL:
		return "local";
	}
	return "?";
}

/* --- how a call ends --- */

static enum err
error_of(enum http_fail f)
{
	switch (f) {
	case HTTP_ANSWERED:
		return ERR_OK;
	case HTTP_TIMEOUT:
		return ERR_DEADLINE;
	case HTTP_TOO_LARGE:
		return ERR_RESPONSE_TOO_LARGE;
	case HTTP_LOCAL:
		return ERR_NO_MEMORY;
	case HTTP_REFUSED:
	case HTTP_TLS:
	case HTTP_DNS:
	case HTTP_PROXY:
	case HTTP_RESET:
		break;
	}
	return ERR_IO;
}

/* Gives back all but the answer.  Never from a callback of libcurl's. */
static void
release(struct http_call *c)
{
	if (c->http != NULL)
		timer_clear(c->http->loop, &c->timer);
	if (c->easy != NULL) {
		http_leave(c);
		curl_easy_cleanup(c->easy);
		c->easy = NULL;
		metric_add(METRIC_HTTP_CALLS, -1);
	}
	curl_slist_free_all(c->header_list);
	c->header_list = NULL;
}

void
http_finish(struct http_call *c, enum http_fail f)
{
	release(c);
	c->fail = f;
	wait_finish_soon(c->http->loop, &c->wait, error_of(f));
}

static enum http_fail
fail_of(const struct http_call *c, CURLcode rc)
{
	long connect_status = 0;

	if (buf_error(&c->answer) == ERR_RESPONSE_TOO_LARGE)
		return HTTP_TOO_LARGE;
	if (buf_error(&c->answer) != ERR_OK || rc == CURLE_OUT_OF_MEMORY)
		return HTTP_LOCAL;
	curl_easy_getinfo(c->easy, CURLINFO_HTTP_CONNECTCODE, &connect_status);
	if (rc != CURLE_OK && connect_status != 0 && connect_status / 100 != 2)
		return HTTP_PROXY;
	switch ((int)rc) {
	case CURLE_OK:
		return HTTP_ANSWERED;
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_PROXY:
		return HTTP_PROXY;
	case CURLE_COULDNT_RESOLVE_HOST:
		return HTTP_DNS;
	case CURLE_COULDNT_CONNECT:
		return c->route->proxy != NULL ? HTTP_PROXY : HTTP_REFUSED;
	case CURLE_OPERATION_TIMEDOUT:
		return HTTP_TIMEOUT;
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CIPHER:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_INVALIDCERTSTATUS:
		return HTTP_TLS;
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_FAILED_INIT:
		return HTTP_LOCAL;
	default:
		return HTTP_RESET; /* also our refusal to send a second time */
	}
}

/* Retry-After in seconds, or as a date by the server's own clock; at most a day. */
static int64_t
retry_after(const struct http_call *c)
{
	int64_t s, when;
	char *end;

	if (c->retry_after == NULL)
		return -1;
	s = strtoll(c->retry_after, &end, 10);
	if (end == c->retry_after || *end != '\0') {
		when = curl_getdate(c->retry_after, NULL);
		if (when < 0)
			return -1;
		s = when - (c->date >= 0 ? c->date : clock_wall());
	}
	return (s < 0 ? 0 : s > RETRY_AFTER_MAX_S ? RETRY_AFTER_MAX_S : s) * NS_PER_S;
}

void
http_ended(struct http_call *c, CURLcode rc)
{
	enum http_fail f = fail_of(c, rc);
	const char *type = NULL;
	long status = 0;

	if (f == HTTP_ANSWERED) {
		curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
		curl_easy_getinfo(c->easy, CURLINFO_CONTENT_TYPE, &type);
		c->status = (unsigned)status;
		snprintf(c->content_type, sizeof(c->content_type), "%s", type != NULL ? type : "");
		c->retry_after_ns = retry_after(c);
	}
	http_finish(c, f);
}

/* --- one call --- */

static size_t
on_body(char *data, size_t size, size_t count, void *arg)
{
	struct http_call *c = arg;

	buf_put(&c->answer, data, size * count);
	return buf_error(&c->answer) == ERR_OK ? size * count : 0;
}

/* The value of "NAME: value\r\n" in fresh memory, or NULL. */
static char *
header_value(const char *line, size_t len, const char *name)
{
	size_t n = strlen(name);
	char *value;

	if (len <= n || strncasecmp(line, name, n) != 0 || line[n] != ':')
		return NULL;
	for (line += n + 1, len -= n + 1; len > 0 && (*line == ' ' || *line == '\t'); len--)
		line++;
	while (len > 0 && strchr(" \t\r\n", line[len - 1]) != NULL)
		len--;
	if (len > RETRY_AFTER_MAX)
		return NULL;
	value = alloc_zero(len + 1);
	if (value != NULL)
		memcpy(value, line, len);
	return value;
}

static size_t
on_header(char *line, size_t size, size_t count, void *arg)
{
	struct http_call *c = arg;
	char *value;

	if ((value = header_value(line, size * count, "Retry-After")) != NULL) {
		alloc_free(c->retry_after);
		c->retry_after = value;
	} else if ((value = header_value(line, size * count, "Date")) != NULL) {
		c->date = curl_getdate(value, NULL);
		alloc_free(value);
	}
	return size * count;
}

/*
 * Connected, TLS included; the request goes out next.  libcurl sends a request again by itself
 * when a kept connection turns out to be dead, POST or not: what must go once is stopped here.
 */
static int
on_connected(void *arg, char *peer, char *local, int peer_port, int local_port)
{
	struct http_call *c = arg;

	(void)peer, (void)local, (void)peer_port, (void)local_port;
	if (c->once && c->sent)
		return CURL_PREREQFUNC_ABORT;
	c->sent = true;
	timer_set(c->http->loop, &c->timer, c->deadline);
	return CURL_PREREQFUNC_OK;
}

/* A child process has no business with our connections. */
static curl_socket_t
open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
	(void)arg, (void)purpose;
	return socket(a->family, a->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->protocol);
}

static void
on_deadline(struct timer *t)
{
	http_finish(CONTAINER_OF(t, struct http_call, timer), HTTP_TIMEOUT);
}

static bool
add_header(struct http_call *c, const char *line)
{
	struct curl_slist *list = curl_slist_append(c->header_list, line);

	if (list != NULL)
		c->header_list = list;
	return list != NULL;
}

static bool
set_headers(struct http_call *c)
{
	char line[sizeof("Correlation-Id: ") + UID_TEXT_LEN];
	bool ok = text_uuid4(c->correlation_id) == ERR_OK;

	snprintf(line, sizeof(line), "Correlation-Id: %s", c->correlation_id);
	ok = ok && add_header(c, line) && add_header(c, "Expect:");
	for (size_t i = 0; ok && c->headers != NULL && c->headers[i] != NULL && i < HEADERS_MAX;
	     i++)
		ok = add_header(c, c->headers[i]);
	return ok && curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, c->header_list) == CURLE_OK;
}

/*
 * libcurl parses a file of authorities once and keeps it for a day; a whole bundle takes milliseconds.
 * Here it is kept for a flood of connections alone: what was taken out of it is not trusted any more.
 * A libcurl that does not know this, or with another library for TLS, keeps none.
 */
static CURLcode
set_authorities(CURL *e, const char *file)
{
	CURLcode rc = curl_easy_setopt(e, CURLOPT_CAINFO, file);

#if LIBCURL_VERSION_NUM >= 0x075700
	(void)curl_easy_setopt(e, CURLOPT_CA_CACHE_TIMEOUT, (long)AUTHORITIES_MAX_S);
#endif
	return rc ? rc : curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
}

static bool
set_route(struct http_call *c)
{
	const struct http_route *r = c->route;
	CURL *e = c->easy;
	CURLcode rc = CURLE_OK;

	/* an empty proxy, as well as "*", keep the environment's out */
	rc = rc ? rc : curl_easy_setopt(e, CURLOPT_PROXY, r->proxy != NULL ? r->proxy : "");
	rc = rc ? rc : curl_easy_setopt(e, CURLOPT_NOPROXY, r->proxy != NULL ? "" : "*");
	rc = rc ? rc : curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	rc = rc ? rc
		: curl_easy_setopt(
		      e, CURLOPT_PROTOCOLS_STR, r->allow_plain ? "http,https" : "https");
	rc = rc ? rc : curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L);
	rc = rc ? rc : curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L);
	rc = rc ? rc : curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	/* a call's own cache of sessions ends with it; and 7.88 frees a name twice where memory lacks */
	rc = rc ? rc : curl_easy_setopt(e, CURLOPT_SSL_SESSIONID_CACHE, 0L);
	if (r->ca_file != NULL)
		rc = rc ? rc : set_authorities(e, r->ca_file);
	return rc == CURLE_OK;
}

static bool
set_request(struct http_call *c)
{
	CURL *e = c->easy;
	CURLcode rc = curl_easy_setopt(e, CURLOPT_URL, c->url);

	if (strcmp(c->method, "HEAD") == 0) {
		rc = rc ? rc : curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
	} else if (strcmp(c->method, "GET") != 0) {
		rc = rc ? rc : curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, c->method);
	}
	if (c->body != NULL || strcmp(c->method, "POST") == 0) {
		long len = c->body != NULL ? (long)c->body_len : 0;

		rc = rc ? rc : curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE, len);
		rc = rc ? rc : curl_easy_setopt(e, CURLOPT_POSTFIELDS, len > 0 ? c->body : "");
	}
	rc = rc ? rc : curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	rc = rc ? rc : curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	rc = rc ? rc : curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	rc = rc ? rc : curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
	rc = rc ? rc : curl_easy_setopt(e, CURLOPT_MAXAGE_CONN, (long)IDLE_MAX_S);
	rc = rc ? rc : curl_easy_setopt(e, CURLOPT_MAXLIFETIME_CONN, (long)LIFETIME_MAX_S);
	/* a cancelled call does not wait for the thread that still resolves its name */
	rc = rc ? rc : curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
	/* time is ours to keep, by clock_now(); libcurl's own default would be five minutes */
	rc = rc ? rc : curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, 3600 * 1000L);
	return rc == CURLE_OK;
}

static bool
set_callbacks(struct http_call *c)
{
	CURL *e = c->easy;
	CURLcode rc = curl_easy_setopt(e, CURLOPT_PRIVATE, c);

	rc = rc ? rc : curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	rc = rc ? rc : curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	rc = rc ? rc : curl_easy_setopt(e, CURLOPT_WRITEDATA, c);
	rc = rc ? rc : curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	rc = rc ? rc : curl_easy_setopt(e, CURLOPT_HEADERDATA, c);
	rc = rc ? rc : curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, on_connected);
	rc = rc ? rc : curl_easy_setopt(e, CURLOPT_PREREQDATA, c);
	return rc == CURLE_OK;
}

static void
cancel(struct wait *w)
{
	release(CONTAINER_OF(w, struct http_call, wait));
}

void
http_start(struct http *h, struct http_call *c)
{
	int64_t now = clock_now(), connect_by = now + h->connect_timeout_ns;

	http_call_fini(c);
	c->http = h;
	c->fail = HTTP_ANSWERED;
	c->sent = false;
	c->status = 0;
	c->date = c->retry_after_ns = -1;
	c->content_type[0] = '\0';
	buf_init(&c->answer, c->answer_max);
	c->timer.fn = on_deadline;
	c->wait.cancel = cancel;
	if (c->deadline <= now) {
		http_finish(c, HTTP_TIMEOUT);
		return;
	}
	c->easy = curl_easy_init();
	metric_add(METRIC_HTTP_CALLS, c->easy != NULL);
	if (c->easy == NULL || !set_request(c) || !set_route(c) || !set_callbacks(c) ||
	    !set_headers(c)) {
		http_finish(c, HTTP_LOCAL);
		return;
	}
	timer_set(h->loop, &c->timer, connect_by < c->deadline ? connect_by : c->deadline);
	if (!http_enter(c))
		http_finish(c, HTTP_LOCAL);
}

void
http_call_fini(struct http_call *c)
{
	buf_fini(&c->answer);
	alloc_free(c->retry_after);
	c->retry_after = NULL;
}

void
http_escape(struct buf *b, const void *text, size_t len)
{
	static const char plain[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
	const uint8_t *p = text;

	for (size_t i = 0; i < len; i++) {
		if (p[i] != '\0' && strchr(plain, p[i]) != NULL)
			buf_put(b, &p[i], 1);
		else
			buf_printf(b, "%%%02X", p[i]);
	}
}
