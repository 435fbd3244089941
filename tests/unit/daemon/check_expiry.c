/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates and lists that end: the counts that health asks for, what asking costs, and the log. */
#include "expiry.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/secret.h"
#include "daemon.h"

#include "certs.h"
#include "work.h"

enum { DAY = 86400, NOW = 1764000000 };

static struct keyferryd d;
static struct tenants *ts;
static struct tenant *tenant;
static char lists[] = "/tmp/check-expiry-XXXXXX"; /* of revocation lists, once there is one */

/* --- a gateway of one tenant --- */

static void
release(struct tenant *t)
{
	alloc_free(t);
}

static void
trust(struct identity *id, const char *crl)
{
	char path[] = "/tmp/check-expiry-XXXXXX";
	const char *files[] = {path, NULL}, *crls[] = {crl, NULL}, *why = "";
	struct authority *a = NULL;
	X509_EXTENSION *x = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "CA:TRUE");

	X509_add_ext(id->cert, x, -1);
	X509_EXTENSION_free(x);
	ck_assert_int_gt(X509_sign(id->cert, id->key, EVP_sha256()), 0);
	close(mkstemp(path));
	identity_write_cert(id, path);
	ck_assert_msg(authority_new(&a, files, crls, "CN=x", &why) == ERR_OK, "%s", why);
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

/* Adds a list of this authority to the file; seconds from NOW. */
static void
list(const struct identity *ca, long from, long until)
{
	X509_CRL *crl = X509_CRL_new();
	ASN1_TIME *begins = ASN1_TIME_set(NULL, NOW + from), *ends = ASN1_TIME_set(NULL, NOW + until);
	FILE *f = fopen(lists, "a");

	X509_CRL_set_version(crl, X509_CRL_VERSION_2);
	X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca->cert));
	ck_assert_int_eq(X509_CRL_set1_lastUpdate(crl, begins), 1);
	ck_assert_int_eq(X509_CRL_set1_nextUpdate(crl, ends), 1);
	ck_assert_int_gt(X509_CRL_sign(crl, ca->key, EVP_sha256()), 0);
	ck_assert(f != NULL && PEM_write_X509_CRL(f, crl) == 1 && fclose(f) == 0);
	ASN1_TIME_free(begins);
	ASN1_TIME_free(ends);
	X509_CRL_free(crl);
}

/* Two lists of two authorities, unless until2 is 0. */
static void
trust_lists(long from, long until, long from2, long until2)
{
	struct identity ca = identity_new(CERT_EC, "lists", -DAY, 1000 * DAY);

	close(mkstemp(strcpy(lists, "/tmp/check-expiry-XXXXXX")));
	list(&ca, from, until);
	if (until2 != 0)
		list(&ca, from2, until2);
	trust(&ca, lists);
	unlink(lists);
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
	trust(&ca, NULL);
	tls = new_server();
	(void)gate_configure(d.gate, tls, ts, &limits);
	tls_server_unref(tls);
}

