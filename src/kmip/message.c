/* SPDX-License-Identifier: Apache-2.0 */
/* Request messages in, response messages out. */
#include "kmip/message.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "kmip/names.h"
#include "kmip/reason.h"

const int kmip_versions[] = {KMIP_2_1, KMIP_2_0, KMIP_1_4, KMIP_1_3, KMIP_1_2, KMIP_1_1, KMIP_1_0};
const size_t kmip_versions_count = sizeof(kmip_versions) / sizeof(kmip_versions[0]);

bool
kmip_version_known(int version)
{
	for (size_t i = 0; i < kmip_versions_count; i++)
		if (kmip_versions[i] == version)
			return true;
	return false;
}

int
kmip_version_answered(int asked)
{
	if (kmip_version_known(asked))
		return asked;
	return asked < KMIP_2_0 ? KMIP_1_4 : kmip_versions[0];
}

/* Fails the reader because of a value, not of the message's form. */
static void
refuse(struct ttlv_reader *r, enum err e)
{
	if (r->error == ERR_OK)
		r->error = e;
}

/* Leaves a structure that stands inside r. */
static void
leave(struct ttlv_reader *r, struct ttlv_reader *inner)
{
	enum err e = ttlv_finish(inner);

	if (e != ERR_OK)
		refuse(r, e);
}

static int
read_version(struct ttlv_reader *r)
{
	struct ttlv_reader in;
	struct ttlv t, major, minor;
	uint32_t a, b;

	if (!ttlv_need(r, TAG_PROTOCOL_VERSION, TTLV_STRUCTURE, &t))
		return 0;
	ttlv_enter(&in, &t);
	ttlv_need(&in, TAG_PROTOCOL_VERSION_MAJOR, TTLV_INTEGER, &major);
	ttlv_need(&in, TAG_PROTOCOL_VERSION_MINOR, TTLV_INTEGER, &minor);
	leave(r, &in);
	if (r->error != ERR_OK)
		return 0;
	a = ttlv_uint(&major);
	b = ttlv_uint(&minor);
	return a < 16 && b < 16 ? (int)(a << 4 | b) : 0;
}

/*
 * The version of a message that may be anything: an answer to a bad message should still be in
 * its version, and newer versions have encodings that the check refuses.  The reader keeps its
 * bounds on unchecked bytes, too.
 */
static enum err
peek_version(const uint8_t *msg, size_t len, int *version)
{
	struct ttlv whole = {.value = msg, .len = (uint32_t)len}, t;
	struct ttlv_reader r;

	if (len > UINT32_MAX)
		return ERR_INVALID_MESSAGE;
	ttlv_enter(&r, &whole);
	if (!ttlv_need(&r, TAG_REQUEST_MESSAGE, TTLV_STRUCTURE, &t))
		return ERR_INVALID_MESSAGE;
	ttlv_enter(&r, &t);
	if (ttlv_need(&r, TAG_REQUEST_HEADER, TTLV_STRUCTURE, &t)) {
		ttlv_enter(&r, &t);
		*version = read_version(&r);
	}
	return r.error;
}

/* The password is stepped over by its length, never looked at. */
static void
read_username(struct ttlv_reader *r, const struct ttlv *value, struct kmip_request *rq)
{
	struct ttlv_reader in;
	struct ttlv name, password;

	if (value->type != TTLV_STRUCTURE) {
		refuse(r, ERR_INVALID_MESSAGE);
		return;
	}
	ttlv_enter(&in, value);
	ttlv_need(&in, TAG_USERNAME, TTLV_TEXT, &name);
	ttlv_opt(&in, TAG_PASSWORD, TTLV_TEXT, &password);
	leave(r, &in);
	if (r->error == ERR_OK && rq->username.value == NULL)
		rq->username = name;
}

