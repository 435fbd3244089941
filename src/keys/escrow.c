/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Root keys outside the machine.
 *
 * One format for both ways, CMS: whoever has lost this program, too, opens the file with the
 * openssl command.  Its passphrase recipient (PWRI) takes an iteration count, so that the default
 * of 2048 binds nobody; OpenSSL 3.0 fixes the function to PBKDF2 with HMAC-SHA-1, for which
 * ITERATIONS is well above what is recommended (1,300,000; as much work as 600,000 of SHA-256).
 * The content is AES-256-GCM: plain EnvelopedData would let altered root keys pass.
 */
#include "keys/escrow.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h> /* before cms.h, which else leaves out its own PEM calls */

#include <openssl/cms.h>
#include <openssl/rsa.h>

#include "base/secret.h"
#include "base/secret_file.h"
#include "base/text.h"
#include "disk.h"
#include "escrow_rounds.h"
#include "rootkey.h"

enum {
	FORMAT = 1,
	ITERATIONS = 2000000,
	ITERATIONS_MAX = 4 * ITERATIONS, /* of a file that is given to us: seconds, not hours */
	ROOT_FILE_MAX = 8192,
	SIDE_FILE_MAX = 65536, /* certificates, private keys, escrow files */
	PASSPHRASE_MAX = 1024,
	SECURITY_BITS_MIN = 112, /* RSA of 2048 bits */
};
static const char first_line[] = "keyferry root keys, format ";

static const char no_memory[] = "out of memory";

static BIO *
bio_of(struct secret *text)
{
	return BIO_new_mem_buf(secret_bytes(text), (int)secret_len(text) - 1);
}

/* --- passphrases --- */

static size_t
characters(const char *s)
{
	size_t n = 0;

	for (; *s != '\0'; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80; /* of UTF-8, what begins one */
	return n;
}

/* The file's only line, without its end; the secret may be longer than the text in it. */
static enum err
read_passphrase(struct secret **out, const char *path, const char **why)
{
	struct secret *text;
	size_t len;
	char *s;
	enum err e =
	    secret_file_read(&text, path, PASSPHRASE_MAX, TRUSTED_SECRET, "the passphrase file", why);

	if (e != ERR_OK)
		return e;
	s = (char *)secret_bytes(text);
	len = strcspn(s, "\r\n");
	if (strspn(s + len, "\r\n") + len != secret_len(text) - 1) {
		*why = "the passphrase file has more than one line";
		secret_unref(text);
		return ERR_CONFIG;
	}
	s[len] = '\0';
	*out = text;
	return ERR_OK;
}

static enum err
read_new_passphrase(struct secret **out, const char *path, const char **why)
{
	struct secret *text;
	enum err e = read_passphrase(&text, path, why);

	if (e != ERR_OK)
		return e;
	if (characters((char *)secret_bytes(text)) < ESCROW_PASSPHRASE_MIN) {
		*why = "the passphrase has less than 12 characters";
		secret_unref(text);
		return ERR_CONFIG;
	}
	*out = text;
	return ERR_OK;
}

/* --- export --- */

static enum err
add_passphrase(CMS_ContentInfo *cms, const char *path, const char **why)
{
	struct secret *text = NULL;
	unsigned char *copy;
	size_t len;
	enum err e = read_new_passphrase(&text, path, why);

	if (e != ERR_OK)
		return e;
	len = strlen((char *)secret_bytes(text));
	copy = OPENSSL_memdup(secret_bytes(text), len); /* cms wipes it */
	secret_unref(text);
	*why = "the passphrase cannot be used";
	if (copy == NULL)
		return ERR_NO_MEMORY;
	if (CMS_add0_recipient_password(cms, ITERATIONS, NID_id_alg_PWRI_KEK, NID_id_pbkdf2, copy,
		(ossl_ssize_t)len, (EVP_CIPHER *)EVP_aes_256_cbc()) != NULL)
		return ERR_OK;
	OPENSSL_clear_free(copy, len);
	return ERR_CRYPTO;
}

static enum err
read_certificate(X509 **out, const char *path, const char **why)
{
	struct secret *text;
	BIO *bio;
	enum err e = secret_file_read(&text, path, SIDE_FILE_MAX, TRUSTED_GIVEN, "the certificate", why);

	if (e != ERR_OK)
		return e;
	bio = bio_of(text);
	*out = bio != NULL ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	BIO_free(bio);
	secret_unref(text);
	if (*out != NULL)
		return ERR_OK;
	*why = "the certificate is none in PEM form";
	return ERR_CONFIG;
}

/* What OpenSSL takes by itself is PKCS #1 v1.5 and SHA-1. */
static bool
choose_parameters(EVP_PKEY *key, EVP_PKEY_CTX *ctx)
{
	if (ctx == NULL)
		return false;
	if (EVP_PKEY_is_a(key, "RSA"))
		return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
		    EVP_PKEY_CTX_set_rsa_oaep_md(ctx, EVP_sha256()) == 1 &&
		    EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, EVP_sha256()) == 1;
	return EVP_PKEY_is_a(key, "EC") && EVP_PKEY_CTX_set_ecdh_kdf_md(ctx, EVP_sha256()) == 1;
}

