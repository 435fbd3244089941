/* SPDX-License-Identifier: Apache-2.0 */
/* Providers that pass on what the default provider offers, less what there is no use for. */
#include "algorithms.h"

#include <stdbool.h>
#include <string.h>

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/provider.h>
#include <openssl/rand.h>

#include "base/alloc.h"
#include "net/tls.h"

enum { ALGORITHMS_MAX = 16 };

static OSSL_PROVIDER *all; /* the default provider */

static int start_tls(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
    const OSSL_DISPATCH **out, void **ctx);
static int start_certificates(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
    const OSSL_DISPATCH **out, void **ctx);

static struct library {
	const char *name;
	OSSL_provider_init_fn *start;
	OSSL_PROVIDER *some;
	OSSL_LIB_CTX *ctx;
} tls = {.name = "keyferry-tls", .start = start_tls},
  certificates = {.name = "keyferry-certificates", .start = start_certificates};

/* --- the selection --- */

/* An operation, and which of its algorithms TLS 1.2 and 1.3 and their certificates can come to. */
static struct selection {
	int operation;
	const char *names[ALGORITHMS_MAX + 1];
	OSSL_ALGORITHM chosen[ALGORITHMS_MAX + 1];
} selections[] = {
    {.operation = OSSL_OP_KEYMGMT,
	.names = {"RSA", "RSA-PSS", "EC", "ED25519", "ED448", "X25519", "X448", "HMAC"}},
    /* "DER" is the decoder that looks which of the others it takes */
    {.operation = OSSL_OP_DECODER, .names = {"RSA", "RSA-PSS", "EC", "ED25519", "ED448", "DER"}},
    {.operation = OSSL_OP_KEYEXCH, .names = {"ECDH", "X25519", "X448"}},
    {.operation = OSSL_OP_SIGNATURE, .names = {"RSA", "ECDSA", "ED25519", "ED448", "HMAC"}},
    {.operation = OSSL_OP_ASYM_CIPHER, .names = {"RSA"}},
    {.operation = OSSL_OP_CIPHER,
	.names = {"AES-128-GCM", "AES-256-GCM", "ChaCha20-Poly1305", "AES-128-CBC", "AES-256-CBC",
	    "AES-128-CBC-HMAC-SHA1", "AES-256-CBC-HMAC-SHA1", "AES-128-CBC-HMAC-SHA256",
	    "AES-256-CBC-HMAC-SHA256", "AES-256-CTR", "AES-256-ECB", "NULL"}},
    {.operation = OSSL_OP_DIGEST, .names = {"SHA1", "SHA2-224", "SHA2-256", "SHA2-384", "SHA2-512"}},
    {.operation = OSSL_OP_MAC, .names = {"HMAC"}},
    {.operation = OSSL_OP_KDF, .names = {"HKDF", "TLS13-KDF", "TLS1-PRF"}},
    {.operation = OSSL_OP_RAND, .names = {"CTR-DRBG", "SEED-SRC"}},
};

/* Among the names of an algorithm, "RSA:rsaEncryption:1.2.840.113549.1.1.1", the first. */
static bool
is_named(const OSSL_ALGORITHM *a, const char *const *names)
{
	size_t len = strcspn(a->algorithm_names, ":");

	for (; *names != NULL; names++)
		if (strlen(*names) == len && memcmp(a->algorithm_names, *names, len) == 0)
			return true;
	return false;
}

static bool
reads_public_keys(const OSSL_ALGORITHM *a)
{
	return strstr(a->property_definition, "input=der") != NULL &&
	    strstr(a->property_definition, "structure=SubjectPublicKeyInfo") != NULL;
}

