/* SPDX-License-Identifier: Apache-2.0 */
/* Which client is whose, and which of the refused ones are remembered. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/x509v3.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fault.h"
#include "gate/pending.h"
#include "gate/tenant.h"

#include "certs.h"
#include "work.h"

enum { DAY = 86400, NOW = 1764000000 };

/* --- tenants and certificates --- */

static struct tenants *ts;
static struct tenant *a, *b;

static void
release(struct tenant *t)
{
	alloc_free(t);
}

static struct tenant *
new_tenant(const char *id)
{
	struct tenant *t = alloc_zero(sizeof(*t));

	t->refs = 1;
	t->release = release;
	strncpy(t->id, id, sizeof(t->id) - 1);
	ck_assert_int_eq(tenants_add(ts, t), ERR_OK);
	tenant_unref(t);
	return t;
}

static void
setup(void)
{
	clock_test_freeze(NOW);
	ts = tenants_new();
	a = new_tenant("a");
	b = new_tenant("b");
}

static void
teardown(void)
{
	tenants_unref(ts);
}

static struct pinned *
pin_of(uint8_t n, bool read_only)
{
	struct certificate_text text = {.digest = {n}, .not_after = NOW + DAY};

	return pinned_new(&text, "file", read_only, false);
}

static enum err
pin(struct tenant *t, uint8_t n, bool read_only)
{
	struct pinned *p = pin_of(n, read_only);
	enum err e = tenants_pin(ts, t, p);

	pinned_unref(p);
	return e;
}

/* Nobody has an authority here, so that only the digest counts. */
static const struct tenant *
owner(struct tenants *of, uint8_t n, bool *read_only)
{
	uint8_t sha256[TLS_DIGEST_LEN] = {n};
	const struct tls_shown shown = {.sha256 = sha256};
	struct known_client known;

	if (tenants_identify(of, &shown, &known) != TLS_KNOWN)
		return NULL;
	ck_assert(known.pinned);
	if (read_only != NULL)
		*read_only = known.read_only;
	return known.tenant;
}

START_TEST(one_certificate_one_tenant)
{
	bool read_only;

	for (int n = 0; n < 100; n++)
		ck_assert_int_eq(pin(n % 2 == 0 ? a : b, (uint8_t)(n * 37), n % 3 == 0), ERR_OK);
	for (int n = 0; n < 100; n++) {
		ck_assert_ptr_eq(owner(ts, (uint8_t)(n * 37), &read_only), n % 2 == 0 ? a : b);
		ck_assert_int_eq(read_only, n % 3 == 0);
		ck_assert_int_eq(pin(n % 2 == 0 ? b : a, (uint8_t)(n * 37), false), ERR_CONFIG);
	}
	ck_assert_ptr_null(owner(ts, 101 * 37 % 256, NULL));
}
END_TEST

START_TEST(the_lesser_right_counts)
{
	bool read_only = false;

	ck_assert_int_eq(pin(a, 1, false), ERR_OK);
	ck_assert_int_eq(pin(a, 1, true), ERR_OK);
	ck_assert_int_eq(pin(a, 1, false), ERR_OK);
	ck_assert_ptr_eq(owner(ts, 1, &read_only), a);
	ck_assert(read_only);
}
END_TEST

START_TEST(copies_are_apart)
{
	static const uint8_t one[TLS_DIGEST_LEN] = {1};
	struct tenants *copy;

	ck_assert_int_eq(pin(a, 1, false), ERR_OK);
	copy = tenants_copy(ts);
	tenants_unpin(copy, one);
	ck_assert_ptr_null(owner(copy, 1, NULL));
	ck_assert_ptr_eq(owner(ts, 1, NULL), a);
	tenants_unpin(copy, one); /* harmless */
	tenants_unref(copy);
}
END_TEST

