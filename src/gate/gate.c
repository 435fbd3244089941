/* SPDX-License-Identifier: Apache-2.0 */
/* All sessions together: admission, settings, draining. */
#include "gate_parts.h"
#include "session.h"

#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"

#include "op.h"
#include "relief.h"

/* Chains of certificates that are checked in one go after a change: some milliseconds, then one. */
enum { SORTED_AT_ONCE = 32, SORTED_IN_A_TURN = 8 };

static void
run_drained(struct defer *d)
{
	struct gate *g = CONTAINER_OF(d, struct gate, drained);

	g->drain_done(g->drain_arg);
}

static void look_for_ends(struct timer *t);
static void on_sorting(struct defer *d);

struct gate *
gate_new(const struct gate_params *p)
{
	struct gate *g = alloc_zero(sizeof(*g));

	if (g == NULL)
		return NULL;
	g->p = *p;
	list_init(&g->sessions);
	list_init(&g->handshaking);
	g->relief.fn = relief_run;
	g->ends.fn = look_for_ends;
	g->drained.fn = run_drained;
	g->sorting.fn = on_sorting;
	g->pending = pending_new();
	g->parts = parts_new(p->loop);
	if (g->pending == NULL || g->parts == NULL) {
		pending_free(g->pending);
		parts_free(g->parts);
		alloc_free(g);
		return NULL;
	}
	label_set_texts(LABELS_OPERATION, op_label_text);
	return g;
}

void
gate_free(struct gate *g)
{
	if (g == NULL)
		return;
	g->drain_done = NULL;
	LIST_FOREACH_SAFE(l, next, &g->sessions)
		session_end(CONTAINER_OF(l, struct session, link), "the gateway stops");
	loop_undefer(&g->drained);
	loop_undefer(&g->sorting);
	timer_clear(g->p.loop, &g->relief);
	timer_clear(g->p.loop, &g->ends);
	tls_server_unref(g->tls);
	tenants_unref(g->tenants);
	pending_free(g->pending);
	parts_free(g->parts);
	alloc_free(g);
}

void
gate_expect_end(struct gate *g, int64_t ends)
{
	int64_t when = timer_when(ends);

	if (timer_armed(&g->ends) && g->ends.when <= when)
		return;
	timer_set(g->p.loop, &g->ends, when);
}

static void
look_for_ends(struct timer *t)
{
	struct gate *g = CONTAINER_OF(t, struct gate, ends);
	int64_t soonest = INT64_MAX, now = loop_wall(g->p.loop);
	unsigned ended = 0;

	LIST_FOREACH_SAFE(l, next, &g->sessions) {
		struct session *s = CONTAINER_OF(l, struct session, link);

		if (s->tenant == NULL || s->state == SESSION_CLOSING)
			continue;
		if (s->ends <= now && ended++ == SORTED_AT_ONCE) { /* authorities are asked again */
			soonest = now;
			break;
		}
		if (!session_has_expired(s) && s->ends < soonest)
			soonest = s->ends;
	}
	if (soonest != INT64_MAX)
		gate_expect_end(g, soonest);
}

static bool
is_full(const struct gate *g)
{
	return g->count >= g->limits.sessions_max || g->handshakes >= g->limits.handshakes_max;
}

/* Accepting goes on exactly while both ceilings leave room, or somebody can give way. */
static void
admit(struct gate *g)
{
	bool pause = g->draining || (is_full(g) && relief_find(g) == NULL);

	if (pause == g->paused)
		return;
	g->paused = pause;
	if (pause && !g->draining)
		metric_inc(g->count >= g->limits.sessions_max ? METRIC_SESSIONS_CEILING_TOTAL
							      : METRIC_HANDSHAKES_CEILING_TOTAL);
	relief_begin(g);
	if (g->p.may_accept != NULL)
		g->p.may_accept(g->p.arg, !pause);
}

void
gate_counts(struct gate *g, int sessions, int handshakes)
{
	g->count += (size_t)sessions;
	g->handshakes += (size_t)handshakes;
	metric_set(METRIC_SESSIONS, (int64_t)g->count);
	metric_set(METRIC_HANDSHAKES, (int64_t)g->handshakes);
	admit(g);
	if (g->draining && g->count == 0 && g->drain_done != NULL)
		loop_defer(g->p.loop, &g->drained);
}

