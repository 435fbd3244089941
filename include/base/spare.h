/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks of one size that were wiped and wait for their next use: to take one from the allocator and
 * to give it back costs more than what most requests do with it.
 */
#ifndef BASE_SPARE_H
#define BASE_SPARE_H

#include <stddef.h>

struct spares {
	size_t size;   /* of a block, room for a pointer at least */
	unsigned most; /* that wait; more go back to the allocator */
	/* private */
	struct spare *first;
	unsigned count;
};
#define SPARES(block_size, at_most) {.size = (block_size), .most = (at_most)}

/* A zeroed block; NULL without memory. */
void *spare_take(struct spares *s);
/* used: bytes at its start that may not be zero any more; they are wiped. */
void spare_give(struct spares *s, void *block, size_t used);

#endif
