/* SPDX-License-Identifier: Apache-2.0 */
/* Subject rules, and chains to a tenant's authorities. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fault.h"
#include "net/authority.h"
#include "subject.h"

#include "algorithms.h"
#include "certs.h"

enum { DAY = 86400, NOW = 1764000000 };

static char dir[] = "/tmp/check-authority-XXXXXX";
static EVP_PKEY *root_key, *middle_key, *client_key;
static X509 *root, *middle;

/* --- certificates to order --- */

struct order {
	const char *subject[8]; /* type, value, type, value ...; NULL ends */
	const char *constraints, *usage, *extended; /* extensions, or NULL */
	long from_s, until_s;
	EVP_PKEY *key;
	X509 *issuer; /* NULL: itself */
	EVP_PKEY *issuer_key;
	const EVP_MD *digest; /* NULL: SHA-256 */
};

static void
extend(X509 *x, int nid, const char *value)
{
	X509_EXTENSION *ext = value != NULL ? X509V3_EXT_conf_nid(NULL, NULL, nid, value) : NULL;

	if (value == NULL)
		return;
	ck_assert_ptr_nonnull(ext);
	ck_assert_int_eq(X509_add_ext(x, ext, -1), 1);
	X509_EXTENSION_free(ext);
}

static X509 *
make(const struct order *o)
{
	static long serial;
	X509 *x = X509_new();
	X509_NAME *name = X509_get_subject_name(x);
	time_t now = (time_t)clock_wall();

	X509_set_version(x, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
	X509_time_adj_ex(X509_getm_notBefore(x), 0, o->from_s, &now);
	X509_time_adj_ex(X509_getm_notAfter(x), 0, o->until_s, &now);
	for (int i = 0; o->subject[i] != NULL; i += 2)
		ck_assert_int_eq(X509_NAME_add_entry_by_txt(name, o->subject[i], MBSTRING_UTF8,
		    (const unsigned char *)o->subject[i + 1], -1, -1, 0), 1);
	X509_set_issuer_name(x, o->issuer != NULL ? X509_get_subject_name(o->issuer) : name);
	X509_set_pubkey(x, o->key);
	extend(x, NID_basic_constraints, o->constraints);
	extend(x, NID_key_usage, o->usage);
	extend(x, NID_ext_key_usage, o->extended);
	ck_assert_int_gt(X509_sign(x, o->issuer_key != NULL ? o->issuer_key : o->key,
	    o->digest != NULL ? o->digest : EVP_sha256()), 0);
	return x;
}

static const struct order a_root = {.subject = {"O", "vc1", "CN", "CA"},
    .constraints = "critical,CA:TRUE", .usage = "critical,keyCertSign", .from_s = -DAY,
    .until_s = 1000 * DAY};
static const struct order a_client = {.subject = {"O", "vc1", "CN", "vpxd-1"},
    .usage = "digitalSignature", .from_s = -DAY, .until_s = 100 * DAY};

static X509 *
make_client(const struct order *like, X509 *issuer, EVP_PKEY *issuer_key)
{
	struct order o = *like;

	o.key = client_key;
	o.issuer = issuer;
	o.issuer_key = issuer_key;
	return make(&o);
}

static const char *
file_of(const char *name, X509 *x)
{
	static char paths[4][128];
	static unsigned next;
	char *path = paths[next++ % 4];
	struct identity id = {x, NULL};

	snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	identity_write_cert(&id, path);
	return path;
}

static void
setup(void)
{
	struct order o = a_root;

	clock_test_freeze(NOW);
	ck_assert_ptr_nonnull(mkdtemp(dir));
	root_key = EVP_EC_gen("P-256");
	middle_key = EVP_EC_gen("P-256");
	client_key = EVP_EC_gen("P-256");
	o.key = root_key;
	root = make(&o);
	o = a_root;
	o.subject[3] = "Middle";
	o.key = middle_key;
	o.issuer = root;
	o.issuer_key = root_key;
	o.until_s = 50 * DAY;
	middle = make(&o);
}

static void
teardown(void)
{
	char cmd[128];

	X509_free(root);
	X509_free(middle);
	EVP_PKEY_free(root_key);
	EVP_PKEY_free(middle_key);
	EVP_PKEY_free(client_key);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	ck_assert_int_eq(system(cmd), 0);
	strcpy(dir, "/tmp/check-authority-XXXXXX");
}

static struct authority *
trusting(X509 *ca, const char *rule)
{
	const char *files[] = {file_of("ca.pem", ca), NULL}, *why = "";
	struct authority *a = NULL;

	ck_assert_msg(authority_new(&a, files, NULL, rule, &why) == ERR_OK, "%s", why);
	return a;
}

/* As OpenSSL has it when it comes from a client: without its key. */
static X509 *
from_the_wire(X509 *cert)
{
	X509 *x = X509_new_ex(algorithms_for_tls(), NULL);
	unsigned char *der = NULL;
	const unsigned char *p;
	int len = i2d_X509(cert, &der);

	p = der;
	ck_assert_ptr_nonnull(d2i_X509(&x, &p, len));
	ck_assert_ptr_null(X509_get0_pubkey(x));
	OPENSSL_free(der);
	return x;
}

/* Shows a certificate, with another one beside it or NULL; frees the first. */
static enum tls_verdict
show(struct authority *a, X509 *leaf, X509 *beside, struct authority_term *term)
{
	uint8_t sha256[TLS_DIGEST_LEN];
	STACK_OF(X509) *chain = sk_X509_new_null();
	struct tls_shown shown = {.sha256 = sha256, .leaf = leaf, .chain = chain};
	struct authority_term unused;
	struct authority_case c;
	enum tls_verdict v;

	if (beside != NULL)
		sk_X509_push(chain, from_the_wire(beside));
	X509_digest(leaf, EVP_sha256(), sha256, NULL);
	authority_case_init(&c, &shown);
	v = authority_judge(a, &c, term != NULL ? term : &unused);
	authority_case_fini(&c);
	sk_X509_pop_free(chain, X509_free);
	X509_free(leaf);
	return v;
}

/* --- rules --- */

static struct subject_rule *
rule_of(const char *text)
{
	struct subject_rule *r = NULL;
	const char *why = "";

	ck_assert_msg(subject_rule_new(&r, text, &why) == ERR_OK, "%s: %s", text, why);
	return r;
}

static const struct {
	const char *rule, *subject[8];
	bool takes;
} takings[] = {
    {"CN=vpxd-1", {"CN", "vpxd-1"}, true},
    {"CN=vpxd-1", {"CN", "vpxd-11"}, false},
    {"CN=vpxd*", {"CN", "vpxd"}, true},
    {"CN=*-1, O=v*1", {"O", "vc1", "CN", "a-1"}, true},
    {"CN=*-1, O=v*1", {"O", "vc2", "CN", "a-1"}, false},
    {"CN=a*b*c", {"CN", "aXbYbc"}, true},
    {"CN=a*b*c", {"CN", "aXcYb"}, false},
    {"CN=a*bb", {"CN", "abb"}, true},
    {"CN=a*bb", {"CN", "ab"}, false},
    {"CN=ab*bc", {"CN", "abc"}, false},
    {"CN=vpxd*", {"O", "vpxd"}, false},
    {"CN=vpxd*", {"CN", "vpxd", "CN", "vpxd"}, false}, /* which one counts? */
    {"CN=vpxd*", {"CN", "x", "CN", "vpxd"}, false},
    {"CN=VPXD", {"CN", "vpxd"}, false},
    {"O=a\\, b", {"O", "a, b"}, true},
    {"CN=vc*,", {"CN", "vc"}, true},
    {"CN=\xc3\xa9*", {"CN", "\xc3\xa9t\xc3\xa9"}, true},
    {"subject=CN=x,O=y", {"O", "y", "CN", "x"}, true},
    {"subject=CN=x,O=y", {"CN", "x", "O", "y"}, false},
    {"subject=CN=x", {"O", "y", "CN", "x"}, false},
};

START_TEST(rules_take_subjects)
{
	struct order o = a_client;
	struct subject_rule *r = rule_of(takings[_i].rule);
	struct subject *s;
	X509 *x;

	memcpy(o.subject, takings[_i].subject, sizeof(o.subject));
	o.key = client_key;
	x = make(&o);
	s = subject_new(x);
	ck_assert_int_eq(subject_rule_takes(r, s), takings[_i].takes);
	subject_free(s);
	X509_free(x);
	subject_rule_free(r);
}
END_TEST

/* A certificate with n times this OU in its subject, in front of CN=vpxd-1. */
static X509 *
of_many_units(unsigned n, const char *unit)
{
	struct order o = a_client;
	X509 *x;

	o.key = client_key;
	x = make(&o);
	for (unsigned i = 0; i < n; i++)
		ck_assert_int_eq(X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "OU",
		    MBSTRING_UTF8, (const unsigned char *)unit, -1, 0, 0), 1);
	ck_assert_int_gt(X509_sign(x, root_key, EVP_sha256()), 0);
	return x;
}

