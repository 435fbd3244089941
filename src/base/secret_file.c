/* SPDX-License-Identifier: Apache-2.0 */
/* Small files that hold secrets, read into the secure heap. */
#include "base/secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/credential.h"
#include "base/why.h"

static enum err
read_all(int fd, uint8_t *bytes, size_t size)
{
	size_t len = 0;
	ssize_t n;

	while (len < size) {
		n = read(fd, bytes + len, size - len);
		if (n == 0 || (n < 0 && errno != EINTR))
			return ERR_IO;
		len += n > 0 ? (size_t)n : 0;
	}
	return ERR_OK;
}

static enum err
read_open(struct secret **out, int fd, size_t max, const char *what, const char **why)
{
	struct secret *text;
	struct stat st;

	if (fstat(fd, &st) != 0)
		return why_say(why, ERR_IO, "%s cannot be looked at: %s", what, strerror(errno));
	if ((size_t)st.st_size > max)
		return why_say(why, ERR_CONFIG, "%s has more than %zu bytes", what, max);
	text = secret_new((size_t)st.st_size + 1, SECRET_TRANSIENT);
	if (text == NULL)
		return why_say(why, ERR_NO_SECURE_MEMORY,
		    "there is no room in the secure heap to read %s", what);
	if (read_all(fd, secret_bytes(text), (size_t)st.st_size) != ERR_OK) {
		secret_unref(text);
		return why_say(why, ERR_IO, "%s cannot be read", what);
	}
	*out = text;
	return ERR_OK;
}

/* Whether it is the file that someone has to mend: it is not there, not for us, not as it has to be. */
static bool
is_files_fault(int error)
{
	return error == 0 || error == ENOENT || error == ENOTDIR || error == EACCES ||
	    error == EPERM || error == ELOOP || error == ENAMETOOLONG;
}

enum err
secret_file_read(struct secret **out, const char *path, size_t max, enum trusted kind,
    const char *what, const char **why)
{
	char where[CREDENTIAL_PATH_MAX];
	const char *sentence;
	enum err e = credential_path(where, path, &sentence);
	int fd;

	if (e != ERR_OK)
		return why_say(why, e, "%s: %s", what, sentence);
	fd = trusted_open(where, kind, O_RDONLY, &sentence);
	if (fd < 0)
		return why_say(
		    why, is_files_fault(errno) ? ERR_CONFIG : ERR_IO, "%s %s", what, sentence);
	e = read_open(out, fd, max, what, why);
	close(fd);
	return e;
}
