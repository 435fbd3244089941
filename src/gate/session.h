/* SPDX-License-Identifier: Apache-2.0 */
/* One client connection: handshake, one message at a time, the deadlines between them. */
#ifndef GATE_SESSION_H
#define GATE_SESSION_H

#include "gate/gate.h"
#include "net/stream.h"

#include "request.h"

enum session_state { SESSION_HANDSHAKE, SESSION_IDLE, SESSION_READING, SESSION_LIMITED,
	SESSION_RUNNING, SESSION_WRITING, SESSION_CLOSING };

struct session {
	struct list link; /* of the gate's sessions; first: loop_free_later() */
	struct list handshake; /* of the gate's handshakes, until it is over */
	struct gate *gate;
	struct stream *stream;
	struct tenant *tenant; /* from ready on */
	struct request *request;
	struct audit_client *client; /* from the first request on */
	enum session_state state;
	struct timer deadline;
	bool read_only;		/* may not change anything */
	bool unsorted;		/* session_sort() comes before its next request or answer */
	bool unseen;		/* the last look at its client lacked memory; `ends' is when the next is due */
	bool entered;		/* counts among its tenant's */
	bool last_answer;	/* close when it is out */
	unsigned drain_answers; /* that it may have yet, once the gate drains */
	struct limit_turn turn; /* SESSION_LIMITED: until its request may start */
	size_t held;		/* how long that is */
	size_t request_max;	/* what the stream was made for */
	uint64_t id, requests;
	int64_t created, active;
	int64_t ends; /* seconds since 1970: of its client's certificate; from ready on */
	const char *last_operation;
};

/* Takes fd.  False without memory (fd is closed). */
bool session_new(struct gate *g, int fd);
/* Ends the session from any state; safe twice.  why goes to the log. */
void session_end(struct session *s, const char *why);
/* The end of a handshake that somebody else needs the place of. */
enum unfinished { UNFINISHED_SILENT, UNFINISHED_OVER_SHARE, UNFINISHED_STALLED };
void session_end_unfinished(struct session *s, enum unfinished why);
/* Its stream waits for the client to close, and shall not do so for longer. */
void session_end_lingering(struct session *s);
/*
 * Takes up what the gate's tenants say of its client now; ends it when that is not its tenant's any more.
 * What became of it, and whether authorities had to be asked, which takes a thousand times as long.
 * Where memory lacks it stays, unsorted and unseen, and session_has_expired() looks again in a second.
 */
struct sorted {
	bool stays, asked;
	const struct tenant *voucher; /* whose authority lets the client in, though it may have to come anew */
};
struct sorted session_sort(struct session *s);
/* Its client's certificate has expired: true when that was so, and was acted upon. */
bool session_has_expired(struct session *s);
/*
 * The gate drains: what has come is answered, and who has just come may ask once, as it may have done so
 * already.
 */
void session_drain(struct session *s);
/* Ends it when nothing is under way, else after the answer. */
void session_leave(struct session *s);

#endif
