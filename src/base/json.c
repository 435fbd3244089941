/* SPDX-License-Identifier: Apache-2.0 */
/* Writes JSON documents, one per line. */
#include "base/json.h"

#include <string.h>

#include "base/text.h"

void
json_init(struct json *j, struct buf *out)
{
	*j = (struct json){.out = out};
}

/* What stands before every value: a comma and the key, where they belong. */
static void
begin_value(struct json *j, const char *key)
{
	size_t len = key != NULL ? strlen(key) : 0;
	uint8_t *at = buf_extend(j->out, j->comma + (key != NULL ? len + 3 : 0));

	if (at != NULL && j->comma)
		*at++ = ',';
	j->comma = true;
	if (at == NULL || key == NULL)
		return;
	*at++ = '"';
	memcpy(at, key, len);
	memcpy(at + len, "\":", 2);
}

static void
open_level(struct json *j, const char *key, const char *bracket)
{
	begin_value(j, key);
	buf_put(j->out, bracket, 1);
	j->comma = false;
	j->depth++;
}

static void
close_level(struct json *j, const char *bracket)
{
	buf_put(j->out, bracket, 1);
	j->depth--;
	j->comma = j->depth > 0;
	if (j->depth == 0)
		buf_put(j->out, "\n", 1);
}

void
json_object(struct json *j, const char *key)
{
	open_level(j, key, "{");
}

void
json_object_end(struct json *j)
{
	close_level(j, "}");
}

void
json_array(struct json *j, const char *key)
{
	open_level(j, key, "[");
}

void
json_array_end(struct json *j)
{
	close_level(j, "]");
}

void
json_text(struct json *j, const char *key, const char *value)
{
	if (value != NULL) {
		json_bytes(j, key, value, strlen(value));
		return;
	}
	begin_value(j, key);
	buf_put(j->out, "null", 4);
}

void
json_word(struct json *j, const char *key, const char *word)
{
	size_t len = strlen(word);
	uint8_t *at;

	begin_value(j, key);
	at = buf_extend(j->out, len + 2);
	if (at == NULL)
		return;
	at[0] = at[len + 1] = '"';
	memcpy(at + 1, word, len);
}

void
json_bytes(struct json *j, const char *key, const void *value, size_t len)
{
	begin_value(j, key);
	text_json(j->out, value, len);
}

void
json_int(struct json *j, const char *key, int64_t value)
{
	begin_value(j, key);
	text_int(j->out, value);
}

void
json_members(struct json *j, const void *text, size_t len)
{
	begin_value(j, NULL);
	buf_put(j->out, text, len);
}

void
json_bool(struct json *j, const char *key, bool value)
{
	begin_value(j, key);
	buf_put(j->out, value ? "true" : "false", value ? 4 : 5);
}

void
json_date(struct json *j, const char *key, int64_t wall_s)
{
	char when[32];

	text_time(when, wall_s * 1000);
	json_text(j, key, when);
}

void
json_time(struct json *j, const char *key, int64_t wall_s)
{
	if (wall_s != 0)
		json_date(j, key, wall_s);
	else
		json_text(j, key, NULL);
}
