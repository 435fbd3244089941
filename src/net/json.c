/* SPDX-License-Identifier: Apache-2.0 */
/* JSON by yajl's callbacks, over memory of which there is always enough. */
#include "net/json_read.h"

#include <string.h>

#include <yajl/yajl_parse.h>

#include "base/alloc.h"

/*
 * yajl crashes when an allocation fails, so none may: what it can ask for follows from the
 * ceilings that are checked before it starts.  Its two buffers (a string with escapes; a token cut
 * off by the document's end) double from 2 KiB until they hold a token, the old ones staying
 * behind in the pool; handle, lexer and the stack of states are small.
 */
enum {
	POOL_BUFFERS = 2 * (2 + 4 + 8 + 16) * 1024,
	POOL_SMALL = 4 * 1024,
	POOL_HEAD = 16, /* each block's length stands before it, for realloc */
};

struct level {
	size_t path_len; /* of the path up to here */
	size_t at;	 /* in an array: elements begun */
	bool array;
};

struct reader {
	const struct json_read *want;
	uint8_t *pool;
	size_t pool_used;
	char path[JSON_PATH_MAX + 1];
	size_t path_len; /* above JSON_PATH_MAX: too long to be wanted */
	struct level level[JSON_DEPTH_MAX];
	size_t depth;
	enum err error;
};

/* --- yajl's memory --- */

static void *
pool_alloc(void *ctx, size_t len)
{
	struct reader *r = ctx;
	size_t need = POOL_HEAD + (len + POOL_HEAD - 1) / POOL_HEAD * POOL_HEAD;
	uint8_t *at = r->pool + r->pool_used;

	if (need > POOL_BUFFERS + POOL_SMALL - r->pool_used)
		return NULL;
	r->pool_used += need;
	memcpy(at, &len, sizeof(len));
	return at + POOL_HEAD;
}

static void *
pool_realloc(void *ctx, void *p, size_t len)
{
	size_t have = 0;
	void *q = pool_alloc(ctx, len);

	if (p == NULL || q == NULL)
		return q;
	memcpy(&have, (uint8_t *)p - POOL_HEAD, sizeof(have));
	return memcpy(q, p, have < len ? have : len);
}

static void
pool_free(void *ctx, void *p)
{
	(void)ctx, (void)p; /* all goes at once */
}

/* --- where we are --- */

static void
path_add(struct reader *r, const char *text, size_t len)
{
	if (len <= JSON_PATH_MAX && r->path_len <= JSON_PATH_MAX - len) {
		memcpy(r->path + r->path_len, text, len);
		r->path_len += len;
	} else {
		r->path_len = JSON_PATH_MAX + 1;
	}
}

/* Before any value: in an array, the next element begins. */
static void
begin_value(struct reader *r)
{
	if (r->depth > 0 && r->level[r->depth - 1].array)
		r->level[r->depth - 1].at++;
}

static size_t
row_of(const struct reader *r)
{
	for (size_t i = 0; i < r->depth; i++)
		if (r->level[i].array)
			return r->level[i].at - 1;
	return 0;
}

static int
give(struct reader *r, struct json_value *v)
{
	begin_value(r);
	if (r->path_len > JSON_PATH_MAX)
		return 1;
	for (v->path = 0; r->want->paths[v->path] != NULL; v->path++) {
		const char *path = r->want->paths[v->path];

		if (strlen(path) == r->path_len && memcmp(path, r->path, r->path_len) == 0) {
			v->row = row_of(r);
			r->error = r->want->value(r->want->arg, v);
			return r->error == ERR_OK;
		}
	}
	return 1;
}

static int
enter(struct reader *r, bool array)
{
	begin_value(r);
	if (r->depth == JSON_DEPTH_MAX)
		return 0;
	r->level[r->depth++] = (struct level){.path_len = r->path_len, .array = array};
	if (array)
		path_add(r, "[]", 2);
	return 1;
}

