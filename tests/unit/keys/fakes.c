/* SPDX-License-Identifier: Apache-2.0 */
/* The key manager, the vaults and the ledger that answer as the test says. */
#include "fakes.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/log.h"

enum { HEAP = 256 * 1024, KEY_LEN = 32 };

/* --- calls --- */

/* A call that waits: its wait's turn.fn is what goes on with it. */
static void
left(struct wait *w)
{
	(void)w;
}

static void
note(struct fake *f, char what)
{
	size_t at = strlen(f->order);

	if (at < sizeof(f->order) - 1)
		f->order[at] = what;
}

/* Answers, or keeps it until fake_release(). */
static void
answer(struct fake *f, struct fake_fault *fault, struct wait *w, enum err e)
{
	fault->calls++;
	if (fault->e != ERR_OK && fault->times > 0) {
		fault->times--;
		e = fault->e;
	}
	if (!fault->holds) {
		wait_finish_soon(f->loop, w, e);
		return;
	}
	w->result = e;
	w->cancel = left;
	list_append(&f->held, &w->link);
}

/* Whether the call that comes now is to fail. */
static bool
fails(const struct fake_fault *fault)
{
	return fault->e != ERR_OK && fault->times > 0;
}

void
fake_release(struct fake *f)
{
	struct wait *w;

	ck_assert(!list_empty(&f->held));
	w = CONTAINER_OF(f->held.next, struct wait, link);
	wait_finish_soon(f->loop, w, w->result);
}

unsigned
fake_held(const struct fake *f)
{
	unsigned n = 0;

	LIST_FOREACH (link, &f->held)
		n++;
	return n;
}

/* --- the key manager --- */

static void
on_news(struct vault_source *s, struct vault_news *n)
{
	struct fake *f = CONTAINER_OF(s, struct fake, source);

	f->asked = n;
	f->asked_since = n->since;
	f->asked_at = clock_now();
	f->asked_surely = n->sure;
	n->now = clock_wall();
	n->suspended = f->suspended;
	n->moved = f->moved;
	for (size_t i = 0; !fails(&f->news) && n->since != 0 && i < f->count; i++) {
		const struct fake_record *r = &f->records[i];

		if (r->when >= n->since)
			n->each(n->arg, &(struct vault_record){r->name, r->id, r->gone});
	}
	answer(f, &f->news, &n->wait, ERR_OK);
}

struct fake_record *
fake_record(struct fake *f, struct vault *v, const struct object *o, uint64_t sequence)
{
	struct fake_vault *fv = CONTAINER_OF(v, struct fake_vault, vault);
	struct fake_record *r;

	if (f->count == f->room) {
		f->room = f->room > 0 ? 2 * f->room : 512;
		f->records = realloc(f->records, f->room * sizeof(*r));
		ck_assert_ptr_nonnull(f->records);
	}
	r = &f->records[f->count++];
	*r = (struct fake_record){
	    .tenant = fv->tenant, .when = clock_wall(), .sequence = sequence};
	r->object = object_copy(f->arena, o);
	snprintf(r->name, sizeof(r->name), "%s_%s", fv->prefix, o->uid);
	snprintf(r->id, sizeof(r->id), "00000000-0000-4000-8000-%012zu", f->count);
	return r;
}

void
fake_delete(struct fake_record *r, enum vault_gone how)
{
	r->gone = how;
	r->when = clock_wall();
}

/* --- vaults --- */

static const char *
on_uid_in(const struct vault *v, const char *name)
{
	const char *prefix = CONTAINER_OF(v, const struct fake_vault, vault)->prefix;
	size_t len = strlen(prefix);

	return strncmp(name, prefix, len) == 0 && name[len] == '_' &&
		strlen(name + len + 1) == UID_TEXT_LEN
	    ? name + len + 1
	    : NULL;
}

static struct secret *
key_of(const struct object *o)
{
	struct secret *key = secret_new(KEY_LEN, SECRET_TRANSIENT);

	ck_assert_ptr_nonnull(key);
	memcpy(secret_bytes(key), o->digest, KEY_LEN);
	return key;
}