/*
 * Sessions whose tenant is another now, or that have none any more, have to go.  Returns how many did,
 * having asked authorities for so many; who comes later is not served before it was looked at.
 */
static size_t
sort_some(struct gate *g, unsigned most)
{
	size_t closed = 0;
	unsigned asked = 0;

	LIST_FOREACH_SAFE(l, next, &g->sessions) {
		struct session *s = CONTAINER_OF(l, struct session, link);
		bool closing = s->state == SESSION_CLOSING; /* it is closed already */
		struct sorted r;

		if (!s->unsorted || s->unseen)
			continue;
		if (asked == most) {
			loop_defer_idle(g->p.loop, &g->sorting);
			break;
		}
		list_remove(l);
		list_append(&g->sessions, l); /* the next look begins with the others */
		r = session_sort(s);
		asked += r.asked;
		closed += !r.stays && !closing;
	}
	return closed;
}

size_t
gate_unseen(const struct gate *g)
{
	size_t unseen = 0;

	LIST_FOREACH(l, &g->sessions)
		unseen += CONTAINER_OF(l, struct session, link)->unseen;
	return unseen;
}

static void
on_sorting(struct defer *d)
{
	struct gate *g = CONTAINER_OF(d, struct gate, sorting);

	g->sorted_out += sort_some(g, SORTED_IN_A_TURN);
	if (!list_linked(&d->link))
		LOG(LOG_NOTICE, "gate", "all sessions were looked through",
		    kv_int("sessions-closed", (int64_t)g->sorted_out),
		    kv_int("sessions-unseen", (int64_t)gate_unseen(g)));
}

static size_t
sort_all(struct gate *g)
{
	LIST_FOREACH(l, &g->sessions) {
		struct session *s = CONTAINER_OF(l, struct session, link);

		s->unsorted = s->tenant != NULL;
		s->unseen = false;
	}
	if (!list_linked(&g->sorting.link))
		g->sorted_out = 0;
	return sort_some(g, SORTED_AT_ONCE);
}

/* Those with this certificate, at once. */
static size_t
sort_those(struct gate *g, const uint8_t *sha256, struct gate_vouched *out)
{
	size_t closed = 0;
	struct sorted r;

	LIST_FOREACH_SAFE(l, next, &g->sessions) {
		struct session *s = CONTAINER_OF(l, struct session, link);
		bool closing = s->state == SESSION_CLOSING, unseen;

		if (s->tenant == NULL ||
		    memcmp(stream_peer(s->stream)->sha256, sha256, TLS_DIGEST_LEN) != 0)
			continue;
		r = session_sort(s);
		closed += !r.stays && !closing;
		unseen = r.stays && s->unseen;
		out->unseen |= unseen;
		out->asked |= r.asked && !unseen;
		if (r.voucher != NULL)
			out->voucher = r.voucher;
	}
	return closed;
}

/* sha256: only that certificate has changed; or NULL. */
static size_t
set_tenants(struct gate *g, struct tenants *tenants, const uint8_t *sha256,
    struct gate_vouched *out)
{
	struct tenants *old = g->tenants;
	size_t closed;

	g->tenants = tenants_ref(tenants);
	if (old != NULL)
		tenants_inherit(tenants, old);
	closed = sha256 != NULL ? sort_those(g, sha256, out) : sort_all(g);
	tenants_unref(old);
	return closed;
}

size_t
gate_change_pinned(struct gate *g, struct tenants *tenants, const uint8_t sha256[TLS_DIGEST_LEN],
    struct gate_vouched *out)
{
	*out = (struct gate_vouched){0};
	return set_tenants(g, tenants, sha256, out);
}

size_t
gate_configure(struct gate *g, struct tls_server *tls, struct tenants *tenants,
    const struct gate_limits *limits)
{
	size_t closed;

	tls_server_ref(tls);
	if (g->tls != NULL && g->tls != tls)
		tls_server_retire(g->tls);
	tls_server_unref(g->tls);
	g->tls = tls;
	g->limits = *limits;
	metric_set(METRIC_SESSIONS_LIMIT, (int64_t)limits->sessions_max);
	metric_set(METRIC_HANDSHAKES_LIMIT, (int64_t)limits->handshakes_max);
	closed = set_tenants(g, tenants, NULL, NULL);
	admit(g);
	return closed;
}

