/* SPDX-License-Identifier: Apache-2.0 */
/* The rig of the net tests. */
#include "rig.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>

#include "base/clock.h"
#include "base/fault.h"

#define DAY 86400L

const char *
rig_path(const struct rig *r, const char *name)
{
	static char paths[8][128];
	static unsigned next;
	char *path = paths[next++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/%s", r->dir, name);
	return path;
}

static enum tls_verdict
check_digest(void *arg, const struct tls_shown *shown, bool *ignore_dates)
{
	struct rig *r = arg;

	ck_assert_ptr_nonnull(shown->leaf);
	r->checks++;
	clock_test_advance(r->check_ns);
	*ignore_dates = r->ignore_dates;
	if (r->lacks)
		return TLS_NO_MEMORY;
	if (r->lacks_behind)
		fault_test_arm(FAULT_ALLOC, 0, 1);
	for (int i = 0; i < WHO_COUNT && !r->closed; i++) {
		if (i != WHO_UNKNOWN && i != WHO_FORGER &&
		    memcmp(r->digests[i], shown->sha256, TLS_DIGEST_LEN) == 0)
			return TLS_KNOWN;
	}
	return TLS_UNKNOWN;
}

static void
make_server(struct rig *r, const struct rig_options *o)
{
	const char *certs[3] = {NULL}, *keys[3] = {NULL}, *why = "";
	struct tls_params p = {.certificates = certs, .private_keys = keys,
	    .min_version_13 = o->min_version_13, .legacy_cbc = o->legacy_cbc,
	    .resumption = o->resumption, .resumption_12 = o->resumption_12,
	    .ticket_key_file = o->ticket_key_file, .loop = r->loop, .check = check_digest, .check_arg = r};
	int n = 0;

	if ((o->keys & KEYS_EC) != 0) {
		certs[n] = rig_path(r, "ec.pem");
		keys[n++] = rig_path(r, "ec.key");
	}
	if ((o->keys & KEYS_RSA) != 0) {
		certs[n] = rig_path(r, "rsa.pem");
		keys[n++] = rig_path(r, "rsa.key");
	}
	ck_assert_msg(tls_server_new(&r->tls, &p, &why) == ERR_OK, "%s", why);
}

void
rig_init(struct rig *r, const struct rig_options *o)
{
	*r = (struct rig){0};
	clock_test_freeze(1760000000);
	snprintf(r->dir, sizeof(r->dir), "/tmp/keyferry-net-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(r->dir));
	r->loop = loop_new();
	ck_assert_ptr_nonnull(r->loop);
	r->ids[WHO_RIGHT] = identity_new(CERT_EC, "vcenter", -DAY, DAY);
	r->ids[WHO_RIGHT_RSA] = identity_new(CERT_RSA, "vcenter-rsa", -DAY, DAY);
	r->ids[WHO_UNKNOWN] = identity_new(CERT_EC, "stranger", -DAY, DAY);
	r->ids[WHO_EXPIRED] = identity_new(CERT_EC, "late", -2 * DAY, -DAY);
	r->ids[WHO_EARLY] = identity_new(CERT_EC, "early", DAY, 2 * DAY);
	r->ids[WHO_IMPOSTOR] = identity_impostor(&r->ids[WHO_RIGHT]);
	r->ids[WHO_FORGER] = identity_impostor(&r->ids[WHO_UNKNOWN]);
	for (int i = 0; i < WHO_COUNT; i++) /* now: the check must not allocate */
		identity_digest(&r->ids[i], r->digests[i]);
	r->server_ec = identity_new(CERT_EC, "server", -DAY, 365 * DAY);
	r->server_rsa = identity_new(CERT_RSA, "server", -DAY, 365 * DAY);
	identity_write_cert(&r->server_ec, rig_path(r, "ec.pem"));
	identity_write_key(&r->server_ec, rig_path(r, "ec.key"), NULL);
	identity_write_cert(&r->server_rsa, rig_path(r, "rsa.pem"));
	identity_write_key(&r->server_rsa, rig_path(r, "rsa.key"), NULL);
	make_server(r, o);
}

void
rig_serve_anew(struct rig *r, const struct rig_options *o)
{
	tls_server_unref(r->tls);
	make_server(r, o);
}

void
rig_fini(struct rig *r)
{
	char cmd[128];

	tls_server_unref(r->tls);
	loop_turn(r->loop, false);
	loop_free(r->loop);
	for (int i = 0; i < WHO_COUNT; i++)
		identity_free(&r->ids[i]);
	identity_free(&r->server_ec);
	identity_free(&r->server_rsa);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", r->dir);
	ck_assert_int_eq(system(cmd), 0);
}

/* --- the server's side --- */

static void
free_here(struct served *d, enum free_in here)
{
	if (d->free_in != here)
		return;
	stream_free(d->s);
	d->s = NULL;
}

static void
on_ready(struct stream *s, void *user)
{
	struct served *d = user;

	d->ready++;
	d->peer = *stream_peer(s);
	d->version = stream_tls_version(s);
	if (d->pause_on_ready)
		stream_pause(s);
	free_here(d, FREE_READY);
}

static void
on_data(struct stream *s, void *user)
{
	struct served *d = user;
	struct buf *in = stream_input(s);

	d->data++;
	if (in->len > d->biggest_input)
		d->biggest_input = in->len;
	if (!d->keep_input) {
		buf_put(&d->got, in->data, in->len);
		buf_consume(in, in->len);
	}
	if (d->pause_on_data)
		stream_pause(s);
	free_here(d, FREE_DATA);
}

static void
on_drained(struct stream *s, void *user)
{
	struct served *d = user;

	(void)s;
	d->drained++;
	free_here(d, FREE_DRAINED);
}

static void
on_closed(struct stream *s, void *user, enum stream_end why)
{
	struct served *d = user;

	d->closed++;
	d->end = why;
	d->peer = *stream_peer(s);
	d->proven = d->peer.proven != NULL;
	d->why = stream_why(s);
	free_here(d, FREE_CLOSED);
}

void
served_start(struct served *d, struct rig *r, int fd)
{
	static const struct stream_ops ops = {on_ready, on_data, on_drained, on_closed, NULL};
	struct stream_params p = {.tls = r->tls, .ops = &ops, .user = d,
	    .input_max = RIG_INPUT_MAX, .handshake_timeout_ns = RIG_HANDSHAKE_NS,
	    .write_timeout_ns = RIG_WRITE_NS};

	buf_init(&d->got, 16 * 1024 * 1024);
	d->s = stream_new(r->loop, fd, &p);
	ck_assert_ptr_nonnull(d->s);
}

void
served_fini(struct served *d)
{
	stream_free(d->s);
	buf_fini(&d->got);
	d->s = NULL;
}

/* --- the client's side --- */

void
client_start(struct client *c, const struct rig *r, int fd, const struct client_options *o)
{
	*c = (struct client){.fd = fd};
	buf_init(&c->got, 16 * 1024 * 1024);
	c->ctx = SSL_CTX_new(TLS_client_method());
	ck_assert_ptr_nonnull(c->ctx);
	SSL_CTX_set_security_level(c->ctx, 0);
	SSL_CTX_set_mode(c->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE);
	if (o->version != 0) {
		SSL_CTX_set_min_proto_version(c->ctx, o->version);
		SSL_CTX_set_max_proto_version(c->ctx, o->version);
	} else {
		SSL_CTX_set_min_proto_version(c->ctx, TLS1_VERSION);
	}
	if (o->suites != NULL)
		ck_assert_int_eq(SSL_CTX_set_cipher_list(c->ctx, o->suites), 1);
	if (o->who != WHO_NONE) {
		ck_assert_int_eq(SSL_CTX_use_certificate(c->ctx, r->ids[o->who].cert), 1);
		ck_assert_int_eq(SSL_CTX_use_PrivateKey(c->ctx, r->ids[o->who].key), 1);
	}
	c->ssl = SSL_new(c->ctx);
	SSL_set_fd(c->ssl, fd);
	SSL_set_connect_state(c->ssl);
}

static void
client_failed(struct client *c, int ret)
{
	int saved = errno;

	switch (SSL_get_error(c->ssl, ret)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return;
	case SSL_ERROR_ZERO_RETURN:
		break;
	case SSL_ERROR_SYSCALL:
		c->broken = saved != 0;
		break;
	default:
		c->reason = ERR_GET_REASON(ERR_peek_last_error());
		break;
	}
	ERR_clear_error();
	c->ended = true;
}

void
client_step(struct client *c)
{
	uint8_t bytes[4096];
	int ret;

	if (c->ended || c->stalled)
		return;
	ERR_clear_error();
	errno = 0;
	if (!c->connected) {
		ret = SSL_do_handshake(c->ssl);
		c->connected = ret == 1;
		if (!c->connected) {
			client_failed(c, ret);
			return;
		}
	}
	while ((ret = SSL_read(c->ssl, bytes, sizeof(bytes))) > 0)
		buf_put(&c->got, bytes, (size_t)ret);
	client_failed(c, ret);
}

void
client_send(struct client *c, const void *data, size_t len)
{
	ERR_clear_error();
	ck_assert_int_eq(SSL_write(c->ssl, data, (int)len), (int)len);
}

void
client_pass_on(struct client *c, int records)
{
	BIO *said = SSL_get_wbio(c->ssl);
	uint8_t bytes[16384 + 512];

	for (; records > 0 && BIO_read(said, bytes, 5) == 5; records--) {
		int len = bytes[3] << 8 | bytes[4];

		ck_assert_int_eq(BIO_read(said, bytes + 5, len), len);
		ck_assert_int_eq(send(c->fd, bytes, (size_t)(5 + len), MSG_NOSIGNAL), 5 + len);
	}
}

void
client_leave(struct client *c)
{
	close(c->fd);
	c->fd = -1;
	c->ended = true;
}

void
client_fini(struct client *c)
{
	SSL_free(c->ssl);
	SSL_CTX_free(c->ctx);
	buf_fini(&c->got);
	if (c->fd >= 0)
		close(c->fd);
}

/* --- both --- */

static void
tcp_pair(int fd[2])
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(sin);
	int ls = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_eq(bind(ls, (struct sockaddr *)&sin, len), 0);
	ck_assert_int_eq(listen(ls, 1), 0);
	ck_assert_int_eq(getsockname(ls, (struct sockaddr *)&sin, &len), 0);
	fd[1] = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(connect(fd[1], (struct sockaddr *)&sin, len), 0);
	fd[0] = accept(ls, NULL, NULL);
	ck_assert_int_ge(fd[0], 0);
	close(ls);
}

void
rig_pair(int fd[2], bool tcp)
{
	if (tcp)
		tcp_pair(fd);
	else
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	fcntl(fd[0], F_SETFL, O_NONBLOCK);
	fcntl(fd[1], F_SETFL, O_NONBLOCK);
}

void
rig_connect(struct rig *r, struct served *d, struct client *c, const struct client_options *o)
{
	int fd[2];

	rig_pair(fd, false);
	served_start(d, r, fd[0]);
	client_start(c, r, fd[1], o);
}

void
rig_pump(struct rig *r, struct client *c, unsigned turns)
{
	while (turns-- > 0) {
		client_step(c);
		loop_turn(r->loop, false);
	}
}
