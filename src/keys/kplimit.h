/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many calls one Key Protect instance is sent, and whether any: a rate that falls to what the
 * instance serves when it complains, and creeps back; a ceiling on calls in flight, those that
 * somebody waits for ahead of background work, but for a small share; and a breaker that fails
 * calls at once while nothing answers.
 */
#ifndef KPLIMIT_H
#define KPLIMIT_H

#include "base/loop.h"

enum kplimit_outcome {
	KPLIMIT_GOOD, /* an answer, pleasant or not */
	KPLIMIT_OUTAGE,
	KPLIMIT_THROTTLED,
	KPLIMIT_UNKNOWN, /* given up before it could tell */
};

struct kplimit {
	struct loop *loop;
	unsigned rate_max, in_flight_max;

	/* private */
	struct list queue[2]; /* interactive, background */
	unsigned in_flight, background;
	unsigned passed_over; /* how often in a row background work was */
	double rate, tokens;	     /* calls a second; calls that may go now */
	int64_t counted;	     /* up to when tokens were added */
	int64_t cut_at;		     /* when the rate was last cut; 0: never */
	unsigned cuts;		     /* how often it was */
	unsigned good, throttled;    /* of the calls that were let in since */
	int64_t held_until;	     /* the instance said when to come again */
	unsigned outages;	     /* in a row */
	int64_t open_until, open_ns; /* the breaker; open_ns 0: it is closed */
	unsigned probing;
	struct timer timer;
	struct defer turn;
};

/* A place among the calls. */
struct kpslot {
	struct wait wait; /* ERR_VAULT_DOWN: do not call now */
	bool background;
	int64_t deadline;
	bool in, probe; /* private, and so is the rest */
	unsigned cuts;  /* of the limit's, when it was let in */
};

/* loop and ceilings are set, all else is zero. */
void kplimit_init(struct kplimit *l);
/* Nobody waits or is in. */
void kplimit_fini(struct kplimit *l);
void kplimit_enter(struct kplimit *l, struct kpslot *s);
/* After it was entered; harmless otherwise.  hold_ns: what Retry-After said, or -1. */
void kplimit_leave(
    struct kplimit *l, struct kpslot *s, enum kplimit_outcome outcome, int64_t hold_ns);
bool kplimit_is_open(const struct kplimit *l);

#endif
