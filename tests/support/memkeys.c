/* SPDX-License-Identifier: Apache-2.0 */
/* A vault in memory, and a tenant over it and its ledger. */
#include "memkeys.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>
#include <openssl/sha.h>

#include "base/alloc.h"

static struct memkeys *
of_vault(struct vault *v)
{
	return CONTAINER_OF(v, struct memkeys, vault);
}

static void
mem_make(struct vault *v, struct vault_make *c)
{
	struct memkeys *m = of_vault(v);
	size_t len = c->object->length / 8;
	enum err e = ERR_OK;

	if (c->key == NULL) {
		c->key = secret_new(len, SECRET_TRANSIENT);
		if (c->key == NULL)
			e = ERR_NO_SECURE_MEMORY;
		else if (RAND_bytes(secret_bytes(c->key), (int)len) != 1)
			e = ERR_CRYPTO;
	}
	if (e == ERR_OK) {
		len = secret_len(c->key);
		SHA256(secret_bytes(c->key), len, c->object->digest);
		c->object->record = arena_copy(c->arena, secret_bytes(c->key), len);
		c->object->record_len = len;
	}
	wait_finish_soon(m->loop, &c->wait, e);
}

static void
mem_unwrap(struct vault *v, struct vault_unwrap *c)
{
	struct memkeys *m = of_vault(v);
	enum err e = m->fail_unwrap;

	if (e == ERR_OK) {
		c->key = secret_new(c->object->record_len, SECRET_TRANSIENT);
		if (c->key == NULL)
			e = ERR_NO_SECURE_MEMORY;
		else
			memcpy(secret_bytes(c->key), c->object->record, c->object->record_len);
	}
	wait_finish_soon(m->loop, &c->wait, e);
}

static void
mem_store(struct vault *v, struct vault_change *c)
{
	struct memkeys *m = of_vault(v);
	struct mem_object *mo = memledger_place(m, c->object->tenant, c->object->uid);

	m->deadline = c->terms.deadline;
	if (m->fail_store == ERR_OK && mo != NULL) {
		mo->record = true;
		m->stores++;
	}
	wait_finish_soon(m->loop, &c->wait, mo != NULL ? m->fail_store : ERR_STORAGE_FULL);
}

static void
mem_destroy(struct vault *v, struct vault_change *c)
{
	struct memkeys *m = of_vault(v);
	struct mem_object *mo = memledger_find(m, c->object->tenant, c->object->uid);
	enum err e = m->destroys++ == m->destroys_fine ? m->fail_destroy : ERR_OK;

	m->deadline = c->terms.deadline;
	if (mo != NULL && e == ERR_OK)
		mo->record = false;
	wait_finish_soon(m->loop, &c->wait, e);
}

static void
mem_free_vault(struct vault *v)
{
	(void)v;
}

static const struct vault_ops mem_vault_ops = {.name = "memory",
    .make = mem_make,
    .unwrap = mem_unwrap,
    .store = mem_store,
    .destroy = mem_destroy,
    .free = mem_free_vault};

void
memkeys_init(struct memkeys *m, struct loop *l)
{
	memset(m, 0, sizeof(*m));
	m->loop = l;
	memledger_init(m);
	m->vault.ops = &mem_vault_ops;
}

void
memkeys_fini(struct memkeys *m)
{
	memledger_fini(m);
}

static void
release(struct tenant *t)
{
	alloc_free(t);
}

struct audit_client *
memkeys_client(void)
{
	static struct audit_client *one;

	if (one == NULL)
		one = audit_client_new("tenant", "192.0.2.1:1", NULL);
	if (one == NULL)
		abort();
	return one;
}

struct tenant *
memkeys_tenant(struct memkeys *m, const char *id)
{
	struct tenant *t = alloc_zero(sizeof(*t));

	if (t == NULL)
		abort();
	t->refs = 1;
	t->release = release;
	t->vault = &m->vault;
	t->ledger = &m->ledger;
	strncpy(t->id, id, sizeof(t->id) - 1);
	return t;
}
