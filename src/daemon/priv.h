/* SPDX-License-Identifier: Apache-2.0 */
/* What the process may do and leak: limits, core dumps, tracing, going to the background. */
#ifndef DAEMON_PRIV_H
#define DAEMON_PRIV_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/*
 * No core dumps, no tracing by other processes of the user, SIGPIPE ignored, umask 077.
 * ERR_INTERNAL: the kernel refused one of the first two, and no key may come into the process.
 */
CHECKED enum err priv_harden(void);

/*
 * Raises the soft limit of descriptors to the hard one; returns how many sessions that allows
 * when the daemon's own are kept back.
 */
size_t priv_sessions_allowed(void);

/* SIGHUP waits until it is let through: it would end a start that nobody can reload yet. */
void priv_hold_reload(bool hold);

/*
 * Goes to the background: returns in the child, whose parent waits for priv_ready() and exits
 * with 0 then, or with 1 when the child ends without it.  ERR_IO.
 */
CHECKED enum err priv_background(void);
void priv_ready(void);

#endif
