/* SPDX-License-Identifier: Apache-2.0 */
/* What strangers can cause is told so many times a second, so that they do not fill a disk. */
#ifndef BASE_RATION_H
#define BASE_RATION_H

#include <stdbool.h>
#include <stdint.h>

/* Zeroed: nothing was taken yet. */
struct ration {
	int64_t second; /* clock_now() in seconds */
	unsigned count; /* in that second */
	uint64_t left_out;
};

/*
 * True when this one may be told, and then *left_out is how many were left out before it.  False when
 * it is to be left out: there were `most' in this second.
 */
bool ration_take(struct ration *r, unsigned most, uint64_t *left_out);

#endif
