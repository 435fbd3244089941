/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One object gets a successor of its record, which says what the object is now, if that is wanted:
 *
 *	load -> unwrap -> make -> prepare -> store -> read back -> commit -> retire
 *
 * What fails after the store, or is left from prepare on, is left to the intent: recovery takes the
 * successor over, if there is one.
 */
#ifndef SUCCEED_H
#define SUCCEED_H

#include "keys/ledger.h"
#include "keys/vault.h"

struct succeed;

/* All but the texts stay until done or succeed_leave(). */
struct succeed_params {
	struct loop *loop;
	struct vault *vault; /* one that can find */
	struct ledger *ledger;
	const char *tenant, *uid;
	bool whole; /* with all its attributes, or not at all */
	/* Asked before the object is unwrapped (u is NULL), and after.  Its failure is the step's. */
	enum err (*wanted)(const struct vault *v, const struct object *o,
	    const struct vault_unwrap *u, bool *wanted);
	bool quiet; /* a failure is told at the level of debug */
	/*
	 * ERR_OK and made false: it was not wanted, or the object is Destroyed.  ERR_NO_OBJECT.
	 * general: the error would meet the next object as well.
	 */
	void (*done)(void *arg, enum err e, bool made, bool general);
	void *arg;
};

/* NULL without memory. */
struct succeed *succeed_start(const struct succeed_params *p);
/* done is not called any more, and the vault may go; a change under way is left to its intent. */
void succeed_leave(struct succeed *s);

#endif
