/* SPDX-License-Identifier: Apache-2.0 */
/* The selection of algorithms is enough for every handshake that OpenSSL would make without it. */
#include <check.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/ssl.h>

#include "net/certificate.h"

#include "algorithms.h"
#include "leaves.h"

static const char *const key_types[] = {"P-256", "P-384", "RSA", "RSA-PSS", "ED25519", "ED448"};
enum { KEY_TYPES = sizeof(key_types) / sizeof(key_types[0]) };

struct shown {
	EVP_PKEY *key;
	X509 *cert;
};
static struct shown shown[KEY_TYPES];

static EVP_PKEY *
make_key(const char *type)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type[0] == 'P' ? "EC" : type, NULL);
	EVP_PKEY *key = NULL;

	ck_assert_int_eq(EVP_PKEY_keygen_init(ctx), 1);
	if (type[0] == 'P')
		ck_assert_int_eq(EVP_PKEY_CTX_set_group_name(ctx, type), 1);
	ck_assert_int_eq(EVP_PKEY_generate(ctx, &key), 1);
	EVP_PKEY_CTX_free(ctx);
	return key;
}

static void
make_certificates(void)
{
	for (int i = 0; i < KEY_TYPES; i++) {
		struct shown *s = &shown[i];
		const EVP_MD *md = strncmp(key_types[i], "ED", 2) == 0 ? NULL : EVP_sha256();

		s->cert = X509_new();
		s->key = make_key(key_types[i]);
		X509_gmtime_adj(X509_getm_notBefore(s->cert), -60);
		X509_gmtime_adj(X509_getm_notAfter(s->cert), 3600);
		ck_assert_int_eq(X509_set_pubkey(s->cert, s->key), 1);
		ck_assert_int_gt(X509_sign(s->cert, s->key, md), 0);
	}
}

static void
free_certificates(void)
{
	for (int i = 0; i < KEY_TYPES; i++) {
		EVP_PKEY_free(shown[i].key);
		X509_free(shown[i].cert);
	}
}

/* As a server does it: the certificate gets its key. */
static int
accept_any(X509_STORE_CTX *x, void *arg)
{
	static const uint8_t sha256[TLS_DIGEST_LEN];
	const struct leaves none = {0};

	return arg == NULL || leaves_share(&none, x, sha256) != NULL;
}

static SSL *
make_side(bool server, const struct shown *s, int version, const char *suite)
{
	SSL_CTX *ctx = server ? SSL_CTX_new_ex(algorithms_for_tls(), NULL, TLS_server_method())
			      : SSL_CTX_new(TLS_client_method());
	EVP_PKEY *key = s->key;
	SSL *ssl;

	EVP_PKEY_up_ref(key);
	if (server)
		key = algorithms_own_key(key);
	ck_assert_int_eq(SSL_CTX_use_cert_and_key(ctx, s->cert, key, NULL, 1), 1);
	EVP_PKEY_free(key);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_cert_verify_callback(ctx, accept_any, server ? ctx : NULL);
	SSL_CTX_set_min_proto_version(ctx, version);
	SSL_CTX_set_max_proto_version(ctx, version);
	if (version == TLS1_2_VERSION)
		ck_assert_int_eq(SSL_CTX_set_cipher_list(ctx, suite), 1);
	else
		ck_assert_int_eq(SSL_CTX_set_ciphersuites(ctx, suite), 1);
	ssl = SSL_new(ctx);
	SSL_CTX_free(ctx);
	return ssl;
}

/* A handshake between two objects in memory, a byte to and fro, and what was agreed upon. */
static void
shake_hands(const struct shown *server, const struct shown *client, int version, const char *suite)
{
	SSL *s = make_side(true, server, version, suite), *c = make_side(false, client, version, suite);
	BIO *a, *b;
	char got = 0;

	ck_assert_int_eq(BIO_new_bio_pair(&a, 0, &b, 0), 1);
	SSL_set_bio(s, a, a);
	SSL_set_bio(c, b, b);
	SSL_set_accept_state(s);
	SSL_set_connect_state(c);
	for (int i = 0; i < 20 && !(SSL_is_init_finished(s) && SSL_is_init_finished(c)); i++) {
		(void)SSL_do_handshake(c);
		(void)SSL_do_handshake(s);
	}
	ck_assert_msg(SSL_write(c, "x", 1) == 1 && SSL_read(s, &got, 1) == 1 && got == 'x', "%s: %s",
	    suite, ERR_error_string(ERR_peek_last_error(), NULL));
	ck_assert_int_eq(SSL_get_verify_result(s), X509_V_OK);
	ck_assert_ptr_nonnull(SSL_get0_peer_certificate(s));
	SSL_free(s);
	SSL_free(c);
	ERR_clear_error();
}

