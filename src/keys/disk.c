/* SPDX-License-Identifier: Apache-2.0 */
/* Directories and files outside SQLite. */
#include "disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/trusted.h"
#include "base/why.h"

int
disk_sync_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc, saved;

	if (fd < 0)
		return -1;
	rc = fsync(fd);
	saved = errno;
	close(fd);
	errno = saved;
	return rc;
}

int
disk_sync_parent(const char *path)
{
	const char *slash = strrchr(path, '/');
	char dir[DISK_PATH_MAX];
	size_t len;

	if (slash == NULL)
		return disk_sync_dir(".");
	len = slash == path ? 1 : (size_t)(slash - path);
	if (len >= sizeof(dir)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(dir, path, len);
	dir[len] = '\0';
	return disk_sync_dir(dir);
}

bool
disk_join(char *out, const char *dir, const char *name)
{
	int n = snprintf(out, DISK_PATH_MAX, "%s/%s", dir, name);

	return n > 0 && n < DISK_PATH_MAX;
}

enum err
disk_check_dir(const char *dir, const char **why)
{
	const char *wrong;
	int fd = trusted_open(dir, TRUSTED_STATE_DIR, O_RDONLY, &wrong);

	if (fd < 0)
		return why_say(why, ERR_STORAGE, "the state directory %s", wrong);
	close(fd);
	return ERR_OK;
}

bool
disk_dir_empty(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *de;
	bool empty = d != NULL;

	if (d == NULL)
		return false;
	for (errno = 0; empty && (de = readdir(d)) != NULL; errno = 0)
		empty = strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0;
	empty = empty && errno == 0;
	closedir(d);
	return empty;
}

enum err
disk_lock(const char *dir, int *out, const char **why)
{
	char path[DISK_PATH_MAX];
	const char *wrong;
	enum err e;
	int fd;

	*why = "the path of the state directory is too long";
	if (!disk_join(path, dir, "lock"))
		return ERR_STORAGE;
	fd = trusted_open(path, TRUSTED_STATE_FILE, O_RDWR | O_CREAT, &wrong);
	if (fd < 0)
		return why_say(why, errno == EROFS ? ERR_STORAGE_READ_ONLY : ERR_STORAGE, "its file lock %s",
		    wrong);
	if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
		*out = fd;
		return ERR_OK;
	}
	*why = "its file lock cannot be locked";
	e = errno == EWOULDBLOCK ? ERR_IN_USE : ERR_STORAGE;
	if (e == ERR_IN_USE)
		*why = "another process uses this state directory: is a gateway running already?";
	close(fd);
	return e;
}

void
disk_forget(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return;
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	close(fd);
}

/* No room says nothing: what needs none goes on. */
enum err
disk_try(int lock, const char **why)
{
	if ((pwrite(lock, "\n", 1, 0) == 1 && fdatasync(lock) == 0) || errno == ENOSPC || errno == EDQUOT)
		return ERR_OK;
	return why_say(why, ERR_STORAGE_READ_ONLY, "its file lock cannot be written: %s", strerror(errno));
}

static enum err
write_all(int fd, const char *data, size_t len)
{
	ssize_t n;

	for (size_t done = 0; done < len; done += (size_t)n) {
		n = write(fd, data + done, len - done);
		if (n < 0 && errno != EINTR)
			return ERR_IO;
		n = n < 0 ? 0 : n;
	}
	return fsync(fd) == 0 ? ERR_OK : ERR_IO;
}

/* at: of a directory, where path is a name; or AT_FDCWD. */
static int
sync_parent_at(int at, const char *path)
{
	return at == AT_FDCWD ? disk_sync_parent(path) : fsync(at);
}

