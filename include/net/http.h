/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP calls on the loop, by libcurl: HTTP/1.1 with connections kept, certificates always
 * verified, nothing redirected, nothing traced.  One struct http_call is one exchange; whether to
 * repeat it is its caller's decision.
 */
#ifndef NET_HTTP_H
#define NET_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/loop.h"
#include "base/text.h"

struct http;

/*
 * Prepares libcurl, with our allocator under it.  Once, before any thread and any http_new().
 * ERR_CONFIG, with a sentence in *why, when this libcurl would block while it resolves names.
 */
CHECKED enum err http_init(const char **why);
void http_fini(void);

struct http_params {
	/* Further calls wait for a connection, and the time for that is the connection's. */
	unsigned connections_max, per_host_max;
	int64_t connect_timeout_ns;		/* name, TCP, proxy and TLS together */
};
/* NULL without memory. */
struct http *http_new(struct loop *l, const struct http_params *p);
/* For calls that begin from now on. */
void http_allow(struct http *h, unsigned connections_max, unsigned per_host_max);
/* No call may be under way. */
void http_free(struct http *h);

/* How to get to a host.  Borrowed while calls use it. */
struct http_route {
	const char *ca_file; /* NULL: the system's certificate authorities.  It may be replaced */
	const char *proxy;   /* URL, or NULL; the environment is never asked */
	bool allow_plain;    /* "http://" as well: for a metadata service, and for tests */
};

/* Why there was no answer. */
enum http_fail {
	HTTP_ANSWERED,
	HTTP_REFUSED, /* also: host or network not to be reached */
	HTTP_TIMEOUT,
	HTTP_TLS, /* handshake or verification */
	HTTP_DNS,
	HTTP_PROXY, /* the proxy was not reached, or would not connect us */
	HTTP_RESET, /* the connection broke, or the answer was cut off or no HTTP */
	HTTP_TOO_LARGE,
	HTTP_LOCAL, /* a URL that is none; memory, for this call or another one */
};
/* For the log. */
const char *http_fail_name(enum http_fail f);

enum { HTTP_CONTENT_TYPE_MAX = 64 };

struct http_call {
	struct wait wait; /* ERR_OK: there is an answer, of whatever status; see `fail` */

	/* in, all borrowed until the end */
	const struct http_route *route;
	const char *method, *url;
	const char *const *headers; /* "Name: value", NULL ends */
	const void *body;	    /* NULL for none */
	size_t body_len;
	size_t answer_max;
	int64_t deadline; /* clock_now() time */
	bool once;	  /* must never be sent twice, not even on a connection found stale */

	/* out */
	enum http_fail fail;
	bool sent; /* something of the request may have reached the server */
	unsigned status;
	int64_t retry_after_ns; /* what the server asked for, or -1 */
	int64_t date;		/* the server's clock, seconds since 1970, or -1 */
	char content_type[HTTP_CONTENT_TYPE_MAX];
	char correlation_id[UID_TEXT_LEN + 1]; /* of this attempt: ours, sent as Correlation-Id */
	struct buf answer;		       /* wiped; the caller ends it with http_call_fini() */

	/* private */
	struct http *http;
	struct list link; /* the calls under way */
	void *easy;
	void *header_list;
	struct timer timer;
	char *retry_after;
};

/* Resets the out members and begins.  Set wait.done before. */
void http_start(struct http *h, struct http_call *c);
/* Frees what the call holds; cancel it first if it is under way.  The call may be used again. */
void http_call_fini(struct http_call *c);

/* Appends text percent-encoded, for queries and forms. */
void http_escape(struct buf *b, const void *text, size_t len);

#endif
