/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vault `keyprotect`.
 *
 *	make      wrap
 *	unwrap    unwrap, and the metadata of the record beside it, which may be deleted
 *	probe     the metadata of the record; without one, look for the name
 *
 * Changes (store, destroy, retire) are in kpchange.c, find is in kpseek.c, news in kpnews.c;
 * what vaults share is in kproot.c.
 */
#include "keys/vault_kp.h"

#include <stdio.h>
#include <string.h>

#include <openssl/rand.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/metric.h"
#include "kpfit.h"
#include "kpop.h"
#include "kprecord.h"
#include "kproot.h"

enum { HSM_KEY_LEN = 32 };

/* --- make --- */

struct make_op {
	struct kpop op;
	struct vault_make *make;
	struct buf clear;
	struct secret *key; /* NULL: the HSM makes it */
	size_t recorded;    /* so many of its attributes are in it */
	bool cut;	    /* not all of it is */
	char root_id[UID_TEXT_LEN + 1];
};

static void
make_fini(struct kpop *o)
{
	struct make_op *m = (struct make_op *)o;

	buf_fini(&m->clear);
	secret_unref(m->key);
}

static const struct kpop_type make_type = {
    .size = sizeof(struct make_op), .fini = make_fini, .label = LABEL_VAULT_CALL_MAKE};

static void
make_cancel(struct wait *w)
{
	kpop_leave(CONTAINER_OF(w, struct vault_make, wait)->op);
}

static enum err
take_wrap(struct make_op *m, struct kp_action *a)
{
	struct object *o = m->make->object;
	const struct buf *b = &m->op.call.http.answer;
	uint8_t digest[32];
	enum err e = kp_read_action(b->data, b->len, a);

	if (e != ERR_OK || a->ciphertext[0] == '\0')
		return e == ERR_NO_SECURE_MEMORY || e == ERR_NO_MEMORY ? e : ERR_VAULT_DOWN;
	if (m->key == NULL) {
		if (a->plaintext == NULL || secret_len(a->plaintext) != HSM_KEY_LEN)
			return ERR_CRYPTO;
		m->key = secret_ref(a->plaintext);
	}
	e = envelope_digest(m->op.v->crypto, m->key, digest);
	if (e == ERR_OK)
		e = kprecord_make(o, m->make->arena, &m->clear, m->root_id, a->ciphertext);
	if (e != ERR_OK)
		return e;
	memcpy(o->digest, digest, sizeof(digest));
	if (m->cut)
		LOG(LOG_WARN, "keyprotect",
		    "a key has more attributes than its record can hold: the rest is in the ledger alone",
		    kv_text("tenant", o->tenant), kv_text("uid", o->uid),
		    kv_int("attributes", (int64_t)o->attrs_count),
		    kv_int("in-record", (int64_t)m->recorded));
	return ERR_OK;
}

static void
make_wrapped(struct wait *w, enum err e)
{
	struct make_op *m = w->owner;
	struct kp_action a = {.version = ""};

	if (m->op.call.class == KP_STATE)
		m->op.v->root->look_at = 0; /* the next news have to say why */
	e = kpop_root_key_error(e);
	if (e == ERR_OK)
		e = take_wrap(m, &a);
	if (e == ERR_OK && m->make->key == NULL)
		m->make->key = secret_ref(m->key);
	kp_action_fini(&a);
	kpop_end(&m->op, e);
}

/* By the id: an alias may come to mean another root key, and what this one wrapped still has to open. */
static void
make_wrap(struct make_op *m)
{
	struct kproot *r = m->op.v->root;

	memcpy(m->root_id, r->id, sizeof(m->root_id));
	kproot_path(m->op.path, r, "/actions/wrap");
	kpop_call(&m->op, &m->op.call, "POST", m->op.path, &m->op.body, make_wrapped);
}

static void
make_looked(struct wait *w, enum err e)
{
	struct make_op *m = w->owner;
	struct kproot *r = m->op.v->root;

	if (r->id[0] == '\0') /* later looks are the news' */
		e = kproot_seen(r, &m->op.call, e);
	if (r->id[0] != '\0')
		make_wrap(m);
	else
		kpop_end(&m->op, kpop_root_key_error(e));
}

