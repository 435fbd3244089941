/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TTLV, the binary encoding of KMIP (specification 1.4 section 9.1): a bounded reader and a
 * writer, both with sticky errors.  The reader points into the message; it copies nothing and
 * allocates nothing.
 */
#ifndef KMIP_TTLV_H
#define KMIP_TTLV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum ttlv_type {
	TTLV_STRUCTURE = 1,
	TTLV_INTEGER = 2,
	TTLV_LONG = 3,
	TTLV_BIG_INTEGER = 4,
	TTLV_ENUM = 5,
	TTLV_BOOLEAN = 6,
	TTLV_TEXT = 7,
	TTLV_BYTES = 8,
	TTLV_DATE_TIME = 9,
	TTLV_INTERVAL = 10,
	TTLV_DATE_TIME_EXTENDED = 11, /* microseconds; since 2.0 */
};

enum { TTLV_HEADER = 8, TTLV_NESTING_MAX = 32 };

/* One element of a message: a view, valid as long as the message is. */
struct ttlv {
	uint32_t tag;
	enum ttlv_type type;
	const uint8_t *value; /* len bytes, without padding */
	uint32_t len;
};

/*
 * Checks a whole encoding: exactly one element fills it; every length, padding byte, type,
 * boolean, UTF-8 text (no NUL) and nesting level is right; at most elements_max elements.
 * Everything below relies on that.  ERR_INVALID_MESSAGE otherwise.
 */
CHECKED enum err ttlv_check(const uint8_t *data, size_t len, size_t elements_max, struct ttlv *root);

/* The same where the types go up to `last': TTLV_INTERVAL in 1.x. */
CHECKED enum err ttlv_check_types(const uint8_t *data, size_t len, size_t elements_max,
    enum ttlv_type last, struct ttlv *root);

/* The same for a value alone, whose type and length stand elsewhere. */
CHECKED enum err ttlv_check_value(enum ttlv_type type, const uint8_t *value, size_t len,
    size_t elements_max);

/* True when a checked element has no type that 1.x does not have. */
bool ttlv_is_of_1(const struct ttlv *t);

/*
 * Total length (header, value, padding) that the 8 bytes at data announce, or 0 when they cannot
 * begin an element with the given tag and type.
 */
size_t ttlv_total(const uint8_t *data, uint32_t tag, enum ttlv_type type);

/* Walks the children of a checked structure, in order. */
struct ttlv_reader {
	const uint8_t *p, *end;
	enum err error;
};

void ttlv_enter(struct ttlv_reader *r, const struct ttlv *structure);
/* Takes the next child, whatever it is.  False at the end or after an error. */
bool ttlv_next(struct ttlv_reader *r, struct ttlv *out);
/* The tag of the next child without taking it; 0 at the end or after an error. */
uint32_t ttlv_peek(const struct ttlv_reader *r);
/*
 * Takes the next child if it has this tag; a wrong type is ERR_INVALID_MESSAGE.  ttlv_need()
 * makes its absence ERR_MISSING_DATA.  *out is all zero when there is none.
 */
bool ttlv_opt(struct ttlv_reader *r, uint32_t tag, enum ttlv_type type, struct ttlv *out);
bool ttlv_need(struct ttlv_reader *r, uint32_t tag, enum ttlv_type type, struct ttlv *out);
/*
 * To be called after the last field: children with an extension tag (0x54xxxx) are skipped,
 * anything else that is left over is ERR_INVALID_MESSAGE.  Returns the sticky error.
 */
CHECKED enum err ttlv_finish(struct ttlv_reader *r);

/* Values.  The element must be of that type (it was checked when it was taken). */
int32_t ttlv_int(const struct ttlv *t);	     /* Integer */
uint32_t ttlv_uint(const struct ttlv *t);    /* Enumeration, Interval, or Integer as a mask */
int64_t ttlv_long(const struct ttlv *t);     /* Long Integer, Date-Time, extended or not */
bool ttlv_bool(const struct ttlv *t);
bool ttlv_is_text(const struct ttlv *t, const char *s);

/* Writes into a buffer whose ceiling is the answer's; errors stick in the buffer. */
size_t ttlv_begin(struct buf *b, uint32_t tag); /* returns a mark for ttlv_end() */
void ttlv_end(struct buf *b, size_t mark);	/* patches the length in */
void ttlv_put_int(struct buf *b, uint32_t tag, int32_t v);
void ttlv_put_long(struct buf *b, uint32_t tag, int64_t v);
void ttlv_put_enum(struct buf *b, uint32_t tag, uint32_t v);
void ttlv_put_bool(struct buf *b, uint32_t tag, bool v);
void ttlv_put_text(struct buf *b, uint32_t tag, const char *s, size_t len);
void ttlv_put_bytes(struct buf *b, uint32_t tag, const void *data, size_t len);
void ttlv_put_date_time(struct buf *b, uint32_t tag, int64_t v);
void ttlv_put_extended(struct buf *b, uint32_t tag, int64_t v); /* Date-Time Extended */
void ttlv_put_interval(struct buf *b, uint32_t tag, uint32_t v);
/* Overwrites the value of an Integer; at: the buffer's length just before it was put. */
void ttlv_patch_int(struct buf *b, size_t at, int32_t v);
/* An element whose value is in wire form already (for a structure: its children). */
void ttlv_put_raw(struct buf *b, uint32_t tag, enum ttlv_type type, const void *value, size_t len);

#endif