/* False when there is nothing of use, or more than is known here. */
static bool
choose(struct selection *s)
{
	int no_cache = 0;
	const OSSL_ALGORITHM *a = OSSL_PROVIDER_query_operation(all, s->operation, &no_cache);
	size_t n = 0;

	for (; a != NULL && a->algorithm_names != NULL; a++) {
		if (!is_named(a, s->names) ||
		    (s->operation == OSSL_OP_DECODER && !reads_public_keys(a)))
			continue;
		if (n == ALGORITHMS_MAX)
			return false;
		s->chosen[n++] = *a;
	}
	return n > 0 && no_cache == 0;
}

static bool
choose_all(void)
{
	for (size_t i = 0; i < sizeof(selections) / sizeof(selections[0]); i++)
		if (!choose(&selections[i]))
			return false;
	return true;
}

/* --- the provider: its context is that of the default provider --- */

static const OSSL_PARAM *
gettable_params(void *ctx)
{
	(void)ctx;
	return OSSL_PROVIDER_gettable_params(all);
}

static int
get_params(void *ctx, OSSL_PARAM *params)
{
	(void)ctx;
	return OSSL_PROVIDER_get_params(all, params);
}

static int
get_capabilities(void *ctx, const char *capability, OSSL_CALLBACK *cb, void *arg)
{
	(void)ctx;
	return OSSL_PROVIDER_get_capabilities(all, capability, cb, arg);
}

static const OSSL_ALGORITHM *
query_certificates(void *ctx, int operation, int *no_cache)
{
	(void)ctx;
	*no_cache = 0;
	for (size_t i = 0; i < sizeof(selections) / sizeof(selections[0]); i++)
		if (selections[i].operation == operation)
			return selections[i].chosen;
	return NULL;
}

/* Without decoders a certificate is read without its key. */
static const OSSL_ALGORITHM *
query_tls(void *ctx, int operation, int *no_cache)
{
	*no_cache = 0;
	return operation != OSSL_OP_DECODER ? query_certificates(ctx, operation, no_cache) : NULL;
}

#define FUNCTIONS(query)                                                                           \
	{                                                                                          \
		{OSSL_FUNC_PROVIDER_GETTABLE_PARAMS, (void (*)(void))gettable_params},             \
		{OSSL_FUNC_PROVIDER_GET_PARAMS, (void (*)(void))get_params},                       \
		{OSSL_FUNC_PROVIDER_GET_CAPABILITIES, (void (*)(void))get_capabilities},           \
		{OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))(query)},                     \
		{0, NULL},                                                                         \
	}

static int
start_tls(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out,
    void **ctx)
{
	static const OSSL_DISPATCH functions[] = FUNCTIONS(query_tls);

	(void)handle, (void)in;
	*out = functions;
	*ctx = OSSL_PROVIDER_get0_provider_ctx(all);
	return 1;
}

static int
start_certificates(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
    const OSSL_DISPATCH **out, void **ctx)
{
	static const OSSL_DISPATCH functions[] = FUNCTIONS(query_certificates);

	(void)handle, (void)in;
	*out = functions;
	*ctx = OSSL_PROVIDER_get0_provider_ctx(all);
	return 1;
}

/* --- the library contexts --- */

static int
count_others(OSSL_PROVIDER *p, void *arg)
{
	*(int *)arg += strcmp(OSSL_PROVIDER_get0_name(p), "default") != 0;
	return 1;
}

static bool
is_plain(void)
{
	int others = 0;

	return OSSL_PROVIDER_available(NULL, "default") == 1 &&
	    OSSL_PROVIDER_do_all(NULL, count_others, &others) == 1 && others == 0 &&
	    EVP_default_properties_is_fips_enabled(NULL) == 0;
}

/* Random bytes are asked for at once, so that the generators' memory is taken now. */
static bool
works(OSSL_LIB_CTX *lib)
{
	unsigned char byte;

	return RAND_bytes_ex(lib, &byte, 1, 0) == 1 && RAND_priv_bytes_ex(lib, &byte, 1, 0) == 1;
}

static void
close_library(struct library *l)
{
	if (l->some != NULL)
		OSSL_PROVIDER_unload(l->some);
	OSSL_LIB_CTX_free(l->ctx);
	l->some = NULL;
	l->ctx = NULL;
}

