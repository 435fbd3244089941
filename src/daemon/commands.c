/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of the control socket. */
#include "daemon.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/secret.h"
#include "kmip/names.h"

#include "commands.h"
#include "gauges.h"
#include "health.h"
#include "keys_select.h"
#include "version.h"

static struct keyferryd *
daemon_of(struct control_call *call)
{
	return call->user;
}

static void
run_status(struct control_call *call)
{
	struct keyferryd *d = daemon_of(call);
	struct json j;

	json_init(&j, &call->out);
	json_object(&j, NULL);
	json_text(&j, "version", KEYFERRY_VERSION);
	json_int(&j, "pid", getpid());
	json_int(&j, "storage-pid", store_pid(d->store));
	json_int(&j, "storage-reader-pid", store_reader_pid(d->store));
	json_int(&j, "uptime-seconds", (clock_now() - d->started) / NS_PER_S);
	json_text(&j, "configuration", d->config->path);
	json_bool(&j, "draining", gate_draining(d->gate));
	json_int(&j, "tenants", (int64_t)tenants_count(gate_tenants(d->gate)));
	json_array(&j, "listening");
	for (size_t i = 0; i < d->listeners_count; i++)
		json_text(&j, NULL, listener_address(d->listeners[i]));
	json_array_end(&j);
	json_int(&j, "secure-heap-size", (int64_t)secret_heap_size());
	json_int(&j, "secure-heap-used", (int64_t)secret_heap_used());
	json_bool(&j, "secure-heap-locked", d->heap_locked);
	gauges_refresh(d);
	json_object(&j, "counters");
	for (int m = 0; m < METRIC_COUNT; m++)
		if (metric_is_plain((enum metric)m))
			json_int(&j, metric_info((enum metric)m)->name, metric_get((enum metric)m));
	json_object_end(&j);
	json_object_end(&j);
	control_done(call, ERR_OK, NULL);
}

static void
run_health(struct control_call *call)
{
	struct json j;

	json_init(&j, &call->out);
	health_put(&j, NULL, daemon_of(call));
	control_done(call, ERR_OK, NULL);
}

static void
put_limit(struct json *j, const struct limit *l)
{
	struct limit_state s;

	limit_tell(l, &s);
	json_int(j, "sessions", (int64_t)s.sessions);
	json_int(j, "sessions-max", (int64_t)s.settings.sessions_max);
	json_int(j, "sessions-refused", (int64_t)s.sessions_refused);
	json_int(j, "request-rate-max", (int64_t)s.settings.request_rate_max);
	json_int(j, "requests-waiting", (int64_t)s.waiting);
	json_int(j, "requests-delayed", (int64_t)s.requests_delayed);
}

static void
run_tenants(struct control_call *call)
{
	struct tenants *ts = gate_tenants(daemon_of(call)->gate);
	const struct tenant *t;
	struct json j;

	json_init(&j, &call->out);
	json_array(&j, NULL);
	for (size_t i = 0; (t = tenants_at(ts, i)) != NULL; i++) {
		json_object(&j, NULL);
		json_text(&j, "id", t->id);
		json_text(&j, "vault", t->vault->ops->name);
		json_text(&j, "ledger", t->ledger->ops->name);
		json_bool(&j, "born-active", t->born_active);
		json_time(&j, "accept-expired-until", t->accept_expired_until);
		put_limit(&j, t->limit);
		json_object_end(&j);
	}
	json_array_end(&j);
	control_done(call, ERR_OK, NULL);
}

struct reload_call {
	struct wait wait;
	struct control_call *call;
};

static void
reloaded(struct wait *w, enum err e)
{
	struct reload_call *r = CONTAINER_OF(w, struct reload_call, wait);
	struct control_call *call = r->call;
	const struct buf *why = &daemon_of(call)->reload.why;
	struct json j;
	char text[1024];

	alloc_free(r);
	if (e == ERR_OK) {
		json_init(&j, &call->out);
		json_object(&j, NULL);
		json_text(&j, "reload", "done");
		json_bytes(&j, "note", why->data, why->len);
		json_object_end(&j);
	}
	snprintf(text, sizeof(text), "nothing changed: %.*s", (int)why->len,
	    why->data != NULL ? (const char *)why->data : "");
	control_done(call, e, e != ERR_OK ? text : NULL);
}

