/* SPDX-License-Identifier: Apache-2.0 */
/* What those want to know of streams who look for one to give up. */
#include "stream_parts.h"

#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/clock.h"

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
	return s->fd >= 0 && s->state == STREAM_HANDSHAKING &&
	    (s->ssl == NULL || BIO_number_read(SSL_get_rbio(s->ssl)) == 0) && !has_unread(s);
}

int64_t
stream_kept_waiting(const struct stream *s)
{
	int64_t begun = s->deadline.when - s->p.handshake_timeout_ns;

	return s->state == STREAM_HANDSHAKING ? clock_now() - begun - admit_waited(&s->place) : 0;
}

int64_t
stream_worked(const struct stream *s)
{
	return s->worked;
}

int64_t
stream_lingers_for(const struct stream *s)
{
	return s->state == STREAM_LINGERING ? clock_now() - (s->deadline.when - STREAM_LINGER_NS) : 0;
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
