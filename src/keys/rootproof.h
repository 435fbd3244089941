/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether root keys open what the ledger has: a file that was mixed up would wrap new keys, which
 * are lost once the right one is back.  So before the first wrap the tenant's newest keys are
 * opened, until one does.  That one proves its own version; a newer version, under which there is no key yet,
 * cannot be proven, and need not be: it stands in the same file.
 */
#ifndef ROOTPROOF_H
#define ROOTPROOF_H

#include "base/loop.h"
#include "envelope.h"
#include "keys/ledger.h"

enum { ROOT_PROOF_KEYS = 16 }; /* so many damaged ones do not mean that the root key is wrong */

enum root_verdict {
	ROOT_UNKNOWN,
	ROOT_OPENS,
	ROOT_UNUSED, /* the ledger had no key of the tenant */
	ROOT_WRONG,
};

struct root_proof {
	struct loop *loop;
	struct ledger *ledger; /* NULL: nothing is to be proven */
	struct rootkeys *roots;
	struct envelope_crypto *crypto;
	char tenant[TENANT_ID_MAX + 1];
	enum root_verdict verdict;
	struct list waits; /* for the look that is under way */
	bool looking;
	/* of a look */
	struct arena *list, *step;
	struct ledger_find find;
	struct ledger_load load;
	size_t at;
	bool failed, newest_failed; /* a key did not open; one that says it is under what wraps now */
};

/* All is borrowed, but for the tenant's id. */
void root_proof_init(struct root_proof *p, struct loop *l, struct rootkeys *roots,
    struct envelope_crypto *crypto);
void root_proof_begin(struct root_proof *p, struct ledger *l, const char *tenant);
void root_proof_fini(struct root_proof *p);

/* Whether the newest version may wrap now. */
bool root_proof_holds(const struct root_proof *p);
/*
 * Looks, or waits for the look that is under way.  ERR_OK: the newest version may wrap.  ERR_WRONG_ROOT_KEY.
 * Others: it cannot be told now.
 */
void root_proof_await(struct root_proof *p, struct wait *w);
/* The object, whose record is the ledger's, was opened; something was wrapped. */
void root_proof_opened(struct root_proof *p, const struct object *o);
void root_proof_wrapped(struct root_proof *p);

/*
 * The root keys take the place of others, whose judgement they inherit.  ERR_CONFIG: they have another
 * key for a version of those, or lack one that keys are wrapped under, or new ones would be; *why says
 * which (static storage).  What is known not to open anything may go.
 */
CHECKED enum err root_proof_follow(struct root_proof *p, const struct root_proof *before,
    const char **why);

#endif
