/* SPDX-License-Identifier: Apache-2.0 */
/* Makes and opens envelopes. */
#include "envelope.h"

#include <assert.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/rand.h>

#include "base/alloc.h"

enum {
	IV_LEN = 12,
	TAG_LEN = 16,
	HASH_LEN = 32,
	AAD_MAX = 1 + 4 + TENANT_ID_MAX + 4 + UID_TEXT_LEN + HASH_LEN,
};

struct envelope_crypto {
	EVP_CIPHER *gcm;
	EVP_MD *sha256;
	EVP_CIPHER_CTX *cipher;
	EVP_MD_CTX *hash;
};

/* Where the parts of an envelope are, behind the clear one. */
struct places {
	uint32_t root_version;
	const uint8_t *iv, *wrapped, *tag;
	size_t wrapped_len;
};

struct envelope_crypto *
envelope_crypto_new(void)
{
	struct envelope_crypto *c = alloc_zero(sizeof(*c));

	if (c == NULL)
		return NULL;
	c->gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	c->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	c->cipher = EVP_CIPHER_CTX_new();
	c->hash = EVP_MD_CTX_new();
	if (c->gcm != NULL && c->sha256 != NULL && c->cipher != NULL && c->hash != NULL)
		return c;
	envelope_crypto_free(c);
	return NULL;
}

void
envelope_crypto_free(struct envelope_crypto *c)
{
	if (c == NULL)
		return;
	EVP_MD_CTX_free(c->hash);
	EVP_CIPHER_CTX_free(c->cipher);
	EVP_MD_free(c->sha256);
	EVP_CIPHER_free(c->gcm);
	alloc_free(c);
}

static bool
hash(struct envelope_crypto *c, const uint8_t *data, size_t len, uint8_t out[HASH_LEN])
{
	return EVP_DigestInit_ex2(c->hash, c->sha256, NULL) == 1 &&
	    EVP_DigestUpdate(c->hash, data, len) == 1 &&
	    EVP_DigestFinal_ex(c->hash, out, NULL) == 1;
}

enum err
envelope_digest(struct envelope_crypto *c, struct secret *key, uint8_t out[HASH_LEN])
{
	return hash(c, secret_bytes(key), secret_len(key), out) ? ERR_OK : ERR_CRYPTO;
}

enum err
envelope_hash(struct envelope_crypto *c, const void *data, size_t len, uint8_t out[HASH_LEN])
{
	return hash(c, data, len, out) ? ERR_OK : ERR_CRYPTO;
}

void
envelope_pack_clear(struct buf *b, const struct object *o, uint64_t sequence)
{
	pack_u8(b, ENVELOPE_VERSION);
	pack_text(b, o->uid);
	pack_u64(b, sequence);
	pack_u32(b, o->type);
	pack_u32(b, o->algorithm);
	pack_u32(b, o->length);
	pack_u32(b, o->usage_mask);
	pack_u8(b, (uint8_t)o->state);
	pack_u8(b, DATE_COUNT);
	for (int i = 0; i < DATE_COUNT; i++)
		pack_u64(b, (uint64_t)o->date[i]);
	pack_u32(b, o->revocation_code);
	pack_text(b, o->revocation_text);
	pack_u32(b, (uint32_t)o->attrs_count);
	for (size_t i = 0; i < o->attrs_count; i++) {
		pack_text(b, o->attrs[i].name);
		pack_u32(b, o->attrs[i].index);
		pack_bytes(b, o->attrs[i].value, o->attrs[i].value_len);
	}
}

size_t
envelope_attr_len(const struct object_attr *at)
{
	return 4 + strlen(at->name) + 4 + 4 + at->value_len;
}

/* What is authenticated with the key; of a size that fits any tenant and uid. */
struct aad {
	struct buf b;
	uint8_t room[AAD_MAX];
};

