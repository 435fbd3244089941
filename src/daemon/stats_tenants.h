/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics of each tenant. */
#ifndef DAEMON_STATS_TENANTS_H
#define DAEMON_STATS_TENANTS_H

#include "daemon/exposition.h"
#include "gate/tenant.h"

/* The first ones of the configuration have a label of their own; of the others all share one. */
enum { STATS_TENANTS_MAX = 250 };
#define STATS_OTHERS "(others)" /* no tenant can have this id */

void stats_tenants_put(struct exposition *x, const struct tenants *ts);

#endif
