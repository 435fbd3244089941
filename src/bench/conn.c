/* SPDX-License-Identifier: Apache-2.0 */
/* TLS connections to the server; one edge-triggered event for each. */
#include "conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>
#include <openssl/err.h>
#include <openssl/x509.h>

enum { CHUNK = 4096, ANSWER_MAX = 4 << 20, REQUEST_MAX = 64 * 1024 };

/* --- settings --- */

static int
keep_ticket(SSL *ssl, SSL_SESSION *ticket)
{
	struct conn *c = SSL_get_app_data(ssl);

	SSL_SESSION_free(c->ticket);
	c->ticket = ticket;
	return 1;
}

static bool
load(SSL_CTX *ctx, const char *certificate, const char *key, const char *ca, const char **file)
{
	*file = certificate;
	if (SSL_CTX_use_certificate_chain_file(ctx, certificate) != 1)
		return false;
	*file = key;
	if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
		return false;
	*file = ca;
	return SSL_CTX_load_verify_locations(ctx, ca, NULL) == 1;
}

SSL_CTX *
conn_tls(const char *certificate, const char *key, const char *ca, int version, bool resume,
    const char **file, const char **why)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	*file = "TLS";
	if (ctx != NULL && load(ctx, certificate, key, ca, file)) {
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
		SSL_CTX_set_mode(ctx, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER); /* see flush() */
		/* the server's own certificate, or the one in the middle, will do */
		X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_PARTIAL_CHAIN);
		SSL_CTX_set_min_proto_version(ctx, version != 0 ? version : TLS1_2_VERSION);
		SSL_CTX_set_max_proto_version(ctx, version);
		SSL_CTX_set_session_cache_mode(
		    ctx, resume ? SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL
				: SSL_SESS_CACHE_OFF);
		if (resume)
			SSL_CTX_sess_set_new_cb(ctx, keep_ticket);
		else
			SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
		return ctx;
	}
	*why = ERR_reason_error_string(ERR_peek_last_error());
	if (*why == NULL)
		*why = "cannot be read";
	SSL_CTX_free(ctx);
	return NULL;
}

/* --- the event --- */

static void
fail(struct conn *c, const char *why)
{
	conn_close(c);
	c->target->ops->failed(c, why);
}

