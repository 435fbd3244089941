/* SPDX-License-Identifier: Apache-2.0 */
/* Room for those who wait to be accepted, at the cost of handshakes that lead nowhere. */
#include "relief.h"

#include "base/clock.h"
#include "base/log.h"

#include "session.h"

/* How often it is looked at, while a ceiling holds back connections. */
#define PERIOD (250 * NS_PER_MS)
/* How long a client may say nothing at all; or keep us waiting, if its address has more than its share. */
#define SILENCE_MAX (1 * NS_PER_S)
/* How long any client may keep us waiting, in all its handshake. */
#define STALL_MAX (3 * NS_PER_S)
enum { SHARE = 4 }; /* a quarter of all handshakes for one address */

static void
again_later(struct gate *g)
{
	if (timer_set(g->p.loop, &g->relief, clock_now() + PERIOD) != ERR_OK)
		LOG(LOG_WARN, "gate", "no memory for a timer");
}

/* Strangers must not shut the door by standing in it. */
static void
end_silent(struct gate *g)
{
	int64_t old = clock_now() - SILENCE_MAX;

	LIST_FOREACH_SAFE(l, next, &g->handshaking) {
		struct session *s = CONTAINER_OF(l, struct session, handshake);

		if (s->created > old)
			break;
		if (stream_is_silent(s->stream))
			session_end_unfinished(s, UNFINISHED_SILENT);
	}
}

/* Oldest first, as many as are needed; how many more that would have been. */
static size_t
end_stalled(struct gate *g, int64_t patience, size_t neighbours_max, enum unfinished why,
    size_t needed)
{
	int64_t old = clock_now() - patience;

	LIST_FOREACH_SAFE(l, next, &g->handshaking) {
		struct session *s = CONTAINER_OF(l, struct session, handshake);

		if (needed == 0 || s->created > old)
			break;
		if (stream_kept_waiting(s->stream) < patience ||
		    stream_neighbours(s->stream) <= neighbours_max)
			continue;
		session_end_unfinished(s, why);
		needed--;
	}
	return needed;
}

/* Nobody is sent away for the sake of nobody. */
static size_t
who_waits(const struct gate *g)
{
	return g->p.waiting != NULL ? g->p.waiting(g->p.arg) : g->handshakes;
}

void
relief_run(struct timer *t)
{
	struct gate *g = CONTAINER_OF(t, struct gate, relief);
	size_t ceiling = g->limits.handshakes_max, needed;

	if (ceiling > g->limits.sessions_max)
		ceiling = g->limits.sessions_max;
	if (who_waits(g) > 0)
		end_silent(g);
	needed = g->paused ? who_waits(g) : 0;
	needed = end_stalled(g, SILENCE_MAX, ceiling / SHARE, UNFINISHED_OVER_SHARE, needed);
	(void)end_stalled(g, STALL_MAX, 0, UNFINISHED_STALLED, needed);
	relief_begin(g);
}

void
relief_begin(struct gate *g)
{
	if (g->paused && !g->draining && g->handshakes > 0 && !timer_armed(&g->relief))
		again_later(g);
}
