/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encrypt, Decrypt, MAC, MAC Verify and Hash (specification 1.4 sections 4.29, 4.30 and 4.33 to
 * 4.37), at once or in parts.
 *
 * A part that ran cannot be taken back.  So it stands alone in its message, which changes nothing and
 * therefore never runs anew.
 */
#include "fetch.h"

#include <string.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "base/clock.h"
#include "kmip/names.h"

#include "cryptparams.h"
#include "usagelimits.h"
#include "usage.h"

struct crypt {
	const struct crypt_type *type;
	struct fetch fetch;
	struct cryptparams params;
	struct ttlv data, iv, mac, aad, tag, correlation;
	bool init, final;
	struct parts_key key;
	struct crypto *crypto; /* the request's until it is kept for the next part */
	struct buf result;
	uint8_t own_iv[CRYPTO_IV_MAX], own_tag[CRYPTO_TAG_MAX]; /* made here, for the answer */
	size_t own_iv_len, own_tag_len;
};

struct crypt_type {
	uint32_t mask; /* the bit that the key needs; 0: there is no key */
	enum usage use;
	/* What follows the data: for one operation this, for another that. */
	void (*read)(struct ttlv_reader *r, int version, struct crypt *c);
	enum err (*begin)(struct request *rq, struct crypt *c);
	/* Once all is in; c->result is what came out. */
	enum err (*end)(struct request *rq, struct crypt *c);
};

static void crypt_fetched(struct request *rq, enum err e);
static void crypt_resumed(struct request *rq, enum err e);

static void
drop_crypto(void *slot)
{
	crypto_free(*(struct crypto **)slot);
}

static void
drop_result(void *b)
{
	buf_fini(b);
}

static bool
is_last(const struct crypt *c)
{
	return c->final || (!c->init && c->correlation.value == NULL);
}

static bool
is_alone(const struct crypt *c)
{
	return c->correlation.value == NULL && is_last(c);
}

/* --- reading --- */

static void
read_parts(struct ttlv_reader *r, int version, struct crypt *c)
{
	struct ttlv t;

	if (version < KMIP_1_3)
		return;
	ttlv_opt(r, TAG_CORRELATION_VALUE, TTLV_BYTES, &c->correlation);
	if (ttlv_opt(r, TAG_INIT_INDICATOR, TTLV_BOOLEAN, &t))
		c->init = ttlv_bool(&t);
	if (ttlv_opt(r, TAG_FINAL_INDICATOR, TTLV_BOOLEAN, &t))
		c->final = ttlv_bool(&t);
}

static void
read_encrypt(struct ttlv_reader *r, int version, struct crypt *c)
{
	ttlv_opt(r, TAG_IV_COUNTER_NONCE, TTLV_BYTES, &c->iv);
	read_parts(r, version, c);
	if (version >= KMIP_1_4)
		ttlv_opt(r, TAG_AUTHENTICATED_ENCRYPTION_ADDITIONAL_DATA, TTLV_BYTES, &c->aad);
}

static void
read_decrypt(struct ttlv_reader *r, int version, struct crypt *c)
{
	read_encrypt(r, version, c);
	if (version >= KMIP_1_4)
		ttlv_opt(r, TAG_AUTHENTICATED_ENCRYPTION_TAG, TTLV_BYTES, &c->tag);
}

static void
read_verify(struct ttlv_reader *r, int version, struct crypt *c)
{
	ttlv_opt(r, TAG_MAC_DATA, TTLV_BYTES, &c->mac);
	read_parts(r, version, c);
}

/* Parts have to belong to something; whose key it is may be left to the Correlation Value. */
static enum err
check_parts(struct request *rq, struct crypt *c)
{
	const char *uid;

	if (is_alone(c))
		return ERR_OK;
	if (rq->p.parts == NULL || rq->in.count > 1)
		return ERR_FEATURE_UNSUPPORTED;
	memcpy(c->key.tenant, rq->p.tenant->id, sizeof(c->key.tenant));
	memcpy(c->key.client, rq->p.sha256, sizeof(c->key.client));
	c->key.operation = rq->op->operation;
	if (c->correlation.value == NULL)
		return parts_name(&c->key);
	if (c->init || c->correlation.len != PARTS_VALUE_LEN)
		return ERR_INVALID_FIELD;
	memcpy(c->key.value, c->correlation.value, PARTS_VALUE_LEN);
	uid = parts_uid(rq->p.parts, &c->key);
	if (uid == NULL)
		return ERR_INVALID_FIELD;
	if (c->fetch.uid[0] == '\0') {
		memcpy(c->fetch.uid, uid, strlen(uid) + 1);
		rq_about(rq, uid);
	}
	return strcmp(uid, c->fetch.uid) == 0 ? ERR_OK : ERR_INVALID_FIELD;
}

