/* SPDX-License-Identifier: Apache-2.0 */
/* Owners and modes of files: what is wrong with them, and what to do about it. */
#ifndef BASE_TRUSTED_H
#define BASE_TRUSTED_H

#include <sys/types.h>

enum trusted {
#define TRUSTED(name, type, link, mode) TRUSTED_##name,
#include "base/trusted.def"
#undef TRUSTED
};

/*
 * Opens a file, or a directory to be listed, of that kind.  flags: how, beyond what is a matter of
 * course (O_CLOEXEC and the like); with O_CREAT it is made with mode 0600.  Returns the descriptor;
 * or -1 with *why: the sentence's part that follows the file's name ("belongs to another user, ..."),
 * in static storage, valid until the next call; and errno as it was for opening, or EIO when that was
 * good but a look at the file or its directories failed, or 0 when they were not as they have to be.
 */
int trusted_open(const char *path, enum trusted kind, int flags, const char **why);

/* The same of a name in a directory that is open, of which path is the place. */
int trusted_open_at(int dir, const char *name, const char *path, enum trusted kind, int flags,
    const char **why);

/* The same for one that was opened already, by that path.  NULL, or what is wrong. */
const char *trusted_not(int fd, const char *path, enum trusted kind);

/* Of where it lies, and each link on the way to it, whether it is there or not. */
const char *trusted_place_not(const char *path);

/*
 * For programs that decide nobody's trust, and are run by others than the daemon's user: who owns a
 * file, or may change its directory, does not matter any more; or, its owner may be this user, the
 * daemon's, as well.
 */
void trusted_to_look(void);
void trusted_to(uid_t uid);

#endif
