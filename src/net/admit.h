/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose handshake is next.  One that has begun comes first: CPU was spent on it.  Of those that
 * have not, the one that has waited longest, until that is so long that the gateway cannot keep up:
 * then the latest, since its client waits yet.  Serving them in order would serve nobody in time.
 */
#ifndef NET_ADMIT_H
#define NET_ADMIT_H

#include <stdbool.h>

#include "base/clock.h"
#include "base/list.h"

/* So old is the oldest one when the latest come first.  Hosts wait for two seconds at least. */
#define ADMIT_WAIT_MAX (500 * NS_PER_MS)

/* A handshake's place.  Zeroed it waits for nothing. */
struct place {
	struct list link;
	int64_t since;
};

/* Takes a place, unless it has one. */
void admit_wait(struct place *p, bool begun);
void admit_leave(struct place *p); /* harmless without one */
struct place *admit_next(void);	   /* it has left then; NULL: nobody waits */
bool admit_anybody(void);

#endif
