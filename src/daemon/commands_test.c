/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control commands of a test build.  Most stop the daemon's clocks and move them, so that an hour
 * passes in seconds.  Time runs on in small steps, each in a turn of its own, so that timers fire in
 * order and sockets are served between them.  What goes over sockets takes real time: while a call
 * to a key manager is under way virtual time goes only `pace' times as fast, and it never runs far
 * ahead of the storage child, nor of the one that writes the audit log.
 */
#include "daemon.h"

#include <malloc.h>
#include <stdlib.h>
#include <time.h>

#include <event2/event.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/metric.h"

enum {
	STEP_MS = 100,
	STEP_MAX_MS = 60000,
	TICK_US = 500,
	PACE_MAX = 10000,
	ADVANCE_MAX_MS = 7 * 86400 * 1000
};
#define AHEAD_NS (2 * NS_PER_S) /* of the storage child, at most */
/* Of real time between two steps, at most: who had no processor that long was not late. */
#define PASSED_NS (20 * NS_PER_MS)

struct advance {
	struct control_call *call;
	struct event *tick;
	int64_t left, step, pace;
	uint64_t tick_us; /* real time between two steps, while nothing is under way */
	int64_t ticked; /* real time */
	int64_t stored; /* calls that the storage child has answered */
	int64_t ahead;	/* virtual time since it answered one */
};

static int64_t
real_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static void
put_times(struct control_call *call)
{
	struct json j;

	json_init(&j, &call->out);
	json_object(&j, NULL);
	json_int(&j, "now-ms", clock_now() / NS_PER_MS);
	json_int(&j, "wall-ms", clock_wall_ms());
	json_object_end(&j);
	control_done(call, ERR_OK, NULL);
}

/* --- advance --- */

static int64_t
next_step(struct advance *a, const struct audit *audit)
{
	int64_t real = real_ns(), passed = real - a->ticked, step = a->step;
	int64_t stored = metric_get(METRIC_STORE_CALLS_TOTAL) - metric_get(METRIC_STORE_CALLS);

	a->ticked = real;
	if (passed > PASSED_NS)
		passed = PASSED_NS;
	if (stored != a->stored || metric_get(METRIC_STORE_CALLS) == 0)
		a->ahead = 0;
	a->stored = stored;
	if (metric_get(METRIC_HTTP_CALLS) > 0 && passed * a->pace < step)
		step = passed * a->pace;
	if ((a->ahead >= AHEAD_NS || !audit_settled(audit)) && passed < step)
		step = passed;
	step = step < a->left ? step : a->left;
	a->ahead += step;
	return step;
}

static void
end(struct advance *a)
{
	event_free(a->tick);
	put_times(a->call);
	alloc_free(a);
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct timeval again = {.tv_usec = TICK_US};
	struct advance *a = arg;
	const struct keyferryd *d = a->call->user;
	int64_t step;

	(void)fd, (void)what;
	if (a->left == 0 || d->stopping) {
		end(a);
		return;
	}
	control_flush(a->call); /* its limit is on the clock that moves here */
	step = next_step(a, d->audit);
	clock_test_advance(step);
	a->left -= step;
	if (step == a->step)
		again.tv_usec = (suseconds_t)a->tick_us;
	event_add(a->tick, &again);
}

static void
advance_run(struct control_call *call)
{
	const struct timeval now = {0};
	struct keyferryd *d = call->user;
	uint64_t ms, step, pace, tick;
	struct advance *a;

	if (!clock_is_virtual() || !control_number(call, "ms", ADVANCE_MAX_MS, 0, &ms) ||
	    !control_number(call, "step", STEP_MAX_MS, STEP_MS, &step) || step == 0 ||
	    !control_number(call, "pace", PACE_MAX, 1, &pace) ||
	    !control_number(call, "tick", TICK_US, TICK_US, &tick)) {
		control_done(call, ERR_INVALID_FIELD, "freeze the clock first, then ms=N");
		return;
	}
	a = alloc_zero(sizeof(*a));
	if (a != NULL)
		a->tick = event_new(loop_base(d->loop), -1, 0, on_tick, a);
	if (a == NULL || a->tick == NULL) {
		alloc_free(a);
		control_done(call, ERR_NO_MEMORY, NULL);
		return;
	}
	a->call = call;
	a->left = (int64_t)ms * NS_PER_MS;
	a->step = (int64_t)step * NS_PER_MS;
	a->pace = (int64_t)pace;
	a->tick_us = tick;
	a->ticked = real_ns();
	event_add(a->tick, &now);
}

/* --- the others --- */

static void
freeze_run(struct control_call *call)
{
	clock_test_hold();
	put_times(call);
}

static bool
take_jump(const struct control_call *call, const char *name, int64_t *ns)
{
	const char *s = control_arg(call, name);

	*ns = s != NULL ? strtoll(s, NULL, 10) * NS_PER_MS : 0;
	return s != NULL;
}

/* All at once, and without a turn between: what a suspension or a hand at the clock does. */
static void
jump_run(struct control_call *call)
{
	int64_t wall, boot;
	bool any = take_jump(call, "wall", &wall);

	any |= take_jump(call, "boot", &boot);
	if (!clock_is_virtual() || !any) {
		control_done(call, ERR_INVALID_FIELD, "freeze the clock first, then wall=MS boot=MS");
		return;
	}
	clock_test_jump(wall, boot);
	put_times(call);
}

/* The monotonic clock, too: a process that was stopped misses nothing but its turns. */
static void
stall_run(struct control_call *call)
{
	uint64_t ms;

	if (!clock_is_virtual() || !control_number(call, "ms", ADVANCE_MAX_MS, 0, &ms)) {
		control_done(call, ERR_INVALID_FIELD, "freeze the clock first, then ms=N");
		return;
	}
	clock_test_advance((int64_t)ms * NS_PER_MS);
	put_times(call);
}

/* Of AddressSanitizer's allocator, where that is in the place of the C library's. */
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

/*
 * What the process has of its allocator, as that counts; and lets go of what is free, so that only what
 * is pinned is resident afterwards.  A sanitizer keeps freed memory, and notes of its own.
 */
static void
memory_run(struct control_call *call)
{
	bool sanitized = __sanitizer_get_current_allocated_bytes != NULL;
	struct mallinfo2 m = mallinfo2();
	struct json j;

	(void)malloc_trim(0);
	json_init(&j, &call->out);
	json_object(&j, NULL);
	json_int(&j, "in-use-bytes",
	    (int64_t)(sanitized ? __sanitizer_get_current_allocated_bytes() : m.uordblks + m.hblkhd));
	json_bool(&j, "sanitized", sanitized);
	json_object_end(&j);
	control_done(call, ERR_OK, NULL);
}

const struct control_command daemon_test_commands[] = {
    {"test freeze", "", "stops all clocks where they are", CONTROL_STEERS, freeze_run},
    {"test advance", "ms=N [step=MS] [pace=N] [tick=US]", "lets time pass in small steps",
	CONTROL_STEERS, advance_run},
    {"test jump", "[wall=MS] [boot=MS]", "moves clocks as a suspended machine's move",
	CONTROL_STEERS, jump_run},
    {"test memory", "", "how many bytes are in use, by the allocator's count", CONTROL_LOOKS,
	memory_run},
    {"test stall", "ms=N", "lets time pass in one step, as for a stopped process",
	CONTROL_STEERS, stall_run},
    {NULL, NULL, NULL, CONTROL_LOOKS, NULL},
};
