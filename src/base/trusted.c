/* SPDX-License-Identifier: Apache-2.0 */
/* Owners and modes of files. */
#include "base/trusted.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/credential.h"

enum { OPEN_FILE = O_CLOEXEC | O_NOCTTY | O_NONBLOCK, OPEN_DIRECTORY = OPEN_FILE | O_DIRECTORY };
enum { OPEN_FOLLOW = 0, OPEN_HERE = O_NOFOLLOW };
enum { TYPE_FILE = S_IFREG, TYPE_DIRECTORY = S_IFDIR };
enum { LINKS_MAX = 40 }; /* as the kernel has it */
#define OTHERS_CHANGE 022

static const struct {
	int flags;
	mode_t type, refused;
} kinds[] = {
#define TRUSTED(name, type, link, mode) {OPEN_##type | OPEN_##link, TYPE_##type, mode},
#include "base/trusted.def"
#undef TRUSTED
};

static bool only_looks;
static uid_t other = (uid_t)-1;
static char sentence[2 * PATH_MAX];
static bool looked; /* false: a look at it failed, which says nothing about the file */

void
trusted_to_look(void)
{
	only_looks = true;
}

void
trusted_to(uid_t uid)
{
	only_looks = false;
	other = uid;
}

__attribute__((format(printf, 1, 2))) static const char *
say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(sentence, sizeof(sentence), fmt, ap);
	va_end(ap);
	return sentence;
}

static const char *
not_looked(const char *verb)
{
	looked = false;
	return say("%s: %s", verb, strerror(errno));
}

static bool
is_owner(uid_t uid)
{
	return only_looks || uid == 0 || uid == geteuid() || uid == other;
}

/* Who should own it: the daemon's user. */
static unsigned
owner(void)
{
	return (unsigned)(other != (uid_t)-1 ? other : geteuid());
}

/*
 * In a directory with the sticky bit others can make files, not take away ours; in one that is mounted
 * read-only, such as a container has for its secrets, they can do neither.  (Within a mount that says
 * little: a service sees the whole system read-only.)
 */
static bool
others_change(const char *dir, const struct stat *st)
{
	struct statx sx;
	struct statvfs fs;

	if ((st->st_mode & OTHERS_CHANGE) == 0 || (st->st_mode & S_ISVTX) != 0)
		return false;
	if (statx(AT_FDCWD, dir, 0, STATX_TYPE, &sx) != 0 || statvfs(dir, &fs) != 0) {
		looked = false;
		return true;
	}
	return (sx.stx_attributes & STATX_ATTR_MOUNT_ROOT) == 0 || (fs.f_flag & ST_RDONLY) == 0;
}

static const char *
directory_not(const char *dir)
{
	struct stat st;

	if (stat(dir, &st) != 0) {
		looked = false;
		return say("lies in %s, which cannot be looked at: %s", dir, strerror(errno));
	}
	if (!is_owner(st.st_uid))
		return say("lies in %s, which belongs to another user (%u), who may put another file "
			   "there: chown %u %s", dir, (unsigned)st.st_uid, owner(), dir);
	if (!others_change(dir, &st))
		return NULL;
	return say("lies in %s, which may be changed by its group or by others (mode %04o): "
		   "chmod go-w %s", dir, (unsigned)(st.st_mode & 07777), dir);
}

static const char *
parent_not(const char *path)
{
	char copy[PATH_MAX];

	if (strlen(path) >= sizeof(copy))
		return say("has too long a path");
	memcpy(copy, path, strlen(path) + 1);
	return directory_not(dirname(copy));
}

/* --- links, one at a time, as the kernel follows them --- */

struct way {
	char at[PATH_MAX];   /* how far it has come, with no link in it */
	char rest[PATH_MAX]; /* what is still to come */
	unsigned links;
};

static const char *
too_long(void)
{
	return say("has too long a path");
}

/* at: a path without links, so that what comes last in it can be taken off. */
static bool
go_up(char *at)
{
	char *slash = strrchr(at, '/');
	const char *last = slash != NULL ? slash + 1 : at;

	if (at[0] == '\0' || strcmp(last, "..") == 0)
		return false;
	at[slash == NULL ? 0 : slash == at ? 1 : slash - at] = '\0';
	return true;
}

/* False: that would be too long. */
static bool
enter(char at[PATH_MAX], const char *name)
{
	size_t used = strlen(at);

	if (strcmp(name, ".") == 0 || (strcmp(name, "..") == 0 && go_up(at)))
		return true;
	return snprintf(at + used, PATH_MAX - used, "%s%s", used > 0 && at[used - 1] != '/' ? "/" : "",
		   name) < (int)(PATH_MAX - used);
}

/* The first name of the rest; false: there is none. */
static bool
take_name(struct way *w, char name[PATH_MAX])
{
	size_t skipped = strspn(w->rest, "/"), len = strcspn(w->rest + skipped, "/");

	memcpy(name, w->rest + skipped, len);
	name[len] = '\0';
	memmove(w->rest, w->rest + skipped + len, strlen(w->rest + skipped + len) + 1);
	return len > 0;
}

/* The rest begins at the root, or where it is. */
static void
start(struct way *w)
{
	if (w->rest[0] == '/')
		memcpy(w->at, "/", 2);
}

/* What it says comes before the rest. */
static const char *
read_link(struct way *w)
{
	char said[PATH_MAX];
	ssize_t n = readlink(w->at, said, sizeof(said));
	size_t rest = strlen(w->rest);

	if (n < 0)
		return not_looked("leads nowhere");
	if ((size_t)n + 1 + rest >= sizeof(w->rest))
		return too_long();
	memmove(w->rest + n + 1, w->rest, rest + 1);
	memcpy(w->rest, said, (size_t)n);
	w->rest[n] = '/';
	go_up(w->at);
	start(w);
	return NULL;
}

