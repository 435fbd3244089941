/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PBKDF2 (RFC 8018 section 5.2) a little in each turn: a client chooses how often it iterates, and
 * nobody else shall wait for that.
 */
#ifndef GATE_PBKDF2_H
#define GATE_PBKDF2_H

#include "base/loop.h"

#include "crypto.h"

enum { PBKDF2_ITERATIONS_MAX = 10000000, PBKDF2_SALT_MAX = 1024, PBKDF2_RUNNING_MAX = 8 };

struct pbkdf2 {
	struct wait wait;
	struct loop *loop;
	uint32_t algorithm; /* in: KMIP Cryptographic Algorithm, HMAC with some digest */
	struct secret *password; /* in: borrowed until the end */
	const uint8_t *salt;	 /* in */
	size_t salt_len;
	uint32_t iterations; /* in: of all blocks together at most PBKDF2_ITERATIONS_MAX */
	size_t len;	     /* in: bytes to derive */
	struct secret *key;  /* out: one reference, the caller's */
	/* private */
	struct crypto *mac;
	struct secret *block; /* U, then T */
	struct defer turn;
	uint32_t number, done;
	size_t digest_len, filled;
	struct buf out;
};

/*
 * Ends in wait.  ERR_INVALID_FIELD: too many iterations, or none, or too long a salt; ERR_BUSY: as
 * many run as may.  Cancelling is fine at any time.
 */
void pbkdf2_start(struct pbkdf2 *p);

#endif
