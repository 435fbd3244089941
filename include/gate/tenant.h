/* SPDX-License-Identifier: Apache-2.0 */
/* Tenants: certificates, vault, ledger and rights that belong together. */
#ifndef GATE_TENANT_H
#define GATE_TENANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "keys/alarm.h"
#include "keys/cache.h"
#include "keys/iam.h"
#include "keys/ledger.h"
#include "keys/lookup.h"
#include "keys/vault.h"
#include "net/tls.h"

/* Counted: a set of tenants and every session hold references. */
struct tenant {
	unsigned refs;
	char id[TENANT_ID_MAX + 1];
	struct vault *vault;   /* owned */
	struct ledger *ledger; /* borrowed; lives as long as the store */
	/* Borrowed; all three or none: a vault that is here needs no keys in memory. */
	struct cache *cache;
	struct custody *custody;
	struct cache_terms cache_terms;
	struct alarms *alarms;	 /* borrowed; may be NULL */
	struct lookups *lookups; /* borrowed; NULL: nobody else uses the vault */
	uint32_t warm_keys; /* to be in memory soon after a start */
	const struct iam *iam;	 /* borrowed, for statistics; NULL: there are no tokens */
	bool born_active;      /* new keys are Active at once */
	int64_t accept_expired_until; /* seconds since 1970; 0: expired certificates are refused */
	int64_t certificates_expire;  /* when the first of its certificates does; 0: it has none */
	void (*release)(struct tenant *); /* frees what the tenant owns, on the last unref */
};

struct tenant *tenant_ref(struct tenant *t);
void tenant_unref(struct tenant *t); /* NULL is allowed */

/* An immutable set once it is in use: which certificate belongs to which tenant.  Counted. */
struct tenants;

struct tenants *tenants_new(void);
struct tenants *tenants_ref(struct tenants *ts);
void tenants_unref(struct tenants *ts);

/* Takes a reference of its own. */
CHECKED enum err tenants_add(struct tenants *ts, struct tenant *t);
/* ERR_CONFIG when another tenant has this certificate; the same tenant twice is fine. */
CHECKED enum err tenants_add_certificate(struct tenants *ts, struct tenant *t,
    const uint8_t sha256[TLS_DIGEST_LEN]);
/* Borrowed, or NULL. */
struct tenant *tenants_find(const struct tenants *ts, const uint8_t sha256[TLS_DIGEST_LEN]);
struct tenant *tenants_by_id(const struct tenants *ts, const char *id);
size_t tenants_count(const struct tenants *ts);
struct tenant *tenants_at(const struct tenants *ts, size_t n);

#endif
