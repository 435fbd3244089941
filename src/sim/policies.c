/* SPDX-License-Identifier: Apache-2.0 */
/* Policies of keys and of instances. */
#include <stdio.h>
#include <string.h>

#include "body.h"
#include "handlers.h"
#include "keys_json.h"
#include "sim.h"
#include "validate.h"

#define POLICY_JSON_TYPE "application/vnd.ibm.kms.policy+json"

/* --- of a key --- */

struct key_policies {
	bool rotation, dual_auth; /* which of them are there */
	bool rotation_enabled, dual_auth_enabled;
	int64_t months;
};

static void
put_policy_head(struct json *j, const struct key *k, int64_t since)
{
	json_object(j, NULL);
	json_text(j, "type", POLICY_JSON_TYPE);
	json_text(j, "createdBy", k->policy_by[0] != '\0' ? k->policy_by : k->created_by);
	keys_json_date(j, "creationDate", since);
	keys_json_date(j, "lastUpdateDate", since);
}

static void
reply_key_policies(struct exchange *x, bool rotation, bool dual_auth)
{
	const struct key *k = x->key;
	struct json j;

	rotation = rotation && k->rotation_months > 0;
	dual_auth = dual_auth && k->dual_auth;
	exchange_reply(x, 200, &j);
	json_object(&j, NULL);
	json_object(&j, "metadata");
	exchange_collection(&j, "policy", rotation + dual_auth);
	json_object_end(&j);
	if (rotation || dual_auth)
		json_array(&j, "resources");
	if (rotation) {
		put_policy_head(&j, k, k->rotation_since);
		json_object(&j, "rotation");
		json_bool(&j, "enabled", k->rotation_enabled);
		json_int(&j, "interval_month", k->rotation_months);
		json_object_end(&j);
		json_object_end(&j);
	}
	if (dual_auth) {
		put_policy_head(&j, k, k->dual_auth_since);
		json_object(&j, "dualAuthDelete");
		json_bool(&j, "enabled", true);
		json_object_end(&j);
		json_object_end(&j);
	}
	if (rotation || dual_auth)
		json_array_end(&j);
	json_object_end(&j);
}

/* Which policy the query confines it to; both when it does not. */
static enum fail
read_policy_query(struct exchange *x, bool *rotation, bool *dual_auth)
{
	const char *policy = exchange_query(x, "policy");

	if (!exchange_query_only(x, " policy "))
		return FAIL_INVALID_QUERY;
	*rotation = policy == NULL || strcmp(policy, "rotation") == 0;
	*dual_auth = policy == NULL || strcmp(policy, "dualAuthDelete") == 0;
	return *rotation || *dual_auth ? FAIL_NONE
				       : exchange_fail_at(x, FAIL_INVALID_QUERY, "policy");
}

enum fail
policies_get(struct exchange *x)
{
	bool rotation, dual_auth;
	enum fail f = read_policy_query(x, &rotation, &dual_auth);

	if (f == FAIL_NONE)
		reply_key_policies(x, rotation, dual_auth);
	return f;
}

static enum fail
read_key_policy(struct exchange *x, yajl_val r, struct key_policies *p)
{
	yajl_val rotation = body_field(r, "rotation"), dual_auth = body_field(r, "dualAuthDelete");
	const char *type = NULL;

	if (!body_only(r, " type rotation dualAuthDelete "))
		return FAIL_BAD_BODY;
	if (!body_text(r, "type", &type) || type == NULL || strcmp(type, POLICY_JSON_TYPE) != 0)
		return exchange_fail_at(x, FAIL_INVALID_FIELD, "type");
	if ((rotation == NULL) == (dual_auth == NULL))
		return FAIL_BAD_BODY;
	if (rotation != NULL) {
		bool again = p->rotation;

		p->rotation = p->rotation_enabled = true;
		if (again || !body_only(rotation, " enabled interval_month ") ||
		    !body_bool(rotation, "enabled", &p->rotation_enabled) ||
		    !body_int(rotation, "interval_month", 1, 12, &p->months) ||
		    (p->rotation_enabled && p->months == 0))
			return exchange_fail_at(x, FAIL_INVALID_FIELD, "rotation");
		return FAIL_NONE;
	}
	if (p->dual_auth || !body_only(dual_auth, " enabled ") ||
	    body_field(dual_auth, "enabled") == NULL ||
	    !body_bool(dual_auth, "enabled", &p->dual_auth_enabled))
		return exchange_fail_at(x, FAIL_INVALID_FIELD, "dualAuthDelete");
	p->dual_auth = true;
	return FAIL_NONE;
}