static bool
is_read(X509 *x)
{
	struct subject *s = subject_new(x);

	subject_free(s);
	X509_free(x);
	return s != NULL;
}

/* Two attributes are there already, and each has eleven bytes around its value, or more. */
START_TEST(long_subjects_are_not_read)
{
	char unit[65] = "";

	ck_assert(is_read(of_many_units(SUBJECT_ATTRIBUTES_MAX - 2, "u")));
	ck_assert(!is_read(of_many_units(SUBJECT_ATTRIBUTES_MAX - 1, "u")));
	memset(unit, 'u', sizeof(unit) - 1);
	ck_assert(is_read(of_many_units(13, unit)));
	ck_assert(!is_read(of_many_units(14, unit)));
}
END_TEST

START_TEST(no_rule_takes_a_long_subject)
{
	struct authority *a = trusting(root, "CN=vpxd*");
	X509 *x;

	for (unsigned n = 1; n <= 100; n += 99) {
		x = of_many_units(n, "unit");
		X509_set_issuer_name(x, X509_get_subject_name(root));
		ck_assert_int_gt(X509_sign(x, root_key, EVP_sha256()), 0);
		ck_assert_int_eq(show(a, x, NULL, NULL), n == 1 ? TLS_KNOWN : TLS_UNKNOWN);
	}
	authority_unref(a);
}
END_TEST

