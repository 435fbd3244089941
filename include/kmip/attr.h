/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attributes: one table of their rules (attr.def), and the two ways in which they are encoded.
 * KMIP 1.x has a structure of name, index and value for all; in 2.x each attribute is an element
 * with a tag of its own, and a vendor's has a structure of vendor, name and value.  Inside, an
 * attribute is a name, an index and a TTLV value; only the functions here know how a protocol
 * version encodes it.
 */
#ifndef KMIP_ATTR_H
#define KMIP_ATTR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "kmip/ttlv.h"

/* The last second of the year 9999, the last that RFC 3339 can write. */
#define KMIP_DATE_MAX INT64_C(253402300799)
/* One of 1970 to 9999: it can be written down, and computed with. */
static inline bool
kmip_date_right(int64_t seconds)
{
	return seconds >= 0 && seconds <= KMIP_DATE_MAX;
}

enum kmip_attr_id {
#define ATTR(id, text, tag, type, since, flags) ATTR_##id,
#include "kmip/attr.def"
#undef ATTR
	ATTR_COUNT,
	ATTR_CUSTOM = ATTR_COUNT, /* x-... and y-...; in 2.x any vendor's */
	ATTR_UNKNOWN,
};

enum kmip_attr_flags {
	ATTR_MULTI = 1,	      /* may have several instances */
	ATTR_AT_CREATE = 2,   /* the client may set it in a Template-Attribute */
	ATTR_ADD = 4,	      /* ... by Add Attribute */
	ATTR_MODIFY = 8,      /* ... by Modify Attribute */
	ATTR_DELETE = 16,     /* ... remove it by Delete Attribute */
	ATTR_KEPT = 32,	      /* kept with the object as it was given (not a field of struct object) */
	ATTR_ONLY_1 = 64,     /* 2.0 took it away */
};

struct kmip_attr_info {
	enum kmip_attr_id id;
	const char *name; /* as 1.x spells it */
	uint32_t tag;	  /* the value's own tag, as 2.x has it */
	enum ttlv_type type;
	int since;	/* the first version that has it */
	unsigned flags;
};

/*
 * A view of one attribute: of a message or of a stored object.  What a vendor called "Set" in 2.x
 * is "vendor-Set" here, so that x-... is the same attribute in all versions; no vendor has a
 * hyphen in its name.
 */
struct kmip_attr {
	enum kmip_attr_id id;
	const char *name; /* not terminated; NULL: a tag of 2.x that is no attribute */
	size_t name_len;
	bool has_index;
	int32_t index;
	struct ttlv value; /* value.value NULL: none given */
};

enum { ATTR_NAME_MAX = 256, ATTR_VALUE_MAX = 8192 };

/* The table's row, or NULL for ATTR_CUSTOM and ATTR_UNKNOWN. */
const struct kmip_attr_info *kmip_attr_info(enum kmip_attr_id id);
/* True when the version has it. */
bool kmip_attr_known(const struct kmip_attr_info *info, int version);
/*
 * The id for a name or, in 2.x, for a tag; an attribute that the version does not have is
 * ATTR_UNKNOWN to it.  Names that begin with "x-" or "y-", in 2.x with any vendor's name and a
 * hyphen, are ATTR_CUSTOM.
 */
enum kmip_attr_id kmip_attr_find(const char *name, size_t len, int version);
enum kmip_attr_id kmip_attr_find_tag(uint32_t tag, int version);

/* True when both are of one attribute; their values and indexes are not looked at. */
bool kmip_attr_same(const struct kmip_attr *a, const struct kmip_attr *b);

/*
 * The flags of any attribute: the table's, those of client-defined "x-..." or of server-defined
 * "y-..." ones, or none for ATTR_UNKNOWN.
 */
unsigned kmip_attr_flags(const struct kmip_attr *a);

/* True when the next child of r can be an attribute, as this version encodes them. */
bool kmip_attr_follows(const struct ttlv_reader *r, int version);
/*
 * Reads the next child of r as an attribute.  A wrong structure is ERR_INVALID_MESSAGE (sticky in
 * r); an unknown name is no error here, only id = ATTR_UNKNOWN.  value_needed: a missing value is
 * ERR_MISSING_DATA.  The arena is for what cannot be a view: a vendor's name and that of its
 * attribute, put together.
 */
bool kmip_attr_read(struct ttlv_reader *r, struct arena *a, int version, bool value_needed,
    struct kmip_attr *out);
/*
 * Takes the next child if it names an attribute: Attribute Name in 1.x, Attribute Reference in
 * 2.x.  False without an error when it is something else.
 */
bool kmip_attr_take_reference(struct ttlv_reader *r, struct arena *a, int version,
    struct kmip_attr *out);

/*
 * Checks a value that a client wants to set against its type, its structure (Name, Link,
 * Application Specific Information, ...), known enumeration values, ranges and ATTR_VALUE_MAX.
 * Custom attributes: any type, structures only well formed.  ERR_ATTRIBUTE_VALUE,
 * ERR_ATTRIBUTE_UNKNOWN, ERR_NAMESPACE (the next function tells it).
 */
CHECKED enum err kmip_attr_check(const struct kmip_attr *a, int version);
/*
 * True when it is Application Specific Information whose data the client leaves to a server that
 * knows the namespace; *name is that.
 */
bool kmip_attr_lacks_application_data(const struct kmip_attr *a, struct ttlv *name);

/*
 * Writes an attribute.  In 1.x, the index is left out when it is 0 and has_index is false; 2.x has
 * no index.  An attribute that the version does not have is not written: returns false.
 */
bool kmip_attr_write(struct buf *b, int version, const struct kmip_attr *a);
/* Writes what names it. */
bool kmip_attr_write_reference(struct buf *b, int version, const struct kmip_attr *a);

/*
 * A value in its stable stored form (type, then wire bytes), and back.  Two values are equal
 * exactly if their stored forms are.
 */
void kmip_attr_pack_value(struct buf *b, const struct ttlv *value);
bool kmip_attr_unpack_value(const uint8_t *data, size_t len, struct ttlv *out);

#endif
