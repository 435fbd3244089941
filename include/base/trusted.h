/* SPDX-License-Identifier: Apache-2.0 */
/* Files that decide who is trusted: only we ourselves and root may change them. */
#ifndef BASE_TRUSTED_H
#define BASE_TRUSTED_H

#include <sys/stat.h>

/* NULL, or what is wrong with a file's or directory's owner or mode, and what to do about it. */
const char *trusted_not(const struct stat *st);

#endif