static enum err
read_crypt(struct request *rq, struct crypt *c)
{
	struct ttlv_reader *r = &rq->payload;
	bool has_data;
	enum err e = c->type->mask != 0 ? rq_take_uid(rq, c->fetch.uid) : ERR_OK;

	if (e == ERR_MISSING_DATA)
		c->fetch.uid[0] = '\0';
	else if (e != ERR_OK)
		return e;
	e = cryptparams_read(r, rq->in.version, &c->params);
	if (e != ERR_OK)
		return e;
	has_data = ttlv_opt(r, TAG_DATA, TTLV_BYTES, &c->data);
	c->type->read(r, rq->in.version, c);
	e = ttlv_finish(r);
	if (e == ERR_OK && !has_data && is_alone(c))
		e = ERR_MISSING_DATA;
	if (e == ERR_OK)
		e = check_parts(rq, c);
	if (e == ERR_OK && c->type->mask != 0 && c->fetch.uid[0] == '\0')
		e = ERR_MISSING_DATA;
	return e;
}

static enum err
may_use(struct request *rq, const struct object *o)
{
	const struct crypt *c = rq->state;

	if (o->type != KMIP_OBJECT_TYPE_SYMMETRIC_KEY)
		return ERR_OBJECT_TYPE;
	return usage_allowed(o, c->type->mask, c->type->use, clock_wall());
}

/* --- running --- */

static void
put_answer(struct request *rq, const struct crypt *c)
{
	if (c->own_iv_len > 0)
		ttlv_put_bytes(&rq->out, TAG_IV_COUNTER_NONCE, c->own_iv, c->own_iv_len);
	if (!is_last(c))
		ttlv_put_bytes(&rq->out, TAG_CORRELATION_VALUE, c->key.value, PARTS_VALUE_LEN);
	if (c->own_tag_len > 0)
		ttlv_put_bytes(&rq->out, TAG_AUTHENTICATED_ENCRYPTION_TAG, c->own_tag,
		    c->own_tag_len);
}

/* What a cipher gave in this part, if anything; a MAC or digest is there at the end only. */
static void
put_data(struct request *rq, const struct crypt *c, uint32_t tag)
{
	if (is_alone(c) || c->result.len > 0)
		ttlv_put_bytes(&rq->out, tag, c->result.data, c->result.len);
}

/* Only what goes well counts against the key's limits. */
static bool
is_limited(const struct crypt *c)
{
	struct usagelimits l;

	return c->type->use == USAGE_PROTECT && c->fetch.object != NULL &&
	    usagelimits_of(c->fetch.object, &l);
}

/* Nothing is free: a tag over no data uses the key as well. */
static uint64_t
charge_of(const struct crypt *c)
{
	uint64_t len = (uint64_t)c->data.len + c->aad.len;

	return len > 0 ? len : 1;
}

/* The data of this part, and the end or what is kept for the next one. */
static void
crypt_run(struct request *rq, struct crypt *c)
{
	struct crypto *kept;
	enum err e = ERR_OK;

	if (c->data.len > 0)
		e = crypto_add(c->crypto, c->data.value, c->data.len, &c->result);
	if (e == ERR_OK && c->type->mask != 0)
		rq_put_uid(rq, c->fetch.uid);
	if (e == ERR_OK && is_last(c))
		e = c->type->end(rq, c);
	if (e == ERR_OK && is_limited(c))
		e = usagelimits_charge(rq, c->fetch.object, charge_of(c));
	if (e == ERR_OK && !is_last(c)) {
		put_data(rq, c, TAG_DATA);
		kept = c->crypto;
		c->crypto = NULL;
		e = parts_keep(rq->p.parts, &c->key, c->fetch.uid, &c->params, kept);
	}
	if (e == ERR_OK)
		put_answer(rq, c);
	rq_done(rq, e);
}

static void
crypt_begin(struct request *rq, struct crypt *c)
{
	enum err e = c->type->begin(rq, c);

	if (e == ERR_OK && c->aad.len > 0)
		e = crypto_add_aad(c->crypto, c->aad.value, c->aad.len);
	if (e == ERR_OK)
		crypt_run(rq, c);
	else
		rq_done(rq, e);
}

static void
crypt_fetched(struct request *rq, enum err e)
{
	struct crypt *c = rq->state;

	if (e == ERR_OK && is_limited(c) && !is_alone(c))
		e = ERR_FEATURE_UNSUPPORTED; /* limits are committed, and a commit may run anew */
	if (e == ERR_OK && !c->params.given)
		e = cryptparams_of(c->fetch.object, rq->in.version, &c->params);
	if (e == ERR_OK && c->fetch.object->state == OBJECT_COMPROMISED)
		rq_note(rq, "compromised key used");
	if (e == ERR_OK)
		crypt_begin(rq, c);
	else
		rq_done(rq, e);
}

