/* SPDX-License-Identifier: Apache-2.0 */
/* The server's SSL_CTX: what it offers, and the check of the client's leaf certificate. */
#include "net/tls.h"

#include <assert.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/why.h"
#include "net/certificate.h"

#include "algorithms.h"
#include "leaves.h"
#include "pem.h"
#include "refusal.h"
#include "ticket.h"

enum {
	CERTIFICATES_MAX = 8,		/* one of each key type is all OpenSSL can use */
	CLIENT_CHAIN_MAX = 32 * 1024,	/* bytes of certificates that a client may show */
	SEND_RECORD = 4096,		/* bytes of an answer that go into one record */
	SECURITY_LEVEL = 2,		/* 112 bits: RSA with 2048 bits or more */
};

static const char groups[] = "X25519:P-256:P-384";

#define MODERN                                                                                     \
	"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"                               \
	"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"                               \
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256"
#define LEGACY                                                                                     \
	"ECDHE-ECDSA-AES256-SHA384:ECDHE-RSA-AES256-SHA384:"                                       \
	"ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256:"                                       \
	"ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA:"                                             \
	"ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:"                                             \
	"AES256-SHA256:AES128-SHA256:AES256-SHA:AES128-SHA"

struct tls_server {
	SSL_CTX *ctx;
	unsigned refs;
	tls_check_fn *check;
	void *check_arg;
	EVP_MD *sha256; /* fetched once: a fetch by name costs more than the digest */
	struct leaves leaves;
	struct tickets *tickets; /* NULL: nothing is resumed */
	struct certificate_text own[CERTIFICATES_MAX];
	size_t own_count;
};

/* What the verify callback found, kept with the SSL: a refused certificate is kept nowhere else. */
struct note {
	enum tls_verdict verdict;
	uint8_t sha256[TLS_DIGEST_LEN];
	X509 *leaf;
	struct refusal refusal;
};

static int note_index = -1;

const char *
tls_verdict_text(enum tls_verdict v)
{
	switch (v) {
	case TLS_NONE:
		return "no certificate was shown";
	case TLS_KNOWN:
		return "the certificate is known";
	case TLS_UNKNOWN:
		return "the certificate is not known";
	case TLS_EXPIRED:
		return "the certificate has expired";
	case TLS_NOT_YET_VALID:
		return "the certificate is not valid yet";
	case TLS_AMBIGUOUS:
		return "the certificate fits more than one tenant";
	case TLS_BAD_CHAIN:
		return "the certificate does not lead to the tenant's authority";
	case TLS_WEAK:
		return "a key or a signature on the way to the tenant's authority is too weak";
	case TLS_REVOKED:
		return "the certificate, or one on the way to the tenant's authority, was revoked";
	case TLS_NO_CRL:
		return "no valid revocation list covers the certificate";
	case TLS_NO_MEMORY:
		return "no memory to look at the certificate";
	}
	return "unknown verdict";
}

static void
note_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int index, long argl, void *argp)
{
	struct note *n = ptr;

	(void)parent, (void)ad, (void)index, (void)argl, (void)argp;
	if (n != NULL)
		X509_free(n->leaf);
	alloc_free(n);
}

/* --- the check of the client's certificate --- */

static enum tls_verdict
check_dates(const X509 *leaf)
{
	int64_t now = clock_wall(), from, until;

	/* what cannot be read counts as bad; X509_cmp_time() needs memory, and says so too without */
	if (!pem_seconds(X509_get0_notBefore(leaf), &from) || from > now)
		return TLS_NOT_YET_VALID;
	if (!pem_seconds(X509_get0_notAfter(leaf), &until) || until <= now)
		return TLS_EXPIRED;
	return TLS_KNOWN;
}

static enum tls_verdict
judge(struct tls_server *t, struct note *n, STACK_OF(X509) *chain)
{
	const struct tls_shown shown = {n->sha256, n->leaf, chain, false};
	bool ignore_dates = false;
	enum tls_verdict v = t->check(t->check_arg, &shown, &ignore_dates);

	return v == TLS_KNOWN && !ignore_dates ? check_dates(n->leaf) : v;
}

