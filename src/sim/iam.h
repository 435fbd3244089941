/* SPDX-License-Identifier: Apache-2.0 */
/* IBM Cloud IAM: identities, tokens, and the metadata service of a virtual server. */
#ifndef SIM_IAM_H
#define SIM_IAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

#include "access.h"
#include "exchange.h"

enum { SIGNING_KEY_LEN = 32 };

struct iam {
	struct list identities, tokens;
	int64_t token_ttl_s;
	uint8_t signing_key[SIGNING_KEY_LEN];
	struct identity operator; /* in whose name the admin port acts on keys */
};

CHECKED bool iam_init(struct iam *iam);
void iam_fini(struct iam *iam);

struct identity *iam_identity_new(struct iam *iam, const char *subject); /* or NULL */
struct identity *iam_identity_find(struct iam *iam, const char *subject);
void iam_identity_free(struct iam *iam, struct identity *who);
/* From now on no token that was issued is good. */
void iam_revoke_tokens(struct iam *iam);

/* The identity behind a bearer token of IAM that is good now, or NULL. */
struct identity *iam_authenticate(struct exchange *x);

enum fail iam_token(struct exchange *x);
enum fail iam_instance_token(struct exchange *x);
enum fail iam_profile_token(struct exchange *x);

#endif
