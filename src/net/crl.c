/* SPDX-License-Identifier: Apache-2.0 */
/* Revocation lists for chains of certificates. */
#include "crl.h"

#include <openssl/objects.h>
#include <openssl/x509v3.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/why.h"
#include "net/certificate.h"

#include "pem.h"

enum { LISTS_MAX = 64, DIGEST_BYTES_LEAST = 28 /* 112 bits against collisions */ };

struct one {
	X509_CRL *crl;
	char *issuer; /* for people */
	int64_t from, until;
	int64_t superseded; /* when a newer one begins; INT64_MAX: there is none */
};

struct crls {
	struct one lists[LISTS_MAX];
	size_t count;
	STACK_OF(X509_CRL) *asked; /* those that a judgement goes by; with room for all */
};

static bool
is_weak(const X509_CRL *crl)
{
	int digest = NID_undef;

	if (OBJ_find_sigid_algs(X509_CRL_get_signature_nid(crl), &digest, NULL) != 1 ||
	    digest == NID_undef)
		return false;
	return EVP_MD_get_size(EVP_get_digestbynid(digest)) < DIGEST_BYTES_LEAST;
}

static enum err
keep(struct one *o, X509_CRL *crl, const char **why)
{
	char issuer[CERTIFICATE_NAME_MAX];

	certificate_name_cut(X509_CRL_get_issuer(crl), issuer);
	o->issuer = alloc_text(issuer);
	if (o->issuer == NULL || X509_CRL_up_ref(crl) != 1) {
		alloc_free(o->issuer);
		return why_say(why, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	}
	o->crl = crl;
	return ERR_OK;
}

static enum err
add(struct crls *c, X509_CRL *crl, const char *path, const char **why)
{
	struct one *o = &c->lists[c->count];
	enum err e;

	if (c->count == LISTS_MAX)
		return why_say(why, ERR_CONFIG, "%s: more than %d revocation lists for one tenant",
		    path, LISTS_MAX);
	if (is_weak(crl))
		return why_say(why, ERR_CONFIG,
		    "%s: a revocation list is signed with SHA-1 or MD5; have it signed with "
		    "SHA-256", path);
	/* OpenSSL would take it for a complete one, and let in whom the one before it revoked */
	if (X509_CRL_get_ext_by_NID(crl, NID_delta_crl, -1) != -1)
		return why_say(why, ERR_CONFIG,
		    "%s: a revocation list is a delta list, which says nothing of those who were "
		    "revoked before; give the complete one", path);
	if (!pem_seconds(X509_CRL_get0_lastUpdate(crl), &o->from) ||
	    !pem_seconds(X509_CRL_get0_nextUpdate(crl), &o->until))
		return why_say(why, ERR_CONFIG,
		    "%s: a revocation list does not say from when to when it holds", path);
	e = keep(o, crl, why);
	c->count += e == ERR_OK;
	return e;
}

static enum err
load(struct crls *c, const char *path, const char **why)
{
	STACK_OF(X509_CRL) *list;
	enum err e = pem_crls(path, &list, why);

	if (e != ERR_OK)
		return e;
	for (int i = 0; e == ERR_OK && i < sk_X509_CRL_num(list); i++)
		e = add(c, sk_X509_CRL_value(list, i), path, why);
	sk_X509_CRL_pop_free(list, X509_CRL_free);
	return e;
}

/* Both have the extension with the same bytes, or neither has it. */
static bool
agree_in(const X509_CRL *a, const X509_CRL *b, int nid)
{
	int at_a = X509_CRL_get_ext_by_NID(a, nid, -1), at_b = X509_CRL_get_ext_by_NID(b, nid, -1);

	if (at_a == -1 || at_b == -1)
		return at_a == at_b;
	return ASN1_STRING_cmp(X509_EXTENSION_get_data(X509_CRL_get_ext(a, at_a)),
		   X509_EXTENSION_get_data(X509_CRL_get_ext(b, at_b))) == 0;
}

static bool
say_the_same(const struct one *a, const struct one *b)
{
	return X509_NAME_cmp(X509_CRL_get_issuer(a->crl), X509_CRL_get_issuer(b->crl)) == 0 &&
	    agree_in(a->crl, b->crl, NID_authority_key_identifier) &&
	    agree_in(a->crl, b->crl, NID_issuing_distribution_point);
}

static void
note_newer(struct crls *c, struct one *o)
{
	o->superseded = INT64_MAX;
	for (size_t i = 0; i < c->count; i++) {
		const struct one *other = &c->lists[i];

		if (other->from > o->from && other->from < o->superseded && say_the_same(other, o))
			o->superseded = other->from;
	}
}

/* One that is still to come takes nobody's place. */
static bool
is_superseded(const struct one *o, int64_t now)
{
	return o->superseded <= now;
}

enum err
crls_load(struct crls **out, const char *const *files, const char **why)
{
	struct crls *c;
	enum err e = ERR_OK;

	*out = NULL;
	if (files == NULL || files[0] == NULL)
		return ERR_OK;
	c = alloc_zero(sizeof(*c));
	if (c == NULL)
		return why_say(why, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	for (size_t i = 0; e == ERR_OK && files[i] != NULL; i++)
		e = load(c, files[i], why);
	for (size_t i = 0; e == ERR_OK && i < c->count; i++)
		note_newer(c, &c->lists[i]);
	c->asked = sk_X509_CRL_new_reserve(NULL, (int)c->count);
	if (e == ERR_OK && c->asked == NULL)
		e = why_say(why, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	if (e != ERR_OK) {
		crls_free(c);
		return e;
	}
	*out = c;
	return ERR_OK;
}

void
crls_free(struct crls *c)
{
	for (size_t i = 0; c != NULL && i < c->count; i++) {
		X509_CRL_free(c->lists[i].crl);
		alloc_free(c->lists[i].issuer);
	}
	if (c != NULL)
		sk_X509_CRL_free(c->asked);
	alloc_free(c);
}

/* Of who is trusted by the configuration nobody else says that it is not. */
static int
forgive_the_trusted(int ok, X509_STORE_CTX *ctx)
{
	int last = sk_X509_num(X509_STORE_CTX_get0_chain(ctx)) - 1;

	if (ok == 0 && last > 0 && X509_STORE_CTX_get_error_depth(ctx) == last &&
	    crls_verdict(X509_STORE_CTX_get_error(ctx)) != TLS_UNKNOWN) {
		X509_STORE_CTX_set_error(ctx, X509_V_OK);
		return 1;
	}
	return ok;
}

/*
 * OpenSSL takes any list that is valid: one that holds for longer would take over when a newer one
 * expires, and let in whom only that one revoked.  So it is shown none that has a newer one.
 */
void
crls_prepare(const struct crls *c, X509_STORE_CTX *ctx, int64_t now)
{
	if (c == NULL)
		return;
	sk_X509_CRL_zero(c->asked);
	for (size_t i = 0; i < c->count; i++)
		if (!is_superseded(&c->lists[i], now))
			(void)!sk_X509_CRL_push(c->asked, c->lists[i].crl); /* there is room */
	X509_STORE_CTX_set0_crls(ctx, c->asked);
	X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(ctx),
	    X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
	X509_STORE_CTX_set_verify_cb(ctx, forgive_the_trusted);
}

enum tls_verdict
crls_verdict(int error)
{
	switch (error) {
	case X509_V_ERR_CERT_REVOKED:
		return TLS_REVOKED;
	case X509_V_ERR_UNABLE_TO_GET_CRL:
	case X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER:
	case X509_V_ERR_UNABLE_TO_DECRYPT_CRL_SIGNATURE:
	case X509_V_ERR_CRL_SIGNATURE_FAILURE:
	case X509_V_ERR_CRL_NOT_YET_VALID:
	case X509_V_ERR_CRL_HAS_EXPIRED:
	case X509_V_ERR_ERROR_IN_CRL_LAST_UPDATE_FIELD:
	case X509_V_ERR_ERROR_IN_CRL_NEXT_UPDATE_FIELD:
	case X509_V_ERR_KEYUSAGE_NO_CRL_SIGN:
	case X509_V_ERR_UNHANDLED_CRITICAL_CRL_EXTENSION:
	case X509_V_ERR_DIFFERENT_CRL_SCOPE:
	case X509_V_ERR_CRL_PATH_VALIDATION_ERROR:
		return TLS_NO_CRL;
	default:
		return TLS_UNKNOWN;
	}
}

/* Of several lists of one authority, such as for parts of it, the one that ends or begins first. */
static void
narrow(const struct crls *c, const X509_NAME *issuer, int64_t now, struct authority_term *term)
{
	for (size_t i = 0; i < c->count; i++) {
		const struct one *o = &c->lists[i];
		int64_t changes = o->from > now ? o->from : o->until;

		if (is_superseded(o, now) || changes <= now ||
		    X509_NAME_cmp(X509_CRL_get_issuer(o->crl), issuer) != 0)
			continue;
		if (changes < term->until)
			term->until = changes;
		if (o->from <= now && o->from > term->from)
			term->from = o->from;
	}
}

void
crls_narrow(const struct crls *c, STACK_OF(X509) *chain, int64_t now, struct authority_term *term)
{
	for (int i = 0; c != NULL && i < sk_X509_num(chain) - 1; i++)
		narrow(c, X509_get_issuer_name(sk_X509_value(chain, i)), now, term);
}

bool
crls_next(const struct crls *c, int64_t now, size_t *at, struct authority_crl *out)
{
	while (c != NULL && *at < c->count) {
		const struct one *o = &c->lists[(*at)++];

		if (is_superseded(o, now) || o->superseded <= o->until)
			continue;
		*out = (struct authority_crl){o->issuer, o->from, o->until, o->superseded};
		return true;
	}
	return false;
}

int64_t
crls_until(const struct crls *c)
{
	int64_t until = 0, now = clock_wall();
	struct authority_crl one;

	for (size_t at = 0; crls_next(c, now, &at, &one);)
		if (until == 0 || one.until < until)
			until = one.until;
	return until;
}

/* Until a list begins, is there one that says the same and is valid? */
static bool
has_another(const struct crls *c, const struct one *o, int64_t now)
{
	for (size_t i = 0; i < c->count; i++) {
		const struct one *other = &c->lists[i];

		if (other->from <= now && now < other->until && !is_superseded(other, now) &&
		    say_the_same(other, o))
			return true;
	}
	return false;
}

int64_t
crls_from(const struct crls *c, bool *refuses)
{
	int64_t from = 0, now = clock_wall();

	*refuses = false;
	for (size_t i = 0; c != NULL && i < c->count; i++) {
		const struct one *o = &c->lists[i];
		bool alone = o->from > now && !has_another(c, o, now);

		if (o->from <= now || alone < *refuses)
			continue;
		if (from == 0 || alone > *refuses || o->from < from)
			from = o->from;
		*refuses = alone;
	}
	return from;
}
