/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates as text and bytes. */
#include "net/certificate.h"

#include <string.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "base/alloc.h"

#include "algorithms.h"
#include "pem.h"

enum { EXPONENT_BITS_MAX = 32, SECURITY_BITS = 112 };

/* Appends what was written to bio, and frees it. */
static void
drain(BIO *bio, struct buf *out)
{
	char *text;
	long len = BIO_get_mem_data(bio, &text);

	if (len > 0)
		buf_put(out, text, (size_t)len);
	BIO_free(bio);
}

/* NULL without memory. */
static BIO *
print_name(const X509_NAME *name)
{
	BIO *bio = BIO_new(BIO_s_mem());

	if (bio != NULL && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0)
		return bio;
	BIO_free(bio);
	return NULL;
}

/* Whoever made it decides how long it is: the end says when there was more. */
void
certificate_name_cut(const struct X509_name_st *name, char out[CERTIFICATE_NAME_MAX])
{
	static const char more[] = "...";
	BIO *bio = print_name(name);
	char *text = NULL;
	size_t len = bio != NULL ? (size_t)BIO_get_mem_data(bio, &text) : 0;

	bool cut = len >= CERTIFICATE_NAME_MAX;

	if (cut)
		len = CERTIFICATE_NAME_MAX - sizeof(more);
	if (len > 0)
		memcpy(out, text, len);
	memcpy(out + len, cut ? more : "", cut ? sizeof(more) : 1);
	BIO_free(bio);
}

static bool
put_digest(const X509 *x, const EVP_MD *md, uint8_t *digest, char *out)
{
	static const char digits[] = "0123456789ABCDEF";
	unsigned len = 0;

	if (X509_digest(x, md, digest, &len) != 1)
		return false;
	for (unsigned i = 0; i < len; i++) {
		*out++ = digits[digest[i] >> 4];
		*out++ = digits[digest[i] & 15];
		*out++ = i + 1 < len ? ':' : '\0';
	}
	return true;
}

static void
put_serial(const X509 *x, char *out, size_t size)
{
	BIGNUM *n = ASN1_INTEGER_to_BN(X509_get0_serialNumber(x), NULL);
	char *hex = n != NULL ? BN_bn2hex(n) : NULL;

	strncpy(out, hex != NULL ? hex : "", size - 1);
	out[size - 1] = '\0';
	OPENSSL_free(hex);
	BN_free(n);
}

enum err
certificate_describe(const struct x509_st *x, struct certificate_text *out)
{
	uint8_t sha1[EVP_MAX_MD_SIZE];
	bool good;

	*out = (struct certificate_text){0};
	good = put_digest(x, EVP_sha1(), sha1, out->sha1) &&
	    put_digest(x, EVP_sha256(), out->digest, out->sha256) &&
	    pem_seconds(X509_get0_notBefore(x), &out->not_before) &&
	    pem_seconds(X509_get0_notAfter(x), &out->not_after);
	certificate_name_cut(X509_get_subject_name(x), out->subject);
	certificate_name_cut(X509_get_issuer_name(x), out->issuer);
	put_serial(x, out->serial, sizeof(out->serial));
	out->key_unfit = certificate_key_unfit(x);
	if (out->key_unfit == NULL)
		out->key_unfit = certificate_key_weak(x);
	ERR_clear_error();
	return good ? ERR_OK : ERR_CRYPTO;
}

void
certificate_subject(const struct x509_st *x, struct buf *out)
{
	BIO *bio = print_name(X509_get_subject_name(x));

	if (bio != NULL)
		drain(bio, out);
	else
		out->error = ERR_NO_MEMORY;
}

void
certificate_subject_cut(const struct x509_st *x, char out[CERTIFICATE_NAME_MAX])
{
	certificate_name_cut(X509_get_subject_name(x), out);
}

enum err
certificates_of_file(const char *path, struct stack_st_X509 **out, const char **why)
{
	return pem_certificates(path, out, why);
}

static bool
read_one(void *arg, const uint8_t *der, size_t len)
{
	const struct certificates_reader *r = arg;
	struct certificate_text text = {0};
	X509 *x;
	enum err e;

	if (EVP_Digest(der, len, text.digest, NULL, EVP_sha256(), NULL) != 1)
		return false;
	if (r->known(r->arg, text.digest, &text))
		return r->take(r->arg, &text);
	x = certificate_from_der(der, len);
	e = x != NULL ? certificate_describe(x, &text) : ERR_CRYPTO;
	X509_free(x);
	return e == ERR_OK && r->take(r->arg, &text);
}

