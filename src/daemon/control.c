/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket: clients, their requests, and commands that may take long. */
#include "daemon/control.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/json.h"
#include "base/log.h"
#include "base/metric.h"
#include "control_args.h"
#include "control_socket.h"

enum { ACCEPT_PAUSE_S = 1 };

struct control {
	struct loop *loop;
	struct control_params params;
	char *path;
	struct stat made; /* the socket file: another one in its place is not removed */
	int fd;		  /* -1: not open */
	struct event *ev;
	struct timer pause; /* no descriptors: do not spin on accept() */
	bool deaf;	    /* the kernel refused to watch it after the last one */
	struct list clients;
	unsigned clients_count;
};

struct call {
	struct list dead; /* first: for loop_free_later() */
	struct control_call pub;
	struct loop *loop;
	struct client *client;	     /* NULL when it has gone or been answered for us */
	void (*ended)(void *user, const struct control_call *, long uid, long pid, enum err e);
	long uid, pid; /* of who asked */
	char line[CONTROL_LINE_MAX]; /* argv points into it */
};

struct client {
	struct list link; /* first: for loop_free_later() */
	struct control *control;
	int fd;
	long uid, pid;
	struct event *ev_read, *ev_write;
	struct timer limit;
	struct defer turn;
	struct buf in, out;
	struct call *call;
	bool last;   /* no further request: closes when all is written */
	bool broken; /* ends in its next turn */
};

/* --- the end of a client --- */

static void
client_end(struct client *cl)
{
	struct control *c = cl->control;

	if (cl->call != NULL)
		cl->call->client = NULL;
	list_remove(&cl->link);
	loop_undefer(&cl->turn);
	timer_clear(c->loop, &cl->limit);
	if (cl->ev_read != NULL)
		event_free(cl->ev_read);
	if (cl->ev_write != NULL)
		event_free(cl->ev_write);
	close(cl->fd);
	buf_fini(&cl->in);
	buf_fini(&cl->out);
	c->clients_count--;
	loop_free_later(c->loop, cl);
}

static void
client_extend(struct client *cl)
{
	struct control *c = cl->control;

	timer_set(c->loop, &cl->limit, clock_now() + c->params.timeout_ns);
}

static void
put_status(struct buf *out, enum err e, const char *detail, bool unsure)
{
	struct json j;

	json_init(&j, out);
	json_object(&j, NULL);
	json_text(&j, "status", e == ERR_OK ? "ok" : unsure ? "unknown" : "error");
	if (e != ERR_OK)
		json_text(&j, "error", detail != NULL ? detail : err_text(e));
	json_object_end(&j);
}

static void
client_answer_as(struct client *cl, enum err e, const char *detail, bool unsure)
{
	put_status(&cl->out, e, detail, unsure);
	loop_defer(cl->control->loop, &cl->turn);
}

static void
client_answer(struct client *cl, enum err e, const char *detail)
{
	client_answer_as(cl, e, detail, false);
}

/* --- calls --- */

/* Hands over what the command wrote.  A reader too slow for the ceiling is dropped. */
static void
call_pass_on(struct call *call)
{
	struct client *cl = call->client;

	if (cl != NULL) {
		buf_put(&cl->out, call->pub.out.data, call->pub.out.len);
		if (buf_error(&cl->out) != ERR_OK)
			cl->broken = true;
		client_extend(cl);
		loop_defer(call->loop, &cl->turn);
	}
	buf_reset(&call->pub.out);
}

/* Both ways are closed: one that only sends nothing more still hears. */
static bool
hung_up(int fd)
{
	struct pollfd p = {.fd = fd};

	return poll(&p, 1, 0) > 0;
}

bool
control_heard(const struct control_call *pub)
{
	const struct call *call = CONTAINER_OF(pub, struct call, pub);
	const struct client *cl = call->client;

	return cl != NULL && !cl->broken && !hung_up(cl->fd);
}

bool
control_flush(struct control_call *pub)
{
	struct call *call = CONTAINER_OF(pub, struct call, pub);

	if (buf_error(&pub->out) != ERR_OK)
		return true; /* kept: control_done() tells */
	call_pass_on(call);
	return control_heard(pub);
}

