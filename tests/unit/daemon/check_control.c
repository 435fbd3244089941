/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket, spoken to over real UNIX sockets with virtual time. */
#include "daemon/control.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/json.h"
#include "base/log.h"

static char dir[64], path[96];
static struct loop *loop;
static struct control *control;
static enum err refuse_changes;	 /* ERR_OK: they may run */
static struct control_call *held; /* what the command "hold" was called with */

static void
run_echo(struct control_call *call)
{
	struct json j;
	uint64_t max = 0;

	if (!control_number(call, "max", 100, 7, &max)) {
		control_done(call, ERR_INVALID_FIELD, "max: a number up to 100");
		return;
	}
	json_init(&j, &call->out);
	json_object(&j, NULL);
	json_text(&j, "user", call->user);
	json_text(&j, "name", control_arg(call, "name"));
	json_int(&j, "max", (int64_t)max);
	json_text(&j, "first", control_word(call, 0));
	json_text(&j, "second", control_word(call, 1));
	json_array(&j, "empty");
	json_array_end(&j);
	json_bool(&j, "yes", control_flag(call, "flag"));
	json_time(&j, "never", 0);
	json_time(&j, "then", 86400);
	json_object_end(&j);
	control_done(call, ERR_OK, NULL);
}

static void
run_hold(struct control_call *call)
{
	held = call;
}

static void
run_fail(struct control_call *call)
{
	control_done(call, ERR_BUSY, NULL);
}

static void
run_overflow(struct control_call *call)
{
	static const char line[4096] = "x";

	for (size_t i = 0; i < CONTROL_ANSWER_MAX / sizeof(line) + 1; i++)
		buf_put(&call->out, line, sizeof(line));
	control_done(call, ERR_OK, NULL);
}

/* A document that is whole, and one that it fails in. */
static void
run_half(struct control_call *call)
{
	buf_printf(&call->out, "{}\n[1,");
	control_done(call, ERR_STORAGE, NULL);
}

static const struct control_command commands[] = {
    {"echo", "[name=TEXT] [max=N] [WORD]... [flag=yes] [more=x-TEXT]...", "answers with its arguments",
	CONTROL_LOOKS, run_echo},
    {"hold on", "", "ends later", CONTROL_CHANGES, run_hold},
    {"fail", "", "fails", CONTROL_LOOKS, run_fail},
    {"pair", "A B | b=N", "fails", CONTROL_LOOKS, run_fail},
    {"overflow", "", "answers more than fits", CONTROL_LOOKS, run_overflow},
    {"half", "", "fails in a document", CONTROL_LOOKS, run_half},
    {NULL, NULL, NULL, CONTROL_LOOKS, NULL},
};

static const struct control_command more[] = {
    {"more", "", "is not listed", CONTROL_LOOKS, run_fail},
    {NULL, NULL, NULL, CONTROL_LOOKS, NULL},
};

static char user[] = "us\"er";

static struct {
	unsigned count;
	char name[64];
	long uid, pid;
	enum err err;
} ended;

static void
on_ended(void *arg, const struct control_call *call, long uid, long pid, enum err e)
{
	ck_assert_ptr_eq(arg, user);
	ended.count++;
	snprintf(ended.name, sizeof(ended.name), "%s", call->argv[0]);
	ended.uid = uid;
	ended.pid = pid;
	ended.err = e;
}

static enum err
may_run(void *arg, const struct control_command *command)
{
	ck_assert_ptr_eq(arg, user);
	return command->kind == CONTROL_CHANGES ? refuse_changes : ERR_OK;
}

static enum err
start(struct control **out, const char **why)
{
	const struct control_params p = {.path = path,
	    .mode = 0640,
	    .commands = commands,
	    .more = more,
	    .user = user,
	    .may = may_run,
	    .ended = on_ended,
	    .timeout_ns = 10 * NS_PER_S};

	return control_new(out, loop, &p, why);
}

static void
setup(void)
{
	const char *why = "";

	clock_test_freeze(1700000000);
	log_set_level(LOG_ERROR);
	snprintf(dir, sizeof(dir), "/tmp/check_control.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/c.sock", dir);
	loop = loop_new();
	ck_assert_ptr_nonnull(loop);
	ck_assert_int_eq(start(&control, &why), ERR_OK);
	held = NULL;
	refuse_changes = ERR_OK;
}

