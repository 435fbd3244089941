/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets, our own or the service manager's, and its watchdog. */
#ifndef DAEMON_MANAGER_H
#define DAEMON_MANAGER_H

#include <stdbool.h>

#include "daemon.h"

/*
 * Takes what the service manager has opened: before system calls are filtered, which this is free in,
 * and before there is a child, which would inherit it.
 */
void manager_take(struct keyferryd *d);

/*
 * Listens on what the service manager has opened, else on what the configuration says.  On failure
 * why holds a sentence.
 */
CHECKED enum err manager_listen(struct keyferryd *d, struct buf *why);

/* Whether listeners accept. */
void manager_may_accept(void *daemon, bool may);
size_t manager_waiting(void *daemon);

/*
 * For good.  Sockets that are shared are closed: while they are open, the kernel gives them their share
 * of the connections, which others could serve.
 */
void manager_stop(struct keyferryd *d);

/*
 * Tells the service manager that starting takes longer, each time anew while it does; first: the log as
 * well.
 */
void manager_wait(bool first);

/* Tells the service manager what came of a reload; why: of one that was refused, or NULL. */
void manager_reloaded(const struct buf *why);

/* Tells the service manager that we stop, and how long that may take at most. */
void manager_stopping(const struct keyferryd *d);

/* Tells the service manager that we serve, and from here on that the loop turns. */
void manager_ready(struct keyferryd *d);

#endif