/* A document that a failed command has begun: each that is whole ends its line. */
static void
drop_half(struct buf *out)
{
	size_t len = out->len;

	while (len > 0 && out->data[len - 1] != '\n')
		len--;
	if (out->len > len)
		wipe(out->data + len, out->len - len);
	out->error = ERR_OK;
	out->len = len;
}

void
control_done(struct control_call *pub, enum err e, const char *detail)
{
	struct call *call = CONTAINER_OF(pub, struct call, pub);
	struct client *cl = call->client;
	enum err full = buf_error(&pub->out);

	if (full != ERR_OK) {
		e = full;
		detail = NULL;
	}
	if (e != ERR_OK)
		drop_half(&pub->out);
	if (call->ended != NULL)
		call->ended(pub->user, pub, call->uid, call->pid, e);
	if (cl != NULL) {
		call_pass_on(call);
		client_answer_as(cl, e, detail, pub->unsure);
		if (e != ERR_OK)
			LOG(LOG_INFO, "control", "command failed", kv_text("command", pub->argv[0]),
			    kv_text("error", detail != NULL ? detail : err_text(e)),
			    kv_int("pid", cl->pid));
		cl->call = NULL;
	}
	buf_fini(&pub->out);
	loop_free_later(call->loop, call);
}

static void
run_help(struct control_call *call)
{
	struct call *own = CONTAINER_OF(call, struct call, pub);
	const struct control_command *cmd = own->client->control->params.commands;
	struct json j;

	for (; cmd->name != NULL; cmd++) {
		json_init(&j, &call->out);
		json_object(&j, NULL);
		json_text(&j, "command", cmd->name);
		json_text(&j, "arguments", cmd->usage);
		json_text(&j, "help", cmd->help);
		json_object_end(&j);
	}
	control_done(call, ERR_OK, NULL);
}

static const struct control_command *
find_command(const struct control *c, const char *name)
{
	static const struct control_command help = {
	    "help", "", "lists the commands", CONTROL_LOOKS, run_help};
	const struct control_command *const tables[] = {c->params.commands, c->params.more};

	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		for (const struct control_command *cmd = tables[i]; cmd != NULL && cmd->name != NULL;
		     cmd++)
			if (strcmp(cmd->name, name) == 0)
				return cmd;
	return strcmp(name, help.name) == 0 ? &help : NULL;
}

/* Cuts the line at its tabs.  False when there are too many fields. */
static bool
split_line(struct control_call *call, char *line)
{
	while (call->argc < CONTROL_ARGS_MAX) {
		call->argv[call->argc++] = line;
		line = strchr(line, '\t');
		if (line == NULL)
			return true;
		*line++ = '\0';
	}
	return false;
}

/* Runs a request, given without its newline. */
static void
client_run(struct client *cl, const uint8_t *line, size_t len)
{
	struct call *call = alloc_zero(sizeof(*call));
	const struct control_command *cmd;
	const char *wrong = NULL;
	enum err e = ERR_OK;

	if (call == NULL) {
		client_answer(cl, ERR_NO_MEMORY, NULL);
		return;
	}
	memcpy(call->line, line, len); /* zeroed, and len is less than its size */
	cmd = split_line(&call->pub, call->line) ? find_command(cl->control, call->line) : NULL;
	if (cmd == NULL) {
		alloc_free(call);
		client_answer(cl, ERR_OP_UNSUPPORTED, "no such command");
		return;
	}
	LOG(cmd->kind != CONTROL_LOOKS ? LOG_NOTICE : LOG_INFO, "control", "command",
	    kv_text("command", cmd->name), kv_int("uid", cl->uid), kv_int("pid", cl->pid));
	metric_inc(METRIC_CONTROL_COMMANDS_TOTAL);
	call->loop = cl->control->loop;
	call->client = cl;
	call->pub.user = cl->control->params.user;
	call->ended = cl->control->params.ended;
	call->uid = cl->uid;
	call->pid = cl->pid;
	buf_init(&call->pub.out, CONTROL_ANSWER_MAX);
	cl->call = call;
	if (cl->control->params.may != NULL)
		e = cl->control->params.may(call->pub.user, cmd);
	if (e == ERR_OK && (wrong = control_args_wrong(cmd, &call->pub)) != NULL)
		e = ERR_INVALID_FIELD;
	if (e == ERR_OK)
		cmd->run(&call->pub);
	else
		control_done(&call->pub, e, wrong);
}

