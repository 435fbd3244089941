/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS byte streams.  One edge-triggered event per descriptor is armed once and stays: what an edge
 * leads to follows from the state, in stream_work().  So every stop short of "would block" (pause,
 * ceiling, budget) is followed by a deferred turn of our own, or by the user's resuming.
 */
#include "net/stream.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/event_struct.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/metric.h"

#include "address.h"
#include "admit.h"
#include "failure.h"
#include "sock.h"
#include "warm.h"

enum {
	CHUNK = 4096,		     /* of input at a time: requests are small */
	TURN_READS = 16,	     /* then it is another stream's turn */
	TURN_WRITE = 64 * 1024,
	TURN_HANDSHAKES = 8,	     /* steps, as long as TURN_HANDSHAKES_NS is not over */
	WARM_MAX = 64,		     /* open streams whose record buffers stay: 21 KiB each */
	WARM_HANDSHAKES = 1024,	     /* unfinished ones; their OpenSSL objects are three times that */
	LINGER_BYTES = 64 * 1024,    /* thrown away while an alert is on its way */
};
#define LINGER_NS (2 * NS_PER_S)
#define TURN_HANDSHAKES_NS NS_PER_MS /* established streams wait for no longer */

enum state {
	HANDSHAKING,
	OPEN,
	SHUTTING,  /* writes what is queued, then close_notify */
	LINGERING, /* TLS is over; reads until the client closes, so that close() is no reset */
	ENDED,
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
	enum state state;
	enum stream_end end;
	bool paused, edge, offer, writing, progress;
	uint8_t failure; /* label of a TLS error */
	size_t sent, linger_left;
	int64_t worked; /* on its handshake */
	int64_t write_ends; /* 0: it has not had to wait */
	struct buf in, out;
	struct stream_params p;
	const char *why, *version; /* static storage of others */
	struct tls_peer peer;
	char address[ADDRESS_TEXT];
};

/*
 * Handshake steps wait until established streams have been served, and only some are made in a turn.
 */
static struct defer handshakes_turn;

static void cool(struct warm *w);

/*
 * OpenSSL's buffers of records stay with the streams that were busy last; to give them back after
 * each record, and to wipe them, takes longer than a record.  All others have none.
 */
static struct warm_set open_ones = WARM_SET(open_ones, WARM_MAX, cool);
static struct warm_set unfinished = WARM_SET(unfinished, WARM_HANDSHAKES, cool);

const char *
stream_end_text(enum stream_end e)
{
	switch (e) {
	case STREAM_EOF:
		return "closed";
	case STREAM_LEFT:
		return "left before its handshake";
	case STREAM_RESET:
		return "connection broken";
	case STREAM_TLS_ERROR:
		return "TLS error";
	case STREAM_REFUSED:
		return "certificate refused";
	case STREAM_HANDSHAKE_TIMEOUT:
		return "handshake took too long";
	case STREAM_WRITE_TIMEOUT:
		return "client does not read";
	case STREAM_NO_MEMORY:
		return "out of memory";
	}
	return "unknown end";
}

/* --- the end --- */

static void
leave_handshakes(struct stream *s)
{
	admit_exit(&s->place);
	if (!admit_anybody())
		loop_undefer(&handshakes_turn);
}

static void
cool(struct warm *w)
{
	struct stream *s = CONTAINER_OF(w, struct stream, warm);

	(void)SSL_free_buffers(s->ssl); /* those with something in them stay as long as that does */
	if (s->in.len == 0)
		buf_fini(&s->in);
}

static void
drop_tls(struct stream *s)
{
	warm_leave(&s->warm);
	SSL_free(s->ssl);
	s->ssl = NULL;
	buf_fini(&s->in);
	buf_fini(&s->out);
	tls_server_unref(s->p.tls);
	s->p.tls = NULL;
}

/* Gives back all but the struct itself.  Safe from any state, and twice. */
static void
release(struct stream *s)
{
	s->state = ENDED;
	leave_handshakes(s);
	loop_undefer(&s->turn);
	timer_clear(s->loop, &s->deadline);
	drop_tls(s);
	if (s->fd < 0)
		return;
	event_del(&s->event);
	close(s->fd);
	s->fd = -1;
}

