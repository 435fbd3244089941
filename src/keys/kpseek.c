/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding in the vault `keyprotect` what is known of an object by its uid alone: look for the name,
 * rank the records that bear it, then open them, the one that counts first, until one opens.
 * What is no envelope of ours (IBM's hosted service used the same names) is passed over.  Another
 * that opens and says that the object was revoked counts in that, whatever its rank.
 */
#include "kpop.h"

#include <stdio.h>
#include <string.h>

#include "base/metric.h"
#include "kprecord.h"
#include "kproot.h"

/* RANKED_MAX: the newest ones; what counts is among them, whoever made successors at once. */
enum { RANKED_MAX = 32, SCRATCH_MAX = 64 * 1024 };

struct ranked {
	struct kprank rank;
	bool usable;
};

struct seek_op {
	struct kpop op;
	struct vault_find *find;
	struct ranked all[RANKED_MAX];
	size_t count;
	size_t at; /* the one being ranked, or opened */
	struct object *opening;
	char created_by[KP_SUBJECT_MAX + 1]; /* of what was read last */
	bool doubtful; /* one did not open */
	bool vanished; /* one was deleted since it was listed: by whom is not known */
};

static const struct kpop_type seek_type = {
    .size = sizeof(struct seek_op), .searches = true, .label = LABEL_VAULT_CALL_FIND};

static void rank_next(struct seek_op *s);
static void open_next(struct seek_op *s);

static void
seek_cancel(struct wait *w)
{
	kpop_leave(CONTAINER_OF(w, struct vault_find, wait)->op);
}

static void
finish(struct seek_op *s, enum err e)
{
	s->find->withdrawn = s->op.find.withdrawn || s->vanished;
	kpop_end(&s->op, e);
}

/* --- reading --- */

static void
read_record(struct seek_op *s, void (*done)(struct wait *, enum err))
{
	snprintf(s->op.path, KPOP_PATH_LEN, "/keys/%s", s->all[s->at].rank.id);
	kpop_call(&s->op, &s->op.call, "GET", s->op.path, NULL, done);
}

/* *out stays NULL for what is no record of this object. */
static enum err
take_record(struct seek_op *s, struct arena *a, struct object **out)
{
	const struct buf *b = &s->op.call.http.answer;
	struct envelope_clear clear;
	struct kprecord r;
	const uint8_t *payload;
	struct object *o;
	struct unpack u;
	size_t len;
	enum err e = kp_read_payload(b->data, b->len, a, KP_PAYLOAD_MAX, &payload, &len);

	if (e == ERR_OK) {
		unpack_init(&u, payload, len);
		e = envelope_read_object(&u, a, &clear, &o);
	}
	if (e != ERR_OK)
		return e == ERR_NO_MEMORY ? e : ERR_OK;
	snprintf(o->tenant, sizeof(o->tenant), "%s", s->find->tenant);
	e = kprecord_take(o, a, s->all[s->at].rank.id, payload, len);
	if (e == ERR_OK && strcmp(o->uid, s->find->uid) == 0 && kprecord_read(&r, o) == ERR_OK)
		*out = o;
	return e;
}

/* What the answer to a read says; *out stays NULL when the record is of no use. */
static enum err
take_answer(struct seek_op *s, enum err e, struct arena *a, struct object **out)
{
	const struct buf *b = &s->op.call.http.answer;
	struct kp_key k = {.state = -1};
	size_t rows = 0;

	*out = NULL;
	if (e == ERR_NO_OBJECT)
		s->vanished = true;
	if (e != ERR_OK)
		return e == ERR_NO_OBJECT ? ERR_OK : e;
	e = kp_read_keys(b->data, b->len, kp_keep_key, &k, &rows);
	if (e != ERR_OK) /* an answer that cannot be read says nothing: no key is given up for that */
		return e == ERR_NO_MEMORY ? e : ERR_VAULT_DOWN;
	if (rows != 1 || strcmp(k.name, s->op.name) != 0)
		return ERR_OK;
	if (kp_key_is_gone(&k)) {
		s->vanished = true;
		return ERR_OK;
	}
	memcpy(s->created_by, k.created_by, sizeof(s->created_by));
	return take_record(s, a, out);
}

/* --- opening --- */

static enum err
take_key(struct seek_op *s, struct object *o)
{
	struct kp_action a = {.version = ""};
	enum err e = kpop_read_key(&s->op, &s->op.call, o, &a, o->digest);

	if (e == ERR_OK)
		kp_ours_add(s->op.home->link.ours, s->created_by);
	if (e == ERR_OK && s->find->object == NULL) {
		s->find->object = o;
		s->find->key = secret_ref(a.plaintext);
	} else if (e == ERR_OK && memcmp(o->digest, s->find->object->digest, sizeof(o->digest)) == 0) {
		object_take_state(s->find->object, o);
	}
	kp_action_fini(&a);
	return e;
}

static void
opened(struct wait *w, enum err e)
{
	struct seek_op *s = w->owner;

	s->find->suspended = kproot_is_suspended(s->op.v->root, &s->op.call);
	e = kpop_root_key_error(e);
	if (e == ERR_OK)
		e = take_key(s, s->opening);
	if (e == ERR_INTEGRITY) { /* perhaps another was tampered with, or is another tenant's */
		s->doubtful = true;
		e = ERR_OK;
	}
	if (e == ERR_NO_ROOT_KEY && s->find->object != NULL)
		e = ERR_OK; /* an older one, of use only for what it says of a revocation */
	if (e == ERR_NO_ROOT_KEY)
		s->find->unopened = s->opening;
	if (e != ERR_OK)
		finish(s, e);
	else
		open_next(s);
}

static void
was_read(struct wait *w, enum err e)
{
	struct seek_op *s = w->owner;
	struct kprecord_aad aad;
	struct kprecord r;

	e = take_answer(s, e, s->find->arena, &s->opening);
	if (e == ERR_OK && s->opening == NULL) {
		open_next(s);
		return;
	}
	if (e == ERR_OK)
		e = kprecord_read(&r, s->opening);
	if (e == ERR_OK)
		e = kprecord_bind(s->op.v->crypto, &aad, s->opening, r.envelope, r.clear.len);
	buf_reset(&s->op.body);
	if (e == ERR_OK) {
		kp_put_unwrap(&s->op.body, r.ciphertext, r.ciphertext_len, aad.part);
		e = buf_error(&s->op.body);
	}
	if (e != ERR_OK) {
		finish(s, e);
		return;
	}
	snprintf(s->op.path, KPOP_PATH_LEN, "/keys/%s/actions/unwrap", r.root_key);
	kpop_call(&s->op, &s->op.call, "POST", s->op.path, &s->op.body, opened);
}

/* Once one has opened, only those that say more of a revocation are of interest. */
static void
open_next(struct seek_op *s)
{
	const struct object *best = s->find->object;
	size_t at = s->count;

	for (size_t i = 0; i < s->count; i++)
		if (s->all[i].usable && (best == NULL || s->all[i].rank.state > best->state) &&
		    (at == s->count || kprank_order(&s->all[i].rank, &s->all[at].rank) > 0))
			at = i;
	if (at == s->count) {
		finish(s, best != NULL ? ERR_OK : s->doubtful ? ERR_INTEGRITY : ERR_NO_OBJECT);
		return;
	}
	s->all[at].usable = false;
	s->at = at;
	read_record(s, was_read);
}

/* --- ranking --- */

static void
ranked(struct wait *w, enum err e)
{
	struct seek_op *s = w->owner;
	struct arena *scratch = arena_new(SCRATCH_MAX);
	struct object *o = NULL;

	e = scratch != NULL ? take_answer(s, e, scratch, &o) : ERR_NO_MEMORY;
	s->all[s->at].usable = o != NULL;
	if (o != NULL)
		kprecord_rank(&s->all[s->at].rank, o);
	arena_free(scratch);
	if (e != ERR_OK) {
		finish(s, e);
		return;
	}
	s->at++;
	rank_next(s);
}

static void
rank_next(struct seek_op *s)
{
	if (s->at == s->count)
		open_next(s);
	else
		read_record(s, ranked);
}

static void
put_id(struct seek_op *s, const char *id)
{
	struct ranked *r = &s->all[s->count++];

	snprintf(r->rank.id, sizeof(r->rank.id), "%s", id);
	r->usable = true;
}

/* One alone needs no rank. */
static void
looked(struct wait *w, enum err e)
{
	struct seek_op *s = w->owner;
	const struct kpfind *f = &s->op.find;

	if (e != ERR_OK) {
		finish(s, e);
		return;
	}
	kpop_walked(&s->op);
	for (size_t i = f->count > RANKED_MAX ? f->count - RANKED_MAX : 0; i < f->count; i++)
		put_id(s, f->found[i].id);
	if (s->count > 1)
		rank_next(s);
	else
		open_next(s);
}

void
kpseek_find(struct vault *vault, struct vault_find *find)
{
	struct seek_op *s = kpop_new_for(vault, &seek_type, &find->wait, &find->terms, find->uid);
	int64_t until;

	if (s == NULL)
		return;
	s->find = find;
	find->op = s;
	find->object = NULL;
	find->unopened = NULL;
	find->wait.cancel = seek_cancel;
	s->op.find.deleted_too = find->last_words;
	until = find->once	 ? 0
	    : find->expected ? clock_now() + KPOP_LAG_NS
			     : kpop_lag_until(&s->op);
	if (find->record_id == NULL) {
		kpop_find(&s->op, until, looked);
		return;
	}
	s->op.call.absent_until = until;
	put_id(s, find->record_id);
	s->all[0].usable = false;
	read_record(s, was_read);
}
