/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times, counted so that any percentile can be told later, within 1.6 % of what it was: each power
 * of two of nanoseconds is divided into 64 slots.
 */
#ifndef BENCH_HIST_H
#define BENCH_HIST_H

#include <stdint.h>

enum {
	HIST_SUB_BITS = 6,
	HIST_POWER_MAX = 41, /* from 2^41 ns on, 36 minutes, all is the same */
	HIST_SLOTS = (HIST_POWER_MAX - HIST_SUB_BITS + 1) << HIST_SUB_BITS,
};

struct hist {
	uint64_t count;
	int64_t sum, max;
	uint64_t slots[HIST_SLOTS];
};

/* Zeroed is empty. */
void hist_add(struct hist *h, int64_t ns);

/*
 * The least time that at least `share' of 100,000 of what was counted did not exceed; rounded up by
 * at most 1.6 %, but never above the longest one.  0 when nothing was counted.
 */
int64_t hist_percentile(const struct hist *h, unsigned share);

int64_t hist_mean(const struct hist *h);

/* How many took at least 2^power ns and less than twice that; the first and last hold the rest. */
uint64_t hist_power(const struct hist *h, unsigned power);

#endif
