/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept between the parts of computations. */
#include "parts.h"

#include <string.h>

#include <openssl/rand.h>

#include "base/alloc.h"
#include "base/clock.h"

struct part {
	struct list link; /* the one that waits longest is first */
	struct parts_key key;
	char uid[UID_TEXT_LEN + 1];
	struct cryptparams params;
	struct crypto *crypto;
	int64_t until;
};

struct parts {
	struct loop *loop;
	struct list all;
	size_t count;
	struct timer expiry;
};

static void
drop(struct parts *p, struct part *part)
{
	list_remove(&part->link);
	p->count--;
	crypto_free(part->crypto);
	alloc_free(part);
}

static void
expire(struct timer *t)
{
	struct parts *p = CONTAINER_OF(t, struct parts, expiry);

	while (!list_empty(&p->all)) {
		struct part *first = CONTAINER_OF(p->all.next, struct part, link);

		if (first->until > clock_now()) {
			timer_set(p->loop, &p->expiry, first->until);
			return;
		}
		drop(p, first);
	}
}

struct parts *
parts_new(struct loop *l)
{
	struct parts *p = alloc_zero(sizeof(*p));

	if (p == NULL)
		return NULL;
	p->loop = l;
	p->expiry.fn = expire;
	list_init(&p->all);
	return p;
}

void
parts_free(struct parts *p)
{
	if (p == NULL)
		return;
	timer_clear(p->loop, &p->expiry);
	while (!list_empty(&p->all))
		drop(p, CONTAINER_OF(p->all.next, struct part, link));
	alloc_free(p);
}

enum err
parts_name(struct parts_key *key)
{
	return RAND_bytes(key->value, sizeof(key->value)) == 1 ? ERR_OK : ERR_CRYPTO;
}

static bool
is_same_client(const struct parts_key *a, const struct parts_key *b)
{
	return strcmp(a->tenant, b->tenant) == 0 &&
	    memcmp(a->client, b->client, sizeof(a->client)) == 0;
}

static struct part *
find(const struct parts *p, const struct parts_key *key)
{
	LIST_FOREACH(l, &p->all) {
		struct part *part = CONTAINER_OF(l, struct part, link);

		if (is_same_client(&part->key, key) && part->key.operation == key->operation &&
		    memcmp(part->key.value, key->value, sizeof(key->value)) == 0)
			return part;
	}
	return NULL;
}

static bool
is_full(const struct parts *p, const struct parts_key *key)
{
	size_t own = 0, tenants = 0;

	LIST_FOREACH(l, &p->all) {
		const struct parts_key *other = &CONTAINER_OF(l, struct part, link)->key;

		own += is_same_client(other, key);
		tenants += strcmp(other->tenant, key->tenant) == 0;
	}
	return p->count >= PARTS_MAX || tenants >= PARTS_TENANT_MAX || own >= PARTS_CLIENT_MAX;
}

enum err
parts_keep(struct parts *p, const struct parts_key *key, const char *uid,
    const struct cryptparams *params, struct crypto *c)
{
	int64_t until = clock_now() + PARTS_TIMEOUT_S * NS_PER_S;
	struct part *part = NULL;
	enum err e = is_full(p, key) ? ERR_BUSY : ERR_OK;

	if (e == ERR_OK) {
		part = alloc_zero(sizeof(*part));
		e = part != NULL ? ERR_OK : ERR_NO_MEMORY;
	}
	if (e != ERR_OK) {
		crypto_free(c);
		return e;
	}
	part->key = *key;
	memcpy(part->uid, uid, strlen(uid) + 1);
	part->params = *params;
	part->crypto = c;
	part->until = until;
	list_append(&p->all, &part->link);
	p->count++;
	if (!timer_armed(&p->expiry))
		timer_set(p->loop, &p->expiry, until);
	return ERR_OK;
}

struct crypto *
parts_take(struct parts *p, const struct parts_key *key, char uid[UID_TEXT_LEN + 1],
    struct cryptparams *params)
{
	struct part *part = find(p, key);
	struct crypto *c;

	if (part == NULL) {
		*params = (struct cryptparams){.given = false};
		return NULL;
	}
	c = part->crypto;
	*params = part->params;
	part->crypto = NULL;
	memcpy(uid, part->uid, sizeof(part->uid));
	drop(p, part);
	return c;
}

const char *
parts_uid(const struct parts *p, const struct parts_key *key)
{
	const struct part *part = find(p, key);

	return part != NULL ? part->uid : NULL;
}
