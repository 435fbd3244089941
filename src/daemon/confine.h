/* SPDX-License-Identifier: Apache-2.0 */
/* Which system calls the process may still make. */
#ifndef DAEMON_CONFINE_H
#define DAEMON_CONFINE_H

#include "base/buf.h"

/*
 * From here on a call that is not in calls.def kills the process, and each child that it starts.
 * On failure why holds a sentence; a build without libseccomp says so in the log and goes on.
 */
CHECKED enum err confine(struct buf *why);

/* For a child of a process that is confined: besides, it starts no program and makes no socket. */
CHECKED enum err confine_child(void);

#endif
