/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys of session tickets, a new one each hour.  Without a file they are random, and forgotten an
 * hour after their own, though nobody comes: what they protected is safe from then on.  With a file
 * they are derived from its secret and the hour, so that all gateways that have it take each other's
 * tickets.
 */
#ifndef NET_TICKET_H
#define NET_TICKET_H

#include <stdbool.h>

#include <openssl/ssl.h>

#include "base/err.h"

struct loop;
struct tickets;

/*
 * l: for the keys' ends; it outlives them.  key_file: 64 hexadecimal digits, on a tmpfs or a
 * credential, open to nobody else; NULL: none.  tls12: tickets for TLS 1.2 as well.  Failures are a
 * sentence in *why.
 */
CHECKED enum err tickets_new(struct tickets **out, struct loop *l, const char *key_file, bool tls12,
    const char **why);
void tickets_free(struct tickets *t); /* NULL is allowed */

/* Keys and the file's secret go, now; none is given or taken from here on. */
void tickets_end(struct tickets *t);
bool tickets_ended(const struct tickets *t);

/* Makes a server's context issue and take tickets; borrows t. */
bool tickets_use(struct tickets *t, SSL_CTX *ctx);

#endif
