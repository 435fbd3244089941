/* SPDX-License-Identifier: Apache-2.0 */
/* How the providers that live on the storage child call it. */
#ifndef STORE_CALL_H
#define STORE_CALL_H

#include "base/buf.h"
#include "base/loop.h"
#include "base/pack.h"
#include "keys/store.h"
#include "wire.h"

struct store_call;

/* A kind of call.  pack and answer find the caller's struct around the wait. */
struct store_call_type {
	enum wire_kind kind;
	bool reads;   /* it is the reader's */
	bool patient; /* call_timeout_ns does not apply */
	/* Puts the call's body.  Errors that it returns end the call without sending it. */
	enum err (*pack)(struct buf *b, const struct wait *w);
	/* Reads the answer to a call that worked; NULL: it has none.  Not called after a cancel. */
	enum err (*answer)(void *ctx, struct wait *w, struct unpack *u);
	/*
	 * A child has answered, before anything else is made of that.  True: the answer is out of date, and
	 * the same was called anew, for the same wait.  Else *e is what the call ends with.  NULL: it never is.
	 */
	bool (*again)(void *ctx, struct wait *w, enum err *e);
	/*
	 * The call is over for good, before the waiter is told: e is its result, waited says
	 * whether somebody still waits.  NULL: nobody wants to know.
	 */
	void (*over)(void *ctx, uint64_t token, enum err e, bool waited);
};

/*
 * Queues a call; w ends through the loop.  ctx and token are for answer and over.  Cancelling w
 * drops the answer, and nothing else.
 */
void store_call(struct store *s, const struct store_call_type *type, struct wait *w, void *ctx,
    uint64_t token);

struct loop *store_loop(struct store *s);
void store_event(struct store *s, const char *what, int64_t number);

#endif
