/* SPDX-License-Identifier: Apache-2.0 */
/* What a request ends in: the response message and the audit lines. */
#include "answer.h"

#include "base/clock.h"
#include "base/metric.h"
#include "kmip/message.h"
#include "kmip/names.h"

static size_t
answer_max(const struct request *rq)
{
	size_t max = rq->p.response_max;

	return rq->in.max_response > 0 && rq->in.max_response < max ? rq->in.max_response : max;
}

/* Of an undone item 2.x repeats the object that the client named, nothing that will never be. */
static void
put_undone(struct buf *b, const struct kmip_item *item)
{
	struct ttlv_reader r;
	struct ttlv uid;
	size_t mark;

	ttlv_enter(&r, &item->payload);
	if (ttlv_peek(&r) != TAG_UNIQUE_IDENTIFIER || !ttlv_next(&r, &uid) || uid.type != TTLV_TEXT)
		return;
	mark = ttlv_begin(b, TAG_RESPONSE_PAYLOAD);
	ttlv_put_text(b, TAG_UNIQUE_IDENTIFIER, (const char *)uid.value, uid.len);
	ttlv_end(b, mark);
}

static void
put_item(struct request *rq, struct kmip_response *rs, unsigned i, int version)
{
	const struct outcome *oc = &rq->outcomes[i];
	const struct kmip_item *item = &rq->in.items[i];
	bool ok = oc->err == ERR_OK;
	struct buf named;

	buf_init(&named, answer_max(rq));
	if (oc->err == ERR_UNDONE && version >= KMIP_2_0)
		put_undone(&named, item);
	kmip_response_item(rs, item->operation, &item->ubid, oc->err, version,
	    ok ? rq->payloads.data + oc->payload : named.data, ok ? oc->len : named.len);
	if (buf_error(&named) != ERR_OK)
		rs->b->error = buf_error(&named);
	buf_fini(&named);
}

enum err
answer_build(struct request *rq)
{
	const struct ttlv none = {0};
	struct kmip_response rs;
	int version = kmip_version_answered(rq->in.version);
	bool correlates = rq->in.correlation.value != NULL; /* others, like PyKMIP, may not know it */

	buf_reset(&rq->answer);
	kmip_response_begin(&rs, &rq->answer, version, loop_wall(rq->p.loop),
	    correlates ? rq->p.id : 0);
	if (rq->message_error != ERR_OK)
		kmip_response_item(&rs, 0, &none, rq->message_error, version, NULL, 0);
	for (unsigned i = 0; rq->message_error == ERR_OK && i < rq->item; i++)
		put_item(rq, &rs, i, version);
	kmip_response_end(&rs);
	if (buf_error(&rq->answer) == ERR_OK && rq->message_error == ERR_OK &&
	    rq->answer.len > answer_max(rq))
		return ERR_RESPONSE_TOO_LARGE;
	return buf_error(&rq->answer);
}

/* A change is over when its message is: now. */
static int64_t
ended_at(const struct outcome *oc)
{
	return outcome_changes(oc) || oc->ended == 0 ? clock_now() : oc->ended;
}

/*
 * What was only read did not leave if the message as a whole is answered with an error.  What still
 * counts as changed then is: without memory for its answer a message may have been committed.
 */
static struct outcome
told(const struct request *rq, unsigned item)
{
	struct outcome oc = rq->outcomes[item];

	if (oc.err == ERR_OK && !outcome_changes(&oc))
		oc.err = rq->message_error;
	return oc;
}

static void
count_item(const struct outcome *oc, int64_t ended)
{
	bool ok = oc->err == ERR_OK;
	unsigned label = op_label(oc->op);

	metric_inc(ok ? METRIC_ITEMS_OK_TOTAL : METRIC_ITEMS_FAILED_TOTAL);
	metric_inc_by(METRIC_OPERATIONS_TOTAL, label, oc->err);
	metric_observe(METRIC_OPERATION_DURATION_SECONDS, label,
	    ok ? LABEL_OUTCOME_OK : LABEL_OUTCOME_FAILED, ended - oc->began);
}

static void
audit_one(const struct request *rq, unsigned item, const struct outcome *oc, int64_t ended)
{
	const struct audit_item line = {
	    .request = rq->p.id,
	    .item = item,
	    .client = rq->p.client,
	    .operation = item > 0 ? rq->in.items[item - 1].operation : 0,
	    .uid = oc->uid,
	    .note = oc->note,
	    .err = oc->err,
	    .version = kmip_version_answered(rq->in.version),
	    .duration_ns = ended - rq->started,
	};

	audit_item(rq->p.audit, &line);
}

void
answer_audit_left(const struct request *rq)
{
	for (unsigned i = 0; i < rq->item; i++) {
		struct outcome oc = told(rq, i);

		audit_one(rq, i + 1, &oc, ended_at(&oc));
	}
	if (rq->message_error != ERR_OK)
		audit_one(rq, 0, &(struct outcome){.err = rq->message_error}, clock_now());
}

void
answer_audit(const struct request *rq)
{
	for (unsigned i = 0; i < rq->item; i++) {
		struct outcome oc = told(rq, i);
		int64_t ended = ended_at(&oc);

		count_item(&oc, ended);
		audit_one(rq, i + 1, &oc, ended);
	}
	if (rq->message_error != ERR_OK) {
		metric_inc(METRIC_REQUESTS_BAD_TOTAL);
		audit_one(rq, 0, &(struct outcome){.err = rq->message_error}, clock_now());
	}
}
