/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes a TLS stream: a real client in this process, whose bytes the input lets through, alters,
 * cuts, or replaces.  The input is a list of steps.  Whatever comes, the stream tells its user of
 * its end exactly once, in time, and leaves nothing behind.
 */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/secret.h"
#include "certs.h"
#include "fuzz.h"
#include "net/stream.h"
#include "net/tls.h"
#include "place.h"

enum {
	STEPS_MAX = 64,
	INPUT_MAX = 4096,
	CHUNK = 16 << 10,
	TURNS = 2,
	WAIT_S = 60, /* longer than any deadline of a stream */
};
#define DAY 86400L

enum who { WHO_RIGHT, WHO_RSA, WHO_UNKNOWN, WHO_EXPIRED, WHO_IMPOSTOR, WHO_NONE };

struct input {
	const uint8_t *p, *end;
};

struct talk {
	struct stream *s;
	unsigned ready, closed;
	bool writing;
	enum tls_verdict verdict; /* at the end */
	SSL_CTX *ctx;
	SSL *ssl;
	BIO *in, *out; /* of the client */
	int fd;
};

static struct loop *loop;
static struct tls_server *server;
static struct identity ids[WHO_NONE];

/* --- the server's side --- */

static void
on_ready(struct stream *s, void *user)
{
	struct talk *t = user;

	MUST(stream_peer(s)->verdict == TLS_KNOWN && t->closed == 0);
	t->ready++;
}

static void
on_data(struct stream *s, void *user)
{
	const struct talk *t = user;

	MUST(t->ready == 1 && t->closed == 0);
	buf_consume(stream_input(s), stream_input(s)->len);
}

static void
on_drained(struct stream *s, void *user)
{
	struct talk *t = user;

	(void)s;
	MUST(t->writing);
	t->writing = false;
}

static void
on_closed(struct stream *s, void *user, enum stream_end why)
{
	struct talk *t = user;

	MUST(stream_end_text(why)[0] != '\0');
	t->verdict = stream_peer(s)->verdict;
	t->closed++;
}

static void
on_quiet(struct stream *s, void *user)
{
	const struct talk *t = user;

	MUST(t->ready == 1 && t->closed == 0 && stream_input(s)->len == 0);
	stream_shut(s);
}

static const struct stream_ops ops = {on_ready, on_data, on_drained, on_closed, on_quiet};

static enum tls_verdict
check(void *arg, const struct tls_shown *shown, bool *ignore_dates)
{
	uint8_t digest[TLS_DIGEST_LEN];

	(void)arg, (void)ignore_dates;
	for (int i = 0; i < WHO_NONE; i++) {
		identity_digest(&ids[i], digest);
		if (i != WHO_UNKNOWN && memcmp(digest, shown->sha256, sizeof(digest)) == 0)
			return TLS_KNOWN;
	}
	return TLS_UNKNOWN;
}

static void
start(void)
{
	static char cert[PLACE_PATH_MAX], key[PLACE_PATH_MAX];
	const char *certs[] = {cert, NULL}, *keys[] = {key, NULL}, *why;
	struct tls_params p = {.certificates = certs, .private_keys = keys, .legacy_cbc = true,
	    .resumption = true, .resumption_12 = true, .check = check};
	struct identity own;
	bool locked;

	MUST(secret_heap_init(1 << 20, true, &locked) == ERR_OK);
	clock_test_freeze(1760000000);
	log_set_level(LOG_ERROR);
	ids[WHO_RIGHT] = identity_new(CERT_EC, "vcenter", -DAY, DAY);
	ids[WHO_RSA] = identity_new(CERT_RSA, "vcenter-rsa", -DAY, DAY);
	ids[WHO_UNKNOWN] = identity_new(CERT_EC, "stranger", -DAY, DAY);
	ids[WHO_EXPIRED] = identity_new(CERT_EC, "late", -2 * DAY, -DAY);
	ids[WHO_IMPOSTOR] = identity_impostor(&ids[WHO_RIGHT]);
	own = identity_new(CERT_EC, "server", -DAY, 365 * DAY);
	place_path(cert, "server.pem");
	place_path(key, "server.key");
	identity_write_cert(&own, cert);
	identity_write_key(&own, key, NULL);
	identity_free(&own);
	p.loop = loop = loop_new();
	MUST(loop != NULL && tls_server_new(&server, &p, &why) == ERR_OK);
}

/* --- the client's side --- */

static uint8_t
take(struct input *in)
{
	return in->p < in->end ? *in->p++ : 0;
}

