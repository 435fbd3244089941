/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes what an unauthenticated byte reaches first: the TTLV check, the request reader, and the
 * attributes of whatever structure holds some.  What passes the check must survive being written
 * again unchanged.
 */
#include <string.h>

#include "fuzz.h"
#include "kmip/attr.h"
#include "kmip/message.h"
#include "kmip/names.h"

/* 2.x takes any element as an attribute. */
static void
fuzz_attribute(struct ttlv_reader r, struct arena *arena, int version)
{
	struct kmip_attr a, again;
	struct ttlv root, stored;
	struct buf b;

	if (!kmip_attr_read(&r, arena, version, false, &a))
		return;
	(void)kmip_attr_flags(&a);
	if (kmip_attr_check(&a, version) != ERR_OK)
		return;
	buf_init(&b, 1 << 20);
	kmip_attr_pack_value(&b, &a.value);
	MUST(kmip_attr_unpack_value(b.data, b.len, &stored));
	MUST(stored.type == a.value.type && stored.len == a.value.len);
	buf_reset(&b);
	MUST(kmip_attr_write(&b, version, &a) && buf_error(&b) == ERR_OK);
	MUST(ttlv_check(b.data, b.len, KMIP_ELEMENTS_MAX, &root) == ERR_OK);
	r = (struct ttlv_reader){b.data, b.data + b.len, ERR_OK};
	MUST(kmip_attr_read(&r, arena, version, true, &again) && again.id == a.id);
	MUST(again.index == a.index && kmip_attr_check(&again, version) == ERR_OK);
	buf_fini(&b);
}

static void
fuzz_attributes(struct ttlv_reader r, int version)
{
	struct arena *arena = arena_new(1 << 16);
	struct kmip_attr a;

	MUST(arena != NULL);
	fuzz_attribute(r, arena, version);
	if (kmip_attr_take_reference(&r, arena, version, &a))
		MUST(a.id == ATTR_UNKNOWN || a.name_len > 0);
	arena_free(arena);
}

/* Walks and writes again; the nesting was bounded by the check. */
static void
copy(struct buf *b, const struct ttlv *t)
{
	struct ttlv_reader r;
	struct ttlv child;
	size_t mark;

	if (t->type != TTLV_STRUCTURE) {
		ttlv_put_raw(b, t->tag, t->type, t->value, t->len);
		return;
	}
	mark = ttlv_begin(b, t->tag);
	ttlv_enter(&r, t);
	while (r.error == ERR_OK && r.p != r.end) {
		for (size_t i = 0; i < kmip_versions_count; i++)
			if (kmip_attr_follows(&r, kmip_versions[i]))
				fuzz_attributes(r, kmip_versions[i]);
		MUST(ttlv_next(&r, &child));
		copy(b, &child);
	}
	MUST(ttlv_finish(&r) == ERR_OK);
	ttlv_end(b, mark);
}

static void
fuzz_request(const uint8_t *data, size_t size)
{
	static struct kmip_request rq;
	struct kmip_response rs;
	struct ttlv root;
	struct buf b;
	enum err e = kmip_request_read(&rq, data, size);
	int version = kmip_version_answered(rq.version);

	MUST(rq.count <= KMIP_ITEMS_MAX);
	MUST(e != ERR_OK || (rq.count > 0 && rq.version == version));
	buf_init(&b, 1 << 20);
	kmip_response_begin(&rs, &b, version, rq.time_stamp, 0);
	for (unsigned i = 0; i < rq.count; i++)
		kmip_response_item(&rs, rq.items[i].operation, &rq.items[i].ubid,
		    ERR_OP_UNSUPPORTED, version, NULL, 0);
	kmip_response_end(&rs);
	MUST(buf_error(&b) == ERR_OK);
	MUST(ttlv_check(b.data, b.len, KMIP_ELEMENTS_MAX, &root) == ERR_OK);
	buf_fini(&b);
	kmip_request_fini(&rq);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ttlv root;
	struct buf b;

	if (size > 1 << 16)
		return 0;
	if (size >= TTLV_HEADER)
		(void)ttlv_total(data, TAG_REQUEST_MESSAGE, TTLV_STRUCTURE);
	fuzz_request(data, size);
	if (ttlv_check(data, size, KMIP_ELEMENTS_MAX, &root) != ERR_OK)
		return 0;
	buf_init(&b, size);
	copy(&b, &root);
	MUST(buf_error(&b) == ERR_OK && b.len == size);
	MUST(memcmp(b.data, data, size) == 0);
	buf_fini(&b);
	return 0;
}
