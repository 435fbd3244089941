/* SPDX-License-Identifier: Apache-2.0 */
/* What an open stream reads and writes. */
#include "stream_parts.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/clock.h"
#include "base/metric.h"

enum {
	CHUNK = 4096,	 /* of input at a time: requests are small */
	TURN_READS = 16, /* then it is another stream's turn */
	TURN_WRITE = 64 * 1024,
};

/* --- output --- */

/*
 * The deadline moves when there was progress (a record goes to the kernel as a whole or not), but not
 * beyond that of all: whoever takes a record now and then would have us keep its answer for hours.
 */
static void
await_room(struct stream *s)
{
	int64_t when;

	if (timer_armed(&s->deadline) && !s->progress)
		return;
	s->progress = false;
	when = clock_now() + s->p.write_timeout_ns;
	if (s->write_ends == 0)
		s->write_ends = when + (int64_t)(s->out.len - s->sent) * NS_PER_S / STREAM_RATE_MIN;
	if (when > s->write_ends)
		when = s->write_ends;
	timer_set(s->loop, &s->deadline, when);
}

static bool
written(struct stream *s)
{
	s->writing = false;
	s->sent = 0;
	s->write_ends = 0;
	buf_fini(&s->out);
	timer_clear(s->loop, &s->deadline);
	if (s->state == STREAM_OPEN)
		s->p.ops->drained(s, s->p.user);
	return s->state == STREAM_OPEN || s->state == STREAM_SHUTTING;
}

bool
stream_flush(struct stream *s)
{
	size_t budget = TURN_WRITE, left;
	int ret;

	while (s->writing && s->sent < s->out.len) {
		if (budget == 0) {
			loop_defer(s->loop, &s->turn);
			return true;
		}
		left = s->out.len - s->sent;
		stream_forget_errors();
		/* after "would block" the same bytes again: out does not move until all is sent */
		ret = SSL_write(s->ssl, s->out.data + s->sent, left < INT_MAX ? (int)left : INT_MAX);
		if (ret <= 0) {
			if (!stream_survives(s, stream_judge(s, ret)))
				return false;
			await_room(s);
			return true;
		}
		s->sent += (size_t)ret;
		metric_add(METRIC_SENT_BYTES_TOTAL, ret);
		s->progress = true;
		budget -= budget < (size_t)ret ? budget : (size_t)ret;
	}
	return s->writing ? written(s) : true;
}

void
stream_say_goodbye(struct stream *s)
{
	int ret;

	if (s->ssl == NULL || !SSL_is_init_finished(s->ssl)) { /* no one to say it to */
		stream_finish_gently(s, STREAM_EOF);
		return;
	}
	stream_forget_errors();
	ret = SSL_shutdown(s->ssl);
	if (ret >= 0)
		stream_finish_gently(s, STREAM_EOF);
	else if (stream_survives(s, stream_judge(s, ret)))
		await_room(s);
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

/* OpenSSL does not count a record's header as pending once it waits for the rest ("RB": read body). */
static bool
is_quiet(const struct stream *s)
{
	return s->state == STREAM_OPEN && s->in.len == 0 && is_drained(s) &&
	    strcmp(SSL_rstate_string(s->ssl), "RB") != 0;
}

static enum stream_outcome
fill(struct stream *s)
{
	size_t room;
	int ret;

	for (int n = 0; !is_held(s); n++) {
		if (n == TURN_READS) {
			loop_defer(s->loop, &s->turn);
			return STREAM_WAITS;
		}
		if (is_drained(s)) {
			s->edge = false;
			return STREAM_WAITS;
		}
		room = s->p.input_max - s->in.len;
		if (room > CHUNK)
			room = CHUNK;
		if (buf_reserve(&s->in, room) != ERR_OK) {
			s->end = STREAM_NO_MEMORY;
			return STREAM_ENDS;
		}
		stream_forget_errors();
		ret = SSL_read(s->ssl, s->in.data + s->in.len, (int)room);
		if (ret <= 0 && errno != EAGAIN && SSL_get_error(s->ssl, ret) == SSL_ERROR_WANT_READ) {
			/* a buffer full of records without bytes for us, such as KeyUpdates */
			loop_defer(s->loop, &s->turn);
			return STREAM_WAITS;
		}
		if (ret <= 0) {
			s->edge = false; /* reading has seen what it stood for */
			return stream_judge(s, ret);
		}
		s->in.len += (size_t)ret;
		metric_add(METRIC_RECEIVED_BYTES_TOTAL, ret);
		s->offer = true;
	}
	return STREAM_WAITS;
}

void
stream_receive(struct stream *s)
{
	bool fresh = s->edge;
	enum stream_outcome o = fill(s);
	bool full = s->in.len >= s->p.input_max;

	if (s->offer && !s->paused && s->in.len > 0) {
		s->offer = s->look = false;
		s->p.ops->data(s, s->p.user); /* before the end that may have followed the bytes */
		if (s->state == STREAM_ENDED)
			return;
		if (full && !is_held(s))
			loop_defer(s->loop, &s->turn);
	}
	if (o == STREAM_WAITS && (is_held(s) ? s->edge : fresh && !s->edge))
		o = stream_look_for_end(s);
	if (stream_survives(s, o) && s->look && is_quiet(s)) {
		s->look = false;
		s->p.ops->quiet(s, s->p.user);
	}
}
