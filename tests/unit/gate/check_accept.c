/* SPDX-License-Identifier: Apache-2.0 */
/* Connections that memory lacks for: each is closed, and the log tells of so many. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/secret.h"

#include "guests.h"

enum { STEPS = 2 /* at which memory lacks: the session, or its stream */ };

static void
come_in_vain(unsigned skip)
{
	char byte;
	int fd[2];

	rig_pair(fd, false);
	fault_test_arm(FAULT_ALLOC, skip, 1);
	gate_accept(gate, fd[0]);
	fault_test_clear();
	ck_assert_int_eq(read(fd[1], &byte, 1), 0);
	close(fd[1]);
}

/* Lines since the last look that have this in them, and no others. */
static unsigned
lines(int fd, const char *what)
{
	static char text[16 * 1024];
	ssize_t len = pread(fd, text, sizeof(text) - 1, 0);
	unsigned n = 0;

	ck_assert_int_ge(len, 0);
	text[len] = '\0';
	for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
		ck_assert_msg(strstr(line, what) != NULL, "%s", line);
		n++;
	}
	ck_assert_int_eq(ftruncate(fd, 0), 0);
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	return n;
}

/* Whoever reaches the port can have as many of them as he likes. */
START_TEST(no_memory_does_not_flood_the_log)
{
	int fd = memfd_create("log", MFD_CLOEXEC);

	log_set_output(fd, false);
	for (int i = 0; i < 300; i++)
		come_in_vain((unsigned)_i);
	ck_assert_uint_eq(lines(fd, "no memory for a session"), 20);
	clock_test_advance(NS_PER_S);
	come_in_vain((unsigned)_i);
	ck_assert_uint_eq(lines(fd, "left-out=280"), 1);
	log_set_output(STDERR_FILENO, true);
	close(fd);
	(void)come(TLS1_3_VERSION);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("accept");
	TCase *t = tcase_create("accept");
	SRunner *r;
	bool locked;
	int failed;

	signal(SIGPIPE, SIG_IGN);
	if (alloc_install() != ERR_OK || secret_heap_init(4096 * 1024, true, &locked) != ERR_OK)
		abort();
	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_loop_test(t, no_memory_does_not_flood_the_log, 0, STEPS);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
