/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When keys were last used.  Remembered in memory, and handed to the ledger once an hour, so that
 * no Get waits for it: an object costs at most one write an hour, and all that are due share
 * commits.
 * What was not written when the daemon dies, or finds no room here, is forgotten: a last use is for
 * people who look for keys that nobody needs, and never proves that nobody does.
 */
#ifndef KEYS_USES_H
#define KEYS_USES_H

#include "base/loop.h"
#include "keys/ledger.h"

enum { USES_MAX = 65536 }; /* that wait to be written */

struct uses;

/* Borrows the ledger.  NULL without memory. */
struct uses *uses_new(struct loop *l, struct ledger *ledger);
/* What is not written is forgotten, waits are cancelled.  NULL is allowed, here and below. */
void uses_free(struct uses *us);

/* The key is being used now. */
void uses_note(struct uses *us, const char *tenant, const char *uid);
/* When it was last used, if the ledger does not know that yet; else NO_DATE. */
int64_t uses_last(struct uses *us, const char *tenant, const char *uid);
/* Not with NULL.  Writes what was noted up to now; an error: part of it is not written. */
void uses_flush(struct uses *us, struct wait *w);

#endif
