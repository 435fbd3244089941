/* SPDX-License-Identifier: Apache-2.0 */
/* TTLV: the check of a whole encoding, the reader and the writer. */
#include "kmip/ttlv.h"

#include <endian.h>
#include <string.h>

#include "base/text.h"

enum { TAG_BLOCK_KMIP = 0x42, TAG_BLOCK_EXTENSION = 0x54, ALIGN = 8 };

static size_t
padding(size_t len)
{
	return (ALIGN - len % ALIGN) % ALIGN;
}

/* Here and not from base/pack.h: a message is read and written by hundreds of these. */
static uint32_t
load_u32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return be32toh(v);
}

static void
store_u32(uint8_t *p, uint32_t v)
{
	v = htobe32(v);
	memcpy(p, &v, sizeof(v));
}

/* p: at least TTLV_HEADER bytes. */
static void
read_header(const uint8_t *p, struct ttlv *out)
{
	uint32_t word = load_u32(p);

	out->tag = word >> 8;
	out->type = (enum ttlv_type)(word & 0xff);
	out->len = load_u32(p + 4);
	out->value = p + TTLV_HEADER;
}

/*
 * The one place that moves over a message: takes header, value and padding if all of them are
 * there.  Checks nothing else.
 */
static bool
take(const uint8_t **p, const uint8_t *end, struct ttlv *out)
{
	size_t left = (size_t)(end - *p), need;
	struct ttlv t;

	if (left < TTLV_HEADER)
		return false;
	left -= TTLV_HEADER;
	read_header(*p, &t);
	need = (size_t)t.len + padding(t.len);
	if (need > left)
		return false;
	*p = t.value + need;
	*out = t;
	return true;
}

static bool
bytes_are_zero(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i] != 0)
			return false;
	return true;
}

/* Length and content of anything but what stands inside a structure. */
static bool
value_right(enum ttlv_type type, const uint8_t *value, size_t len)
{
	switch (type) {
	case TTLV_STRUCTURE:
		return len % ALIGN == 0;
	case TTLV_INTEGER:
	case TTLV_ENUM:
	case TTLV_INTERVAL:
		return len == 4;
	case TTLV_LONG:
	case TTLV_DATE_TIME:
	case TTLV_DATE_TIME_EXTENDED:
		return len == 8;
	case TTLV_BIG_INTEGER:
		return len > 0 && len % ALIGN == 0;
	case TTLV_BOOLEAN:
		return len == 8 && bytes_are_zero(value, 7) && value[7] <= 1;
	case TTLV_TEXT:
		return text_is_utf8(value, len);
	case TTLV_BYTES:
		return true;
	}
	return false; /* the type came off the wire */
}

static bool
element_right(const struct ttlv *t, enum ttlv_type last)
{
	uint32_t block = t->tag >> 16;

	return t->type <= last && (block == TAG_BLOCK_KMIP || block == TAG_BLOCK_EXTENSION) &&
	    value_right(t->type, t->value, t->len) &&
	    bytes_are_zero(t->value + t->len, padding(t->len));
}

/*
 * Walks everything between p and end.  depth: structures that are open around it.  A stack of
 * ends instead of recursion, so that no message decides how much stack we need.
 */
static bool
walk(const uint8_t *p, const uint8_t *end, unsigned depth, size_t elements_max,
    enum ttlv_type last)
{
	const uint8_t *ends[TTLV_NESTING_MAX + 1];
	unsigned bottom = depth;
	struct ttlv t;

	ends[depth] = end;
	for (size_t count = 0;;) {
		while (p == ends[depth]) {
			if (depth == bottom)
				return true;
			depth--;
		}
		if (count++ == elements_max || !take(&p, ends[depth], &t) || !element_right(&t, last))
			return false;
		if (t.type != TTLV_STRUCTURE)
			continue;
		if (depth == TTLV_NESTING_MAX)
			return false;
		ends[++depth] = p;
		p = t.value;
	}
}

enum err
ttlv_check_types(const uint8_t *data, size_t len, size_t elements_max, enum ttlv_type last,
    struct ttlv *root)
{
	const uint8_t *p = data;
	struct ttlv t;

