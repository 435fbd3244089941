/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP servers, and what faults do to an exchange on its way. */
#include "http.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <openssl/ssl.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

#include "exchange.h"
#include "faults.h"
#include "journal.h"
#include "route.h"
#include "sim.h"

enum {
	BODY_MAX = 1 << 20,
	HEADERS_MAX_BYTES = 32 << 10,
	ARENA_MAX = 8 << 20,
	IDLE_S = 300,
	METHODS = EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD | EVHTTP_REQ_PUT |
		  EVHTTP_REQ_DELETE | EVHTTP_REQ_PATCH,
};

static const char *const port_names[PORTS] = {"api", "hpcs", "admin"};

const char *
http_port_name(enum port which)
{
	return port_names[which];
}

const char *
http_scheme(const struct sim *s, enum port which)
{
	return s->tls != NULL && which != PORT_ADMIN ? "https" : "http";
}

/* --- the end of an exchange --- */

static void
exchange_free(struct exchange *x)
{
	timer_clear(x->sim->loop, &x->timer);
	list_remove(&x->link);
	buf_fini(&x->out);
	arena_free(x->arena); /* holds x itself */
}

/* Takes the connection down so that the peer sees a reset, not an end. */
static void
reset_connection(struct exchange *x)
{
	struct evhttp_connection *conn = evhttp_request_get_connection(x->http);
	struct sockaddr unspecified = {.sa_family = AF_UNSPEC};
	int fd;

	journal_end(&x->sim->journal, x, 0);
	if (conn == NULL) {
		evhttp_send_reply(x->http, 500, NULL, NULL); /* nobody is there: only frees it */
	} else {
		fd = bufferevent_getfd(evhttp_connection_get_bufferevent(conn));
		if (fd >= 0 && connect(fd, &unspecified, sizeof(unspecified)) != 0)
			LOG(LOG_DEBUG, "http", "the connection ends without a reset");
		evhttp_connection_free(conn);
	}
	exchange_free(x);
}

static void
put_headers(struct exchange *x, struct evkeyvalq *to)
{
	time_t now = (time_t)exchange_now(x);
	struct tm tm;
	char date[64];

	if (gmtime_r(&now, &tm) != NULL &&
	    strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm) > 0)
		evhttp_add_header(to, "Date", date);
	if (x->content_type != NULL)
		evhttp_add_header(to, "Content-Type", x->content_type);
	for (size_t i = 0; i < x->header_count; i++)
		evhttp_add_header(to, x->headers[i].name, x->headers[i].value);
}

/* truncate: promises all of the body, sends half of it and closes. */
static void
send_answer(struct exchange *x, bool truncate)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(x->http);
	struct evbuffer *body = evbuffer_new();
	size_t len = truncate ? x->out.len / 2 : x->out.len;
	char promised[24];

	put_headers(x, headers);
	if (truncate) {
		snprintf(promised, sizeof(promised), "%zu", x->out.len);
		evhttp_add_header(headers, "Content-Length", promised);
		evhttp_add_header(headers, "Connection", "close");
	}
	if (body == NULL || (len > 0 && evbuffer_add(body, x->out.data, len) != 0))
		x->status = 500;
	journal_end(&x->sim->journal, x, truncate ? 0 : x->status);
	evhttp_send_reply(x->http, x->status, NULL, body);
	if (body != NULL)
		evbuffer_free(body);
	exchange_free(x);
}

static void
exchange_end(struct exchange *x)
{
	switch (x->fault != NULL ? x->fault->end : FAULT_SEND) {
	case FAULT_SEND:
		send_answer(x, false);
		break;
	case FAULT_TRUNCATE:
		send_answer(x, true);
		break;
	case FAULT_RESET:
		reset_connection(x);
		break;
	case FAULT_HANG:
		break; /* until http_release() */
	}
}

static void
on_end(struct timer *t)
{
	struct exchange *x = CONTAINER_OF(t, struct exchange, timer);

	x->fault = faults_find(&x->sim->faults, x->fault_id); /* it may have been cleared */
	exchange_end(x);
}

