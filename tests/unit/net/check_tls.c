/* SPDX-License-Identifier: Apache-2.0 */
/* What the server's TLS settings accept, and whom the handshake lets in. */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/secret.h"
#include "base/clock.h"
#include "base/fault.h"
#include "net/certificate.h"

#include "rig.h"

enum { TURNS = 12 };

static struct rig rig;

static enum tls_verdict
know_nobody(void *arg, const struct tls_shown *shown, bool *ignore_dates)
{
	(void)arg, (void)shown, (void)ignore_dates;
	return TLS_UNKNOWN;
}

static void
with_both(void)
{
	rig_init(&rig, &(struct rig_options){.keys = KEYS_BOTH});
}

static void
done(void)
{
	rig_fini(&rig);
}

/* --- loading --- */

static enum err
load(const char *cert, const char *key, const char **why)
{
	const char *certs[] = {cert, NULL}, *keys[] = {key, NULL};
	struct tls_params p = {.certificates = certs, .private_keys = keys, .check = know_nobody};
	struct tls_server *t = NULL;
	enum err e = tls_server_new(&t, &p, why);

	ck_assert((e == ERR_OK) == (t != NULL));
	tls_server_unref(t);
	return e;
}

static void
expect_refusal(const char *cert, const char *key, enum err want, const char *name,
    const char *remedy)
{
	const char *why = "";

	ck_assert_int_eq(load(cert, key, &why), want);
	ck_assert_msg(strstr(why, name) != NULL, "no \"%s\" in: %s", name, why);
	ck_assert_msg(strstr(why, remedy) != NULL, "no \"%s\" in: %s", remedy, why);
}

static void
write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	fputs(text, f);
	fclose(f);
	chmod(path, 0600);
}

START_TEST(refuses_bad_files)
{
	const char *cert = rig_path(&rig, "ec.pem"), *key = rig_path(&rig, "ec.key");
	const char *junk = rig_path(&rig, "junk"), *other = rig_path(&rig, "rsa.key");
	const char *locked = rig_path(&rig, "locked.key"), *why;

	ck_assert_int_eq(load(cert, key, &why), ERR_OK);
	expect_refusal("/nonexistent/a.pem", key, ERR_IO, "/nonexistent/a.pem", "does not exist");
	expect_refusal(rig.dir, key, ERR_CONFIG, rig.dir, "regular file");
	expect_refusal(cert, other, ERR_CONFIG, other, "same order");
	write_text(junk, "hello\n");
	expect_refusal(junk, key, ERR_CONFIG, junk, "BEGIN CERTIFICATE");
	expect_refusal(cert, junk, ERR_CONFIG, junk, "no private key");
	write_text(junk, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
	expect_refusal(junk, key, ERR_CONFIG, junk, "damaged");
	identity_write_key(&rig.server_ec, locked, "secret");
	expect_refusal(cert, locked, ERR_CONFIG, locked, "openssl pkey");
}
END_TEST

/* OpenSSL goes on without what it had no memory for: then a kind of client would be refused. */
START_TEST(refuses_to_be_made_by_halves)
{
	const char *cert = rig_path(&rig, "ec.pem"), *key = rig_path(&rig, "ec.key"), *why;
	uint64_t failures = 0, before;

	ck_assert_int_eq(load(cert, key, &why), ERR_OK);
	for (unsigned skip = 0;; skip += 7) {
		enum err e;

		before = alloc_failures();
		fault_test_arm(FAULT_ALLOC, skip, 1);
		e = load(cert, key, &why);
		fault_test_clear();
		if (alloc_failures() == before) {
			ck_assert_int_eq(e, ERR_OK);
			break;
		}
		failures++;
		ck_assert_msg(e != ERR_OK, "allocation %u", skip);
	}
	ck_assert_uint_gt(failures, 100);
}
END_TEST

START_TEST(refuses_a_certificate_open_to_others)
{
	const char *cert = rig_path(&rig, "open.pem"), *key = rig_path(&rig, "ec.key");

	identity_write_cert(&rig.server_ec, cert);
	chmod(cert, 0664);
	expect_refusal(cert, key, ERR_CONFIG, cert, "chmod go-w");
}
END_TEST

/* A key's file is never in ordinary memory, not even while it is read. */
START_TEST(reads_keys_into_the_secure_heap)
{
	const char *cert = rig_path(&rig, "ec.pem"), *key = rig_path(&rig, "ec.key"), *why;

	fault_test_arm(FAULT_SECRET_ALLOC, 0, 1);
	expect_refusal(cert, key, ERR_NO_SECURE_MEMORY, key, "no room in the secure heap");
	ck_assert_int_eq(load(cert, key, &why), ERR_OK);
}
END_TEST

START_TEST(refuses_extensions_it_cannot_read)
{
	const char *cert = rig_path(&rig, "spoilt.pem"), *key = rig_path(&rig, "spoilt.key");
	struct identity id = identity_new(CERT_EC, "spoilt", -60, 3600);

	identity_spoil(&id);
	identity_write_cert(&id, cert);
	identity_write_key(&id, key, NULL);
	expect_refusal(cert, key, ERR_CONFIG, cert, "extensions");
	identity_free(&id);
}
END_TEST

START_TEST(refuses_a_key_open_to_others)
{
	static const mode_t modes[] = {0640, 0604, 0620, 0602, 0610};
	const char *cert = rig_path(&rig, "ec.pem"), *key = rig_path(&rig, "ec.key");

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		chmod(key, modes[i]);
		expect_refusal(cert, key, ERR_CONFIG, key, "chmod 0600");
	}
}
END_TEST

