/* SPDX-License-Identifier: Apache-2.0 */
/* Values made at random out of KMIP's tables. */
#include "values.h"

#include "../../../src/kmip/attr_wire.h"

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "kmip/names.h"

static uint64_t state = 1;

void
values_seed(uint64_t seed)
{
	state = seed;
}

uint64_t
values_first_seed(void)
{
	const char *given = getenv("KEYFERRY_SEED");
	uint64_t seed = given != NULL	       ? strtoull(given, NULL, 0)
	    : getenv("KEYFERRY_LONG") != NULL ? (uint64_t)time(NULL)
					       : 1;

	printf("KEYFERRY_SEED=%" PRIu64 "\n", seed);
	fflush(stdout);
	return seed;
}

uint32_t
values_below(uint32_t n)
{
	state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)((state >> 33) * (uint64_t)n >> 31);
}

/* A number that the enumeration has in that version. */
static uint32_t
known(uint32_t tag, int version)
{
	enum kmip_set set;
	uint32_t v;

	ck_assert_msg(kmip_set_of_tag(tag, &set), "%06x", (unsigned)tag);
	do
		v = values_below(4) == 0 ? values_below(0x120) : 1 + values_below(6);
	while (!kmip_value_known(set, v, version));
	return v;
}

void
values_put(struct buf *b, uint32_t tag, enum ttlv_type type, uint32_t values, int version)
{
	static const char letters[] = "abcdefghij klmnop-rstuvwxyz0123";

	switch (type) {
	case TTLV_INTEGER:
		ttlv_put_int(b, tag, (int32_t)(1 + values_below(1 << 20)));
		break;
	case TTLV_LONG:
		ttlv_put_long(b, tag, (int64_t)values_below(1 << 20) << 20);
		break;
	case TTLV_ENUM:
		ttlv_put_enum(b, tag, known(values != 0 ? values : tag, version));
		break;
	case TTLV_BOOLEAN:
		ttlv_put_bool(b, tag, values_below(2) == 1);
		break;
	case TTLV_TEXT:
		ttlv_put_text(b, tag, letters, values_below(sizeof(letters)));
		break;
	case TTLV_BYTES:
		ttlv_put_bytes(b, tag, letters, values_below(sizeof(letters)));
		break;
	case TTLV_DATE_TIME:
		ttlv_put_date_time(b, tag, (int64_t)values_below(1 << 23) << 8);
		break;
	case TTLV_DATE_TIME_EXTENDED:
		ttlv_put_extended(b, tag, (int64_t)values_below(1 << 23) << 30);
		break;
	case TTLV_INTERVAL:
		ttlv_put_interval(b, tag, values_below(1 << 20));
		break;
	case TTLV_STRUCTURE:
	case TTLV_BIG_INTEGER:
		ck_abort_msg("no value of type %d", (int)type);
	}
}

static void
put_structure(struct buf *b, const struct kmip_attr_info *info, int version)
{
	size_t count, mark = ttlv_begin(b, info->tag);
	const struct kmip_field *f = kmip_attr_fields(info->id, &count);

	ck_assert_ptr_nonnull(f);
	for (size_t i = 0; i < count; i++)
		if (f[i].since <= version && (f[i].required || values_below(2) == 0))
			values_put(b, f[i].tag, f[i].type, f[i].values, version);
	ttlv_end(b, mark);
}

struct ttlv
values_of(struct arena *arena, const struct kmip_attr_info *info, int version)
{
	struct ttlv t;
	struct buf b;

	buf_init(&b, 4096);
	if (info->type == TTLV_STRUCTURE)
		put_structure(&b, info, version);
	else
		values_put(&b, info->tag, info->type, 0, version);
	ck_assert_int_eq(ttlv_check(arena_copy(arena, b.data, b.len), b.len, 100, &t), ERR_OK);
	buf_fini(&b);
	return t;
}

void
values_copy(struct buf *b, const struct ttlv *t)
{
	struct ttlv_reader r;
	struct ttlv child;
	size_t mark;

	switch (t->type) {
	case TTLV_STRUCTURE:
		mark = ttlv_begin(b, t->tag);
		ttlv_enter(&r, t);
		while (ttlv_next(&r, &child))
			values_copy(b, &child);
		ck_assert_int_eq(r.error, ERR_OK);
		ttlv_end(b, mark);
		break;
	case TTLV_INTEGER:
		ttlv_put_int(b, t->tag, ttlv_int(t));
		break;
	case TTLV_LONG:
		ttlv_put_long(b, t->tag, ttlv_long(t));
		break;
	case TTLV_BIG_INTEGER:
		ttlv_put_raw(b, t->tag, t->type, t->value, t->len);
		break;
	case TTLV_ENUM:
		ttlv_put_enum(b, t->tag, ttlv_uint(t));
		break;
	case TTLV_BOOLEAN:
		ttlv_put_bool(b, t->tag, ttlv_bool(t));
		break;
	case TTLV_TEXT:
		ttlv_put_text(b, t->tag, (const char *)t->value, t->len);
		break;
	case TTLV_BYTES:
		ttlv_put_bytes(b, t->tag, t->value, t->len);
		break;
	case TTLV_DATE_TIME:
		ttlv_put_date_time(b, t->tag, ttlv_long(t));
		break;
	case TTLV_DATE_TIME_EXTENDED:
		ttlv_put_extended(b, t->tag, ttlv_long(t));
		break;
	case TTLV_INTERVAL:
		ttlv_put_interval(b, t->tag, ttlv_uint(t));
		break;
	}
}
