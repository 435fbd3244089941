/* SPDX-License-Identifier: Apache-2.0 */
/* A bounded table of rows, the one that was used last at the end. */
#include "recent.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include <openssl/rand.h>

#include "base/alloc.h"
#include "base/list.h"
#include "keys/object.h"
#include "name_hash.h"

enum { BUCKETS = 512, ROW_MAX = RECENT_BYTES_MAX / 16 };

struct row {
	struct row *next; /* in its bucket */
	struct list link; /* by use */
	char tenant[TENANT_ID_MAX + 1], uid[UID_TEXT_LEN + 1];
	size_t len;
	uint8_t bytes[];
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

	while (*at != NULL && (strcmp((*at)->uid, uid) != 0 || strcmp((*at)->tenant, tenant) != 0))
		at = &(*at)->next;
	return at;
}

static void
drop(struct recent *r, struct row **at)
{
	struct row *row = *at;

	if (row == NULL)
		return;
	*at = row->next;
	list_remove(&row->link);
	r->bytes -= sizeof(*row) + row->len;
	alloc_free(row);
}

const uint8_t *
recent_find(struct recent *r, const char *tenant, const char *uid, size_t *len)
{
	struct row *row = *place_of(r, tenant, uid);

	if (row == NULL)
		return NULL;
	list_remove(&row->link);
	list_append(&r->rows, &row->link);
	*len = row->len;
	return row->bytes;
}

uint64_t
recent_mark(const struct recent *r)
{
	return r->changing == 0 ? r->mark : UINT64_MAX;
}

void
recent_keep(struct recent *r, uint64_t mark, const char *tenant, const char *uid, const void *bytes,
    size_t len)
{
	struct row **at = place_of(r, tenant, uid), *row;

	if (mark != r->mark || len > ROW_MAX)
		return;
	drop(r, at);
	row = alloc_bytes(sizeof(*row) + len);
	if (row == NULL)
		return;
	*row = (struct row){.next = *at, .len = len};
	snprintf(row->tenant, sizeof(row->tenant), "%s", tenant);
	snprintf(row->uid, sizeof(row->uid), "%s", uid);
	memcpy(row->bytes, bytes, len);
	*at = row;
	list_append(&r->rows, &row->link);
	r->bytes += sizeof(*row) + len;
	while (r->bytes > RECENT_BYTES_MAX) {
		row = CONTAINER_OF(r->rows.next, struct row, link);
		drop(r, place_of(r, row->tenant, row->uid));
	}
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
	struct row *row;

	while (r != NULL && !list_empty(&r->rows)) {
		row = CONTAINER_OF(r->rows.next, struct row, link);
		drop(r, place_of(r, row->tenant, row->uid));
	}
	alloc_free(r);
}

size_t
recent_bytes(const struct recent *r)
{
	return r->bytes;
}
