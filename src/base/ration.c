/* SPDX-License-Identifier: Apache-2.0 */
/* So many a second. */
#include "base/ration.h"

#include "base/clock.h"

bool
ration_take(struct ration *r, unsigned most, uint64_t *left_out)
{
	int64_t second = clock_now() / NS_PER_S;

	if (r->second != second)
		r->count = 0;
	r->second = second;
	if (r->count == most) {
		r->left_out++;
		return false;
	}
	r->count++;
	*left_out = r->left_out;
	r->left_out = 0;
	return true;
}
