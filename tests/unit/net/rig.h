/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server with certificates of all kinds, streams on it that note what happened to them, and TLS
 * clients in the same process, all driven by hand: no threads, no sleeps.
 */
#ifndef TEST_RIG_H
#define TEST_RIG_H

#include <stdbool.h>
#include <stddef.h>

#include <openssl/ssl.h>

#include "base/loop.h"
#include "net/stream.h"
#include "net/tls.h"

#include "certs.h"

enum who {
	WHO_RIGHT, WHO_RIGHT_RSA, WHO_UNKNOWN, WHO_EXPIRED, WHO_EARLY,
	WHO_IMPOSTOR, /* shows the right certificate, and cannot prove it */
	WHO_FORGER,   /* shows the unknown one, and cannot prove it */
	WHO_NONE
};
enum { WHO_COUNT = WHO_NONE };
enum server_keys { KEYS_EC = 1, KEYS_RSA = 2, KEYS_BOTH = 3 };

struct rig {
	struct loop *loop;
	struct tls_server *tls;
	struct identity ids[WHO_COUNT], server_ec, server_rsa;
	uint8_t digests[WHO_COUNT][TLS_DIGEST_LEN]; /* of ids */
	char dir[64];
	bool ignore_dates;
	bool closed; /* nobody is known any more */
	bool lacks; /* memory, to find out */
	bool lacks_behind; /* for the first that is wanted after a check */
	unsigned checks; /* how often the certificate check was asked */
	int64_t check_ns; /* of virtual time, which each takes */
};

struct rig_options {
	enum server_keys keys;
	bool min_version_13, legacy_cbc, resumption, resumption_12;
	const char *ticket_key_file;
};
void rig_init(struct rig *r, const struct rig_options *o);
/* Another server, with the same certificates. */
void rig_serve_anew(struct rig *r, const struct rig_options *o);
void rig_fini(struct rig *r);
/* dir/name, in one of a few static buffers. */
const char *rig_path(const struct rig *r, const char *name);

/* The places in which a peer of a test can free its stream. */
enum free_in { FREE_NOWHERE, FREE_READY, FREE_DATA, FREE_DRAINED, FREE_CLOSED };

/* The server's side of a connection, and what its callbacks said. */
struct served {
	struct stream *s; /* NULL once freed */
	unsigned ready, data, drained, closed;
	enum stream_end end;
	struct tls_peer peer;
	bool proven; /* a refused certificate was its client's own */
	const char *why, *version;
	bool pause_on_data, keep_input, pause_on_ready;
	enum free_in free_in;
	struct buf got;
	size_t biggest_input;
};
#define RIG_HANDSHAKE_NS (10 * NS_PER_S)
#define RIG_WRITE_NS (5 * NS_PER_S)
enum { RIG_INPUT_MAX = 32 * 1024 };
void served_start(struct served *d, struct rig *r, int fd);
void served_fini(struct served *d);

/* The client's side. */
struct client {
	SSL_CTX *ctx;
	SSL *ssl;
	int fd;
	bool connected, ended;
	int reason; /* of OpenSSL's failure, 0 for none */
	bool broken; /* the connection broke: a reset, not an orderly end */
	bool stalled; /* does not read */
	struct buf got;
};
struct client_options {
	int version; /* TLS1_2_VERSION, ...; 0: any */
	const char *suites; /* for TLS 1.2; NULL: the default */
	enum who who;
};
/* Makes a client over fd, which it takes. */
void client_start(struct client *c, const struct rig *r, int fd, const struct client_options *o);
void client_step(struct client *c); /* handshake or reading, as far as it goes now */
void client_send(struct client *c, const void *data, size_t len);
/* So many records of what it has to say, of one whose SSL writes to memory. */
void client_pass_on(struct client *c, int records);
void client_leave(struct client *c); /* close(), without close_notify */
void client_fini(struct client *c);

/* Both ends of a connection, non-blocking; tcp: over the loopback interface. */
void rig_pair(int fd[2], bool tcp);
/* A stream and its client over a fresh pair. */
void rig_connect(struct rig *r, struct served *d, struct client *c,
    const struct client_options *o);
/* Turns of loop and client until neither is expected to do more. */
void rig_pump(struct rig *r, struct client *c, unsigned turns);

#endif