START_TEST(bad_rules)
{
	static const char *const bad[] = {"vpxd", "=x", "CN", "CN=", "CN=a,CN=b", "XX=1", "CN=*",
	    "CN=*,O=**", "subject=", ",", "CN=a,,O=b"};
	struct subject_rule *r;
	const char *why;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		why = "";
		ck_assert_msg(subject_rule_new(&r, bad[i], &why) == ERR_CONFIG, "%s", bad[i]);
		ck_assert_ptr_nonnull(strstr(why, "client-subject"));
	}
}
END_TEST

static const struct {
	const char *a, *b;
	bool overlap;
} pairs[] = {
    {"CN=a", "CN=a", true},
    {"CN=a", "CN=b", false},
    {"CN=a", "O=b", true}, /* a subject may have both */
    {"CN=a,O=x", "CN=a,O=y", false},
    {"CN=a*", "CN=*b", true},
    {"CN=a*", "CN=b*", false},
    {"CN=*a", "CN=*b", false},
    {"CN=a*z", "CN=*b*", true},
    {"CN=*x*", "CN=abc", false},
    {"CN=*b*", "CN=abc", true},
    {"CN=ab*", "CN=a*", true},
    {"CN=a*b", "CN=a*bc", false},
    {"subject=CN=a", "subject=CN=a", true},
    {"subject=CN=a", "subject=CN=a,O=b", false},
    {"subject=CN=abc,O=x", "CN=a*", true},
    {"subject=CN=abc,O=x", "CN=b*", false},
    {"subject=CN=abc,O=x", "OU=*x", false},
    {"subject=CN=a\\,b", "CN=z", true}, /* not decided, so it may be */
    {"subject=CN=,O=a", "CN=z", true},
    {"subject=O=a,CN=", "CN=z", true},
};

START_TEST(rules_overlap)
{
	struct subject_rule *a = rule_of(pairs[_i].a), *b = rule_of(pairs[_i].b);

	ck_assert_int_eq(subject_rules_overlap(a, b), pairs[_i].overlap);
	ck_assert_int_eq(subject_rules_overlap(b, a), pairs[_i].overlap);
	subject_rule_free(a);
	subject_rule_free(b);
}
END_TEST

