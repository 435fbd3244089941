/* SPDX-License-Identifier: Apache-2.0 */
/* New files that are on the disk when they are there. */
#ifndef KEYS_DISK_H
#define KEYS_DISK_H

#include <stddef.h>

#include "base/err.h"

/*
 * Makes a file of mode 0600, synced with its directory.  Never overwrites: whatever has the name
 * keeps it.  ERR_IO; *why is a sentence (static storage).
 */
CHECKED enum err disk_write_new(const char *path, const void *data, size_t len, const char **why);

#endif
