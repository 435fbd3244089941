/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ciphers, MACs, digests and key wrap against the vectors that their specifications give: NIST
 * SP 800-38A, B and D (those of its authors' paper), FIPS 180, RFC 2202, 3394, 4231, 5649 and 6070.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#include "base/text.h"
#include "kmip/names.h"

#include "../../../src/gate/pbkdf2.h"

enum { HEX_MAX = 128 };

struct bytes {
	uint8_t b[HEX_MAX];
	size_t len;
};

static struct bytes
hex(const char *s)
{
	struct bytes out = {.len = strlen(s) / 2};

	ck_assert(out.len <= HEX_MAX && text_unhex(out.b, out.len, s));
	return out;
}

static struct secret *
key_of(const char *s)
{
	struct bytes b = hex(s);
	struct secret *key = secret_new(b.len, SECRET_TRANSIENT);

	ck_assert_ptr_nonnull(key);
	memcpy(secret_bytes(key), b.b, b.len);
	return key;
}

static struct buf out;

static void
setup(void)
{
	bool locked;

	ck_assert_int_eq(secret_heap_init(1 << 20, true, &locked), ERR_OK);
	buf_init(&out, 4096);
}

static void
teardown(void)
{
	buf_fini(&out);
	ck_assert_uint_eq(secret_heap_used(), 0);
	ck_assert_uint_eq(ERR_peek_error(), 0); /* TLS looks at the same queue */
}

static void
expect_out(const char *want)
{
	struct bytes b = hex(want);

	ck_assert_uint_eq(out.len, b.len);
	ck_assert_mem_eq(out.data, b.b, b.len);
}

#define K128 "2b7e151628aed2a6abf7158809cf4f3c"
#define K192 "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b"
#define K256 "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4"
#define TEXT                                                                                       \
	"6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"                         \
	"30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
#define TEXT40                                                                                     \
	"6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411"
#define IV "000102030405060708090a0b0c0d0e0f"
#define COUNTER "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"
#define GCM_K "feffe9928665731c6d6a8f9467308308"
#define GCM_TEXT                                                                                   \
	"d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"                         \
	"1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
#define GCM_AAD "feedfacedeadbeeffeedfacedeadbeefabaddad2"

static const struct cipher {
	uint32_t mode;
	const char *key, *iv, *aad, *plain, *coded, *tag;
} ciphers[] = {
    {KMIP_BLOCK_CIPHER_MODE_ECB, K128, "", "", TEXT,
	"3ad77bb40d7a3660a89ecaf32466ef97f5d3d58503b9699de785895a96fdbaaf"
	"43b1cd7f598ece23881b00e3ed0306887b0c785e27e8ad3f8223207104725dd4", ""},
    {KMIP_BLOCK_CIPHER_MODE_ECB, K192, "", "", TEXT,
	"bd334f1d6e45f25ff712a214571fa5cc974104846d0ad3ad7734ecb3ecee4eef"
	"ef7afd2270e2e60adce0ba2face6444e9a4b41ba738d6c72fb16691603c18e0e", ""},
    {KMIP_BLOCK_CIPHER_MODE_ECB, K256, "", "", TEXT,
	"f3eed1bdb5d2a03c064b5a7e3db181f8591ccb10d410ed26dc5ba74a31362870"
	"b6ed21b99ca6f4f9f153e7b1beafed1d23304b7a39f9f3ff067d8d8f9e24ecc7", ""},
    {KMIP_BLOCK_CIPHER_MODE_CBC, K128, IV, "", TEXT,
	"7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2"
	"73bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7", ""},
    {KMIP_BLOCK_CIPHER_MODE_CBC, K192, IV, "", TEXT,
	"4f021db243bc633d7178183a9fa071e8b4d9ada9ad7dedf4e5e738763f69145a"
	"571b242012fb7ae07fa9baac3df102e008b0e27988598881d920a9e64f5615cd", ""},
    {KMIP_BLOCK_CIPHER_MODE_CBC, K256, IV, "", TEXT,
	"f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d"
	"39f23369a9d9bacfa530e26304231461b2eb05e2c39be9fcda6c19078c6a9d1b", ""},
    {KMIP_BLOCK_CIPHER_MODE_CTR, K128, COUNTER, "", TEXT,
	"874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff"
	"5ae4df3edbd5d35e5b4f09020db03eab1e031dda2fbe03d1792170a0f3009cee", ""},
    {KMIP_BLOCK_CIPHER_MODE_CTR, K192, COUNTER, "", TEXT,
	"1abc932417521ca24f2b0459fe7e6e0b090339ec0aa6faefd5ccc2c6f4ce8e94"
	"1e36b26bd1ebc670d1bd1d665620abf74f78a7f6d29809585a97daec58c6b050", ""},
    {KMIP_BLOCK_CIPHER_MODE_CTR, K256, COUNTER, "", TEXT,
	"601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5"
	"2b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6", ""},
    {KMIP_BLOCK_CIPHER_MODE_GCM, GCM_K, "cafebabefacedbaddecaf888", GCM_AAD, GCM_TEXT,
	"42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
	"21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091",
	"5bc94fbc3221a5db94fae95ae7121a47"},
    {KMIP_BLOCK_CIPHER_MODE_GCM, GCM_K, "cafebabefacedbad", GCM_AAD, GCM_TEXT,
	"61353b4c2806934a777ff51fa22a4755699b2a714fcdc6f83766e5f97b6c7423"
	"73806900e49f24b22b097544d4896b424989b5e1ebac0f07c23f4598",
	"3612d2e79e3b0785561be14aaca2fccb"},
    {KMIP_BLOCK_CIPHER_MODE_GCM, GCM_K GCM_K, "cafebabefacedbaddecaf888", GCM_AAD, GCM_TEXT,
	"522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
	"8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
	"76fc6ece0f4e1768cddf8853bb2d551b"},
};
enum { CIPHERS = sizeof(ciphers) / sizeof(ciphers[0]) };

static struct crypto *
begin(const struct cipher *v, bool encrypt, uint32_t padding)
{
	struct bytes iv = hex(v->iv), aad = hex(v->aad);
	struct crypto_cipher p = {.encrypt = encrypt, .mode = v->mode, .padding = padding,
	    .key = key_of(v->key), .iv = iv.b, .iv_len = iv.len, .tag_len = strlen(v->tag) / 2};
	struct crypto *c = NULL;

	buf_reset(&out);
	ck_assert_int_eq(crypto_cipher_new(&c, &p), ERR_OK);
	secret_unref(p.key);
	if (aad.len > 0)
		ck_assert_int_eq(crypto_add_aad(c, aad.b, aad.len), ERR_OK);
	return c;
}

static void
add_in_parts(struct crypto *c, const char *text, size_t part)
{
	struct bytes b = hex(text);

	for (size_t at = 0; at < b.len; at += part)
		ck_assert_int_eq(crypto_add(c, b.b + at, at + part < b.len ? part : b.len - at, &out),
		    ERR_OK);
}

/* Whatever parts it comes in. */
START_TEST(cipher_vectors)
{
	static const size_t parts[] = {1, 7, 16, 17, HEX_MAX};
	const struct cipher *v = &ciphers[_i];
	struct bytes tag = hex(v->tag);
	uint8_t made[CRYPTO_TAG_MAX];
	size_t len = 0;
	struct crypto *c;

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		c = begin(v, true, 0);
		add_in_parts(c, v->plain, parts[i]);
		ck_assert_int_eq(crypto_end(c, &out), ERR_OK);
		expect_out(v->coded);
		if (tag.len > 0) {
			ck_assert_int_eq(crypto_tag(c, made, &len), ERR_OK);
			ck_assert_uint_eq(len, tag.len);
			ck_assert_mem_eq(made, tag.b, len);
		}
		crypto_free(c);
		c = begin(v, false, 0);
		add_in_parts(c, v->coded, parts[i]);
		if (tag.len > 0)
			ck_assert_int_eq(crypto_expect_tag(c, tag.b, tag.len), ERR_OK);
		ck_assert_int_eq(crypto_end(c, &out), ERR_OK);
		expect_out(v->plain);
		crypto_free(c);
	}
}
END_TEST