/* --- chains --- */

START_TEST(knows_whom_it_vouches_for)
{
	struct authority *a = trusting(root, "CN=vpxd*");
	struct authority_term term;

	ck_assert_int_eq(show(a, make_client(&a_client, root, root_key), NULL, &term), TLS_KNOWN);
	ck_assert_int_eq(term.from, NOW - DAY);
	ck_assert_int_eq(term.until, NOW + 100 * DAY);
	ck_assert_int_eq(show(a, make_client(&a_client, middle, middle_key), middle, &term),
	    TLS_KNOWN);
	ck_assert_int_eq(term.until, NOW + 50 * DAY); /* the one in the middle ends first */
	/* without it nobody here vouches */
	ck_assert_int_eq(show(a, make_client(&a_client, middle, middle_key), NULL, NULL),
	    TLS_UNKNOWN);
	authority_unref(a);
	/* an authority that is not the root may be trusted alone */
	a = trusting(middle, "CN=vpxd*");
	ck_assert_int_eq(show(a, make_client(&a_client, middle, middle_key), NULL, NULL), TLS_KNOWN);
	ck_assert_int_eq(show(a, make_client(&a_client, root, root_key), NULL, NULL), TLS_UNKNOWN);
	authority_unref(a);
}
END_TEST

START_TEST(refuses_bad_chains)
{
	struct authority *a = trusting(root, "CN=vpxd*");
	struct order o = a_client;
	X509 *x;

	o.until_s = 0;
	ck_assert_int_eq(show(a, make_client(&o, root, root_key), NULL, NULL), TLS_BAD_CHAIN);
	o = a_client;
	o.from_s = 1;
	ck_assert_int_eq(show(a, make_client(&o, root, root_key), NULL, NULL), TLS_BAD_CHAIN);
	/* signed by somebody who only has the name */
	ck_assert_int_eq(show(a, make_client(&a_client, root, middle_key), NULL, NULL),
	    TLS_BAD_CHAIN);
	/* signed by a client, whose certificate does not even say that it may not */
	o = a_client;
	o.subject[3] = "vpxd-2";
	o.usage = NULL;
	x = make_client(&o, root, root_key);
	ck_assert_int_eq(show(a, make_client(&a_client, x, client_key), x, NULL), TLS_BAD_CHAIN);
	X509_free(x);
	o.usage = "digitalSignature";
	x = make_client(&o, root, root_key);
	ck_assert_int_eq(show(a, make_client(&a_client, x, client_key), x, NULL), TLS_BAD_CHAIN);
	X509_free(x);
	/* a client that may sign others; one that may not sign for itself */
	o.constraints = "critical,CA:TRUE";
	o.usage = "keyCertSign,digitalSignature";
	ck_assert_int_eq(show(a, make_client(&o, root, root_key), NULL, NULL), TLS_BAD_CHAIN);
	o = a_client;
	o.usage = "keyEncipherment";
	ck_assert_int_eq(show(a, make_client(&o, root, root_key), NULL, NULL), TLS_BAD_CHAIN);
	authority_unref(a);
}
END_TEST

START_TEST(takes_no_key_that_costs_much)
{
	struct identity costly = identity_of_exponent(4294967297, "costly", -DAY, DAY);
	struct authority *a = trusting(root, "CN=vpxd*"), *none;
	struct order o = a_client;
	const char *files[] = {NULL, NULL}, *why = "";
	X509 *x;

	o.key = costly.key;
	o.issuer = root;
	o.issuer_key = root_key;
	ck_assert_int_eq(show(a, make(&o), NULL, NULL), TLS_BAD_CHAIN);
	authority_unref(a);
	o = a_root;
	o.key = costly.key;
	x = make(&o);
	files[0] = file_of("costly.pem", x);
	ck_assert_int_eq(authority_new(&none, files, NULL, "CN=x", &why), ERR_CONFIG);
	ck_assert_ptr_nonnull(strstr(why, "costly.pem: its RSA key has a public exponent"));
	X509_free(x);
	identity_free(&costly);
}
END_TEST

