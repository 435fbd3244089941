/* SPDX-License-Identifier: Apache-2.0 */
/* Those that were busy last. */
#include "warm.h"

bool
warm_leave(struct warm *w)
{
	if (w->set == NULL)
		return false;
	list_remove(&w->link);
	w->set->count--;
	w->set = NULL;
	return true;
}

void
warm_keep(struct warm *w, struct warm_set *set)
{
	struct warm *oldest;

	if (w->set == set) {
		list_remove(&w->link);
	} else {
		warm_leave(w);
		w->set = set;
		set->count++;
	}
	list_append(&set->all, &w->link);
	if (set->count <= set->most)
		return;
	oldest = CONTAINER_OF(set->all.next, struct warm, link);
	warm_leave(oldest);
	set->cool(oldest);
}
