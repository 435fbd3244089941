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

/* ERR_OK: it does not.  Else why has a sentence; all but ERR_CONFIG: it cannot be told now. */
struct kinds {
	struct wait wait;
	struct loop *loop;	     /* in */
	struct ledger *ledger;	     /* in */
	struct gate *gate;	     /* in: of tenants that it has on the same kind nothing is asked */
	const struct config *config; /* in */
	struct buf *why;	     /* in */
	size_t tenant, at;
	struct arena *list, *step;
	struct ledger_find find;
	struct ledger_load load;
};

void kinds_look(struct kinds *k);

#endif
