/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of this layer share. */
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <check.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/secret.h"
#include "kprecord.h"

void
rig_remove(const char *dir)
{
	char command[160];

	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	ck_assert_int_eq(system(command), 0);
}

void
rig_init(struct rig *r)
{
	bool locked;

	memset(r, 0, sizeof(*r));
	ck_assert_int_eq(secret_heap_init(1 << 20, true, &locked), ERR_OK);
	strcpy(r->dir, "/tmp/keyferry-keys.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(r->dir));
	snprintf(r->state, sizeof(r->state), "%s/state", r->dir);
	snprintf(r->root, sizeof(r->root), "%s/root", r->dir);
	ck_assert_int_eq(mkdir(r->state, 0700), 0);
	ck_assert_int_eq(vault_local_make_root_key(r->root), ERR_OK);
	r->timeout_ns = 60 * NS_PER_S;
	r->loop = loop_new();
	r->arena = arena_new(256 << 20);
	ck_assert_ptr_nonnull(r->loop);
	ck_assert_ptr_nonnull(r->arena);
}

/* _exit(), so that check's and the sanitizer's own ends are left to the parent. */
pid_t
rig_fork_child(void *rig, int fd, enum store_part part)
{
	struct rig *r = rig;
	pid_t pid = fork();

	if (pid == 0)
		_exit(store_child_main(fd, r->state, part));
	fault_test_clear(); /* what was armed is for this child alone */
	return pid;
}

static void
on_event(void *arg, const char *what, int64_t number, const char *why)
{
	struct rig *r = arg;

	if (strcmp(what, "copying") == 0) {
		ck_assert_int_ge(number, 1);
		ck_assert_int_le(number, 99);
		r->percent = (int)number;
		r->copying++;
	}
	if (why[0] != '\0')
		snprintf(r->why, sizeof(r->why), "%s: %s: %s", what, err_name((enum err)number), why);
	r->made += strcmp(what, "made") == 0;
	r->migrating += strcmp(what, "migrating") == 0;
	r->restarted += strcmp(what, "restarted") == 0;
	r->ended += strcmp(what, "ended") == 0;
	r->reader_restarted += strcmp(what, "reader restarted") == 0;
	r->reader_ended += strcmp(what, "reader ended") == 0;
	r->refused += strcmp(what, "refused") == 0;
	r->alone += strcmp(what, "reader serves alone") == 0;
	r->orphaned += strcmp(what, "orphaned") == 0;
	r->failing += strcmp(what, "failing") == 0;
	r->writing += strcmp(what, "writing") == 0;
}

enum err
rig_try_start(struct rig *r, const char **why)
{
	const struct store_params p = {
	    .state_dir = r->state,
	    .spawn = r->spawn != NULL ? r->spawn : rig_fork_child,
	    .arg = r,
	    .call_timeout_ns = r->timeout_ns,
	    .event = on_event,
	};
	enum err e = store_open(&r->store, r->loop, &p, why);

	if (e != ERR_OK)
		return e;
	r->ledger = ledger_sqlite_new(r->store);
	ck_assert_ptr_nonnull(r->ledger);
	e = vault_local_new(&r->vault, r->store, r->loop, r->root, why);
	ck_assert_msg(e == ERR_OK, "%s: %s", err_name(e), *why);
	return ERR_OK;
}

void
rig_start(struct rig *r)
{
	const char *why = "";
	enum err e = rig_try_start(r, &why);

	ck_assert_msg(e == ERR_OK, "%s: %s", err_name(e), why);
}

void
rig_stop(struct rig *r)
{
	if (r->store == NULL)
		return;
	store_close(r->store);
	r->ledger->ops->free(r->ledger);
	r->vault->ops->free(r->vault);
	r->store = NULL;
}

void
rig_fini(struct rig *r)
{
	rig_stop(r);
	arena_free(r->arena);
	loop_free(r->loop);
	rig_remove(r->dir);
}

static void
on_done(struct wait *w, enum err e)
{
	struct outcome *o = w->owner;

	ck_assert(!o->done);
	o->done = true;
	o->e = e;
}

void
rig_begin(struct wait *w, struct outcome *o)
{
	o->done = false;
	w->owner = o;
	w->done = on_done;
}

enum err
rig_end(struct rig *r, struct outcome *o)
{
	while (!o->done) {
		if (r->pump != NULL)
			r->pump(r);
		loop_turn(r->loop, r->pump == NULL);
	}
	return o->e;
}

struct object *
rig_object(struct rig *r, const char *tenant, const char *name)
{
	struct object *o = arena_zalloc(r->arena, sizeof(*o));
	struct vault_make make = {.arena = r->arena, .object = o};
	struct outcome out;

	ck_assert_ptr_nonnull(o);
	strcpy(o->tenant, tenant);
	ck_assert_int_eq(text_uuid7(o->uid), ERR_OK);
	o->type = 2;
	o->state = OBJECT_PRE_ACTIVE;
	o->algorithm = 3;
	o->length = 256;
	o->usage_mask = 12;
	for (int i = 0; i < DATE_COUNT; i++)
		o->date[i] = NO_DATE;
	o->date[DATE_INITIAL] = o->date[DATE_LAST_CHANGE] = clock_wall();
	if (name != NULL)
		ck_assert_int_eq(object_attr_set(o, r->arena, "Name", 4, 0,
		    (const uint8_t *)name, strlen(name)), ERR_OK);
	rig_begin(&make.wait, &out);
	r->vault->ops->make(r->vault, &make);
	ck_assert_int_eq(rig_end(r, &out), ERR_OK);
	secret_unref(make.key);
	return o;
}

void
rig_pad(struct rig *r, struct object *o)
{
	ck_assert_int_eq(object_attr_set(o, r->arena, "x-pad", 5, 0, arena_zalloc(r->arena, 8000), 8000),
	    ERR_OK);
}

enum err
rig_prepare(struct rig *r, struct ledger_changes *c)
{
	struct outcome out;

	rig_begin(&c->wait, &out);
	r->ledger->ops->prepare(r->ledger, c);
	return rig_end(r, &out);
}

enum err
rig_commit(struct rig *r, struct ledger_changes *c)
{
	struct outcome out;

	rig_begin(&c->wait, &out);
	r->ledger->ops->commit(r->ledger, c);
	return rig_end(r, &out);
}

enum err
rig_vault(struct rig *r, void (*op)(struct vault *, struct vault_change *), const struct object *o)
{
	struct vault_change v = {.object = o};
	struct outcome out;

	rig_begin(&v.wait, &out);
	op(r->vault, &v);
	return rig_end(r, &out);
}

void
rig_as_in_keyprotect(struct rig *r, struct object *o)
{
	struct buf clear;

	buf_init(&clear, OBJECT_SIZE_MAX);
	envelope_pack_clear(&clear, o, 1);
	ck_assert_int_eq(kprecord_make(o, r->arena, &clear, "root", "wrapped"), ERR_OK);
	buf_fini(&clear);
}

enum err
rig_create(struct rig *r, struct object *o)
{
	struct change change = {.kind = CHANGE_INSERT, .object = o};
	struct ledger_changes c = {.changes = &change, .count = 1};
	enum err e = rig_prepare(r, &c);

	if (e == ERR_OK)
		e = rig_vault(r, r->vault->ops->store, o);
	if (e == ERR_OK)
		e = rig_commit(r, &c);
	r->ledger->ops->disown(r->ledger, &c); /* a no-op when it worked */
	return e;
}

enum err
rig_update(struct rig *r, struct object *o)
{
	struct change change = {.kind = CHANGE_UPDATE, .object = o};
	struct ledger_changes c = {.changes = &change, .count = 1};

	return rig_commit(r, &c);
}

enum err
rig_destroy(struct rig *r, struct object *o)
{
	struct change change = {.kind = CHANGE_DESTROY, .object = o};
	struct ledger_changes c = {.changes = &change, .count = 1};
	enum err e = rig_prepare(r, &c);

	if (e == ERR_OK)
		e = rig_vault(r, r->vault->ops->destroy, o);
	if (e == ERR_OK) {
		o->state = OBJECT_DESTROYED;
		o->date[DATE_DESTROY] = clock_wall();
		e = rig_commit(r, &c);
	}
	r->ledger->ops->disown(r->ledger, &c);
	return e;
}

struct object *
rig_load(struct rig *r, const char *tenant, const char *uid, enum err *e)
{
	struct ledger_load load = {.arena = r->arena, .tenant = tenant, .uid = uid, .again = true};
	struct outcome out;

	rig_begin(&load.wait, &out);
	r->ledger->ops->load(r->ledger, &load);
	*e = rig_end(r, &out);
	return *e == ERR_OK ? load.object : NULL;
}

bool
rig_same(const struct object *a, const struct object *b)
{
	struct buf x, y;
	bool equal;

	buf_init(&x, 1 << 20);
	buf_init(&y, 1 << 20);
	object_pack(&x, a);
	object_pack(&y, b);
	equal = x.len == y.len && memcmp(x.data, y.data, x.len) == 0;
	buf_fini(&x);
	buf_fini(&y);
	return equal;
}

enum err
rig_unwrap(struct rig *r, const struct object *o, struct secret **key)
{
	struct vault_unwrap u = {.object = o};
	struct outcome out;
	enum err e;

	rig_begin(&u.wait, &out);
	r->vault->ops->unwrap(r->vault, &u);
	e = rig_end(r, &out);
	if (e == ERR_OK)
		*key = u.key;
	return e;
}

enum err
rig_probe(struct rig *r, const char *tenant, const char *uid, bool *found)
{
	struct object o = {.revision = 0};
	struct vault_probe p = {.object = &o};
	struct outcome out;
	enum err e;

	strcpy(o.tenant, tenant);
	strcpy(o.uid, uid);
	rig_begin(&p.wait, &out);
	r->vault->ops->probe(r->vault, &p);
	e = rig_end(r, &out);
	*found = p.found;
	return e;
}

static struct vault *
the_vault(void *arg, const char *tenant)
{
	struct rig *r = arg;

	return strcmp(tenant, "unknown") != 0 ? r->vault : NULL;
}

enum err
rig_recover(struct rig *r, struct recover *rec)
{
	struct outcome out;

	memset(rec, 0, sizeof(*rec));
	rec->ledger = r->ledger;
	rec->vault = the_vault;
	rec->arg = r;
	rig_begin(&rec->wait, &out);
	recover_start(rec, r->loop);
	return rig_end(r, &out);
}