static enum err
add_certificate(CMS_ContentInfo *cms, X509 *cert, const char **why)
{
	EVP_PKEY *key = X509_get0_pubkey(cert);
	CMS_RecipientInfo *ri;

	*why = "the certificate's key is neither RSA nor EC";
	if (key == NULL || (!EVP_PKEY_is_a(key, "RSA") && !EVP_PKEY_is_a(key, "EC")))
		return ERR_CONFIG;
	*why = "the certificate's key is too weak: RSA takes 2048 bits, EC 224";
	if (EVP_PKEY_get_security_bits(key) < SECURITY_BITS_MIN)
		return ERR_CONFIG;
	*why = "nothing can be encrypted for the certificate's key";
	ri = CMS_add1_recipient_cert(cms, cert, CMS_KEY_PARAM);
	if (ri == NULL || !choose_parameters(key, CMS_RecipientInfo_get0_pkey_ctx(ri)))
		return ERR_CRYPTO;
	return ERR_OK;
}

/* Straight from the secure heap: the simpler calls would copy by way of the stack. */
static bool
seal(CMS_ContentInfo *cms, struct secret *text)
{
	int len = (int)secret_len(text) - 1;
	BIO *bio = CMS_dataInit(cms, NULL);
	bool good = bio != NULL && BIO_write(bio, secret_bytes(text), len) == len &&
	    BIO_flush(bio) == 1 && CMS_dataFinal(cms, bio) == 1;

	BIO_free_all(bio);
	return good;
}

/* What a person finds who opens the file with an editor, years later. */
static bool
put_head(BIO *out, X509 *cert)
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	char hex[2 * EVP_MAX_MD_SIZE + 1];
	unsigned len = 0;

	if (BIO_printf(out, "%s%d\n", first_line, FORMAT) < 0)
		return false;
	if (cert == NULL)
		return BIO_puts(out,
		    "Opens with its passphrase, which stands elsewhere: keyferryctl import-root-key,\n"
		    "or openssl cms -decrypt -inform PEM -pwri_password PASSPHRASE\n") > 0;
	if (X509_digest(cert, EVP_sha256(), digest, &len) != 1)
		return false;
	text_hex(hex, digest, len);
	return BIO_printf(out,
	    "Opens with the private key of the certificate whose SHA-256 fingerprint is\n%s:\n"
	    "keyferryctl import-root-key, or openssl cms -decrypt -inform PEM -inkey KEY\n",
	    hex) > 0;
}

static enum err
write_escrow(CMS_ContentInfo *cms, X509 *cert, const char *path, const char **why)
{
	BIO *bio = BIO_new(BIO_s_mem());
	enum err e = ERR_NO_MEMORY;
	char *data;
	long len;

	*why = no_memory;
	if (bio != NULL && put_head(bio, cert) && PEM_write_bio_CMS(bio, cms) == 1) {
		len = BIO_get_mem_data(bio, &data);
		e = disk_write_new(path, data, (size_t)len, why);
	}
	BIO_free(bio);
	return e;
}

/* The root key file as it is, once it has proved to be one. */
static enum err
read_root_keys(struct secret **out, const char *path, const char **why)
{
	struct secret *used = NULL;
	struct rootkeys keys;
	enum err e = rootkeys_read(out, path, why);

	if (e != ERR_OK)
		return e;
	*why = "there is no room in the secure heap for the root keys";
	used = secret_new(secret_len(*out), SECRET_TRANSIENT);
	e = ERR_NO_SECURE_MEMORY;
	if (used != NULL) {
		memcpy(secret_bytes(used), secret_bytes(*out), secret_len(*out));
		e = rootkeys_parse(&keys, used, why);
	}
	secret_unref(used);
	if (e == ERR_OK)
		rootkeys_fini(&keys);
	else
		secret_unref(*out);
	return e;
}

