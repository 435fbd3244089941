/* SPDX-License-Identifier: Apache-2.0 */
/* One client connection. */
#include "session.h"

#include <assert.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/text.h"
#include "kmip/names.h"

#include "gate_parts.h"

enum { DRAIN_ANSWERS = 16 }; /* more a client does not ask for at once; nor does one keep us for ever */
#define DRAIN_GRACE (2 * NS_PER_S) /* for the first request of who has just come, or the rest of a record */

static void session_next(struct session *s);
static void start_request(struct session *s, size_t len, int64_t came);

static void
log_session(enum log_level level, const struct session *s, const char *text, const char *why)
{
	LOG(level, "session", text, kv_int("session", (int64_t)s->id),
	    kv_text("from", stream_address(s->stream)), kv_text("why", why),
	    kv_int("requests", (int64_t)s->requests),
	    kv_int("age-ms", (clock_now() - s->created) / NS_PER_MS));
}

/* Of bytes that are not read as a request. */
static void
audit_unread(struct session *s, enum err e)
{
	const struct audit_message m = {.tenant = s->tenant->id, .address = stream_address(s->stream),
	    .sha256 = stream_peer(s->stream)->sha256, .err = e};

	audit_message(s->gate->p.audit, &m);
}

void
session_end(struct session *s, const char *why)
{
	struct gate *g = s->gate;

	if (s->stream == NULL)
		return;
	log_session(LOG_DEBUG, s, "closed", why);
	if (s->request != NULL)
		rq_abandon(s->request);
	s->request = NULL;
	if (s->state == SESSION_LIMITED)
		audit_unread(s, ERR_CANCELLED);
	timer_clear(g->p.loop, &s->deadline);
	stream_free(s->stream);
	s->stream = NULL;
	if (s->tenant != NULL) {
		limit_give_up(s->tenant->limit, &s->turn);
		if (s->entered)
			limit_leave(s->tenant->limit);
	}
	tenant_unref(s->tenant);
	audit_client_unref(s->client);
	list_remove(&s->link);
	list_remove(&s->handshake);
	gate_counts(g, -1, s->state == SESSION_HANDSHAKE ? -1 : 0);
	loop_free_later(g->p.loop, s);
}

/*
 * The place where a session's state changes; the deadline belongs to the state.  Handshake,
 * request and answer have deadlines of their own, in stream and request.
 */
static void
session_set(struct session *s, enum session_state state)
{
	int64_t when = INT64_MAX;

	if (s->state == state)
		return;
	s->state = state;
	s->active = loop_time(s->gate->p.loop);
	if (state == SESSION_IDLE)
		when = s->active + (s->gate->draining ? DRAIN_GRACE : s->gate->limits.idle_timeout_ns);
	else if (state == SESSION_READING || state == SESSION_LIMITED)
		when = s->active + s->gate->limits.request_timeout_ns;
	if (when != INT64_MAX)
		timer_set(s->gate->p.loop, &s->deadline, when);
	else
		timer_clear(s->gate->p.loop, &s->deadline);
}

/* Says goodbye first: a request that crosses with it is not cut by a reset. */
static void
session_close(struct session *s, const char *why)
{
	log_session(LOG_DEBUG, s, "closing", why);
	session_set(s, SESSION_CLOSING);
	stream_shut(s->stream);
}

static void
session_expired(struct timer *t)
{
	struct session *s = CONTAINER_OF(t, struct session, deadline);

	if (s->state == SESSION_LIMITED) {
		limit_give_up(s->tenant->limit, &s->turn);
		start_request(s, s->held, s->active);
	} else if (s->gate->draining && s->state == SESSION_HANDSHAKE) {
		session_end(s, "draining");
	} else if (s->gate->draining && s->state == SESSION_IDLE) {
		session_close(s, "draining");
	} else if (s->state == SESSION_IDLE) {
		metric_inc(METRIC_IDLE_TIMEOUT_TOTAL);
		session_close(s, "idle");
	} else {
		metric_inc(METRIC_REQUEST_TIMEOUT_TOTAL);
		log_session(LOG_INFO, s, "closing", "the request did not arrive in time");
		session_end(s, "request timeout");
	}
}

void
session_drain(struct session *s)
{
	if (s->state != SESSION_IDLE && s->state != SESSION_HANDSHAKE)
		return;
	timer_set(s->gate->p.loop, &s->deadline, clock_now() + DRAIN_GRACE);
	if (s->requests > 0)
		stream_look(s->stream);
}