/* What is added by command is in use at once, whoever else is there: it costs no more than a walk. */
START_TEST(one_more_of_many)
{
	struct tenants *copy;
	struct pinned *p = pin_of(1, false);
	struct certificate_text text = {.not_after = NOW + DAY};
	enum { MANY = 10000 };

	for (uint32_t n = 0; n < MANY; n++) {
		struct pinned *one;
		uint32_t mixed = 2 + (n * 2654435761u & 0xfffffffe);

		memcpy(text.digest, &mixed, sizeof(mixed));
		one = pinned_new(&text, "file", false, false);
		ck_assert_int_eq(tenants_pin(ts, a, one), ERR_OK);
		pinned_unref(one);
	}
	fault_test_arm(FAULT_ALLOC, 20, 1);
	copy = tenants_copy(ts);
	ck_assert_ptr_nonnull(copy);
	ck_assert_int_eq(tenants_pin(copy, b, p), ERR_OK);
	fault_test_clear();
	ck_assert_ptr_eq(owner(copy, 1, NULL), b);
	for (size_t n = 0; n < MANY; n++)
		ck_assert_ptr_eq(tenants_pinned(copy, tenants_pinned_at(ts, n, NULL)->sha256, NULL),
		    tenants_pinned_at(ts, n, NULL));
	pinned_unref(p);
	tenants_unref(copy);
}
END_TEST

START_TEST(last_seen_is_inherited)
{
	static const uint8_t one[TLS_DIGEST_LEN] = {1};
	struct tenants *old = ts;

	ck_assert_int_eq(pin(a, 1, false), ERR_OK);
	tenants_seen(ts, one);
	ts = tenants_new();
	a = new_tenant("a");
	ck_assert_int_eq(pin(a, 1, false), ERR_OK);
	ck_assert_int_eq(pin(a, 2, false), ERR_OK);
	ck_assert_int_eq(tenants_pinned(ts, one, NULL)->last_seen, 0);
	tenants_inherit(ts, old);
	ck_assert_int_eq(tenants_pinned(ts, one, NULL)->last_seen, NOW);
	tenants_unref(old);
}
END_TEST

/* Of two sets, each has certificates that the other one has not. */
START_TEST(last_seen_of_those_in_both)
{
	struct tenants *old = ts;
	uint8_t sha256[TLS_DIGEST_LEN] = {0};

	for (int n = 0; n < 100; n++) {
		ck_assert_int_eq(pin(a, (uint8_t)n, false), ERR_OK);
		sha256[0] = (uint8_t)n;
		if (n % 4 != 0)
			tenants_seen(ts, sha256);
	}
	ts = tenants_new();
	a = new_tenant("a");
	for (int n = 0; n < 120; n += 3)
		ck_assert_int_eq(pin(a, (uint8_t)n, false), ERR_OK);
	tenants_inherit(ts, old);
	for (int n = 0; n < 120; n += 3) {
		sha256[0] = (uint8_t)n;
		ck_assert_int_eq(tenants_pinned(ts, sha256, NULL)->last_seen,
		    n < 100 && n % 4 != 0 ? NOW : 0);
	}
	tenants_unref(old);
}
END_TEST

/* --- authorities --- */

static struct identity
new_client(const struct identity *ca, const char *name)
{
	struct identity id = identity_new(CERT_EC, name, -DAY, 10 * DAY);

	identity_sign(&id, ca);
	return id;
}

static enum tls_verdict
identify(struct tenants *of, const struct identity *id, struct known_client *known)
{
	uint8_t sha256[TLS_DIGEST_LEN];
	const struct tls_shown shown = {.sha256 = sha256, .leaf = id->cert, .proven = true};

	identity_digest(id, sha256);
	return tenants_identify(of, &shown, known);
}

