/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates for clients. */
#include "net/issue.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "base/clock.h"
#include "base/why.h"
#include "net/certificate.h"

#include "pem.h"

enum { SERIAL_LEN = 16, RSA_BITS = 3072, RSA_LEAST = 2048, EC_LEAST = 256, DAY_S = 86400,
	SKEW_S = 3600 /* vCenter's clock may be behind */ };

static enum err
fail(const char **why)
{
	enum err e = why_say(why, ERR_CRYPTO, "OpenSSL: %s", pem_openssl_reason());

	ERR_clear_error();
	return e;
}

static bool
set_serial(X509 *x)
{
	uint8_t bytes[SERIAL_LEN];
	BIGNUM *n;
	bool good;

	if (RAND_bytes(bytes, sizeof(bytes)) != 1)
		return false;
	bytes[0] = (bytes[0] & 0x7f) | 0x40; /* positive, and always as long */
	n = BN_bin2bn(bytes, sizeof(bytes), NULL);
	good = n != NULL && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x)) != NULL;
	BN_free(n);
	return good;
}

static bool
set_dates(X509 *x, unsigned days)
{
	time_t now = (time_t)clock_wall();

	return X509_time_adj_ex(X509_getm_notBefore(x), 0, -SKEW_S, &now) != NULL &&
	    X509_time_adj_ex(X509_getm_notAfter(x), (int)days, 0, &now) != NULL;
}

static bool
add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;
	bool good;

	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	good = ext != NULL && X509_add_ext(x, ext, -1) == 1;
	X509_EXTENSION_free(ext);
	return good;
}

static bool
add_extensions(X509 *x, X509 *issuer, enum issue_kind kind)
{
	bool good = add_extension(x, issuer, NID_subject_key_identifier, "hash");

	if (issuer != x)
		good = good && add_extension(x, issuer, NID_authority_key_identifier, "keyid:always");
	if (kind == ISSUE_AUTHORITY)
		return good && add_extension(x, issuer, NID_basic_constraints,
		    "critical,CA:TRUE,pathlen:0") &&
		    add_extension(x, issuer, NID_key_usage, "critical,keyCertSign,cRLSign");
	return good && add_extension(x, issuer, NID_basic_constraints, "critical,CA:FALSE") &&
	    add_extension(x, issuer, NID_key_usage, "critical,digitalSignature") &&
	    add_extension(x, issuer, NID_ext_key_usage, "clientAuth");
}

/* issuer NULL: the certificate is its own. */
static X509 *
make(enum issue_kind kind, const X509_NAME *subject, EVP_PKEY *key, X509 *issuer,
    EVP_PKEY *issuer_key, unsigned days)
{
	X509 *x = X509_new();

	if (x != NULL && X509_set_version(x, X509_VERSION_3) == 1 && set_serial(x) &&
	    set_dates(x, days) && X509_set_subject_name(x, subject) == 1 &&
	    X509_set_issuer_name(x, issuer != NULL ? X509_get_subject_name(issuer) : subject) == 1 &&
	    X509_set_pubkey(x, key) == 1 && add_extensions(x, issuer != NULL ? issuer : x, kind) &&
	    X509_sign(x, issuer_key, EVP_sha256()) > 0)
		return x;
	X509_free(x);
	return NULL;
}

static X509_NAME *
name_of(const char *cn)
{
	X509_NAME *name = X509_NAME_new();

	if (name != NULL &&
	    X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, (const uint8_t *)"keyferry", -1,
		-1, 0) == 1 &&
	    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const uint8_t *)cn, -1, -1,
		0) == 1)
		return name;
	X509_NAME_free(name);
	return NULL;
}

static bool
put_certificate(X509 *x, struct buf *out)
{
	certificate_pem(x, out);
	return buf_error(out) == ERR_OK;
}

static bool
put_key(EVP_PKEY *key, struct buf *out)
{
	BIO *bio = BIO_new(BIO_s_mem());
	bool good = bio != NULL &&
	    PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1;
	char *text;
	long len = good ? BIO_get_mem_data(bio, &text) : 0;

	if (len > 0)
		buf_put(out, text, (size_t)len);
	BIO_free(bio);
	return good && buf_error(out) == ERR_OK;
}

enum err
issue_pair(enum issue_kind kind, const char *name, bool ec, unsigned days, struct buf *certificate,
    struct buf *key, const char **why)
{
	EVP_PKEY *pkey = ec ? EVP_EC_gen("P-256") : EVP_RSA_gen(RSA_BITS);
	X509_NAME *subject = name_of(name);
	X509 *x = NULL;
	enum err e = ERR_OK;