void
session_leave(struct session *s)
{
	s->last_answer = true;
	if (s->state == SESSION_IDLE)
		session_close(s, "by command");
	else if (s->state == SESSION_HANDSHAKE)
		session_end(s, "by command");
}

/* --- requests --- */

static void
write_answer(struct session *s, struct buf *answer)
{
	session_set(s, SESSION_WRITING);
	if (buf_error(answer) != ERR_OK || stream_write(s->stream, answer) != ERR_OK)
		session_end(s, "no memory for the answer");
}

/* What has changed about its client since it asked is known; else it ends. */
static bool
may_be_answered(struct session *s)
{
	if (s->unsorted && !session_sort(s).stays)
		return false;
	if (!s->unsorted)
		return true;
	session_end(s, tls_verdict_text(TLS_NO_MEMORY));
	return false;
}

static void
session_answered(void *user, struct buf *answer)
{
	struct session *s = user;

	s->last_operation = rq_operation(s->request);
	s->request = NULL;
	if (may_be_answered(s))
		write_answer(s, answer);
}

/* An answer to bytes that we will not read as a request; then the session ends. */
static void
refuse_message(struct session *s, enum err e)
{
	struct kmip_response rs;
	const struct ttlv none = {0};
	struct buf b;

	metric_inc(METRIC_REQUESTS_BAD_TOTAL);
	audit_unread(s, e);
	s->last_answer = true;
	buf_init(&b, s->gate->limits.response_max);
	kmip_response_begin(&rs, &b, kmip_version_answered(0), clock_wall(), 0);
	kmip_response_item(&rs, 0, &none, e, kmip_version_answered(0), NULL, 0);
	kmip_response_end(&rs);
	write_answer(s, &b);
	buf_fini(&b);
}

/* NULL without memory. */
static struct audit_client *
client_of(struct session *s)
{
	if (s->client == NULL)
		s->client = audit_client_new(s->tenant->id, stream_address(s->stream),
		    stream_peer(s->stream)->sha256);
	return s->client;
}

/* came: its time runs from then on. */
static void
start_request(struct session *s, size_t len, int64_t came)
{
	struct gate *g = s->gate;
	const struct tls_peer *peer = stream_peer(s->stream);
	struct buf *in = stream_input(s->stream);

	if (!may_be_answered(s))
		return;
	if (in->len < len) { /* what ended the stream came behind the request, which had to wait */
		session_set(s, SESSION_CLOSING);
		return;
	}
	struct request_params p = {
	    .loop = g->p.loop,
	    .tenant = s->tenant,
	    .read_only = s->read_only,
	    .server_name = g->p.server_name,
	    .audit = g->p.audit,
	    .parts = g->parts,
	    .response_max = g->limits.response_max,
	    .items_max = g->limits.items_max,
	    .deadline = came + g->limits.request_timeout_ns,
	    .id = ++g->next_request,
	    .client = client_of(s),
	    .answered = session_answered,
	    .user = s,
	};

	memcpy(p.sha256, peer->sha256, sizeof(p.sha256));
	session_set(s, SESSION_RUNNING);
	s->requests++;
	if (p.client == NULL || !rq_start(&s->request, &p, in->data, len)) {
		session_end(s, "no memory for the request");
		return;
	}
	buf_consume(in, len);
}

static void
on_turn(struct limit_turn *t)
{
	struct session *s = CONTAINER_OF(t, struct session, turn);

	start_request(s, s->held, s->active);
}

/* The message stays where it is for as long as its tenant's others go first. */
static void
take_request(struct session *s, size_t len)
{
	stream_pause(s->stream);
	s->turn.fn = on_turn;
	s->held = len;
	if (limit_request(s->tenant->limit, &s->turn))
		start_request(s, len, loop_time(s->gate->p.loop));
	else
		session_set(s, SESSION_LIMITED);
}

