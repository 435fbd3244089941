/* SPDX-License-Identifier: Apache-2.0 */
/* So many in a period. */
#include "base/ration.h"

#include "base/clock.h"

bool
ration_take(struct ration *r, unsigned most, uint64_t *left_out)
{
	return ration_take_in(r, NS_PER_S, most, left_out);
}

bool
ration_take_in(struct ration *r, int64_t period_ns, unsigned most, uint64_t *left_out)
{
	int64_t period = clock_now() / period_ns;

	if (r->period != period)
		r->count = 0;
	r->period = period;
	if (r->count == most) {
		r->left_out++;
		return false;
	}
	r->count++;
	*left_out = r->left_out;
	r->left_out = 0;
	return true;
}