static int
alert_for(enum tls_verdict v)
{
	switch (v) {
	case TLS_EXPIRED:
	case TLS_NOT_YET_VALID:
		return SSL_AD_CERTIFICATE_EXPIRED;
	case TLS_AMBIGUOUS:
		return SSL_AD_ACCESS_DENIED;
	case TLS_WEAK:
		return SSL_AD_BAD_CERTIFICATE;
	case TLS_REVOKED:
		return SSL_AD_CERTIFICATE_REVOKED;
	case TLS_NO_MEMORY:
		return SSL_AD_INTERNAL_ERROR;
	case TLS_KNOWN:
	case TLS_NONE:
	case TLS_UNKNOWN:
	case TLS_BAD_CHAIN:
	case TLS_NO_CRL:
		break;
	}
	return SSL_AD_UNKNOWN_CA;
}

/* From which OpenSSL derives the same. */
static int
error_for(enum tls_verdict v)
{
	switch (alert_for(v)) {
	case SSL_AD_CERTIFICATE_EXPIRED:
		return X509_V_ERR_CERT_HAS_EXPIRED;
	case SSL_AD_BAD_CERTIFICATE:
		return X509_V_ERR_EE_KEY_TOO_SMALL;
	case SSL_AD_CERTIFICATE_REVOKED:
		return X509_V_ERR_CERT_REVOKED;
	case SSL_AD_INTERNAL_ERROR:
		return X509_V_ERR_OUT_OF_MEM;
	default:
		return X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY;
	}
}

/* Lets the handshake run on, or ends it here. */
static int
answer(X509_STORE_CTX *x, struct note *n, SSL *ssl)
{
	bool refused = n->verdict != TLS_KNOWN && n->verdict != TLS_NO_MEMORY;

	if (n->verdict == TLS_KNOWN ||
	    (refused && refusal_put_off(&n->refusal, ssl, n->leaf, alert_for(n->verdict)))) {
		X509_STORE_CTX_set_error(x, X509_V_OK);
		return 1;
	}
	X509_STORE_CTX_set_error(x, error_for(n->verdict));
	return 0;
}

/* In the place of what a ticket said that was not taken after all. */
static bool
set_note(SSL *ssl, struct note *n)
{
	struct note *old = SSL_get_ex_data(ssl, note_index);

	if (SSL_set_ex_data(ssl, note_index, n) != 1)
		return false;
	note_free(NULL, old, NULL, 0, 0, NULL);
	return true;
}

/* Takes the place of chain building: whose the leaf is, the check knows. */
static int
verify_client(X509_STORE_CTX *x, void *arg)
{
	struct tls_server *t = arg;
	SSL *ssl = X509_STORE_CTX_get_ex_data(x, SSL_get_ex_data_X509_STORE_CTX_idx());
	X509 *leaf = X509_STORE_CTX_get0_cert(x);
	struct note *n = alloc_zero(sizeof(*n));

	X509_STORE_CTX_set_error(x, X509_V_ERR_OUT_OF_MEM);
	if (n == NULL)
		return 0;
	if (X509_digest(leaf, t->sha256, n->sha256, NULL) != 1 ||
	    (leaf = leaves_share(&t->leaves, x, n->sha256)) == NULL || !set_note(ssl, n)) {
		alloc_free(n);
		return 0;
	}
	X509_up_ref(leaf);
	n->leaf = leaf;
	n->verdict = judge(t, n, X509_STORE_CTX_get0_untrusted(x));
	if (n->verdict == TLS_KNOWN)
		leaves_keep(&t->leaves, leaf, n->sha256);
	ERR_clear_error();
	return answer(x, n, ssl);
}