START_TEST(takes_a_key_from_a_credential)
{
	const char *cert = rig_path(&rig, "ec.pem"), *key = rig_path(&rig, "ec.key"), *why;

	chmod(key, 0440);
	expect_refusal(cert, "credential:ec.key", ERR_CONFIG, "credential:ec.key",
	    "CREDENTIALS_DIRECTORY");
	setenv("CREDENTIALS_DIRECTORY", rig.dir, 1);
	ck_assert_int_eq(load(cert, "credential:ec.key", &why), ERR_OK);
	ck_assert_int_eq(load("credential:ec.pem", "credential:ec.key", &why), ERR_OK);
	chmod(key, 0444);
	expect_refusal(cert, "credential:ec.key", ERR_CONFIG, "credential:ec.key", "chmod 0600");
	expect_refusal(cert, "credential:no.key", ERR_CONFIG, "credential:no.key", "does not exist");
	unsetenv("CREDENTIALS_DIRECTORY");
}
END_TEST

START_TEST(refuses_lists_that_do_not_match)
{
	const char *cert = rig_path(&rig, "ec.pem"), *key = rig_path(&rig, "ec.key"), *why = "";
	const char *two_certs[] = {cert, cert, NULL}, *two_keys[] = {key, key, NULL};
	const char *one_key[] = {key, NULL}, *one_cert[] = {cert, NULL}, *none[] = {NULL};
	struct tls_params p = {.certificates = two_certs, .private_keys = two_keys,
	    .check = know_nobody};
	struct tls_server *t = NULL;

	ck_assert_int_eq(tls_server_new(&t, &p, &why), ERR_CONFIG);
	ck_assert_ptr_nonnull(strstr(why, "same key type"));
	p.private_keys = one_key;
	ck_assert_int_eq(tls_server_new(&t, &p, &why), ERR_CONFIG);
	ck_assert_ptr_nonnull(strstr(why, "no private key beside it"));
	p.certificates = one_cert;
	p.private_keys = two_keys;
	ck_assert_int_eq(tls_server_new(&t, &p, &why), ERR_CONFIG);
	ck_assert_ptr_nonnull(strstr(why, "no certificate beside it"));
	p.certificates = p.private_keys = none;
	ck_assert_int_eq(tls_server_new(&t, &p, &why), ERR_CONFIG);
	ck_assert_ptr_null(t);
}
END_TEST

START_TEST(tells_its_certificates)
{
	uint8_t want[TLS_DIGEST_LEN];
	const struct certificate_text *got = tls_server_certificate(rig.tls, 0);

	identity_digest(&rig.server_ec, want);
	ck_assert_ptr_nonnull(got);
	ck_assert_mem_eq(got->digest, want, sizeof(want));
	ck_assert_int_eq(got->not_after, clock_wall() + 365 * 86400);
	identity_digest(&rig.server_rsa, want);
	got = tls_server_certificate(rig.tls, 1);
	ck_assert_ptr_nonnull(got);
	ck_assert_mem_eq(got->digest, want, sizeof(want));
	ck_assert_ptr_null(tls_server_certificate(rig.tls, 2));
}
END_TEST