static void
teardown(void)
{
	control_free(control);
	loop_free(loop);
	unlink(path);
	rmdir(dir);
}

static void
turns(void)
{
	for (int i = 0; i < 20; i++)
		loop_turn(loop, false);
}

static int
dial(void)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	ck_assert_int_ge(fd, 0);
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	return fd;
}

static void
say(int fd, const char *text)
{
	ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
	turns();
}

/* What has come, as text; "EOF" when the connection was closed and nothing came. */
static const char *
heard(int fd)
{
	static char text[65536];
	ssize_t n = recv(fd, text, sizeof(text) - 1, 0);

	if (n < 0 && errno == EAGAIN)
		return "";
	if (n <= 0)
		return "EOF";
	text[n] = '\0';
	return text;
}

#define OK_LINE "{\"status\":\"ok\"}\n"

START_TEST(arguments_arrive)
{
	int fd = dial();

	say(fd, "echo\tname=a=b\tmax=99\t=x=y\t=\tflag=yes\tmore=1\tmore=1\n");
	ck_assert_str_eq(heard(fd),
	    "{\"user\":\"us\\\"er\",\"name\":\"a=b\",\"max\":99,\"first\":\"x=y\",\"second\":\"\","
	    "\"empty\":[],\"yes\":true,\"never\":null,\"then\":\"1970-01-02T00:00:00.000Z\"}"
	    "\n" OK_LINE);
	say(fd, "echo\tmax=101\n");
	ck_assert_str_eq(
	    heard(fd), "{\"status\":\"error\",\"error\":\"max: a number up to 100\"}\n");
	close(fd);
}
END_TEST

/* What would not count must not be taken for what does. */
START_TEST(arguments_are_held_against_the_usage)
{
	static const struct {
		const char *request, *why;
	} wrong[] = {
	    {"echo\tname=a\tname=b\n", "name: is given twice"},
	    {"echo\tname=a\tmax=1\tname=\n", "name: is given twice"},
	    {"echo\tflag=yes\tflag=no\n", "flag: is given twice"},
	    {"echo\tnam=a\n", "nam: is no argument of the command"},
	    {"echo\tnames=a\n", "names: is no argument of the command"},
	    {"echo\tWORD=a\n", "WORD: is no argument of the command"},
	    {"echo\tname\n", "name: is neither NAME=VALUE nor =WORD"},
	    {"echo\t\n", ": is neither NAME=VALUE nor =WORD"},
	    {"echo\tflag=true\n", "flag: has to be yes or no"},
	    {"echo\tflag=\n", "flag: has to be yes or no"},
	    {"fail\t=word\n", "=word: is one word more than the command takes"},
	    {"help\tfail=x\n", "fail: is no argument of the command"},
	    {"pair\t=a\t=b\t=c\n", "=c: is one word more than the command takes"},
	};
	char answer[256];
	int fd = dial();

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		say(fd, wrong[i].request);
		snprintf(answer, sizeof(answer), "{\"status\":\"error\",\"error\":\"%s\"}\n",
		    wrong[i].why);
		ck_assert_str_eq(heard(fd), answer);
	}
	say(fd, "echo\tflag=no\n");
	ck_assert_ptr_nonnull(strstr(heard(fd), "\"yes\":false"));
	say(fd, "pair\tb=2\t=a\t=b\n");
	ck_assert_str_eq(heard(fd), "{\"status\":\"error\",\"error\":\"too busy, try again\"}\n");
	close(fd);
}
END_TEST

START_TEST(several_requests_in_one_piece)
{
	int fd = dial();

	ended.count = 0;
	say(fd, "fail\nfail\nec");
	ck_assert_uint_eq(ended.count, 2);
	ck_assert_str_eq(ended.name, "fail");
	ck_assert_int_eq(ended.err, ERR_BUSY);
	ck_assert_int_eq(ended.uid, (long)getuid());
	ck_assert_int_eq(ended.pid, (long)getpid());
	ck_assert_str_eq(heard(fd), "{\"status\":\"error\",\"error\":\"too busy, try again\"}\n"
				    "{\"status\":\"error\",\"error\":\"too busy, try again\"}\n");
	say(fd, "ho\tmax=1\n");
	ck_assert_ptr_nonnull(strstr(heard(fd), "\"max\":1,"));
	close(fd);
}
END_TEST

