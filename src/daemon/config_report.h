/* SPDX-License-Identifier: Apache-2.0 */
/* What is wrong with a configuration file, each with its line. */
#ifndef DAEMON_CONFIG_REPORT_H
#define DAEMON_CONFIG_REPORT_H

#include <stdbool.h>
#include <stddef.h>

#include <confuse.h>

#include "base/buf.h"

struct config_report {
	const char *path;
	struct buf *errors; /* a line for each */
	bool failed;
};

/* The file is refused, for this; line 0: as a whole. */
void __attribute__((format(printf, 3, 4))) config_report(struct config_report *r, int line,
    const char *fmt, ...);

/*
 * How many values it has, none when it was given as an empty list; the text of the n-th, and the line
 * on which it stands: config.c keeps that before it.
 */
size_t config_value_count(const cfg_opt_t *opt);
const char *config_value_text(const cfg_opt_t *opt, size_t n);
int config_value_line(const cfg_opt_t *opt, size_t n);
/* "" when the section has none. */
const char *config_section_title(const cfg_t *section);

#endif
