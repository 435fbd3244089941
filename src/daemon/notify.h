/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the service manager is told, and what it hands over; without one, or built without
 * libsystemd, nothing.
 */
#ifndef DAEMON_NOTIFY_H
#define DAEMON_NOTIFY_H

#include <stdint.h>

/* state: as sd_notify(3) wants it, such as "READY=1". */
void notify(const char *state);

/*
 * How many sockets it has opened for us, and the first one's descriptor; the others follow.  Asked
 * once: then they are ours, and no child inherits them.
 */
int notify_sockets(int *first);

/* How often it wants to hear of us, in ns; 0: not at all. */
int64_t notify_watchdog_ns(void);

#endif
