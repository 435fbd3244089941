/* SPDX-License-Identifier: Apache-2.0 */
/* Counters and gauges, expanded from metric.def. */
#include "base/metric.h"

static int64_t values[METRIC_COUNT];

static const struct metric_info infos[METRIC_COUNT] = {
#define METRIC(name, kind, help) {#name, METRIC_##kind, help},
#include "base/metric.def"
#undef METRIC
};

void
metric_inc(enum metric m)
{
	values[m]++;
}

void
metric_add(enum metric m, int64_t delta)
{
	values[m] += delta;
}

void
metric_set(enum metric m, int64_t value)
{
	values[m] = value;
}

int64_t
metric_get(enum metric m)
{
	return values[m];
}

const struct metric_info *
metric_info(enum metric m)
{
	return &infos[m];
}
