/* SPDX-License-Identifier: Apache-2.0 */
/* POST /keys: a key is made or imported. */
#include <stdio.h>
#include <string.h>

#include <openssl/rand.h>

#include "base/alloc.h"

#include "body.h"
#include "handlers.h"
#include "keys_json.h"
#include "sim.h"
#include "validate.h"

enum { TAGS_MAX = 30, GENERATED_LEN = 32 };

/* The resource that was sent, checked as far as it can be alone. */
struct wanted {
	const char *name, *description;
	yajl_val aliases, tags;
	bool extractable;
	int64_t expires;
	uint8_t payload[PAYLOAD_MAX];
	size_t payload_len; /* 0: make it */
};

static const char resource_fields[] = " type name aliases description tags extractable payload "
				      "expirationDate encryptedNonce iv encryptionAlgorithm ";

static enum fail
read_texts(struct exchange *x, yajl_val r, struct wanted *w)
{
	const char *type = "application/vnd.ibm.kms.key+json", *expires = NULL;

	if (!body_text(r, "type", &type) || strcmp(type, "application/vnd.ibm.kms.key+json") != 0)
		return exchange_fail_at(x, FAIL_INVALID_FIELD, "type");
	if (!body_text(r, "name", &w->name) || w->name == NULL || !validate_chars(w->name, 2, 90))
		return exchange_fail_at(x, FAIL_INVALID_FIELD, "name");
	if (!body_text(r, "description", &w->description) ||
	    (w->description != NULL && !validate_chars(w->description, 2, 240)))
		return exchange_fail_at(x, FAIL_INVALID_FIELD, "description");
	if (body_field(r, "extractable") == NULL || !body_bool(r, "extractable", &w->extractable))
		return exchange_fail_at(x, FAIL_INVALID_FIELD, "extractable");
	if (!body_text(r, "expirationDate", &expires) ||
	    (expires != NULL &&
		(!validate_date(expires, &w->expires) || w->expires <= exchange_now(x))))
		return exchange_fail_at(x, FAIL_INVALID_FIELD, "expirationDate");
	return FAIL_NONE;
}

static enum fail
read_lists(struct exchange *x, yajl_val r, struct wanted *w)
{
	w->aliases = body_field(r, "aliases");
	w->tags = body_field(r, "tags");
	if (w->aliases != NULL &&
	    (!YAJL_IS_ARRAY(w->aliases) || w->aliases->u.array.len > KEY_ALIASES_MAX))
		return exchange_fail_at(x, FAIL_INVALID_FIELD, "aliases");
	for (size_t i = 0; w->aliases != NULL && i < w->aliases->u.array.len; i++) {
		const char *alias = YAJL_GET_STRING(w->aliases->u.array.values[i]);

		if (alias == NULL || !validate_alias(alias))
			return exchange_fail_at(x, FAIL_INVALID_FIELD, "aliases");
	}
	if (w->tags != NULL && (!YAJL_IS_ARRAY(w->tags) || w->tags->u.array.len > TAGS_MAX))
		return exchange_fail_at(x, FAIL_INVALID_FIELD, "tags");
	for (size_t i = 0; w->tags != NULL && i < w->tags->u.array.len; i++) {
		const char *tag = YAJL_GET_STRING(w->tags->u.array.values[i]);

		if (tag == NULL || !validate_tag(tag))
			return exchange_fail_at(x, FAIL_INVALID_FIELD, "tags");
	}
	return FAIL_NONE;
}

static enum fail
read_payload(struct exchange *x, yajl_val r, struct wanted *w)
{
	const char *payload = NULL;

	/* A secure import needs an import token, and those are not simulated. */
	if (body_field(r, "encryptedNonce") != NULL || body_field(r, "iv") != NULL ||
	    body_field(r, "encryptionAlgorithm") != NULL)
		return FAIL_NOT_SIMULATED;
	if (!body_text(r, "payload", &payload))
		return exchange_fail_at(x, FAIL_INVALID_FIELD, "payload");
	if (payload == NULL)
		return FAIL_NONE;
	if (!validate_base64(payload, w->payload, sizeof(w->payload), &w->payload_len) ||
	    (!w->extractable && !validate_root_len(w->payload_len)))
		return exchange_fail_at(x, FAIL_INVALID_FIELD, "payload");
	return FAIL_NONE;
}

