/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole gateway but for its sockets: requests, cache, custody, look-ups, watch, recovery and
 * rewrap, over a ledger in memory of its own and a key manager that others use as well.  It can be
 * killed and started again.
 */
#ifndef MODELGATE_H
#define MODELGATE_H

#include "../../support/fakevault.h"
#include "../../support/memkeys.h"
#include "gate/tenant.h"
#include "keys/recover.h"
#include "keys/rewrap.h"
#include "keys/watch.h"
#include "kmip/names.h"

#include "../../../src/gate/request.h"

struct gateway {
	struct loop *loop;
	struct memkeys mem; /* its ledger is used, its vault is not */
	struct fakevault vault;
	struct cache_terms terms;
	size_t cache_max;
	struct cache *cache;
	struct custody *custody;
	struct lookups *lookups;
	struct watch *watch;
	struct watch_tenant *watched;
	struct tenant *tenant;
	struct recover recover;
	struct defer recover_soon;
	struct timer recover_again;
	struct rewrap rewrap;
};

void gateway_init(struct gateway *g, struct loop *l, struct keymgr *km, const struct cache_terms *t,
    size_t cache_max);
void gateway_fini(struct gateway *g);
/* Requests have to end before it can start again. */
void gateway_kill(struct gateway *g);
void gateway_start_again(struct gateway *g);
void gateway_rewrap(struct gateway *g);

/* --- requests --- */

enum model_op {
	OP_CREATE,
	OP_GET,
	OP_ACTIVATE,
	OP_REVOKE,
	OP_COMPROMISE,
	OP_DESTROY,
	OP_ADD, /* an attribute */
	OP_STATE,
};

/* One request of one item.  answered() is called once, unless it is abandoned. */
struct exchange {
	enum model_op op;
	char uid[UID_TEXT_LEN + 1]; /* in; out of OP_CREATE */
	unsigned number;	    /* in, of OP_ADD: makes the attribute's name */
	void (*answered)(struct exchange *);

	/* out */
	uint32_t status, reason;
	uint8_t key[KEYMGR_KEY_LEN];
	size_t key_len;
	uint32_t state;

	struct request *rq; /* private */
};
void gateway_ask(struct gateway *g, struct exchange *x);

#endif
