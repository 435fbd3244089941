/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Look-ups in a shared vault of objects that the ledger does not know, or whose record is gone:
 * one at a time for each object and purpose however many ask, unless it may be held back and one of
 * them may not; remembered for some time when there is nothing.
 * Those for what nobody here has ever heard of are few at a time, the others waiting, and behind what
 * others wait for unless the object can have been made a moment ago; and those that find nothing are
 * rationed for each client.  So nobody can hammer the key manager through us.
 */
#ifndef KEYS_LOOKUP_H
#define KEYS_LOOKUP_H

#include "base/loop.h"
#include "keys/ledger.h"
#include "keys/vault.h"

struct lookups;

enum { LOOKUP_CLIENT_LEN = 32 };

struct lookups *lookups_new(struct loop *l); /* NULL without memory */
/* Gives up what is under way; those who wait are told ERR_CANCELLED.  NULL is allowed. */
void lookups_free(struct lookups *ls);

struct lookup {
	/*
	 * ERR_OK: the ledger has all that the vault has.  ERR_NO_OBJECT: there is none.  ERR_BUSY: too
	 * many that this client wanted were not there, or too many wait.  ERR_INTEGRITY, and other errors of vault and ledger.
	 */
	struct wait wait;

	/* in; texts and client are copied, vault and ledger borrowed */
	struct vault *vault; /* one that can find */
	struct ledger *ledger;
	const char *tenant, *uid;
	const uint8_t *client; /* LOOKUP_CLIENT_LEN bytes, or NULL: on our own account */
	const char *record_id; /* where a list shows it, or NULL */
	bool known;	       /* the ledger has it: neither rationed nor kept waiting */
	enum vault_gone gone;  /* what became of the record that was known */
	struct vault_terms terms; /* deadline: this waiter's, who leaves by then; the look goes on */
};
void lookup_start(struct lookups *ls, struct lookup *w);

/* A list shows a record of the object: that there was none is no longer true. */
void lookups_seen(struct lookups *ls, const char *tenant, const char *uid);

#endif
