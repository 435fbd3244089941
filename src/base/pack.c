/* SPDX-License-Identifier: Apache-2.0 */
/* The binary form between processes of ours. */
#include "base/pack.h"

#include <endian.h>
#include <string.h>

void
pack_u8(struct buf *b, uint8_t v)
{
	buf_put(b, &v, sizeof(v));
}

void
pack_u32(struct buf *b, uint32_t v)
{
	v = htobe32(v);
	buf_put(b, &v, sizeof(v));
}

void
pack_u64(struct buf *b, uint64_t v)
{
	v = htobe64(v);
	buf_put(b, &v, sizeof(v));
}

void
pack_bytes(struct buf *b, const void *data, size_t len)
{
	if (len > UINT32_MAX) {
		b->error = b->error != ERR_OK ? b->error : ERR_INTERNAL;
		return;
	}
	pack_u32(b, (uint32_t)len);
	buf_put(b, data, len);
}

void
pack_text(struct buf *b, const char *s)
{
	pack_bytes(b, s, s != NULL ? strlen(s) : 0);
}

void
unpack_init(struct unpack *u, const void *data, size_t len)
{
	u->p = data != NULL ? data : (const uint8_t *)"";
	u->end = u->p + len;
	u->bad = false;
}

/* The one place that compares with what is left. */
static const uint8_t *
take(struct unpack *u, size_t len)
{
	const uint8_t *at = u->p;

	if (u->bad || len > (size_t)(u->end - u->p)) {
		u->bad = true;
		return NULL;
	}
	u->p += len;
	return at;
}

uint8_t
unpack_u8(struct unpack *u)
{
	const uint8_t *at = take(u, 1);

	return at != NULL ? *at : 0;
}

uint32_t
unpack_u32(struct unpack *u)
{
	const uint8_t *at = take(u, 4);
	uint32_t v = 0;

	if (at != NULL)
		memcpy(&v, at, sizeof(v));
	return be32toh(v);
}

uint64_t
unpack_u64(struct unpack *u)
{
	const uint8_t *at = take(u, 8);
	uint64_t v = 0;

	if (at != NULL)
		memcpy(&v, at, sizeof(v));
	return be64toh(v);
}

const uint8_t *
unpack_bytes(struct unpack *u, size_t *len)
{
	size_t n = unpack_u32(u);
	const uint8_t *at = take(u, n);

	*len = at != NULL ? n : 0;
	return at != NULL ? at : (const uint8_t *)"";
}

void
unpack_text(struct unpack *u, char *out, size_t size)
{
	size_t len;
	const uint8_t *at = unpack_bytes(u, &len);

	if (len >= size || memchr(at, 0, len) != NULL) {
		u->bad = true;
		len = 0;
	}
	memcpy(out, at, len);
	out[len] = '\0';
}

bool
unpack_done(const struct unpack *u)
{
	return !u->bad && u->p == u->end;
}
