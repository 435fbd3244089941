/* SPDX-License-Identifier: Apache-2.0 */
/* The specification's tables of payloads and headers. */
#include "shape.h"

#include "kmip/names.h"

/* A field of all versions, of those since one, of those up to one. */
#define IN(how, kind, tag, type, since, until, ...)                                                \
	{SHAPE_##how, SHAPE_##kind, TAG_##tag, TTLV_##type, since, until, __VA_ARGS__}
#define ONE(tag, type) IN(ONE, PLAIN, tag, type, 0, 0, NULL)
#define MAYBE(tag, type) IN(MAYBE, PLAIN, tag, type, 0, 0, NULL)
#define ANY(tag, type) IN(ANY, PLAIN, tag, type, 0, 0, NULL)
#define SOME(tag, type) IN(SOME, PLAIN, tag, type, 0, 0, NULL)
#define SINCE(version, tag, type) IN(MAYBE, PLAIN, tag, type, KMIP_##version, 0, NULL)
#define ANY_SINCE(version, tag, type) IN(ANY, PLAIN, tag, type, KMIP_##version, 0, NULL)
#define UNTIL(version, tag, type) IN(MAYBE, PLAIN, tag, type, 0, KMIP_##version, NULL)
#define THE(how, tag, fields) IN(how, PLAIN, tag, STRUCTURE, 0, 0, fields)
#define THE_SINCE(version, how, tag, fields)                                                       \
	IN(how, PLAIN, tag, STRUCTURE, KMIP_##version, 0, fields)
#define SPECIAL(how, kind, tag, type) IN(how, kind, tag, type, 0, 0, NULL)
#define END {.how = SHAPE_END}

/* The object that is meant: given, or that of the ID Placeholder. */
#define MEANT SPECIAL(MAYBE, UID, UNIQUE_IDENTIFIER, TEXT)
#define ITS_UID ONE(UNIQUE_IDENTIFIER, TEXT)
#define TEMPLATE(how) SPECIAL(how, TEMPLATE, TEMPLATE_ATTRIBUTE, STRUCTURE)
#define ITS_ATTRIBUTES SPECIAL(ONE, ATTRIBUTES, ATTRIBUTES, STRUCTURE)
#define GIVEN SPECIAL(ONE, ATTRIBUTE, NEW_ATTRIBUTE, STRUCTURE)
#define OBJECT(how) SPECIAL(how, OBJECT, SYMMETRIC_KEY, STRUCTURE)
#define MASKS THE_SINCE(2_0, MAYBE, PROTECTION_STORAGE_MASKS, masks)
/* 1.x answers with the attribute as it is now. */
#define CHANGED IN(MAYBE, ATTRIBUTE, ATTRIBUTE, STRUCTURE, 0, KMIP_1_4, NULL)
/* And tells what it set itself in a new object. */
#define IMPLIED IN(MAYBE, TEMPLATE, TEMPLATE_ATTRIBUTE, STRUCTURE, 0, KMIP_1_4, NULL)
#define PARAMETERS(how) THE(how, CRYPTOGRAPHIC_PARAMETERS, parameters)
/* Of operations in parts. */
#define PARTS SINCE(1_3, CORRELATION_VALUE, BYTES), SINCE(1_3, INIT_INDICATOR, BOOLEAN),           \
	SINCE(1_3, FINAL_INDICATOR, BOOLEAN)
#define PART SINCE(1_3, CORRELATION_VALUE, BYTES)
/* Since 1.3 there are parts without data. */
#define ITS_DATA IN(ONE, PLAIN, DATA, BYTES, 0, KMIP_1_2, NULL), SINCE(1_3, DATA, BYTES)

/* --- structures --- */

static const struct shape masks[] = {ANY(PROTECTION_STORAGE_MASK, INTEGER), END};

static const struct shape parameters[] = {
    MAYBE(BLOCK_CIPHER_MODE, ENUM),
    MAYBE(PADDING_METHOD, ENUM),
    MAYBE(HASHING_ALGORITHM, ENUM),
    MAYBE(KEY_ROLE_TYPE, ENUM),
    SINCE(1_2, DIGITAL_SIGNATURE_ALGORITHM, ENUM),
    SINCE(1_2, CRYPTOGRAPHIC_ALGORITHM, ENUM),
    SINCE(1_2, RANDOM_IV, BOOLEAN),
    SINCE(1_2, IV_LENGTH, INTEGER),
    SINCE(1_2, TAG_LENGTH, INTEGER),
    SINCE(1_2, FIXED_FIELD_LENGTH, INTEGER),
    SINCE(1_2, INVOCATION_FIELD_LENGTH, INTEGER),
    SINCE(1_2, COUNTER_LENGTH, INTEGER),
    SINCE(1_2, INITIAL_COUNTER_VALUE, INTEGER),
    SINCE(1_4, SALT_LENGTH, INTEGER),
    SINCE(1_4, MASK_GENERATOR, ENUM),
    SINCE(1_4, MASK_GENERATOR_HASHING_ALGORITHM, ENUM),
    SINCE(1_4, P_SOURCE, BYTES),
    SINCE(1_4, TRAILER_FIELD, INTEGER),
    END};

static const struct shape key_information[] = {
    ONE(UNIQUE_IDENTIFIER, TEXT), PARAMETERS(MAYBE), END};

static const struct shape wrapping_specification[] = {
    ONE(WRAPPING_METHOD, ENUM),
    THE(MAYBE, ENCRYPTION_KEY_INFORMATION, key_information),
    THE(MAYBE, MAC_SIGNATURE_KEY_INFORMATION, key_information),
    ANY(ATTRIBUTE_NAME, TEXT),
    SINCE(1_1, ENCODING_OPTION, ENUM),
    END};

static const struct shape wrapping_data[] = {
    ONE(WRAPPING_METHOD, ENUM),
    THE(MAYBE, ENCRYPTION_KEY_INFORMATION, key_information),
    THE(MAYBE, MAC_SIGNATURE_KEY_INFORMATION, key_information),
    MAYBE(MAC_SIGNATURE, BYTES),
    MAYBE(IV_COUNTER_NONCE, BYTES),
    SINCE(1_1, ENCODING_OPTION, ENUM),
    END};

const struct shape shape_key_value[] = {
    SPECIAL(ONE, KEY_MATERIAL, KEY_MATERIAL, BYTES),
    SPECIAL(MAYBE, ATTRIBUTES, ATTRIBUTES, STRUCTURE),
    END};

static const struct shape key_block[] = {
    ONE(KEY_FORMAT_TYPE, ENUM),
    SPECIAL(MAYBE, KEY_VALUE, KEY_VALUE, STRUCTURE),
    MAYBE(CRYPTOGRAPHIC_ALGORITHM, ENUM),
    MAYBE(CRYPTOGRAPHIC_LENGTH, INTEGER),
    THE(MAYBE, KEY_WRAPPING_DATA, wrapping_data),
    END};

static const struct shape symmetric_key[] = {THE(ONE, KEY_BLOCK, key_block), END};
static const struct shape secret_data[] = {
    ONE(SECRET_DATA_TYPE, ENUM), THE(ONE, KEY_BLOCK, key_block), END};
static const struct shape opaque_object[] = {
    ONE(OPAQUE_DATA_TYPE, ENUM), MAYBE(OPAQUE_DATA_VALUE, BYTES), END};
static const struct shape template[] = {
    SPECIAL(ONE, ATTRIBUTES, ATTRIBUTES, STRUCTURE), END};

const struct shape shape_object[] = {
    THE(ONE, SYMMETRIC_KEY, symmetric_key),
    THE(ONE, SECRET_DATA, secret_data),
    THE(ONE, OPAQUE_OBJECT, opaque_object),
    THE(ONE, TEMPLATE, template),
    END};

static const struct shape derivation_parameters[] = {
    PARAMETERS(MAYBE),
    MAYBE(INITIALIZATION_VECTOR, BYTES),
    MAYBE(DERIVATION_DATA, BYTES),
    MAYBE(SALT, BYTES),
    MAYBE(ITERATION_COUNT, INTEGER),
    END};

static const struct shape revocation_reason[] = {
    ONE(REVOCATION_REASON_CODE, ENUM), MAYBE(REVOCATION_MESSAGE, TEXT), END};

static const struct shape protocol_version[] = {
    ONE(PROTOCOL_VERSION_MAJOR, INTEGER), ONE(PROTOCOL_VERSION_MINOR, INTEGER), END};

static const struct shape server_information[] = {
    SINCE(2_0, SERVER_NAME, TEXT),
    SINCE(2_0, SERVER_SERIAL_NUMBER, TEXT),
    SINCE(2_0, SERVER_VERSION, TEXT),
    SINCE(2_0, SERVER_LOAD, TEXT),
    SINCE(2_0, PRODUCT_NAME, TEXT),
    SINCE(2_0, BUILD_LEVEL, TEXT),
    SINCE(2_0, BUILD_DATE, TEXT),
    SINCE(2_0, CLUSTER_INFO, TEXT),
    END};

static const struct shape extension_information[] = {
    ONE(EXTENSION_NAME, TEXT), MAYBE(EXTENSION_TAG, INTEGER), MAYBE(EXTENSION_TYPE, INTEGER), END};

static const struct shape rng_parameters[] = {
    ONE(RNG_ALGORITHM, ENUM),
    MAYBE(CRYPTOGRAPHIC_ALGORITHM, ENUM),
    MAYBE(CRYPTOGRAPHIC_LENGTH, INTEGER),
    MAYBE(HASHING_ALGORITHM, ENUM),
    MAYBE(DRBG_ALGORITHM, ENUM),
    MAYBE(RECOMMENDED_CURVE, ENUM),
    MAYBE(FIPS186_VARIATION, ENUM),
    MAYBE(PREDICTION_RESISTANCE, BOOLEAN),
    END};

static const struct shape profile_information[] = {
    ONE(PROFILE_NAME, ENUM), MAYBE(SERVER_URI, TEXT), MAYBE(SERVER_PORT, INTEGER), END};

static const struct shape capability_information[] = {
    MAYBE(STREAMING_CAPABILITY, BOOLEAN),
    MAYBE(ASYNCHRONOUS_CAPABILITY, BOOLEAN),
    MAYBE(ATTESTATION_CAPABILITY, BOOLEAN),
    SINCE(1_4, BATCH_UNDO_CAPABILITY, BOOLEAN),
    SINCE(1_4, BATCH_CONTINUE_CAPABILITY, BOOLEAN),
    MAYBE(UNWRAP_MODE, ENUM),
    MAYBE(DESTROY_ACTION, ENUM),
    MAYBE(SHREDDING_ALGORITHM, ENUM),
    MAYBE(RNG_MODE, ENUM),
    SINCE(2_0, QUANTUM_SAFE_CAPABILITY, BOOLEAN),
    END};

/* --- payloads --- */

static const struct shape nothing[] = {END};
static const struct shape uid_only[] = {MEANT, END};
static const struct shape its_uid[] = {ITS_UID, END};
static const struct shape its_uid_and_implied[] = {ITS_UID, IMPLIED, END};
static const struct shape its_uid_and_attribute[] = {ITS_UID, CHANGED, END};
static const struct shape uid_and_new_attribute[] = {MEANT, GIVEN, END};

static const struct shape create[] = {ONE(OBJECT_TYPE, ENUM), TEMPLATE(ONE), MASKS, END};
static const struct shape created[] = {ONE(OBJECT_TYPE, ENUM), ITS_UID, IMPLIED, END};
static const struct shape register_it[] = {
    ONE(OBJECT_TYPE, ENUM), TEMPLATE(ONE), OBJECT(ONE), MASKS, END};
static const struct shape re_key[] = {MEANT, MAYBE(OFFSET, INTERVAL), TEMPLATE(MAYBE), MASKS, END};
static const struct shape derive_key[] = {
    ONE(OBJECT_TYPE, ENUM),
    SPECIAL(ONE, UID, UNIQUE_IDENTIFIER, TEXT),
    ONE(DERIVATION_METHOD, ENUM),
    THE(ONE, DERIVATION_PARAMETERS, derivation_parameters),
    TEMPLATE(ONE),
    MASKS,
    END};
static const struct shape check[] = {
    MEANT,
    MAYBE(USAGE_LIMITS_COUNT, LONG),
    MAYBE(CRYPTOGRAPHIC_USAGE_MASK, INTEGER),
    MAYBE(LEASE_TIME, INTERVAL),
    END};
static const struct shape checked[] = {
    MAYBE(UNIQUE_IDENTIFIER, TEXT),
    MAYBE(USAGE_LIMITS_COUNT, LONG),
    MAYBE(CRYPTOGRAPHIC_USAGE_MASK, INTEGER),
    MAYBE(LEASE_TIME, INTERVAL),
    END};
static const struct shape locate[] = {
    MAYBE(MAXIMUM_ITEMS, INTEGER),
    SINCE(1_3, OFFSET_ITEMS, INTEGER),
    MAYBE(STORAGE_STATUS_MASK, INTEGER),
    SINCE(1_1, OBJECT_GROUP_MEMBER, ENUM),
    ITS_ATTRIBUTES,
    END};
static const struct shape located[] = {
    SINCE(1_3, LOCATED_ITEMS, INTEGER), ANY(UNIQUE_IDENTIFIER, TEXT), END};
static const struct shape get[] = {
    MEANT,
    MAYBE(KEY_FORMAT_TYPE, ENUM),
    SINCE(1_4, KEY_WRAP_TYPE, ENUM),
    MAYBE(KEY_COMPRESSION_TYPE, ENUM),
    THE(MAYBE, KEY_WRAPPING_SPECIFICATION, wrapping_specification),
    END};
static const struct shape got[] = {ONE(OBJECT_TYPE, ENUM), ITS_UID, OBJECT(ONE), END};
static const struct shape exported[] = {
    ONE(OBJECT_TYPE, ENUM), ITS_UID, ITS_ATTRIBUTES, OBJECT(MAYBE), END};
static const struct shape get_attributes[] = {
    MEANT, SPECIAL(ANY, REFERENCE, ATTRIBUTE_REFERENCE, ENUM), END};
static const struct shape got_attributes[] = {ITS_UID, ITS_ATTRIBUTES, END};
static const struct shape got_list[] = {
    ITS_UID, SPECIAL(ANY, REFERENCE, ATTRIBUTE_REFERENCE, ENUM), END};
static const struct shape modify_attribute[] = {
    MEANT, IN(MAYBE, ATTRIBUTE, CURRENT_ATTRIBUTE, STRUCTURE, KMIP_2_0, 0, NULL), GIVEN, END};
static const struct shape delete_attribute[] = {
    MEANT,
    SPECIAL(ONE, REFERENCE, ATTRIBUTE_REFERENCE, ENUM),
    UNTIL(1_4, ATTRIBUTE_INDEX, INTEGER),
    END};
static const struct shape obtained_lease[] = {
    ITS_UID, ONE(LEASE_TIME, INTERVAL), ONE(LAST_CHANGE_DATE, DATE_TIME), END};
static const struct shape get_usage_allocation[] = {MEANT, ONE(USAGE_LIMITS_COUNT, LONG), END};
static const struct shape revoke[] = {
    MEANT, THE(ONE, REVOCATION_REASON, revocation_reason),
    MAYBE(COMPROMISE_OCCURRENCE_DATE, DATE_TIME), END};
static const struct shape encrypt[] = {
    MEANT, PARAMETERS(MAYBE), ITS_DATA, MAYBE(IV_COUNTER_NONCE, BYTES), PARTS,
    SINCE(1_4, AUTHENTICATED_ENCRYPTION_ADDITIONAL_DATA, BYTES), END};
static const struct shape encrypted[] = {
    ITS_UID, MAYBE(DATA, BYTES), MAYBE(IV_COUNTER_NONCE, BYTES), PART,
    SINCE(1_4, AUTHENTICATED_ENCRYPTION_TAG, BYTES), END};
static const struct shape decrypt[] = {
    MEANT, PARAMETERS(MAYBE), ITS_DATA, MAYBE(IV_COUNTER_NONCE, BYTES), PARTS,
    SINCE(1_4, AUTHENTICATED_ENCRYPTION_ADDITIONAL_DATA, BYTES),
    SINCE(1_4, AUTHENTICATED_ENCRYPTION_TAG, BYTES), END};
static const struct shape decrypted[] = {ITS_UID, MAYBE(DATA, BYTES), PART, END};
static const struct shape mac[] = {MEANT, PARAMETERS(MAYBE), ITS_DATA, PARTS, END};
static const struct shape maced[] = {ITS_UID, MAYBE(MAC_DATA, BYTES), PART, END};
static const struct shape mac_verify[] = {
    MEANT, PARAMETERS(MAYBE), ITS_DATA, MAYBE(MAC_DATA, BYTES), PARTS, END};
static const struct shape mac_verified[] = {ITS_UID, MAYBE(VALIDITY_INDICATOR, ENUM), PART, END};
static const struct shape hash[] = {PARAMETERS(ONE), ITS_DATA, PARTS, END};
static const struct shape hashed[] = {MAYBE(DATA, BYTES), PART, END};
static const struct shape data_length[] = {ONE(DATA_LENGTH, INTEGER), END};
static const struct shape data[] = {ONE(DATA, BYTES), END};
static const struct shape of_operation[] = {ONE(ASYNCHRONOUS_CORRELATION_VALUE, BYTES), END};
static const struct shape cancelled[] = {
    ONE(ASYNCHRONOUS_CORRELATION_VALUE, BYTES), ONE(CANCELLATION_RESULT, ENUM), END};
static const struct shape query[] = {SOME(QUERY_FUNCTION, ENUM), END};
static const struct shape queried[] = {
    ANY(OPERATION, ENUM),
    ANY(OBJECT_TYPE, ENUM),
    MAYBE(VENDOR_IDENTIFICATION, TEXT),
    THE(MAYBE, SERVER_INFORMATION, server_information),
    ANY(APPLICATION_NAMESPACE, TEXT),
    THE_SINCE(1_1, ANY, EXTENSION_INFORMATION, extension_information),
    ANY_SINCE(1_2, ATTESTATION_TYPE, ENUM),
    THE_SINCE(1_3, ANY, RNG_PARAMETERS, rng_parameters),
    THE_SINCE(1_3, ANY, PROFILE_INFORMATION, profile_information),
    THE_SINCE(1_3, ANY, CAPABILITY_INFORMATION, capability_information),
    ANY_SINCE(1_3, CLIENT_REGISTRATION_METHOD, ENUM),
    ANY_SINCE(2_0, PROTECTION_STORAGE_MASK, INTEGER),
    END};
static const struct shape versions[] = {THE(ANY, PROTOCOL_VERSION, protocol_version), END};
static const struct shape import[] = {
    ONE(UNIQUE_IDENTIFIER, TEXT),
    ONE(OBJECT_TYPE, ENUM),
    MAYBE(REPLACE_EXISTING, BOOLEAN),
    MAYBE(KEY_WRAP_TYPE, ENUM),
    ITS_ATTRIBUTES,
    OBJECT(ONE),
    END};
static const struct shape log_it[] = {ONE(LOG_MESSAGE, TEXT), END};
static const struct shape adjust_attribute[] = {
    MEANT,
    SPECIAL(ONE, REFERENCE, ATTRIBUTE_REFERENCE, ENUM),
    ONE(ADJUSTMENT_TYPE, ENUM),
    SPECIAL(MAYBE, NUMBER, ADJUSTMENT_VALUE, INTEGER),
    END};
static const struct shape interop[] = {
    ONE(INTEROP_FUNCTION, ENUM), MAYBE(INTEROP_IDENTIFIER, TEXT), END};

static const struct payloads payloads[] = {
#define BOTH(operation, request, response) {KMIP_OPERATION_##operation, request, response}
    BOTH(CREATE, create, created),
    BOTH(REGISTER, register_it, its_uid_and_implied),
    BOTH(RE_KEY, re_key, its_uid_and_implied),
    BOTH(DERIVE_KEY, derive_key, its_uid_and_implied),
    BOTH(CHECK, check, checked),
    BOTH(LOCATE, locate, located),
    BOTH(GET, get, got),
    BOTH(GET_ATTRIBUTES, get_attributes, got_attributes),
    BOTH(GET_ATTRIBUTE_LIST, uid_only, got_list),
    BOTH(ADD_ATTRIBUTE, uid_and_new_attribute, its_uid_and_attribute),
    BOTH(MODIFY_ATTRIBUTE, modify_attribute, its_uid_and_attribute),
    BOTH(DELETE_ATTRIBUTE, delete_attribute, its_uid_and_attribute),
    BOTH(OBTAIN_LEASE, uid_only, obtained_lease),
    BOTH(GET_USAGE_ALLOCATION, get_usage_allocation, its_uid),
    BOTH(ACTIVATE, uid_only, its_uid),
    BOTH(REVOKE, revoke, its_uid),
    BOTH(DESTROY, uid_only, its_uid),
    BOTH(ARCHIVE, uid_only, its_uid),
    BOTH(RECOVER, uid_only, its_uid),
    BOTH(ENCRYPT, encrypt, encrypted),
    BOTH(DECRYPT, decrypt, decrypted),
    BOTH(MAC, mac, maced),
    BOTH(MAC_VERIFY, mac_verify, mac_verified),
    BOTH(HASH, hash, hashed),
    BOTH(RNG_RETRIEVE, data_length, data),
    BOTH(RNG_SEED, data, data_length),
    BOTH(CANCEL, of_operation, cancelled),
    BOTH(POLL, of_operation, nothing),
    BOTH(QUERY, query, queried),
    BOTH(DISCOVER_VERSIONS, versions, versions),
    BOTH(IMPORT, import, its_uid),
    BOTH(EXPORT, get, exported),
    BOTH(LOG, log_it, nothing),
    BOTH(ADJUST_ATTRIBUTE, adjust_attribute, its_uid),
    BOTH(SET_ATTRIBUTE, uid_and_new_attribute, its_uid),
    BOTH(INTEROP, interop, nothing),
    BOTH(PING, nothing, nothing),
};

/* --- headers --- */

static const struct shape login[] = {ONE(USERNAME, TEXT), MAYBE(PASSWORD, TEXT), END};
static const struct shape credential[] = {
    ONE(CREDENTIAL_TYPE, ENUM), THE(ONE, CREDENTIAL_VALUE, login), END};
static const struct shape authentication[] = {THE(ONE, CREDENTIAL, credential), END};

const struct shape shape_request_header[] = {
    MAYBE(MAXIMUM_RESPONSE_SIZE, INTEGER),
    SINCE(1_4, CLIENT_CORRELATION_VALUE, TEXT),
    SINCE(1_4, SERVER_CORRELATION_VALUE, TEXT),
    UNTIL(1_4, ASYNCHRONOUS_INDICATOR, BOOLEAN),
    SINCE(2_0, ASYNCHRONOUS_INDICATOR, ENUM),
    SINCE(1_2, ATTESTATION_CAPABLE_INDICATOR, BOOLEAN),
    ANY_SINCE(1_2, ATTESTATION_TYPE, ENUM),
    THE(MAYBE, AUTHENTICATION, authentication),
    MAYBE(BATCH_ERROR_CONTINUATION_OPTION, ENUM),
    MAYBE(BATCH_ORDER_OPTION, BOOLEAN),
    MAYBE(TIME_STAMP, DATE_TIME),
    END};

const struct shape shape_response_header[] = {
    THE(ONE, PROTOCOL_VERSION, protocol_version),
    ONE(TIME_STAMP, DATE_TIME),
    ANY_SINCE(1_2, ATTESTATION_TYPE, ENUM),
    SINCE(1_4, CLIENT_CORRELATION_VALUE, TEXT),
    SINCE(1_4, SERVER_CORRELATION_VALUE, TEXT),
    ONE(BATCH_COUNT, INTEGER),
    END};

const struct payloads *
shape_of_operation(uint32_t operation)
{
	for (size_t i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++)
		if (payloads[i].operation == operation)
			return &payloads[i];
	return NULL;
}

bool
shape_is_in(const struct shape *s, int version)
{
	return s->since <= version && (s->until == 0 || version <= s->until);
}
