/* SPDX-License-Identifier: Apache-2.0 */
/* An HTTP server on the test's own loop, over loopback, whose every answer the test decides. */
#ifndef TEST_HTTPD_H
#define TEST_HTTPD_H

#include <stdbool.h>
#include <stddef.h>

#include <openssl/ssl.h>

#include "base/list.h"
#include "base/loop.h"

struct event;

struct httpd_request {
	const char *method, *path; /* with the query */
	const char *head;	   /* all of it, terminated */
	const char *body;	   /* terminated */
	size_t body_len;
};

struct httpd_conn;
struct httpd {
	/* Answers with one of the calls below, now or later, or never. */
	void (*answer)(void *arg, struct httpd_conn *c, const struct httpd_request *r);
	void *arg;
	SSL_CTX *tls; /* NULL: plain; borrowed */
	bool silent;  /* accepts, and says nothing, not even in TLS */

	struct loop *loop;
	int fd, port;
	struct event *event;
	struct list conns;
	unsigned accepted, requests;
	char url[64];
};

void httpd_start(struct httpd *h, struct loop *l);
void httpd_stop(struct httpd *h);

/* extra: header lines, each with CRLF, or "". */
void httpd_reply(struct httpd_conn *c, int status, const char *extra, const char *body);
void httpd_raw(struct httpd_conn *c, const char *bytes, size_t len);
void httpd_reset(struct httpd_conn *c); /* RST */
void httpd_close(struct httpd_conn *c);

/* A header's value in static memory, or NULL. */
const char *httpd_header(const struct httpd_request *r, const char *name);

#endif
