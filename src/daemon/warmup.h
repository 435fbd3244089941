/* SPDX-License-Identifier: Apache-2.0 */
/* Keys into memory after a start, for tenants that want it (warm-keys). */
#ifndef DAEMON_WARMUP_H
#define DAEMON_WARMUP_H

struct keyferryd;
struct warmup;

/*
 * For all tenants of this moment, one after the other; those whose key manager is away have further
 * turns.  Without memory nothing is warm.
 */
void warmup_start(struct keyferryd *d);
void warmup_stop(struct keyferryd *d); /* safe at any time */

#endif
