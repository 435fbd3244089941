/* SPDX-License-Identifier: Apache-2.0 */
/* PEM files: certificates and private keys. */
#include "pem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/credential.h"
#include "base/secret_file.h"
#include "base/trusted.h"
#include "base/why.h"

enum { FILE_MAX = 1024 * 1024, KEY_FILE_MAX = 32 * 1024, CHUNK = 4096, DER_SEQUENCE = 0x30 };

const char *
pem_openssl_reason(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_last_error());

	return text != NULL ? text : "no reason given";
}

bool
pem_seconds(const ASN1_TIME *t, int64_t *out)
{
	struct tm tm;

	if (t == NULL || ASN1_TIME_to_tm(t, &tm) != 1)
		return false;
	*out = (int64_t)timegm(&tm);
	return true;
}

static enum err
read_all(int fd, struct buf *b)
{
	ssize_t n;

	do {
		if (buf_reserve(b, CHUNK) != ERR_OK)
			return buf_error(b);
		n = read(fd, b->data + b->len, CHUNK);
		if (n < 0 && errno != EINTR)
			return ERR_IO;
		if (n > 0)
			b->len += (size_t)n;
	} while (n != 0);
	return ERR_OK;
}

/* Fills b with a file that is no secret, but says who is let in, or who vouches for them. */
static enum err
read_file(const char *path, enum trusted kind, struct buf *b, const char **why)
{
	char where[CREDENTIAL_PATH_MAX];
	const char *sentence;
	enum err e = credential_path(where, path, &sentence);
	int fd;

	if (e != ERR_OK)
		return why_say(why, e, "%s: %s", path, sentence);
	fd = trusted_open(where, kind, O_RDONLY, &sentence);
	if (fd < 0)
		return why_say(why, errno != 0 ? ERR_IO : ERR_CONFIG, "%s %s", path, sentence);
	e = read_all(fd, b);
	if (e == ERR_IO)
		e = why_say(why, e, "%s cannot be read: %s", path, strerror(errno));
	else if (e == ERR_RESPONSE_TOO_LARGE)
		e = why_say(why, ERR_CONFIG, "%s is larger than %d bytes", path, FILE_MAX);
	else if (e != ERR_OK)
		e = why_say(why, e, "%s: %s", path, err_text(e));
	close(fd);
	return e;
}

/*
 * OpenSSL makes a certificate or a list without the part that it had no memory for, such as the key, and calls
 * that success; or it says that the file is damaged.  failures: alloc_failures() before.
 */
static enum err
judge_memory(enum err e, uint64_t failures, const char *path, const char **why)
{
	if (alloc_failures() == failures)
		return e;
	return why_say(why, ERR_NO_MEMORY, "%s: %s", path, err_text(ERR_NO_MEMORY));
}

static bool
no_more_pem(void)
{
	unsigned long code = ERR_peek_last_error();

	return ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
}

static enum err
no_certificate(const char *path, const char **why)
{
	return why_say(why, ERR_CONFIG,
	    "%s holds no certificate in PEM form (\"-----BEGIN CERTIFICATE-----\")", path);
}

static enum err
parse_certificates(const struct buf *b, const char *path, STACK_OF(X509) *list, const char **why)
{
	BIO *bio = BIO_new_mem_buf(b->data, (int)b->len);
	X509 *x = NULL;
	enum err e = ERR_OK;

	ERR_clear_error();
	while (bio != NULL && (x = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
		if (sk_X509_push(list, x) == 0) {
			X509_free(x);
			break;
		}
	}
	BIO_free(bio);
	if (!no_more_pem())
		e = why_say(why, ERR_CONFIG, "%s: certificate %d is damaged: %s", path,
		    sk_X509_num(list) + 1, pem_openssl_reason());
	else if (sk_X509_num(list) == 0)
		e = no_certificate(path, why);
	ERR_clear_error();
	return e;
}

/* True when all blocks were taken; *count: of those that hold certificates. */
static bool
take_blocks(BIO *bio, pem_take_fn *take, void *arg, size_t *count)
{
	char *name, *header;
	unsigned char *der;
	bool good = true;
	long len;

	while (good && PEM_read_bio(bio, &name, &header, &der, &len) == 1) {
		if (strcmp(name, PEM_STRING_X509) == 0 || strcmp(name, PEM_STRING_X509_OLD) == 0) {
			++*count;
			good = take(arg, der, (size_t)len);
		}
		OPENSSL_free(name);
		OPENSSL_free(header);
		OPENSSL_free(der);
	}
	return good;
}

enum err
pem_each_certificate(const char *path, enum trusted kind, pem_take_fn *take, void *arg,
    const char **why)
{
	uint64_t failures = alloc_failures();
	size_t count = 0;
	struct buf b;
	enum err e;
	BIO *bio;
	bool taken;

	buf_init(&b, FILE_MAX);
	e = read_file(path, kind, &b, why);
	if (e != ERR_OK) {
		buf_fini(&b);
		return e;
	}
	ERR_clear_error();
	bio = BIO_new_mem_buf(b.data, (int)b.len);
	taken = bio != NULL && take_blocks(bio, take, arg, &count);
	if (!taken)
		e = why_say(why, ERR_CONFIG, "%s: certificate %zu cannot be used", path, count);
	else if (!no_more_pem())
		e = why_say(why, ERR_CONFIG, "%s: certificate %zu is damaged: %s", path, count + 1,
		    pem_openssl_reason());
	else if (count == 0)
		e = no_certificate(path, why);
	ERR_clear_error();
	BIO_free(bio);
	buf_fini(&b);
	return judge_memory(e, failures, path, why);
}

enum err
pem_certificates(const char *path, STACK_OF(X509) **out, const char **why)
{
	STACK_OF(X509) *list = sk_X509_new_null();
	uint64_t failures = alloc_failures();
	struct buf b;
	enum err e;

	if (list == NULL)
		return why_say(why, ERR_NO_MEMORY, "%s: %s", path, err_text(ERR_NO_MEMORY));
	buf_init(&b, FILE_MAX);
	e = read_file(path, TRUSTED_CERTIFICATES, &b, why);
	if (e == ERR_OK)
		e = judge_memory(parse_certificates(&b, path, list, why), failures, path, why);
	buf_fini(&b);
	if (e != ERR_OK) {
		sk_X509_pop_free(list, X509_free);
		return e;
	}
	*out = list;
	return ERR_OK;
}

static bool
take_crl(STACK_OF(X509_CRL) *list, X509_CRL *crl)
{
	if (sk_X509_CRL_push(list, crl) != 0)
		return true;
	X509_CRL_free(crl);
	return false;
}

static enum err
parse_pem_crls(const struct buf *b, const char *path, STACK_OF(X509_CRL) *list, const char **why)
{
	BIO *bio = BIO_new_mem_buf(b->data, (int)b->len);
	bool good = bio != NULL;
	X509_CRL *crl;

	while (good && (crl = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL)) != NULL)
		good = take_crl(list, crl);
	BIO_free(bio);
	if (!good || !no_more_pem())
		return why_say(why, ERR_CONFIG, "%s: revocation list %d is damaged: %s", path,
		    sk_X509_CRL_num(list) + 1, pem_openssl_reason());
	if (sk_X509_CRL_num(list) == 0)
		return why_say(why, ERR_CONFIG,
		    "%s holds no revocation list, in PEM form (\"-----BEGIN X509 CRL-----\") or in "
		    "DER", path);
	return ERR_OK;
}

