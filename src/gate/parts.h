/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Computations that clients do in parts, between the parts (specification 1.4 section 8.1.1): each is
 * known by its Correlation Value, and only to the client that began it.  There is a ceiling for all
 * and one for each client, and what is not gone on with for a minute is given up.
 */
#ifndef GATE_PARTS_H
#define GATE_PARTS_H

#include "base/loop.h"
#include "base/text.h"
#include "keys/object.h"
#include "net/tls.h"

#include "crypto.h"
#include "cryptparams.h"

enum {
	PARTS_MAX = 256,
	PARTS_TENANT_MAX = 64,
	PARTS_CLIENT_MAX = 16,
	PARTS_VALUE_LEN = 16,
	PARTS_TIMEOUT_S = 60
};

struct parts;

/* What has to be the same in all parts. */
struct parts_key {
	char tenant[TENANT_ID_MAX + 1];
	uint8_t client[TLS_DIGEST_LEN];
	uint32_t operation;
	uint8_t value[PARTS_VALUE_LEN]; /* Correlation Value */
};

struct parts *parts_new(struct loop *l); /* NULL without memory */
void parts_free(struct parts *p);	 /* NULL is allowed */

/* Chooses the Correlation Value of a new one. */
CHECKED enum err parts_name(struct parts_key *key);
/*
 * Keeps c, which it takes, with the uid of its key (empty: none) and its parameters, for the next
 * part.  ERR_BUSY at one of the ceilings; ERR_NO_MEMORY.
 */
CHECKED enum err parts_keep(struct parts *p, const struct parts_key *key, const char *uid,
    const struct cryptparams *params, struct crypto *c);
/* Gives back what was kept; whose part fails has to begin anew.  NULL: there is no such. */
struct crypto *parts_take(struct parts *p, const struct parts_key *key, char uid[UID_TEXT_LEN + 1],
    struct cryptparams *params);
/* The uid of its key, while it stays; NULL: there is no such. */
const char *parts_uid(const struct parts *p, const struct parts_key *key);

#endif
