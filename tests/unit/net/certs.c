/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates and keys for tests. */
#include "certs.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "base/clock.h"

static void
must(int ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "certs: %s failed\n", what);
		abort();
	}
}

static EVP_PKEY *
new_key(enum cert_key kind)
{
	static EVP_PKEY *rsa; /* one is enough: making it takes long */

	if (kind == CERT_EC)
		return EVP_EC_gen("P-256");
	if (rsa == NULL)
		rsa = EVP_RSA_gen(2048);
	must(rsa != NULL && EVP_PKEY_up_ref(rsa), "RSA key");
	return rsa;
}

/* Takes the key. */
static struct identity
identity_of_key(EVP_PKEY *key, const char *name, long from_s, long until_s)
{
	static long serial;
	struct identity id = {X509_new(), key};
	time_t now = (time_t)clock_wall();
	X509_NAME *subject;

	must(id.cert != NULL && id.key != NULL, "key");
	X509_set_version(id.cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(id.cert), ++serial);
	X509_time_adj_ex(X509_getm_notBefore(id.cert), 0, from_s, &now);
	X509_time_adj_ex(X509_getm_notAfter(id.cert), 0, until_s, &now);
	subject = X509_get_subject_name(id.cert);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1,
	    -1, 0);
	X509_set_issuer_name(id.cert, subject);
	X509_set_pubkey(id.cert, id.key);
	must(X509_sign(id.cert, id.key, EVP_sha256()) > 0, "signing");
	return id;
}

struct identity
identity_new(enum cert_key kind, const char *name, long from_s, long until_s)
{
	return identity_of_key(new_key(kind), name, from_s, until_s);
}

struct identity
identity_of_exponent(uint64_t e, const char *name, long from_s, long until_s)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	BIGNUM *exponent = BN_new();
	EVP_PKEY *key = NULL;

	must(BN_set_word(exponent, e) == 1 && EVP_PKEY_keygen_init(ctx) == 1 &&
	    EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, 2048) == 1 &&
	    EVP_PKEY_CTX_set1_rsa_keygen_pubexp(ctx, exponent) == 1 &&
	    EVP_PKEY_generate(ctx, &key) == 1, "RSA key with an exponent");
	BN_free(exponent);
	EVP_PKEY_CTX_free(ctx);
	return identity_of_key(key, name, from_s, until_s);
}

/* Both halves are given to OpenSSL as they are; it does not check that they belong together. */
struct identity
identity_impostor(const struct identity *of)
{
	struct identity id = {of->cert, NULL};
	EVP_PKEY *other = EVP_EC_gen("P-256");
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	OSSL_PARAM *params;
	BIGNUM *private = NULL;
	uint8_t public[128];
	size_t len;

	must(EVP_PKEY_get_octet_string_param(of->key, OSSL_PKEY_PARAM_PUB_KEY, public,
	    sizeof(public), &len) == 1, "public half");
	must(EVP_PKEY_get_bn_param(other, OSSL_PKEY_PARAM_PRIV_KEY, &private) == 1, "private half");
	OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0);
	OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, public, len);
	OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_PRIV_KEY, private);
	params = OSSL_PARAM_BLD_to_param(bld);
	must(params != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
	    EVP_PKEY_fromdata(ctx, &id.key, EVP_PKEY_KEYPAIR, params) == 1, "impostor");
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(bld);
	BN_clear_free(private);
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(other);
	X509_up_ref(id.cert);
	return id;
}

void
identity_free(struct identity *id)
{
	X509_free(id->cert);
	EVP_PKEY_free(id->key);
	*id = (struct identity){0};
}

void
identity_spoil(struct identity *id)
{
	ASN1_OCTET_STRING *junk = ASN1_OCTET_STRING_new();
	X509_EXTENSION *e = NULL;

	must(junk != NULL && ASN1_OCTET_STRING_set(junk, (const unsigned char *)"junk", 4) == 1 &&
	    (e = X509_EXTENSION_create_by_NID(NULL, NID_key_usage, 0, junk)) != NULL &&
	    X509_add_ext(id->cert, e, -1) == 1 &&
	    X509_sign(id->cert, id->key, EVP_sha256()) > 0, "spoiling");
	X509_EXTENSION_free(e);
	ASN1_OCTET_STRING_free(junk);
}

void
identity_digest(const struct identity *id, uint8_t *sha256)
{
	must(X509_digest(id->cert, EVP_sha256(), sha256, NULL) == 1, "digest");
}

static FILE *
create(const char *path, int mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;

	must(f != NULL, path);
	return f;
}

void
identity_write_cert(const struct identity *id, const char *path)
{
	FILE *f = create(path, 0644);

	must(PEM_write_X509(f, id->cert) == 1 && fclose(f) == 0, path);
}

void
identity_write_key(const struct identity *id, const char *path, const char *passphrase)
{
	FILE *f = create(path, 0600);
	const EVP_CIPHER *cipher = passphrase != NULL ? EVP_aes_128_cbc() : NULL;

	must(PEM_write_PrivateKey(f, id->key, cipher, NULL, 0, NULL, (void *)passphrase) == 1 &&
	    fclose(f) == 0, path);
}

/* --- authorities --- */

struct identity
identity_authority(void)
{
	struct identity id = identity_new(CERT_EC, "CA", -86400, 1000 * 86400L);
	X509_EXTENSION *x = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "CA:TRUE");

	must(x != NULL && X509_add_ext(id.cert, x, -1) == 1, "extension");
	X509_EXTENSION_free(x);
	must(X509_sign(id.cert, id.key, EVP_sha256()) > 0, "signing");
	return id;
}

void
identity_sign(struct identity *id, const struct identity *ca)
{
	must(X509_set_issuer_name(id->cert, X509_get_subject_name(ca->cert)) == 1 &&
	    X509_sign(id->cert, ca->key, EVP_sha256()) > 0, "signing");
}

struct authority *
identity_trusted(const struct identity *ca, const char *rule)
{
	char path[] = "/tmp/keyferry-ca-XXXXXX";
	const char *files[] = {path, NULL}, *why = "";
	struct authority *a = NULL;
	int fd = mkstemp(path);

	must(fd >= 0 && close(fd) == 0, path);
	identity_write_cert(ca, path);
	if (authority_new(&a, files, NULL, rule, &why) != ERR_OK)
		must(false, why);
	unlink(path);
	return a;
}
