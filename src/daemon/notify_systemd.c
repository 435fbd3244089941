/* SPDX-License-Identifier: Apache-2.0 */
/* The service manager, through libsystemd. */
#include "notify.h"

#include <systemd/sd-daemon.h>

void
notify(const char *state)
{
	sd_notify(0, state);
}

int
notify_sockets(int *first)
{
	int count = sd_listen_fds(1);

	*first = SD_LISTEN_FDS_START;
	return count > 0 ? count : 0;
}

int64_t
notify_watchdog_ns(void)
{
	uint64_t us = 0;

	return sd_watchdog_enabled(0, &us) > 0 && us < INT64_MAX / 1000 ? (int64_t)us * 1000 : 0;
}