START_TEST(authorities_and_rules)
{
	struct identity ca = identity_authority(), client = new_client(&ca, "vc-a-1");
	struct authority *of_a = identity_trusted(&ca, "CN=vc-a-*");
	struct authority *of_b = identity_trusted(&ca, "CN=*-1");
	struct authority *apart = identity_trusted(&ca, "CN=vc-b-*");
	const struct tenant *later, *earlier;
	const struct authority *which;
	struct tenants *copy;
	struct known_client known;

	ck_assert_int_eq(tenants_trust(ts, a, of_a), ERR_OK);
	ck_assert_int_eq(tenants_trust(ts, b, apart), ERR_OK);
	ck_assert_int_eq(tenants_check(ts, &which, &later, &earlier), ERR_OK);
	copy = tenants_copy(ts);
	ck_assert_int_eq(tenants_trust(copy, b, of_b), ERR_OK);
	ck_assert_int_eq(tenants_check(copy, &which, &later, &earlier), ERR_CONFIG);
	ck_assert_ptr_eq(which, of_b);
	ck_assert_ptr_eq(later, b);
	ck_assert_ptr_eq(earlier, a);
	tenants_unref(copy);
	for (int i = 0; i < 2; i++) { /* found out, then remembered */
		ck_assert_int_eq(identify(ts, &client, &known), TLS_KNOWN);
		ck_assert_ptr_eq(known.tenant, a);
		ck_assert(!known.pinned && !known.read_only);
		ck_assert_int_eq(known.ends, NOW + 10 * DAY);
	}
	clock_test_advance(10 * DAY * NS_PER_S - NS_PER_S);
	ck_assert_int_eq(identify(ts, &client, &known), TLS_KNOWN);
	clock_test_advance(NS_PER_S); /* what is remembered does not outlive the certificate */
	ck_assert_int_eq(identify(ts, &client, &known), TLS_BAD_CHAIN);
	clock_test_jump(-20 * DAY * NS_PER_S, 0); /* nor does it begin before it */
	ck_assert_int_eq(identify(ts, &client, &known), TLS_BAD_CHAIN);
	authority_unref(of_a);
	authority_unref(of_b);
	authority_unref(apart);
	identity_free(&ca);
	identity_free(&client);
}
END_TEST

/* What no comparison of rules can tell beforehand: the authority of one signed that of another. */
START_TEST(fits_two_tenants)
{
	struct identity root = identity_authority(), ca = identity_authority(), client;
	struct authority *of_a, *of_b;
	struct known_client known;
	uint8_t sha256[TLS_DIGEST_LEN];
	struct tls_shown shown = {.sha256 = sha256};
	STACK_OF(X509) *both = sk_X509_new_null();

	X509_NAME_add_entry_by_txt(X509_get_subject_name(ca.cert), "O", MBSTRING_UTF8,
	    (const unsigned char *)"sub", -1, -1, 0);
	ck_assert_int_gt(X509_sign(ca.cert, root.key, EVP_sha256()), 0);
	client = new_client(&ca, "vc-1");
	of_a = identity_trusted(&root, "CN=vc*");
	of_b = identity_trusted(&ca, "CN=*-1");
	ck_assert_int_eq(tenants_trust(ts, a, of_a), ERR_OK);
	ck_assert_int_eq(tenants_trust(ts, b, of_b), ERR_OK);
	shown.leaf = client.cert;
	sk_X509_push(both, ca.cert);
	identity_digest(&client, sha256);
	for (int i = 0; i < 6; i++) { /* from the third on there is the proof, and something to remember */
		shown.proven = i >= 3;
		shown.chain = i % 2 == 0 ? both : NULL; /* without the one in the middle it fits b alone */
		ck_assert_int_eq(tenants_identify(ts, &shown, &known),
		    i % 2 == 0 ? TLS_AMBIGUOUS : TLS_KNOWN);
		if (i % 2 == 1)
			ck_assert_ptr_eq(known.tenant, b);
	}
	sk_X509_free(both);
	authority_unref(of_a);
	authority_unref(of_b);
	identity_free(&root);
	identity_free(&ca);
	identity_free(&client);
}
END_TEST

/* --- without memory --- */

