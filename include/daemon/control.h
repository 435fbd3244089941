/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket: keyferryctl's side door.  A request is one line of fields separated by
 * tabs: the command's name, then its arguments, each "name=value", or "=value" for a word without a
 * name.  What the command does not take is refused, and so is a name that is given twice.  The answer
 * is one JSON document per line; the last one is {"status":"ok"} or
 * {"status":"error","error":"..."}.  A client may then send the next request.  The command "help"
 * is built in and lists the table.
 */
#ifndef DAEMON_CONTROL_H
#define DAEMON_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/loop.h"

enum {
	CONTROL_LINE_MAX = 8192,	     /* bytes of a request: a certificate has room */
	CONTROL_ARGS_MAX = 16,		     /* fields of a request, the name included */
	CONTROL_CLIENTS_MAX = 16,	     /* further ones are answered "too busy" and closed */
	CONTROL_ANSWER_MAX = 8 * 1024 * 1024 /* bytes of an answer that may wait for its reader */
};

struct control;
struct control_call;

/* What a command does, to the keys and to who gets them. */
enum control_kind {
	CONTROL_LOOKS,	 /* nothing; logged at info, others at notice */
	CONTROL_CHANGES, /* something that the audit log has to know */
	CONTROL_STEERS,	 /* nothing, but to the daemon: it may be the way out of a trouble */
};

/* A row of the daemon's table. */
struct control_command {
	const char *name;  /* may be two words: "keys list" */
	/*
	 * Its arguments, for people, and a request is held against it: name=VALUE, name=yes for one
	 * that is yes or no, WORD for one without a name; in brackets what may be left out, with "..."
	 * behind what may be given several times.  "" when there are none.
	 */
	const char *usage;
	const char *help;  /* one sentence */
	enum control_kind kind;
	/*
	 * Appends JSON documents, each ended by a newline, to call->out, and ends the call, now or
	 * later, with control_done().
	 */
	void (*run)(struct control_call *call);
};

/* One command under way.  Lives until control_done(), whatever becomes of the client. */
struct control_call {
	size_t argc; /* argv[0] is the command's name */
	const char *argv[CONTROL_ARGS_MAX + 1];
	struct buf
	    out;     /* ceiling: CONTROL_ANSWER_MAX; what does not fit ends the call in an error */
	void *user;  /* control_params.user */
	void *state; /* the command's own */
	bool unsure; /* after an error nobody knows whether it was done all the same */
};

struct control_params {
	const char *path;
	unsigned mode;				/* of the socket file, such as 0600 */
	const struct control_command *commands; /* borrowed; ended by a row without a name */
	const struct control_command *more;	/* likewise, not listed by help; may be NULL */
	void *user;
	/* Whether a command may run now, else why not; may be NULL. */
	enum err (*may)(void *user, const struct control_command *command);
	/* Tells how each command ended, and who gave it; may be NULL.  All is borrowed. */
	void (*ended)(void *user, const struct control_call *call, long uid, long pid, enum err e);
	int64_t timeout_ns; /* for a request to arrive, for a command between two signs of life, and
			     * for the client to read its answer */
};

/*
 * Binds the socket (closed to others from its first moment) and serves it.  A socket file that
 * nobody answers on is replaced; ERR_IN_USE when somebody does.  On failure *why is a sentence in
 * static storage.
 */
CHECKED enum err control_new(
    struct control **out, struct loop *l, const struct control_params *p, const char **why);
/* Closes everything and removes the socket file; calls under way lose their client. */
void control_free(struct control *c);

/* The value of the argument "name=value", or NULL. */
const char *control_arg(const struct control_call *call, const char *name);
/* The n-th argument that has no name (from 0), or NULL. */
const char *control_word(const struct control_call *call, size_t n);
/* Whether "name=yes" is given, which the usage calls so: another value than yes and no is refused. */
bool control_flag(const struct control_call *call, const char *name);
/*
 * The number in "name=value", or fallback when there is none.  False when it is no whole number up
 * to max; the caller then ends the call with ERR_INVALID_FIELD.
 */
bool control_number(const struct control_call *call, const char *name, uint64_t max,
    uint64_t fallback, uint64_t *out);

/*
 * Sends what call->out holds, for progress and for long answers, and begins the time limit anew.
 * False when the client has gone: nobody will read what follows.
 */
bool control_flush(struct control_call *call);

/* Whether the client is there yet, which costs a system call: before what it may have thought better of. */
bool control_heard(const struct control_call *call);

/*
 * Ends the call; it is gone when the turn is over.  detail: what went wrong, for people, may be
 * NULL (err_text() then speaks).
 */
void control_done(struct control_call *call, enum err e, const char *detail);

#endif
