/* SPDX-License-Identifier: Apache-2.0 */
/* What a child process of ours does before anything else, and whether it has ended. */
#include "base/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * Keeps standard error and the socket pair, nothing else of what the parent had open; also where the kernel
 * has no close_range(), which closefrom() does without.
 */
static void
close_inherited(int fd)
{
	int null = open("/dev/null", O_RDWR);

	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	if (fd > STDERR_FILENO + 1)
		close_range(STDERR_FILENO + 1, (unsigned)fd - 1, 0);
	closefrom(fd + 1);
}

void
child_settle(const char *name, int fd, bool dies_with_parent)
{
	static const int ignored[] = {
	    SIGPIPE, SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGXFSZ};
	const struct rlimit none = {0, 0};
	sigset_t all;

	if (dies_with_parent)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_DUMPABLE, 0);
	prctl(PR_SET_NAME, name);
	setrlimit(RLIMIT_CORE, &none);
	umask(077);
	for (unsigned i = 0; i < sizeof(ignored) / sizeof(*ignored); i++)
		signal(ignored[i], SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	close_inherited(fd);
	if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0)
		_exit(1); /* it would wait for its parent, which waits for it */
}

bool
child_ended(pid_t pid, int *status)
{
	pid_t got = waitpid(pid, status, WNOHANG);

	if (got == 0 || (got < 0 && errno == EINTR))
		return false;
	if (got < 0)
		*status = -1;
	return true;
}
