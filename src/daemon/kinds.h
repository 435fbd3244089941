/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a configuration gives a tenant another kind of vault than its keys are in: they could not be
 * fetched there, nor be destroyed.
 */
#ifndef DAEMON_KINDS_H
#define DAEMON_KINDS_H

#include "base/buf.h"
#include "base/loop.h"
#include "daemon/config.h"
#include "gate/gate.h"
#include "keys/ledger.h"

/*
 * ERR_OK: it does not.  Else why has a sentence; all but ERR_CONFIG: it cannot be told now.  ERR_CONFIG also if a
 * tenant in use, unmarked, is to have another kind, whatever its keys are in.  Tenants in use that keep theirs are
 * marked (keys_in) when all keys that were looked at are in another, and refuse nothing.
 */
struct kinds {
	struct wait wait;
	struct loop *loop;	     /* in */
	struct ledger *ledger;	     /* in */
	struct gate *gate;	     /* in: of tenants that it has on the same kind, unmarked, nothing is asked */
	bool starting;		     /* in: of these as well */
	const struct config *config; /* in */
	struct buf *why;	     /* in */
	size_t tenant;		     /* out: which is looked at; if not ERR_OK, neither that nor those behind it */
	size_t at;
	size_t own, foreign; /* of the tenant's keys so far: of the kind that it is to have, of another */
	size_t foreign_at;   /* the newest of the latter, and its kind */
	const char *made_by;
	struct arena *list, *step;
	struct ledger_find find;
	struct ledger_load load;
};

void kinds_look(struct kinds *k);

#endif
