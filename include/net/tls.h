/* SPDX-License-Identifier: Apache-2.0 */
/* The server's TLS settings: certificates, versions, and the check of the client's certificate. */
#ifndef NET_TLS_H
#define NET_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct loop;
struct ssl_st;
struct x509_st;
struct stack_st_X509;
struct certificate_text;

enum { TLS_DIGEST_LEN = 32 };

/* What is said about a client's leaf certificate, during the handshake.  Zero is not "known". */
enum tls_verdict {
	TLS_NONE,	   /* none was shown; alert: handshake_failure, certificate_required */
	TLS_KNOWN,
	TLS_UNKNOWN,	   /* alert: unknown_ca */
	TLS_EXPIRED,	   /* alert: certificate_expired */
	TLS_NOT_YET_VALID, /* alert: certificate_expired */
	TLS_AMBIGUOUS,	   /* fits two tenants; alert: access_denied */
	TLS_BAD_CHAIN,	   /* to the authority of the tenant that it fits; alert: unknown_ca */
	TLS_WEAK,	   /* a key or a signature of that chain; alert: bad_certificate */
	TLS_REVOKED,	   /* it, or one of that chain; alert: certificate_revoked */
	TLS_NO_CRL,	   /* no valid list says that it was not; alert: unknown_ca */
	TLS_NO_MEMORY,	   /* to find out; says nothing about the client; alert: internal_error */
};
const char *tls_verdict_text(enum tls_verdict v);

/* What a client shows.  Borrowed. */
struct tls_shown {
	const uint8_t *sha256; /* of the leaf's DER */
	struct x509_st *leaf; /* with its key */
	/* Of what came with it, without their keys: may be NULL, and hold the leaf as well. */
	struct stack_st_X509 *chain;
	bool proven; /* whoever shows it has the leaf's private key: the handshake is done */
};

/*
 * Asked in each handshake that shows a certificate: whether this leaf is known.  Its validity dates
 * and the proof of possession are checked beside it.  `now` for dates is clock_wall().
 * *ignore_dates becomes true for a tenant that accepts expired ones.
 *
 * Who is refused is told so only after the proof, so that it is known whose certificate it was.
 */
typedef enum tls_verdict tls_check_fn(void *arg, const struct tls_shown *shown,
    bool *ignore_dates);

/*
 * Before the first use of OpenSSL by a server, a client or ciphers, once.  OpenSSL 3.0 makes all algorithms
 * of a kind at the first use of one; what memory lacked for then it does not make later, and TLS or calls
 * would fail for as long as the process lives.  ERR_NO_MEMORY: so it will be, and the process has to end.
 */
CHECKED enum err tls_prepare(void);

struct tls_params {
	const char *const *certificates; /* PEM files, leaf first; ended by NULL */
	const char *const *private_keys; /* in the same order; ended by NULL */
	bool min_version_13;
	bool legacy_cbc; /* also offer RSA key exchange with AES-CBC, for old vCenters */
	bool resumption;	     /* sessions are resumed, with tickets; and those of TLS 1.2: */
	bool resumption_12;
	const char *ticket_key_file; /* shared with other gateways; NULL: none */
	struct loop *loop; /* for tickets' keys, which end in time; it outlives the server */
	tls_check_fn *check;
	void *check_arg;
};

struct tls_server;

/*
 * Loads and checks everything: files readable, key belongs to certificate, key file not open to
 * others.  Expired certificates are taken.  On failure *why is a sentence with the file's
 * name, in static storage.  References are counted: sessions hold one.
 */
CHECKED enum err tls_server_new(struct tls_server **out, const struct tls_params *p,
    const char **why);
struct tls_server *tls_server_ref(struct tls_server *t);
void tls_server_unref(struct tls_server *t);
/*
 * Another takes its place.  The keys of its tickets go, now: a handshake that still begins with this one is
 * a whole one, and none ends with a ticket.  Sessions go on.
 */
void tls_server_retire(struct tls_server *t);

/* The n-th certificate; NULL past the last. */
const struct certificate_text *tls_server_certificate(const struct tls_server *t, size_t n);

/* A new server-side SSL object, or NULL.  SSL_free() it. */
struct ssl_st *tls_server_ssl(struct tls_server *t);
/* SSL_do_handshake() of such an object. */
int tls_server_handshake(struct tls_server *t, struct ssl_st *ssl);

/*
 * What is known about the peer after (or in the middle of) a handshake.  Until the handshake is
 * done TLS_KNOWN is a claim: whoever shows the certificate has yet to prove that the key is theirs.
 */
struct tls_peer {
	enum tls_verdict verdict;
	bool have_digest;
	uint8_t sha256[TLS_DIGEST_LEN];
	char subject[256]; /* as the client says: escape it */
	bool resumed;
	struct x509_st *proven; /* refused, but theirs: they have its private key.  Else NULL */
};
void tls_peer(struct ssl_st *ssl, struct tls_peer *out);
/* What the peer showed, of a resumed session the leaf alone; false when that was nothing.  Lives as
 * long as the SSL. */
bool tls_shown(struct ssl_st *ssl, struct tls_shown *out);
void tls_peer_fini(struct tls_peer *p); /* safe twice */

enum { TLS_LAST_WORDS_MAX = 64 };
/*
 * For after each SSL_do_handshake(), done: it returned 1.  The length of what has to be sent to
 * the client as it is, past the SSL: an alert.  A handshake that is done is a refusal all the same
 * unless tls_peer() then says TLS_KNOWN.
 */
size_t tls_last_words(struct ssl_st *ssl, bool done, uint8_t out[TLS_LAST_WORDS_MAX]);

#endif