START_TEST(takes_every_kind_of_client)
{
	for (int i = 0; i < KEY_TYPES; i++)
		for (int server = 0; server <= 2; server += 2) {
			shake_hands(&shown[server], &shown[i], TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384");
			shake_hands(&shown[server], &shown[i], TLS1_2_VERSION, "ALL");
		}
}
END_TEST

START_TEST(knows_every_suite)
{
	static const char *const rsa[] = {"ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256",
	    "ECDHE-RSA-CHACHA20-POLY1305", "ECDHE-RSA-AES256-SHA384", "ECDHE-RSA-AES128-SHA256",
	    "ECDHE-RSA-AES256-SHA", "ECDHE-RSA-AES128-SHA", "AES256-SHA256", "AES128-SHA256",
	    "AES256-SHA", "AES128-SHA"};
	static const char *const modern[] = {"TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256",
	    "TLS_CHACHA20_POLY1305_SHA256"};

	for (size_t i = 0; i < sizeof(rsa) / sizeof(rsa[0]); i++)
		shake_hands(&shown[2], &shown[2], TLS1_2_VERSION, rsa[i]);
	for (size_t i = 0; i < sizeof(modern) / sizeof(modern[0]); i++)
		shake_hands(&shown[0], &shown[0], TLS1_3_VERSION, modern[i]);
}
END_TEST

START_TEST(has_nothing_else)
{
	EVP_KEYMGMT *dsa = EVP_KEYMGMT_fetch(algorithms_for_tls(), "DSA", NULL);
	EVP_MD *md5 = EVP_MD_fetch(algorithms_for_tls(), "MD5", NULL);

	ck_assert_ptr_nonnull(algorithms_for_tls());
	ck_assert_ptr_nonnull(algorithms_for_certificates());
	ck_assert_ptr_null(dsa);
	ck_assert_ptr_null(md5);
	ERR_clear_error();
}
END_TEST

static X509 *
read_by(OSSL_LIB_CTX *library, X509 *cert)
{
	X509 *x = X509_new_ex(library, NULL);
	unsigned char *der = NULL;
	const unsigned char *p;
	int len = i2d_X509(cert, &der);

	p = der;
	ck_assert_ptr_nonnull(d2i_X509(&x, &p, len));
	OPENSSL_free(der);
	return x;
}

/* What a client shows is read without its key, which it gets when somebody needs it. */
START_TEST(keys_come_later)
{
	for (int i = 0; i < KEY_TYPES; i++) {
		X509 *x = read_by(algorithms_for_tls(), shown[i].cert), *whole, *same;

		ck_assert_ptr_null(X509_get0_pubkey(x));
		whole = certificate_with_key(x);
		ck_assert_ptr_ne(whole, x);
		ck_assert_int_eq(X509_cmp(whole, x), 0);
		ck_assert_int_eq(EVP_PKEY_eq(X509_get0_pubkey(whole), shown[i].key), 1);
		same = certificate_with_key(whole);
		ck_assert_ptr_eq(same, whole);
		X509_free(same);
		X509_free(whole);
		X509_free(x);
	}
	ERR_clear_error();
}
END_TEST

/* Whoever has set up another provider gets OpenSSL as they have set it up.  In a process apart. */
START_TEST(leaves_other_providers_alone)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		OSSL_PROVIDER_load(NULL, "default");
		_exit(OSSL_PROVIDER_load(NULL, "base") == NULL || algorithms_for_tls() != NULL);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

/* As SECURITY says, which warns of other kinds. */
START_TEST(ecdsa_keys_stay_in_the_secure_heap)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	BIO *bio = BIO_new(BIO_s_mem());
	size_t before, read;

	ck_assert(CRYPTO_secure_malloc_initialized() || CRYPTO_secure_malloc_init(65536, 32));
	ck_assert_ptr_nonnull(algorithms_for_tls());
	ck_assert_int_eq(PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
	EVP_PKEY_free(key);
	before = CRYPTO_secure_used();
	key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
	read = CRYPTO_secure_used() - before;
	ck_assert_uint_gt(read, 0);
	key = algorithms_own_key(key);
	ck_assert_uint_ge(CRYPTO_secure_used() - before, read);
	EVP_PKEY_free(key);
	BIO_free(bio);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("algorithms");
	TCase *first = tcase_create("first"), *t = tcase_create("algorithms");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(first, leaves_other_providers_alone);
	suite_add_tcase(s, first);
	tcase_set_timeout(t, 60);
	tcase_add_unchecked_fixture(t, make_certificates, free_certificates);
	tcase_add_test(t, has_nothing_else);
	tcase_add_test(t, keys_come_later);
	tcase_add_test(t, takes_every_kind_of_client);
	tcase_add_test(t, knows_every_suite);
	tcase_add_test(t, ecdsa_keys_stay_in_the_secure_heap);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
