/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Growing bytes with a ceiling, wiped on free.  Errors are sticky: after a failed append
 * (ceiling or memory) nothing more is added and buf_error() says why.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct buf {
	uint8_t *data;
	size_t len, cap, max;
	enum err error;
};

/* max: the most bytes it may ever hold.  Allocates nothing yet. */
void buf_init(struct buf *b, size_t max);
/* Wipes and frees the bytes; the ceiling stays, the buffer can be used again. */
void buf_fini(struct buf *b);
/* Forgets the bytes (wiping them) and the error, keeps the memory. */
void buf_reset(struct buf *b);

void buf_put(struct buf *b, const void *data, size_t len);
/* Returns where len more bytes may be written (already counted in len), or NULL on error. */
uint8_t *buf_extend(struct buf *b, size_t len);
/* Makes room for len more bytes without counting them, so that an I/O call may fill them. */
CHECKED enum err buf_reserve(struct buf *b, size_t len);
/* Drops len bytes from the front. */
void buf_consume(struct buf *b, size_t len);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static inline enum err
buf_error(const struct buf *b)
{
	return b->error;
}

#endif
