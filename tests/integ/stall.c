/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For LD_PRELOAD: a disk that hangs.  While the file KEYFERRY_STALL is there, fdatasync() and fsync() of
 * an SQLite file or its log, below KEYFERRY_STALL_BELOW if that is set, wait for it to go; each that waits
 * leaves a file beside it, with the name of its process behind it.  Where KEYFERRY_STALL is not empty, the
 * end of its parent does not end who waits, as none ends who waits for a disk that is gone.
 *
 * With KEYFERRY_STALL_LOOP set no disk hangs, but an event loop does not turn, as epoll_wait() waits so.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int
loop_stalls(void)
{
	return getenv("KEYFERRY_STALL_LOOP") != NULL;
}

static int
is_database(int fd)
{
	const char *below = getenv("KEYFERRY_STALL_BELOW");
	char path[64], name[4096];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, name, sizeof(name) - 1);
	if (n < 0)
		return 0;
	name[n] = '\0';
	return strstr(name, ".db") != NULL && (below == NULL || strstr(name, below) == name);
}

static void
stall(void)
{
	const char *file = getenv("KEYFERRY_STALL");
	const struct timespec some = {.tv_nsec = 10000000};
	char told[4096];
	struct stat st;
	int at = -1;

	while (file != NULL && stat(file, &st) == 0) {
		if (st.st_size > 0)
			prctl(PR_SET_PDEATHSIG, 0);
		if (at < 0) {
			snprintf(told, sizeof(told), "%s.%d", file, (int)getpid());
			at = open(told, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
		}
		nanosleep(&some, NULL);
	}
	if (at >= 0)
		close(at);
}

static void
stall_disk(int fd)
{
	if (!loop_stalls() && is_database(fd))
		stall();
}

int
fdatasync(int fd)
{
	static int (*real)(int);

	if (real == NULL)
		real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
	stall_disk(fd);
	return real(fd);
}

int
fsync(int fd)
{
	static int (*real)(int);

	if (real == NULL)
		real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
	stall_disk(fd);
	return real(fd);
}

int
epoll_wait(int fd, struct epoll_event *events, int max, int ms)
{
	static int (*real)(int, struct epoll_event *, int, int);

	if (real == NULL)
		real = (int (*)(int, struct epoll_event *, int, int))dlsym(RTLD_NEXT, "epoll_wait");
	if (loop_stalls())
		stall();
	return real(fd, events, max, ms);
}
