/* SPDX-License-Identifier: Apache-2.0 */
/* Text forms of things. */
#include "base/text.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/evp.h>
#include <openssl/rand.h>

#include "base/alloc.h"
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

static void
put_uuid(char *out, uint8_t u[16], uint8_t version)
{
	char hex[33];

	u[6] = (uint8_t)(version << 4 | (u[6] & 0x0f));
	u[8] = (uint8_t)(0x80 | (u[8] & 0x3f));
	text_hex(hex, u, 16);
	snprintf(out, UID_TEXT_LEN + 1, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12,
	    hex + 16, hex + 20);
}

enum err
text_uuid7(char *out)
{
	static uint64_t last;  /* the millisecond of the one before */
	static uint16_t count; /* of those within it: RFC 9562 6.2, method 1 */
	uint8_t u[16];
	uint64_t ms = (uint64_t)clock_wall_ms();

	if (RAND_bytes(u, sizeof(u)) != 1)
		return ERR_CRYPTO;
	/* The counter starts in its lower half, so that a millisecond's burst does not end it. */
	count = ms == last ? (uint16_t)(count + 1) : (uint16_t)((u[6] & 0x07) << 8 | u[7]);
	last = ms;
	for (int i = 0; i < 6; i++)
		u[i] = (uint8_t)(ms >> (8 * (5 - i)));
	u[6] = (uint8_t)(count >> 8);
	u[7] = (uint8_t)count;
	put_uuid(out, u, 7);
	return ERR_OK;
}

int64_t
text_uuid7_ms(const char *uuid)
{
	char hex[13] = "";
	uint8_t b[6];
	int64_t ms = 0;

	if (strlen(uuid) != UID_TEXT_LEN || uuid[14] != '7')
		return 0;
	memcpy(hex, uuid, 8);
	memcpy(hex + 8, uuid + 9, 4);
	if (!text_unhex(b, sizeof(b), hex))
		return 0;
	for (size_t i = 0; i < sizeof(b); i++)
		ms = ms << 8 | b[i];
	return ms;
}

enum err
text_uuid4(char *out)
{
	uint8_t u[16];

	if (RAND_bytes(u, sizeof(u)) != 1)
		return ERR_CRYPTO;
	put_uuid(out, u, 4);
	return ERR_OK;
}

void
text_base64(struct buf *b, const void *data, size_t len)
{
	size_t chars = (len + 2) / 3 * 4;
	uint8_t *at;

	if (len == 0 || buf_reserve(b, chars + 1) != ERR_OK) /* a NUL is written behind */
		return;
	at = buf_extend(b, chars);
	EVP_EncodeBlock(at, data, (int)len);
}

size_t
text_unbase64_len(const char *s, size_t len)
{
	size_t out = len / 4 * 3;

	if (len > 0 && s[len - 1] == '=')
		out--;
	if (len > 1 && s[len - 1] == '=' && s[len - 2] == '=')
		out--;
	return out;
}

bool
text_unbase64(uint8_t *out, const char *s, size_t len)
{
	size_t whole = len >= 4 ? len - 4 : 0, out_len = text_unbase64_len(s, len);
	const char *pad = memchr(s, '=', len);
	uint8_t last[3];
	bool ok;

	/* OpenSSL passes over white space at either end, and takes '=' anywhere for a zero */
	if (len == 0)
		return true;
	if (len % 4 != 0 || len > INT_MAX ||
	    (pad != NULL && pad < s + len - (len / 4 * 3 - out_len)))
		return false;
	for (size_t i = 0; i < len; i++)
		if (isspace((unsigned char)s[i]))
			return false;
	ok = (whole == 0 ||
		 EVP_DecodeBlock(out, (const uint8_t *)s, (int)whole) == (int)(whole / 4 * 3)) &&
	    EVP_DecodeBlock(last, (const uint8_t *)s + whole, 4) == 3;
	for (size_t i = 0; ok && i < out_len - whole / 4 * 3; i++)
		out[whole / 4 * 3 + i] = last[i];
	wipe(last, sizeof(last));
	return ok;
}

