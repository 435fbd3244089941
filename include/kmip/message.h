/* SPDX-License-Identifier: Apache-2.0 */
/* Request messages in, response messages out (specification 1.4 sections 6 and 7, 2.1 section 9). */
#ifndef KMIP_MESSAGE_H
#define KMIP_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "kmip/ttlv.h"

enum { KMIP_ITEMS_MAX = 128, KMIP_ELEMENTS_MAX = 8192 };

enum kmip_continuation { KMIP_CONTINUE_STOP = 2, KMIP_CONTINUE_CONTINUE = 1, KMIP_CONTINUE_UNDO = 3 };

struct kmip_item {
	uint32_t operation;
	struct ttlv ubid;    /* Unique Batch Item ID; value NULL when there is none */
	struct ttlv payload; /* value NULL when there is none */
	bool critical;	     /* carries a Message Extension with Criticality Indicator true */
	bool ephemeral;	     /* 2.x: its answer is not to be sent */
};

/* A request's header and items.  Views into the message; the array of items is its own. */
struct kmip_request {
	int version;	       /* as the request has it; 0 when it could not be read */
	uint32_t max_response; /* 0 when not given */
	bool asynchronous;
	bool has_order, order;
	enum kmip_continuation continuation; /* Stop when not given */
	uint32_t credential_type;	     /* 0: no Authentication */
	struct ttlv username;		     /* of a Username and Password credential */
	struct ttlv correlation;	     /* Client Correlation Value (1.4), for logs */
	int64_t time_stamp;
	bool has_time_stamp;
	unsigned count; /* items */
	struct kmip_item *items, only; /* one needs no array: the struct may not be copied */
};

/*
 * Reads a whole request message.  Whatever the result, the fields that could be read are set and
 * the others are zero, so that an error can be answered in the right version.
 *   ERR_INVALID_MESSAGE    not well formed; Batch Count untrue or zero; items above the maximum
 *   ERR_MISSING_DATA       a required field of header or item is missing, or the Unique Batch
 *                          Item ID when there is more than one item
 *   ERR_INVALID_FIELD      a value that the field cannot have
 *   ERR_VERSION_UNSUPPORTED  not 1.0 to 1.4, 2.0 or 2.1
 *   ERR_NO_MEMORY
 * An Authentication of any type is accepted; password bytes are never looked at.
 */
CHECKED enum err kmip_request_read(struct kmip_request *rq, const uint8_t *msg, size_t len);
/* After every read, whatever came of it; a zeroed one is fine. */
void kmip_request_fini(struct kmip_request *rq);

/* Versions, best first.  kmip_version_known(0x11) is true. */
extern const int kmip_versions[];
extern const size_t kmip_versions_count;
bool kmip_version_known(int version);
/*
 * The version of the answer to a request of that version, which we may not have; 0: it could not
 * be read.
 */
int kmip_version_answered(int asked);
void kmip_put_version(struct buf *b, int version); /* a Protocol Version structure */

/* A response message; b's ceiling is the largest answer that is allowed. */
struct kmip_response {
	struct buf *b;
	size_t message, count_at; /* marks */
	unsigned count;
};

/* id: for the Server Correlation Value of an answer since 1.4; 0: none. */
void kmip_response_begin(struct kmip_response *rs, struct buf *b, int version, int64_t time_stamp,
    uint64_t id);
/*
 * Adds one item.  operation 0 (an error about the whole message) leaves Operation out.  payload:
 * a whole encoded Response Payload, or NULL.  A failed item gets status, reason and text of e
 * and never a payload; one that was undone has in 2.x no reason, and may have one.
 */
void kmip_response_item(struct kmip_response *rs, uint32_t operation, const struct ttlv *ubid,
    enum err e, int version, const void *payload, size_t len);
void kmip_response_end(struct kmip_response *rs);

/*
 * The length that an item of kmip_response_item() takes, for deciding beforehand whether an
 * answer fits.
 */
size_t kmip_response_item_len(uint32_t operation, const struct ttlv *ubid, enum err e, size_t len);

#endif
