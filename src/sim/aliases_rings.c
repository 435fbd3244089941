/* SPDX-License-Identifier: Apache-2.0 */
/* Aliases of keys, and key rings. */
#include <stdio.h>
#include <string.h>

#include "handlers.h"
#include "keys_json.h"
#include "sim.h"
#include "validate.h"

enum fail
aliases_create(struct exchange *x)
{
	const char *name = x->segment[5];
	const struct alias *a;
	struct json j;

	if (!exchange_query_only(x, " "))
		return FAIL_INVALID_QUERY;
	if (!validate_alias(name))
		return exchange_fail_at(x, FAIL_INVALID_FIELD, "alias");
	if (x->key->state == KEY_DESTROYED)
		return FAIL_KEY_DELETED;
	if (alias_find(&x->sim->store, x->inst, name) != NULL)
		return FAIL_ALIAS_NOT_UNIQUE;
	if (x->key->alias_count >= KEY_ALIASES_MAX ||
	    (x->inst->set.aliases_max > 0 &&
		(int64_t)x->inst->alias_count >= x->inst->set.aliases_max))
		return FAIL_ALIAS_QUOTA;
	if (!alias_add(x->key, name, exchange_now(x), x->who->subject))
		return FAIL_INTERNAL;
	a = alias_find(&x->sim->store, x->inst, name);
	exchange_reply(x, 201, &j);
	json_object(&j, NULL);
	json_object(&j, "metadata");
	exchange_collection(&j, "alias", 1);
	json_object_end(&j);
	json_array(&j, "resources");
	json_object(&j, NULL);
	json_text(&j, "keyId", x->key->id);
	json_text(&j, "alias", name);
	keys_json_date(&j, "creationDate", a->created);
	json_text(&j, "createdBy", a->created_by);
	json_object_end(&j);
	json_array_end(&j);
	json_object_end(&j);
	return FAIL_NONE;
}

enum fail
aliases_delete(struct exchange *x)
{
	struct alias *a = alias_find(&x->sim->store, x->inst, x->segment[5]);

	if (!exchange_query_only(x, " "))
		return FAIL_INVALID_QUERY;
	if (a == NULL || a->key != x->key || a->gone_at != 0)
		return FAIL_ALIAS_NOT_FOUND;
	if (x->inst->set.alias_lag_s == 0)
		alias_free(a);
	else
		a->gone_at = exchange_now(x) + x->inst->set.alias_lag_s;
	exchange_reply_empty(x, 204);
	return FAIL_NONE;
}

enum fail
rings_list(struct exchange *x)
{
	struct json j;

	if (!exchange_query_only(x, " "))
		return FAIL_INVALID_QUERY;
	exchange_reply(x, 200, &j);
	json_object(&j, NULL);
	json_object(&j, "metadata");
	exchange_collection(&j, "key_ring", (int64_t)x->inst->ring_count);
	json_object_end(&j);
	json_array(&j, "resources"); /* `default` is always there */
	LIST_FOREACH(l, &x->inst->rings)
	{
		const struct ring *r = CONTAINER_OF(l, struct ring, link);

		json_object(&j, NULL);
		json_text(&j, "id", r->id);
		if (r->created != 0) {
			keys_json_date(&j, "creationDate", r->created);
			json_text(&j, "createdBy", r->created_by);
		}
		json_object_end(&j);
	}
	json_array_end(&j);
	json_object_end(&j);
	return FAIL_NONE;
}

enum fail
rings_create(struct exchange *x)
{
	const char *id = x->segment[3];
	struct ring *r;

	if (!exchange_query_only(x, " "))
		return FAIL_INVALID_QUERY;
	if (!validate_ring(id))
		return exchange_fail_at(x, FAIL_INVALID_FIELD, "key-ring-id");
	if (ring_find(x->inst, id) != NULL)
		return FAIL_RING_NOT_UNIQUE;
	if (x->inst->ring_count >= RINGS_MAX)
		return FAIL_RING_QUOTA;
	r = ring_new(x->inst, id);
	if (r == NULL)
		return FAIL_INTERNAL;
	r->created = exchange_now(x);
	snprintf(r->created_by, sizeof(r->created_by), "%s", x->who->subject);
	exchange_reply_empty(x, 201);
	return FAIL_NONE;
}

enum fail
rings_delete(struct exchange *x)
{
	struct ring *r = ring_find(x->inst, x->segment[3]);
	const char *text = exchange_query(x, "force");
	bool force = false;

	if (!exchange_query_only(x, " force ") || (text != NULL && !validate_bool(text, &force)))
		return exchange_fail_at(x, FAIL_INVALID_QUERY, "force");
	if (r == NULL)
		return FAIL_RING_NOT_FOUND;
	if (r->created == 0)
		return exchange_fail_at(x, FAIL_INVALID_FIELD, "key-ring-id");
	LIST_FOREACH_SAFE(l, next, &x->inst->keys)
	{
		const struct key *k =
		    key_refresh(&x->sim->store, CONTAINER_OF(l, struct key, link));

		if (k != NULL && strcmp(k->ring, r->id) == 0 &&
		    (!force || k->state != KEY_DESTROYED))
			return FAIL_RING_NOT_EMPTY;
	}
	LIST_FOREACH(l, &x->inst->keys)
	{
		struct key *k = CONTAINER_OF(l, struct key, link);

		if (strcmp(k->ring, r->id) == 0)
			snprintf(k->ring, sizeof(k->ring), "default");
	}
	ring_free(x->inst, r);
	exchange_reply_empty(x, 204);
	return FAIL_NONE;
}
