/* SPDX-License-Identifier: Apache-2.0 */
/* What can happen to two gateways, their key manager and their keys. */
#ifndef MODELACTS_H
#define MODELACTS_H

#include "modelworld.h"

enum act_kind {
#define ACT(name, weight, text) ACT_##name,
#include "modelacts.def"
#undef ACT
	ACT_KINDS
};

/* All that an act depends on: so it does the same when others before it are left out. */
struct act {
	enum act_kind kind;
	unsigned gate, key;
	int64_t ns;	/* how long things go on after it, or what it is about */
	uint64_t chance; /* seeds what is left to chance until the next one */
};

void act_play(const struct act *a);
/* Puts right all that is wrong, and lets it settle. */
void act_heal(void);

#endif
