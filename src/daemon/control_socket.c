/* SPDX-License-Identifier: Apache-2.0 */
/* A listening UNIX socket that was never open to others. */
#include "control_socket.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/trusted.h"
#include "base/why.h"

enum { BACKLOG = 16 };

static const char *
sentence(const char *path, const char *what)
{
	static char text[256];

	if (snprintf(text, sizeof(text), "%.180s: %.60s", path, what != NULL ? what : "") < 0)
		return what;
	return text;
}

/* Removes a socket file that nobody answers on; anything else is left alone. */
static enum err
clear_stale(const struct sockaddr_un *sun, const char **why)
{
	const char *path = sun->sun_path;
	struct stat st;
	int fd, failed;

	if (lstat(path, &st) != 0)
		return ERR_OK; /* bind() tells what is wrong with the directory, if anything */
	if (!S_ISSOCK(st.st_mode)) {
		*why = sentence(path, "is there and is not a socket");
		return ERR_IO;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		*why = sentence(path, strerror(errno));
		return ERR_IO;
	}
	failed = connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) == 0 ? 0 : errno;
	close(fd);
	if (failed != ECONNREFUSED) {
		*why = sentence(path, "another process answers on this socket");
		return ERR_IN_USE;
	}
	if (unlink(path) != 0 && errno != ENOENT) {
		*why = sentence(path, strerror(errno));
		return ERR_IO;
	}
	return ERR_OK;
}

/* The mask keeps the file closed between bind() and chmod(). */
static bool
bind_closed(int fd, const struct sockaddr_un *sun)
{
	mode_t mask = umask(0177);
	int bound = bind(fd, (const struct sockaddr *)sun, sizeof(*sun));
	int failed = errno;

	umask(mask);
	errno = failed;
	return bound == 0;
}

/* Where others could put a socket in its place, what is asked of the gateway might be answered by them. */
enum err
control_socket_open(int *out, const char *path, unsigned mode, struct stat *made, const char **why)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	size_t len = strlen(path);
	const char *wrong;
	struct stat st;
	enum err e;
	int fd;

	if (len >= sizeof(sun.sun_path)) {
		*why = sentence(path, "is too long for a socket; up to 107 bytes");
		return ERR_INVALID_FIELD;
	}
	wrong = trusted_place_not(path);
	if (wrong != NULL)
		return why_say(why, ERR_IO, "%s: %s", path, wrong);
	memcpy(sun.sun_path, path, len);
	e = clear_stale(&sun, why);
	if (e != ERR_OK)
		return e;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && bind_closed(fd, &sun)) {
		if (chmod(path, mode) == 0 && listen(fd, BACKLOG) == 0 && lstat(path, &st) == 0) {
			*made = st;
			*out = fd;
			return ERR_OK;
		}
		*why = sentence(path, strerror(errno));
		unlink(path);
	} else {
		*why = sentence(path, strerror(errno));
	}
	if (fd >= 0)
		close(fd);
	return ERR_IO;
}

void
control_socket_remove(const char *path, const struct stat *made)
{
	struct stat st;

	if (lstat(path, &st) == 0 && st.st_dev == made->st_dev && st.st_ino == made->st_ino)
		unlink(path);
}
