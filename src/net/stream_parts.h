/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a stream is made of, and what its parts call of one another:
 *
 *   stream.c            its events, its states, its user's side
 *   stream_handshake.c  the turns of handshakes
 *   stream_io.c         what is read and written once it is open
 *   stream_tls.c        what OpenSSL and the kernel say
 *   stream_end.c        its end, by way of lingering or not
 *   stream_ask.c        what those want to know who look for one to give up
 *
 * A function that may end the stream has told the user so when it did: nothing of the stream but
 * its state may be looked at then.
 */
#ifndef NET_STREAM_PARTS_H
#define NET_STREAM_PARTS_H

#include <event2/event_struct.h>
#include <openssl/ssl.h>

#include "base/list.h"
#include "net/stream.h"

#include "address.h"
#include "admit.h"
#include "sock.h"
#include "warm.h"

#define STREAM_LINGER_NS (2 * NS_PER_S)

enum stream_state {
	STREAM_HANDSHAKING,
	STREAM_OPEN,
	STREAM_SHUTTING,  /* writes what is queued, then close_notify */
	STREAM_LINGERING, /* TLS is over; reads until the client closes, so that close() is no reset */
	STREAM_ENDED,
};

struct stream {
	struct place place; /* while its handshake waits for CPU; first, for loop_free_later() */
	struct warm warm; /* keeps its record buffers */
	struct loop *loop;
	struct event event;
	struct defer turn;
	struct timer deadline; /* of the handshake, of a write, or of lingering */
	SSL *ssl;
	struct sock sock;
	int fd;
	enum stream_state state;
	enum stream_end end;
	bool paused, edge, offer, writing, progress;
	bool look; /* the user wants to know when nothing is left */
	uint8_t failure; /* label of a TLS error */
	size_t sent, linger_left;
	int64_t worked; /* on its handshake */
	int64_t away; /* loop_away() when its deadline was set */
	int64_t write_ends; /* 0: it has not had to wait */
	struct buf in, out;
	struct stream_params p;
	const char *why, *version; /* static storage of others */
	struct tls_peer peer;
	char address[ADDRESS_TEXT];
};

/*
 * OpenSSL's buffers of records stay with the streams that were busy last; to give them back after
 * each record, and to wipe them, takes longer than a record.  All others have none.
 */
extern struct warm_set streams_open, streams_unfinished;

/* --- the turns of handshakes --- */

/* Steps wait until established streams have been served, and only some are made in a turn. */
void stream_queue_handshake(struct stream *s);
void stream_leave_handshakes(struct stream *s);
/*
 * True when the client has had its time.  What the process was away is none of it, and is added to the
 * deadline.
 */
bool stream_handshake_is_late(struct stream *s);

/* --- input and output --- */

/* Writes what is queued.  False when the stream has ended. */
bool stream_flush(struct stream *s);
/* Reads what there is, and offers it. */
void stream_receive(struct stream *s);
/* close_notify, when all is written. */
void stream_say_goodbye(struct stream *s);

/* --- what OpenSSL says --- */

enum stream_outcome {
	STREAM_WAITS,	     /* the call has to be made again at the next edge */
	STREAM_ENDS,
	STREAM_ENDS_GENTLY, /* an alert is on its way */
};

/* Before a call: what stands in the queue afterwards is its own. */
void stream_forget_errors(void);
/* What became of an SSL call that did not succeed. */
enum stream_outcome stream_judge(struct stream *s, int ret);
/* Does it.  True when the stream lives on. */
bool stream_survives(struct stream *s, enum stream_outcome o);
/* The error that waits at the socket, or 0. */
int stream_socket_error(const struct stream *s);
enum stream_outcome stream_look_for_end(struct stream *s);

/* --- the end --- */

/* Gives back all but the struct itself.  Safe from any state, and twice. */
void stream_release(struct stream *s);
void stream_finish(struct stream *s, enum stream_end why);
/* The kernel forgets what it has queued, rather than trying for minutes to deliver it. */
void stream_finish_by_reset(struct stream *s, enum stream_end why);
/* Our last words are with the kernel: they shall be read before the connection ends. */
void stream_finish_gently(struct stream *s, enum stream_end why);
/* In STREAM_LINGERING: reads until the client closes. */
void stream_linger(struct stream *s);

#endif
