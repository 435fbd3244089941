/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients that are known by their authority: a chain of certificates that leads to one of the
 * tenant's, and a rule that the subject has to obey.  Both are needed: an authority vouches for
 * many.
 */
#ifndef NET_AUTHORITY_H
#define NET_AUTHORITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "net/certificate.h"
#include "net/tls.h"

struct authority;

/*
 * files: PEM, ended by NULL; every certificate in them is trusted to vouch for clients.
 * crls: files of revocation lists, PEM or DER, ended by NULL; or NULL.  With them each certificate
 * below a trusted one has to be covered by a list that is valid.
 * rule: "subject=" and a whole subject as `openssl x509 -subject -nameopt RFC2253' prints it; or
 * "CN=pattern, O=pattern ...": each attribute has to be in the subject once, and to match; `*'
 * stands for any characters.  ERR_CONFIG; *why is a sentence (static storage).
 */
CHECKED enum err authority_new(struct authority **out, const char *const *files,
    const char *const *crls, const char *rule, const char **why);
struct authority *authority_ref(struct authority *a);
void authority_unref(struct authority *a); /* NULL is allowed */

/*
 * What a client shows, looked at once for all authorities that judge it; borrows from shown.
 * Whoever shows it need not have the key: its subject is read only when it is not long.
 */
struct authority_case {
	const struct tls_shown *shown;
	struct subject *subject; /* NULL: no rule takes it */
	struct stack_st_X509 *chain; /* with their keys, once an authority needs them */
};
void authority_case_init(struct authority_case *c, const struct tls_shown *shown);
void authority_case_fini(struct authority_case *c);

/* For when a judgement is good, in seconds since 1970: from <= now < until. */
struct authority_term {
	int64_t from, until;
};
/*
 * TLS_UNKNOWN: the subject does not obey, or nobody here vouches for it.  TLS_BAD_CHAIN: it obeys,
 * but its chain is not good: a date, a signature, or a signer that may not sign.  TLS_WEAK: a key or
 * a signature of the chain has less than 112 bits of security.  TLS_REVOKED: a certificate of the
 * chain was; TLS_NO_CRL: of one that is not known.  TLS_KNOWN sets *term: no certificate of the
 * chain, and no list that covers it, is outside its validity before it ends, and no newer list
 * begins.
 *
 * Where memory lacks any of them may come: whoever asks compares alloc_failures(), also around
 * authority_case_init().
 */
enum tls_verdict authority_judge(const struct authority *a, struct authority_case *c,
    struct authority_term *term);

/*
 * Two overlap when both trust a certificate and there is a subject that both rules take.
 * ERR_CONFIG: *out says which, and of all such pairs the first.  ERR_NO_MEMORY.
 */
struct authority_overlap {
	size_t later, earlier;
};
CHECKED enum err authorities_overlap(struct authority *const *all, size_t count,
    struct authority_overlap *out);

/*
 * When the first of its revocation lists expires without a newer one, in seconds since 1970; 0: there
 * is none.
 */
int64_t authority_crl_until(const struct authority *a);
/*
 * All that expire without a newer one by then, as seen from now.  *at: 0 at first; false: there is no
 * other.
 */
struct authority_crl {
	const char *issuer; /* borrowed */
	int64_t from, until; /* seconds since 1970 */
	int64_t replaced; /* when a newer one begins; INT64_MAX: there is none */
};
bool authority_crl_next(const struct authority *a, int64_t now, size_t *at, struct authority_crl *out);
/*
 * When the first begins that does not hold yet; 0: there is none.  *refuses: there is none in its
 * place either, so that nobody whom it covers is let in until then.
 */
int64_t authority_crl_from(const struct authority *a, bool *refuses);
const char *authority_rule(const struct authority *a);
/* The n-th certificate; NULL past the last.  Borrowed. */
const struct certificate_text *authority_certificate(const struct authority *a, size_t n);

#endif