enum err
certificates_read(const char *path, enum trusted kind, const struct certificates_reader *r,
    const char **why)
{
	struct certificates_reader copy = *r;

	return pem_each_certificate(path, kind, read_one, &copy, why);
}

size_t
certificates_count(const struct stack_st_X509 *list)
{
	return (size_t)sk_X509_num(list);
}

struct x509_st *
certificates_at(const struct stack_st_X509 *list, size_t n)
{
	return sk_X509_value(list, (int)n);
}

void
certificates_free(struct stack_st_X509 *list)
{
	sk_X509_pop_free(list, X509_free);
}

X509 *
certificate_with_key(X509 *x)
{
	uint64_t failures = alloc_failures();
	X509 *whole = NULL;
	const unsigned char *p;
	unsigned char *der = NULL;
	int len;

	if (X509_get0_pubkey(x) != NULL)
		return X509_up_ref(x) == 1 ? x : NULL;
	len = i2d_X509(x, &der);
	p = der;
	if (len > 0)
		whole = X509_new_ex(algorithms_for_certificates(), NULL);
	if (whole != NULL && d2i_X509(&whole, &p, len) == NULL)
		whole = NULL; /* it is freed */
	/* without memory for a key OpenSSL does without the key, and calls that success */
	if (whole != NULL && X509_get0_pubkey(whole) == NULL && alloc_failures() != failures) {
		X509_free(whole);
		whole = NULL;
	}
	OPENSSL_free(der);
	ERR_clear_error();
	return whole;
}

/* Before the proof OpenSSL's chain begins with the leaf, afterwards it is without. */
bool
certificate_chain_digest(const struct tls_shown *shown, uint8_t out[TLS_DIGEST_LEN])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t one[TLS_DIGEST_LEN];
	bool good = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1;

	for (int i = 0; good && i < sk_X509_num(shown->chain); i++) {
		const X509 *x = sk_X509_value(shown->chain, i);

		good = X509_digest(x, EVP_sha256(), one, NULL) == 1 &&
		    (memcmp(one, shown->sha256, sizeof(one)) == 0 ||
			EVP_DigestUpdate(ctx, one, sizeof(one)) == 1);
	}
	good = good && EVP_DigestFinal_ex(ctx, out, NULL) == 1;
	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	return good;
}

struct x509_st *
certificate_from_der(const uint8_t *der, size_t len)
{
	const uint8_t *p = der;
	X509 *x = len <= CERTIFICATE_DER_MAX ? d2i_X509(NULL, &p, (long)len) : NULL;

	ERR_clear_error();
	if (x != NULL && p != der + len) {
		X509_free(x);
		return NULL;
	}
	return x;
}

void
certificate_pem(const struct x509_st *x, struct buf *out)
{
	BIO *bio = BIO_new(BIO_s_mem());

	buf_printf(out, "subject=");
	certificate_subject(x, out);
	buf_printf(out, "\n");
	if (bio == NULL || PEM_write_bio_X509(bio, x) != 1) {
		BIO_free(bio);
		out->error = ERR_NO_MEMORY;
		return;
	}
	drain(bio, out);
}

struct x509_st *
certificate_ref(struct x509_st *x)
{
	X509_up_ref(x);
	return x;
}

void
certificate_unref(struct x509_st *x)
{
	X509_free(x);
}

const char *
certificate_unfit(const struct certificate_text *c, int64_t now)
{
	if (c->not_after <= now)
		return "the certificate has expired";
	return c->not_before > now ? "the certificate is not valid yet" : NULL;
}

/* Keys of other kinds have no such number. */
const char *
certificate_key_unfit(const struct x509_st *x)
{
	const EVP_PKEY *key = X509_get0_pubkey(x);
	BIGNUM *e = NULL;
	bool unfit = key != NULL && EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e) == 1 &&
	    BN_num_bits(e) > EXPONENT_BITS_MAX;

	BN_free(e);
	ERR_clear_error();
	return unfit ? "its RSA key has a public exponent of more than 32 bits; make a new one with "
		       "65537" : NULL;
}

const char *
certificate_key_weak(const struct x509_st *x)
{
	const EVP_PKEY *key = X509_get0_pubkey(x);
	bool weak = key == NULL || EVP_PKEY_get_security_bits(key) < SECURITY_BITS;

	ERR_clear_error();
	return weak ? "its key is too weak; make a new one, RSA with 2048 bits or more, or EC on "
		      "P-256" : NULL;
}

bool
certificate_is_authority(struct x509_st *x)
{
	return X509_check_ca(x) == 1;
}

bool
certificate_is_for_signing(struct x509_st *x)
{
	return certificate_is_authority(x) && (X509_get_extension_flags(x) & EXFLAG_KUSAGE) != 0;
}
