/* SPDX-License-Identifier: Apache-2.0 */
/* A small HTTP/1.1 server: reading a request, writing its answer, and the limits of both. */
#include "net/web.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/metric.h"

#include "web_parse.h"

enum { HEAD_MAX = 512 };
#define LINGER_NS (2 * NS_PER_S) /* for a client to read why it was refused */

struct web {
	struct web_params p;
	struct list clients; /* the longest idle first */
	unsigned count;
};

enum state { READING, WRITING, LINGERING };

struct client {
	struct list link; /* first: for loop_free_later() */
	struct web *web;
	int fd;
	enum state state;
	bool last; /* no further request: closes when the answer is out */
	struct event ev_read, ev_write;
	struct timer limit;
	struct defer turn; /* a request may be in the buffer: one is answered in a turn */
	struct buf in, head;
	struct web_answer answer;
	size_t sent; /* of head and body together */
};

/* --- the end of a client --- */

static void
client_end(struct client *cl)
{
	struct web *w = cl->web;

	list_remove(&cl->link);
	loop_undefer(&cl->turn);
	timer_clear(w->p.loop, &cl->limit);
	event_del(&cl->ev_read);
	event_del(&cl->ev_write);
	close(cl->fd);
	buf_fini(&cl->in);
	buf_fini(&cl->head);
	buf_fini(&cl->answer.body);
	w->count--;
	loop_free_later(w->p.loop, cl);
}

static void
on_limit(struct timer *t)
{
	struct client *cl = CONTAINER_OF(t, struct client, limit);

	if (cl->state != READING || cl->in.len > 0)
		metric_inc(METRIC_STATS_REFUSED_TOTAL); /* who was only idle has not been refused */
	client_end(cl);
}

static void
limit_to(struct client *cl, int64_t ns)
{
	timer_set(cl->web->p.loop, &cl->limit, clock_now() + ns);
}

/* --- answers --- */

static const char *
reason(unsigned status)
{
	switch (status) {
	case 200:
		return "OK";
	case 400:
		return "Bad Request";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 431:
		return "Request Header Fields Too Large";
	case 500:
		return "Internal Server Error";
	case 503:
		return "Service Unavailable";
	case 505:
		return "HTTP Version Not Supported";
	default:
		return "Unknown";
	}
}

static void
put_head(struct client *cl, bool head_only)
{
	struct web_answer *a = &cl->answer;
	time_t now = (time_t)clock_wall();
	char date[40] = "";
	struct tm tm;

	if (gmtime_r(&now, &tm) != NULL)
		(void)!strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	buf_printf(&cl->head,
	    "HTTP/1.1 %u %s\r\nDate: %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
	    "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n%s%s\r\n",
	    a->status, reason(a->status), date, a->content_type, a->body.len,
	    a->status == 405 ? "Allow: GET, HEAD\r\n" : "", cl->last ? "Connection: close\r\n" : "");
	if (head_only)
		buf_fini(&a->body);
}

static void
say(struct web_answer *a, unsigned status)
{
	buf_fini(&a->body);
	a->body.error = ERR_OK;
	a->status = status;
	a->content_type = "text/plain; charset=utf-8";
	buf_printf(&a->body, "%u %s\n", status, reason(status));
}

/* The answer is with the kernel. */
static void
client_written(struct client *cl)
{
	buf_fini(&cl->head);
	buf_fini(&cl->answer.body);
	cl->sent = 0;
	if (cl->last) {
		/* to close with unread bytes would be a reset, which takes the answer back */
		cl->state = LINGERING;
		(void)shutdown(cl->fd, SHUT_WR);
		event_add(&cl->ev_read, NULL);
		limit_to(cl, LINGER_NS);
		return;
	}
	cl->state = READING;
	list_remove(&cl->link);
	list_append(&cl->web->clients, &cl->link);
	event_add(&cl->ev_read, NULL);
	limit_to(cl, cl->in.len > 0 ? WEB_REQUEST_NS : WEB_IDLE_NS);
	if (cl->in.len > 0)
		loop_defer(cl->web->p.loop, &cl->turn);
}

static void
client_write(struct client *cl)
{
	size_t body = cl->answer.body.len, whole = cl->head.len + body;

	while (cl->sent < whole) {
		size_t skip = cl->sent < cl->head.len ? 0 : cl->sent - cl->head.len;
		struct iovec part[2] = {
		    {cl->head.data + (skip > 0 ? 0 : cl->sent), 0}, {cl->answer.body.data, body - skip}};
		struct msghdr m = {.msg_iov = part, .msg_iovlen = 2};
		ssize_t n;

		part[0].iov_len = cl->sent < cl->head.len ? cl->head.len - cl->sent : 0;
		if (skip > 0)
			part[1].iov_base = cl->answer.body.data + skip;
		n = sendmsg(cl->fd, &m, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			event_add(&cl->ev_write, NULL);
			return;
		}
		if (n < 0) {
			client_end(cl);
			return;
		}
		cl->sent += (size_t)n;
	}
	client_written(cl);
}

