/* SPDX-License-Identifier: Apache-2.0 */
/* Log, Interop and Ping (specification 2.1 section 6.1): what touches no object. */
#include "request.h"

#include "base/log.h"
#include "kmip/names.h"

enum { MESSAGE_MAX = 1024 };

/* A client's words, into our log beside what it did. */
void
log_start(struct request *rq)
{
	struct ttlv t;
	const char *text = NULL;
	enum err e;

	ttlv_need(&rq->payload, TAG_LOG_MESSAGE, TTLV_TEXT, &t);
	e = ttlv_finish(&rq->payload);
	if (e == ERR_OK && t.len > MESSAGE_MAX)
		e = ERR_INVALID_FIELD;
	if (e == ERR_OK) {
		text = arena_text(rq->arena, (const char *)t.value, t.len);
		e = text != NULL ? ERR_OK : ERR_NO_MEMORY;
	}
	if (e == ERR_OK)
		LOG(LOG_INFO, "client", "a client says", kv_int("request", (int64_t)rq->p.id),
		    kv_text("tenant", rq->p.tenant->id), kv_text("from", audit_client_address(rq->p.client)),
		    kv_text("message", text));
	rq_done(rq, e);
}

/* A test begins or ends: fine.  Nobody gets his tenant emptied, though. */
void
interop_start(struct request *rq)
{
	struct ttlv t, name;
	enum err e;

	ttlv_need(&rq->payload, TAG_INTEROP_FUNCTION, TTLV_ENUM, &t);
	ttlv_opt(&rq->payload, TAG_INTEROP_IDENTIFIER, TTLV_TEXT, &name);
	e = ttlv_finish(&rq->payload);
	if (e == ERR_OK && !kmip_value_known(SET_INTEROP_FUNCTION, ttlv_uint(&t), rq->in.version))
		e = ERR_INVALID_FIELD;
	if (e == ERR_OK && ttlv_uint(&t) == KMIP_INTEROP_FUNCTION_RESET)
		e = ERR_DENIED;
	rq_done(rq, e);
}

void
ping_start(struct request *rq)
{
	rq_done(rq, ttlv_finish(&rq->payload));
}