/* --- its way through the simulator --- */

static void
replace_answer(struct exchange *x)
{
	const struct fault_rule *r = x->fault;
	const char *text = r->body != NULL ? r->body : "";

	exchange_reply_empty(x, (int)r->status);
	buf_put(&x->out, text, strlen(text));
	x->content_type = r->content_type;
	for (size_t i = 0; i < FAULT_HEADERS_MAX; i++)
		if (r->headers[i].name != NULL)
			exchange_add_header(x, r->headers[i].name, r->headers[i].value);
}

static void
wait_for(struct exchange *x, int64_t delay_ms, void (*then)(struct timer *))
{
	x->timer.fn = then;
	timer_set(x->sim->loop, &x->timer, clock_now() + delay_ms * NS_PER_MS);
}

static void
on_run(struct timer *t)
{
	struct exchange *x = CONTAINER_OF(t, struct exchange, timer);
	const struct fault_rule *r = x->fault = faults_find(&x->sim->faults, x->fault_id);

	if (r == NULL || r->commit)
		route_run(x);
	if (r != NULL && r->status != 0)
		replace_answer(x);
	/* A connection may not go from inside its own callback: that is for the next turn. */
	if (r != NULL && (r->delay_after_ms > 0 || r->end == FAULT_RESET))
		wait_for(x, r->delay_after_ms, on_end);
	else
		exchange_end(x);
}

static void
on_refuse(struct timer *t)
{
	reset_connection(CONTAINER_OF(t, struct exchange, timer));
}

static void
clear_query(void *query)
{
	evhttp_clear_headers(query);
}

static const char *
method_name(enum evhttp_cmd_type type)
{
	static const struct {
		enum evhttp_cmd_type type;
		const char *name;
	} names[] = {{EVHTTP_REQ_GET, "GET"}, {EVHTTP_REQ_POST, "POST"}, {EVHTTP_REQ_HEAD, "HEAD"},
	    {EVHTTP_REQ_PUT, "PUT"}, {EVHTTP_REQ_DELETE, "DELETE"}, {EVHTTP_REQ_PATCH, "PATCH"}};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].type == type)
			return names[i].name;
	return "OTHER";
}

/* Cuts the path at its slashes and decodes the pieces.  False when there are too many. */
static bool
split_path(struct exchange *x)
{
	for (const char *p = x->path; *p == '/';) {
		size_t len = strcspn(p + 1, "/"), plain_len;
		char *raw = arena_text(x->arena, p + 1, len), *plain;

		if (x->segments == SEGMENTS_MAX || raw == NULL)
			return false;
		plain = evhttp_uridecode(raw, 0, &plain_len);
		if (plain == NULL)
			return false;
		x->segment[x->segments] = arena_text(x->arena, plain, plain_len);
		alloc_free(plain);
		if (x->segment[x->segments++] == NULL)
			return false;
		p += 1 + len;
	}
	return x->segments > 0;
}

/* Reads path, query and body.  False without memory or when they are no request of ours. */
static bool
read_request(struct exchange *x)
{
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(x->http);
	const char *path = evhttp_uri_get_path(uri), *query = evhttp_uri_get_query(uri);
	struct evbuffer *in = evhttp_request_get_input_buffer(x->http);

	x->method = method_name(evhttp_request_get_command(x->http));
	x->path = path != NULL ? path : "";
	x->query = arena_zalloc(x->arena, sizeof(*x->query));
	if (x->query == NULL)
		return false;
	if (arena_on_free(x->arena, clear_query, x->query) != 0)
		return false;
	if (query != NULL && *query != '\0')
		x->query_bad = evhttp_parse_query_str(query, x->query) != 0;
	x->body_len = evbuffer_get_length(in);
	if (x->body_len > 0)
		x->body = (const char *)evbuffer_pullup(in, -1);
	return (x->body_len == 0 || x->body != NULL) && split_path(x);
}

