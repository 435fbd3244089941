/* SPDX-License-Identifier: Apache-2.0 */
/* The stats socket: what is served where. */
#include "stats.h"

#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/log.h"
#include "daemon/exposition.h"
#include "net/listen.h"
#include "net/web.h"

#include "control_socket.h"
#include "daemon.h"
#include "gauges.h"
#include "health.h"
#include "stats_tenants.h"
#include "version.h"

enum { ANSWER_MAX = 8 * 1024 * 1024, UNAVAILABLE = 503, NOT_FOUND = 404 };

/* Each has places of its own: who comes from elsewhere takes none from those at the socket here. */
struct entrance {
	struct listener *listener;
	struct web *web;
};

struct stats {
	struct keyferryd *d;
	struct entrance local, tcp;
	char *path;
	struct stat made; /* the socket file */
};

/* --- pages --- */

static void
answer_metrics(struct keyferryd *d, const struct web_request *rq, struct web_answer *a)
{
	bool open = exposition_wants_open(rq->accept);
	struct exposition x;

	a->content_type = exposition_content_type(open);
	gauges_refresh(d);
	exposition_begin(&x, &a->body, open);
	exposition_gauge(&x, "BUILD_INFO", "always 1; the version is in the label");
	exposition_value(&x, "version", KEYFERRY_VERSION, NULL, NULL, 1);
	exposition_metrics(&x);
	stats_tenants_put(&x, gate_tenants(d->gate));
	exposition_end(&x);
}

static void
answer_health(struct keyferryd *d, const struct web_request *rq, struct web_answer *a)
{
	enum health worst;
	struct json j;

	(void)rq;
	a->content_type = "application/json";
	json_init(&j, &a->body);
	json_object(&j, NULL);
	worst = health_put(&j, "checks", d);
	json_text(&j, "state", health_name(worst));
	json_object_end(&j);
	if (worst == HEALTH_BAD)
		a->status = UNAVAILABLE;
}

static void
answer_ready(struct keyferryd *d, const struct web_request *rq, struct web_answer *a)
{
	const char *why = health_not_ready(d);

	(void)rq;
	buf_printf(&a->body, "%s\n", why != NULL ? why : "ready");
	if (why != NULL)
		a->status = UNAVAILABLE;
}

static const struct page {
	const char *path;
	void (*answer)(struct keyferryd *, const struct web_request *, struct web_answer *);
} pages[] = {
    {"/metrics", answer_metrics}, {"/health", answer_health}, {"/ready", answer_ready}};

static void
on_request(void *user, const struct web_request *rq, struct web_answer *a)
{
	struct stats *s = user;

	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
		if (strcmp(pages[i].path, rq->path) == 0) {
			pages[i].answer(s->d, rq, a);
			return;
		}
	a->status = NOT_FOUND;
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
		buf_printf(&a->body, "%s\n", pages[i].path);
}

/* --- sockets --- */

static void
on_accepted(void *user, int fd)
{
	struct entrance *en = user;

	web_accept(en->web, fd);
}

static const struct listen_ops listen_ops = {.accepted = on_accepted};

static enum err
open_web(struct stats *s, struct entrance *en)
{
	const struct web_params p = {
	    .loop = s->d->loop, .answer = on_request, .user = s, .answer_max = ANSWER_MAX};

	en->web = web_new(&p);
	return en->web != NULL ? ERR_OK : ERR_NO_MEMORY;
}

static void
close_entrance(struct entrance *en)
{
	if (en->listener != NULL)
		listener_free(en->listener);
	web_free(en->web);
}

static enum err
open_local(struct stats *s, const struct config *c, struct buf *why)
{
	const char *sentence = "";
	char *path = alloc_text(c->stats_socket);
	enum err e = path != NULL ? open_web(s, &s->local) : ERR_NO_MEMORY;
	int fd;

	if (e == ERR_OK)
		e = control_socket_open(&fd, path, c->stats_socket_mode, &s->made, &sentence);
	if (e != ERR_OK) {
		buf_printf(why, "stats-socket: %s", sentence);
		alloc_free(path);
		return e;
	}
	s->path = path;
	return listener_from_fd(&s->local.listener, s->d->loop, fd, &listen_ops, &s->local);
}

static enum err
open_tcp(struct stats *s, const struct config *c, struct buf *why)
{
	const char *sentence = "";
	enum err e = open_web(s, &s->tcp);

	if (e == ERR_OK)
		e = listener_new(&s->tcp.listener, s->d->loop, c->stats_listen, false, &listen_ops, &s->tcp,
		    &sentence);
	if (e != ERR_OK)
		buf_printf(why, "stats-listen: %s", sentence);
	else
		LOG(LOG_NOTICE, "stats", "listening", kv_text("address", listener_address(s->tcp.listener)));
	return e;
}

enum err
stats_new(struct stats **out, struct keyferryd *d, struct buf *why)
{
	struct stats *s = alloc_zero(sizeof(*s));
	enum err e = ERR_OK;

	if (s == NULL)
		return ERR_NO_MEMORY;
	s->d = d;
	if (d->config->stats_socket != NULL)
		e = open_local(s, d->config, why);
	if (e == ERR_OK && d->config->stats_listen != NULL)
		e = open_tcp(s, d->config, why);
	if (e != ERR_OK) {
		stats_free(s);
		return e;
	}
	*out = s;
	return ERR_OK;
}

void
stats_free(struct stats *s)
{
	if (s == NULL)
		return;
	close_entrance(&s->tcp);
	close_entrance(&s->local);
	if (s->path != NULL)
		control_socket_remove(s->path, &s->made);
	alloc_free(s->path);
	alloc_free(s);
}