enum tls_verdict
gate_check_certificate(void *arg, const struct tls_shown *shown, bool *ignore_dates)
{
	const struct gate *g = arg;
	struct known_client known;
	enum tls_verdict v = tenants_identify(g->tenants, shown, &known);

	/* those that are known by an authority were asked for their dates */
	if (v == TLS_KNOWN)
		*ignore_dates = !known.pinned || known.tenant->accept_expired_until > clock_wall();
	return v;
}

bool
gate_has_room(struct gate *g)
{
	admit(g);
	return !g->paused;
}

/* True when it was: one that would take the place of its like, and lead as far. */
static bool
turn_away(struct gate *g, int fd)
{
	if (!is_full(g) || !stream_turns_away(fd))
		return false;
	metric_inc(METRIC_HANDSHAKES_TURNED_AWAY_TOTAL);
	close(fd);
	return true;
}

static void
log_unserved(struct gate *g)
{
	uint64_t left_out;

	if (ration_take(&g->unserved, TOLD_PER_S, &left_out))
		LOG(LOG_ERROR, "gate", "no memory for a session", kv_int("sessions", (int64_t)g->count),
		    kv_int("left-out", (int64_t)left_out));
}

void
gate_accept(struct gate *g, int fd)
{
	if (g->draining || g->tls == NULL) {
		close(fd);
		return;
	}
	if (turn_away(g, fd))
		return;
	if (is_full(g))
		relief_make_room(g);
	if (!session_new(g, fd))
		log_unserved(g);
}

void
gate_drain(struct gate *g, void (*done)(void *arg), void *arg)
{
	g->draining = true;
	g->drain_done = done;
	g->drain_arg = arg;
	admit(g);
	LIST_FOREACH_SAFE(l, next, &g->sessions)
		session_drain(CONTAINER_OF(l, struct session, link));
	gate_counts(g, 0, 0);
}

bool
gate_draining(const struct gate *g)
{
	return g->draining;
}

static void
tell_session(const struct session *s, struct session_info *info)
{
	static const char *const names[] = {
	    [SESSION_HANDSHAKE] = "handshake", [SESSION_IDLE] = "idle",
	    [SESSION_READING] = "reading", [SESSION_LIMITED] = "limited",
	    [SESSION_RUNNING] = "running",
	    [SESSION_WRITING] = "writing", [SESSION_CLOSING] = "closing"};
	int64_t now = clock_now();

	*info = (struct session_info){
	    .id = s->id,
	    .address = stream_address(s->stream),
	    .tls_version = stream_tls_version(s->stream),
	    .state = names[s->state],
	    .tenant = s->tenant != NULL ? s->tenant->id : NULL,
	    .sha256 = stream_peer(s->stream)->sha256,
	    .last_operation = s->last_operation,
	    .age_ns = now - s->created,
	    .idle_ns = now - s->active,
	    .read_only = s->read_only,
	    .requests = s->requests,
	};
}

void
gate_each_session(struct gate *g, bool (*fn)(void *arg, const struct session_info *), void *arg)
{
	struct session_info info;

	LIST_FOREACH(l, &g->sessions) {
		tell_session(CONTAINER_OF(l, struct session, link), &info);
		if (!fn(arg, &info))
			break;
	}
}

size_t
gate_close_sessions(struct gate *g, bool (*fn)(void *arg, const struct session_info *), void *arg)
{
	struct session_info info;
	size_t closed = 0;

	LIST_FOREACH_SAFE(l, next, &g->sessions) {
		struct session *s = CONTAINER_OF(l, struct session, link);

		tell_session(s, &info);
		if (s->state != SESSION_CLOSING && fn(arg, &info)) {
			session_leave(s);
			closed++;
		}
	}
	return closed;
}

const struct tls_server *
gate_tls(const struct gate *g)
{
	return g->tls;
}

struct pending *
gate_pending(struct gate *g)
{
	return g->pending;
}

struct tenants *
gate_tenants(struct gate *g)
{
	return g->tenants;
}
