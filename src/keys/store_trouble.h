/* SPDX-License-Identifier: Apache-2.0 */
/* Whether changes reach the disk: what the storage child's answers tell of it, by kind of call. */
#ifndef STORE_TROUBLE_H
#define STORE_TROUBLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "wire.h"

/* All zero: nothing has failed. */
struct trouble {
	enum err failing[WIRE_KINDS]; /* of those that change something: how the last one failed */
	bool moved;		      /* no change is kept: see ERR_STORAGE_MOVED */
	int64_t since_ms;	      /* when the first of them did, by the wall clock */
};

/* The child has answered a call of that kind with e. */
void trouble_note(struct trouble *t, enum wire_kind kind, enum err e);
/* The child says whether the files that it has open have lost their names. */
void trouble_moved(struct trouble *t, bool moved);
/* The disk, which took no writes, does again: its failures are over, while it may be as full as it was. */
void trouble_mended(struct trouble *t);
/* ERR_OK: what was written last was kept, or would be now. */
enum err trouble_now(const struct trouble *t);

#endif
