/* SPDX-License-Identifier: Apache-2.0 */
/* A listening UNIX socket that was never open to others. */
#ifndef DAEMON_CONTROL_SOCKET_H
#define DAEMON_CONTROL_SOCKET_H

#include <sys/stat.h>

#include "base/err.h"

/*
 * Binds and listens; *made is the file.  A socket file that nobody answers on is replaced;
 * ERR_IN_USE when somebody does.  On failure *why is a sentence in static storage.
 */
CHECKED enum err control_socket_open(
    int *out, const char *path, unsigned mode, struct stat *made, const char **why);
/* Removes the file when the socket is closed, unless another has taken its place. */
void control_socket_remove(const char *path, const struct stat *made);

#endif
