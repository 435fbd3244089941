/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Access tokens of IBM Cloud IAM, for an API key or for a trusted profile with a compute resource's
 * token.  One token for each credential and URL, whoever shares it; renewed at 80 % of its life, in
 * the background, the old one staying in use until the new one has come.  The credential's file
 * is read again at each renewal, so replacing it needs no restart.
 */
#ifndef KEYS_IAM_H
#define KEYS_IAM_H

#include <stdbool.h>

#include "base/loop.h"
#include "base/secret.h"
#include "net/http.h"

struct iam;
struct iam_set;

/* All texts are copied. */
struct iam_params {
	const char *url;	  /* ".../identity/token" */
	const char *api_key_file; /* this, or the next two lines */
	const char *token_file;	  /* the compute resource's token; NULL: where IBM puts it */
	const char *profile_id, *profile_name; /* of a trusted profile: one of them */
	struct http_route route;
	/* Tells what an operator should know, once each time that it changes; may be NULL. */
	void (*event)(void *arg, const struct iam *, const char *what, const char *detail);
	void *arg;
};

/* All tokens of this process.  NULL without memory. */
struct iam_set *iam_set_new(struct loop *l, struct http *h);
/* Every iam was given back. */
void iam_set_free(struct iam_set *s);

/*
 * The one for this credential, URL and way there: a new one, or one that others use (then `event`
 * is theirs).  Nothing is fetched until somebody asks.  ERR_CONFIG: not one credential.
 */
CHECKED enum err iam_get(struct iam_set *s, const struct iam_params *p, struct iam **out);
struct iam *iam_ref(struct iam *i);
void iam_unref(struct iam *i); /* nobody waits who has this reference; NULL is allowed */

/*
 * Somebody who wants a token.  ERR_VAULT_DENIED: IAM refuses the credential; ERR_VAULT_DOWN: it
 * does not answer.  Waits as long as it may still come: deadlines are the waiter's.
 */
struct iam_want {
	struct wait wait;
	struct secret *header; /* out: "Authorization: Bearer ...", terminated; one reference */
	bool newer;	       /* private */
};
void iam_want(struct iam *i, struct iam_want *w);
/*
 * The same, after a service refused the token in `refused`: waits for a newer one.
 * ERR_VAULT_DENIED when that one is as new as they get.
 */
void iam_want_newer(struct iam *i, struct iam_want *w, const struct secret *refused);

/*
 * Whether the credential's file can be read and used, without asking anybody.  ERR_CONFIG, ERR_IO,
 * ERR_NO_MEMORY with a sentence in *why, valid until the next call.
 */
CHECKED enum err iam_check(const struct iam *i, const char **why);

enum iam_state { IAM_IDLE, IAM_GOOD, IAM_DOWN, IAM_DENIED };
/* For health: how the last attempt went. */
enum iam_state iam_state(const struct iam *i);
/* How long ago the token that is in use was obtained; -1: there is none. */
int64_t iam_token_age(const struct iam *i);
/* The path or profile, for logs. */
const char *iam_name(const struct iam *i);

#endif
