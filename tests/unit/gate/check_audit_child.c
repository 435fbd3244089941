/* SPDX-License-Identifier: Apache-2.0 */
/* The child that appends to the audit file, by itself: full files, and a gateway that dies. */
#include "gate/audit.h"

#include <check.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"

#include "audit_queue.h"

enum { LINE = 40, ROOM = 100 };

/* In a process of its own, whose files take ROOM bytes each. */
static pid_t
start_child(int *fd)
{
	const struct rlimit room = {ROOM, ROOM};
	int pair[2];
	pid_t pid;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		close(pair[0]);
		if (setrlimit(RLIMIT_FSIZE, &room) != 0)
			_exit(EXIT_FAILURE);
		_exit(audit_child_main(pair[1]));
	}
	close(pair[1]);
	*fd = pair[0];
	return pid;
}

/* Returns a file that the child has been told to use. */
static FILE *
tell_file(int to)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {.room = ""};
	struct iovec iov = {(char[]){"f"}, 1};
	struct msghdr m = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = &control,
	    .msg_controllen = sizeof(control)};
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	FILE *f = tmpfile();
	int fd;

	ck_assert_ptr_nonnull(f);
	fd = fileno(f);
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(h), &fd, sizeof(fd));
	ck_assert_int_eq(sendmsg(to, &m, 0), 1);
	return f;
}

/* Lines of one letter each, from this one on. */
static void
send_letters(int to, char first, int count)
{
	char data[10 * LINE];

	for (int i = 0; i < count; i++) {
		memset(data + i * LINE, first + i, LINE - 1);
		data[i * LINE + LINE - 1] = '\n';
	}
	ck_assert_int_eq(send(to, data, (size_t)(count * LINE), 0), count * LINE);
}

static struct audit_report
next_report(int from)
{
	struct audit_report got;

	ck_assert_int_eq(recv(from, &got, sizeof(got), 0), sizeof(got));
	return got;
}

/* The file's size, and its first letter. */
static void
assert_file(FILE *f, long size, char first)
{
	struct stat st;
	char c;

	ck_assert_int_eq(fstat(fileno(f), &st), 0);
	ck_assert_int_eq(st.st_size, size);
	ck_assert_int_eq(pread(fileno(f), &c, 1, 0), 1);
	ck_assert_int_eq(c, first);
	fclose(f);
}

static void
assert_ended(pid_t pid)
{
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS);
}

/* What a full one does not take goes to the next one, from the start of a line. */
START_TEST(test_child_takes_another_file)
{
	struct audit_report got;
	FILE *full, *roomy;
	int fd;
	pid_t pid = start_child(&fd);

	full = tell_file(fd);
	send_letters(fd, 'a', 3);
	send_letters(fd, 'd', 1);
	got = next_report(fd);
	ck_assert_int_eq(got.failing, EFBIG);
	ck_assert_uint_eq(got.lines, 0);
	roomy = tell_file(fd);
	while (got.failing != 0)
		got = next_report(fd);
	ck_assert_uint_ge(got.lines, 3);
	while (got.lines < 4)
		got = next_report(fd);
	close(fd);
	assert_ended(pid);
	assert_file(full, ROOM, 'a');
	assert_file(roomy, 2 * LINE, 'c');
}
END_TEST

/* The gateway is killed before it has read all reports: what it had handed over is written. */
START_TEST(test_child_outlives_the_gateway)
{
	struct pollfd p;
	int fd, status;
	pid_t pid = start_child(&fd);
	FILE *f = tell_file(fd);

	send_letters(fd, 'a', 1);
	p = (struct pollfd){.fd = fd, .events = POLLIN};
	ck_assert_int_eq(poll(&p, 1, -1), 1);
	kill(pid, SIGSTOP);
	ck_assert_int_eq(waitpid(pid, &status, WUNTRACED), pid);
	send_letters(fd, 'b', 1);
	close(fd);
	kill(pid, SIGCONT);
	assert_ended(pid);
	assert_file(f, 2 * LINE, 'a');
}
END_TEST

static Suite *
child_suite(void)
{
	Suite *s = suite_create("audit child");
	TCase *t = tcase_create("audit child");

	tcase_add_test(t, test_child_takes_another_file);
	tcase_add_test(t, test_child_outlives_the_gateway);
	suite_add_tcase(s, t);
	return s;
}

int
main(void)
{
	SRunner *r;
	int failed;

	if (alloc_install() != ERR_OK)
		return EXIT_FAILURE;
	r = srunner_create(child_suite());
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
