/* SPDX-License-Identifier: Apache-2.0 */
/* Counters, gauges and histograms, expanded from metric.def. */
#include "base/metric.h"

#include <assert.h>
#include <stddef.h>

#include "base/clock.h"

enum { HISTOGRAM_CELLS = sizeof(struct histogram) / sizeof(int64_t) };

/* How many cells one number of a kind has. */
enum {
	CELLS_COUNTER = 1,
	CELLS_GAUGE = 1,
	CELLS_MOMENT = 1,
	CELLS_ACTIVE = 1,
	CELLS_LATENCY = HISTOGRAM_CELLS,
	CELLS_AGE = HISTOGRAM_CELLS
};

/* The first cell of each metric; all lie in one array, one behind the other. */
enum {
#define METRIC(name, kind, help) FIRST_##name,
#define METRIC_BY(name, kind, a, b, help)                                                          \
	FIRST_##name, LAST_##name = FIRST_##name + SIZE_OF_##a * SIZE_OF_##b * CELLS_##kind - 1,
#include "base/metric.def"
#undef METRIC
#undef METRIC_BY
	CELLS
};

static int64_t cells[CELLS];

static const unsigned firsts[METRIC_COUNT] = {
#define METRIC(name, kind, help) FIRST_##name,
#define METRIC_BY(name, kind, a, b, help) FIRST_##name,
#include "base/metric.def"
#undef METRIC
#undef METRIC_BY
};

static const struct metric_info infos[METRIC_COUNT] = {
#define METRIC(name, kind, help) {#name, METRIC_##kind, LABELS_NONE, LABELS_NONE, help},
#define METRIC_BY(name, kind, a, b, help) {#name, METRIC_##kind, LABELS_##a, LABELS_##b, help},
#include "base/metric.def"
#undef METRIC
#undef METRIC_BY
};

/* --- labels --- */

static const struct {
	const char *name;
	unsigned count;
} sets[LABELS_COUNT] = {
#define LABELS(set, label, size) {label, size},
#define LABEL(set, value, text)
#include "base/label.def"
#undef LABELS
#undef LABEL
};

static const char *
error_text(unsigned value)
{
	return err_name((enum err)value);
}

static const char *(*texts[LABELS_COUNT])(unsigned) = {[LABELS_ERROR] = error_text};

const char *
label_name(enum label_set s)
{
	return sets[s].name;
}

unsigned
label_count(enum label_set s)
{
	return sets[s].count;
}

const char *
label_text(enum label_set s, unsigned value)
{
	static const struct {
		enum label_set set;
		unsigned value;
		const char *text;
	} rows[] = {
#define LABELS(set, name, count)
#define LABEL(set, value, text) {LABELS_##set, LABEL_##set##_##value, text},
#include "base/label.def"
#undef LABELS
#undef LABEL
	};

	if (value >= sets[s].count)
		return NULL;
	if (texts[s] != NULL)
		return texts[s](value);
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].set == s && rows[i].value == value)
			return rows[i].text;
	return NULL;
}

void
label_set_texts(enum label_set s, const char *(*text)(unsigned value))
{
	texts[s] = text;
}

/* --- numbers --- */

void
metric_inc(enum metric m)
{
	cells[firsts[m]]++;
}

void
metric_add(enum metric m, int64_t delta)
{
	cells[firsts[m]] += delta;
}

void
metric_set(enum metric m, int64_t value)
{
	cells[firsts[m]] = value;
}

int64_t
metric_get(enum metric m)
{
	return cells[firsts[m]];
}

/* Which number of the metric it is. */
static unsigned
place(enum metric m, unsigned a, unsigned b)
{
	unsigned as = sets[infos[m].a].count, bs = sets[infos[m].b].count;

	return (a < as ? a : as - 1) * bs + (b < bs ? b : bs - 1);
}

void
metric_inc_by(enum metric m, unsigned a, unsigned b)
{
	cells[firsts[m] + place(m, a, b)]++;
}

int64_t
metric_get_by(enum metric m, unsigned a, unsigned b)
{
	return cells[firsts[m] + place(m, a, b)];
}

/* --- histograms --- */

#define MS *NS_PER_MS
#define S *NS_PER_S
static const int64_t bounds[][HISTOGRAM_BOUNDS] = {
    {NS_PER_MS / 10, NS_PER_MS / 4, NS_PER_MS / 2, 1 MS, 5 MS / 2, 5 MS, 10 MS, 25 MS, 50 MS,
	100 MS, 250 MS, 500 MS, 1 S, 5 S / 2, 5 S, 10 S},
    {1 S, 2 S, 5 S, 10 S, 20 S, 30 S, 45 S, 60 S, 120 S, 300 S, 600 S, 1800 S, 3600 S, 7200 S,
	43200 S, 86400 S},
};
#undef MS
#undef S

const int64_t *
metric_bounds(enum metric m)
{
	return bounds[infos[m].kind == METRIC_AGE];
}

static struct histogram *
histogram_at(enum metric m, unsigned a, unsigned b)
{
	assert(infos[m].kind >= METRIC_LATENCY);
	return (struct histogram *)&cells[firsts[m] + place(m, a, b) * HISTOGRAM_CELLS];
}

void
metric_observe(enum metric m, unsigned a, unsigned b, int64_t ns)
{
	struct histogram *h = histogram_at(m, a, b);
	const int64_t *bound = metric_bounds(m);
	unsigned i = 0;

	while (i < HISTOGRAM_BOUNDS && ns > bound[i])
		i++;
	h->buckets[i]++;
	h->sum_ns += ns;
}

const struct histogram *
metric_histogram(enum metric m, unsigned a, unsigned b)
{
	return histogram_at(m, a, b);
}

const struct metric_info *
metric_info(enum metric m)
{
	return &infos[m];
}

bool
metric_is_plain(enum metric m)
{
	return infos[m].a == LABELS_NONE && infos[m].kind < METRIC_LATENCY &&
	    infos[m].kind != METRIC_MOMENT;
}
