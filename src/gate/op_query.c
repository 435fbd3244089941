/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Query and Discover Versions (specification 1.4 sections 4.25, 4.26, 2.1 section 6.1): what this
 * server can do.  Answered from tables, never by asking anybody.
 */
#include "request.h"

#include <string.h>

#include "kmip/names.h"

#include "appdata.h"
#include "objattr.h"

enum { FUNCTIONS_MAX = 64 };

struct query {
	uint32_t asked[FUNCTIONS_MAX];
	size_t count;
};

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
	const struct query *q = rq->state;
	size_t mark;

	ttlv_put_text(&rq->out, TAG_VENDOR_IDENTIFICATION, name, strlen(name));
	/*
	 * 2.0 says what may stand in there.  Older ones have an empty one in the test cases; vCenter, which
	 * asks for nothing else, was seen to do without.
	 */
	if (rq->in.version < KMIP_2_0 && q->count == 1)
		return;
	mark = ttlv_begin(&rq->out, TAG_SERVER_INFORMATION);
	if (rq->in.version >= KMIP_2_0)
		ttlv_put_text(&rq->out, TAG_PRODUCT_NAME, name, strlen(name));
	ttlv_end(&rq->out, mark);
}

static void
put_namespaces(struct request *rq)
{
	ttlv_put_text(&rq->out, TAG_APPLICATION_NAMESPACE, APPDATA_NAMESPACE,
	    strlen(APPDATA_NAMESPACE));
}

static void
put_rngs(struct request *rq)
{
	objattr_put_rng(&rq->out, TAG_RNG_PARAMETERS);
}

/*
 * Those whose server's mandatory test cases are passed.  Not among them are profiles with certificates
 * or key pairs, as the Baseline Server's is from 2.0 on, and other encodings than TTLV.
 */
static const uint32_t profiles[] = {
#define IN_1_X(name)                                                                               \
	KMIP_PROFILE_NAME_##name##_KMIP_V1_0, KMIP_PROFILE_NAME_##name##_KMIP_V1_1,                \
	    KMIP_PROFILE_NAME_##name##_KMIP_V1_2, KMIP_PROFILE_NAME_##name##_KMIP_V1_3,            \
	    KMIP_PROFILE_NAME_##name##_KMIP_V1_4
#define SINCE_1_2(name)                                                                            \
	KMIP_PROFILE_NAME_##name##_KMIP_V1_2, KMIP_PROFILE_NAME_##name##_KMIP_V1_3,                \
	    KMIP_PROFILE_NAME_##name##_KMIP_V1_4
	SINCE_1_2(BASELINE_SERVER_TLS_V1_2),
	IN_1_X(SYMMETRIC_KEY_LIFECYCLE_SERVER),
	SINCE_1_2(BASIC_CRYPTOGRAPHIC_SERVER),
	SINCE_1_2(RNG_CRYPTOGRAPHIC_SERVER),
	IN_1_X(SYMMETRIC_KEY_FOUNDRY_SERVER),
	IN_1_X(OPAQUE_MANAGED_OBJECT_STORE_SERVER),
	IN_1_X(STORAGE_ARRAY_WITH_SELF_ENCRYPTING_DRIVE_SERVER),
#undef IN_1_X
#undef SINCE_1_2
};
static const uint32_t profiles_2[] = {
	KMIP_PROFILE_NAME_SYMMETRIC_KEY_LIFECYCLE_SERVER,
	KMIP_PROFILE_NAME_BASIC_CRYPTOGRAPHIC_SERVER,
	KMIP_PROFILE_NAME_RNG_CRYPTOGRAPHIC_SERVER,
	KMIP_PROFILE_NAME_SYMMETRIC_KEY_FOUNDRY_SERVER,
	KMIP_PROFILE_NAME_OPAQUE_MANAGED_OBJECT_STORE_SERVER,
	KMIP_PROFILE_NAME_STORAGE_ARRAY_WITH_SELF_ENCRYPTING_DRIVE_SERVER,
};