START_TEST(a_changed_tag_or_aad_is_noticed)
{
	const struct cipher *v = &ciphers[CIPHERS - 1];
	struct bytes tag = hex(v->tag);
	struct crypto *c = begin(v, false, 0);

	tag.b[15] ^= 1;
	add_in_parts(c, v->coded, HEX_MAX);
	ck_assert_int_eq(crypto_expect_tag(c, tag.b, tag.len), ERR_OK);
	ck_assert_int_eq(crypto_end(c, &out), ERR_CRYPTO);
	crypto_free(c);
	tag.b[15] ^= 1;
	c = begin(v, false, 0);
	ck_assert_int_eq(crypto_add_aad(c, tag.b, 1), ERR_OK);
	add_in_parts(c, v->coded, HEX_MAX);
	ck_assert_int_eq(crypto_expect_tag(c, tag.b, tag.len), ERR_OK);
	ck_assert_int_eq(crypto_end(c, &out), ERR_CRYPTO);
	ck_assert_int_eq(crypto_expect_tag(c, tag.b, 12), ERR_INVALID_FIELD);
	crypto_free(c);
}
END_TEST

/* Every length around a block goes in and comes out; without padding it is whole blocks or nothing. */
START_TEST(padding)
{
	const struct cipher *v = &ciphers[_i];
	struct buf coded;
	struct crypto *c;

	for (size_t len = 0; len <= 33; len++) {
		buf_init(&coded, 256);
		c = begin(v, true, KMIP_PADDING_METHOD_PKCS5);
		ck_assert_int_eq(crypto_add(c, (const uint8_t *)TEXT, len, &coded), ERR_OK);
		ck_assert_int_eq(crypto_end(c, &coded), ERR_OK);
		ck_assert_uint_eq(coded.len, len / 16 * 16 + 16);
		crypto_free(c);
		c = begin(v, false, KMIP_PADDING_METHOD_PKCS5);
		ck_assert_int_eq(crypto_add(c, coded.data, coded.len, &out), ERR_OK);
		ck_assert_int_eq(crypto_end(c, &out), ERR_OK);
		ck_assert_uint_eq(out.len, len);
		ck_assert(len == 0 || memcmp(out.data, TEXT, len) == 0);
		crypto_free(c);
		buf_fini(&coded);
		c = begin(v, true, KMIP_PADDING_METHOD_NONE);
		ck_assert_int_eq(crypto_add(c, (const uint8_t *)TEXT, len, &out), ERR_OK);
		ck_assert_int_eq(crypto_end(c, &out), len % 16 == 0 ? ERR_OK : ERR_INVALID_FIELD);
		crypto_free(c);
	}
}
END_TEST