static void
tear_down(void)
{
	close_library(&tls);
	close_library(&certificates);
	if (all != NULL)
		OSSL_PROVIDER_unload(all);
	all = NULL;
}

static bool
open_library(struct library *l)
{
	return (l->ctx = OSSL_LIB_CTX_new()) != NULL &&
	    OSSL_PROVIDER_add_builtin(l->ctx, l->name, l->start) == 1 &&
	    (l->some = OSSL_PROVIDER_load(l->ctx, l->name)) != NULL && works(l->ctx);
}

static bool
set_up(void)
{
	return is_plain() && (all = OSSL_PROVIDER_load(NULL, "default")) != NULL && choose_all() &&
	    open_library(&tls) && open_library(&certificates) && OPENSSL_atexit(tear_down) == 1;
}

static void
set_up_once(void)
{
	static bool tried;

	if (tried)
		return;
	tried = true;
	if (!set_up())
		tear_down();
	ERR_clear_error();
}

OSSL_LIB_CTX *
algorithms_for_tls(void)
{
	set_up_once();
	return tls.ctx;
}

OSSL_LIB_CTX *
algorithms_for_certificates(void)
{
	set_up_once();
	return certificates.ctx;
}

/* One of a kind has all of it made and kept. */
static void
fetch_each_kind(OSSL_LIB_CTX *lib)
{
	EVP_MD_free(EVP_MD_fetch(lib, "SHA2-256", NULL));
	EVP_CIPHER_free(EVP_CIPHER_fetch(lib, "AES-256-GCM", NULL));
	EVP_MAC_free(EVP_MAC_fetch(lib, "HMAC", NULL));
	EVP_KDF_free(EVP_KDF_fetch(lib, "HKDF", NULL));
	EVP_RAND_free(EVP_RAND_fetch(lib, "CTR-DRBG", NULL));
	EVP_KEYMGMT_free(EVP_KEYMGMT_fetch(lib, "EC", NULL));
	EVP_KEYEXCH_free(EVP_KEYEXCH_fetch(lib, "ECDH", NULL));
	EVP_SIGNATURE_free(EVP_SIGNATURE_fetch(lib, "ECDSA", NULL));
	EVP_ASYM_CIPHER_free(EVP_ASYM_CIPHER_fetch(lib, "RSA", NULL));
	OSSL_DECODER_free(OSSL_DECODER_fetch(lib, "EC", NULL));
}

/* Whether one is there does not matter, as not each provider has them all; whether memory failed does. */
enum err
tls_prepare(void)
{
	uint64_t before = alloc_failures();

	fetch_each_kind(NULL);
	fetch_each_kind(algorithms_for_tls());
	fetch_each_kind(algorithms_for_certificates());
	ERR_clear_error();
	return alloc_failures() == before ? ERR_OK : ERR_NO_MEMORY;
}

EVP_PKEY *
algorithms_own_key(EVP_PKEY *key)
{
	EVP_PKEY_CTX *ctx;
	OSSL_PARAM *parts = NULL;
	EVP_PKEY *own = NULL;

	if (tls.ctx == NULL)
		return key;
	ctx = EVP_PKEY_CTX_new_from_name(tls.ctx, EVP_PKEY_get0_type_name(key), NULL);
	if (ctx == NULL || EVP_PKEY_todata(key, EVP_PKEY_KEYPAIR, &parts) != 1 ||
	    EVP_PKEY_fromdata_init(ctx) != 1 ||
	    EVP_PKEY_fromdata(ctx, &own, EVP_PKEY_KEYPAIR, parts) != 1)
		own = NULL;
	OSSL_PARAM_free(parts);
	EVP_PKEY_CTX_free(ctx);
	ERR_clear_error();
	if (own == NULL)
		return key;
	EVP_PKEY_free(key);
	return own;
}