/* The key to be wrapped, unless the HSM is to make it. */
static enum err
choose_key(struct make_op *m)
{
	size_t len = m->make->object->length / 8;

	if (m->make->key != NULL) {
		if (secret_len(m->make->key) > KP_MATERIAL_MAX)
			return ERR_KEY_SIZE;
		m->key = secret_ref(m->make->key);
		return ERR_OK;
	}
	if (len == 0 || m->make->object->length % 8 != 0 || len > KP_PAYLOAD_MAX / 2)
		return ERR_ALGORITHM;
	if (!m->op.v->own_generator && len == HSM_KEY_LEN)
		return ERR_OK;
	m->key = secret_new(len, SECRET_TRANSIENT);
	if (m->key == NULL)
		return ERR_NO_SECURE_MEMORY;
	return RAND_priv_bytes(secret_bytes(m->key), (int)len) == 1 ? ERR_OK : ERR_CRYPTO;
}

/* The record's clear part. */
static enum err
say(struct make_op *m)
{
	const struct object *o = m->make->object, *said = o;
	enum err e = m->make->whole ? ERR_OK : kpfit(o, m->make->arena, &said);

	if (e != ERR_OK)
		return e;
	m->cut = said != o;
	m->recorded = said->attrs_count;
	buf_init(&m->clear, KP_PAYLOAD_MAX);
	envelope_pack_clear(&m->clear, said, kprecord_sequence(o) + 1);
	e = buf_error(&m->clear);
	return e == ERR_RESPONSE_TOO_LARGE ? ERR_TOO_MANY_ATTRIBUTES : e;
}

static void
kp_make(struct vault *vault, struct vault_make *make)
{
	struct make_op *m =
	    kpop_new_for(vault, &make_type, &make->wait, &make->terms, make->object->uid);
	struct kprecord_aad aad;
	enum err e;

	if (m == NULL)
		return;
	m->make = make;
	e = say(m);
	if (e == ERR_OK)
		e = choose_key(m);
	if (e == ERR_OK)
		e = kprecord_bind(m->op.v->crypto, &aad, make->object, m->clear.data, m->clear.len);
	if (e == ERR_OK) {
		kp_put_wrap(&m->op.body, m->key, aad.part);
		e = buf_error(&m->op.body);
	}
	if (e != ERR_OK) {
		kpop_refuse(&m->op, e);
		return;
	}
	make->op = m;
	make->wait.cancel = make_cancel;
	if (m->op.v->root->id[0] != '\0')
		make_wrap(m);
	else
		kproot_look(m->op.v->root, &m->op, make_looked);
}

/* --- unwrap --- */

struct unwrap_op {
	struct kpop op; /* its call: the record's metadata */
	struct vault_unwrap *unwrap;
	struct kpcall root;
	char root_path[KPOP_PATH_LEN];
	struct secret *key;
	bool opened, seen, stale;
	bool refused; /* its metadata; whether that is all has to be seen */
	char created_by[KP_SUBJECT_MAX + 1];
};

static void
unwrap_fini(struct kpop *o)
{
	struct unwrap_op *u = (struct unwrap_op *)o;

	wait_cancel(&u->root.wait);
	kpcall_fini(&u->root);
	secret_unref(u->key);
}

static const struct kpop_type unwrap_type = {
    .size = sizeof(struct unwrap_op), .fini = unwrap_fini, .label = LABEL_VAULT_CALL_UNWRAP};

static void
unwrap_cancel(struct wait *w)
{
	kpop_leave(CONTAINER_OF(w, struct vault_unwrap, wait)->op);
}

/*
 * The first failure ends both calls; but a refusal of the metadata waits for the root key's answer.  If
 * that opened, it concerns the one record; and an outage that came after it does not undo it.
 */
static void
unwrap_step(struct unwrap_op *u, enum err e)
{
	if (e == ERR_OK && (!u->opened || !(u->seen || u->refused)))
		return;
	if (u->refused && (e == ERR_OK || e == ERR_VAULT_DOWN || e == ERR_DEADLINE)) {
		u->unwrap->record_only = e == ERR_OK;
		e = ERR_VAULT_DENIED;
	}
	if (e == ERR_OK) {
		/* whoever made what opens is a gateway, or copied what one made */
		kp_ours_add(u->op.home->link.ours, u->created_by);
		u->unwrap->key = secret_ref(u->key);
		u->unwrap->stale = u->stale;
	}
	kpop_end(&u->op, e);
}

