/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file: defaults, values, and every complaint with its line. */
#include "daemon/config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "kmip/message.h"

static char dir[64];
static char file[96];
static struct buf errors;

static void
put_file(const char *name, const char *text)
{
	char path[160];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

static void
setup(void)
{
	char path[160];

	snprintf(dir, sizeof(dir), "/tmp/check_config.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(file, sizeof(file), "%s/k.conf", dir);
	put_file("a.pem", "a");
	snprintf(path, sizeof(path), "%s/clients.d", dir);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	put_file("clients.d/2.pem", "2");
	put_file("clients.d/1.pem", "1");
	put_file("clients.d/.hidden.pem", "h");
	put_file("clients.d/readme", "r");
	buf_init(&errors, 65536);
}

static void
teardown(void)
{
	static const char *const names[] = {"clients.d/2.pem", "clients.d/1.pem",
	    "clients.d/.hidden.pem", "clients.d/readme", "a.pem", "k.conf"};
	char path[160];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	snprintf(path, sizeof(path), "%s/clients.d", dir);
	rmdir(path);
	rmdir(dir);
	buf_fini(&errors);
}

static enum err
load(const char *text, const struct config **c)
{
	put_file("k.conf", text);
	buf_reset(&errors);
	return config_load(file, c, &errors);
}

static const struct config *
load_good(const char *text)
{
	const struct config *c = NULL;
	enum err e = load(text, &c);

	ck_assert_msg(e == ERR_OK, "%.*s", (int)errors.len, (const char *)errors.data);
	ck_assert_uint_eq(errors.len, 0);
	return c;
}

static void
set_mode(const char *name, mode_t mode)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	ck_assert_int_eq(chmod(path, mode), 0);
}

static void
expect_untrusted(const char *text)
{
	const struct config *c = NULL;

	buf_reset(&errors);
	ck_assert_int_eq(text != NULL ? load(text, &c) : config_load(file, &c, &errors), ERR_CONFIG);
	buf_put(&errors, "", 1);
	ck_assert_msg(strstr((char *)errors.data, "chmod go-w") != NULL, "%s", (char *)errors.data);
}

#define TLS "tls { certificate = {\"s.pem\"} private-key = {\"s.key\"} }\n"
#define VAULT "vault local { root-key-file = \"/r\" }"
#define TENANT "tenant \"t\" { id = \"t\" client-certificates = {\"a.pem\"} " VAULT " }\n"
#define GOOD TLS TENANT
#define KEYPROTECT(first, rest)                                                                    \
	TLS "tenant t { id = t client-certificates = a.pem vault keyprotect { " first rest "} }\n"
#define KP_URL "url = \"https://k\"\n"
#define KP_REST "instance = i root-key = r api-key-file = k\n"
#define OTHER(rest)                                                                                \
	"tenant u { id = u client-certificates = a.pem\n"                                          \
	"vault keyprotect { url = \"https://other\" " rest "} }\n"
#define SAME_RECORDS_AT(line)                                                                      \
	":" line ": option \"name-prefix\": instance, prefix and key ring (if none: all) above "    \
	"are those of tenant \"t\" as well; give every tenant a prefix of its own"
#define SAME_RECORDS SAME_RECORDS_AT("7")
#define CREDENTIAL(line)                                                                           \
	":" line ": option \"api-key-file\": is not the one credential in the vault above; give "           \
	"api-key-file, or one of profile-id and profile-name with the token-file of a compute "    \
	"resource"

START_TEST(defaults)
{
	const struct config *c = load_good(GOOD);
	char path[160];

	ck_assert_str_eq(c->path, file);
	ck_assert_str_eq(c->listen[0], "[::]:5696");
	ck_assert_ptr_null(c->listen[1]);
	ck_assert_str_eq(c->control_socket, "/run/keyferry/control.sock");
	ck_assert_uint_eq(c->control_socket_mode, 0600);
	ck_assert_str_eq(c->stats_socket, "/run/keyferry/stats.sock");
	ck_assert_uint_eq(c->stats_socket_mode, 0660);
	ck_assert_ptr_null(c->stats_listen);
	ck_assert_str_eq(c->state_dir, "/var/lib/keyferry");
	ck_assert_uint_eq(c->secure_heap_size, 4 << 20);
	ck_assert(!c->allow_unlocked_heap);
	ck_assert_int_eq(c->log_level, LOG_INFO);
	ck_assert_uint_eq(c->request_size_max, 64 << 10);
	ck_assert_uint_eq(c->response_size_max, 4 << 20);
	ck_assert_uint_eq(c->items_max, 128);
	ck_assert_uint_eq(c->sessions_max, 0);
	ck_assert_uint_eq(c->handshakes_max, 4096);
	ck_assert_int_eq(c->handshake_timeout_ns, 10 * NS_PER_S);
	ck_assert_int_eq(c->request_timeout_ns, 15 * NS_PER_S);
	ck_assert_int_eq(c->idle_timeout_ns, 600 * NS_PER_S);
	ck_assert_int_eq(c->drain_timeout_ns, 30 * NS_PER_S);
	ck_assert(c->seccomp);
	ck_assert(!c->tls.min_version_13);
	ck_assert(!c->tls.legacy_cbc);
	snprintf(path, sizeof(path), "%s/s.pem", dir);
	ck_assert_str_eq(c->tls.certificates[0], path);
	ck_assert_uint_eq(c->tenants_count, 1);
	ck_assert_str_eq(c->tenants[0].title, "t");
	ck_assert_str_eq(c->tenants[0].id, "t");
	ck_assert_int_eq(c->tenants[0].accept_expired_until, 0);
	ck_assert_int_eq(c->tenants[0].born_active, SWITCH_AUTO);
	ck_assert_int_eq(c->tenants[0].vault.kind, CONFIG_VAULT_LOCAL);
	ck_assert_str_eq(c->tenants[0].vault.local.root_key_file, "/r");
	config_unref(c);
}
END_TEST

START_TEST(every_value)
{
	const struct config *c = load_good(
	    "listen = {\"127.0.0.1:0\", \"[::1]:5697\"}\ncontrol-socket = run/c.sock\n"
	    "stats-socket = \"\"\nstats-socket-mode = 0600\nstats-listen = \"[::1]:9696\"\n"
	    "control-socket-mode = 0660\nstate-dir = \"state\"\nsecure-heap-size = 64KiB\n"
	    "allow-unlocked-heap = yes\nseccomp = no\nlog-level = debug\nrequest-size-max = 1KiB\n"
	    "response-size-max = 64MiB\nitems-max = 1\nsessions-max = 1000000\nhandshakes-max = 7\n"
	    "handshake-timeout = 100ms\nrequest-timeout = 10min\nidle-timeout = 7d\n"
	    "drain-timeout = 0\n"
	    "tls { certificate = {\"e.pem\", \"r.pem\"} private-key = {\"e.key\", \"r.key\"}\n"
	    "next-certificate = \"n.pem\" min-version = 1.3 legacy-cbc = on }\n"
	    "tenant \"a b\" { id = \"A.b_c-9\" client-certificates = {\"a.pem\", \"clients.d\"}\n"
	    "read-only-certificates = \"clients.d\" client-ca = ca.pem client-subject = \"CN=a\"\n"
	    "crl-file = ca.crl "
	    "accept-expired-until = \"2026-02-28\" born-active = true\n"
	    "serve-compromised = no\n" VAULT
	    " ledger sqlite { } }\n"
	    "tenant two { id = two " VAULT "}\n");
	const struct config_tenant *t = &c->tenants[0];
	char path[160];

	ck_assert_str_eq(c->listen[1], "[::1]:5697");
	snprintf(path, sizeof(path), "%s/run/c.sock", dir);
	ck_assert_str_eq(c->control_socket, path);
	ck_assert_ptr_null(c->stats_socket);
	ck_assert_uint_eq(c->stats_socket_mode, 0600);
	ck_assert_str_eq(c->stats_listen, "[::1]:9696");
	ck_assert_uint_eq(c->control_socket_mode, 0660);
	ck_assert_uint_eq(c->secure_heap_size, 65536);
	ck_assert(c->allow_unlocked_heap);
	ck_assert_int_eq(c->log_level, LOG_DEBUG);
	ck_assert_uint_eq(c->request_size_max, 1024);
	ck_assert_uint_eq(c->response_size_max, 64 << 20);
	ck_assert_uint_eq(c->items_max, 1);
	ck_assert_uint_eq(c->sessions_max, 1000000);
	ck_assert_int_eq(c->handshake_timeout_ns, 100 * NS_PER_MS);
	ck_assert_int_eq(c->idle_timeout_ns, 7 * 86400 * NS_PER_S);
	ck_assert_int_eq(c->drain_timeout_ns, 0);
	ck_assert(!c->seccomp);
	ck_assert(c->tls.min_version_13 && c->tls.legacy_cbc);
	ck_assert_ptr_null(c->tls.private_keys[2]);
	ck_assert_uint_eq(c->tenants_count, 2);
	ck_assert_str_eq(t->title, "a b");
	ck_assert_str_eq(t->id, "A.b_c-9");
	ck_assert_int_eq(t->accept_expired_until, 1772323200); /* 2026-03-01T00:00:00Z */
	ck_assert_int_eq(t->born_active, SWITCH_ON);
	ck_assert(!t->serve_compromised && c->tenants[1].serve_compromised);
	snprintf(path, sizeof(path), "%s/clients.d/1.pem", dir);
	ck_assert_str_eq(t->client_certificates[1], path);
	snprintf(path, sizeof(path), "%s/clients.d/2.pem", dir);
	ck_assert_str_eq(t->client_certificates[2], path);
	ck_assert_ptr_null(t->client_certificates[3]);
	ck_assert_str_eq(t->read_only_certificates[1], path);
	snprintf(path, sizeof(path), "%s/ca.pem", dir);
	ck_assert_str_eq(t->client_ca[0], path);
	ck_assert_str_eq(t->client_subject, "CN=a");
	snprintf(path, sizeof(path), "%s/ca.crl", dir);
	ck_assert_str_eq(t->crl_files[0], path);
	ck_assert_ptr_null(t->crl_files[1]);
	ck_assert_ptr_null(c->tenants[1].client_certificates[0]);
	ck_assert_ptr_null(c->tenants[1].client_ca[0]);
	ck_assert_ptr_null(c->tenants[1].client_subject);
	snprintf(path, sizeof(path), "%s/n.pem", dir);
	ck_assert_str_eq(c->tls.next_certificates[0], path);
	ck_assert_ptr_eq(config_ref(c), c);
	config_unref(c);
	ck_assert_str_eq(c->tenants[1].id, "two");
	config_unref(c);
	config_unref(NULL);
}
END_TEST

/* A list that is given as empty is as if it were not given, and others may be added to it. */
START_TEST(empty_lists)
{
	const struct config *c =
	    load_good("listen = {}\nlisten += {}\n" TLS
		      "tenant t { id = t client-certificates = { # none\n }\n client-ca = {\r\n}\n"
		      "crl-file = {\t} " VAULT " ledger sqlite { } }\n");

	ck_assert_str_eq(c->listen[0], "[::]:5696");
	ck_assert_ptr_null(c->listen[1]);
	ck_assert_ptr_null(c->tenants[0].client_certificates[0]);
	ck_assert_ptr_null(c->tenants[0].client_ca[0]);
	ck_assert_ptr_null(c->tenants[0].crl_files[0]);
	config_unref(c);
	c = load_good(GOOD "listen = {}\nlisten += {\"={}:1\"}\nlisten += {}\nlisten += \"b:2\"\n");
	ck_assert_str_eq(c->listen[0], "={}:1");
	ck_assert_str_eq(c->listen[1], "b:2");
	ck_assert_ptr_null(c->listen[2]);
	config_unref(c);
}
END_TEST

static int64_t
accepted_until(const char *date)
{
	const struct config *c;
	char text[512];
	int64_t until;

	snprintf(text, sizeof(text), TLS "tenant t { id = t accept-expired-until = \"%s\" " VAULT " }\n", date);
	c = load_good(text);
	until = c->tenants[0].accept_expired_until;
	config_unref(c);
	return until;
}

START_TEST(last_days)
{
	ck_assert_int_eq(accepted_until("2026-12-31"), 1798761600); /* 2027-01-01T00:00:00Z */
	ck_assert_int_eq(accepted_until("2028-02-29"), 1835481600); /* 2028-03-01T00:00:00Z */
	ck_assert_int_eq(accepted_until("2026-11-30"), 1796083200); /* 2026-12-01T00:00:00Z */
	ck_assert_int_eq(accepted_until(""), 0);
}
END_TEST

/* What is said about a file: its first line, after the path. */
static const struct {
	const char *text, *error;
} bad[] = {
    {"", ":1: option \"certificate\": is missing above in tls { }; it is: PEM files of server "
	 "certificates, each with its chain, leaf first"},
    {TLS,
	":2: option \"tenant\": is missing; without one nobody may connect: tenant \"TITLE\" { ... "
	"}"},
    {GOOD "\nbogus = 1\n",
	":4: option \"bogus\": is not known; keyferryd.conf(5) lists all options"},
    {"certificate = a\n",
	":1: option \"certificate\": does not belong here; it belongs in tls { }"},
    {TLS "tenant t {\n log-level = debug }",
	":3: option \"log-level\": does not belong here; it belongs at the top level"},
    {GOOD "handshake-timeout = 10\n",
	":3: option \"handshake-timeout\": \"10\" is no duration; write "
	"a number and a unit (ms, s, min, h, d), such as 10s"},
    {GOOD "# c\nidle-timeout = 8d\n",
	":4: option \"idle-timeout\": \"8d\" is out of range; from 1s to 7d"},
    {GOOD "idle-timeout = 99999999999999d\n", ":3: option \"idle-timeout\": \"99999999999999d\" is "
					      "no duration; write a number and a unit "
					      "(ms, s, min, h, d), such as 10min"},
    {GOOD "request-timeout = \"-1s\"\n",
	":3: option \"request-timeout\": \"-1s\" is no duration; write a number and a unit (ms, s, "
	"min, h, d), such as 15s"},
    {"request-size-max = 64\n" GOOD, ":1: option \"request-size-max\": \"64\" is no size; write a "
				     "number and a unit (B, KiB, MiB, "
				     "GiB), such as 64KiB"},
    {GOOD "response-size-max = 1GiB\n",
	":3: option \"response-size-max\": \"1GiB\" is out of range; from 4KiB to 64MiB"},
    {GOOD "secure-heap-size = 3MiB\n",
	":3: option \"secure-heap-size\": \"3MiB\" is no power of two; such as 4MiB"},
    {GOOD "secure-heap-size = 32KiB\n",
	":3: option \"secure-heap-size\": \"32KiB\" is out of range; from 64KiB to 1GiB"},
    {GOOD "items-max = many\n",
	":3: option \"items-max\": \"many\" is no whole number; from 1 to 128"},
    {GOOD "items-max = 0\n", ":3: option \"items-max\": \"0\" is out of range; from 1 to 128"},
    {GOOD "items-max = 99999999999999999999\n",
	":3: option \"items-max\": \"99999999999999999999\" is out of range; from 1 to 128"},
    {GOOD "allow-unlocked-heap = maybe\n",
	":3: option \"allow-unlocked-heap\": \"maybe\" is neither "
	"true nor false; write true or false"},
    {GOOD "log-level = \"lo\\nud\"\n", ":3: option \"log-level\": \"lo\\x0aud\" is no log level; "
				       "error, warn, notice, info or debug"},
    {GOOD "control-socket-mode = 0800\n", ":3: option \"control-socket-mode\": \"0800\" is no file "
					  "mode; write octal digits, such as 0600 or 0660"},
    {GOOD "control-socket-mode = 0666\n", ":3: option \"control-socket-mode\": \"0666\" would let "
					  "everybody in; 0600, or 0660 for a group"},
    {GOOD "stats-listen = \"localhost\"\n",
	":3: option \"stats-listen\": \"localhost\" is no address with a port; HOST:PORT, such as "
	"[::]:5696 or 192.0.2.1:5696"},
    {GOOD "state-dir = \"\"\n", ":3: option \"state-dir\": \"\" names no file; write a path"},
    {GOOD "listen = {\"[::]:5696\",\n\"5697\"}\n", ":4: option \"listen\": \"5697\" is no address "
						   "with a port; HOST:PORT, such as [::]:5696 or "
						   "192.0.2.1:5696"},
    {GOOD "listen = {\"h:65536\"}\n", ":3: option \"listen\": \"h:65536\" is no address with a "
				      "port; HOST:PORT, such as [::]:5696 "
				      "or 192.0.2.1:5696"},
    {GOOD "listen = {\"::1:5696\"}\n",
	":3: option \"listen\": \"::1:5696\" is ambiguous; write IPv6 "
	"addresses in brackets: [ADDRESS]:PORT"},
    {GOOD "audit-required = true\n",
	":3: option \"audit-required\": is given without audit-file, and would be of no effect"},
    {GOOD "audit-file = \"\"\naudit-required = true\n",
	":4: option \"audit-required\": is given without audit-file, and would be of no effect"},
    {GOOD "log-level = info\nlog-level = debug\n",
	":4: option \"log-level\": is given twice, first on line 3; keep one of them"},
    {GOOD "listen = {\"a:1\",\n\"b:2\"}\nlisten = {\"c:3\", \"d:4\"}\n",
	":5: option \"listen\": is given twice, first on line 3; keep one of them"},
    {GOOD "listen = {\"a:1\"}\nlisten = {}\n",
	":4: option \"listen\": is given twice, first on line 3; keep one of them"},
    {GOOD "listen = { # none\n}\nlisten = a:1\n",
	":5: option \"listen\": is given twice, first on line 3; keep one of them"},
    {GOOD "listen = {}\nlisten = {\r\n*}\n",
	":4: option \"listen\": is given twice, first on line 3; keep one of them"},
    {TLS "tenant u { id = u client-ca = a.pem client-subject = \"CN=a\"\ncrl-file = a.crl\n"
	 "crl-file /* none */ = /* { */ { /* a.crl } */ } " VAULT "}\n",
	":4: option \"crl-file\": is given twice, first on line 3; keep one of them"},
    {TENANT "tls { certificate = a certificate = {}\nprivate-key = b }",
	":2: option \"certificate\": is given twice, first on line 2; keep one of them"},
    {TENANT "tls { certificate = {}\nprivate-key = {a, b}\n}\n",
	":4: option \"certificate\": is missing above in tls { }; it is: PEM files of server "
	"certificates, each with its chain, leaf first"},
    {GOOD "listen = {}\nlisten += {\"a:1\",\n\"b\"}\n",
	":5: option \"listen\": \"b\" is no address with a port; HOST:PORT, such as [::]:5696 or "
	"192.0.2.1:5696"},
    {GOOD "log-level = {}\n", ":3: option \"log-level\": is no list; write one value, without braces"},
    {GOOD "log-level = {info}\n",
	":3: syntax: unexpected token '{'; keyferryd.conf(5) shows the form"},
    {TENANT "tls = {}\n",
	":2: syntax: missing opening brace for section 'tls'; keyferryd.conf(5) shows the form"},
    {TENANT "tls { certificate = {a, b}\nprivate-key = {c} }",
	":3: option \"private-key\": 1 keys for 2 certificates; one key for each, in the same "
	"order"},
    {TENANT "tls { certificate = a private-key = b\nmin-version = 1.1 }",
	":3: option \"min-version\": \"1.1\" is no TLS version that is spoken here; 1.2 or 1.3"},
    {TENANT "tls { certificate = a\n}\n",
	":3: option \"private-key\": is missing above in tls { }; it "
	"is: PEM files of their private keys, in the same order"},
    {GOOD TENANT,
	":3: option \"tenant\": the title \"t\" is used twice; every tenant needs its own"},
    {GOOD "tenant u {\nid = t client-certificates = a.pem " VAULT "}\n",
	":4: option \"id\": \"t\" is that of tenant \"t\" as well; every tenant needs its own"},
    {TLS "tenant u {\nid = \"a b\" client-certificates = a.pem " VAULT "}\n",
	":3: option \"id\": \"a b\" is no identifier; 1 to 64 of A-Z a-z 0-9 . _ -, not beginning "
	"with a dot"},
    {TLS "tenant u {\nclient-certificates = a.pem " VAULT "\n}\n",
	":4: option \"id\": is missing above in tenant \"TITLE\" { }; it is: what the tenant's "
	"records are bound to; never change it"},
    {TLS "tenant u { id = u\nclient-certificates = {\"a.pem\",\n\"none.pem\"} " VAULT "}\n",
	":4: option \"client-certificates\": \"none.pem\" cannot be read (No such file or "
	"directory); name a PEM file or a directory of *.pem files"},
    {TLS "tenant u { id = u client-ca = a.pem\n" VAULT "}\n",
	":3: option \"client-subject\": is not given together with client-ca in tenant \"u\" "
	"above; give both or none"},
    {TLS "tenant u { id = u client-certificates = a.pem crl-file = a.crl\n" VAULT "}\n",
	":3: option \"crl-file\": is given without client-ca in tenant \"u\" above, and would be of "
	"no effect"},
    {TLS "tenant u { id = u client-subject = \"CN=a\"\n" VAULT "}\n",
	":3: option \"client-subject\": is not given together with client-ca in tenant \"u\" "
	"above; give both or none"},
    {TLS "tenant u { id = u client-certificates = {\"\", \"a.pem\"}\n" VAULT "}\n",
	":2: option \"client-certificates\": \"\" names no file; write a path"},
    {TLS "tenant u {\nid = \"..\" client-certificates = a.pem " VAULT "}\n",
	":3: option \"id\": \"..\" is no identifier; 1 to 64 of A-Z a-z 0-9 . _ -, not beginning "
	"with a dot"},
    {TLS "tenant u { id = u client-certificates = a.pem\naccept-expired-until = \"soon\" " VAULT
	 "}\n",
	":3: option \"accept-expired-until\": \"soon\" is no date; write YYYY-MM-DD, such as "
	"2026-12-31"},
    {TLS "tenant u { id = u client-certificates = a.pem\naccept-expired-until = \"2027-02-31\" " VAULT
	 "}\n",
	":3: option \"accept-expired-until\": \"2027-02-31\" is no date: that month has no such day"},
    {TLS "tenant u { id = u client-certificates = a.pem\naccept-expired-until = \"2026-02-29\" " VAULT
	 "}\n",
	":3: option \"accept-expired-until\": \"2026-02-29\" is no date: that month has no such day"},
    {TLS "tenant u { id = u client-certificates = a.pem\naccept-expired-until = \"2026-11-31\" " VAULT
	 "}\n",
	":3: option \"accept-expired-until\": \"2026-11-31\" is no date: that month has no such day"},
    {TLS "tenant u { id = u client-certificates = a.pem\n}\n",
	":3: option \"vault\": is missing in tenant \"u\" above; write one vault local { } or "
	"vault keyprotect { }"},
    {TLS "tenant u { id = u client-certificates = a.pem\nvault local { }\n}\n",
	":3: option \"root-key-file\": is missing above in vault local { }; it is: file of the "
	"root keys, made by keyferryctl make-root-key"},
    {TLS "tenant u { id = u client-certificates = a.pem\nvault pkcs11 {\nurl = \"https://x\" } }\n",
	":4: option \"vault\": this release has no vault \"pkcs11\"; write vault local { } or "
	"vault keyprotect { }"},
    {KEYPROTECT("url = https://k\n", ""),
	":3: option \"instance\": is missing above in vault keyprotect { }; it is: GUID of the "
	"instance"},
    {KEYPROTECT(KP_URL, "instance = i root-key = r\napi-key-file = \"credential:a/b\"\n"),
	":4: option \"api-key-file\": \"credential:a/b\" names no credential; credential:NAME, "
	"NAME without a slash"},
    {"tls { certificate = {\"s.pem\"} private-key = {\"credential:\"} }\n",
	":1: option \"private-key\": \"credential:\" names no credential; credential:NAME, NAME "
	"without a slash"},
    {KEYPROTECT(KP_URL "attributes = both\n", KP_REST),
	":3: option \"attributes\": \"both\" is neither local nor shared; write one of them"},
    {KEYPROTECT("url = \"http://k\"\n", KP_REST),
	":2: option \"url\": \"http://k\" is no URL that can be used here; "
	"https://HOST[:PORT][/PATH]"},
    {KEYPROTECT("url = \"https://me:secret@k\"\n", KP_REST),
	":2: option \"url\": \"https://me:secret@k\" is no URL that can be used here; "
	"https://HOST[:PORT][/PATH]"},
    {KEYPROTECT("url = \"\"\n", KP_REST),
	":2: option \"url\": \"\" is no URL that can be used here; "
	"https://HOST[:PORT][/PATH]"},
    {KEYPROTECT(KP_URL "root-key-file = x\n", KP_REST),
	":3: option \"root-key-file\": does not belong here; it belongs in vault local { }"},
    {TLS "tenant t { id = t client-certificates = a.pem vault local {\nroot-key-file = x\n"
	 "proxy = y } }\n",
	":4: option \"proxy\": does not belong here; it belongs in vault keyprotect { }"},
    {KEYPROTECT(KP_URL "profile-id = p\n", KP_REST), CREDENTIAL("5")},
    {KEYPROTECT(KP_URL, "instance = i root-key = r\n"), CREDENTIAL("4")},
    {KEYPROTECT(KP_URL, "instance = i root-key = r profile-id = p profile-name = n\n"),
	CREDENTIAL("4")},
    {KEYPROTECT(KP_URL "instance = \"\"\n", "root-key = r api-key-file = k\n"),
	":3: option \"instance\": \"\" is empty; write the GUID of the instance"},
    {KEYPROTECT(KP_URL "call-rate-max = 0\n", KP_REST),
	":3: option \"call-rate-max\": \"0\" is out of range; from 1 to 10000"},
    {KEYPROTECT(KP_URL "name-prefix = \"\"\n", KP_REST),
	":5: option \"name-prefix\": is empty in the vault above; records are known by it"},
    {KEYPROTECT(KP_URL, KP_REST) OTHER(KP_REST), SAME_RECORDS},
    {KEYPROTECT(KP_URL, KP_REST) OTHER("instance = I root-key = x api-key-file = k\n"),
	SAME_RECORDS},
    {KEYPROTECT(KP_URL, KP_REST) OTHER(KP_REST "key-ring = \"\"\n"), SAME_RECORDS_AT("8")},
    {KEYPROTECT(KP_URL "key-ring = \"\"\n", KP_REST) OTHER(KP_REST), SAME_RECORDS_AT("8")},
    {TLS "tenant u { id = u client-certificates = a.pem born-active = perhaps\n" VAULT "}\n",
	":2: option \"born-active\": \"perhaps\" is none of auto, true and false; write one of "
	"them"},
    {TLS "tenant u { id = u client-certificates = a.pem " VAULT "\nledger etcd { } }\n",
	":3: option \"ledger\": this release has no ledger \"etcd\"; write ledger sqlite { }"},
    {TLS "tenant {\n",
	":2: syntax: missing title for section 'tenant'; keyferryd.conf(5) shows the form"},
    {GOOD "log-level debug\n", ":3: syntax: missing equal sign after option 'log-level'; "
			       "keyferryd.conf(5) shows the form"},
    {GOOD "}\n", ":3: syntax: unexpected closing brace; keyferryd.conf(5) shows the form"},
    {TLS "tenant t { id = t\n", ":3: syntax: section \"tenant\" is not closed; add a } to it"},
    {TLS "tenant t { vault local {\n",
	":3: syntax: section \"vault\" is not closed; add a } to it"},
    {GOOD "/* a\nb */ # c \"\n// d '\nitems-max = x # e",
	":6: option \"items-max\": \"x\" is no whole number; from 1 to 128"},
    {GOOD "state-dir = 'a\n", ":3: syntax: a string begins here and does not end; close it"},
    {GOOD "\nstate-dir = \"a\\\"\n", ":4: syntax: a string begins here and does not end; close it"},
    {GOOD "/* a\n\n", ":3: syntax: a comment begins here and does not end; close it"},
    {GOOD "state-dir = \"${HOME}\"\n",
	":3: syntax: environment variables are not put in; write the text itself"},
    {GOOD "state-dir = ${HOME}\n",
	":3: syntax: environment variables are not put in; write the text itself"},
    {GOOD "listen = {\n", ":4: syntax: unexpected token '='; keyferryd.conf(5) shows the form"},
};

START_TEST(keyprotect)
{
	const struct config *c = load_good(KEYPROTECT(KP_URL "key-ring = \"\" ca-file = ca.pem\n", KP_REST));
	const struct config_keyprotect *kp = &c->tenants[0].vault.keyprotect;

	ck_assert_int_eq(c->tenants[0].vault.kind, CONFIG_VAULT_KEYPROTECT);
	ck_assert_str_eq(kp->url, "https://k");
	ck_assert_str_eq(kp->iam_url, "https://iam.cloud.ibm.com/identity/token");
	ck_assert_str_eq(kp->instance, "i");
	ck_assert_str_eq(kp->root_key, "r");
	ck_assert_ptr_null(kp->key_ring);
	ck_assert_str_eq(kp->name_prefix, "vmware_kmip");
	ck_assert_ptr_nonnull(strstr(kp->api_key_file, "/k"));
	ck_assert_ptr_nonnull(strstr(kp->ca_file, "/ca.pem"));
	ck_assert_ptr_null(kp->proxy);
	ck_assert_ptr_null(kp->profile_id);
	ck_assert(!kp->attributes_shared);
	ck_assert(!kp->own_generator);
	ck_assert_int_eq(kp->call_timeout_ns, INT64_C(5000000000));
	ck_assert_uint_eq(kp->call_rate_max, 50);
	config_unref(c);
	c = load_good(KEYPROTECT(KP_URL "attributes = shared\n", KP_REST));
	ck_assert(c->tenants[0].vault.keyprotect.attributes_shared);
	config_unref(c);
}
END_TEST

/* One instance for several: what is apart by key ring or prefix. */
START_TEST(keyprotect_shared)
{
	const struct config *c =
	    load_good(KEYPROTECT(KP_URL, KP_REST) OTHER(KP_REST "key-ring = another\n"));

	ck_assert_uint_eq(c->tenants_count, 2);
	config_unref(c);
	c = load_good(KEYPROTECT(KP_URL, KP_REST) OTHER(KP_REST "name-prefix = VMware_kmip\n"));
	config_unref(c);
	c = load_good(KEYPROTECT(KP_URL, KP_REST)
		OTHER("instance = j root-key = r key-ring = \"\" api-key-file = k\n"));
	config_unref(c);
}
END_TEST

START_TEST(complaint)
{
	const struct config *c = NULL;
	size_t len = strlen(file), want = strlen(bad[_i].error);

	ck_assert_int_eq(load(bad[_i].text, &c), ERR_CONFIG);
	ck_assert_ptr_null(c);
	buf_put(&errors, "", 1);
	ck_assert_msg(strncmp((char *)errors.data, file, len) == 0 &&
			  strncmp((char *)errors.data + len, bad[_i].error, want) == 0 &&
			  errors.data[len + want] == '\n',
	    "case %d: want %s, got %s", _i, bad[_i].error, (char *)errors.data);
}
END_TEST

START_TEST(many_complaints_at_once)
{
	const struct config *c = NULL;
	unsigned lines = 0;

	ck_assert_int_eq(
	    load("items-max = x\nidle-timeout = y\n" GOOD "log-level = z\n", &c), ERR_CONFIG);
	for (size_t i = 0; i < errors.len; i++)
		lines += errors.data[i] == '\n';
	ck_assert_uint_eq(lines, 3);
}
END_TEST

/* A string that is left open must not spill into the next file. */
START_TEST(recovers_from_open_strings)
{
	static const char *const open_ends[] = {"log-level = \"inf\n", "log-level = 'inf\n",
	    "/* log-level\n", "log-level = debug # \"", "log-level = \"\\", "log-level = \"\\777\"",
	    "log-level = \"\\999\""};
	const struct config *c = NULL;

	for (size_t i = 0; i < sizeof(open_ends) / sizeof(open_ends[0]); i++) {
		ck_assert_int_eq(load(open_ends[i], &c), ERR_CONFIG);
		config_unref(load_good(GOOD "log-level = debug\n"));
	}
}
END_TEST

/* As many as the codec takes: a higher number would promise what no client gets. */
START_TEST(items_as_many_as_messages_have)
{
	const struct config *c = NULL;
	char text[512];

	snprintf(text, sizeof(text), GOOD "items-max = %d\n", KMIP_ITEMS_MAX);
	ck_assert_int_eq(load(text, &c), ERR_OK);
	ck_assert_uint_eq(c->items_max, KMIP_ITEMS_MAX);
	config_unref(c);
	snprintf(text, sizeof(text), GOOD "items-max = %d\n", KMIP_ITEMS_MAX + 1);
	ck_assert_int_eq(load(text, &c), ERR_CONFIG);
}
END_TEST

START_TEST(files_that_are_none)
{
	static char large[(1 << 20) + 1];
	const struct config *c = NULL;
	FILE *f;

	ck_assert_int_eq(config_load(dir, &c, &errors), ERR_CONFIG);
	buf_put(&errors, "", 1);
	ck_assert_ptr_nonnull(strstr((char *)errors.data, "is not a regular file"));
	buf_reset(&errors);
	ck_assert_int_eq(config_load("/nonexistent/k.conf", &c, &errors), ERR_CONFIG);
	buf_put(&errors, "", 1);
	ck_assert_ptr_nonnull(strstr((char *)errors.data, "does not exist"));
	memset(large, '#', sizeof(large) - 1);
	ck_assert_int_eq(load(large, &c), ERR_CONFIG);
	f = fopen(file, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite("a\0b", 1, 3, f), 3);
	ck_assert_int_eq(fclose(f), 0);
	buf_reset(&errors);
	ck_assert_int_eq(config_load(file, &c, &errors), ERR_CONFIG);
	buf_put(&errors, "", 1);
	ck_assert_ptr_nonnull(strstr((char *)errors.data, "NUL byte"));
}
END_TEST

/* Whichever allocation fails, somebody learns why nothing starts. */
START_TEST(tells_when_memory_lacks)
{
	const struct config *c = NULL;
	enum err e = ERR_NO_MEMORY;
	unsigned failed = 0;

	config_unref(load_good(GOOD));
	for (unsigned skip = 0; e != ERR_OK; skip++) {
		buf_reset(&errors);
		fault_test_arm(FAULT_ALLOC, skip, 1);
		e = config_load(file, &c, &errors);
		fault_test_clear();
		buf_put(&errors, "", 1);
		if (e == ERR_OK)
			break;
		failed++;
		ck_assert_msg(strstr((char *)errors.data, "out of memory\n") != NULL,
		    "allocation %u: \"%s\"", skip, (char *)errors.data);
	}
	ck_assert_uint_gt(failed, 1);
	config_unref(c);
}
END_TEST

START_TEST(reload_names_what_needs_a_restart)
{
	const struct config *a = load_good(GOOD), *b;
	struct buf names;

	buf_init(&names, 1024);
	b = load_good(GOOD "log-level = debug\nidle-timeout = 1h\ntenant u { id = u "
			   "client-certificates = a.pem " VAULT "}\n");
	ck_assert(!config_reload_diff(a, b, &names));
	ck_assert_uint_eq(names.len, 0);
	config_unref(b);
	b = load_good(GOOD "listen = {\"[::]:5696\", \"[::]:1\"}\nstate-dir = /x\n"
			   "secure-heap-size = 4096KiB\nallow-unlocked-heap = true\n");
	ck_assert(config_reload_diff(a, b, &names));
	buf_put(&names, "", 1);
	ck_assert_str_eq((char *)names.data, "listen, state-dir, allow-unlocked-heap");
	config_unref(b);
	config_unref(a);
	buf_fini(&names);
}
END_TEST

/* Who may write them could let anybody in. */
START_TEST(refuses_what_others_may_change)
{
	config_unref(load_good(GOOD));
	set_mode("k.conf", 0664);
	expect_untrusted(NULL);
	set_mode("k.conf", 0644);
	config_unref(load_good(TLS "tenant t { id = t client-certificates = clients.d " VAULT " }\n"));
	set_mode("clients.d", 0777);
	expect_untrusted(TLS "tenant t { id = t client-certificates = clients.d " VAULT " }\n");
	set_mode("clients.d", 0700);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("config");
	TCase *tc = tcase_create("config");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, defaults);
	tcase_add_test(tc, every_value);
	tcase_add_test(tc, empty_lists);
	tcase_add_test(tc, last_days);
	tcase_add_test(tc, keyprotect);
	tcase_add_test(tc, keyprotect_shared);
	tcase_add_loop_test(tc, complaint, 0, (int)(sizeof(bad) / sizeof(bad[0])));
	tcase_add_test(tc, many_complaints_at_once);
	tcase_add_test(tc, recovers_from_open_strings);
	tcase_add_test(tc, items_as_many_as_messages_have);
	tcase_add_test(tc, files_that_are_none);
	tcase_add_test(tc, tells_when_memory_lacks);
	tcase_add_test(tc, reload_names_what_needs_a_restart);
	tcase_add_test(tc, refuses_what_others_may_change);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
