/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an administrator does to a tenant's keys, done as if a client had asked: by a request
 * message that goes the way of all others: through states, intents, vault, ledger, caches, audit.
 */
#ifndef GATE_ERRAND_H
#define GATE_ERRAND_H

#include "base/loop.h"
#include "gate/gate.h"

struct request;

/*
 * Destroys a key.  revoke: revokes it first, which an Active one needs (Cessation of Operation);
 * both or neither.  The result is what the client would have been told.  Cancelling stops what only
 * reads; a change runs to its end.
 */
struct errand {
	struct wait wait;
	struct tenant *tenant; /* a reference is taken */
	const char *uid;       /* borrowed until the errand has started */
	bool revoke;
	bool missing_is_gone; /* a key that the vault knows nothing of is destroyed in the ledger alone */
	struct request *request; /* private */
};
void errand_destroy(struct gate *g, struct errand *e);

#endif
