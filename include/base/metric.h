/* SPDX-License-Identifier: Apache-2.0 */
/* Counters and gauges, by index.  Lower layers increment; only the daemon prints them. */
#ifndef BASE_METRIC_H
#define BASE_METRIC_H

#include <stdint.h>

enum metric {
#define METRIC(name, kind, help) METRIC_##name,
#include "base/metric.def"
#undef METRIC
	METRIC_COUNT
};

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE };

struct metric_info {
	const char *name; /* as metric.def has it; Prometheus sees it in lower case, with a prefix */
	enum metric_kind kind;
	const char *help;
};

void metric_inc(enum metric m);
void metric_add(enum metric m, int64_t delta);
void metric_set(enum metric m, int64_t value);
int64_t metric_get(enum metric m);
const struct metric_info *metric_info(enum metric m);

#endif