	if (pkey != NULL && subject != NULL)
		x = make(kind, subject, pkey, NULL, pkey, days);
	if (x == NULL || !put_certificate(x, certificate) || !put_key(pkey, key))
		e = fail(why);
	X509_free(x);
	X509_NAME_free(subject);
	EVP_PKEY_free(pkey);
	return e;
}

/* --- requests --- */

static BIO *
reader(const struct buf *b)
{
	return BIO_new_mem_buf(b->data, (int)b->len);
}

static bool
is_strong(EVP_PKEY *key)
{
	int bits = EVP_PKEY_get_bits(key);

	return EVP_PKEY_is_a(key, "RSA") ? bits >= RSA_LEAST
					 : EVP_PKEY_is_a(key, "EC") && bits >= EC_LEAST;
}

static enum err
read_request(const struct buf *pem, X509_REQ **out, const char **why)
{
	BIO *bio = reader(pem);
	X509_REQ *r = bio != NULL ? PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL) : NULL;
	EVP_PKEY *key = r != NULL ? X509_REQ_get0_pubkey(r) : NULL;
	enum err e = ERR_OK;

	BIO_free(bio);
	if (r == NULL)
		e = why_say(why, ERR_CONFIG,
		    "there is no request in PEM form (\"-----BEGIN CERTIFICATE REQUEST-----\")");
	else if (key == NULL || X509_REQ_verify(r, key) != 1)
		e = why_say(why, ERR_CONFIG, "the request is not signed by its own key");
	else if (!is_strong(key))
		e = why_say(why, ERR_CONFIG,
		    "the request's key is too weak: RSA with 2048 bits or more, or EC on P-256 or "
		    "P-384");
	ERR_clear_error();
	if (e != ERR_OK) {
		X509_REQ_free(r);
		return e;
	}
	*out = r;
	return ERR_OK;
}

enum err
issue_for_request(const struct buf *request, const struct buf *authority,
    const struct buf *authority_key, unsigned days, struct buf *certificate, const char **why)
{
	BIO *ca_bio, *key_bio;
	EVP_PKEY *ca_key;
	X509_REQ *r;
	X509 *ca, *x = NULL;
	enum err e = read_request(request, &r, why);

	if (e != ERR_OK)
		return e;
	ca_bio = reader(authority);
	key_bio = reader(authority_key);
	ca = ca_bio != NULL ? PEM_read_bio_X509(ca_bio, NULL, NULL, NULL) : NULL;
	ca_key = key_bio != NULL ? PEM_read_bio_PrivateKey(key_bio, NULL, NULL, (void *)"") : NULL;
	if (ca != NULL && ca_key != NULL && X509_check_private_key(ca, ca_key) == 1)
		x = make(ISSUE_CLIENT, X509_REQ_get_subject_name(r), X509_REQ_get0_pubkey(r), ca,
		    ca_key, days);
	if (x == NULL || !put_certificate(x, certificate))
		e = fail(why);
	X509_free(x);
	X509_free(ca);
	EVP_PKEY_free(ca_key);
	X509_REQ_free(r);
	BIO_free(ca_bio);
	BIO_free(key_bio);
	return e;
}

enum err
issue_der(const struct buf *pem, struct buf *der, const char **why)
{
	static const char private[] = "PRIVATE KEY-----";
	BIO *bio = reader(pem);
	X509 *x = bio != NULL ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	X509 *more = x != NULL ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	int len = x != NULL ? i2d_X509(x, NULL) : 0;
	uint8_t *to = len > 0 ? buf_extend(der, (size_t)len) : NULL;
	enum err e = ERR_OK;

	ERR_clear_error();
	BIO_free(bio);
	if (pem->len > 0 && memmem(pem->data, pem->len, private, strlen(private)) != NULL)
		e = why_say(why, ERR_CONFIG,
		    "there is a private key beside the certificate: it is the client's alone; give "
		    "the certificate only");
	else if (x == NULL)
		e = why_say(why, ERR_CONFIG,
		    "there is no certificate in PEM form (\"-----BEGIN CERTIFICATE-----\")");
	else if (more != NULL)
		e = why_say(why, ERR_CONFIG,
		    "there is more than one certificate: give the client's own, without its chain");
	else if (to == NULL || i2d_X509(x, &to) != len)
		e = why_say(why, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	X509_free(x);
	X509_free(more);
	return e;
}