/* --- the matrix: who, with which version, against which key --- */

struct expectation {
	enum who who;
	bool ignore_dates, accepted, proven;
	enum stream_end end;
	enum tls_verdict verdict;
	int reason12, reason13; /* what the client's OpenSSL says about our alert */
};

static const struct expectation expectations[] = {
    {WHO_RIGHT, false, true, false, STREAM_EOF, TLS_KNOWN, 0, 0},
    {WHO_RIGHT_RSA, false, true, false, STREAM_EOF, TLS_KNOWN, 0, 0},
    {WHO_NONE, false, false, false, STREAM_REFUSED, TLS_NONE,
	SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE, SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED},
    {WHO_UNKNOWN, false, false, true, STREAM_REFUSED, TLS_UNKNOWN, SSL_R_TLSV1_ALERT_UNKNOWN_CA,
	SSL_R_TLSV1_ALERT_UNKNOWN_CA},
    {WHO_UNKNOWN, true, false, true, STREAM_REFUSED, TLS_UNKNOWN, SSL_R_TLSV1_ALERT_UNKNOWN_CA,
	SSL_R_TLSV1_ALERT_UNKNOWN_CA},
    {WHO_EXPIRED, false, false, true, STREAM_REFUSED, TLS_EXPIRED,
	SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED},
    {WHO_EXPIRED, true, true, false, STREAM_EOF, TLS_KNOWN, 0, 0},
    {WHO_EARLY, false, false, true, STREAM_REFUSED, TLS_NOT_YET_VALID,
	SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED},
    {WHO_EARLY, true, true, false, STREAM_EOF, TLS_KNOWN, 0, 0},
    {WHO_IMPOSTOR, false, false, false, STREAM_TLS_ERROR, TLS_KNOWN,
	SSL_R_TLSV1_ALERT_DECRYPT_ERROR, SSL_R_TLSV1_ALERT_DECRYPT_ERROR},
    {WHO_FORGER, false, false, false, STREAM_REFUSED, TLS_UNKNOWN,
	SSL_R_TLSV1_ALERT_DECRYPT_ERROR, SSL_R_TLSV1_ALERT_DECRYPT_ERROR},
};
enum { EXPECTATIONS = sizeof(expectations) / sizeof(expectations[0]) };

static void
meet(const struct expectation *x, int version)
{
	struct served d = {0};
	struct client c;
	uint8_t digest[TLS_DIGEST_LEN];
	struct tls_shown shown;

	rig.ignore_dates = x->ignore_dates;
	rig.checks = 0;
	rig_connect(&rig, &d, &c, &(struct client_options){.version = version, .who = x->who});
	rig_pump(&rig, &c, TURNS);
	ck_assert_ptr_nonnull(SSL_get0_peer_certificate(c.ssl)); /* refused or not, it saw ours */
	ck_assert_uint_eq(d.ready, x->accepted);
	if (x->accepted) {
		ck_assert(stream_shown(d.s, &shown) && shown.proven);
		ck_assert_str_eq(d.version, version == TLS1_3_VERSION ? "TLSv1.3" : "TLSv1.2");
		client_send(&c, "hello", 5);
		rig_pump(&rig, &c, 3);
		ck_assert_uint_eq(d.got.len, 5);
		ck_assert(!c.ended);
	} else {
		ck_assert(c.ended && !c.broken);
		/* in TLS 1.3 a client cannot know yet; in 1.2 it never saw our Finished */
		ck_assert(version == TLS1_3_VERSION || !SSL_is_init_finished(c.ssl));
		ck_assert_int_eq(c.reason, version == TLS1_3_VERSION ? x->reason13 : x->reason12);
		ck_assert_uint_eq(d.closed, 0); /* lingers until the client has read the alert */
	}
	client_leave(&c);
	rig_pump(&rig, &c, 3);
	ck_assert_uint_eq(d.closed, 1);
	ck_assert_int_eq(d.end, x->end);
	ck_assert_int_eq(d.peer.verdict, x->verdict);
	ck_assert(d.proven == x->proven);
	ck_assert(d.peer.have_digest == (x->who != WHO_NONE));
	ck_assert_uint_eq(rig.checks, x->who != WHO_NONE);
	if (x->who != WHO_NONE) {
		identity_digest(&rig.ids[x->who], digest);
		ck_assert_mem_eq(d.peer.sha256, digest, sizeof(digest));
		ck_assert_ptr_nonnull(strstr(d.peer.subject, "CN="));
	}
	served_fini(&d);
	client_fini(&c);
}

