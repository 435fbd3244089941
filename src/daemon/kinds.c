/* SPDX-License-Identifier: Apache-2.0 */
/* Tenants' newest keys tell in which kind of vault they are. */
#include "kinds.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "keys/vault.h"

/*
 * KEYS: so many damaged ones do not hide what the others tell.  As long as none is of the tenant's own kind, more
 * are asked.
 */
enum {
	KEYS = 16,
	KEYS_MOST = 1000,
	LIST_ARENA_MAX = 256 * 1024,
};

static const char *const names[CONFIG_VAULTS] = {
    [CONFIG_VAULT_LOCAL] = "local",
    [CONFIG_VAULT_KEYPROTECT] = "keyprotect",
};

static void next_key(struct kinds *k);
static void next_tenant(struct kinds *k);

static const struct config_tenant *
current(const struct kinds *k)
{
	return &k->config->tenants[k->tenant];
}

static const char *
wanted(const struct kinds *k)
{
	return names[current(k)->vault.kind];
}

/* The tenant that the gate has now, or NULL. */
static struct tenant *
in_use(const struct kinds *k)
{
	const struct tenants *now = gate_tenants(k->gate);
	struct tenant *t = now != NULL ? tenants_at(now, k->tenant) : NULL;

	if (now != NULL && (t == NULL || strcmp(t->id, current(k)->id) != 0))
		t = tenants_by_id(now, current(k)->id);
	return t;
}

static bool
keeps_kind(const struct kinds *k, const struct tenant *t)
{
	return t != NULL && strcmp(t->vault->ops->name, wanted(k)) == 0;
}

static void
release(struct kinds *k)
{
	wait_cancel(&k->find.wait);
	wait_cancel(&k->load.wait);
	arena_free(k->step);
	arena_free(k->list);
	k->step = k->list = NULL;
}

static void
finish(struct kinds *k, enum err e)
{
	release(k);
	wait_finish_soon(k->loop, &k->wait, e);
}

static void
pass(struct kinds *k)
{
	k->tenant++;
	next_tenant(k);
}

static void
end_untold(struct kinds *k, enum err e)
{
	buf_printf(k->why, "tenant \"%s\": it cannot be told whether its keys are in its vault: %s",
	    current(k)->title, err_text(e));
	finish(k, e);
}

/* The next tenant's look would fail as well, and a start takes no deadline for each. */
static bool
is_general(enum err e)
{
	return e == ERR_DEADLINE || e == ERR_STORAGE_DOWN || e == ERR_NO_MEMORY;
}

/* At a start the next reload looks again; else the tenant stays as it was judged before. */
static void
cannot_tell(struct kinds *k, enum err e)
{
	struct tenant *t = in_use(k);

	if (!keeps_kind(k, t) || (k->starting && is_general(e))) {
		end_untold(k, e);
		return;
	}
	if (k->starting) {
		LOG(LOG_WARN, "daemon", "it cannot be told whether a tenant's keys are in its vault",
		    kv_text("tenant", t->id), kv_text("vault", wanted(k)), kv_text("error", err_name(e)));
		t->keys_unseen = true;
	}
	pass(k);
}

static void
warn_of_both(const struct kinds *k)
{
	LOG(LOG_WARN, "daemon",
	    "a tenant has keys of another kind of vault among its newest: these cannot be fetched",
	    kv_text("tenant", current(k)->id), kv_text("vault", wanted(k)),
	    kv_int("keys", (int64_t)k->own), kv_text("other", k->made_by),
	    kv_int("other-keys", (int64_t)k->foreign),
	    kv_text("newest-other", k->find.uids[k->foreign_at]));
}

/* Without a key of its own kind: what it made would be lost with the right vault. */
static void
mark(const struct kinds *k, struct tenant *t, const char *keys_in)
{
	if (keys_in != NULL && t->keys_in == NULL)
		LOG(LOG_ERROR, "daemon",
		    "a tenant's keys are in another kind of vault: they cannot be fetched, and no new ones are made",
		    kv_text("tenant", t->id), kv_text("vault", wanted(k)), kv_text("keys-in", keys_in),
		    kv_text("newest", k->find.uids[k->foreign_at]));
	else if (keys_in == NULL && t->keys_in != NULL)
		LOG(LOG_NOTICE, "daemon",
		    "new keys are made again: the tenant has none that are in another kind of vault alone",
		    kv_text("tenant", t->id));
	t->keys_in = keys_in;
	t->keys_unseen = false;
}

