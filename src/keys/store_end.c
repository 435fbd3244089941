/* SPDX-License-Identifier: Apache-2.0 */
/* One storage child, as the gateway has it. */
#include "store_end.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"

enum {
	OUT_MAX = 2 * WIRE_FRAME_MAX,
	READ_CHUNK = 65536,
	KEEP_MAX = 1024 * 1024,
	SOCKET_BUFFER = 1024 * 1024, /* the more fits, the more shares one commit */
	CLOSE_WAIT_MS = 10000, /* how long a child may take to end what it has */
};
#define BACKOFF_FIRST (100 * NS_PER_MS)
#define BACKOFF_MAX (5 * NS_PER_S)
#define STABLE (10 * NS_PER_S) /* a child that served so long is started again at once */
#define TRY_MAX (60 * NS_PER_S)

static void died(struct store_end *s);
static void is_deaf(struct store_end *s);

/* --- sending --- */

static ssize_t
send_some(const struct store_end *s)
{
	if (fault_hit(FAULT_STORE_SEND)) {
		errno = ENOBUFS;
		return -1;
	}
	return send(s->child.fd, s->out.data + s->out_done, s->out.len - s->out_done, MSG_NOSIGNAL);
}

static void
write_out(struct store_end *s)
{
	ssize_t n;

	while (s->out_done < s->out.len) {
		n = send_some(s);
		if (n >= 0)
			s->out_done += (size_t)n;
		else if (errno == EAGAIN && spawned_await_room(&s->child)) {
			return;
		} else if (errno != EINTR) {
			is_deaf(s);
			return;
		}
	}
	s->out_done = 0;
	buf_reset(&s->out);
	if (s->out.cap > KEEP_MAX)
		buf_fini(&s->out);
}

static void
on_flush(struct defer *d)
{
	struct store_end *s = CONTAINER_OF(d, struct store_end, flush);

	if (s->state == END_UP && !spawned_awaits_room(&s->child))
		write_out(s);
}

static void
on_writable(void *arg)
{
	write_out(arg);
}

/* Room is made of what was written already only when the rest does not fit without it. */
static enum err
put_frame(struct store_end *s, const struct store_call_type *type, uint64_t id, const struct wait *w)
{
	size_t at;
	enum err e;

	if (s->out_done > KEEP_MAX) {
		buf_consume(&s->out, s->out_done);
		s->out_done = 0;
	}
	at = wire_begin(&s->out, id, (uint8_t)type->kind);
	e = type->pack(&s->out, w);
	if (e == ERR_OK && buf_error(&s->out) != ERR_OK)
		e = buf_error(&s->out) == ERR_RESPONSE_TOO_LARGE ? ERR_BUSY : ERR_NO_MEMORY;
	if (e == ERR_OK && s->out.len - at > WIRE_FRAME_MAX)
		e = ERR_REQUEST_TOO_LARGE;
	if (e == ERR_OK)
		wire_end(&s->out, at);
	else
		wire_undo(&s->out, at);
	return e;
}

static enum err
call_start(struct store_end *s, const struct store_call_type *type, const struct wait *w,
    struct store_call **out)
{
	struct store_call *c;
	uint64_t id;
	enum err e;

	if (s->state != END_UP || s->held)
		return ERR_STORAGE_DOWN;
	e = calls_new(&s->calls, type, clock_now() + s->p.call_timeout_ns, &c, &id);
	if (e != ERR_OK)
		return e;
	e = put_frame(s, type, id, w);
	if (e == ERR_OK)
		*out = c;
	else
		calls_drop(c);
	return e;
}

void
store_end_call(struct store_end *s, const struct store_call_type *type, struct wait *w, void *ctx,
    uint64_t token)
{
	struct store_call *c;
	enum err e = call_start(s, type, w, &c);

	if (e != ERR_OK) {
		if (type->over != NULL)
			type->over(ctx, token, e, true);
		wait_finish_soon(s->p.loop, w, e);
		return;
	}
	calls_sent(&s->calls, c, w, ctx, token);
	loop_defer(s->p.loop, &s->flush);
}

/* --- receiving --- */

