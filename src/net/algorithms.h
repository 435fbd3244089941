/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of OpenSSL that a TLS server uses, as library contexts of its own.
 *
 * For each certificate that a client shows OpenSSL 3 weighs every kind of key, and every decoder for
 * every format, that it could have.  A handshake knows what it gets: a SubjectPublicKeyInfo in DER.
 * In these contexts there is nothing else, and what would take half of a handshake's time is quick.
 * The algorithms are those of OpenSSL's default provider, which is asked for everything.
 */
#ifndef NET_ALGORITHMS_H
#define NET_ALGORITHMS_H

#include <openssl/types.h>

/*
 * For SSL_CTX_new_ex().  It has no decoders: OpenSSL reads clients' certificates without their keys, as
 * nearly all are known already, key and all (leaves).  Lives as long as the process.  NULL, OpenSSL's
 * usual context, when OpenSSL is set up with another provider than `default' alone (FIPS, a token):
 * then that is used as it is.
 */
OSSL_LIB_CTX *algorithms_for_tls(void);
/* The same with decoders, for certificates that are to have their keys.  NULL when that is NULL. */
OSSL_LIB_CTX *algorithms_for_certificates(void);

/*
 * The same private key, which it takes, in that context: OpenSSL would make and keep a copy of it
 * there on first use.  When that is not possible the key comes back as it was.
 */
EVP_PKEY *algorithms_own_key(EVP_PKEY *key);

#endif
