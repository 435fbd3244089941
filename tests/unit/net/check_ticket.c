/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions that are resumed: which, for how long, and whose not. */
#include <check.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/secret.h"

#include "rig.h"

enum { TURNS = 12 };
#define HOUR_NS (3600 * NS_PER_S)
static const char digits[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

static struct rig rig;
static char key_path[64];

static void
start(const struct rig_options *o)
{
	rig_init(&rig, o);
}

static void
set_up(void)
{
	snprintf(key_path, sizeof(key_path), "/dev/shm/keyferry-ticket-%d", (int)getpid());
}

static void
tear_down(void)
{
	unlink(key_path);
	if (rig.loop != NULL)
		rig_fini(&rig);
	rig = (struct rig){0};
}

static void
write_key(const char *path, const char *text, mode_t mode)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
	chmod(path, mode);
}

/* One connection.  Its session (to be freed), for the next. */
static SSL_SESSION *
visit(int version, SSL_SESSION *from, bool *reused, struct served *d)
{
	const struct client_options o = {.version = version, .who = WHO_RIGHT};
	SSL_SESSION *session;
	struct client c;
	int fd[2];

	*d = (struct served){0};
	rig_pair(fd, false);
	served_start(d, &rig, fd[0]);
	client_start(&c, &rig, fd[1], &o);
	if (from != NULL)
		ck_assert_int_eq(SSL_set_session(c.ssl, from), 1);
	rig_pump(&rig, &c, TURNS);
	*reused = d->ready == 1 && SSL_session_reused(c.ssl) == 1;
	if (d->ready == 1) {
		ck_assert(stream_peer(d->s)->resumed == *reused);
		ck_assert_int_eq(stream_peer(d->s)->verdict, TLS_KNOWN);
		ck_assert_mem_eq(stream_peer(d->s)->sha256, rig.digests[WHO_RIGHT], TLS_DIGEST_LEN);
	}
	session = SSL_get1_session(c.ssl);
	if (d->ready == 0) { /* the server waits until it has gone */
		client_leave(&c);
		rig_pump(&rig, &c, 2);
	}
	SSL_set_shutdown(c.ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	client_fini(&c);
	served_fini(d);
	SSL_SESSION_free(from);
	return session;
}

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

START_TEST(resumes)
{
	struct served d;
	SSL_SESSION *s;
	bool reused;

	start(&(struct rig_options){.keys = KEYS_BOTH, .resumption = true, .resumption_12 = true});
	s = visit(versions[_i], NULL, &reused, &d);
	ck_assert(!reused);
	for (int i = 0; i < 3; i++) {
		rig.checks = 0;
		s = visit(versions[_i], s, &reused, &d);
		ck_assert_uint_eq(d.ready, 1);
		ck_assert(reused);
		ck_assert_uint_eq(rig.checks, 1); /* each is asked about */
	}
	SSL_SESSION_free(s);
}
END_TEST

/*
 * A request that came in 0-RTT could be sent again by whoever saw it.  A client that may not send any
 * has no session to send it with.
 */
START_TEST(takes_no_early_data)
{
	struct client_options o = {.version = TLS1_3_VERSION, .who = WHO_RIGHT};
	struct served d;
	struct client c;
	SSL_SESSION *s;
	size_t written;
	bool reused;

	start(&(struct rig_options){.keys = KEYS_EC, .resumption = true});
	s = visit(TLS1_3_VERSION, NULL, &reused, &d);
	ck_assert(SSL_SESSION_is_resumable(s));
	ck_assert_uint_eq(SSL_SESSION_get_max_early_data(s), 0);
	d = (struct served){0};
	rig_connect(&rig, &d, &c, &o);
	ck_assert_int_eq(SSL_set_session(c.ssl, s), 1);
	ck_assert_int_ne(SSL_write_early_data(c.ssl, "x", 1, &written), 1);
	rig_pump(&rig, &c, TURNS);
	ck_assert_uint_eq(d.data, 0);
	client_fini(&c);
	served_fini(&d);
	SSL_SESSION_free(s);
}
END_TEST

/*
 * One that sends it all the same, as its session was altered: nothing of it is read as a request, and the
 * session goes on behind it; or it ends, when that is more than is skipped (16 KiB).
 */
START_TEST(skips_early_data)
{
	static uint8_t much[64 * 1024];
	const struct client_options o = {.version = TLS1_3_VERSION, .who = WHO_RIGHT};
	const bool skipped = _i == 0;
	size_t len = skipped ? 1000 : sizeof(much), written = 0, more;
	struct served d;
	struct client c;
	SSL_SESSION *s;
	bool reused;

	start(&(struct rig_options){.keys = KEYS_EC, .resumption = true});
	s = visit(TLS1_3_VERSION, NULL, &reused, &d);
	ck_assert_int_eq(SSL_SESSION_set_max_early_data(s, sizeof(much)), 1);
	d = (struct served){0};
	rig_connect(&rig, &d, &c, &o);
	ck_assert_int_eq(SSL_set_session(c.ssl, s), 1);
	for (; written < len; written += more) {
		ck_assert_int_eq(SSL_write_early_data(c.ssl, much + written, len - written, &more), 1);
		loop_turn(rig.loop, false);
	}
	rig_pump(&rig, &c, TURNS);
	ck_assert_int_eq(SSL_get_early_data_status(c.ssl), SSL_EARLY_DATA_REJECTED);
	ck_assert_uint_eq(d.ready, skipped);
	if (skipped) {
		ck_assert_int_eq(SSL_session_reused(c.ssl), 1);
		client_send(&c, "late", 4);
		rig_pump(&rig, &c, 2);
		ck_assert_uint_eq(d.got.len, 4);
		ck_assert_mem_eq(d.got.data, "late", 4);
	}
	client_leave(&c);
	rig_pump(&rig, &c, 2);
	ck_assert_uint_eq(d.closed, 1);
	ck_assert(d.end == (skipped ? STREAM_EOF : STREAM_TLS_ERROR));
	ck_assert_uint_eq(d.data, skipped);
	client_fini(&c);
	served_fini(&d);
	SSL_SESSION_free(s);
}
END_TEST

START_TEST(resumes_tls12_only_when_told_to)
{
	struct served d;
	SSL_SESSION *s;
	bool reused;

	start(&(struct rig_options){.keys = KEYS_EC, .resumption = true});
	s = visit(TLS1_2_VERSION, NULL, &reused, &d);
	s = visit(TLS1_2_VERSION, s, &reused, &d);
	ck_assert_uint_eq(d.ready, 1);
	ck_assert(!reused);
	SSL_SESSION_free(s);
}
END_TEST

/* A ticket is worth what its certificate is worth now. */
START_TEST(a_removed_certificate_cannot_resume)
{
	struct served d;
	SSL_SESSION *s;
	bool reused;

	start(&(struct rig_options){.keys = KEYS_EC, .resumption = true, .resumption_12 = true});
	s = visit(versions[_i], NULL, &reused, &d);
	s = visit(versions[_i], s, &reused, &d);
	ck_assert(reused);
	rig.closed = true;
	s = visit(versions[_i], s, &reused, &d);
	ck_assert_uint_eq(d.ready, 0);
	ck_assert_int_eq(d.end, STREAM_REFUSED);
	ck_assert(d.proven); /* a full handshake told whose it was */
	SSL_SESSION_free(s);
}
END_TEST

START_TEST(an_expired_certificate_cannot_resume)
{
	struct served d;
	SSL_SESSION *s;
	bool reused;

	clock_test_freeze(1760000000);
	write_key(key_path, digits, 0600);
	start(&(struct rig_options){.keys = KEYS_EC, .resumption = true, .resumption_12 = true,
	    .ticket_key_file = key_path});
	clock_test_advance(24 * HOUR_NS - 60 * NS_PER_S); /* a minute before its end */
	s = visit(versions[_i], NULL, &reused, &d);
	s = visit(versions[_i], s, &reused, &d);
	ck_assert(reused);
	clock_test_advance(120 * NS_PER_S);
	s = visit(versions[_i], s, &reused, &d);
	ck_assert_uint_eq(d.ready, 0);
	ck_assert_int_eq(d.peer.verdict, TLS_EXPIRED);
	SSL_SESSION_free(s);
}
END_TEST

/* Changed in its key's name, its IV, what is encrypted, or its MAC: a whole handshake is made. */
START_TEST(a_forged_ticket_resumes_nothing)
{
	const unsigned char *ticket;
	struct served d;
	SSL_SESSION *s;
	size_t len, at[4];
	bool reused;

	start(&(struct rig_options){.keys = KEYS_BOTH, .resumption = true, .resumption_12 = true});
	for (int i = 0; i < 4; i++) {
		s = visit(versions[_i], NULL, &reused, &d);
		SSL_SESSION_get0_ticket(s, &ticket, &len);
		ck_assert_uint_gt(len, 100);
		memcpy(at, (size_t[]){0, 16, len / 2, len - 1}, sizeof(at));
		((unsigned char *)ticket)[at[i]] ^= 1; /* the client's own copy */
		s = visit(versions[_i], s, &reused, &d);
		ck_assert_uint_eq(d.ready, 1);
		ck_assert(!reused);
		s = visit(versions[_i], s, &reused, &d); /* the one that it was given instead */
		ck_assert(reused);
		SSL_SESSION_free(s);
	}
}
END_TEST

/* This hour's key and the one before. */
START_TEST(keys_are_for_an_hour)
{
	bool file = _i / 2 == 1;
	struct served d;
	SSL_SESSION *s;
	bool reused;

	write_key(key_path, digits, 0600);
	start(&(struct rig_options){.keys = KEYS_EC, .resumption = true, .resumption_12 = true,
	    .ticket_key_file = file ? key_path : NULL});
	s = visit(versions[_i % 2], NULL, &reused, &d);
	clock_test_advance(HOUR_NS);
	s = visit(versions[_i % 2], s, &reused, &d);
	ck_assert(reused);
	clock_test_advance(HOUR_NS); /* it was given a new one then */
	s = visit(versions[_i % 2], s, &reused, &d);
	ck_assert(reused);
	clock_test_advance(2 * HOUR_NS);
	s = visit(versions[_i % 2], s, &reused, &d);
	ck_assert_uint_eq(d.ready, 1);
	ck_assert(!reused);
	SSL_SESSION_free(s);
}
END_TEST

/* From a file's secret, which stays as long as it is in use, or without. */
static struct rig_options
with_tickets(bool file)
{
	write_key(key_path, digits, 0600);
	return (struct rig_options){.keys = KEYS_EC, .resumption = true, .resumption_12 = true,
	    .ticket_key_file = file ? key_path : NULL};
}

/* How much is kept without the keys. */
static size_t
serve_with_keys(const struct rig_options *o, int version)
{
	size_t without;
	struct served d;
	bool reused;

	start(o);
	without = secret_heap_kept();
	SSL_SESSION_free(visit(version, NULL, &reused, &d));
	ck_assert_uint_gt(secret_heap_kept(), without);
	return without;
}

static int64_t
next_hour_ns(void)
{
	return HOUR_NS - clock_wall() % 3600 * NS_PER_S;
}

static void
pass(int64_t ns)
{
	clock_test_advance(ns);
	loop_turn(rig.loop, false);
}

/* The second hour's last second, and the next one. */
START_TEST(keys_end_though_nobody_comes)
{
	const struct rig_options tickets = with_tickets(_i / 2 == 1);
	size_t without = serve_with_keys(&tickets, versions[_i % 2]);
	struct served d;
	SSL_SESSION *s;
	bool reused;

	for (int64_t left = next_hour_ns() + HOUR_NS; left > 0; left -= 60 * NS_PER_S) {
		ck_assert_uint_gt(secret_heap_kept(), without);
		pass(left < 60 * NS_PER_S ? left : 60 * NS_PER_S);
	}
	ck_assert_uint_eq(secret_heap_kept(), without);
	s = visit(versions[_i % 2], NULL, &reused, &d); /* the next ones end in their time as well */
	s = visit(versions[_i % 2], s, &reused, &d);
	ck_assert(reused);
	SSL_SESSION_free(s);
	pass(24 * HOUR_NS);
	ck_assert_uint_eq(secret_heap_kept(), without);
}
END_TEST

/* Those that were made to look for a ticket's, of a client that left again. */
START_TEST(keys_end_that_fit_no_ticket)
{
	const struct client_options o = {.version = versions[_i], .who = WHO_RIGHT};
	const struct rig_options tickets = with_tickets(true);
	size_t without;
	struct served d;
	struct client c;
	SSL_SESSION *s;
	bool reused;

	start(&tickets);
	without = secret_heap_kept();
	s = visit(versions[_i], NULL, &reused, &d);
	pass(24 * HOUR_NS);
	ck_assert_uint_eq(secret_heap_kept(), without);
	d = (struct served){0};
	rig_connect(&rig, &d, &c, &o);
	ck_assert_int_eq(SSL_set_session(c.ssl, s), 1);
	rig_pump(&rig, &c, 1); /* its hello is read */
	client_leave(&c);
	rig_pump(&rig, &c, 2);
	ck_assert_uint_eq(d.ready, 0);
	ck_assert_uint_gt(secret_heap_kept(), without);
	pass(24 * HOUR_NS);
	ck_assert_uint_eq(secret_heap_kept(), without);
	client_fini(&c);
	served_fini(&d);
	SSL_SESSION_free(s);
}
END_TEST

/* Forwards or backwards: in a minute, as nothing tells us. */
START_TEST(keys_end_by_a_clock_that_is_set)
{
	const struct rig_options tickets = with_tickets(false);
	size_t without = serve_with_keys(&tickets, TLS1_3_VERSION);

	clock_test_jump((_i == 0 ? 2 : -2) * HOUR_NS, 0);
	pass(60 * NS_PER_S);
	ck_assert_uint_eq(secret_heap_kept(), without);
}
END_TEST

START_TEST(a_clock_set_back_keeps_no_key)
{
	struct served d;
	SSL_SESSION *s;
	bool reused;

	start(&(struct rig_options){.keys = KEYS_EC, .resumption = true, .resumption_12 = true});
	clock_test_advance(3 * HOUR_NS);
	s = visit(versions[_i], NULL, &reused, &d);
	clock_test_jump(-3 * HOUR_NS, 0);
	s = visit(versions[_i], s, &reused, &d);
	ck_assert_uint_eq(d.ready, 1);
	ck_assert(!reused);
	SSL_SESSION_free(s);
}
END_TEST

/* A machine without a battery starts there; the hour before has a key, too. */
START_TEST(the_first_hour_of_1970)
{
	struct served d;
	SSL_SESSION *s;
	bool reused;

	write_key(key_path, digits, 0600);
	start(&(struct rig_options){.keys = KEYS_EC, .resumption = true, .resumption_12 = true,
	    .ticket_key_file = key_path});
	s = visit(versions[_i], NULL, &reused, &d);
	clock_test_jump((600 - clock_wall()) * NS_PER_S, 0);
	s = visit(versions[_i], s, &reused, &d);
	ck_assert(!reused);
	SSL_SESSION_free(s);
}
END_TEST

/* While a session stays that holds it, whose client got a ticket.  The next one may know its key. */
START_TEST(a_replaced_server_has_no_keys)
{
	const struct client_options o = {.version = versions[_i % 2], .who = WHO_RIGHT};
	const struct rig_options tickets = with_tickets(_i / 2 == 1);
	size_t before = secret_heap_kept();
	struct served d = {0}, next;
	struct client c;
	bool reused;

	(void)serve_with_keys(&tickets, versions[_i % 2]);
	rig_connect(&rig, &d, &c, &o);
	rig_pump(&rig, &c, TURNS);
	ck_assert_uint_eq(d.ready, 1);
	tls_server_retire(rig.tls);
	ck_assert_uint_eq(secret_heap_kept(), before);
	client_send(&c, "on", 2);
	rig_pump(&rig, &c, 2);
	ck_assert_uint_eq(d.got.len, 2);
	rig_serve_anew(&rig, &tickets);
	SSL_SESSION_free(visit(versions[_i % 2], SSL_get1_session(c.ssl), &reused, &next));
	ck_assert(reused == (_i / 2 == 1));
	client_fini(&c);
	served_fini(&d);
}
END_TEST

/*
 * Who was half way there, or comes with a ticket that it gave: a whole handshake, and a session that works.
 * So does one whose ticket was taken before; none has another then.
 */
START_TEST(a_replaced_server_makes_no_keys)
{
	const bool knows = _i / 2 > 0, begun = _i / 2 != 1;
	const struct client_options o = {.version = versions[_i % 2], .who = WHO_RIGHT};
	const struct rig_options tickets = with_tickets(true);
	size_t before = secret_heap_kept();
	struct served d;
	struct client c;
	SSL_SESSION *s;
	bool reused;

	start(&tickets);
	s = visit(versions[_i % 2], NULL, &reused, &d);
	d = (struct served){0};
	rig_connect(&rig, &d, &c, &o);
	if (knows)
		ck_assert_int_eq(SSL_set_session(c.ssl, s), 1);
	if (begun)
		rig_pump(&rig, &c, 1); /* its hello is answered */
	ck_assert_uint_eq(d.ready, 0);
	tls_server_retire(rig.tls);
	rig_pump(&rig, &c, TURNS);
	ck_assert_uint_eq(d.ready, 1);
	ck_assert(d.peer.resumed == (knows && begun));
	client_send(&c, "on", 2);
	rig_pump(&rig, &c, 2);
	ck_assert_uint_eq(d.got.len, 2);
	ck_assert(!c.ended);
	if (d.peer.resumed)
		ck_assert_ptr_eq(SSL_get0_session(c.ssl), s);
	else
		ck_assert(!SSL_SESSION_has_ticket(SSL_get0_session(c.ssl)));
	ck_assert_uint_eq(secret_heap_kept(), before);
	client_fini(&c);
	served_fini(&d);
	SSL_SESSION_free(s);
}
END_TEST

/* In TLS 1.3 it does so in the place of a ticket.  Before its hello, behind it, or behind its certificate. */
START_TEST(a_replaced_server_says_that_it_refuses)
{
	const int version = versions[_i % 2], moment = _i / 2;
	const struct client_options o = {.version = version, .who = WHO_UNKNOWN};
	const struct rig_options tickets = with_tickets(false);
	const int records[] = {0, 1, version == TLS1_3_VERSION ? 2 : 1}; /* ChangeCipherSpec, too */
	struct served d = {0};
	struct client c;

	start(&tickets);
	rig_connect(&rig, &d, &c, &o);
	SSL_set0_wbio(c.ssl, BIO_new(BIO_s_mem()));
	for (int i = 0; i <= moment; i++) {
		client_step(&c);
		client_pass_on(&c, records[i]);
		loop_turn(rig.loop, false);
	}
	ck_assert_uint_eq(rig.checks, moment == 2);
	tls_server_retire(rig.tls);
	for (int i = 0; i < TURNS; i++) {
		client_pass_on(&c, 100);
		rig_pump(&rig, &c, 1);
	}
	ck_assert_uint_eq(rig.checks, 1);
	ck_assert_int_eq(c.reason, SSL_R_TLSV1_ALERT_UNKNOWN_CA);
	client_leave(&c);
	rig_pump(&rig, &c, 2);
	ck_assert_int_eq(d.end, STREAM_REFUSED);
	ck_assert(d.proven);
	client_fini(&c);
	served_fini(&d);
}
END_TEST

/* Of another gateway, or of this one before it was started anew. */
START_TEST(a_file_is_shared)
{
	struct rig_options o = {.keys = KEYS_EC, .resumption = true, .resumption_12 = true};
	struct served d;
	SSL_SESSION *s;
	bool reused, file = _i == 1;

	write_key(key_path, digits, 0600);
	o.ticket_key_file = file ? key_path : NULL;
	start(&o);
	s = visit(TLS1_3_VERSION, NULL, &reused, &d);
	rig_serve_anew(&rig, &o);
	s = visit(TLS1_3_VERSION, s, &reused, &d);
	ck_assert_uint_eq(d.ready, 1);
	ck_assert(reused == file);
	if (file) {
		write_key(key_path, "ff23456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n",
		    0600);
		rig_serve_anew(&rig, &o);
		s = visit(TLS1_3_VERSION, s, &reused, &d);
		ck_assert(!reused);
	}
	SSL_SESSION_free(s);
}
END_TEST

/* --- the file --- */

static void
expect_refused(const char *path, enum err want, const char *remedy)
{
	const char *certs[] = {rig_path(&rig, "ec.pem"), NULL}, *keys[] = {rig_path(&rig, "ec.key"), NULL};
	const struct tls_params p = {.certificates = certs, .private_keys = keys, .resumption = true,
	    .ticket_key_file = path, .loop = rig.loop};
	struct tls_server *t = NULL;
	const char *why = "";

	ck_assert_int_eq(tls_server_new(&t, &p, &why), want);
	ck_assert_msg(strstr(why, path) != NULL && strstr(why, remedy) != NULL, "%s", why);
}

/* They live for hours, and so must not take what requests in flight need. */
START_TEST(keys_are_kept_ones)
{
	size_t before = secret_heap_kept(), with_root;
	struct served d;
	bool reused;

	write_key(key_path, digits, 0600);
	start(&(struct rig_options){
	    .keys = KEYS_EC, .resumption = true, .ticket_key_file = key_path});
	with_root = secret_heap_kept();
	ck_assert_uint_gt(with_root, before);
	SSL_SESSION_free(visit(TLS1_3_VERSION, NULL, &reused, &d));
	ck_assert_uint_gt(secret_heap_kept(), with_root);
	rig_fini(&rig);
	rig = (struct rig){0};
	ck_assert_uint_eq(secret_heap_kept(), before);
}
END_TEST

START_TEST(refuses_bad_files)
{
	start(&(struct rig_options){.keys = KEYS_EC});
	expect_refused(key_path, ERR_CONFIG, "does not exist");
	write_key(key_path, digits, 0640);
	expect_refused(key_path, ERR_CONFIG, "chmod 0600");
	write_key(key_path, digits, 0600);
	fault_test_arm(FAULT_SECRET_ALLOC, 2, 1); /* behind TLS's key and the root */
	expect_refused(key_path, ERR_NO_SECURE_MEMORY, "no room in the secure heap");
	write_key(key_path, "0123", 0600);
	expect_refused(key_path, ERR_CONFIG, "64 hexadecimal digits");
	write_key(key_path, "", 0600);
	expect_refused(key_path, ERR_CONFIG, "64 hexadecimal digits");
}
END_TEST

/* What is not known to be in memory alone: wherever this runs /proc is no tmpfs, though /tmp may be one. */
START_TEST(refuses_what_may_be_on_a_disk)
{
	const char *in_tmp;
	struct statfs fs;
	char in_proc[64];

	start(&(struct rig_options){.keys = KEYS_EC});
	snprintf(in_proc, sizeof(in_proc), "/proc/%d/personality", (int)getpid());
	expect_refused(in_proc, ERR_CONFIG, "lies on a disk");
	in_tmp = rig_path(&rig, "ticket.key");
	write_key(in_tmp, digits, 0600);
	ck_assert_int_eq(statfs(in_tmp, &fs), 0);
	if (fs.f_type != TMPFS_MAGIC && fs.f_type != RAMFS_MAGIC)
		expect_refused(in_tmp, ERR_CONFIG, "lies on a disk");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("ticket");
	TCase *t = tcase_create("ticket");
	SRunner *runner = srunner_create(suite);
	bool locked;
	int failed;

	if (secret_heap_init(1 << 20, true, &locked) != ERR_OK)
		return 1;
	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_loop_test(t, resumes, 0, 2);
	tcase_add_loop_test(t, a_forged_ticket_resumes_nothing, 0, 2);
	tcase_add_test(t, takes_no_early_data);
	tcase_add_loop_test(t, skips_early_data, 0, 2);
	tcase_add_test(t, resumes_tls12_only_when_told_to);
	tcase_add_loop_test(t, a_removed_certificate_cannot_resume, 0, 2);
	tcase_add_loop_test(t, an_expired_certificate_cannot_resume, 0, 2);
	tcase_add_loop_test(t, keys_are_for_an_hour, 0, 4);
	tcase_add_loop_test(t, keys_end_though_nobody_comes, 0, 4);
	tcase_add_loop_test(t, keys_end_that_fit_no_ticket, 0, 2);
	tcase_add_loop_test(t, keys_end_by_a_clock_that_is_set, 0, 2);
	tcase_add_loop_test(t, a_clock_set_back_keeps_no_key, 0, 2);
	tcase_add_loop_test(t, the_first_hour_of_1970, 0, 2);
	tcase_add_loop_test(t, a_replaced_server_has_no_keys, 0, 4);
	tcase_add_loop_test(t, a_replaced_server_makes_no_keys, 0, 6);
	tcase_add_loop_test(t, a_replaced_server_says_that_it_refuses, 0, 6);
	tcase_add_loop_test(t, a_file_is_shared, 0, 2);
	tcase_add_test(t, keys_are_kept_ones);
	tcase_add_test(t, refuses_bad_files);
	tcase_add_test(t, refuses_what_may_be_on_a_disk);
	suite_add_tcase(suite, t);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