START_TEST(takes_no_weak_chain)
{
	EVP_PKEY *weak = EVP_RSA_gen(1024), *strong = EVP_RSA_gen(2048);
	struct authority *a = trusting(root, "CN=vpxd*"), *none;
	struct order o = a_client, ca = a_root;
	const char *files[] = {NULL, NULL}, *why = "";
	X509 *x;

	/* the client's key, its signature, and both of who signed it */
	o.key = weak;
	o.issuer = root;
	o.issuer_key = root_key;
	ck_assert_int_eq(show(a, make(&o), NULL, NULL), TLS_WEAK);
	o.key = strong;
	ck_assert_int_eq(show(a, make(&o), NULL, NULL), TLS_KNOWN);
	o.digest = EVP_sha1();
	ck_assert_int_eq(show(a, make(&o), NULL, NULL), TLS_WEAK);
	ca.subject[3] = "Middle";
	ca.issuer = root;
	ca.issuer_key = root_key;
	ca.key = weak;
	x = make(&ca);
	ck_assert_int_eq(show(a, make_client(&a_client, x, weak), x, NULL), TLS_WEAK);
	X509_free(x);
	ca.key = strong;
	ca.digest = EVP_sha1();
	x = make(&ca);
	ck_assert_int_eq(show(a, make_client(&a_client, x, strong), x, NULL), TLS_WEAK);
	authority_unref(a);
	/* its own signature is not looked at when it is trusted itself */
	a = trusting(x, "CN=vpxd*");
	ck_assert_int_eq(show(a, make_client(&a_client, x, strong), NULL, NULL), TLS_KNOWN);
	authority_unref(a);
	X509_free(x);
	ca = a_root;
	ca.key = weak;
	x = make(&ca);
	files[0] = file_of("weak.pem", x);
	ck_assert_int_eq(authority_new(&none, files, NULL, "CN=x", &why), ERR_CONFIG);
	ck_assert_ptr_nonnull(strstr(why, "weak.pem: its key is too weak"));
	X509_free(x);
	EVP_PKEY_free(weak);
	EVP_PKEY_free(strong);
}
END_TEST

START_TEST(asks_no_extended_usage)
{
	struct authority *a = trusting(root, "CN=vpxd*");
	struct order o = a_client;

	o.usage = NULL;
	ck_assert_int_eq(show(a, make_client(&o, root, root_key), NULL, NULL), TLS_KNOWN);
	o.extended = "serverAuth";
	ck_assert_int_eq(show(a, make_client(&o, root, root_key), NULL, NULL), TLS_KNOWN);
	authority_unref(a);
}
END_TEST

START_TEST(dates_of_the_authority_count)
{
	struct authority *a = trusting(root, "CN=vpxd*");
	struct order o = a_client;

	o.until_s = 2000 * DAY;
	clock_test_advance(1001 * DAY * NS_PER_S);
	o.from_s = -1100 * DAY;
	ck_assert_int_eq(show(a, make_client(&o, root, root_key), NULL, NULL), TLS_BAD_CHAIN);
	authority_unref(a);
}
END_TEST

/* RFC 5280 knows no 61st second, and OpenSSL reads none: such a date lets nobody in. */
static ASN1_TIME *
leap_second(void)
{
	ASN1_TIME *t = ASN1_STRING_type_new(V_ASN1_GENERALIZEDTIME);

	ck_assert_int_eq(ASN1_STRING_set(t, "20361231235960Z", -1), 1);
	return t;
}

START_TEST(no_certificate_ends_in_a_leap_second)
{
	struct authority *a = trusting(root, "CN=vpxd*");
	X509 *x = make_client(&a_client, root, root_key);
	ASN1_TIME *t = leap_second();

	ck_assert_int_eq(X509_set1_notAfter(x, t), 1);
	ck_assert_int_gt(X509_sign(x, root_key, EVP_sha256()), 0);
	ck_assert_int_eq(show(a, x, NULL, NULL), TLS_BAD_CHAIN);
	ASN1_STRING_free(t);
	authority_unref(a);
}
END_TEST

