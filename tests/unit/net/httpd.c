/* SPDX-License-Identifier: Apache-2.0 */
/* The scripted HTTP server.  Uses the C library's memory, so that injected faults pass it by. */
#include "httpd.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>
#include <openssl/err.h>

enum { INPUT_MAX = 256 * 1024 };

struct httpd_conn {
	struct list link;
	struct httpd *h;
	int fd;
	SSL *ssl;
	struct event *event;
	char *in;
	size_t len;
};

static void
conn_free(struct httpd_conn *c)
{
	list_remove(&c->link);
	event_free(c->event);
	SSL_free(c->ssl);
	close(c->fd);
	free(c->in);
	free(c);
}

void
httpd_close(struct httpd_conn *c)
{
	shutdown(c->fd, SHUT_RDWR); /* freed when the event shows its end */
}

void
httpd_reset(struct httpd_conn *c)
{
	struct linger now = {1, 0};

	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	conn_free(c);
}

void
httpd_raw(struct httpd_conn *c, const char *bytes, size_t len)
{
	int n = c->ssl != NULL ? SSL_write(c->ssl, bytes, (int)len)
			       : (int)send(c->fd, bytes, len, MSG_NOSIGNAL);

	ck_assert_int_eq(n, (int)len);
}

void
httpd_reply(struct httpd_conn *c, int status, const char *extra, const char *body)
{
	size_t len = strlen(body), size = len + strlen(extra) + 256;
	char *text = malloc(size);
	int n;

	if (status == 204)
		n = snprintf(text, size, "HTTP/1.1 204 No Content\r\n%s\r\n", extra);
	else
		n = snprintf(text, size, "HTTP/1.1 %d Status\r\n%sContent-Length: %zu\r\n\r\n%s",
		    status, extra, len, body);
	httpd_raw(c, text, (size_t)n);
	free(text);
}

const char *
httpd_header(const struct httpd_request *r, const char *name)
{
	static char value[8192];
	size_t n = strlen(name);

	for (const char *line = r->head; (line = strstr(line, "\r\n")) != NULL;) {
		line += 2;
		if (strncasecmp(line, name, n) == 0 && line[n] == ':') {
			snprintf(value, sizeof(value), "%.*s", (int)strcspn(line + n + 2, "\r"),
			    line + n + 2);
			return value;
		}
	}
	return NULL;
}

/* True when one request was taken off the input. */
static bool
take_request(struct httpd_conn *c)
{
	char *end, *head, *body, *space;
	struct httpd_request r = {.head = ""};
	const char *len;
	size_t used;

	c->in[c->len] = '\0';
	end = strstr(c->in, "\r\n\r\n");
	if (end == NULL)
		return false;
	used = (size_t)(end - c->in) + 4;
	head = strndup(c->in, used - 2);
	r.head = head;
	len = httpd_header(&r, "Content-Length");
	r.body_len = len != NULL ? strtoul(len, NULL, 10) : 0;
	if (c->len < used + r.body_len) {
		free(head);
		return false;
	}
	body = calloc(1, r.body_len + 1);
	memcpy(body, c->in + used, r.body_len);
	r.body = body;
	memmove(c->in, c->in + used + r.body_len, c->len - used - r.body_len);
	c->len -= used + r.body_len;
	char *line = strndup(head, strcspn(head, "\r"));
	r.method = line;
	space = strchr(line, ' ');
	*space++ = '\0';
	r.path = space;
	*strchr(space, ' ') = '\0';
	c->h->requests++;
	c->h->answer(c->h->arg, c, &r); /* may free c */
	free(line);
	free(head);
	free(body);
	return true;
}

static int
conn_read(struct httpd_conn *c)
{
	int n, e;

	if (c->ssl == NULL) {
		n = (int)recv(c->fd, c->in + c->len, INPUT_MAX - c->len, 0);
		return n < 0 && errno == EAGAIN ? -1 : n <= 0 ? 0 : n;
	}
	ERR_clear_error();
	n = SSL_read(c->ssl, c->in + c->len, (int)(INPUT_MAX - c->len));
	if (n > 0)
		return n;
	e = SSL_get_error(c->ssl, n);
	ERR_clear_error();
	return e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE ? -1 : 0;
}

static bool
is_open(struct httpd *h, const struct httpd_conn *c)
{
	LIST_FOREACH(l, &h->conns)
	if (CONTAINER_OF(l, struct httpd_conn, link) == c)
		return true;
	return false;
}

static void
on_conn(evutil_socket_t fd, short what, void *arg)
{
	struct httpd_conn *c = arg;
	struct httpd *h = c->h;
	int n;

	(void)fd, (void)what;
	while ((n = conn_read(c)) > 0) {
		c->len += (size_t)n;
		while (take_request(c))
			if (!is_open(h, c))
				return;
	}
	if (n == 0)
		conn_free(c);
}

static void
on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct httpd *h = arg;
	struct httpd_conn *c = calloc(1, sizeof(*c));

	(void)what;
	c->h = h;
	c->fd = accept(fd, NULL, NULL);
	ck_assert_int_ge(c->fd, 0);
	fcntl(c->fd, F_SETFL, O_NONBLOCK);
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)); /* or 40 ms pass */
	c->in = malloc(INPUT_MAX + 1);
	c->event = event_new(loop_base(h->loop), c->fd, EV_READ | EV_PERSIST, on_conn, c);
	if (h->tls != NULL) {
		c->ssl = SSL_new(h->tls);
		SSL_set_fd(c->ssl, c->fd);
		SSL_set_accept_state(c->ssl);
	}
	if (!h->silent)
		event_add(c->event, NULL);
	list_append(&h->conns, &c->link);
	h->accepted++;
}

void
httpd_start(struct httpd *h, struct loop *l)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(sin);

	h->loop = l;
	list_init(&h->conns);
	h->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(h->fd, (struct sockaddr *)&sin, len), 0);
	ck_assert_int_eq(listen(h->fd, 64), 0);
	ck_assert_int_eq(getsockname(h->fd, (struct sockaddr *)&sin, &len), 0);
	h->port = ntohs(sin.sin_port);
	snprintf(h->url, sizeof(h->url), "%s://127.0.0.1:%d", h->tls != NULL ? "https" : "http",
	    h->port);
	h->event = event_new(loop_base(l), h->fd, EV_READ | EV_PERSIST, on_accept, h);
	event_add(h->event, NULL);
}

void
httpd_stop(struct httpd *h)
{
	while (!list_empty(&h->conns))
		conn_free(CONTAINER_OF(h->conns.next, struct httpd_conn, link));
	event_free(h->event);
	close(h->fd);
}
