/* SPDX-License-Identifier: Apache-2.0 */
/* What one tenant may use at a time. */
#include "gate/limit.h"

#include <assert.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"
#include "keys/object.h"

enum { LIMITS = SIZE_OF_LIMIT };

#define TELL_EVERY (60 * NS_PER_S)

/* What was told of a limit that was reached. */
struct telling {
	int64_t last; /* clock_now() time; 0: never */
	uint64_t left_out;
};

struct limit {
	unsigned refs;
	struct loop *loop;
	char tenant[TENANT_ID_MAX + 1];
	struct limit_settings settings;
	size_t sessions, waiting;
	uint64_t reached[LIMITS];
	struct telling told[LIMITS];
	int64_t full; /* when a whole second's requests may start at once again */
	struct list line;
	struct timer timer;
};

/* --- its life --- */

static void go_on(struct timer *t);

struct limit *
limit_new(struct loop *loop, const char *tenant)
{
	struct limit *l = alloc_zero(sizeof(*l));

	if (l == NULL)
		return NULL;
	l->refs = 1;
	l->loop = loop;
	strncpy(l->tenant, tenant, sizeof(l->tenant) - 1);
	list_init(&l->line);
	l->timer.fn = go_on;
	return l;
}

struct limit *
limit_ref(struct limit *l)
{
	l->refs++;
	return l;
}

void
limit_unref(struct limit *l)
{
	if (l == NULL || --l->refs > 0)
		return;
	assert(l->waiting == 0 && l->sessions == 0);
	timer_clear(l->loop, &l->timer);
	alloc_free(l);
}

static void
reached(struct limit *l, unsigned which, unsigned value)
{
	struct telling *t = &l->told[which];
	int64_t now = clock_now();

	l->reached[which]++;
	metric_inc_by(METRIC_TENANT_LIMITS_REACHED_TOTAL, which, 0);
	if (t->last != 0 && now - t->last < TELL_EVERY) {
		t->left_out++;
		return;
	}
	LOG(LOG_WARN, "limit", which == LABEL_LIMIT_SESSIONS
		? "a tenant has as many sessions as it may: new ones are closed"
		: "a tenant has more requests than it may: they are delayed",
	    kv_text("tenant", l->tenant), kv_int("limit", (int64_t)value),
	    kv_int("left-out", (int64_t)t->left_out));
	t->last = now;
	t->left_out = 0;
}

/* --- sessions --- */

bool
limit_enter(struct limit *l)
{
	if (l == NULL)
		return true;
	if (l->settings.sessions_max > 0 && l->sessions >= l->settings.sessions_max) {
		reached(l, LABEL_LIMIT_SESSIONS, l->settings.sessions_max);
		return false;
	}
	l->sessions++;
	return true;
}

void
limit_leave(struct limit *l)
{
	if (l == NULL)
		return;
	assert(l->sessions > 0);
	l->sessions--;
}

/* --- requests --- */

static int64_t
interval(const struct limit *l)
{
	return NS_PER_S / (int64_t)l->settings.request_rate_max;
}

/* When the next request may start: a second's may do so at once, then one after the other. */
static int64_t
next_start(const struct limit *l)
{
	return l->settings.request_rate_max > 0 ? l->full - (NS_PER_S - interval(l)) : INT64_MIN;
}

/* False: not yet. */
static bool
start_one(struct limit *l)
{
	int64_t now;

	if (l->settings.request_rate_max == 0)
		return true;
	now = clock_now();
	if (next_start(l) > now)
		return false;
	l->full = (l->full > now ? l->full : now) + interval(l);
	return true;
}

static void
look_again(struct limit *l)
{
	if (list_empty(&l->line))
		timer_clear(l->loop, &l->timer);
	else
		timer_set(l->loop, &l->timer, next_start(l));
}

static void
leave_line(struct limit *l, struct limit_turn *t)
{
	list_remove(&t->link);
	l->waiting--;
	metric_add(METRIC_REQUESTS_HELD, -1);
}

static void
go_on(struct timer *timer)
{
	struct limit *l = limit_ref(CONTAINER_OF(timer, struct limit, timer));

	while (!list_empty(&l->line) && start_one(l)) {
		struct limit_turn *t = CONTAINER_OF(l->line.next, struct limit_turn, link);

		leave_line(l, t);
		t->fn(t);
	}
	look_again(l);
	limit_unref(l);
}

bool
limit_request(struct limit *l, struct limit_turn *t)
{
	if (l == NULL || (list_empty(&l->line) && start_one(l)))
		return true;
	list_append(&l->line, &t->link);
	l->waiting++;
	metric_add(METRIC_REQUESTS_HELD, 1);
	reached(l, LABEL_LIMIT_REQUESTS, l->settings.request_rate_max);
	look_again(l);
	return false;
}

void
limit_give_up(struct limit *l, struct limit_turn *t)
{
	if (!list_linked(&t->link))
		return;
	leave_line(l, t);
	look_again(l);
}

/* --- settings and state --- */

void
limit_set(struct limit *l, const struct limit_settings *s)
{
	l->settings = *s;
	look_again(l);
}

void
limit_tell(const struct limit *l, struct limit_state *out)
{
	*out = (struct limit_state){0};
	if (l == NULL)
		return;
	*out = (struct limit_state){
	    .settings = l->settings,
	    .sessions = l->sessions,
	    .waiting = l->waiting,
	    .sessions_refused = l->reached[LABEL_LIMIT_SESSIONS],
	    .requests_delayed = l->reached[LABEL_LIMIT_REQUESTS],
	};
}
