/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose handshake is next.  One that has begun comes first: CPU was spent on it.  Of those that
 * have not, the one that has waited longest, until that is so long that the gateway cannot keep up:
 * then the latest, since its client waits yet.  Serving them in order would serve nobody in time.
 *
 * Of an address (of IPv6: a network of 64 bits) ADMIT_SHARE may wait among the others; what it has
 * beyond that waits apart, and gets every other turn while others wait.  So one address that floods
 * takes half of the turns at most.  Addresses fall into ADMIT_CROWDS crowds, by a hash.
 */
#ifndef NET_ADMIT_H
#define NET_ADMIT_H

#include <stdbool.h>

#include "base/clock.h"
#include "base/list.h"

/* So old is the oldest one when the latest come first.  Hosts wait for two seconds at least. */
#define ADMIT_WAIT_MAX (500 * NS_PER_MS)
enum { ADMIT_SHARE = 32, ADMIT_CROWDS = 4096 };

/* A handshake's place.  Zeroed it waits for nothing. */
struct place {
	struct list link;
	int64_t since;
	unsigned crowd; /* admit_crowd() of its client's address */
	bool counted;	/* among those of its crowd that wait and have not begun */
};

struct sockaddr_storage;
/* Whose connections an address belongs to. */
unsigned admit_crowd(const struct sockaddr_storage *ss);

/* Takes a place, unless it has one. */
void admit_wait(struct place *p, bool begun);
void admit_leave(struct place *p); /* harmless without one */
struct place *admit_next(void);	   /* it has left then; NULL: nobody waits */
bool admit_anybody(void);

#endif
