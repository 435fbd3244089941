/* SPDX-License-Identifier: Apache-2.0 */
/* A state directory with one object, put back as it was at first for each input. */
#ifndef TESTS_FUZZ_STATE_H
#define TESTS_FUZZ_STATE_H

#include "base/buf.h"
#include "keys/object.h"
#include "keys/store.h"

#include "place.h"

#define STATE_TENANT "fuzz"

struct state {
	char dir[PLACE_PATH_MAX], root[PLACE_PATH_MAX]; /* root: the root key file */
	struct arena *arena;
	struct object object;		   /* with its record; in both files */
	struct buf ledger, vault;	   /* the files */
	struct store_root_keys roots;	   /* the root key file for all tenants */
};

/* Once; the secure heap has to be there.  Time is frozen. */
void state_init(struct state *s);
/* Files that say this are put into an empty directory. */
void state_put(const struct state *s, const struct buf *ledger, const struct buf *vault);
/* A frame for the storage child, whose body is given. */
void state_frame(struct buf *in, uint64_t id, uint8_t kind, const void *body, size_t len);

#endif