/* A handshake that was begun came to nothing.  Who had to wait for its turn may have left for that. */
static void
blame(struct stream *s, enum stream_end why)
{
	if (s->state == HANDSHAKING && why != STREAM_LEFT && why != STREAM_NO_MEMORY)
		admit_blame(&s->place);
}

static void
finish(struct stream *s, enum stream_end why)
{
	blame(s, why);
	s->end = why;
	release(s);
	s->p.ops->closed(s, s->p.user, why);
}

/* The kernel forgets what it has queued, rather than trying for minutes to deliver it. */
static void
finish_by_reset(struct stream *s, enum stream_end why)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};

	(void)setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	finish(s, why);
}

static void
linger(struct stream *s)
{
	uint8_t waste[CHUNK];
	ssize_t n;

	while ((n = recv(s->fd, waste, sizeof(waste), 0)) > 0) {
		if ((size_t)n >= s->linger_left)
			break;
		s->linger_left -= (size_t)n;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	finish(s, s->end);
}

/*
 * Our last words (an alert, close_notify) are with the kernel.  To close now, with bytes of the
 * client's unread, would be a reset that may overtake them.
 */
static void
finish_gently(struct stream *s, enum stream_end why)
{
	blame(s, why);
	s->end = why;
	s->state = LINGERING;
	s->linger_left = LINGER_BYTES;
	leave_handshakes(s);
	drop_tls(s);
	if (shutdown(s->fd, SHUT_WR) != 0 ||
	    timer_set(s->loop, &s->deadline, clock_now() + LINGER_NS) != ERR_OK) {
		finish(s, why);
		return;
	}
	linger(s);
}

/* --- what OpenSSL says --- */

enum outcome {
	WAITS,	     /* the call has to be made again at the next edge */
	ENDS,
	ENDS_GENTLY, /* an alert is on its way */
};

/* Before a call: what stands in the queue afterwards is its own.  To look costs less than to clear. */
static void
forget_errors(void)
{
	if (ERR_peek_error() != 0)
		ERR_clear_error();
	errno = 0;
}

static enum outcome
judge_errno(struct stream *s, int error)
{
	s->end = error == 0 ? STREAM_EOF : STREAM_RESET;
	if (error != 0)
		s->why = strerrordesc_np(error);
	return ENDS;
}

static enum outcome
judge_tls(struct stream *s)
{
	unsigned long code = ERR_peek_last_error();
	int reason = ERR_GET_REASON(code);
	const char *text = ERR_reason_error_string(code);

	ERR_clear_error();
	if (reason == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
		s->end = STREAM_EOF; /* the end of a KMIP message does not depend on it */
		return ENDS;
	}
	s->why = text != NULL ? text : "unknown TLS failure";
	s->failure = (uint8_t)failure_label(reason);
	tls_peer(s->ssl, &s->peer);
	if (reason == ERR_R_MALLOC_FAILURE)
		s->end = STREAM_NO_MEMORY;
	else if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE ||
	    (s->peer.have_digest && s->peer.verdict != TLS_KNOWN))
		s->end = STREAM_REFUSED;
	else
		s->end = STREAM_TLS_ERROR;
	return ENDS_GENTLY;
}

/* What became of an SSL call that did not succeed. */
static enum outcome
judge(struct stream *s, int ret)
{
	int error = errno;

	switch (SSL_get_error(s->ssl, ret)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return WAITS;
	case SSL_ERROR_ZERO_RETURN:
		if (!s->writing)
			(void)SSL_shutdown(s->ssl); /* TLS 1.2 wants an answer; it may get lost */
		ERR_clear_error();
		s->end = STREAM_EOF;
		return ENDS;
	case SSL_ERROR_SYSCALL:
		return judge_errno(s, error);
	default:
		return judge_tls(s);
	}
}

/* True when the stream lives on. */
static bool
survives(struct stream *s, enum outcome o)
{
	if (o == ENDS)
		finish(s, s->end);
	else if (o == ENDS_GENTLY)
		finish_gently(s, s->end);
	return o == WAITS;
}

