/* SPDX-License-Identifier: Apache-2.0 */
/* AES-GCM under one version of a root key. */
#include "wrapping.h"

#include <string.h>

#include <openssl/evp.h>
#include <openssl/rand.h>

#include "base/alloc.h"
#include "base/pack.h"

#include "body.h"
#include "keys_json.h"
#include "validate.h"

enum { IV_LEN = 16, TAG_LEN = 16, AAD_ROOM = AAD_MAX * (AAD_TEXT_MAX + 4) + 4 };
#define FORM_VERSION "4.0.0"

static const EVP_CIPHER *
cipher_of(const struct version *v)
{
	switch (v->len) {
	case 16:
		return EVP_aes_128_gcm();
	case 24:
		return EVP_aes_192_gcm();
	default:
		return EVP_aes_256_gcm();
	}
}

/* Number and lengths in front, so that no two lists look alike. */
static void
pack_aad(struct buf *b, yajl_val aad)
{
	size_t n = aad != NULL ? aad->u.array.len : 0;

	pack_u32(b, (uint32_t)n);
	for (size_t i = 0; i < n; i++)
		pack_text(b, YAJL_GET_STRING(aad->u.array.values[i]));
}

/* One pass of GCM over in, to out; the tag is written (seal) or compared. */
static bool
run_gcm(const struct version *v, bool seal, const uint8_t *iv, const struct buf *aad,
    const uint8_t *in, size_t len, uint8_t *out, uint8_t *tag)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int n = 0, rest = 0;
	bool good = ctx != NULL &&
		    EVP_CipherInit_ex(ctx, cipher_of(v), NULL, NULL, NULL, seal) == 1 &&
		    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_IVLEN, IV_LEN, NULL) == 1 &&
		    EVP_CipherInit_ex(ctx, NULL, NULL, v->material, iv, seal) == 1 &&
		    (seal || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_LEN, tag) == 1) &&
		    EVP_CipherUpdate(ctx, NULL, &n, aad->data, (int)aad->len) == 1 &&
		    EVP_CipherUpdate(ctx, out, &n, in, (int)len) == 1 &&
		    EVP_CipherFinal_ex(ctx, out + n, &rest) == 1 &&
		    (!seal || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_LEN, tag) == 1);

	EVP_CIPHER_CTX_free(ctx);
	return good;
}

bool
wrapping_seal(const struct version *v, yajl_val aad, const struct plaintext *p, struct buf *out)
{
	uint8_t iv[IV_LEN], sealed[PLAINTEXT_MAX + TAG_LEN];
	struct buf packed, form;
	struct json j;
	bool good;

	buf_init(&packed, AAD_ROOM);
	buf_init(&form, BASE64_MAX);
	pack_aad(&packed, aad);
	good = buf_error(&packed) == ERR_OK && RAND_bytes(iv, IV_LEN) == 1 &&
	       run_gcm(v, true, iv, &packed, p->bytes, p->len, sealed, sealed + p->len);
	if (good) {
		json_init(&j, &form);
		json_object(&j, NULL);
		keys_json_base64(&j, "ciphertext", sealed, p->len + TAG_LEN);
		keys_json_base64(&j, "iv", iv, IV_LEN);
		json_text(&j, "version", FORM_VERSION);
		json_text(&j, "handle", v->handle);
		json_object_end(&j);
		form.len--; /* without the newline that ends a document */
		good = buf_error(&form) == ERR_OK;
	}
	if (good)
		text_base64(out, form.data, form.len);
	buf_fini(&packed);
	buf_fini(&form);
	return good && buf_error(out) == ERR_OK;
}

static const struct version *
find_handle(const struct key *k, const char *handle)
{
	LIST_FOREACH(l, &k->versions)
	{
		const struct version *v = CONTAINER_OF(l, struct version, link);

		if (strcmp(v->handle, handle) == 0)
			return v;
	}
	return NULL;
}

/* Takes the form apart and decrypts. */
static bool
open_form(const struct key *k, yajl_val aad, yajl_val form, struct plaintext *p,
    const struct version **used)
{
	uint8_t sealed[PLAINTEXT_MAX + TAG_LEN], iv[IV_LEN];
	const char *ciphertext = NULL, *iv_text = NULL, *version = NULL, *handle = NULL;
	size_t len, iv_len;
	const struct version *v;
	struct buf packed;
	bool good;

	if (!body_only(form, " ciphertext iv version handle ") ||
	    !body_text(form, "ciphertext", &ciphertext) || !body_text(form, "iv", &iv_text) ||
	    !body_text(form, "version", &version) || !body_text(form, "handle", &handle) ||
	    ciphertext == NULL || iv_text == NULL || version == NULL || handle == NULL ||
	    strcmp(version, FORM_VERSION) != 0 ||
	    !validate_base64(ciphertext, sealed, sizeof(sealed), &len) || len <= TAG_LEN ||
	    !validate_base64(iv_text, iv, sizeof(iv), &iv_len) || iv_len != IV_LEN)
		return false;
	v = find_handle(k, handle);
	if (v == NULL)
		return false;
	buf_init(&packed, AAD_ROOM);
	pack_aad(&packed, aad);
	p->len = len - TAG_LEN;
	good = buf_error(&packed) == ERR_OK &&
	       run_gcm(v, false, iv, &packed, sealed, p->len, p->bytes, sealed + p->len);
	buf_fini(&packed);
	*used = v;
	return good;
}

bool
wrapping_open(const struct key *k, yajl_val aad, const char *ciphertext, struct plaintext *p,
    const struct version **used)
{
	uint8_t text[BASE64_MAX];
	size_t len;
	yajl_val form;
	bool good;

	if (!validate_base64(ciphertext, text, sizeof(text), &len))
		return false;
	form = body_parse((const char *)text, len);
	if (form == NULL)
		return false;
	good = open_form(k, aad, form, p, used);
	yajl_tree_free(form);
	return good;
}
