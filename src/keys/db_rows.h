/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger's tables, for the sources that write them: rows, keys and names, intents. */
#ifndef DB_ROWS_H
#define DB_ROWS_H

#include "attr_key.h"
#include "base/arena.h"
#include "db.h"
#include "keys/ledger.h"

enum ledger_stmt {
	GET, INSERT, UPDATE, ATTR_PUT, ATTR_DELETE, NAME_HOLDER, NAME_PUT, NAME_DELETE, CLAIM_PUT,
	CLAIM_OWNER, CLAIMS_DROP, INTENT_GET, INTENT_PUT, INTENT_DELETE, INTENTS_DROP, INTENTS_LIST,
	BACKUP_GET, USE_PUT, USE_NOTE
};

/* A change as it came over the wire, and the row that it applies to. */
struct row_change {
	enum change_kind kind;
	struct object *object;
	int64_t id;	    /* of its row; 0: none yet */
	struct object *old; /* what the row holds, only to commit */
};

/* A statement with tenant and uid as its first parameters. */
CHECKED enum err db_bind_uid(struct db *db, enum ledger_stmt n, const char *tenant,
    const char *uid, sqlite3_stmt **out);
/* Writes rows and what they are found by.  The changes have passed their checks. */
CHECKED enum err db_rows_apply(struct db *db, struct arena *a, uint64_t owner,
    struct row_change *all, size_t count);

/*
 * Keeps the names that the change's object will have for the message, until db_intents_drop().
 * ERR_NAME_TAKEN: another object has one; one that the message changes as well may give it up,
 * and has not claimed it then.  ERR_CONFLICT: another message is about to take one.
 */
CHECKED enum err db_names_claim(struct db *db, uint64_t owner, const struct row_change *all,
    size_t count, const struct row_change *c, struct attr_keys *room);
/* Removes the keys that the object had and has no more.  For all changes before db_keys_put(). */
CHECKED enum err db_keys_drop(struct db *db, const struct row_change *c, struct attr_keys *was,
    struct attr_keys *is);
/* ERR_NAME_TAKEN; ERR_CONFLICT: another message than owner's has claimed a name. */
CHECKED enum err db_keys_put(struct db *db, uint64_t owner, const struct row_change *c,
    struct attr_keys *was, struct attr_keys *is);

/*
 * ERR_CONFLICT: an intent of another message locks the object, or the intent that the message
 * should have (needed) is not there.
 */
CHECKED enum err db_intent_check(struct db *db, uint64_t owner, const struct row_change *c,
    bool needed);
CHECKED enum err db_intent_put(struct db *db, uint64_t owner, const struct row_change *c);
/* Drops this one intent of the message, and its claims.  was: it was there. */
CHECKED enum err db_intent_settle(struct db *db, uint64_t owner, const char *tenant,
    const char *uid, bool *was);
/* All intents and claims of a message. */
CHECKED enum err db_intents_drop(struct db *db, uint64_t owner);

#endif
