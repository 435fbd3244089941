/* SPDX-License-Identifier: Apache-2.0 */
/* The fuzzers' directory. */
#include "place.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"

enum { DEPTH_MAX = 16 };

static char dir[64];

static int
remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st, (void)kind, (void)at;
	return remove(path);
}

void
place_remove(const char *path)
{
	(void)nftw(path, remove_one, DEPTH_MAX, FTW_DEPTH | FTW_PHYS);
}

static void
clean_up(void)
{
	place_remove(dir);
}

void
place_path(char out[PLACE_PATH_MAX], const char *name)
{
	if (dir[0] == '\0') {
		strcpy(dir, access("/dev/shm", W_OK) == 0 ? "/dev/shm/keyferry-fuzz.XXXXXX"
							  : "/tmp/keyferry-fuzz.XXXXXX");
		MUST(mkdtemp(dir) != NULL && atexit(clean_up) == 0);
	}
	MUST(snprintf(out, PLACE_PATH_MAX, "%s/%s", dir, name) < PLACE_PATH_MAX);
}

void
place_file(const char *path, const void *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	MUST(fd >= 0 && write(fd, data, len) == (ssize_t)len);
	close(fd);
}
