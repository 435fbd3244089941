/* SPDX-License-Identifier: Apache-2.0 */
/* The calls that the storage child has not answered: by id, by deadline, and how each ends. */
#ifndef STORE_CALLS_H
#define STORE_CALLS_H

#include "base/loop.h"
#include "store_call.h"
#include "store_trouble.h"

enum { CALLS_SLOTS = 1024 };

struct calls {
	struct loop *loop;
	struct timer expire;
	uint64_t last_id;
	struct list slots[CALLS_SLOTS];
	struct list timed; /* oldest first, so that deadlines are in order, too */
	struct list late;  /* past their deadlines, oldest first: nobody waits any more */
	struct list patient;
	size_t count, late_loads;
	struct trouble trouble;
};

void calls_init(struct calls *cs, struct loop *l);

/* A call with an id of its own, for calls_sent() or calls_drop().  ERR_BUSY, ERR_NO_MEMORY. */
CHECKED enum err calls_new(struct calls *cs, const struct store_call_type *type, int64_t deadline,
    struct store_call **out, uint64_t *id);
void calls_drop(struct store_call *c);
/* It is on its way: w ends with its answer, at its deadline, or with calls_fail(). */
void calls_sent(struct calls *cs, struct store_call *c, struct wait *w, void *ctx,
    uint64_t token);

/* Ends the call with that id; the waiter may start others.  False when there is none. */
bool calls_answer(struct calls *cs, uint64_t id, enum err e, struct unpack *body);
/* Ends all with ERR_STORAGE_DOWN. */
void calls_fail(struct calls *cs);

/*
 * How long the oldest call has been without its answer, 0 when there is none.  Patient ones and
 * searches, which are done beside the others, may take long and say nothing.
 */
int64_t calls_waits(const struct calls *cs);

#endif