/* It is up while its owner looks at what it has opened. */
static enum err
take_hello(struct store_end *s, struct unpack *body)
{
	const char *why = "";
	enum err e;

	s->state = END_UP;
	s->up_since = clock_now();
	s->why[0] = '\0';
	e = s->p.up(s->p.arg, body, &why);
	if (e == ERR_OK)
		return ERR_OK;
	s->state = END_STARTING;
	s->up_since = 0;
	snprintf(s->why, sizeof(s->why), "%s", why);
	return e;
}

/* What the child says on its own.  False: it cannot go on. */
static bool
take_notice(struct store_end *s, enum err e, struct unpack *body)
{
	if (e == ERR_BUSY && s->state == END_STARTING) {
		if (unpack_u8(body) == WIRE_OPENS && s->p.opens != NULL)
			s->p.opens(s->p.arg);
		return true;
	}
	if (e == ERR_OK && s->state == END_STARTING) {
		e = take_hello(s, body);
		if (e == ERR_OK)
			return true;
	} else if (e == ERR_OK) {
		s->p.told(s->p.arg, body);
		return true;
	} else {
		unpack_text(body, s->why, sizeof(s->why));
	}
	s->p.gives_up(s->p.arg, s->state == END_STARTING, e, s->why);
	if (s->state == END_UP && s->p.answered != NULL)
		trouble_note(&s->calls.trouble, WIRE_COMMIT, e); /* no call is answered any more */
	return false;
}

/* False when the child talks nonsense or gives up. */
static bool
take_answers(struct store_end *s)
{
	size_t used = 0, n;
	struct unpack body;
	uint64_t id;
	uint8_t result;
	bool bad, go_on = true;

	while (go_on &&
	    (n = wire_take(s->in.data + used, s->in.len - used, &id, &result, &body, &bad)) > 0) {
		used += n;
		go_on = id == 0 ? take_notice(s, (enum err)result, &body)
				: calls_answer(&s->calls, id, (enum err)result, &body);
	}
	buf_consume(&s->in, used);
	if (s->in.len == 0 && s->in.cap > KEEP_MAX)
		buf_fini(&s->in);
	if (s->p.answered != NULL)
		s->p.answered(s->p.arg);
	return go_on && !bad;
}

/* True when something came, and the child is as it was. */
static bool
read_some(struct store_end *s)
{
	ssize_t n;

	if (buf_reserve(&s->in, READ_CHUNK) != ERR_OK) {
		died(s);
		return false;
	}
	n = read(s->child.fd, s->in.data + s->in.len, READ_CHUNK);
	if (n > 0) {
		s->in.len += (size_t)n;
		if (take_answers(s))
			return s->state == END_UP;
		died(s);
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		died(s);
	}
	return false;
}

/* One chunk a turn, as long as a large answer does not need more. */
static void
on_readable(void *arg)
{
	(void)read_some(arg);
}

/*
 * Nothing more can be said to it: half a call was sent, or it hears none of those that wait.  What it
 * has done it may have told already.
 */
static void
is_deaf(struct store_end *s)
{
	while (!s->shut && s->state == END_UP && read_some(s))
		;
	if (s->state == END_UP)
		died(s);
}

/* --- the child's life --- */

static void
drop_socket(struct store_end *s)
{
	spawned_drop(&s->child);
	buf_fini(&s->in);
	buf_fini(&s->out);
	s->out_done = 0;
	s->state = END_DOWN;
}

static void
died(struct store_end *s)
{
	int status;

	drop_socket(s);
	spawned_kill(&s->child);
	spawned_reap(&s->child, &status);
	s->p.down(s->p.arg, status);
	calls_fail(&s->calls);
}

void
store_end_start_again(struct store_end *s)
{
	int64_t now = clock_now(), took = 0;

	if (s->up_since == 0) /* others serve as long as it tried: its next try may be their end */
		took = now - s->started < TRY_MAX ? now - s->started : TRY_MAX;
	else if (now - s->up_since > STABLE)
		s->backoff = 0;
	spawned_again_at(&s->child, now + (took > s->backoff ? took : s->backoff));
	s->backoff = s->backoff == 0 ? BACKOFF_FIRST : s->backoff * 2;
	if (s->backoff > BACKOFF_MAX)
		s->backoff = BACKOFF_MAX;
}

