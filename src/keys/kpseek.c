/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding in the vault `keyprotect` what is known of an object by its uid alone: look for the name,
 * read each record that bears it, then unwrap them, the highest sequence first, until one opens.
 * What is no envelope of ours (IBM's hosted service used the same names) is passed over.
 */
#include "kpop.h"

#include <stdio.h>
#include <string.h>

#include "base/metric.h"
#include "kprecord.h"

struct found {
	struct object *object;
	uint64_t sequence;
};

struct seek_op {
	struct kpop op;
	struct vault_find *find;
	size_t at; /* of those that bear the name, the one being read */
	struct found all[KPFIND_MAX];
	size_t count;
	bool doubtful; /* one did not open */
	bool vanished; /* one was deleted since it was listed: by whom is not known */
};

static const struct kpop_type seek_type = {
    .size = sizeof(struct seek_op), .label = LABEL_VAULT_CALL_FIND};

static void read_next(struct seek_op *s);
static void open_best(struct seek_op *s);

static void
seek_cancel(struct wait *w)
{
	kpop_leave(CONTAINER_OF(w, struct vault_find, wait)->op);
}

/* --- opening --- */

static enum err
take_key(struct seek_op *s, struct object *o)
{
	struct kp_action a = {.version = ""};
	enum err e = kpop_read_key(&s->op, &s->op.call, o, &a, o->digest);

	if (e == ERR_OK) {
		s->find->object = o;
		s->find->key = secret_ref(a.plaintext);
	}
	kp_action_fini(&a);
	return e;
}

static void
opened(struct wait *w, enum err e)
{
	struct seek_op *s = w->owner;

	e = kpop_root_key_error(e);
	if (e == ERR_OK)
		e = take_key(s, s->all[0].object);
	if (e == ERR_INTEGRITY) { /* perhaps another was tampered with, or is another tenant's */
		s->doubtful = true;
		s->all[0] = s->all[--s->count];
		open_best(s);
		return;
	}
	kpop_end(&s->op, e);
}

/* The highest sequence first; of equals the more restrictive state, then the lower id. */
static bool
is_better(const struct found *a, const struct found *b)
{
	char id[UID_TEXT_LEN + 1], other[UID_TEXT_LEN + 1];

	if (a->sequence != b->sequence)
		return a->sequence > b->sequence;
	if (a->object->state != b->object->state)
		return a->object->state > b->object->state;
	kprecord_id(id, a->object);
	kprecord_id(other, b->object);
	return strcmp(id, other) < 0;
}

static void
open_best(struct seek_op *s)
{
	struct kprecord_aad aad;
	struct kprecord r;
	enum err e;

	if (s->count == 0) {
		s->find->withdrawn = s->op.find.withdrawn || s->vanished;
		kpop_end(&s->op, s->doubtful ? ERR_INTEGRITY : ERR_NO_OBJECT);
		return;
	}
	for (size_t i = 1; i < s->count; i++)
		if (is_better(&s->all[i], &s->all[0])) {
			struct found better = s->all[i];

			s->all[i] = s->all[0];
			s->all[0] = better;
		}
	e = kprecord_read(&r, s->all[0].object);
	if (e == ERR_OK)
		e = kprecord_bind(s->op.v->crypto, &aad, s->all[0].object, r.envelope, r.clear.len);
	buf_reset(&s->op.body);
	if (e == ERR_OK) {
		kp_put_unwrap(&s->op.body, r.ciphertext, r.ciphertext_len, aad.part);
		e = buf_error(&s->op.body);
	}
	if (e != ERR_OK) {
		kpop_end(&s->op, e);
		return;
	}
	snprintf(s->op.path, KPOP_PATH_LEN, "/keys/%s/actions/unwrap", r.root_key);
	kpop_call(&s->op, &s->op.call, "POST", s->op.path, &s->op.body, opened);
}

/* --- reading --- */

/* Only what can be this object's record is kept. */
static enum err
take_record(struct seek_op *s, const char *id)
{
	const struct buf *b = &s->op.call.http.answer;
	struct vault_find *f = s->find;
	struct envelope_clear clear;
	const uint8_t *payload;
	struct kprecord r;
	struct object *o;
	struct unpack u;
	size_t len;
	enum err e = kp_read_payload(b->data, b->len, f->arena, KP_PAYLOAD_MAX, &payload, &len);

	if (e != ERR_OK)
		return e == ERR_NO_MEMORY ? e : ERR_OK;
	unpack_init(&u, payload, len);
	e = envelope_read_object(&u, f->arena, &clear, &o);
	if (e != ERR_OK)
		return e == ERR_NO_MEMORY ? e : ERR_OK;
	snprintf(o->tenant, sizeof(o->tenant), "%s", f->tenant);
	e = kprecord_take(o, f->arena, id, payload, len);
	if (e != ERR_OK)
		return e;
	if (strcmp(o->uid, f->uid) == 0 && kprecord_read(&r, o) == ERR_OK)
		s->all[s->count++] = (struct found){o, clear.sequence};
	return ERR_OK;
}

static void
was_read(struct wait *w, enum err e)
{
	struct seek_op *s = w->owner;
	const struct buf *b = &s->op.call.http.answer;
	struct kp_key k = {.state = -1};
	size_t rows = 0;

	if (e == ERR_OK && kp_read_keys(b->data, b->len, kp_keep_key, &k, &rows) == ERR_OK &&
	    rows == 1 && strcmp(k.name, s->op.name) == 0) {
		s->vanished |= kp_key_is_gone(&k);
		if (!kp_key_is_gone(&k))
			e = take_record(s, k.id);
	} else if (e == ERR_NO_OBJECT) {
		s->vanished = true;
		e = ERR_OK;
	}
	if (e != ERR_OK) {
		kpop_end(&s->op, e);
		return;
	}
	s->at++;
	read_next(s);
}

static void
read_next(struct seek_op *s)
{
	if (s->at == s->op.find.count) {
		open_best(s);
		return;
	}
	snprintf(s->op.path, KPOP_PATH_LEN, "/keys/%s", s->op.find.found[s->at].id);
	kpop_call(&s->op, &s->op.call, "GET", s->op.path, NULL, was_read);
}

static void
looked(struct wait *w, enum err e)
{
	struct seek_op *s = w->owner;

	if (e == ERR_OK)
		read_next(s);
	else
		kpop_end(&s->op, e);
}

void
kpseek_find(struct vault *vault, struct vault_find *find)
{
	struct seek_op *s = kpop_new_for(vault, &seek_type, &find->wait, &find->terms, find->uid);

	if (s == NULL)
		return;
	s->find = find;
	find->op = s;
	find->wait.cancel = seek_cancel;
	s->op.find.deleted_too = find->last_words;
	if (find->record_id == NULL) {
		kpop_find(&s->op,
		    find->expected ? clock_now() + KPOP_LAG_NS : kpop_lag_until(&s->op), looked);
		return;
	}
	s->op.find.found[0] = (struct kp_key){.state = -1};
	snprintf(s->op.find.found[0].id, sizeof(s->op.find.found[0].id), "%s", find->record_id);
	s->op.find.count = 1;
	read_next(s);
}
