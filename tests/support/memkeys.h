/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ledger and a vault in memory, behind the real interfaces: for tests of what stands above
 * them, and for fuzzing.  They answer in the next turn, and fail on request.
 */
#ifndef SUPPORT_MEMKEYS_H
#define SUPPORT_MEMKEYS_H

#include "base/loop.h"
#include "gate/audit.h"
#include "gate/tenant.h"
#include "keys/ledger.h"
#include "keys/vault.h"

enum { MEM_OBJECTS_MAX = 512 };

/* What becomes of the next change of the ledger, which ends with ERR_STORAGE_DOWN. */
enum mem_loss { MEM_LOSES_NOTHING, MEM_LOSES_CALL, MEM_LOSES_ANSWER };

struct memkeys {
	struct loop *loop;
	struct ledger ledger;
	struct vault vault;
	struct mem_object {
		struct buf packed;
		uint64_t revision;
		char tenant[TENANT_ID_MAX + 1], uid[UID_TEXT_LEN + 1];
		bool present; /* in the ledger */
		bool record;
		uint64_t intent; /* whose; 0: nobody's */
		enum change_kind kind; /* of the intent */
		bool orphan;	       /* nobody works on the intent any more */
	} objects[MEM_OBJECTS_MAX];
	size_t count;
	uint64_t last_owner;

	/* what goes wrong: the next calls of a kind end with this error */
	enum err fail_prepare, fail_commit, fail_store, fail_unwrap;
	enum err fail_destroy; /* of the one that comes after destroys_fine others */
	unsigned destroys_fine;
	int64_t deadline; /* of the last change in the vault */
	unsigned conflicts; /* so many commits or prepares fail with ERR_CONFLICT first */
	bool silent;	    /* loads never end */
	enum mem_loss loses;
	bool killed;
	unsigned commits, stores, destroys;

	/* the ledger's, all may be NULL: how long an answer takes; that intents are left behind */
	int64_t (*delay)(void *arg);
	void (*orphaned)(void *arg);
	void *arg;
};

void memkeys_init(struct memkeys *m, struct loop *l);
void memkeys_fini(struct memkeys *m);
/* Who asks, for the audit; borrowed, and always the same. */
struct audit_client *memkeys_client(void);
/* A tenant over it, with one reference. */
struct tenant *memkeys_tenant(struct memkeys *m, const char *id);

/* The ledger alone. */
void memledger_init(struct memkeys *m);
void memledger_fini(struct memkeys *m);
/* As if the process was killed: whoever waits, and whoever calls, is told ERR_STORAGE_DOWN. */
void memledger_kill(struct memkeys *m);
/* As the next process finds it: intents are left behind. */
void memledger_revive(struct memkeys *m);
/* The object's place, or NULL; made if there is none yet. */
struct mem_object *memledger_find(struct memkeys *m, const char *tenant, const char *uid);
struct mem_object *memledger_place(struct memkeys *m, const char *tenant, const char *uid);

#endif
