/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One KMIP message, from its bytes to its answer.
 *
 *   rq_start -> rq_step -> op->start ... rq_done -> rq_step -> ... -> items_ended
 *            -> answer_build -> commit_start -> committed -> answered
 *
 * The answer is built before the commit, so that one that is too large changes nothing, and it
 * leaves after it, unless there is nothing in it that was changed (answer_early()).  A commit that
 * meets a conflict runs the message again from its bytes.
 */
#include "request.h"

#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"
#include "kmip/names.h"
#include "answer.h"
#include "template.h"

enum {
	ARENA_MAX = 16 << 20,
	RESTARTS_AT_ONCE = 3, /* then a pause that doubles, so that contenders spread */
	PAUSE_DOUBLINGS = 7,  /* up to 128 ms */
	SPARES_MAX = 64,
	CHANGES_PER_ITEM = 2, /* a new key, and the one that it replaces */
	BEHIND_MAX = 1024,    /* requests that were answered and are not over */
	BEHIND_TENANT_MAX = 64, /* of one tenant */
};
#define NOTE_PATIENCE (250 * NS_PER_MS) /* what only reads waits no longer for what it notes */

static unsigned behind;

static struct spares requests = SPARES(sizeof(struct request), SPARES_MAX);

static void rq_step(struct defer *d);
static void rq_again(struct timer *t);
static bool stopped(const struct request *rq);
static void items_ended(struct request *rq);
static void answer_send(struct request *rq);

/* --- beginning and end --- */

static void
drop_owned(struct request *rq)
{
	struct owned *o;

	while ((o = rq->owned) != NULL) {
		rq->owned = o->next;
		o->drop(o->arg);
	}
}

static void
rq_end(struct request *rq)
{
	metric_add(METRIC_REQUESTS, -1);
	timer_clear(rq->p.loop, &rq->deadline);
	timer_clear(rq->p.loop, &rq->again);
	loop_undefer(&rq->turn);
	changes_drop(&rq->changes);
	drop_owned(rq);
	arena_free(rq->arena);
	kmip_request_fini(&rq->in);
	buf_fini(&rq->msg);
	buf_fini(&rq->out);
	buf_fini(&rq->implied);
	buf_fini(&rq->payloads);
	buf_fini(&rq->answer);
	underway_end(&rq->underway);
	tenant_unref(rq->p.tenant);
	audit_client_unref(rq->p.client);
	loop_give_later(rq->p.loop, &rq->spent, &requests);
}

/* Time is up: a read is given up, a commit is not. */
static void
rq_expired(struct timer *t)
{
	struct request *rq = CONTAINER_OF(t, struct request, deadline);

	rq->expired = true;
	if (rq->wait == NULL || rq->committing)
		return; /* rq_step() notices */
	wait_cancel(rq->wait);
	rq->wait = NULL;
	rq_done(rq, ERR_DEADLINE);
}

/* Makes everything as it was before the first item. */
static enum err
rq_rewind(struct request *rq)
{
	size_t room = rq->in.count > 0 ? rq->in.count : 1;

	changes_drop(&rq->changes);
	drop_owned(rq);
	arena_free(rq->arena);
	buf_reset(&rq->out);
	buf_reset(&rq->payloads);
	buf_reset(&rq->answer);
	rq->item = 0;
	rq->op = NULL;
	rq->placeholder[0] = '\0';
	rq->committing = false;
	rq->arena = arena_new(ARENA_MAX);
	if (rq->arena == NULL)
		return ERR_NO_MEMORY;
	rq->outcomes = arena_array(rq->arena, room, sizeof(*rq->outcomes));
	if (rq->outcomes == NULL)
		return ERR_NO_MEMORY;
	return changes_init(&rq->changes, rq->arena, CHANGES_PER_ITEM * room);
}

/* What is wrong with the message as a whole. */
static enum err
rq_check(struct request *rq)
{
	const struct kmip_request *in = &rq->in;

	if (in->asynchronous)
		return ERR_ASYNC_UNSUPPORTED;
	if (in->count > rq->p.items_max)
		return ERR_REQUEST_TOO_LARGE;
	return ERR_OK;
}

