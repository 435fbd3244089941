/* SPDX-License-Identifier: Apache-2.0 */
/* What is wrong with a configuration file, each with its line. */
#include "config_report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_text.h"

enum { PROBLEM_MAX = 2048 };

void
config_report(struct config_report *r, int line, const char *fmt, ...)
{
	char text[PROBLEM_MAX];
	char number[16] = ": ";
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	r->failed = true;
	if (line > 0) /* 0: about the file as a whole */
		snprintf(number, sizeof(number), ":%d: ", line);
	buf_put(r->errors, r->path, strlen(r->path));
	buf_put(r->errors, number, strlen(number));
	buf_put(r->errors, text, strlen(text));
	buf_put(r->errors, "\n", 1);
}

static const char *
text_of(const cfg_value_t *value)
{
	return strchr(value->string, ':') + 1; /* on_value() put one there */
}

/* An empty list to which values were added begins with the word that stands for it. */
static size_t
skipped(const cfg_opt_t *opt)
{
	return opt->nvalues > 0 && strcmp(text_of(opt->values[0]), CONFIG_TEXT_EMPTY) == 0 ? 1 : 0;
}

size_t
config_value_count(const cfg_opt_t *opt)
{
	return opt->nvalues - skipped(opt);
}

const char *
config_value_text(const cfg_opt_t *opt, size_t n)
{
	return text_of(opt->values[skipped(opt) + n]);
}

int
config_value_line(const cfg_opt_t *opt, size_t n)
{
	return (int)strtol(opt->values[skipped(opt) + n]->string, NULL, 10);
}

const char *
config_section_title(const cfg_t *section)
{
	return section->title != NULL ? section->title : "";
}
