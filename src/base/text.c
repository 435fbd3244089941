/* SPDX-License-Identifier: Apache-2.0 */
/* Text forms of things. */
#include "base/text.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/rand.h>

#include "base/clock.h"

static const char digits[] = "0123456789abcdef";

void
text_hex(char *out, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		*out++ = digits[data[i] >> 4];
		*out++ = digits[data[i] & 15];
	}
	*out = '\0';
}

static int
digit_value(char c)
{
	const char *at = c != '\0' ? strchr(digits, tolower((unsigned char)c)) : NULL;

	return at != NULL ? (int)(at - digits) : -1;
}

bool
text_unhex(uint8_t *out, size_t len, const char *hex)
{
	for (size_t i = 0; i < len; i++) {
		int hi = digit_value(hex[2 * i]);
		int lo = hi >= 0 ? digit_value(hex[2 * i + 1]) : -1;

		if (lo < 0)
			return false;
		out[i] = (uint8_t)(hi << 4 | lo);
	}
	return hex[2 * len] == '\0';
}

enum err
text_uuid7(char *out)
{
	uint8_t u[16];
	uint64_t ms = (uint64_t)clock_wall_ms();
	char hex[33];

	if (RAND_bytes(u, sizeof(u)) != 1)
		return ERR_CRYPTO;
	for (int i = 0; i < 6; i++)
		u[i] = (uint8_t)(ms >> (8 * (5 - i)));
	u[6] = (uint8_t)(0x70 | (u[6] & 0x0f));
	u[8] = (uint8_t)(0x80 | (u[8] & 0x3f));
	text_hex(hex, u, sizeof(u));
	snprintf(out, UID_TEXT_LEN + 1, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12,
	    hex + 16, hex + 20);
	return ERR_OK;
}

void
text_escape(struct buf *b, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++) {
		if (p[i] >= 0x20 && p[i] < 0x7f && p[i] != '"' && p[i] != '\\')
			buf_put(b, &p[i], 1);
		else
			buf_printf(b, "\\x%02x", p[i]);
	}
}

/* Length of the UTF-8 sequence at p (RFC 3629, no surrogates, no overlong forms), or 0. */
static size_t
utf8_len(const uint8_t *p, size_t left)
{
	uint32_t c = p[0];
	size_t n = c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3
	    : c >= 0xf0 && c < 0xf5 ? 4
				    : 0;

	if (n == 0 || n > left)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((c == 0xe0 && p[1] < 0xa0) || (c == 0xed && p[1] > 0x9f) || (c == 0xf0 && p[1] < 0x90) ||
	    (c == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

bool
text_is_utf8(const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0, n; i < len; i += n) {
		n = utf8_len(p + i, len - i);
		if (n == 0 || p[i] == 0)
			return false;
	}
	return true;
}

void
text_json(struct buf *b, const void *data, size_t len)
{
	const uint8_t *p = data;

	buf_put(b, "\"", 1);
	for (size_t i = 0, n; i < len; i += n) {
		n = utf8_len(p + i, len - i);
		if (n == 0) {
			buf_put(b, "\xef\xbf\xbd", 3);
			n = 1;
		} else if (p[i] == '"' || p[i] == '\\') {
			buf_printf(b, "\\%c", p[i]);
		} else if (p[i] < 0x20 || p[i] == 0x7f) {
			buf_printf(b, "\\u%04x", p[i]);
		} else {
			buf_put(b, p + i, n);
		}
	}
	buf_put(b, "\"", 1);
}

struct unit {
	const char *name;
	int64_t factor;
};

/* A whole number and a unit of the table; 0 needs none. */
static bool
parse_with_unit(const char *s, const struct unit *units, int64_t *out)
{
	int64_t product;
	char *end;
	long long n;

	if (!isdigit((unsigned char)*s))
		return false;
	errno = 0;
	n = strtoll(s, &end, 10);
	if (errno != 0)
		return false;
	while (units->name != NULL && strcmp(end, units->name) != 0)
		units++;
	if (units->name == NULL && (*end != '\0' || n != 0))
		return false;
	if (__builtin_mul_overflow(n, units->factor, &product))
		return false;
	*out = product;
	return true;
}

bool
text_duration(const char *s, int64_t *ns)
{
	static const struct unit units[] = {{"ms", NS_PER_MS}, {"s", NS_PER_S},
	    {"min", 60 * NS_PER_S}, {"h", 3600 * NS_PER_S}, {"d", 86400 * NS_PER_S}, {NULL, 0}};

	return parse_with_unit(s, units, ns);
}

bool
text_size(const char *s, uint64_t *bytes)
{
	static const struct unit units[] = {
	    {"B", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {NULL, 0}};
	int64_t v;

	if (!parse_with_unit(s, units, &v))
		return false;
	*bytes = (uint64_t)v;
	return true;
}

void
text_time(char *out, int64_t wall_ms)
{
	time_t s = (time_t)(wall_ms / 1000);
	struct tm tm;
	char date[21];

	if (gmtime_r(&s, &tm) == NULL || strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
		memcpy(date, "0000-00-00T00:00:00", sizeof("0000-00-00T00:00:00"));
	snprintf(out, 25, "%s.%03dZ", date, (int)(wall_ms % 1000));
}