static void
pack_aad(struct aad *aad, const struct object *o, const uint8_t digest[HASH_LEN])
{
	aad->b = (struct buf){.data = aad->room, .cap = sizeof(aad->room), .max = sizeof(aad->room)};
	pack_u8(&aad->b, ENVELOPE_VERSION);
	pack_text(&aad->b, o->tenant);
	pack_text(&aad->b, o->uid);
	buf_put(&aad->b, digest, HASH_LEN);
	assert(buf_error(&aad->b) == ERR_OK);
}

static bool
encrypt(struct envelope_crypto *c, struct secret *root, struct secret *key, const struct aad *aad,
    const uint8_t *iv, uint8_t *out, uint8_t *tag)
{
	int n, len = (int)secret_len(key);
	bool ok;

	ok = EVP_EncryptInit_ex2(c->cipher, c->gcm, secret_bytes(root), iv, NULL) == 1 &&
	    EVP_EncryptUpdate(c->cipher, NULL, &n, aad->b.data, (int)aad->b.len) == 1 &&
	    EVP_EncryptUpdate(c->cipher, out, &n, secret_bytes(key), len) == 1 && n == len &&
	    EVP_EncryptFinal_ex(c->cipher, out + len, &n) == 1 &&
	    EVP_CIPHER_CTX_ctrl(c->cipher, EVP_CTRL_AEAD_GET_TAG, TAG_LEN, tag) == 1;
	EVP_CIPHER_CTX_reset(c->cipher); /* it holds the root key's schedule */
	return ok;
}

/* Only a tag that does not fit is ERR_INTEGRITY, which raises an alarm. */
static enum err
decrypt(struct envelope_crypto *c, struct secret *root, const struct places *p,
    const struct aad *aad, uint8_t *out)
{
	uint8_t tag[TAG_LEN];
	int n, len = (int)p->wrapped_len;
	enum err e = ERR_CRYPTO;

	memcpy(tag, p->tag, sizeof(tag));
	if (EVP_DecryptInit_ex2(c->cipher, c->gcm, secret_bytes(root), p->iv, NULL) == 1 &&
	    EVP_DecryptUpdate(c->cipher, NULL, &n, aad->b.data, (int)aad->b.len) == 1 &&
	    EVP_DecryptUpdate(c->cipher, out, &n, p->wrapped, len) == 1 && n == len &&
	    EVP_CIPHER_CTX_ctrl(c->cipher, EVP_CTRL_AEAD_SET_TAG, TAG_LEN, tag) == 1)
		e = EVP_DecryptFinal_ex(c->cipher, out + len, &n) == 1 ? ERR_OK : ERR_INTEGRITY;
	EVP_CIPHER_CTX_reset(c->cipher);
	return e;
}

enum err
envelope_seal(struct envelope_crypto *c, const struct rootkeys *roots, const struct object *o,
    struct secret *key, struct arena *a, const uint8_t **record, size_t *record_len)
{
	uint8_t iv[IV_LEN], tag[TAG_LEN], digest[HASH_LEN], *wrapped;
	struct aad aad;
	struct buf b;
	enum err e = ERR_NO_MEMORY;
	const uint8_t *made;

	if (secret_len(key) == 0 || secret_len(key) > ENVELOPE_KEY_MAX)
		return ERR_KEY_SIZE;
	buf_init(&b, OBJECT_SIZE_MAX);
	wrapped = arena_zalloc(a, secret_len(key));
	envelope_pack_clear(&b, o, 1);
	if (buf_error(&b) != ERR_OK || wrapped == NULL)
		goto out;
	e = ERR_CRYPTO;
	if (!hash(c, b.data, b.len, digest))
		goto out;
	pack_aad(&aad, o, digest);
	if (RAND_bytes(iv, sizeof(iv)) != 1 ||
	    !encrypt(c, roots->all[roots->newest].key, key, &aad, iv, wrapped, tag))
		goto out;
	pack_u32(&b, roots->all[roots->newest].version);
	pack_bytes(&b, iv, sizeof(iv));
	pack_bytes(&b, wrapped, secret_len(key));
	pack_bytes(&b, tag, sizeof(tag));
	e = buf_error(&b) == ERR_RESPONSE_TOO_LARGE ? ERR_TOO_MANY_ATTRIBUTES : buf_error(&b);
	if (e != ERR_OK)
		goto out;
	made = arena_copy(a, b.data, b.len);
	e = made != NULL ? ERR_OK : ERR_NO_MEMORY;
	if (e == ERR_OK) {
		*record = made;
		*record_len = b.len;
	}
out:
	buf_fini(&b);
	return e;
}

