/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parent's end of a child process of ours (base/child): a socket pair, the events on our end of
 * it, the process on the other one, and the time to start the next when it died.
 */
#ifndef BASE_SPAWNED_H
#define BASE_SPAWNED_H

#include <sys/types.h>

#include "base/loop.h"

struct event;

struct spawned_params {
	struct loop *loop;
	int type;   /* SOCK_STREAM or SOCK_SEQPACKET */
	int buffer; /* bytes that wait in each direction; 0: as many as the system likes */
	/*
	 * Starts the child, which inherits fd and has it as its only way to us; returns its pid or -1.
	 */
	pid_t (*spawn)(void *arg, int fd);
	void *spawn_arg;
	/* Something can be read; spawned_await_room() has an end; time for another spawned_start(). */
	void (*readable)(void *arg);
	void (*writable)(void *arg);
	void (*again)(void *arg);
	void *arg;
};

struct spawned {
	struct spawned_params p;
	int fd; /* our end; -1: there is none */
	pid_t pid;
	bool gone; /* there is no process: it was reaped, or never was */
	struct event *on_readable, *on_writable;
	bool waits; /* for the time to start another */
	struct timer restart;
};

void spawned_init(struct spawned *s, const struct spawned_params *p);
/* Forgets the socket and the time to start another; a child that lives is left to itself. */
void spawned_fini(struct spawned *s);

/* A new pair with a child on its other end; the socket blocks.  False: there is none. */
CHECKED bool spawned_start(struct spawned *s);
/* From now on the socket does not block, and readable() is called.  False without memory. */
CHECKED bool spawned_watch(struct spawned *s);
/* Calls writable() once, when there is room.  False without memory. */
bool spawned_await_room(struct spawned *s);
bool spawned_awaits_room(const struct spawned *s);

/* Closes the socket, which tells the child to end. */
void spawned_drop(struct spawned *s);
/* Ends it at once, unless it is gone; to be reaped. */
void spawned_kill(struct spawned *s);
/*
 * True when there is no process any more, and what it had locked is free.  *status: how it ended, if it
 * was this call that found it so; -1: not known.
 */
bool spawned_reap(struct spawned *s, int *status);
/* Waits for its end, blocking and for no longer than that; then kills it. */
void spawned_end(struct spawned *s, int ms);

/*
 * Calls again() at that time, or as soon as the process is gone after it: one that hangs on its disk is
 * not followed by another, which would hang as well.
 */
void spawned_again_at(struct spawned *s, int64_t when);

#endif
