/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets. */
#include "net/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/why.h"

#include "address.h"

enum { BACKLOG = 4096, TURN_ACCEPTS = 64 };
#define RETRY_NS NS_PER_S
#define QUIET_NS (60 * NS_PER_S) /* between two log lines about exhaustion */

struct listener {
	struct list dead; /* first, for loop_free_later() */
	struct loop *loop;
	struct event event;
	struct timer retry;
	int fd;
	bool paused;	/* by the user */
	bool exhausted; /* by the lack of descriptors or memory */
	bool armed;
	int64_t quiet_until;
	const struct listen_ops *ops;
	void *user;
	char address[ADDRESS_TEXT];
};

/* --- accepting --- */

static void exhaust(struct listener *ls, int error);

static void
disarm(struct listener *ls)
{
	if (!ls->armed)
		return;
	event_del(&ls->event);
	metric_inc(METRIC_LISTENER_PAUSES_TOTAL);
	ls->armed = false;
}

/* The one place that decides whether the loop watches the socket. */
static void
update(struct listener *ls)
{
	if (ls->fd < 0 || ls->paused || ls->exhausted) {
		disarm(ls);
	} else if (!ls->armed) {
		ls->armed = loop_watch(&ls->event);
		if (!ls->armed)
			exhaust(ls, errno);
	}
}

static void
exhaust(struct listener *ls, int error)
{
	int64_t now = clock_now();

	timer_set(ls->loop, &ls->retry, now + RETRY_NS);
	ls->exhausted = true;
	disarm(ls);
	if (now < ls->quiet_until)
		return;
	ls->quiet_until = now + QUIET_NS;
	LOG(LOG_WARN, "listen", "accepting is paused", kv_text("address", ls->address),
	    kv_text("why", strerror(error)));
}

static void
on_retry(struct timer *t)
{
	struct listener *ls = CONTAINER_OF(t, struct listener, retry);

	ls->exhausted = false;
	update(ls);
}

static int
accept_one(struct listener *ls)
{
	if (fault_hit(FAULT_ACCEPT_EMFILE)) {
		errno = EMFILE;
		return -1;
	}
	return accept4(ls->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

/* Errors that belong to the connection which was to be accepted, see accept(2). */
static bool
is_of_the_peer(int error)
{
	switch (error) {
	case EINTR:
	case ECONNABORTED:
	case EPERM:
	case EPROTO:
	case ENETDOWN:
	case ENETUNREACH:
	case EHOSTDOWN:
	case EHOSTUNREACH:
	case ENOPROTOOPT:
	case ENONET:
	case EOPNOTSUPP:
		return true;
	default:
		return false;
	}
}

static void
on_connection(evutil_socket_t fd, short what, void *arg)
{
	struct listener *ls = arg;
	int conn;

	(void)fd, (void)what;
	for (int n = 0; n < TURN_ACCEPTS && ls->armed; n++) {
		if (ls->ops->has_room != NULL && !ls->ops->has_room(ls->user))
			return;
		conn = accept_one(ls);
		if (conn >= 0) {
			ls->ops->accepted(ls->user, conn);
			continue;
		}
		if (errno == EAGAIN)
			return;
		if (!is_of_the_peer(errno)) {
			exhaust(ls, errno);
			return;
		}
	}
}

/* --- making and ending --- */

static bool
set_flags(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	int accepting = 0, one = 1;
	socklen_t len = sizeof(accepting);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepting, &len) != 0 || accepting == 0)
		return false;
	/* Linux hands it down to what is accepted; a UNIX socket has no use for it */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return true;
}

static void
note_address(struct listener *ls)
{
	struct sockaddr_storage ss = {0};
	socklen_t len = sizeof(ss);

	(void)getsockname(ls->fd, (struct sockaddr *)&ss, &len); /* failing leaves "local" */
	address_text(ls->address, &ss, len);
}

enum err
listener_from_fd(struct listener **out, struct loop *l, int fd, const struct listen_ops *ops,
    void *user)
{
	struct listener *ls = alloc_zero(sizeof(*ls));

	if (ls == NULL || !set_flags(fd)) {
		close(fd);
		alloc_free(ls);
		return ls == NULL ? ERR_NO_MEMORY : ERR_IO;
	}
	ls->loop = l;
	ls->fd = fd;
	ls->ops = ops;
	ls->user = user;
	ls->retry.fn = on_retry;
	note_address(ls);
	event_assign(&ls->event, loop_base(l), fd, EV_READ | EV_PERSIST, on_connection, ls);
	ls->armed = loop_watch(&ls->event);
	if (!ls->armed) {
		close(fd);
		alloc_free(ls);
		return ERR_IO;
	}
	*out = ls;
	return ERR_OK;
}

