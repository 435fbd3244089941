/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are on the disk when they are there. */
#ifndef KEYS_DISK_H
#define KEYS_DISK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/*
 * Makes a file of mode 0600, synced with its directory.  Never overwrites: whatever has the name
 * keeps it.  ERR_IO; *why is a sentence (static storage).
 */
CHECKED enum err disk_write_new(const char *path, const void *data, size_t len, const char **why);
/*
 * The same in place of whatever has the name, which a failure or a crash leaves as it was; beside a
 * file whose name ends in ".new" perhaps, which the next attempt takes away.
 */
CHECKED enum err disk_put(const char *path, const void *data, size_t len, const char **why);
/* 0, or -1 with errno: the entries of the directory that path is in are on the disk. */
int disk_sync_parent(const char *path);
/* Once it has returned the file is gone for good; or was not there. */
CHECKED enum err disk_remove(const char *path, bool *found);

/* The same of a name in a directory that is open: no link leads elsewhere, whoever may put one there. */
CHECKED enum err disk_put_at(int dir, const char *name, const void *data, size_t len, const char **why);
CHECKED enum err disk_remove_at(int dir, const char *name, bool *found);

#endif