static void
read_credential(struct ttlv_reader *r, const struct ttlv *credential, struct kmip_request *rq)
{
	struct ttlv_reader in;
	struct ttlv type, value;

	ttlv_enter(&in, credential);
	ttlv_need(&in, TAG_CREDENTIAL_TYPE, TTLV_ENUM, &type);
	if (ttlv_peek(&in) != TAG_CREDENTIAL_VALUE)
		refuse(&in, ERR_MISSING_DATA);
	if (ttlv_next(&in, &value) &&
	    ttlv_uint(&type) == KMIP_CREDENTIAL_TYPE_USERNAME_AND_PASSWORD)
		read_username(&in, &value, rq);
	leave(r, &in);
	if (r->error == ERR_OK && rq->credential_type == 0)
		rq->credential_type = ttlv_uint(&type);
}

static void
read_authentication(struct ttlv_reader *r, struct kmip_request *rq)
{
	struct ttlv_reader in;
	struct ttlv t;

	if (!ttlv_opt(r, TAG_AUTHENTICATION, TTLV_STRUCTURE, &t))
		return;
	ttlv_enter(&in, &t);
	if (ttlv_need(&in, TAG_CREDENTIAL, TTLV_STRUCTURE, &t)) {
		do /* several since 1.2 */
			read_credential(&in, &t, rq);
		while (ttlv_opt(&in, TAG_CREDENTIAL, TTLV_STRUCTURE, &t));
	}
	leave(r, &in);
}

/* 2.x has three values: one insists on it. */
static void
read_asynchronous(struct ttlv_reader *r, struct kmip_request *rq)
{
	struct ttlv t;

	if (rq->version < KMIP_2_0) {
		if (ttlv_opt(r, TAG_ASYNCHRONOUS_INDICATOR, TTLV_BOOLEAN, &t))
			rq->asynchronous = ttlv_bool(&t);
		return;
	}
	if (!ttlv_opt(r, TAG_ASYNCHRONOUS_INDICATOR, TTLV_ENUM, &t))
		return;
	rq->asynchronous = ttlv_uint(&t) == KMIP_ASYNCHRONOUS_INDICATOR_MANDATORY;
	if (!kmip_value_known(SET_ASYNCHRONOUS_INDICATOR, ttlv_uint(&t), rq->version))
		refuse(r, ERR_INVALID_FIELD);
}

/* What a client tells about itself and may expect of the answer. */
static void
read_expectations(struct ttlv_reader *r, struct kmip_request *rq)
{
	struct ttlv t;

	if (ttlv_opt(r, TAG_MAXIMUM_RESPONSE_SIZE, TTLV_INTEGER, &t)) {
		if (ttlv_int(&t) > 0)
			rq->max_response = ttlv_uint(&t);
		else
			refuse(r, ERR_INVALID_FIELD);
	}
	if (rq->version >= KMIP_1_4) {
		ttlv_opt(r, TAG_CLIENT_CORRELATION_VALUE, TTLV_TEXT, &rq->correlation);
		ttlv_opt(r, TAG_SERVER_CORRELATION_VALUE, TTLV_TEXT, &t);
	}
	read_asynchronous(r, rq);
	if (rq->version >= KMIP_1_2) {
		ttlv_opt(r, TAG_ATTESTATION_CAPABLE_INDICATOR, TTLV_BOOLEAN, &t);
		while (ttlv_opt(r, TAG_ATTESTATION_TYPE, TTLV_ENUM, &t))
			;
	}
}

static void
read_batch_options(struct ttlv_reader *r, struct kmip_request *rq)
{
	struct ttlv t;

	if (ttlv_opt(r, TAG_BATCH_ERROR_CONTINUATION_OPTION, TTLV_ENUM, &t)) {
		if (kmip_value_known(SET_BATCH_ERROR_CONTINUATION_OPTION, ttlv_uint(&t),
			rq->version))
			rq->continuation = (enum kmip_continuation)ttlv_uint(&t);
		else
			refuse(r, ERR_INVALID_FIELD);
	}
	if (ttlv_opt(r, TAG_BATCH_ORDER_OPTION, TTLV_BOOLEAN, &t)) {
		rq->has_order = true;
		rq->order = ttlv_bool(&t);
	}
}

