/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks that wait for their next use. */
#include "base/spare.h"

#include "base/alloc.h"
#include "poison.h"

struct spare {
	struct spare *next; /* what leak checks go by; the rest is poisoned */
};

void *
spare_take(struct spares *s)
{
	struct spare *b = s->first;

	if (b == NULL)
		return alloc_zero(s->size);
	if (alloc_refused())
		return NULL;
	UNPOISON(b + 1, s->size - sizeof(*b));
	s->first = b->next;
	s->count--;
	b->next = NULL;
	return b;
}

void
spare_give(struct spares *s, void *block, size_t used)
{
	struct spare *b = block;

	if (s->count == s->most) {
		alloc_free(block);
		return;
	}
	wipe(block, used);
	b->next = s->first;
	s->first = b;
	s->count++;
	POISON(b + 1, s->size - sizeof(*b));
}
