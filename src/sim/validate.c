/* SPDX-License-Identifier: Apache-2.0 */
/* The forms that IBM documents. */
#include "validate.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "body.h"

static const char alias_chars[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";

bool
validate_uuid(const char *s)
{
	for (size_t i = 0; i < UID_TEXT_LEN; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? s[i] != '-' : !isxdigit((unsigned char)s[i]))
			return false;
	}
	return s[UID_TEXT_LEN] == '\0';
}

bool
validate_uuid4(const char *s)
{
	return validate_uuid(s) && s[14] == '4' && strchr("89abAB", s[19]) != NULL;
}

bool
validate_chars(const char *s, size_t least, size_t most)
{
	size_t n = 0;

	for (const char *p = s; *p != '\0'; p++)
		n += ((unsigned char)*p & 0xc0) != 0x80;
	return n >= least && n <= most;
}

static bool
is_reserved(const char *s)
{
	static const char *const words[] = {"allowed_ip", "key", "keys", "metadata", "policy",
	    "policies", "registration", "registrations", "ring", "rings", "rotate", "wrap",
	    "unwrap", "rewrap", "version", "versions"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(words[i], s) == 0)
			return true;
	return false;
}

bool
validate_alias(const char *s)
{
	size_t len = strlen(s);

	return len >= 2 && len < ALIAS_SIZE && strspn(s, alias_chars) == len &&
	       !validate_uuid4(s) && !is_reserved(s);
}

bool
validate_ring(const char *s)
{
	size_t len = strlen(s);

	return len >= 2 && len < RING_SIZE && strspn(s, alias_chars) == len;
}

bool
validate_tag(const char *s)
{
	return validate_chars(s, 0, 30) && strpbrk(s, "<>,:&|") == NULL;
}

bool
validate_date(const char *s, int64_t *out)
{
	struct tm tm = {0}, again;
	char text[32];
	time_t t;
	const char *end = strptime(s, "%Y-%m-%dT%H:%M:%S", &tm);

	if (end == NULL)
		return false;
	if (*end == '.') {
		end++;
		if (!isdigit((unsigned char)*end))
			return false;
		end += strspn(end, "0123456789");
	}
	if (strcmp(end, "Z") != 0)
		return false;
	t = timegm(&tm);
	/* strptime() takes the 31st of any month, and fewer digits than RFC 3339 wants. */
	if (gmtime_r(&t, &again) == NULL ||
	    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &again) == 0 ||
	    strncmp(text, s, strlen(text)) != 0)
		return false;
	*out = t;
	return true;
}

bool
validate_number(const char *s, int64_t least, int64_t most, int64_t *out)
{
	char *end;
	long long n;

	if (!isdigit((unsigned char)*s))
		return false;
	errno = 0;
	n = strtoll(s, &end, 10);
	if (errno != 0 || *end != '\0' || n < least || n > most)
		return false;
	*out = n;
	return true;
}

bool
validate_bool(const char *s, bool *out)
{
	if (strcmp(s, "true") != 0 && strcmp(s, "false") != 0)
		return false;
	*out = s[0] == 't';
	return true;
}

bool
validate_base64(const char *s, uint8_t *out, size_t max, size_t *len)
{
	size_t text_len = strlen(s), bytes;

	if (text_len == 0 || text_len > BASE64_MAX)
		return false;
	bytes = text_unbase64_len(s, text_len);
	if (bytes == 0 || bytes > max || !text_unbase64(out, s, text_len))
		return false;
	*len = bytes;
	return true;
}

enum fail
validate_collection(
    struct exchange *x, const char *type, size_t least, size_t most, yajl_val *resources)
{
	char expected[96];
	const char *collection = NULL;
	int64_t total = -1;
	yajl_val metadata, list;

	if (x->json == NULL)
		return FAIL_NO_BODY;
	if (!body_only(x->json, " metadata resources "))
		return FAIL_BAD_BODY;
	metadata = body_field(x->json, "metadata");
	list = body_field(x->json, "resources");
	if (!body_only(metadata, " collectionType collectionTotal ") || !YAJL_IS_ARRAY(list))
		return FAIL_BAD_BODY;
	snprintf(expected, sizeof(expected), "application/vnd.ibm.kms.%s+json", type);
	if (!body_text(metadata, "collectionType", &collection) || collection == NULL ||
	    strcmp(collection, expected) != 0)
		return exchange_fail_at(x, FAIL_INVALID_FIELD, "collectionType");
	if (!body_int(metadata, "collectionTotal", 0, INT32_MAX, &total) || total < 0)
		return exchange_fail_at(x, FAIL_INVALID_FIELD, "collectionTotal");
	if ((size_t)total != list->u.array.len)
		return FAIL_COLLECTION_TOTAL;
	if (list->u.array.len < least || list->u.array.len > most)
		return FAIL_COLLECTION_RESOURCES;
	*resources = list;
	return FAIL_NONE;
}

bool
validate_root_len(size_t len)
{
	return len == 16 || len == 24 || len == 32;
}