static struct exchange *
exchange_new(struct http_port *p, struct evhttp_request *req)
{
	struct arena *arena = arena_new(ARENA_MAX);
	struct exchange *x = arena != NULL ? arena_zalloc(arena, sizeof(*x)) : NULL;

	if (x == NULL) {
		arena_free(arena);
		return NULL;
	}
	x->sim = p->sim;
	x->port = p;
	x->http = req;
	x->arena = arena;
	x->arrived = clock_now();
	buf_init(&x->out, KEY_COLLECTION_ROOM);
	list_append(&p->sim->exchanges, &x->link);
	return x;
}

static void
on_request(struct evhttp_request *req, void *arg)
{
	struct http_port *p = arg;
	struct sim *s = p->sim;
	struct exchange *x = exchange_new(p, req);

	if (x == NULL) {
		evhttp_send_reply(req, 503, NULL, NULL);
		return;
	}
	if (!read_request(x)) {
		exchange_free(x);
		evhttp_send_reply(req, 400, NULL, NULL);
		return;
	}
	route_find(x);
	journal_begin(&s->journal, x);
	if (s->outage[p->which] != OUTAGE_NONE) {
		wait_for(x, 0, on_refuse);
		return;
	}
	if (p->which != PORT_ADMIN)
		x->fault = faults_match(&s->faults, x);
	x->fault_id = x->fault != NULL ? x->fault->id : 0;
	if (x->fault != NULL && x->fault->delay_ms > 0)
		wait_for(x, x->fault->delay_ms, on_run);
	else
		on_run(&x->timer);
}

void
http_release(struct sim *s)
{
	LIST_FOREACH_SAFE(l, next, &s->exchanges)
	{
		struct exchange *x = CONTAINER_OF(l, struct exchange, link);

		if (x->fault_id != 0 && !timer_armed(&x->timer))
			wait_for(x, 0, on_refuse);
	}
}

/* --- listeners --- */

