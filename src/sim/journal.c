/* SPDX-License-Identifier: Apache-2.0 */
/* What was asked and answered. */
#include "journal.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include <event2/http.h>

#include "base/alloc.h"
#include "base/clock.h"

#include "http.h"
#include "route.h"
#include "sim.h"
#include "validate.h"

enum { LIST_MAX = 10000 };

bool
journal_init(struct journal *j)
{
	j->entries = alloc_array(JOURNAL_MAX, sizeof(*j->entries));
	return j->entries != NULL;
}

void
journal_fini(struct journal *j)
{
	alloc_free(j->entries);
}

static const char *
operation_of(const struct exchange *x)
{
	return x->route != NULL ? x->route->operation : "unknown";
}

static struct journal_count *
count_of(struct journal *j, const char *operation)
{
	for (size_t i = 0; i < JOURNAL_OPERATIONS; i++) {
		if (j->counts[i].operation == NULL)
			j->counts[i].operation = operation;
		if (strcmp(j->counts[i].operation, operation) == 0)
			return &j->counts[i];
	}
	return &j->counts[JOURNAL_OPERATIONS - 1];
}

void
journal_begin(struct journal *j, struct exchange *x)
{
	struct journal_count *c;
	struct journal_entry *e;
	struct evhttp_connection *conn = evhttp_request_get_connection(x->http);
	const char *instance = exchange_header(x, "Bluemix-Instance");
	char *peer = NULL;

	if (x->port->which == PORT_ADMIN)
		return;
	x->seq = ++j->last_seq;
	e = &j->entries[x->seq % JOURNAL_MAX];
	*e = (struct journal_entry){.seq = x->seq,
	    .arrived_ms = clock_wall_ms(),
	    .port = http_port_name(x->port->which),
	    .operation = operation_of(x),
	    .bytes_in = (int64_t)x->body_len};
	snprintf(e->method, sizeof(e->method), "%s", x->method);
	snprintf(e->path, sizeof(e->path), "%s", x->path);
	if (instance != NULL && validate_uuid(instance))
		snprintf(e->instance, sizeof(e->instance), "%s", instance);
	if (conn != NULL)
		evhttp_connection_get_peer(conn, &peer, &e->peer_port);
	c = count_of(j, e->operation);
	c->calls++;
	if (++c->under_way > c->under_way_max)
		c->under_way_max = c->under_way;
}

void
journal_end(struct journal *j, const struct exchange *x, int status)
{
	struct journal_count *c;
	struct journal_entry *e;

	if (x->seq == 0)
		return;
	c = count_of(j, operation_of(x));
	c->under_way--;
	if (x->seq > j->cleared_seq && (status < 200 || status >= 400))
		c->failed++;
	e = &j->entries[x->seq % JOURNAL_MAX];
	if (e->seq != x->seq)
		return; /* a newer one has its place */
	e->took_ms = (clock_now() - x->arrived) / NS_PER_MS;
	e->status = status;
	e->fault = x->fault_id;
	e->committed = x->committed;
	e->bytes_out = (int64_t)x->out.len;
	snprintf(e->correlation, sizeof(e->correlation), "%s", x->correlation);
	if (x->who != NULL)
		snprintf(e->subject, sizeof(e->subject), "%s", x->who->subject);
}

/* --- the admin port --- */

static void
put_entry(struct json *j, const struct journal_entry *e)
{
	json_object(j, NULL);
	json_int(j, "seq", (int64_t)e->seq);
	json_int(j, "arrived-ms", e->arrived_ms);
	json_int(j, "took-ms", e->took_ms);
	json_text(j, "port", e->port);
	json_text(j, "method", e->method);
	json_text(j, "path", e->path);
	json_text(j, "operation", e->operation);
	json_int(j, "status", e->status);
	json_bool(j, "committed", e->committed);
	json_int(j, "fault", (int64_t)e->fault);
	json_text(j, "instance", e->instance);
	json_text(j, "subject", e->subject);
	json_text(j, "correlation-id", e->correlation);
	json_int(j, "peer-port", e->peer_port);
	json_int(j, "bytes-in", e->bytes_in);
	json_int(j, "bytes-out", e->bytes_out);
	json_object_end(j);
}

enum fail
journal_admin_list(struct exchange *x)
{
	const struct journal *journal = &x->sim->journal;
	const char *since = exchange_query(x, "since"), *limit = exchange_query(x, "limit");
	const char *operation = exchange_query(x, "operation");
	uint64_t oldest =
	    journal->last_seq >= JOURNAL_MAX ? journal->last_seq - JOURNAL_MAX + 1 : 1;
	int64_t from = 0, left = LIST_MAX;
	struct json j;

	if (!exchange_query_only(x, " since limit operation ") ||
	    (since != NULL && !validate_number(since, 0, INT64_MAX, &from)) ||
	    (limit != NULL && !validate_number(limit, 1, LIST_MAX, &left)))
		return FAIL_INVALID_QUERY;
	if (oldest <= journal->cleared_seq)
		oldest = journal->cleared_seq + 1;
	if (oldest <= (uint64_t)from)
		oldest = (uint64_t)from + 1;
	exchange_reply(x, 200, &j);
	json_object(&j, NULL);
	json_int(&j, "last-seq", (int64_t)journal->last_seq);
	json_array(&j, "entries");
	for (uint64_t seq = oldest; seq <= journal->last_seq && left > 0; seq++) {
		const struct journal_entry *e = &journal->entries[seq % JOURNAL_MAX];

		if (operation != NULL && fnmatch(operation, e->operation, 0) != 0)
			continue;
		put_entry(&j, e);
		left--;
	}
	json_array_end(&j);
	json_object_end(&j);
	return FAIL_NONE;
}

enum fail
journal_admin_counts(struct exchange *x)
{
	struct json j;

	exchange_reply(x, 200, &j);
	json_object(&j, NULL);
	json_object(&j, "operations");
	for (size_t i = 0; i < JOURNAL_OPERATIONS; i++) {
		const struct journal_count *c = &x->sim->journal.counts[i];

		if (c->operation == NULL)
			break;
		json_object(&j, c->operation);
		json_int(&j, "calls", c->calls);
		json_int(&j, "failed", c->failed);
		json_int(&j, "under-way", c->under_way);
		json_int(&j, "under-way-max", c->under_way_max);
		json_object_end(&j);
	}
	json_object_end(&j);
	json_object_end(&j);
	return FAIL_NONE;
}

enum fail
journal_admin_clear(struct exchange *x)
{
	struct journal *j = &x->sim->journal;

	j->cleared_seq = j->last_seq;
	for (size_t i = 0; i < JOURNAL_OPERATIONS; i++) {
		j->counts[i].calls = j->counts[i].failed = 0;
		j->counts[i].under_way_max = j->counts[i].under_way;
	}
	exchange_reply_empty(x, 204);
	return FAIL_NONE;
}
