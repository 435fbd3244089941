/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates that were refused although whoever showed them has their private key: what an
 * administrator may want to trust.  Bounded, and so that one network cannot push out another's.
 */
#ifndef GATE_PENDING_H
#define GATE_PENDING_H

#include <stddef.h>
#include <stdint.h>

#include "net/tls.h"

enum {
	PENDING_MAX = 100,
	PENDING_PER_NETWORK = 4, /* first seen from one IPv4 address, or one /64 */
	PENDING_ADDRESSES = 4,	 /* that are remembered of each */
	PENDING_ADDRESS_MAX = 64
};

struct pending;

struct pending_entry {
	struct x509_st *certificate;
	uint8_t sha256[TLS_DIGEST_LEN];
	enum tls_verdict why; /* of the last time */
	int64_t first, last;  /* seconds since 1970 */
	uint64_t count;
	char addresses[PENDING_ADDRESSES][PENDING_ADDRESS_MAX]; /* the last ones first; "": none */
	uint8_t network[9]; /* where it was first seen from */
	uint64_t order;	    /* of the last times */
};

struct pending *pending_new(void); /* NULL without memory */
void pending_free(struct pending *p);

/* Nothing happens unless peer->proven.  address: as stream_address() has it. */
void pending_note(struct pending *p, const struct tls_peer *peer, const char *address);
/* It is trusted now, or was dealt with. */
void pending_forget(struct pending *p, const uint8_t sha256[TLS_DIGEST_LEN]);

/* Borrowed until one of the functions above is called; NULL when there is none. */
const struct pending_entry *pending_at(const struct pending *p, size_t n);
const struct pending_entry *pending_find(const struct pending *p,
    const uint8_t sha256[TLS_DIGEST_LEN]);

#endif
