/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A managed object as vault and ledger know it: key management in plain fields, other attributes
 * as opaque named values.  Numbers are KMIP's, but nothing here reads or writes KMIP.
 */
#ifndef KEYS_OBJECT_H
#define KEYS_OBJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/list.h"
#include "base/pack.h"
#include "base/secret.h"
#include "base/text.h"

/*
 * OBJECT_SIZE_MAX: what its record and the values of its attributes may have in a ledger.  An arena of
 * OBJECT_ARENA_MAX holds any such object, with all names, and what is left empty at the ends of blocks.
 */
enum { TENANT_ID_MAX = 64, OBJECT_ATTRS_MAX = 256, OBJECT_SIZE_MAX = 128 * 1024,
	OBJECT_ARENA_MAX = 4 * OBJECT_SIZE_MAX };

enum object_state {
	OBJECT_PRE_ACTIVE = 1,
	OBJECT_ACTIVE,
	OBJECT_DEACTIVATED,
	OBJECT_COMPROMISED,
	OBJECT_DESTROYED,
	OBJECT_DESTROYED_COMPROMISED,
};

enum object_date {
	DATE_INITIAL,
	DATE_ACTIVATION,
	DATE_PROCESS_START,
	DATE_PROTECT_STOP,
	DATE_DEACTIVATION,
	DATE_DESTROY,
	DATE_COMPROMISE_OCCURRENCE,
	DATE_COMPROMISE,
	DATE_LAST_CHANGE,
	DATE_ORIGINAL_CREATION,
	DATE_ARCHIVE,
	DATE_COUNT
};
#define NO_DATE INT64_MIN

/* An attribute kept as it was given; value is in kmip_attr_pack_value() form, opaque here. */
struct object_attr {
	const char *name; /* terminated; case matters */
	uint32_t index;
	const uint8_t *value;
	size_t value_len;
};

/*
 * What a vault found out about the record of an object: its clear part is the object's, so long, and
 * has this digest.  Who keeps an object for later gives it a place for that; it is the vault's.
 */
struct object_proof {
	const uint8_t *record; /* the one that it is about; NULL: nothing yet */
	size_t clear_len;
	uint8_t digest[32];
	/* keys/opened's: the record's key, for as long as it is kept; NULL: it is not */
	struct secret *key;
	struct opened *opened;
	struct list link;
	bool asked; /* for the key, since it was looked after last */
};
/* Before its memory goes; wipes the key. */
void object_proof_fini(struct object_proof *p);

/* Lives in an arena, with all that it points to. */
struct object {
	char tenant[TENANT_ID_MAX + 1];
	char uid[UID_TEXT_LEN + 1];
	uint64_t revision; /* of the ledger's row; 0: not in the ledger yet */
	uint32_t type;	   /* KMIP Object Type: 2 is Symmetric Key */
	enum object_state state;
	enum object_state stored; /* what `state' was before object_see_at(); 0: that is stored itself */
	bool destroyed_here; /* Destroyed by a client's word to this gateway, not found so elsewhere */
	uint32_t algorithm;  /* KMIP Cryptographic Algorithm: 3 is AES */
	uint32_t length;     /* bits */
	uint32_t usage_mask;
	int64_t date[DATE_COUNT]; /* seconds since 1970, or NO_DATE */
	uint32_t revocation_code; /* 0: never revoked */
	const char *revocation_text;
	uint8_t digest[32];	/* SHA-256 of the key material */
	const uint8_t *record;	/* the vault's record (envelope with the wrapped key), or NULL */
	size_t record_len;
	struct object_proof *proof; /* NULL: nobody keeps it.  A deep copy has none */
	struct object_attr *attrs; /* by name, then index; changed by the functions below alone */
	size_t attrs_count;
};

/* Destroyed, compromised or not. */
static inline bool
object_is_destroyed(const struct object *o)
{
	return o->state == OBJECT_DESTROYED || o->state == OBJECT_DESTROYED_COMPROMISED;
}

/* In archival storage: it has to be recovered before its key is served or used. */
static inline bool
object_is_archived(const struct object *o)
{
	return o->date[DATE_ARCHIVE] != NO_DATE;
}

/* Takes over how `from`, which says the same of the object else, was revoked, if that is more. */
void object_take_state(struct object *o, const struct object *from);

/* The state that an object is in at that time: dates act without anybody storing it. */
enum object_state object_state_at(const struct object *o, int64_t now);
/*
 * Puts it into that state for whoever judges by it.  Copies remember the one that is stored, and
 * object_as_stored() puts it back before they are: a clock may be set, and dates changed.
 */
void object_see_at(struct object *o, int64_t now);
void object_as_stored(struct object *o);
/* The one way to a state that is to be stored, of an object that may have been seen at a time. */
void object_set_state(struct object *o, enum object_state state);

/*
 * The name of an attribute that tells in what form the key material came, when that is not simply
 * a key of the object's length.  No client can have one of that name.
 */
#define OBJECT_FORM "Key Block"

/* The bytes of key material that belong to the object's algorithm and length; 0: any number. */
size_t object_material_len(const struct object *o);

/* A deep copy in the arena, or NULL at its ceiling. */
struct object *object_copy(struct arena *a, const struct object *o);
/* What that takes of an arena. */
size_t object_copy_room(const struct object *o);

/* The instance with this name and index, or NULL. */
struct object_attr *object_attr_get(const struct object *o, const char *name, uint32_t index);
/*
 * Adds or replaces an instance; name and value are copied.  ERR_TOO_MANY_ATTRIBUTES,
 * ERR_NO_MEMORY.
 */
CHECKED enum err object_attr_set(struct object *o, struct arena *a, const char *name,
    size_t name_len, uint32_t index, const uint8_t *value, size_t value_len);
/* False when there is no such instance. */
bool object_attr_remove(struct object *o, const char *name, uint32_t index);

void object_pack(struct buf *b, const struct object *o);
/*
 * ERR_CORRUPT: the bytes are not just an object.  ERR_NO_MEMORY says nothing about them.  What an
 * earlier release packed may have fewer dates: the others are not set.
 */
CHECKED enum err object_unpack(const void *data, size_t len, struct arena *a, struct object **out);

#endif
