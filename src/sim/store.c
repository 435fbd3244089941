/* SPDX-License-Identifier: Apache-2.0 */
/* Instances, key rings, keys, their versions and aliases. */
#include "store.h"

#include <search.h>
#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/rand.h>

#include "base/alloc.h"
#include "base/clock.h"

enum { MONTH_S = 30 * 86400 };

void
store_init(struct store *s)
{
	list_init(&s->instances);
	s->clock_offset = s->clock_stopped = 0;
}

int64_t
store_now(const struct store *s)
{
	return (s->clock_stopped != 0 ? s->clock_stopped : clock_wall()) + s->clock_offset;
}

/* Keys and aliases begin with the text that they are found by. */
static int
compare_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

struct instance *
instance_new(struct store *s, const char *id, enum instance_kind kind)
{
	struct instance *inst = alloc_zero(sizeof(*inst));

	if (inst == NULL)
		return NULL;
	snprintf(inst->id, sizeof(inst->id), "%s", id);
	snprintf(inst->region, sizeof(inst->region), "us-south");
	snprintf(inst->account, sizeof(inst->account), "0123456789abcdef0123456789abcdef");
	inst->kind = kind;
#define SETTING(member, name, fallback, least, most) inst->set.member = fallback;
#include "setting.def"
#undef SETTING
	if (kind == INSTANCE_HPCS)
		inst->set.keys_max = 50000;
	list_init(&inst->keys);
	list_init(&inst->rings);
	inst->tokens = (double)inst->set.rate_burst;
	inst->tokens_at = clock_now();
	list_append(&s->instances, &inst->link);
	if (ring_new(inst, "default") == NULL) {
		list_remove(&inst->link);
		alloc_free(inst);
		return NULL;
	}
	return inst;
}

static void
instance_free(struct instance *inst)
{
	LIST_FOREACH_SAFE(l, next, &inst->keys)
	key_free(CONTAINER_OF(l, struct key, link));
	LIST_FOREACH_SAFE(l, next, &inst->rings)
	ring_free(inst, CONTAINER_OF(l, struct ring, link));
	list_remove(&inst->link);
	alloc_free(inst);
}

void
store_fini(struct store *s)
{
	LIST_FOREACH_SAFE(l, next, &s->instances)
	instance_free(CONTAINER_OF(l, struct instance, link));
}

struct instance *
instance_find(const struct store *s, const char *id)
{
	LIST_FOREACH(l, &s->instances)
	{
		struct instance *inst = CONTAINER_OF(l, struct instance, link);

		if (strcmp(inst->id, id) == 0)
			return inst;
	}
	return NULL;
}

void
instance_lose_writes(struct instance *inst, uint64_t n)
{
	uint64_t kept = n < inst->write_seq ? inst->write_seq - n : 0;

	LIST_FOREACH_SAFE(l, next, &inst->keys)
	{
		struct key *k = CONTAINER_OF(l, struct key, link);

		if (k->create_seq > kept) {
			key_free(k);
		} else if (k->delete_seq > kept) {
			k->state = KEY_ACTIVE;
			k->deleted = 0;
			k->deleted_by[0] = '\0';
			k->delete_seq = 0;
		}
	}
}

/* --- key rings --- */

struct ring *
ring_new(struct instance *inst, const char *id)
{
	struct ring *r = alloc_zero(sizeof(*r));

	if (r == NULL)
		return NULL;
	snprintf(r->id, sizeof(r->id), "%s", id);
	list_append(&inst->rings, &r->link);
	inst->ring_count++;
	return r;
}

struct ring *
ring_find(const struct instance *inst, const char *id)
{
	LIST_FOREACH(l, &inst->rings)
	{
		struct ring *r = CONTAINER_OF(l, struct ring, link);

		if (strcmp(r->id, id) == 0)
			return r;
	}
	return NULL;
}

void
ring_free(struct instance *inst, struct ring *r)
{
	list_remove(&r->link);
	inst->ring_count--;
	alloc_free(r);
}

/* --- keys --- */

struct key *
key_new(struct instance *inst)
{
	struct key *k = alloc_zero(sizeof(*k));

	if (k == NULL)
		return NULL;
	k->inst = inst;
	k->state = KEY_ACTIVE;
	list_init(&k->versions);
	list_init(&k->aliases);
	snprintf(k->ring, sizeof(k->ring), "default");
	if (text_uuid4(k->id) != ERR_OK) {
		alloc_free(k);
		return NULL;
	}
	return k;
}

bool
key_add(struct key *k)
{
	struct instance *inst = k->inst;

	if (tsearch(k, &inst->by_id, compare_text) == NULL)
		return false;
	list_append(&inst->keys, &k->link);
	inst->key_count++;
	k->create_seq = ++inst->write_seq;
	k->born = clock_now();
	return true;
}