static void
matrix(enum server_keys keys, int i)
{
	rig_init(&rig, &(struct rig_options){.keys = keys});
	meet(&expectations[i % EXPECTATIONS],
	    i < EXPECTATIONS ? TLS1_2_VERSION : TLS1_3_VERSION);
	rig_fini(&rig);
}

/* A proof that would cost much is not waited for; up to 32 bits of exponent it costs little. */
START_TEST(does_not_wait_for_a_costly_proof)
{
	static const uint64_t exponents[] = {4294967295, 4294967297}; /* of 32 bits, of 33 */
	struct expectation x = {WHO_UNKNOWN, false, false, _i / 2 == 0, STREAM_REFUSED, TLS_UNKNOWN,
	    SSL_R_TLSV1_ALERT_UNKNOWN_CA, SSL_R_TLSV1_ALERT_UNKNOWN_CA};

	identity_free(&rig.ids[WHO_UNKNOWN]);
	rig.ids[WHO_UNKNOWN] = identity_of_exponent(exponents[_i / 2], "costly", -86400, 86400);
	meet(&x, _i % 2 == 0 ? TLS1_2_VERSION : TLS1_3_VERSION);
}
END_TEST

/* That a certificate was accepted a moment ago is good for nothing but memory. */
START_TEST(asks_everybody_anew)
{
	static const enum who order[] = {WHO_RIGHT, WHO_RIGHT_RSA, WHO_IMPOSTOR, WHO_RIGHT};
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

	for (size_t i = 0; i < 2 * sizeof(order) / sizeof(order[0]); i++)
		for (size_t x = 0; x < EXPECTATIONS; x++)
			if (expectations[x].who == order[i / 2])
				meet(&expectations[x], versions[i % 2]);
	for (size_t x = EXPECTATIONS; x > 0; x--) /* an expired one is let in, then not */
		if (expectations[x - 1].who == WHO_EXPIRED)
			meet(&expectations[x - 1], TLS1_3_VERSION);
}
END_TEST

START_TEST(lets_in_whom_it_knows_ec)
{
	matrix(KEYS_EC, _i);
}
END_TEST

START_TEST(lets_in_whom_it_knows_rsa)
{
	matrix(KEYS_RSA, _i);
}
END_TEST

/* --- versions and suites --- */

static int
try(const struct client_options *o, struct client *c, struct served *d)
{
	*d = (struct served){0};
	rig_connect(&rig, d, c, o);
	rig_pump(&rig, c, TURNS);
	return d->ready == 1;
}

static bool
connects(const struct client_options *o, const char *suite)
{
	struct served d;
	struct client c;
	bool ok = try(o, &c, &d);

	if (ok && suite != NULL)
		ck_assert_str_eq(SSL_get_cipher_name(c.ssl), suite);
	client_fini(&c);
	served_fini(&d);
	loop_turn(rig.loop, false);
	return ok;
}

START_TEST(serves_both_keys_and_modern_suites)
{
	struct client_options o = {.version = TLS1_2_VERSION, .who = WHO_RIGHT};

	ck_assert(connects(&o, "ECDHE-ECDSA-AES256-GCM-SHA384"));
	o.suites = "ECDHE-RSA-AES128-GCM-SHA256";
	ck_assert(connects(&o, o.suites));
	o.suites = "ECDHE-RSA-CHACHA20-POLY1305:ECDHE-RSA-AES256-GCM-SHA384";
	ck_assert(connects(&o, "ECDHE-RSA-AES256-GCM-SHA384")); /* the server's preference */
	o.suites = "AES128-SHA256:AES256-SHA:ECDHE-RSA-AES128-SHA";
	ck_assert(!connects(&o, NULL));
}
END_TEST

/* What whoever has the server's key later can read, what is malleable, and what proves nothing. */
static bool
is_weak(const SSL_CIPHER *suite)
{
	int kx = SSL_CIPHER_get_kx_nid(suite), auth = SSL_CIPHER_get_auth_nid(suite);

	return (kx != NID_kx_ecdhe && kx != NID_kx_dhe) || !SSL_CIPHER_is_aead(suite) ||
	    (auth != NID_auth_rsa && auth != NID_auth_ecdsa);
}

