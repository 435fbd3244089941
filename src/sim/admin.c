/* SPDX-License-Identifier: Apache-2.0 */
/* The admin port: clock, outages, settings, and what a customer does in the console. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <openssl/rand.h>

#include "base/alloc.h"
#include "base/clock.h"

#include "body.h"
#include "handlers.h"
#include "setup.h"
#include "sim.h"
#include "validate.h"

enum { FILL_MAX = 100000, FILL_PAYLOAD_LEN = 240, YEARS_20_S = 20 * 365 * 86400 };

static struct instance *
named_instance(struct exchange *x)
{
	return instance_find(&x->sim->store, x->segment[1]);
}

static void
put_instance(struct json *j, const struct instance *inst)
{
	json_object(j, NULL);
	json_text(j, "id", inst->id);
	json_text(j, "kind", inst->kind == INSTANCE_HPCS ? "hpcs" : "kms");
	json_int(j, "keys", (int64_t)inst->key_count);
	json_int(j, "aliases", (int64_t)inst->alias_count);
	json_int(j, "key-rings", (int64_t)inst->ring_count);
	json_object(j, "settings");
#define SETTING(member, name, fallback, least, most) json_int(j, name, inst->set.member);
#include "setting.def"
#undef SETTING
	json_object_end(j);
	json_object_end(j);
}

enum fail
admin_status(struct exchange *x)
{
	const struct sim *s = x->sim;
	struct json j;

	exchange_reply(x, 200, &j);
	json_object(&j, NULL);
	for (int i = 0; i < PORTS; i++)
		if (s->ports[i].http != NULL)
			json_text(&j, http_port_name((enum port)i), s->ports[i].host_port);
	json_time(&j, "clock", store_now(&s->store));
	json_int(&j, "clock-offset-s", s->store.clock_offset);
	json_array(&j, "instances");
	LIST_FOREACH(l, &s->store.instances)
	put_instance(&j, CONTAINER_OF(l, struct instance, link));
	json_array_end(&j);
	json_object_end(&j);
	return FAIL_NONE;
}

enum fail
admin_setup(struct exchange *x)
{
	const char *why = NULL;

	if (x->json == NULL)
		return FAIL_NO_BODY;
	if (!setup_apply(x->sim, x->json, &why))
		return exchange_fail_at(x, FAIL_INVALID_FIELD, why);
	exchange_reply_empty(x, 204);
	return FAIL_NONE;
}

/* It goes on from where it stood. */
static void
stop_clock(struct store *s, bool stop)
{
	int64_t wall = clock_wall();

	if (s->clock_stopped != 0)
		s->clock_offset -= wall - s->clock_stopped;
	s->clock_stopped = stop ? wall : 0;
}

/* {"advance-s": n, "stop": true or false}: time only goes forward. */
enum fail
admin_clock(struct exchange *x)
{
	struct store *s = &x->sim->store;
	bool stop = s->clock_stopped != 0;
	int64_t advance = 0;
	struct json j;

	if (x->json == NULL || !body_only(x->json, " advance-s stop ") ||
	    !body_bool(x->json, "stop", &stop) ||
	    !body_int(x->json, "advance-s", 0, YEARS_20_S, &advance))
		return exchange_fail_at(x, FAIL_INVALID_FIELD, "advance-s");
	stop_clock(s, stop);
	s->clock_offset += advance;
	exchange_reply(x, 200, &j);
	json_object(&j, NULL);
	json_time(&j, "clock", exchange_now(x));
	json_object_end(&j);
	return FAIL_NONE;
}

enum fail
admin_settings(struct exchange *x)
{
	struct instance *inst = named_instance(x);

	if (inst == NULL)
		return FAIL_NO_PATH;
	if (!setup_settings(inst, x->json))
		return FAIL_INVALID_FIELD;
	exchange_reply_empty(x, 204);
	return FAIL_NONE;
}

/* {"mode": "none|refuse|reset|handshake", "port": "api|hpcs"} */
enum fail
admin_outage(struct exchange *x)
{
	static const char *const modes[] = {"none", "refuse", "reset", "handshake"};
	const char *mode = NULL, *port = "api";
	int o = -1, which = -1;

	if (!body_only(x->json, " mode port ") || !body_text(x->json, "mode", &mode) ||
	    !body_text(x->json, "port", &port) || mode == NULL)
		return FAIL_INVALID_FIELD;
	for (int i = OUTAGE_NONE; i <= OUTAGE_HANDSHAKE; i++)
		if (strcmp(modes[i], mode) == 0)
			o = i;
	for (int i = PORT_API; i <= PORT_HPCS; i++)
		if (strcmp(http_port_name((enum port)i), port) == 0)
			which = i;
	if (o < 0 || which < 0 || !http_set_outage(x->sim, (enum port)which, (enum outage)o))
		return FAIL_INVALID_FIELD;
	exchange_reply_empty(x, 204);
	return FAIL_NONE;
}