/* While a tenant makes keys the answer may be old when it comes: its vault stays until a restart. */
static void
judge(struct kinds *k)
{
	struct tenant *t = in_use(k);
	bool same = keeps_kind(k, t), elsewhere = k->own == 0 && k->foreign > 0;

	if (elsewhere && !same) {
		buf_printf(k->why,
		    "tenant \"%s\": it has keys of the vault %s, which could not be fetched with the vault "
		    "%s: give it the vault %s again, and for other keys add a tenant of another id",
		    current(k)->title, k->made_by, wanted(k), k->made_by);
		finish(k, ERR_CONFIG);
		return;
	}
	if (t != NULL && !same && t->keys_in == NULL) {
		buf_printf(k->why,
		    "tenant \"%s\": its vault is %s, and becomes %s at a restart only, as a request may be "
		    "making a key", current(k)->title, t->vault->ops->name, wanted(k));
		finish(k, ERR_CONFIG);
		return;
	}
	if (k->own > 0 && k->foreign > 0)
		warn_of_both(k);
	if (same)
		mark(k, t, elsewhere ? k->made_by : NULL);
	pass(k);
}

static void
count(struct kinds *k, const struct object *o)
{
	const char *made_by = object_is_destroyed(o) ? NULL : vault_made_by(o);

	if (made_by == NULL)
		return;
	if (strcmp(made_by, wanted(k)) == 0) {
		k->own++;
		return;
	}
	if (k->foreign == 0) {
		k->made_by = made_by;
		k->foreign_at = k->at;
	}
	k->foreign++;
}

/* What is damaged tells nothing. */
static void
key_loaded(struct wait *w, enum err e)
{
	struct kinds *k = CONTAINER_OF(w, struct kinds, load.wait);

	if (e != ERR_OK && e != ERR_NO_OBJECT && e != ERR_CORRUPT) {
		cannot_tell(k, e);
		return;
	}
	if (e == ERR_OK)
		count(k, k->load.object);
	k->at++;
	next_key(k);
}

static void
next_key(struct kinds *k)
{
	arena_free(k->step);
	k->step = NULL;
	if (k->at == k->find.uids_count || (k->at >= KEYS && k->own > 0)) {
		judge(k);
		return;
	}
	k->step = arena_new(OBJECT_ARENA_MAX);
	if (k->step == NULL) {
		cannot_tell(k, ERR_NO_MEMORY);
		return;
	}
	k->load = (struct ledger_load){
	    .wait.done = key_loaded,
	    .arena = k->step,
	    .tenant = current(k)->id,
	    .uid = k->find.uids[k->at],
	};
	k->ledger->ops->load(k->ledger, &k->load);
}

static void
keys_listed(struct wait *w, enum err e)
{
	struct kinds *k = CONTAINER_OF(w, struct kinds, find.wait);

	if (e == ERR_OK)
		next_key(k);
	else
		cannot_tell(k, e);
}

/* Whatever keys it has were made as it is, or looked at then. */
static bool
is_known(const struct kinds *k)
{
	const struct tenant *t = in_use(k);

	return !k->starting && keeps_kind(k, t) && t->keys_in == NULL && !t->keys_unseen;
}

static void
next_tenant(struct kinds *k)
{
	release(k);
	while (k->tenant < k->config->tenants_count && is_known(k))
		k->tenant++;
	if (k->tenant == k->config->tenants_count) {
		finish(k, ERR_OK);
		return;
	}
	k->at = k->own = k->foreign = 0;
	k->list = arena_new(LIST_ARENA_MAX);
	if (k->list == NULL) {
		end_untold(k, ERR_NO_MEMORY);
		return;
	}
	k->find = (struct ledger_find){
	    .wait.done = keys_listed,
	    .arena = k->list,
	    .tenant = current(k)->id,
	    .now = clock_wall(),
	    .max = KEYS_MOST,
	    .no_total = true,
	};
	k->ledger->ops->find(k->ledger, &k->find);
}

static void
cancel(struct wait *w)
{
	release(CONTAINER_OF(w, struct kinds, wait));
}

void
kinds_look(struct kinds *k)
{
	k->wait.cancel = cancel;
	k->tenant = 0;
	next_tenant(k);
}
