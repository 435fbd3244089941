/* SPDX-License-Identifier: Apache-2.0 */
/* What a request ends in: the response message and the audit lines. */
#include "answer.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/text.h"
#include "kmip/message.h"
#include "kmip/names.h"

static size_t
answer_max(const struct request *rq)
{
	size_t max = rq->p.response_max;

	return rq->in.max_response > 0 && rq->in.max_response < max ? rq->in.max_response : max;
}

/* The versions that an answer to an unreadable version can be in: the best one. */
static int
answer_version(const struct request *rq)
{
	return kmip_version_known(rq->in.version) ? rq->in.version : kmip_versions[0];
}

bool
answer_build(struct request *rq)
{
	const struct ttlv none = {0};
	struct kmip_response rs;
	int version = answer_version(rq);

	buf_reset(&rq->answer);
	kmip_response_begin(&rs, &rq->answer, version, clock_wall());
	if (rq->message_error != ERR_OK)
		kmip_response_item(&rs, 0, &none, rq->message_error, version, NULL, 0);
	for (unsigned i = 0; rq->message_error == ERR_OK && i < rq->item; i++) {
		const struct outcome *oc = &rq->outcomes[i];
		const struct kmip_item *item = &rq->in.items[i];

		kmip_response_item(&rs, item->operation, &item->ubid, oc->err, version,
		    oc->err == ERR_OK ? rq->payloads.data + oc->payload : NULL, oc->len);
	}
	kmip_response_end(&rs);
	return rq->message_error != ERR_OK ||
	    (buf_error(&rq->answer) == ERR_OK && rq->answer.len <= answer_max(rq));
}

/* One line for each item; what only asks whether we live is not worth more than debug. */
void
answer_audit(const struct request *rq)
{
	char digest[2 * TLS_DIGEST_LEN + 1];

	text_hex(digest, rq->p.sha256, TLS_DIGEST_LEN);
	for (unsigned i = 0; i < rq->item; i++) {
		const struct outcome *oc = &rq->outcomes[i];
		const char *name = kmip_value_name(SET_OPERATION, rq->in.items[i].operation);
		bool ping = rq->in.items[i].operation == KMIP_OPERATION_DISCOVER_VERSIONS;

		metric_inc(oc->err == ERR_OK ? METRIC_ITEMS_OK_TOTAL : METRIC_ITEMS_FAILED_TOTAL);
		LOG(ping ? LOG_DEBUG : LOG_INFO, "audit", name != NULL ? name : "unknown operation",
		    kv_int("request", (int64_t)rq->p.id), kv_int("item", i + 1),
		    kv_text("tenant", rq->p.tenant->id), kv_text("certificate", digest),
		    kv_text("from", rq->p.address), kv_text("uid", oc->uid),
		    kv_text("result", err_name(oc->err)),
		    kv_int("us", (clock_now() - rq->started) / 1000));
	}
	if (rq->message_error != ERR_OK) {
		metric_inc(METRIC_REQUESTS_BAD_TOTAL);
		LOG(LOG_INFO, "audit", "message refused", kv_int("request", (int64_t)rq->p.id),
		    kv_text("tenant", rq->p.tenant->id), kv_text("certificate", digest),
		    kv_text("from", rq->p.address), kv_text("result", err_name(rq->message_error)));
	}
}
