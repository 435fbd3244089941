/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets: accepts while it may, pauses when it must. */
#ifndef NET_LISTEN_H
#define NET_LISTEN_H

#include <stdbool.h>

#include "base/loop.h"

struct listener;

struct listen_ops {
	/* Takes fd (non-blocking, close-on-exec, TCP_NODELAY).  Called from the loop. */
	void (*accepted)(void *user, int fd);
	/* Asked before each: whether there is room for one.  NULL: while it is not paused. */
	bool (*has_room)(void *user);
};

/*
 * address: "host:port", "[::]:5696" (dual stack), "127.0.0.1:0".  shared: other processes of this
 * user, that say so as well, may listen there, and the kernel splits connections.  On failure *why
 * is a sentence in static storage.  ERR_IO, ERR_NO_MEMORY, ERR_INVALID_FIELD for an address that is none.
 */
CHECKED enum err listener_new(struct listener **out, struct loop *l, const char *address, bool shared,
    const struct listen_ops *ops, void *user, const char **why);
/*
 * The same over a descriptor that somebody else bound and listens on (any stream socket); takes
 * it, also on failure.  ERR_IO when it does not listen, ERR_NO_MEMORY.
 */
CHECKED enum err listener_from_fd(struct listener **out, struct loop *l, int fd,
    const struct listen_ops *ops, void *user);
void listener_free(struct listener *ls);

/*
 * The user stops and starts accepting (a ceiling was reached, a session ended).  On descriptor
 * exhaustion the listener pauses itself, logs once, and tries again every second and on each
 * listener_resume().
 */
void listener_pause(struct listener *ls);
void listener_resume(struct listener *ls);
/* How many connections wait to be accepted. */
unsigned listener_waiting(const struct listener *ls);

/* The bound address as text, with the real port; static storage per listener. */
const char *listener_address(const struct listener *ls);

#endif