static enum err
spawn_child(struct store_end *s)
{
	if (!spawned_start(&s->child))
		return ERR_STORAGE_DOWN;
	s->started = clock_now();
	s->up_since = 0;
	s->state = END_STARTING;
	return ERR_OK;
}

static void
on_again(void *arg)
{
	struct store_end *s = arg;

	if (spawn_child(s) == ERR_OK) {
		if (!spawned_watch(&s->child))
			died(s);
		return;
	}
	s->backoff = s->backoff == 0 ? BACKOFF_FIRST : s->backoff;
	spawned_again_at(&s->child, clock_now() + s->backoff);
}

void
store_end_start(struct store_end *s)
{
	spawned_again_at(&s->child, clock_now());
}

void
store_end_kill(struct store_end *s)
{
	int status;

	drop_socket(s);
	spawned_fini(&s->child);
	spawned_kill(&s->child);
	spawned_reap(&s->child, &status);
	calls_fail(&s->calls);
}

/* One frame, blocking, and not a byte more. */
static enum err
read_frame(struct store_end *s, uint8_t *result, struct unpack *body)
{
	uint64_t id;
	bool bad = false;
	ssize_t n;

	buf_reset(&s->in);
	while (wire_take(s->in.data, s->in.len, &id, result, body, &bad) == 0) {
		if (bad || buf_reserve(&s->in, 1) != ERR_OK)
			return ERR_STORAGE_DOWN;
		n = read(s->child.fd, s->in.data + s->in.len, 1);
		if (n > 0)
			s->in.len++;
		else if (n == 0 || errno != EINTR)
			return ERR_STORAGE_DOWN;
	}
	return ERR_OK;
}

/* Reads up to the greeting. */
static enum err
await_hello(struct store_end *s, const char **why)
{
	struct unpack body;
	uint8_t result = ERR_BUSY;
	enum err e;

	*why = "the storage child ended before it had opened the files";
	for (int64_t told = 0; result == ERR_BUSY;) {
		if (read_frame(s, &result, &body) != ERR_OK)
			return ERR_STORAGE_DOWN;
		if (result == ERR_BUSY && unpack_u8(&body) == WIRE_OPENING_LASTS)
			s->p.opening(s->p.arg, ++told);
	}
	e = (enum err)result;
	if (e == ERR_OK)
		e = take_hello(s, &body);
	else
		unpack_text(&body, s->why, sizeof(s->why));
	*why = s->why;
	buf_reset(&s->in);
	return e;
}

enum err
store_end_open(struct store_end *s, const char **why)
{
	enum err e = spawn_child(s);

	*why = "the storage child cannot be started";
	if (e == ERR_OK)
		e = await_hello(s, why);
	if (e == ERR_OK && !spawned_watch(&s->child)) {
		*why = "out of memory";
		e = ERR_NO_MEMORY;
	}
	s->state = e == ERR_OK ? END_UP : END_DOWN;
	s->up_since = clock_now();
	return e;
}

void
store_end_init(struct store_end *s, const struct store_end_params *p)
{
	const struct spawned_params child = {.loop = p->loop, .type = SOCK_STREAM,
	    .buffer = SOCKET_BUFFER, .spawn = p->spawn, .spawn_arg = p->arg,
	    .readable = on_readable, .writable = on_writable, .again = on_again, .arg = s};

	*s = (struct store_end){.p = *p, .flush.fn = on_flush};
	spawned_init(&s->child, &child);
	buf_init(&s->out, OUT_MAX);
	buf_init(&s->in, WIRE_FRAME_MAX + READ_CHUNK + 4);
	calls_init(&s->calls, p->loop);
}

/* The end of its input tells the child to end; one that hangs on its disk is not waited for. */
void
store_end_shut(struct store_end *s)
{
	s->shut = true;
	if (s->state == END_UP && s->out.len > s->out_done)
		write_out(s);
	drop_socket(s);
	spawned_fini(&s->child);
	loop_undefer(&s->flush);
	calls_fail(&s->calls);
	spawned_end(&s->child, CLOSE_WAIT_MS);
}
