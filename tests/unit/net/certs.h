/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates and keys for tests, made on the spot. */
#ifndef TEST_CERTS_H
#define TEST_CERTS_H

#include <stdint.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "net/authority.h"

enum cert_key { CERT_EC, CERT_RSA };

struct identity {
	X509 *cert;
	EVP_PKEY *key;
};

/* Self-signed, valid from and until so many seconds from clock_wall().  Aborts on failure. */
struct identity identity_new(enum cert_key kind, const char *name, long from_s, long until_s);
/* The certificate of `of`, with a key that claims its public half but signs with another. */
struct identity identity_impostor(const struct identity *of);
void identity_free(struct identity *id);

/* One that may sign others, valid for a thousand days; and what it signs. */
struct identity identity_authority(void);
void identity_sign(struct identity *id, const struct identity *ca);
/* The one that trusts it. */
struct authority *identity_trusted(const struct identity *ca, const char *rule);

/* The same with an RSA key that has this public exponent. */
struct identity identity_of_exponent(uint64_t e, const char *name, long from_s, long until_s);

/* Gives it an extension that cannot be read. */
void identity_spoil(struct identity *id);

/* SHA-256 of the certificate's DER. */
void identity_digest(const struct identity *id, uint8_t *sha256);

/* Write PEM files; the key's with mode 0600.  passphrase may be NULL. */
void identity_write_cert(const struct identity *id, const char *path);
void identity_write_key(const struct identity *id, const char *path, const char *passphrase);

#endif
