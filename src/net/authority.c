/* SPDX-License-Identifier: Apache-2.0 */
/* Chains of certificates to a tenant's authorities. */
#include "net/authority.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/why.h"
#include "net/certificate.h"

#include "crl.h"
#include "overlap.h"
#include "subject.h"

enum { DEPTH_MAX = 5, SECURITY_LEVEL = 2, AUTHORITIES_MAX = 32 };

struct authority {
	unsigned refs;
	STACK_OF(X509) *certificates;
	struct certificate_text *texts; /* of them, made once */
	X509_STORE *store;
	struct subject_rule *rule;
	struct crls *crls; /* NULL: nobody is asked for revocations */
};

/* For those that ask for all authorities again and again. */
static enum err
note_text(struct authority *a, const X509 *x)
{
	size_t n = (size_t)sk_X509_num(a->certificates);
	struct certificate_text *texts = alloc_resize(a->texts, (n + 1) * sizeof(*texts));

	if (texts == NULL)
		return ERR_NO_MEMORY;
	a->texts = texts;
	return certificate_describe(x, &texts[n]);
}

static enum err
add(struct authority *a, X509 *x, const char *path, const char **why)
{
	const char *unfit = certificate_key_unfit(x);
	enum err e;

	if (unfit == NULL)
		unfit = certificate_key_weak(x);
	if (unfit != NULL)
		return why_say(why, ERR_CONFIG, "%s: %s", path, unfit);
	if (!certificate_is_authority(x))
		return why_say(why, ERR_CONFIG,
		    "%s: a certificate in it is no authority's (CA:TRUE, and Certificate Sign in its key "
		    "usage); a client's own belongs in client-certificates", path);
	if (sk_X509_num(a->certificates) >= AUTHORITIES_MAX)
		return why_say(why, ERR_CONFIG, "%s: more than %d authorities for one tenant", path,
		    AUTHORITIES_MAX);
	e = note_text(a, x);
	if (e != ERR_OK)
		return why_say(why, e, "%s: %s", path, e == ERR_CRYPTO
			? "a certificate's dates cannot be read" : err_text(e));
	if (sk_X509_push(a->certificates, x) == 0)
		return why_say(why, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	if (X509_up_ref(x) != 1) {
		(void)sk_X509_pop(a->certificates); /* which is its caller's */
		return why_say(why, ERR_INTERNAL, "%s", err_text(ERR_INTERNAL));
	}
	if (X509_STORE_add_cert(a->store, x) != 1)
		return why_say(why, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	return ERR_OK;
}

static enum err
load(struct authority *a, const char *path, const char **why)
{
	struct stack_st_X509 *list;
	enum err e = certificates_of_file(path, &list, why);

	if (e != ERR_OK)
		return e;
	for (size_t i = 0; e == ERR_OK && i < certificates_count(list); i++)
		e = add(a, certificates_at(list, i), path, why);
	certificates_free(list);
	ERR_clear_error();
	return e;
}

enum err
authority_new(struct authority **out, const char *const *files, const char *const *crls,
    const char *rule, const char **why)
{
	uint64_t failures = alloc_failures();
	struct authority *a = alloc_zero(sizeof(*a));
	enum err e;

	if (a == NULL)
		return why_say(why, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	a->refs = 1;
	a->certificates = sk_X509_new_null();
	a->store = X509_STORE_new();
	e = a->certificates != NULL && a->store != NULL
	    ? subject_rule_new(&a->rule, rule, why)
	    : why_say(why, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	for (size_t i = 0; e == ERR_OK && files[i] != NULL; i++)
		e = load(a, files[i], why);
	if (e == ERR_OK)
		e = crls_load(&a->crls, crls, why);
	/* what OpenSSL had no memory for is missing in certificates and lists for good, such as whom they cover */
	if (alloc_failures() != failures)
		e = why_say(why, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	if (e != ERR_OK) {
		authority_unref(a);
		return e;
	}
	*out = a;
	return ERR_OK;
}

struct authority *
authority_ref(struct authority *a)
{
	a->refs++;
	return a;
}

void
authority_unref(struct authority *a)
{
	if (a == NULL)
		return;
	assert(a->refs > 0);
	if (--a->refs > 0)
		return;
	X509_STORE_free(a->store);
	sk_X509_pop_free(a->certificates, X509_free);
	subject_rule_free(a->rule);
	crls_free(a->crls);
	alloc_free(a->texts);
	alloc_free(a);
}

/* --- judging --- */

/* Intermediate ones that expire soon end the judgement early; the root as well. */
static bool
note_term(STACK_OF(X509) *chain, struct authority_term *term)
{
	struct certificate_text text;

	*term = (struct authority_term){INT64_MIN, INT64_MAX};
	for (int i = 0; i < sk_X509_num(chain); i++) {
		if (certificate_describe(sk_X509_value(chain, i), &text) != ERR_OK)
			return false;
		if (text.not_before > term->from)
			term->from = text.not_before;
		if (text.not_after < term->until)
			term->until = text.not_after;
	}
	return true;
}

/* A client's certificate proves who it is by signing; one that may sign others is no client's. */
static bool
is_client(X509 *leaf)
{
	return X509_check_ca(leaf) == 0 && (X509_get_key_usage(leaf) & KU_DIGITAL_SIGNATURE) != 0 &&
	    certificate_key_unfit(leaf) == NULL;
}

static bool
all_may_sign(STACK_OF(X509) *chain)
{
	for (int i = 1; i < sk_X509_num(chain); i++)
		if (!certificate_is_authority(sk_X509_value(chain, i)))
			return false;
	return true;
}

/* What OpenSSL says when there is nobody here who could vouch for it. */
static bool
is_stranger(int error)
{
	return error == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
	    error == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT ||
	    error == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE ||
	    error == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT ||
	    error == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN;
}

/* The signature of who is trusted counts for nothing; its key, and all below it, do. */
static bool
is_weak(int error)
{
	return error == X509_V_ERR_EE_KEY_TOO_SMALL || error == X509_V_ERR_CA_KEY_TOO_SMALL ||
	    error == X509_V_ERR_CA_MD_TOO_WEAK;
}

static enum tls_verdict
verdict_on(int error)
{
	if (is_weak(error))
		return TLS_WEAK;
	if (crls_verdict(error) != TLS_UNKNOWN)
		return crls_verdict(error);
	return is_stranger(error) ? TLS_UNKNOWN : TLS_BAD_CHAIN;
}

/*
 * An authority may be an intermediate one (PARTIAL_CHAIN), so that an enterprise's own need not be
 * trusted as a whole.  No purpose is set: extended key usage is not asked for.
 */
static enum tls_verdict
walk(const struct authority *a, X509_STORE_CTX *ctx, struct authority_term *term)
{
	X509_VERIFY_PARAM *p = X509_STORE_CTX_get0_param(ctx);
	STACK_OF(X509) *chain;
	int64_t now = clock_wall(); /* one for all: a list may begin meanwhile */

	X509_VERIFY_PARAM_set_flags(p, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST);
	X509_VERIFY_PARAM_set_time(p, (time_t)now);
	X509_VERIFY_PARAM_set_depth(p, DEPTH_MAX);
	X509_VERIFY_PARAM_set_auth_level(p, SECURITY_LEVEL);
	crls_prepare(a->crls, ctx, now);
	if (X509_verify_cert(ctx) != 1)
		return verdict_on(X509_STORE_CTX_get_error(ctx));
	chain = X509_STORE_CTX_get0_chain(ctx);
	if (!is_client(sk_X509_value(chain, 0)) || !all_may_sign(chain) || !note_term(chain, term))
		return TLS_BAD_CHAIN;
	crls_narrow(a->crls, chain, now, term);
	return TLS_KNOWN;
}

void
authority_case_init(struct authority_case *c, const struct tls_shown *shown)
{
	*c = (struct authority_case){.shown = shown, .subject = subject_new(shown->leaf)};
}

void
authority_case_fini(struct authority_case *c)
{
	subject_free(c->subject);
	sk_X509_pop_free(c->chain, X509_free);
}

/* False without memory. */
static bool
have_keys(struct authority_case *c)
{
	STACK_OF(X509) *shown = c->shown->chain;

	if (c->chain == NULL)
		c->chain = sk_X509_new_null();
	if (c->chain == NULL)
		return false;
	for (int i = sk_X509_num(c->chain); i < sk_X509_num(shown); i++) {
		X509 *x = certificate_with_key(sk_X509_value(shown, i));

		if (x == NULL || sk_X509_push(c->chain, x) == 0) {
			X509_free(x);
			return false;
		}
	}
	return true;
}

enum tls_verdict
authority_judge(const struct authority *a, struct authority_case *c,
    struct authority_term *term)
{
	const struct tls_shown *shown = c->shown;
	enum tls_verdict v = TLS_UNKNOWN;
	X509_STORE_CTX *ctx;

	if (c->subject == NULL || !subject_rule_takes(a->rule, c->subject))
		return TLS_UNKNOWN;
	ctx = X509_STORE_CTX_new();
	if (ctx != NULL && have_keys(c) &&
	    X509_STORE_CTX_init(ctx, a->store, shown->leaf, c->chain) == 1)
		v = walk(a, ctx, term);
	X509_STORE_CTX_free(ctx);
	ERR_clear_error();
	return v;
}

/* --- overlaps --- */

/* Who trusts a certificate; ordered, so that all who trust the same stand together. */
struct trusting {
	const uint8_t *digest;
	size_t who;
};

static int
by_certificate(const void *pa, const void *pb)
{
	const struct trusting *a = pa, *b = pb;
	int c = memcmp(a->digest, b->digest, TLS_DIGEST_LEN);

	return c != 0 ? c : a->who < b->who ? -1 : a->who > b->who;
}

/* Once for each certificate, and whom it is trusted by: as often as it stands in their files. */
static enum err
list_all(struct authority *const *all, size_t count, struct trusting **out, size_t *out_count)
{
	const struct certificate_text *text;
	struct trusting *list;
	size_t n = 0;

	for (size_t i = 0; i < count; i++)
		n += (size_t)sk_X509_num(all[i]->certificates);
	list = alloc_array(n, sizeof(*list));
	if (list == NULL)
		return ERR_NO_MEMORY;
	n = 0;
	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; (text = authority_certificate(all[i], k)) != NULL; k++)
			list[n++] = (struct trusting){text->digest, i};
	qsort(list, n, sizeof(*list), by_certificate);
	*out = list;
	*out_count = n;
	return ERR_OK;
}

/* Those that trust the certificate at list[0]; *used: how many entries that took. */
static enum err
overlap_at(struct authority *const *all, const struct trusting *list, size_t count,
    const struct subject_rule **rules, size_t *who, size_t *used, struct authority_overlap *out)
{
	struct authority_overlap o;
	size_t n = 0, i;
	enum err e;

	for (i = 0; i < count && memcmp(list[i].digest, list[0].digest, TLS_DIGEST_LEN) == 0; i++) {
		if (n > 0 && who[n - 1] == list[i].who)
			continue;
		who[n] = list[i].who;
		rules[n++] = all[list[i].who]->rule;
	}
	*used = i;
	e = overlap_find(rules, n, &o);
	if (e == ERR_CONFIG)
		*out = (struct authority_overlap){who[o.later], who[o.earlier]};
	return e;
}

static bool
is_before(const struct authority_overlap *a, const struct authority_overlap *b)
{
	return a->later != b->later ? a->later < b->later : a->earlier < b->earlier;
}

enum err
authorities_overlap(struct authority *const *all, size_t count, struct authority_overlap *out)
{
	struct authority_overlap first = {SIZE_MAX, SIZE_MAX}, o;
	struct trusting *list = NULL;
	size_t entries = 0, used;
	const struct subject_rule **rules = alloc_array(count, sizeof(*rules));
	size_t *who = alloc_array(count, sizeof(*who));
	enum err e = rules != NULL && who != NULL ? list_all(all, count, &list, &entries)
						  : ERR_NO_MEMORY;

	for (size_t at = 0; e != ERR_NO_MEMORY && at < entries; at += used) {
		e = overlap_at(all, list + at, entries - at, rules, who, &used, &o);
		if (e == ERR_CONFIG && is_before(&o, &first))
			first = o;
	}
	alloc_free(list);
	alloc_free(who);
	alloc_free(rules);
	if (e == ERR_NO_MEMORY || first.later == SIZE_MAX)
		return e;
	*out = first;
	return ERR_CONFIG;
}

/* --- about it --- */

const char *
authority_rule(const struct authority *a)
{
	return subject_rule_text(a->rule);
}

int64_t
authority_crl_until(const struct authority *a)
{
	return crls_until(a->crls);
}

bool
authority_crl_next(const struct authority *a, int64_t now, size_t *at, struct authority_crl *out)
{
	return crls_next(a->crls, now, at, out);
}

int64_t
authority_crl_from(const struct authority *a, bool *refuses)
{
	return crls_from(a->crls, refuses);
}

const struct certificate_text *
authority_certificate(const struct authority *a, size_t n)
{
	return n < (size_t)sk_X509_num(a->certificates) ? &a->texts[n] : NULL;
}