static void
expect_no_shared_suite(const char *suite)
{
	struct client_options o = {.version = TLS1_2_VERSION, .who = WHO_RIGHT, .suites = suite};
	struct served d;
	struct client c;

	ck_assert_msg(!try(&o, &c, &d), "%s", suite);
	ck_assert_msg(c.reason == SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE, "%s: %d", suite, c.reason);
	client_leave(&c);
	rig_pump(&rig, &c, 2);
	ck_assert_int_eq(d.end, STREAM_TLS_ERROR);
	ck_assert_msg(strcmp(d.why, "no shared cipher") == 0, "%s: %s", suite, d.why);
	client_fini(&c);
	served_fini(&d);
}

/* Each of all that OpenSSL knows; a client without a PSK or a password offers none of those. */
START_TEST(refuses_every_weak_suite)
{
	struct client_options o = {.version = TLS1_2_VERSION, .who = WHO_RIGHT,
	    .suites = "ALL:COMPLEMENTOFALL:@SECLEVEL=0"};
	unsigned static_keys = 0, cbc = 0, nameless = 0;
	STACK_OF(SSL_CIPHER) *all;
	struct client c;
	int fd[2];

	rig_pair(fd, false);
	client_start(&c, &rig, fd[0], &o);
	all = SSL_get1_supported_ciphers(c.ssl);
	for (int i = 0; i < sk_SSL_CIPHER_num(all); i++) {
		const SSL_CIPHER *suite = sk_SSL_CIPHER_value(all, i);

		if (!is_weak(suite))
			continue;
		static_keys += SSL_CIPHER_get_kx_nid(suite) == NID_kx_rsa && SSL_CIPHER_is_aead(suite);
		cbc += !SSL_CIPHER_is_aead(suite);
		nameless += SSL_CIPHER_get_auth_nid(suite) == NID_auth_null;
		expect_no_shared_suite(SSL_CIPHER_get_name(suite));
	}
	ck_assert(static_keys > 0 && cbc > 0 && nameless > 0);
	sk_SSL_CIPHER_free(all);
	client_fini(&c);
	close(fd[1]);
}
END_TEST

START_TEST(serves_old_suites_on_request)
{
	static const char *const old[] = {"AES128-SHA256", "AES256-SHA256", "AES128-SHA",
	    "AES256-SHA", "ECDHE-RSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384"};
	struct client_options o = {.version = TLS1_2_VERSION, .who = WHO_RIGHT_RSA};

	rig_init(&rig, &(struct rig_options){.keys = KEYS_BOTH, .legacy_cbc = true});
	for (size_t i = 0; i < sizeof(old) / sizeof(old[0]); i++) {
		o.suites = old[i];
		ck_assert_msg(connects(&o, old[i]), "%s", old[i]);
	}
	o.suites = "AES128-SHA:ECDHE-ECDSA-AES256-GCM-SHA384"; /* still the last resort */
	ck_assert(connects(&o, "ECDHE-ECDSA-AES256-GCM-SHA384"));
	rig_fini(&rig);
}
END_TEST

static void
expect_version_alert(int version)
{
	struct client_options o = {.version = version, .who = WHO_RIGHT};
	struct served d;
	struct client c;

	ck_assert(!try(&o, &c, &d));
	ck_assert_int_eq(c.reason, SSL_R_TLSV1_ALERT_PROTOCOL_VERSION);
	client_leave(&c);
	rig_pump(&rig, &c, 2);
	ck_assert_int_eq(d.end, STREAM_TLS_ERROR);
	ck_assert_str_eq(d.why, "unsupported protocol");
	client_fini(&c);
	served_fini(&d);
}

START_TEST(refuses_old_versions)
{
	expect_version_alert(TLS1_1_VERSION);
}
END_TEST

START_TEST(refuses_12_when_told_to)
{
	struct client_options o = {.version = TLS1_3_VERSION, .who = WHO_RIGHT};

	rig_init(&rig, &(struct rig_options){.keys = KEYS_EC, .min_version_13 = true});
	expect_version_alert(TLS1_2_VERSION);
	ck_assert(connects(&o, NULL));
	rig_fini(&rig);
}
END_TEST

