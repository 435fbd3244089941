/* SPDX-License-Identifier: Apache-2.0 */
/* What a reload cannot change: options that differ and take effect at a restart only. */
#include "daemon/config.h"

#include <string.h>

#include "config_value.h"

/* The struct of a scope in a configuration; tenants of both sides are compared by id. */
static const void *
scope_base(const struct config *c, enum config_scope scope, const char *tenant)
{
	switch (scope) {
	case SCOPE_config:
		return c;
	case SCOPE_config_tls:
		return &c->tls;
	case SCOPE_config_tenant:
	case SCOPE_config_local:
	case SCOPE_config_keyprotect:
		for (size_t i = 0; i < c->tenants_count; i++) {
			if (tenant == NULL || strcmp(c->tenants[i].id, tenant) != 0)
				continue;
			if (scope == SCOPE_config_local)
				return &c->tenants[i].vault.local;
			if (scope == SCOPE_config_keyprotect)
				return &c->tenants[i].vault.keyprotect;
			return &c->tenants[i];
		}
	}
	return NULL;
}

/* Options of one tenant, or of no tenant when tenant is NULL. */
static bool
diff_scopes(const struct config *running, const struct config *fresh, const char *tenant, bool any,
    struct buf *names)
{
	const struct config_option *o;
	const void *a, *b;

	for (size_t i = 0; (o = config_option(i)) != NULL; i++) {
		if (o->when != WHEN_RESTART ||
		    (tenant == NULL) != (o->scope == SCOPE_config || o->scope == SCOPE_config_tls))
			continue;
		a = scope_base(running, o->scope, tenant);
		b = scope_base(fresh, o->scope, tenant);
		if (a == NULL || b == NULL || config_same(o, a, b))
			continue;
		buf_printf(names, "%s%s", any ? ", " : "", o->name);
		any = true;
	}
	return any;
}

bool
config_reload_diff(const struct config *running, const struct config *fresh, struct buf *names)
{
	bool any = diff_scopes(running, fresh, NULL, false, names);

	for (size_t i = 0; i < running->tenants_count; i++)
		any = diff_scopes(running, fresh, running->tenants[i].id, any, names);
	return any;
}
