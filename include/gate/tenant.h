/* SPDX-License-Identifier: Apache-2.0 */
/* Tenants: certificates, vault, ledger and rights that belong together. */
#ifndef GATE_TENANT_H
#define GATE_TENANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "gate/limit.h"
#include "keys/alarm.h"
#include "keys/cache.h"
#include "keys/iam.h"
#include "keys/ledger.h"
#include "keys/lookup.h"
#include "keys/uses.h"
#include "keys/vault.h"
#include "net/authority.h"
#include "net/certificate.h"
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
	struct uses *uses;	 /* borrowed; NULL: nobody wants to know */
	struct lookups *lookups; /* borrowed; NULL: nobody else uses the vault */
	uint32_t warm_keys; /* to be in memory soon after a start */
	const struct iam *iam;	 /* borrowed, for statistics; NULL: there are no tokens */
	unsigned behind; /* its requests that were answered while their note is being written */
	struct limit *limit;   /* owned, shared with the tenant of that id before it; may be NULL */
	bool born_active;      /* new keys are Active at once */
	bool refuse_compromised; /* by Get */
	const char *keys_in; /* the kind of vault that has its keys, if that is another: no new ones are made */
	bool keys_unseen; /* that could not be looked at yet */
	int64_t accept_expired_until; /* seconds since 1970; 0: expired certificates are refused */
	int64_t certificates_expire;  /* when the first of its clients' does; 0: there is none */
	int64_t lists_expire, lists_due; /* the same of its revocation lists, and of a warning of it */
	void (*release)(struct tenant *); /* frees what the tenant owns, on the last unref */
};

struct tenant *tenant_ref(struct tenant *t);
void tenant_unref(struct tenant *t); /* NULL is allowed */

/* A client's own certificate.  Counted: sets that follow each other share it. */
struct pinned {
	unsigned refs;
	uint8_t sha256[TLS_DIGEST_LEN];
	bool read_only; /* may not change anything */
	bool accepted;	/* by command, and so by command it can be removed */
	int64_t expires;   /* seconds since 1970 */
	int64_t last_seen; /* 0: not since the daemon started */
	char subject[CERTIFICATE_NAME_MAX]; /* as its maker wrote it */
	char file[];
};
/* NULL without memory. */
struct pinned *pinned_new(const struct certificate_text *text, const char *file, bool read_only,
    bool accepted);
struct pinned *pinned_ref(struct pinned *p);
void pinned_unref(struct pinned *p); /* NULL is allowed */

/*
 * Which client belongs to which tenant.  Counted, and not changed any more once it is in use,
 * except for what it notes about clients that came.
 */
struct tenants;

struct tenants *tenants_new(void);
struct tenants *tenants_copy(const struct tenants *ts); /* may be changed; NULL without memory */
struct tenants *tenants_ref(struct tenants *ts);
void tenants_unref(struct tenants *ts);

/* Takes a reference of its own. */
CHECKED enum err tenants_add(struct tenants *ts, struct tenant *t);
/*
 * The same; ERR_CONFIG when another tenant has this certificate.  When it is this tenant's already,
 * the lesser right counts.
 */
CHECKED enum err tenants_pin(struct tenants *ts, struct tenant *t, struct pinned *p);
void tenants_unpin(struct tenants *ts, const uint8_t sha256[TLS_DIGEST_LEN]);
/* The same; tenants_check() tells, once all are there, whether one overlaps with another. */
CHECKED enum err tenants_trust(struct tenants *ts, struct tenant *t, struct authority *a);
/* ERR_CONFIG: *authority, of *later, overlaps with that of *earlier; all borrowed. */
CHECKED enum err tenants_check(const struct tenants *ts, const struct authority **authority,
    const struct tenant **later, const struct tenant **earlier);
/* Takes over when clients were last seen. */
void tenants_inherit(struct tenants *ts, const struct tenants *old);

/* Whose a client is, and what it may do. */
struct known_client {
	struct tenant *tenant; /* borrowed */
	bool pinned;	       /* else known by its authority */
	bool judged;	       /* authorities had to be asked, whatever the verdict */
	bool read_only;
	int64_t ends; /* seconds since 1970: from then on its certificates do not count any more */
};
/*
 * TLS_KNOWN sets *out.  A pinned certificate is its tenant's, whatever rules it obeys; one that
 * obeys the rules of two tenants is TLS_AMBIGUOUS.  See authority_judge() for the rest.
 */
enum tls_verdict tenants_identify(struct tenants *ts, const struct tls_shown *shown,
    struct known_client *out);
/* Notes that a client with this certificate is here. */
void tenants_seen(struct tenants *ts, const uint8_t sha256[TLS_DIGEST_LEN]);

/* Borrowed, or NULL. */
struct tenant *tenants_by_id(const struct tenants *ts, const char *id);
size_t tenants_count(const struct tenants *ts);
struct tenant *tenants_at(const struct tenants *ts, size_t n);
/* The pinned certificate with this digest, or the n-th; NULL when there is none.  *t: whose. */
struct pinned *tenants_pinned(const struct tenants *ts, const uint8_t sha256[TLS_DIGEST_LEN],
    struct tenant **t);
struct pinned *tenants_pinned_at(const struct tenants *ts, size_t n, struct tenant **t);
/* The n-th authority with its rule; NULL past the last. */
struct authority *tenants_authority_at(const struct tenants *ts, size_t n, struct tenant **t);

#endif
