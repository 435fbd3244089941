/* SPDX-License-Identifier: Apache-2.0 */
/* What the process gives up at its start, each in a child of its own. */
#include <check.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "priv.h"

/* The number of the first that is not as it should be, as the child's exit status. */
static int
harden(void)
{
	struct sigaction action;
	struct rlimit core;

	signal(SIGPIPE, SIG_DFL);
	umask(0);
	if (prctl(PR_SET_DUMPABLE, 1) != 0 || prctl(PR_GET_DUMPABLE) != 1)
		return 1; /* then this would show nothing */
	ck_assert_int_eq(priv_harden(), ERR_OK);
	if (prctl(PR_GET_DUMPABLE) != 0)
		return 2;
	if (getrlimit(RLIMIT_CORE, &core) != 0 || core.rlim_cur != 0 || core.rlim_max != 0)
		return 3;
	if (sigaction(SIGPIPE, NULL, &action) != 0 || action.sa_handler != SIG_IGN)
		return 4;
	return umask(0) == 077 ? 0 : 5;
}

/* All descriptors that the process may have, but for what it needs besides sessions. */
static int
count_sessions(void)
{
	struct rlimit rl = {.rlim_cur = 100, .rlim_max = 400};

	if (setrlimit(RLIMIT_NOFILE, &rl) != 0 || priv_sessions_allowed() != 336)
		return 1;
	rl = (struct rlimit){.rlim_cur = 40, .rlim_max = 100};
	return setrlimit(RLIMIT_NOFILE, &rl) == 0 && priv_sessions_allowed() == 50 ? 0 : 2;
}

/* Whoever started it goes on when it is ready, and hears of it when it ends before. */
static int
go_to_background(bool ready)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (priv_background() != 0)
			_exit(9);
		if (ready)
			priv_ready();
		_exit(0);
	}
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 9;
}

static int
status_of(int (*fn)(void))
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(fn());
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

START_TEST(neither_dumps_nor_lets_itself_be_traced)
{
	ck_assert_int_eq(status_of(harden), 0);
}
END_TEST

START_TEST(leaves_descriptors_for_other_things)
{
	ck_assert_int_eq(status_of(count_sessions), 0);
}
END_TEST

START_TEST(tells_who_started_it)
{
	ck_assert_int_eq(go_to_background(true), 0);
	ck_assert_int_eq(go_to_background(false), 1);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("priv");
	TCase *t = tcase_create("priv");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(t, neither_dumps_nor_lets_itself_be_traced);
	tcase_add_test(t, leaves_descriptors_for_other_things);
	tcase_add_test(t, tells_who_started_it);
	suite_add_tcase(suite, t);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
