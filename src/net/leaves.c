/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates that many sessions show, kept once. */
#include "leaves.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "net/certificate.h"

static X509 *
find(const struct leaves *ls, const uint8_t *sha256)
{
	for (size_t i = 0; i < LEAVES_MAX && ls->all[i].x509 != NULL; i++)
		if (memcmp(ls->all[i].sha256, sha256, TLS_DIGEST_LEN) == 0)
			return ls->all[i].x509;
	return NULL;
}

X509 *
leaves_whole(const struct leaves *ls, X509 *x, const uint8_t *sha256)
{
	X509 *kept = find(ls, sha256);

	if (kept == NULL)
		return certificate_with_key(x);
	return X509_up_ref(kept) == 1 ? kept : NULL;
}

/*
 * The chain belongs to OpenSSL, which takes the session's certificate from it afterwards, and the
 * key that the client's proof is checked with from that.
 */
X509 *
leaves_share(const struct leaves *ls, X509_STORE_CTX *x, const uint8_t *sha256)
{
	X509 *shown = X509_STORE_CTX_get0_cert(x), *whole = leaves_whole(ls, shown, sha256);
	STACK_OF(X509) *chain = X509_STORE_CTX_get0_untrusted(x);

	if (whole == NULL || sk_X509_num(chain) < 1 || sk_X509_value(chain, 0) != shown) {
		X509_free(whole);
		return NULL;
	}
	sk_X509_set(chain, 0, whole);
	X509_STORE_CTX_set_cert(x, whole);
	X509_free(shown);
	return whole;
}

void
leaves_keep(struct leaves *ls, X509 *x509, const uint8_t *sha256)
{
	struct leaf *l = &ls->all[ls->next];

	if (find(ls, sha256) != NULL)
		return;
	/* OpenSSL reads key and extensions once, and what memory was missing for stays unread */
	if (X509_get0_pubkey(x509) == NULL || X509_check_purpose(x509, -1, 0) != 1) {
		ERR_clear_error();
		return;
	}
	ls->next = (ls->next + 1) % LEAVES_MAX;
	X509_free(l->x509);
	X509_up_ref(x509);
	l->x509 = x509;
	memcpy(l->sha256, sha256, TLS_DIGEST_LEN);
}

void
leaves_fini(struct leaves *ls)
{
	for (size_t i = 0; i < LEAVES_MAX; i++)
		X509_free(ls->all[i].x509);
}
