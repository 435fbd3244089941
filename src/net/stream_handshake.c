/* SPDX-License-Identifier: Apache-2.0 */
/* Handshakes, some in each turn of the loop. */
#include "stream_parts.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/clock.h"

enum { TURN_HANDSHAKES = 8 }; /* steps, as long as TURN_HANDSHAKES_NS is not over */
#define TURN_HANDSHAKES_NS NS_PER_MS /* established streams wait for no longer */

static struct defer handshakes_turn;

void
stream_leave_handshakes(struct stream *s)
{
	admit_exit(&s->place);
	if (!admit_anybody())
		loop_undefer(&handshakes_turn);
}

bool
stream_handshake_is_late(struct stream *s)
{
	int64_t now = clock_now(), away, when;

	if (now < s->deadline.when)
		return false;
	away = loop_away(s->loop) - s->away;
	when = s->deadline.when + away;
	s->away += away;
	if (when <= now)
		return true;
	timer_set(s->loop, &s->deadline, when);
	return false;
}

/* What OpenSSL could not send: a few bytes, into a socket that has sent all it had. */
static void
say_last_words(struct stream *s, bool done)
{
	uint8_t words[TLS_LAST_WORDS_MAX];
	int saved = errno; /* stream_judge() wants it */
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

	if (stream_handshake_is_late(s)) { /* nobody waits for it: spend no more on it */
		stream_finish_by_reset(s, STREAM_HANDSHAKE_TIMEOUT);
		return;
	}
	if (s->ssl == NULL && !begin_tls(s)) {
		stream_finish(s, STREAM_NO_MEMORY);
		return;
	}
	warm_keep(&s->warm, &streams_unfinished);
	stream_forget_errors();
	written = BIO_number_written(SSL_get_wbio(s->ssl));
	ret = tls_server_handshake(s->p.tls, s->ssl);
	say_last_words(s, ret == 1);
	s->worked += clock_now() - begun;
	if (SSL_get_pending_cipher(s->ssl) != NULL) /* the hellos have been said */
		s->version = SSL_get_version(s->ssl);
	if (ret != 1) {
		/* a write would have told */
		if (stream_survives(s, stream_judge(s, ret)) && s->sock.empty &&
		    BIO_number_written(SSL_get_wbio(s->ssl)) == written)
			(void)stream_survives(s, stream_look_for_end(s));
		return;
	}
	tls_peer(s->ssl, &s->peer);
	if (s->peer.verdict != TLS_KNOWN) {
		stream_finish_gently(s, STREAM_REFUSED);
		return;
	}
	timer_clear(s->loop, &s->deadline);
	admit_succeeded(&s->place);
	stream_leave_handshakes(s);
	s->state = STREAM_OPEN;
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

void
stream_queue_handshake(struct stream *s)
{
	handshakes_turn.fn = handshakes_run;
	admit_wait(&s->place, s->ssl != NULL);
	loop_defer_idle(s->loop, &handshakes_turn);
}