static enum err
parse_der_crl(const struct buf *b, const char *path, STACK_OF(X509_CRL) *list, const char **why)
{
	const uint8_t *p = b->data;
	X509_CRL *crl = d2i_X509_CRL(NULL, &p, (long)b->len);

	if (crl == NULL || p != b->data + b->len) {
		X509_CRL_free(crl);
		return why_say(why, ERR_CONFIG, "%s: the revocation list is damaged", path);
	}
	return take_crl(list, crl) ? ERR_OK : ERR_NO_MEMORY;
}

enum err
pem_crls(const char *path, STACK_OF(X509_CRL) **out, const char **why)
{
	STACK_OF(X509_CRL) *list = sk_X509_CRL_new_null();
	uint64_t failures = alloc_failures();
	struct buf b;
	enum err e;

	if (list == NULL)
		return why_say(why, ERR_NO_MEMORY, "%s: %s", path, err_text(ERR_NO_MEMORY));
	buf_init(&b, FILE_MAX);
	ERR_clear_error();
	e = read_file(path, TRUSTED_CERTIFICATES, &b, why);
	if (e == ERR_OK)
		e = b.len > 0 && b.data[0] == DER_SEQUENCE ? parse_der_crl(&b, path, list, why)
							   : parse_pem_crls(&b, path, list, why);
	e = judge_memory(e, failures, path, why);
	ERR_clear_error();
	buf_fini(&b);
	if (e != ERR_OK) {
		sk_X509_CRL_pop_free(list, X509_CRL_free);
		return e;
	}
	*out = list;
	return ERR_OK;
}

/* Called for an encrypted key.  A prompt would stop a daemon for good, so there is no answer. */
static int
refuse_passphrase(char *text, int size, int rwflag, void *asked)
{
	(void)text, (void)size, (void)rwflag;
	*(bool *)asked = true;
	return -1;
}

enum err
pem_private_key(const char *path, EVP_PKEY **out, const char **why)
{
	bool encrypted = false;
	uint64_t failures = alloc_failures();
	EVP_PKEY *key = NULL;
	struct secret *text;
	BIO *bio;
	enum err e = secret_file_read(&text, path, KEY_FILE_MAX, TRUSTED_SECRET, path, why);

	if (e != ERR_OK)
		return e;
	ERR_clear_error();
	bio = BIO_new_mem_buf(secret_bytes(text), (int)secret_len(text) - 1);
	if (bio != NULL)
		key = PEM_read_bio_PrivateKey(bio, NULL, refuse_passphrase, &encrypted);
	BIO_free(bio);
	secret_unref(text);
	if (encrypted)
		e = why_say(why, ERR_CONFIG,
		    "%s is encrypted and nobody is there to type a passphrase: openssl pkey -in %s "
		    "-out KEY writes it in the clear", path, path);
	else if (key == NULL)
		e = why_say(why, ERR_CONFIG, "%s holds no private key in PEM form: %s", path,
		    pem_openssl_reason());
	e = judge_memory(e, failures, path, why);
	ERR_clear_error();
	if (e != ERR_OK) {
		EVP_PKEY_free(key);
		return e;
	}
	*out = key;
	return ERR_OK;
}
