/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What messages consist of, by the tables of the specification (1.4 sections 2, 4 and 6; 2.1
 * sections 6 to 8), version by version: to make messages out of, and to hold messages against.
 */
#ifndef GATE_SHAPE_H
#define GATE_SHAPE_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/buf.h"
#include "kmip/ttlv.h"

enum shape_how { SHAPE_END, SHAPE_ONE, SHAPE_MAYBE, SHAPE_SOME, SHAPE_ANY };

/* What the versions encode differently, or what depends on other fields. */
enum shape_kind {
	SHAPE_PLAIN,
	SHAPE_UID,	      /* in requests of 2.x a text, an enumeration or a number */
	SHAPE_ATTRIBUTE,      /* 1.x: Attribute; 2.x: a structure of that tag around one */
	SHAPE_TEMPLATE,	      /* 1.x: Template-Attribute; 2.x: Attributes */
	SHAPE_ATTRIBUTES,     /* 1.x: Attributes, one by one; 2.x: in a structure */
	SHAPE_REFERENCE,      /* Attribute Name or Attribute Reference */
	SHAPE_OBJECT,	      /* a Symmetric Key, Secret Data, Opaque Object or Template */
	SHAPE_KEY_VALUE,      /* a structure, or the bytes of a wrapped one */
	SHAPE_KEY_MATERIAL,   /* bytes or a transparent key */
	SHAPE_NUMBER,	      /* of any type that counts */
};

/* A field.  An array of them, in the order of the specification's table, ends with SHAPE_END. */
struct shape {
	enum shape_how how;
	enum shape_kind kind;
	uint32_t tag;
	enum ttlv_type type;
	int since, until;	    /* versions; until 0: there is no last one */
	const struct shape *inside; /* of a structure */
};

struct payloads {
	uint32_t operation;
	const struct shape *request, *response;
};

/* NULL for an operation that has no tables here. */
const struct payloads *shape_of_operation(uint32_t operation);
/* The header's fields between Protocol Version and Batch Count. */
extern const struct shape shape_request_header[];
/* The whole header of an answer, and what an item of it consists of beside the payload. */
extern const struct shape shape_response_header[];
extern const struct shape shape_object[]; /* the four, one of them each */

extern const struct shape shape_key_value[]; /* of one that is not wrapped */

bool shape_is_in(const struct shape *s, int version);

/* --- making them: shapemake.c --- */

struct maker {
	int version;
	uint32_t operation;
	bool fits;	      /* values that a gateway may take, or any that the types have */
	const char *uid, *kek; /* of the object that is meant, and of one that wraps */
	struct arena *arena;

	/* what was chosen for later fields */
	uint32_t object_type;
	bool wrapped, transparent, in_key_information;
};

/* Puts the fields at random: those that have to be there, and some of the others. */
void shape_make(struct maker *m, struct buf *b, const struct shape *fields);

/* --- reading and writing again: shapecopy.c --- */

/*
 * Reads the fields by their types and puts them into b again.  NULL, or what was not as the shape
 * has it: a field that is missing, a wrong type, something left over.
 */
const char *shape_copy(struct buf *b, struct arena *a, struct ttlv_reader *r,
    const struct shape *fields, int version);

#endif
