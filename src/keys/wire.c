/* SPDX-License-Identifier: Apache-2.0 */
/* Frames between the gateway and its storage child. */
#include "wire.h"

#include <string.h>

#include "base/alloc.h"

size_t
wire_begin(struct buf *b, uint64_t id, uint8_t second)
{
	size_t at = b->len;

	pack_u32(b, 0);
	pack_u64(b, id);
	pack_u8(b, second);
	return at;
}

static void
put_length(struct buf *b, size_t at, size_t len)
{
	for (int i = 0; i < 4; i++)
		b->data[at + (size_t)i] = (uint8_t)(len >> (8 * (3 - i)));
}

void
wire_end(struct buf *b, size_t at)
{
	if (buf_error(b) == ERR_OK)
		put_length(b, at, b->len - at - 4);
}

void
wire_undo(struct buf *b, size_t at)
{
	if (b->len > at)
		wipe(b->data + at, b->len - at);
	b->len = at;
	b->error = ERR_OK;
}

size_t
wire_take(const uint8_t *data, size_t len, uint64_t *id, uint8_t *second, struct unpack *body,
    bool *bad)
{
	struct unpack u;
	size_t size;

	*bad = false;
	if (len < 4)
		return 0;
	unpack_init(&u, data, len);
	size = unpack_u32(&u);
	if (size < WIRE_HEAD - 4 || size > WIRE_FRAME_MAX) {
		*bad = true;
		return 0;
	}
	if (len - 4 < size)
		return 0;
	*id = unpack_u64(&u);
	*second = unpack_u8(&u);
	unpack_init(body, u.p, size - (WIRE_HEAD - 4));
	return size + 4;
}

void
wire_pack_find(struct buf *b, const struct ledger_find *f)
{
	pack_text(b, f->tenant);
	pack_u64(b, (uint64_t)f->now);
	pack_u8(b, f->include_destroyed);
	pack_u8(b, f->only_destroyed);
	pack_u8(b, f->no_online);
	pack_u8(b, f->no_archived);
	pack_u8(b, f->no_total);
	pack_text(b, f->after != NULL ? f->after : "");
	pack_u32(b, f->offset);
	pack_u32(b, f->max);
	pack_u32(b, (uint32_t)f->terms_count);
	for (size_t i = 0; i < f->terms_count; i++) {
		const struct ledger_term *t = &f->terms[i];

		pack_u32(b, t->field);
		pack_u8(b, (uint8_t)t->match);
		pack_u64(b, (uint64_t)t->number);
		pack_text(b, t->name);
		pack_bytes(b, t->value, t->value_len);
	}
}

/* The object is packed in place, behind a length that is known only afterwards. */
static void
pack_change(struct buf *b, const struct change *c)
{
	size_t at;

	pack_u8(b, (uint8_t)c->kind);
	at = b->len;
	pack_u32(b, 0);
	object_pack(b, c->object);
	if (buf_error(b) == ERR_OK)
		put_length(b, at, b->len - at - 4);
}

void
wire_pack_changes(struct buf *b, const struct ledger_changes *c)
{
	pack_u64(b, c->owner);
	pack_u32(b, (uint32_t)c->count);
	for (size_t i = 0; i < c->count; i++)
		pack_change(b, &c->changes[i]);
}
