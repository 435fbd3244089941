/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For LD_PRELOAD: a disk that hangs.  While the file KEYFERRY_STALL is there, fdatasync() and fsync() of
 * an SQLite file or its log wait for it to go; each that waits leaves a file beside it, with the name of its
 * process behind it.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int
is_database(int fd)
{
	char path[64], name[4096];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, name, sizeof(name) - 1);
	if (n < 0)
		return 0;
	name[n] = '\0';
	return strstr(name, ".db") != NULL;
}

static void
stall(int fd)
{
	const char *file = getenv("KEYFERRY_STALL");
	const struct timespec some = {.tv_nsec = 10000000};
	char told[4096];
	int at = -1;

	if (file == NULL || !is_database(fd))
		return;
	while (access(file, F_OK) == 0) {
		if (at < 0) {
			snprintf(told, sizeof(told), "%s.%d", file, (int)getpid());
			at = open(told, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
		}
		nanosleep(&some, NULL);
	}
	if (at >= 0)
		close(at);
}

int
fdatasync(int fd)
{
	static int (*real)(int);

	if (real == NULL)
		real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
	stall(fd);
	return real(fd);
}

int
fsync(int fd)
{
	static int (*real)(int);

	if (real == NULL)
		real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
	stall(fd);
	return real(fd);
}