/* Why an SSL call did not succeed; NULL when it only has to wait. */
static const char *
judge(struct conn *c, int ret)
{
	int error = errno;
	unsigned long code;
	long verified;
	const char *text;

	switch (SSL_get_error(c->ssl, ret)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return NULL;
	case SSL_ERROR_ZERO_RETURN:
		return "the server closed the connection";
	case SSL_ERROR_SYSCALL:
		return error == 0 ? "the server closed the connection" : strerrordesc_np(error);
	default:
		code = ERR_peek_last_error();
		if (ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
			return "the server closed the connection";
		verified = SSL_get_verify_result(c->ssl);
		if (verified != X509_V_OK)
			return X509_verify_cert_error_string(verified);
		text = ERR_reason_error_string(code);
		return text != NULL ? text : "TLS failed";
	}
}

/* False when the connection is over. */
static bool
flush(struct conn *c)
{
	const char *why;
	size_t n;
	int ret;

	if (c->out.len == 0)
		return true;
	ERR_clear_error();
	errno = 0;
	ret = SSL_write_ex(c->ssl, c->out.data, c->out.len, &n);
	if (ret == 1) {
		buf_reset(&c->out); /* without partial writes it is all or nothing */
		return true;
	}
	why = judge(c, ret);
	if (why != NULL)
		fail(c, why);
	return why == NULL;
}

/* One chunk.  False when nothing came, or the connection is over. */
static bool
fill(struct conn *c)
{
	const char *why;
	size_t n;
	int ret;

	if (buf_reserve(&c->in, CHUNK) != ERR_OK) {
		fail(c, "the answer is too long");
		return false;
	}
	ERR_clear_error();
	errno = 0;
	ret = SSL_read_ex(c->ssl, c->in.data + c->in.len, CHUNK, &n);
	if (ret == 1) {
		c->in.len += n;
		return true;
	}
	why = judge(c, ret);
	if (why != NULL)
		fail(c, why);
	return false;
}

static void
read_answers(struct conn *c)
{
	unsigned serial = c->serial;
	size_t len;

	while (fill(c)) {
		len = c->target->frame(c->in.data, c->in.len);
		if (len > ANSWER_MAX) {
			fail(c, "the answer is not one of this protocol");
			return;
		}
		if (len == 0 || len > c->in.len)
			continue;
		c->target->ops->answered(c, c->in.data, len);
		if (c->ssl == NULL || c->serial != serial)
			return;
		buf_consume(&c->in, len);
	}
}

static bool
handshake(struct conn *c)
{
	unsigned serial = c->serial;
	const char *why;
	int ret;

	ERR_clear_error();
	errno = 0;
	ret = SSL_do_handshake(c->ssl);
	if (ret != 1) {
		why = judge(c, ret);
		if (why != NULL)
			fail(c, why);
		return false;
	}
	c->open = true;
	c->resumed = SSL_session_reused(c->ssl) == 1;
	c->target->ops->opened(c);
	return c->ssl != NULL && c->serial == serial;
}

static void
on_edge(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	(void)fd, (void)what;
	if (!c->open && !handshake(c))
		return;
	if (flush(c))
		read_answers(c);
}

/* --- for its owner --- */

void
conn_init(struct conn *c, const struct conn_target *t)
{
	*c = (struct conn){.target = t, .fd = -1};
	buf_init(&c->in, ANSWER_MAX);
	buf_init(&c->out, REQUEST_MAX);
}

void
conn_fini(struct conn *c)
{
	conn_close(c);
	buf_fini(&c->in);
	buf_fini(&c->out);
	SSL_SESSION_free(c->ticket);
	c->ticket = NULL;
}

/* The descriptor, or -1 with errno. */
static int
start_connecting(const struct conn_target *t)
{
	const int on = 1;
	int fd = socket(t->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(fd, (const struct sockaddr *)&t->address, t->address_len) == 0 ||
	    errno == EINPROGRESS)
		return fd;
	close(fd);
	return -1;
}

bool
conn_open(struct conn *c, const char **why)
{
	const struct conn_target *t = c->target;

	c->serial++;
	c->fd = start_connecting(t);
	if (c->fd < 0) {
		*why = strerrordesc_np(errno);
		return false;
	}
	*why = "no memory for a connection";
	c->ssl = SSL_new(t->tls);
	if (c->ssl == NULL || SSL_set_fd(c->ssl, c->fd) != 1) {
		conn_close(c);
		return false;
	}
	SSL_set_connect_state(c->ssl);
	SSL_set_app_data(c->ssl, c);
	if (t->resume && c->ticket != NULL)
		SSL_set_session(c->ssl, c->ticket);
	event_assign(&c->event, loop_base(t->loop), c->fd, EV_READ | EV_WRITE | EV_ET | EV_PERSIST,
	    on_edge, c);
	if (event_add(&c->event, NULL) != 0) {
		conn_close(c);
		return false;
	}
	return true;
}

bool
conn_send(struct conn *c, const void *data, size_t len)
{
	size_t n;

	ERR_clear_error();
	/* what does not go at once, or never will, is the next edge's */
	if (c->out.len == 0 && SSL_write_ex(c->ssl, data, len, &n) == 1)
		return true;
	buf_put(&c->out, data, len);
	return buf_error(&c->out) == ERR_OK;
}

void
conn_close(struct conn *c)
{
	if (c->ssl != NULL) {
		if (event_initialized(&c->event))
			event_del(&c->event);
		if (c->open)
			(void)SSL_shutdown(c->ssl);
		ERR_clear_error();
		SSL_free(c->ssl);
		c->ssl = NULL;
	}
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->open = false;
	buf_reset(&c->in);
	buf_reset(&c->out);
}
