/* SPDX-License-Identifier: Apache-2.0 */
/* From method and path to the handler. */
#include "route.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"

#include "body.h"
#include "faults.h"
#include "handlers.h"
#include "iam.h"
#include "journal.h"
#include "sim.h"
#include "validate.h"

static const struct route routes[] = {
#define ROUTE(method, pattern, operation, right, flags, what, run)                                 \
	{method, pattern, operation, RIGHT_##right, flags, what, run},
#include "route.def"
#undef ROUTE
};

static bool
segment_matches(const char *segment, const char *pattern, size_t len)
{
	if (len == 1 && *pattern == '*')
		return *segment != '\0';
	return strlen(segment) == len && strncmp(pattern, segment, len) == 0;
}

/* True when the path has this form; in the table literal segments come before `*`. */
static bool
path_matches(const struct exchange *x, const char *pattern)
{
	for (size_t i = 0; i < x->segments; i++) {
		size_t len;

		if (*pattern++ != '/')
			return false;
		len = strcspn(pattern, "/");
		if (!segment_matches(x->segment[i], pattern, len))
			return false;
		pattern += len;
	}
	return *pattern == '\0';
}

/* The older form of an action: POST /api/v2/keys/<id>?action=wrap. */
static void
modernize(struct exchange *x)
{
	static char actions[] = "actions";
	const char *action = exchange_query(x, "action");
	char *copy;

	if (action == NULL || x->segments != 4 || strcmp(x->method, "POST") != 0 ||
	    !path_matches(x, "/api/v2/keys/*"))
		return;
	copy = arena_text(x->arena, action, strlen(action));
	if (copy == NULL)
		return;
	x->segment[4] = actions;
	x->segment[5] = copy;
	x->segments = 6;
}

void
route_find(struct exchange *x)
{
	bool admin = x->port->which == PORT_ADMIN;

	modernize(x);
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		const struct route *r = &routes[i];

		if (((r->flags & ROUTE_ADMIN) != 0) == admin && strcmp(r->method, x->method) == 0 &&
		    path_matches(x, r->pattern)) {
			x->route = r;
			return;
		}
	}
}

/* Nothing fits: is it the method or the path? */
static enum fail
explain(const struct exchange *x)
{
	bool admin = x->port->which == PORT_ADMIN;

	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++)
		if (((routes[i].flags & ROUTE_ADMIN) != 0) == admin &&
		    path_matches(x, routes[i].pattern))
			return FAIL_METHOD;
	return FAIL_NO_PATH;
}

/* Echoes the caller's correlation id; makes one when there is none. */
static enum fail
correlate(struct exchange *x)
{
	const char *id = exchange_header(x, "Correlation-Id");

	if (id != NULL && !validate_uuid4(id))
		return FAIL_CORRELATION_HEADER;
	if (id != NULL)
		snprintf(x->correlation, sizeof(x->correlation), "%s", id);
	else if (text_uuid4(x->correlation) != ERR_OK)
		return FAIL_INTERNAL;
	exchange_add_header(x, "Correlation-Id", x->correlation);
	return FAIL_NONE;
}

static enum fail
check_headers(struct exchange *x)
{
	const char *id = exchange_header(x, "Bluemix-Instance");
	const char *prefer = exchange_header(x, "Prefer");

	if (id == NULL || !validate_uuid(id))
		return FAIL_INSTANCE_HEADER;
	x->representation = prefer != NULL && strcmp(prefer, "return=representation") == 0;
	x->minimal = prefer != NULL && strcmp(prefer, "return=minimal") == 0;
	if (prefer != NULL && !x->representation && !x->minimal)
		return FAIL_PREFER_HEADER;
	x->ring = exchange_header(x, "X-Kms-Key-Ring");
	if (x->ring != NULL && !validate_ring(x->ring))
		return exchange_fail_at(x, FAIL_INVALID_FIELD, "X-Kms-Key-Ring");
	return FAIL_NONE;
}

/* Token, instance, network and role: 401 for all of them, as IBM has it. */
static enum fail
check_access(struct exchange *x)
{
	enum instance_kind kind = x->port->which == PORT_HPCS ? INSTANCE_HPCS : INSTANCE_KMS;
	const struct policy *network;
	const char *host = exchange_header(x, "Host");

	x->who = iam_authenticate(x);
	if (x->who == NULL)
		return FAIL_UNAUTHORIZED;
	x->inst = instance_find(&x->sim->store, exchange_header(x, "Bluemix-Instance"));
	if (x->inst == NULL || x->inst->kind != kind)
		return FAIL_UNAUTHORIZED;
	network = &x->inst->policies[POLICY_ALLOWED_NETWORK];
	if (network->enabled && network->private_only &&
	    (host == NULL || strncmp(host, "private.", 8) != 0))
		return FAIL_UNAUTHORIZED;
	if (!access_anywhere(x->who, x->inst, x->route->right))
		return FAIL_UNAUTHORIZED;
	return FAIL_NONE;
}

