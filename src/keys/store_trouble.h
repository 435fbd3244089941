/* SPDX-License-Identifier: Apache-2.0 */
/* Whether changes reach the disk: what the storage child's answers tell of it, by kind of call. */
#ifndef STORE_TROUBLE_H
#define STORE_TROUBLE_H

#include "base/err.h"
#include "wire.h"

/* All zero: nothing has failed. */
struct trouble {
	enum err failing[WIRE_KINDS]; /* of those that change something: how the last one failed */
	int64_t since_ms;	      /* when the first of them did, by the wall clock */
};

/* The child has answered a call of that kind with e. */
void trouble_note(struct trouble *t, enum wire_kind kind, enum err e);
/* ERR_OK: what was written last was kept. */
enum err trouble_now(const struct trouble *t);

#endif
