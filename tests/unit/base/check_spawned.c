/* SPDX-License-Identifier: Apache-2.0 */
/* A child's life, as its parent sees it. */
#include "base/spawned.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <check.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/fault.h"

static struct loop *loop;
static struct spawned child;
static int reads, writes, agains;
static char got;
static bool ended, stubborn, refuses;

/* Gives back what it is told; stubborn: it does not end with its input. */
static pid_t
spawn(void *arg, int fd)
{
	pid_t pid = refuses ? -1 : fork();
	char c;

	ck_assert_ptr_eq(arg, &refuses);
	if (pid != 0)
		return pid;
	child_settle("spawned", fd, true); /* nothing of ours keeps the pair open */
	fcntl(fd, F_SETFL, 0);
	while (read(fd, &c, 1) == 1)
		if (write(fd, &c, 1) != 1)
			break;
	if (stubborn)
		pause();
	_exit(7);
}

static void
on_readable(void *arg)
{
	ck_assert_ptr_eq(arg, &child);
	reads++;
	if (read(child.fd, &got, 1) > 0)
		return;
	ended = true;
	spawned_drop(&child);
}

static void
on_writable(void *arg)
{
	(void)arg;
	writes++;
}

static void
on_again(void *arg)
{
	(void)arg;
	ck_assert(child.gone && !child.waits);
	agains++;
}

static void
setup(void)
{
	const struct spawned_params p = {.type = SOCK_STREAM, .buffer = 65536, .spawn = spawn,
	    .spawn_arg = &refuses, .readable = on_readable, .writable = on_writable,
	    .again = on_again, .arg = &child};

	loop = loop_new();
	ck_assert_ptr_nonnull(loop);
	spawned_init(&child, &p);
	child.p.loop = loop;
	reads = writes = agains = 0;
	ended = stubborn = refuses = false;
}

static void
teardown(void)
{
	fault_test_clear();
	spawned_fini(&child);
	spawned_kill(&child);
	spawned_end(&child, 1000);
	loop_free(loop);
}

static void
start(void)
{
	ck_assert(spawned_start(&child));
	ck_assert(spawned_watch(&child));
	ck_assert(!child.gone);
}

START_TEST(talks)
{
	start();
	ck_assert_int_eq(write(child.fd, "x", 1), 1);
	while (reads == 0)
		loop_turn(loop, true);
	ck_assert_int_eq(got, 'x');
	ck_assert(!spawned_awaits_room(&child));
	ck_assert(spawned_await_room(&child));
	ck_assert(spawned_awaits_room(&child));
	while (writes == 0)
		loop_turn(loop, true);
	ck_assert(!spawned_awaits_room(&child));
}
END_TEST

START_TEST(tells_how_it_ended)
{
	int status;

	start();
	ck_assert(!spawned_reap(&child, &status));
	spawned_kill(&child);
	while (!ended)
		loop_turn(loop, true);
	while (!spawned_reap(&child, &status))
		loop_turn(loop, false);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	ck_assert(spawned_reap(&child, &status));
	ck_assert_int_eq(status, -1);
}
END_TEST

/* The time has come, and the child lives: the next one is not started beside it. */
START_TEST(waits_for_its_end)
{
	stubborn = true;
	start();
	spawned_drop(&child);
	spawned_again_at(&child, clock_now());
	ck_assert(child.waits);
	for (int64_t end = clock_now() + 100 * NS_PER_MS; clock_now() < end;)
		loop_turn(loop, false);
	ck_assert_int_eq(agains, 0);
	spawned_kill(&child);
	while (agains == 0)
		loop_turn(loop, true);
	stubborn = false;
	start();
}
END_TEST

START_TEST(needs_no_memory)
{
	fault_test_arm(FAULT_ALLOC, 0, 3);
	spawned_again_at(&child, clock_now());
	while (agains == 0)
		loop_turn(loop, false);
	spawned_again_at(&child, clock_now() + 3600 * NS_PER_S);
	spawned_fini(&child);
	ck_assert(!child.waits);
}
END_TEST

START_TEST(ends_who_does_not)
{
	start();
	spawned_drop(&child);
	spawned_end(&child, 60000);
	ck_assert(child.gone);
	stubborn = true;
	start();
	spawned_drop(&child);
	spawned_end(&child, 20);
	for (int status; !spawned_reap(&child, &status);)
		;
}
END_TEST

START_TEST(there_is_none)
{
	refuses = true;
	ck_assert(!spawned_start(&child));
	ck_assert(child.gone && child.fd < 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("spawned");
	TCase *t = tcase_create("spawned");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, talks);
	tcase_add_test(t, tells_how_it_ended);
	tcase_add_test(t, waits_for_its_end);
	tcase_add_test(t, needs_no_memory);
	tcase_add_test(t, ends_who_does_not);
	tcase_add_test(t, there_is_none);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