static bool
is_plain(uint8_t c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

static uint64_t
load_eight(const uint8_t *p)
{
	uint64_t w;

	memcpy(&w, p, sizeof(w));
	return w;
}

/* Whether any of eight bytes is less than the limit, which is at most 128. */
static bool
any_less(uint64_t w, uint8_t limit)
{
	return ((w - EACH(limit)) & ~w & EACH(0x80)) != 0;
}

static bool
are_plain(uint64_t w)
{
	return (w & EACH(0x80)) == 0 && !any_less(w, 0x20) && !any_less(w ^ EACH(0x7f), 1) &&
	    !any_less(w ^ EACH('"'), 1) && !any_less(w ^ EACH('\\'), 1);
}

/* How many bytes from p on stand for themselves; they are put down in one go. */
static size_t
plain_len(const uint8_t *p, size_t len)
{
	size_t n = 0;

	while (len - n >= 8 && are_plain(load_eight(p + n)))
		n += 8;
	while (n < len && is_plain(p[n]))
		n++;
	return n;
}

void
text_escape(struct buf *b, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0, n; i < len; i += n) {
		n = plain_len(p + i, len - i);
		buf_put(b, p + i, n);
		if (n > 0)
			continue;
		buf_printf(b, "\\x%02x", p[i]);
		n = 1;
	}
}

void
text_int(struct buf *b, int64_t number)
{
	char out[20];
	uint64_t rest = number < 0 ? -(uint64_t)number : (uint64_t)number;
	size_t n = sizeof(out);

	do
		out[--n] = (char)('0' + rest % 10);
	while ((rest /= 10) > 0);
	if (number < 0)
		buf_put(b, "-", 1);
	buf_put(b, out + n, sizeof(out) - n);
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
		n = 8; /* of ASCII at a time, as most text is */
		if (len - i >= n && (load_eight(p + i) & EACH(0x80)) == 0 &&
		    !any_less(load_eight(p + i), 1))
			continue;
		n = utf8_len(p + i, len - i);
		if (n == 0 || p[i] == 0)
			return false;
	}
	return true;
}

/* The character of a sequence of n bytes. */
static uint32_t
utf8_value(const uint8_t *p, size_t n)
{
	static const uint8_t first[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
	uint32_t c = p[0] & first[n];

	for (size_t i = 1; i < n; i++)
		c = c << 6 | (p[i] & 0x3f);
	return c;
}

/* What a terminal obeys, of C0 and C1, or what turns the direction in which text reads. */
static bool
is_control(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x202a && c <= 0x202e) ||
	    (c >= 0x2066 && c <= 0x2069);
}

bool
text_is_harmless(const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0, n; i < len; i += n) {
		n = utf8_len(p + i, len - i);
		if (n == 0 || is_control(utf8_value(p + i, n)))
			return false;
	}
	return true;
}

/* One character that cannot stand as it is, or is more than a byte; how many bytes it was. */
static size_t
put_character(struct buf *b, const uint8_t *p, size_t left)
{
	size_t n = utf8_len(p, left);

	if (n == 0) {
		buf_put(b, "\xef\xbf\xbd", 3);
		return 1;
	}
	if (*p == '"' || *p == '\\')
		buf_printf(b, "\\%c", *p);
	else if (is_control(utf8_value(p, n)))
		buf_printf(b, "\\u%04x", (unsigned)utf8_value(p, n));
	else
		buf_put(b, p, n);
	return n;
}

void
text_json(struct buf *b, const void *data, size_t len)
{
	size_t plain = plain_len(data, len);
	const uint8_t *p = data;
	uint8_t *at;

	if (plain == len && len < SIZE_MAX - 2) { /* mostly so */
		at = buf_extend(b, len + 2);
		if (at == NULL)
			return;
		at[0] = at[len + 1] = '"';
		if (len > 0)
			memcpy(at + 1, data, len);
		return;
	}
	buf_put(b, "\"", 1);
	for (size_t i = 0; i < len; plain = plain_len(p + i, len - i)) {
		buf_put(b, p + i, plain);
		i += plain;
		if (i < len)
			i += put_character(b, p + i, len - i);
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
	static time_t last = INT64_MIN;
	static char date[20] = "0000-00-00T00:00:00"; /* as it is for a year that has not four digits */
	int ms = (int)(wall_ms % 1000);
	time_t s = (time_t)(wall_ms / 1000) - (ms < 0); /* a clock without a battery is before 1970 */
	struct tm tm;

	if (ms < 0)
		ms += 1000;
	/* many lines have the same second, and making it takes longer than the rest of a line */
	if (s != last && (gmtime_r(&s, &tm) == NULL || tm.tm_year < 1000 - 1900 ||
	    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm) == 0))
		memcpy(date, "0000-00-00T00:00:00", sizeof("0000-00-00T00:00:00"));
	last = s;
	memcpy(out, date, 19);
	out[19] = '.';
	out[20] = (char)('0' + ms / 100);
	out[21] = (char)('0' + ms / 10 % 10);
	out[22] = (char)('0' + ms % 10);
	memcpy(out + 23, "Z", 2);
}
