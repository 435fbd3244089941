/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Searches that the storage child does beside its other work, in steps: a few in turn, the others
 * wait for one of these to end, with only a step's finds each.
 */
#ifndef STORE_FINDS_H
#define STORE_FINDS_H

#include "base/buf.h"
#include "base/list.h"
#include "base/pack.h"
#include "db.h"

enum {
	STORE_FINDS_MAX = 256,
	STORE_FINDS_IN_TURN = 16,
	STORE_FINDS_BYTES_MAX = 64 * 1024 * 1024, /* of all their lists: eight of the longest */
};

struct store_finds {
	struct list all; /* whose turn it is comes first, who waits comes last */
	unsigned count;
	size_t bytes, bytes_max; /* of what they have found so far */
};

void store_finds_init(struct store_finds *s);
void store_finds_fini(struct store_finds *s);
/* Begins with a call's body; puts its answer if that was all, ERR_BUSY if there are too many. */
void store_finds_start(struct store_finds *s, struct db *db, uint64_t id, struct unpack *body,
    struct buf *out);
/*
 * One step of one of them; the one whose finds would be too many beside those of the others ends with
 * ERR_BUSY, so that these come to their end.  True while there are more: call again soon.
 */
bool store_finds_step(struct store_finds *s, struct db *db, struct buf *out);

#endif
