/* SPDX-License-Identifier: Apache-2.0 */
/* The child that appends to the audit file, by itself: full files, and a gateway that dies. */
#include "gate/audit.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
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

#define FIRST "first"
#define SECOND "second"

static char dir[] = "/tmp/check-audit-child-XXXXXX";

static void
setup(void)
{
	memcpy(dir + sizeof(dir) - 7, "XXXXXX", 6);
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
}

static void
teardown(void)
{
	unlink(FIRST);
	unlink(SECOND);
	rmdir(dir);
}

/* In a process of its own, whose files take ROOM bytes each. */
static pid_t
start_child(int *fd)
{
	const struct rlimit room = {ROOM, RLIM_INFINITY};
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

/* The child is told to use it. */
static void
tell(int to, int fd)
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

	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(h), &fd, sizeof(fd));
	ck_assert_int_eq(sendmsg(to, &m, 0), 1);
}

static int
open_file(const char *path)
{
	int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	return fd;
}

/* Returns a file that the child has been told to use. */
static int
tell_file(int to, const char *path)
{
	int fd = open_file(path);

	tell(to, fd);
	return fd;
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
assert_file(int fd, long size, char first)
{
	struct stat st;
	char c;

	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_int_eq(st.st_size, size);
	ck_assert_int_eq(pread(fd, &c, 1, 0), 1);
	ck_assert_int_eq(c, first);
	close(fd);
}

static void
assert_whole_lines(int fd, int count)
{
	char data[LINE];

	for (int i = 0; i < count; i++) {
		ck_assert_int_eq(pread(fd, data, LINE, i * LINE), LINE);
		ck_assert_int_eq(data[LINE - 1], '\n');
		for (int n = 0; n < LINE - 1; n++)
			ck_assert_int_eq(data[n], 'a' + i);
	}
	assert_file(fd, count * LINE, 'a');
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
	int fd, full, roomy;
	pid_t pid = start_child(&fd);

	full = tell_file(fd, FIRST);
	send_letters(fd, 'a', 3);
	send_letters(fd, 'd', 1);
	got = next_report(fd);
	ck_assert_int_eq(got.failing, EFBIG);
	ck_assert_uint_eq(got.lines, 0);
	roomy = tell_file(fd, SECOND);
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

/* The rest of the line goes behind its beginning. */
START_TEST(test_child_takes_the_same_file)
{
	const struct rlimit more = {10 * LINE, RLIM_INFINITY};
	struct audit_report got;
	int fd, full;
	pid_t pid = start_child(&fd);

	full = tell_file(fd, FIRST);
	send_letters(fd, 'a', 4);
	got = next_report(fd);
	ck_assert_int_eq(got.failing, EFBIG);
	close(tell_file(fd, FIRST));
	for (int i = 0; i < 2; i++) /* it has taken it */
		got = next_report(fd);
	ck_assert_int_eq(prlimit(pid, RLIMIT_FSIZE, &more, NULL), 0);
	while (got.failing != 0)
		got = next_report(fd);
	ck_assert_uint_eq(got.lines, 4);
	close(fd);
	assert_ended(pid);
	assert_whole_lines(full, 4);
}
END_TEST

/* As a power failure leaves it, so many bytes. */
static void
make_torn(const char *path, size_t len)
{
	char data[ROOM];
	int fd = open_file(path);

	memset(data, 'x', sizeof(data));
	ck_assert_int_eq(write(fd, data, len), (ssize_t)len);
	close(fd);
}

/* The line that somebody left behind in the file is ended first. */
START_TEST(test_child_ends_a_torn_line)
{
	struct audit_report got;
	int fd, f;
	char c;
	pid_t pid = start_child(&fd);

	make_torn(FIRST, 10);
	f = tell_file(fd, FIRST);
	for (int i = 0; i < 2; i++) {
		send_letters(fd, (char)('a' + i), 1);
		got = next_report(fd);
		ck_assert_int_eq(got.failing, 0);
		ck_assert_uint_eq(got.lines, i + 1);
		tell(fd, f); /* and no more than that */
	}
	close(fd);
	assert_ended(pid);
	ck_assert_int_eq(pread(f, &c, 1, 10), 1);
	ck_assert_int_eq(c, '\n');
	ck_assert_int_eq(pread(f, &c, 1, 11), 1);
	ck_assert_int_eq(c, 'a');
	assert_file(f, 11 + 2 * LINE, 'x');
}
END_TEST

/* It has no room for the end of its torn line, either: the other one gets the line, and nothing else. */
START_TEST(test_child_leaves_a_torn_line)
{
	struct audit_report got;
	int fd, full, roomy;
	pid_t pid = start_child(&fd);

	make_torn(FIRST, ROOM);
	full = tell_file(fd, FIRST);
	send_letters(fd, 'a', 1);
	got = next_report(fd);
	ck_assert_int_eq(got.failing, EFBIG);
	roomy = tell_file(fd, SECOND);
	while (got.failing != 0)
		got = next_report(fd);
	ck_assert_uint_eq(got.lines, 1);
	close(fd);
	assert_ended(pid);
	assert_file(full, ROOM, 'x');
	assert_whole_lines(roomy, 1);
}
END_TEST

/* How it ends cannot be seen; what is to be written is written. */
START_TEST(test_child_writes_what_it_cannot_read)
{
	struct audit_report got;
	int fd, f;
	pid_t pid = start_child(&fd);

	make_torn(FIRST, 10);
	f = open(FIRST, O_WRONLY | O_APPEND | O_CLOEXEC);
	ck_assert_int_ge(f, 0);
	tell(fd, f);
	close(f);
	send_letters(fd, 'a', 1);
	got = next_report(fd);
	ck_assert_int_eq(got.failing, 0);
	ck_assert_uint_eq(got.lines, 1);
	close(fd);
	assert_ended(pid);
	assert_file(open_file(FIRST), 10 + LINE, 'x');
}
END_TEST

/* What was to go to a file that has no name any more goes to the next one. */
START_TEST(test_child_notices_a_removed_file)
{
	struct audit_report got;
	int fd, removed, other;
	pid_t pid = start_child(&fd);

	removed = tell_file(fd, FIRST);
	send_letters(fd, 'a', 1);
	got = next_report(fd);
	ck_assert_int_eq(got.failing, 0);
	ck_assert_uint_eq(got.lines, 1);
	ck_assert_int_eq(unlink(FIRST), 0);
	send_letters(fd, 'b', 1);
	got = next_report(fd);
	ck_assert_int_eq(got.failing, ENOENT);
	ck_assert_uint_eq(got.lines, 1);
	other = tell_file(fd, FIRST);
	while (got.failing != 0)
		got = next_report(fd);
	ck_assert_uint_eq(got.lines, 2);
	close(fd);
	assert_ended(pid);
	assert_file(removed, LINE, 'a');
	assert_file(other, LINE, 'b');
}
END_TEST

/* The gateway is killed before it has read all reports: what it had handed over is written. */
START_TEST(test_child_outlives_the_gateway)
{
	struct pollfd p;
	int fd, status;
	pid_t pid = start_child(&fd);
	int f = tell_file(fd, FIRST);

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

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_child_takes_another_file);
	tcase_add_test(t, test_child_takes_the_same_file);
	tcase_add_test(t, test_child_ends_a_torn_line);
	tcase_add_test(t, test_child_leaves_a_torn_line);
	tcase_add_test(t, test_child_writes_what_it_cannot_read);
	tcase_add_test(t, test_child_notices_a_removed_file);
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