START_TEST(no_list_ends_in_a_leap_second)
{
	const char *files[] = {file_of("ca.pem", root), NULL}, *lists[] = {NULL, NULL}, *why = "";
	struct authority *a = NULL;
	X509_CRL *crl = X509_CRL_new();
	ASN1_TIME *t = leap_second();
	char path[128];
	FILE *f;

	X509_CRL_set_version(crl, X509_CRL_VERSION_2);
	X509_CRL_set_issuer_name(crl, X509_get_subject_name(root));
	ck_assert_int_eq(X509_CRL_set1_lastUpdate(crl, X509_get0_notBefore(root)), 1);
	ck_assert_int_eq(X509_CRL_set1_nextUpdate(crl, t), 1);
	ck_assert_int_gt(X509_CRL_sign(crl, root_key, EVP_sha256()), 0);
	snprintf(path, sizeof(path), "%s/list.pem", dir);
	f = fopen(path, "w");
	ck_assert(PEM_write_X509_CRL(f, crl) == 1 && fclose(f) == 0);
	lists[0] = path;
	ck_assert_int_eq(authority_new(&a, files, lists, "CN=x", &why), ERR_CONFIG);
	ck_assert_msg(strstr(why, "from when to when") != NULL, "%s", why);
	ASN1_STRING_free(t);
	X509_CRL_free(crl);
}
END_TEST

/* Beyond what 32 bits hold, and before 1970. */
START_TEST(far_dates)
{
	struct authority *a;
	struct order o = a_root;
	X509 *old;

	o.key = root_key;
	o.from_s = -60 * 366L * DAY;
	o.until_s = 200 * 366L * DAY;
	old = make(&o);
	a = trusting(old, "CN=vpxd*");
	clock_test_jump(INT64_C(4300000000) * NS_PER_S - NOW * NS_PER_S, 0); /* in 2106 */
	ck_assert_int_eq(show(a, make_client(&a_client, old, root_key), NULL, NULL), TLS_KNOWN);
	clock_test_jump((NOW - INT64_C(4300000000)) * NS_PER_S - (NOW + 1000) * NS_PER_S, 0);
	ck_assert_int_lt(clock_wall(), 0);
	ck_assert_int_eq(show(a, make_client(&a_client, old, root_key), NULL, NULL), TLS_KNOWN);
	authority_unref(a);
	X509_free(old);
}
END_TEST

START_TEST(strangers_are_unknown)
{
	struct authority *a = trusting(root, "CN=vpxd*");
	struct order o = a_client;

	ck_assert_int_eq(show(a, make_client(&a_client, NULL, NULL), NULL, NULL), TLS_UNKNOWN);
	o.subject[3] = "other";
	ck_assert_int_eq(show(a, make_client(&o, root, root_key), NULL, NULL), TLS_UNKNOWN);
	authority_unref(a);
}
END_TEST

START_TEST(takes_authorities_only)
{
	X509 *client = make_client(&a_client, root, root_key);
	struct order o = a_root;
	X509 *odd;
	const char *files[] = {file_of("client.pem", client), NULL}, *why = "";
	struct authority *a;

	ck_assert_int_eq(authority_new(&a, files, NULL, "CN=x", &why), ERR_CONFIG);
	ck_assert_ptr_nonnull(strstr(why, "client-certificates"));
	X509_free(client);
	o.key = root_key;
	o.usage = "digitalSignature"; /* CA:TRUE alone is not enough */
	odd = make(&o);
	files[0] = file_of("odd.pem", odd);
	ck_assert_int_eq(authority_new(&a, files, NULL, "CN=x", &why), ERR_CONFIG);
	X509_free(odd);
}
END_TEST

/* The first pair of all; a certificate that stands twice in a file is one. */
START_TEST(overlaps_where_an_authority_is_shared)
{
	const char *why = "";
	struct authority *a = trusting(root, "CN=a*"), *b = trusting(root, "CN=ab"),
			 *c = trusting(middle, "CN=ab"), *d = trusting(root, "CN=b"), *both;
	struct authority *apart[] = {a, c, d}, *two[] = {c, b, a, b, a}, *mixed[] = {c, d, NULL, b};
	const char *twice[] = {file_of("root.pem", root), file_of("root.pem", root), NULL};
	struct authority_overlap o = {0};

	ck_assert_int_eq(authorities_overlap(apart, 0, &o), ERR_OK);
	ck_assert_int_eq(authorities_overlap(apart, 3, &o), ERR_OK);
	ck_assert_int_eq(authorities_overlap(two, 5, &o), ERR_CONFIG);
	ck_assert(o.later == 2 && o.earlier == 1);
	ck_assert_int_eq(authority_new(&both, twice, NULL, "CN=x", &why), ERR_OK);
	mixed[2] = both;
	ck_assert_int_eq(authorities_overlap(mixed, 4, &o), ERR_OK);
	authority_unref(both);
	twice[1] = file_of("middle.pem", middle);
	ck_assert_int_eq(authority_new(&both, twice, NULL, "CN=*b", &why), ERR_OK);
	mixed[2] = both;
	ck_assert_int_eq(authorities_overlap(mixed, 4, &o), ERR_CONFIG);
	ck_assert(o.later == 2 && o.earlier == 0);
	for (struct authority **all = (struct authority *[]){a, b, c, d, both, NULL}; *all != NULL; all++)
		authority_unref(*all);
}
END_TEST

