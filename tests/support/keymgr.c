/* SPDX-License-Identifier: Apache-2.0 */
/* The key manager's own books. */
#include "keymgr.h"

#include <stdio.h>
#include <string.h>

#define EPOCH_NS (INT64_C(1760000000) * NS_PER_S)

void
keymgr_init(struct keymgr *km)
{
	memset(km, 0, sizeof(*km));
	km->root_version = 1;
	km->ahead = EPOCH_NS - clock_now();
}

void
keymgr_fini(struct keymgr *km)
{
	for (size_t i = 0; i < km->records_count; i++)
		buf_fini(&km->records[i].packed);
	km->records_count = 0;
}

int64_t
keymgr_now(const struct keymgr *km)
{
	return clock_now() + km->ahead;
}

/* --- keys --- */

struct keymgr_key *
keymgr_key(struct keymgr *km, const char *uid)
{
	for (size_t i = 0; i < km->keys_count; i++)
		if (strcmp(km->keys[i].uid, uid) == 0)
			return &km->keys[i];
	return NULL;
}

struct keymgr_key *
keymgr_make(struct keymgr *km, const char *uid)
{
	struct keymgr_key *k;

	if (km->keys_count == KEYMGR_KEYS_MAX)
		return NULL;
	k = &km->keys[km->keys_count++];
	snprintf(k->uid, sizeof(k->uid), "%s", uid);
	for (size_t i = 0; i < sizeof(k->bytes); i++)
		k->bytes[i] = (uint8_t)(km->keys_count * 37 + i * 11);
	return k;
}

/* Notes whether the key has a record now. */
static void
look_again(struct keymgr *km, const char *uid)
{
	struct keymgr_key *k = keymgr_key(km, uid);
	bool there = false;

	for (size_t i = 0; i < km->records_count; i++)
		there |= km->records[i].deleted == 0 && strcmp(km->records[i].uid, uid) == 0;
	if (k == NULL || there == (k->there_since != 0))
		return;
	k->there_since = there ? keymgr_now(km) : 0;
	k->gone_since = there ? 0 : keymgr_now(km);
}

/* --- records --- */

struct keymgr_record *
keymgr_record(struct keymgr *km, const char *id)
{
	for (size_t i = 0; i < km->records_count; i++)
		if (strcmp(km->records[i].id, id) == 0)
			return &km->records[i];
	return NULL;
}

static void
list_later(struct keymgr *km, struct keymgr_record *r)
{
	r->listed = keymgr_now(km) + (km->lag != NULL ? km->lag(km->arg) : 0);
}

struct keymgr_record *
keymgr_store(struct keymgr *km, const struct object *o)
{
	struct keymgr_record *r;

	if (km->records_count == KEYMGR_RECORDS_MAX)
		return NULL;
	r = &km->records[km->records_count++];
	*r = (struct keymgr_record){.made = keymgr_now(km)};
	snprintf(r->id, sizeof(r->id), "00000000-0000-4000-8000-%012u", ++km->next_id);
	memcpy(r->uid, o->uid, sizeof(r->uid));
	buf_init(&r->packed, OBJECT_SIZE_MAX);
	object_pack(&r->packed, o);
	list_later(km, r);
	look_again(km, r->uid);
	return r;
}

bool
keymgr_is_listed(const struct keymgr *km, const struct keymgr_record *r)
{
	return keymgr_now(km) >= r->listed;
}

void
keymgr_delete(struct keymgr *km, struct keymgr_record *r, bool by_gateway)
{
	if (r->deleted != 0)
		return;
	r->deleted = keymgr_now(km);
	r->by_gateway = by_gateway;
	list_later(km, r);
	look_again(km, r->uid);
}

int64_t
keymgr_gone_since(const struct keymgr *km, const char *uid, int64_t made)
{
	int64_t since = 0;

	for (size_t i = 0; i < km->records_count; i++) {
		const struct keymgr_record *r = &km->records[i];

		if (strcmp(r->uid, uid) != 0 || r->made < made)
			continue;
		if (r->deleted == 0)
			return 0;
		if (r->deleted > since)
			since = r->deleted;
	}
	return since;
}

/* When that was made which was made last, of what is there. */
static int64_t
last_made(const struct keymgr *km, const char *uid)
{
	int64_t made = 0;

	for (size_t i = 0; i < km->records_count; i++)
		if (strcmp(km->records[i].uid, uid) == 0 && km->records[i].deleted == 0)
			made = km->records[i].made;
	return made;
}

/* --- the customer --- */

void
keymgr_customer_deletes(struct keymgr *km, const char *uid, bool last_alone)
{
	int64_t last = last_made(km, uid);

	for (size_t i = 0; i < km->records_count; i++)
		if (strcmp(km->records[i].uid, uid) == 0 &&
		    (!last_alone || km->records[i].made == last))
			keymgr_delete(km, &km->records[i], false);
}

void
keymgr_customer_restores(struct keymgr *km, const char *uid)
{
	for (size_t i = 0; i < km->records_count; i++) {
		struct keymgr_record *r = &km->records[i];

		if (r->deleted == 0 || strcmp(r->uid, uid) != 0)
			continue;
		r->deleted = 0;
		list_later(km, r);
	}
	look_again(km, uid);
}