	if (!take(&p, data + len, &t) || p != data + len || !walk(data, p, 0, elements_max, last))
		return ERR_INVALID_MESSAGE;
	*root = t;
	return ERR_OK;
}

enum err
ttlv_check(const uint8_t *data, size_t len, size_t elements_max, struct ttlv *root)
{
	return ttlv_check_types(data, len, elements_max, TTLV_DATE_TIME_EXTENDED, root);
}

enum err
ttlv_check_value(enum ttlv_type type, const uint8_t *value, size_t len, size_t elements_max)
{
	if (len > UINT32_MAX || !value_right(type, value, len))
		return ERR_INVALID_MESSAGE;
	if (type == TTLV_STRUCTURE &&
	    !walk(value, value + len, 1, elements_max, TTLV_DATE_TIME_EXTENDED))
		return ERR_INVALID_MESSAGE;
	return ERR_OK;
}

bool
ttlv_is_of_1(const struct ttlv *t)
{
	return t->type != TTLV_STRUCTURE
	    ? t->type <= TTLV_INTERVAL
	    : walk(t->value, t->value + t->len, 1, SIZE_MAX, TTLV_INTERVAL);
}

size_t
ttlv_total(const uint8_t *data, uint32_t tag, enum ttlv_type type)
{
	struct ttlv t;

	read_header(data, &t);
	if (t.tag != tag || t.type != type || (type == TTLV_STRUCTURE && t.len % ALIGN != 0))
		return 0;
	return TTLV_HEADER + (size_t)t.len + padding(t.len);
}

void
ttlv_enter(struct ttlv_reader *r, const struct ttlv *structure)
{
	*r = (struct ttlv_reader){structure->value, structure->value + structure->len, ERR_OK};
}

bool
ttlv_next(struct ttlv_reader *r, struct ttlv *out)
{
	if (r->error != ERR_OK || r->p == r->end)
		return false;
	if (!take(&r->p, r->end, out)) {
		r->error = ERR_INVALID_MESSAGE;
		return false;
	}
	return true;
}

uint32_t
ttlv_peek(const struct ttlv_reader *r)
{
	if (r->error != ERR_OK || (size_t)(r->end - r->p) < TTLV_HEADER)
		return 0;
	return load_u32(r->p) >> 8;
}

bool
ttlv_opt(struct ttlv_reader *r, uint32_t tag, enum ttlv_type type, struct ttlv *out)
{
	if (ttlv_peek(r) == tag && ttlv_next(r, out)) {
		if (out->type == type)
			return true;
		r->error = ERR_INVALID_MESSAGE;
	}
	*out = (struct ttlv){0};
	return false;
}

bool
ttlv_need(struct ttlv_reader *r, uint32_t tag, enum ttlv_type type, struct ttlv *out)
{
	if (ttlv_opt(r, tag, type, out))
		return true;
	if (r->error == ERR_OK)
		r->error = ERR_MISSING_DATA;
	return false;
}

enum err
ttlv_finish(struct ttlv_reader *r)
{
	struct ttlv t;

	while (ttlv_peek(r) >> 16 == TAG_BLOCK_EXTENSION)
		ttlv_next(r, &t);
	if (r->error == ERR_OK && r->p != r->end)
		r->error = ERR_INVALID_MESSAGE;
	return r->error;
}

/* Zero where there are too few bytes, so nothing here trusts a length. */
uint32_t
ttlv_uint(const struct ttlv *t)
{
	return t->len >= 4 ? load_u32(t->value) : 0;
}

int32_t
ttlv_int(const struct ttlv *t)
{
	return (int32_t)ttlv_uint(t);
}

int64_t
ttlv_long(const struct ttlv *t)
{
	return t->len >= 8 ? (int64_t)((uint64_t)load_u32(t->value) << 32 | load_u32(t->value + 4)) : 0;
}

bool
ttlv_bool(const struct ttlv *t)
{
	return ttlv_long(t) != 0;
}

