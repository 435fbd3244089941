/* SPDX-License-Identifier: Apache-2.0 */
/* Records of the vault `keyprotect`. */
#include "kprecord.h"

#include <string.h>

enum err
kprecord_read(struct kprecord *r, const struct object *o)
{
	struct unpack u;
	enum err e;

	if (o->record == NULL)
		return ERR_NO_KEY_VALUE;
	if (o->record_len <= KPRECORD_HEAD)
		return ERR_INTEGRITY;
	memcpy(r->id, o->record, KPRECORD_HEAD);
	r->id[KPRECORD_HEAD] = '\0';
	r->envelope = o->record + KPRECORD_HEAD;
	r->envelope_len = o->record_len - KPRECORD_HEAD;
	unpack_init(&u, r->envelope, r->envelope_len);
	e = envelope_read_clear(&u, &r->clear);
	if (e != ERR_OK)
		return e;
	unpack_text(&u, r->root_key, sizeof(r->root_key));
	r->ciphertext = (const char *)unpack_bytes(&u, &r->ciphertext_len);
	/* both ids go into paths */
	if (!unpack_done(&u) || !kp_is_key_name(r->root_key) || r->ciphertext_len == 0 ||
	    r->ciphertext_len > KP_CIPHERTEXT_MAX || !envelope_is_for(&r->clear, o) ||
	    (r->id[0] != '\0' && (strlen(r->id) != UID_TEXT_LEN || !kp_is_key_name(r->id))))
		return ERR_INTEGRITY;
	return ERR_OK;
}

void
kprecord_id(char id[UID_TEXT_LEN + 1], const struct object *o)
{
	id[0] = '\0';
	if (o->record == NULL || o->record_len <= KPRECORD_HEAD)
		return;
	memcpy(id, o->record, KPRECORD_HEAD);
	id[KPRECORD_HEAD] = '\0';
	if (strlen(id) != UID_TEXT_LEN || !kp_is_key_name(id))
		id[0] = '\0';
}

void
kprecord_root_key(char id[UID_TEXT_LEN + 1], const struct object *o)
{
	struct kprecord r;

	id[0] = '\0';
	if (kprecord_read(&r, o) == ERR_OK && strlen(r.root_key) == UID_TEXT_LEN)
		memcpy(id, r.root_key, UID_TEXT_LEN + 1);
}

enum err
kprecord_make(struct object *o, struct arena *a, const struct buf *clear, const char *root_key,
    const char *ciphertext)
{
	static const uint8_t nowhere[KPRECORD_HEAD];
	const uint8_t *record;
	struct buf b;
	enum err e;

	buf_init(&b, KPRECORD_HEAD + KP_PAYLOAD_MAX);
	buf_put(&b, nowhere, sizeof(nowhere));
	buf_put(&b, clear->data, clear->len);
	pack_text(&b, root_key);
	pack_bytes(&b, ciphertext, strlen(ciphertext));
	e = buf_error(&b) == ERR_RESPONSE_TOO_LARGE ? ERR_TOO_MANY_ATTRIBUTES : buf_error(&b);
	record = e == ERR_OK ? arena_copy(a, b.data, b.len) : NULL;
	if (record != NULL) {
		o->record = record;
		o->record_len = b.len;
	} else if (e == ERR_OK) {
		e = ERR_NO_MEMORY;
	}
	buf_fini(&b);
	return e;
}

enum err
kprecord_take(struct object *o, struct arena *a, const char *id, const uint8_t *envelope, size_t len)
{
	uint8_t *record = arena_zalloc(a, KPRECORD_HEAD + len);

	if (record == NULL)
		return ERR_NO_MEMORY;
	memcpy(record, id, KPRECORD_HEAD);
	memcpy(record + KPRECORD_HEAD, envelope, len);
	o->record = record;
	o->record_len = KPRECORD_HEAD + len;
	return ERR_OK;
}

enum err
kprecord_object(const struct object *o, struct arena *a, struct object **out)
{
	struct envelope_clear clear;
	struct kprecord r;
	struct unpack u;
	enum err e = kprecord_read(&r, o);

	if (e != ERR_OK)
		return e;
	unpack_init(&u, r.envelope, r.envelope_len);
	return envelope_read_object(&u, a, &clear, out);
}

uint64_t
kprecord_sequence(const struct object *o)
{
	struct kprecord r;

	return kprecord_read(&r, o) == ERR_OK ? r.clear.sequence : 0;
}

void
kprecord_rank(struct kprank *rank, const struct object *o)
{
	struct kprecord r;

	*rank = (struct kprank){.sequence = 0};
	if (kprecord_read(&r, o) != ERR_OK)
		return;
	memcpy(rank->id, r.id, sizeof(rank->id));
	rank->sequence = r.clear.sequence;
	rank->state = r.clear.state;
}

int
kprank_order(const struct kprank *a, const struct kprank *b)
{
	if (a->sequence != b->sequence)
		return a->sequence > b->sequence ? 1 : -1;
	if (a->state != b->state)
		return a->state > b->state ? 1 : -1;
	return strcmp(b->id, a->id);
}

/* Only the type says const: the bytes are those that kprecord_make() put into the arena. */
void
kprecord_set_id(const struct object *o, const char *id)
{
	memcpy((uint8_t *)o->record, id, KPRECORD_HEAD);
}

enum err
kprecord_bind(struct envelope_crypto *c, struct kprecord_aad *a, const struct object *o,
    const void *clear, size_t len)
{
	uint8_t digest[32];
	enum err e = envelope_hash(c, clear, len, digest);

	if (e != ERR_OK)
		return e;
	text_hex(a->hash, digest, sizeof(digest));
	a->part[0] = "keyferry-v1";
	a->part[1] = o->tenant;
	a->part[2] = o->uid;
	a->part[3] = a->hash;
	return ERR_OK;
}
