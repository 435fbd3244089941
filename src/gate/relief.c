/* SPDX-License-Identifier: Apache-2.0 */
/* Room for those who wait to be accepted, at the cost of handshakes that lead nowhere. */
#include "relief.h"

#include "base/clock.h"
#include "base/log.h"

#include "session.h"

/* How often it is looked at, while a ceiling holds back connections. */
#define PERIOD (25 * NS_PER_MS)
/* How long a client may keep us waiting, in all its handshake; and one of an address with many. */
#define PATIENCE (500 * NS_PER_MS)
#define PATIENCE_OVER_SHARE (250 * NS_PER_MS)
enum { SHARE = 4 }; /* a quarter of all handshakes for one address */

/* Oldest first, as many as are needed; returns how many more that would have been. */
static size_t
end_slow(struct gate *g, int64_t patience, size_t neighbours_max, enum unfinished why,
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
		session_end_unfinished(s, stream_is_silent(s->stream) ? UNFINISHED_SILENT : why);
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
	needed = g->paused ? who_waits(g) : 0;
	needed = end_slow(g, PATIENCE_OVER_SHARE, ceiling / SHARE, UNFINISHED_OVER_SHARE, needed);
	(void)end_slow(g, PATIENCE, 0, UNFINISHED_STALLED, needed);
	relief_begin(g);
}

void
relief_begin(struct gate *g)
{
	if (!g->paused || g->draining || g->handshakes == 0 || timer_armed(&g->relief))
		return;
	if (timer_set(g->p.loop, &g->relief, clock_now() + PERIOD) != ERR_OK)
		LOG(LOG_WARN, "gate", "no memory for a timer");
}
