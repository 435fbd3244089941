/* SPDX-License-Identifier: Apache-2.0 */
/* One TLS connection to the server, without blocking; used again and again. */
#ifndef BENCH_CONN_H
#define BENCH_CONN_H

#include <stdbool.h>
#include <sys/socket.h>

#include <event2/event_struct.h>
#include <openssl/ssl.h>

#include "base/buf.h"
#include "base/loop.h"

struct conn;

/* From the loop only, never from inside a call below.  Any of them may close the connection. */
struct conn_ops {
	void (*opened)(struct conn *c); /* the handshake is done */
	void (*answered)(struct conn *c, const uint8_t *answer, size_t len);
	void (*failed)(struct conn *c, const char *why); /* it is closed; static storage */
};

/* What all connections have in common. */
struct conn_target {
	struct loop *loop;
	SSL_CTX *tls; /* see conn_tls() */
	struct sockaddr_storage address;
	socklen_t address_len;
	const struct conn_ops *ops;
	/* How long the answer is whose first bytes these are; 0: not known yet, or SIZE_MAX: none.
	 */
	size_t (*frame)(const uint8_t *data, size_t len);
	bool resume;
};

struct conn {
	const struct conn_target *target;
	SSL *ssl; /* NULL: closed */
	SSL_SESSION *ticket;
	int fd;
	unsigned serial; /* of this opening */
	bool open, resumed;
	struct event event;
	struct buf in, out;
};

/* NULL, and *why: which file it is about, and what about it. */
SSL_CTX *conn_tls(const char *certificate, const char *key, const char *ca, int version,
    bool resume, const char **file, const char **why);

void conn_init(struct conn *c, const struct conn_target *t);
void conn_fini(struct conn *c);

/* False, with *why, when it cannot even begin. */
bool conn_open(struct conn *c, const char **why);
/* Sends a request; the bytes are copied.  One at a time.  False when there is no memory. */
bool conn_send(struct conn *c, const void *data, size_t len);
void conn_close(struct conn *c); /* with close_notify; harmless when it is closed */

static inline bool
conn_is_open(const struct conn *c)
{
	return c->open;
}

#endif