START_TEST(commands_may_be_refused)
{
	int fd = dial();

	ended.count = 0;
	refuse_changes = ERR_AUDIT;
	say(fd, "hold on\n");
	ck_assert_ptr_null(held);
	ck_assert_ptr_nonnull(strstr(heard(fd), "the audit log cannot be written"));
	ck_assert_uint_eq(ended.count, 1);
	ck_assert_int_eq(ended.err, ERR_AUDIT);
	say(fd, "echo\n");
	ck_assert_ptr_nonnull(strstr(heard(fd), OK_LINE));
	close(fd);
}
END_TEST

/* `nc -N`: the client shuts its side down and still reads. */
START_TEST(half_closed_client_is_answered)
{
	int fd = dial();

	ck_assert_int_eq(send(fd, "hold on\n", 8, 0), 8);
	shutdown(fd, SHUT_WR);
	turns();
	ck_assert_ptr_nonnull(held);
	ck_assert_str_eq(heard(fd), "");
	control_done(held, ERR_OK, NULL);
	turns();
	ck_assert_str_eq(heard(fd), OK_LINE);
	ck_assert_str_eq(heard(fd), "EOF");
	close(fd);
}
END_TEST

START_TEST(nonsense_is_refused)
{
	static char longest[CONTROL_LINE_MAX];
	int fd = dial();

	say(fd, "no-such\n");
	ck_assert_str_eq(heard(fd), "{\"status\":\"error\",\"error\":\"no such command\"}\n");
	say(fd, "echo\t1\t2\t3\t4\t5\t6\t7\t8\t9\t10\t11\t12\t13\t14\t15\t16\n");
	ck_assert_str_eq(heard(fd), "{\"status\":\"error\",\"error\":\"no such command\"}\n");
	ck_assert_int_eq(send(fd, "ec\0ho\n", 6, 0), 6);
	turns();
	ck_assert_ptr_nonnull(strstr(heard(fd), "not well formed"));
	ck_assert_str_eq(heard(fd), "EOF");
	close(fd);
	fd = dial();
	memset(longest, 'e', sizeof(longest));
	ck_assert_int_eq(send(fd, longest, sizeof(longest), 0), (ssize_t)sizeof(longest));
	turns();
	ck_assert_ptr_nonnull(strstr(heard(fd), "larger than allowed"));
	ck_assert_str_eq(heard(fd), "EOF");
	close(fd);
}
END_TEST

START_TEST(progress_comes_before_the_end)
{
	int fd = dial();

	say(fd, "hold on\n");
	buf_printf(&held->out, "{\"done\":1}\n");
	ck_assert(control_flush(held));
	turns();
	ck_assert_str_eq(heard(fd), "{\"done\":1}\n");
	clock_test_advance(9 * NS_PER_S);
	ck_assert(control_flush(held)); /* a sign of life */
	clock_test_advance(9 * NS_PER_S);
	turns();
	ck_assert_str_eq(heard(fd), "");
	buf_printf(&held->out, "{\"done\":2}\n");
	control_done(held, ERR_STORAGE, "disk \"x\"");
	turns();
	ck_assert_str_eq(
	    heard(fd), "{\"done\":2}\n{\"status\":\"error\",\"error\":\"disk \\\"x\\\"\"}\n");
	close(fd);
}
END_TEST

START_TEST(client_goes_while_a_command_runs)
{
	int fd = dial();

	say(fd, "hold on\n");
	shutdown(fd, SHUT_WR);
	turns();
	ck_assert(control_heard(held)); /* it asks for nothing else */
	close(fd);
	ck_assert(!control_heard(held));
	buf_printf(&held->out, "{}\n");
	ck_assert(!control_flush(held));
	turns();
	ck_assert(!control_flush(held));
	ck_assert_str_eq(held->argv[0], "hold on"); /* its own, not the client's */
	control_done(held, ERR_OK, NULL);
	turns();
}
END_TEST

