/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of adopting and looking up begin with. */
#include "adoptcase.h"

#include <string.h>

#include <check.h>

#include "base/clock.h"

struct adoptfake fake;
struct rig rig;

static void
answer(struct vault_find *f)
{
	bool late = f->terms.deadline != 0 && f->terms.deadline <= clock_now();
	enum err e = late ? ERR_DEADLINE : fake.e;

	if (e == ERR_OK) {
		f->object = object_copy(f->arena, fake.found);
		f->key = NULL;
	}
	f->withdrawn = fake.withdrawn;
	f->unopened = fake.found;
	wait_finish_soon(rig.loop, &f->wait, e);
}

static void
fake_cancel(struct wait *w)
{
	for (unsigned i = 0; i < fake.held_count; i++)
		if (w == &fake.held[i]->wait)
			fake.held[i] = fake.held[--fake.held_count];
}

static void
fake_find(struct vault *v, struct vault_find *f)
{
	ck_assert_ptr_eq(v, &fake.vault);
	fake.finds++;
	fake.expected = f->expected;
	fake.background = f->terms.background;
	fake.last_words = f->last_words;
	if (!fake.holds) {
		answer(f);
		return;
	}
	f->wait.cancel = fake_cancel;
	ck_assert_uint_lt(fake.held_count, HELD_MAX);
	fake.held[fake.held_count++] = f;
}

void
release(void)
{
	ck_assert_uint_gt(fake.held_count, 0);
	while (fake.held_count > 0)
		answer(fake.held[--fake.held_count]);
}

uint64_t
fake_sequence(const struct object *o)
{
	uint64_t n = 0;

	if (o->record_len == sizeof(n))
		memcpy(&n, o->record, sizeof(n));
	return n;
}

static int
fake_order(const struct object *a, const struct object *b)
{
	uint64_t as = fake_sequence(a), bs = fake_sequence(b);

	return as > bs ? 1 : as < bs ? -1 : 0;
}

const struct vault_ops fake_ops = {
    .name = "fake", .find = fake_find, .sequence = fake_sequence, .order = fake_order};

void
setup(void)
{
	clock_test_freeze(1760000000);
	rig_init(&rig);
	rig_start(&rig);
	memset(&fake, 0, sizeof(fake));
	fake.vault.ops = &fake_ops;
}

void
teardown(void)
{
	rig_fini(&rig);
}

struct object *
shown(const struct object *as, uint64_t sequence, enum object_state state)
{
	struct object *o = object_copy(rig.arena, as);

	ck_assert_ptr_nonnull(o);
	o->revision = 0;
	o->state = state;
	o->record = arena_copy(rig.arena, (const uint8_t *)&sequence, sizeof(sequence));
	o->record_len = sizeof(sequence);
	fake.e = ERR_OK;
	return fake.found = o;
}

struct object *
known(uint64_t sequence, enum object_state state, const char *name)
{
	struct object *o = shown(rig_object(&rig, "a", name), sequence, state);
	struct change change = {CHANGE_ADOPT, o};
	struct ledger_changes c = {.changes = &change, .count = 1};
	struct outcome out;
	enum err e;

	rig_begin(&c.wait, &out);
	rig.ledger->ops->commit(rig.ledger, &c);
	ck_assert_int_eq(rig_end(&rig, &out), ERR_OK);
	o = rig_load(&rig, "a", o->uid, &e);
	ck_assert_int_eq(e, ERR_OK);
	return o;
}

struct object *
stored(const struct object *o)
{
	enum err e;
	struct object *got = rig_load(&rig, "a", o->uid, &e);

	ck_assert_int_eq(e, ERR_OK);
	return got;
}
