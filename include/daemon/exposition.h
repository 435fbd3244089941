/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics as Prometheus reads them: the text format 0.0.4, or OpenMetrics 1.0.  Names get the
 * prefix keyferry_; times are seconds.
 */
#ifndef DAEMON_EXPOSITION_H
#define DAEMON_EXPOSITION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct exposition {
	struct buf *out; /* its error says whether all fitted */
	bool open;	 /* OpenMetrics */
	char name[96];	 /* of the family that was begun */
};

/* Whether the value of an Accept header (NULL: none) asks for OpenMetrics rather than for text. */
bool exposition_wants_open(const char *accept);
const char *exposition_content_type(bool open);

void exposition_begin(struct exposition *x, struct buf *out, bool open);
/* All of metric.def but the rows for each tenant. */
void exposition_metrics(struct exposition *x);
/* A gauge with one label.  name: in capitals, as in metric.def. */
void exposition_gauge(struct exposition *x, const char *name, const char *help);
/* A value of it; a second label may be NULL. */
void exposition_value(struct exposition *x, const char *label, const char *text,
    const char *label2, const char *text2, int64_t value);
void exposition_end(struct exposition *x);

#endif
