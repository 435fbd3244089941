/* SPDX-License-Identifier: Apache-2.0 */
/* KMIP over TLS, the client's side. */
#include "vcenter_wire.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "kmip/names.h"

enum {
	ANSWER_MAX = 1 << 20,
	ELEMENTS_MAX = 4096,
	TIMEOUT_S = 30,
};

void
die(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fputs("keyferry-vcenter: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

static const char *
tls_error(void)
{
	unsigned long e = ERR_get_error();
	const char *reason = e != 0 ? ERR_reason_error_string(e) : NULL;

	return reason != NULL ? reason : errno != 0 ? strerror(errno) : "the connection was closed";
}

static double
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

/* --- the connection --- */

static int
tcp_connect(const struct client *c)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	const struct timeval limit = {.tv_sec = TIMEOUT_S};
	const int on = 1;
	struct addrinfo *list, *ai;
	int fd = -1, e = getaddrinfo(c->host, c->port, &hints, &list);

	if (e != 0)
		die("%s: %s", c->host, gai_strerror(e));
	for (ai = list; ai != NULL && fd < 0; ai = ai->ai_next) {
		fd = socket(ai->ai_family, ai->ai_socktype | SOCK_CLOEXEC, ai->ai_protocol);
		if (fd < 0)
			continue;
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		if (connect(fd, ai->ai_addr, ai->ai_addrlen) != 0) {
			close(fd);
			fd = -1;
		}
	}
	freeaddrinfo(list);
	if (fd < 0)
		die("cannot connect to %s port %s: %s", c->host, c->port, strerror(errno));
	return fd;
}

/* vCenter keeps a copy of the server's certificate and accepts no other. */
static void
check_pin(const struct client *c, SSL *ssl)
{
	X509 *x = SSL_get0_peer_certificate(ssl);
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned len;

	if (x == NULL || X509_digest(x, EVP_sha256(), digest, &len) != 1)
		die("the server showed no certificate");
	for (size_t i = 0; i < c->pins_count; i++)
		if (memcmp(c->pins[i], digest, len) == 0)
			return;
	die("the server's certificate is not the one that is trusted");
}

void
session_open(const struct client *c, struct session *s)
{
	double start = now_ms();

	s->fd = tcp_connect(c);
	s->ssl = SSL_new(c->ctx);
	ERR_clear_error();
	errno = 0;
	if (s->ssl == NULL || SSL_set_fd(s->ssl, s->fd) != 1 || SSL_connect(s->ssl) != 1)
		die("TLS handshake: %s", tls_error());
	check_pin(c, s->ssl);
	printf("   new connection: %s, %s, handshake %.1f ms\n", SSL_get_version(s->ssl),
	    SSL_get_cipher_name(s->ssl), now_ms() - start);
}

void
session_close(struct session *s)
{
	SSL_shutdown(s->ssl);
	SSL_free(s->ssl);
	close(s->fd);
}

/* --- messages --- */

static void
read_fully(struct session *s, uint8_t *to, size_t len)
{
	for (size_t at = 0, n; at < len; at += n) {
		ERR_clear_error();
		errno = 0;
		if (SSL_read_ex(s->ssl, to + at, len - at, &n) != 1)
			die("no answer: %s", tls_error());
	}
}

/* Takes the Batch Items out of a whole answer, which must have succeeded. */
static void
answer_read(struct answer *an, size_t expected)
{
	struct ttlv root, t;
	struct ttlv_reader r;

	if (ttlv_check(an->bytes.data, an->bytes.len, ELEMENTS_MAX, &root) != ERR_OK ||
	    root.tag != TAG_RESPONSE_MESSAGE)
		die("the answer is not a KMIP message");
	ttlv_enter(&r, &root);
	if (!ttlv_need(&r, TAG_RESPONSE_HEADER, TTLV_STRUCTURE, &t))
		die("the answer has no header");
	while (an->count < ITEMS_MAX && ttlv_opt(&r, TAG_BATCH_ITEM, TTLV_STRUCTURE, &t))
		an->items[an->count++] = t;
	if (an->count != expected)
		die("%zu results to %zu items", an->count, expected);
}

struct ttlv_reader
answer_payload(const struct answer *an, size_t n, bool with_ubid)
{
	struct ttlv t, status, message = {0};
	struct ttlv_reader r, payload = {0};

	ttlv_enter(&r, &an->items[n]);
	ttlv_opt(&r, TAG_OPERATION, TTLV_ENUM, &t);
	if (ttlv_opt(&r, TAG_UNIQUE_BATCH_ITEM_ID, TTLV_BYTES, &t) != with_ubid)
		die("the Unique Batch Item ID was not echoed");
	if (with_ubid && (t.len != 8 || memcmp(t.value, "QLKC", 4) != 0 || t.value[4] != n + 1))
		die("the Unique Batch Item ID is not ours");
	if (!ttlv_need(&r, TAG_RESULT_STATUS, TTLV_ENUM, &status))
		die("no Result Status");
	if (ttlv_uint(&status) != KMIP_RESULT_STATUS_SUCCESS) {
		ttlv_opt(&r, TAG_RESULT_REASON, TTLV_ENUM, &t);
		ttlv_opt(&r, TAG_RESULT_MESSAGE, TTLV_TEXT, &message);
		die("the gateway says: %.*s", (int)message.len, (const char *)message.value);
	}
	if (ttlv_need(&r, TAG_RESPONSE_PAYLOAD, TTLV_STRUCTURE, &t))
		ttlv_enter(&payload, &t);
	return payload;
}

void
exchange(struct session *s, struct ask *rq, const char *what, struct answer *an)
{
	uint8_t *head;
	double start = now_ms(), ms;
	size_t sent, total;

	ask_end(rq);
	if (buf_error(&rq->b) != ERR_OK)
		die("out of memory");
	ERR_clear_error();
	if (SSL_write_ex(s->ssl, rq->b.data, rq->b.len, &sent) != 1)
		die("cannot send: %s", tls_error());
	*an = (struct answer){0};
	buf_init(&an->bytes, ANSWER_MAX);
	head = buf_extend(&an->bytes, TTLV_HEADER);
	if (head == NULL)
		die("out of memory");
	read_fully(s, head, TTLV_HEADER);
	total = ttlv_total(head, TAG_RESPONSE_MESSAGE, TTLV_STRUCTURE);
	head = total > TTLV_HEADER ? buf_extend(&an->bytes, total - TTLV_HEADER) : NULL;
	if (head == NULL)
		die("the answer is not a KMIP message, or too large");
	read_fully(s, head, total - TTLV_HEADER);
	ms = now_ms() - start;
	printf("   %-30s sent %3zu bytes, got %3zu in %.1f ms", what, rq->b.len, total, ms);
	answer_read(an, rq->counter);
	ask_fini(rq);
}

void
answer_end(struct answer *an)
{
	buf_fini(&an->bytes);
}

/* --- the client --- */

void
client_add_pin(struct client *c, const char *path)
{
	FILE *f = fopen(path, "r");
	X509 *x = f != NULL ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;
	unsigned len;

	if (x == NULL || X509_digest(x, EVP_sha256(), c->pins[c->pins_count], &len) != 1)
		die("%s: %s", path, f == NULL ? strerror(errno) : "no certificate in it");
	c->pins_count++;
	X509_free(x);
	fclose(f);
}

void
client_init(struct client *c, const char *server, const char *certificate, const char *key)
{
	const char *colon = strrchr(server, ':');
	const char *host = server;
	size_t len = colon != NULL ? (size_t)(colon - host) : 0;

	if (len >= 2 && host[0] == '[' && host[len - 1] == ']') {
		host++;
		len -= 2;
	}
	if (len == 0 || len >= sizeof(c->host) || strlen(colon + 1) >= sizeof(c->port))
		die("--server wants HOST:PORT");
	memcpy(c->host, host, len);
	memcpy(c->port, colon + 1, strlen(colon + 1) + 1);
	c->ctx = SSL_CTX_new(TLS_client_method());
	if (c->ctx == NULL || SSL_CTX_set_min_proto_version(c->ctx, TLS1_2_VERSION) != 1)
		die("TLS: %s", tls_error());
	if (SSL_CTX_use_certificate_file(c->ctx, certificate, SSL_FILETYPE_PEM) != 1)
		die("%s: %s", certificate, tls_error());
	if (SSL_CTX_use_PrivateKey_file(c->ctx, key, SSL_FILETYPE_PEM) != 1)
		die("%s: %s", key, tls_error());
}

