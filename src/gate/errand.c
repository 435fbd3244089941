/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that an administrator's commands make. */
#include "gate/errand.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "kmip/names.h"

#include "gate_parts.h"
#include "request.h"

enum { MESSAGE_MAX = 4096 };

static void
put_item(struct buf *b, uint8_t number, uint32_t operation, const char *uid)
{
	size_t item = ttlv_begin(b, TAG_BATCH_ITEM), payload, reason;

	ttlv_put_enum(b, TAG_OPERATION, operation);
	ttlv_put_bytes(b, TAG_UNIQUE_BATCH_ITEM_ID, &number, 1);
	payload = ttlv_begin(b, TAG_REQUEST_PAYLOAD);
	ttlv_put_text(b, TAG_UNIQUE_IDENTIFIER, uid, strlen(uid));
	if (operation == KMIP_OPERATION_REVOKE) {
		reason = ttlv_begin(b, TAG_REVOCATION_REASON);
		ttlv_put_enum(b, TAG_REVOCATION_REASON_CODE,
		    KMIP_REVOCATION_REASON_CODE_CESSATION_OF_OPERATION);
		ttlv_end(b, reason);
	}
	ttlv_end(b, payload);
	ttlv_end(b, item);
}

static void
put_message(struct buf *b, const struct errand *e)
{
	size_t message = ttlv_begin(b, TAG_REQUEST_MESSAGE);
	size_t header = ttlv_begin(b, TAG_REQUEST_HEADER);

	kmip_put_version(b, KMIP_1_4);
	ttlv_put_enum(b, TAG_BATCH_ERROR_CONTINUATION_OPTION, KMIP_CONTINUE_UNDO);
	ttlv_put_int(b, TAG_BATCH_COUNT, e->revoke ? 2 : 1);
	ttlv_end(b, header);
	if (e->revoke)
		put_item(b, 1, KMIP_OPERATION_REVOKE, e->uid);
	put_item(b, 2, KMIP_OPERATION_DESTROY, e->uid);
	ttlv_end(b, message);
}

static void
answered(void *user, struct buf *answer)
{
	struct errand *e = user;
	enum err result = rq_result(e->request);

	(void)answer;
	e->request = NULL;
	wait_finish(&e->wait, result);
}

static void
cancel(struct wait *w)
{
	struct errand *e = CONTAINER_OF(w, struct errand, wait);

	rq_abandon(e->request);
	e->request = NULL;
}

void
errand_destroy(struct gate *g, struct errand *e)
{
	struct request_params p = {
	    .loop = g->p.loop,
	    .tenant = e->tenant,
	    .missing_is_gone = e->missing_is_gone,
	    .revokes_to_destroy = true,
	    .server_name = g->p.server_name,
	    .audit = g->p.audit,
	    .response_max = g->limits.response_max,
	    .items_max = KMIP_ITEMS_MAX,
	    .deadline = clock_now() + g->limits.request_timeout_ns,
	    .id = ++g->next_request,
	    .client = audit_client_new(e->tenant->id, "control", NULL),
	    .answered = answered,
	    .user = e,
	};
	struct buf b;
	bool started;

	buf_init(&b, MESSAGE_MAX);
	put_message(&b, e);
	started = p.client != NULL && buf_error(&b) == ERR_OK &&
	    rq_start(&e->request, &p, b.data, b.len);
	buf_fini(&b);
	audit_client_unref(p.client);
	if (started)
		e->wait.cancel = cancel;
	else
		wait_finish_soon(g->p.loop, &e->wait, ERR_NO_MEMORY);
}
