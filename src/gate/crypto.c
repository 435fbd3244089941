/* SPDX-License-Identifier: Apache-2.0 */
/* Ciphers, MACs, digests and key wrap over OpenSSL's EVP. */
#include "crypto.h"

#include <assert.h>
#include <stdio.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "base/alloc.h"
#include "kmip/names.h"

struct crypto {
	bool encrypt, padded, gcm;
	size_t tag_len, total;
	/* one of them */
	EVP_CIPHER_CTX *cipher;
	EVP_MAC_CTX *mac;
	EVP_MD_CTX *hash;
};

/* Nobody asks OpenSSL why: what it queued would be taken for another's. */
static enum err
judge(bool ok)
{
	if (ok)
		return ERR_OK;
	ERR_clear_error();
	return ERR_CRYPTO;
}

/* --- what is fetched --- */

static const struct mode {
	uint32_t mode;
	const char *name;
	size_t iv_len;
} modes[] = {
    {KMIP_BLOCK_CIPHER_MODE_ECB, "ECB", 0},
    {KMIP_BLOCK_CIPHER_MODE_CBC, "CBC", CRYPTO_BLOCK},
    {KMIP_BLOCK_CIPHER_MODE_CTR, "CTR", CRYPTO_BLOCK},
    {KMIP_BLOCK_CIPHER_MODE_GCM, "GCM", 12},
    {KMIP_BLOCK_CIPHER_MODE_NISTKEYWRAP, "WRAP", 0},
    {KMIP_BLOCK_CIPHER_MODE_AESKEYWRAPPADDING, "WRAP-PAD", 0},
};
enum { MODES = sizeof(modes) / sizeof(modes[0]), AES_KEYS = 3 };

static const struct digest {
	uint32_t hash, hmac;
	const char *name;
} digests[] = {
    {KMIP_HASHING_ALGORITHM_SHA_1, KMIP_CRYPTOGRAPHIC_ALGORITHM_HMAC_SHA1, "SHA1"},
    {KMIP_HASHING_ALGORITHM_SHA_224, KMIP_CRYPTOGRAPHIC_ALGORITHM_HMAC_SHA224, "SHA224"},
    {KMIP_HASHING_ALGORITHM_SHA_256, KMIP_CRYPTOGRAPHIC_ALGORITHM_HMAC_SHA256, "SHA256"},
    {KMIP_HASHING_ALGORITHM_SHA_384, KMIP_CRYPTOGRAPHIC_ALGORITHM_HMAC_SHA384, "SHA384"},
    {KMIP_HASHING_ALGORITHM_SHA_512, KMIP_CRYPTOGRAPHIC_ALGORITHM_HMAC_SHA512, "SHA512"},
};
enum { DIGESTS = sizeof(digests) / sizeof(digests[0]) };

static const struct mode *
mode_of(uint32_t mode)
{
	for (size_t i = 0; i < MODES; i++)
		if (modes[i].mode == mode)
			return &modes[i];
	return NULL;
}

static EVP_CIPHER *
fetch_aes(const struct mode *m, size_t key_len)
{
	static EVP_CIPHER *fetched[MODES][AES_KEYS];
	EVP_CIPHER **at;
	char name[32];

	if (key_len != 16 && key_len != 24 && key_len != 32)
		return NULL;
	at = &fetched[m - modes][key_len / 8 - 2];
	if (*at == NULL) {
		snprintf(name, sizeof(name), "AES-%zu-%s", key_len * 8, m->name);
		*at = EVP_CIPHER_fetch(NULL, name, NULL);
	}
	return *at;
}

static EVP_MD *
fetch_digest(const struct digest *d)
{
	static EVP_MD *fetched[DIGESTS];
	EVP_MD **at = &fetched[d - digests];

	if (*at == NULL)
		*at = EVP_MD_fetch(NULL, d->name, NULL);
	return *at;
}

static EVP_MAC *
fetch_mac(bool cmac)
{
	static EVP_MAC *fetched[2];
	EVP_MAC **at = &fetched[cmac];

	if (*at == NULL)
		*at = EVP_MAC_fetch(NULL, cmac ? "CMAC" : "HMAC", NULL);
	return *at;
}

size_t
crypto_iv_len(uint32_t mode)
{
	const struct mode *m = mode_of(mode);

	return m != NULL ? m->iv_len : 0;
}

