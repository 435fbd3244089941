/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the wanted values out of a JSON document.  A path names members and arrays from the top:
 * "resources[].keyVersion.id".  Everything else is passed over.  Values are handed on as they are
 * met, mostly pointing into the document itself, so that a secret is copied by its taker alone.
 */
#ifndef NET_JSON_READ_H
#define NET_JSON_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
	JSON_DEPTH_MAX = 16,
	JSON_TOKEN_MAX = 15 * 1024, /* one string as it stands in the document, or one number */
	JSON_PATH_MAX = 128,
};

enum json_kind { JSON_STRING, JSON_INTEGER, JSON_TRUTH };

struct json_value {
	unsigned path; /* which of the wanted ones */
	size_t row;    /* its place in the outermost array that it is in; 0 outside */
	enum json_kind kind;
	const char *text; /* JSON_STRING; not terminated, valid during the call alone */
	size_t len;
	int64_t number; /* JSON_INTEGER; JSON_TRUTH: 0 or 1 */
};

struct json_read {
	const char *const *paths; /* NULL ends */
	/* An error ends the reading and becomes its result. */
	enum err (*value)(void *arg, const struct json_value *v);
	void *arg;
};

/*
 * ERR_INVALID_MESSAGE: not JSON, or nested too deeply.  ERR_REQUEST_TOO_LARGE: a token above its
 * ceiling.  ERR_NO_MEMORY.  Null, and numbers that are no integers, count as absent.
 */
CHECKED enum err json_read(const struct json_read *want, const void *data, size_t len);

#endif
