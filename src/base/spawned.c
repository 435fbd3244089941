/* SPDX-License-Identifier: Apache-2.0 */
/* A child process of ours, as its parent has it. */
#include "base/spawned.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/child.h"
#include "base/clock.h"

enum { REAP_MS = 20, END_STEP_MS = 5 };

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	const struct spawned *s = arg;

	(void)fd, (void)what;
	s->p.readable(s->p.arg);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	const struct spawned *s = arg;

	(void)fd, (void)what;
	s->p.writable(s->p.arg);
}

static void
on_restart(struct timer *t)
{
	struct spawned *s = CONTAINER_OF(t, struct spawned, restart);
	int status;

	if (!spawned_reap(s, &status)) {
		spawned_again_at(s, clock_now() + REAP_MS * NS_PER_MS);
		return;
	}
	s->waits = false;
	s->p.again(s->p.arg);
}

void
spawned_init(struct spawned *s, const struct spawned_params *p)
{
	*s = (struct spawned){.p = *p, .fd = -1, .pid = -1, .gone = true};
	s->restart.fn = on_restart;
}

void
spawned_fini(struct spawned *s)
{
	spawned_drop(s);
	s->waits = false;
	timer_clear(s->p.loop, &s->restart);
}

bool
spawned_start(struct spawned *s)
{
	int pair[2];

	if (socketpair(AF_UNIX, s->p.type | SOCK_CLOEXEC, 0, pair) != 0)
		return false;
	for (int i = 0; i < 2 && s->p.buffer > 0; i++)
		setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &s->p.buffer, sizeof(s->p.buffer));
	s->pid = fcntl(pair[1], F_SETFD, 0) == 0 ? s->p.spawn(s->p.spawn_arg, pair[1]) : -1;
	close(pair[1]);
	if (s->pid < 0) {
		close(pair[0]);
		return false;
	}
	s->fd = pair[0];
	s->gone = false;
	return true;
}

bool
spawned_watch(struct spawned *s)
{
	struct event_base *base = loop_base(s->p.loop);

	if (fcntl(s->fd, F_SETFL, O_NONBLOCK) != 0)
		return false;
	s->on_readable = event_new(base, s->fd, EV_READ | EV_PERSIST, on_readable, s);
	s->on_writable = event_new(base, s->fd, EV_WRITE, on_writable, s);
	return s->on_readable != NULL && s->on_writable != NULL &&
	    event_add(s->on_readable, NULL) == 0;
}

bool
spawned_await_room(struct spawned *s)
{
	return event_add(s->on_writable, NULL) == 0;
}

bool
spawned_awaits_room(const struct spawned *s)
{
	return event_pending(s->on_writable, EV_WRITE, NULL) != 0;
}

void
spawned_drop(struct spawned *s)
{
	if (s->on_readable != NULL)
		event_free(s->on_readable);
	if (s->on_writable != NULL)
		event_free(s->on_writable);
	s->on_readable = s->on_writable = NULL;
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

void
spawned_kill(struct spawned *s)
{
	if (!s->gone)
		kill(s->pid, SIGKILL);
}

bool
spawned_reap(struct spawned *s, int *status)
{
	*status = -1;
	if (!s->gone)
		s->gone = child_ended(s->pid, status);
	return s->gone;
}

void
spawned_end(struct spawned *s, int ms)
{
	const struct timespec step = {.tv_nsec = END_STEP_MS * NS_PER_MS};
	int status;

	for (; ms > 0 && !spawned_reap(s, &status); ms -= END_STEP_MS)
		nanosleep(&step, NULL);
	if (s->gone)
		return;
	spawned_kill(s);
	nanosleep(&step, NULL);
	spawned_reap(s, &status);
}

void
spawned_again_at(struct spawned *s, int64_t when)
{
	s->waits = true;
	timer_set(s->p.loop, &s->restart, when);
}
