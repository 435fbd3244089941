/* SPDX-License-Identifier: Apache-2.0 */
/* Control commands about keys in memory: list (no key bytes), flush. */
#include "commands.h"

#include <string.h>

#include "base/clock.h"
#include "base/json.h"

#include "daemon.h"

static void
put_key(const struct cache_info *i, void *arg)
{
	struct json *j = arg;

	json_object(j, NULL);
	json_text(j, "tenant", i->tenant);
	json_text(j, "uid", i->uid);
	json_text(j, "key-manager", custody_state_name(custody_state(i->custody)));
	json_int(j, "proved-seconds-ago", i->proved_ns / NS_PER_S);
	json_int(j, "used-seconds-ago", i->used_ns / NS_PER_S);
	json_int(j, "hits", (int64_t)i->hits);
	json_object_end(j);
}

/* False after the call has ended: there is no such tenant. */
static bool
take_tenant(struct control_call *call, const char **tenant)
{
	struct keyferryd *d = call->user;

	*tenant = control_word(call, 0);
	if (*tenant == NULL || tenants_by_id(gate_tenants(d->gate), *tenant) != NULL)
		return true;
	control_done(call, ERR_NO_OBJECT, "no tenant has this id");
	return false;
}

void
cache_list_run(struct control_call *call)
{
	struct keyferryd *d = call->user;
	const char *tenant;
	struct json j;

	if (!take_tenant(call, &tenant))
		return;
	json_init(&j, &call->out);
	json_array(&j, NULL);
	cache_each(d->cache, tenant, put_key, &j);
	json_array_end(&j);
	control_done(call, ERR_OK, NULL);
}

/* Of vaults that keep keys themselves; id NULL: of all tenants. */
static size_t
flush_vaults(const struct tenants *ts, const char *id)
{
	size_t count = 0;
	struct tenant *t;

	for (size_t i = 0; (t = tenants_at(ts, i)) != NULL; i++)
		if ((id == NULL || strcmp(t->id, id) == 0) && t->vault->ops->flush != NULL)
			count += t->vault->ops->flush(t->vault);
	return count;
}

void
cache_flush_run(struct control_call *call)
{
	struct keyferryd *d = call->user;
	const char *tenant;
	struct json j;
	size_t count;

	if (!take_tenant(call, &tenant))
		return;
	count = cache_flush(d->cache, tenant) + flush_vaults(gate_tenants(d->gate), tenant);
	json_init(&j, &call->out);
	json_object(&j, NULL);
	json_int(&j, "keys-wiped", (int64_t)count);
	json_object_end(&j);
	control_done(call, ERR_OK, NULL);
}