static int
socket_error(const struct stream *s)
{
	int error = 0;
	socklen_t len = sizeof(error);

	return getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 ? error : errno;
}

/*
 * With reading held back only this notices an end: the edge of a client that left is remembered,
 * and a reset, which comes as a readable edge without EV_CLOSED, is asked for.  So it is where an
 * edge brought less than is waited for: it may have been that of bytes and of a reset behind them.
 */
static enum outcome
look_for_end(struct stream *s)
{
	int error = socket_error(s);

	s->edge = false;
	return error != 0 || s->sock.left ? judge_errno(s, error) : WAITS;
}

/* --- handshake --- */

/* What OpenSSL could not send: a few bytes, into a socket that has sent all it had. */
static void
say_last_words(struct stream *s, bool done)
{
	uint8_t words[TLS_LAST_WORDS_MAX];
	int saved = errno; /* judge() wants it */
	size_t len = tls_last_words(s->ssl, done, words);

	if (len > 0)
		(void)send(s->fd, words, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	errno = saved;
}

/* Whoever has said nothing yet, or waits for its turn, costs a descriptor and this struct only. */
static bool
begin_tls(struct stream *s)
{
	BIO *bio = sock_bio(&s->sock);

	s->ssl = bio != NULL ? tls_server_ssl(s->p.tls) : NULL;
	if (s->ssl == NULL) {
		BIO_free(bio);
		return false;
	}
	SSL_set_bio(s->ssl, bio, bio);
	return true;
}

static void
handshake(struct stream *s)
{
	int64_t begun = clock_now();
	uint64_t written;
	int ret;

	if (begun >= s->deadline.when) { /* nobody waits for it: spend no more on it */
		finish_by_reset(s, STREAM_HANDSHAKE_TIMEOUT);
		return;
	}
	if (s->ssl == NULL && !begin_tls(s)) {
		finish(s, STREAM_NO_MEMORY);
		return;
	}
	warm_keep(&s->warm, &unfinished);
	forget_errors();
	written = BIO_number_written(SSL_get_wbio(s->ssl));
	ret = tls_server_handshake(s->p.tls, s->ssl);
	say_last_words(s, ret == 1);
	s->worked += clock_now() - begun;
	if (SSL_get_pending_cipher(s->ssl) != NULL) /* the hellos have been said */
		s->version = SSL_get_version(s->ssl);
	if (ret != 1) {
		/* a write would have told */
		if (survives(s, judge(s, ret)) && s->sock.empty &&
		    BIO_number_written(SSL_get_wbio(s->ssl)) == written)
			(void)survives(s, look_for_end(s));
		return;
	}
	tls_peer(s->ssl, &s->peer);
	if (s->peer.verdict != TLS_KNOWN) {
		finish_gently(s, STREAM_REFUSED);
		return;
	}
	timer_clear(s->loop, &s->deadline);
	admit_succeeded(&s->place);
	leave_handshakes(s);
	s->state = OPEN;
	/*
	 * A request may have come with the last flight; or a reset, which is no EV_CLOSED and would
	 * not be told again: the kernel is asked once more, though the last read was a short one.
	 */
	sock_edge(&s->sock, false);
	loop_defer(s->loop, &s->turn);
	s->p.ops->ready(s, s->p.user);
}

static void
handshakes_run(struct defer *d)
{
	int64_t end = clock_now() + TURN_HANDSHAKES_NS;
	struct loop *l = NULL;
	struct place *p;
	int n = 0;

	/* one at least, however long others have held the CPU since */
	do {
		p = admit_next();
		if (p == NULL)
			break;
		l = CONTAINER_OF(p, struct stream, place)->loop;
		handshake(CONTAINER_OF(p, struct stream, place));
	} while (++n < TURN_HANDSHAKES && clock_now() < end);
	if (l != NULL && admit_anybody())
		loop_defer_idle(l, d);
}

static void
queue_handshake(struct stream *s)
{
	handshakes_turn.fn = handshakes_run;
	admit_wait(&s->place, s->ssl != NULL);
	loop_defer_idle(s->loop, &handshakes_turn);
}

/* --- output --- */

/*
 * The deadline moves when there was progress (a record goes to the kernel as a whole or not), but not
 * beyond that of all: whoever takes a record now and then would have us keep its answer for hours.
 */
static bool
await_room(struct stream *s)
{
	int64_t when;

	if (timer_armed(&s->deadline) && !s->progress)
		return true;
	s->progress = false;
	when = clock_now() + s->p.write_timeout_ns;
	if (s->write_ends == 0)
		s->write_ends = when + (int64_t)(s->out.len - s->sent) * NS_PER_S / STREAM_RATE_MIN;
	if (when > s->write_ends)
		when = s->write_ends;
	if (timer_set(s->loop, &s->deadline, when) == ERR_OK)
		return true;
	finish_by_reset(s, STREAM_NO_MEMORY);
	return false;
}

static bool
written(struct stream *s)
{
	s->writing = false;
	s->sent = 0;
	s->write_ends = 0;
	buf_fini(&s->out);
	timer_clear(s->loop, &s->deadline);
	if (s->state == OPEN)
		s->p.ops->drained(s, s->p.user);
	return s->state == OPEN || s->state == SHUTTING;
}

/* Writes what is queued.  False when the stream has ended. */
static bool
flush(struct stream *s)
{
	size_t budget = TURN_WRITE, left;
	int ret;

	while (s->writing && s->sent < s->out.len) {
		if (budget == 0) {
			loop_defer(s->loop, &s->turn);
			return true;
		}
		left = s->out.len - s->sent;
		forget_errors();
		/* after "would block" the same bytes again: out does not move until all is sent */
		ret = SSL_write(s->ssl, s->out.data + s->sent, left < INT_MAX ? (int)left : INT_MAX);
		if (ret <= 0)
			return survives(s, judge(s, ret)) && await_room(s);
		s->sent += (size_t)ret;
		metric_add(METRIC_SENT_BYTES_TOTAL, ret);
		s->progress = true;
		budget -= budget < (size_t)ret ? budget : (size_t)ret;
	}
	return s->writing ? written(s) : true;
}

static void
say_goodbye(struct stream *s)
{
	int ret;

	if (s->ssl == NULL || !SSL_is_init_finished(s->ssl)) { /* no one to say it to */
		finish_gently(s, STREAM_EOF);
		return;
	}
	forget_errors();
	ret = SSL_shutdown(s->ssl);
	if (ret >= 0)
		finish_gently(s, STREAM_EOF);
	else if (survives(s, judge(s, ret)))
		(void)await_room(s);
}

/* --- input --- */

/* Whether nothing may be read now; the user's resuming or consuming comes first. */
static bool
is_held(const struct stream *s)
{
	return s->paused || s->in.len >= s->p.input_max;
}

/* Whether the edges so far have brought nothing that was not read. */
static bool
is_drained(const struct stream *s)
{
	return s->sock.empty && SSL_has_pending(s->ssl) == 0;
}

static enum outcome
fill(struct stream *s)
{
	size_t room;
	int ret;

	for (int n = 0; !is_held(s); n++) {
		if (n == TURN_READS) {
			loop_defer(s->loop, &s->turn);
			return WAITS;
		}
		if (is_drained(s)) {
			s->edge = false;
			return WAITS;
		}
		room = s->p.input_max - s->in.len;
		if (room > CHUNK)
			room = CHUNK;
		if (buf_reserve(&s->in, room) != ERR_OK) {
			s->end = STREAM_NO_MEMORY;
			return ENDS;
		}
		forget_errors();
		ret = SSL_read(s->ssl, s->in.data + s->in.len, (int)room);
		if (ret <= 0 && errno != EAGAIN && SSL_get_error(s->ssl, ret) == SSL_ERROR_WANT_READ) {
			/* a buffer full of records without bytes for us, such as KeyUpdates */
			loop_defer(s->loop, &s->turn);
			return WAITS;
		}
		if (ret <= 0) {
			s->edge = false; /* reading has seen what it stood for */
			return judge(s, ret);
		}
		s->in.len += (size_t)ret;
		metric_add(METRIC_RECEIVED_BYTES_TOTAL, ret);
		s->offer = true;
	}
	return WAITS;
}

static void
receive(struct stream *s)
{
	bool fresh = s->edge;
	enum outcome o = fill(s);
	bool full = s->in.len >= s->p.input_max;

	if (s->offer && !s->paused && s->in.len > 0) {
		s->offer = false;
		s->p.ops->data(s, s->p.user); /* before the end that may have followed the bytes */
		if (s->state == ENDED)
			return;
		if (full && !is_held(s))
			loop_defer(s->loop, &s->turn);
	}
	if (o == WAITS && (is_held(s) ? s->edge : fresh && !s->edge))
		o = look_for_end(s);
	(void)survives(s, o);
}

/* --- the loop's side --- */

/* The one place that says what a state is interested in. */
static void
stream_work(struct stream *s)
{
	switch (s->state) {
	case HANDSHAKING:
		queue_handshake(s);
		break;
	case OPEN:
		warm_keep(&s->warm, &open_ones);
		if (flush(s) && s->state == OPEN)
			receive(s);
		break;
	case SHUTTING:
		if (flush(s) && !s->writing)
			say_goodbye(s);
		break;
	case LINGERING:
		linger(s);
		break;
	case ENDED:
		break;
	}
}

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
	struct stream *s = arg;

	(void)fd;
	if ((what & (EV_READ | EV_CLOSED)) != 0) {
		sock_edge(&s->sock, (what & EV_CLOSED) != 0);
		s->edge = true;
	}
	/* a new connection is writable before its first byte came: nothing to do yet */
	if (s->state == HANDSHAKING && (what & (EV_READ | EV_CLOSED)) == 0 &&
	    (s->ssl == NULL || !SSL_want_write(s->ssl)))
		return;
	/*
	 * Without a side to write to there can be no handshake: its hello is not even read, and its
	 * place is free now, not when its turn would come.  A reset is no EV_CLOSED.
	 */
	if (s->state == HANDSHAKING && s->ssl == NULL && (s->sock.left || socket_error(s) != 0)) {
		finish(s, STREAM_LEFT);
		return;
	}
	stream_work(s);
}

