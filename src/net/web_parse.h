/* SPDX-License-Identifier: Apache-2.0 */
/* What an HTTP request says, as far as it concerns us. */
#ifndef WEB_PARSE_H
#define WEB_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct web_parsed {
	unsigned status;	   /* 200, or what has to be answered */
	bool last, head_only;	   /* the connection ends with it; HEAD */
	const char *path, *accept; /* in the request's bytes; accept may be NULL */
};

/* The length of the request at the beginning of data, its empty line included; 0: not all there. */
size_t web_request_len(const uint8_t *data, size_t len);
/* Reads one of that length, and changes its bytes. */
void web_parse(char *request, size_t len, struct web_parsed *out);

#endif
