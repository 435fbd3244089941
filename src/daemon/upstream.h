/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way to key managers elsewhere: the HTTP client, access tokens, and the vaults that use them.
 * Tenants, and configurations that follow each other, share a vault as long as its settings are
 * the same, so that a reload drops no call, no connection and nothing that was learned.
 */
#ifndef DAEMON_UPSTREAM_H
#define DAEMON_UPSTREAM_H

#include "base/loop.h"
#include "daemon/config.h"
#include "keys/vault.h"

struct upstream;

/* One at a time in a process.  *why is a sentence in static storage. */
CHECKED enum err upstream_new(struct upstream **out, struct loop *l, const char **why);
/* Gives up all that is under way: it ends with ERR_VAULT_DOWN, and so does all that begins. */
void upstream_shut(struct upstream *u);
/* Every vault was given back.  NULL is allowed. */
void upstream_free(struct upstream *u);

/*
 * A reference; ERR_CONFIG when a setting is not what it has to be, or the credential's file cannot
 * be used.  *why is valid until the next call.
 */
CHECKED enum err upstream_vault(struct upstream *u, const struct config_keyprotect *c,
    struct vault **out, const char **why);
void upstream_release(struct upstream *u, struct vault *v);

#endif
