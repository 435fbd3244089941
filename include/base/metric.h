/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counters, gauges and histograms, by index.  Lower layers count; only the daemon prints.  Labels
 * come from closed sets and are numbers as well, so that counting is an addition to an array.
 */
#ifndef BASE_METRIC_H
#define BASE_METRIC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum metric {
#define METRIC(name, kind, help) METRIC_##name,
#define METRIC_BY(name, kind, a, b, help) METRIC_##name,
#include "base/metric.def"
#undef METRIC
#undef METRIC_BY
	METRIC_COUNT
};

enum metric_kind {
	METRIC_COUNTER,
	METRIC_GAUGE,
	METRIC_MOMENT,
	METRIC_ACTIVE,
	METRIC_LATENCY, /* histograms from here on */
	METRIC_AGE
};

enum label_set {
#define LABELS(set, name, count) LABELS_##set,
#define LABEL(set, value, text)
#include "base/label.def"
#undef LABELS
#undef LABEL
	LABELS_COUNT
};

/* How many values each set has: SIZE_OF_OUTCOME; and these, in order: LABEL_OUTCOME_OK. */
enum {
#define LABELS(set, name, count) SIZE_OF_##set = (count), BEFORE_##set = -1,
#define LABEL(set, value, text) LABEL_##set##_##value,
#include "base/label.def"
#undef LABELS
#undef LABEL
};

enum { HISTOGRAM_BOUNDS = 16 };

struct metric_info {
	const char *name; /* as metric.def has it; Prometheus sees it in lower case, with a prefix */
	enum metric_kind kind;
	enum label_set a, b;
	const char *help;
};

void metric_inc(enum metric m);
void metric_add(enum metric m, int64_t delta);
void metric_set(enum metric m, int64_t value);
int64_t metric_get(enum metric m);

/* A row of METRIC_BY; a value past its set's end counts as the last one. */
void metric_inc_by(enum metric m, unsigned a, unsigned b);
int64_t metric_get_by(enum metric m, unsigned a, unsigned b);

struct histogram {
	int64_t buckets[HISTOGRAM_BOUNDS + 1]; /* the last: above every bound */
	int64_t sum_ns;
};
void metric_observe(enum metric m, unsigned a, unsigned b, int64_t ns);
/* Borrowed; changes as things are observed. */
const struct histogram *metric_histogram(enum metric m, unsigned a, unsigned b);
/* The upper bounds of the buckets, in nanoseconds, HISTOGRAM_BOUNDS of them. */
const int64_t *metric_bounds(enum metric m);

const struct metric_info *metric_info(enum metric m);
/* True when it is one whole number, without labels. */
bool metric_is_plain(enum metric m);

const char *label_name(enum label_set s);
unsigned label_count(enum label_set s);
/* NULL: the set has no such value. */
const char *label_text(enum label_set s, unsigned value);
/* Where the texts of a set come from that an upper layer closes. */
void label_set_texts(enum label_set s, const char *(*text)(unsigned value));

#endif