static enum fail
apply_key_policies(struct exchange *x, const struct key_policies *p)
{
	struct key *k = x->key;
	int64_t now = exchange_now(x);

	if (k->state == KEY_DESTROYED)
		return FAIL_KEY_DELETED;
	if (p->rotation && k->extractable)
		return FAIL_ROOT_REQUIRED;
	if (p->rotation && k->imported && p->rotation_enabled)
		return FAIL_PAYLOAD_REQUIRED;
	/* Once on, it stays on. */
	if (p->dual_auth && k->dual_auth && !p->dual_auth_enabled)
		return exchange_fail_at(x, FAIL_INVALID_FIELD, "dualAuthDelete");
	if (p->rotation) {
		k->rotation_enabled = p->rotation_enabled;
		if (p->months > 0)
			k->rotation_months = p->months;
		k->rotation_since = now;
	}
	if (p->dual_auth && p->dual_auth_enabled && !k->dual_auth) {
		k->dual_auth = true;
		k->dual_auth_since = now;
	}
	snprintf(k->policy_by, sizeof(k->policy_by), "%s", x->who->subject);
	return FAIL_NONE;
}

enum fail
policies_put(struct exchange *x)
{
	struct key_policies p = {0};
	bool rotation, dual_auth;
	yajl_val resources = NULL;
	enum fail f = read_policy_query(x, &rotation, &dual_auth);

	if (f == FAIL_NONE)
		f = validate_collection(x, "policy", 1, 2, &resources);
	for (size_t i = 0; f == FAIL_NONE && i < resources->u.array.len; i++)
		f = read_key_policy(x, resources->u.array.values[i], &p);
	if (f == FAIL_NONE && ((p.rotation && !rotation) || (p.dual_auth && !dual_auth)))
		f = FAIL_BODY_QUERY_MISMATCH;
	if (f == FAIL_NONE)
		f = apply_key_policies(x, &p);
	if (f == FAIL_NONE)
		reply_key_policies(x, rotation, dual_auth);
	return f;
}

/* --- of an instance --- */

static const char *const policy_names[POLICY_TYPES] = {
    "allowedNetwork", "dualAuthDelete", "metrics", "keyCreateImportAccess", "rotation"};

static bool
policy_named(const char *name, enum policy_type *out)
{
	for (int t = 0; t < POLICY_TYPES; t++) {
		if (strcmp(policy_names[t], name) == 0) {
			*out = (enum policy_type)t;
			return true;
		}
	}
	return false;
}

static void
put_attributes(struct json *j, enum policy_type t, const struct policy *p)
{
	switch (t) {
	case POLICY_ALLOWED_NETWORK:
		json_object(j, "attributes");
		json_text(
		    j, "allowed_network", p->private_only ? "private-only" : "public-and-private");
		json_object_end(j);
		break;
	case POLICY_CREATE_IMPORT:
		json_object(j, "attributes");
		json_bool(j, "create_root_key", p->create_root);
		json_bool(j, "create_standard_key", p->create_standard);
		json_bool(j, "import_root_key", p->import_root);
		json_bool(j, "import_standard_key", p->import_standard);
		json_bool(j, "enforce_token", p->enforce_token);
		json_object_end(j);
		break;
	case POLICY_ROTATION:
		json_object(j, "attributes");
		json_int(j, "interval_month", p->interval_month);
		json_object_end(j);
		break;
	case POLICY_DUAL_AUTH:
	case POLICY_METRICS:
	case POLICY_TYPES:
		break;
	}
}

static void
put_instance_policy(struct json *j, enum policy_type t, const struct policy *p)
{
	json_object(j, NULL);
	json_text(j, "policy_type", policy_names[t]);
	json_object(j, "policy_data");
	json_bool(j, "enabled", p->enabled);
	put_attributes(j, t, p);
	json_object_end(j);
	keys_json_date(j, "creationDate", p->created);
	json_text(j, "createdBy", p->created_by);
	keys_json_date(j, "lastUpdated", p->updated);
	json_text(j, "updatedBy", p->updated_by);
	json_object_end(j);
}

enum fail
policies_instance_get(struct exchange *x)
{
	const char *wanted = exchange_query(x, "policy");
	enum policy_type only = POLICY_TYPES;
	int64_t count = 0;
	struct json j;

	if (!exchange_query_only(x, " policy ") || (wanted != NULL && !policy_named(wanted, &only)))
		return exchange_fail_at(x, FAIL_INVALID_QUERY, "policy");
	for (int t = 0; t < POLICY_TYPES; t++)
		count += x->inst->policies[t].set && (wanted == NULL || t == (int)only);
	exchange_reply(x, 200, &j);
	json_object(&j, NULL);
	json_object(&j, "metadata");
	exchange_collection(&j, "policy", count);
	json_object_end(&j);
	if (count > 0) {
		json_array(&j, "resources");
		for (int t = 0; t < POLICY_TYPES; t++)
			if (x->inst->policies[t].set && (wanted == NULL || t == (int)only))
				put_instance_policy(&j, (enum policy_type)t, &x->inst->policies[t]);
		json_array_end(&j);
	}
	json_object_end(&j);
	return FAIL_NONE;
}

