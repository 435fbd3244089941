/* SPDX-License-Identifier: Apache-2.0 */
/* Gauges that are not kept as things happen but looked up when somebody wants to see them. */
#ifndef DAEMON_GAUGES_H
#define DAEMON_GAUGES_H

struct keyferryd;

/* Brings them up to date.  Takes some microseconds; asks nobody. */
void gauges_refresh(struct keyferryd *d);

#endif
