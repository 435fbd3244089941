/* SPDX-License-Identifier: Apache-2.0 */
/* Rules by which requests go wrong. */
#include "faults.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

#include "body.h"
#include "http.h"
#include "route.h"
#include "sim.h"

enum { DELAY_MAX_MS = 3600000 };

static const char *const end_names[] = {"send", "reset", "truncate", "hang"};

void
faults_init(struct faults *f)
{
	list_init(&f->rules);
	f->rule_count = 0;
	f->last_id = 0;
}

static void
rule_free(struct fault_rule *r)
{
	for (size_t i = 0; i < FAULT_HEADERS_MAX; i++) {
		alloc_free(r->headers[i].name);
		alloc_free(r->headers[i].value);
	}
	alloc_free(r->body);
	alloc_free(r->content_type);
	alloc_free(r);
}

void
faults_clear(struct faults *f)
{
	LIST_FOREACH_SAFE(l, next, &f->rules)
	{
		list_remove(l);
		rule_free(CONTAINER_OF(l, struct fault_rule, link));
	}
	f->rule_count = 0;
}

static bool
pattern_fits(const char *pattern, const char *text)
{
	return pattern[0] == '\0' || fnmatch(pattern, text, 0) == 0;
}

struct fault_rule *
faults_match(struct faults *f, const struct exchange *x)
{
	const char *operation = x->route != NULL ? x->route->operation : "";

	LIST_FOREACH(l, &f->rules)
	{
		struct fault_rule *r = CONTAINER_OF(l, struct fault_rule, link);

		if (r->count == 0 || !pattern_fits(r->method, x->method) ||
		    !pattern_fits(r->path, x->path) || !pattern_fits(r->operation, operation) ||
		    !pattern_fits(r->port, http_port_name(x->port->which)))
			continue;
		if (r->skip > 0) {
			r->skip--;
			continue;
		}
		if (r->count > 0)
			r->count--;
		r->hits++;
		return r;
	}
	return NULL;
}

struct fault_rule *
faults_find(struct faults *f, uint64_t id)
{
	LIST_FOREACH(l, &f->rules)
	{
		struct fault_rule *r = CONTAINER_OF(l, struct fault_rule, link);

		if (r->id == id)
			return r;
	}
	return NULL;
}

/* --- the admin port --- */

/* Copies a member into a field of that size; false when it is no text or too long. */
static bool
take_text(yajl_val rule, const char *name, char *out, size_t size)
{
	const char *s = "";

	if (!body_text(rule, name, &s) || strlen(s) >= size)
		return false;
	snprintf(out, size, "%s", s);
	return true;
}

static bool
take_copy(yajl_val rule, const char *name, char **out)
{
	const char *s = NULL;

	if (!body_text(rule, name, &s))
		return false;
	if (s == NULL)
		return true;
	*out = alloc_text(s);
	return *out != NULL;
}

static bool
take_headers(yajl_val headers, struct fault_rule *r)
{
	if (headers == NULL)
		return true;
	if (!YAJL_IS_OBJECT(headers) || headers->u.object.len > FAULT_HEADERS_MAX)
		return false;
	for (size_t i = 0; i < headers->u.object.len; i++) {
		const char *value = YAJL_GET_STRING(headers->u.object.values[i]);
		const char *name = headers->u.object.keys[i];

		if (value == NULL || strpbrk(value, "\r\n") != NULL || name[0] == '\0' ||
		    strpbrk(name, ": \r\n") != NULL)
			return false;
		r->headers[i].name = alloc_text(name);
		r->headers[i].value = alloc_text(value);
		if (r->headers[i].name == NULL || r->headers[i].value == NULL)
			return false;
	}
	return true;
}

static bool
take_end(yajl_val rule, struct fault_rule *r)
{
	const char *s = "send";

	if (!body_text(rule, "end", &s))
		return false;
	for (int i = FAULT_SEND; i <= FAULT_HANG; i++) {
		if (strcmp(s, end_names[i]) == 0) {
			r->end = (enum fault_end)i;
			return true;
		}
	}
	return false;
}