static enum err
read_header(const struct ttlv *header, struct kmip_request *rq, unsigned *batch_count)
{
	struct ttlv_reader r;
	struct ttlv t;

	ttlv_enter(&r, header);
	read_version(&r); /* known by now */
	read_expectations(&r, rq);
	read_authentication(&r, rq);
	read_batch_options(&r, rq);
	if (ttlv_opt(&r, TAG_TIME_STAMP, TTLV_DATE_TIME, &t)) {
		rq->has_time_stamp = true;
		rq->time_stamp = ttlv_long(&t);
	}
	if (ttlv_need(&r, TAG_BATCH_COUNT, TTLV_INTEGER, &t)) {
		if (ttlv_int(&t) > 0 && ttlv_int(&t) <= KMIP_ITEMS_MAX)
			*batch_count = ttlv_uint(&t);
		else
			refuse(&r, ERR_INVALID_MESSAGE);
	}
	return ttlv_finish(&r);
}

static void
read_extension(struct ttlv_reader *r, const struct ttlv *extension, struct kmip_item *item)
{
	struct ttlv_reader in;
	struct ttlv t;

	ttlv_enter(&in, extension);
	ttlv_need(&in, TAG_VENDOR_IDENTIFICATION, TTLV_TEXT, &t);
	if (ttlv_need(&in, TAG_CRITICALITY_INDICATOR, TTLV_BOOLEAN, &t) && ttlv_bool(&t))
		item->critical = true;
	ttlv_need(&in, TAG_VENDOR_EXTENSION, TTLV_STRUCTURE, &t);
	leave(r, &in);
}

static enum err
read_item(const struct ttlv *structure, int version, bool ubid_needed, struct kmip_item *item)
{
	struct ttlv_reader r;
	struct ttlv t;

	ttlv_enter(&r, structure);
	if (ttlv_need(&r, TAG_OPERATION, TTLV_ENUM, &t))
		item->operation = ttlv_uint(&t);
	if (version >= KMIP_2_0 && ttlv_opt(&r, TAG_EPHEMERAL, TTLV_BOOLEAN, &t))
		item->ephemeral = ttlv_bool(&t);
	if (ubid_needed)
		ttlv_need(&r, TAG_UNIQUE_BATCH_ITEM_ID, TTLV_BYTES, &item->ubid);
	else
		ttlv_opt(&r, TAG_UNIQUE_BATCH_ITEM_ID, TTLV_BYTES, &item->ubid);
	ttlv_opt(&r, TAG_REQUEST_PAYLOAD, TTLV_STRUCTURE, &item->payload);
	while (ttlv_opt(&r, TAG_MESSAGE_EXTENSION, TTLV_STRUCTURE, &t))
		read_extension(&r, &t, item);
	return ttlv_finish(&r);
}

enum err
kmip_request_read(struct kmip_request *rq, const uint8_t *msg, size_t len)
{
	enum ttlv_type last;
	struct ttlv_reader r;
	struct ttlv t;
	unsigned batch_count = 0;
	enum err e;

	memset(rq, 0, sizeof(*rq));
	rq->continuation = KMIP_CONTINUE_STOP;
	e = peek_version(msg, len, &rq->version);
	if (e == ERR_OK && !kmip_version_known(rq->version))
		return ERR_VERSION_UNSUPPORTED;
	last = rq->version < KMIP_2_0 ? TTLV_INTERVAL : TTLV_DATE_TIME_EXTENDED;
	if (ttlv_check_types(msg, len, KMIP_ELEMENTS_MAX, last, &t) != ERR_OK)
		return ERR_INVALID_MESSAGE;
	if (e != ERR_OK)
		return e;

	ttlv_enter(&r, &t);
	if (!ttlv_need(&r, TAG_REQUEST_HEADER, TTLV_STRUCTURE, &t))
		return r.error;
	e = read_header(&t, rq, &batch_count);
	if (e == ERR_OK) {
		rq->items = batch_count == 1 ? &rq->only : alloc_array(batch_count, sizeof(*rq->items));
		if (rq->items == NULL)
			return ERR_NO_MEMORY;
	}
	while (e == ERR_OK && rq->count < batch_count) {
		if (!ttlv_opt(&r, TAG_BATCH_ITEM, TTLV_STRUCTURE, &t))
			return ERR_INVALID_MESSAGE;
		e = read_item(&t, rq->version, batch_count > 1, &rq->items[rq->count]);
		if (e == ERR_OK)
			rq->count++;
	}
	return e != ERR_OK ? e : ttlv_finish(&r);
}

