/* SPDX-License-Identifier: Apache-2.0 */
/* Files that decide who is trusted. */
#include "base/trusted.h"

#include <unistd.h>

const char *
trusted_not(const struct stat *st)
{
	if ((st->st_mode & 022) != 0)
		return "may be changed by its group or by others; chmod go-w";
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return "belongs to another user, who may change it; chown it to root or to the daemon's "
		       "user";
	return NULL;
}
