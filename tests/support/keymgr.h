/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A key manager in memory, which several gateways share: records that are deleted softly and may be
 * restored, lists that lag behind, a root key with versions.  It knows the truth: which bytes were
 * made for a key, and since when it has a record of it or has none.  Its time goes on whatever is
 * done to the machine's clocks.
 */
#ifndef SUPPORT_KEYMGR_H
#define SUPPORT_KEYMGR_H

#include "base/buf.h"
#include "base/clock.h"
#include "keys/object.h"

enum { KEYMGR_KEYS_MAX = 64, KEYMGR_RECORDS_MAX = 256, KEYMGR_KEY_LEN = 32 };
#define KEYMGR_LAG_NS (4 * NS_PER_S) /* lists lag by at most so much */

enum keymgr_root { ROOT_ACTIVE, ROOT_DISABLED, ROOT_DELETED };

struct keymgr_record {
	char id[UID_TEXT_LEN + 1], uid[UID_TEXT_LEN + 1];
	struct buf packed;    /* the object as it was stored, with its record */
	int64_t made, listed; /* listed: from then on, lists show what it is now */
	int64_t deleted;      /* 0: it is there */
	bool by_gateway;      /* who deleted it */
};

/* The truth about one key. */
struct keymgr_key {
	char uid[UID_TEXT_LEN + 1];
	uint8_t bytes[KEYMGR_KEY_LEN];
	int64_t there_since; /* 0: no record of it is there */
	int64_t gone_since;  /* 0: one is there, or none ever was */
};

struct keymgr {
	struct keymgr_record records[KEYMGR_RECORDS_MAX];
	size_t records_count;
	struct keymgr_key keys[KEYMGR_KEYS_MAX];
	size_t keys_count;
	enum keymgr_root root;
	uint32_t root_version;
	int64_t ahead; /* of clock_now() */
	unsigned next_id;
	int64_t (*lag)(void *arg); /* of the next change in lists; at most KEYMGR_LAG_NS */
	void *arg;
};

void keymgr_init(struct keymgr *km);
void keymgr_fini(struct keymgr *km);
int64_t keymgr_now(const struct keymgr *km); /* nanoseconds since 1970 */

/* NULL: not known. */
struct keymgr_key *keymgr_key(struct keymgr *km, const char *uid);
/* A new one, whose bytes follow from its number. */
struct keymgr_key *keymgr_make(struct keymgr *km, const char *uid);

struct keymgr_record *keymgr_record(struct keymgr *km, const char *id);
/* NULL: there is no room. */
struct keymgr_record *keymgr_store(struct keymgr *km, const struct object *o);
bool keymgr_is_listed(const struct keymgr *km, const struct keymgr_record *r);
void keymgr_delete(struct keymgr *km, struct keymgr_record *r, bool by_gateway);

/* Since when no record of the key is there that was made then or later; 0: one is, or never was. */
int64_t keymgr_gone_since(const struct keymgr *km, const char *uid, int64_t made);

/* What the customer does: all records of a key, or the one alone that was made last. */
void keymgr_customer_deletes(struct keymgr *km, const char *uid, bool last_alone);
void keymgr_customer_restores(struct keymgr *km, const char *uid);

#endif