/* Each with extensions that were not read yet, as what comes with a handshake has. */
static struct tls_shown
fresh(const struct tls_shown *of)
{
	struct tls_shown s = *of;

	s.leaf = X509_dup(of->leaf);
	s.chain = of->chain != NULL ? X509_chain_up_ref(of->chain) : NULL;
	for (int i = 0; s.chain != NULL && i < sk_X509_num(s.chain); i++) {
		X509 *x = sk_X509_value(s.chain, i);

		(void)sk_X509_set(s.chain, i, X509_dup(x));
		X509_free(x);
	}
	return s;
}

/* Whatever memory lacks for. */
static void
expect_or_no_memory(const struct tls_shown *of, enum tls_verdict expected)
{
	struct known_client known;
	unsigned lacked = 0;
	bool more = true;

	for (unsigned skip = 0; more; skip++) {
		struct tls_shown shown = fresh(of);
		uint64_t before = alloc_failures();
		enum tls_verdict v;

		fault_test_arm(FAULT_ALLOC, skip, 1);
		v = tenants_identify(ts, &shown, &known);
		fault_test_clear();
		more = alloc_failures() != before;
		lacked += more && v == TLS_NO_MEMORY;
		ck_assert_msg(v == expected || (more && v == TLS_NO_MEMORY), "allocation %u: %s", skip,
		    tls_verdict_text(v));
		X509_free(shown.leaf);
		sk_X509_pop_free(shown.chain, X509_free);
	}
	ck_assert_uint_gt(lacked, 20);
}

/* A client is not refused for what it is not, nor let in as it fits one of two. */
START_TEST(no_memory_is_no_verdict)
{
	struct identity root = identity_authority(), ca = identity_authority(), client;
	struct authority *of_a = identity_trusted(&root, "CN=vc*"), *of_b;
	uint8_t sha256[TLS_DIGEST_LEN];
	struct tls_shown shown = {.sha256 = sha256};
	STACK_OF(X509) *chain = sk_X509_new_null();

	X509_NAME_add_entry_by_txt(X509_get_subject_name(ca.cert), "O", MBSTRING_UTF8,
	    (const unsigned char *)"sub", -1, -1, 0);
	identity_sign(&ca, &root);
	client = new_client(&ca, "vc-1");
	identity_digest(&client, sha256);
	shown.leaf = client.cert;
	sk_X509_push(chain, ca.cert);
	shown.chain = chain;
	ck_assert_int_eq(tenants_trust(ts, a, of_a), ERR_OK);
	expect_or_no_memory(&shown, TLS_KNOWN);
	of_b = identity_trusted(&ca, "CN=*-1");
	ck_assert_int_eq(tenants_trust(ts, b, of_b), ERR_OK);
	expect_or_no_memory(&shown, TLS_AMBIGUOUS);
	sk_X509_free(chain);
	authority_unref(of_a);
	authority_unref(of_b);
	identity_free(&root);
	identity_free(&ca);
	identity_free(&client);
}
END_TEST

/* --- what a stranger costs --- */

static unsigned
work_to_identify(const struct identity *id)
{
	struct known_client known;
	unsigned before;

	(void)identify(ts, id, &known); /* what OpenSSL keeps is there then */
	before = work_done();
	ck_assert_int_eq(identify(ts, id, &known), TLS_UNKNOWN);
	return work_done() - before;
}

