/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose handshake is next.  One that has begun comes first: CPU was spent on it; those of addresses from
 * which handshakes succeeded before others.  After ADMIT_BEGUN_TURNS of them it is the turn of one that
 * has not, so that nobody waits for a thousand who take one cheap step each.  Those that have not begun
 * wait in four queues, which share the turns by their weights while all have somebody:
 *
 *     8  of addresses from which handshakes succeeded in the last week: hosts fetch keys when they boot
 *     4  of others
 *     4  those whose address (of IPv6: a network of 64 bits) has ADMIT_SHARE that wait already
 *     1  of suspects: addresses from which handshakes came to nothing in the last half minute, by no
 *        delay of ours, and none succeeded; and handshakes that came in ADMIT_STEPS pieces and go on
 *
 * So neither one address that floods keeps out the others, nor do many.  In each queue the one that
 * has waited longest is next, until that is so long that the gateway cannot keep up: then the latest,
 * since its client waits yet.  Serving them in order would serve nobody in time.  Every sixteenth turn
 * of a queue is the oldest's all the same: with k older ones in its queue nobody waits for more than
 * 16 (k + 1) of its turns, and those whose clients have left do not count.
 *
 * Addresses are known by a hash, and fall into ADMIT_CROWDS crowds by it.  A crowd's are counted
 * together; what is known of one, that it is a suspect or does well, is so of no other, and is forgotten
 * when as much becomes known of another in its crowd.  So nobody is a suspect for his neighbour in a
 * table, however many addresses a hostile one has.
 *
 * A handshake that comes in many small pieces comes last: those who drip bytes could keep out all others
 * with steps that lead nowhere.
 */
#ifndef NET_ADMIT_H
#define NET_ADMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/list.h"

/* So old is the oldest one when the latest come first.  Hosts wait for two seconds at least. */
#define ADMIT_WAIT_MAX (500 * NS_PER_MS)
enum { ADMIT_GOOD_S = 7 * 86400, ADMIT_SUSPECT_S = 30 };
/* Whom we kept waiting for longer may have left for that. */
#define ADMIT_BLAMELESS (100 * NS_PER_MS)
enum { ADMIT_SHARE = 32, ADMIT_CROWDS = 32768, ADMIT_STEPS = 32, ADMIT_OLDEST_TURN = 16,
	ADMIT_CHANCES = 128, ADMIT_BEGUN_TURNS = 4 };

/* A handshake's place.  Zeroed it waits for nothing. */
struct place {
	struct list link;
	int64_t since;
	int64_t waited; /* in all, until admit_next() gave it a turn */
	uint32_t whose; /* admit_whose() of its client's address */
	uint8_t steps;	/* turns it had, up to ADMIT_STEPS */
	bool apart;	/* it has been among those beyond their crowd's share */
	bool counted;	/* among those of its crowd that wait and have not begun */
	bool entered;	/* among those of its crowd that are unfinished */
	bool blamed;	/* by admit_blame() */
};

struct sockaddr_storage;
/* Whose connections an address's are: a hash. */
uint32_t admit_whose(const struct sockaddr_storage *ss);

/* Takes a place, unless it has one. */
void admit_wait(struct place *p, bool begun);
void admit_leave(struct place *p); /* harmless without one */
struct place *admit_next(void);	   /* it has left then; NULL: nobody waits */
bool admit_anybody(void);

/* Its handshake is under way from now on, until admit_exit(). */
void admit_enter(struct place *p);
void admit_exit(struct place *p); /* leaves its place as well; harmless twice */
unsigned admit_under_way(const struct place *p); /* of its crowd */
/* Its handshake succeeded: its address is known to do more than stand about. */
void admit_succeeded(const struct place *p);
/* It failed, or keeps us waiting for too long; nothing happens if we kept it waiting ourselves. */
void admit_blame(struct place *p);
bool admit_is_good(uint32_t whose);
bool admit_is_suspect(uint32_t whose);
/*
 * Whether one of it that comes where places are short is not even asked for its hello: all suspects
 * together have ADMIT_CHANCES a second, as somebody honest may share their address.
 */
bool admit_turns_away(uint32_t whose);
/* How long it has waited for its turns, in all. */
int64_t admit_waited(const struct place *p);

#endif