static void
on_turn(struct defer *d)
{
	stream_work(CONTAINER_OF(d, struct stream, turn));
}

static void
on_deadline(struct timer *t)
{
	struct stream *s = CONTAINER_OF(t, struct stream, deadline);

	switch (s->state) {
	case HANDSHAKING:
		finish_by_reset(s, STREAM_HANDSHAKE_TIMEOUT);
		break;
	case OPEN:
	case SHUTTING:
		finish_by_reset(s, STREAM_WRITE_TIMEOUT);
		break;
	case LINGERING:
		finish(s, s->end);
		break;
	case ENDED:
		break;
	}
}

/* --- the user's side --- */

static void
note_address(struct stream *s)
{
	struct sockaddr_storage ss = {0};
	socklen_t len = sizeof(ss);

	(void)getpeername(s->fd, (struct sockaddr *)&ss, &len); /* failing leaves "local" */
	address_text(s->address, &ss, len);
	s->place.whose = admit_whose(&ss);
	admit_enter(&s->place);
}

static bool
set_up(struct stream *s)
{
	return event_add(&s->event, NULL) == 0 &&
	    timer_set(s->loop, &s->deadline, clock_now() + s->p.handshake_timeout_ns) == ERR_OK;
}

struct stream *
stream_new(struct loop *l, int fd, const struct stream_params *p)
{
	struct stream *s = alloc_zero(sizeof(*s));

	if (s == NULL) {
		close(fd);
		return NULL;
	}
	s->loop = l;
	s->fd = s->sock.fd = fd;
	s->p = *p;
	s->why = "";
	s->version = "none";
	s->turn.fn = on_turn;
	s->deadline.fn = on_deadline;
	buf_init(&s->in, p->input_max);
	tls_server_ref(p->tls);
	note_address(s);
	event_assign(&s->event, loop_base(l), fd,
	    EV_READ | EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST, on_event, s);
	if (!set_up(s)) {
		release(s);
		alloc_free(s);
		return NULL;
	}
	return s;
}