void
kmip_request_fini(struct kmip_request *rq)
{
	if (rq->items != &rq->only)
		alloc_free(rq->items);
	rq->items = NULL;
	rq->count = 0;
}

void
kmip_put_version(struct buf *b, int version)
{
	size_t mark = ttlv_begin(b, TAG_PROTOCOL_VERSION);

	ttlv_put_int(b, TAG_PROTOCOL_VERSION_MAJOR, version >> 4);
	ttlv_put_int(b, TAG_PROTOCOL_VERSION_MINOR, version & 15);
	ttlv_end(b, mark);
}

void
kmip_response_begin(struct kmip_response *rs, struct buf *b, int version, int64_t time_stamp,
    uint64_t id)
{
	char text[24];
	size_t header;
	int len;

	*rs = (struct kmip_response){.b = b};
	rs->message = ttlv_begin(b, TAG_RESPONSE_MESSAGE);
	header = ttlv_begin(b, TAG_RESPONSE_HEADER);
	kmip_put_version(b, version);
	ttlv_put_date_time(b, TAG_TIME_STAMP, time_stamp);
	if (version >= KMIP_1_4 && id != 0) {
		len = snprintf(text, sizeof(text), "%llu", (unsigned long long)id);
		ttlv_put_text(b, TAG_SERVER_CORRELATION_VALUE, text, (size_t)len);
	}
	rs->count_at = b->len;
	ttlv_put_int(b, TAG_BATCH_COUNT, 0); /* kmip_response_end() knows */
	ttlv_end(b, header);
}

void
kmip_response_item(struct kmip_response *rs, uint32_t operation, const struct ttlv *ubid,
    enum err e, int version, const void *payload, size_t len)
{
	struct buf *b = rs->b;
	size_t item = ttlv_begin(b, TAG_BATCH_ITEM);

	if (operation != 0)
		ttlv_put_enum(b, TAG_OPERATION, operation);
	if (ubid != NULL && ubid->value != NULL)
		ttlv_put_bytes(b, TAG_UNIQUE_BATCH_ITEM_ID, ubid->value, ubid->len);
	ttlv_put_enum(b, TAG_RESULT_STATUS, kmip_status(e));
	if (e != ERR_OK && (e != ERR_UNDONE || version < KMIP_2_0)) {
		ttlv_put_enum(b, TAG_RESULT_REASON, kmip_reason(e, version, operation));
		ttlv_put_text(b, TAG_RESULT_MESSAGE, err_text(e), strlen(err_text(e)));
	} else if (payload != NULL) {
		buf_put(b, payload, len);
	}
	ttlv_end(b, item);
	rs->count++;
}

void
kmip_response_end(struct kmip_response *rs)
{
	ttlv_patch_int(rs->b, rs->count_at, (int32_t)rs->count);
	ttlv_end(rs->b, rs->message);
}

/* Header, value and padding. */
static size_t
element_len(size_t len)
{
	return TTLV_HEADER + (len + 7) / 8 * 8;
}

size_t
kmip_response_item_len(uint32_t operation, const struct ttlv *ubid, enum err e, size_t len)
{
	size_t sum = TTLV_HEADER + element_len(4); /* Batch Item, Result Status */

	if (operation != 0)
		sum += element_len(4);
	if (ubid != NULL && ubid->value != NULL)
		sum += element_len(ubid->len);
	if (e != ERR_OK)
		return sum + element_len(4) + element_len(strlen(err_text(e)));
	return sum + len;
}
