/* SPDX-License-Identifier: Apache-2.0 */
/* Sequences of what can happen. */
#ifndef MODELPLAY_H
#define MODELPLAY_H

#include "modelacts.h"

/* One sequence's settings and acts. */
enum { ACTS_MAX = 48 };
struct sequence {
	int64_t ride_out_ns;
	size_t cache_max;
	bool pauses; /* virtual machines are paused, else clocks are set */
	struct act acts[ACTS_MAX];
	size_t count;
};
void sequence_make(struct sequence *s, uint64_t seed);
/* Plays it from beginning to end; false when something was wrong (model_blame says what). */
bool sequence_play(const struct sequence *s);
void sequence_print(const struct sequence *s);

#endif