bool
crypto_wraps(uint32_t mode)
{
	return mode == KMIP_BLOCK_CIPHER_MODE_NISTKEYWRAP ||
	    mode == KMIP_BLOCK_CIPHER_MODE_AESKEYWRAPPADDING;
}

/* --- begin --- */

void
crypto_free(struct crypto *c)
{
	if (c == NULL)
		return;
	EVP_CIPHER_CTX_free(c->cipher);
	EVP_MAC_CTX_free(c->mac);
	EVP_MD_CTX_free(c->hash);
	alloc_free(c);
}

static enum err
check_cipher(const struct crypto_cipher *p, const struct mode *m)
{
	bool blocks = p->mode == KMIP_BLOCK_CIPHER_MODE_ECB || p->mode == KMIP_BLOCK_CIPHER_MODE_CBC;

	if (m == NULL || crypto_wraps(p->mode))
		return ERR_ALGORITHM;
	if (p->padding != 0 && p->padding != KMIP_PADDING_METHOD_NONE &&
	    (!blocks || p->padding != KMIP_PADDING_METHOD_PKCS5))
		return ERR_ALGORITHM;
	if (p->mode != KMIP_BLOCK_CIPHER_MODE_GCM)
		return p->iv_len == m->iv_len ? ERR_OK : ERR_INVALID_FIELD;
	if (p->tag_len < CRYPTO_TAG_MIN || p->tag_len > CRYPTO_TAG_MAX)
		return ERR_TAG_LENGTH;
	return p->iv_len > 0 && p->iv_len <= CRYPTO_IV_MAX ? ERR_OK : ERR_INVALID_FIELD;
}

static bool
init_cipher(struct crypto *c, const struct crypto_cipher *p, EVP_CIPHER *aes)
{
	size_t iv_len = p->iv_len;
	OSSL_PARAM params[] = {
	    OSSL_PARAM_construct_size_t(OSSL_CIPHER_PARAM_IVLEN, &iv_len), OSSL_PARAM_END};

	c->cipher = EVP_CIPHER_CTX_new();
	return c->cipher != NULL &&
	    EVP_CipherInit_ex2(c->cipher, aes, NULL, NULL, p->encrypt, c->gcm ? params : NULL) == 1 &&
	    EVP_CipherInit_ex2(c->cipher, NULL, secret_bytes(p->key), p->iv, p->encrypt, NULL) == 1 &&
	    EVP_CIPHER_CTX_set_padding(c->cipher, c->padded) == 1;
}

enum err
crypto_cipher_new(struct crypto **out, const struct crypto_cipher *p)
{
	const struct mode *m = mode_of(p->mode);
	enum err e = check_cipher(p, m);
	EVP_CIPHER *aes;
	struct crypto *c;

	if (e != ERR_OK)
		return e;
	aes = fetch_aes(m, secret_len(p->key));
	if (aes == NULL)
		return ERR_ALGORITHM;
	c = alloc_zero(sizeof(*c));
	if (c == NULL)
		return ERR_NO_MEMORY;
	c->encrypt = p->encrypt;
	c->padded = p->padding == KMIP_PADDING_METHOD_PKCS5;
	c->gcm = p->mode == KMIP_BLOCK_CIPHER_MODE_GCM;
	c->tag_len = p->tag_len;
	if (!init_cipher(c, p, aes)) {
		crypto_free(c);
		return judge(false);
	}
	*out = c;
	return ERR_OK;
}

static const struct digest *
digest_of_hmac(uint32_t algorithm)
{
	for (size_t i = 0; i < DIGESTS; i++)
		if (digests[i].hmac == algorithm)
			return &digests[i];
	return NULL;
}

uint32_t
crypto_hmac_of(uint32_t hash)
{
	for (size_t i = 0; i < DIGESTS; i++)
		if (digests[i].hash == hash)
			return digests[i].hmac;
	return 0;
}

static bool
init_mac(struct crypto *c, const char *param, const char *name, struct secret *key)
{
	OSSL_PARAM params[] = {
	    OSSL_PARAM_construct_utf8_string(param, (char *)(uintptr_t)name, 0), OSSL_PARAM_END};
	EVP_MAC *mac = fetch_mac(param[0] == OSSL_MAC_PARAM_CIPHER[0]);

	c->mac = mac != NULL ? EVP_MAC_CTX_new(mac) : NULL;
	return c->mac != NULL && EVP_MAC_init(c->mac, secret_bytes(key), secret_len(key), params) == 1;
}

