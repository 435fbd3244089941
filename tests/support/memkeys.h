/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ledger and a vault in memory, behind the real interfaces: for tests of what stands above
 * them, and for fuzzing.  They answer in the next turn, and fail on request.
 */
#ifndef SUPPORT_MEMKEYS_H
#define SUPPORT_MEMKEYS_H

#include "base/loop.h"
#include "gate/tenant.h"
#include "keys/ledger.h"
#include "keys/vault.h"

enum { MEM_OBJECTS_MAX = 512 };

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
	unsigned commits, stores, destroys;
};

void memkeys_init(struct memkeys *m, struct loop *l);
void memkeys_fini(struct memkeys *m);
/* A tenant over it, with one reference. */
struct tenant *memkeys_tenant(struct memkeys *m, const char *id);

#endif
