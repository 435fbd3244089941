/* SPDX-License-Identifier: Apache-2.0 */
/* The log writer. */
#include <stdio.h>
#include <poll.h>
#include <signal.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/metric.h"

static int out[2];
static char text[16384];

static void
open_log(void)
{
	ck_assert_int_eq(pipe2(out, O_NONBLOCK), 0);
	log_set_output(out[1], false);
	log_set_level(LOG_INFO);
	LOG(LOG_INFO, "open", "takes the number of lines that went to a closed log before");
	ck_assert_int_gt(read(out[0], text, sizeof(text)), 0);
}

static void
close_log(void)
{
	log_set_output(STDERR_FILENO, true);
	close(out[0]);
	close(out[1]);
}

static const char *
written(void)
{
	ssize_t n = read(out[0], text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

START_TEST(writes_one_line)
{
	open_log();
	LOG(LOG_WARN, "stream", "closed", kv_text("why", "no reason"), kv_int("age-ms", -5),
	    kv_text("none", NULL), kv_text("plain", "x"));
	ck_assert_str_eq(written(),
	    "warn stream: closed why=\"no reason\" age-ms=-5 none=\"\" plain=x\n");
	LOG(LOG_INFO, "stream", "nothing more");
	ck_assert_str_eq(written(), "info stream: nothing more\n");
	close_log();
}
END_TEST

START_TEST(lets_no_value_break_the_line)
{
	open_log();
	LOG(LOG_INFO, "tls", "refused", kv_text("subject", "CN=x\nerror tls: forged\" a=\"b"),
	    kv_bytes("raw", "\0\xff", 2));
	ck_assert_str_eq(written(), "info tls: refused subject=\"CN=x\\x0aerror tls: forged\\x22 "
	    "a=\\x22b\" raw=\\x00\\xff\n");
	close_log();
}
END_TEST

START_TEST(cuts_but_ends_each_line)
{
	char big[2000];
	const char *line;

	open_log();
	memset(big, '\n', sizeof(big));
	LOG(LOG_INFO, "a", "b", kv_bytes("one", big, sizeof(big)), kv_bytes("two", big, sizeof(big)),
	    kv_bytes("three", big, sizeof(big)));
	line = written();
	ck_assert_uint_le(strlen(line), 4096);
	ck_assert_ptr_eq(strchr(line, '\n'), line + strlen(line) - 1);
	close_log();
}
END_TEST

START_TEST(keeps_to_its_level_and_errno)
{
	enum log_level level = LOG_ERROR;

	open_log();
	LOG(LOG_DEBUG, "a", "unwanted");
	ck_assert_str_eq(written(), "");
	ck_assert(log_parse_level("debug", &level));
	log_set_level(level);
	close(out[0]); /* nobody reads: the line is lost, errno is not */
	out[0] = open("/dev/null", O_RDONLY);
	log_set_output(-1, false);
	errno = ENOENT;
	LOG(LOG_DEBUG, "a", "lost");
	ck_assert_int_eq(errno, ENOENT);
	ck_assert(!log_parse_level("loud", &level));
	ck_assert_str_eq(log_level_name(level), "debug");
	close_log();
}
END_TEST

START_TEST(puts_the_time_in_front)
{
	open_log();
	clock_test_freeze(1760000000);
	log_set_output(out[1], true);
	LOG(LOG_ERROR, "a", "b");
	ck_assert_str_eq(written(), "2025-10-09T08:53:20.000Z error a: b\n");
	close_log();
}
END_TEST

/* Nobody reads: the writer goes on, and says afterwards how much is missing. */
START_TEST(never_waits_for_a_reader)
{
	int64_t before = metric_get(METRIC_LOG_LOST_TOTAL);
	char want[64];
	int lost;

	open_log();
	for (int i = 0; i < 5000; i++)
		LOG(LOG_INFO, "flood", "a line that makes a pipe full sooner or later");
	lost = (int)(metric_get(METRIC_LOG_LOST_TOTAL) - before);
	ck_assert_int_gt(lost, 0);
	ck_assert_int_lt(lost, 5000);
	while (poll(&(struct pollfd){.fd = out[0], .events = POLLIN}, 1, 0) == 1)
		written();
	LOG(LOG_INFO, "flood", "over");
	snprintf(want, sizeof(want), "info flood: over lines-lost-before=%d\n", lost);
	ck_assert_str_eq(written(), want);
	LOG(LOG_INFO, "flood", "quiet");
	ck_assert_str_eq(written(), "info flood: quiet\n");
	close_log();
}
END_TEST

/* There is something to say then. */
START_TEST(needs_no_memory)
{
	int64_t before = metric_get(METRIC_LOG_LOST_TOTAL);

	open_log();
	fault_test_arm(FAULT_ALLOC, 0, 100);
	LOG(LOG_ERROR, "a", "out of memory", kv_text("what", "with a space"), kv_int("n", 1));
	fault_test_clear();
	ck_assert_str_eq(written(), "error a: out of memory what=\"with a space\" n=1\n");
	ck_assert_int_eq(metric_get(METRIC_LOG_LOST_TOTAL), before);
	close_log();
}
END_TEST

START_TEST(keeps_a_long_text)
{
	static char long_text[1500];

	open_log();
	memset(long_text, 't', sizeof(long_text) - 1);
	LOG(LOG_INFO, "a", long_text);
	ck_assert_uint_eq(strlen(written()), strlen("info a: \n") + sizeof(long_text) - 1);
	close_log();
}
END_TEST

/* A line that a full disk has cut is not glued to the next one. */
START_TEST(begins_a_line_after_a_cut_one)
{
	static const char want[] = "info a: \ninfo a: next lines-lost-before=1\n";
	struct rlimit limit;
	char got[64] = "";
	FILE *f = tmpfile();

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &limit);
	log_set_output(fileno(f), false);
	setrlimit(RLIMIT_FSIZE, &(struct rlimit){8, limit.rlim_max});
	LOG(LOG_INFO, "a", "first");
	setrlimit(RLIMIT_FSIZE, &limit);
	LOG(LOG_INFO, "a", "next");
	rewind(f);
	ck_assert_uint_eq(fread(got, 1, sizeof(got), f), sizeof(want) - 1);
	ck_assert_mem_eq(got, want, sizeof(want) - 1);
	fclose(f);
	log_set_output(STDERR_FILENO, false);
}
END_TEST

/* Files and sockets are written to in other ways than pipes. */
START_TEST(writes_to_files_and_sockets)
{
	char got[64] = "";
	int pair[2];
	FILE *f = tmpfile();

	log_set_output(fileno(f), false);
	LOG(LOG_INFO, "a", "one", kv_int("n", INT64_MIN));
	LOG(LOG_INFO, "a", "two", kv_int("n", 0), kv_int("m", -10));
	rewind(f);
	ck_assert_uint_eq(fread(got, 1, sizeof(got), f), 57);
	ck_assert_mem_eq(got, "info a: one n=-9223372036854775808\ninfo a: two n=0 m=-10\n", 57);
	fclose(f);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	log_set_output(pair[1], false);
	LOG(LOG_INFO, "a", "b");
	ck_assert_int_eq(read(pair[0], got, sizeof(got)), 10);
	ck_assert_mem_eq(got, "info a: b\n", 10);
	close(pair[0]);
	close(pair[1]);
	log_set_output(STDERR_FILENO, false);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("log");
	TCase *t = tcase_create("log");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(t, writes_one_line);
	tcase_add_test(t, lets_no_value_break_the_line);
	tcase_add_test(t, cuts_but_ends_each_line);
	tcase_add_test(t, keeps_to_its_level_and_errno);
	tcase_add_test(t, puts_the_time_in_front);
	tcase_add_test(t, never_waits_for_a_reader);
	tcase_add_test(t, needs_no_memory);
	tcase_add_test(t, keeps_a_long_text);
	tcase_add_test(t, writes_to_files_and_sockets);
	tcase_add_test(t, begins_a_line_after_a_cut_one);
	suite_add_tcase(suite, t);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
