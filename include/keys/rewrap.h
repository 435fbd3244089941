/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wraps all keys of a tenant anew that are wrapped under an older version of the root key, or under
 * another root key than new ones are: one after the other, at a bounded rate, each as a successor of
 * its record.  A record is retired only when its successor was read back and unwrapped.
 */
#ifndef KEYS_REWRAP_H
#define KEYS_REWRAP_H

#include "base/loop.h"
#include "keys/ledger.h"
#include "keys/vault.h"

struct rewrap {
	/*
	 * ERR_OK: nothing is left of what the ledger has.  ERR_BUSY: objects were left, since others were
	 * at work on them, or the record is not there: withdrawn, or news of it did not come here yet;
	 * or intents of records were, that nobody works on.
	 * A record that is refused, or whose own root key is, is left as well, and the others go on.
	 * ERR_VAULT_DOWN and others: gave up in the middle.  Start again then: what is done is skipped.
	 * Cancelling leaves the change under way to its intent; the vault may be freed then.
	 */
	struct wait wait;
	void (*progress)(struct rewrap *r); /* now and then; may be NULL */
	/* Asked before each object, and before it begins: else ERR_CANCELLED.  May be NULL. */
	bool (*goes_on)(struct rewrap *r);
	/*
	 * Asked until it says so, for a minute at most, after which one is left: whether nothing is under
	 * way any more that may bring a record that is not as new ones are.  May be NULL.
	 */
	bool (*may_begin)(struct rewrap *r);

	/* in; vault and ledger stay until the end */
	struct loop *loop;
	struct vault *vault; /* one that can find */
	struct ledger *ledger;
	const char *tenant;

	/* out */
	uint64_t objects, done;
	uint64_t rewrapped;
	uint64_t left; /* failed, or changed meanwhile: see the log; at least one unless ERR_OK */

	/* private */
	struct arena *arena;
	struct ledger_intents doubts;
	struct ledger_find find; /* so many at a time */
	size_t at;
	int64_t begin_by;
	struct timer pause;
	struct succeed *step;
};
/* Set wait.done, progress and what is in, zero the rest. */
void rewrap_start(struct rewrap *r);

#endif
