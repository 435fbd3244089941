/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What http is made of, and what its parts call of one another:
 *
 *   http.c        calls: what libcurl is told of each, and what comes of it
 *   http_multi.c  libcurl on our loop
 *
 * Nothing here calls libcurl from one of its own callbacks, and whatever ends a call tells its caller
 * in a later turn.
 */
#ifndef NET_HTTP_PARTS_H
#define NET_HTTP_PARTS_H

#include <curl/curl.h>

#include "base/list.h"
#include "net/http.h"

struct http {
	struct loop *loop;
	CURLM *multi; /* NULL: made at the next call */
	unsigned connections_max, per_host_max;
	struct timer timer;
	struct list calls;   /* under way */
	struct list sockets; /* that libcurl waits for */
	uint64_t failures;   /* alloc_failures(), before libcurl ran */
	int64_t connect_timeout_ns;
	bool deaf; /* something that libcurl waits for could not be set up */
};

/* Hands the call to libcurl; it may have ended when this returns.  False without memory. */
CHECKED bool http_enter(struct http_call *c);
/* Takes it away from libcurl, if it is there.  Never from a callback of libcurl's. */
void http_leave(struct http_call *c);

/* What libcurl says of a call that is over. */
void http_ended(struct http_call *c, CURLcode rc);
/* Gives back all but the answer, and tells its caller in a later turn. */
void http_finish(struct http_call *c, enum http_fail f);

#endif