/* "host:port" or "[host]:port" in its parts.  False when it is neither. */
static bool
split(const char *address, char *host, size_t host_size, const char **port)
{
	const char *colon = strrchr(address, ':');
	size_t len;

	if (colon == NULL || colon == address)
		return false;
	*port = colon + 1;
	len = (size_t)(colon - address);
	if (address[0] == '[') {
		if (len < 3 || address[len - 1] != ']')
			return false;
		address++;
		len -= 2;
	} else if (memchr(address, ':', len) != NULL) {
		return false; /* IPv6 without brackets */
	}
	if (len >= host_size || strspn(*port, "0123456789") != strlen(*port) ||
	    strlen(*port) < 1 || strlen(*port) > 5 || strtol(*port, NULL, 10) > 65535)
		return false;
	memcpy(host, address, len);
	host[len] = '\0';
	return true;
}

/* The descriptor, or -1 with errno. */
static int
bind_one(const struct addrinfo *ai, bool shared)
{
	int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int one = 1, zero = 0, saved;

	if (fd < 0)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (shared)
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	if (ai->ai_family == AF_INET6) /* whatever net.ipv6.bindv6only says */
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

static const char *
remedy(int error)
{
	switch (error) {
	case EADDRINUSE:
		return "; another process listens there";
	case EADDRNOTAVAIL:
		return "; this machine does not have that address";
	case EACCES:
		return "; ports below 1024 need the capability CAP_NET_BIND_SERVICE";
	case EAFNOSUPPORT:
		return "; without IPv6 listen on 0.0.0.0";
	default:
		return "";
	}
}

enum err
listener_new(struct listener **out, struct loop *l, const char *address, bool shared,
    const struct listen_ops *ops, void *user, const char **why)
{
	struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
	    .ai_socktype = SOCK_STREAM};
	struct addrinfo *found;
	const char *port;
	char host[256];
	enum err e;
	int fd, rc;

	if (!split(address, host, sizeof(host), &port))
		return why_say(why, ERR_INVALID_FIELD,
		    "\"%s\" is no address to listen on; write it as \"[::]:5696\" or "
		    "\"192.0.2.1:5696\"", address);
	rc = getaddrinfo(host, port, &hints, &found);
	if (rc != 0)
		return why_say(why, ERR_INVALID_FIELD, "cannot listen on %s: %s", address,
		    rc == EAI_SYSTEM ? strerror(errno) : gai_strerror(rc));
	fd = bind_one(found, shared);
	rc = errno;
	freeaddrinfo(found);
	if (fd < 0)
		return why_say(why, ERR_IO, "cannot listen on %s: %s%s", address, strerror(rc),
		    remedy(rc));
	e = listener_from_fd(out, l, fd, ops, user);
	return e == ERR_OK ? e : why_say(why, e, "cannot listen on %s: %s", address, err_text(e));
}

void
listener_free(struct listener *ls)
{
	if (ls == NULL)
		return;
	if (ls->armed)
		event_del(&ls->event);
	ls->armed = false;
	timer_clear(ls->loop, &ls->retry);
	close(ls->fd);
	ls->fd = -1;
	loop_free_later(ls->loop, ls);
}

void
listener_pause(struct listener *ls)
{
	ls->paused = true;
	update(ls);
}

void
listener_resume(struct listener *ls)
{
	ls->paused = false;
	ls->exhausted = false;
	timer_clear(ls->loop, &ls->retry);
	update(ls);
}

/* Of a socket that listens the kernel tells the length of its queue in a field that has no other use. */
unsigned
listener_waiting(const struct listener *ls)
{
	struct pollfd ready = {.fd = ls->fd, .events = POLLIN};
	struct tcp_info info;
	socklen_t len = sizeof(info);

	if (getsockopt(ls->fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0)
		return info.tcpi_unacked;
	return poll(&ready, 1, 0) == 1; /* not TCP: one of them is seen at a time */
}

const char *
listener_address(const struct listener *ls)
{
	return ls->address;
}
