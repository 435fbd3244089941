/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way to key managers elsewhere: the HTTP client, access tokens, and the vaults that use them.
 * Configurations that follow each other share a tenant's vault as long as its settings are the
 * same, so that a reload drops no call, no connection and nothing that was learned.  Tenants share
 * custody and watch of a connection, which is an instance, the way to it, a credential, a root key
 * and a key ring.
 */
#ifndef DAEMON_UPSTREAM_H
#define DAEMON_UPSTREAM_H

#include "base/loop.h"
#include "daemon/config.h"
#include "keys/cache.h"
#include "keys/custody.h"
#include "keys/iam.h"
#include "keys/lookup.h"
#include "keys/vault.h"
#include "keys/watch.h"

struct upstream;

/* Borrowed.  Without a ledger nothing is watched: only settings are tested. */
struct upstream_params {
	struct loop *loop;
	struct ledger *ledger;
	struct lookups *lookups;
	struct cache *cache;
};
/* One at a time in a process.  *why is a sentence in static storage. */
CHECKED enum err upstream_new(struct upstream **out, const struct upstream_params *p,
    const char **why);
/* Gives up all that is under way: it ends with ERR_VAULT_DOWN, and so does all that begins. */
void upstream_shut(struct upstream *u);
/* Every vault was given back.  NULL is allowed. */
void upstream_free(struct upstream *u);

/*
 * A reference; ERR_CONFIG when a setting is not what it has to be, or the credential's file cannot
 * be used.  *why is valid until the next call.
 */
CHECKED enum err upstream_vault(struct upstream *u, const struct config_tenant *c,
    struct vault **out, const char **why);
/* What is known of the vault's key manager, and who asks it for the tenant.  Borrowed. */
struct custody *upstream_custody(struct upstream *u, const struct vault *v);
struct watch_tenant *upstream_watch(struct upstream *u, const struct vault *v);
const struct iam *upstream_iam(struct upstream *u, const struct vault *v);
/* Whether its tenant has no other vault that somebody still uses, as one of before a reload. */
bool upstream_is_only(struct upstream *u, const struct vault *v);
/* Takes the tenant's times into use. */
void upstream_set(struct upstream *u, const struct vault *v, const struct cache_terms *terms);
/* The most connections that all of it has at a time. */
unsigned upstream_connections_max(const struct upstream *u);
void upstream_release(struct upstream *u, struct vault *v);

#endif
