/* SPDX-License-Identifier: Apache-2.0 */
/* What OpenSSL and the kernel say of a stream. */
#include "stream_parts.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/err.h>

#include "failure.h"

/* To look costs less than to clear. */
void
stream_forget_errors(void)
{
	if (ERR_peek_error() != 0)
		ERR_clear_error();
	errno = 0;
}

static enum stream_outcome
judge_errno(struct stream *s, int error)
{
	s->end = error == 0 ? STREAM_EOF : STREAM_RESET;
	if (error != 0)
		s->why = strerrordesc_np(error);
	return STREAM_ENDS;
}

/* OpenSSL does not always say so: without the memory to call our check it names the certificate. */
static bool
lacked_memory(const struct stream *s, int reason)
{
	long verdict = SSL_get_verify_result(s->ssl);

	return reason == ERR_R_MALLOC_FAILURE || verdict == X509_V_ERR_OUT_OF_MEM ||
	    (reason == SSL_R_CERTIFICATE_VERIFY_FAILED && verdict == X509_V_OK);
}

static enum stream_outcome
judge_tls(struct stream *s)
{
	unsigned long code = ERR_peek_last_error();
	int reason = ERR_GET_REASON(code);
	const char *text = ERR_reason_error_string(code);

	ERR_clear_error();
	if (reason == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
		s->end = STREAM_EOF; /* the end of a KMIP message does not depend on it */
		return STREAM_ENDS;
	}
	s->why = text != NULL ? text : "unknown TLS failure";
	s->failure = (uint8_t)failure_label(reason);
	tls_peer(s->ssl, &s->peer);
	if (lacked_memory(s, reason))
		s->end = STREAM_NO_MEMORY;
	else if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE ||
	    (s->peer.have_digest && s->peer.verdict != TLS_KNOWN))
		s->end = STREAM_REFUSED;
	else
		s->end = STREAM_TLS_ERROR;
	return STREAM_ENDS_GENTLY;
}

enum stream_outcome
stream_judge(struct stream *s, int ret)
{
	int error = errno;

	switch (SSL_get_error(s->ssl, ret)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return STREAM_WAITS;
	case SSL_ERROR_ZERO_RETURN:
		if (!s->writing)
			(void)SSL_shutdown(s->ssl); /* TLS 1.2 wants an answer; it may get lost */
		ERR_clear_error();
		s->end = STREAM_EOF;
		return STREAM_ENDS;
	case SSL_ERROR_SYSCALL:
		return judge_errno(s, error);
	default:
		return judge_tls(s);
	}
}

bool
stream_survives(struct stream *s, enum stream_outcome o)
{
	if (o == STREAM_ENDS)
		stream_finish(s, s->end);
	else if (o == STREAM_ENDS_GENTLY)
		stream_finish_gently(s, s->end);
	return o == STREAM_WAITS;
}

int
stream_socket_error(const struct stream *s)
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
enum stream_outcome
stream_look_for_end(struct stream *s)
{
	int error = stream_socket_error(s);

	s->edge = false;
	return error != 0 || s->sock.left ? judge_errno(s, error) : STREAM_WAITS;
}