/* Into the object, unless it is NULL. */
static enum err
read_attrs(struct unpack *u, struct object *o, struct arena *a)
{
	uint32_t count = unpack_u32(u);
	enum err e = ERR_OK;

	for (uint32_t i = 0; i < count && !u->bad && e == ERR_OK; i++) {
		size_t name_len, len;
		const uint8_t *name = unpack_bytes(u, &name_len), *value;
		uint32_t index = unpack_u32(u);

		value = unpack_bytes(u, &len);
		if (u->bad || o == NULL)
			continue;
		if (memchr(name, 0, name_len) != NULL)
			return ERR_INTEGRITY;
		e = object_attr_set(o, a, (const char *)name, name_len, index, value, len);
	}
	return e;
}

static enum err
read_revocation(struct unpack *u, struct object *o, struct arena *a)
{
	uint32_t code = unpack_u32(u);
	size_t len;
	const uint8_t *text = unpack_bytes(u, &len);

	if (u->bad || o == NULL)
		return ERR_OK;
	o->revocation_code = code;
	if (len == 0)
		return ERR_OK;
	if (memchr(text, 0, len) != NULL)
		return ERR_INTEGRITY;
	o->revocation_text = arena_text(a, (const char *)text, len);
	return o->revocation_text != NULL ? ERR_OK : ERR_NO_MEMORY;
}

/* What the ledger may have changed since: usage mask, state, dates, revocation, attributes. */
static enum err
read_rest(struct unpack *u, struct envelope_clear *clear, struct object *o, struct arena *a)
{
	uint32_t mask = unpack_u32(u);
	uint8_t state = unpack_u8(u), dates = unpack_u8(u);
	enum err e;

	clear->state = (enum object_state)state;
	if (o != NULL) {
		if (state < OBJECT_PRE_ACTIVE || state > OBJECT_COMPROMISED)
			return ERR_INTEGRITY;
		o->usage_mask = mask;
		o->state = (enum object_state)state;
	}
	for (unsigned i = 0; i < dates; i++) {
		int64_t when = (int64_t)unpack_u64(u);

		if (o != NULL && i < DATE_COUNT)
			o->date[i] = when;
	}
	e = read_revocation(u, o, a);
	return e == ERR_OK ? read_attrs(u, o, a) : e;
}

/* o NULL: only what never changes is wanted. */
static enum err
read_clear(struct unpack *u, struct envelope_clear *clear, struct object *o, struct arena *a)
{
	const uint8_t *start = u->p;
	uint8_t version = unpack_u8(u);
	enum err e;

	if (!u->bad && version > ENVELOPE_VERSION)
		return ERR_SCHEMA;
	unpack_text(u, clear->uid, sizeof(clear->uid));
	clear->sequence = unpack_u64(u);
	clear->type = unpack_u32(u);
	clear->algorithm = unpack_u32(u);
	clear->length = unpack_u32(u);
	e = read_rest(u, clear, o, a);
	clear->len = (size_t)(u->p - start);
	return u->bad || version == 0 ? ERR_INTEGRITY : e;
}

enum err
envelope_read_clear(struct unpack *u, struct envelope_clear *clear)
{
	return read_clear(u, clear, NULL, NULL);
}

enum err
envelope_read_object(
    struct unpack *u, struct arena *a, struct envelope_clear *clear, struct object **out)
{
	struct object *o = arena_zalloc(a, sizeof(*o));
	enum err e;

