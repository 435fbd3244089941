/* SPDX-License-Identifier: Apache-2.0 */
/* Changes that were left half done, settled while the gateway serves. */
#ifndef DAEMON_RECOVERY_H
#define DAEMON_RECOVERY_H

#include "daemon.h"

/* Before the loop runs, and before the storage child is started. */
void recovery_init(struct keyferryd *d);

/*
 * Begins to settle what there is, unless the gateway is not there yet, or no more.  Only one at a
 * time; what turns up meanwhile is the next one's.  Failures are tried again.
 */
void recovery_run(struct keyferryd *d);

void recovery_stop(struct keyferryd *d);

#endif