/* Looks for a whole message in what has come. */
static void
session_next(struct session *s)
{
	struct buf *in = stream_input(s->stream);
	size_t total;

	if (s->state != SESSION_IDLE && s->state != SESSION_READING)
		return;
	if (in->len == 0) { /* gate_expect_end() sees to those that say nothing */
		session_set(s, SESSION_IDLE);
		if (s->gate->draining)
			stream_look(s->stream);
		return;
	}
	if (s->unseen)
		s->ends = 0; /* now it asks for something */
	if (session_has_expired(s))
		return;
	if (s->unseen) {
		session_end(s, tls_verdict_text(TLS_NO_MEMORY));
		return;
	}
	if (in->len < TTLV_HEADER) {
		session_set(s, SESSION_READING);
		return;
	}
	total = ttlv_total(in->data, TAG_REQUEST_MESSAGE, TTLV_STRUCTURE);
	if (total == 0) {
		refuse_message(s, ERR_INVALID_MESSAGE);
	} else if (total > s->request_max || total > s->gate->limits.request_max) {
		metric_inc(METRIC_REQUESTS_TOO_LARGE_TOTAL);
		refuse_message(s, ERR_REQUEST_TOO_LARGE);
	} else if (in->len < total) {
		session_set(s, SESSION_READING);
	} else {
		take_request(s, total);
	}
}

/* --- the stream's events --- */

static unsigned
tls_label(const struct session *s)
{
	const char *version = stream_tls_version(s->stream);

	if (strcmp(version, "TLSv1.3") == 0)
		return LABEL_TLS_1_3;
	return strcmp(version, "TLSv1.2") == 0 ? LABEL_TLS_1_2 : LABEL_TLS_NONE;
}

static void
count_handshake(const struct session *s, enum metric total, unsigned result)
{
	metric_inc(total);
	metric_observe(METRIC_HANDSHAKE_DURATION_SECONDS, result, tls_label(s),
	    clock_now() - s->created);
	metric_observe(METRIC_HANDSHAKE_WORK_SECONDS, result, 0, stream_worked(s->stream));
}

static void
count_refusal(const struct session *s, unsigned reason)
{
	count_handshake(s, METRIC_HANDSHAKES_REFUSED_TOTAL, LABEL_HANDSHAKE_REFUSED);
	metric_inc_by(METRIC_CLIENTS_REFUSED_TOTAL, reason, 0);
}

static void
count_failure(const struct session *s, unsigned reason)
{
	count_handshake(s, METRIC_HANDSHAKES_FAILED_TOTAL, LABEL_HANDSHAKE_FAILED);
	metric_inc_by(METRIC_HANDSHAKE_FAILURES_TOTAL, reason, 0);
}

void
session_end_unfinished(struct session *s, enum unfinished why)
{
	static const struct {
		enum metric total;
		unsigned label;
		const char *text;
	} whys[] = {
	    [UNFINISHED_SILENT] = {METRIC_HANDSHAKES_SILENT_TOTAL, LABEL_HANDSHAKE_SILENT,
		"silent while others wait"},
	    [UNFINISHED_OVER_SHARE] = {METRIC_HANDSHAKES_OVER_SHARE_TOTAL, LABEL_HANDSHAKE_STALLED,
		"keeps a place of its address's many while others wait"},
	    [UNFINISHED_STALLED] = {METRIC_HANDSHAKES_STALLED_TOTAL, LABEL_HANDSHAKE_STALLED,
		"slow while others wait"},
	};

	count_handshake(s, whys[why].total, whys[why].label);
	session_end(s, whys[why].text);
}

static enum tls_verdict
identify(struct session *s, struct known_client *known)
{
	struct tls_shown shown;

	return stream_shown(s->stream, &shown) ? tenants_identify(s->gate->tenants, &shown, known)
					       : TLS_NONE;
}

static void
take_up(struct session *s, const struct known_client *known)
{
	tenant_ref(known->tenant);
	tenant_unref(s->tenant);
	s->tenant = known->tenant;
	s->read_only = known->read_only;
	s->ends = known->ends;
	s->unsorted = s->unseen = false;
	gate_expect_end(s->gate, s->ends);
}

/* Until it is known what its client is it takes no request; nor does it end. */
static void
look_later(struct session *s)
{
	s->unseen = true;
	s->ends = clock_wall() + 1;
	gate_expect_end(s->gate, s->ends);
}

/* Of what identify() says: its client is still one of its tenant's, and may do no more than before. */
static bool
belongs(const struct session *s, enum tls_verdict v, const struct known_client *known)
{
	if (v != TLS_KNOWN || strcmp(known->tenant->id, s->tenant->id) != 0)
		return false;
	/* its certificate was to read alone, and an authority lets it do more: that is for who comes anew */
	if (s->read_only && !known->pinned)
		return false;
	/* a tenant that was away for a moment is another one, which does not know of the session */
	return known->tenant->limit == s->tenant->limit && known->ends > clock_wall();
}