/* Unlike a temporary file renamed, this fails when the name is taken, whatever it is. */
static enum err
write_new_at(int at, const char *path, const void *data, size_t len, const char **why)
{
	int fd = openat(at, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	enum err e;

	if (fd < 0) {
		*why = errno == EEXIST ? "the file to be made is there already, and nothing is ever "
					 "overwritten"
				       : "the file cannot be made";
		return ERR_IO;
	}
	e = write_all(fd, data, len);
	if (close(fd) != 0 || (e == ERR_OK && sync_parent_at(at, path) != 0))
		e = ERR_IO;
	if (e != ERR_OK) {
		*why = "the file cannot be written to the disk";
		(void)unlinkat(at, path, 0);
	}
	return e;
}

enum err
disk_write_new(const char *path, const void *data, size_t len, const char **why)
{
	return write_new_at(AT_FDCWD, path, data, len, why);
}

/* What errno says of a write: a quota that is used up is a full disk. */
static enum err
refused(void)
{
	return errno == ENOSPC || errno == EDQUOT ? ERR_STORAGE_FULL : ERR_STORAGE;
}

enum err
disk_put_at(int at, const char *path, const void *data, size_t len, const char **why)
{
	char fresh[DISK_PATH_MAX];

	*why = "its path is too long";
	if (snprintf(fresh, sizeof(fresh), "%s.new", path) >= (int)sizeof(fresh))
		return ERR_INVALID_FIELD;
	(void)unlinkat(at, fresh, 0); /* of an attempt that died */
	if (write_new_at(at, fresh, data, len, why) != ERR_OK)
		return refused();
	if (renameat(at, fresh, at, path) == 0 && sync_parent_at(at, path) == 0)
		return ERR_OK;
	*why = "the file cannot be put in its place";
	(void)unlinkat(at, fresh, 0);
	return ERR_STORAGE;
}

enum err
disk_put(const char *path, const void *data, size_t len, const char **why)
{
	return disk_put_at(AT_FDCWD, path, data, len, why);
}

/* Synced even when it was gone already: an attempt before this one may have failed half-way. */
enum err
disk_remove_at(int at, const char *path, bool *found)
{
	*found = unlinkat(at, path, 0) == 0;
	if (!*found && errno != ENOENT)
		return ERR_STORAGE;
	if (sync_parent_at(at, path) != 0 && (*found || errno != ENOENT))
		return ERR_STORAGE;
	return ERR_OK;
}

enum err
disk_remove(const char *path, bool *found)
{
	return disk_remove_at(AT_FDCWD, path, found);
}

static enum err
copy_bytes(int in, int out)
{
	char chunk[65536];
	ssize_t got, put;

	while ((got = read(in, chunk, sizeof(chunk))) != 0) {
		if (got < 0)
			return ERR_IO;
		for (ssize_t done = 0; done < got; done += put) {
			put = write(out, chunk + done, (size_t)(got - done));
			if (put < 0)
				return refused();
		}
	}
	return fsync(out) == 0 ? ERR_OK : ERR_STORAGE;
}

enum err
disk_copy(const char *from, const char *to)
{
	int in = open(from, O_RDONLY | O_CLOEXEC), out;
	enum err e = ERR_STORAGE;

	if (in < 0)
		return ERR_IO;
	out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (out >= 0) {
		e = copy_bytes(in, out);
		if (close(out) != 0)
			e = ERR_STORAGE;
	}
	close(in);
	return e;
}

static enum err
copy_entry(const char *from, const char *to, unsigned depth)
{
	struct stat st;
	enum err e;

	if (lstat(from, &st) != 0)
		return errno == ENOENT ? ERR_OK : ERR_IO;
	if (S_ISDIR(st.st_mode) && depth > 0)
		return disk_copy_tree(from, to, depth - 1);
	if (!S_ISREG(st.st_mode))
		return ERR_OK;
	e = disk_copy(from, to);
	return e == ERR_IO && errno == ENOENT ? ERR_OK : e;
}

enum err
disk_copy_tree(const char *from, const char *to, unsigned depth)
{
	char source[DISK_PATH_MAX], target[DISK_PATH_MAX];
	DIR *d = opendir(from);
	struct dirent *de;
	enum err e = ERR_OK;

	if (d == NULL)
		return errno == ENOENT ? ERR_OK : ERR_IO;
	if (mkdir(to, 0700) != 0)
		e = refused();
	for (errno = 0; e == ERR_OK && (de = readdir(d)) != NULL; errno = 0) {
		if (de->d_name[0] == '.')
			continue;
		e = disk_join(source, from, de->d_name) && disk_join(target, to, de->d_name)
		    ? copy_entry(source, target, depth) : ERR_STORAGE;
	}
	if (e == ERR_OK && errno != 0)
		e = ERR_IO;
	closedir(d);
	if (e == ERR_OK && (disk_sync_dir(to) != 0 || disk_sync_parent(to) != 0))
		e = ERR_STORAGE;
	return e;
}
