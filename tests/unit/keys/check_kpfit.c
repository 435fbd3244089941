/* SPDX-License-Identifier: Apache-2.0 */
/* Successors of records that cannot hold all attributes of their objects. */
#include <check.h>
#include <string.h>

#include "base/fault.h"
#include "kpcase.h"

static void
set(struct object *o, const char *name, uint32_t index, char fill, size_t len)
{
	uint8_t *value = arena_zalloc(rig->arena, len);

	memset(value, fill, len);
	ck_assert_int_eq(
	    object_attr_set(o, rig->arena, name, strlen(name), index, value, len), ERR_OK);
}

static const char *
long_text(size_t len)
{
	char *text = arena_zalloc(rig->arena, len + 1);

	memset(text, 't', len);
	return text;
}

/* A key that is stored with these, and then got more than any record can hold. */
static struct object *
overfull(void)
{
	struct object *o = kprig_object(rig, 256);

	set(o, OBJECT_FORM, 0, 'f', 40);
	set(o, "x-changed", 0, 'o', 300);
	set(o, "x-deleted", 0, 'o', 300);
	set(o, "x-kept", 0, 'o', 1000);
	ck_assert_int_eq(kprig_make(rig, o, NULL), ERR_OK);
	ck_assert_int_eq(kprig_store(rig, o), ERR_OK);
	set(o, "x-changed", 0, 'n', 8000);
	ck_assert(object_attr_remove(o, "x-deleted", 0));
	set(o, "Sensitive", 0, 's', 16);
	set(o, "Usage Limits", 0, 'u', 80);
	for (uint32_t i = 0; i < 200; i++)
		set(o, "x-a", i, 'a', 500);
	return o;
}

static struct object *
said(const struct object *o)
{
	struct object *was;

	ck_assert_int_eq(rig->vault->ops->recorded(o, rig->arena, &was), ERR_OK);
	return was;
}

static void
ck_instance(const struct object *o, const char *name, uint32_t index, char fill, size_t len)
{
	const struct object_attr *at = object_attr_get(o, name, index);

	ck_assert_msg(at != NULL, "no %s", name);
	ck_assert_uint_eq(at->value_len, len);
	ck_assert_int_eq(at->value[0], fill);
}

/* What decides is as it is now; the others as the record had them, then as many as fit. */
START_TEST(test_overfull_key_gets_a_successor)
{
	struct object *o = overfull();
	struct vault_find f = {.wait.done = NULL};
	struct secret *key = NULL;
	struct object *was;
	size_t had = o->attrs_count, first;

	ck_assert_int_eq(kprig_unwrap(rig, o, &key), ERR_OK);
	o->state = OBJECT_COMPROMISED;
	o->revocation_code = 2;
	o->revocation_text = "stolen";
	o->date[DATE_COMPROMISE] = 1234;
	o->usage_mask = 4;
	ck_assert_int_eq(kprig_make(rig, o, &key), ERR_OK);
	ck_assert_uint_eq(o->attrs_count, had);
	was = said(o);
	ck_assert_int_eq(was->state, OBJECT_COMPROMISED);
	ck_assert_uint_eq(was->revocation_code, 2);
	ck_assert_str_eq(was->revocation_text, "stolen");
	ck_assert_int_eq(was->date[DATE_COMPROMISE], 1234);
	ck_assert_uint_eq(was->usage_mask, 4);
	ck_instance(was, OBJECT_FORM, 0, 'f', 40);
	ck_instance(was, "Sensitive", 0, 's', 16);
	ck_instance(was, "Usage Limits", 0, 'u', 80);
	ck_instance(was, "x-changed", 0, 'o', 300);
	ck_instance(was, "x-kept", 0, 'o', 1000);
	ck_assert_ptr_null(object_attr_get(was, "x-deleted", 0));
	ck_instance(was, "x-a", 0, 'a', 500);
	ck_instance(was, "x-a", 7, 'a', 500);
	ck_assert_ptr_null(object_attr_get(was, "x-a", 20));
	ck_assert_int_eq(kprig_store(rig, o), ERR_OK);
	ck_assert_int_eq(kprig_unwrap(rig, o, NULL), ERR_OK);
	ck_assert_int_eq(kprig_find(rig, &f, o), ERR_OK);
	ck_assert_int_eq(f.object->state, OBJECT_COMPROMISED);
	first = was->attrs_count;
	ck_assert_int_eq(kprig_make(rig, o, &key), ERR_OK); /* and the same of that one */
	ck_assert_uint_eq(said(o)->attrs_count, first);
	secret_unref(key);
}
END_TEST

