/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one tenant may use: so many sessions at a time, so many requests a second.  Requests beyond
 * that stand in a line of their own, so that other tenants do not wait for them.  Tenants with the
 * same id that follow each other at reloads share it.
 *
 * Where a limit is passed, NULL limits nothing and counts nobody.
 */
#ifndef GATE_LIMIT_H
#define GATE_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/loop.h"

struct limit;

/* 0: no limit. */
struct limit_settings {
	unsigned sessions_max, request_rate_max;
};

/* tenant: its id, for the log.  NULL without memory.  Counted. */
struct limit *limit_new(struct loop *l, const char *tenant);
struct limit *limit_ref(struct limit *l);
void limit_unref(struct limit *l); /* NULL is allowed */
/* Counts from now on: sessions beyond it stay, who stands in line goes on at the new rate. */
void limit_set(struct limit *l, const struct limit_settings *s);

/* A session comes.  False: there are as many as may be; else it leaves later. */
CHECKED bool limit_enter(struct limit *l);
void limit_leave(struct limit *l);

/* Zero it, set fn. */
struct limit_turn {
	struct list link;
	void (*fn)(struct limit_turn *);
};
/* True: the request may start now.  False: fn is called when it may, from the loop. */
CHECKED bool limit_request(struct limit *l, struct limit_turn *t);
/* Out of the line; harmless when it does not stand there. */
void limit_give_up(struct limit *l, struct limit_turn *t);

struct limit_state {
	struct limit_settings settings;
	size_t sessions, waiting;
	uint64_t sessions_refused, requests_delayed;
};
void limit_tell(const struct limit *l, struct limit_state *out);

#endif