static enum err
take_unwrap(struct unwrap_op *u, struct kp_action *a)
{
	static const uint8_t none[32];
	const struct object *o = u->unwrap->object;
	uint8_t digest[32];
	enum err e = kpop_read_key(&u->op, &u->root, o, a, digest);

	/* a wrong key is worse than none: what it encrypts is lost */
	if (e == ERR_OK && memcmp(o->digest, none, sizeof(none)) != 0 &&
	    memcmp(o->digest, digest, sizeof(digest)) != 0)
		e = ERR_INTEGRITY;
	if (e != ERR_OK)
		return e;
	u->key = secret_ref(a->plaintext);
	u->stale |= a->ciphertext[0] != '\0'; /* a newer one comes with the answer */
	u->opened = true;
	return ERR_OK;
}

static void
unwrap_opened(struct wait *w, enum err e)
{
	struct unwrap_op *u = w->owner;
	struct kp_action a = {.version = ""};

	u->unwrap->suspended = kproot_is_suspended(u->op.v->root, &u->root);
	e = kpop_root_key_error(e);
	if (e == ERR_OK)
		e = take_unwrap(u, &a);
	kp_action_fini(&a);
	unwrap_step(u, e);
}

/* The prefix may have been another when the record was made. */
static bool
is_named_for(const char *name, const char *uid)
{
	size_t len = strlen(name), uid_len = strlen(uid);

	return len > uid_len && name[len - uid_len - 1] == '_' &&
	    strcmp(name + len - uid_len, uid) == 0;
}

static void
unwrap_seen(struct wait *w, enum err e)
{
	struct unwrap_op *u = w->owner;
	const struct buf *b = &u->op.call.http.answer;
	struct kp_key k = {.state = -1};
	size_t rows = 0;

	if (e == ERR_OK &&
	    (kp_read_keys(b->data, b->len, kp_keep_key, &k, &rows) != ERR_OK || rows != 1))
		e = ERR_VAULT_DOWN;
	if (e == ERR_OK && kp_key_is_gone(&k)) {
		u->unwrap->gone = kpop_how_gone(&u->op, &k, u->op.call.http.date);
		e = ERR_NO_OBJECT;
	}
	else if (e == ERR_OK && !is_named_for(k.name, u->unwrap->object->uid))
		e = ERR_INTEGRITY;
	snprintf(u->created_by, sizeof(u->created_by), "%s", k.created_by);
	u->seen = e == ERR_OK;
	u->refused = e == ERR_VAULT_DENIED;
	unwrap_step(u, u->refused ? ERR_OK : e);
}

static void
unwrap_found(struct wait *w, enum err e)
{
	struct unwrap_op *u = w->owner;

	if (e == ERR_OK && u->op.find.count == 0)
		e = ERR_NO_OBJECT;
	u->seen = e == ERR_OK;
	unwrap_step(u, e);
}

/*
 * The lists of the watch cannot stand for the look at the record, however fresh they are.  They tell
 * what happened lately: not what happened while no gateway ran, or what was purged since; and the
 * ledger does not know of what is only withdrawn.  Side by side, both cost one round trip.
 */
static void
kp_unwrap(struct vault *vault, struct vault_unwrap *unwrap)
{
	const struct object *o = unwrap->object;
	struct unwrap_op *u = kpop_new_for(vault, &unwrap_type, &unwrap->wait, &unwrap->terms, o->uid);
	struct kprecord r;
	struct kprecord_aad aad;
	enum err e;

	if (u == NULL)
		return;
	u->unwrap = unwrap;
	e = kprecord_read(&r, o);
	if (e == ERR_SCHEMA && vault_is_foreign(vault->ops, o))
		e = ERR_INTEGRITY; /* no later version of ours, then */
	if (e == ERR_OK)
		e = kprecord_bind(u->op.v->crypto, &aad, o, r.envelope, r.clear.len);
	if (e == ERR_OK) {
		kp_put_unwrap(&u->op.body, r.ciphertext, r.ciphertext_len, aad.part);
		e = buf_error(&u->op.body);
	}
	if (e != ERR_OK) {
		kpop_refuse(&u->op, e);
		return;
	}
	unwrap->op = u;
	unwrap->wait.cancel = unwrap_cancel;
	unwrap->record_only = false;
	unwrap->apart = strcmp(r.root_key, u->op.v->root->id) != 0;
	u->stale = unwrap->apart && u->op.v->root->id[0] != '\0';
	snprintf(u->root_path, KPOP_PATH_LEN, "/keys/%s/actions/unwrap", r.root_key);
	kpop_call(&u->op, &u->root, "POST", u->root_path, &u->op.body, unwrap_opened);
	if (r.id[0] == '\0') { /* an answer was lost when it was stored, and its commit, too */
		kpop_find(&u->op, kpop_lag_until(&u->op), unwrap_found);
		return;
	}
	snprintf(u->op.path, KPOP_PATH_LEN, "/keys/%s/metadata", r.id);
	u->op.call.absent_until = kpop_lag_until(&u->op);
	kpop_call(&u->op, &u->op.call, "GET", u->op.path, NULL, unwrap_seen);
}