/* Whether the ticket's client would be let in now; its proof is that it has the session's secret. */
static bool
resumes(struct tls_server *t, SSL *ssl, SSL_SESSION *session)
{
	X509 *leaf = SSL_SESSION_get0_peer(session);
	struct note *n = leaf != NULL ? alloc_zero(sizeof(*n)) : NULL;

	if (n == NULL)
		return false;
	if (X509_digest(leaf, t->sha256, n->sha256, NULL) == 1)
		n->leaf = leaves_whole(&t->leaves, leaf, n->sha256);
	if (n->leaf != NULL)
		n->verdict = judge(t, n, NULL);
	if (n->verdict == TLS_KNOWN && set_note(ssl, n))
		return true;
	note_free(NULL, n, NULL, 0, 0, NULL);
	return false;
}

/* Whoever is not let in by a ticket has a full handshake, and is refused there. */
static SSL_TICKET_RETURN
take_ticket(SSL *ssl, SSL_SESSION *session, const unsigned char *name, size_t name_len,
    SSL_TICKET_STATUS status, void *arg)
{
	(void)name, (void)name_len;
	if ((status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW) ||
	    !resumes(arg, ssl, session))
		return SSL_TICKET_RETURN_IGNORE_RENEW;
	/* one of TLS 1.3 is for one connection, so that nobody sees who comes again */
	return status == SSL_TICKET_SUCCESS && SSL_version(ssl) != TLS1_3_VERSION
		? SSL_TICKET_RETURN_USE
		: SSL_TICKET_RETURN_USE_RENEW;
}

void
tls_peer(struct ssl_st *ssl, struct tls_peer *out)
{
	const struct note *n = SSL_get_ex_data(ssl, note_index);

	*out = (struct tls_peer){.verdict = TLS_NONE};
	if (n == NULL)
		return;
	out->verdict = n->verdict;
	out->have_digest = true;
	out->resumed = SSL_session_reused(ssl) == 1;
	memcpy(out->sha256, n->sha256, sizeof(out->sha256));
	certificate_subject_cut(n->leaf, out->subject);
	if (n->refusal.proven && X509_up_ref(n->leaf) == 1)
		out->proven = n->leaf;
}

void
tls_peer_fini(struct tls_peer *p)
{
	X509_free(p->proven);
	p->proven = NULL;
}

size_t
tls_last_words(struct ssl_st *ssl, bool done, uint8_t out[TLS_LAST_WORDS_MAX])
{
	struct note *n = SSL_get_ex_data(ssl, note_index);

	return n != NULL ? refusal_words(&n->refusal, ssl, done, out) : 0;
}

/* --- making the server's side --- */

/* What SSL_CTX_use_cert_and_key() minded, as a sentence for who wrote the configuration. */
static enum err
refuse_pair(const char *certificate, const char *key, const char **why)
{
	switch (ERR_GET_REASON(ERR_peek_last_error())) {
	case SSL_R_NOT_REPLACING_CERTIFICATE:
		return why_say(why, ERR_CONFIG,
		    "%s: there is a certificate of the same key type already; give one RSA and one "
		    "ECDSA certificate at most", certificate);
	case SSL_R_EE_KEY_TOO_SMALL:
	case SSL_R_CA_KEY_TOO_SMALL:
	case SSL_R_CA_MD_TOO_WEAK:
		return why_say(why, ERR_CONFIG,
		    "%s: its key or signature is too weak; use RSA with 2048 bits or more, or ECDSA, "
		    "and SHA-256", certificate);
	case SSL_R_UNKNOWN_CERTIFICATE_TYPE:
		return why_say(why, ERR_CONFIG,
		    "%s: TLS cannot use a key of this type; use RSA or ECDSA", certificate);
	default:
		return why_say(why, ERR_CONFIG,
		    "%s does not belong to the certificate in %s; give keys and certificates in the "
		    "same order", key, certificate);
	}
}