	if (o == NULL)
		return ERR_NO_MEMORY;
	for (int i = 0; i < DATE_COUNT; i++)
		o->date[i] = NO_DATE;
	e = read_clear(u, clear, o, a);
	if (e != ERR_OK)
		return e;
	memcpy(o->uid, clear->uid, sizeof(o->uid));
	o->type = clear->type;
	o->algorithm = clear->algorithm;
	o->length = clear->length;
	*out = o;
	return ERR_OK;
}

bool
envelope_is_for(const struct envelope_clear *clear, const struct object *o)
{
	return strcmp(clear->uid, o->uid) == 0 && clear->type == o->type &&
	    clear->algorithm == o->algorithm && clear->length == o->length;
}

/* What of a record is not clear: it stands behind that. */
static enum err
parse_wrap(struct unpack *u, struct places *p)
{
	size_t iv_len, tag_len;

	p->root_version = unpack_u32(u);
	p->iv = unpack_bytes(u, &iv_len);
	p->wrapped = unpack_bytes(u, &p->wrapped_len);
	p->tag = unpack_bytes(u, &tag_len);
	if (!unpack_done(u) || iv_len != IV_LEN || tag_len != TAG_LEN || p->wrapped_len == 0 ||
	    p->wrapped_len > ENVELOPE_KEY_MAX)
		return ERR_INTEGRITY;
	return ERR_OK;
}

/* That the record's clear part is this object's, where it ends, and its digest. */
static enum err
prove_clear(struct envelope_crypto *c, const struct object *o, struct object_proof *proof)
{
	struct envelope_clear clear;
	struct unpack u;
	enum err e;

	unpack_init(&u, o->record, o->record_len);
	e = envelope_read_clear(&u, &clear);
	if (e != ERR_OK)
		return e;
	if (!envelope_is_for(&clear, o))
		return ERR_INTEGRITY;
	if (!hash(c, o->record, clear.len, proof->digest))
		return ERR_CRYPTO;
	proof->clear_len = clear.len;
	proof->record = o->record;
	return ERR_OK;
}

/*
 * The first half is the same for as long as the object is, and was done when it has a proof.  Whether
 * the wrapped key belongs to that is asked of the tag each time.
 */
static enum err
parse(struct envelope_crypto *c, const struct object *o, struct places *p, struct aad *aad)
{
	struct object_proof own = {0}, *proof = o->proof != NULL ? o->proof : &own;
	struct unpack u;
	enum err e = proof->record != o->record ? prove_clear(c, o, proof) : ERR_OK;

	if (e != ERR_OK)
		return e;
	unpack_init(&u, o->record + proof->clear_len, o->record_len - proof->clear_len);
	e = parse_wrap(&u, p);
	if (e == ERR_OK)
		pack_aad(aad, o, proof->digest);
	return e;
}

enum err
envelope_open(struct envelope_crypto *c, const struct rootkeys *roots, const struct object *o,
    enum secret_use use, struct secret **key)
{
	struct secret *root, *out;
	struct places p;
	struct aad aad;
	enum err e;

	e = parse(c, o, &p, &aad);
	if (e != ERR_OK)
		return e;
	root = rootkeys_find(roots, p.root_version);
	if (root == NULL)
		return ERR_NO_ROOT_KEY;
	out = secret_new(p.wrapped_len, use);
	if (out == NULL)
		return ERR_NO_SECURE_MEMORY;
	e = decrypt(c, root, &p, &aad, secret_bytes(out));
	if (e == ERR_OK)
		*key = out;
	else
		secret_unref(out);
	return e;
}

enum err
envelope_root_version(const struct object *o, uint32_t *version)
{
	struct envelope_clear clear;
	struct places p;
	struct unpack u;
	enum err e;

	unpack_init(&u, o->record, o->record_len);
	e = envelope_read_clear(&u, &clear);
	if (e == ERR_OK)
		e = parse_wrap(&u, &p);
	if (e == ERR_OK)
		*version = p.root_version;
	return e;
}
