/* SPDX-License-Identifier: Apache-2.0 */
/* Tells the service manager how we are; without one, or built without libsystemd, does nothing. */
#ifndef DAEMON_NOTIFY_H
#define DAEMON_NOTIFY_H

/* state: as sd_notify(3) wants it, such as "READY=1". */
void notify(const char *state);

#endif
