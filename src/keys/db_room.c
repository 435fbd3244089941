/* SPDX-License-Identifier: Apache-2.0 */
/* A second name keeps the index while SQLite removes the first one. */
#include "db_room.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "disk.h"

enum { ROOM = 128 * 1024, NAME_MAX_LEN = DISK_PATH_MAX + 16 };

static void
name(char out[NAME_MAX_LEN], const char *path, const char *end)
{
	snprintf(out, NAME_MAX_LEN, "%s%s", path, end);
}

int
db_room_make(const char *path)
{
	char index[NAME_MAX_LEN];
	int fd;

	name(index, path, "-shm");
	fd = open(index, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0)
		(void)!fallocate(fd, 0, 0, ROOM);
	return fd;
}

void
db_room_hold(const char *path)
{
	char index[NAME_MAX_LEN], held[NAME_MAX_LEN];

	name(index, path, "-shm");
	name(held, path, "-room");
	(void)unlink(held); /* of one that was killed meanwhile */
	(void)!link(index, held);
}

/* Where another process has the file open, both names are there, and renaming leaves them. */
void
db_room_put_back(const char *path, int fd)
{
	char index[NAME_MAX_LEN], held[NAME_MAX_LEN];

	name(index, path, "-shm");
	name(held, path, "-room");
	(void)!rename(held, index);
	(void)unlink(held);
	if (fd >= 0)
		close(fd);
}
