/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vault `local`: keys are made and wrapped here, where the root keys are; the storage child
 * keeps the records.
 */
#include <openssl/rand.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/metric.h"
#include "envelope.h"
#include "keys/store.h"
#include "opened.h"
#include "rootproof.h"
#include "store_call.h"

struct vault_local {
	struct vault vault;
	struct store *store;
	struct loop *loop;
	struct rootkeys roots;
	struct envelope_crypto *crypto;
	struct opened opened;
	struct root_proof proof;
};

/* A key that is to be made once the root key is proven; in the arena of what asks. */
struct pending {
	struct wait wait;
	struct vault_local *vault;
	struct vault_make *make;
};

static struct vault_local *
local_of(struct vault *v)
{
	return CONTAINER_OF(v, struct vault_local, vault);
}

/* A new key of the length that the object asks for, in bits. */
static enum err
make_key(const struct object *o, struct secret **out)
{
	struct secret *key;

	if (o->length == 0 || o->length % 8 != 0 || o->length / 8 > ENVELOPE_KEY_MAX)
		return ERR_ALGORITHM;
	key = secret_new(o->length / 8, SECRET_TRANSIENT);
	if (key == NULL)
		return ERR_NO_SECURE_MEMORY;
	if (RAND_priv_bytes(secret_bytes(key), (int)secret_len(key)) != 1) {
		secret_unref(key);
		return ERR_CRYPTO;
	}
	*out = key;
	return ERR_OK;
}

static enum err
wrap(struct vault_local *v, struct vault_make *m, struct secret *key)
{
	const uint8_t *record;
	uint8_t digest[32];
	size_t len;
	enum err e;

	e = envelope_digest(v->crypto, key, digest);
	if (e == ERR_OK)
		e = envelope_seal(v->crypto, &v->roots, m->object, key, m->arena, &record, &len);
	if (e != ERR_OK)
		return e;
	for (size_t i = 0; i < sizeof(digest); i++)
		m->object->digest[i] = digest[i];
	m->object->record = record;
	m->object->record_len = len;
	root_proof_wrapped(&v->proof);
	return ERR_OK;
}

static void
make_now(struct vault_local *v, struct vault_make *m)
{
	struct secret *key = m->key;
	enum err e = ERR_OK;

	if (key == NULL)
		e = make_key(m->object, &key);
	if (e == ERR_OK)
		e = wrap(v, m, key);
	if (e == ERR_OK)
		m->key = key;
	else if (m->key == NULL)
		secret_unref(key);
	wait_finish_soon(v->loop, &m->wait, e);
}

static void
root_judged(struct wait *w, enum err e)
{
	struct pending *p = CONTAINER_OF(w, struct pending, wait);

	if (e == ERR_OK)
		make_now(p->vault, p->make);
	else
		wait_finish(&p->make->wait, e);
}

static void
cancel_pending(struct wait *w)
{
	struct pending *p = CONTAINER_OF(w, struct vault_make, wait)->op;

	wait_cancel(&p->wait);
}

static void
local_make(struct vault *vault, struct vault_make *m)
{
	struct vault_local *v = local_of(vault);
	struct pending *p;

	if (root_proof_holds(&v->proof)) {
		make_now(v, m);
		return;
	}
	m->op = p = arena_zalloc(m->arena, sizeof(*p));
	if (p == NULL) {
		wait_finish_soon(v->loop, &m->wait, ERR_NO_MEMORY);
		return;
	}
	*p = (struct pending){.wait.done = root_judged, .vault = v, .make = m};
	m->wait.cancel = cancel_pending;
	root_proof_await(&v->proof, &p->wait);
}

/* Kept for the next who asks, if the object is, and if there is room. */
static enum err
open_record(struct vault_local *v, struct vault_unwrap *u)
{
	const struct object *o = u->object;
	enum err e = ERR_NO_SECURE_MEMORY;

	if (o->record == NULL)
		return ERR_NO_KEY_VALUE;
	if (opened_may_keep(o))
		e = envelope_open(v->crypto, &v->roots, o, SECRET_KEPT, &u->key);
	if (e == ERR_OK)
		opened_keep(&v->opened, o, u->key);
	else if (e == ERR_NO_SECURE_MEMORY)
		e = envelope_open(v->crypto, &v->roots, o, SECRET_TRANSIENT, &u->key);
	/* no later version of ours, then */
	return e == ERR_SCHEMA && vault_is_foreign(v->vault.ops, o) ? ERR_INTEGRITY : e;
}

static void
local_unwrap(struct vault *vault, struct vault_unwrap *u)
{
	struct vault_local *v = local_of(vault);
	enum err e = ERR_OK;

	u->key = opened_find(&v->opened, u->object);
	if (u->key == NULL)
		e = open_record(v, u);
	if (e == ERR_OK)
		root_proof_opened(&v->proof, u->object);
	if (e == ERR_NO_ROOT_KEY)
		u->unkeyed = envelope_root_version(u->object, &u->root_version) == ERR_OK;
	if (e == ERR_INTEGRITY || e == ERR_NO_ROOT_KEY)
		metric_inc(METRIC_INTEGRITY_ALARMS_TOTAL);
	wait_finish_soon(v->loop, &u->wait, e);
}

static size_t
local_flush(struct vault *v)
{
	return opened_wipe(&local_of(v)->opened);
}