/* --- probe --- */

struct probe_op {
	struct kpop op;
	struct vault_probe *probe;
};

static const struct kpop_type probe_type = {
    .size = sizeof(struct probe_op), .label = LABEL_VAULT_CALL_PROBE};

static void
probe_cancel(struct wait *w)
{
	kpop_leave(CONTAINER_OF(w, struct vault_probe, wait)->op);
}

static void
probe_looked(struct wait *w, enum err e)
{
	struct probe_op *p = w->owner;

	if (e == ERR_OK)
		p->probe->found = p->op.find.count > 0;
	kpop_end(&p->op, e);
}

/* "There is none" may mean another ring or a missing grant: only what is said of it counts. */
static void
probe_seen(struct wait *w, enum err e)
{
	struct probe_op *p = w->owner;
	const struct kpcall *c = &p->op.call;
	struct kp_key k = {.state = -1};
	size_t rows = 0;

	if (e == ERR_OK && (kp_read_keys(c->http.answer.data, c->http.answer.len, kp_keep_key, &k,
				&rows) != ERR_OK ||
			       rows != 1))
		e = ERR_VAULT_DOWN;
	if (e == ERR_OK && kp_key_is_gone(&k))
		p->probe->gone = kpop_how_gone(&p->op, &k, c->http.date);
	else if (e == ERR_OK)
		p->probe->found = true;
	kpop_end(&p->op, e == ERR_NO_OBJECT ? ERR_OK : e);
}

/* The record that is known, by its id: names may change, and lists lag. */
static void
kp_probe(struct vault *vault, struct vault_probe *probe)
{
	struct probe_op *p =
	    kpop_new_for(vault, &probe_type, &probe->wait, &probe->terms, probe->object->uid);
	char id[UID_TEXT_LEN + 1];

	if (p == NULL)
		return;
	p->probe = probe;
	probe->op = p;
	probe->found = false;
	probe->gone = GONE_UNKNOWN;
	probe->wait.cancel = probe_cancel;
	kprecord_id(id, probe->object);
	if (id[0] == '\0') {
		kpop_find(&p->op, kpop_lag_until(&p->op), probe_looked);
		return;
	}
	snprintf(p->op.path, KPOP_PATH_LEN, "/keys/%s/metadata", id);
	p->op.call.absent_until = kpop_lag_until(&p->op);
	kpop_call(&p->op, &p->op.call, "GET", p->op.path, NULL, probe_seen);
}

static int
kp_order(const struct object *a, const struct object *b)
{
	struct kprank ra, rb;

	kprecord_rank(&ra, a);
	kprecord_rank(&rb, b);
	return kprank_order(&ra, &rb);
}

/* --- the vault --- */

static const char *
kp_complaint(const struct vault *vault)
{
	const struct kproot *r = CONTAINER_OF(vault, const struct vault_kp, vault)->root;

	if (r->sealed)
		return "the crypto units are not initialised: load their master key, and keys are "
		       "served again";
	if (r->full)
		return "the instance holds as many keys as it may: no new ones can be made";
	if (r->no_wrap)
		return "the root key is deactivated: keys are served, but no new ones can be made";
	if (r->no_alias)
		return "no root key bears the alias any more: the one that bore it last is used";
	if (r->no_create && r->no_delete)
		return "service role Writer is needed to make keys, "
		       "service role Manager is needed to destroy keys";
	if (r->no_create)
		return "service role Writer is needed to make keys";
	return r->no_delete ? "service role Manager is needed to destroy keys" : NULL;
}

