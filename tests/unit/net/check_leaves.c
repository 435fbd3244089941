/* SPDX-License-Identifier: Apache-2.0 */
/* One X509 for all sessions that show the same certificate. */
#include <check.h>
#include <string.h>

#include "algorithms.h"
#include "certs.h"
#include "leaves.h"

static struct identity id;
static uint8_t sha256[TLS_DIGEST_LEN];
static struct leaves leaves;

static void
set_up(void)
{
	id = identity_new(CERT_EC, "client", -60, 3600);
	identity_digest(&id, sha256);
	memset(&leaves, 0, sizeof(leaves));
}

static void
tear_down(void)
{
	leaves_fini(&leaves);
	identity_free(&id);
}

/* What OpenSSL has in its hands during the check, with a certificate fresh from the wire. */
static STACK_OF(X509) *
show(X509_STORE_CTX *x, X509_STORE *store)
{
	STACK_OF(X509) *chain = sk_X509_new_null();
	unsigned char *der = NULL;
	const unsigned char *p;
	int len = i2d_X509(id.cert, &der);

	p = der;
	sk_X509_push(chain, d2i_X509(NULL, &p, len));
	OPENSSL_free(der);
	ck_assert_int_eq(X509_STORE_CTX_init(x, store, sk_X509_value(chain, 0), chain), 1);
	return chain;
}

START_TEST(shares_what_was_accepted)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *x = X509_STORE_CTX_new();
	STACK_OF(X509) *first = show(x, store), *second;
	X509 *fresh = sk_X509_value(first, 0);

	ck_assert_ptr_eq(leaves_share(&leaves, x, sha256), fresh);
	leaves_keep(&leaves, fresh, sha256);
	leaves_keep(&leaves, fresh, sha256);
	ck_assert_uint_eq(leaves.next, 1);
	X509_STORE_CTX_cleanup(x);

	second = show(x, store);
	ck_assert_ptr_ne(sk_X509_value(second, 0), fresh);
	ck_assert_ptr_eq(leaves_share(&leaves, x, sha256), fresh);
	ck_assert_ptr_eq(sk_X509_value(second, 0), fresh);
	ck_assert_ptr_eq(X509_STORE_CTX_get0_cert(x), fresh);
	X509_STORE_CTX_cleanup(x);
	sk_X509_pop_free(first, X509_free);
	leaves_fini(&leaves);
	ck_assert_int_eq(X509_cmp(fresh, id.cert), 0); /* the session keeps it alive */
	sk_X509_pop_free(second, X509_free);
	memset(&leaves, 0, sizeof(leaves));
	X509_STORE_CTX_free(x);
	X509_STORE_free(store);
}
END_TEST

START_TEST(keeps_only_so_many)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *x = X509_STORE_CTX_new();
	STACK_OF(X509) *chain;
	uint8_t other[TLS_DIGEST_LEN] = {0};

	leaves_keep(&leaves, id.cert, sha256);
	for (int i = 0; i < LEAVES_MAX; i++) {
		other[0] = (uint8_t)i;
		leaves_keep(&leaves, id.cert, other);
	}
	chain = show(x, store);
	ck_assert_ptr_eq(leaves_share(&leaves, x, sha256), sk_X509_value(chain, 0));
	ck_assert_ptr_ne(sk_X509_value(chain, 0), id.cert);
	ck_assert_ptr_eq(leaves_share(&leaves, x, other), id.cert);
	X509_STORE_CTX_free(x);
	sk_X509_pop_free(chain, X509_free);
	X509_STORE_free(store);
}
END_TEST

/* OpenSSL remembers for good what it could not read, were it for want of memory. */
START_TEST(keeps_none_that_is_not_whole)
{
	identity_spoil(&id);
	leaves_keep(&leaves, id.cert, sha256);
	ck_assert_uint_eq(leaves.next, 0);
	ck_assert_ptr_null(leaves.all[0].x509);
}
END_TEST

/* It would take the place of all that have one. */
START_TEST(keeps_none_without_its_key)
{
	X509 *keyless = X509_new_ex(algorithms_for_tls(), NULL);
	unsigned char *der = NULL;
	const unsigned char *p;
	int len = i2d_X509(id.cert, &der);

	p = der;
	ck_assert_ptr_nonnull(d2i_X509(&keyless, &p, len));
	leaves_keep(&leaves, keyless, sha256);
	ck_assert_ptr_null(leaves.all[0].x509);
	leaves_keep(&leaves, id.cert, sha256);
	ck_assert_ptr_eq(leaves.all[0].x509, id.cert);
	X509_free(keyless);
	OPENSSL_free(der);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("leaves");
	TCase *t = tcase_create("leaves");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, shares_what_was_accepted);
	tcase_add_test(t, keeps_only_so_many);
	tcase_add_test(t, keeps_none_that_is_not_whole);
	tcase_add_test(t, keeps_none_without_its_key);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