/* Which calls it is for, and which of these. */
static bool
take_calls(yajl_val rule, struct fault_rule *r)
{
	r->count = -1;
	return take_text(rule, "method", r->method, sizeof(r->method)) &&
	    take_text(rule, "path", r->path, sizeof(r->path)) &&
	    take_text(rule, "operation", r->operation, sizeof(r->operation)) &&
	    take_text(rule, "port", r->port, sizeof(r->port)) &&
	    body_int(rule, "skip", 0, INT32_MAX, &r->skip) &&
	    body_int(rule, "count", -1, INT32_MAX, &r->count);
}

static bool
take_answer(yajl_val rule, struct fault_rule *r)
{
	return take_end(rule, r) && body_int(rule, "delay-ms", 0, DELAY_MAX_MS, &r->delay_ms) &&
	    body_int(rule, "delay-after-ms", 0, DELAY_MAX_MS, &r->delay_after_ms) &&
	    body_int(rule, "status", 200, 599, &r->status) && take_copy(rule, "body", &r->body) &&
	    take_copy(rule, "content-type", &r->content_type) &&
	    take_headers(body_field(rule, "headers"), r);
}

static bool
read_rule(yajl_val rule, struct fault_rule *r)
{
	static const char fields[] =
	    " method path operation port skip count delay-ms delay-after-ms "
	    "status body content-type headers commit end ";

	if (!body_only(rule, fields) || !take_calls(rule, r) || !take_answer(rule, r))
		return false;
	/* What is said instead of the true answer, or not at all, usually was not done either. */
	r->commit = r->status == 0 && (r->end == FAULT_SEND || r->end == FAULT_TRUNCATE);
	if (!body_bool(rule, "commit", &r->commit))
		return false;
	if (!r->commit && r->status == 0 && (r->end == FAULT_SEND || r->end == FAULT_TRUNCATE))
		return false; /* there would be nothing to send */
	return r->status != 0 || r->end != FAULT_SEND || r->delay_ms > 0 || r->delay_after_ms > 0;
}

enum fail
faults_admin_add(struct exchange *x)
{
	struct faults *f = &x->sim->faults;
	struct fault_rule *r;
	struct json j;

	if (f->rule_count >= RULES_MAX)
		return exchange_fail_at(x, FAIL_INVALID_FIELD, "too many rules");
	r = alloc_zero(sizeof(*r));
	if (r == NULL)
		return FAIL_INTERNAL;
	if (!read_rule(x->json, r)) {
		rule_free(r);
		return FAIL_INVALID_FIELD;
	}
	r->id = ++f->last_id;
	list_append(&f->rules, &r->link);
	f->rule_count++;
	exchange_reply(x, 201, &j);
	json_object(&j, NULL);
	json_int(&j, "id", (int64_t)r->id);
	json_object_end(&j);
	return FAIL_NONE;
}

enum fail
faults_admin_list(struct exchange *x)
{
	struct json j;

	exchange_reply(x, 200, &j);
	json_object(&j, NULL);
	json_array(&j, "rules");
	LIST_FOREACH(l, &x->sim->faults.rules)
	{
		const struct fault_rule *r = CONTAINER_OF(l, struct fault_rule, link);

		json_object(&j, NULL);
		json_int(&j, "id", (int64_t)r->id);
		json_text(&j, "method", r->method);
		json_text(&j, "path", r->path);
		json_text(&j, "operation", r->operation);
		json_text(&j, "port", r->port);
		json_int(&j, "skip", r->skip);
		json_int(&j, "count", r->count);
		json_int(&j, "delay-ms", r->delay_ms);
		json_int(&j, "delay-after-ms", r->delay_after_ms);
		json_int(&j, "status", r->status);
		json_bool(&j, "commit", r->commit);
		json_text(&j, "end", end_names[r->end]);
		json_int(&j, "hits", (int64_t)r->hits);
		json_object_end(&j);
	}
	json_array_end(&j);
	json_object_end(&j);
	return FAIL_NONE;
}

enum fail
faults_admin_clear(struct exchange *x)
{
	http_release(x->sim);
	faults_clear(&x->sim->faults);
	exchange_reply_empty(x, 204);
	return FAIL_NONE;
}