static int
leave(void *ctx)
{
	struct reader *r = ctx;

	r->path_len = r->level[--r->depth].path_len;
	return 1;
}

/* --- yajl's callbacks --- */

static int
on_null(void *ctx)
{
	begin_value(ctx);
	return 1;
}

static int
on_boolean(void *ctx, int truth)
{
	return give(ctx, &(struct json_value){.kind = JSON_TRUTH, .number = truth != 0});
}

static int
on_number(void *ctx, const char *text, size_t len)
{
	struct json_value v = {.kind = JSON_INTEGER};
	bool minus = len > 0 && text[0] == '-';

	if (len > 18) {
		begin_value(ctx);
		return 1;
	}
	for (size_t i = minus; i < len; i++) {
		if (text[i] < '0' || text[i] > '9') {
			begin_value(ctx);
			return 1;
		}
		v.number = v.number * 10 + (text[i] - '0');
	}
	if (minus)
		v.number = -v.number;
	return give(ctx, &v);
}

static int
on_string(void *ctx, const unsigned char *text, size_t len)
{
	return give(
	    ctx, &(struct json_value){.kind = JSON_STRING, .text = (const char *)text, .len = len});
}

static int
on_start_map(void *ctx)
{
	return enter(ctx, false);
}

static int
on_start_array(void *ctx)
{
	return enter(ctx, true);
}

static int
on_key(void *ctx, const unsigned char *key, size_t len)
{
	struct reader *r = ctx;
	size_t base = r->level[r->depth - 1].path_len;

	r->path_len = base;
	if (base > 0)
		path_add(r, ".", 1);
	path_add(r, (const char *)key, len);
	return 1;
}

/* --- before yajl sees it --- */

/* Whether each token, ended or not, is within its ceiling; the structure is yajl's to judge. */
static bool
tokens_fit(const char *s, size_t len)
{
	size_t token = 0;
	bool string = false;

	for (size_t i = 0; i < len; i++) {
		char c = s[i];

		if (string && c == '\\' && i + 1 < len) {
			i++;
			token += 2;
		} else if (c == '"') {
			string = !string;
			token = string ? 1 : 0;
		} else if (!string && strchr("{}[]:, \t\r\n", c) != NULL && c != '\0') {
			token = 0;
		} else {
			token++;
		}
		if (token > JSON_TOKEN_MAX)
			return false;
	}
	return true;
}

static enum err
parse(struct reader *r, const void *data, size_t len)
{
	static const yajl_callbacks callbacks = {.yajl_null = on_null,
	    .yajl_boolean = on_boolean,
	    .yajl_number = on_number,
	    .yajl_string = on_string,
	    .yajl_start_map = on_start_map,
	    .yajl_map_key = on_key,
	    .yajl_end_map = leave,
	    .yajl_start_array = on_start_array,
	    .yajl_end_array = leave};
	yajl_alloc_funcs memory = {pool_alloc, pool_realloc, pool_free, r};
	yajl_handle y = yajl_alloc(&callbacks, &memory, r);
	yajl_status status;

	if (y == NULL)
		return ERR_NO_MEMORY;
	status = yajl_parse(y, data, len);
	if (status == yajl_status_ok)
		status = yajl_complete_parse(y);
	yajl_free(y);
	if (r->error != ERR_OK)
		return r->error;
	return status == yajl_status_ok ? ERR_OK : ERR_INVALID_MESSAGE;
}

enum err
json_read(const struct json_read *want, const void *data, size_t len)
{
	struct reader r = {.want = want};
	enum err e;

	if (len == 0)
		return ERR_INVALID_MESSAGE;
	if (!tokens_fit(data, len))
		return ERR_REQUEST_TOO_LARGE;
	r.pool = alloc_bytes(POOL_BUFFERS + POOL_SMALL);
	if (r.pool == NULL)
		return ERR_NO_MEMORY;
	e = parse(&r, data, len);
	alloc_free(r.pool);
	return e;
}