void
stream_free(struct stream *s)
{
	if (s == NULL)
		return;
	release(s);
	tls_peer_fini(&s->peer);
	loop_free_later(s->loop, s);
}

struct buf *
stream_input(struct stream *s)
{
	return &s->in;
}

void
stream_pause(struct stream *s)
{
	s->paused = true;
}

void
stream_resume(struct stream *s)
{
	s->paused = false;
	s->offer = s->in.len > 0;
	if (s->state == OPEN)
		loop_defer(s->loop, &s->turn);
}

enum err
stream_write(struct stream *s, struct buf *b)
{
	if (buf_error(b) != ERR_OK)
		return buf_error(b);
	if (s->state != OPEN) {
		buf_fini(b);
		return ERR_OK;
	}
	assert(!s->writing);
	s->out = *b;
	buf_init(b, s->out.max);
	s->writing = true;
	s->progress = false;
	loop_defer(s->loop, &s->turn);
	return ERR_OK;
}

void
stream_shut(struct stream *s)
{
	if (s->state != HANDSHAKING && s->state != OPEN)
		return;
	leave_handshakes(s);
	s->state = SHUTTING;
	loop_defer(s->loop, &s->turn);
}

static bool
has_unread(const struct stream *s)
{
	int waiting = 0;

	return s->fd >= 0 && ioctl(s->fd, FIONREAD, &waiting) == 0 && waiting > 0;
}