enum err
escrow_export(const struct escrow *x, const char **why)
{
	struct secret *text = NULL;
	CMS_ContentInfo *cms = NULL;
	X509 *cert = NULL;
	enum err e;

	*why = "either a passphrase or a certificate is wanted";
	if ((x->passphrase_file != NULL) == (x->certificate != NULL))
		return ERR_CONFIG;
	e = read_root_keys(&text, x->root_key_file, why);
	if (e != ERR_OK)
		return e;
	if (x->certificate != NULL)
		e = read_certificate(&cert, x->certificate, why);
	if (e == ERR_OK) {
		*why = no_memory;
		cms = CMS_encrypt(NULL, NULL, EVP_aes_256_gcm(), CMS_PARTIAL | CMS_BINARY);
		e = cms != NULL ? ERR_OK : ERR_NO_MEMORY;
	}
	if (e == ERR_OK)
		e = cert != NULL ? add_certificate(cms, cert, why)
				 : add_passphrase(cms, x->passphrase_file, why);
	if (e == ERR_OK && !seal(cms, text)) {
		*why = "the root keys cannot be encrypted";
		e = ERR_CRYPTO;
	}
	if (e == ERR_OK)
		e = write_escrow(cms, cert, x->escrow_file, why);
	CMS_ContentInfo_free(cms);
	X509_free(cert);
	secret_unref(text);
	ERR_clear_error();
	return e;
}

/* --- import --- */

static enum err
read_escrow(CMS_ContentInfo **out, const char *path, const char **why)
{
	struct secret *text;
	const char *s;
	BIO *bio;
	enum err e =
	    secret_file_read(&text, path, SIDE_FILE_MAX, TRUSTED_GIVEN, "the exported root key", why);

	if (e != ERR_OK)
		return e;
	s = (const char *)secret_bytes(text);
	if (strncmp(s, first_line, strlen(first_line)) != 0) {
		*why = "this is no exported root key";
		e = ERR_CONFIG;
	} else if (strncmp(s + strlen(first_line), "1\n", 2) != 0) {
		*why = "the root key was exported by a later release: its format is newer";
		e = ERR_SCHEMA;
	}
	if (e == ERR_OK) {
		bio = bio_of(text);
		*out = bio != NULL ? PEM_read_bio_CMS(bio, NULL, NULL, NULL) : NULL;
		BIO_free(bio);
		*why = "the exported root key is damaged";
		e = *out != NULL ? ERR_OK : ERR_INTEGRITY;
	}
	secret_unref(text);
	return e;
}

static bool
wants_passphrase(CMS_ContentInfo *cms)
{
	STACK_OF(CMS_RecipientInfo) *all = CMS_get0_RecipientInfos(cms);

	for (int i = 0; i < sk_CMS_RecipientInfo_num(all); i++)
		if (CMS_RecipientInfo_type(sk_CMS_RecipientInfo_value(all, i)) ==
		    CMS_RECIPINFO_PASS)
			return true;
	return false;
}

/* The passphrase of an encrypted private key file; asks nobody. */
static int
give_passphrase(char *out, int size, int writing, void *arg)
{
	const char *s = arg;
	size_t len = s != NULL ? strlen(s) : 0;

	(void)writing;
	if (s == NULL || len > (size_t)size)
		return -1;
	memcpy(out, s, len);
	return (int)len;
}

static enum err
read_private_key(EVP_PKEY **out, const struct escrow *x, const char **why)
{
	struct secret *pem, *passphrase = NULL;
	BIO *bio;
	enum err e =
	    secret_file_read(&pem, x->private_key, SIDE_FILE_MAX, TRUSTED_SECRET, "the private key", why);

	if (e != ERR_OK)
		return e;
	if (x->passphrase_file != NULL)
		e = read_passphrase(&passphrase, x->passphrase_file, why);
	if (e == ERR_OK) {
		bio = bio_of(pem);
		*out = bio == NULL ? NULL
				   : PEM_read_bio_PrivateKey(bio, NULL, give_passphrase,
					 passphrase != NULL ? secret_bytes(passphrase) : NULL);
		BIO_free(bio);
		*why = passphrase != NULL
		    ? "the private key cannot be read, or its passphrase is wrong"
		    : "the private key cannot be read; an encrypted one needs --passphrase-file";
		e = *out != NULL ? ERR_OK : ERR_CONFIG;
	}
	secret_unref(passphrase);
	secret_unref(pem);
	return e;
}

