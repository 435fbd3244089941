/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the files that say who is let in and who vouches for clients: certificates, revocation
 * lists, private keys.  The whole input is each of these files, and one certificate in DER.
 */
#include <string.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base/secret.h"
#include "crl.h"
#include "fuzz.h"
#include "net/authority.h"
#include "net/certificate.h"
#include "net/tls.h"
#include "pem.h"
#include "place.h"
#include "subject.h"

enum { INPUT_MAX = 32 << 10, PEM_MAX = 1 << 20 };

static char path[PLACE_PATH_MAX], again[PLACE_PATH_MAX];

static bool
on_certificate(void *arg, const struct certificate_text *text)
{
	size_t *count = arg;

	++*count;
	MUST(strlen(text->subject) < CERTIFICATE_NAME_MAX && strlen(text->sha256) == 95);
	(void)certificate_unfit(text, 1700000000);
	return true;
}

static bool
is_known(void *arg, const uint8_t digest[TLS_DIGEST_LEN], struct certificate_text *text)
{
	(void)arg, (void)digest, (void)text;
	return false;
}

/* What is written as PEM is read again as the same. */
static void
write_again(const X509 *x, const struct certificate_text *text)
{
	struct certificate_text copy;
	STACK_OF(X509) *list;
	const char *why;
	struct buf b;

	buf_init(&b, PEM_MAX);
	certificate_pem(x, &b);
	MUST(buf_error(&b) == ERR_OK);
	place_file(again, b.data, b.len);
	buf_fini(&b);
	MUST(certificates_of_file(again, &list, &why) == ERR_OK);
	MUST(certificates_count(list) == 1);
	MUST(certificate_describe(certificates_at(list, 0), &copy) == ERR_OK);
	MUST(memcmp(copy.digest, text->digest, TLS_DIGEST_LEN) == 0);
	certificates_free(list);
}

static void
look_at(X509 *x)
{
	struct certificate_text text;
	struct subject *s;

	(void)certificate_is_authority(x);
	(void)certificate_is_for_signing(x);
	if (certificate_describe(x, &text) != ERR_OK)
		return;
	s = subject_new(x);
	subject_free(s);
	write_again(x, &text);
}

/* The first as whoever shows it, the others as its chain, to an authority of the same file. */
static void
judge(STACK_OF(X509) *list)
{
	const char *const files[] = {path, NULL};
	struct authority *a = NULL;
	struct authority_term term;
	struct authority_case c;
	struct tls_shown shown = {.chain = list, .proven = true};
	struct certificate_text text;
	const char *why;

	shown.leaf = certificates_at(list, 0);
	if (certificate_describe(shown.leaf, &text) != ERR_OK)
		return;
	shown.sha256 = text.digest;
	authority_case_init(&c, &shown);
	for (int with_lists = 0; with_lists <= 1; with_lists++) {
		if (authority_new(&a, files, with_lists != 0 ? files : NULL, "CN=*", &why) != ERR_OK)
			continue;
		if (authority_judge(a, &c, &term) == TLS_KNOWN)
			MUST(term.from < term.until);
		authority_unref(a);
	}
	authority_case_fini(&c);
}

static void
fuzz_certificates(void)
{
	const struct certificates_reader reader = {.known = is_known, .take = on_certificate};
	struct certificates_reader counting = reader;
	STACK_OF(X509) *list = NULL;
	const char *why = NULL;
	size_t count = 0;

	counting.arg = &count;
	if (certificates_read(path, TRUSTED_CERTIFICATES, &counting, &why) != ERR_OK)
		MUST(why[0] != '\0');
	if (certificates_of_file(path, &list, &why) != ERR_OK) {
		MUST(strstr(why, path) == why);
		return;
	}
	MUST(certificates_count(list) > 0);
	for (size_t i = 0; i < certificates_count(list); i++)
		look_at(certificates_at(list, i));
	judge(list);
	certificates_free(list);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	STACK_OF(X509_CRL) *lists = NULL;
	EVP_PKEY *key = NULL;
	const char *why = NULL;
	bool locked;
	X509 *x;

	if (size > INPUT_MAX)
		return 0;
	if (path[0] == '\0') {
		MUST(secret_heap_init(1 << 20, true, &locked) == ERR_OK);
		place_path(path, "in.pem");
		place_path(again, "again.pem");
	}
	place_file(path, data, size);
	fuzz_certificates();
	if (pem_crls(path, &lists, &why) == ERR_OK)
		sk_X509_CRL_pop_free(lists, X509_CRL_free);
	if (pem_private_key(path, &key, &why) == ERR_OK)
		EVP_PKEY_free(key);
	x = certificate_from_der(data, size);
	if (x != NULL)
		look_at(x);
	certificate_unref(x);
	return 0;
}