static void
crypt_go_on(struct request *rq, struct crypt *c)
{
	struct cryptparams first;
	bool fits;

	c->crypto = parts_take(rq->p.parts, &c->key, c->fetch.uid, &first);
	fits = c->crypto != NULL && c->iv.value == NULL && c->aad.value == NULL &&
	    (!c->params.given || cryptparams_same(&c->params, &first));
	c->params = first;
	if (fits)
		crypt_run(rq, c);
	else
		rq_done(rq, ERR_INVALID_FIELD); /* what was said with the first part stands */
}

/* The key may have been revoked since the last part, or taken from us where it is kept. */
static void
crypt_resumed(struct request *rq, enum err e)
{
	struct crypt *c = rq->state;

	if (e == ERR_OK && is_limited(c))
		e = ERR_FEATURE_UNSUPPORTED;
	if (e == ERR_OK && c->fetch.object->state == OBJECT_COMPROMISED)
		rq_note(rq, "compromised key used");
	if (e == ERR_OK)
		crypt_go_on(rq, c);
	else
		rq_done(rq, e);
}

static void
crypt_start(struct request *rq, const struct crypt_type *type)
{
	struct crypt *c = rq->state = arena_zalloc(rq->arena, sizeof(*c));
	enum err e = c != NULL ? fetch_init(rq, &c->fetch) : ERR_NO_MEMORY;

	if (e == ERR_OK) {
		c->type = type;
		buf_init(&c->result, rq->p.response_max);
		if (rq_own(rq, drop_crypto, &c->crypto) != ERR_OK ||
		    rq_own(rq, drop_result, &c->result) != ERR_OK)
			e = ERR_NO_MEMORY;
	}
	if (e == ERR_OK)
		e = read_crypt(rq, c);
	if (e != ERR_OK) {
		rq_done(rq, e);
	} else if (type->mask == 0 && c->correlation.value != NULL) {
		crypt_go_on(rq, c);
	} else if (type->mask == 0) {
		crypt_begin(rq, c);
	} else {
		c->fetch.allowed = may_use;
		c->fetch.next = c->correlation.value != NULL ? crypt_resumed : crypt_fetched;
		fetch_start(rq, &c->fetch);
	}
}

/* --- Encrypt, Decrypt --- */

/* The IV: given, or made here if it may be. */
static enum err
choose_iv(struct crypt *c, struct crypto_cipher *p)
{
	size_t len = crypto_iv_len(p->mode);

	p->iv = c->iv.value;
	p->iv_len = c->iv.len;
	if (c->iv.value != NULL || len == 0)
		return ERR_OK;
	if (!p->encrypt || !c->params.random_iv)
		return ERR_NO_IV;
	if (c->params.iv_len != 0)
		len = c->params.iv_len;
	if (len < crypto_iv_len(p->mode) || len > sizeof(c->own_iv))
		return ERR_INVALID_FIELD; /* a short one made here would soon come twice */
	if (RAND_bytes(c->own_iv, (int)len) != 1)
		return ERR_CRYPTO;
	c->own_iv_len = len;
	p->iv = c->own_iv;
	p->iv_len = len;
	return ERR_OK;
}

/*
 * Plaintext of GCM leaves only once its tag was seen, which is with the last part: so it is not
 * decrypted in parts.  Before 1.4 there is no place for the tag.
 */
static enum err
check_gcm(struct request *rq, const struct crypt *c, const struct crypto_cipher *p)
{
	if (p->mode != KMIP_BLOCK_CIPHER_MODE_GCM)
		return c->aad.value == NULL && c->tag.value == NULL ? ERR_OK : ERR_INVALID_FIELD;
	if (rq->in.version < KMIP_1_4 || (!p->encrypt && !is_alone(c)))
		return ERR_FEATURE_UNSUPPORTED;
	return p->encrypt || c->tag.value != NULL ? ERR_OK : ERR_MISSING_DATA;
}

