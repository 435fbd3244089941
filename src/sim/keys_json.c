/* SPDX-License-Identifier: Apache-2.0 */
/* A key, as Key Protect shows it. */
#include "keys_json.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "sim.h"
#include "validate.h"

void
keys_json_date(struct json *j, const char *name, int64_t when)
{
	time_t t = (time_t)when;
	struct tm tm;
	char text[32];

	if (gmtime_r(&t, &tm) != NULL &&
	    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) > 0)
		json_text(j, name, text);
}

void
keys_json_base64(struct json *j, const char *name, const void *data, size_t len)
{
	struct buf text;

	buf_init(&text, BASE64_MAX);
	text_base64(&text, data, len);
	j->out->error = buf_error(j->out) != ERR_OK ? buf_error(j->out) : buf_error(&text);
	json_bytes(j, name, text.data, text.len);
	buf_fini(&text);
}

static void
put_date_if(struct json *j, const char *name, int64_t when)
{
	if (when != 0)
		keys_json_date(j, name, when);
}

static void
put_aliases(struct json *j, const struct exchange *x, const struct key *k)
{
	bool any = false;

	LIST_FOREACH(l, &k->aliases)
	{
		const struct alias *a = CONTAINER_OF(l, struct alias, link);

		if (a->gone_at != 0 && exchange_now(x) >= a->gone_at)
			continue;
		if (!any)
			json_array(j, "aliases");
		any = true;
		json_text(j, NULL, a->name);
	}
	if (any)
		json_array_end(j);
}

static void
put_crn(struct json *j, const struct key *k)
{
	const struct instance *inst = k->inst;
	char crn[256];

	snprintf(crn, sizeof(crn), "crn:v1:bluemix:public:%s:%s:a/%s:%s:key:%s",
	    inst->kind == INSTANCE_HPCS ? "hs-crypto" : "kms", inst->region, inst->account,
	    inst->id, k->id);
	json_text(j, "crn", crn);
}

static void
put_algorithm(struct json *j, const struct key *k)
{
	size_t len = k->extractable ? k->payload_len : key_newest(k)->len;
	char bits[24];

	snprintf(bits, sizeof(bits), "%zu", 8 * len);
	json_text(j, "algorithmType", "Deprecated");
	json_object(j, "algorithmMetadata");
	json_text(j, "bitLength", bits);
	json_text(j, "mode", "Deprecated");
	json_object_end(j);
	json_int(j, "algorithmBitSize", (int64_t)(8 * len));
	json_text(j, "algorithmMode", "Deprecated");
}

static void
put_dual_auth(struct json *j, const struct key *k)
{
	json_object(j, "dualAuthDelete");
	json_bool(j, "enabled", k->dual_auth);
	if (k->dual_auth) {
		json_bool(j, "keySetForDeletion", k->dual_auth_by[0] != '\0');
		if (k->dual_auth_by[0] != '\0')
			keys_json_date(j, "authExpiration", k->dual_auth_at + DUAL_AUTH_LAPSE_S);
	}
	json_object_end(j);
}

static void
put_deletion(struct json *j, const struct exchange *x, const struct key *k, enum key_view v)
{
	int64_t now = exchange_now(x);

	if (k->state != KEY_DESTROYED) {
		if (v != KEY_ROW)
			json_bool(j, "deleted", false);
		return;
	}
	json_bool(j, "deleted", true);
	keys_json_date(j, "deletionDate", k->deleted);
	json_text(j, "deletedBy", k->deleted_by);
	if (v == KEY_JUST_GONE)
		return;
	json_bool(j, "restoreAllowed", now <= k->deleted + RESTORE_UNTIL_S);
	keys_json_date(j, "restoreExpirationDate", k->deleted + RESTORE_UNTIL_S);
	json_bool(j, "purgeAllowed", now >= k->deleted + PURGE_FROM_S);
	keys_json_date(j, "purgeAllowedFrom", k->deleted + PURGE_FROM_S);
	keys_json_date(j, "purgeScheduledOn", k->deleted + PURGE_AT_S);
}

static void
put_root(struct json *j, const struct key *k)
{
	const struct version *v = key_newest(k);

	put_date_if(j, "lastRotateDate", k->rotated);
	json_object(j, "keyVersion");
	json_text(j, "id", v->id);
	keys_json_date(j, "creationDate", v->created);
	json_object_end(j);
	if (k->rotation_months > 0) {
		json_object(j, "rotation");
		json_bool(j, "enabled", k->rotation_enabled);
		json_int(j, "interval_month", k->rotation_months);
		json_object_end(j);
	}
}

void
keys_json_put(struct json *j, const struct exchange *x, const struct key *k, enum key_view v)
{
	json_object(j, NULL);
	json_text(j, "type", "application/vnd.ibm.kms.key+json");
	json_text(j, "id", k->id);
	json_text(j, "name", k->name);
	put_aliases(j, x, k);
	if (k->description != NULL)
		json_text(j, "description", k->description);
	if (k->tag_count > 0) {
		const char *tag = k->tags;

		json_array(j, "tags");
		for (size_t i = 0; i < k->tag_count; i++, tag += strlen(tag) + 1)
			json_text(j, NULL, tag);
		json_array_end(j);
	}
	json_int(j, "state", (int64_t)k->state);
	put_date_if(j, "expirationDate", k->expires);
	json_bool(j, "extractable", k->extractable);
	put_crn(j, k);
	json_bool(j, "imported", k->imported);
	json_text(j, "keyRingID", k->ring);
	keys_json_date(j, "creationDate", k->created);
	json_text(j, "createdBy", k->created_by);
	put_algorithm(j, k);
	keys_json_date(j, "lastUpdateDate", k->updated);
	if (!k->extractable)
		put_root(j, k);
	put_dual_auth(j, k);
	put_deletion(j, x, k, v);
	if (v == KEY_PAYLOAD && k->extractable)
		keys_json_base64(j, "payload", k->payload, k->payload_len);
	json_object_end(j);
}

/* An answer about one key, up to that one. */
static void
begin_reply(struct exchange *x, int status, struct json *j)
{
	exchange_reply(x, status, j);
	json_object(j, NULL);
	json_object(j, "metadata");
	exchange_collection(j, "key", 1);
	json_object_end(j);
	json_array(j, "resources");
}

void
keys_json_reply(struct exchange *x, int status, const struct key *k, enum key_view v)
{
	struct json j;

	begin_reply(x, status, &j);
	keys_json_put(&j, x, k, v);
	json_array_end(&j);
	json_object_end(&j);
}

void
keys_json_reply_id(struct exchange *x, int status, const struct key *k)
{
	struct json j;

	begin_reply(x, status, &j);
	json_object(&j, NULL);
	json_text(&j, "id", k->id);
	json_object_end(&j);
	json_array_end(&j);
	json_object_end(&j);
}
