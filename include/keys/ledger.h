/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger: what is known about objects and may change.  An interface with several providers;
 * calls complete as those of the vault do (keys/vault.h).
 *
 * Changes are optimistic: each names the revision that it was made from, and a commit whose
 * objects were changed meanwhile fails as a whole with ERR_CONFLICT, having done nothing.
 */
#ifndef KEYS_LEDGER_H
#define KEYS_LEDGER_H

#include "base/arena.h"
#include "base/loop.h"
#include "keys/object.h"

struct ledger;

/* ERR_NO_OBJECT when the tenant has none of that uid, whoever else may. */
struct ledger_load {
	struct wait wait;
	struct arena *arena;
	const char *tenant, *uid;
	bool again; /* it is likely to be asked for again: the ledger may remember it */
	uint64_t mark; /* the provider's */
	uint32_t overtaken;
	unsigned rounds;
	struct object *object; /* out */
	int64_t known_since;   /* out: when this ledger came to know it; NO_DATE: not told */
	int64_t used;	       /* out: when it was last used, as far as the ledger knows; or NO_DATE */
};

/* How a stored attribute or field has to be for an object to be found. */
enum ledger_match { MATCH_EQUAL, MATCH_AT_LEAST, MATCH_AT_MOST, MATCH_NOT };
enum ledger_field {
	FIELD_ATTR, /* name, and value in stored form: any instance; MATCH_NOT: none */
	FIELD_UID,  /* text */
	FIELD_USED, /* last use, or since when that is recorded if there was none */
	FIELD_TYPE, FIELD_STATE, FIELD_ALGORITHM, FIELD_LENGTH, FIELD_USAGE_MASK, FIELD_REVOCATION,
	FIELD_DATE, /* FIELD_DATE + enum object_date; the last ones */
};
struct ledger_term {
	unsigned field;
	enum ledger_match match; /* MATCH_EQUAL for all but dates; types also MATCH_NOT; usage mask: all bits are set */
	int64_t number;
	const char *name; /* FIELD_ATTR: terminated; FIELD_UID: the uid */
	const uint8_t *value;
	size_t value_len;
};

/*
 * Finds objects: all terms hold.  Newest first (by initial date, then uid, descending).
 * States are those of object_state_at(now); destroyed objects only when include_destroyed.
 * total counts all that match.  Of what changes meanwhile it may see either.
 */
struct ledger_find {
	struct wait wait;
	struct arena *arena;
	const char *tenant;
	const struct ledger_term *terms;
	size_t terms_count;
	int64_t now; /* seconds since 1970 */
	bool include_destroyed, only_destroyed;
	bool no_online, no_archived; /* of those that are not destroyed; not both */
	bool no_total; /* it need not count what it does not list */
	/*
	 * The uid behind which to go on, for those who want all, a part at a time; total counts what
	 * lies behind it.  Without terms.  ERR_NO_OBJECT when it is not there any more.  NULL: all.
	 */
	const char *after;
	uint32_t offset, max; /* max 0: as many as the provider gives, at least 100,000 */
	char (*uids)[UID_TEXT_LEN + 1]; /* out */
	size_t uids_count;
	uint64_t total;
};

/* Whether the object is one that a find looks for; the tenant is the caller's business. */
bool ledger_find_matches(const struct ledger_find *f, const struct object *o);

enum change_kind {
	CHANGE_INSERT,	/* the vault stores its record between prepare and commit */
	CHANGE_UPDATE,	/* the ledger alone */
	CHANGE_DESTROY, /* the vault destroys its record between prepare and commit */
	CHANGE_REPLACE, /* the vault stores a successor of its record between prepare and commit */
	/* What the vault has: a new row or a changed one; for a commit alone, of one change.  With the
	 * owner of an intent that nobody works on any more it settles the object's. */
	CHANGE_ADOPT,
	CHANGE_KINDS
};
struct change {
	enum change_kind kind;
	struct object *object; /* as it will be; revision: what it was made from */
};

/*
 * prepare: writes an intent row for each change, having checked every revision; an intent locks its
 * object, and the names that it will have, against other messages.  So what commit could refuse is
 * refused here, before the vault has destroyed anything.  commit: applies all changes and drops the
 * intents; without prepare (owner 0) for updates and adoptions alone.  abandon: drops the intents.  All are
 * durable when done.
 *
 * Two objects of a tenant that are not destroyed never share a value of the attribute "Name":
 * ERR_NAME_TAKEN.
 */
struct ledger_changes {
	struct wait wait;
	const struct change *changes;
	size_t count;
	/* The provider's: prepare sets it, the others read it.  Zero it before a commit alone. */
	uint64_t owner;
};

/*
 * Intents that nobody works on any more, oldest first; those of live messages are not shown.  after: 0 to
 * begin with; then where those begin that had no room, or 0: these were the last.
 */
struct ledger_intent {
	uint64_t owner;
	char tenant[TENANT_ID_MAX + 1];
	char uid[UID_TEXT_LEN + 1];
	enum change_kind kind;
};
struct ledger_intents {
	struct wait wait;
	struct arena *arena;
	uint64_t after;		       /* in and out */
	struct ledger_intent *intents; /* out */
	size_t count;
};

/*
 * Settles one intent that nobody works on any more.  keep false: the object's row, if any, stays
 * as it is.  destroyed: the vault's record is gone, so the object becomes Destroyed.
 */
struct ledger_settle {
	struct wait wait;
	const char *tenant, *uid;
	uint64_t owner; /* as in the intent: another's is not touched */
	bool destroyed;
	int64_t when;
};

/*
 * When objects were last used, in seconds since 1970: beside the objects, no change of theirs and
 * without a revision.  An older time than the stored one, and objects that are not there, are passed
 * over.  At most LEDGER_USES_MAX in one call.
 */
enum { LEDGER_USES_MAX = 1024 };
struct ledger_use {
	const char *tenant, *uid;
	int64_t when;
};
struct ledger_uses {
	struct wait wait;
	const struct ledger_use *uses;
	size_t count;
};

struct ledger_ops {
	const char *name;
	void (*load)(struct ledger *, struct ledger_load *);
	void (*find)(struct ledger *, struct ledger_find *);
	void (*prepare)(struct ledger *, struct ledger_changes *);
	void (*commit)(struct ledger *, struct ledger_changes *);
	void (*abandon)(struct ledger *, struct ledger_changes *);
	/*
	 * Leaves the intents of a message that ends without knowing what the vault did, or whose
	 * commit failed after the vault had acted, to recovery.  At once, cannot fail; harmless
	 * when the message has none.
	 */
	void (*disown)(struct ledger *, struct ledger_changes *);
	void (*intents)(struct ledger *, struct ledger_intents *);
	void (*settle)(struct ledger *, struct ledger_settle *);
	void (*note_uses)(struct ledger *, struct ledger_uses *); /* NULL: it keeps none */
	void (*free)(struct ledger *);
};

struct ledger {
	const struct ledger_ops *ops;
};

#endif
