/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes JSON documents, one per line.  Keys are literals of ours, of nothing that would have to be
 * escaped, and NULL inside an array; the writer sets commas.  Errors are the buffer's, sticky.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct json {
	struct buf *out; /* borrowed */
	bool comma;	 /* something stands before, on this level */
	unsigned depth;
};

void json_init(struct json *j, struct buf *out);
void json_object(struct json *j, const char *key);
void json_object_end(struct json *j); /* ends the line with the outermost one */
void json_array(struct json *j, const char *key);
void json_array_end(struct json *j);
void json_text(struct json *j, const char *key, const char *value); /* NULL becomes null */
void json_word(struct json *j, const char *key, const char *word); /* as a key: of ours */
void json_bytes(struct json *j, const char *key, const void *value, size_t len);
void json_int(struct json *j, const char *key, int64_t value);
/* Members of an object that were written before: without its braces, not empty. */
void json_members(struct json *j, const void *text, size_t len);
void json_bool(struct json *j, const char *key, bool value);
/* Seconds since 1970 as RFC 3339 text; of json_time() 0 becomes null. */
void json_date(struct json *j, const char *key, int64_t wall_s);
void json_time(struct json *j, const char *key, int64_t wall_s);

#endif
