/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose handshake is next.  One that has begun comes first: CPU was spent on it.  Of those that
 * have not, the one that has waited longest, until that is so long that the gateway cannot keep up:
 * then the latest, since its client waits yet.  Serving them in order would serve nobody in time.
 *
 * Of an address (of IPv6: a network of 64 bits) ADMIT_SHARE may wait among the others; what it has
 * beyond that waits apart, and gets every other turn while others wait.  So one address that floods
 * takes half of the turns at most.  Addresses fall into ADMIT_CROWDS crowds, by a hash.
 *
 * A handshake that comes in many small pieces is not preferred any more: those who drip bytes could
 * keep out all others with steps that lead nowhere.
 */
#ifndef NET_ADMIT_H
#define NET_ADMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/list.h"

/* So old is the oldest one when the latest come first.  Hosts wait for two seconds at least. */
#define ADMIT_WAIT_MAX (500 * NS_PER_MS)
#define ADMIT_GOOD (30 * NS_PER_S)
enum { ADMIT_SHARE = 32, ADMIT_CROWDS = 4096, ADMIT_STEPS = 32 };

/* A handshake's place.  Zeroed it waits for nothing. */
struct place {
	struct list link;
	int64_t since;
	int64_t waited; /* in all, until admit_next() gave it a turn */
	uint16_t crowd; /* admit_crowd() of its client's address */
	uint8_t steps;	/* turns it had, up to ADMIT_STEPS */
	bool apart;	/* it has been among those beyond their crowd's share */
	bool counted;	/* among those of its crowd that wait and have not begun */
	bool entered;	/* among those of its crowd that are unfinished */
};

struct sockaddr_storage;
/* Whose connections an address belongs to. */
unsigned admit_crowd(const struct sockaddr_storage *ss);

/* Takes a place, unless it has one. */
void admit_wait(struct place *p, bool begun);
void admit_leave(struct place *p); /* harmless without one */
struct place *admit_next(void);	   /* it has left then; NULL: nobody waits */
bool admit_anybody(void);

/* Its handshake is under way from now on, until admit_exit(). */
void admit_enter(struct place *p);
void admit_exit(struct place *p); /* leaves its place as well; harmless twice */
unsigned admit_under_way(const struct place *p); /* of its crowd */
/* Its handshake succeeded; for ADMIT_GOOD its crowd is known to do more than stand about. */
void admit_succeeded(const struct place *p);
bool admit_is_good(const struct place *p);
/* How long it has waited for its turns, in all. */
int64_t admit_waited(const struct place *p);

#endif
