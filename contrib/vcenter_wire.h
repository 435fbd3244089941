/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's side of KMIP over TLS for keyferry-vcenter: blocking, one message at a time; what
 * goes wrong ends the program with a sentence.
 */
#ifndef VCENTER_WIRE_H
#define VCENTER_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/evp.h>
#include <openssl/ssl.h>

#include "base/buf.h"
#include "kmip/ttlv.h"

#include "ask.h"

enum { PINS_MAX = 4, ITEMS_MAX = ASK_LABELS };

struct client {
	SSL_CTX *ctx;
	char host[256], port[16];
	uint8_t pins[PINS_MAX][EVP_MAX_MD_SIZE]; /* SHA-256 */
	size_t pins_count;
};

/* One connection; vCenter opens a new one for each unit of work. */
struct session {
	SSL *ssl;
	int fd;
};

/* What the gateway said to one message. */
struct answer {
	struct buf bytes;
	struct ttlv items[ITEMS_MAX];
	size_t count;
};

void die(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* server: HOST:PORT; files in PEM. */
void client_init(struct client *c, const char *server, const char *certificate, const char *key);
void client_add_pin(struct client *c, const char *path);

/* Connects and says so; any other certificate than a pinned one is refused. */
void session_open(const struct client *c, struct session *s);
void session_close(struct session *s);

/* Sends the request, waits for its answer and prints sizes and time, without ending the line. */
void exchange(struct session *s, struct ask *rq, const char *what, struct answer *an);
/* The payload of the n-th result; a failed one ends the program with the gateway's words. */
struct ttlv_reader answer_payload(const struct answer *an, size_t n, bool with_ubid);
void answer_end(struct answer *an); /* wipes it */

#endif