static void
set_record(struct object *o, struct arena *a, const char *id, uint64_t sequence)
{
	uint8_t bytes[FAKE_RECORD_LEN] = {0};

	memcpy(bytes, id, strlen(id));
	memcpy(bytes + UID_TEXT_LEN, &sequence, sizeof(sequence));
	o->record = arena_copy(a, bytes, sizeof(bytes));
	o->record_len = sizeof(bytes);
}

uint64_t
fake_sequence_of(const struct object *o)
{
	uint64_t n = 0;

	if (o->record_len == FAKE_RECORD_LEN)
		memcpy(&n, o->record + UID_TEXT_LEN, sizeof(n));
	return n;
}

/* Of equals the lower id. */
int
fake_order(const struct object *a, const struct object *b)
{
	uint64_t as = fake_sequence_of(a), bs = fake_sequence_of(b);

	if (as != bs)
		return as > bs ? 1 : -1;
	return a->record_len == FAKE_RECORD_LEN && b->record_len == FAKE_RECORD_LEN
	    ? memcmp(b->record, a->record, UID_TEXT_LEN)
	    : 0;
}

static void
on_record_id(char id[UID_TEXT_LEN + 1], const struct object *o)
{
	id[0] = '\0';
	if (o->record_len == FAKE_RECORD_LEN)
		memcpy(id, o->record, UID_TEXT_LEN);
	id[UID_TEXT_LEN] = '\0';
}

static const struct fake_record *
best_of(const struct fake_vault *v, const struct vault_find *f)
{
	const struct fake_record *best = NULL;

	for (size_t i = 0; i < v->fake->count; i++) {
		const struct fake_record *r = &v->fake->records[i];
		const char *uid = on_uid_in(&v->vault, r->name);

		if (uid == NULL || strcmp(uid, f->uid) != 0 || r->gone != GONE_UNKNOWN ||
		    strcmp(r->tenant, f->tenant) != 0 ||
		    (f->record_id != NULL && strcmp(r->id, f->record_id) != 0))
			continue;
		if (best == NULL || r->sequence > best->sequence)
			best = r;
	}
	return best;
}

static void
on_find(struct vault *vault, struct vault_find *find)
{
	struct fake_vault *v = CONTAINER_OF(vault, struct fake_vault, vault);
	const struct fake_record *r = best_of(v, find);
	struct object *o = r != NULL ? object_copy(find->arena, r->object) : NULL;

	note(v->fake, 'f');
	if (o != NULL)
		set_record(o, find->arena, r->id, r->sequence);
	find->unopened = o;
	if (o != NULL && !fails(&v->fake->find)) {
		find->object = o;
		find->object->digest[0] ^= v->fake->wrong_back;
		find->key = key_of(find->object);
	}
	find->withdrawn = v->fake->withdrawn;
	answer(v->fake, &v->fake->find, &find->wait, r != NULL ? ERR_OK : ERR_NO_OBJECT);
}

static void
on_unwrap(struct vault *vault, struct vault_unwrap *u)
{
	struct fake *f = CONTAINER_OF(vault, struct fake_vault, vault)->fake;

	note(f, 'u');
	u->stale = f->stale && fake_sequence_of(u->object) < 2;
	u->record_only = f->record_only;
	u->apart = f->apart;
	if (!fails(&f->unwrap))
		u->key = key_of(u->object);
	answer(f, &f->unwrap, &u->wait, ERR_OK);
}

static void
on_make(struct vault *vault, struct vault_make *m)
{
	struct fake *f = CONTAINER_OF(vault, struct fake_vault, vault)->fake;

	note(f, 'm');
	set_record(m->object, m->arena, "", fake_sequence_of(m->object) + 1);
	answer(f, &f->make, &m->wait, ERR_OK);
}

/* It runs to its end even if who asked has gone. */
static void
on_store(struct vault *vault, struct vault_change *c)
{
	struct fake *f = CONTAINER_OF(vault, struct fake_vault, vault)->fake;
	const struct fake_record *r;

	note(f, 's');
	if (!fails(&f->store)) {
		r = fake_record(f, vault, c->object, fake_sequence_of(c->object));
		memcpy((uint8_t *)(uintptr_t)c->object->record, r->id, UID_TEXT_LEN);
	}
	answer(f, &f->store, &c->wait, ERR_OK);
}

