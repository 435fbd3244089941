/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One X509 for all sessions that show the same certificate.  OpenSSL keeps what a client shows for
 * as long as its session lives, and a whole cluster shows one and the same.
 */
#ifndef NET_LEAVES_H
#define NET_LEAVES_H

#include <stddef.h>
#include <stdint.h>

#include <openssl/x509_vfy.h>

#include "net/tls.h"

enum { LEAVES_MAX = 64 };

/* Zero it.  The certificates of the latest that were accepted. */
struct leaves {
	struct leaf {
		uint8_t sha256[TLS_DIGEST_LEN];
		X509 *x509;
	} all[LEAVES_MAX];
	size_t next;
};

/*
 * In the check of a certificate with this digest, before its verdict: puts the X509 that is kept in
 * the place of the one that was read now, or else one that has its key; the bytes are the same.
 * Returns the client's leaf; NULL without memory.
 */
X509 *leaves_share(const struct leaves *ls, X509_STORE_CTX *x, const uint8_t *sha256);

/* Another reference to the one that is kept, or one to x with its key.  NULL without memory. */
X509 *leaves_whole(const struct leaves *ls, X509 *x, const uint8_t *sha256);

/* It was accepted: keeps it for those to come, in place of the eldest. */
void leaves_keep(struct leaves *ls, X509 *x509, const uint8_t *sha256);

void leaves_fini(struct leaves *ls);

#endif