struct sorted
session_sort(struct session *s)
{
	struct known_client known = {0};
	enum tls_verdict v = identify(s, &known);
	struct sorted r = {.stays = true, .asked = known.judged};

	if (v == TLS_NO_MEMORY) {
		s->unsorted = true;
		look_later(s);
		return r;
	}
	r.stays = belongs(s, v, &known);
	r.voucher = !known.pinned ? known.tenant : NULL;
	s->unsorted = false;
	if (r.stays)
		take_up(s, &known);
	else
		session_end(s, "certificate taken away");
	return r;
}

/* What came before is answered. */
bool
session_has_expired(struct session *s)
{
	struct known_client known;
	enum tls_verdict v;

	if (s->tenant == NULL || s->state == SESSION_CLOSING ||
	    s->ends > loop_wall(s->gate->p.loop))
		return false;
	if (s->unsorted)
		return !session_sort(s).stays;
	v = identify(s, &known);
	if (v == TLS_NO_MEMORY) {
		look_later(s);
		return false;
	}
	if (belongs(s, v, &known)) { /* by another list of who was revoked, that begins now */
		take_up(s, &known);
		return false;
	}
	s->ends = INT64_MAX;
	metric_inc(METRIC_SESSIONS_EXPIRED_TOTAL);
	log_session(LOG_NOTICE, s, "closing",
	    "its client's certificate has expired, or what vouches for it; or was revoked since");
	if (s->state == SESSION_IDLE)
		session_close(s, "expired");
	else if (s->state == SESSION_READING)
		session_end(s, "expired");
	else
		s->last_answer = true;
	return true;
}

static void
on_ready(struct stream *st, void *user)
{
	struct session *s = user;
	const struct tls_peer *peer = stream_peer(st);
	struct known_client known;
	enum tls_verdict v = identify(s, &known);

	if (v == TLS_NO_MEMORY) {
		count_failure(s, LABEL_FAILURE_MEMORY);
		session_end(s, tls_verdict_text(v));
		return;
	}
	if (v != TLS_KNOWN) {
		/* taken out by a reload while the handshake was under way */
		count_refusal(s, LABEL_REFUSAL_REMOVED);
		session_end(s, "certificate not known any more");
		return;
	}
	count_handshake(s, METRIC_HANDSHAKES_OK_TOTAL, LABEL_HANDSHAKE_OK);
	if (peer->resumed)
		metric_inc(METRIC_HANDSHAKES_RESUMED_TOTAL);
	tenants_seen(s->gate->tenants, peer->sha256);
	pending_forget(s->gate->pending, peer->sha256);
	take_up(s, &known);
	list_remove(&s->handshake);
	gate_counts(s->gate, 0, -1);
	s->entered = limit_enter(s->tenant->limit);
	if (s->entered)
		session_set(s, SESSION_IDLE);
	else
		session_close(s, "its tenant has no session left");
}

static void
on_data(struct stream *st, void *user)
{
	(void)st;
	session_next(user);
}

static void
on_drained(struct stream *st, void *user)
{
	struct session *s = user;

	if (s->state != SESSION_WRITING)
		return;
	if (s->last_answer || (s->gate->draining && --s->drain_answers == 0)) {
		session_set(s, SESSION_CLOSING);
		stream_shut(st);
		return;
	}
	session_set(s, SESSION_IDLE);
	stream_resume(st);
	session_next(s);
}

/* Asked for while the gate drains alone. */
static void
on_quiet(struct stream *st, void *user)
{
	(void)st;
	session_close(user, "draining");
}

static unsigned
refusal_label(enum tls_verdict v)
{
	switch (v) {
	case TLS_NONE:
		return LABEL_REFUSAL_NONE;
	case TLS_EXPIRED:
		return LABEL_REFUSAL_EXPIRED;
	case TLS_NOT_YET_VALID:
		return LABEL_REFUSAL_NOT_YET_VALID;
	case TLS_AMBIGUOUS:
		return LABEL_REFUSAL_AMBIGUOUS;
	case TLS_BAD_CHAIN:
		return LABEL_REFUSAL_BAD_CHAIN;
	case TLS_WEAK:
		return LABEL_REFUSAL_WEAK;
	case TLS_REVOKED:
		return LABEL_REFUSAL_REVOKED;
	case TLS_NO_CRL:
		return LABEL_REFUSAL_NO_CRL;
	case TLS_KNOWN: /* claimed, without the key that belongs to it */
	case TLS_UNKNOWN:
	case TLS_NO_MEMORY: /* is no refusal */
		break;
	}
	return LABEL_REFUSAL_UNKNOWN;
}