static enum err
unlock_with_key(CMS_ContentInfo *cms, const struct escrow *x, const char **why)
{
	EVP_PKEY *key;
	bool good;
	enum err e;

	*why = "the root key was exported with a passphrase: --passphrase-file opens it";
	if (wants_passphrase(cms))
		return ERR_CONFIG;
	e = read_private_key(&key, x, why);
	if (e != ERR_OK)
		return e;
	good = CMS_decrypt_set1_pkey(cms, key, NULL) == 1;
	EVP_PKEY_free(key);
	*why = "the root key was exported for another certificate, or the file is damaged";
	return good ? ERR_OK : ERR_INTEGRITY;
}

static enum err
unlock_with_passphrase(CMS_ContentInfo *cms, const struct escrow *x, const char **why)
{
	struct secret *text;
	bool good;
	enum err e;

	*why = "the root key was exported for a certificate: --private-key opens it";
	if (!wants_passphrase(cms))
		return ERR_CONFIG;
	*why = "the exported root key asks for more than 8,000,000 rounds of PBKDF2, or for "
	       "something else: no release of keyferry made it";
	if (!escrow_rounds_are_bounded(cms, ITERATIONS_MAX))
		return ERR_CONFIG;
	e = read_passphrase(&text, x->passphrase_file, why);
	if (e != ERR_OK)
		return e;
	good = CMS_decrypt_set1_password(cms, secret_bytes(text),
		   (ossl_ssize_t)strlen((char *)secret_bytes(text))) == 1;
	secret_unref(text);
	*why = "the passphrase is wrong, or the file is damaged";
	return good ? ERR_OK : ERR_INTEGRITY;
}

/* The content into text; its tag is checked at the end, before anything is done with it. */
static bool
open_content(CMS_ContentInfo *cms, struct secret *text, size_t *len)
{
	BIO *bio = CMS_dataInit(cms, NULL);
	size_t got = 0, room = secret_len(text) - 1;
	int n = 0;

	while (bio != NULL && got < room &&
	    (n = BIO_read(bio, secret_bytes(text) + got, (int)(room - got))) > 0)
		got += (size_t)n;
	if (bio == NULL || got == room || BIO_get_cipher_status(bio) != 1) {
		BIO_free_all(bio);
		return false;
	}
	BIO_free_all(bio);
	*len = got;
	return true;
}

/* *why stands as the unlocking left it: a wrong RSA key shows only here, and on purpose. */
static enum err
write_root_keys(CMS_ContentInfo *cms, const char *path, const char **why)
{
	struct secret *text = secret_new(ROOT_FILE_MAX + 2, SECRET_TRANSIENT), *used = NULL;
	struct rootkeys keys;
	size_t len;
	enum err e = ERR_INTEGRITY;

	if (text != NULL)
		used = secret_new(secret_len(text), SECRET_TRANSIENT);
	if (used == NULL) {
		*why = "there is no room in the secure heap for the root keys";
		e = ERR_NO_SECURE_MEMORY;
	} else if (open_content(cms, text, &len)) {
		memcpy(secret_bytes(used), secret_bytes(text), len);
		e = rootkeys_parse(&keys, used, why);
		if (e == ERR_OK) {
			rootkeys_fini(&keys);
			e = disk_write_new(path, secret_bytes(text), len, why);
		}
	}
	secret_unref(used);
	secret_unref(text);
	return e;
}

enum err
escrow_import(const struct escrow *x, const char **why)
{
	CMS_ContentInfo *cms;
	enum err e;

	*why = "a passphrase or a private key is wanted";
	if (x->passphrase_file == NULL && x->private_key == NULL)
		return ERR_CONFIG;
	e = read_escrow(&cms, x->escrow_file, why);
	if (e != ERR_OK) {
		ERR_clear_error();
		return e;
	}
	if (OBJ_obj2nid(CMS_get0_type(cms)) != NID_id_smime_ct_authEnvelopedData) {
		*why = "the exported root key is not of the kind that shows damage";
		e = ERR_CONFIG;
	} else if (x->private_key != NULL) {
		e = unlock_with_key(cms, x, why);
	} else {
		e = unlock_with_passphrase(cms, x, why);
	}
	if (e == ERR_OK)
		e = write_root_keys(cms, x->root_key_file, why);
	CMS_ContentInfo_free(cms);
	ERR_clear_error();
	return e;
}
