/* SPDX-License-Identifier: Apache-2.0 */
/* What is done with one key as a whole: read, delete, restore, purge, move. */
#include <stdio.h>
#include <string.h>

#include "body.h"
#include "handlers.h"
#include "keys_json.h"
#include "sim.h"
#include "validate.h"

enum { LIST_DEFAULT = 200, LIST_MOST = 5000 };

enum fail
keys_get(struct exchange *x)
{
	if (!exchange_query_only(x, " "))
		return FAIL_INVALID_QUERY;
	keys_json_reply(x, 200, x->key, KEY_PAYLOAD);
	return FAIL_NONE;
}

enum fail
keys_metadata(struct exchange *x)
{
	if (!exchange_query_only(x, " "))
		return FAIL_INVALID_QUERY;
	keys_json_reply(x, 200, x->key, KEY_METADATA);
	return FAIL_NONE;
}

static void
put_versions(struct json *j, struct key *key, int64_t offset, int64_t count)
{
	int64_t at = 0;

	json_array(j, "resources");
	LIST_FOREACH (l, &key->versions) {
		const struct version *v = CONTAINER_OF(l, struct version, link);

		if (at++ < offset || at > offset + count)
			continue;
		json_object(j, NULL);
		json_text(j, "id", v->id);
		keys_json_date(j, "creationDate", v->created);
		json_object_end(j);
	}
	json_array_end(j);
}

enum fail
keys_versions(struct exchange *x)
{
	const char *limit_text = exchange_query(x, "limit"),
		   *offset_text = exchange_query(x, "offset");
	const char *total_text = exchange_query(x, "totalCount");
	const char *states_text = exchange_query(x, "allKeyStates");
	int64_t limit = LIST_DEFAULT, offset = 0, total = 0, shown;
	bool want_total = false, any_state = false;
	struct json j;

	if (!exchange_query_only(x, " limit offset totalCount allKeyStates ") ||
	    (limit_text != NULL && !validate_number(limit_text, 1, LIST_MOST, &limit)) ||
	    (offset_text != NULL && !validate_number(offset_text, 0, INT32_MAX, &offset)) ||
	    (total_text != NULL && !validate_bool(total_text, &want_total)) ||
	    (states_text != NULL && !validate_bool(states_text, &any_state)))
		return FAIL_INVALID_QUERY;
	if (x->key->extractable)
		return FAIL_ROOT_REQUIRED;
	if (x->key->state == KEY_DESTROYED && !any_state)
		return FAIL_KEY_DELETED;
	LIST_FOREACH(l, &x->key->versions)
	total++;
	shown = total > offset ? total - offset : 0;
	if (shown > limit)
		shown = limit;
	exchange_reply(x, 200, &j);
	json_object(&j, NULL);
	json_object(&j, "metadata");
	exchange_collection(&j, "key.version", shown);
	if (want_total)
		json_int(&j, "totalCount", total);
	json_object_end(&j);
	if (shown > 0)
		put_versions(&j, x->key, offset, shown);
	json_object_end(&j);
	return FAIL_NONE;
}

/* Nothing but IBM's own services can register, so there is never one to show. */
enum fail
keys_registrations(struct exchange *x)
{
	struct json j;

	exchange_reply(x, 200, &j);
	json_object(&j, NULL);
	json_object(&j, "metadata");
	exchange_collection(&j, "registration", 0);
	json_object_end(&j);
	json_object_end(&j);
	return FAIL_NONE;
}

enum fail
keys_register(struct exchange *x)
{
	(void)x;
	return FAIL_SERVICE_ONLY;
}

enum fail
keys_delete(struct exchange *x)
{
	struct key *k = x->key;
	const char *force = exchange_query(x, "force");
	bool forced;

	if (!exchange_query_only(x, " force ") || (force != NULL && !validate_bool(force, &forced)))
		return exchange_fail_at(x, FAIL_INVALID_QUERY, "force");
	if (k->state == KEY_DESTROYED)
		return FAIL_KEY_DELETED;
	if (k->dual_auth &&
	    (k->dual_auth_by[0] == '\0' || strcmp(k->dual_auth_by, x->who->subject) == 0))
		return FAIL_AUTHORIZATIONS;
	k->state = KEY_DESTROYED;
	k->deleted = exchange_now(x); /* lastUpdateDate does not move */
	k->dual_auth_by[0] = '\0';
	k->delete_seq = ++k->inst->write_seq;
	snprintf(k->deleted_by, sizeof(k->deleted_by), "%s", x->who->subject);
	if (x->representation)
		keys_json_reply(x, 200, k, KEY_JUST_GONE);
	else
		exchange_reply_empty(x, 204);
	return FAIL_NONE;
}

enum fail
keys_restore(struct exchange *x)
{
	struct key *k = x->key;
	int64_t now = exchange_now(x);

	if (!exchange_query_only(x, " "))
		return FAIL_INVALID_QUERY;
	if (x->json != NULL && !body_only(x->json, " "))
		return FAIL_BAD_BODY;
	if (k->state != KEY_DESTROYED)
		return FAIL_INVALID_STATE;
	if (now < k->deleted + k->inst->set.restore_wait_s)
		return FAIL_TOO_EARLY;
	if (now > k->deleted + RESTORE_UNTIL_S)
		return FAIL_RESTORE_EXPIRED;
	if (k->expires != 0 && now >= k->expires && k->expires > k->deleted)
		return FAIL_KEY_EXPIRED;
	k->state = k->expires != 0 && now >= k->expires ? KEY_DEACTIVATED : KEY_ACTIVE;
	k->deleted = 0;
	k->deleted_by[0] = '\0';
	k->updated = now;
	k->toggled = now;
	k->delete_seq = 0;
	if (x->representation)
		keys_json_reply(x, 201, k, KEY_METADATA);
	else
		keys_json_reply_id(x, 201, k);
	return FAIL_NONE;
}

enum fail
keys_purge(struct exchange *x)
{
	struct key *k = x->key;

	if (!exchange_query_only(x, " "))
		return FAIL_INVALID_QUERY;
	if (k->state != KEY_DESTROYED)
		return FAIL_INVALID_STATE;
	if (exchange_now(x) < k->deleted + PURGE_FROM_S)
		return FAIL_PURGE_TOO_EARLY;
	if (x->representation)
		keys_json_reply(x, 200, k, KEY_METADATA);
	else
		exchange_reply_empty(x, 204);
	key_free(k);
	x->key = NULL;
	return FAIL_NONE;
}

enum fail
keys_patch(struct exchange *x)
{
	struct key *k = x->key;
	const char *ring = NULL;

	if (x->json == NULL)
		return FAIL_NO_BODY;
	if (!body_only(x->json, " keyRingID "))
		return FAIL_BAD_BODY;
	if (!body_text(x->json, "keyRingID", &ring) || ring == NULL || !validate_ring(ring))
		return exchange_fail_at(x, FAIL_INVALID_FIELD, "keyRingID");
	if (!access_allows(x->who, x->inst, ring, k->id, RIGHT_PATCH))
		return FAIL_UNAUTHORIZED;
	if (ring_find(x->inst, ring) == NULL)
		return FAIL_RING_NOT_FOUND;
	if (k->state == KEY_DESTROYED)
		return FAIL_KEY_DELETED;
	if (strcmp(k->ring, ring) != 0) {
		memcpy(k->old_ring, k->ring, sizeof(k->old_ring));
		snprintf(k->ring, sizeof(k->ring), "%s", ring);
		k->moved = k->updated = exchange_now(x);
	}
	keys_json_reply(x, 200, k, KEY_METADATA);
	return FAIL_NONE;
}