/* The attributes that this type of policy has, and no other. */
static bool
read_attributes(yajl_val a, enum policy_type t, struct policy *p)
{
	const char *network = NULL;

	switch (t) {
	case POLICY_ALLOWED_NETWORK:
		if (!p->enabled && a == NULL)
			return true;
		if (!body_only(a, " allowed_network ") ||
		    !body_text(a, "allowed_network", &network) || network == NULL)
			return false;
		p->private_only = strcmp(network, "private-only") == 0;
		return p->private_only || strcmp(network, "public-and-private") == 0;
	case POLICY_CREATE_IMPORT:
		p->create_root = p->create_standard = p->import_root = p->import_standard = true;
		return a == NULL ||
		       (body_only(a, " create_root_key create_standard_key import_root_key "
				     "import_standard_key enforce_token ") &&
			   body_bool(a, "create_root_key", &p->create_root) &&
			   body_bool(a, "create_standard_key", &p->create_standard) &&
			   body_bool(a, "import_root_key", &p->import_root) &&
			   body_bool(a, "import_standard_key", &p->import_standard) &&
			   body_bool(a, "enforce_token", &p->enforce_token));
	case POLICY_ROTATION:
		if (!p->enabled && a == NULL)
			return true;
		return body_only(a, " interval_month ") &&
		       body_int(a, "interval_month", 1, 12, &p->interval_month) &&
		       (!p->enabled || p->interval_month != 0);
	case POLICY_DUAL_AUTH:
	case POLICY_METRICS:
	case POLICY_TYPES:
		break;
	}
	return a == NULL;
}

static enum fail
read_instance_policy(struct exchange *x, yajl_val r, enum policy_type *t, struct policy *p)
{
	yajl_val data = body_field(r, "policy_data");
	const char *type = NULL;

	if (!body_only(r, " policy_type policy_data ") || !body_only(data, " enabled attributes "))
		return FAIL_BAD_BODY;
	if (!body_text(r, "policy_type", &type) || type == NULL)
		return exchange_fail_at(x, FAIL_INVALID_FIELD, "policy_type");
	if (strcmp(type, "allowedIP") == 0)
		return FAIL_NOT_SIMULATED;
	if (!policy_named(type, t))
		return exchange_fail_at(x, FAIL_INVALID_FIELD, "policy_type");
	if (body_field(data, "enabled") == NULL || !body_bool(data, "enabled", &p->enabled))
		return exchange_fail_at(x, FAIL_INVALID_FIELD, "enabled");
	if (!read_attributes(body_field(data, "attributes"), *t, p))
		return exchange_fail_at(x, FAIL_INVALID_FIELD, "attributes");
	return FAIL_NONE;
}

enum fail
policies_instance_put(struct exchange *x)
{
	const char *wanted = exchange_query(x, "policy");
	struct policy fresh[POLICY_TYPES] = {0};
	int64_t now = exchange_now(x);
	yajl_val resources;
	enum fail f;

	if (!exchange_query_only(x, " policy "))
		return exchange_fail_at(x, FAIL_INVALID_QUERY, "policy");
	f = validate_collection(x, "policy", 1, wanted != NULL ? 1 : POLICY_TYPES, &resources);
	for (size_t i = 0; f == FAIL_NONE && i < resources->u.array.len; i++) {
		struct policy p = {.set = true};
		enum policy_type t = 0;

		f = read_instance_policy(x, resources->u.array.values[i], &t, &p);
		if (f != FAIL_NONE)
			break;
		if (wanted != NULL && strcmp(wanted, policy_names[t]) != 0)
			f = FAIL_BODY_QUERY_MISMATCH;
		else if (fresh[t].set)
			f = FAIL_COLLECTION_RESOURCES;
		fresh[t] = p;
	}
	for (int t = 0; f == FAIL_NONE && t < POLICY_TYPES; t++) {
		struct policy *old = &x->inst->policies[t];

		if (!fresh[t].set)
			continue;
		fresh[t].created = old->set ? old->created : now;
		fresh[t].updated = now;
		snprintf(fresh[t].created_by, SUBJECT_SIZE, "%s",
		    old->set ? old->created_by : x->who->subject);
		snprintf(fresh[t].updated_by, SUBJECT_SIZE, "%s", x->who->subject);
		*old = fresh[t];
	}
	if (f == FAIL_NONE)
		exchange_reply_empty(x, 204);
	return f;
}
