/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gateway's end of one storage child: sends the calls of a turn in one write, reads answers, and
 * starts the next child when it is told to.
 */
#ifndef STORE_END_H
#define STORE_END_H

#include "base/spawned.h"
#include "store_calls.h"

struct store_end;

struct store_end_params {
	struct loop *loop;
	pid_t (*spawn)(void *arg, int fd);
	int64_t call_timeout_ns; /* a call waits no longer than this */
	void *arg; /* of all functions */
	/*
	 * It has opened the files, before store_end_open() returns or after a later start.  An error, and *why, a
	 * sentence: not those that it should, and it has to end.
	 */
	enum err (*up)(void *arg, struct unpack *body, const char **why);
	/* It said something on its own. */
	void (*told)(void *arg, struct unpack *body);
	/* It has answered calls, or is about to give up, after that of a change.  NULL: it makes none. */
	void (*answered)(void *arg);
	/* It takes long to open them: store_end_open() waits. */
	void (*opening)(void *arg, int64_t times);
	/* A later start: it is about to open them, alone.  NULL: it is a reader. */
	void (*opens)(void *arg);
	/*
	 * It says, or up() did, why it cannot go on; opening: at a later start, it cannot open them, and has closed
	 * what it had, or is about to.  down() follows.  why is its sentence, valid until the next one is up.
	 */
	void (*gives_up)(void *arg, bool opening, enum err e, const char *why);
	/*
	 * It died; status: how, or -1.  Its calls are about to fail.  Time for store_end_start_again(),
	 * or for something else first.
	 */
	void (*down)(void *arg, int status);
};

enum end_state {
	END_DOWN,     /* no child, or a dead one that was not reaped yet */
	END_STARTING, /* a child opens the files */
	END_UP,
};

struct store_end {
	struct store_end_params p;
	enum end_state state;
	bool held; /* its owner's: no calls are taken yet, though it is up */
	bool shut;
	struct spawned child;
	struct buf out, in;
	size_t out_done; /* bytes of out that were written */
	struct defer flush;
	int64_t started, up_since, backoff; /* up_since: 0 when this one never had the files open */
	struct calls calls;
	char why[WIRE_WHY_MAX]; /* the last to give up since one was up; "": none has, or said nothing */
};

void store_end_init(struct store_end *s, const struct store_end_params *p);
/*
 * Starts the first child and waits, blocking, until it has opened the files.  On failure *why is its
 * sentence, valid until the end is freed.
 */
CHECKED enum err store_end_open(struct store_end *s, const char **why);
/* Starts one now, or later if those before it did not live long. */
void store_end_start(struct store_end *s);
void store_end_start_again(struct store_end *s);
/* Ends it at once, without down(): its calls fail. */
void store_end_kill(struct store_end *s);
/* What was called is sent, all that waits fails, and the child is waited for; nothing comes any more. */
void store_end_shut(struct store_end *s);

/* See store_call(). */
void store_end_call(struct store_end *s, const struct store_call_type *type, struct wait *w,
    void *ctx, uint64_t token);

#endif