enum err
crypto_mac_new(struct crypto **out, uint32_t algorithm, struct secret *key)
{
	const struct digest *d = digest_of_hmac(algorithm);
	EVP_CIPHER *aes = NULL;
	struct crypto *c;
	bool ok;

	if (algorithm == KMIP_CRYPTOGRAPHIC_ALGORITHM_AES)
		aes = fetch_aes(mode_of(KMIP_BLOCK_CIPHER_MODE_CBC), secret_len(key));
	if (d == NULL && aes == NULL)
		return ERR_ALGORITHM;
	c = alloc_zero(sizeof(*c));
	if (c == NULL)
		return ERR_NO_MEMORY;
	ok = d != NULL ? init_mac(c, OSSL_MAC_PARAM_DIGEST, d->name, key)
		       : init_mac(c, OSSL_MAC_PARAM_CIPHER, EVP_CIPHER_get0_name(aes), key);
	if (!ok) {
		crypto_free(c);
		return judge(false);
	}
	*out = c;
	return ERR_OK;
}

enum err
crypto_hash_new(struct crypto **out, uint32_t hash)
{
	struct crypto *c;
	size_t i = 0;

	while (i < DIGESTS && digests[i].hash != hash)
		i++;
	if (i == DIGESTS)
		return ERR_ALGORITHM;
	c = alloc_zero(sizeof(*c));
	if (c == NULL)
		return ERR_NO_MEMORY;
	c->hash = EVP_MD_CTX_new();
	if (c->hash == NULL || EVP_DigestInit_ex2(c->hash, fetch_digest(&digests[i]), NULL) != 1) {
		crypto_free(c);
		return judge(false);
	}
	*out = c;
	return ERR_OK;
}

/* --- go on --- */

enum err
crypto_add_aad(struct crypto *c, const uint8_t *data, size_t len)
{
	int n;

	if (!c->gcm)
		return ERR_INVALID_FIELD;
	return judge(EVP_CipherUpdate(c->cipher, NULL, &n, data, (int)len) == 1);
}

static enum err
cipher_add(struct crypto *c, const uint8_t *data, size_t len, struct buf *out)
{
	uint8_t *at = buf_extend(out, len + CRYPTO_BLOCK);
	int n = 0;

	if (at == NULL)
		return buf_error(out);
	if (EVP_CipherUpdate(c->cipher, at, &n, data, (int)len) != 1)
		return judge(false);
	out->len -= len + CRYPTO_BLOCK - (size_t)n;
	c->total += len;
	return ERR_OK;
}

enum err
crypto_add(struct crypto *c, const uint8_t *data, size_t len, struct buf *out)
{
	if (len == 0)
		return ERR_OK;
	if (len > INT32_MAX)
		return ERR_INVALID_FIELD;
	if (c->cipher != NULL)
		return cipher_add(c, data, len, out);
	if (c->mac != NULL)
		return judge(EVP_MAC_update(c->mac, data, len) == 1);
	return judge(EVP_DigestUpdate(c->hash, data, len) == 1);
}

enum err
crypto_expect_tag(struct crypto *c, const uint8_t *tag, size_t len)
{
	uint8_t copy[CRYPTO_TAG_MAX];

	if (!c->gcm || c->encrypt || len != c->tag_len)
		return ERR_INVALID_FIELD;
	for (size_t i = 0; i < len; i++)
		copy[i] = tag[i];
	return judge(
	    EVP_CIPHER_CTX_ctrl(c->cipher, EVP_CTRL_AEAD_SET_TAG, (int)len, copy) == 1);
}

static enum err
cipher_end(struct crypto *c, struct buf *out)
{
	uint8_t last[CRYPTO_BLOCK];
	int n = 0;

	if (!c->padded && EVP_CIPHER_CTX_get_block_size(c->cipher) > 1 && c->total % CRYPTO_BLOCK != 0)
		return ERR_INVALID_FIELD;
	if (EVP_CipherFinal_ex(c->cipher, last, &n) != 1)
		return judge(false);
	buf_put(out, last, (size_t)n);
	OPENSSL_cleanse(last, sizeof(last));
	return buf_error(out);
}

