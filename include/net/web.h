/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server for short HTTP/1.1 answers on the loop: GET and HEAD, no bodies to read, connections
 * kept, a ceiling on all that a client may take: bytes, time and places.
 */
#ifndef NET_WEB_H
#define NET_WEB_H

#include "base/buf.h"
#include "base/loop.h"

enum {
	WEB_CLIENTS_MAX = 16,	   /* further ones take the place of the longest idle, or get none */
	WEB_REQUEST_MAX = 8 * 1024 /* bytes of a request */
};
/* For a request from its first byte to its last, or for the first to begin; for a client to read
 * its answer; between two requests. */
#define WEB_REQUEST_NS (10 * NS_PER_S)
#define WEB_ANSWER_NS (30 * NS_PER_S)
#define WEB_IDLE_NS (150 * NS_PER_S)

struct web;

struct web_request {
	const char *path;   /* without the query; as the client wrote it */
	const char *accept; /* the header's value, or NULL */
};

struct web_answer {
	unsigned status;	  /* 200 unless it is set */
	const char *content_type; /* borrowed; static */
	struct buf body;	  /* its ceiling is answer_max; what does not fit is a 500 */
};

struct web_params {
	struct loop *loop;
	/* Writes the answer at once; what it asks for must be in memory. */
	void (*answer)(void *user, const struct web_request *rq, struct web_answer *a);
	void *user;
	size_t answer_max;
};

struct web *web_new(const struct web_params *p); /* NULL without memory */
/* Takes a connected, non-blocking descriptor. */
void web_accept(struct web *w, int fd);
void web_free(struct web *w); /* NULL is allowed */

#endif