static enum err
use_pair(struct tls_server *t, const char *certificate, const char *key_path, const char **why)
{
	STACK_OF(X509) *chain;
	EVP_PKEY *key;
	X509 *leaf;
	enum err e = pem_certificates(certificate, &chain, why);

	if (e != ERR_OK)
		return e;
	e = pem_private_key(key_path, &key, why);
	if (e != ERR_OK) {
		sk_X509_pop_free(chain, X509_free);
		return e;
	}
	leaf = sk_X509_shift(chain);
	key = algorithms_own_key(key);
	ERR_clear_error();
	if (X509_check_purpose(leaf, -1, 0) != 1) /* OpenSSL would take it, and then not use it */
		e = why_say(why, ERR_CONFIG, "%s: its extensions cannot be read: %s", certificate,
		    pem_openssl_reason());
	else if (SSL_CTX_use_cert_and_key(t->ctx, leaf, key, chain, 0) != 1)
		e = refuse_pair(certificate, key_path, why);
	else if (certificate_describe(leaf, &t->own[t->own_count]) != ERR_OK)
		e = why_say(why, ERR_CONFIG, "%s: its date of expiry cannot be read", certificate);
	else
		t->own_count++;
	X509_free(leaf);
	EVP_PKEY_free(key);
	sk_X509_pop_free(chain, X509_free);
	return e;
}

static enum err
load_pairs(struct tls_server *t, const struct tls_params *p, const char **why)
{
	size_t n = 0;
	enum err e;

	for (; p->certificates[n] != NULL && p->private_keys[n] != NULL; n++) {
		if (n == CERTIFICATES_MAX)
			return why_say(why, ERR_CONFIG, "more than %d server certificates",
			    CERTIFICATES_MAX);
		e = use_pair(t, p->certificates[n], p->private_keys[n], why);
		if (e != ERR_OK)
			return e;
	}
	if (p->certificates[n] != NULL)
		return why_say(why, ERR_CONFIG, "%s has no private key beside it",
		    p->certificates[n]);
	if (p->private_keys[n] != NULL)
		return why_say(why, ERR_CONFIG, "%s has no certificate beside it",
		    p->private_keys[n]);
	if (n == 0)
		return why_say(why, ERR_CONFIG, "no server certificate is given");
	return ERR_OK;
}

/* Nothing of a session outlives it, but for tickets: no cache, no early data, no renegotiation. */
static bool
set_options(struct tls_server *t, const struct tls_params *p)
{
	SSL_CTX *c = t->ctx;

	SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET |
	    SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_CLEANSE_PLAINTEXT);
	/* else a client that sends KeyUpdates only would hold the loop inside SSL_read() */
	SSL_CTX_clear_mode(c, SSL_MODE_AUTO_RETRY);
	SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_NO_AUTO_CHAIN);
	SSL_CTX_set_max_send_fragment(c, SEND_RECORD);
	SSL_CTX_set_read_ahead(c, 1); /* a flight in one read(), not two for each record */
	SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_max_cert_list(c, CLIENT_CHAIN_MAX);
	SSL_CTX_set_security_level(c, SECURITY_LEVEL);
	SSL_CTX_set_verify(c, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_cert_verify_callback(c, verify_client, t);
	return refusal_prepare(c) && SSL_CTX_set_num_tickets(c, 0) == 1 &&
	    SSL_CTX_set_max_early_data(c, 0) == 1 &&
	    SSL_CTX_set_session_id_context(c, (const unsigned char *)"keyferry", 8) == 1 &&
	    SSL_CTX_set_min_proto_version(c, p->min_version_13 ? TLS1_3_VERSION : TLS1_2_VERSION) ==
	    1 && SSL_CTX_set_max_proto_version(c, TLS1_3_VERSION) == 1 &&
	    SSL_CTX_set1_groups_list(c, groups) == 1 &&
	    SSL_CTX_set_cipher_list(c, p->legacy_cbc ? MODERN ":" LEGACY : MODERN) == 1;
}

static enum err
allow_resumption(struct tls_server *t, const struct tls_params *p, const char **why)
{
	enum err e = tickets_new(&t->tickets, p->loop, p->ticket_key_file, p->resumption_12, why);

	if (e != ERR_OK)
		return e;
	if (!tickets_use(t->tickets, t->ctx) ||
	    SSL_CTX_set_session_ticket_cb(t->ctx, NULL, take_ticket, t) != 1)
		return why_say(why, ERR_CRYPTO, "OpenSSL refused session tickets: %s",
		    pem_openssl_reason());
	return ERR_OK;
}

