/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Brings the ledger up to what a shared vault has of one object, which another gateway may have
 * made, replaced or destroyed.  A record that counts before the one that the ledger knows is taken
 * over, another never; states only ever become more restrictive, whichever record says so.  What is
 * Destroyed stays so; an object is when the record that is known was destroyed by one of us and
 * nothing has taken its place, but not while the record that was made last was deleted by somebody
 * else, who may bring it back.  Attributes stay as they are here, unless they are shared
 * (keys/share.h): then what another gateway changed is taken over, and what was changed here since
 * the last record stays.
 */
#ifndef KEYS_ADOPT_H
#define KEYS_ADOPT_H

#include "base/arena.h"
#include "base/loop.h"
#include "keys/ledger.h"
#include "keys/vault.h"

enum adopted {
	ADOPT_KNOWN,	 /* the ledger knew all of it */
	ADOPT_NEW,	 /* the object is new to the ledger */
	ADOPT_NEWER,	 /* a successor or a more restrictive state was taken over */
	ADOPT_DESTROYED, /* the object is Destroyed now */
};

struct adopt {
	/*
	 * ERR_NO_OBJECT: the vault has nothing of it, or only what is older than what was seen.
	 * ERR_INTEGRITY, and other errors of vault and ledger.
	 */
	struct wait wait;

	/* in, borrowed until the end */
	struct loop *loop;
	struct vault *vault; /* one that can find */
	struct ledger *ledger;
	const char *tenant, *uid;
	const char *record_id; /* where a list shows it, or NULL */
	enum vault_gone gone;  /* what became of the record that was known */
	bool once;	       /* what does not show yet is left to a later time */
	uint64_t owner; /* of an orphaned intent that locks the object and is settled with it; else 0 */
	struct vault_terms terms;

	/* out */
	enum adopted adopted;
	enum err found; /* with ERR_NO_OBJECT: ERR_OK if there was something, but older */
	bool suspended; /* with ERR_NO_ROOT_KEY: it is there, but disabled or sealed */

	/* private */
	struct arena *arena;
	const struct vault_ops *ops; /* the vault itself may go while the ledger is at work */
	struct cache *cache;
	bool shares; /* attributes are taken over as well */
	struct vault_find find;
	struct ledger_load load;
	struct change change;
	struct ledger_changes changes;
	unsigned attempts;
	struct timer pause;
};

/* Set what is in, zero the rest. */
void adopt_start(struct adopt *a);

#endif
