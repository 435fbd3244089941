/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Query and Discover Versions (specification 1.4 sections 4.25, 4.26, 2.1 section 6.1): what this
 * server can do.  Answered from tables, never by asking anybody.
 */
#include "request.h"

#include <string.h>

#include "kmip/names.h"

#include "objattr.h"

enum { FUNCTIONS_MAX = 64 };

static void
put_operations(struct request *rq)
{
	const struct op *op;

	for (size_t i = 0; (op = op_at(i)) != NULL; i++)
		if (op->since <= rq->in.version)
			ttlv_put_enum(&rq->out, TAG_OPERATION, op->operation);
}

static void
put_object_types(struct request *rq)
{
	ttlv_put_enum(&rq->out, TAG_OBJECT_TYPE, KMIP_OBJECT_TYPE_SYMMETRIC_KEY);
	if (rq->in.version < KMIP_2_0)
		ttlv_put_enum(&rq->out, TAG_OBJECT_TYPE, KMIP_OBJECT_TYPE_TEMPLATE);
	ttlv_put_enum(&rq->out, TAG_OBJECT_TYPE, KMIP_OBJECT_TYPE_SECRET_DATA);
	ttlv_put_enum(&rq->out, TAG_OBJECT_TYPE, KMIP_OBJECT_TYPE_OPAQUE_OBJECT);
}

static void
put_server_information(struct request *rq)
{
	const char *name = rq->p.server_name;

	ttlv_put_text(&rq->out, TAG_VENDOR_IDENTIFICATION, name, strlen(name));
	if (rq->in.version >= KMIP_2_0) { /* which says what may stand in there */
		size_t mark = ttlv_begin(&rq->out, TAG_SERVER_INFORMATION);

		ttlv_put_text(&rq->out, TAG_PRODUCT_NAME, name, strlen(name));
		ttlv_end(&rq->out, mark);
	}
}

static void
put_rngs(struct request *rq)
{
	objattr_put_rng(&rq->out, TAG_RNG_PARAMETERS);
}

static void
put_capabilities(struct request *rq)
{
	size_t mark = ttlv_begin(&rq->out, TAG_CAPABILITY_INFORMATION);

	ttlv_put_bool(&rq->out, TAG_STREAMING_CAPABILITY, true);
	ttlv_put_bool(&rq->out, TAG_ASYNCHRONOUS_CAPABILITY, false);
	ttlv_put_bool(&rq->out, TAG_ATTESTATION_CAPABILITY, false);
	if (rq->in.version >= KMIP_1_4) {
		ttlv_put_bool(&rq->out, TAG_BATCH_UNDO_CAPABILITY, true);
		ttlv_put_bool(&rq->out, TAG_BATCH_CONTINUE_CAPABILITY, true);
	}
	if (rq->in.version >= KMIP_2_0)
		ttlv_put_bool(&rq->out, TAG_QUANTUM_SAFE_CAPABILITY, false);
	ttlv_end(&rq->out, mark);
}

static void
put_protection(struct request *rq)
{
	ttlv_put_int(&rq->out, TAG_PROTECTION_STORAGE_MASK, (int32_t)OBJATTR_PROTECTION);
}

/*
 * In the order of the response payload.  Functions without a writer have nothing to list here:
 * no application namespaces, extensions, attestation, validations, profiles, registration, and no
 * attributes that an object gets by default.
 */
static const struct {
	uint32_t function;
	int since;
	void (*put)(struct request *rq);
} functions[] = {
    {KMIP_QUERY_FUNCTION_QUERY_OPERATIONS, KMIP_1_0, put_operations},
    {KMIP_QUERY_FUNCTION_QUERY_OBJECTS, KMIP_1_0, put_object_types},
    {KMIP_QUERY_FUNCTION_QUERY_SERVER_INFORMATION, KMIP_1_0, put_server_information},
    {KMIP_QUERY_FUNCTION_QUERY_RNGS, KMIP_1_3, put_rngs},
    {KMIP_QUERY_FUNCTION_QUERY_CAPABILITIES, KMIP_1_3, put_capabilities},
    {KMIP_QUERY_FUNCTION_QUERY_STORAGE_PROTECTION_MASKS, KMIP_2_0, put_protection},
};

void
query_start(struct request *rq)
{
	uint32_t asked[FUNCTIONS_MAX];
	size_t n = 0;
	struct ttlv t;
	enum err e = ERR_OK;

	while (n < FUNCTIONS_MAX && ttlv_opt(&rq->payload, TAG_QUERY_FUNCTION, TTLV_ENUM, &t)) {
		asked[n++] = ttlv_uint(&t);
		if (!kmip_value_known(SET_QUERY_FUNCTION, ttlv_uint(&t), rq->in.version))
			e = ERR_INVALID_FIELD;
	}
	if (e == ERR_OK)
		e = ttlv_finish(&rq->payload);
	if (e == ERR_OK && n == 0)
		e = ERR_MISSING_DATA;
	for (size_t f = 0; e == ERR_OK && f < sizeof(functions) / sizeof(functions[0]); f++) {
		bool wanted = false;

		for (size_t i = 0; i < n; i++)
			wanted |= asked[i] == functions[f].function;
		if (wanted && functions[f].since <= rq->in.version)
			functions[f].put(rq);
	}
	rq_done(rq, e);
}

/* With a list, those of ours that stand in it; without, all.  Best first either way. */
void
discover_versions_start(struct request *rq)
{
	bool listed[0x100] = {false};
	bool any = false;
	struct ttlv t, major, minor;
	struct ttlv_reader r;
	enum err e = ERR_OK;

	while (e == ERR_OK && ttlv_opt(&rq->payload, TAG_PROTOCOL_VERSION, TTLV_STRUCTURE, &t)) {
		ttlv_enter(&r, &t);
		ttlv_need(&r, TAG_PROTOCOL_VERSION_MAJOR, TTLV_INTEGER, &major);
		ttlv_need(&r, TAG_PROTOCOL_VERSION_MINOR, TTLV_INTEGER, &minor);
		e = ttlv_finish(&r);
		any = true;
		if (e == ERR_OK && ttlv_uint(&major) < 0x10 && ttlv_uint(&minor) < 0x10)
			listed[ttlv_uint(&major) << 4 | ttlv_uint(&minor)] = true;
	}
	if (e == ERR_OK)
		e = ttlv_finish(&rq->payload);
	for (size_t i = 0; e == ERR_OK && i < kmip_versions_count; i++)
		if (!any || listed[kmip_versions[i]])
			kmip_put_version(&rq->out, kmip_versions[i]);
	rq_done(rq, e);
}
