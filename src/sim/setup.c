/* SPDX-License-Identifier: Apache-2.0 */
/* The document that says which instances and identities there are. */
#include "setup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/log.h"

#include "body.h"
#include "sim.h"
#include "validate.h"

enum { FILE_MAX = 1 << 20, CHUNK = 4096, ROOT_KEY_LEN = 32 };

bool
setup_settings(struct instance *inst, yajl_val settings)
{
	struct settings fresh = inst->set;
	static const char names[] = " "
#define SETTING(member, name, fallback, least, most) name " "
#include "setting.def"
#undef SETTING
	    ;
	bool good = body_only(settings, names);

#define SETTING(member, name, fallback, least, most)                                               \
	good = good && body_int(settings, name, least, most, &fresh.member);
#include "setting.def"
#undef SETTING
	if (!good)
		return false;
	inst->set = fresh;
	inst->tokens = (double)fresh.rate_burst;
	return true;
}

/* One that bears its name as an alias; made once. */
static bool
make_root_key(struct sim *s, struct instance *inst, const char *alias)
{
	struct key *k;

	if (alias == NULL || !validate_alias(alias))
		return false;
	if (alias_find(&s->store, inst, alias) != NULL)
		return true;
	k = key_new(inst);
	if (k == NULL)
		return false;
	k->created = k->updated = store_now(&s->store);
	snprintf(k->name, sizeof(k->name), "%s", alias);
	snprintf(k->ring, sizeof(k->ring), "default");
	snprintf(k->created_by, sizeof(k->created_by), "administrator");
	if (key_add_version(k, NULL, ROOT_KEY_LEN, k->created) &&
	    alias_add(k, alias, k->created, k->created_by) && key_add(k))
		return true;
	key_free(k);
	return false;
}

static bool
make_root_keys(struct sim *s, struct instance *inst, yajl_val names)
{
	if (names == NULL)
		return true;
	if (!YAJL_IS_ARRAY(names))
		return false;
	for (size_t i = 0; i < names->u.array.len; i++)
		if (!make_root_key(s, inst, YAJL_GET_STRING(names->u.array.values[i])))
			return false;
	return true;
}

static bool
apply_instance(struct sim *s, yajl_val v)
{
	const char *id = NULL, *kind = "kms", *region = "us-south", *account = NULL;
	yajl_val settings = body_field(v, "settings");
	struct instance *inst;
	bool hpcs;

	if (!body_only(v, " id kind region account settings root-keys ") || !body_text(v, "id", &id) ||
	    !body_text(v, "kind", &kind) || !body_text(v, "region", &region) ||
	    !body_text(v, "account", &account) || id == NULL || !validate_uuid(id))
		return false;
	hpcs = strcmp(kind, "hpcs") == 0;
	if ((!hpcs && strcmp(kind, "kms") != 0) || strlen(region) >= REGION_SIZE ||
	    (account != NULL && strlen(account) > UID_TEXT_LEN))
		return false;
	inst = instance_find(&s->store, id);
	if (inst == NULL)
		inst = instance_new(&s->store, id, hpcs ? INSTANCE_HPCS : INSTANCE_KMS);
	if (inst == NULL || (inst->kind == INSTANCE_HPCS) != hpcs)
		return false;
	snprintf(inst->region, sizeof(inst->region), "%s", region);
	if (account != NULL)
		snprintf(inst->account, sizeof(inst->account), "%s", account);
	return (settings == NULL || setup_settings(inst, settings)) &&
	    make_root_keys(s, inst, body_field(v, "root-keys"));
}

/* The rights of all names in the array together; false when one is none. */
static bool
add_rights(yajl_val names, uint64_t (*rights_of)(const char *), uint64_t *rights)
{
	if (names == NULL)
		return true;
	if (!YAJL_IS_ARRAY(names))
		return false;
	for (size_t i = 0; i < names->u.array.len; i++) {
		const char *name = YAJL_GET_STRING(names->u.array.values[i]);
		uint64_t mask = name != NULL ? rights_of(name) : 0;

		if (mask == 0)
			return false;
		*rights |= mask;
	}
	return true;
}

