/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates as people see them: digests with colons, names, dates; and their way in and out. */
#ifndef NET_CERTIFICATE_H
#define NET_CERTIFICATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/trusted.h"
#include "net/tls.h"

enum { CERTIFICATE_NAME_MAX = 256, CERTIFICATE_DER_MAX = 8192 };

/* Names are as their maker wrote them, as RFC 2253 has it: escaped; "..." ends one that is cut. */
struct certificate_text {
	uint8_t digest[TLS_DIGEST_LEN];
	char subject[CERTIFICATE_NAME_MAX], issuer[CERTIFICATE_NAME_MAX];
	char serial[64];		  /* hexadecimal */
	char sha1[60], sha256[96];	  /* "AB:CD:...", as vCenter shows them */
	int64_t not_before, not_after;	  /* seconds since 1970 */
	const char *key_unfit;		  /* as certificate_key_unfit() or _weak() has it */
};
/* ERR_CRYPTO when a date cannot be read, or without memory. */
CHECKED enum err certificate_describe(const struct x509_st *x, struct certificate_text *out);

struct X509_name_st;

/* The whole subject, as RFC 2253 has it; or as much as has room. */
void certificate_subject(const struct x509_st *x, struct buf *out);
void certificate_subject_cut(const struct x509_st *x, char out[CERTIFICATE_NAME_MAX]);
void certificate_name_cut(const struct X509_name_st *name, char out[CERTIFICATE_NAME_MAX]);

/* All certificates of a PEM file, one at least.  *why is a sentence (static storage). */
CHECKED enum err certificates_of_file(const char *path, struct stack_st_X509 **out,
    const char **why);
/*
 * The same, one after the other, and without parsing those that are known by their digest, which
 * takes most of the time: known() fills in what it has, or returns false.  take() returns false to
 * end it.  kind: whose the file is, and whether it may be a link.
 */
struct certificates_reader {
	bool (*known)(void *arg, const uint8_t digest[TLS_DIGEST_LEN], struct certificate_text *text);
	bool (*take)(void *arg, const struct certificate_text *text);
	void *arg;
};
CHECKED enum err certificates_read(const char *path, enum trusted kind,
    const struct certificates_reader *r, const char **why);
size_t certificates_count(const struct stack_st_X509 *list);
struct x509_st *certificates_at(const struct stack_st_X509 *list, size_t n); /* borrowed */
void certificates_free(struct stack_st_X509 *list);

/*
 * A new reference: to x, or, as OpenSSL reads what clients show without its key, to a copy with it.
 * One with a key of no known kind stays without.  NULL without memory.
 */
struct x509_st *certificate_with_key(struct x509_st *x);

/* Of all that was shown beside the leaf, in its order.  False without memory. */
bool certificate_chain_digest(const struct tls_shown *shown, uint8_t out[TLS_DIGEST_LEN]);

/* NULL when it is none, or something follows it. */
struct x509_st *certificate_from_der(const uint8_t *der, size_t len);
/* Appends it as PEM, with a line about it in front. */
void certificate_pem(const struct x509_st *x, struct buf *out);
struct x509_st *certificate_ref(struct x509_st *x);
void certificate_unref(struct x509_st *x); /* NULL is allowed */

/* NULL, or why it is not valid at the time `now` (seconds since 1970), as half a sentence. */
const char *certificate_unfit(const struct certificate_text *c, int64_t now);
/*
 * NULL, or why nothing that this key signed is to be checked, as half a sentence (static storage):
 * with a public exponent as long as the key that would cost a hundred times what it should, and
 * whoever made the key decides on it.
 */
const char *certificate_key_unfit(const struct x509_st *x);
/* NULL, or why its signature proves nothing: others may find the private key. */
const char *certificate_key_weak(const struct x509_st *x);
/* It may sign others, as RFC 5280 has it. */
bool certificate_is_authority(struct x509_st *x);
/* And is meant to: many that clients make for themselves merely do not say that they may not. */
bool certificate_is_for_signing(struct x509_st *x);

#endif
