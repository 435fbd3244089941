/* SPDX-License-Identifier: Apache-2.0 */
/* vCenter's requests. */
#include "ask.h"

#include <string.h>

#include "kmip/names.h"
#include "kmip/ttlv.h"

enum {
	REQUEST_MAX = 64 * 1024,
	VERSION = KMIP_1_1, /* what every vCenter was seen to speak */
	USAGE_MASK = 0x0c,  /* Encrypt, Decrypt */
};

const struct ask_label ask_product[ASK_LABELS] = {{"x-Product_Version", "7.0.3 build-19480866"},
    {"x-Vendor", "VMware, Inc."}, {"x-Product", "VMware vSphere"}};
const struct ask_label ask_machine[ASK_LABELS] = {
    {"x-Identifier", "52c4f2a6-90cf-4e5b-8a5e-1d3f0a7b6c21"}, {"x-Component", "Virtual Machine"},
    {"x-Name", "quickstart-vm"}};

void
ask_begin(struct ask *a, int32_t items)
{
	size_t header, version;

	*a = (struct ask){0};
	buf_init(&a->b, REQUEST_MAX);
	a->message = ttlv_begin(&a->b, TAG_REQUEST_MESSAGE);
	header = ttlv_begin(&a->b, TAG_REQUEST_HEADER);
	version = ttlv_begin(&a->b, TAG_PROTOCOL_VERSION);
	ttlv_put_int(&a->b, TAG_PROTOCOL_VERSION_MAJOR, VERSION >> 4);
	ttlv_put_int(&a->b, TAG_PROTOCOL_VERSION_MINOR, VERSION & 15);
	ttlv_end(&a->b, version);
	ttlv_put_int(&a->b, TAG_BATCH_COUNT, items);
	ttlv_end(&a->b, header);
}

void
ask_end(struct ask *a)
{
	ttlv_end(&a->b, a->message);
}

void
ask_fini(struct ask *a)
{
	buf_fini(&a->b);
}

static void
item_begin(struct ask *a, uint32_t operation, bool with_ubid)
{
	uint8_t ubid[8] = "QLKC";

	a->item = ttlv_begin(&a->b, TAG_BATCH_ITEM);
	ttlv_put_enum(&a->b, TAG_OPERATION, operation);
	ubid[4] = ++a->counter;
	if (with_ubid)
		ttlv_put_bytes(&a->b, TAG_UNIQUE_BATCH_ITEM_ID, ubid, sizeof(ubid));
	a->payload = ttlv_begin(&a->b, TAG_REQUEST_PAYLOAD);
}

static void
item_end(struct ask *a)
{
	ttlv_end(&a->b, a->payload);
	ttlv_end(&a->b, a->item);
}

static void
put_text(struct ask *a, uint32_t tag, const char *s)
{
	ttlv_put_text(&a->b, tag, s, strlen(s));
}

/* An Attribute whose value has yet to be written; ended by ttlv_end(). */
static size_t
attribute_begin(struct ask *a, const char *name)
{
	size_t mark = ttlv_begin(&a->b, TAG_ATTRIBUTE);

	put_text(a, TAG_ATTRIBUTE_NAME, name);
	return mark;
}

void
ask_discover_versions(struct ask *a, bool with_ubid)
{
	item_begin(a, KMIP_OPERATION_DISCOVER_VERSIONS, with_ubid);
	item_end(a);
}

void
ask_query(struct ask *a)
{
	item_begin(a, KMIP_OPERATION_QUERY, true);
	ttlv_put_enum(&a->b, TAG_QUERY_FUNCTION, KMIP_QUERY_FUNCTION_QUERY_SERVER_INFORMATION);
	item_end(a);
}

void
ask_create(struct ask *a)
{
	size_t template, at;

	item_begin(a, KMIP_OPERATION_CREATE, true);
	ttlv_put_enum(&a->b, TAG_OBJECT_TYPE, KMIP_OBJECT_TYPE_SYMMETRIC_KEY);
	template = ttlv_begin(&a->b, TAG_TEMPLATE_ATTRIBUTE);
	at = attribute_begin(a, "Cryptographic Algorithm");
	ttlv_put_enum(&a->b, TAG_ATTRIBUTE_VALUE, KMIP_CRYPTOGRAPHIC_ALGORITHM_AES);
	ttlv_end(&a->b, at);
	at = attribute_begin(a, "Cryptographic Usage Mask");
	ttlv_put_int(&a->b, TAG_ATTRIBUTE_VALUE, USAGE_MASK);
	ttlv_end(&a->b, at);
	at = attribute_begin(a, "Cryptographic Length");
	ttlv_put_int(&a->b, TAG_ATTRIBUTE_VALUE, ASK_KEY_BYTES * 8);
	ttlv_end(&a->b, at);
	ttlv_end(&a->b, template);
	item_end(a);
}

static void
ask_about(struct ask *a, uint32_t operation, const char *uid)
{
	item_begin(a, operation, true);
	put_text(a, TAG_UNIQUE_IDENTIFIER, uid);
}

void
ask_get(struct ask *a, const char *uid)
{
	ask_about(a, KMIP_OPERATION_GET, uid);
	item_end(a);
}

void
ask_activate(struct ask *a, const char *uid)
{
	ask_about(a, KMIP_OPERATION_ACTIVATE, uid);
	item_end(a);
}

void
ask_attribute(struct ask *a, const char *uid, const char *name)
{
	ask_about(a, KMIP_OPERATION_GET_ATTRIBUTES, uid);
	put_text(a, TAG_ATTRIBUTE_NAME, name);
	item_end(a);
}

void
ask_add_labels(struct ask *a, const char *uid, const struct ask_label *labels)
{
	for (size_t i = 0; i < ASK_LABELS; i++) {
		size_t at;

		ask_about(a, KMIP_OPERATION_ADD_ATTRIBUTE, uid);
		at = attribute_begin(a, labels[i].name);
		put_text(a, TAG_ATTRIBUTE_VALUE, labels[i].value);
		ttlv_end(&a->b, at);
		item_end(a);
	}
}
