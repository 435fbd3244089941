/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request and its answer.  http.c makes and ends it, route.c finds who handles it; a handler
 * reads the upper half, fills in the lower half and returns, never later.
 */
#ifndef SIM_EXCHANGE_H
#define SIM_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <yajl/yajl_tree.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/list.h"
#include "base/loop.h"
#include "base/text.h"

#include "access.h"

struct evhttp_request;
struct evkeyvalq;
struct fault_rule;
struct http_port;
struct route;
struct sim;

enum { SEGMENTS_MAX = 8, HEADERS_MAX = 8, KEY_COLLECTION_ROOM = 64 << 20 };

enum fail {
	FAIL_NONE,
#define FAIL(name, status, code, message) FAIL_##name,
#include "fail.def"
#undef FAIL
};

struct header {
	const char *name, *value;
};

struct exchange {
	struct list link; /* among those under way */
	struct sim *sim;
	struct http_port *port;
	struct evhttp_request *http; /* NULL for one that the admin port makes */
	struct arena *arena;
	const char *method, *path;
	char *segment[SEGMENTS_MAX];
	size_t segments;
	struct evkeyvalq *query;
	bool query_bad;
	const char *body;
	size_t body_len;
	yajl_val json; /* the body, once it was parsed */
	const struct route *route;
	struct identity *who;
	struct instance *inst;
	struct key *key;
	const char *ring;	      /* of X-Kms-Key-Ring, or NULL */
	bool representation, minimal; /* as Prefer has it */
	char correlation[UID_TEXT_LEN + 1];
	struct fault_rule *fault;
	uint64_t fault_id;
	uint64_t seq; /* in the journal */
	int64_t arrived;

	int status;
	struct buf out;
	const char *content_type;
	struct header headers[HEADERS_MAX];
	size_t header_count;
	const char *target; /* the field that a failure is about */
	bool committed;	    /* the handler ran, and changed what it was to change */
	struct timer timer;
};

/* Text that lives as long as the exchange; NULL without memory. */
const char *exchange_header(const struct exchange *x, const char *name);
/* The query parameter, or NULL. */
const char *exchange_query(const struct exchange *x, const char *name);
/* True when all parameters are among those named, each once: " limit offset ". */
CHECKED bool exchange_query_only(const struct exchange *x, const char *allowed);
void exchange_add_header(struct exchange *x, const char *name, const char *value);

/* Starts an answer in JSON. */
void exchange_reply(struct exchange *x, int status, struct json *j);
/* The answer without a body. */
void exchange_reply_empty(struct exchange *x, int status);
/* "application/vnd.ibm.kms.<type>+json" and the count; the caller goes on with resources. */
void exchange_collection(struct json *j, const char *type, int64_t count);
/* Replaces the answer by IBM's form of the error. */
void exchange_fail(struct exchange *x, enum fail f);
/* The failure, with the name of the field that it is about. */
CHECKED enum fail exchange_fail_at(struct exchange *x, enum fail f, const char *target);

/* Virtual seconds since 1970. */
int64_t exchange_now(const struct exchange *x);

#endif
