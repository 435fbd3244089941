/* SPDX-License-Identifier: Apache-2.0 */
/* Writes metrics as Prometheus reads them.  Without printf: there are thousands of lines. */
#include "daemon/exposition.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/metric.h"

#define PREFIX "keyferry_"

/* --- what the scraper wants --- */

static bool
is_range(const char *range, size_t len, const char *name)
{
	return len == strlen(name) && strncasecmp(range, name, len) == 0;
}

/* The parameter's value in one media range, which ends at the comma; NULL: it is not there. */
static const char *
parameter(const char *range, const char *name)
{
	size_t len = strlen(name);

	while (*(range += strcspn(range, ";,")) == ';') {
		range += 1 + strspn(range + 1, " \t");
		if (strncasecmp(range, name, len) == 0 && range[len] == '=')
			return range + len + 1;
	}
	return NULL;
}

bool
exposition_wants_open(const char *accept)
{
	double open = 0, text = 0;

	while (accept != NULL && *accept != '\0') {
		const char *range = accept + strspn(accept, " \t,");
		size_t len = strcspn(range, ";, \t");
		const char *q = parameter(range, "q"), *version = parameter(range, "version");
		double weight = q != NULL ? strtod(q, NULL) : 1;

		if (is_range(range, len, "application/openmetrics-text")) {
			if (version == NULL || strncmp(version, "1.0.0", 5) == 0)
				open = weight > open ? weight : open;
		} else if (is_range(range, len, "text/plain") || is_range(range, len, "text/*") ||
		    is_range(range, len, "*/*")) {
			text = weight > text ? weight : text;
		}
		accept = range + strcspn(range, ",");
	}
	return open > 0 && open >= text;
}

const char *
exposition_content_type(bool open)
{
	return open ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
		    : "text/plain; version=0.0.4; charset=utf-8";
}

/* --- pieces --- */

static void
put(struct exposition *x, const char *s)
{
	buf_put(x->out, s, strlen(s));
}

/* out must hold 21 bytes. */
static char *
digits(char *out, uint64_t v)
{
	char *at = out + 20;

	*at = '\0';
	do
		*--at = (char)('0' + v % 10);
	while ((v /= 10) > 0);
	return at;
}

static void
put_number(struct exposition *x, int64_t v)
{
	char text[21];

	if (v < 0)
		put(x, "-");
	put(x, digits(text, v < 0 ? -(uint64_t)v : (uint64_t)v));
}

/* Nanoseconds as seconds, with a point always: "1.0", "0.0025". */
static void
put_seconds(struct exposition *x, int64_t ns)
{
	char text[21], *fraction;
	size_t len = 10;

	put_number(x, ns / NS_PER_S);
	fraction = digits(text, (uint64_t)(NS_PER_S + ns % NS_PER_S));
	fraction[0] = '.';
	while (len > 2 && fraction[len - 1] == '0')
		len--;
	buf_put(x->out, fraction, len);
}

static void
put_label(struct exposition *x, bool *any, const char *name, const char *text)
{
	put(x, *any ? "," : "{");
	*any = true;
	put(x, name);
	put(x, "=\"");
	for (size_t n; *text != '\0'; text += n) {
		n = strcspn(text, "\"\\\n");
		buf_put(x->out, text, n);
		if (text[n] != '\0') {
			put(x, text[n] == '\n' ? "\\n" : text[n] == '"' ? "\\\"" : "\\\\");
			n++;
		}
	}
	put(x, "\"");
}

static void
set_name(struct exposition *x, const char *name, const char *suffix)
{
	size_t room = sizeof(x->name) - sizeof(PREFIX), n = 0;

	memcpy(x->name, PREFIX, sizeof(PREFIX) - 1);
	for (char *to = x->name + sizeof(PREFIX) - 1; n < room && name[n] != '\0'; n++)
		*to++ = name[n] >= 'A' && name[n] <= 'Z' ? (char)(name[n] + 'a' - 'A') : name[n];
	x->name[sizeof(PREFIX) - 1 + n] = '\0';
	strncat(x->name, suffix, sizeof(x->name) - strlen(x->name) - 1);
}

