/* SPDX-License-Identifier: Apache-2.0 */
/*
 * While a ceiling (of handshakes, or of sessions) is reached, unfinished handshakes whose clients keep
 * us waiting have to go, the oldest first, as many as others wait: those that have said nothing after
 * 100 ms, others after 500 ms, or after 3 s where a handshake from their address succeeded lately.
 * Of an address with more than a quarter of all and one, the silent after 50 ms, others after 200 ms,
 * or 500.  One that has failed and waits for its client to close may do so for 200 ms.
 * What a handshake waits for us does not count, so that a site of honest hosts behind one address
 * loses none of them, however slow we are.  Nor does a stall of the whole process, after which all
 * have kept us waiting: nobody has to go, or gives way, in the half second that follows, once a second
 * at most.
 *
 * Whose time is over is a suspect from then on, whether it has to go at once or not, and so is its
 * address if none from there succeeds.  While there are such, with 20 ms over, accepting goes on: who
 * comes takes the place of the oldest of them at once.  Of those who come from suspects' addresses
 * themselves 128 a second may do so; the others are closed before anything is computed for them.  So
 * those who fill a ceiling delay others once, until they are known, and not by that at each turn.
 */
#ifndef GATE_RELIEF_H
#define GATE_RELIEF_H

#include "base/loop.h"

struct gate;
struct session;

void relief_run(struct timer *t);      /* of the gate's `relief' */
void relief_begin(struct gate *g); /* harmless when there is no need */
/* Who would give way at once, of those that have been there for longest; NULL: nobody. */
struct session *relief_find(const struct gate *g);
void relief_make_room(struct gate *g); /* it does */

#endif