static void
prepare_answer(struct client *cl, const struct web_parsed *parsed)
{
	struct web_answer *a = &cl->answer;
	const struct web_request rq = {.path = parsed->path, .accept = parsed->accept};

	cl->state = WRITING;
	cl->last |= parsed->last;
	event_del(&cl->ev_read);
	metric_inc(METRIC_STATS_REQUESTS_TOTAL);
	a->status = 200;
	a->content_type = "text/plain; charset=utf-8";
	if (parsed->status == 200)
		cl->web->p.answer(cl->web->p.user, &rq, a);
	else
		say(a, parsed->status);
	if (buf_error(&a->body) != ERR_OK)
		say(a, 500);
	put_head(cl, parsed->head_only);
}

/* --- requests --- */

/* Answers the request in the buffer, if it is all there. */
static void
client_read_on(struct client *cl)
{
	struct web_parsed parsed;
	size_t len;

	if (cl->state != READING || cl->in.len == 0)
		return;
	len = web_request_len(cl->in.data, cl->in.len);
	if (len == 0 && cl->in.len < WEB_REQUEST_MAX)
		return;
	if (len == 0)
		parsed = (struct web_parsed){.status = 431, .last = true};
	else
		web_parse((char *)cl->in.data, len, &parsed);
	prepare_answer(cl, &parsed); /* which points into the buffer */
	buf_consume(&cl->in, len > 0 ? len : cl->in.len);
	if (buf_error(&cl->head) != ERR_OK || buf_error(&cl->answer.body) != ERR_OK) {
		client_end(cl);
		return;
	}
	limit_to(cl, WEB_ANSWER_NS);
	client_write(cl);
}

static void
on_turn(struct defer *d)
{
	client_read_on(CONTAINER_OF(d, struct client, turn));
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct client *cl = arg;
	bool idle = cl->in.len == 0;
	ssize_t n;

	(void)what;
	if (cl->state == LINGERING)
		buf_reset(&cl->in); /* it is not read any more */
	if (buf_reserve(&cl->in, WEB_REQUEST_MAX - cl->in.len) != ERR_OK) {
		client_end(cl);
		return;
	}
	n = recv(fd, cl->in.data + cl->in.len, WEB_REQUEST_MAX - cl->in.len, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client_end(cl);
		return;
	}
	if (cl->state == LINGERING)
		return;
	cl->in.len += (size_t)n;
	if (idle)
		limit_to(cl, WEB_REQUEST_NS);
	loop_defer(cl->web->p.loop, &cl->turn);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	client_write(arg);
}

/* --- clients --- */

/* The one that has said nothing for the longest time gives up its place. */
static bool
make_room(struct web *w)
{
	if (w->count < WEB_CLIENTS_MAX)
		return true;
	metric_inc(METRIC_STATS_REFUSED_TOTAL);
	LIST_FOREACH (l, &w->clients) {
		struct client *cl = CONTAINER_OF(l, struct client, link);

		if (cl->state == READING && cl->in.len == 0) {
			client_end(cl);
			return true;
		}
	}
	return false;
}

void
web_accept(struct web *w, int fd)
{
	struct event_base *base = loop_base(w->p.loop);
	struct client *cl = make_room(w) ? alloc_zero(sizeof(*cl)) : NULL;

	if (cl == NULL) {
		close(fd);
		return;
	}
	cl->web = w;
	cl->fd = fd;
	cl->limit.fn = on_limit;
	cl->turn.fn = on_turn;
	buf_init(&cl->in, WEB_REQUEST_MAX);
	buf_init(&cl->head, HEAD_MAX);
	buf_init(&cl->answer.body, w->p.answer_max);
	event_assign(&cl->ev_read, base, fd, EV_READ | EV_PERSIST, on_readable, cl);
	event_assign(&cl->ev_write, base, fd, EV_WRITE, on_writable, cl);
	list_append(&w->clients, &cl->link);
	w->count++;
	if (event_add(&cl->ev_read, NULL) != 0)
		client_end(cl);
	else
		limit_to(cl, WEB_REQUEST_NS);
}

struct web *
web_new(const struct web_params *p)
{
	struct web *w = alloc_zero(sizeof(*w));

	if (w == NULL)
		return NULL;
	w->p = *p;
	list_init(&w->clients);
	return w;
}

void
web_free(struct web *w)
{
	if (w == NULL)
		return;
	LIST_FOREACH_SAFE (l, next, &w->clients)
		client_end(CONTAINER_OF(l, struct client, link));
	alloc_free(w);
}
