/* SPDX-License-Identifier: Apache-2.0 */
/* Values made at random out of KMIP's tables: the same ones from the same seed. */
#ifndef KMIP_VALUES_H
#define KMIP_VALUES_H

#include "base/arena.h"
#include "base/buf.h"
#include "kmip/attr.h"

void values_seed(uint64_t seed);
/*
 * The seed that a property test begins with, which it prints: KEYFERRY_SEED, or with KEYFERRY_LONG
 * the time, or 1.
 */
uint64_t values_first_seed(void);
uint32_t values_below(uint32_t n);
/*
 * Puts a value of that type, no structure.  values: the tag whose enumeration an Enumeration has;
 * 0: that of the tag itself.
 */
void values_put(struct buf *b, uint32_t tag, enum ttlv_type type, uint32_t values, int version);
/* A value of the attribute that a client of that version may send. */
struct ttlv values_of(struct arena *arena, const struct kmip_attr_info *info, int version);
/* Writes what was read, value by value. */
void values_copy(struct buf *b, const struct ttlv *t);

#endif
