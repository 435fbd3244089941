/* SPDX-License-Identifier: Apache-2.0 */
/* Times and their percentiles. */
#include "hist.h"

enum { SUB = 1 << HIST_SUB_BITS };

/* Below SUB each nanosecond has a slot; above, those of a power of two share SUB of them. */
static unsigned
slot_of(int64_t ns)
{
	uint64_t v = ns > 0 ? (uint64_t)ns : 0;
	unsigned power;

	if (v < SUB)
		return (unsigned)v;
	power = 63 - (unsigned)__builtin_clzll(v);
	if (power >= HIST_POWER_MAX)
		return HIST_SLOTS - 1;
	return ((power - HIST_SUB_BITS + 1) << HIST_SUB_BITS) +
	       (unsigned)((v >> (power - HIST_SUB_BITS)) & (SUB - 1));
}

/* The longest time of a slot. */
static int64_t
slot_end(unsigned slot)
{
	unsigned shift;

	if (slot < SUB)
		return slot;
	shift = (slot >> HIST_SUB_BITS) - 1;
	return (int64_t)((((uint64_t)(SUB + (slot & (SUB - 1))) + 1) << shift) - 1);
}

void
hist_add(struct hist *h, int64_t ns)
{
	h->count++;
	h->sum += ns;
	if (ns > h->max)
		h->max = ns;
	h->slots[slot_of(ns)]++;
}

int64_t
hist_percentile(const struct hist *h, unsigned share)
{
	uint64_t need = (h->count * share + 99999) / 100000, seen = 0;

	if (h->count == 0)
		return 0;
	for (unsigned i = 0; i < HIST_SLOTS - 1; i++) {
		seen += h->slots[i];
		if (seen >= need && seen > 0)
			return slot_end(i) < h->max ? slot_end(i) : h->max;
	}
	return h->max;
}

int64_t
hist_mean(const struct hist *h)
{
	return h->count > 0 ? h->sum / (int64_t)h->count : 0;
}

uint64_t
hist_power(const struct hist *h, unsigned power)
{
	unsigned first, end;
	uint64_t n = 0;

	if (power < HIST_SUB_BITS || power >= HIST_POWER_MAX)
		return 0;
	end = (power - HIST_SUB_BITS + 2) << HIST_SUB_BITS;
	first = power == HIST_SUB_BITS ? 0 : end - SUB;
	for (unsigned i = first; i < end; i++)
		n += h->slots[i];
	return n;
}
