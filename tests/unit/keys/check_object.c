/* SPDX-License-Identifier: Apache-2.0 */
/* Objects: attributes in order, deep copies, packing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "keys/object.h"

static struct arena *arena;

static void
setup(void)
{
	arena = arena_new(4 << 20);
}

static void
teardown(void)
{
	arena_free(arena);
}

static enum err
set(struct object *o, const char *name, uint32_t index, const char *value)
{
	return object_attr_set(o, arena, name, strlen(name), index, (const uint8_t *)value,
	    strlen(value));
}

static struct object *
sample(void)
{
	struct object *o = arena_zalloc(arena, sizeof(*o));

	strcpy(o->tenant, "t");
	strcpy(o->uid, "0190b0a0-0000-7000-8000-000000000001");
	o->revision = 7;
	o->type = 2;
	o->state = OBJECT_COMPROMISED;
	o->algorithm = 3;
	o->length = 256;
	o->usage_mask = 12;
	for (int i = 0; i < DATE_COUNT; i++)
		o->date[i] = i % 2 == 0 ? NO_DATE : 1000 + i;
	o->date[DATE_COMPROMISE] = -5; /* before 1970 */
	o->revocation_code = 2;
	o->revocation_text = "lost";
	memset(o->digest, 0xab, sizeof(o->digest));
	o->record = (const uint8_t *)"rec\0ord";
	o->record_len = 7;
	ck_assert_int_eq(set(o, "x-b", 1, "two"), ERR_OK);
	ck_assert_int_eq(set(o, "x-b", 0, "one"), ERR_OK);
	ck_assert_int_eq(set(o, "Name", 0, "n"), ERR_OK);
	return o;
}

static void
pack(struct buf *b, const struct object *o)
{
	buf_init(b, 1 << 20);
	object_pack(b, o);
	ck_assert_int_eq(buf_error(b), ERR_OK);
}

static struct object *
unpacked(const struct buf *b)
{
	struct object *o = NULL;

	ck_assert_int_eq(object_unpack(b->data, b->len, arena, &o), ERR_OK);
	return o;
}

START_TEST(test_attrs_order)
{
	struct object *o = sample();

	ck_assert_uint_eq(o->attrs_count, 3);
	ck_assert_str_eq(o->attrs[0].name, "Name");
	ck_assert_uint_eq(o->attrs[1].index, 0);
	ck_assert_uint_eq(o->attrs[2].index, 1);
	ck_assert_int_eq(set(o, "x-b", 0, "changed"), ERR_OK);
	ck_assert_uint_eq(o->attrs_count, 3);
	ck_assert_uint_eq(object_attr_get(o, "x-b", 0)->value_len, 7);
	ck_assert_ptr_null(object_attr_get(o, "X-b", 0));
	ck_assert(object_attr_remove(o, "x-b", 0));
	ck_assert(!object_attr_remove(o, "x-b", 0));
	ck_assert_uint_eq(object_attr_get(o, "x-b", 1)->value_len, 3);
}
END_TEST

START_TEST(test_attrs_ceiling)
{
	struct object *o = sample();

	o->attrs_count = 0;
	for (uint32_t i = 0; i < OBJECT_ATTRS_MAX; i++)
		ck_assert_int_eq(set(o, "x-a", i, "v"), ERR_OK);
	ck_assert_int_eq(set(o, "x-a", OBJECT_ATTRS_MAX, "v"), ERR_TOO_MANY_ATTRIBUTES);
	ck_assert_int_eq(set(o, "x-a", 3, "w"), ERR_OK);
	ck_assert_uint_eq(o->attrs_count, OBJECT_ATTRS_MAX);
}
END_TEST

START_TEST(test_copy_is_deep)
{
	struct object *o = sample(), *c = object_copy(arena, o);

	ck_assert_ptr_nonnull(c);
	ck_assert_int_eq(set(c, "x-b", 0, "other"), ERR_OK);
	ck_assert(object_attr_remove(c, "Name", 0));
	ck_assert_uint_eq(o->attrs_count, 3);
	ck_assert_mem_eq(object_attr_get(o, "x-b", 0)->value, "one", 3);
	ck_assert_ptr_ne(c->record, o->record);
	ck_assert_ptr_ne(c->revocation_text, o->revocation_text);
}
END_TEST