/* A list that lost whom it covers would be taken for one of all. */
START_TEST(is_not_made_by_halves)
{
	const char *files[] = {file_of("ca.pem", root), NULL}, *lists[] = {NULL, NULL}, *why = "";
	X509_CRL *crl = X509_CRL_new();
	X509_EXTENSION *part =
	    X509V3_EXT_conf_nid(NULL, NULL, NID_issuing_distribution_point, "onlyuser:TRUE");
	struct authority *a = NULL;
	char path[128];
	unsigned skip = 0;
	bool more = true;
	FILE *f;

	X509_CRL_set_version(crl, X509_CRL_VERSION_2);
	X509_CRL_set_issuer_name(crl, X509_get_subject_name(root));
	ck_assert_int_eq(X509_CRL_set1_lastUpdate(crl, X509_get0_notBefore(root)), 1);
	ck_assert_int_eq(X509_CRL_set1_nextUpdate(crl, X509_get0_notAfter(root)), 1);
	ck_assert_int_eq(X509_CRL_add_ext(crl, part, -1), 1);
	ck_assert_int_gt(X509_CRL_sign(crl, root_key, EVP_sha256()), 0);
	snprintf(path, sizeof(path), "%s/part.pem", dir);
	f = fopen(path, "w");
	ck_assert(PEM_write_X509_CRL(f, crl) == 1 && fclose(f) == 0);
	lists[0] = path;
	for (; more; skip++) {
		uint64_t before = alloc_failures();
		enum err e;

		fault_test_arm(FAULT_ALLOC, skip, 1);
		e = authority_new(&a, files, lists, "CN=x", &why);
		fault_test_clear();
		more = alloc_failures() != before;
		ck_assert_msg(e == (more ? ERR_NO_MEMORY : ERR_OK), "allocation %u: %s", skip, why);
	}
	ck_assert_uint_gt(skip, 100);
	authority_unref(a);
	X509_EXTENSION_free(part);
	X509_CRL_free(crl);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("authority");
	TCase *t = tcase_create("all");
	SRunner *runner = srunner_create(suite);
	int failed;

	if (alloc_install() != ERR_OK)
		return 1;
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, rules_take_subjects, 0, sizeof(takings) / sizeof(takings[0]));
	tcase_add_test(t, long_subjects_are_not_read);
	tcase_add_test(t, no_rule_takes_a_long_subject);
	tcase_add_test(t, bad_rules);
	tcase_add_loop_test(t, rules_overlap, 0, sizeof(pairs) / sizeof(pairs[0]));
	tcase_add_test(t, knows_whom_it_vouches_for);
	tcase_add_test(t, refuses_bad_chains);
	tcase_add_test(t, takes_no_weak_chain);
	tcase_add_test(t, takes_no_key_that_costs_much);
	tcase_add_test(t, asks_no_extended_usage);
	tcase_add_test(t, dates_of_the_authority_count);
	tcase_add_test(t, no_certificate_ends_in_a_leap_second);
	tcase_add_test(t, no_list_ends_in_a_leap_second);
	tcase_add_test(t, is_not_made_by_halves);
	tcase_add_test(t, far_dates);
	tcase_add_test(t, strangers_are_unknown);
	tcase_add_test(t, takes_authorities_only);
	tcase_add_test(t, overlaps_where_an_authority_is_shared);
	suite_add_tcase(suite, t);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
