/* SPDX-License-Identifier: Apache-2.0 */
/* Files that decide who is trusted: only we ourselves and root may change them. */
#ifndef BASE_TRUSTED_H
#define BASE_TRUSTED_H

#include <sys/stat.h>

/* NULL, or what is wrong with a file's or directory's owner or mode, and what to do about it. */
const char *trusted_not(const struct stat *st);

/*
 * For programs that decide nobody's trust, and are run by others than the daemon's user: who owns a
 * file does not matter any more; or, it may be this user, the daemon's, as well.
 */
void trusted_to_look(void);
void trusted_to(uid_t uid);

#endif