START_TEST(test_pack_unpack)
{
	struct object *o = sample(), *c;
	struct buf b, again;

	pack(&b, o);
	c = unpacked(&b);
	ck_assert_str_eq(c->revocation_text, "lost");
	ck_assert_int_eq(c->date[DATE_COMPROMISE], -5);
	ck_assert_int_eq(c->date[DATE_INITIAL], NO_DATE);
	pack(&again, c);
	ck_assert_uint_eq(again.len, b.len);
	ck_assert_mem_eq(again.data, b.data, b.len);
	buf_fini(&again);
	o->record = NULL;
	o->revocation_text = NULL;
	buf_reset(&b);
	object_pack(&b, o);
	c = unpacked(&b);
	ck_assert_ptr_null(c->record);
	ck_assert_ptr_null(c->revocation_text);
	buf_fini(&b);
}
END_TEST

/* What the first release packed had no Archive Date. */
START_TEST(test_unpack_fewer_dates)
{
	enum { AT = 1 + 5 + 40 + 8 + 4 + 1 + 4 + 4 + 4, FEWER = DATE_ARCHIVE };
	struct object *o = sample(), *c;
	struct buf b;

	o->date[DATE_ARCHIVE] = 77;
	pack(&b, o);
	ck_assert_int_eq(unpacked(&b)->date[DATE_ARCHIVE], 77);
	ck_assert_uint_eq(b.data[AT], DATE_COUNT);
	b.data[AT] = FEWER;
	memmove(b.data + AT + 1 + 8 * FEWER, b.data + AT + 1 + 8 * DATE_COUNT,
	    b.len - AT - 1 - 8 * DATE_COUNT);
	b.len -= 8 * (DATE_COUNT - FEWER);
	c = unpacked(&b);
	ck_assert_int_eq(c->date[DATE_ORIGINAL_CREATION], o->date[DATE_ORIGINAL_CREATION]);
	ck_assert_int_eq(c->date[DATE_ARCHIVE], NO_DATE);
	ck_assert_uint_eq(c->attrs_count, o->attrs_count);
	b.data[AT] = DATE_COUNT + 1;
	ck_assert_int_eq(object_unpack(b.data, b.len, arena, &c), ERR_CORRUPT);
	buf_fini(&b);
}
END_TEST

START_TEST(test_unpack_cut)
{
	struct object *c;
	struct buf b;

	pack(&b, sample());
	for (size_t len = 0; len < b.len; len++) {
		uint8_t *exact = malloc(len > 0 ? len : 1); /* so that a read past it shows */

		memcpy(exact, b.data, len);
		ck_assert_int_eq(object_unpack(exact, len, arena, &c), ERR_CORRUPT);
		free(exact);
	}
	buf_fini(&b);
}
END_TEST

START_TEST(test_unpack_refuses)
{
	struct object *o = sample(), *c;
	struct object_attr swap;
	struct buf b;

	pack(&b, o);
	b.data[0] = 2; /* a later version */
	ck_assert_int_eq(object_unpack(b.data, b.len, arena, &c), ERR_CORRUPT);
	buf_fini(&b);
	swap = o->attrs[0];
	o->attrs[0] = o->attrs[1];
	o->attrs[1] = swap;
	pack(&b, o);
	ck_assert_int_eq(object_unpack(b.data, b.len, arena, &c), ERR_CORRUPT);
	buf_fini(&b);
	o = sample();
	o->state = (enum object_state)9;
	pack(&b, o);
	ck_assert_int_eq(object_unpack(b.data, b.len, arena, &c), ERR_CORRUPT);
	buf_fini(&b);
}
END_TEST

/* Whatever it is that there is no memory for: the bytes are not called damaged for it. */
START_TEST(test_unpack_without_memory)
{
	enum err e = ERR_NO_MEMORY;
	struct object *c = NULL;
	struct arena *a;
	struct buf b;
	size_t room;

	pack(&b, sample());
	for (room = 0; e != ERR_OK; room++) {
		ck_assert_int_eq(e, ERR_NO_MEMORY);
		ck_assert_ptr_null(c);
		a = arena_exact(room);
		ck_assert_ptr_nonnull(a);
		e = object_unpack(b.data, b.len, a, &c);
		arena_free(a);
	}
	ck_assert_uint_gt(room, sizeof(*c));
	buf_fini(&b);
}
END_TEST

