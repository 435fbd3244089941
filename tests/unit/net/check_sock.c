/* SPDX-License-Identifier: Apache-2.0 */
/* The BIO over a socket: what it asks the kernel, and what it makes of the answers. */
#include <check.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sock.h"

static struct sock sock;
static BIO *bio;
static int peer;
static char got[64];

static void
set_up(void)
{
	int fd[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	sock = (struct sock){.fd = fd[0]};
	peer = fd[1];
	bio = sock_bio(&sock);
	ck_assert_ptr_nonnull(bio);
}

static void
tear_down(void)
{
	BIO_free(bio);
	close(sock.fd);
	if (peer >= 0)
		close(peer);
}

static void
say(const char *text)
{
	ck_assert_int_eq(write(peer, text, strlen(text)), (int)strlen(text));
}

static void
expect_nothing(void)
{
	errno = 0;
	ck_assert_int_eq(BIO_read(bio, got, sizeof(got)), -1);
	ck_assert_int_eq(errno, EAGAIN);
	ck_assert(BIO_should_read(bio));
	ck_assert(!BIO_eof(bio));
}

/* What comes after a short read is not seen before its edge: nobody asked. */
START_TEST(asks_again_after_an_edge_only)
{
	say("abc");
	ck_assert_int_eq(BIO_read(bio, got, sizeof(got)), 3);
	say("de");
	expect_nothing();
	sock_edge(&sock, false);
	ck_assert_int_eq(BIO_read(bio, got, sizeof(got)), 2);
	sock_edge(&sock, false);
	expect_nothing();
}
END_TEST

/* A read that brought all that was asked for may have left something. */
START_TEST(reads_on_after_a_full_buffer)
{
	say("abcdef");
	ck_assert_int_eq(BIO_read(bio, got, 4), 4);
	ck_assert_int_eq(BIO_read(bio, got, 4), 2);
	expect_nothing();
}
END_TEST

/* Bytes and end came with one edge: no other will tell of the end. */
START_TEST(sees_the_end_behind_the_bytes)
{
	say("abc");
	close(peer);
	peer = -1;
	sock_edge(&sock, true);
	ck_assert_int_eq(BIO_read(bio, got, sizeof(got)), 3);
	ck_assert_int_eq(BIO_read(bio, got, sizeof(got)), 0);
	ck_assert(BIO_eof(bio));
	ck_assert(!BIO_should_retry(bio));
}
END_TEST

START_TEST(writes_until_it_is_full)
{
	static const char block[4096];
	int n;

	while ((n = BIO_write(bio, block, sizeof(block))) > 0)
		;
	ck_assert_int_eq(n, -1);
	ck_assert(BIO_should_write(bio));
	ck_assert_int_eq(BIO_flush(bio), 1);
	close(peer);
	peer = -1;
	ck_assert_int_eq(BIO_write(bio, block, 1), -1); /* and no SIGPIPE */
	ck_assert(!BIO_should_retry(bio));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("sock");
	TCase *t = tcase_create("sock");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, asks_again_after_an_edge_only);
	tcase_add_test(t, reads_on_after_a_full_buffer);
	tcase_add_test(t, sees_the_end_behind_the_bytes);
	tcase_add_test(t, writes_until_it_is_full);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
