/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that goes all at once: what belongs to one request.  Wiped when freed. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

struct arena;

/*
 * max: ceiling in bytes over all blocks, of which the first, of 4 KiB at most, is there from the start.
 * NULL when there is no memory.
 */
struct arena *arena_new(size_t max);
/*
 * For who knows beforehand all that it will hold: size is the sum of arena_room() of each piece.  It is
 * one block, so that nothing is lost at the end of others.
 */
struct arena *arena_exact(size_t size);
/* Runs the cleanup hooks, last first, then frees everything.  NULL is allowed. */
void arena_free(struct arena *a);

/* All return NULL at the ceiling or without memory.  Aligned for any type, zeroed. */
void *arena_zalloc(struct arena *a, size_t len);
void *arena_array(struct arena *a, size_t count, size_t size);
void *arena_copy(struct arena *a, const void *data, size_t len);
/* A NUL-terminated copy of len bytes. */
char *arena_text(struct arena *a, const char *s, size_t len);

/* What one of len bytes takes of arena_exact(). */
size_t arena_room(size_t len);

/* Calls fn(arg) in arena_free().  -1 without memory: then nothing was registered. */
int arena_on_free(struct arena *a, void (*fn)(void *), void *arg);

#endif