/* A message longer than a record is left out, before what is decisive and what the record had. */
START_TEST(test_message_of_any_length)
{
	struct object *o = overfull(), *plain = kpcase_key(), *was;

	o->revocation_code = plain->revocation_code = 2;
	o->revocation_text = plain->revocation_text = long_text(8192);
	o->state = plain->state = OBJECT_COMPROMISED;
	ck_assert_int_eq(kprig_make(rig, plain, NULL), ERR_OK);
	was = said(plain);
	ck_assert_uint_eq(was->revocation_code, 2);
	ck_assert_int_eq(was->state, OBJECT_COMPROMISED);
	ck_assert_ptr_null(was->revocation_text);
	for (size_t len = 8192; len > 0; len -= 256) {
		o->revocation_text = long_text(len);
		ck_assert_int_eq(kprig_make(rig, o, NULL), ERR_OK);
		was = said(o);
		ck_assert_int_eq(was->state, OBJECT_COMPROMISED);
		ck_instance(was, "Sensitive", 0, 's', 16);
		ck_instance(was, OBJECT_FORM, 0, 'f', 40);
	}
	ck_assert_str_eq(was->revocation_text, o->revocation_text);
}
END_TEST

static enum err
make_in(struct arena *a, struct object *o, bool whole)
{
	struct kpjob j = {false};
	struct vault_make m = {.wait = {.done = kpjob_done, .owner = &j},
	    .arena = a, .object = o, .whole = whole};

	rig->vault->ops->make(rig->vault, &m);
	kprig_run(rig, &j);
	secret_unref(m.key);
	return j.e;
}

/* Whatever is added, around the end of the room. */
START_TEST(test_every_size)
{
	static const uint8_t value[7510];
	struct object *o = kpcase_key(), *was;
	size_t most = 0;

	for (size_t len = 6800; len < sizeof(value); len += 7) {
		struct arena *a = arena_new(64 * 1024);
		struct object full = *o;

		full.attrs = NULL;
		ck_assert_int_eq(object_attr_set(&full, a, "x-a", 3, 0, value, len), ERR_OK);
		ck_assert_int_eq(make_in(a, &full, false), ERR_OK);
		ck_assert_int_eq(rig->vault->ops->recorded(&full, a, &was), ERR_OK);
		if (was->attrs_count > 0)
			most = len;
		arena_free(a);
	}
	ck_assert_uint_gt(most, 6800);
	ck_assert_uint_lt(most, 7500);
}
END_TEST

START_TEST(test_whole_or_not)
{
	ck_assert_int_eq(make_in(rig->arena, overfull(), true), ERR_TOO_MANY_ATTRIBUTES);
}
END_TEST

/* Without its form it would be served as what it is not. */
START_TEST(test_form_has_no_room)
{
	struct object *o = kpcase_key();

	set(o, OBJECT_FORM, 0, 'f', 7400);
	ck_assert_int_eq(kprig_make(rig, o, NULL), ERR_TOO_MANY_ATTRIBUTES);
}
END_TEST

START_TEST(test_no_memory)
{
	struct object *o = overfull();
	enum err e = ERR_NO_MEMORY;
	unsigned failed = 0;

	for (unsigned skip = 0; skip < 200 && e != ERR_OK; skip++) {
		struct arena *a = arena_new(1024 * 1024);
		struct object copy = *o;

		fault_test_arm(FAULT_ALLOC, skip, 1);
		e = make_in(a, &copy, false);
		fault_test_clear();
		failed += e == ERR_NO_MEMORY;
		ck_assert_int_ne(e, ERR_TOO_MANY_ATTRIBUTES);
		ck_assert(e == ERR_OK || copy.record == o->record);
		arena_free(a);
	}
	ck_assert_int_eq(e, ERR_OK);
	ck_assert_uint_gt(failed, 2);
}
END_TEST

static void
add(TCase *t)
{
	tcase_add_test(t, test_overfull_key_gets_a_successor);
	tcase_add_test(t, test_message_of_any_length);
	tcase_add_test(t, test_every_size);
	tcase_add_test(t, test_whole_or_not);
	tcase_add_test(t, test_form_has_no_room);
	tcase_add_test(t, test_no_memory);
}

int
main(void)
{
	return kpcase_main("kpfit", add);
}