START_TEST(command_takes_too_long)
{
	int fd = dial();

	say(fd, "hold on\n");
	clock_test_advance(11 * NS_PER_S);
	turns();
	ck_assert_str_eq(heard(fd), "{\"status\":\"unknown\",\"error\":\"the command is taking too "
				    "long and goes on unattended\"}\n");
	ck_assert_str_eq(heard(fd), "EOF");
	ck_assert(!control_flush(held));
	control_done(held, ERR_OK, NULL);
	close(fd);
}
END_TEST

/* Of what was done all the same, perhaps, nobody may think that it was not. */
START_TEST(errors_that_leave_it_open)
{
	int fd = dial();

	say(fd, "hold on\n");
	held->unsure = true;
	control_done(held, ERR_STORAGE, "who knows");
	turns();
	ck_assert_str_eq(heard(fd), "{\"status\":\"unknown\",\"error\":\"who knows\"}\n");
	say(fd, "hold on\n");
	held->unsure = true;
	control_done(held, ERR_OK, NULL);
	turns();
	ck_assert_str_eq(heard(fd), "{\"status\":\"ok\"}\n");
	say(fd, "hold on\n");
	control_done(held, ERR_STORAGE, "refused");
	turns();
	ck_assert_str_eq(heard(fd), "{\"status\":\"error\",\"error\":\"refused\"}\n");
	close(fd);
}
END_TEST

START_TEST(silent_client_is_closed)
{
	int fd = dial();

	turns();
	clock_test_advance(11 * NS_PER_S);
	turns();
	ck_assert_str_eq(heard(fd), "EOF");
	close(fd);
}
END_TEST

START_TEST(answer_over_the_ceiling)
{
	int fd = dial();

	say(fd, "overflow\n");
	ck_assert_str_eq(heard(fd),
	    "{\"status\":\"error\",\"error\":\"the response would be larger than allowed\"}\n");
	close(fd);
}
END_TEST

START_TEST(no_half_documents)
{
	int fd = dial();

	say(fd, "half\n");
	ck_assert_str_eq(heard(fd), "{}\n{\"status\":\"error\",\"error\":\"the storage failed\"}\n");
	close(fd);
}
END_TEST

/* One who does not read is dropped once the ceiling or the time limit is reached. */
START_TEST(slow_readers)
{
	static const char line[65536] = "y";
	int fd = dial(), fd2 = dial();

	say(fd, "hold on\n");
	for (int i = 0; i < 200 && control_flush(held); i++)
		buf_put(&held->out, line, sizeof(line));
	ck_assert(!control_flush(held));
	turns();
	control_done(held, ERR_OK, NULL);
	say(fd2, "hold on\n");
	for (int i = 0; i < 100; i++)
		buf_put(&held->out, line, sizeof(line));
	control_done(held, ERR_OK, NULL);
	turns();
	clock_test_advance(11 * NS_PER_S);
	turns();
	for (int i = 0; i < 200 && strcmp(heard(fd2), "EOF") != 0; i++)
		ck_assert_int_lt(i, 199);
	close(fd);
	close(fd2);
}
END_TEST

START_TEST(too_many_clients)
{
	int fds[CONTROL_CLIENTS_MAX], one_more;

	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		fds[i] = dial();
		turns();
	}
	one_more = dial();
	turns();
	ck_assert_ptr_nonnull(strstr(heard(one_more), "too busy"));
	ck_assert_str_eq(heard(one_more), "EOF");
	close(one_more);
	close(fds[0]);
	turns();
	one_more = dial();
	say(one_more, "fail\n");
	ck_assert_ptr_nonnull(strstr(heard(one_more), "error"));
	close(one_more);
	for (int i = 1; i < CONTROL_CLIENTS_MAX; i++)
		close(fds[i]);
}
END_TEST

/* Neither descriptors nor memory of the kernel's are there for a while. */
START_TEST(is_not_deaf_for_good)
{
	int fd = dial();

	fault_test_arm(FAULT_ACCEPT_EMFILE, 0, 1);
	fault_test_arm(FAULT_WATCH, 0, 2);
	say(fd, "fail\n");
	for (int second = 0; second < 3; second++) {
		turns();
		ck_assert_str_eq(heard(fd), "");
		clock_test_advance(NS_PER_S);
	}
	turns();
	ck_assert_ptr_nonnull(strstr(heard(fd), "error"));
	close(fd);
}
END_TEST

