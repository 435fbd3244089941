/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates that end: the counts that health asks for, and what asking for them costs. */
#include "expiry.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/x509v3.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/secret.h"
#include "daemon.h"

#include "certs.h"
#include "work.h"

enum { DAY = 86400, NOW = 1764000000 };

static struct keyferryd d;
static struct tenants *ts;
static struct tenant *tenant;

/* --- a gateway of one tenant --- */

static void
release(struct tenant *t)
{
	alloc_free(t);
}

static void
trust(struct identity *id)
{
	char path[] = "/tmp/check-expiry-XXXXXX";
	const char *files[] = {path, NULL}, *why = "";
	struct authority *a = NULL;
	X509_EXTENSION *x = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "CA:TRUE");

	X509_add_ext(id->cert, x, -1);
	X509_EXTENSION_free(x);
	ck_assert_int_gt(X509_sign(id->cert, id->key, EVP_sha256()), 0);
	close(mkstemp(path));
	identity_write_cert(id, path);
	ck_assert_msg(authority_new(&a, files, NULL, "CN=x", &why) == ERR_OK, "%s", why);
	ck_assert_int_eq(tenants_trust(ts, tenant, a), ERR_OK);
	authority_unref(a);
	identity_free(id);
	unlink(path);
}

static void
pin(uint8_t n, int64_t ends)
{
	struct certificate_text text = {.digest = {n}, .not_after = ends};
	struct pinned *p = pinned_new(&text, "file", false, false);

	ck_assert_int_eq(tenants_pin(ts, tenant, p), ERR_OK);
	pinned_unref(p);
}

static struct tls_server *
new_server(void)
{
	char cert[] = "/tmp/check-expiry-XXXXXX", key[] = "/tmp/check-expiry-XXXXXX";
	const char *certs[] = {cert, NULL}, *keys[] = {key, NULL}, *why = "";
	const struct tls_params p = {.certificates = certs, .private_keys = keys,
	    .check = gate_check_certificate, .check_arg = d.gate};
	struct identity id = identity_new(CERT_EC, "server", -DAY, 100 * DAY);
	struct tls_server *tls = NULL;

	close(mkstemp(cert));
	close(mkstemp(key));
	identity_write_cert(&id, cert);
	identity_write_key(&id, key, NULL);
	ck_assert_msg(tls_server_new(&tls, &p, &why) == ERR_OK, "%s", why);
	identity_free(&id);
	unlink(cert);
	unlink(key);
	return tls;
}

/* Two pinned certificates end before the authority and the server's do. */
static void
set_up(void)
{
	const struct gate_limits limits = {.sessions_max = 1, .handshakes_max = 1};
	struct tls_server *tls;
	struct identity ca;

	clock_test_freeze(NOW);
	d = (struct keyferryd){.loop = loop_new()};
	d.gate = gate_new(&(struct gate_params){.loop = d.loop});
	ts = tenants_new();
	tenant = alloc_zero(sizeof(*tenant));
	tenant->refs = 1;
	tenant->release = release;
	ck_assert_int_eq(tenants_add(ts, tenant), ERR_OK);
	pin(1, NOW + 40 * DAY);
	pin(2, NOW + 60 * DAY);
	ca = identity_new(CERT_EC, "CA", -DAY, 80 * DAY);
	trust(&ca);
	tls = new_server();
	(void)gate_configure(d.gate, tls, ts, &limits);
	tls_server_unref(tls);
}

static void
tear_down(void)
{
	gate_free(d.gate);
	tenants_unref(ts);
	tenant_unref(tenant);
	loop_free(d.loop);
}

static void
expect(int64_t day, int64_t seconds, size_t ended, size_t soon)
{
	const struct expiry_summary *s;

	clock_test_jump((NOW + day * DAY + seconds - clock_wall()) * NS_PER_S, 0);
	s = expiry_summary(&d, EXPIRY_CLIENTS);
	ck_assert_int_eq(s->soonest, NOW + 40 * DAY);
	ck_assert_uint_eq(s->ended, ended);
	ck_assert_uint_eq(s->soon, soon);
}

/* Exact to the second, though nobody counts anew meanwhile. */
START_TEST(counts_follow_the_clock)
{
	expiry_measure(&d);
	ck_assert_int_eq(tenant->certificates_expire, NOW + 40 * DAY);
	expect(0, 0, 0, 0);
	expect(10, 0, 0, 0);
	expect(10, 1, 0, 1);
	expect(30, 0, 0, 1);
	expect(30, 1, 0, 2);
	expect(40, -1, 0, 2);
	expect(40, 0, 1, 1);
	expect(50, 1, 1, 2);
	expect(60, 0, 2, 1);
	expect(80, 0, 3, 0);
	expect(40, 0, 1, 1); /* and when it is set back */
	expect(0, 0, 0, 0);
	ck_assert_int_eq(expiry_summary(&d, EXPIRY_SERVER)->soonest, NOW + 100 * DAY);
}
END_TEST

/* Whoever can ask for health can do so all the time. */
START_TEST(asking_reads_no_certificate)
{
	unsigned before = work_done();

	ck_assert_uint_gt(before, 0);
	for (int i = 0; i < 100; i++)
		expect(i, 0, i < 40 ? 0 : i < 60 ? 1 : i < 80 ? 2 : 3,
		    i <= 10 ? 0 : i <= 30 ? 1 : i < 40 ? 2 : i <= 50 ? 1 : i < 60 ? 2 : i < 80 ? 1 : 0);
	ck_assert_uint_eq(work_done(), before);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("expiry");
	TCase *t = tcase_create("expiry");
	SRunner *runner = srunner_create(suite);
	bool locked;
	int failed;

	if (!work_count() || secret_heap_init(1 << 20, true, &locked) != ERR_OK)
		return 1;
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, counts_follow_the_clock);
	tcase_add_test(t, asking_reads_no_certificate);
	suite_add_tcase(suite, t);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
