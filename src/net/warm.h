/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who keeps what is made anew when it is needed, but at a cost: those that were busy last, so many.
 */
#ifndef NET_WARM_H
#define NET_WARM_H

#include <stdbool.h>

#include "base/list.h"

struct warm;

struct warm_set {
	struct list all; /* who was busy longest ago first */
	unsigned count, most;
	void (*cool)(struct warm *w); /* gives back what it keeps; it is in no set any more */
};
#define WARM_SET(name, at_most, fn) \
	{.all = {&(name).all, &(name).all}, .most = (at_most), .cool = (fn)}

/* Zeroed it is in none. */
struct warm {
	struct list link;
	struct warm_set *set;
};

/* It is busy, among those of the set from now on.  May cool another one. */
void warm_keep(struct warm *w, struct warm_set *set);
/* False: it was in none. */
bool warm_leave(struct warm *w);

#endif