/* Bytes that wait in the socket for their turn count as well. */
bool
stream_is_silent(const struct stream *s)
{
	return s->fd >= 0 && s->state == HANDSHAKING &&
	    (s->ssl == NULL || BIO_number_read(SSL_get_rbio(s->ssl)) == 0) && !has_unread(s);
}

int64_t
stream_kept_waiting(const struct stream *s)
{
	int64_t begun = s->deadline.when - s->p.handshake_timeout_ns;

	return s->state == HANDSHAKING ? clock_now() - begun - admit_waited(&s->place) : 0;
}

int64_t
stream_worked(const struct stream *s)
{
	return s->worked;
}

int64_t
stream_lingers_for(const struct stream *s)
{
	return s->state == LINGERING ? clock_now() - (s->deadline.when - LINGER_NS) : 0;
}

enum stream_end
stream_lingers_after(const struct stream *s)
{
	return s->end;
}

unsigned
stream_neighbours(const struct stream *s)
{
	return admit_under_way(&s->place);
}

bool
stream_has_good_neighbours(const struct stream *s)
{
	return admit_is_good(s->place.whose);
}

void
stream_blame(struct stream *s)
{
	admit_blame(&s->place);
}

/* Bytes that wait in the socket are the client's answer. */
bool
stream_is_idle_suspect(const struct stream *s, int64_t for_ns)
{
	return (s->place.blamed || admit_is_suspect(s->place.whose)) &&
	    stream_kept_waiting(s) + stream_lingers_for(s) >= for_ns && !has_unread(s);
}

bool
stream_turns_away(int fd)
{
	struct sockaddr_storage ss = {0};
	socklen_t len = sizeof(ss);

	return getpeername(fd, (struct sockaddr *)&ss, &len) == 0 && admit_turns_away(admit_whose(&ss));
}

const struct tls_peer *
stream_peer(const struct stream *s)
{
	return &s->peer;
}

bool
stream_shown(const struct stream *s, struct tls_shown *out)
{
	return s->ssl != NULL && tls_shown(s->ssl, out);
}

const char *
stream_why(const struct stream *s)
{
	return s->why;
}

unsigned
stream_failure(const struct stream *s)
{
	return s->failure;
}

const char *
stream_tls_version(const struct stream *s)
{
	return s->version;
}

const char *
stream_address(const struct stream *s)
{
	return s->address;
}