START_TEST(test_state_by_dates)
{
	static const struct {
		enum object_state stored;
		int64_t activation, deactivation;
		enum object_state at_100;
	} cases[] = {
	    {OBJECT_PRE_ACTIVE, NO_DATE, NO_DATE, OBJECT_PRE_ACTIVE},
	    {OBJECT_PRE_ACTIVE, 101, NO_DATE, OBJECT_PRE_ACTIVE},
	    {OBJECT_PRE_ACTIVE, 100, NO_DATE, OBJECT_ACTIVE},
	    {OBJECT_PRE_ACTIVE, 50, 101, OBJECT_ACTIVE},
	    {OBJECT_PRE_ACTIVE, 50, 100, OBJECT_DEACTIVATED},
	    {OBJECT_PRE_ACTIVE, NO_DATE, 50, OBJECT_PRE_ACTIVE}, /* it never became Active */
	    {OBJECT_ACTIVE, 50, NO_DATE, OBJECT_ACTIVE},
	    {OBJECT_ACTIVE, 50, 101, OBJECT_ACTIVE},
	    {OBJECT_ACTIVE, 50, 100, OBJECT_DEACTIVATED},
	    {OBJECT_DEACTIVATED, 50, 101, OBJECT_DEACTIVATED},
	    {OBJECT_COMPROMISED, 50, 60, OBJECT_COMPROMISED},
	    {OBJECT_DESTROYED, 50, 60, OBJECT_DESTROYED},
	    {OBJECT_DESTROYED_COMPROMISED, 50, 60, OBJECT_DESTROYED_COMPROMISED},
	};
	struct object *o = sample();

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		o->state = cases[i].stored;
		o->date[DATE_ACTIVATION] = cases[i].activation;
		o->date[DATE_DEACTIVATION] = cases[i].deactivation;
		ck_assert_msg(object_state_at(o, 100) == cases[i].at_100, "case %zu", i);
		ck_assert_int_eq(o->state, cases[i].stored);
	}
}
END_TEST

/* Whatever the ledger took is found again, however badly it fits into the arena's blocks. */
START_TEST(test_largest_fits_its_arena)
{
	static const size_t sizes[] = {8, 520, 1000, 1800, 1980, 2004, 2040, 3000, 4000, 8192};
	enum { NAME_MAX_LEN = 256, TEXT = 8192, RECORD = 500 };
	const size_t size = sizes[_i / 3], name_len = _i % 3 == 0 ? 8 : _i % 3 == 1 ? 40 : NAME_MAX_LEN;
	size_t n = (OBJECT_SIZE_MAX - RECORD) / size;
	struct object *o = sample(), *out = NULL;
	struct arena *a = arena_new(OBJECT_ARENA_MAX);
	char name[NAME_MAX_LEN + 1], *text = arena_zalloc(arena, TEXT + 1);
	struct buf b;

	o->attrs_count = 0;
	memset(text, 'x', TEXT);
	o->revocation_text = text;
	o->record = arena_zalloc(arena, RECORD);
	o->record_len = RECORD;
	for (size_t i = 0; i < n && i < OBJECT_ATTRS_MAX; i++) {
		memset(name, 'x', name_len);
		snprintf(name, sizeof(name), "%03zu", i);
		name[3] = 'x';
		ck_assert_int_eq(object_attr_set(o, arena, name, name_len, 0, arena_zalloc(arena, size),
		    size), ERR_OK);
	}
	pack(&b, o);
	ck_assert_int_eq(object_unpack(b.data, b.len, a, &out), ERR_OK);
	ck_assert_uint_eq(out->attrs_count, o->attrs_count);
	buf_fini(&b);
	arena_free(a);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("object");
	TCase *t = tcase_create("object");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_attrs_order);
	tcase_add_test(t, test_attrs_ceiling);
	tcase_add_test(t, test_copy_is_deep);
	tcase_add_test(t, test_pack_unpack);
	tcase_add_test(t, test_unpack_fewer_dates);
	tcase_add_test(t, test_unpack_cut);
	tcase_add_test(t, test_unpack_refuses);
	tcase_add_test(t, test_unpack_without_memory);
	tcase_add_test(t, test_state_by_dates);
	tcase_add_loop_test(t, test_largest_fits_its_arena, 0, 30);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
