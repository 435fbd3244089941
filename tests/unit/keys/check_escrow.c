/* SPDX-License-Identifier: Apache-2.0 */
/* Root keys exported and imported: both ways, altered, with the wrong key. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <check.h>
#include <openssl/evp.h>
#include <openssl/pem.h> /* before cms.h, which else leaves out its own PEM calls */

#include <openssl/cms.h>
#include <openssl/rand.h>
#include <openssl/x509.h>

#include "base/secret.h"
#include "keys/escrow.h"
#include "keys/store.h"
#include "rig.h"

enum { FILE_SIZE_MAX = 65536 };

static char dir[64];
static struct { char root[96], out[96], back[96], pass[96], cert[96], key[96]; } at;
static const char *why;
static size_t heap_base; /* OpenSSL's random generator lives there, too */

static void
write_file(const char *path, const void *data, size_t len, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, data, len), (ssize_t)len);
	ck_assert_int_eq(fchmod(fd, mode), 0);
	close(fd);
}

static size_t
read_file(const char *path, char *out)
{
	int fd = open(path, O_RDONLY);
	ssize_t n;

	ck_assert_int_ge(fd, 0);
	n = read(fd, out, FILE_SIZE_MAX - 1);
	ck_assert_int_ge(n, 0);
	out[n] = '\0';
	close(fd);
	return (size_t)n;
}

static void
put_passphrase(const char *text)
{
	write_file(at.pass, text, strlen(text), 0600);
}

