/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TLS byte stream on the loop, server side: handshake, then bytes in and out.  The user sees no
 * descriptor, event or TLS call.  Interest is derived from state in one place.  An idle stream
 * owns no buffers.
 *
 * Callbacks come from the loop, never from inside a call of the user's.  After `closed` no other
 * comes; the user then calls stream_free() (also allowed earlier and inside any callback: the
 * memory goes when the turn is over).
 *
 * The process must ignore SIGPIPE: OpenSSL writes with write(2).
 */
#ifndef NET_STREAM_H
#define NET_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/socket.h>

#include "base/buf.h"
#include "base/loop.h"
#include "net/tls.h"

struct stream;

enum stream_end {
	STREAM_EOF,		 /* the client closed: close_notify or end of file */
	STREAM_LEFT,		 /* the client left before its handshake was begun */
	STREAM_RESET,		 /* the connection broke */
	STREAM_TLS_ERROR,	 /* not TLS, or a TLS failure; stream_why() has OpenSSL's words */
	STREAM_REFUSED,		 /* the client's certificate was refused, or there was none */
	STREAM_HANDSHAKE_TIMEOUT,
	STREAM_WRITE_TIMEOUT,	 /* the client does not read its answer */
	STREAM_NO_MEMORY,
};
const char *stream_end_text(enum stream_end e);

struct stream_ops {
	void (*ready)(struct stream *s, void *user);	/* the handshake is done */
	/*
	 * More bytes are in stream_input(), which the user consumes with buf_consume().  When it
	 * is left full, reading goes on at stream_resume().
	 */
	void (*data)(struct stream *s, void *user);
	void (*drained)(struct stream *s, void *user);	/* all that was written is with the kernel */
	void (*closed)(struct stream *s, void *user, enum stream_end why);
	void (*quiet)(struct stream *s, void *user); /* see stream_look(); NULL: never called */
};

struct stream_params {
	struct tls_server *tls;
	const struct stream_ops *ops;
	void *user;
	size_t input_max;	   /* ceiling of unconsumed input; reading stops there */
	int64_t handshake_timeout_ns;
	/* Without progress; and in all, with a second more for each STREAM_RATE_MIN bytes. */
	int64_t write_timeout_ns;
};
enum { STREAM_RATE_MIN = 16 * 1024 };

/* Takes fd (closes it, also on failure).  NULL without memory. */
struct stream *stream_new(struct loop *l, int fd, const struct stream_params *p);
void stream_free(struct stream *s);

/* Empty when TLS is over, which comes before closed(): the stream then waits for the client to leave. */
struct buf *stream_input(struct stream *s);
/*
 * Paused: no data callback, nothing is read; the end of the connection is still noticed.  On
 * resuming, what is buffered already comes in a data callback of the next turn.
 */
void stream_pause(struct stream *s);
void stream_resume(struct stream *s);

/*
 * With all input consumed: looks into the socket, whatever its edges have told.  `data' follows, or
 * `quiet' once nothing is left of what came, not even a part of a record.  To call stream_shut() there
 * says goodbye at once, so that there is little time for a request to cross with it.
 */
void stream_look(struct stream *s);

/*
 * Takes the bytes (the buffer is left empty) and sends them; `drained` follows.  Only one write
 * at a time.  A buffer with an error is not taken, and its error returned.  Before `ready` and
 * after the end the bytes are dropped and nothing follows.
 */
CHECKED enum err stream_write(struct stream *s, struct buf *b);
/*
 * Sends close_notify after what is queued, then closes; `closed` comes with STREAM_EOF when the
 * client has closed too, or after two seconds.  The same wait follows a refusal, so that the alert
 * reaches the client.  No other callback comes from here on.
 */
void stream_shut(struct stream *s);

/* True while the client has not sent a single byte. */
bool stream_is_silent(const struct stream *s);
/* How much of its unfinished handshake the client has used up; the rest is time that it waited for us. */
int64_t stream_kept_waiting(const struct stream *s);
/* How much of the loop's time the steps of its handshake have taken. */
int64_t stream_worked(const struct stream *s);
/* How long it has waited for its client to close, after what was said last; zero: it does not. */
int64_t stream_lingers_for(const struct stream *s);
/* What `closed' will say then, for who frees it before. */
enum stream_end stream_lingers_after(const struct stream *s);
/* Unfinished handshakes from its client's address (of IPv6: a network of 64 bits). */
unsigned stream_neighbours(const struct stream *s);
/* Whether one from there succeeded in the last week. */
bool stream_has_good_neighbours(const struct stream *s);
/*
 * Its client fails to finish its handshake: it, and for half a minute others from its address, if
 * none from there succeeds, come last.  Not so where it waited for us.  Failed ones are blamed already.
 */
void stream_blame(struct stream *s);
/* Whether it may make room at once: it or its address is blamed, and it has kept us waiting for so long. */
bool stream_is_idle_suspect(const struct stream *s, int64_t for_ns);
/*
 * Whether a connection should not be taken where places are short: handshakes from its address come to
 * nothing, and others such have had this second's chances already.
 */
bool stream_turns_away(int fd);
const struct tls_peer *stream_peer(const struct stream *s); /* valid from ready on, and in closed */
/* What the client showed, from ready on; false when the connection is over. */
bool stream_shown(const struct stream *s, struct tls_shown *out);
const char *stream_why(const struct stream *s);
/* The label (FAILURE, base/label.def) of STREAM_TLS_ERROR. */
unsigned stream_failure(const struct stream *s);
const char *stream_tls_version(const struct stream *s);
/* "192.0.2.1:1234" or "[2001:db8::1]:1234"; static storage per stream. */
const char *stream_address(const struct stream *s);

#endif
