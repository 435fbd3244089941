/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects of the ledger that clients asked for lately, as the storage child answered: a host's key is
 * asked for by every host of its cluster, and again at each boot.  Bounded in bytes; an object has its
 * key wrapped, and for a while opened if its vault keeps it so (keys/opened).
 *
 * An object is kept only when no change was under way while it was read, and goes before a change of
 * it is sent: what is found here is what the storage child would say.
 */
#ifndef KEYS_RECENT_H
#define KEYS_RECENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "keys/ledger.h"

enum { RECENT_BYTES_MAX = 512 * 1024 };

struct recent;

struct recent *recent_new(void); /* NULL without memory */
void recent_free(struct recent *r); /* NULL is allowed */

/*
 * Fills in what the load asks for.  Its object is the load's own, but shares what it points to with
 * others; that stays for as long as the load's arena, whatever becomes of what is kept here.  False:
 * it is not here, or there is no memory.
 */
bool recent_find(struct recent *r, struct ledger_load *l);
/* When a read is sent: has to be in the load's mark when recent_keep() gets its answer. */
uint64_t recent_mark(const struct recent *r);
void recent_keep(struct recent *r, const struct ledger_load *l);

/* Around each call that changes rows, from before it is sent until it is over for good. */
void recent_change_begin(struct recent *r);
void recent_change_end(struct recent *r);
/* What it changes; between the two. */
void recent_forget(struct recent *r, const char *tenant, const char *uid);

/* Of what is kept, for tests. */
size_t recent_bytes(const struct recent *r);

#endif