bool
rq_start(struct request **out, const struct request_params *p, const uint8_t *msg, size_t len)
{
	struct request *rq = spare_take(&requests);

	if (rq == NULL)
		return false;
	rq->p = *p;
	rq->started = clock_now();
	rq->expired = p->deadline <= rq->started;
	if (p->tenant->cache != NULL)
		rq->began = stamp_now();
	rq->turn.fn = rq_step;
	rq->deadline.fn = rq_expired;
	rq->again.fn = rq_again;
	buf_init(&rq->msg, len);
	buf_init(&rq->out, p->response_max);
	buf_init(&rq->implied, p->response_max);
	buf_init(&rq->payloads, p->response_max);
	buf_init(&rq->answer, p->response_max);
	buf_put(&rq->msg, msg, len);
	tenant_ref(p->tenant);
	underway_begin(&rq->underway, p->tenant->id);
	audit_client_ref(p->client);
	metric_add(METRIC_REQUESTS, 1);
	if (buf_error(&rq->msg) != ERR_OK) {
		rq_end(rq);
		return false;
	}
	rq->message_error = kmip_request_read(&rq->in, rq->msg.data, rq->msg.len);
	if (rq->message_error == ERR_OK)
		rq->message_error = rq_check(rq);
	if (rq_rewind(rq) != ERR_OK) {
		rq_end(rq);
		return false;
	}
	timer_set(p->loop, &rq->deadline, p->deadline);
	metric_inc(METRIC_REQUESTS_TOTAL);
	loop_defer(p->loop, &rq->turn);
	*out = rq;
	return true;
}

/*
 * The client has gone before anything was answered or is being made durable.  It did ask: so there is a
 * line for each item that was worked on, and for the one whose turn it was.
 */
static void
rq_leave(struct request *rq)
{
	if (rq->message_error == ERR_OK && rq->item < rq->in.count && !stopped(rq))
		rq->item++;
	for (unsigned i = 0; rq->message_error == ERR_OK && i < rq->item; i++)
		if (rq->outcomes[i].err == ERR_OK)
			rq->outcomes[i].err = ERR_CANCELLED;
	answer_audit_left(rq);
	rq_end(rq);
}

void
rq_abandon(struct request *rq)
{
	rq->abandoned = true;
	if (rq->wait == NULL || rq->committing)
		return; /* rq_step() or the commit's end ends it */
	wait_cancel(rq->wait);
	rq->wait = NULL;
	rq_leave(rq);
}

const char *
rq_operation(const struct request *rq)
{
	return rq->op != NULL ? kmip_value_name(SET_OPERATION, rq->op->operation) : NULL;
}

enum err
rq_result(const struct request *rq)
{
	enum err e = rq->message_error;

	for (unsigned i = 0; i < rq->item && e == ERR_OK; i++)
		if (rq->outcomes[i].err != ERR_UNDONE)
			e = rq->outcomes[i].err;
	return e;
}

/* --- suspending --- */

static void
rq_waited(struct wait *w, enum err e)
{
	struct request *rq = w->owner;
	void (*next)(struct request *, enum err) = rq->next;

	assert(rq->wait == w);
	rq->wait = NULL;
	next(rq, e);
}

void
rq_await(struct request *rq, struct wait *w, void (*next)(struct request *, enum err))
{
	assert(rq->wait == NULL);
	rq->wait = w;
	rq->next = next;
	w->owner = rq;
	w->done = rq_waited;
}

/* --- objects --- */

enum err
rq_own(struct request *rq, void (*drop)(void *), void *arg)
{
	struct owned *o = arena_zalloc(rq->arena, sizeof(*o));

	if (o == NULL)
		return ERR_NO_MEMORY;
	*o = (struct owned){rq->owned, drop, arg};
	rq->owned = o;
	return ERR_OK;
}

static void
drop_secret(void *slot)
{
	secret_unref(*(struct secret **)slot);
}

enum err
rq_own_secret(struct request *rq, struct secret **slot)
{
	return rq_own(rq, drop_secret, slot);
}

void
rq_set_placeholder(struct request *rq, const char *uid)
{
	memcpy(rq->placeholder, uid, strlen(uid) + 1);
	rq_about(rq, uid);
}

void
rq_drop_placeholder(struct request *rq)
{
	rq->placeholder[0] = '\0';
}

void
rq_must_commit(struct request *rq)
{
	rq->outcomes[rq->item].must_commit = true;
}

void
rq_about(struct request *rq, const char *uid)
{
	memcpy(rq->outcomes[rq->item].uid, uid, strlen(uid) + 1);
}

void
rq_note(struct request *rq, const char *text)
{
	rq->outcomes[rq->item].note = text;
}

