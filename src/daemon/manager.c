/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets, our own or the service manager's, and its watchdog. */
#include "manager.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"

#include "notify.h"

static void
on_accepted(void *user, int fd)
{
	struct keyferryd *d = user;

	gate_accept(d->gate, fd);
}

static bool
has_room(void *user)
{
	struct keyferryd *d = user;

	return gate_has_room(d->gate);
}

static const struct listen_ops ops = {.accepted = on_accepted, .has_room = has_room};

void
manager_may_accept(void *daemon, bool may)
{
	struct keyferryd *d = daemon;

	for (size_t i = 0; i < d->listeners_count; i++) {
		if (may)
			listener_resume(d->listeners[i]);
		else
			listener_pause(d->listeners[i]);
	}
}

size_t
manager_waiting(void *daemon)
{
	struct keyferryd *d = daemon;
	size_t n = 0;

	for (size_t i = 0; i < d->listeners_count; i++)
		n += listener_waiting(d->listeners[i]);
	return n;
}

void
manager_stop(struct keyferryd *d)
{
	manager_may_accept(d, false);
	while (d->listeners_shared && d->listeners_count > 0)
		listener_free(d->listeners[--d->listeners_count]);
}

void
manager_take(struct keyferryd *d)
{
	d->sockets_count = notify_sockets(&d->sockets_first);
}

/* Each is taken or closed; who was refused one would wait at it forever. */
static enum err
take_sockets(struct keyferryd *d, struct buf *why)
{
	enum err e = ERR_OK;

	for (int i = 0; i < d->sockets_count; i++) {
		if (e == ERR_OK && d->listeners_count == LISTENERS_MAX)
			e = ERR_CONFIG;
		if (e == ERR_OK)
			e = listener_from_fd(&d->listeners[d->listeners_count], d->loop,
			    d->sockets_first + i, &ops, d);
		if (e == ERR_OK)
			d->listeners_count++;
	}
	if (e != ERR_OK)
		buf_printf(why,
		    "socket %d of the service manager is no listening stream socket, or one of more "
		    "than %d", (int)d->listeners_count + 1, LISTENERS_MAX);
	return e;
}

static enum err
listen_on(struct keyferryd *d, const char *address, struct buf *why)
{
	const char *sentence = "there are too many";
	enum err e = ERR_CONFIG;

	if (d->listeners_count < LISTENERS_MAX)
		e = listener_new(&d->listeners[d->listeners_count], d->loop, address,
		    d->listeners_shared, &ops, d, &sentence);
	if (e == ERR_OK)
		d->listeners_count++;
	else
		buf_printf(why, "cannot listen on %s: %s", address, sentence);
	return e;
}

enum err
manager_listen(struct keyferryd *d, struct buf *why)
{
	enum err e = ERR_OK;

	if (d->sockets_count > 0)
		return take_sockets(d, why);
	d->listeners_shared = d->config->listen_shared;
	for (size_t i = 0; e == ERR_OK && d->config->listen[i] != NULL; i++)
		e = listen_on(d, d->config->listen[i], why);
	return e;
}

static void
on_watchdog(struct timer *t)
{
	struct keyferryd *d = CONTAINER_OF(t, struct keyferryd, watchdog);

	notify("WATCHDOG=1");
	timer_set(d->loop, t, clock_now() + d->watchdog_ns);
}

/* In microseconds.  It is said each second, but not during the commit, which may be of gigabytes. */
#define PATIENCE "120000000"

void
manager_wait(bool first)
{
	if (first)
		LOG(LOG_NOTICE, "daemon", "bringing the ledger to this release's schema");
	notify("EXTEND_TIMEOUT_USEC=" PATIENCE);
}

/* One line of what systemd takes for text: another would be an order of its own. */
void
manager_reloaded(const struct buf *why)
{
	char text[512];

	if (why == NULL) {
		notify("STATUS=Serving");
		return;
	}
	snprintf(text, sizeof(text), "STATUS=reload refused: %.*s", (int)why->len,
	    (const char *)why->data);
	for (char *c = text; *c != '\0'; c++)
		if (*c < ' ' || *c > '~')
			*c = *c == '\n' ? ' ' : '?';
	notify(text);
}

/* What comes after drain-timeout: last uses, the storage child's end and the audit log's last lines. */
#define FAREWELL_NS (60 * NS_PER_S)

void
manager_stopping(const struct keyferryd *d)
{
	char text[64];

	notify("STOPPING=1");
	snprintf(text, sizeof(text), "EXTEND_TIMEOUT_USEC=%" PRId64,
	    (d->config->drain_timeout_ns + FAREWELL_NS) / 1000);
	notify(text);
}

void
manager_ready(struct keyferryd *d)
{
	for (size_t i = 0; i < d->listeners_count; i++)
		LOG(LOG_NOTICE, "daemon", "listening",
		    kv_text("address", listener_address(d->listeners[i])));
	notify("READY=1");
	d->watchdog_ns = notify_watchdog_ns() / 2;
	d->watchdog.fn = on_watchdog;
	if (d->watchdog_ns > 0)
		timer_set(d->loop, &d->watchdog, clock_now() + d->watchdog_ns);
}
