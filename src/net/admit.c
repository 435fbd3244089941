/* SPDX-License-Identifier: Apache-2.0 */
/* The order of handshakes.  There is one loop in a process, so there is one queue. */
#include "admit.h"

#include <stddef.h>

#include "base/metric.h"

static struct list begun_ones = {&begun_ones, &begun_ones};
static struct list new_ones = {&new_ones, &new_ones};

void
admit_wait(struct place *p, bool begun)
{
	if (list_linked(&p->link))
		return;
	p->since = clock_now();
	list_append(begun ? &begun_ones : &new_ones, &p->link);
}

void
admit_leave(struct place *p)
{
	list_remove(&p->link);
}

struct place *
admit_next(void)
{
	struct list *l = list_pop(&begun_ones);

	if (l == NULL && !list_empty(&new_ones)) {
		l = new_ones.next;
		if (clock_now() - CONTAINER_OF(l, struct place, link)->since > ADMIT_WAIT_MAX &&
		    new_ones.prev != l) {
			l = new_ones.prev;
			metric_inc(METRIC_HANDSHAKES_LATEST_FIRST_TOTAL);
		}
		list_remove(l);
	}
	return l != NULL ? CONTAINER_OF(l, struct place, link) : NULL;
}

bool
admit_anybody(void)
{
	return !list_empty(&begun_ones) || !list_empty(&new_ones);
}
