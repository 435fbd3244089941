/* SPDX-License-Identifier: Apache-2.0 */
/* Limits, core dumps, tracing, going to the background. */
#include "priv.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* For the loop, the storage child, listeners, control clients, logs, files being read. */
enum { DESCRIPTORS_KEPT = 64 };

static int ready_fd = -1;

enum err
priv_harden(void)
{
	const struct rlimit none = {0, 0};

	signal(SIGPIPE, SIG_IGN);
	umask(077);
	if (setrlimit(RLIMIT_CORE, &none) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		return ERR_INTERNAL;
	return ERR_OK;
}

size_t
priv_sessions_allowed(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) != 0)
		return 1;
	rl.rlim_cur = rl.rlim_max;
	setrlimit(RLIMIT_NOFILE, &rl);
	getrlimit(RLIMIT_NOFILE, &rl);
	return rl.rlim_cur > 2 * DESCRIPTORS_KEPT ? (size_t)rl.rlim_cur - DESCRIPTORS_KEPT
						  : (size_t)rl.rlim_cur / 2;
}

void
priv_hold_reload(bool hold)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigprocmask(hold ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

enum err
priv_background(void)
{
	int p[2];
	char byte;
	pid_t pid;

	if (pipe2(p, O_CLOEXEC) != 0)
		return ERR_IO;
	pid = fork();
	if (pid < 0)
		return ERR_IO;
	if (pid > 0) {
		close(p[1]);
		_exit(read(p[0], &byte, 1) == 1 ? 0 : 1);
	}
	close(p[0]);
	ready_fd = p[1];
	setsid();
	return ERR_OK;
}

void
priv_ready(void)
{
	if (ready_fd < 0)
		return;
	if (write(ready_fd, "", 1) != 1)
		_exit(1);
	close(ready_fd);
	ready_fd = -1;
}
