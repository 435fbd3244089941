/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of OpenSSL that a TLS server uses, as a library context of its own.
 *
 * For each certificate that a client shows OpenSSL 3 weighs every kind of key, and every decoder for
 * every format, that it could have.  A handshake knows what it gets: a SubjectPublicKeyInfo in DER.
 * In this context there is nothing else, and what would take half of a handshake's time is quick.
 * The algorithms are those of OpenSSL's default provider, which is asked for everything.
 */
#ifndef NET_ALGORITHMS_H
#define NET_ALGORITHMS_H

#include <openssl/types.h>

/*
 * For SSL_CTX_new_ex().  Lives as long as the process.  NULL, OpenSSL's usual context, when OpenSSL
 * is set up with another provider than `default' alone (FIPS, a token): then that is used as it is.
 */
OSSL_LIB_CTX *algorithms_for_tls(void);

/*
 * The same private key, which it takes, in that context: OpenSSL would make and keep a copy of it
 * there on first use.  When that is not possible the key comes back as it was.
 */
EVP_PKEY *algorithms_own_key(EVP_PKEY *key);

#endif
