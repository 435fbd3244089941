/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who a tenant's clients are: the certificates that its configuration names, those that were
 * accepted by command and lie in the state directory, and its authorities.
 */
#ifndef DAEMON_CLIENTS_H
#define DAEMON_CLIENTS_H

#include "base/buf.h"
#include "daemon/config.h"
#include "gate/tenant.h"

enum { CLIENTS_DIRECTORY_MAX = 128, CLIENTS_FILE_MAX = 128 };

/*
 * Adds them to the set.  now: the set that is in use, whose certificates need not be looked into
 * again; or NULL.  On failure why holds a sentence.
 */
CHECKED enum err clients_add(struct tenants *ts, const struct tenants *now, struct tenant *t,
    const struct config_tenant *c, const char *state_dir, struct buf *why);

/* Once all tenants are there: whether two of them could be meant by one certificate. */
CHECKED enum err clients_check(const struct tenants *ts, struct buf *why);

/*
 * Where an accepted certificate is, below the state directory: a directory and a name.  In CLIENTS_TOP
 * are the directories of all tenants, also of those that are not configured now, but may be again.
 */
#define CLIENTS_TOP "trust"
void clients_directory(const char *tenant_id, char out[CLIENTS_DIRECTORY_MAX]);
void clients_file(const uint8_t sha256[TLS_DIGEST_LEN], bool read_only,
    char out[CLIENTS_FILE_MAX]);

#endif
