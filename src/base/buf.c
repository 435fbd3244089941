/* SPDX-License-Identifier: Apache-2.0 */
/* Growing bytes with a ceiling. */
#include "base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/spare.h"
#include "poison.h"

enum { BUF_FIRST = 512, SPARES_MAX = 256 };

/* Most never grow beyond the first size, and a request has four of them. */
static struct spares firsts = SPARES(BUF_FIRST, SPARES_MAX);

static void *
new_block(size_t size)
{
	uint8_t *b;

	if (size > BUF_FIRST)
		return alloc_bytes(size);
	b = spare_take(&firsts);
	if (b != NULL)
		POISON(b + size, BUF_FIRST - size); /* behind the ceiling of a small buffer */
	return b;
}

static void
drop_block(uint8_t *b, size_t size)
{
	if (b == NULL || size > BUF_FIRST) {
		alloc_free(b);
		return;
	}
	UNPOISON(b + size, BUF_FIRST - size);
	spare_give(&firsts, b, size);
}

void
buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){.max = max};
}

void
buf_fini(struct buf *b)
{
	drop_block(b->data, b->cap);
	buf_init(b, b->max);
}

void
buf_reset(struct buf *b)
{
	wipe(b->data, b->len);
	b->len = 0;
	b->error = ERR_OK;
}

enum err
buf_reserve(struct buf *b, size_t len)
{
	size_t cap;
	uint8_t *data;

	if (b->error != ERR_OK)
		return b->error;
	if (len > b->max - b->len)
		return b->error = ERR_RESPONSE_TOO_LARGE;
	if (len <= b->cap - b->len)
		return ERR_OK;
	cap = b->cap > 0 ? b->cap : BUF_FIRST;
	while (cap < b->len + len)
		cap = cap > b->max / 2 ? b->max : 2 * cap;
	if (cap > b->max)
		cap = b->max;
	data = b->data == NULL ? new_block(cap) : alloc_resize(b->data, cap);
	if (data == NULL)
		return b->error = ERR_NO_MEMORY;
	b->data = data;
	b->cap = cap;
	return ERR_OK;
}

uint8_t *
buf_extend(struct buf *b, size_t len)
{
	uint8_t *at;

	if ((b->error != ERR_OK || len > b->cap - b->len) && buf_reserve(b, len) != ERR_OK)
		return NULL;
	if (b->data == NULL)
		return NULL;
	at = b->data + b->len;
	b->len += len;
	return at;
}

void
buf_put(struct buf *b, const void *data, size_t len)
{
	uint8_t *at = len > 0 ? buf_extend(b, len) : NULL;

	if (at != NULL)
		memcpy(at, data, len);
}

void
buf_consume(struct buf *b, size_t len)
{
	size_t rest = b->len - len;

	assert(len <= b->len);
	if (len == 0)
		return;
	memmove(b->data, b->data + len, rest);
	wipe(b->data + rest, len);
	b->len = rest;
}

void
buf_printf(struct buf *b, const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(text)) {
		b->error = b->error != ERR_OK ? b->error : ERR_INTERNAL;
		return;
	}
	buf_put(b, text, (size_t)n);
}
