/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gateway's end of the storage child: sends the calls of a turn in one write, reads answers,
 * and starts a new child when one dies.
 */
#include "keys/store.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/metric.h"
#include "base/spawned.h"
#include "store_calls.h"

enum {
	OUT_MAX = 2 * WIRE_FRAME_MAX,
	READ_CHUNK = 65536,
	KEEP_MAX = 1024 * 1024,
	SOCKET_BUFFER = 1024 * 1024, /* the more fits, the more shares one commit */
	CLOSE_WAIT_MS = 10000, /* how long a child may take to end what it has */
};
#define BACKOFF_FIRST (100 * NS_PER_MS)
#define BACKOFF_MAX (5 * NS_PER_S)
#define STABLE (10 * NS_PER_S) /* a child that lived so long is started again at once */

enum store_state {
	STORE_DOWN,	/* no child, or a dead one that was not reaped yet */
	STORE_STARTING, /* a child opens the files */
	STORE_UP,
};

struct store {
	struct loop *loop;
	struct store_params params;
	enum store_state state;
	struct spawned child;
	struct buf out, in;
	size_t out_done; /* bytes of out that were written */
	struct defer flush;
	int64_t started, backoff;
	struct calls calls;
	bool failing; /* changes are, and that was told */
	bool closing;
	char why[WIRE_WHY_MAX];
};

/* What the last store_open() was told: it has no store to keep it in. */
static char open_why[WIRE_WHY_MAX];

static void store_died(struct store *s);
static void store_is_deaf(struct store *s);

struct loop *
store_loop(struct store *s)
{
	return s->loop;
}

void
store_event(struct store *s, const char *what, int64_t number)
{
	if (s->params.event != NULL && !s->closing)
		s->params.event(s->params.arg, what, number);
}

/* Once when changes begin to fail, and once when they are written again. */
static void
tell_trouble(struct store *s)
{
	enum err e = trouble_now(&s->calls.trouble);

	if (s->failing == (e != ERR_OK))
		return;
	s->failing = e != ERR_OK;
	store_event(s, s->failing ? "failing" : "writing", e);
}

/* --- sending --- */

static ssize_t
send_some(const struct store *s)
{
	if (fault_hit(FAULT_STORE_SEND)) {
		errno = ENOBUFS;
		return -1;
	}
	return send(s->child.fd, s->out.data + s->out_done, s->out.len - s->out_done, MSG_NOSIGNAL);
}

