/* SPDX-License-Identifier: Apache-2.0 */
/* libcurl's multi interface on our loop: it tells which sockets and which time it waits for. */
#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "http_parts.h"

struct watched {
	struct list link;
	curl_socket_t fd;
	struct event event;
};

/* Something could not be had while libcurl ran, or to wait for what it wants. */
static bool
starved(const struct http *h)
{
	return h->deaf || h->failures != alloc_failures();
}

/* What has ended since libcurl last ran; what memory lacked for it takes for the network's fault. */
static void
collect(struct http *h)
{
	struct http_call *c;
	CURLMsg *m;
	CURLcode rc;
	int left;

	while ((m = curl_multi_info_read(h->multi, &left)) != NULL) {
		if (m->msg != CURLMSG_DONE)
			continue;
		rc = m->data.result; /* removing the handle ends the message */
		if (rc != CURLE_OK && starved(h))
			rc = CURLE_OUT_OF_MEMORY;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&c);
		http_ended(c, rc);
	}
}

static struct watched *
find_socket(const struct http *h, curl_socket_t s)
{
	LIST_FOREACH (link, &h->sockets) {
		struct watched *w = CONTAINER_OF(link, struct watched, link);

		if (w->fd == s)
			return w;
	}
	return NULL;
}

static struct watched *
watch_socket(struct http *h, curl_socket_t s)
{
	struct watched *w = alloc_zero(sizeof(*w));

	if (w == NULL)
		return NULL;
	w->fd = s;
	list_append(&h->sockets, &w->link);
	return w;
}

static void
forget_socket(struct watched *w)
{
	event_del(&w->event);
	list_remove(&w->link);
	alloc_free(w);
}

/* No call may be under way.  That sockets are closed then libcurl does not say. */
static void
drop_multi(struct http *h)
{
	while (!list_empty(&h->sockets))
		forget_socket(CONTAINER_OF(h->sockets.next, struct watched, link));
	if (h->multi != NULL)
		curl_multi_cleanup(h->multi);
	h->multi = NULL;
	timer_clear(h->loop, &h->timer);
}

/*
 * libcurl 7.88 goes on without what it could not have: it forgets transfers of a socket, which a later
 * socket of that number inherits, and divides by zero when it adds another one.  So when anything failed
 * while it ran, all its calls end, and it begins anew.
 */
static void
end_starved(struct http *h)
{
	if (!starved(h))
		return;
	while (!list_empty(&h->calls))
		http_finish(CONTAINER_OF(h->calls.next, struct http_call, link), HTTP_LOCAL);
	drop_multi(h);
	h->deaf = false;
}

static void
act(struct http *h, curl_socket_t s, int what)
{
	int running;

	h->failures = alloc_failures();
	curl_multi_socket_action(h->multi, s, what, &running);
	collect(h);
	end_starved(h);
}

static void
on_event(evutil_socket_t s, short what, void *arg)
{
	act(arg, s,
	    ((what & EV_READ) != 0 ? CURL_CSELECT_IN : 0) |
		((what & EV_WRITE) != 0 ? CURL_CSELECT_OUT : 0));
}

static void
on_time(struct timer *t)
{
	act(CONTAINER_OF(t, struct http, timer), CURL_SOCKET_TIMEOUT, 0);
}

/* libcurl's: it wants to be called after so many milliseconds; -1: not at all. */
static int
want_time(CURLM *multi, long ms, void *arg)
{
	struct http *h = arg;

	(void)multi;
	if (ms < 0)
		timer_clear(h->loop, &h->timer);
	else
		timer_set(h->loop, &h->timer, clock_now() + ms * NS_PER_MS);
	return 0;
}

/* libcurl's: what it waits for at a socket. */
static int
want_socket(CURL *easy, curl_socket_t s, int what, void *arg, void *of_socket)
{
	struct http *h = arg;
	struct watched *w;
	short events = (short)(EV_PERSIST | ((what & CURL_POLL_IN) != 0 ? EV_READ : 0) |
			       ((what & CURL_POLL_OUT) != 0 ? EV_WRITE : 0));

	(void)easy, (void)of_socket;
	w = find_socket(h, s);
	if (what == CURL_POLL_REMOVE) {
		if (w != NULL)
			forget_socket(w);
		return 0;
	}
	if (w != NULL)
		event_del(&w->event);
	else
		w = watch_socket(h, s);
	if (w == NULL) {
		h->deaf = true;
		return 0;
	}
	event_assign(&w->event, loop_base(h->loop), s, events, on_event, h);
	h->deaf |= !loop_watch(&w->event);
	return 0;
}

static void
set_limits(struct http *h)
{
	curl_multi_setopt(h->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)h->connections_max);
	curl_multi_setopt(h->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)h->per_host_max);
	curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, (long)h->connections_max);
}

static bool
make_multi(struct http *h)
{
	h->multi = curl_multi_init();
	if (h->multi == NULL)
		return false;
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, want_time);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
	curl_multi_setopt(h->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
	set_limits(h);
	return true;
}

struct http *
http_new(struct loop *l, const struct http_params *p)
{
	struct http *h = alloc_zero(sizeof(*h));

	if (h == NULL)
		return NULL;
	h->loop = l;
	h->timer.fn = on_time;
	list_init(&h->calls);
	list_init(&h->sockets);
	h->connect_timeout_ns = p->connect_timeout_ns;
	h->connections_max = p->connections_max;
	h->per_host_max = p->per_host_max;
	if (!make_multi(h)) {
		alloc_free(h);
		return NULL;
	}
	return h;
}

void
http_allow(struct http *h, unsigned connections_max, unsigned per_host_max)
{
	h->connections_max = connections_max;
	h->per_host_max = per_host_max;
	if (h->multi != NULL)
		set_limits(h);
}

void
http_free(struct http *h)
{
	if (h == NULL)
		return;
	drop_multi(h);
	alloc_free(h);
}

bool
http_enter(struct http_call *c)
{
	struct http *h = c->http;

	if (h->multi == NULL && !make_multi(h))
		return false;
	h->failures = alloc_failures();
	if (curl_multi_add_handle(h->multi, c->easy) != CURLM_OK)
		return false;
	list_append(&h->calls, &c->link);
	end_starved(h);
	return true;
}

void
http_leave(struct http_call *c)
{
	if (!list_linked(&c->link))
		return;
	list_remove(&c->link);
	curl_multi_remove_handle(c->http->multi, c->easy);
}
