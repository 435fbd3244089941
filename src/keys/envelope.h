/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The envelope: what a vault's record is.  Everything about a key as it was created (the clear
 * part, the same for all vaults), and the key wrapped, bound to its tenant, its uid and all of the
 * clear part.  The vault `local` wraps with AES-256-GCM:
 *
 *	u8 version (1) · text uid · u64 sequence · u32 type · u32 algorithm · u32 length ·
 *	u32 usage mask · u8 state · u8 count, u64 each: dates · u32 revocation code ·
 *	  text revocation text · u32 count: attributes (text name, u32 index, bytes value)
 *	u32 root key version · bytes IV (12) · bytes ciphertext · bytes tag (16)
 *
 * in the form of base/pack.h.  The AAD is: u8 version · text tenant id · text uid · SHA-256 of
 * all before the root key version.
 */
#ifndef ENVELOPE_H
#define ENVELOPE_H

#include "base/arena.h"
#include "base/secret.h"
#include "keys/object.h"
#include "rootkey.h"

enum { ENVELOPE_VERSION = 1, ENVELOPE_KEY_MAX = 64 * 1024 };

/* Algorithms fetched once: a fetch by name costs more than wrapping a key. */
struct envelope_crypto;
struct envelope_crypto *envelope_crypto_new(void);
void envelope_crypto_free(struct envelope_crypto *c);

/* The SHA-256 of a key's bytes. */
CHECKED enum err envelope_digest(struct envelope_crypto *c, struct secret *key, uint8_t out[32]);

/*
 * The clear part of an object's envelope.  The sequence is 1 for its first record, and one more for
 * each that takes the place of another.
 */
void envelope_pack_clear(struct buf *b, const struct object *o, uint64_t sequence);
/* What an instance of an attribute takes of it. */
size_t envelope_attr_len(const struct object_attr *at);

/* What the clear part of a record says that never changes, and the state that the object was in. */
struct envelope_clear {
	char uid[UID_TEXT_LEN + 1];
	uint64_t sequence;
	enum object_state state; /* not checked by envelope_read_clear() */
	uint32_t type, algorithm, length;
	size_t len; /* the wrapping begins there */
};
/* Leaves u behind it.  ERR_SCHEMA: a later version.  ERR_INTEGRITY. */
CHECKED enum err envelope_read_clear(struct unpack *u, struct envelope_clear *clear);
/*
 * The same, and all of the object as it was then, in the arena; its record and digest are not set.
 * ERR_NO_MEMORY, ERR_TOO_MANY_ATTRIBUTES.
 */
CHECKED enum err envelope_read_object(struct unpack *u, struct arena *a,
    struct envelope_clear *clear, struct object **out);
bool envelope_is_for(const struct envelope_clear *clear, const struct object *o);
/* The SHA-256 that a wrap is bound to. */
CHECKED enum err envelope_hash(struct envelope_crypto *c, const void *data, size_t len,
    uint8_t out[32]);

/* Makes the record for an object in the arena, the key wrapped under the newest root key. */
CHECKED enum err envelope_seal(struct envelope_crypto *c, const struct rootkeys *roots,
    const struct object *o, struct secret *key, struct arena *a, const uint8_t **record,
    size_t *record_len);

/*
 * Opens the object's record; `use' is what the key will be for.  ERR_INTEGRITY: it is not the one that
 * was made for this object.  ERR_SCHEMA: a later version.  ERR_NO_ROOT_KEY, ERR_NO_SECURE_MEMORY,
 * ERR_CRYPTO.
 */
CHECKED enum err envelope_open(struct envelope_crypto *c, const struct rootkeys *roots,
    const struct object *o, enum secret_use use, struct secret **key);

/* Under which root key version the object's record says that it is.  ERR_INTEGRITY, ERR_SCHEMA. */
CHECKED enum err envelope_root_version(const struct object *o, uint32_t *version);

#endif
