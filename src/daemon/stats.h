/* SPDX-License-Identifier: Apache-2.0 */
/* The stats socket: /metrics, /health and /ready over HTTP, read only. */
#ifndef DAEMON_STATS_H
#define DAEMON_STATS_H

#include "base/buf.h"
#include "base/err.h"

struct keyferryd;
struct stats;

/* Opens what the configuration asks for; on failure *why tells. */
CHECKED enum err stats_new(struct stats **out, struct keyferryd *d, struct buf *why);
void stats_free(struct stats *s); /* NULL is allowed */

#endif
