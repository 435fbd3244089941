/* SPDX-License-Identifier: Apache-2.0 */
/* A bump allocator with a ceiling and cleanup hooks. */
#include "base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <string.h>

#include "base/alloc.h"
#include "base/spare.h"

enum {
	BLOCK = 4096, /* with its header */
	ALIGN = alignof(max_align_t),
	SPARES_MAX = 64,
};

struct block {
	struct block *next;
	size_t used, size;
	alignas(max_align_t) uint8_t bytes[];
};

struct hook {
	struct hook *next;
	void (*fn)(void *);
	void *arg;
};

/* Lies at the start of its first block. */
struct arena {
	struct block *blocks;
	struct hook *hooks;
	size_t total, max;
};

enum { ROOM = BLOCK - sizeof(struct block), HEAD = (sizeof(struct arena) + ALIGN - 1) / ALIGN * ALIGN };

static struct spares commons = SPARES(BLOCK, SPARES_MAX);

static struct block *
new_block(size_t size)
{
	struct block *b = size == ROOM ? spare_take(&commons) : alloc_zero(sizeof(*b) + size);

	if (b != NULL)
		b->size = size;
	return b;
}

static void
drop_block(struct block *b)
{
	if (b->size == ROOM)
		spare_give(&commons, b, sizeof(*b) + b->used);
	else
		alloc_free(b);
}

/* first: what its first block holds. */
static struct arena *
make(size_t max, size_t first)
{
	struct block *b = first <= SIZE_MAX - BLOCK ? new_block(HEAD + first) : NULL;
	struct arena *a;

	if (b == NULL)
		return NULL;
	b->used = HEAD;
	a = (struct arena *)b->bytes;
	*a = (struct arena){.blocks = b, .total = first, .max = max};
	return a;
}

struct arena *
arena_new(size_t max)
{
	return make(max, max < ROOM - HEAD ? max : ROOM - HEAD);
}

struct arena *
arena_exact(size_t size)
{
	return make(size, size);
}

void
arena_free(struct arena *a)
{
	struct block *next;

	if (a == NULL)
		return;
	for (struct hook *h = a->hooks; h != NULL; h = h->next)
		h->fn(h->arg);
	for (struct block *b = a->blocks; b != NULL; b = next) { /* a goes with one of them */
		next = b->next;
		drop_block(b);
	}
}

static struct block *
add_block(struct arena *a, size_t len)
{
	size_t size = len > ROOM ? len : ROOM;
	struct block *b;

	if (size > a->max - a->total) {
		size = a->max - a->total; /* all that is left: a small arena is one block */
		if (len > size)
			return NULL;
	}
	b = new_block(size);
	if (b == NULL)
		return NULL;
	a->total += size;
	if (size - len < a->blocks->size - a->blocks->used) {
		b->next = a->blocks->next; /* the block with more room stays in front */
		a->blocks->next = b;
		return b;
	}
	b->next = a->blocks;
	return a->blocks = b;
}

size_t
arena_room(size_t len)
{
	return (len + ALIGN - 1) / ALIGN * ALIGN;
}

void *
arena_zalloc(struct arena *a, size_t len)
{
	struct block *b = a->blocks;
	void *at;

	if (len > a->max)
		return NULL;
	len = arena_room(len);
	if (len > b->size - b->used) {
		b = add_block(a, len);
		if (b == NULL)
			return NULL;
	}
	at = b->bytes + b->used;
	b->used += len;
	return at;
}

void *
arena_array(struct arena *a, size_t count, size_t size)
{
	if (size != 0 && count > SIZE_MAX / size)
		return NULL;
	return arena_zalloc(a, count * size);
}

void *
arena_copy(struct arena *a, const void *data, size_t len)
{
	void *p = arena_zalloc(a, len);

	if (p != NULL && len > 0)
		memcpy(p, data, len);
	return p;
}

char *
arena_text(struct arena *a, const char *s, size_t len)
{
	char *p = len < SIZE_MAX ? arena_zalloc(a, len + 1) : NULL;

	if (p != NULL && len > 0)
		memcpy(p, s, len);
	return p;
}

int
arena_on_free(struct arena *a, void (*fn)(void *), void *arg)
{
	struct hook *h = arena_zalloc(a, sizeof(*h));

	if (h == NULL)
		return -1;
	*h = (struct hook){a->hooks, fn, arg};
	a->hooks = h;
	return 0;
}
