/* SPDX-License-Identifier: Apache-2.0 */
/* A bounded table of objects, the one that was used last at the end. */
#include "recent.h"

#include <assert.h>
#include <string.h>

#include <openssl/rand.h>

#include "base/alloc.h"
#include "base/list.h"
#include "name_hash.h"

enum { BUCKETS = 512, ROW_MAX = RECENT_BYTES_MAX / 16 };

/* Lies in its own arena, with its object. */
struct row {
	struct row *next; /* in its bucket */
	struct list link; /* by use */
	unsigned refs;	  /* the table, and each load that was told of it */
	struct arena *arena;
	size_t size;
	struct object *object;
	int64_t known_since, used;
	struct object_proof proof;
};

struct recent {
	uint64_t seed, mark;
	unsigned changing; /* calls under way */
	size_t bytes;
	struct list rows;
	struct row *buckets[BUCKETS];
};

struct recent *
recent_new(void)
{
	struct recent *r = alloc_zero(sizeof(*r));

	if (r == NULL)
		return NULL;
	if (RAND_bytes((uint8_t *)&r->seed, sizeof(r->seed)) != 1) {
		alloc_free(r);
		return NULL;
	}
	list_init(&r->rows);
	return r;
}

static struct row **
place_of(struct recent *r, const char *tenant, const char *uid)
{
	struct row **at = &r->buckets[name_hash(r->seed, tenant, uid) % BUCKETS];

	while (*at != NULL && (strcmp((*at)->object->uid, uid) != 0 ||
				  strcmp((*at)->object->tenant, tenant) != 0))
		at = &(*at)->next;
	return at;
}

static void
row_unref(void *arg)
{
	struct row *row = arg;

	if (--row->refs > 0)
		return;
	object_proof_fini(&row->proof);
	arena_free(row->arena);
}

static void
drop(struct recent *r, struct row **at)
{
	struct row *row = *at;

	if (row == NULL)
		return;
	*at = row->next;
	list_remove(&row->link);
	r->bytes -= row->size;
	row_unref(row);
}

static void
drop_oldest(struct recent *r)
{
	const struct object *o = CONTAINER_OF(r->rows.next, struct row, link)->object;

	drop(r, place_of(r, o->tenant, o->uid));
}

bool
recent_find(struct recent *r, struct ledger_load *l)
{
	struct row *row = *place_of(r, l->tenant, l->uid);
	struct object *o;

	if (row == NULL)
		return false;
	o = arena_copy(l->arena, row->object, sizeof(*o));
	if (o == NULL || arena_on_free(l->arena, row_unref, row) != 0)
		return false;
	row->refs++;
	list_remove(&row->link);
	list_append(&r->rows, &row->link);
	l->object = o;
	l->known_since = row->known_since;
	l->used = row->used;
	return true;
}

uint64_t
recent_mark(const struct recent *r)
{
	return r->changing == 0 ? r->mark : UINT64_MAX;
}

static struct row *
row_new(const struct ledger_load *l)
{
	size_t size = arena_room(sizeof(struct row)) + object_copy_room(l->object);
	struct arena *a = size <= ROW_MAX ? arena_exact(size) : NULL;
	struct row *row = a != NULL ? arena_zalloc(a, sizeof(*row)) : NULL;
	struct object *o = row != NULL ? object_copy(a, l->object) : NULL;

	if (o == NULL) {
		arena_free(a);
		return NULL;
	}
	o->proof = &row->proof;
	*row = (struct row){.refs = 1, .arena = a, .size = size, .object = o,
	    .known_since = l->known_since, .used = l->used};
	return row;
}

void
recent_keep(struct recent *r, const struct ledger_load *l)
{
	struct row **at = place_of(r, l->tenant, l->uid), *row;

	if (l->mark != r->mark)
		return;
	drop(r, at);
	row = row_new(l);
	if (row == NULL)
		return;
	row->next = *at;
	*at = row;
	list_append(&r->rows, &row->link);
	r->bytes += row->size;
	while (r->bytes > RECENT_BYTES_MAX)
		drop_oldest(r);
}

void
recent_change_begin(struct recent *r)
{
	r->changing++;
	r->mark++;
}

void
recent_change_end(struct recent *r)
{
	assert(r->changing > 0);
	r->changing--;
}

void
recent_forget(struct recent *r, const char *tenant, const char *uid)
{
	drop(r, place_of(r, tenant, uid));
}

void
recent_free(struct recent *r)
{
	while (r != NULL && !list_empty(&r->rows))
		drop_oldest(r);
	alloc_free(r);
}

size_t
recent_bytes(const struct recent *r)
{
	return r->bytes;
}
