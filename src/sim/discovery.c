/* SPDX-License-Identifier: Apache-2.0 */
/* Where an instance is to be found, and what is not simulated. */
#include <stdio.h>

#include "handlers.h"
#include "sim.h"

static void
put_endpoint(struct json *j, const char *name, const struct exchange *x, enum port which)
{
	const struct http_port *p = &x->sim->ports[which];
	char url[ADDRESS_SIZE + 32];

	if (p->http == NULL)
		return;
	snprintf(url, sizeof(url), "%s://%s", http_scheme(x->sim, which), p->host_port);
	json_text(j, name, url);
}

/* The broker of HPCS. */
enum fail
discovery_broker(struct exchange *x)
{
	const struct instance *inst = instance_find(&x->sim->store, x->segment[2]);
	const struct http_port *p = &x->sim->ports[PORT_HPCS];
	struct json j;

	if (inst == NULL || inst->kind != INSTANCE_HPCS || p->http == NULL ||
	    !access_allows(x->who, inst, NULL, NULL, RIGHT_INSTANCE_VIEW))
		return FAIL_UNAUTHORIZED;
	exchange_reply(x, 200, &j);
	json_object(&j, NULL);
	json_text(&j, "instance_id", inst->id);
	json_object(&j, "kms");
	json_text(&j, "public", p->host_port);
	json_text(&j, "private", p->host_port);
	json_object_end(&j);
	json_object_end(&j);
	return FAIL_NONE;
}

/* The resource controller. */
enum fail
discovery_resource(struct exchange *x)
{
	const struct instance *inst = instance_find(&x->sim->store, x->segment[2]);
	enum port which = inst != NULL && inst->kind == INSTANCE_HPCS ? PORT_HPCS : PORT_API;
	struct json j;

	if (inst == NULL || !access_allows(x->who, inst, NULL, NULL, RIGHT_INSTANCE_VIEW))
		return FAIL_UNAUTHORIZED;
	exchange_reply(x, 200, &j);
	json_object(&j, NULL);
	json_text(&j, "id", inst->id);
	json_text(&j, "guid", inst->id);
	json_text(&j, "state", "active");
	json_text(&j, "region_id", inst->region);
	json_text(&j, "account_id", inst->account);
	json_object(&j, "extensions");
	json_object(&j, "endpoints");
	put_endpoint(&j, "public", x, which);
	put_endpoint(&j, "private", x, which);
	json_object_end(&j);
	json_object_end(&j);
	json_object_end(&j);
	return FAIL_NONE;
}

enum fail
discovery_ip_port(struct exchange *x)
{
	struct json j;

	exchange_reply(x, 200, &j);
	json_object(&j, NULL);
	json_object(&j, "metadata");
	exchange_collection(&j, "allowed_ip_metadata", 1);
	json_object_end(&j);
	json_array(&j, "resources");
	json_object(&j, NULL);
	json_int(&j, "private_endpoint_port", x->port->port);
	json_object_end(&j);
	json_array_end(&j);
	json_object_end(&j);
	return FAIL_NONE;
}

enum fail
discovery_not_simulated(struct exchange *x)
{
	(void)x;
	return FAIL_NOT_SIMULATED;
}
