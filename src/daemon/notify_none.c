/* SPDX-License-Identifier: Apache-2.0 */
/* No service manager. */
#include "notify.h"

void
notify(const char *state)
{
	(void)state;
}

int
notify_sockets(int *first)
{
	(void)first;
	return 0;
}

int64_t
notify_watchdog_ns(void)
{
	return 0;
}