void
rq_put_uid(struct request *rq, const char *uid)
{
	ttlv_put_text(&rq->out, TAG_UNIQUE_IDENTIFIER, uid, strlen(uid));
}

/* --- items --- */

static bool
any_change(const struct request *rq)
{
	for (unsigned i = 0; i < rq->item; i++)
		if (outcome_changes(&rq->outcomes[i]))
			return true;
	return false;
}

/*
 * The changes are not made after all.  What only read may have read what will never be, so with
 * one change all that would have succeeded fails.
 */
static void
fail_all(struct request *rq, enum err e)
{
	bool any = any_change(rq);

	for (unsigned i = 0; any && i < rq->item; i++)
		if (rq->outcomes[i].err == ERR_OK)
			rq->outcomes[i].err = e;
	changes_drop(&rq->changes);
}

/* Keeps what the operation put out as a whole Response Payload. */
static enum err
keep_payload(struct request *rq, struct outcome *oc)
{
	size_t mark;

	if (buf_error(&rq->out) != ERR_OK)
		return buf_error(&rq->out);
	oc->payload = rq->payloads.len;
	mark = ttlv_begin(&rq->payloads, TAG_RESPONSE_PAYLOAD);
	buf_put(&rq->payloads, rq->out.data, rq->out.len);
	ttlv_end(&rq->payloads, mark);
	oc->len = rq->payloads.len - oc->payload;
	return buf_error(&rq->payloads);
}

void
rq_done(struct request *rq, enum err e)
{
	struct outcome *oc = &rq->outcomes[rq->item];

	assert(rq->wait == NULL);
	oc->op = rq->op;
	oc->ended = clock_now();
	oc->err = e == ERR_OK ? keep_payload(rq, oc) : e;
	if (oc->err != e) {
		/* what cannot be answered must not be done: nothing of the message is */
		rq->message_error = oc->err;
		fail_all(rq, oc->err);
	}
	if (oc->err != ERR_OK)
		rq_drop_placeholder(rq); /* never the object of an earlier item */
	rq->item++;
	loop_defer(rq->p.loop, &rq->turn); /* round the loop, so that batches don't recurse */
}

/* What says nothing of any object may go on, so that clients see that we live. */
static bool
needs_audit(const struct op *op)
{
	return op != NULL && op->operation != KMIP_OPERATION_QUERY &&
	    op->operation != KMIP_OPERATION_DISCOVER_VERSIONS &&
	    op->operation != KMIP_OPERATION_PING;
}

static void
refuse_unaudited(struct request *rq)
{
	metric_inc(METRIC_AUDIT_REFUSED_TOTAL);
	rq_done(rq, ERR_AUDIT);
}

static void
start_item(struct request *rq)
{
	const struct kmip_item *item = &rq->in.items[rq->item];
	struct ttlv none = {.tag = TAG_REQUEST_PAYLOAD, .type = TTLV_STRUCTURE,
	    .value = rq->msg.data};

	buf_reset(&rq->out);
	buf_reset(&rq->implied);
	rq->state = NULL;
	rq->object = NULL;
	rq->templates_count = 0;
	rq->outcomes[rq->item].began = rq->item == 0 && rq->restarts == 0 ? rq->started : clock_now();
	ttlv_enter(&rq->payload, item->payload.value != NULL ? &item->payload : &none);
	rq->op = op_find(item->operation, rq->in.version);
	if (rq->expired)
		rq_done(rq, ERR_DEADLINE);
	else if (needs_audit(rq->op) && audit_refuses(rq->p.audit))
		refuse_unaudited(rq);
	else if (item->critical)
		rq_done(rq, ERR_CRITICAL_EXTENSION);
	else if (rq->op == NULL)
		rq_done(rq, ERR_OP_UNSUPPORTED);
	else if (item->ephemeral)
		rq_done(rq, ERR_FEATURE_UNSUPPORTED);
	else if (rq->op->right == RIGHT_CHANGE && rq->p.read_only)
		rq_done(rq, ERR_DENIED);
	else if (item->payload.value == NULL)
		rq_done(rq, ERR_MISSING_DATA);
	else if (template_is_named(rq))
		template_resolve(rq);
	else
		rq->op->start(rq);
}

/* True when an item failed and the ones behind it are not to be worked on. */
static bool
stopped(const struct request *rq)
{
	return rq->item > 0 && rq->outcomes[rq->item - 1].err != ERR_OK &&
	    rq->in.continuation != KMIP_CONTINUE_CONTINUE;
}

