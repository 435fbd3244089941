/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vault `keyprotect`: keys are wrapped by a root key in IBM Key Protect or Hyper Protect Crypto
 * Services, and each record is a standard key of its own there, named PREFIX_uid.
 *
 * An object's record, as the ledger keeps a copy of it, is the id of that standard key (36
 * characters; zero bytes until it was stored) and the envelope; its payload is the envelope alone.
 */
#ifndef KEYS_VAULT_KP_H
#define KEYS_VAULT_KP_H

#include "keys/iam.h"
#include "keys/vault.h"
#include "net/http.h"

/*
 * Vaults of one set share what they have in common:
 *
 *	instance, way to it, credential, ceilings	rate, places among the calls, breaker,
 *							whose deletions are for good
 *	that, root key and key ring			proof of root key and right, news, complaints
 */
struct vault_kp_set;
struct vault_kp_set *vault_kp_set_new(void); /* NULL without memory */
/* The most calls that its vaults make at a time, all together. */
unsigned vault_kp_set_calls_max(const struct vault_kp_set *s);
void vault_kp_set_free(struct vault_kp_set *s); /* every vault was freed; NULL is allowed */

/* All texts are copied. */
struct vault_kp_params {
	struct vault_kp_set *set; /* stays as long as the vault */
	struct loop *loop;
	struct http *http;
	struct iam *iam; /* one more reference is taken */
	const char *url; /* "https://us-south.kms.cloud.ibm.com": scheme, host, port */
	struct http_route route;
	const char *instance;	 /* GUID */
	const char *root_key;	 /* id or alias */
	const char *key_ring;	 /* NULL: all rings are searched */
	const char *name_prefix; /* "vmware_kmip" */
	const char *service_ids; /* of the other gateways, blanks between them; or NULL */
	bool own_generator;	 /* make keys here, instead of in the HSM */
	int64_t attempt_ns;	 /* one call, connecting included */
	int64_t timeout_ns;	 /* one operation, with all its calls */
	unsigned rate_max;	 /* calls a second */
	unsigned in_flight_max;
};

/* The names and numbers that the manual gives as defaults; set the rest. */
void vault_kp_defaults(struct vault_kp_params *p);
/*
 * ERR_CONFIG: a text is not what it has to be; *why says which (static storage).  Calls nobody.
 * free gives up what is under way; those who wait are told ERR_CANCELLED.
 */
CHECKED enum err vault_kp_new(
    struct vault **out, const struct vault_kp_params *p, const char **why);

/* One for all vaults of the set that have the same; it stays as long as one of them. */
struct vault_source *vault_kp_source(struct vault *v);

/* Gives up what is under way, with ERR_VAULT_DOWN; so ends at once what begins later. */
void vault_kp_shut(struct vault *v);

#endif
