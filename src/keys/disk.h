/* SPDX-License-Identifier: Apache-2.0 */
/* Directories and files outside SQLite: checks, locks, copies, and making entries durable. */
#ifndef DISK_H
#define DISK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "keys/disk.h"

enum { DISK_PATH_MAX = 1024 };

/* Certificates of clients, of the state directory and of copies: a directory for each tenant. */
#define DISK_TRUST "trust"
enum { DISK_TRUST_DEPTH = 1 };

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
 * ERR_IN_USE: another process has it.  ERR_STORAGE_READ_ONLY: its file system is mounted so.
 */
CHECKED enum err disk_lock(const char *dir, int *fd, const char **why);
/*
 * Lets go of what memory has of a file and the disk has as well, so that it is read from the disk next: what a
 * sync that failed has left, and may lose at any moment, counts as lost.  One that is not there is none.
 */
void disk_forget(const char *path);
/* Whether the disk takes a write, which a full one does: ERR_STORAGE_READ_ONLY.  Blocks as the disk does. */
CHECKED enum err disk_try(int lock, const char **why);

/* A synced copy with mode 0600; never overwrites.  ERR_IO with errno: from cannot be opened. */
CHECKED enum err disk_copy(const char *from, const char *to);
/*
 * The files of a directory, and of directories in it down to the depth; synced, with modes 0600
 * and 0700.  ERR_OK as well when there is no such directory; what vanishes meanwhile is left out,
 * and so are hidden files, links and whatever is no file.
 */
CHECKED enum err disk_copy_tree(const char *from, const char *to, unsigned depth);

#endif
