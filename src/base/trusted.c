/* SPDX-License-Identifier: Apache-2.0 */
/* Files that decide who is trusted. */
#include "base/trusted.h"

#include <stdbool.h>
#include <unistd.h>

static bool only_looks;
static uid_t other = (uid_t)-1;

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

const char *
trusted_not(const struct stat *st)
{
	if ((st->st_mode & 022) != 0)
		return "may be changed by its group or by others; chmod go-w";
	if (!only_looks && st->st_uid != 0 && st->st_uid != geteuid() && st->st_uid != other)
		return "belongs to another user, who may change it; chown it to root or to the daemon's "
		       "user";
	return NULL;
}
