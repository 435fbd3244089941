/* SPDX-License-Identifier: Apache-2.0 */
/* JSON that was sent to us. */
#include "body.h"

#include <string.h>

#include "base/alloc.h"
#include "base/text.h"

enum { DEPTH_MAX = 16, NAME_LEN_MAX = 64 };

/*
 * What yajl's tree would let through or die of: comments, NUL inside text (its strings end there)
 * and nesting, which it walks recursively.  Its own check of UTF-8 takes surrogates.
 */
static bool
is_tame(const char *p, size_t len)
{
	bool text = false;
	unsigned depth = 0;

	for (size_t i = 0; i < len; i++) {
		if (text && p[i] == '\\') {
			if (len - i >= 6 && memcmp(p + i, "\\u0000", 6) == 0)
				return false;
			i++;
		} else if (p[i] == '"') {
			text = !text;
		} else if (!text && (p[i] == '[' || p[i] == '{')) {
			if (++depth > DEPTH_MAX)
				return false;
		} else if (!text && (p[i] == ']' || p[i] == '}')) {
			depth -= depth > 0;
		} else if (!text && p[i] == '/') {
			return false;
		}
	}
	return true;
}

static bool
has_duplicates(yajl_val v)
{
	if (YAJL_IS_ARRAY(v)) {
		for (size_t i = 0; i < v->u.array.len; i++)
			if (has_duplicates(v->u.array.values[i]))
				return true;
		return false;
	}
	if (!YAJL_IS_OBJECT(v))
		return false;
	for (size_t i = 0; i < v->u.object.len; i++) {
		for (size_t k = 0; k < i; k++)
			if (strcmp(v->u.object.keys[i], v->u.object.keys[k]) == 0)
				return true;
		if (has_duplicates(v->u.object.values[i]))
			return true;
	}
	return false;
}

yajl_val
body_parse(const char *text, size_t len)
{
	char *copy;
	yajl_val v;

	if (!text_is_utf8(text, len) || !is_tame(text, len))
		return NULL;
	copy = alloc_bytes(len + 1);
	if (copy == NULL)
		return NULL;
	memcpy(copy, text, len);
	copy[len] = '\0';
	v = yajl_tree_parse(copy, NULL, 0);
	alloc_free(copy);
	if (v != NULL && has_duplicates(v)) {
		yajl_tree_free(v);
		return NULL;
	}
	return v;
}

yajl_val
body_field(yajl_val object, const char *name)
{
	if (!YAJL_IS_OBJECT(object))
		return NULL;
	for (size_t i = 0; i < object->u.object.len; i++)
		if (strcmp(object->u.object.keys[i], name) == 0)
			return object->u.object.values[i];
	return NULL;
}

bool
body_word(const char *list, const char *word)
{
	char spaced[NAME_LEN_MAX + 3] = " ";
	size_t len = strlen(word);

	if (len == 0 || len > NAME_LEN_MAX || strchr(word, ' ') != NULL)
		return false;
	memcpy(spaced + 1, word, len);
	memcpy(spaced + 1 + len, " ", 2);
	return strstr(list, spaced) != NULL;
}

bool
body_only(yajl_val object, const char *allowed)
{
	if (!YAJL_IS_OBJECT(object))
		return false;
	for (size_t i = 0; i < object->u.object.len; i++)
		if (!body_word(allowed, object->u.object.keys[i]))
			return false;
	return true;
}

bool
body_text(yajl_val object, const char *name, const char **out)
{
	yajl_val v = body_field(object, name);

	if (v == NULL)
		return true;
	if (!YAJL_IS_STRING(v))
		return false;
	*out = YAJL_GET_STRING(v);
	return true;
}

bool
body_bool(yajl_val object, const char *name, bool *out)
{
	yajl_val v = body_field(object, name);

	if (v == NULL)
		return true;
	if (!YAJL_IS_TRUE(v) && !YAJL_IS_FALSE(v))
		return false;
	*out = YAJL_IS_TRUE(v);
	return true;
}

bool
body_int(yajl_val object, const char *name, int64_t least, int64_t most, int64_t *out)
{
	yajl_val v = body_field(object, name);

	if (v == NULL)
		return true;
	if (!YAJL_IS_INTEGER(v) || YAJL_GET_INTEGER(v) < least || YAJL_GET_INTEGER(v) > most)
		return false;
	*out = YAJL_GET_INTEGER(v);
	return true;
}