START_TEST(help_lists_the_table)
{
	const char *text;
	int fd = dial();

	say(fd, "help\n");
	text = heard(fd);
	ck_assert_ptr_nonnull(
	    strstr(text, "{\"command\":\"hold on\",\"arguments\":\"\",\"help\":\"ends later\"}\n"));
	ck_assert_ptr_nonnull(strstr(text, OK_LINE));
	ck_assert_ptr_null(strstr(text, "not listed"));
	say(fd, "more\n");
	ck_assert_ptr_nonnull(strstr(heard(fd), "busy"));
	close(fd);
}
END_TEST

START_TEST(socket_file)
{
	struct control *second = NULL;
	const char *why = "";
	struct stat st;
	FILE *f;

	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0640);
	/* one that is alive stays */
	ck_assert_int_eq(start(&second, &why), ERR_IN_USE);
	ck_assert_ptr_nonnull(strstr(why, "another process answers"));
	ck_assert_int_eq(stat(path, &st), 0);
	/* a stale one is replaced: renamed, the file survives its owner */
	control_free(control);
	ck_assert_int_ne(stat(path, &st), 0);
	ck_assert_int_eq(start(&control, &why), ERR_OK);
	{
		char other[128];

		snprintf(other, sizeof(other), "%s.old", path);
		ck_assert_int_eq(rename(path, other), 0);
		control_free(control);
		ck_assert_int_eq(rename(other, path), 0);
	}
	ck_assert_int_eq(start(&control, &why), ERR_OK);
	control_free(control);
	/* what is no socket is nobody's business */
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fclose(f);
	control = NULL;
	ck_assert_int_eq(start(&control, &why), ERR_IO);
	ck_assert_ptr_nonnull(strstr(why, "not a socket"));
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_ptr_null(control);
}
END_TEST

/* The linker has control_socket.c call this in the place of chmod(). */
int __wrap_chmod(const char *file, mode_t mode);
int __real_chmod(const char *file, mode_t mode);

static mode_t mode_before; /* of the socket, when it is given its own */

int
__wrap_chmod(const char *file, mode_t mode)
{
	struct stat st;

	if (strcmp(file, path) == 0 && stat(file, &st) == 0)
		mode_before = st.st_mode;
	return __real_chmod(file, mode);
}

/* Whatever the process's mask would let in; and that is left as it was. */
START_TEST(socket_is_closed_from_its_first_moment)
{
	const char *why = "";
	struct stat st;
	mode_t mask;

	control_free(control);
	mode_before = 0;
	mask = umask(0);
	ck_assert_int_eq(start(&control, &why), ERR_OK);
	ck_assert_uint_eq(umask(mask), 0);
	ck_assert(S_ISSOCK(mode_before));
	ck_assert_uint_eq(mode_before & 07777, 0600);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0640);
}
END_TEST

/* A call that outlives the control socket still ends cleanly. */
START_TEST(free_under_a_call)
{
	int fd = dial();

	say(fd, "hold on\n");
	control_free(control);
	control = NULL;
	ck_assert(!control_flush(held));
	control_done(held, ERR_OK, NULL);
	turns();
	ck_assert_str_eq(heard(fd), "EOF");
	close(fd);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("control");
	TCase *tc = tcase_create("control");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, arguments_arrive);
	tcase_add_test(tc, arguments_are_held_against_the_usage);
	tcase_add_test(tc, several_requests_in_one_piece);
	tcase_add_test(tc, commands_may_be_refused);
	tcase_add_test(tc, half_closed_client_is_answered);
	tcase_add_test(tc, nonsense_is_refused);
	tcase_add_test(tc, progress_comes_before_the_end);
	tcase_add_test(tc, client_goes_while_a_command_runs);
	tcase_add_test(tc, command_takes_too_long);
	tcase_add_test(tc, errors_that_leave_it_open);
	tcase_add_test(tc, silent_client_is_closed);
	tcase_add_test(tc, answer_over_the_ceiling);
	tcase_add_test(tc, no_half_documents);
	tcase_add_test(tc, slow_readers);
	tcase_add_test(tc, too_many_clients);
	tcase_add_test(tc, is_not_deaf_for_good);
	tcase_add_test(tc, help_lists_the_table);
	tcase_add_test(tc, socket_file);
	tcase_add_test(tc, socket_is_closed_from_its_first_moment);
	tcase_add_test(tc, free_under_a_call);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
