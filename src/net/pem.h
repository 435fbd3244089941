/* SPDX-License-Identifier: Apache-2.0 */
/* Reading PEM files so that each failure is a sentence with the file's name and the remedy. */
#ifndef NET_PEM_H
#define NET_PEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/x509.h>

#include "base/err.h"
#include "base/trusted.h"

/* The newest entry of OpenSSL's error queue in words; static storage of OpenSSL's. */
const char *pem_openssl_reason(void);

/* Of a date, since 1970; false when it cannot be read. */
bool pem_seconds(const ASN1_TIME *t, int64_t *out);

/* All certificates of a file, one at least.  The caller frees them. */
CHECKED enum err pem_certificates(const char *path, STACK_OF(X509) **out, const char **why);

/* DER, as it stands in the file; false ends it. */
typedef bool pem_take_fn(void *arg, const uint8_t *der, size_t len);
/* Hands out each of a file of that kind, without a look into it; one at least. */
CHECKED enum err pem_each_certificate(const char *path, enum trusted kind, pem_take_fn *take,
    void *arg, const char **why);

/* All revocation lists of a file, PEM or one in DER; one at least.  The caller frees them. */
CHECKED enum err pem_crls(const char *path, STACK_OF(X509_CRL) **out, const char **why);

/*
 * The private key of a file that nobody but its owner may read, by way of the secure heap.  Never
 * asks for a passphrase.
 */
CHECKED enum err pem_private_key(const char *path, EVP_PKEY **out, const char **why);

#endif