/* Whoever may put another link there says where it leads. */
static const char *
follow(struct way *w, const char *path, const struct stat *st)
{
	const char *why;

	if (++w->links > LINKS_MAX)
		return say("leads over more than %d symbolic links", LINKS_MAX);
	if (!is_owner(st->st_uid) && strcmp(w->at, path) == 0)
		return say("is a symbolic link that belongs to another user (%u): chown -h %u %s",
		    (unsigned)st->st_uid, owner(), path);
	if (!is_owner(st->st_uid))
		return say("leads over %s, a symbolic link that belongs to another user (%u): "
			   "chown -h %u %s", w->at, (unsigned)st->st_uid, owner(), w->at);
	why = parent_not(w->at);
	return why != NULL ? why : read_link(w);
}

/* opened: by that path, a moment ago; or NULL. */
static const char *
end_not(const struct way *w, const struct stat *opened, const struct stat *found)
{
	if (opened != NULL &&
	    (opened->st_dev != found->st_dev || opened->st_ino != found->st_ino)) {
		looked = false;
		return say("was replaced while it was looked at; try again");
	}
	return w->links > 0 ? parent_not(w->at) : NULL;
}

static const char *
place_not(const char *path, const struct stat *opened)
{
	const char *why = only_looks ? NULL : parent_not(path);
	struct way w = {.at = "", .links = 0};
	char name[PATH_MAX];
	struct stat st;

	if (why != NULL || only_looks)
		return why;
	memcpy(w.rest, path, strlen(path) + 1); /* parent_not() found it short enough */
	start(&w);
	if (stat(w.at[0] != '\0' ? w.at : ".", &st) != 0)
		return not_looked("cannot be looked at");
	while (take_name(&w, name)) {
		if (!enter(w.at, name))
			return too_long();
		if (lstat(w.at[0] != '\0' ? w.at : ".", &st) != 0) {
			if (errno == ENOENT && opened == NULL && w.links == 0)
				return NULL; /* still to be made */
			return not_looked("leads nowhere");
		}
		why = S_ISLNK(st.st_mode) ? follow(&w, path, &st) : NULL;
		if (why != NULL)
			return why;
	}
	return end_not(&w, opened, &st);
}

const char *
trusted_place_not(const char *path)
{
	return place_not(path, NULL);
}

static const char *
mode_not(const struct stat *st, const char *path, enum trusted kind)
{
	bool closed = kinds[kind].refused != OTHERS_CHANGE;
	mode_t refused = closed && kinds[kind].type == S_IFREG ? credential_refused_mode(path)
								: kinds[kind].refused;

	if ((st->st_mode & refused) == 0 ||
	    (!closed && S_ISDIR(st->st_mode) && !others_change(path, st)))
		return NULL;
	return closed ? say("is open to group or others (mode %04o): chmod %s %s",
			    (unsigned)(st->st_mode & 07777),
			    S_ISDIR(st->st_mode) ? "0700" : "0600", path)
		      : say("may be changed by its group or by others (mode %04o): chmod go-w %s",
			    (unsigned)(st->st_mode & 07777), path);
}

const char *
trusted_not(int fd, const char *path, enum trusted kind)
{
	const char *why;
	struct stat st;

	if (fstat(fd, &st) != 0)
		return not_looked("cannot be looked at");
	if ((st.st_mode & S_IFMT) != kinds[kind].type)
		return S_ISDIR(kinds[kind].type) ? "is no directory" : "is not a regular file";
	if (kinds[kind].refused == 0)
		return NULL;
	if (!is_owner(st.st_uid))
		return say("belongs to another user (%u), who may change it: chown %u %s",
		    (unsigned)st.st_uid, owner(), path);
	why = mode_not(&st, path, kind);
	if (why != NULL)
		return why;
	/* one that is opened without following has its directory's word; SQLite makes its own anew */
	return place_not(path, (kinds[kind].flags & O_NOFOLLOW) != 0 ? NULL : &st);
}

static const char *
cannot_open(int error, enum trusted kind, int flags)
{
	if (error == ENOENT)
		return (flags & O_CREAT) != 0 ? "cannot be made: its directory does not exist"
					      : "does not exist";
	return error == ELOOP && (kinds[kind].flags & O_NOFOLLOW) != 0
	    ? "is a symbolic link: put the file itself there"
	    : say("cannot be opened: %s", strerror(error));
}

/* That it is no directory is what the kernel says of a link that it does not follow to one. */
static bool
is_link(int dir, const char *name)
{
	struct stat st;

	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode);
}

int
trusted_open_at(int dir, const char *name, const char *path, enum trusted kind, int flags,
    const char **why)
{
	int fd = openat(dir, name, flags | kinds[kind].flags, 0600), error = errno;
	const char *wrong;

	if (fd < 0 && error == ENOTDIR && (kinds[kind].flags & O_NOFOLLOW) != 0 && is_link(dir, name))
		error = ELOOP;
	if (fd < 0) {
		*why = cannot_open(error, kind, flags);
		errno = error;
		return -1;
	}
	looked = true;
	wrong = trusted_not(fd, path, kind);
	if (wrong == NULL)
		return fd;
	close(fd);
	errno = looked ? 0 : EIO;
	*why = wrong;
	return -1;
}

int
trusted_open(const char *path, enum trusted kind, int flags, const char **why)
{
	return trusted_open_at(AT_FDCWD, path, path, kind, flags, why);
}