void
key_free(struct key *k)
{
	if (list_linked(&k->link)) {
		tdelete(k, &k->inst->by_id, compare_text);
		list_remove(&k->link);
		k->inst->key_count--;
	}
	LIST_FOREACH_SAFE(l, next, &k->aliases)
	alias_free(CONTAINER_OF(l, struct alias, link));
	LIST_FOREACH_SAFE(l, next, &k->versions)
	alloc_free(CONTAINER_OF(l, struct version, link));
	alloc_free(k->payload);
	alloc_free(k->description);
	alloc_free(k->tags);
	alloc_free(k);
}

struct key *
key_find(const struct store *s, struct instance *inst, const char *id_or_alias)
{
	void *const *node = tfind(id_or_alias, &inst->by_id, compare_text);
	struct alias *a;

	if (node != NULL)
		return key_refresh(s, *node);
	a = alias_find(s, inst, id_or_alias);
	return a != NULL ? key_refresh(s, a->key) : NULL;
}

struct key *
key_refresh(const struct store *s, struct key *k)
{
	int64_t now = store_now(s);

	if (k->state == KEY_DESTROYED) {
		if (now < k->deleted + PURGE_AT_S)
			return k;
		key_free(k);
		return NULL;
	}
	if (k->expires != 0 && now >= k->expires && k->state != KEY_DEACTIVATED) {
		k->state = KEY_DEACTIVATED;
		k->updated = k->expires;
	}
	if (k->dual_auth_by[0] != '\0' && now >= k->dual_auth_at + DUAL_AUTH_LAPSE_S)
		k->dual_auth_by[0] = '\0';
	while (k->rotation_enabled && k->state == KEY_ACTIVE) {
		int64_t last = k->rotated > k->rotation_since ? k->rotated : k->rotation_since;
		int64_t due = last + k->rotation_months * MONTH_S;

		if (now < due || !key_add_version(k, NULL, ROOT_MATERIAL_MAX, due))
			break;
		k->rotated = k->updated = due;
	}
	return k;
}

bool
key_in_ring(const struct store *s, const struct key *k, const char *ring)
{
	if (strcmp(k->ring, ring) == 0)
		return true;
	return k->moved != 0 && store_now(s) < k->moved + k->inst->set.ring_lag_s &&
	       strcmp(k->old_ring, ring) == 0;
}

struct version *
key_newest(const struct key *k)
{
	return CONTAINER_OF(k->versions.next, struct version, link);
}

/* A UUID that is the same for the same material, here and in any other instance. */
static bool
make_handle(struct version *v)
{
	static const char domain[] = "keyferry-sim key handle";
	uint8_t digest[EVP_MAX_MD_SIZE], input[sizeof(domain) + ROOT_MATERIAL_MAX];
	char hex[33];
	bool good;

	memcpy(input, domain, sizeof(domain));
	memcpy(input + sizeof(domain), v->material, v->len);
	good = EVP_Digest(input, sizeof(domain) + v->len, digest, NULL, EVP_sha256(), NULL) == 1;
	wipe(input, sizeof(input));
	if (!good)
		return false;
	digest[6] = (uint8_t)(0x40 | (digest[6] & 0x0f));
	digest[8] = (uint8_t)(0x80 | (digest[8] & 0x3f));
	text_hex(hex, digest, 16);
	snprintf(v->handle, sizeof(v->handle), "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12,
	    hex + 16, hex + 20);
	return true;
}

bool
key_add_version(struct key *k, const uint8_t *material, size_t len, int64_t now)
{
	struct version *v = alloc_zero(sizeof(*v));

	if (v == NULL)
		return false;
	v->len = len;
	v->created = now;
	if (material != NULL)
		memcpy(v->material, material, len);
	else if (RAND_priv_bytes(v->material, (int)len) != 1)
		goto failed;
	if (text_uuid4(v->id) != ERR_OK || !make_handle(v))
		goto failed;
	list_insert_before(k->versions.next, &v->link);
	return true;
failed:
	alloc_free(v);
	return false;
}

/* --- aliases --- */

bool
alias_add(struct key *k, const char *name, int64_t now, const char *by)
{
	struct alias *a = alloc_zero(sizeof(*a));

	if (a == NULL)
		return false;
	snprintf(a->name, sizeof(a->name), "%s", name);
	snprintf(a->created_by, sizeof(a->created_by), "%s", by);
	a->key = k;
	a->created = now;
	if (tsearch(a, &k->inst->by_alias, compare_text) == NULL) {
		alloc_free(a);
		return false;
	}
	list_append(&k->aliases, &a->link);
	k->alias_count++;
	k->inst->alias_count++;
	return true;
}

struct alias *
alias_find(const struct store *s, struct instance *inst, const char *name)
{
	void *const *node = tfind(name, &inst->by_alias, compare_text);
	struct alias *a = node != NULL ? *node : NULL;

	if (a != NULL && a->gone_at != 0 && store_now(s) >= a->gone_at) {
		alias_free(a);
		return NULL;
	}
	return a;
}

void
alias_free(struct alias *a)
{
	struct key *k = a->key;

	tdelete(a, &k->inst->by_alias, compare_text);
	list_remove(&a->link);
	k->alias_count--;
	k->inst->alias_count--;
	alloc_free(a);
}