static void
on_retire(struct vault *vault, struct vault_change *c)
{
	struct fake *f = CONTAINER_OF(vault, struct fake_vault, vault)->fake;
	char old[UID_TEXT_LEN + 1], next[UID_TEXT_LEN + 1];
	bool there = false;

	note(f, 'r');
	on_record_id(old, c->object);
	if (c->successor != NULL)
		on_record_id(next, c->successor);
	for (size_t i = 0; c->successor != NULL && i < f->count; i++)
		there |= strcmp(f->records[i].id, next) == 0 &&
		    f->records[i].gone == GONE_UNKNOWN;
	ck_assert(there || c->successor == NULL); /* never the only one */
	for (size_t i = 0; !fails(&f->retire) && i < f->count; i++)
		if (strcmp(f->records[i].id, old) == 0)
			fake_delete(&f->records[i], GONE_DESTROYED);
	answer(f, &f->retire, &c->wait, ERR_OK);
}

struct vault *
fake_vault(struct fake *f, const char *tenant, const char *prefix)
{
	static const struct vault_ops ops = {
	    .name = "fake",
	    .make = on_make,
	    .unwrap = on_unwrap,
	    .store = on_store,
	    .retire = on_retire,
	    .find = on_find,
	    .uid_in = on_uid_in,
	    .record_id = on_record_id,
	    .sequence = fake_sequence_of,
	    .order = fake_order,
	};
	struct fake_vault *v = &f->vaults[f->vaults_count++];

	ck_assert_uint_le(f->vaults_count, FAKE_TENANTS_MAX);
	*v = (struct fake_vault){.vault.ops = &ops, .fake = f, .tenant = tenant, .prefix = prefix};
	return &v->vault;
}

/* --- the ledger --- */

static struct object **
slot_of(struct fake *f, const char *tenant, const char *uid)
{
	for (size_t i = 0; i < f->objects_count; i++)
		if (strcmp(f->objects[i]->tenant, tenant) == 0 &&
		    strcmp(f->objects[i]->uid, uid) == 0)
			return &f->objects[i];
	return NULL;
}

struct object *
fake_known(struct fake *f, const char *tenant, const char *uid)
{
	struct object **o = slot_of(f, tenant, uid);

	return o != NULL ? *o : NULL;
}

static void
keep(struct fake *f, const struct object *o)
{
	struct object **slot = slot_of(f, o->tenant, o->uid);

	if (slot == NULL && f->objects_count == f->objects_room) {
		f->objects_room = f->objects_room > 0 ? 2 * f->objects_room : 512;
		f->objects = realloc(f->objects, f->objects_room * sizeof(*f->objects));
		ck_assert_ptr_nonnull(f->objects);
	}
	if (slot == NULL)
		slot = &f->objects[f->objects_count++];
	*slot = object_copy(f->arena, o);
	(*slot)->revision++;
}

void
fake_know(struct fake *f, const struct object *o, const struct fake_record *r)
{
	struct object *copy = object_copy(f->arena, o);

	if (r != NULL)
		set_record(copy, f->arena, r->id, r->sequence);
	keep(f, copy);
}

static void
on_load(struct ledger *l, struct ledger_load *load)
{
	struct fake *f = CONTAINER_OF(l, struct fake, ledger);
	const struct object *o = fake_known(f, load->tenant, load->uid);

	if (o != NULL)
		load->object = object_copy(load->arena, o);
	answer(f, &f->load, &load->wait, o != NULL ? ERR_OK : ERR_NO_OBJECT);
}

