/* SPDX-License-Identifier: Apache-2.0 */
/* Ledger and vault in memory. */
#include "memkeys.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>
#include <openssl/sha.h>

#include "base/alloc.h"

static struct memkeys *
of_ledger(struct ledger *l)
{
	return CONTAINER_OF(l, struct memkeys, ledger);
}

static struct memkeys *
of_vault(struct vault *v)
{
	return CONTAINER_OF(v, struct memkeys, vault);
}

static struct mem_object *
find(struct memkeys *m, const char *tenant, const char *uid)
{
	for (size_t i = 0; i < m->count; i++)
		if (strcmp(m->objects[i].uid, uid) == 0 &&
		    strcmp(m->objects[i].tenant, tenant) == 0)
			return &m->objects[i];
	return NULL;
}

static struct mem_object *
find_or_add(struct memkeys *m, const char *tenant, const char *uid)
{
	struct mem_object *o = find(m, tenant, uid);

	if (o != NULL || m->count == MEM_OBJECTS_MAX)
		return o;
	o = &m->objects[m->count++];
	memset(o, 0, sizeof(*o));
	buf_init(&o->packed, OBJECT_SIZE_MAX);
	strcpy(o->tenant, tenant);
	strcpy(o->uid, uid);
	return o;
}

static struct object *
unpacked(const struct mem_object *o, struct arena *a)
{
	struct unpack u;
	struct object *out;

	unpack_init(&u, o->packed.data, o->packed.len);
	out = object_unpack(&u, a);
	if (out != NULL)
		out->revision = o->revision;
	return out;
}

static void
cancel_load(struct wait *w)
{
	(void)w;
}

static void
mem_load(struct ledger *l, struct ledger_load *c)
{
	struct memkeys *m = of_ledger(l);
	const struct mem_object *o = find(m, c->tenant, c->uid);

	if (m->silent) {
		c->wait.cancel = cancel_load;
		return;
	}
	if (o != NULL && o->present)
		c->object = unpacked(o, c->arena);
	wait_finish_soon(m->loop, &c->wait,
	    o == NULL || !o->present ? ERR_NO_OBJECT
		: c->object == NULL  ? ERR_NO_MEMORY
				     : ERR_OK);
}

static void
mem_find(struct ledger *l, struct ledger_find *f)
{
	struct memkeys *m = of_ledger(l);

	f->uids = arena_array(f->arena, m->count + 1, sizeof(*f->uids));
	f->total = 0;
	f->uids_count = 0;
	for (size_t i = m->count; f->uids != NULL && i-- > 0;) {
		const struct mem_object *mo = &m->objects[i];
		const struct object *o = NULL;

		if (mo->present && strcmp(mo->tenant, f->tenant) == 0)
			o = unpacked(mo, f->arena);
		if (o == NULL || !ledger_find_matches(f, o))
			continue;
		if (f->total++ >= f->offset && (f->max == 0 || f->uids_count < f->max))
			memcpy(f->uids[f->uids_count++], o->uid, sizeof(o->uid));
	}
	wait_finish_soon(m->loop, &f->wait, f->uids != NULL ? ERR_OK : ERR_NO_MEMORY);
}

static enum err
check(struct memkeys *m, const struct ledger_changes *c)
{
	if (m->conflicts > 0) {
		m->conflicts--;
		return ERR_CONFLICT;
	}
	for (size_t i = 0; i < c->count; i++) {
		const struct object *o = c->changes[i].object;
		const struct mem_object *mo = find(m, o->tenant, o->uid);

		if (mo != NULL && mo->present && mo->revision != o->revision)
			return ERR_CONFLICT;
		if ((mo != NULL ? mo->intent : 0) != c->owner)
			return ERR_CONFLICT;
	}
	return ERR_OK;
}

static void
mem_prepare(struct ledger *l, struct ledger_changes *c)
{
	struct memkeys *m = of_ledger(l);
	enum err e = m->fail_prepare;

	c->owner = 0;
	if (e == ERR_OK)
		e = check(m, c);
	c->owner = ++m->last_owner;
	for (size_t i = 0; e == ERR_OK && i < c->count; i++) {
		struct mem_object *mo =
		    find_or_add(m, c->changes[i].object->tenant, c->changes[i].object->uid);

		if (mo != NULL)
			mo->intent = c->owner;
		else
			e = ERR_STORAGE_FULL;
	}
	wait_finish_soon(m->loop, &c->wait, e);
}

static void
mem_commit(struct ledger *l, struct ledger_changes *c)
{
	struct memkeys *m = of_ledger(l);
	enum err e = m->fail_commit != ERR_OK ? m->fail_commit : check(m, c);

	for (size_t i = 0; e == ERR_OK && i < c->count; i++) {
		const struct object *o = c->changes[i].object;
		struct mem_object *mo = find_or_add(m, o->tenant, o->uid);

		if (mo == NULL) {
			e = ERR_STORAGE_FULL;
			break;
		}
		buf_reset(&mo->packed);
		object_pack(&mo->packed, o);
		mo->revision++;
		mo->present = true;
		mo->intent = 0;
	}
	m->commits += e == ERR_OK;
	wait_finish_soon(m->loop, &c->wait, e);
}

static void
mem_abandon(struct ledger *l, struct ledger_changes *c)
{
	struct memkeys *m = of_ledger(l);

	for (size_t i = 0; i < c->count; i++) {
		struct mem_object *mo =
		    find(m, c->changes[i].object->tenant, c->changes[i].object->uid);

		if (mo != NULL && mo->intent == c->owner)
			mo->intent = 0;
	}
	wait_finish_soon(m->loop, &c->wait, ERR_OK);
}

static void
mem_free_ledger(struct ledger *l)
{
	(void)l;
}

static const struct ledger_ops mem_ledger_ops = {.name = "memory",
    .load = mem_load,
    .find = mem_find,
    .prepare = mem_prepare,
    .commit = mem_commit,
    .abandon = mem_abandon,
    .free = mem_free_ledger};

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
	struct mem_object *mo = find_or_add(m, c->object->tenant, c->object->uid);

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
	struct mem_object *mo = find(m, c->object->tenant, c->object->uid);
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
	m->ledger.ops = &mem_ledger_ops;
	m->vault.ops = &mem_vault_ops;
}

void
memkeys_fini(struct memkeys *m)
{
	for (size_t i = 0; i < m->count; i++)
		buf_fini(&m->objects[i].packed);
	m->count = 0;
}

static void
release(struct tenant *t)
{
	alloc_free(t);
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