static void
tell_refusal(struct session *s)
{
	const struct tls_peer *peer = stream_peer(s->stream);
	const struct audit_refusal r = {
	    .address = stream_address(s->stream),
	    .why = tls_verdict_text(peer->verdict),
	    .subject = peer->subject,
	    .sha256 = peer->have_digest ? peer->sha256 : NULL,
	    .proven = peer->proven != NULL,
	};

	audit_refusal(s->gate->p.audit, &r);
}

/* Whoever reaches the port can cause these. */
static void
log_failure(struct session *s, const char *why)
{
	uint64_t left_out;

	if (ration_take(&s->gate->failures, TOLD_PER_S, &left_out))
		LOG(LOG_INFO, "session", "handshake failed", kv_int("session", (int64_t)s->id),
		    kv_text("from", stream_address(s->stream)), kv_text("why", why),
		    kv_int("age-ms", (clock_now() - s->created) / NS_PER_MS),
		    kv_int("left-out", (int64_t)left_out));
}

static void
on_closed(struct stream *st, void *user, enum stream_end why)
{
	struct session *s = user;

	if (s->state == SESSION_HANDSHAKE) {
		switch (why) {
		case STREAM_REFUSED:
			count_refusal(s, refusal_label(stream_peer(st)->verdict));
			tell_refusal(s);
			pending_note(s->gate->pending, stream_peer(st), stream_address(st));
			break;
		case STREAM_HANDSHAKE_TIMEOUT:
			count_handshake(s, METRIC_HANDSHAKES_TIMEOUT_TOTAL, LABEL_HANDSHAKE_TIMEOUT);
			break;
		case STREAM_LEFT:
			count_handshake(s, METRIC_HANDSHAKES_LEFT_TOTAL, LABEL_HANDSHAKE_LEFT);
			break;
		case STREAM_TLS_ERROR:
			count_failure(s, stream_failure(st));
			log_failure(s, stream_why(st));
			break;
		case STREAM_EOF:
			count_failure(s, LABEL_FAILURE_CLOSED);
			break;
		case STREAM_RESET:
		case STREAM_WRITE_TIMEOUT:
			count_failure(s, LABEL_FAILURE_RESET);
			break;
		case STREAM_NO_MEMORY:
			count_failure(s, LABEL_FAILURE_MEMORY);
			break;
		}
	}
	if (why == STREAM_WRITE_TIMEOUT)
		metric_inc(METRIC_REQUEST_TIMEOUT_TOTAL);
	session_end(s, stream_end_text(why));
}

void
session_end_lingering(struct session *s)
{
	on_closed(s->stream, s, stream_lingers_after(s->stream));
}

static const struct stream_ops session_stream_ops = {on_ready, on_data, on_drained, on_closed,
    on_quiet};

bool
session_new(struct gate *g, int fd)
{
	struct session *s = alloc_zero(sizeof(*s));
	const struct stream_params p = {
	    .tls = g->tls,
	    .ops = &session_stream_ops,
	    .user = s,
	    .input_max = g->limits.request_max,
	    .handshake_timeout_ns = g->limits.handshake_timeout_ns,
	    .write_timeout_ns = g->limits.request_timeout_ns,
	};

	if (s == NULL) {
		close(fd);
		return false;
	}
	s->gate = g;
	s->id = ++g->next_session;
	s->created = s->active = clock_now();
	s->deadline.fn = session_expired;
	s->request_max = g->limits.request_max;
	s->drain_answers = DRAIN_ANSWERS;
	s->stream = stream_new(g->p.loop, fd, &p);
	if (s->stream == NULL) {
		alloc_free(s);
		return false;
	}
	list_append(&g->sessions, &s->link);
	list_append(&g->handshaking, &s->handshake);
	metric_inc(METRIC_SESSIONS_TOTAL);
	gate_counts(g, 1, 1);
	return true;
}
