/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the vault `keyprotect` keeps for an object: the id of the standard key (36 characters, zero
 * bytes until it was stored), then the envelope: its clear part as every vault has it, and
 *
 *	text root key (its id) · bytes ciphertext, as Key Protect gave it
 *
 * The wrap is bound to "keyferry-v1", tenant id, uid and the SHA-256 of the clear part.
 */
#ifndef KPRECORD_H
#define KPRECORD_H

#include "envelope.h"
#include "kpwire.h"

enum { KPRECORD_HEAD = UID_TEXT_LEN };

/* Points into the object's record. */
struct kprecord {
	char id[UID_TEXT_LEN + 1]; /* empty: not known */
	const uint8_t *envelope;
	size_t envelope_len;
	struct envelope_clear clear;
	char root_key[KP_NAME_MAX + 1];
	const char *ciphertext;
	size_t ciphertext_len;
};

/* ERR_INTEGRITY: it is not this object's.  ERR_SCHEMA.  ERR_NO_KEY_VALUE: there is none. */
CHECKED enum err kprecord_read(struct kprecord *r, const struct object *o);
/* The id alone, of whatever record; empty when there is none. */
void kprecord_id(char id[UID_TEXT_LEN + 1], const struct object *o);
/* The id of its root key; empty when that cannot be read. */
void kprecord_root_key(char id[UID_TEXT_LEN + 1], const struct object *o);
/* Sets the object's record, without an id.  ERR_TOO_MANY_ATTRIBUTES: too large for Key Protect. */
CHECKED enum err kprecord_make(struct object *o, struct arena *a, const struct buf *clear,
    const char *root_key, const char *ciphertext);
/* Sets the object's record to what Key Protect has under that id. */
CHECKED enum err kprecord_take(struct object *o, struct arena *a, const char *id,
    const uint8_t *envelope, size_t len);
/* The object as its record says, without its record and digest. */
enum err kprecord_object(const struct object *o, struct arena *a, struct object **out);
/* Of the object's record; 0: it has none, or none that can be read. */
uint64_t kprecord_sequence(const struct object *o);
/*
 * Which of two records of an object counts: the higher sequence; of equals (two gateways made
 * successors at once) the more restrictive state that they say; then the lower id.  So that all
 * gateways choose the same one.
 */
struct kprank {
	char id[UID_TEXT_LEN + 1];
	uint64_t sequence;
	enum object_state state;
};
/* Of the object's record; all zero when it has none that can be read. */
void kprecord_rank(struct kprank *r, const struct object *o);
/* Positive when a counts before b; zero: it is the same record. */
int kprank_order(const struct kprank *a, const struct kprank *b);
/* Writes the id into a record that kprecord_make() made. */
void kprecord_set_id(const struct object *o, const char *id);

struct kprecord_aad {
	char hash[65];
	const char *part[KP_AAD_COUNT];
};
CHECKED enum err kprecord_bind(struct envelope_crypto *c, struct kprecord_aad *a,
    const struct object *o, const void *clear, size_t len);

#endif
