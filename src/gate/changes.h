/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The write set of one message: later items read through it, and nothing of it is anywhere else
 * until commit_start().
 */
#ifndef GATE_CHANGES_H
#define GATE_CHANGES_H

#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/secret.h"
#include "gate/tenant.h"
#include "keys/ledger.h"

struct changes {
	struct change *all;
	struct secret **keys; /* of objects made in this message; NULL for others */
	const struct object **olds; /* CHANGE_REPLACE: whose record is retired in the end */
	size_t count, room;
};

/* room: of as many objects as the message may change. */
CHECKED enum err changes_init(struct changes *c, struct arena *a, size_t room);
/* Forgets everything, keeps the room. */
void changes_drop(struct changes *c);

/* The object as the message left it, or NULL. */
const struct object *changes_find(const struct changes *c, const char *uid);
/* In the state that it is in at that time, until changes_as_stored(). */
const struct object *changes_see_at(struct changes *c, const char *uid, int64_t now);
/* The plaintext key of an object that this message made, or NULL. */
struct secret *changes_key(const struct changes *c, const char *uid);

/*
 * Adds an object or replaces what an earlier item left of it.  A destroyed object that was made
 * in the same message stays an insert of a destroyed object.  key: taken, may be NULL.
 */
CHECKED enum err changes_put(struct changes *c, enum change_kind kind, struct object *o,
    struct secret *key);
/*
 * Adds an object with a new record in the place of another's: old is the object as it is stored,
 * and stays as long as the changes.
 */
CHECKED enum err changes_replace(struct changes *c, struct object *o, const struct object *old);

/* What dates made of the objects' states is not for the ledger.  No item may look at them after this. */
void changes_as_stored(struct changes *c);

/*
 * Makes the changes durable: intents, then the vault, then the ledger.  Runs to its end whatever
 * becomes of the client.
 *   ERR_CONFLICT   an object was changed meanwhile; nothing happened, the message may run again
 *   others         nothing was acknowledged; what is half done is settled by recovery
 */
struct commit {
	struct wait wait;
	struct stamp began; /* in: before anything of the message was done, if the tenant has a cache */
	int64_t deadline;   /* in: clock_now() time, for calls to the vault; 0: none */
	bool missing_is_gone; /* in: see struct vault_change */
	/* private */
	struct tenant *tenant;
	struct changes *changes;
	struct loop *loop;
	size_t at;	/* the change whose record is being stored or destroyed */
	bool destroyed_any;
	enum err error; /* why it is being undone */
	struct ledger_changes ledger;
	struct vault_change vault;
};
void commit_start(struct commit *c, struct loop *l, struct tenant *t, struct changes *changes);

#endif