/* There may be other keys in the instance, other tenants' too. */
static const char *
kp_uid_in(const struct vault *vault, const char *name)
{
	const char *prefix = CONTAINER_OF(vault, const struct vault_kp, vault)->prefix;
	size_t len = strlen(prefix);

	if (strncmp(name, prefix, len) != 0 || name[len] != '_' ||
	    strlen(name + len + 1) != UID_TEXT_LEN)
		return NULL;
	return name + len + 1;
}

struct vault_source *
vault_kp_source(struct vault *vault)
{
	return &CONTAINER_OF(vault, struct vault_kp, vault)->root->source;
}

void
vault_kp_shut(struct vault *vault)
{
	struct vault_kp *v = CONTAINER_OF(vault, struct vault_kp, vault);

	v->home.shut = true;
	kpop_free_all(&v->home, ERR_VAULT_DOWN);
}

static void
kp_free(struct vault *vault)
{
	struct vault_kp *v = CONTAINER_OF(vault, struct vault_kp, vault);

	kpop_free_all(&v->home, ERR_CANCELLED);
	kproot_leave(v);
	envelope_crypto_free(v->crypto);
	alloc_free(v->prefix);
	alloc_free(v);
}

void
vault_kp_defaults(struct vault_kp_params *p)
{
	*p = (struct vault_kp_params){
	    .name_prefix = "vmware_kmip",
	    .attempt_ns = 5 * NS_PER_S,
	    .timeout_ns = 10 * NS_PER_S,
	    .rate_max = 50,
	    .in_flight_max = 32,
	};
}

/* NULL when all is well. */
static const char *
what_is_wrong(const struct vault_kp_params *p)
{
	struct kp_ours ours;

	if (strncmp(p->url, "https://", 8) != 0 &&
	    !(p->route.allow_plain && strncmp(p->url, "http://", 7) == 0))
		return "the URL does not begin with https://";
	if (strlen(p->instance) != UID_TEXT_LEN || !kp_is_key_name(p->instance))
		return "the instance is no GUID";
	if (!kp_is_key_name(p->root_key))
		return "the root key is neither an id nor an alias";
	if (p->key_ring != NULL &&
	    (strlen(p->key_ring) > 100 || strpbrk(p->key_ring, "\r\n") != NULL))
		return "the key ring is no id";
	if (!kp_is_key_name(p->name_prefix) ||
	    strlen(p->name_prefix) + 1 + UID_TEXT_LEN > KP_NAME_MAX)
		return "the name prefix is not 2 to 53 letters, digits, hyphens and underscores";
	if (p->service_ids != NULL && !kp_ours_read(&ours, p->service_ids))
		return "there are more than 16 service IDs, or one is too long";
	if (p->rate_max == 0 || p->in_flight_max == 0)
		return "no calls are allowed";
	return NULL;
}

enum err
vault_kp_new(struct vault **out, const struct vault_kp_params *p, const char **why)
{
	static const struct vault_ops ops = {
	    .name = "keyprotect",
	    .make = kp_make,
	    .unwrap = kp_unwrap,
	    .store = kpchange_store,
	    .destroy = kpchange_destroy,
	    .probe = kp_probe,
	    .retire = kpchange_retire,
	    .find = kpseek_find,
	    .uid_in = kp_uid_in,
	    .complaint = kp_complaint,
	    .record_id = kprecord_id,
	    .root_key = kprecord_root_key,
	    .sequence = kprecord_sequence,
	    .recorded = kprecord_object,
	    .order = kp_order,
	    .free = kp_free,
	};
	struct vault_kp *v;

	*why = what_is_wrong(p);
	if (*why != NULL)
		return ERR_CONFIG;
	*why = "out of memory";
	v = alloc_zero(sizeof(*v));
	if (v == NULL)
		return ERR_NO_MEMORY;
	v->vault.ops = &ops;
	list_init(&v->home.ops);
	v->own_generator = p->own_generator;
	v->prefix = alloc_text(p->name_prefix);
	v->crypto = envelope_crypto_new();
	if (v->prefix == NULL || v->crypto == NULL || kproot_join(v, p) != ERR_OK) {
		kp_free(&v->vault);
		return ERR_NO_MEMORY;
	}
	*out = &v->vault;
	return ERR_OK;
}
