/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that hold secrets.  In place of a path, "credential:NAME" stands for a systemd credential:
 * the file NAME in $CREDENTIALS_DIRECTORY.
 */
#ifndef BASE_CREDENTIAL_H
#define BASE_CREDENTIAL_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

enum { CREDENTIAL_PATH_MAX = 4096 };

/* Whether it stands for a credential, however good its name is. */
bool credential_is(const char *path);
/* Whether what stands behind "credential:" can be a credential's name: that of one file. */
bool credential_has_name(const char *path);

/* Where to open it; other paths as they are.  ERR_CONFIG: *why is a sentence in static storage. */
CHECKED enum err credential_path(
    char out[CREDENTIAL_PATH_MAX], const char *path, const char **why);
/*
 * Permissions that the file must not give.  systemd hands a credential to a service's user through
 * an access list, which shows as a group that may read; its directory is closed to others.
 */
mode_t credential_refused_mode(const char *opened);

#endif