/* {"lose-writes": n}: another region answers, without the last writes, and only for reading. */
enum fail
admin_failover(struct exchange *x)
{
	struct instance *inst = named_instance(x);
	int64_t lose = 0;

	if (inst == NULL)
		return FAIL_NO_PATH;
	if (x->json != NULL && (!body_only(x->json, " lose-writes ") ||
				   !body_int(x->json, "lose-writes", 0, INT32_MAX, &lose)))
		return exchange_fail_at(x, FAIL_INVALID_FIELD, "lose-writes");
	instance_lose_writes(inst, (uint64_t)lose);
	inst->set.read_only = 1;
	exchange_reply_empty(x, 204);
	return FAIL_NONE;
}

static struct key *
make_foreign(struct exchange *x, struct instance *inst, const char *prefix, const char *ring)
{
	struct key *k = key_new(inst);
	char id[UID_TEXT_LEN + 1];

	if (k == NULL)
		return NULL;
	k->extractable = k->imported = true;
	k->created = k->updated = exchange_now(x);
	k->payload_len = FILL_PAYLOAD_LEN;
	k->payload = alloc_bytes(FILL_PAYLOAD_LEN);
	snprintf(k->ring, sizeof(k->ring), "%s", ring);
	snprintf(k->created_by, sizeof(k->created_by), "iam-ServiceId-hosted-kmip");
	if (k->payload == NULL || text_uuid4(id) != ERR_OK ||
	    RAND_bytes(k->payload, FILL_PAYLOAD_LEN) != 1 ||
	    snprintf(k->name, 91, "%s%s", prefix, id) > 90 || !key_add(k)) {
		key_free(k);
		return NULL;
	}
	return k;
}

/*
 * {"count": n, "prefix": "vmware_kmip_", "key-ring": "default"}: standard keys that are not ours,
 * such as IBM's hosted service left behind.
 */
enum fail
admin_fill(struct exchange *x)
{
	struct instance *inst = named_instance(x);
	const char *prefix = "vmware_kmip_", *ring = "default";
	int64_t count = 1;
	struct json j;

	if (inst == NULL)
		return FAIL_NO_PATH;
	if ((x->json != NULL && !body_only(x->json, " count prefix key-ring ")) ||
	    !body_int(x->json, "count", 1, FILL_MAX, &count) ||
	    !body_text(x->json, "prefix", &prefix) || !body_text(x->json, "key-ring", &ring) ||
	    ring_find(inst, ring) == NULL || strlen(prefix) > 90 - UID_TEXT_LEN)
		return FAIL_INVALID_FIELD;
	exchange_reply(x, 201, &j);
	json_object(&j, NULL);
	json_array(&j, "ids");
	for (int64_t i = 0; i < count; i++) {
		const struct key *k = make_foreign(x, inst, prefix, ring);

		if (k == NULL)
			return FAIL_INTERNAL;
		json_text(&j, NULL, k->id);
	}
	json_array_end(&j);
	json_object_end(&j);
	return FAIL_NONE;
}

/* All keys, as the console shows them. */
enum fail
admin_keys(struct exchange *x)
{
	struct instance *inst = named_instance(x);
	struct json j;

	if (inst == NULL)
		return FAIL_NO_PATH;
	exchange_reply(x, 200, &j);
	json_object(&j, NULL);
	json_array(&j, "keys");
	LIST_FOREACH(it, &inst->keys) {
		const struct key *k = CONTAINER_OF(it, struct key, link);

		json_object(&j, NULL);
		json_text(&j, "id", k->id);
		json_text(&j, "name", k->name);
		json_text(&j, "type", k->extractable ? "standard" : "root");
		json_int(&j, "state", k->state);
		json_object_end(&j);
	}
	json_array_end(&j);
	json_object_end(&j);
	return FAIL_NONE;
}

/*
 * POST /instances/<id>/keys/<id or alias>/<action>: a customer acts in the console, with every
 * right, in the name of {"as": subject} or of an administrator.
 */
enum fail
admin_act(struct exchange *x)
{
	static const struct {
		const char *name;
		enum fail (*run)(struct exchange *);
	} actions[] = {{"delete", keys_delete}, {"restore", keys_restore}, {"purge", keys_purge},
	    {"disable", keys_disable}, {"enable", keys_enable}, {"rotate", keys_rotate}};
	const char *as = NULL;

	x->inst = named_instance(x);
	if (x->inst == NULL)
		return FAIL_NO_PATH;
	if ((x->json != NULL && !body_only(x->json, " as ")) || !body_text(x->json, "as", &as))
		return FAIL_BAD_BODY;
	x->json = NULL; /* the action gets none */
	x->who = as != NULL ? iam_identity_find(&x->sim->iam, as) : &x->sim->iam.operator;
	x->key = key_find(&x->sim->store, x->inst, x->segment[3]);
	if (x->who == NULL || x->key == NULL)
		return FAIL_KEY_NOT_FOUND;
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
		if (strcmp(actions[i].name, x->segment[4]) == 0)
			return actions[i].run(x);
	return FAIL_NO_PATH;
}

enum fail
admin_revoke(struct exchange *x)
{
	iam_revoke_tokens(&x->sim->iam);
	exchange_reply_empty(x, 204);
	return FAIL_NONE;
}