/* OpenMetrics names the family of a counter without what its samples end in. */
static void
put_head(struct exposition *x, const char *type, const char *help)
{
	size_t len = strlen(x->name);

	if (x->open && strcmp(type, "counter") == 0)
		len -= strlen("_total");
	put(x, "# HELP ");
	buf_put(x->out, x->name, len);
	put(x, " ");
	put(x, help);
	put(x, "\n# TYPE ");
	buf_put(x->out, x->name, len);
	put(x, " ");
	put(x, type);
	put(x, "\n");
}

/* --- the table --- */

/* One number of the table, with its labels. */
struct cell {
	enum metric m;
	const struct metric_info *info;
	unsigned a, b;
};

static void
put_labels(struct exposition *x, const struct cell *c, bool *any)
{
	if (c->info->a != LABELS_NONE)
		put_label(x, any, label_name(c->info->a), label_text(c->info->a, c->a));
	if (c->info->b != LABELS_NONE)
		put_label(x, any, label_name(c->info->b), label_text(c->info->b, c->b));
}

static void
put_sample(struct exposition *x, const char *suffix, const struct cell *c)
{
	bool any = false;

	put(x, x->name);
	put(x, suffix);
	put_labels(x, c, &any);
	put(x, any ? "} " : " ");
}

static void
put_histogram(struct exposition *x, const struct cell *c)
{
	const struct histogram *h = metric_histogram(c->m, c->a, c->b);
	const int64_t *bounds = metric_bounds(c->m);
	int64_t count = 0;

	for (int i = 0; i <= HISTOGRAM_BOUNDS; i++) {
		bool any = false;

		count += h->buckets[i];
		put(x, x->name);
		put(x, "_bucket");
		put_labels(x, c, &any);
		put(x, any ? ",le=\"" : "{le=\"");
		if (i < HISTOGRAM_BOUNDS)
			put_seconds(x, bounds[i]);
		else
			put(x, "+Inf");
		put(x, "\"} ");
		put_number(x, count);
		put(x, "\n");
	}
	put_sample(x, "_sum", c);
	put_seconds(x, h->sum_ns);
	put(x, "\n");
	put_sample(x, "_count", c);
	put_number(x, count);
	put(x, "\n");
}

static void
put_cell(struct exposition *x, const struct cell *c)
{
	int64_t value;

	if (label_text(c->info->a, c->a) == NULL && c->info->a != LABELS_NONE)
		return;
	if (c->info->kind >= METRIC_LATENCY) {
		put_histogram(x, c);
		return;
	}
	value = metric_get_by(c->m, c->a, c->b);
	/* of the many results only those that were ever met, and success */
	if (value == 0 && c->info->b == LABELS_ERROR && c->b != ERR_OK)
		return;
	put_sample(x, "", c);
	if (c->info->kind == METRIC_MOMENT)
		put_seconds(x, value);
	else
		put_number(x, value);
	put(x, "\n");
}

static const char *
type_of(enum metric_kind kind)
{
	switch (kind) {
	case METRIC_COUNTER:
		return "counter";
	case METRIC_LATENCY:
	case METRIC_AGE:
		return "histogram";
	case METRIC_GAUGE:
	case METRIC_MOMENT:
	case METRIC_ACTIVE:
		break;
	}
	return "gauge";
}

void
exposition_metrics(struct exposition *x)
{
	for (int m = 0; m < METRIC_COUNT; m++) {
		struct cell c = {.m = (enum metric)m, .info = metric_info((enum metric)m)};

		set_name(x, c.info->name, c.info->kind == METRIC_ACTIVE ? "_active" : "");
		put_head(x, type_of(c.info->kind), c.info->help);
		for (c.a = 0; c.a < label_count(c.info->a); c.a++)
			for (c.b = 0; c.b < label_count(c.info->b); c.b++)
				put_cell(x, &c);
	}
}

/* --- beside the table --- */

void
exposition_begin(struct exposition *x, struct buf *out, bool open)
{
	*x = (struct exposition){.out = out, .open = open};
}

void
exposition_gauge(struct exposition *x, const char *name, const char *help)
{
	set_name(x, name, "");
	put_head(x, "gauge", help);
}

void
exposition_value(struct exposition *x, const char *label, const char *text, const char *label2,
    const char *text2, int64_t value)
{
	bool any = false;

	put(x, x->name);
	put_label(x, &any, label, text);
	if (label2 != NULL)
		put_label(x, &any, label2, text2);
	put(x, "} ");
	put_number(x, value);
	put(x, "\n");
}

void
exposition_end(struct exposition *x)
{
	if (x->open)
		put(x, "# EOF\n");
}
