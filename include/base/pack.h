/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plain binary form that processes of ours exchange and that envelopes are made of:
 * big-endian integers, byte strings with a 32-bit length.  Both sides have sticky errors.
 */
#ifndef BASE_PACK_H
#define BASE_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

void pack_u8(struct buf *b, uint8_t v);
void pack_u32(struct buf *b, uint32_t v);
void pack_u64(struct buf *b, uint64_t v);
void pack_bytes(struct buf *b, const void *data, size_t len);
void pack_text(struct buf *b, const char *s);	/* NULL is packed as "" */

struct unpack {
	const uint8_t *p, *end;
	bool bad; /* something did not fit; all reads since returned zero or empty */
};

void unpack_init(struct unpack *u, const void *data, size_t len);
uint8_t unpack_u8(struct unpack *u);
uint32_t unpack_u32(struct unpack *u);
uint64_t unpack_u64(struct unpack *u);
/* Points into the input; *len is 0 and the result "" after an error. */
const uint8_t *unpack_bytes(struct unpack *u, size_t *len);
/* Copies text of at most size-1 bytes; anything longer or with a NUL inside is an error. */
void unpack_text(struct unpack *u, char *out, size_t size);
/* True when everything fitted and nothing is left over. */
bool unpack_done(const struct unpack *u);

#endif
