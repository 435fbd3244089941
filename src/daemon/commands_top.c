/* SPDX-License-Identifier: Apache-2.0 */
/* The control command `top': what is going on, again each second for as long as somebody looks. */
#include "commands.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/metric.h"
#include "keys/custody.h"

#include "daemon.h"
#include "gauges.h"
#include "version.h"

enum { CUSTODY_STATES = CUSTODY_WITHDRAWN + 1 };
#define PERIOD NS_PER_S

struct top {
	struct list link; /* of the daemon's */
	struct control_call *call;
	struct timer again;
};

static void
put_operations(struct json *j)
{
	json_array(j, "operations");
	for (unsigned op = 0; op < label_count(LABELS_OPERATION); op++) {
		int64_t ok = metric_get_by(METRIC_OPERATIONS_TOTAL, op, ERR_OK), failed = 0;

		for (unsigned e = ERR_OK + 1; e < label_count(LABELS_ERROR); e++)
			failed += metric_get_by(METRIC_OPERATIONS_TOTAL, op, e);
		if (ok + failed == 0 || label_text(LABELS_OPERATION, op) == NULL)
			continue;
		json_object(j, NULL);
		json_text(j, "operation", label_text(LABELS_OPERATION, op));
		json_int(j, "ok", ok);
		json_int(j, "failed", failed);
		json_object_end(j);
	}
	json_array_end(j);
}

/* How many tenants have a key manager in each state. */
static void
put_key_managers(struct json *j, const struct tenants *ts)
{
	int64_t counts[CUSTODY_STATES] = {0};
	const struct tenant *t;

	for (size_t i = 0; (t = tenants_at(ts, i)) != NULL; i++)
		if (t->custody != NULL)
			counts[custody_state_for(t->custody, t->cache_terms.ride_out_ns)]++;
	json_object(j, "key-managers");
	for (int s = 0; s < CUSTODY_STATES; s++)
		if (counts[s] > 0)
			json_int(j, custody_state_name((enum custody_state)s), counts[s]);
	json_object_end(j);
}

static void
put_all(struct keyferryd *d, struct buf *out)
{
	static const struct {
		const char *key;
		enum metric metric;
	} numbers[] = {{"sessions", METRIC_SESSIONS}, {"sessions-limit", METRIC_SESSIONS_LIMIT},
	    {"handshakes", METRIC_HANDSHAKES}, {"requests", METRIC_REQUESTS},
	    {"cache-keys", METRIC_CACHE_KEYS}, {"cache-hits", METRIC_CACHE_HITS_TOTAL},
	    {"cache-misses", METRIC_CACHE_MISSES_TOTAL}, {"storage-up", METRIC_STORE_UP},
	    {"storage-waiting", METRIC_STORE_CALLS}, {"storage-commits", METRIC_STORE_COMMITS_TOTAL},
	    {"storage-restarts", METRIC_STORE_RESTARTS_TOTAL},
	    {"integrity-alarms", METRIC_INTEGRITY_ALARM_KEYS}};
	struct json j;

	gauges_refresh(d);
	json_init(&j, out);
	json_object(&j, NULL);
	json_text(&j, "version", KEYFERRY_VERSION);
	json_int(&j, "uptime-ms", (clock_now() - d->started) / NS_PER_MS);
	json_bool(&j, "draining", gate_draining(d->gate));
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		json_int(&j, numbers[i].key, metric_get(numbers[i].metric));
	json_int(&j, "loop-lag-us", metric_get(METRIC_LOOP_LAG_WORST_SECONDS) / 1000);
	put_key_managers(&j, gate_tenants(d->gate));
	put_operations(&j);
	json_object_end(&j);
}

static void
end(struct top *t, enum err e)
{
	struct keyferryd *d = t->call->user;

	timer_clear(d->loop, &t->again);
	list_remove(&t->link);
	control_done(t->call, e, NULL);
	alloc_free(t);
}

static void
show(struct timer *timer)
{
	struct top *t = CONTAINER_OF(timer, struct top, again);
	struct keyferryd *d = t->call->user;

	put_all(d, &t->call->out);
	if (buf_error(&t->call->out) != ERR_OK || !control_flush(t->call))
		end(t, ERR_OK); /* it has to say that this did not fit, or nobody looks any more */
	else
		timer_set(d->loop, &t->again, clock_now() + PERIOD);
}

void
top_stop(struct keyferryd *d)
{
	LIST_FOREACH_SAFE(l, next, &d->tops)
		end(CONTAINER_OF(l, struct top, link), ERR_CANCELLED);
}

void
top_run(struct control_call *call)
{
	struct keyferryd *d = call->user;
	struct top *t;

	if (control_flag(call, "once")) {
		put_all(d, &call->out);
		control_done(call, ERR_OK, NULL);
		return;
	}
	t = alloc_zero(sizeof(*t));
	if (t == NULL) {
		control_done(call, ERR_NO_MEMORY, NULL);
		return;
	}
	t->call = call;
	t->again.fn = show;
	list_append(&d->tops, &t->link);
	show(&t->again);
}