/* --- bytes --- */

/* Takes the next request out of the input and runs it, when there is a whole one. */
static void
client_next(struct client *cl)
{
	uint8_t *end = cl->in.len > 0 ? memchr(cl->in.data, '\n', cl->in.len) : NULL;
	size_t len;

	if (end == NULL) {
		if (cl->in.len >= CONTROL_LINE_MAX) {
			cl->last = true;
			buf_reset(&cl->in);
			client_answer(cl, ERR_REQUEST_TOO_LARGE, NULL);
		}
		return;
	}
	len = (size_t)(end - cl->in.data);
	if (memchr(cl->in.data, '\0', len) != NULL) {
		cl->last = true;
		buf_reset(&cl->in);
		client_answer(cl, ERR_INVALID_MESSAGE, NULL);
		return;
	}
	client_extend(cl);
	client_run(cl, cl->in.data, len);
	buf_consume(&cl->in, len + 1);
	if (!cl->last)
		event_add(cl->ev_read, NULL);
}

static void
client_write(struct client *cl)
{
	ssize_t n;

	while (cl->out.len > 0) {
		n = send(cl->fd, cl->out.data, cl->out.len, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			cl->broken |= errno != EAGAIN;
			break;
		}
		buf_consume(&cl->out, (size_t)n);
		client_extend(cl);
	}
	if (cl->out.len > 0)
		event_add(cl->ev_write, NULL);
	else
		buf_fini(&cl->out);
}

/* Everything that a client does next is decided here, between callbacks. */
static void
client_turn(struct defer *d)
{
	struct client *cl = CONTAINER_OF(d, struct client, turn);

	if (buf_error(&cl->out) != ERR_OK)
		cl->broken = true;
	if (!cl->broken && cl->out.len > 0)
		client_write(cl);
	if (!cl->broken && cl->out.len == 0 && cl->call == NULL) {
		if (cl->in.len > 0)
			client_next(cl);
		else if (cl->last)
			cl->broken = true;
	}
	/* A client that sent all it will, and not a whole request, waits for nothing. */
	if (cl->last && cl->call == NULL && cl->out.len == 0 && !list_linked(&cl->turn.link))
		cl->broken = true;
	if (cl->broken)
		client_end(cl);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct client *cl = arg;

	(void)fd, (void)what;
	loop_defer(cl->control->loop, &cl->turn);
}

/* An end of file is the end of the requests; the last answer may still be wanted. */
static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct client *cl = arg;
	size_t room = cl->in.max - cl->in.len;
	ssize_t n;

	(void)what;
	loop_defer(cl->control->loop, &cl->turn);
	if (room == 0) {
		event_del(cl->ev_read); /* until the request under way is answered */
		return;
	}
	if (buf_reserve(&cl->in, room) != ERR_OK) {
		cl->broken = true;
		return;
	}
	n = recv(fd, cl->in.data + cl->in.len, room, 0);
	if (n > 0) {
		cl->in.len += (size_t)n;
	} else if (n == 0) {
		cl->last = true;
		event_del(cl->ev_read);
	} else if (errno != EAGAIN && errno != EINTR) {
		cl->broken = true;
	}
}

/* Nothing came, nothing was read, or the command showed no sign of life. */
static void
on_limit(struct timer *t)
{
	struct client *cl = CONTAINER_OF(t, struct client, limit);

	if (cl->call == NULL || cl->out.len > 0) {
		client_end(cl);
		return;
	}
	cl->call->client = NULL; /* it runs on, unheard */
	cl->call = NULL;
	cl->last = true;
	buf_reset(&cl->in);
	event_del(cl->ev_read);
	client_extend(cl);
	client_answer_as(
	    cl, ERR_DEADLINE, "the command is taking too long and goes on unattended", true);
}

/* --- clients --- */