static void
tear_down(void)
{
	timer_clear(d.loop, &d.expiry);
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

static void
expect_lists(int64_t at, int64_t soonest, size_t ended, size_t soon)
{
	const struct expiry_summary *s;

	clock_test_jump((NOW + at - clock_wall()) * NS_PER_S, 0);
	s = expiry_summary(&d, EXPIRY_LISTS);
	ck_assert_int_eq(s->soonest, soonest == 0 ? 0 : NOW + soonest);
	ck_assert_int_eq(tenant->lists_expire, s->soonest);
	ck_assert_uint_eq(s->ended, ended);
	ck_assert_uint_eq(s->soon, soon);
}

/* Lists live for a week, or a day: a month ahead there would always be something to warn of. */
START_TEST(lists_end_soon_in_their_last_quarter)
{
	expect_lists(0, 0, 0, 0);
	ck_assert_int_eq(tenant->lists_due, 0);
	trust_lists(-DAY, 7 * DAY, 0, 0);
	expiry_measure(&d);
	expect_lists(0, 7 * DAY, 0, 0);
	ck_assert_int_eq(tenant->lists_due, NOW + 5 * DAY);
	expect_lists(5 * DAY - 1, 7 * DAY, 0, 0);
	expect_lists(5 * DAY, 7 * DAY, 0, 1);
	expect_lists(7 * DAY - 1, 7 * DAY, 0, 1);
	expect_lists(7 * DAY, 7 * DAY, 1, 0);
	expect_lists(6 * DAY, 7 * DAY, 0, 1); /* and when the clock is set back */
	ck_assert_int_eq(tenant->certificates_expire, NOW + 40 * DAY);
}
END_TEST

START_TEST(a_list_of_a_year_ends_soon_in_its_last_month)
{
	trust_lists(0, 400 * DAY, 0, 0);
	expiry_measure(&d);
	expect_lists(370 * DAY - 1, 400 * DAY, 0, 0);
	expect_lists(370 * DAY, 400 * DAY, 0, 1);
}
END_TEST

/* There is nothing to do about one whose successor is there already. */
START_TEST(a_list_with_a_newer_one_is_nobodys_worry)
{
	trust_lists(-DAY, 3 * DAY, 2 * DAY, 10 * DAY);
	expiry_measure(&d);
	expect_lists(0, 10 * DAY, 0, 0);
	expect_lists(3 * DAY, 10 * DAY, 0, 0);
	expect_lists(8 * DAY, 10 * DAY, 0, 1);
	expect_lists(10 * DAY, 10 * DAY, 1, 0);
}
END_TEST

/* It ends before the newer one begins: clients are refused until then. */
START_TEST(a_gap_between_two_lists_counts)
{
	trust_lists(-DAY, 3 * DAY, 4 * DAY, 12 * DAY);
	expiry_measure(&d);
	expect_lists(0, 3 * DAY, 0, 0);
	expect_lists(2 * DAY, 3 * DAY, 0, 1);
	expect_lists(3 * DAY, 3 * DAY, 1, 0);
	expect_lists(4 * DAY - 1, 3 * DAY, 1, 0);
	expect_lists(4 * DAY, 12 * DAY, 0, 0);
	expect_lists(0, 3 * DAY, 0, 0);
}
END_TEST

/* How many lines there are in the log since the last time that have all these words. */
static unsigned
lines(int fd, const char *a, const char *b)
{
	char text[8192];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	unsigned count = 0;

	ck_assert_int_ge(n, 0);
	text[n] = '\0';
	for (char *at = text, *end; (end = strchr(at, '\n')) != NULL; at = end + 1) {
		*end = '\0';
		count += strstr(at, a) != NULL && strstr(at, b) != NULL;
	}
	return count;
}

static void
forget(int fd)
{
	ck_assert_int_eq(ftruncate(fd, 0), 0);
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
}

/* The timer is due then, and does what it does. */
static void
wait_until(int64_t at)
{
	ck_assert(timer_armed(&d.expiry));
	ck_assert_int_eq(d.expiry.when - clock_now(), (NOW + at - clock_wall()) * NS_PER_S);
	clock_test_advance(d.expiry.when - clock_now());
	timer_clear(d.loop, &d.expiry);
	d.expiry.fn(&d.expiry);
}

/* Once a day would be too late for a list of a day; what has not changed is told once a day. */
START_TEST(the_log_tells_in_time)
{
	const char *warns = "warn expiry: a ";
	int fd = memfd_create("log", MFD_CLOEXEC);

	log_set_output(fd, false);
	trust_lists(-DAY / 2, DAY / 2, 0, 0);
	pin(3, NOW + 10 * DAY);
	expiry_look(&d);
	ck_assert_uint_eq(lines(fd, warns, ""), 1);
	ck_assert_uint_eq(lines(fd, warns, "certificate expires soon what=\"client certificate\""), 1);
	forget(fd);
	wait_until(DAY / 4);
	ck_assert_uint_eq(lines(fd, "", ""), 1);
	ck_assert_uint_eq(lines(fd, warns, "revocation list expires soon what=\"revocation list\" "), 1);
	ck_assert_uint_eq(lines(fd, "begun=2025-11-24T04:00:00", "issuer=\"CN=lists\" expires=2025-11-25T04:00:00"), 1);
	forget(fd);
	wait_until(DAY / 2);
	ck_assert_uint_eq(lines(fd, "", ""), 1);
	ck_assert_uint_eq(lines(fd, warns, "revocation list has expired"), 1);
	forget(fd);
	wait_until(DAY);
	ck_assert_uint_eq(lines(fd, warns, ""), 2);
	log_set_output(STDERR_FILENO, true);
	close(fd);
}
END_TEST

/* Nobody would be warned any more, for as long as the gateway runs. */
START_TEST(a_look_without_memory_is_not_the_last)
{
	fault_test_arm(FAULT_ALLOC, 0, 1000);
	expiry_look(&d);
	fault_test_clear();
	wait_until(DAY);
	wait_until(2 * DAY);
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
	tcase_add_test(t, lists_end_soon_in_their_last_quarter);
	tcase_add_test(t, a_list_of_a_year_ends_soon_in_its_last_month);
	tcase_add_test(t, a_list_with_a_newer_one_is_nobodys_worry);
	tcase_add_test(t, a_gap_between_two_lists_counts);
	tcase_add_test(t, the_log_tells_in_time);
	tcase_add_test(t, a_look_without_memory_is_not_the_last);
	suite_add_tcase(suite, t);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
