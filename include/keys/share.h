/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lets other gateways see the attributes that clients set here: some seconds after an object's last
 * change, and at the latest a minute after its first, it gets a successor of its record that says
 * them all.  What is not shared yet is what differs from the object's record, so nothing has to be
 * remembered: all objects are looked through at the start, while changes are shared as ever.
 */
#ifndef KEYS_SHARE_H
#define KEYS_SHARE_H

#include "base/clock.h"
#include "keys/ledger.h"
#include "keys/vault.h"

#define SHARE_QUIET_NS (5 * NS_PER_S)
#define SHARE_LONGEST_NS (60 * NS_PER_S)

struct share;

/*
 * Both are borrowed.  The vault points at the share from here on; adopt takes attributes over
 * then.
 */
struct share_params {
	struct loop *loop;
	struct vault *vault; /* one that can find */
	struct ledger *ledger;
	const char *tenant;
};

/* NULL without memory. */
struct share *share_new(const struct share_params *p);
/* NULL is allowed.  A change under way is left to its intent; the vault may go then. */
void share_free(struct share *s);

/* The object's attributes may have changed.  NULL: they stay here. */
void share_note(struct share *s, const char *uid);

#endif