static void
run_reload(struct control_call *call)
{
	struct reload_call *r = alloc_zero(sizeof(*r));

	if (r == NULL) {
		control_done(call, ERR_NO_MEMORY, NULL);
		return;
	}
	r->wait.done = reloaded;
	r->call = call;
	daemon_reload(daemon_of(call), &r->wait);
}

static void
run_drain(struct control_call *call)
{
	daemon_stop(daemon_of(call), "drain");
	control_done(call, ERR_OK, NULL);
}

static void
run_log_level(struct control_call *call)
{
	const char *word = control_word(call, 0);
	enum log_level level = log_get_level();
	struct json j;

	if (word != NULL && !log_parse_level(word, &level)) {
		control_done(call, ERR_INVALID_FIELD, "a level is error, warn, notice, info or debug");
		return;
	}
	log_set_level(level);
	json_init(&j, &call->out);
	json_object(&j, NULL);
	json_text(&j, "log-level", log_level_name(level));
	json_object_end(&j);
	control_done(call, ERR_OK, NULL);
}

const struct control_command daemon_commands[] = {
    {"status", "", "version, uptime, secure heap and all counters", CONTROL_LOOKS, run_status},
    {"health", "", "what is good and what is not, in plain words", CONTROL_LOOKS, run_health},
    {"sessions", "", "the sessions that are open", CONTROL_LOOKS, sessions_list_run},
    {"sessions close", "ID | tenant=ID | sha256=DIGEST", "closes sessions, after their requests",
	CONTROL_STEERS, sessions_close_run},
    {"top", "[once=yes]", "what is going on, again each second", CONTROL_LOOKS, top_run},
    {"tenants", "", "the tenants that are configured", CONTROL_LOOKS, run_tenants},
    {"keys list", "[tenant=ID]" SELECT_USAGE " [max=N] [offset=N]",
	"objects, newest first", CONTROL_LOOKS, keys_list_run},
    {"keys show", "UID [tenant=ID]", "all attributes of one object", CONTROL_LOOKS, keys_show_run},
    {"keys rebuild", "[tenant=ID]", "takes over into the ledger all that the key manager has",
	CONTROL_CHANGES, keys_rebuild_run},
    {"keys rewrap", "[tenant=ID]", "wraps all keys under the newest version of the root key",
	CONTROL_CHANGES, keys_rewrap_run},
    {"keys purge", "[tenant=ID]" SELECT_USAGE " [max=N] [really=yes] [force=yes] [missing=yes]",
	"shows which keys would be destroyed, or destroys them", CONTROL_CHANGES, keys_purge_run},
    {"backup", "DIRECTORY", "copies ledger and vault into an empty directory",
	CONTROL_CHANGES, backup_run},
    {"cache list", "[TENANT]", "keys in memory, the last used first",
	CONTROL_LOOKS, cache_list_run},
    {"cache flush", "[TENANT]", "wipes keys from memory", CONTROL_CHANGES, cache_flush_run},
    {"trust show", "", "the server certificates, as vCenter shows them",
	CONTROL_LOOKS, trust_show_run},
    {"trust list", "[tenant=ID]", "the clients that are trusted", CONTROL_LOOKS, trust_list_run},
    {"trust pending", "", "refused certificates whose owner was there",
	CONTROL_LOOKS, trust_pending_run},
    {"trust add", "TENANT der=BASE64 [read-only=yes]", "trusts a certificate from now on",
	CONTROL_CHANGES, trust_add_run},
    {"trust accept", "SHA256 TENANT [read-only=yes]", "trusts a pending certificate",
	CONTROL_CHANGES, trust_accept_run},
    {"trust remove", "SHA256", "ends the trust in an accepted certificate",
	CONTROL_CHANGES, trust_remove_run},
    {"reload", "", "reads the configuration and the files that it names again",
	CONTROL_STEERS, run_reload},
    {"drain", "", "stops accepting, lets requests end, then ends the daemon",
	CONTROL_STEERS, run_drain},
    {"log-level", "[LEVEL]", "shows or sets how much is logged", CONTROL_STEERS, run_log_level},
    {NULL, NULL, NULL, CONTROL_LOOKS, NULL},
};