static void
rq_step(struct defer *d)
{
	struct request *rq = CONTAINER_OF(d, struct request, turn);

	if (rq->abandoned)
		rq_leave(rq);
	else if (rq->message_error != ERR_OK)
		answer_send(rq);
	else if (rq->item < rq->in.count && !stopped(rq))
		start_item(rq);
	else
		items_ended(rq);
}

/* --- answering --- */

static void
answer_leave(struct request *rq)
{
	answer_audit(rq);
	if (!rq->abandoned)
		rq->p.answered(rq->p.user, &rq->answer);
	rq_end(rq);
}

static void
answer_send(struct request *rq)
{
	enum err e = answer_build(rq);

	if (e != ERR_OK) {
		rq->message_error = e;
		(void)!answer_build(rq); /* without memory for that either the session ends */
	}
	answer_leave(rq);
}

/*
 * Whoever only read is not kept waiting by a disk that hangs: what is noted of that is written behind the
 * answer, which does not depend on it, and needs nothing but the changes.  Too many of them wait, as they
 * always did.
 */
static void
answer_early(struct request *rq)
{
	if (rq->abandoned || behind == BEHIND_MAX || rq->p.tenant->behind == BEHIND_TENANT_MAX)
		return;
	behind++;
	rq->p.tenant->behind++;
	rq->answered = true;
	answer_audit(rq);
	rq->p.answered(rq->p.user, &rq->answer);
	drop_owned(rq);
	kmip_request_fini(&rq->in);
	buf_fini(&rq->msg);
	buf_fini(&rq->out);
	buf_fini(&rq->implied);
	buf_fini(&rq->payloads);
	buf_fini(&rq->answer);
}

static void
rq_again(struct timer *t)
{
	struct request *rq = CONTAINER_OF(t, struct request, again);

	if (rq->committing)
		answer_early(rq);
	else
		rq_step(&rq->turn);
}

void
rq_restart(struct request *rq)
{
	enum err e = rq->expired ? ERR_BUSY : rq_rewind(rq);
	unsigned doublings;

	metric_inc(METRIC_REQUESTS_RESTARTED_TOTAL);
	if (rq->expired)
		fail_all(rq, e);
	if (e == ERR_OK && ++rq->restarts > RESTARTS_AT_ONCE) {
		doublings = rq->restarts - RESTARTS_AT_ONCE;
		if (doublings > PAUSE_DOUBLINGS)
			doublings = PAUSE_DOUBLINGS;
		timer_set(rq->p.loop, &rq->again, clock_now() + (NS_PER_MS << doublings));
		return;
	}
	rq->message_error = e; /* ERR_OK when it just runs again */
	loop_defer(rq->p.loop, &rq->turn);
}

static void
committed(struct request *rq, enum err e)
{
	rq->committing = false;
	timer_clear(rq->p.loop, &rq->again);
	if (rq->answered) {
		behind--;
		rq->p.tenant->behind--;
		rq_end(rq);
		return;
	}
	if (e == ERR_CONFLICT && any_change(rq)) {
		rq_restart(rq);
		return;
	}
	if (e != ERR_OK && any_change(rq)) {
		LOG(LOG_ERROR, "request", "commit failed", kv_int("request", (int64_t)rq->p.id),
		    kv_text("error", err_name(e)));
		fail_all(rq, e);
	}
	answer_send(rq);
}

static void
start_commit(struct request *rq)
{
	struct commit *c = arena_zalloc(rq->arena, sizeof(*c));

	rq->committing = true;
	if (c == NULL) {
		committed(rq, ERR_NO_MEMORY);
		return;
	}
	*c = (struct commit){.began = rq->began, .deadline = rq->p.deadline,
	    .missing_is_gone = rq->p.missing_is_gone};
	if (!any_change(rq))
		timer_set(rq->p.loop, &rq->again, clock_now() + NOTE_PATIENCE);
	rq_await(rq, &c->wait, committed);
	commit_start(c, rq->p.loop, rq->p.tenant, &rq->changes);
}

static void
items_ended(struct request *rq)
{
	enum err e;

	if (stopped(rq) && rq->in.continuation == KMIP_CONTINUE_UNDO)
		fail_all(rq, ERR_UNDONE);
	e = answer_build(rq);
	if (e != ERR_OK) {
		fail_all(rq, e);
		rq->message_error = e;
		answer_send(rq);
		return;
	}
	if (rq->changes.count == 0) {
		answer_leave(rq);
		return;
	}
	start_commit(rq);
}