static bool
apply_grant(struct identity *who, yajl_val v)
{
	const char *instance = NULL, *ring = "", *key = "";
	uint64_t rights = 0;
	struct grant *g;

	if (!body_only(v, " instance key-ring key roles actions ") ||
	    !body_text(v, "instance", &instance) || !body_text(v, "key-ring", &ring) ||
	    !body_text(v, "key", &key) || instance == NULL || !validate_uuid(instance) ||
	    (*ring != '\0' && !validate_ring(ring)) || (*key != '\0' && !validate_uuid(key)) ||
	    !add_rights(body_field(v, "roles"), access_role_rights, &rights) ||
	    !add_rights(body_field(v, "actions"), access_action_rights, &rights))
		return false;
	g = grant_new(who);
	if (g == NULL)
		return false;
	snprintf(g->instance, sizeof(g->instance), "%s", instance);
	snprintf(g->ring, sizeof(g->ring), "%s", ring);
	snprintf(g->key, sizeof(g->key), "%s", key);
	g->rights = rights;
	return true;
}

/* Replaces a text of the identity when the document has one. */
static bool
replace_text(yajl_val v, const char *name, char **to)
{
	const char *s = NULL;
	char *copy;

	if (!body_text(v, name, &s))
		return false;
	if (s == NULL)
		return true;
	copy = alloc_text(s);
	if (copy == NULL)
		return false;
	alloc_free(*to);
	*to = copy;
	return true;
}

/* What is given of it replaces what it had. */
static bool
change_identity(struct identity *who, yajl_val v, yajl_val grants)
{
	if (!replace_text(v, "api-key", &who->api_key) ||
	    !replace_text(v, "profile-id", &who->profile_id) ||
	    !replace_text(v, "profile-name", &who->profile_name) ||
	    !replace_text(v, "cr-token", &who->cr_token) ||
	    !body_bool(v, "disabled", &who->disabled))
		return false;
	if (grants != NULL)
		grants_free(who);
	for (size_t i = 0; grants != NULL && i < grants->u.array.len; i++)
		if (!apply_grant(who, grants->u.array.values[i]))
			return false;
	return true;
}

static bool
apply_identity(struct sim *s, yajl_val v)
{
	const char *subject = NULL;
	yajl_val grants = body_field(v, "grants");
	bool gone = false;
	struct identity *who;

	if (!body_only(
		v, " subject api-key profile-id profile-name cr-token disabled deleted grants ") ||
	    !body_text(v, "subject", &subject) || subject == NULL || subject[0] == '\0' ||
	    strlen(subject) >= SUBJECT_SIZE || !body_bool(v, "deleted", &gone) ||
	    (grants != NULL && !YAJL_IS_ARRAY(grants)))
		return false;
	who = iam_identity_find(&s->iam, subject);
	if (who == NULL)
		who = iam_identity_new(&s->iam, subject);
	if (who == NULL)
		return false;
	if (!gone)
		return change_identity(who, v, grants);
	iam_identity_free(&s->iam, who);
	return true;
}

bool
setup_apply(struct sim *s, yajl_val doc, const char **why)
{
	yajl_val instances = body_field(doc, "instances"),
		 identities = body_field(doc, "identities");

	*why = "instances, identities or token-ttl-s";
	if (!body_only(doc, " instances identities token-ttl-s ") ||
	    (instances != NULL && !YAJL_IS_ARRAY(instances)) ||
	    (identities != NULL && !YAJL_IS_ARRAY(identities)))
		return false;
	*why = "token-ttl-s";
	if (!body_int(doc, "token-ttl-s", 1, 86400, &s->iam.token_ttl_s))
		return false;
	*why = "instances";
	for (size_t i = 0; instances != NULL && i < instances->u.array.len; i++)
		if (!apply_instance(s, instances->u.array.values[i]))
			return false;
	*why = "identities";
	for (size_t i = 0; identities != NULL && i < identities->u.array.len; i++)
		if (!apply_identity(s, identities->u.array.values[i]))
			return false;
	return true;
}

bool
setup_file(struct sim *s, const char *path)
{
	FILE *f = fopen(path, "re");
	const char *why = "cannot be read";
	struct buf text;
	yajl_val doc = NULL;
	bool good = false;

	if (f == NULL) {
		LOG(LOG_ERROR, "setup", "cannot be opened", kv_text("file", path),
		    kv_text("why", strerror(errno)));
		return false;
	}
	buf_init(&text, FILE_MAX);
	for (size_t n = 1; n > 0 && buf_reserve(&text, CHUNK) == ERR_OK; text.len += n)
		n = fread(text.data + text.len, 1, CHUNK, f);
	if (!ferror(f) && feof(f)) {
		why = "is not JSON";
		doc = body_parse((char *)text.data, text.len);
	}
	if (doc != NULL)
		good = setup_apply(s, doc, &why);
	if (!good)
		LOG(LOG_ERROR, "setup", "cannot be used", kv_text("file", path),
		    kv_text("why", why));
	yajl_tree_free(doc);
	buf_fini(&text);
	fclose(f);
	return good;
}