/* Judged each time until the key was proven; then for that chain, with the leaf in it or without. */
START_TEST(remembers_what_was_proven)
{
	struct identity ca = identity_authority(), client = new_client(&ca, "vc-1");
	struct authority *of_a = identity_trusted(&ca, "CN=vc*");
	STACK_OF(X509) *chain = sk_X509_new_null();
	uint8_t sha256[TLS_DIGEST_LEN];
	struct tls_shown shown = {.sha256 = sha256, .leaf = client.cert, .chain = chain};
	unsigned judged[3], remembered = 0, before;
	struct tenants *copy;
	struct known_client known;

	ck_assert_int_eq(tenants_trust(ts, a, of_a), ERR_OK);
	identity_digest(&client, sha256);
	sk_X509_push(chain, client.cert);
	for (int i = 0; i < 3; i++) {
		shown.proven = i == 2;
		before = work_done();
		ck_assert_int_eq(tenants_identify(ts, &shown, &known), TLS_KNOWN);
		judged[i] = work_done() - before;
	}
	ck_assert_uint_ge(judged[2], judged[1]);
	shown.proven = false;
	for (int i = 0; i < 2; i++) {
		shown.chain = i == 0 ? chain : NULL;
		before = work_done();
		ck_assert_int_eq(tenants_identify(ts, &shown, &known), TLS_KNOWN);
		ck_assert_ptr_eq(known.tenant, a);
		remembered = work_done() - before;
		ck_assert_uint_lt(remembered, judged[1] / 2);
	}
	copy = tenants_copy(ts); /* a copy remembers it, until authorities are added */
	before = work_done();
	ck_assert_int_eq(tenants_identify(copy, &shown, &known), TLS_KNOWN);
	ck_assert_uint_eq(work_done() - before, remembered);
	ck_assert_int_eq(tenants_trust(copy, b, of_a), ERR_OK);
	ck_assert_int_eq(tenants_identify(copy, &shown, &known), TLS_AMBIGUOUS);
	tenants_unref(copy);
	sk_X509_free(chain);
	authority_unref(of_a);
	identity_free(&ca);
	identity_free(&client);
}
END_TEST

/* Nobody is known by now: the work that a subject makes must not grow with the tenants. */
START_TEST(subjects_are_converted_once)
{
	static const char *const rules[] = {"subject=CN=client%d,O=Acme,C=US", "CN=client%d"};
	struct identity ca = identity_authority(), other = identity_new(CERT_EC, "stranger", -DAY, DAY);
	unsigned few = 0;
	char rule[64];

	for (int i = 0; i < 60; i++) {
		struct authority *au;

		snprintf(rule, sizeof(rule), rules[_i], i);
		au = identity_trusted(&ca, rule);
		ck_assert_int_eq(tenants_trust(ts, a, au), ERR_OK);
		authority_unref(au);
		if (i == 0)
			few = work_to_identify(&other);
	}
	ck_assert_uint_gt(few, 0);
	ck_assert_uint_eq(work_to_identify(&other), few);
	identity_free(&ca);
	identity_free(&other);
}
END_TEST

/* --- pending --- */

static struct pending *pending;
static struct identity stranger;

static void
begin_pending(void)
{
	clock_test_freeze(NOW);
	pending = pending_new();
	stranger = identity_new(CERT_EC, "stranger", -DAY, DAY);
}

static void
end_pending(void)
{
	pending_free(pending);
	identity_free(&stranger);
}

/* The certificate is always the same one; the digest alone tells entries apart. */
static void
refuse(uint32_t n, const char *address)
{
	struct tls_peer peer = {.verdict = TLS_UNKNOWN, .have_digest = true,
	    .proven = stranger.cert};

	memcpy(peer.sha256, &n, sizeof(n));
	pending_note(pending, &peer, address);
}

static const struct pending_entry *
entry(uint32_t n)
{
	uint8_t sha256[TLS_DIGEST_LEN] = {0};

	memcpy(sha256, &n, sizeof(n));
	return pending_find(pending, sha256);
}

static size_t
how_many(void)
{
	size_t n = 0;

	while (pending_at(pending, n) != NULL)
		n++;
	return n;
}

START_TEST(only_what_was_proven)
{
	struct tls_peer peer = {.verdict = TLS_UNKNOWN, .have_digest = true};

	pending_note(pending, &peer, "192.0.2.1:1");
	ck_assert_uint_eq(how_many(), 0);
}
END_TEST