static const struct {
	uint32_t mode, padding;
	size_t key, iv, tag;
	enum err err;
} misfits[] = {
    {KMIP_BLOCK_CIPHER_MODE_ECB, 0, 15, 0, 0, ERR_ALGORITHM},
    {KMIP_BLOCK_CIPHER_MODE_ECB, 0, 33, 0, 0, ERR_ALGORITHM},
    {KMIP_BLOCK_CIPHER_MODE_ECB, 0, 16, 16, 0, ERR_INVALID_FIELD},
    {KMIP_BLOCK_CIPHER_MODE_CBC, 0, 16, 0, 0, ERR_INVALID_FIELD},
    {KMIP_BLOCK_CIPHER_MODE_CBC, 0, 16, 12, 0, ERR_INVALID_FIELD},
    {KMIP_BLOCK_CIPHER_MODE_CTR, 0, 16, 12, 0, ERR_INVALID_FIELD},
    {KMIP_BLOCK_CIPHER_MODE_CTR, KMIP_PADDING_METHOD_PKCS5, 16, 16, 0, ERR_ALGORITHM},
    {KMIP_BLOCK_CIPHER_MODE_CBC, KMIP_PADDING_METHOD_ZEROS, 16, 16, 0, ERR_ALGORITHM},
    {KMIP_BLOCK_CIPHER_MODE_GCM, 0, 16, 0, 16, ERR_INVALID_FIELD},
    {KMIP_BLOCK_CIPHER_MODE_GCM, 0, 16, 12, 11, ERR_TAG_LENGTH},
    {KMIP_BLOCK_CIPHER_MODE_GCM, 0, 16, 12, 17, ERR_TAG_LENGTH},
    {KMIP_BLOCK_CIPHER_MODE_NISTKEYWRAP, 0, 16, 0, 0, ERR_ALGORITHM},
    {KMIP_BLOCK_CIPHER_MODE_XTS, 0, 32, 16, 0, ERR_ALGORITHM},
    {0, 0, 16, 0, 0, ERR_ALGORITHM},
};

