/* SPDX-License-Identifier: Apache-2.0 */
/* Tenants' newest keys tell in which kind of vault they are. */
#include "kinds.h"

#include <string.h>

#include "base/clock.h"
#include "keys/vault.h"

/* So many damaged ones do not hide what the others tell. */
enum { KEYS = 16, LIST_ARENA_MAX = 64 * 1024, STEP_ARENA_MAX = 2 * OBJECT_SIZE_MAX };

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
cannot_tell(struct kinds *k, enum err e)
{
	buf_printf(k->why, "tenant \"%s\": it cannot be told whether its keys are in its vault: %s",
	    current(k)->title, err_text(e));
	finish(k, e);
}

static void
judge(struct kinds *k, const char *made_by)
{
	const char *name = names[current(k)->vault.kind];

	if (strcmp(made_by, name) == 0) {
		k->tenant++;
		next_tenant(k);
		return;
	}
	buf_printf(k->why,
	    "tenant \"%s\": it has keys of the vault %s, which could not be fetched with the vault %s: give "
	    "it the vault %s again, and for other keys add a tenant of another id",
	    current(k)->title, made_by, name, made_by);
	finish(k, ERR_CONFIG);
}

/* What is damaged tells nothing. */
static void
key_loaded(struct wait *w, enum err e)
{
	struct kinds *k = CONTAINER_OF(w, struct kinds, load.wait);
	const struct object *o = k->load.object;
	const char *made_by;

	if (e != ERR_OK && e != ERR_NO_OBJECT && e != ERR_CORRUPT) {
		cannot_tell(k, e);
		return;
	}
	made_by = e == ERR_OK && !object_is_destroyed(o) ? vault_made_by(o) : NULL;
	if (made_by != NULL) {
		judge(k, made_by);
		return;
	}
	k->at++;
	next_key(k);
}

static void
next_key(struct kinds *k)
{
	arena_free(k->step);
	k->step = NULL;
	if (k->at == k->find.uids_count) {
		k->tenant++;
		next_tenant(k);
		return;
	}
	k->step = arena_new(STEP_ARENA_MAX);
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
is_served(const struct kinds *k)
{
	const struct tenants *now = gate_tenants(k->gate);
	const struct tenant *t = now != NULL ? tenants_at(now, k->tenant) : NULL;

	if (now != NULL && (t == NULL || strcmp(t->id, current(k)->id) != 0))
		t = tenants_by_id(now, current(k)->id);
	return t != NULL && strcmp(t->vault->ops->name, names[current(k)->vault.kind]) == 0;
}

static void
next_tenant(struct kinds *k)
{
	release(k);
	while (k->tenant < k->config->tenants_count && is_served(k))
		k->tenant++;
	if (k->tenant == k->config->tenants_count) {
		finish(k, ERR_OK);
		return;
	}
	k->at = 0;
	k->list = arena_new(LIST_ARENA_MAX);
	if (k->list == NULL) {
		cannot_tell(k, ERR_NO_MEMORY);
		return;
	}
	k->find = (struct ledger_find){
	    .wait.done = keys_listed,
	    .arena = k->list,
	    .tenant = current(k)->id,
	    .now = clock_wall(),
	    .max = KEYS,
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
