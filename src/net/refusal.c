/* SPDX-License-Identifier: Apache-2.0 */
/* Refusing a client only after its proof: the header says how. */
#include "refusal.h"

#include <string.h>

#include "net/certificate.h"

enum {
	EXTENSION = 0xff4b, /* of the private range; never seen on the wire */
	RSA_BITS_MAX = 8192, /* what verifying costs grows with the square */
};

static int refusal_index = -1;

/* OpenSSL writes a ticket: only ever for who is to be refused. */
static int
refuse_in_ticket(SSL *ssl, unsigned type, unsigned context, const unsigned char **out, size_t *len,
    X509 *x, size_t chain_index, int *alert, void *arg)
{
	struct refusal *r = SSL_get_ex_data(ssl, refusal_index);

	(void)type, (void)context, (void)out, (void)len, (void)x, (void)chain_index, (void)arg;
	if (r == NULL || r->alert == 0)
		return 0;
	r->proven = true;
	*alert = r->alert;
	return -1;
}

bool
refusal_prepare(SSL_CTX *ctx)
{
	if (refusal_index < 0)
		refusal_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	return refusal_index >= 0 &&
	    SSL_CTX_add_custom_ext(ctx, EXTENSION,
		SSL_EXT_TLS1_3_ONLY | SSL_EXT_TLS1_3_NEW_SESSION_TICKET, refuse_in_ticket, NULL, NULL,
		NULL, NULL) == 1;
}

static bool
is_cheap(const X509 *leaf)
{
	const EVP_PKEY *key = X509_get0_pubkey(leaf);

	return key != NULL && EVP_PKEY_get_bits(key) <= RSA_BITS_MAX &&
	    certificate_key_unfit(leaf) == NULL &&
	    (EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_is_a(key, "RSA-PSS") ||
		EVP_PKEY_is_a(key, "EC") || EVP_PKEY_is_a(key, "ED25519"));
}

static bool
hold_output(SSL *ssl)
{
	BIO *memory = BIO_new(BIO_s_mem());

	if (memory != NULL)
		SSL_set0_wbio(ssl, memory);
	return memory != NULL;
}

bool
refusal_put_off(struct refusal *r, SSL *ssl, const X509 *leaf, int alert)
{
	if (!is_cheap(leaf) || SSL_set_ex_data(ssl, refusal_index, r) != 1)
		return false;
	if (SSL_version(ssl) == TLS1_3_VERSION) {
		if (SSL_set_num_tickets(ssl, 1) != 1)
			return false;
	} else if (!hold_output(ssl)) {
		return false;
	} else {
		r->held = true;
	}
	r->alert = alert;
	return true;
}

size_t
refusal_words(struct refusal *r, SSL *ssl, bool done, uint8_t out[REFUSAL_WORDS_MAX])
{
	/* a record of TLS 1.2 that holds a fatal alert */
	const uint8_t record[] = {SSL3_RT_ALERT, TLS1_2_VERSION_MAJOR, TLS1_2_VERSION_MINOR, 0, 2,
	    SSL3_AL_FATAL, (uint8_t)r->alert};
	int n;

	r->proven |= done && r->alert != 0;
	if (!r->held)
		return 0;
	if (done) {
		r->held = false;
		memcpy(out, record, sizeof(record));
		return sizeof(record);
	}
	n = BIO_read(SSL_get_wbio(ssl), out, REFUSAL_WORDS_MAX); /* OpenSSL's own alert, if any */
	return n > 0 ? (size_t)n : 0;
}