static enum err
begin_cipher(struct request *rq, struct crypt *c, bool encrypt)
{
	const struct object *o = c->fetch.object;
	struct crypto_cipher p = {.encrypt = encrypt, .mode = c->params.mode,
	    .padding = c->params.padding, .key = c->fetch.key};
	enum err e;

	if (o->algorithm != KMIP_CRYPTOGRAPHIC_ALGORITHM_AES ||
	    (c->params.algorithm != 0 && c->params.algorithm != o->algorithm))
		return ERR_ALGORITHM;
	if (p.mode == 0)
		return ERR_MISSING_DATA;
	p.tag_len = c->params.tag_len != 0 ? c->params.tag_len
	    : c->tag.value != NULL	   ? c->tag.len
					   : CRYPTO_TAG_MAX;
	e = check_gcm(rq, c, &p);
	if (e == ERR_OK)
		e = choose_iv(c, &p);
	if (e == ERR_OK)
		e = crypto_cipher_new(&c->crypto, &p);
	if (e == ERR_OK && c->tag.value != NULL)
		e = crypto_expect_tag(c->crypto, c->tag.value, c->tag.len);
	return e;
}

static enum err
begin_encrypt(struct request *rq, struct crypt *c)
{
	return begin_cipher(rq, c, true);
}

static enum err
begin_decrypt(struct request *rq, struct crypt *c)
{
	return begin_cipher(rq, c, false);
}

static enum err
end_with_data(struct request *rq, struct crypt *c)
{
	enum err e = crypto_end(c->crypto, &c->result);

	if (e == ERR_OK)
		put_data(rq, c, TAG_DATA);
	return e;
}

static enum err
end_encrypt(struct request *rq, struct crypt *c)
{
	enum err e = end_with_data(rq, c);

	return e == ERR_OK && crypto_has_tag(c->crypto)
	    ? crypto_tag(c->crypto, c->own_tag, &c->own_tag_len)
	    : e;
}

/* --- MAC, MAC Verify --- */

/* What was asked for, or what the key is for: HMAC by its digest, or CMAC. */
static enum err
begin_mac(struct request *rq, struct crypt *c)
{
	uint32_t algorithm = c->params.algorithm != 0 ? c->params.algorithm
						      : c->fetch.object->algorithm;

	(void)rq;
	if (algorithm == KMIP_CRYPTOGRAPHIC_ALGORITHM_AES &&
	    (c->fetch.object->algorithm != algorithm ||
		(c->params.mode != 0 && c->params.mode != KMIP_BLOCK_CIPHER_MODE_CMAC)))
		return ERR_ALGORITHM;
	return crypto_mac_new(&c->crypto, algorithm, c->fetch.key);
}

static enum err
end_mac(struct request *rq, struct crypt *c)
{
	enum err e = crypto_end(c->crypto, &c->result);

	if (e == ERR_OK)
		put_data(rq, c, TAG_MAC_DATA);
	return e;
}

static enum err
end_verify(struct request *rq, struct crypt *c)
{
	enum err e = c->mac.value != NULL ? crypto_end(c->crypto, &c->result) : ERR_MISSING_DATA;
	bool same;

	if (e != ERR_OK)
		return e;
	same = c->mac.len == c->result.len &&
	    CRYPTO_memcmp(c->mac.value, c->result.data, c->mac.len) == 0;
	ttlv_put_enum(&rq->out, TAG_VALIDITY_INDICATOR,
	    same ? KMIP_VALIDITY_INDICATOR_VALID : KMIP_VALIDITY_INDICATOR_INVALID);
	return ERR_OK;
}

/* --- Hash --- */

static enum err
begin_hash(struct request *rq, struct crypt *c)
{
	(void)rq;
	if (c->params.hash == 0)
		return ERR_MISSING_DATA;
	return crypto_hash_new(&c->crypto, c->params.hash);
}

/* --- the operations --- */

void
encrypt_start(struct request *rq)
{
	static const struct crypt_type type = {KMIP_CRYPTOGRAPHIC_USAGE_MASK_ENCRYPT, USAGE_PROTECT,
	    read_encrypt, begin_encrypt, end_encrypt};

	crypt_start(rq, &type);
}

void
decrypt_start(struct request *rq)
{
	static const struct crypt_type type = {KMIP_CRYPTOGRAPHIC_USAGE_MASK_DECRYPT, USAGE_PROCESS,
	    read_decrypt, begin_decrypt, end_with_data};

	crypt_start(rq, &type);
}

void
mac_start(struct request *rq)
{
	static const struct crypt_type type = {KMIP_CRYPTOGRAPHIC_USAGE_MASK_MAC_GENERATE,
	    USAGE_PROTECT, read_parts, begin_mac, end_mac};

	crypt_start(rq, &type);
}

void
mac_verify_start(struct request *rq)
{
	static const struct crypt_type type = {KMIP_CRYPTOGRAPHIC_USAGE_MASK_MAC_VERIFY,
	    USAGE_PROCESS, read_verify, begin_mac, end_verify};

	crypt_start(rq, &type);
}

void
hash_start(struct request *rq)
{
	static const struct crypt_type type = {
	    0, USAGE_PROTECT, read_parts, begin_hash, end_with_data};

	crypt_start(rq, &type);
}
