/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be done with a key: ciphers, MACs, digests and key wrap, by KMIP's numbers.  OpenSSL's
 * algorithms are fetched at their first use and stay for as long as the process lives: a fetch by
 * name costs more than to encrypt a page.
 */
#ifndef GATE_CRYPTO_H
#define GATE_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/secret.h"

enum { CRYPTO_BLOCK = 16, CRYPTO_MAC_MAX = 64, CRYPTO_TAG_MAX = 16, CRYPTO_TAG_MIN = 12,
	CRYPTO_IV_MAX = 64 };

/* One computation, all at once or in parts. */
struct crypto;

struct crypto_cipher {
	bool encrypt;
	uint32_t mode, padding; /* KMIP Block Cipher Mode, Padding Method (0: none) */
	struct secret *key;	/* of AES; not kept */
	const uint8_t *iv;
	size_t iv_len;
	size_t tag_len; /* GCM */
};
/*
 * Key, mode, padding and IV have to fit together: ERR_ALGORITHM for what is not supported,
 * ERR_INVALID_FIELD for an IV of a wrong length, ERR_TAG_LENGTH, ERR_NO_MEMORY, ERR_CRYPTO.
 */
CHECKED enum err crypto_cipher_new(struct crypto **out, const struct crypto_cipher *p);
/* algorithm: KMIP Cryptographic Algorithm, one of HMAC's or AES, which is CMAC. */
CHECKED enum err crypto_mac_new(struct crypto **out, uint32_t algorithm, struct secret *key);
CHECKED enum err crypto_hash_new(struct crypto **out, uint32_t hash);
/* HMAC with that KMIP Hashing Algorithm as a Cryptographic Algorithm; 0: there is none. */
uint32_t crypto_hmac_of(uint32_t hash);
void crypto_free(struct crypto *c); /* NULL is allowed */

/* GCM only, before the data. */
CHECKED enum err crypto_add_aad(struct crypto *c, const uint8_t *data, size_t len);
/* What comes out, if anything does yet, goes behind what is in out. */
CHECKED enum err crypto_add(struct crypto *c, const uint8_t *data, size_t len, struct buf *out);
/* GCM, decrypting: before the end. */
CHECKED enum err crypto_expect_tag(struct crypto *c, const uint8_t *tag, size_t len);
/*
 * The rest: of a cipher its last block, else the MAC or digest.  ERR_INVALID_FIELD: without padding
 * the data has to be whole blocks.  ERR_CRYPTO: the padding or tag is not right.
 */
CHECKED enum err crypto_end(struct crypto *c, struct buf *out);
/* A MAC anew, with the same key. */
CHECKED enum err crypto_again(struct crypto *c);
/* Whether it ends in a tag: GCM, encrypting.  The tag, afterwards. */
bool crypto_has_tag(const struct crypto *c);
CHECKED enum err crypto_tag(struct crypto *c, uint8_t tag[CRYPTO_TAG_MAX], size_t *len);

/* The length of the IV that a mode wants; 0: none. */
size_t crypto_iv_len(uint32_t mode);
/* True of the cipher modes that crypto_wrap() knows. */
bool crypto_wraps(uint32_t mode);
/*
 * AES key wrap: NISTKeyWrap (RFC 3394, SP 800-38F KW), whose data is a multiple of 8 bytes, at least
 * 16; AESKeyWrapPadding (RFC 5649, KWP).  ERR_INVALID_FIELD for another length; unwrapping
 * ERR_CRYPTO when it was not wrapped by that key.
 */
CHECKED enum err crypto_wrap(uint32_t mode, struct secret *key, const uint8_t *data, size_t len,
    struct buf *out);
CHECKED enum err crypto_unwrap(uint32_t mode, struct secret *key, const uint8_t *data, size_t len,
    struct secret **out);

#endif