enum err
tls_server_new(struct tls_server **out, const struct tls_params *p, const char **why)
{
	struct tls_server *t = alloc_zero(sizeof(*t));
	uint64_t failures = alloc_failures();
	enum err e;

	if (note_index < 0)
		note_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, note_free);
	if (t == NULL || note_index < 0) {
		alloc_free(t);
		return why_say(why, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	}
	t->refs = 1;
	t->check = p->check;
	t->check_arg = p->check_arg;
	t->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	t->ctx = SSL_CTX_new_ex(algorithms_for_tls(), NULL, TLS_server_method());
	if (t->sha256 == NULL || t->ctx == NULL || !set_options(t, p))
		e = why_say(why, ERR_CRYPTO, "OpenSSL refused the TLS settings: %s",
		    pem_openssl_reason());
	else
		e = load_pairs(t, p, why);
	if (e == ERR_OK && p->resumption)
		e = allow_resumption(t, p, why);
	/* without memory OpenSSL leaves out ciphers and kinds of signatures, and calls that success */
	if (e == ERR_OK && alloc_failures() != failures)
		e = why_say(why, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	ERR_clear_error();
	if (e != ERR_OK) {
		tls_server_unref(t);
		return e;
	}
	*out = t;
	return ERR_OK;
}

struct tls_server *
tls_server_ref(struct tls_server *t)
{
	t->refs++;
	return t;
}

void
tls_server_unref(struct tls_server *t)
{
	if (t == NULL)
		return;
	assert(t->refs > 0);
	if (--t->refs > 0)
		return;
	SSL_CTX_free(t->ctx);
	tickets_free(t->tickets);
	leaves_fini(&t->leaves);
	EVP_MD_free(t->sha256);
	alloc_free(t);
}

void
tls_server_retire(struct tls_server *t)
{
	if (t->tickets != NULL)
		tickets_end(t->tickets);
}

bool
tls_shown(struct ssl_st *ssl, struct tls_shown *out)
{
	const struct note *n = SSL_get_ex_data(ssl, note_index);

	if (n != NULL)
		*out = (struct tls_shown){n->sha256, n->leaf, SSL_get_peer_cert_chain(ssl),
		    SSL_is_init_finished(ssl) == 1};
	return n != NULL;
}

const struct certificate_text *
tls_server_certificate(const struct tls_server *t, size_t n)
{
	return n < t->own_count ? &t->own[n] : NULL;
}

struct ssl_st *
tls_server_ssl(struct tls_server *t)
{
	SSL *ssl = SSL_new(t->ctx);

	if (ssl != NULL)
		SSL_set_accept_state(ssl);
	else
		ERR_clear_error();
	return ssl;
}

/*
 * Also in a handshake that began while there were tickets.  In TLS 1.3 OpenSSL must not ask for a key then:
 * where it gets none it sends a ticket that no client can read (before 3.0.6), or drops a refusal as well.
 */
static void
give_no_ticket(SSL *ssl)
{
	const struct note *n = SSL_get_ex_data(ssl, note_index);

	SSL_set_options(ssl, SSL_OP_NO_TICKET);
	if (n == NULL || n->refusal.alert == 0) /* a refusal takes a ticket's place */
		(void)SSL_set_num_tickets(ssl, 0);
}

/*
 * A ticket's certificate is read with the algorithms of the default library context, whatever the
 * server's is: so ours is that for the moment, without its key.
 */
int
tls_server_handshake(struct tls_server *t, struct ssl_st *ssl)
{
	OSSL_LIB_CTX *ours = t->tickets != NULL ? algorithms_for_tls() : NULL, *before;
	int ret;

	if (t->tickets != NULL && tickets_ended(t->tickets))
		give_no_ticket(ssl);
	if (ours == NULL)
		return SSL_do_handshake(ssl);
	before = OSSL_LIB_CTX_set0_default(ours);
	ret = SSL_do_handshake(ssl);
	OSSL_LIB_CTX_set0_default(before);
	return ret;
}