/* What resumption would need is never given out. */
START_TEST(resumes_nothing)
{
	struct client_options o = {.version = _i == 0 ? TLS1_2_VERSION : TLS1_3_VERSION,
	    .who = WHO_RIGHT};
	struct served d[2];
	struct client c[2];
	int fd[2];

	ck_assert(try(&o, &c[0], &d[0]));
	ck_assert(!SSL_SESSION_is_resumable(SSL_get0_session(c[0].ssl)));
	d[1] = (struct served){0};
	rig_pair(fd, false);
	served_start(&d[1], &rig, fd[0]);
	client_start(&c[1], &rig, fd[1], &o);
	SSL_set_session(c[1].ssl, SSL_get0_session(c[0].ssl));
	rig_pump(&rig, &c[1], TURNS);
	ck_assert_uint_eq(d[1].ready, 1);
	ck_assert_int_eq(SSL_session_reused(c[1].ssl), 0);
	for (int i = 0; i < 2; i++) {
		client_fini(&c[i]);
		served_fini(&d[i]);
	}
}
END_TEST

/* A long chain beside the leaf costs memory and is nothing we need. */
START_TEST(bounds_the_clients_chain)
{
	struct served d = {0};
	struct client c;

	rig_connect(&rig, &d, &c, &(struct client_options){.version = TLS1_2_VERSION,
	    .who = WHO_RIGHT});
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(SSL_add1_chain_cert(c.ssl, rig.ids[WHO_RIGHT_RSA].cert), 1);
	rig_pump(&rig, &c, 3 * TURNS);
	ck_assert_uint_eq(d.ready, 0);
	ck_assert_uint_eq(rig.checks, 0);
	client_leave(&c);
	rig_pump(&rig, &c, 2);
	ck_assert_int_eq(d.end, STREAM_TLS_ERROR);
	client_fini(&c);
	served_fini(&d);
}
END_TEST

START_TEST(outlives_its_owner_while_sessions_hold_it)
{
	struct client_options o = {.who = WHO_RIGHT};
	struct served d = {0};
	struct client c;

	rig_connect(&rig, &d, &c, &o);
	tls_server_unref(rig.tls); /* a reload */
	rig.tls = NULL;
	rig_pump(&rig, &c, TURNS);
	ck_assert_uint_eq(d.ready, 1);
	client_fini(&c);
	served_fini(&d);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("tls");
	TCase *both = tcase_create("both keys"), *own = tcase_create("keys of their own");
	SRunner *runner = srunner_create(suite);
	bool locked;
	int failed;

	signal(SIGPIPE, SIG_IGN);
	if (alloc_install() != ERR_OK || secret_heap_init(1 << 20, true, &locked) != ERR_OK)
		abort();
	tcase_add_checked_fixture(both, with_both, done);
	tcase_set_timeout(both, 60);
	tcase_set_timeout(own, 60);
	tcase_add_test(both, refuses_bad_files);
	tcase_add_test(both, refuses_to_be_made_by_halves);
	tcase_add_test(both, refuses_a_certificate_open_to_others);
	tcase_add_test(both, reads_keys_into_the_secure_heap);
	tcase_add_test(both, refuses_extensions_it_cannot_read);
	tcase_add_test(both, refuses_a_key_open_to_others);
	tcase_add_test(both, takes_a_key_from_a_credential);
	tcase_add_test(both, refuses_lists_that_do_not_match);
	tcase_add_test(both, tells_its_certificates);
	tcase_add_test(both, serves_both_keys_and_modern_suites);
	tcase_add_test(both, refuses_every_weak_suite);
	tcase_add_test(both, refuses_old_versions);
	tcase_add_loop_test(both, resumes_nothing, 0, 2);
	tcase_add_test(both, bounds_the_clients_chain);
	tcase_add_test(both, outlives_its_owner_while_sessions_hold_it);
	tcase_add_loop_test(own, lets_in_whom_it_knows_ec, 0, 2 * EXPECTATIONS);
	tcase_add_loop_test(own, lets_in_whom_it_knows_rsa, 0, 2 * EXPECTATIONS);
	tcase_add_test(both, asks_everybody_anew);
	tcase_add_loop_test(both, does_not_wait_for_a_costly_proof, 0, 4);
	tcase_add_test(own, serves_old_suites_on_request);
	tcase_add_test(own, refuses_12_when_told_to);
	suite_add_tcase(suite, both);
	suite_add_tcase(suite, own);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