bool
ttlv_is_text(const struct ttlv *t, const char *s)
{
	size_t len = strlen(s);

	return t->type == TTLV_TEXT && t->len == len && memcmp(t->value, s, len) == 0;
}

/* Header, room for the value, and padding of zeros; NULL on error. */
static uint8_t *
put_element(struct buf *b, uint32_t tag, enum ttlv_type type, size_t len)
{
	uint8_t *at = NULL;

	if (len <= UINT32_MAX)
		at = buf_extend(b, TTLV_HEADER + len + padding(len));
	else if (b->error == ERR_OK)
		b->error = ERR_RESPONSE_TOO_LARGE;
	if (at == NULL)
		return NULL;
	store_u32(at, tag << 8 | (uint32_t)type);
	store_u32(at + 4, (uint32_t)len);
	memset(at + TTLV_HEADER + len, 0, padding(len));
	return at + TTLV_HEADER;
}

size_t
ttlv_begin(struct buf *b, uint32_t tag)
{
	size_t mark = b->len;

	put_element(b, tag, TTLV_STRUCTURE, 0);
	return mark;
}

void
ttlv_end(struct buf *b, size_t mark)
{
	size_t len;

	if (buf_error(b) != ERR_OK)
		return;
	len = b->len - mark - TTLV_HEADER;
	if (len > UINT32_MAX)
		b->error = ERR_RESPONSE_TOO_LARGE;
	else
		store_u32(b->data + mark + 4, (uint32_t)len);
}

void
ttlv_put_raw(struct buf *b, uint32_t tag, enum ttlv_type type, const void *value, size_t len)
{
	uint8_t *at = put_element(b, tag, type, len);

	if (at != NULL && len > 0)
		memcpy(at, value, len);
}

static void
put_u32(struct buf *b, uint32_t tag, enum ttlv_type type, uint32_t v)
{
	uint8_t *at = put_element(b, tag, type, 4);

	if (at != NULL)
		store_u32(at, v);
}

static void
put_u64(struct buf *b, uint32_t tag, enum ttlv_type type, uint64_t v)
{
	uint8_t *at = put_element(b, tag, type, 8);

	if (at == NULL)
		return;
	store_u32(at, (uint32_t)(v >> 32));
	store_u32(at + 4, (uint32_t)v);
}

void
ttlv_put_int(struct buf *b, uint32_t tag, int32_t v)
{
	put_u32(b, tag, TTLV_INTEGER, (uint32_t)v);
}

void
ttlv_patch_int(struct buf *b, size_t at, int32_t v)
{
	if (buf_error(b) == ERR_OK)
		store_u32(b->data + at + TTLV_HEADER, (uint32_t)v);
}

void
ttlv_put_long(struct buf *b, uint32_t tag, int64_t v)
{
	put_u64(b, tag, TTLV_LONG, (uint64_t)v);
}

void
ttlv_put_enum(struct buf *b, uint32_t tag, uint32_t v)
{
	put_u32(b, tag, TTLV_ENUM, v);
}

void
ttlv_put_bool(struct buf *b, uint32_t tag, bool v)
{
	put_u64(b, tag, TTLV_BOOLEAN, v ? 1 : 0);
}

void
ttlv_put_text(struct buf *b, uint32_t tag, const char *s, size_t len)
{
	ttlv_put_raw(b, tag, TTLV_TEXT, s, len);
}

void
ttlv_put_bytes(struct buf *b, uint32_t tag, const void *data, size_t len)
{
	ttlv_put_raw(b, tag, TTLV_BYTES, data, len);
}

void
ttlv_put_date_time(struct buf *b, uint32_t tag, int64_t v)
{
	put_u64(b, tag, TTLV_DATE_TIME, (uint64_t)v);
}

void
ttlv_put_extended(struct buf *b, uint32_t tag, int64_t v)
{
	put_u64(b, tag, TTLV_DATE_TIME_EXTENDED, (uint64_t)v);
}

void
ttlv_put_interval(struct buf *b, uint32_t tag, uint32_t v)
{
	put_u32(b, tag, TTLV_INTERVAL, v);
}