/* The first byte chooses the version, who the client is, and what it takes. */
static void
begin(struct talk *t, uint8_t choice)
{
	static const int versions[] = {0, TLS1_2_VERSION, TLS1_3_VERSION, TLS1_1_VERSION};
	enum who who = (choice >> 2) % (WHO_NONE + 1);
	const struct stream_params p = {.tls = server, .ops = &ops, .user = t, .input_max = 32 << 10,
	    .handshake_timeout_ns = 10 * NS_PER_S, .write_timeout_ns = 5 * NS_PER_S};
	int pair[2], version = versions[choice & 3];

	*t = (struct talk){0};
	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
	t->s = stream_new(loop, pair[0], &p);
	MUST(t->s != NULL);
	t->fd = pair[1];
	t->ctx = SSL_CTX_new(TLS_client_method());
	MUST(t->ctx != NULL);
	SSL_CTX_set_security_level(t->ctx, 0);
	SSL_CTX_set_min_proto_version(t->ctx, version != 0 ? version : TLS1_VERSION);
	SSL_CTX_set_max_proto_version(t->ctx, version);
	if (who != WHO_NONE) {
		MUST(SSL_CTX_use_certificate(t->ctx, ids[who].cert) == 1);
		MUST(SSL_CTX_use_PrivateKey(t->ctx, ids[who].key) == 1);
	}
	t->ssl = SSL_new(t->ctx);
	t->in = BIO_new(BIO_s_mem());
	t->out = BIO_new(BIO_s_mem());
	MUST(t->ssl != NULL && t->in != NULL && t->out != NULL);
	BIO_set_mem_eof_return(t->in, -1);
	SSL_set_bio(t->ssl, t->in, t->out);
	SSL_set_connect_state(t->ssl);
}

static void
put(struct talk *t, const void *data, size_t len)
{
	(void)!send(t->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Lets the server work, and the client with what came back. */
static void
turn(struct talk *t)
{
	uint8_t bytes[CHUNK];
	ssize_t n;

	for (int i = 0; i < TURNS; i++)
		loop_turn(loop, false);
	while ((n = recv(t->fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
		BIO_write(t->in, bytes, (int)n);
	ERR_clear_error();
	if (SSL_do_handshake(t->ssl) == 1)
		while (SSL_read(t->ssl, bytes, sizeof(bytes)) > 0)
			;
	ERR_clear_error();
}

/* Passes on what the client has to say: as it is, with a byte altered, or its beginning alone. */
static void
pass_on(struct talk *t, unsigned how, struct input *in)
{
	uint8_t bytes[CHUNK];
	int n = BIO_read(t->out, bytes, sizeof(bytes));
	size_t at;

	if (n <= 0)
		return;
	at = ((size_t)take(in) << 8 | (how > 0 ? take(in) : 0)) % (size_t)n;
	if (how == 1)
		bytes[at] ^= (uint8_t)(take(in) | 1);
	put(t, bytes, how == 2 ? at : (size_t)n);
}

static void
put_own(struct talk *t, struct input *in, bool record)
{
	static const uint8_t types[] = {20, 21, 22, 23};
	size_t len = take(in), left = (size_t)(in->end - in->p);
	uint8_t head[5] = {types[len & 3], 3, 3, 0, 0};

	len = len < left ? len : left;
	head[4] = (uint8_t)len;
	if (record)
		put(t, head, sizeof(head));
	put(t, in->p, len);
	in->p += len;
}

static void
write_answer(struct talk *t, size_t len)
{
	static const uint8_t bytes[256 * 64];
	struct buf b;

	if (t->ready == 0 || t->closed > 0 || t->writing)
		return;
	buf_init(&b, sizeof(bytes));
	buf_put(&b, bytes, len * 64);
	t->writing = true;
	MUST(stream_write(t->s, &b) == ERR_OK);
}

static void
step(struct talk *t, struct input *in)
{
	static const uint8_t bytes[256];
	uint8_t what = take(in);

	switch (what % 12) {
	case 0:
	case 1:
	case 2:
		pass_on(t, what % 12, in);
		break;
	case 3:
	case 4:
		put_own(t, in, what % 12 == 3);
		break;
	case 5:
		(void)SSL_write(t->ssl, bytes, 1 + take(in) % 200);
		break;
	case 6:
		(void)SSL_key_update(t->ssl, what & 16 ? SSL_KEY_UPDATE_REQUESTED
						       : SSL_KEY_UPDATE_NOT_REQUESTED);
		break;
	case 7:
		(void)SSL_renegotiate(t->ssl);
		break;
	case 8:
		clock_test_advance(take(in) * (NS_PER_S / 16));
		break;
	case 9:
		(void)SSL_shutdown(t->ssl);
		break;
	case 10:
		(void)shutdown(t->fd, SHUT_WR);
		break;
	default:
		if ((what & 48) == 48)
			stream_look(t->s);
		else if ((what & 16) != 0)
			stream_shut(t->s);
		else
			write_answer(t, 1 + (what >> 4));
	}
	ERR_clear_error();
	turn(t);
}

/* Whoever goes is noticed, and whoever stays until a deadline is past. */
static void
end(struct talk *t)
{
	close(t->fd);
	for (int i = 0; i < WAIT_S && t->closed == 0; i++) {
		clock_test_advance(NS_PER_S);
		loop_turn(loop, false);
	}
	MUST(t->closed == 1 && t->ready <= 1);
	MUST(t->ready == 0 || t->verdict == TLS_KNOWN);
	stream_free(t->s);
	loop_turn(loop, false);
	SSL_free(t->ssl);
	SSL_CTX_free(t->ctx);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, data + size};
	struct talk t;

	if (size == 0 || size > INPUT_MAX)
		return 0;
	if (loop == NULL)
		start();
	begin(&t, take(&in));
	turn(&t);
	for (int i = 0; i < STEPS_MAX && in.p < in.end; i++)
		step(&t, &in);
	end(&t);
	return 0;
}
