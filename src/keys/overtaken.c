/* SPDX-License-Identifier: Apache-2.0 */
/* Reads and the changes that overtake them. */
#include "overtaken.h"

#include "base/alloc.h"
#include "name_hash.h"

static uint16_t
slot_of(const struct overtaken *o, const char *tenant, const char *uid)
{
	return (uint16_t)(name_hash(o->seed, tenant, uid) % OVERTAKEN_SLOTS);
}

uint32_t
overtaken_mark(const struct overtaken *o, const char *tenant, const char *uid)
{
	return o->ended[slot_of(o, tenant, uid)];
}

struct overtaking *
overtaking_new(size_t count)
{
	return alloc_zero(sizeof(struct overtaking) + count * sizeof(uint16_t));
}

void
overtaking_put(struct overtaking *c, const struct overtaken *o, const char *tenant, const char *uid)
{
	c->slots[c->count++] = slot_of(o, tenant, uid);
}

void
overtaking_end(struct overtaking *c, struct overtaken *o)
{
	for (size_t i = 0; i < c->count; i++)
		o->ended[c->slots[i]]++;
	alloc_free(c);
}