enum err
crypto_end(struct crypto *c, struct buf *out)
{
	uint8_t result[CRYPTO_MAC_MAX];
	size_t len = 0;
	unsigned n = 0;
	bool ok;

	if (c->cipher != NULL)
		return cipher_end(c, out);
	if (c->mac != NULL) {
		ok = EVP_MAC_final(c->mac, result, &len, sizeof(result)) == 1;
	} else {
		ok = EVP_DigestFinal_ex(c->hash, result, &n) == 1;
		len = n;
	}
	if (ok)
		buf_put(out, result, len);
	OPENSSL_cleanse(result, sizeof(result));
	return ok ? buf_error(out) : judge(false);
}

enum err
crypto_again(struct crypto *c)
{
	assert(c->mac != NULL);
	return judge(EVP_MAC_init(c->mac, NULL, 0, NULL) == 1);
}

bool
crypto_has_tag(const struct crypto *c)
{
	return c->gcm && c->encrypt;
}

enum err
crypto_tag(struct crypto *c, uint8_t tag[CRYPTO_TAG_MAX], size_t *len)
{
	assert(crypto_has_tag(c));
	if (EVP_CIPHER_CTX_ctrl(c->cipher, EVP_CTRL_AEAD_GET_TAG, (int)c->tag_len, tag) != 1)
		return judge(false);
	*len = c->tag_len;
	return ERR_OK;
}

/* --- key wrap --- */

/* All at once; *n: what came out, of room bytes at out. */
static enum err
run_wrap(uint32_t mode, struct secret *key, bool wrap, const uint8_t *data, size_t len, uint8_t *out,
    int *n)
{
	EVP_CIPHER *aes = fetch_aes(mode_of(mode), secret_len(key));
	EVP_CIPHER_CTX *ctx;
	int last = 0;
	bool ok;

	if (aes == NULL)
		return ERR_ALGORITHM;
	ctx = EVP_CIPHER_CTX_new();
	if (ctx == NULL)
		return ERR_NO_MEMORY;
	EVP_CIPHER_CTX_set_flags(ctx, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
	ok = EVP_CipherInit_ex2(ctx, aes, secret_bytes(key), NULL, wrap, NULL) == 1 &&
	    EVP_CipherUpdate(ctx, out, n, data, (int)len) == 1 && *n > 0 &&
	    EVP_CipherFinal_ex(ctx, out + *n, &last) == 1;
	*n += last;
	EVP_CIPHER_CTX_free(ctx);
	return judge(ok);
}

static bool
fits_wrap(uint32_t mode, size_t len)
{
	if (len > INT32_MAX / 2)
		return false;
	return mode == KMIP_BLOCK_CIPHER_MODE_NISTKEYWRAP ? len >= 16 && len % 8 == 0 : len > 0;
}

enum err
crypto_wrap(uint32_t mode, struct secret *key, const uint8_t *data, size_t len, struct buf *out)
{
	size_t room = len + CRYPTO_BLOCK;
	uint8_t *at;
	enum err e;
	int n = 0;

	if (!fits_wrap(mode, len))
		return ERR_INVALID_FIELD;
	at = buf_extend(out, room);
	if (at == NULL)
		return buf_error(out);
	e = run_wrap(mode, key, true, data, len, at, &n);
	out->len -= room - (size_t)n;
	return e;
}

enum err
crypto_unwrap(uint32_t mode, struct secret *key, const uint8_t *data, size_t len,
    struct secret **out)
{
	struct secret *all, *exact;
	enum err e;
	int n = 0;

	if (len % 8 != 0 || len < 16 || !fits_wrap(mode, len))
		return ERR_CRYPTO;
	all = secret_new(len, SECRET_TRANSIENT);
	if (all == NULL)
		return ERR_NO_SECURE_MEMORY;
	e = run_wrap(mode, key, false, data, len, secret_bytes(all), &n);
	exact = e == ERR_OK ? secret_new((size_t)n, SECRET_TRANSIENT) : NULL;
	for (int i = 0; exact != NULL && i < n; i++)
		secret_bytes(exact)[i] = secret_bytes(all)[i];
	secret_unref(all);
	if (e == ERR_OK && exact == NULL)
		return ERR_NO_SECURE_MEMORY;
	*out = exact;
	return e;
}