static void
client_new(struct control *c, int fd)
{
	struct client *cl = alloc_zero(sizeof(*cl));
	struct event_base *base = loop_base(c->loop);
	struct ucred cred = {.pid = -1, .uid = (uid_t)-1};
	socklen_t len = sizeof(cred);

	if (cl == NULL) {
		close(fd);
		return;
	}
	(void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len); /* only for the log */
	cl->control = c;
	cl->fd = fd;
	cl->uid = (long)cred.uid;
	cl->pid = (long)cred.pid;
	cl->limit.fn = on_limit;
	cl->turn.fn = client_turn;
	buf_init(&cl->in, CONTROL_LINE_MAX);
	buf_init(&cl->out, CONTROL_ANSWER_MAX + CONTROL_LINE_MAX); /* and the status line */
	list_append(&c->clients, &cl->link);
	c->clients_count++;
	cl->ev_read = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, cl);
	cl->ev_write = event_new(base, fd, EV_WRITE, on_writable, cl);
	if (cl->ev_read == NULL || cl->ev_write == NULL || event_add(cl->ev_read, NULL) != 0) {
		client_end(cl);
		return;
	}
	client_extend(cl);
}

static void
turn_away(int fd)
{
	struct buf out;
	ssize_t n;

	buf_init(&out, CONTROL_LINE_MAX);
	put_status(&out, ERR_BUSY, NULL, false);
	n = send(fd, out.data, out.len, MSG_NOSIGNAL);
	(void)n; /* it sees a closed connection otherwise */
	buf_fini(&out);
	close(fd);
}

static int
accept_one(int listening)
{
	if (!fault_hit(FAULT_ACCEPT_EMFILE))
		return accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	errno = EMFILE;
	return -1;
}

static void
pause_begins(struct control *c)
{
	timer_set(c->loop, &c->pause, clock_now() + ACCEPT_PAUSE_S * NS_PER_S);
}

static void
on_pause_over(struct timer *t)
{
	struct control *c = CONTAINER_OF(t, struct control, pause);
	bool deaf = !loop_watch(c->ev);

	if (deaf && !c->deaf)
		LOG(LOG_WARN, "control", "accepting is paused", kv_text("why", strerror(errno)));
	c->deaf = deaf;
	if (deaf)
		pause_begins(c);
}

static void
on_connection(evutil_socket_t listening, short what, void *arg)
{
	struct control *c = arg;
	int fd = accept_one(listening);

	(void)what;
	if (fd < 0) {
		if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM)
			return;
		pause_begins(c);
		event_del(c->ev);
		return;
	}
	if (c->clients_count >= CONTROL_CLIENTS_MAX)
		turn_away(fd);
	else
		client_new(c, fd);
}

/* --- the socket --- */

static enum err
listen_on(struct control *c, const char **why)
{
	enum err e = control_socket_open(&c->fd, c->path, c->params.mode, &c->made, why);

	if (e != ERR_OK)
		return e;
	c->ev = event_new(loop_base(c->loop), c->fd, EV_READ | EV_PERSIST, on_connection, c);
	if (c->ev == NULL || event_add(c->ev, NULL) != 0) {
		*why = err_text(ERR_NO_MEMORY);
		return ERR_NO_MEMORY;
	}
	return ERR_OK;
}

enum err
control_new(struct control **out, struct loop *l, const struct control_params *p, const char **why)
{
	struct control *c = alloc_zero(sizeof(*c));
	enum err e;

	*why = err_text(ERR_NO_MEMORY);
	if (c == NULL)
		return ERR_NO_MEMORY;
	c->loop = l;
	c->params = *p;
	c->fd = -1;
	c->pause.fn = on_pause_over;
	list_init(&c->clients);
	c->path = alloc_text(p->path);
	e = c->path != NULL ? listen_on(c, why) : ERR_NO_MEMORY;
	if (e != ERR_OK) {
		control_free(c);
		return e;
	}
	*out = c;
	return ERR_OK;
}

void
control_free(struct control *c)
{
	if (c == NULL)
		return;
	LIST_FOREACH_SAFE(it, nx, &c->clients)
	client_end(CONTAINER_OF(it, struct client, link));
	timer_clear(c->loop, &c->pause);
	if (c->ev != NULL)
		event_free(c->ev);
	if (c->fd >= 0) {
		close(c->fd);
		control_socket_remove(c->path, &c->made);
	}
	alloc_free(c->path);
	alloc_free(c);
}
