/* SPDX-License-Identifier: Apache-2.0 */
/* Room for those who wait to be accepted, at the cost of handshakes that lead nowhere. */
#include "relief.h"

#include "base/clock.h"

#include "gate_parts.h"
#include "session.h"

/* How often it is looked at, while a ceiling holds back connections. */
#define PERIOD (10 * NS_PER_MS)
/*
 * How long a client may keep us waiting, in all its handshake; one of an address from which others
 * come through, so that it is no more than slow; and one of an address with too many, which has to
 * suffice for what follows from a far one's hello.  One that has said nothing yet has less.
 */
#define PATIENCE (500 * NS_PER_MS)
#define PATIENCE_GOOD (3 * NS_PER_S)
#define PATIENCE_OVER_SHARE (200 * NS_PER_MS)
#define PATIENCE_SILENT (100 * NS_PER_MS)
#define PATIENCE_SILENT_OVER_SHARE (50 * NS_PER_MS)
#define PATIENCE_LEAST PATIENCE_SILENT_OVER_SHARE
/* One of those that came to nothing; enough for a client nearby. */
#define PATIENCE_SUSPECT (20 * NS_PER_MS)
/* The loop was late, not the clients: what they have said meanwhile is heard first. */
#define LATE (2 * PERIOD)
#define REST PATIENCE
#define RESTS_PERIOD NS_PER_S /* or a loop that is always late would give no relief */
/* For a last word to reach its client: a round trip to a far one, and some more. */
#define PATIENCE_LINGERING (200 * NS_PER_MS)
enum {
	SHARE = 4,     /* a quarter of all handshakes for one address, and one more */
	LOOK_MAX = 64, /* at each that comes; the timer looks at all */
};

static bool
is_over_share(const struct session *s)
{
	const struct gate_limits *l = &s->gate->limits;
	size_t ceiling = l->handshakes_max < l->sessions_max ? l->handshakes_max : l->sessions_max;

	return stream_neighbours(s->stream) > 1 + ceiling / SHARE;
}

/*
 * And why it has to go then.  That others from there come through excuses one that is slow, not one
 * that is silent, nor one of too many: anybody's neighbour may have a certificate.
 */
static int64_t
patience_with(const struct session *s, enum unfinished *why)
{
	bool good = stream_has_good_neighbours(s->stream);
	bool silent = stream_is_silent(s->stream);

	if (is_over_share(s)) {
		*why = UNFINISHED_OVER_SHARE;
		if (silent)
			return PATIENCE_SILENT_OVER_SHARE;
		return good ? PATIENCE : PATIENCE_OVER_SHARE;
	}
	*why = silent ? UNFINISHED_SILENT : UNFINISHED_STALLED;
	if (silent)
		return PATIENCE_SILENT;
	return good ? PATIENCE_GOOD : PATIENCE;
}

/* Nobody is sent away for the sake of nobody. */
static size_t
who_waits(const struct gate *g)
{
	return g->p.waiting != NULL ? g->p.waiting(g->p.arg) : g->handshakes;
}

static void
wake_at(struct gate *g, int64_t when)
{
	timer_set(g->p.loop, &g->relief, when);
}

/* True when it takes one. */
static bool
takes_rest(struct gate *g)
{
	int64_t now = clock_now();

	if (now - g->relief.when <= LATE || now < g->no_rest_before)
		return false;
	g->no_rest_before = now + RESTS_PERIOD;
	g->rest_until = now + REST;
	wake_at(g, g->rest_until);
	return true;
}

void
relief_run(struct timer *t)
{
	struct gate *g = CONTAINER_OF(t, struct gate, relief);
	int64_t old = clock_now() - PATIENCE_LEAST;
	size_t needed = g->paused && !g->draining ? who_waits(g) : 0;

	if (takes_rest(g))
		return;
	LIST_FOREACH_SAFE(l, next, &g->handshaking) {
		struct session *s = CONTAINER_OF(l, struct session, handshake);
		int64_t kept = stream_kept_waiting(s->stream);
		enum unfinished why;

		if (s->created > old)
			break;
		if (needed > 0 && stream_lingers_for(s->stream) >= PATIENCE_LINGERING) {
			session_end_lingering(s);
			needed--;
			continue;
		}
		if (kept < PATIENCE_LEAST || kept < patience_with(s, &why))
			continue;
		stream_blame(s->stream);
		if (needed > 0) {
			session_end_unfinished(s, why);
			needed--;
		}
	}
	gate_counts(g, 0, 0); /* some are known now that can make room */
	relief_begin(g);
}

struct session *
relief_find(const struct gate *g)
{
	int looked = 0;

	if (clock_now() < g->rest_until)
		return NULL;
	LIST_FOREACH(l, &g->handshaking) {
		struct session *s = CONTAINER_OF(l, struct session, handshake);

		if (looked++ == LOOK_MAX)
			break;
		if (stream_is_idle_suspect(s->stream, PATIENCE_SUSPECT))
			return s;
	}
	return NULL;
}

void
relief_make_room(struct gate *g)
{
	struct session *s = relief_find(g);
	enum unfinished why;

	if (s == NULL)
		return;
	if (stream_lingers_for(s->stream) > 0) {
		session_end_lingering(s);
		return;
	}
	(void)patience_with(s, &why);
	stream_blame(s->stream);
	session_end_unfinished(s, why);
}

void
relief_begin(struct gate *g)
{
	if (!g->paused || g->draining || g->handshakes == 0 || timer_armed(&g->relief))
		return;
	wake_at(g, clock_now() + PERIOD);
}
