/* SPDX-License-Identifier: Apache-2.0 */
/* PEM files, when memory lacks to read them: it is no fault of theirs, and nothing is taken in part. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "base/secret.h"
#include "net/certificate.h"

#include "certs.h"
#include "pem.h"

static char dir[] = "/tmp/check-pem-XXXXXX", cert[64], key[64];

static void
set_up(void)
{
	struct identity id;

	memset(dir + sizeof(dir) - 7, 'X', 6);
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(cert, sizeof(cert), "%s/cert.pem", dir);
	snprintf(key, sizeof(key), "%s/key.pem", dir);
	id = identity_new(CERT_EC, "client", -60, 3600);
	identity_write_cert(&id, cert);
	identity_write_key(&id, key, NULL);
	identity_free(&id);
}

static void
tear_down(void)
{
	unlink(cert);
	unlink(key);
	rmdir(dir);
}

static enum err
read_whole(const char **why)
{
	struct stack_st_X509 *list;
	enum err e = certificates_of_file(cert, &list, why);

	if (e == ERR_OK)
		certificates_free(list);
	return e;
}

static bool
knows_none(void *arg, const uint8_t digest[TLS_DIGEST_LEN], struct certificate_text *text)
{
	(void)arg, (void)digest, (void)text;
	return false;
}

static bool
take_good(void *arg, const struct certificate_text *text)
{
	(void)arg;
	(void)text;
	return true;
}

static enum err
read_each(const char **why)
{
	return certificates_read(cert, TRUSTED_CERTIFICATES,
	    &(struct certificates_reader){knows_none, take_good, NULL}, why);
}

static enum err
read_key(const char **why)
{
	EVP_PKEY *k;
	enum err e = pem_private_key(key, &k, why);

	if (e == ERR_OK)
		EVP_PKEY_free(k);
	return e;
}

static enum err (*const ways[])(const char **why) = {read_whole, read_each, read_key};

START_TEST(says_that_memory_lacked)
{
	unsigned skip = 0;

	for (bool more = true; more; skip++) {
		uint64_t before = alloc_failures();
		const char *why = "";
		enum err e;

		fault_test_arm(FAULT_ALLOC, skip, 1);
		e = ways[_i](&why);
		fault_test_clear();
		more = alloc_failures() != before;
		if (e == ERR_NO_SECURE_MEMORY)
			e = ERR_NO_MEMORY;
		ck_assert_msg(e == (more ? ERR_NO_MEMORY : ERR_OK), "allocation %u: %s", skip, why);
	}
	ck_assert_uint_gt(skip, 50);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("pem");
	TCase *t = tcase_create("pem");
	SRunner *runner = srunner_create(suite);
	bool locked;
	int failed;

	if (alloc_install() != ERR_OK || secret_heap_init(1 << 20, true, &locked) != ERR_OK)
		return 1;
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_loop_test(t, says_that_memory_lacked, 0, 3);
	suite_add_tcase(suite, t);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
