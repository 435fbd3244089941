/* SPDX-License-Identifier: Apache-2.0 */
/* A storage child's process: one descriptor, one thread, one loop. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/child.h"
#include "base/clock.h"
#include "keys/store.h"
#include "store_exec.h"
#include "wire.h"

enum {
	READ_CHUNK = 65536,
	IN_HIGH = 4 * 1024 * 1024, /* no more is read while this much lies ready */
	KEEP_MAX = 1024 * 1024,	   /* larger buffers are given back when empty */
	IDLE_MS = 5000,
	BACKUP_MS = 5,
};

struct child {
	int fd;
	struct store_exec *exec;
	struct buf in, out;
	bool closed; /* the gateway has gone */
	int64_t told; /* when it was last told that opening goes on; 0: not yet */
};

/* Takes all that is ready; a frame larger than IN_HIGH is read to its end nevertheless. */
static void
read_ready(struct child *c)
{
	ssize_t n;

	while (!c->closed && (c->in.len < IN_HIGH || !store_exec_ready(&c->in))) {
		if (buf_reserve(&c->in, READ_CHUNK) != ERR_OK) {
			c->closed = true;
			return;
		}
		n = read(c->fd, c->in.data + c->in.len, READ_CHUNK);
		if (n > 0)
			c->in.len += (size_t)n;
		else if (n == 0 || (errno != EAGAIN && errno != EINTR))
			c->closed = true;
		else if (errno == EAGAIN)
			return;
	}
}

static void
write_ready(struct child *c)
{
	ssize_t n;

	while (c->out.len > 0) {
		n = write(c->fd, c->out.data, c->out.len);
		if (n > 0)
			buf_consume(&c->out, (size_t)n);
		else if (errno == EAGAIN)
			return;
		else if (errno != EINTR) {
			buf_reset(&c->out); /* nobody listens; what is read already is still done */
			c->closed = true;
		}
	}
	if (c->out.cap > KEEP_MAX)
		buf_fini(&c->out);
}

static void
write_all(struct child *c)
{
	struct pollfd p = {.fd = c->fd, .events = POLLOUT};

	write_ready(c);
	while (c->out.len > 0) {
		poll(&p, 1, -1);
		write_ready(c);
	}
}

/* Waits until there is something to do.  While answers wait to be sent, nothing new is read. */
static void
wait_ready(struct child *c, int ms)
{
	struct pollfd p = {.fd = c->fd, .events = c->out.len > 0 ? POLLOUT : POLLIN};
	int n = poll(&p, 1, ms);

	if (n == 0 && ms == IDLE_MS)
		store_exec_idle(c->exec, &c->out);
}

/* What is done beside the calls; returns how long it can wait. */
static int
step(struct child *c)
{
	bool searches = store_exec_search(c->exec, &c->out);
	bool more = store_exec_step(c->exec, &c->out);

	return searches ? 0 : more ? BACKUP_MS : IDLE_MS;
}

static enum err
serve(struct child *c)
{
	const char *why;
	int ms = IDLE_MS;
	enum err e = ERR_OK;

	while (e == ERR_OK && !(c->closed && !store_exec_ready(&c->in))) {
		if (!store_exec_ready(&c->in) || c->out.len > 0)
			wait_ready(c, c->out.len > 0 && ms == 0 ? BACKUP_MS : ms);
		write_ready(c);
		if (c->out.len > 0)
			continue;
		read_ready(c);
		e = store_exec_run(c->exec, &c->in, &c->out, &why);
		if (c->in.len == 0 && c->in.cap > KEEP_MAX)
			buf_fini(&c->in);
		if (e == ERR_OK)
			ms = step(c);
		write_ready(c);
		if (e == ERR_OK)
			e = store_exec_tend(c->exec, &c->out, &why);
	}
	return e;
}

/* Whoever waits for the files would else take long work for none. */
static void
on_working(void *arg)
{
	struct child *c = arg;
	int64_t now = clock_now();

	if (c->told != 0 && now - c->told < NS_PER_S)
		return;
	c->told = now;
	store_exec_opening(&c->out, WIRE_OPENING_LASTS);
	write_all(c);
}

static void
on_opens(void *arg)
{
	struct child *c = arg;

	store_exec_opening(&c->out, WIRE_OPENS);
	write_all(c);
}

int
store_child_main(int fd, const char *state_dir, enum store_part part)
{
	struct child c = {.fd = fd};
	const struct store_exec_params params = {
	    .state_dir = state_dir, .part = part, .working = on_working, .opens = on_opens, .arg = &c};
	const char *why = "";
	enum err e;

	child_settle(part == STORE_READER ? "keyferry-read" : "keyferry-store", fd, true);
	buf_init(&c.in, IN_HIGH + WIRE_FRAME_MAX + READ_CHUNK);
	buf_init(&c.out, IN_HIGH + 3 * (size_t)WIRE_FRAME_MAX);
	e = store_exec_open(&c.exec, &params, &why);
	store_exec_hello(&c.out, c.exec, e, why);
	write_all(&c);
	if (e == ERR_OK) {
		e = serve(&c);
		write_all(&c);
		store_exec_close(c.exec);
	}
	buf_fini(&c.in);
	buf_fini(&c.out);
	close(fd);
	return e == ERR_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