static bool
is_there(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static void
setup(void)
{
	uint8_t random[1];
	bool locked;

	ck_assert_int_eq(secret_heap_init(1 << 20, true, &locked), ERR_OK);
	strcpy(dir, "/tmp/keyferry-escrow.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(at.root, sizeof(at.root), "%s/root", dir);
	snprintf(at.out, sizeof(at.out), "%s/exported", dir);
	snprintf(at.back, sizeof(at.back), "%s/back", dir);
	snprintf(at.pass, sizeof(at.pass), "%s/passphrase", dir);
	snprintf(at.cert, sizeof(at.cert), "%s/cert.pem", dir);
	snprintf(at.key, sizeof(at.key), "%s/cert.key", dir);
	ck_assert_int_eq(vault_local_make_root_key(at.root), ERR_OK);
	ck_assert_int_eq(RAND_bytes(random, sizeof(random)), 1);
	heap_base = secret_heap_used();
}

static void
teardown(void)
{
	ck_assert_uint_eq(secret_heap_used(), heap_base);
	rig_remove(dir);
}

/* A self-signed certificate and its private key, which has a passphrase unless it is NULL. */
static void
make_certificate(EVP_PKEY *key, const char *passphrase)
{
	const EVP_CIPHER *cipher = passphrase != NULL ? EVP_aes_256_cbc() : NULL;
	X509 *cert = X509_new();
	FILE *f;

	ck_assert_ptr_nonnull(key);
	ck_assert_int_eq(X509_set_version(cert, 2), 1);
	ck_assert_int_eq(ASN1_INTEGER_set(X509_get_serialNumber(cert), 7), 1);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_UTF8,
	    (const unsigned char *)"recovery", -1, -1, 0);
	X509_set_issuer_name(cert, X509_get_subject_name(cert));
	X509_gmtime_adj(X509_getm_notBefore(cert), 0);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_set_pubkey(cert, key);
	ck_assert_int_gt(X509_sign(cert, key, EVP_sha256()), 0);
	f = fopen(at.cert, "w");
	ck_assert_int_eq(PEM_write_X509(f, cert), 1);
	fclose(f);
	f = fopen(at.key, "w");
	ck_assert_int_eq(PEM_write_PKCS8PrivateKey(f, key, cipher, passphrase,
	    passphrase != NULL ? (int)strlen(passphrase) : 0, NULL, NULL), 1);
	fclose(f);
	ck_assert_int_eq(chmod(at.key, 0600), 0);
	X509_free(cert);
	EVP_PKEY_free(key);
}

static struct escrow
by_passphrase(void)
{
	return (struct escrow){
	    .root_key_file = at.root, .escrow_file = at.out, .passphrase_file = at.pass};
}

static struct escrow
by_certificate(void)
{
	return (struct escrow){
	    .root_key_file = at.root, .escrow_file = at.out, .certificate = at.cert};
}

/* How it comes back: into another file. */
static enum err
import(const char *passphrase_file, const char *private_key)
{
	const struct escrow x = {.root_key_file = at.back, .escrow_file = at.out,
	    .passphrase_file = passphrase_file, .private_key = private_key};

	why = NULL;
	return escrow_import(&x, &why);
}

static void
export_ok(struct escrow x)
{
	enum err e = escrow_export(&x, &why);

	ck_assert_msg(e == ERR_OK, "%s: %s", err_name(e), why);
}

static void
assert_back(void)
{
	static char before[FILE_SIZE_MAX], after[FILE_SIZE_MAX];
	struct stat st;

	read_file(at.root, before);
	read_file(at.back, after);
	ck_assert_str_eq(before, after);
	ck_assert_int_eq(stat(at.back, &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0600);
}

static void
assert_refused(enum err got, enum err want, const char *say)
{
	ck_assert_msg(got == want, "%s: %s", err_name(got), why);
	ck_assert_msg(strstr(why, say) != NULL, "%s", why);
	ck_assert(!is_there(at.back));
}

START_TEST(test_passphrase)
{
	static char text[FILE_SIZE_MAX], key[FILE_SIZE_MAX];
	struct stat st;

	put_passphrase("correct horse battery\n");
	export_ok(by_passphrase());
	ck_assert_int_eq(stat(at.out, &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0600);
	read_file(at.out, text);
	read_file(at.root, key);
	key[40] = '\0';
	ck_assert_ptr_null(strstr(text, key + 2));
	put_passphrase("correct horse batterx\n");
	assert_refused(import(at.pass, NULL), ERR_INTEGRITY, "passphrase is wrong");
	put_passphrase("correct horse battery"); /* the end of the line is not part of it */
	ck_assert_int_eq(import(at.pass, NULL), ERR_OK);
	assert_back();
}
END_TEST

START_TEST(test_certificate)
{
	make_certificate(_i == 0 ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256"), NULL);
	export_ok(by_certificate());
	ck_assert_int_eq(import(NULL, at.key), ERR_OK);
	assert_back();
	ck_assert_int_eq(unlink(at.back), 0);
	put_passphrase("correct horse battery");
	assert_refused(import(at.pass, NULL), ERR_CONFIG, "--private-key");
	/* another pair of the same kind */
	make_certificate(_i == 0 ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256"), NULL);
	assert_refused(import(NULL, at.key), ERR_INTEGRITY, "another certificate");
	/* and of the other */
	make_certificate(_i == 1 ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256"), NULL);
	assert_refused(import(NULL, at.key), ERR_INTEGRITY, "another certificate");
}
END_TEST

START_TEST(test_encrypted_private_key)
{
	make_certificate(EVP_EC_gen("P-384"), "short");
	export_ok(by_certificate());
	assert_refused(import(NULL, at.key), ERR_CONFIG, "--passphrase-file");
	put_passphrase("wrong\n");
	assert_refused(import(at.pass, at.key), ERR_CONFIG, "passphrase is wrong");
	put_passphrase("short\n"); /* it is the key's: no length is asked of it */
	ck_assert_int_eq(import(at.pass, at.key), ERR_OK);
	assert_back();
}
END_TEST

/* Changes each byte of the CMS structure: either nothing comes back, or the same key. */
START_TEST(test_every_byte)
{
	static char text[FILE_SIZE_MAX];
	static unsigned char der[FILE_SIZE_MAX], body[FILE_SIZE_MAX];
	char *name, *header;
	unsigned char *made;
	long len, refused = 0;
	FILE *f;

	make_certificate(EVP_EC_gen("P-256"), NULL);
	export_ok(by_certificate());
	read_file(at.out, text);
	f = fopen(at.out, "r");
	ck_assert_int_eq(PEM_read(f, &name, &header, &made, &len), 1);
	fclose(f);
	memcpy(der, made, (size_t)len);
	*strstr(text, "-----BEGIN") = '\0';
	for (long i = 0; i < len; i++) {
		memcpy(body, der, (size_t)len);
		body[i] ^= (unsigned char)(1 << (i % 8));
		f = fopen(at.out, "w");
		fputs(text, f);
		ck_assert_int_gt(PEM_write(f, name, "", body, len), 0);
		fclose(f);
		if (import(NULL, at.key) == ERR_OK) {
			assert_back();
			ck_assert_int_eq(unlink(at.back), 0);
		} else {
			ck_assert(!is_there(at.back));
			ck_assert_ptr_nonnull(why);
			refused++;
		}
	}
	/* what may change: the names of algorithms that say the same, the issuer's name */
	ck_assert_int_gt(refused, len / 2);
	OPENSSL_free(name);
	OPENSSL_free(header);
	OPENSSL_free(made);
}
END_TEST

/* What is encrypted, but without a tag, is not taken, and neither is another format. */
START_TEST(test_other_kinds)
{
	static char text[FILE_SIZE_MAX];
	char command[512], *digit;

	make_certificate(EVP_EC_gen("P-256"), NULL);
	snprintf(command, sizeof(command),
	    "{ echo 'keyferry root keys, format 1'; openssl cms -encrypt -binary -aes-256-cbc "
	    "-in %s -outform PEM %s; } > %s", at.root, at.cert, at.out);
	ck_assert_int_eq(system(command), 0);
	assert_refused(import(NULL, at.key), ERR_CONFIG, "not of the kind");
	snprintf(command, sizeof(command), "openssl cms -encrypt -binary -aes-256-gcm -in %s "
		 "-outform PEM %s > %s", at.root, at.cert, at.out);
	ck_assert_int_eq(system(command), 0);
	assert_refused(import(NULL, at.key), ERR_CONFIG, "no exported root key");
	snprintf(command, sizeof(command),
	    "{ echo 'keyferry root keys, format 1'; echo no key | openssl cms -encrypt -binary "
	    "-aes-256-gcm -outform PEM %s; } > %s", at.cert, at.out);
	ck_assert_int_eq(system(command), 0);
	assert_refused(import(NULL, at.key), ERR_CONFIG, "VERSION HEX");
	ck_assert_int_eq(unlink(at.out), 0);
	export_ok(by_certificate());
	read_file(at.out, text);
	digit = strstr(text, "format 1") + 7;
	*digit = '2';
	write_file(at.out, text, strlen(text), 0600);
	assert_refused(import(NULL, at.key), ERR_SCHEMA, "later release");
	*digit = '1';
	write_file(at.out, text, strlen(text) / 2, 0600);
	assert_refused(import(NULL, at.key), ERR_INTEGRITY, "damaged");
	ck_assert_int_eq(unlink(at.out), 0);
	assert_refused(import(NULL, at.key), ERR_CONFIG, "does not exist");
}
END_TEST

/* The openssl command alone gets the file back: for those who have lost this program, too. */
START_TEST(test_openssl_opens_it)
{
	char command[512];

	put_passphrase("correct horse battery");
	export_ok(by_passphrase());
	snprintf(command, sizeof(command), "openssl cms -decrypt -inform PEM -in %s -pwri_password "
		 "'correct horse battery' | cmp - %s", at.out, at.root);
	ck_assert_int_eq(system(command), 0);
	ck_assert_int_eq(unlink(at.out), 0);
	make_certificate(EVP_RSA_gen(2048), NULL);
	export_ok(by_certificate());
	snprintf(command, sizeof(command), "openssl cms -decrypt -inform PEM -in %s -inkey %s | "
		 "cmp - %s", at.out, at.key, at.root);
	ck_assert_int_eq(system(command), 0);
	snprintf(command, sizeof(command), "openssl cms -cmsout -noout -print -inform PEM -in %s | "
		 "grep -q rsaesOaep", at.out);
	ck_assert_int_eq(system(command), 0);
}
END_TEST

/* Neither way overwrites anything. */
START_TEST(test_existing_files)
{
	static char text[FILE_SIZE_MAX];
	struct escrow x = by_certificate();

	make_certificate(EVP_EC_gen("P-256"), NULL);
	write_file(at.out, "mine", 4, 0600);
	ck_assert_int_eq(escrow_export(&x, &why), ERR_IO);
	ck_assert_ptr_nonnull(strstr(why, "already"));
	ck_assert_uint_eq(read_file(at.out, text), 4);
	ck_assert_int_eq(unlink(at.out), 0);
	export_ok(x);
	write_file(at.back, "mine", 4, 0600);
	ck_assert_int_eq(import(NULL, at.key), ERR_IO);
	ck_assert_ptr_nonnull(strstr(why, "already"));
	ck_assert_uint_eq(read_file(at.back, text), 4);
	ck_assert_str_eq(text, "mine");
}
END_TEST

static void
refuse_export(struct escrow x, const char *say)
{
	ck_assert_int_eq(escrow_export(&x, &why), ERR_CONFIG);
	ck_assert_msg(strstr(why, say) != NULL, "%s", why);
	ck_assert(!is_there(at.out));
}

START_TEST(test_refused_exports)
{
	struct escrow x = by_passphrase();

	refuse_export(x, "the passphrase file does not exist");
	put_passphrase("eleven char\n");
	refuse_export(x, "12 characters");
	put_passphrase("\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\n"); /* 12 bytes, but 6 */
	refuse_export(x, "12 characters");
	put_passphrase("a long first line\nand another\n");
	refuse_export(x, "more than one line");
	write_file(at.pass, "a long passphrase\0behind it", 27, 0600);
	refuse_export(x, "more than one line");
	write_file(at.pass, "correct horse battery", 21, 0640);
	refuse_export(x, "group or others");
	x.certificate = at.cert;
	refuse_export(x, "either a passphrase or a certificate");
	x.certificate = x.passphrase_file = NULL;
	refuse_export(x, "either a passphrase or a certificate");
	x = by_certificate();
	write_file(at.cert, "text", 4, 0600);
	refuse_export(x, "PEM");
	make_certificate(EVP_RSA_gen(1024), NULL);
	refuse_export(x, "too weak");
	make_certificate(EVP_EC_gen("P-256"), NULL);
	ck_assert_int_eq(chmod(at.root, 0644), 0);
	refuse_export(x, "the root key file is open to group");
	ck_assert_int_eq(chmod(at.root, 0600), 0);
	write_file(at.root, "1 zz\n", 5, 0600);
	refuse_export(x, "VERSION HEX");
}
END_TEST

/* --- what opening it costs --- */

/* Replaces the only occurrence of old in the exported message, and writes it back. */
static void
patch(const uint8_t *old, const uint8_t *new, size_t size)
{
	char first[64], *name, *header;
	unsigned char *data;
	uint8_t *found;
	long len;
	FILE *f = fopen(at.out, "r");

	ck_assert_ptr_nonnull(fgets(first, sizeof(first), f));
	ck_assert_int_eq(PEM_read(f, &name, &header, &data, &len), 1);
	fclose(f);
	found = memmem(data, (size_t)len, old, size);
	ck_assert_ptr_nonnull(found);
	memcpy(found, new, size);
	ck_assert_int_eq(unlink(at.out), 0);
	f = fopen(at.out, "w");
	fputs(first, f);
	ck_assert_int_gt(PEM_write(f, name, header, data, len), 0);
	fclose(f);
	OPENSSL_free(name);
	OPENSSL_free(header);
	OPENSSL_free(data);
}

/* An INTEGER of three bytes. */
static const uint8_t rounds_made[] = {2, 3, 0x1e, 0x84, 0x80};
static const uint8_t rounds_refused[][sizeof(rounds_made)] = {
    {2, 3, 0x7f, 0xff, 0xff}, /* 8,388,607 */
    {2, 3, 0xff, 0xff, 0xff}, /* negative */
    {2, 3, 0x00, 0x00, 0x00},
    {4, 3, 0x1e, 0x84, 0x80}, /* no number */
};
static const uint8_t rounds_taken[] = {2, 3, 0x1e, 0x84, 0x81};
static const uint8_t pbkdf2[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 5, 12};
static const uint8_t another[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 5, 13};

static void
expect_too_costly(void)
{
	ck_assert_int_eq(import(at.pass, NULL), ERR_CONFIG);
	ck_assert(strstr(why, "8,000,000 rounds") != NULL);
	ck_assert(!is_there(at.back));
}

START_TEST(test_cost_has_a_ceiling)
{
	put_passphrase("correct horse battery");
	export_ok(by_passphrase());
	for (size_t i = 0; i < sizeof(rounds_refused) / sizeof(*rounds_refused); i++) {
		patch(rounds_made, rounds_refused[i], sizeof(rounds_made));
		expect_too_costly();
		patch(rounds_refused[i], rounds_made, sizeof(rounds_made));
	}
	patch(pbkdf2, another, sizeof(pbkdf2)); /* whose cost nobody looked at */
	expect_too_costly();
	patch(another, pbkdf2, sizeof(pbkdf2));
	patch(rounds_made, rounds_taken, sizeof(rounds_made));
	ck_assert_int_eq(import(at.pass, NULL), ERR_INTEGRITY); /* computed, to something else */
	ck_assert(!is_there(at.back));
}
END_TEST

static void
add_recipient(CMS_ContentInfo *cms, const char *passphrase, int rounds)
{
	ck_assert_ptr_nonnull(CMS_add0_recipient_password(cms, rounds, NID_id_alg_PWRI_KEK,
	    NID_id_pbkdf2, (unsigned char *)OPENSSL_strdup(passphrase),
	    (ossl_ssize_t)strlen(passphrase), (EVP_CIPHER *)EVP_aes_256_cbc()));
}

/* The passphrase is tried with every recipient: 0x10001 rounds, and 0x10002. */
static void
export_for_two(const char *passphrase)
{
	static char text[FILE_SIZE_MAX];
	char first[64];
	FILE *f = fopen(at.out, "r");
	BIO *in;
	CMS_ContentInfo *cms = CMS_encrypt(NULL, NULL, EVP_aes_256_gcm(), CMS_BINARY | CMS_PARTIAL);

	ck_assert_ptr_nonnull(fgets(first, sizeof(first), f));
	fclose(f);
	in = BIO_new_mem_buf(text, (int)read_file(at.root, text));
	add_recipient(cms, passphrase, 0x10001);
	add_recipient(cms, passphrase, 0x10002);
	ck_assert_int_eq(CMS_final(cms, in, NULL, CMS_BINARY), 1);
	f = fopen(at.out, "w");
	fputs(first, f);
	ck_assert_int_eq(PEM_write_CMS(f, cms), 1);
	fclose(f);
	BIO_free(in);
	CMS_ContentInfo_free(cms);
}

START_TEST(test_cost_of_all_recipients)
{
	static const uint8_t made[] = {2, 3, 1, 0, 1};
	static const uint8_t refused[] = {2, 3, 0x79, 0x11, 0xff}; /* 8,000,001 with the other */
	static const char passphrase[] = "correct horse battery";

	put_passphrase(passphrase);
	export_ok(by_passphrase());
	export_for_two(passphrase);
	patch(made, refused, sizeof(made));
	expect_too_costly();
	patch(refused, made, sizeof(made));
	ck_assert_int_eq(import(at.pass, NULL), ERR_OK);
	assert_back();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("escrow");
	TCase *t = tcase_create("escrow");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 120);
	tcase_add_test(t, test_passphrase);
	tcase_add_loop_test(t, test_certificate, 0, 2);
	tcase_add_test(t, test_encrypted_private_key);
	tcase_add_test(t, test_every_byte);
	tcase_add_test(t, test_other_kinds);
	tcase_add_test(t, test_openssl_opens_it);
	tcase_add_test(t, test_existing_files);
	tcase_add_test(t, test_refused_exports);
	tcase_add_test(t, test_cost_has_a_ceiling);
	tcase_add_test(t, test_cost_of_all_recipients);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
