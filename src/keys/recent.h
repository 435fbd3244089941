/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ledger rows that clients asked for lately, as the storage child answered them: a host's key is
 * asked for by every host of its cluster, and again at each boot.  Bounded in bytes; rows hold
 * wrapped keys only.
 *
 * A row is kept only when no change was under way while it was read, and goes before a change of
 * its object is sent: what is found here is what the storage child would say.
 */
#ifndef KEYS_RECENT_H
#define KEYS_RECENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RECENT_BYTES_MAX = 256 * 1024 };

struct recent;

struct recent *recent_new(void); /* NULL without memory */
void recent_free(struct recent *r); /* NULL is allowed */

/* The row, valid until the next call; NULL: it is not here. */
const uint8_t *recent_find(struct recent *r, const char *tenant, const char *uid, size_t *len);
/* When a read is sent: what recent_keep() has to be handed with its answer. */
uint64_t recent_mark(const struct recent *r);
void recent_keep(struct recent *r, uint64_t mark, const char *tenant, const char *uid,
    const void *row, size_t len);

/* Around each call that changes rows, from before it is sent until it is over for good. */
void recent_change_begin(struct recent *r);
void recent_change_end(struct recent *r);
/* What it changes; between the two. */
void recent_forget(struct recent *r, const char *tenant, const char *uid);

/* Of what is kept, for tests. */
size_t recent_bytes(const struct recent *r);

#endif
