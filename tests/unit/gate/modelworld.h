/* SPDX-License-Identifier: Apache-2.0 */
/* Two gateways over one key manager, in the model's hands; requests under way; time. */
#ifndef MODELWORLD_H
#define MODELWORLD_H

#include "modeljudge.h"

extern struct model model;

void world_begin(const struct cache_terms *terms, size_t cache_max, uint64_t seed);
void world_end(void); /* blames whoever left something behind */

/* Lets the loop run until there is nothing to do, or time pass meanwhile. */
void world_turns(void);
void world_pass(int64_t ns);

/* Asks a gateway; does nothing when there is no such key, or already one to create. */
void world_ask(unsigned gate, unsigned key, enum model_op op);
bool world_waits(void);		  /* for any answer */
void world_leave(unsigned gate); /* all clients leave */
void world_risk(unsigned gate);	  /* what is asked now may fail, as the ledger may die */

/* Something may drop the key from memory, up to then; or all of a gateway's. */
void world_cool_key(struct model_key *k, unsigned gate, int64_t until);
void world_cool(unsigned gate, int64_t until);
/* The gateway may replace its record, up to then: the others may drop the key. */
void world_move_key(struct model_key *k, unsigned gate, int64_t until);

#endif
