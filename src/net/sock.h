/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An OpenSSL BIO over a non-blocking socket that is watched edge by edge.  It knows when the socket
 * is empty (the last read brought less than was asked for) and does not ask the kernel again until
 * sock_edge() says that there was news.
 */
#ifndef NET_SOCK_H
#define NET_SOCK_H

#include <stdbool.h>

#include <openssl/bio.h>

struct sock {
	int fd;
	bool empty; /* nothing to read before the next edge */
	bool left;  /* the peer has ended its side: a short read says nothing */
};

/* A BIO that borrows s, which outlives it; NULL when there is no memory. */
BIO *sock_bio(struct sock *s);

/* An edge on the socket's readable side; closed: the peer has ended its side. */
void sock_edge(struct sock *s, bool closed);

#endif
