/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which reads were overtaken by a change: sent before the change was over, answered after.  What they
 * tell may be from before it, and nobody may take it for how the object is now.
 *
 * Counted for many objects together: a read is taken to be overtaken when it was, and now and then when
 * another object changed.
 */
#ifndef OVERTAKEN_H
#define OVERTAKEN_H

#include <stddef.h>
#include <stdint.h>

enum { OVERTAKEN_SLOTS = 4096 };

struct overtaken {
	uint64_t seed;
	uint32_t ended[OVERTAKEN_SLOTS];
};

/* A change that is under way, of so many objects. */
struct overtaking {
	void *owner; /* the caller's */
	size_t count;
	uint16_t slots[];
};

/* When a read is sent; it was overtaken when this is another number at its answer. */
uint32_t overtaken_mark(const struct overtaken *o, const char *tenant, const char *uid);

struct overtaking *overtaking_new(size_t count); /* NULL without memory */
void overtaking_put(struct overtaking *c, const struct overtaken *o, const char *tenant,
    const char *uid); /* so many times, at most */
/* It is over for good, whatever came of it.  Frees it. */
void overtaking_end(struct overtaking *c, struct overtaken *o);

#endif