/* The token bucket. */
static enum fail
check_rate(struct exchange *x)
{
	struct instance *inst = x->inst;
	int64_t now = clock_now();
	char *text;

	if (inst->set.rate_per_s == 0)
		return FAIL_NONE;
	inst->tokens +=
	    (double)(now - inst->tokens_at) / (double)NS_PER_S * (double)inst->set.rate_per_s;
	if (inst->tokens > (double)inst->set.rate_burst)
		inst->tokens = (double)inst->set.rate_burst;
	inst->tokens_at = now;
	if (inst->tokens >= 1) {
		inst->tokens--;
		return FAIL_NONE;
	}
	text = arena_zalloc(x->arena, 24);
	if (inst->set.retry_after_s > 0 && text != NULL) {
		snprintf(text, 24, "%lld", (long long)inst->set.retry_after_s);
		exchange_add_header(x, "Retry-After", text);
	}
	return FAIL_RATE;
}

static bool
is_json_type(const char *type)
{
	static const char vendor[] = "application/vnd.ibm.kms.";
	size_t len = type != NULL ? strcspn(type, "; ") : 0;

	if (len == 0)
		return false;
	if (len == 16 && strncmp(type, "application/json", len) == 0)
		return true;
	return len > sizeof(vendor) - 1 + 5 && strncmp(type, vendor, sizeof(vendor) - 1) == 0 &&
	       strncmp(type + len - 5, "+json", 5) == 0;
}

static void
free_json(void *json)
{
	yajl_tree_free(json);
}

static enum fail
read_body(struct exchange *x)
{
	if (x->body_len == 0)
		return FAIL_NONE;
	if ((x->route->flags & ROUTE_JSON) == 0)
		return FAIL_BAD_BODY;
	if ((x->route->flags & ROUTE_KMS) != 0 && !is_json_type(exchange_header(x, "Content-Type")))
		return FAIL_CONTENT_TYPE;
	x->json = body_parse(x->body, x->body_len);
	if (x->json == NULL)
		return FAIL_BAD_BODY;
	if (arena_on_free(x->arena, free_json, x->json) != 0) {
		yajl_tree_free(x->json);
		x->json = NULL;
		return FAIL_INTERNAL;
	}
	return YAJL_IS_OBJECT(x->json) ? FAIL_NONE : FAIL_BAD_BODY;
}

static enum fail
find_key(struct exchange *x)
{
	struct key *k = key_find(&x->sim->store, x->inst, x->segment[3]);
	int64_t lag = x->inst->set.get_lag_ms * NS_PER_MS;

	if (k == NULL || (x->ring != NULL && !key_in_ring(&x->sim->store, k, x->ring)))
		return FAIL_KEY_NOT_FOUND;
	if (lag > 0 && clock_now() - k->born < lag)
		return FAIL_KEY_NOT_FOUND;
	if (!access_allows(x->who, x->inst, k->ring, k->id, x->route->right))
		return FAIL_UNAUTHORIZED;
	x->key = k;
	return FAIL_NONE;
}

static enum fail
prepare_kms(struct exchange *x)
{
	unsigned flags = x->route->flags;
	enum fail f = correlate(x);

	if (f == FAIL_NONE)
		f = check_headers(x);
	if (f == FAIL_NONE)
		f = check_access(x);
	if (f == FAIL_NONE)
		f = check_rate(x);
	if (f == FAIL_NONE)
		f = read_body(x);
	if (f == FAIL_NONE && (flags & ROUTE_KEY) != 0)
		f = find_key(x);
	if (f == FAIL_NONE && (flags & ROUTE_WRITE) != 0 && x->inst->set.read_only)
		f = FAIL_READ_ONLY;
	if (f == FAIL_NONE && (flags & ROUTE_MATERIAL) != 0 && x->inst->set.sealed)
		f = FAIL_SEALED;
	return f;
}

static enum fail
prepare(struct exchange *x)
{
	unsigned flags = x->route->flags;
	enum fail f;

	if ((flags & ROUTE_KMS) != 0)
		return prepare_kms(x);
	if ((flags & ROUTE_TOKEN) != 0) {
		x->who = iam_authenticate(x);
		if (x->who == NULL)
			return FAIL_UNAUTHORIZED;
	}
	f = (flags & (ROUTE_ADMIN | ROUTE_JSON)) != 0 ? read_body(x) : FAIL_NONE;
	return f;
}

void
route_run(struct exchange *x)
{
	enum fail f = x->route == NULL ? explain(x) : prepare(x);

	if (f == FAIL_NONE)
		f = x->route->run(x);
	if (f == FAIL_NONE && buf_error(&x->out) != ERR_OK)
		f = FAIL_INTERNAL;
	if (f != FAIL_NONE)
		exchange_fail(x, f);
	x->committed = f == FAIL_NONE;
}