/* Whose cases 2.1 has more of: ChaCha20. */
static bool
grew_in_2_1(uint32_t profile)
{
	return profile == KMIP_PROFILE_NAME_BASIC_CRYPTOGRAPHIC_SERVER;
}

/* 2.0 took away the names that have a version; older ones know only those up to themselves. */
static void
put_profiles(struct request *rq)
{
	bool is_2 = rq->in.version >= KMIP_2_0;
	const uint32_t *list = is_2 ? profiles_2 : profiles;
	size_t count = is_2 ? sizeof(profiles_2) / sizeof(*list) : sizeof(profiles) / sizeof(*list);

	for (size_t i = 0; i < count; i++) {
		size_t mark;

		if (!kmip_value_known(SET_PROFILE_NAME, list[i], rq->in.version) ||
		    (rq->in.version >= KMIP_2_1 && grew_in_2_1(list[i])))
			continue;
		mark = ttlv_begin(&rq->out, TAG_PROFILE_INFORMATION);
		ttlv_put_enum(&rq->out, TAG_PROFILE_NAME, list[i]);
		ttlv_end(&rq->out, mark);
	}
}

/* Keys stay as they are registered; of a destroyed one the key is gone, and what is known of it stays. */
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
	ttlv_put_enum(&rq->out, TAG_UNWRAP_MODE, KMIP_UNWRAP_MODE_NOT_PROCESSED);
	ttlv_put_enum(&rq->out, TAG_DESTROY_ACTION, KMIP_DESTROY_ACTION_KEY_MATERIAL_DELETED);
	ttlv_put_enum(&rq->out, TAG_SHREDDING_ALGORITHM, KMIP_SHREDDING_ALGORITHM_UNSUPPORTED);
	ttlv_put_enum(&rq->out, TAG_RNG_MODE, KMIP_RNG_MODE_SHARED_INSTANTIATION);
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
 * no extensions, attestation, validations, registration, and no attributes that an object gets by
 * default.
 */
static const struct {
	uint32_t function;
	int since;
	void (*put)(struct request *rq);
} functions[] = {
    {KMIP_QUERY_FUNCTION_QUERY_OPERATIONS, KMIP_1_0, put_operations},
    {KMIP_QUERY_FUNCTION_QUERY_OBJECTS, KMIP_1_0, put_object_types},
    {KMIP_QUERY_FUNCTION_QUERY_SERVER_INFORMATION, KMIP_1_0, put_server_information},
    {KMIP_QUERY_FUNCTION_QUERY_APPLICATION_NAMESPACES, KMIP_1_0, put_namespaces},
    {KMIP_QUERY_FUNCTION_QUERY_RNGS, KMIP_1_3, put_rngs},
    {KMIP_QUERY_FUNCTION_QUERY_PROFILES, KMIP_1_3, put_profiles},
    {KMIP_QUERY_FUNCTION_QUERY_CAPABILITIES, KMIP_1_3, put_capabilities},
    {KMIP_QUERY_FUNCTION_QUERY_STORAGE_PROTECTION_MASKS, KMIP_2_0, put_protection},
};

void
query_start(struct request *rq)
{
	struct query *q = rq->state = arena_zalloc(rq->arena, sizeof(*q));
	struct ttlv t;
	enum err e = q != NULL ? ERR_OK : ERR_NO_MEMORY;

	while (q != NULL && q->count < FUNCTIONS_MAX &&
	    ttlv_opt(&rq->payload, TAG_QUERY_FUNCTION, TTLV_ENUM, &t)) {
		q->asked[q->count++] = ttlv_uint(&t);
		if (!kmip_value_known(SET_QUERY_FUNCTION, ttlv_uint(&t), rq->in.version))
			e = ERR_INVALID_FIELD;
	}
	if (e == ERR_OK)
		e = ttlv_finish(&rq->payload);
	if (e == ERR_OK && q->count == 0)
		e = ERR_MISSING_DATA;
	for (size_t f = 0; e == ERR_OK && f < sizeof(functions) / sizeof(functions[0]); f++) {
		bool wanted = false;

		for (size_t i = 0; i < q->count; i++)
			wanted |= q->asked[i] == functions[f].function;
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
