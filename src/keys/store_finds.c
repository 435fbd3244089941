/* SPDX-License-Identifier: Apache-2.0 */
/* The storage child's searches. */
#include "store_finds.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "db_find.h"
#include "wire.h"

#define PATIENCE (20 * NS_PER_S) /* nobody waits for longer: what is older keeps others waiting */

struct search {
	struct list link;
	uint64_t id;
	int64_t began;
	struct db_find *find;
	size_t bytes; /* as they are counted */
};

void
store_finds_init(struct store_finds *s)
{
	list_init(&s->all);
	s->count = 0;
	s->bytes = 0;
	s->bytes_max = STORE_FINDS_BYTES_MAX;
}

static void
drop(struct store_finds *s, struct search *one)
{
	list_remove(&one->link);
	s->count--;
	s->bytes -= one->bytes;
	db_find_free(one->find);
	alloc_free(one);
}

void
store_finds_fini(struct store_finds *s)
{
	while (!list_empty(&s->all))
		drop(s, CONTAINER_OF(s->all.next, struct search, link));
}

/* find NULL: it did not even begin. */
static void
put_answer(struct buf *out, uint64_t id, const struct db_find *find, enum err e)
{
	size_t at = wire_begin(out, id, (uint8_t)e);

	if (e == ERR_OK)
		db_find_put(find, out);
	wire_end(out, at);
}

/* What it found in its last step.  False when that is too much. */
static bool
count_bytes(struct store_finds *s, struct search *one)
{
	size_t bytes = db_find_bytes(one->find);

	s->bytes += bytes - one->bytes;
	one->bytes = bytes;
	return s->bytes <= s->bytes_max;
}

static enum err
keep(struct store_finds *s, uint64_t id, struct db_find *find)
{
	struct search *one = s->count < STORE_FINDS_MAX ? alloc_zero(sizeof(*one)) : NULL;

	if (one == NULL)
		return s->count < STORE_FINDS_MAX ? ERR_NO_MEMORY : ERR_BUSY;
	one->id = id;
	one->began = clock_now();
	one->find = find;
	list_append(&s->all, &one->link);
	s->count++;
	(void)count_bytes(s, one); /* if that is too much, the next step finds it so */
	return ERR_OK;
}

void
store_finds_start(struct store_finds *s, struct db *db, uint64_t id, struct unpack *body,
    struct buf *out)
{
	struct db_find *find = NULL;
	enum err e = db_find_new(&find, body);

	if (e == ERR_OK && db_find_begin(db, find, &e)) {
		e = keep(s, id, find);
		if (e == ERR_OK)
			return;
	}
	put_answer(out, id, find, e);
	db_find_free(find);
}

/* Behind the others that are done in turn. */
static void
put_back(struct store_finds *s, struct search *one)
{
	struct list *at = s->all.next;

	for (unsigned i = 1; i < STORE_FINDS_IN_TURN && at != &s->all; i++)
		at = at->next;
	list_insert_before(at, &one->link);
}

bool
store_finds_step(struct store_finds *s, struct db *db, struct buf *out)
{
	struct search *one;
	enum err e = ERR_OK;

	if (list_empty(&s->all))
		return false;
	one = CONTAINER_OF(s->all.next, struct search, link);
	if (clock_now() - one->began > PATIENCE) {
		e = ERR_BUSY;
	} else if (db_find_step(db, one->find, &e)) {
		if (count_bytes(s, one)) {
			list_remove(&one->link);
			put_back(s, one);
			return true;
		}
		e = ERR_BUSY;
	}
	put_answer(out, one->id, one->find, e);
	drop(s, one);
	return !list_empty(&s->all);
}
