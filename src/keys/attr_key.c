/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of attributes. */
#include "attr_key.h"

#include <string.h>

#include <openssl/evp.h>

enum err
attr_key(const char *name, const void *value, size_t value_len, uint8_t out[ATTR_KEY_LEN])
{
	static EVP_MD *sha256; /* fetched once: by name it costs more than the hash */
	static EVP_MD_CTX *ctx;

	if (sha256 == NULL)
		sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (ctx == NULL)
		ctx = EVP_MD_CTX_new();
	if (sha256 == NULL || ctx == NULL || EVP_DigestInit_ex2(ctx, sha256, NULL) != 1 ||
	    EVP_DigestUpdate(ctx, name, strlen(name) + 1) != 1 ||
	    EVP_DigestUpdate(ctx, value, value_len) != 1 ||
	    EVP_DigestFinal_ex(ctx, out, NULL) != 1)
		return ERR_CRYPTO;
	return ERR_OK;
}

enum err
attr_keys_of(const struct object *o, struct attr_keys *k)
{
	enum err e = ERR_OK;

	k->count = k->names = 0;
	for (int names = 1; names >= 0; names--) {
		for (size_t i = 0; i < o->attrs_count && e == ERR_OK; i++) {
			const struct object_attr *at = &o->attrs[i];

			if ((strcmp(at->name, "Name") == 0) == (names == 1))
				e = attr_key(at->name, at->value, at->value_len,
				    k->key[k->count++]);
		}
		if (names == 1)
			k->names = object_is_destroyed(o) ? 0 : k->count;
	}
	return e;
}

bool
attr_keys_have(const struct attr_keys *k, size_t among, const uint8_t *key)
{
	for (size_t i = 0; i < among; i++)
		if (memcmp(k->key[i], key, ATTR_KEY_LEN) == 0)
			return true;
	return false;
}
