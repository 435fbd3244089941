/* SPDX-License-Identifier: Apache-2.0 */
/* The service manager's notifications, through libsystemd. */
#include "notify.h"

#include <systemd/sd-daemon.h>

void
notify(const char *state)
{
	sd_notify(0, state);
}
