/* SPDX-License-Identifier: Apache-2.0 */
/* What handlers read from a request, and how they answer it. */
#include "exchange.h"

#include <string.h>

#include <event2/http.h>
#include <event2/keyvalq_struct.h>

#include "body.h"
#include "route.h"
#include "sim.h"

static const struct {
	int status;
	const char *code, *message;
} failures[] = {
    {200, NULL, NULL},
#define FAIL(name, status, code, message) {status, code, message},
#include "fail.def"
#undef FAIL
};

const char *
exchange_header(const struct exchange *x, const char *name)
{
	if (x->http == NULL)
		return NULL;
	return evhttp_find_header(evhttp_request_get_input_headers(x->http), name);
}

const char *
exchange_query(const struct exchange *x, const char *name)
{
	const struct evkeyval *kv;

	for (kv = x->query->tqh_first; kv != NULL; kv = kv->next.tqe_next)
		if (strcmp(kv->key, name) == 0)
			return kv->value;
	return NULL;
}

bool
exchange_query_only(const struct exchange *x, const char *allowed)
{
	const struct evkeyval *kv, *other;

	if (x->query_bad)
		return false;
	for (kv = x->query->tqh_first; kv != NULL; kv = kv->next.tqe_next) {
		if (!body_word(allowed, kv->key))
			return false;
		for (other = kv->next.tqe_next; other != NULL; other = other->next.tqe_next)
			if (strcmp(kv->key, other->key) == 0)
				return false;
	}
	return true;
}

void
exchange_add_header(struct exchange *x, const char *name, const char *value)
{
	if (x->header_count < HEADERS_MAX && value != NULL)
		x->headers[x->header_count++] = (struct header){name, value};
}

void
exchange_reply(struct exchange *x, int status, struct json *j)
{
	buf_reset(&x->out);
	x->status = status;
	x->content_type = "application/json; charset=utf-8";
	json_init(j, &x->out);
}

void
exchange_reply_empty(struct exchange *x, int status)
{
	buf_reset(&x->out);
	x->status = status;
	x->content_type = NULL;
}

void
exchange_collection(struct json *j, const char *type, int64_t count)
{
	char text[96] = "application/vnd.ibm.kms.";

	strncat(text, type, 64);
	strncat(text, "+json", sizeof(text) - 1 - strlen(text));
	json_text(j, "collectionType", text);
	json_int(j, "collectionTotal", count);
}

static const char *
status_phrase(int status)
{
	static const struct {
		int status;
		const char *phrase;
	} phrases[] = {{400, "Bad Request"}, {403, "Forbidden"}, {404, "Not Found"},
	    {409, "Conflict"}, {410, "Gone"}, {422, "Unprocessable Entity"},
	    {500, "Internal Server Error"}, {501, "Not Implemented"}, {503, "Service Unavailable"}};

	for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++)
		if (phrases[i].status == status)
			return phrases[i].phrase;
	return "Error";
}

/* errorMsg, as IBM words it. */
static void
put_message(struct exchange *x, enum fail f, struct buf *text)
{
	const char *what = x->route != NULL && x->route->what != NULL
			       ? x->route->what
			       : "Request could not be handled";

	if (failures[f].code == NULL) {
		buf_put(text, failures[f].message, strlen(failures[f].message));
	} else if (f == FAIL_KEY_DELETED && x->route != NULL &&
		   (x->route->flags & ROUTE_ACTION) != 0) {
		buf_printf(text,
		    "Gone: The key has been deleted and is no longer available. Please provide a "
		    "valid key when performing an '%s' action",
		    x->segments > 0 ? x->segment[x->segments - 1] : "");
	} else {
		buf_printf(text, "%s: %s: Please see `reasons` for more details (%s)",
		    status_phrase(failures[f].status), what, failures[f].code);
	}
}

void
exchange_fail(struct exchange *x, enum fail f)
{
	struct buf text;
	struct json j;

	buf_init(&text, 1024);
	put_message(x, f, &text);
	exchange_reply(x, failures[f].status, &j);
	json_object(&j, NULL);
	json_object(&j, "metadata");
	exchange_collection(&j, "error", 1);
	json_object_end(&j);
	json_array(&j, "resources");
	json_object(&j, NULL);
	json_bytes(&j, "errorMsg", text.data, text.len);
	if (failures[f].code != NULL) {
		json_array(&j, "reasons");
		json_object(&j, NULL);
		json_text(&j, "code", failures[f].code);
		json_text(&j, "message", failures[f].message);
		json_int(&j, "status", failures[f].status);
		json_text(&j, "moreInfo", "https://cloud.ibm.com/apidocs/key-protect");
		if (x->target != NULL) {
			json_object(&j, "target");
			json_text(&j, "type", "field");
			json_text(&j, "name", x->target);
			json_object_end(&j);
		}
		json_object_end(&j);
		json_array_end(&j);
	}
	json_object_end(&j);
	json_array_end(&j);
	json_object_end(&j);
	buf_fini(&text);
}

enum fail
exchange_fail_at(struct exchange *x, enum fail f, const char *target)
{
	x->target = target;
	return f;
}

int64_t
exchange_now(const struct exchange *x)
{
	return store_now(&x->sim->store);
}