static void
write_out(struct store *s)
{
	ssize_t n;

	while (s->out_done < s->out.len) {
		n = send_some(s);
		if (n >= 0)
			s->out_done += (size_t)n;
		else if (errno == EAGAIN && spawned_await_room(&s->child)) {
			return;
		} else if (errno != EINTR) {
			store_is_deaf(s);
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
	struct store *s = CONTAINER_OF(d, struct store, flush);

	if (s->state == STORE_UP && !spawned_awaits_room(&s->child))
		write_out(s);
}

static void
on_writable(void *arg)
{
	write_out(arg);
}

/* Room is made of what was written already only when the rest does not fit without it. */
static enum err
put_frame(struct store *s, const struct store_call_type *type, uint64_t id, const struct wait *w)
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
call_start(struct store *s, const struct store_call_type *type, const struct wait *w,
    struct store_call **out)
{
	struct store_call *c;
	uint64_t id;
	enum err e;

	if (s->state != STORE_UP)
		return ERR_STORAGE_DOWN;
	e = calls_new(&s->calls, type, clock_now() + s->params.call_timeout_ns, &c, &id);
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
store_call(struct store *s, const struct store_call_type *type, struct wait *w, void *ctx,
    uint64_t token)
{
	struct store_call *c;
	enum err e = call_start(s, type, w, &c);

	if (e != ERR_OK) {
		if (type->over != NULL)
			type->over(ctx, token, e, true);
		wait_finish_soon(s->loop, w, e);
		return;
	}
	calls_sent(&s->calls, c, w, ctx, token);
	loop_defer(s->loop, &s->flush);
}

/* --- receiving --- */

static void
child_is_up(struct store *s)
{
	s->state = STORE_UP;
	metric_inc(METRIC_STORE_RESTARTS_TOTAL);
	store_event(s, "restarted", s->child.pid);
}

static void
take_last_backup(struct unpack *body)
{
	metric_set(METRIC_STORE_LAST_BACKUP_SECONDS, (int64_t)unpack_u64(body));
	metric_set(METRIC_STORE_OBJECTS_NOT_BACKED_UP, (int64_t)unpack_u64(body));
}

/* What the child says on its own.  False: it cannot go on. */
static bool
take_notice(struct store *s, enum err e, struct unpack *body)
{
	uint8_t percent;

	if (e == ERR_BUSY && s->state == STORE_STARTING)
		return true;
	if (e == ERR_OK && s->state == STORE_STARTING) {
		take_last_backup(body);
		child_is_up(s);
		return true;
	}
	if (e == ERR_OK) {
		metric_add(METRIC_STORE_COMMITS_TOTAL, unpack_u32(body));
		take_last_backup(body);
		percent = unpack_u8(body);
		if (percent > 0)
			store_event(s, "copying", percent);
		return true;
	}
	unpack_text(body, s->why, sizeof(s->why));
	if (s->state == STORE_STARTING)
		store_event(s, "refused", e);
	else
		trouble_note(&s->calls.trouble, WIRE_COMMIT, e); /* no call is answered any more */
	return false;
}

/* False when the child talks nonsense or gives up. */
static bool
take_answers(struct store *s)
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
	tell_trouble(s);
	return go_on && !bad;
}

/* True when something came, and the child is as it was. */
static bool
read_some(struct store *s)
{
	ssize_t n;

	if (buf_reserve(&s->in, READ_CHUNK) != ERR_OK) {
		store_died(s);
		return false;
	}
	n = read(s->child.fd, s->in.data + s->in.len, READ_CHUNK);
	if (n > 0) {
		s->in.len += (size_t)n;
		if (take_answers(s))
			return s->state == STORE_UP;
		store_died(s);
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		store_died(s);
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
store_is_deaf(struct store *s)
{
	while (!s->closing && s->state == STORE_UP && read_some(s))
		;
	if (s->state == STORE_UP)
		store_died(s);
}

/* --- the child's life --- */

static void
drop_socket(struct store *s)
{
	spawned_drop(&s->child);
	buf_fini(&s->in);
	buf_fini(&s->out);
	s->out_done = 0;
}

static void
store_died(struct store *s)
{
	int64_t now = clock_now();
	int status;

	drop_socket(s);
	s->state = STORE_DOWN;
	spawned_kill(&s->child);
	spawned_reap(&s->child, &status);
	store_event(s, "ended", status);
	if (now - s->started > STABLE)
		s->backoff = 0;
	spawned_again_at(&s->child, now + s->backoff);
	s->backoff = s->backoff == 0 ? BACKOFF_FIRST : s->backoff * 2;
	if (s->backoff > BACKOFF_MAX)
		s->backoff = BACKOFF_MAX;
	calls_fail(&s->calls);
}

static enum err
spawn_child(struct store *s)
{
	if (!spawned_start(&s->child))
		return ERR_STORAGE_DOWN;
	s->started = clock_now();
	s->state = STORE_STARTING;
	return ERR_OK;
}

static void
on_restart(void *arg)
{
	struct store *s = arg;

	if (spawn_child(s) == ERR_OK) {
		if (!spawned_watch(&s->child))
			store_died(s);
		return;
	}
	s->backoff = s->backoff == 0 ? BACKOFF_FIRST : s->backoff;
	spawned_again_at(&s->child, clock_now() + s->backoff);
}

/* One frame, blocking, and not a byte more. */
static enum err
read_frame(struct store *s, uint8_t *result, struct unpack *body)
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

/* Before serving begins: reads up to the greeting. */
static enum err
await_hello(struct store *s, const char **why)
{
	struct unpack body;
	uint8_t result = ERR_BUSY;

	*why = "the storage child ended before it had opened the files";
	for (int64_t told = 1; result == ERR_BUSY; told++) {
		if (read_frame(s, &result, &body) != ERR_OK)
			return ERR_STORAGE_DOWN;
		if (result == ERR_BUSY)
			store_event(s, "migrating", told);
	}
	if (result == ERR_OK) {
		take_last_backup(&body);
	} else {
		unpack_text(&body, open_why, sizeof(open_why));
		*why = open_why;
	}
	buf_reset(&s->in);
	return (enum err)result;
}

static struct store *
store_new(struct loop *l, const struct store_params *p)
{
	struct store *s = alloc_zero(sizeof(*s));
	const struct spawned_params child = {.loop = l, .type = SOCK_STREAM, .buffer = SOCKET_BUFFER,
	    .spawn = p->spawn, .spawn_arg = p->arg, .readable = on_readable,
	    .writable = on_writable, .again = on_restart, .arg = s};

	if (s == NULL)
		return NULL;
	s->loop = l;
	s->params = *p;
	spawned_init(&s->child, &child);
	s->flush.fn = on_flush;
	buf_init(&s->out, OUT_MAX);
	buf_init(&s->in, WIRE_FRAME_MAX + READ_CHUNK + 4);
	calls_init(&s->calls, l);
	return s;
}

enum err
store_open(struct store **out, struct loop *l, const struct store_params *p, const char **why)
{
	struct store *s = store_new(l, p);
	enum err e;

	*why = "out of memory";
	if (s == NULL)
		return ERR_NO_MEMORY;
	e = spawn_child(s);
	if (e == ERR_OK)
		e = await_hello(s, why);
	else
		*why = "the storage child cannot be started";
	if (e == ERR_OK && !spawned_watch(&s->child))
		e = ERR_NO_MEMORY;
	if (e != ERR_OK) {
		store_close(s);
		return e;
	}
	s->state = STORE_UP;
	*out = s;
	return ERR_OK;
}

/* The end of its input tells the child to end; one that hangs on its disk is not waited for. */
void
store_shut(struct store *s)
{
	if (s == NULL || s->closing)
		return;
	s->closing = true;
	if (s->state == STORE_UP && s->out.len > s->out_done)
		write_out(s);
	drop_socket(s);
	s->state = STORE_DOWN;
	spawned_fini(&s->child);
	loop_undefer(&s->flush);
	calls_fail(&s->calls);
	spawned_end(&s->child, CLOSE_WAIT_MS);
}

void
store_close(struct store *s)
{
	store_shut(s);
	alloc_free(s);
}

pid_t
store_pid(const struct store *s)
{
	return s->child.gone ? -1 : s->child.pid;
}

size_t
store_pending(const struct store *s)
{
	return s->calls.count;
}

void
store_health(const struct store *s, struct store_health *out)
{
	*out = (struct store_health){
	    .up = s->state == STORE_UP,
	    .reads = s->calls.late_loads == 0,
	    .waits_ns = calls_waits(&s->calls),
	    .failing = trouble_now(&s->calls.trouble),
	    .since_ms = s->calls.trouble.since_ms,
	};
}

/* --- backup --- */

static enum err
pack_backup(struct buf *b, const struct wait *w)
{
	pack_text(b, CONTAINER_OF(w, struct store_backup, wait)->directory);
	return ERR_OK;
}

static enum err
answer_backup(void *ctx, struct wait *w, struct unpack *u)
{
	(void)ctx;
	CONTAINER_OF(w, struct store_backup, wait)->objects = unpack_u64(u);
	return ERR_OK;
}

void
store_backup(struct store *s, struct store_backup *b)
{
	static const struct store_call_type type = {
	    .kind = WIRE_BACKUP, .patient = true, .pack = pack_backup, .answer = answer_backup};

	store_call(s, &type, &b->wait, NULL, 0);
}