/* What the instance as a whole says to it. */
static enum fail
check_instance(struct exchange *x, const struct wanted *w)
{
	const struct policy *p = &x->inst->policies[POLICY_CREATE_IMPORT];
	const char *ring = x->ring != NULL ? x->ring : "default";
	bool import = w->payload_len > 0;
	size_t aliases = w->aliases != NULL ? w->aliases->u.array.len : 0;

	if (ring_find(x->inst, ring) == NULL)
		return FAIL_RING_NOT_FOUND;
	if (!access_allows(x->who, x->inst, ring, NULL, RIGHT_CREATE) ||
	    (strcmp(ring, "default") != 0 &&
		!access_allows(x->who, x->inst, ring, NULL, RIGHT_CREATE_IN_RING)))
		return FAIL_UNAUTHORIZED;
	if (p->enabled &&
	    (import ? p->enforce_token || !(w->extractable ? p->import_standard : p->import_root)
		    : !(w->extractable ? p->create_standard : p->create_root)))
		return FAIL_CREATE_IMPORT_ACCESS;
	if ((int64_t)x->inst->key_count >= x->inst->set.keys_max)
		return FAIL_KEY_QUOTA;
	if (x->inst->set.aliases_max > 0 &&
	    (int64_t)(x->inst->alias_count + aliases) > x->inst->set.aliases_max)
		return FAIL_ALIAS_QUOTA;
	for (size_t i = 0; i < aliases; i++) {
		const char *alias = w->aliases->u.array.values[i]->u.string;

		if (alias_find(&x->sim->store, x->inst, alias) != NULL)
			return exchange_fail_at(x, FAIL_ALIAS_NOT_UNIQUE, "aliases");
		for (size_t k = 0; k < i; k++)
			if (strcmp(alias, w->aliases->u.array.values[k]->u.string) == 0)
				return exchange_fail_at(x, FAIL_ALIAS_NOT_UNIQUE, "aliases");
	}
	return FAIL_NONE;
}

static bool
copy_tags(struct key *k, yajl_val tags)
{
	struct buf all;

	if (tags == NULL || tags->u.array.len == 0)
		return true;
	buf_init(&all, TAGS_MAX * (4 * 30 + 1));
	for (size_t i = 0; i < tags->u.array.len; i++) {
		const char *tag = YAJL_GET_STRING(tags->u.array.values[i]);

		buf_put(&all, tag, strlen(tag) + 1);
	}
	if (buf_error(&all) == ERR_OK)
		k->tags = alloc_bytes(all.len);
	if (k->tags != NULL) {
		memcpy(k->tags, all.data, all.len);
		k->tag_count = tags->u.array.len;
	}
	buf_fini(&all);
	return k->tags != NULL;
}

static bool
set_material(struct key *k, const struct wanted *w)
{
	if (!k->extractable)
		return key_add_version(k, w->payload_len > 0 ? w->payload : NULL,
		    w->payload_len > 0 ? w->payload_len : GENERATED_LEN, k->created);
	k->payload_len = w->payload_len > 0 ? w->payload_len : GENERATED_LEN;
	k->payload = alloc_bytes(k->payload_len);
	if (k->payload == NULL)
		return false;
	if (w->payload_len == 0)
		return RAND_priv_bytes(k->payload, GENERATED_LEN) == 1;
	memcpy(k->payload, w->payload, w->payload_len);
	return true;
}

static bool
fill_key(struct exchange *x, struct key *k, const struct wanted *w)
{
	const struct policy *rotation = &x->inst->policies[POLICY_ROTATION];

	k->extractable = w->extractable;
	k->imported = w->payload_len > 0;
	k->created = k->updated = exchange_now(x);
	k->expires = w->expires;
	k->dual_auth = x->inst->policies[POLICY_DUAL_AUTH].enabled;
	k->dual_auth_since = k->created;
	if (rotation->enabled && !k->extractable && !k->imported) {
		k->rotation_enabled = true;
		k->rotation_months = rotation->interval_month;
		k->rotation_since = k->created;
	}
	snprintf(k->name, sizeof(k->name), "%s", w->name);
	snprintf(k->created_by, sizeof(k->created_by), "%s", x->who->subject);
	if (x->ring != NULL)
		snprintf(k->ring, sizeof(k->ring), "%s", x->ring);
	if (w->description != NULL) {
		k->description = alloc_text(w->description);
		if (k->description == NULL)
			return false;
	}
	for (size_t i = 0; w->aliases != NULL && i < w->aliases->u.array.len; i++)
		if (!alias_add(k, YAJL_GET_STRING(w->aliases->u.array.values[i]), k->created,
			x->who->subject))
			return false;
	return copy_tags(k, w->tags) && set_material(k, w) && key_add(k);
}

static enum fail
create(struct exchange *x, struct wanted *w)
{
	yajl_val resources, r;
	enum fail f = validate_collection(x, "key", 1, 1, &resources);
	struct key *k;

	if (f != FAIL_NONE)
		return f;
	r = resources->u.array.values[0];
	if (!body_only(r, resource_fields))
		return FAIL_BAD_BODY;
	f = read_texts(x, r, w);
	if (f == FAIL_NONE)
		f = read_lists(x, r, w);
	if (f == FAIL_NONE)
		f = read_payload(x, r, w);
	if (f == FAIL_NONE)
		f = check_instance(x, w);
	if (f != FAIL_NONE)
		return f;
	k = key_new(x->inst);
	if (k == NULL || !fill_key(x, k, w)) {
		if (k != NULL)
			key_free(k);
		return FAIL_INTERNAL;
	}
	/* Without a preference only the id is promised, so that is all there is. */
	if (x->representation)
		keys_json_reply(x, 201, k, KEY_PAYLOAD);
	else
		keys_json_reply_id(x, 201, k);
	return FAIL_NONE;
}

enum fail
keys_create(struct exchange *x)
{
	struct wanted w = {0};
	enum fail f;

	if (!exchange_query_only(x, " "))
		return FAIL_INVALID_QUERY;
	f = create(x, &w);
	wipe(&w, sizeof(w));
	return f;
}
