/* SPDX-License-Identifier: Apache-2.0 */
/* What others can cause is told so many times in a period, so that it does not fill a disk. */
#ifndef BASE_RATION_H
#define BASE_RATION_H

#include <stdbool.h>
#include <stdint.h>

/* Zeroed: nothing was taken yet. */
struct ration {
	int64_t period; /* of clock_now() */
	unsigned count; /* in that one */
	uint64_t left_out;
};

/*
 * True when this one may be told, and then *left_out is how many were left out before it.  False when
 * it is to be left out: there were `most' in this second.
 */
bool ration_take(struct ration *r, unsigned most, uint64_t *left_out);
/* The same with periods of that length, always the same for one ration. */
bool ration_take_in(struct ration *r, int64_t period_ns, unsigned most, uint64_t *left_out);

#endif
