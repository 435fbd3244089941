/* SPDX-License-Identifier: Apache-2.0 */
/* What a run came to, for people and for programs. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "run.h"

const char *report_mode(enum mode m);

void report_progress(const struct run_options *o, const struct run_result *r); /* on stderr */
void report_text(const struct run_options *o, const struct run_result *r);
void report_json(const struct run_options *o, const struct run_result *r);

#endif
