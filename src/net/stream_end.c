/* SPDX-License-Identifier: Apache-2.0 */
/* How streams end. */
#include "stream_parts.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/clock.h"

enum {
	CHUNK = 4096,
	LINGER_BYTES = 64 * 1024, /* thrown away while an alert is on its way */
	WARM_MAX = 64,		  /* open streams whose record buffers stay: 21 KiB each */
	WARM_HANDSHAKES = 1024,	  /* unfinished ones; their OpenSSL objects are three times that */
};

static void cool(struct warm *w);

struct warm_set streams_open = WARM_SET(streams_open, WARM_MAX, cool);
struct warm_set streams_unfinished = WARM_SET(streams_unfinished, WARM_HANDSHAKES, cool);

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

void
stream_release(struct stream *s)
{
	s->state = STREAM_ENDED;
	stream_leave_handshakes(s);
	loop_undefer(&s->turn);
	timer_clear(s->loop, &s->deadline);
	drop_tls(s);
	if (s->fd < 0)
		return;
	event_del(&s->event);
	close(s->fd);
	s->fd = -1;
}

/* A handshake came to nothing.  Who had to wait for its turn may have left for that. */
static void
blame(struct stream *s, enum stream_end why)
{
	if (s->state == STREAM_HANDSHAKING && why != STREAM_LEFT && why != STREAM_NO_MEMORY)
		admit_blame(&s->place);
}

void
stream_finish(struct stream *s, enum stream_end why)
{
	blame(s, why);
	s->end = why;
	stream_release(s);
	s->p.ops->closed(s, s->p.user, why);
}

void
stream_finish_by_reset(struct stream *s, enum stream_end why)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};

	(void)setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	stream_finish(s, why);
}

void
stream_linger(struct stream *s)
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
	stream_finish(s, s->end);
}

/*
 * Our last words (an alert, close_notify) are with the kernel.  To close now, with bytes of the
 * client's unread, would be a reset that may overtake them.
 */
void
stream_finish_gently(struct stream *s, enum stream_end why)
{
	blame(s, why);
	s->end = why;
	s->state = STREAM_LINGERING;
	s->linger_left = LINGER_BYTES;
	stream_leave_handshakes(s);
	drop_tls(s);
	if (shutdown(s->fd, SHUT_WR) != 0) {
		stream_finish(s, why);
		return;
	}
	timer_set(s->loop, &s->deadline, clock_now() + STREAM_LINGER_NS);
	stream_linger(s);
}
