/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS byte streams.  One edge-triggered event per descriptor is armed once and stays: what an edge
 * leads to follows from the state, in stream_work().  So every stop short of "would block" (pause,
 * ceiling, budget) is followed by a deferred turn of our own, or by the user's resuming.
 */
#include "stream_parts.h"

#include <assert.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/alloc.h"
#include "base/clock.h"

/* --- the loop's side --- */

/* The one place that says what a state is interested in. */
static void
stream_work(struct stream *s)
{
	switch (s->state) {
	case STREAM_HANDSHAKING:
		stream_queue_handshake(s);
		break;
	case STREAM_OPEN:
		warm_keep(&s->warm, &streams_open);
		if (stream_flush(s) && s->state == STREAM_OPEN)
			stream_receive(s);
		if (s->state != STREAM_SHUTTING)
			break;
		/* fall through */
	case STREAM_SHUTTING:
		if (stream_flush(s) && !s->writing)
			stream_say_goodbye(s);
		break;
	case STREAM_LINGERING:
		stream_linger(s);
		break;
	case STREAM_ENDED:
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
	if (s->state == STREAM_HANDSHAKING && (what & (EV_READ | EV_CLOSED)) == 0 &&
	    (s->ssl == NULL || !SSL_want_write(s->ssl)))
		return;
	/*
	 * Without a side to write to there can be no handshake: its hello is not even read, and its
	 * place is free now, not when its turn would come.  A reset is no EV_CLOSED.
	 */
	if (s->state == STREAM_HANDSHAKING && s->ssl == NULL &&
	    (s->sock.left || stream_socket_error(s) != 0)) {
		stream_finish(s, STREAM_LEFT);
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
	case STREAM_HANDSHAKING:
		if (stream_handshake_is_late(s))
			stream_finish_by_reset(s, STREAM_HANDSHAKE_TIMEOUT);
		break;
	case STREAM_OPEN:
	case STREAM_SHUTTING:
		stream_finish_by_reset(s, STREAM_WRITE_TIMEOUT);
		break;
	case STREAM_LINGERING:
		stream_finish(s, s->end);
		break;
	case STREAM_ENDED:
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
	s->away = loop_away(l);
	buf_init(&s->in, p->input_max);
	tls_server_ref(p->tls);
	note_address(s);
	event_assign(&s->event, loop_base(l), fd,
	    EV_READ | EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST, on_event, s);
	if (event_add(&s->event, NULL) != 0) {
		stream_release(s);
		alloc_free(s);
		return NULL;
	}
	timer_set(l, &s->deadline, clock_now() + p->handshake_timeout_ns);
	return s;
}

void
stream_free(struct stream *s)
{
	if (s == NULL)
		return;
	stream_release(s);
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
	if (s->state == STREAM_OPEN)
		loop_defer(s->loop, &s->turn);
}

void
stream_look(struct stream *s)
{
	if (s->state != STREAM_OPEN)
		return;
	s->look = true;
	sock_edge(&s->sock, false);
	loop_defer(s->loop, &s->turn);
}

enum err
stream_write(struct stream *s, struct buf *b)
{
	if (buf_error(b) != ERR_OK)
		return buf_error(b);
	if (s->state != STREAM_OPEN) {
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
	if (s->state != STREAM_HANDSHAKING && s->state != STREAM_OPEN)
		return;
	stream_leave_handshakes(s);
	s->state = STREAM_SHUTTING;
	loop_defer(s->loop, &s->turn);
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
