/* SPDX-License-Identifier: Apache-2.0 */
/* Text forms of things: hexadecimal, identifiers, escaping, sizes and durations with units. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

/* out must hold 2 * len + 1 bytes. */
void text_hex(char *out, const uint8_t *data, size_t len);
/* Exactly 2 * len digits are read, either case.  False on anything else. */
bool text_unhex(uint8_t *out, size_t len, const char *hex);

/* Appends data in base64 (RFC 4648, padded). */
void text_base64(struct buf *b, const void *data, size_t len);
/* How many bytes the padded base64 stands for, judged by its length and padding alone. */
size_t text_unbase64_len(const char *s, size_t len);
/* Writes text_unbase64_len() bytes.  False when s is not padded base64; out may be touched. */
bool text_unbase64(uint8_t *out, const char *s, size_t len);

#define UID_TEXT_LEN 36
/*
 * A time-ordered UUID, version 7 (RFC 9562): 48 bits of milliseconds, a counter that orders those
 * of one millisecond, then random.
 * out must hold UID_TEXT_LEN + 1 bytes.  ERR_CRYPTO when the random generator fails.
 */
CHECKED enum err text_uuid7(char *out);
/* When a time-ordered UUID was made, in milliseconds since 1970; 0 when it is none. */
int64_t text_uuid7_ms(const char *uuid);
/* A random UUID, version 4; otherwise the same. */
CHECKED enum err text_uuid4(char *out);

/*
 * Appends data so that it stays one token on one line: printable ASCII except quote and
 * backslash as it is, all else as \xHH.
 */
void text_escape(struct buf *b, const void *data, size_t len);
/* Appends a number in decimal.  printf() would take most of the time of a line of the log. */
void text_int(struct buf *b, int64_t number);
/*
 * Appends data as a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD, and what
 * text_is_harmless() would not let through is \uXXXX.
 */
void text_json(struct buf *b, const void *data, size_t len);
/* True when data is well-formed UTF-8 without NUL. */
bool text_is_utf8(const void *data, size_t len);
/*
 * True when it is also without control characters, of C0 and C1, and without those that turn the
 * direction of text: a terminal shows what it says.
 */
bool text_is_harmless(const void *data, size_t len);

/* "90s", "5min", "1h", "250ms", "2d"; a unit is required except for 0.  False otherwise. */
bool text_duration(const char *s, int64_t *ns);
/* "64KiB", "4MiB", "1GiB", "512B"; a unit is required except for 0.  False otherwise. */
bool text_size(const char *s, uint64_t *bytes);

/* RFC 3339 in UTC with milliseconds; out must hold 25 bytes. */
void text_time(char *out, int64_t wall_ms);

#endif