static enum err
pack_store(struct buf *b, const struct wait *w)
{
	const struct object *o = CONTAINER_OF(w, struct vault_change, wait)->object;

	if (o->record == NULL)
		return ERR_NO_KEY_VALUE;
	pack_text(b, o->tenant);
	pack_text(b, o->uid);
	pack_bytes(b, o->record, o->record_len);
	return ERR_OK;
}

static void
local_store(struct vault *v, struct vault_change *c)
{
	static const struct store_call_type type = {.kind = WIRE_VAULT_STORE, .pack = pack_store};

	store_call(local_of(v)->store, &type, &c->wait, NULL, 0);
}

static enum err
pack_destroy(struct buf *b, const struct wait *w)
{
	const struct object *o = CONTAINER_OF(w, struct vault_change, wait)->object;

	pack_text(b, o->tenant);
	pack_text(b, o->uid);
	return ERR_OK;
}

static void
local_destroy(struct vault *v, struct vault_change *c)
{
	static const struct store_call_type type = {
	    .kind = WIRE_VAULT_DESTROY, .pack = pack_destroy};

	if (vault_is_foreign(v->ops, c->object)) {
		LOG(LOG_WARN, "vault", c->missing_is_gone
			? "the record of a key to be destroyed is in another kind of vault: taken for gone"
			: "the record of a key to be destroyed is in another kind of vault: nothing was destroyed",
		    kv_text("tenant", c->object->tenant), kv_text("uid", c->object->uid),
		    kv_text("made-by", vault_made_by(c->object)));
		c->missing = c->missing_is_gone;
		wait_finish_soon(local_of(v)->loop, &c->wait,
		    c->missing_is_gone ? ERR_OK : ERR_NO_OBJECT);
		return;
	}
	store_call(local_of(v)->store, &type, &c->wait, NULL, 0);
}

static enum err
pack_probe(struct buf *b, const struct wait *w)
{
	const struct vault_probe *p = CONTAINER_OF(w, struct vault_probe, wait);

	pack_text(b, p->object->tenant);
	pack_text(b, p->object->uid);
	return ERR_OK;
}

static enum err
answer_probe(void *ctx, struct wait *w, struct unpack *u)
{
	struct vault_probe *p = CONTAINER_OF(w, struct vault_probe, wait);

	(void)ctx;
	p->found = unpack_u8(u) != 0;
	p->gone = p->found ? GONE_UNKNOWN : GONE_DESTROYED;
	return ERR_OK;
}

static void
local_probe(struct vault *v, struct vault_probe *p)
{
	static const struct store_call_type type = {
	    .kind = WIRE_VAULT_PROBE, .pack = pack_probe, .answer = answer_probe};

	store_call(local_of(v)->store, &type, &p->wait, NULL, 0);
}

static const char *
local_complaint(const struct vault *vault)
{
	const struct vault_local *v = CONTAINER_OF(vault, struct vault_local, vault);

	return v->proof.verdict == ROOT_WRONG
	    ? "the root key does not open the tenant's keys: no new ones are made until the right "
	      "root key file is back"
	    : NULL;
}

static void
local_free(struct vault *vault)
{
	struct vault_local *v = local_of(vault);

	root_proof_fini(&v->proof);
	opened_fini(&v->opened);
	rootkeys_fini(&v->roots);
	envelope_crypto_free(v->crypto);
	alloc_free(v);
}

static const struct vault_ops ops = {
    .name = "local",
    .make = local_make,
    .unwrap = local_unwrap,
    .store = local_store,
    .destroy = local_destroy,
    .probe = local_probe,
    .complaint = local_complaint,
    .flush = local_flush,
    .free = local_free,
};

enum err
vault_local_new(struct vault **out, struct store *s, struct loop *l, const char *root_key_file,
    const char **why)
{
	struct vault_local *v = alloc_zero(sizeof(*v));
	enum err e;

	*why = "out of memory";
	if (v == NULL)
		return ERR_NO_MEMORY;
	v->vault.ops = &ops;
	v->store = s;
	v->loop = l;
	opened_init(&v->opened, l);
	v->crypto = envelope_crypto_new();
	root_proof_init(&v->proof, l, &v->roots, v->crypto);
	e = v->crypto != NULL ? rootkeys_load(&v->roots, root_key_file, why) : ERR_NO_MEMORY;
	if (e == ERR_OK)
		*out = &v->vault;
	else
		local_free(&v->vault);
	return e;
}

void
vault_local_guard(struct vault *v, struct ledger *l, const char *tenant)
{
	root_proof_begin(&local_of(v)->proof, l, tenant);
}

enum err
vault_local_follow(struct vault *v, struct vault *before, const char **why)
{
	if (before->ops != &ops)
		return ERR_OK;
	return root_proof_follow(&local_of(v)->proof, &local_of(before)->proof, why);
}

bool
vault_local_is_unproven(struct vault *v)
{
	return v->ops == &ops && local_of(v)->proof.ledger != NULL &&
	    local_of(v)->proof.verdict == ROOT_UNKNOWN;
}

void
vault_local_prove(struct vault *v, struct wait *w)
{
	root_proof_await(&local_of(v)->proof, w);
}

bool
vault_local_has(struct vault *v, uint32_t root_version)
{
	return v->ops == &ops && rootkeys_find(&local_of(v)->roots, root_version) != NULL;
}
