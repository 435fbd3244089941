/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Refusing a client only after it has proved that the certificate's private key is its own.
 *
 * OpenSSL asks whether a certificate is good before it looks at the proof, and knows no later no.
 * So the check says yes, the handshake runs on, and ends in our alert at the first moment after the
 * proof:
 *   TLS 1.3  as soon as the client's Finished was good OpenSSL wants to send a ticket, which it
 *            does for refused clients only; an extension of ours in it fails with the alert we
 *            want.  Should it send none, the handshake is done and the caller closes without one.
 *   TLS 1.2  from the check on OpenSSL writes to memory.  When the handshake is done, that holds
 *            the server's ChangeCipherSpec and Finished, which nobody ever sees; the client gets
 *            the alert in their place, in the clear, as it gets any alert at this point.
 */
#ifndef NET_REFUSAL_H
#define NET_REFUSAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/ssl.h>

/* Zero it.  Part of what is kept with an SSL. */
struct refusal {
	int alert;   /* 0: nothing is refused */
	bool proven; /* the proof came, and was good */
	bool held;   /* OpenSSL writes to memory */
};

/* Makes a server's context able to do it. */
bool refusal_prepare(SSL_CTX *ctx);

/*
 * In the check of the certificate.  False: the key is of a kind whose proof costs too much, or
 * there is no memory; then refuse at once.  r lives as long as the SSL.
 */
bool refusal_put_off(struct refusal *r, SSL *ssl, const X509 *leaf, int alert);

enum { REFUSAL_WORDS_MAX = 64 };
/*
 * After SSL_do_handshake(): what has to go to the client as it is, past OpenSSL; its length, mostly
 * 0.  done: the handshake is complete.
 */
size_t refusal_words(struct refusal *r, SSL *ssl, bool done, uint8_t out[REFUSAL_WORDS_MAX]);

#endif
