/* SPDX-License-Identifier: Apache-2.0 */
/* From method and path to the handler, through everything that must be right before it runs. */
#ifndef SIM_ROUTE_H
#define SIM_ROUTE_H

#include "exchange.h"

enum {
	ROUTE_KMS = 1,	     /* Key Protect's headers, token and instance */
	ROUTE_TOKEN = 2,     /* a token alone */
	ROUTE_ADMIN = 4,     /* on the admin port, and only there */
	ROUTE_KEY = 8,	     /* the third segment names a key: found, in the ring, allowed */
	ROUTE_WRITE = 16,    /* refused while the instance is read-only */
	ROUTE_JSON = 32,     /* takes a body in JSON, which may be absent */
	ROUTE_MATERIAL = 64, /* needs the crypto unit: fails while HPCS is sealed */
	ROUTE_ACTION = 128,  /* an action on a key */
};

struct route {
	const char *method, *pattern; /* a segment `*` matches any */
	const char *operation;	      /* for journal and rules */
	enum right right;
	unsigned flags;
	const char *what; /* "Key could not be created": for the text of errors */
	enum fail (*run)(struct exchange *);
};

/* Sets x->route, or leaves it NULL. */
void route_find(struct exchange *x);
/* Answers the exchange. */
void route_run(struct exchange *x);

#endif