START_TEST(notes_who_and_how_often)
{
	static const char *const from[] = {"192.0.2.1:1", "192.0.2.2:1", "[2001:db8::1]:1",
	    "192.0.2.3:1", "192.0.2.1:99", "192.0.2.4:1"};
	const struct pending_entry *en;

	for (size_t i = 0; i < sizeof(from) / sizeof(from[0]); i++) {
		refuse(7, from[i]);
		clock_test_advance(NS_PER_S);
	}
	en = entry(7);
	ck_assert_ptr_nonnull(en);
	ck_assert_uint_eq(en->count, 6);
	ck_assert_int_eq(en->first, NOW);
	ck_assert_int_eq(en->last, NOW + 5);
	ck_assert_int_eq(en->why, TLS_UNKNOWN);
	ck_assert_str_eq(en->addresses[0], "192.0.2.4");
	ck_assert_str_eq(en->addresses[1], "192.0.2.1");
	ck_assert_str_eq(en->addresses[2], "192.0.2.3");
	ck_assert_str_eq(en->addresses[3], "2001:db8::1");
	pending_forget(pending, en->sha256);
	ck_assert_ptr_null(entry(7));
	ck_assert_uint_eq(how_many(), 0);
}
END_TEST

START_TEST(a_network_pushes_out_its_own_only)
{
	char address[64];

	refuse(1, "192.0.2.1:1");
	refuse(2, "[2001:db8:1::1]:1");
	for (uint32_t n = 0; n < 1000; n++) {
		snprintf(address, sizeof(address), "[2001:db8:2::%x]:1", n);
		refuse(100 + n, n % 2 == 0 ? "198.51.100.1:1" : address);
	}
	ck_assert_uint_eq(how_many(), 2 + 2 * PENDING_PER_NETWORK);
	ck_assert_ptr_nonnull(entry(1));
	ck_assert_ptr_nonnull(entry(2));
	for (uint32_t n = 1099; n > 1099 - 2 * PENDING_PER_NETWORK; n--)
		ck_assert_ptr_nonnull(entry(n)); /* the newest of those are there */
}
END_TEST

START_TEST(many_networks_push_out_the_crowded_first)
{
	char address[64];

	refuse(1, "192.0.2.1:1");
	for (uint32_t n = 0; n < 60; n++) { /* more than there is room for */
		snprintf(address, sizeof(address), "198.51.100.%u:1", n);
		refuse(1000 + 2 * n, address);
		refuse(1001 + 2 * n, address);
	}
	ck_assert_uint_eq(how_many(), PENDING_MAX);
	ck_assert_ptr_nonnull(entry(1));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("trust");
	TCase *sets = tcase_create("sets"), *refused = tcase_create("pending");
	SRunner *runner = srunner_create(suite);
	int failed;

	if (!work_count())
		return 1;
	tcase_add_checked_fixture(sets, setup, teardown);
	tcase_add_test(sets, one_certificate_one_tenant);
	tcase_add_test(sets, the_lesser_right_counts);
	tcase_add_test(sets, copies_are_apart);
	tcase_add_test(sets, one_more_of_many);
	tcase_add_test(sets, last_seen_is_inherited);
	tcase_add_test(sets, last_seen_of_those_in_both);
	tcase_add_test(sets, authorities_and_rules);
	tcase_add_test(sets, fits_two_tenants);
	tcase_add_test(sets, no_memory_is_no_verdict);
	tcase_add_test(sets, remembers_what_was_proven);
	tcase_add_loop_test(sets, subjects_are_converted_once, 0, 2);
	tcase_add_checked_fixture(refused, begin_pending, end_pending);
	tcase_add_test(refused, only_what_was_proven);
	tcase_add_test(refused, notes_who_and_how_often);
	tcase_add_test(refused, a_network_pushes_out_its_own_only);
	tcase_add_test(refused, many_networks_push_out_the_crowded_first);
	suite_add_tcase(suite, sets);
	suite_add_tcase(suite, refused);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
