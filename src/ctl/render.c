/* SPDX-License-Identifier: Apache-2.0 */
/* JSON for people: objects as aligned "key: value", arrays of objects as tables. */
#include <stdio.h>
#include <string.h>

#include <yajl/yajl_tree.h>

#include "base/text.h"
#include "ctl.h"

enum { CELL_MAX = 1024, COLUMNS_MAX = 32, DEPTH_MAX = 8 };

static void render_value(yajl_val v, unsigned depth);

/* Text that a terminal would obey, or turn around, is shown as \xHH. */
static void
put_text(struct buf *b, const char *s)
{
	if (text_is_harmless(s, strlen(s)))
		buf_put(b, s, strlen(s));
	else
		text_escape(b, s, strlen(s));
}

static void put_cell(struct buf *b, yajl_val v, unsigned depth);

/* An attribute reads better as name=value than as an object. */
static void
put_object_cell(struct buf *b, yajl_val v, unsigned depth)
{
	static const char *name_path[] = {"name", NULL}, *value_path[] = {"value", NULL};
	yajl_val name = yajl_tree_get(v, name_path, yajl_t_string);
	yajl_val value = yajl_tree_get(v, value_path, yajl_t_any);

	if (name != NULL && value != NULL) {
		put_text(b, name->u.string);
		buf_put(b, "=", 1);
		put_cell(b, value, depth + 1);
		return;
	}
	for (size_t i = 0; i < v->u.object.len; i++) {
		buf_put(b, " ", i > 0);
		put_text(b, v->u.object.keys[i]);
		buf_put(b, "=", 1);
		put_cell(b, v->u.object.values[i], depth + 1);
	}
}

/* A value on one line. */
static void
put_cell(struct buf *b, yajl_val v, unsigned depth)
{
	if (v == NULL || YAJL_IS_NULL(v) || depth > DEPTH_MAX) {
		buf_put(b, "-", 1);
	} else if (YAJL_IS_STRING(v)) {
		put_text(b, v->u.string);
	} else if (YAJL_IS_NUMBER(v)) {
		put_text(b, YAJL_GET_NUMBER(v));
	} else if (YAJL_IS_TRUE(v) || YAJL_IS_FALSE(v)) {
		put_text(b, YAJL_IS_TRUE(v) ? "yes" : "no");
	} else if (YAJL_IS_OBJECT(v)) {
		put_object_cell(b, v, depth);
	} else {
		for (size_t i = 0; i < v->u.array.len; i++) {
			buf_put(b, ", ", i > 0 ? 2 : 0);
			put_cell(b, v->u.array.values[i], depth + 1);
		}
	}
}

const char *
ctl_cell(yajl_val v)
{
	static char text[CELL_MAX + 1];
	struct buf b;

	buf_init(&b, CELL_MAX);
	put_cell(&b, v, 0);
	snprintf(text, sizeof(text), "%.*s", (int)b.len, b.len > 0 ? (const char *)b.data : "");
	buf_fini(&b);
	return text;
}

/* Columns of characters, not bytes: UTF-8's following bytes take no place. */
static size_t
width_of(const char *s)
{
	size_t n = 0;

	for (; *s != '\0'; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static void
pad(size_t have, size_t want)
{
	for (; have < want; have++)
		putchar(' ');
}

/* NULL where a row has no such key. */
static yajl_val
column_value(yajl_val row, const char *key)
{
	const char *path[] = {key, NULL};

	return YAJL_IS_OBJECT(row) ? yajl_tree_get(row, path, yajl_t_any) : NULL;
}

/* All keys of all rows, in the order in which they first appear.  Returns how many. */
static size_t
find_columns(yajl_val rows, const char **keys)
{
	size_t count = 0, k;

	for (size_t i = 0; i < rows->u.array.len; i++) {
		yajl_val row = rows->u.array.values[i];

		for (size_t n = 0; YAJL_IS_OBJECT(row) && n < row->u.object.len; n++) {
			const char *key = row->u.object.keys[n];

			for (k = 0; k < count && strcmp(keys[k], key) != 0; k++)
				;
			if (k == count && count < COLUMNS_MAX)
				keys[count++] = key;
		}
	}
	return count;
}

static void
render_table(yajl_val rows, unsigned depth)
{
	const char *keys[COLUMNS_MAX];
	size_t widths[COLUMNS_MAX], count = find_columns(rows, keys),
				    len = rows->u.array.len;

	for (size_t k = 0; k < count; k++) {
		widths[k] = width_of(keys[k]);
		for (size_t i = 0; i < len; i++) {
			size_t w = width_of(
			    ctl_cell(column_value(rows->u.array.values[i], keys[k])));

			if (w > widths[k])
				widths[k] = w;
		}
	}
	for (size_t i = 0; i < len + 1; i++) {
		pad(0, 2 * depth);
		for (size_t k = 0; k < count; k++) {
			const char *text = i == 0
					       ? keys[k]
					       : ctl_cell(column_value(
						     rows->u.array.values[i - 1], keys[k]));

			printf("%s%s", k > 0 ? "  " : "", text);
			if (k + 1 < count)
				pad(width_of(text), widths[k]);
		}
		putchar('\n');
	}
}

static bool
is_table(yajl_val v)
{
	return YAJL_IS_ARRAY(v) && v->u.array.len > 0 &&
	       YAJL_IS_OBJECT(v->u.array.values[0]);
}

static void
render_object(yajl_val v, unsigned depth)
{
	size_t width = 0;

	for (size_t i = 0; i < v->u.object.len; i++) {
		size_t w = width_of(v->u.object.keys[i]);

		if (w > width)
			width = w;
	}
	for (size_t i = 0; i < v->u.object.len; i++) {
		const char *key = v->u.object.keys[i];
		yajl_val value = v->u.object.values[i];

		pad(0, 2 * depth);
		printf("%s:", key);
		if (depth < DEPTH_MAX && (YAJL_IS_OBJECT(value) || is_table(value))) {
			putchar('\n');
			render_value(value, depth + 1);
			continue;
		}
		pad(width_of(key), width + 1);
		printf("%s\n", ctl_cell(value));
	}
}

static void
render_value(yajl_val v, unsigned depth)
{
	if (YAJL_IS_OBJECT(v))
		render_object(v, depth);
	else if (is_table(v))
		render_table(v, depth);
	else if (!YAJL_IS_ARRAY(v) || v->u.array.len > 0)
		printf("%s\n", ctl_cell(v));
	else
		printf("none\n");
}

bool
ctl_render(const char *document)
{
	yajl_val tree = yajl_tree_parse(document, NULL, 0);

	if (tree == NULL)
		return false;
	render_value(tree, 0);
	yajl_tree_free(tree);
	return true;
}
