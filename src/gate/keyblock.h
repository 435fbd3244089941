/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Managed objects as messages carry them: Symmetric Key, Secret Data, Opaque Object (specification
 * 1.4 section 2.2), and the Key Block inside (section 2.1.3).
 */
#ifndef GATE_KEYBLOCK_H
#define GATE_KEYBLOCK_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/secret.h"
#include "keys/object.h"
#include "kmip/ttlv.h"

/* What an object's material is, beside algorithm and length. */
struct keyform {
	uint32_t format;      /* Key Format Type */
	uint32_t data_type;   /* Secret Data Type or Opaque Data Type; 0: neither */
	struct ttlv wrapping; /* Key Wrapping Data as it was registered; value NULL: not wrapped */
};

/* The object's form: Raw, unless another one is kept with it. */
void keyform_of(const struct object *o, struct keyform *f);
/* Keeps it as an attribute that is not shown; a raw symmetric key needs none. */
CHECKED enum err keyform_keep(struct object *o, struct arena *a, const struct keyform *f);

/* An object of a request. */
struct keyblock {
	struct keyform form;
	struct ttlv material;	   /* its bytes, in the message */
	uint32_t algorithm, length; /* 0: not told */
	struct ttlv value; /* Key Value, which may have attributes; value NULL: there are none */
};
/*
 * Reads the next child of r, which has to be an object of that type.  ERR_OBJECT_TYPE, ERR_KEY_FORMAT,
 * ERR_KEY_COMPRESSION, ERR_MISSING_DATA, ERR_INVALID_FIELD.
 */
CHECKED enum err keyblock_read(struct ttlv_reader *r, uint32_t type, int version,
    struct keyblock *out);

/*
 * What TTLV encoding wrapped is a whole Key Value: reads it into k, which is not wrapped any more.
 * ERR_INVALID_MESSAGE, ERR_MISSING_DATA, ERR_INVALID_FIELD.
 */
CHECKED enum err keyblock_read_value(struct secret *bytes, struct keyblock *k);

/* What is to be put into an answer. */
struct keyblock_put {
	uint32_t format;
	struct secret *key; /* NULL: the object without its value, which is no more */
	/* Of a key that was wrapped for this answer: the bytes of Key Material or, if encoded, of Key
	 * Value, and Key Wrapping Data; NULL: neither. */
	const struct buf *wrapped, *wrapping;
	bool encoded;
};
void keyblock_put(struct buf *b, const struct object *o, const struct keyblock_put *p);
/* The Key Value structure alone, what TTLV encoding wraps: attributes may follow before ttlv_end(). */
size_t keyblock_begin_value(struct buf *b, uint32_t format, struct secret *key);
/* Whether any object may be asked for in that format, and whether this one may. */
bool keyblock_is_format(uint32_t format);
bool keyblock_has_format(const struct object *o, uint32_t format);

#endif
