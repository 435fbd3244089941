/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Revocation lists: with them every certificate below one that is trusted has to be covered by a
 * list that is valid now.  Who cannot be looked up is not let in.
 */
#ifndef NET_CRL_H
#define NET_CRL_H

#include <stdbool.h>
#include <stdint.h>

#include <openssl/x509.h>

#include "net/authority.h"

struct crls;

/*
 * All lists of the files (PEM or DER; ended by NULL).  *out is NULL when there is no file.  One that
 * has expired, or is still to begin, is taken.  ERR_CONFIG; *why is a sentence (static storage).
 */
CHECKED enum err crls_load(struct crls **out, const char *const *files, const char **why);
void crls_free(struct crls *c); /* NULL is allowed */

/*
 * Makes X509_verify_cert() ask them: of several of one authority and scope only the latest that has
 * begun.  One judgement at a time.
 */
void crls_prepare(const struct crls *c, X509_STORE_CTX *ctx, int64_t now);
/* What its error means; TLS_UNKNOWN when it is not about revocation. */
enum tls_verdict crls_verdict(int error);
/* The judgement on a chain ends when one of the lists that it needs does, or a newer one begins. */
void crls_narrow(const struct crls *c, STACK_OF(X509) *chain, int64_t now,
    struct authority_term *term);
/* As authority_crl_next() has it. */
bool crls_next(const struct crls *c, int64_t now, size_t *at, struct authority_crl *out);
/* When the first one expires that has no newer one by then, in seconds since 1970; 0 without any. */
int64_t crls_until(const struct crls *c);
/*
 * When the first one begins that does not hold yet; 0 without any.  *refuses: nobody whom it covers
 * is let in until then, as there is none in its place; of such a one it is, if there is any.
 */
int64_t crls_from(const struct crls *c, bool *refuses);

#endif
