/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Child processes of ours: this program again, with one end of a socket pair and a job.  The end of
 * that socket ends the child; signals to the process group are the parent's business.
 */
#ifndef BASE_CHILD_H
#define BASE_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * The first thing that a child does: no core dump, no tracing, a umask of 077, no descriptor but
 * standard error and fd, which becomes non-blocking.  name: for people, at most 15 characters.
 * dies_with_parent: it is killed when the parent is; otherwise it may end what it has taken over.
 */
void child_settle(const char *name, int fd, bool dies_with_parent);

/*
 * Whether a child has ended; does not wait.  *status: how, as wait(2) has it; -1, which is neither an exit
 * nor a signal: not known, as somebody else has reaped it.
 */
bool child_ended(pid_t pid, int *status);

#endif
