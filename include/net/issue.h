/* SPDX-License-Identifier: Apache-2.0 */
/* Makes certificates for clients: a pair to upload, an authority, an answer to a request. */
#ifndef NET_ISSUE_H
#define NET_ISSUE_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

/* All are PEM, appended.  *why is a sentence (static storage). */

enum issue_kind {
	ISSUE_CLIENT,	/* signs for itself, as a client */
	ISSUE_AUTHORITY /* signs others */
};
/* A new key (RSA with 3072 bits, or EC on P-256) and its self-signed certificate. */
CHECKED enum err issue_pair(enum issue_kind kind, const char *name, bool ec, unsigned days,
    struct buf *certificate, struct buf *key, const char **why);

/*
 * Signs a request (PEM) with an authority of issue_pair().  The request proves its key and keeps
 * its subject; nothing else of it counts.  ERR_CONFIG when it is not good.
 */
CHECKED enum err issue_for_request(const struct buf *request, const struct buf *authority,
    const struct buf *authority_key, unsigned days, struct buf *certificate, const char **why);

/* The one certificate in PEM text as DER: ERR_CONFIG when there is none, more, or a private key. */
CHECKED enum err issue_der(const struct buf *pem, struct buf *der, const char **why);

#endif