static void
on_list(struct ledger *l, struct ledger_find *find)
{
	struct fake *f = CONTAINER_OF(l, struct fake, ledger);
	bool after = find->after != NULL;

	find->uids = arena_array(find->arena, f->objects_count + 1, sizeof(*find->uids));
	find->uids_count = 0;
	find->total = 0;
	for (size_t i = 0; i < f->objects_count; i++) {
		if (after && strcmp(f->objects[i]->uid, find->after) == 0)
			after = false;
		else if (!after && strcmp(f->objects[i]->tenant, find->tenant) == 0 &&
		    find->total++ < (f->list_max > 0 ? f->list_max : SIZE_MAX))
			memcpy(find->uids[find->uids_count++], f->objects[i]->uid,
			    sizeof(*find->uids));
	}
	answer(f, &f->list, &find->wait, ERR_OK);
}

static void
on_intents(struct ledger *l, struct ledger_intents *c)
{
	struct fake *f = CONTAINER_OF(l, struct fake, ledger);
	size_t left = f->doubts_count - c->after;

	c->count = left < 2 ? left : 2;
	c->intents = left > 0 ? f->doubts + c->after : NULL;
	c->after = left > 2 ? c->after + 2 : 0;
	answer(f, &f->doubt, &c->wait, ERR_OK);
}

static void
on_prepare(struct ledger *l, struct ledger_changes *c)
{
	struct fake *f = CONTAINER_OF(l, struct fake, ledger);

	note(f, 'P');
	c->owner = 1;
	answer(f, &f->prepare, &c->wait, ERR_OK);
}

static void
on_commit(struct ledger *l, struct ledger_changes *c)
{
	struct fake *f = CONTAINER_OF(l, struct fake, ledger);

	note(f, 'C');
	for (size_t i = 0; !fails(&f->commit) && i < c->count; i++)
		keep(f, c->changes[i].object);
	answer(f, &f->commit, &c->wait, ERR_OK);
}

static void
on_disown(struct ledger *l, struct ledger_changes *c)
{
	(void)c;
	note(CONTAINER_OF(l, struct fake, ledger), 'D');
}

/* --- the whole --- */

struct object *
fake_object(struct fake *f, const char *tenant, unsigned number)
{
	struct object *o = arena_zalloc(f->arena, sizeof(*o));

	ck_assert_ptr_nonnull(o);
	snprintf(o->tenant, sizeof(o->tenant), "%s", tenant);
	snprintf(o->uid, sizeof(o->uid), "0199a0b0-0000-7000-8000-%012u", number);
	o->type = 2;
	o->state = OBJECT_ACTIVE;
	o->algorithm = 3;
	o->length = 8 * KEY_LEN;
	for (int i = 0; i < DATE_COUNT; i++)
		o->date[i] = NO_DATE;
	memcpy(o->digest, &number, sizeof(number));
	snprintf((char *)o->digest + 4, sizeof(o->digest) - 4, "of %s", tenant);
	return o;
}

void
fake_init(struct fake *f)
{
	static const struct ledger_ops ops = {
	    .name = "fake",
	    .load = on_load,
	    .find = on_list,
	    .intents = on_intents,
	    .prepare = on_prepare,
	    .commit = on_commit,
	    .disown = on_disown,
	};
	static int quiet = -1;
	bool locked;

	clock_test_freeze(1760000000);
	if (quiet < 0)
		quiet = open("/dev/null", O_WRONLY | O_CLOEXEC);
	log_set_output(quiet, false);
	ck_assert_int_eq(secret_heap_init(HEAP, true, &locked), ERR_OK);
	*f = (struct fake){.source.news = on_news, .ledger.ops = &ops};
	list_init(&f->held);
	f->loop = loop_new();
	f->arena = arena_new(256 << 20);
	ck_assert(f->loop != NULL && f->arena != NULL);
}

void
fake_fini(struct fake *f)
{
	fake_settle(f);
	ck_assert(list_empty(&f->held));
	loop_free(f->loop);
	arena_free(f->arena);
	free(f->records);
	free(f->objects);
}

/* A call is answered in the next turn, and what it leads to in the one after that. */
void
fake_settle(struct fake *f)
{
	for (int i = 0; i < 40; i++)
		loop_turn(f->loop, false);
}

void
fake_advance(struct fake *f, int64_t ns)
{
	clock_test_advance(ns);
	fake_settle(f);
}