static struct bufferevent *
new_stream(struct event_base *base, void *arg)
{
	struct http_port *p = arg;
	SSL_CTX *ctx =
	    p->sim->outage[p->which] == OUTAGE_HANDSHAKE ? p->sim->tls_broken : p->sim->tls;
	SSL *ssl = SSL_new(ctx);
	struct bufferevent *bev;

	if (ssl == NULL)
		return NULL;
	bev = bufferevent_openssl_socket_new(
	    base, -1, ssl, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
	if (bev == NULL)
		SSL_free(ssl);
	else
		bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
	return bev;
}

bool
http_load_tls(struct sim *s)
{
	if (s->cert_file == NULL)
		return true;
	s->tls = SSL_CTX_new(TLS_server_method());
	s->tls_broken =
	    SSL_CTX_new(TLS_server_method()); /* no certificate: no handshake succeeds */
	if (s->tls == NULL || s->tls_broken == NULL ||
	    SSL_CTX_set_min_proto_version(s->tls, TLS1_2_VERSION) != 1) {
		LOG(LOG_ERROR, "http", "TLS does not work here");
		return false;
	}
	if (SSL_CTX_use_certificate_chain_file(s->tls, s->cert_file) != 1 ||
	    SSL_CTX_use_PrivateKey_file(s->tls, s->key_file, SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_check_private_key(s->tls) != 1) {
		LOG(LOG_ERROR, "http", "certificate or key cannot be used",
		    kv_text("certificate", s->cert_file), kv_text("key", s->key_file));
		return false;
	}
	return true;
}

/* Cuts "host:port" or "[host]:port". */
static bool
split_address(struct http_port *p, const char *address)
{
	const char *colon = strrchr(address, ':');
	size_t len = colon != NULL ? (size_t)(colon - address) : 0;
	long port = colon != NULL ? strtol(colon + 1, NULL, 10) : -1;

	if (len > 2 && address[0] == '[' && address[len - 1] == ']') {
		address++;
		len -= 2;
	}
	if (len == 0 || len >= sizeof(p->host) || strspn(colon + 1, "0123456789") == 0 ||
	    colon[1 + strspn(colon + 1, "0123456789")] != '\0' || port > UINT16_MAX)
		return false;
	snprintf(p->host, sizeof(p->host), "%.*s", (int)len, address);
	p->port = (uint16_t)port;
	return true;
}

static bool
is_loopback(const char *host)
{
	struct in_addr v4;

	if (inet_pton(AF_INET, host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	return strcmp(host, "::1") == 0 || strcmp(host, "localhost") == 0;
}

/* Listens on host and port; notes the port that it became. */
static bool
bind_port(struct http_port *p)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	int on = 1;

	p->bound = evhttp_bind_socket_with_handle(p->http, p->host, p->port);
	if (p->bound == NULL)
		return false;
	/* what is accepted inherits it: header and body of an answer are two writes */
	if (setsockopt(evhttp_bound_socket_get_fd(p->bound), IPPROTO_TCP, TCP_NODELAY, &on,
		sizeof(on)) != 0)
		return false;
	if (getsockname(evhttp_bound_socket_get_fd(p->bound), (struct sockaddr *)&ss, &len) != 0)
		return false;
	if (ss.ss_family == AF_INET6)
		p->port = ntohs(((struct sockaddr_in6 *)&ss)->sin6_port);
	else
		p->port = ntohs(((struct sockaddr_in *)&ss)->sin_port);
	snprintf(p->host_port, sizeof(p->host_port),
	    strchr(p->host, ':') != NULL ? "[%s]:%u" : "%s:%u", p->host, (unsigned)p->port);
	return true;
}

bool
http_open(struct sim *s, enum port which, const char *address)
{
	struct http_port *p = &s->ports[which];
	bool plain = s->tls == NULL || which == PORT_ADMIN;

	p->sim = s;
	p->which = which;
	if (!split_address(p, address)) {
		LOG(LOG_ERROR, "http", "not an address", kv_text("address", address));
		return false;
	}
	if (plain && !is_loopback(p->host)) {
		LOG(LOG_ERROR, "http", "without TLS only a loopback address will do",
		    kv_text("address", address));
		return false;
	}
	p->http = evhttp_new(loop_base(s->loop));
	if (p->http == NULL || !bind_port(p)) {
		LOG(LOG_ERROR, "http", "cannot listen", kv_text("address", address));
		return false;
	}
	if (!plain)
		evhttp_set_bevcb(p->http, new_stream, p);
	evhttp_set_allowed_methods(p->http, METHODS);
	evhttp_set_max_body_size(p->http, BODY_MAX);
	evhttp_set_max_headers_size(p->http, HEADERS_MAX_BYTES);
	/* Who sends too much is to read the 413, not to find the connection gone. */
	evhttp_set_flags(p->http, EVHTTP_SERVER_LINGERING_CLOSE);
	evhttp_set_timeout(p->http, IDLE_S);
	evhttp_set_default_content_type(p->http, NULL);
	evhttp_set_gencb(p->http, on_request, p);
	return true;
}

void
http_close_all(struct sim *s)
{
	LIST_FOREACH_SAFE(l, next, &s->exchanges)
	reset_connection(CONTAINER_OF(l, struct exchange, link));
	for (int i = 0; i < PORTS; i++)
		if (s->ports[i].http != NULL)
			evhttp_free(s->ports[i].http);
	SSL_CTX_free(s->tls);
	SSL_CTX_free(s->tls_broken);
}

bool
http_set_outage(struct sim *s, enum port which, enum outage o)
{
	struct http_port *p = &s->ports[which];

	if (p->http == NULL || (o == OUTAGE_HANDSHAKE && s->tls == NULL))
		return false;
	if (o == OUTAGE_REFUSE && p->bound != NULL) {
		evhttp_del_accept_socket(p->http, p->bound);
		p->bound = NULL;
	} else if (o != OUTAGE_REFUSE && p->bound == NULL && !bind_port(p)) {
		return false;
	}
	s->outage[which] = o;
	return true;
}
