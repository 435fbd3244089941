/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop: libevent for descriptors, a heap of timers on clock_now(), work put off to the
 * next turn, and `struct wait`, the one way in which anything asynchronous is finished.
 *
 * The rules (ARCHITECTURE, "Asynchronous code"): done runs exactly once, never from inside the
 * call that started the work, never after wait_cancel() returned.
 */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"
#include "base/spare.h"

struct event;
struct event_base;
struct loop;

struct loop *loop_new(void); /* NULL without memory or epoll */
void loop_free(struct loop *l); /* last: what still hangs on it may not be touched afterwards */
struct event_base *loop_base(struct loop *l);

/* Adds an event of loop_base() without a deadline; false: the kernel refused, and errno says why. */
CHECKED bool loop_watch(struct event *ev);

/*
 * Runs turns until loop_stop().  loop_turn() runs one; may_block: wait for something to do.  In
 * loop_run() a turn goes on with what was deferred meanwhile, for LOOP_ROUNDS more, before it asks for
 * descriptors and timers again: most answers need that many, and the kernel's costs a system call.
 */
enum { LOOP_ROUNDS = 4 };
void loop_run(struct loop *l);
void loop_turn(struct loop *l, bool may_block);
void loop_stop(struct loop *l);

/*
 * clock_now() as it was at most one half of a turn ago: for what needs no better one, like a deadline.
 * It costs less.
 */
int64_t loop_time(struct loop *l);
int64_t loop_wall_ms(struct loop *l); /* the same of clock_wall_ms() */
int64_t loop_wall(struct loop *l);    /* and of clock_wall() */

/* Work for the next turn.  Zero it, set fn.  Deferring twice before it ran is once. */
struct defer {
	struct list link;
	void (*fn)(struct defer *);
};
void loop_defer(struct loop *l, struct defer *d);
/*
 * Work that can wait for a turn without other deferred work, so that what is under way ends first;
 * but not for more than LOOP_PATIENCE turns, of which each of LOOP_ROUNDS is one.
 */
enum { LOOP_PATIENCE = 16 };
void loop_defer_idle(struct loop *l, struct defer *d);
void loop_undefer(struct defer *d); /* either kind */

/*
 * Memory that callbacks of this turn may still refer to: alloc_free(p) happens when the turn is
 * over.  Cannot fail (uses the block itself; p must have room for a struct list at its start).
 */
void loop_free_later(struct loop *l, void *p);
/* The same for one of spare blocks, which has this at its start: spare_give() happens then. */
struct spent {
	struct list link;
	struct spares *home;
};
void loop_give_later(struct loop *l, struct spent *s, struct spares *home);

/*
 * A timer.  Zero it, set fn; it stays where it is until it ran or was cleared.  Setting an armed timer
 * moves it.  Setting one cannot fail: what has to go on for years goes on when memory is short.
 */
struct timer {
	void (*fn)(struct timer *);
	int64_t when;		     /* clock_now() time */
	struct timer *below, *next; /* the heap's */
	struct timer **at;	     /* what points to it; NULL: not armed */
};
void timer_set(struct loop *l, struct timer *t, int64_t when);
void timer_clear(struct loop *l, struct timer *t);
/*
 * For what ends at that second of the wall clock: when a timer has to look whether it has.  That is within
 * a minute, as somebody may set that clock.
 */
int64_t timer_when(int64_t wall);
static inline bool
timer_armed(const struct timer *t)
{
	return t->at != NULL;
}

/* Begins to look, ten times a second, how late the loop comes to a timer: METRIC_LOOP_LAG_SECONDS. */
void loop_watch_lag(struct loop *l);
/*
 * How long (ns), since it looks, the process was kept from its timers for a tenth of a second or more:
 * it was stopped, its machine stood still, or a turn took that long.  Who gives others time to say
 * something does not count this, as what they said may lie unread.
 */
int64_t loop_away(const struct loop *l);

/* Something that is waited for.  The waiter sets done, the provider sets cancel. */
struct wait {
	void (*done)(struct wait *, enum err);
	void (*cancel)(struct wait *); /* NULL: not under way */
	struct list link;	       /* the provider's queue */
	struct defer turn;	       /* for wait_finish_soon() */
	enum err result;
	void *owner; /* the waiter's own; providers leave it alone */
};
/* The provider: ends the wait now (from a callback of its own), or in the next turn. */
void wait_finish(struct wait *w, enum err e);
void wait_finish_soon(struct loop *l, struct wait *w, enum err e);
/* The waiter: after this done will not run.  Harmless when nothing is under way. */
void wait_cancel(struct wait *w);
static inline bool
wait_pending(const struct wait *w)
{
	return w->cancel != NULL;
}

#endif