START_TEST(what_does_not_fit)
{
	const uint8_t iv[16] = {0};
	struct crypto_cipher p = {.encrypt = true, .mode = misfits[_i].mode,
	    .padding = misfits[_i].padding, .key = secret_new(misfits[_i].key, SECRET_TRANSIENT),
	    .iv = iv, .iv_len = misfits[_i].iv, .tag_len = misfits[_i].tag};
	struct crypto *c = NULL;

	ck_assert_int_eq(crypto_cipher_new(&c, &p), misfits[_i].err);
	ck_assert_ptr_null(c);
	secret_unref(p.key);
}
END_TEST

#define JEFE "4a656665"
#define NOTHING "7768617420646f2079612077616e7420666f72206e6f7468696e673f"
#define ABC "616263"

static const struct {
	bool hash;
	uint32_t algorithm;
	const char *key, *data, *result;
} macs[] = {
    {false, KMIP_CRYPTOGRAPHIC_ALGORITHM_AES, K128, "", "bb1d6929e95937287fa37d129b756746"},
    {false, KMIP_CRYPTOGRAPHIC_ALGORITHM_AES, K128, "6bc1bee22e409f96e93d7e117393172a",
	"070a16b46b4d4144f79bdd9dd04a287c"},
    {false, KMIP_CRYPTOGRAPHIC_ALGORITHM_AES, K128, TEXT40, "dfa66747de9ae63030ca32611497c827"},
    {false, KMIP_CRYPTOGRAPHIC_ALGORITHM_AES, K128, TEXT, "51f0bebf7e3b9d92fc49741779363cfe"},
    {false, KMIP_CRYPTOGRAPHIC_ALGORITHM_AES, K192, TEXT, "a1d5df0eed790f794d77589659f39a11"},
    {false, KMIP_CRYPTOGRAPHIC_ALGORITHM_AES, K256, "", "028962f61b7bf89efc6b551f4667d983"},
    {false, KMIP_CRYPTOGRAPHIC_ALGORITHM_AES, K256, TEXT, "e1992190549f6ed5696a2c056c315410"},
    {false, KMIP_CRYPTOGRAPHIC_ALGORITHM_HMAC_SHA1, JEFE, NOTHING,
	"effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"},
    {false, KMIP_CRYPTOGRAPHIC_ALGORITHM_HMAC_SHA224, JEFE, NOTHING,
	"a30e01098bc6dbbf45690f3a7e9e6d0f8bbea2a39e6148008fd05e44"},
    {false, KMIP_CRYPTOGRAPHIC_ALGORITHM_HMAC_SHA256, JEFE, NOTHING,
	"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
    {false, KMIP_CRYPTOGRAPHIC_ALGORITHM_HMAC_SHA384, JEFE, NOTHING,
	"af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e"
	"8e2240ca5e69e2c78b3239ecfab21649"},
    {false, KMIP_CRYPTOGRAPHIC_ALGORITHM_HMAC_SHA512, JEFE, NOTHING,
	"164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
	"9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"},
    {true, KMIP_HASHING_ALGORITHM_SHA_1, "", ABC, "a9993e364706816aba3e25717850c26c9cd0d89d"},
    {true, KMIP_HASHING_ALGORITHM_SHA_224, "", ABC,
	"23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7"},
    {true, KMIP_HASHING_ALGORITHM_SHA_256, "", ABC,
	"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {true, KMIP_HASHING_ALGORITHM_SHA_384, "", ABC,
	"cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"
	"8086072ba1e7cc2358baeca134c825a7"},
    {true, KMIP_HASHING_ALGORITHM_SHA_512, "", ABC,
	"ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
	"2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"},
};

START_TEST(mac_and_hash_vectors)
{
	struct crypto *c = NULL;
	struct secret *key;

	for (size_t part = 1; part <= HEX_MAX; part *= 2) {
		buf_reset(&out);
		if (macs[_i].hash) {
			ck_assert_int_eq(crypto_hash_new(&c, macs[_i].algorithm), ERR_OK);
		} else {
			key = key_of(macs[_i].key);
			ck_assert_int_eq(crypto_mac_new(&c, macs[_i].algorithm, key), ERR_OK);
			secret_unref(key);
		}
		add_in_parts(c, macs[_i].data, part);
		ck_assert_uint_eq(out.len, 0);
		ck_assert_int_eq(crypto_end(c, &out), ERR_OK);
		expect_out(macs[_i].result);
		crypto_free(c);
	}
}
END_TEST

START_TEST(unknown_macs_and_hashes)
{
	struct secret *key = key_of(JEFE);
	struct crypto *c = NULL;

	ck_assert_int_eq(crypto_mac_new(&c, KMIP_CRYPTOGRAPHIC_ALGORITHM_HMAC_MD5, key), ERR_ALGORITHM);
	ck_assert_int_eq(crypto_mac_new(&c, KMIP_CRYPTOGRAPHIC_ALGORITHM_AES, key), ERR_ALGORITHM);
	ck_assert_int_eq(crypto_hash_new(&c, KMIP_HASHING_ALGORITHM_MD5), ERR_ALGORITHM);
	ck_assert_ptr_null(c);
	secret_unref(key);
}
END_TEST

#define KW KMIP_BLOCK_CIPHER_MODE_NISTKEYWRAP
#define KWP KMIP_BLOCK_CIPHER_MODE_AESKEYWRAPPADDING

static const struct {
	uint32_t mode;
	const char *key, *data, *wrapped;
} wraps[] = {
    {KW, "000102030405060708090a0b0c0d0e0f", "00112233445566778899aabbccddeeff",
	"1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5"},
    {KW, "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
	"00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f",
	"28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21"},
    {KWP, "5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8",
	"c37b7e6492584340bed12207808941155068f738",
	"138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a"},
    {KWP, "5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8", "466f7250617369",
	"afbeb0f07dfbf5419200f2ccb50bb24f"},
};

START_TEST(wrap_vectors)
{
	struct secret *key = key_of(wraps[_i].key), *back = NULL;
	struct bytes data = hex(wraps[_i].data);

	ck_assert_int_eq(crypto_wrap(wraps[_i].mode, key, data.b, data.len, &out), ERR_OK);
	expect_out(wraps[_i].wrapped);
	ck_assert_int_eq(crypto_unwrap(wraps[_i].mode, key, out.data, out.len, &back), ERR_OK);
	ck_assert_uint_eq(secret_len(back), data.len);
	ck_assert_mem_eq(secret_bytes(back), data.b, data.len);
	secret_unref(back);
	back = NULL;
	out.data[0] ^= 1;
	ck_assert_int_eq(crypto_unwrap(wraps[_i].mode, key, out.data, out.len, &back), ERR_CRYPTO);
	ck_assert_int_eq(crypto_unwrap(wraps[_i].mode, key, out.data, out.len - 1, &back), ERR_CRYPTO);
	ck_assert_ptr_null(back);
	secret_unref(key);
}
END_TEST

START_TEST(wrap_lengths)
{
	struct secret *key = key_of(K256);
	struct bytes data = hex(TEXT);

	for (size_t len = 0; len < data.len; len++) {
		bool fits = len >= 16 && len % 8 == 0;

		buf_reset(&out);
		ck_assert_int_eq(crypto_wrap(KW, key, data.b, len, &out),
		    fits ? ERR_OK : ERR_INVALID_FIELD);
		ck_assert_uint_eq(out.len, fits ? len + 8 : 0);
		ck_assert_int_eq(crypto_wrap(KWP, key, data.b, len, &out),
		    len > 0 ? ERR_OK : ERR_INVALID_FIELD);
	}
	secret_unref(key);
}
END_TEST

/* --- PBKDF2 --- */

static struct loop *loop;
static unsigned ends;
static enum err ended;

static void
setup_loop(void)
{
	setup();
	loop = loop_new();
	ends = 0;
}

static void
teardown_loop(void)
{
	loop_free(loop);
	teardown();
}

static void
note_end(struct wait *w, enum err e)
{
	(void)w;
	ends++;
	ended = e;
}

static const struct {
	const char *password, *salt;
	uint32_t iterations;
	const char *key;
} stretched[] = {
    {"password", "salt", 1, "0c60c80f961f0e71f3a9b524af6012062fe037a6"},
    {"password", "salt", 2, "ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957"},
    {"password", "salt", 4096, "4b007901b765489abead49d926f721d065a429c1"},
    {"passwordPASSWORDpassword", "saltSALTsaltSALTsaltSALTsaltSALTsalt", 4096,
	"3d2eec4fe41c849b80c8d83662c0e44a8b291a964cf2f07038"},
};

static struct pbkdf2
stretch(const char *password, const char *salt, uint32_t iterations, size_t len)
{
	struct pbkdf2 p = {.loop = loop, .algorithm = KMIP_CRYPTOGRAPHIC_ALGORITHM_HMAC_SHA1,
	    .password = secret_new(strlen(password), SECRET_TRANSIENT), .salt = (const uint8_t *)salt,
	    .salt_len = strlen(salt), .iterations = iterations, .len = len, .wait.done = note_end};

	memcpy(secret_bytes(p.password), password, strlen(password));
	return p;
}

/* Many iterations take many turns, so that others get theirs. */
START_TEST(pbkdf2_vectors)
{
	struct bytes want = hex(stretched[_i].key);
	struct pbkdf2 p = stretch(
	    stretched[_i].password, stretched[_i].salt, stretched[_i].iterations, want.len);
	unsigned turns = 0;

	pbkdf2_start(&p);
	ck_assert_uint_eq(ends, 0);
	for (; ends == 0 && turns < 1000; turns++)
		loop_turn(loop, false);
	ck_assert_int_eq(ended, ERR_OK);
	ck_assert(stretched[_i].iterations < 4096 || turns >= 8);
	ck_assert_uint_eq(secret_len(p.key), want.len);
	ck_assert_mem_eq(secret_bytes(p.key), want.b, want.len);
	secret_unref(p.key);
	secret_unref(p.password);
}
END_TEST

START_TEST(pbkdf2_cancelled)
{
	struct pbkdf2 p = stretch("password", "salt", PBKDF2_ITERATIONS_MAX, 20);

	pbkdf2_start(&p);
	for (int i = 0; i < 3; i++)
		loop_turn(loop, false);
	wait_cancel(&p.wait);
	loop_turn(loop, false);
	ck_assert_uint_eq(ends, 0);
	ck_assert_ptr_null(p.key);
	secret_unref(p.password);
}
END_TEST

START_TEST(pbkdf2_has_a_ceiling)
{
	static const struct {
		uint32_t iterations;
		size_t len;
	} wrong[] = {{0, 20}, {1, 0}, {PBKDF2_ITERATIONS_MAX + 1, 20},
	    {PBKDF2_ITERATIONS_MAX / 2 + 1, 21}};
	struct pbkdf2 p = stretch("password", "salt", wrong[_i].iterations, wrong[_i].len);

	pbkdf2_start(&p);
	ck_assert_uint_eq(ends, 0);
	loop_turn(loop, false);
	ck_assert_uint_eq(ends, 1);
	ck_assert_int_eq(ended, ERR_INVALID_FIELD);
	secret_unref(p.password);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("crypto");
	TCase *tc = tcase_create("vectors"), *stretching = tcase_create("pbkdf2");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, cipher_vectors, 0, CIPHERS);
	tcase_add_test(tc, a_changed_tag_or_aad_is_noticed);
	tcase_add_loop_test(tc, padding, 0, 6);
	tcase_add_loop_test(tc, what_does_not_fit, 0, sizeof(misfits) / sizeof(misfits[0]));
	tcase_add_loop_test(tc, mac_and_hash_vectors, 0, sizeof(macs) / sizeof(macs[0]));
	tcase_add_test(tc, unknown_macs_and_hashes);
	tcase_add_loop_test(tc, wrap_vectors, 0, sizeof(wraps) / sizeof(wraps[0]));
	tcase_add_test(tc, wrap_lengths);
	suite_add_tcase(s, tc);
	tcase_add_checked_fixture(stretching, setup_loop, teardown_loop);
	tcase_add_loop_test(stretching, pbkdf2_vectors, 0, sizeof(stretched) / sizeof(stretched[0]));
	tcase_add_test(stretching, pbkdf2_cancelled);
	tcase_add_loop_test(stretching, pbkdf2_has_a_ceiling, 0, 4);
	suite_add_tcase(s, stretching);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
