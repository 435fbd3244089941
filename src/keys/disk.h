/* SPDX-License-Identifier: Apache-2.0 */
/* Directories and files outside SQLite: checks, locks, copies, and making entries durable. */
#ifndef DISK_H
#define DISK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "keys/disk.h"

enum { DISK_PATH_MAX = 1024 };

/* As disk_sync_parent(), of the directory itself. */
int disk_sync_dir(const char *dir);

/* "dir/name"; false when that is longer than out (DISK_PATH_MAX bytes). */
bool disk_join(char *out, const char *dir, const char *name);

/* A directory of ours, closed to group and others.  *why is a sentence (static storage). */
CHECKED enum err disk_check_dir(const char *dir, const char **why);
/* True when it is a directory that holds nothing. */
bool disk_dir_empty(const char *dir);

/*
 * Takes the lock file of a state directory; the descriptor holds it until it is closed.
 * ERR_IN_USE: another process has it.
 */
CHECKED enum err disk_lock(const char *dir, int *fd, const char **why);

/* A synced copy with mode 0600; never overwrites. */
CHECKED enum err disk_copy(const char *from, const char *to);

#endif
