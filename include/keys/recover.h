/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settles the intents that a crash, or a message whose storage calls were lost, left behind: asks
 * the vault what became of the record, then tells the ledger.  Run it before serving, after each
 * restart of the storage child, and when the store tells of orphaned intents; one at a time.
 */
#ifndef KEYS_RECOVER_H
#define KEYS_RECOVER_H

#include "base/arena.h"
#include "base/loop.h"
#include "keys/adopt.h"
#include "keys/ledger.h"
#include "keys/vault.h"

struct recover {
	struct wait wait;
	struct ledger *ledger;
	/* The vault of the tenant with that id, or NULL when it is not configured: left alone. */
	struct vault *(*vault)(void *arg, const char *tenant);
	void *arg;

	/* out */
	uint64_t creates_done, creates_undone, updates_undone, destroys_done, destroys_undone;
	uint64_t left; /* the tenant is unknown, its vault failed, or does not know for sure yet */

	/* private */
	struct arena *arena, *object_arena;
	size_t at;
	enum err error;
	bool done;
	struct ledger_load load;
	struct ledger_intents list;
	struct vault_probe probe;
	struct vault_change change;
	struct object object;
	struct ledger_settle settle;
	struct loop *loop;
	struct adopt adopt;
};

/*
 * Set ledger, vault and arg, zero the rest.  Ends with ERR_OK, or with the last error when
 * something had to be left: try again later.
 */
void recover_start(struct recover *r, struct loop *l);

#endif
