/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's life: the order of starting and stopping, nothing else. */
#include "daemon.h"

#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/secret.h"
#include "net/tls.h"

#include "confine.h"
#include "manager.h"
#include "notify.h"
#include "priv.h"
#include "recovery.h"
#include "rootlook.h"
#include "stats.h"
#include "version.h"
#include "warmup.h"

enum { LAST_TURNS = 1000 };
#define STORE_TIMEOUT (20 * NS_PER_S)
#define CONTROL_TIMEOUT (60 * NS_PER_S)

/* --- children: this program again, so that each starts with a memory of its own --- */

static pid_t
spawn(char *const argv[], int fd)
{
	posix_spawn_file_actions_t actions;
	pid_t pid = -1;

	if (posix_spawn_file_actions_init(&actions) != 0)
		return -1;
	if (posix_spawn_file_actions_adddup2(&actions, fd, DAEMON_CHILD_FD) != 0 ||
	    posix_spawn(&pid, "/proc/self/exe", &actions, NULL, argv, environ) != 0)
		pid = -1;
	posix_spawn_file_actions_destroy(&actions);
	return pid;
}

static pid_t
spawn_store(void *arg, int fd, enum store_part part)
{
	const struct keyferryd *d = arg;
	char name[] = "keyferryd", writer[] = DAEMON_STORAGE_CHILD, reader[] = DAEMON_STORAGE_READER;
	char again[] = DAEMON_STORAGE_AGAIN, confined[] = DAEMON_CONFINED;
	char *flags[] = {[STORE_WRITER] = writer, [STORE_READER] = reader, [STORE_WRITER_AGAIN] = again};

	return spawn((char *[]){name, flags[part], d->state_dir, d->confined ? confined : NULL, NULL}, fd);
}

static pid_t
spawn_audit(void *arg, int fd)
{
	const struct keyferryd *d = arg;
	char name[] = "keyferryd", flag[] = DAEMON_AUDIT_CHILD, confined[] = DAEMON_CONFINED;

	return spawn((char *[]){name, flag, d->confined ? confined : NULL, NULL}, fd);
}

static void
on_store_event(void *arg, const char *what, int64_t number, const char *why)
{
	struct keyferryd *d = arg;

	if (strcmp(what, "copying") == 0) {
		backup_progress(d, number);
		return;
	}
	if (strcmp(what, "migrating") == 0) {
		manager_wait(number == 1);
		return;
	}
	if (strcmp(what, "failing") == 0) {
		LOG(LOG_ERROR, "store", "changes cannot be kept",
		    kv_text("why", err_text((enum err)number)));
		return;
	}
	if (strcmp(what, "writing") == 0) {
		LOG(LOG_NOTICE, "store", "changes are kept again");
		return;
	}
	if (strcmp(what, "made") == 0) {
		LOG(LOG_NOTICE, "store", "there was no ledger: a new one was made, without keys",
		    kv_text("directory", d->state_dir));
		return;
	}
	if (why[0] != '\0') {
		LOG(LOG_WARN, "store", what, kv_text("error", err_name((enum err)number)), kv_text("why", why));
		return;
	}
	LOG(LOG_WARN, "store", what, kv_int("number", number));
	if (strcmp(what, "restarted") == 0 || strcmp(what, "orphaned") == 0) {
		if (metric_get(METRIC_CHANGES_IN_DOUBT) == 0)
			metric_set(METRIC_CHANGES_IN_DOUBT, 1); /* how many, recovery will see */
		loop_defer(d->loop, &d->recover_soon);
	}
}

/* --- stopping and signals --- */

static void
leave(void *arg)
{
	struct keyferryd *d = arg;

	loop_stop(d->loop);
}

static void
on_drain_deadline(struct timer *t)
{
	struct keyferryd *d = CONTAINER_OF(t, struct keyferryd, drain_deadline);

	LOG(LOG_WARN, "daemon", "drain-timeout has passed, leaving",
	    kv_int("sessions", metric_get(METRIC_SESSIONS)));
	loop_stop(d->loop);
}

void
daemon_stop(struct keyferryd *d, const char *why)
{
	if (d->stopping)
		return;
	d->stopping = true;
	LOG(LOG_NOTICE, "daemon", "stopping", kv_text("why", why),
	    kv_int("sessions", metric_get(METRIC_SESSIONS)));
	manager_stopping(d);
	manager_stop(d);
	timer_set(d->loop, &d->drain_deadline, clock_now() + d->config->drain_timeout_ns);
	gate_drain(d->gate, leave, d);
}

/* How it ended the log has told. */
static void
reload_over(struct wait *w, enum err e)
{
	(void)w, (void)e;
	notify("READY=1");
}

static void
on_signal(evutil_socket_t sig, short what, void *arg)
{
	struct keyferryd *d = arg;

	(void)what;
	if (sig == SIGHUP && d->gate == NULL)
		return; /* only the audit log is waited for any more */
	if (sig == SIGHUP) {
		notify("RELOADING=1");
		wait_cancel(&d->asked_to_reload);
		d->asked_to_reload.done = reload_over;
		daemon_reload(d, &d->asked_to_reload);
	} else if (d->stopping) {
		loop_stop(d->loop); /* asked twice */
	} else {
		daemon_stop(d, sig == SIGTERM ? "SIGTERM" : "SIGINT");
	}
}

static enum err
watch_signals(struct keyferryd *d)
{
	static const int signals[] = {SIGHUP, SIGTERM, SIGINT};

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		d->signals[i] = evsignal_new(loop_base(d->loop), signals[i], on_signal, d);
		if (d->signals[i] == NULL || event_add(d->signals[i], NULL) != 0)
			return ERR_NO_MEMORY;
	}
	priv_hold_reload(false);
	return ERR_OK;
}

/* --- commands --- */

static enum err
may_run(void *user, const struct control_command *command)
{
	const struct keyferryd *d = user;

	if (command->kind != CONTROL_CHANGES || !audit_refuses(d->audit))
		return ERR_OK;
	metric_inc(METRIC_AUDIT_REFUSED_TOTAL);
	return ERR_AUDIT;
}

static void
on_command_ended(void *user, const struct control_call *call, long uid, long pid, enum err e)
{
	const struct keyferryd *d = user;
	const struct audit_command line = {call->argv, call->argc, uid, pid, e};

	audit_command(d->audit, &line);
}

/* --- starting --- */

static enum err
start_store(struct keyferryd *d, struct buf *why)
{
	struct store_params p = {
	    .spawn = spawn_store,
	    .arg = d,
	    .call_timeout_ns = STORE_TIMEOUT,
	    .event = on_store_event,
	};
	const char *sentence = "";
	enum err e;

	p.state_dir = d->state_dir = alloc_text(d->config->state_dir);
	if (d->state_dir == NULL)
		return ERR_NO_MEMORY;
	e = store_open(&d->store, d->loop, &p, &sentence);
	if (e != ERR_OK) {
		buf_printf(why, "%s: %s", d->config->state_dir,
		    sentence[0] != '\0' ? sentence : err_text(e));
		return e;
	}
	d->ledger = ledger_sqlite_new(d->store);
	return d->ledger != NULL ? ERR_OK : ERR_NO_MEMORY;
}

static enum err
start_heap(struct keyferryd *d, struct buf *why)
{
	enum err e = secret_heap_init(d->config->secure_heap_size, d->config->allow_unlocked_heap,
	    &d->heap_locked);

	if (e != ERR_OK)
		buf_printf(why,
		    "cannot lock %zu bytes of memory for keys: raise RLIMIT_MEMLOCK (ulimit -l, "
		    "LimitMEMLOCK=), lower secure-heap-size, or set allow-unlocked-heap if keys may "
		    "reach the swap device",
		    d->config->secure_heap_size);
	else if (!d->heap_locked)
		LOG(LOG_WARN, "daemon", "memory for keys is not locked and may be swapped out");
	return e;
}

static enum err
start_control(struct keyferryd *d, struct buf *why)
{
	const struct control_params p = {
	    .path = d->config->control_socket,
	    .mode = d->config->control_socket_mode,
	    .commands = daemon_commands,
	    .more = daemon_test_commands,
	    .user = d,
	    .may = may_run,
	    .ended = on_command_ended,
	    .timeout_ns = CONTROL_TIMEOUT,
	};
	const char *sentence = "";
	enum err e = control_new(&d->control, d->loop, &p, &sentence);

	if (e != ERR_OK)
		buf_printf(why, "%s: %s", p.path, sentence);
	return e;
}

static enum err
start_gate(struct keyferryd *d, struct buf *why)
{
	const struct gate_params p = {
	    .loop = d->loop,
	    .may_accept = manager_may_accept,
	    .waiting = manager_waiting,
	    .arg = d,
	    .server_name = "keyferry " KEYFERRY_VERSION,
	    .audit = d->audit,
	};
	size_t closed;
	enum err e;

	if (d->audit == NULL)
		return ERR_NO_MEMORY;
	d->gate = gate_new(&p);
	e = d->gate != NULL ? daemon_apply(d, d->config, why, &closed) : ERR_NO_MEMORY;
	if (e == ERR_OK)
		daemon_mark_kinds(d);
	return e;
}

/* The storage children are started first, while there is nothing secret in this process. */
static enum err
start(struct keyferryd *d, struct buf *why)
{
	enum err e;

	d->started = clock_now();
	d->started_wall = clock_wall();
	d->sessions_ceiling = priv_sessions_allowed();
	d->drain_deadline.fn = on_drain_deadline;
	recovery_init(d);
	d->loop = loop_new();
	if (d->loop != NULL)
		d->lookups = lookups_new(d->loop);
	e = d->lookups != NULL ? start_store(d, why) : ERR_NO_MEMORY;
	if (e == ERR_OK)
		e = start_heap(d, why);
	if (e == ERR_OK)
		e = tls_prepare();
	if (e == ERR_OK) {
		/* of what may be kept, some is for root keys, tokens and the keys of tickets */
		d->cache = cache_new(d->loop, secret_heap_size() / 16 * 7);
		d->alarms = alarms_new();
		d->uses = uses_new(d->loop, d->ledger);
		e = d->cache != NULL && d->alarms != NULL && d->uses != NULL ? ERR_OK : ERR_NO_MEMORY;
	}
	if (e == ERR_OK)
		d->audit = audit_new(
		    &(struct audit_params){.loop = d->loop, .spawn = spawn_audit, .arg = d});
	if (e == ERR_OK)
		e = start_gate(d, why);
	if (e == ERR_OK)
		e = start_control(d, why);
	if (e == ERR_OK)
		e = stats_new(&d->stats, d, why);
	if (e == ERR_OK)
		e = watch_signals(d);
	if (e == ERR_OK)
		e = manager_listen(d, why);
	if (e == ERR_OK) {
		loop_watch_lag(d->loop);
		recovery_run(d);
		warmup_start(d);
		rootlook_start(d);
		manager_ready(d);
	}
	return e;
}

/* A second signal ends this wait as well. */
static void
finish_audit(struct keyferryd *d)
{
	if (d->audit == NULL)
		return;
	timer_clear(d->loop, &d->drain_deadline);
	timer_clear(d->loop, &d->recover_again);
	timer_clear(d->loop, &d->watchdog);
	audit_drain(d->audit, leave, d);
	loop_run(d->loop);
	audit_free(d->audit);
}

static void
uses_written(struct wait *w, enum err e)
{
	(void)w, (void)e; /* what is lost was told */
}

/* Last uses that wait for their hour. */
static void
write_uses(struct keyferryd *d)
{
	struct wait w = {.done = uses_written};

	if (d->uses == NULL)
		return;
	uses_flush(d->uses, &w);
	for (int i = 0; i < LAST_TURNS && wait_pending(&w); i++)
		loop_turn(d->loop, true); /* calls to the child have deadlines */
	wait_cancel(&w);
}

static void
stop(struct keyferryd *d)
{
	d->stopping = true; /* after a start that failed, too: a signal finds nothing to drain any more */
	stats_free(d->stats);
	control_free(d->control);
	for (size_t i = 0; i < d->listeners_count; i++)
		listener_free(d->listeners[i]);
	daemon_reload_stop(d);
	timer_clear(d->loop, &d->expiry); /* it looks at the gate's tenants, and a reload sets it */
	recovery_stop(d);
	walk_stop(d);
	trust_stop(d);
	purge_stop(d);
	top_stop(d);
	warmup_stop(d);
	rootlook_stop(d);
	gate_free(d->gate);
	d->gate = NULL;
	upstream_shut(d->upstream);
	if (d->loop != NULL)
		loop_turn(d->loop, false); /* commands that waited for it are told */
	write_uses(d);
	/* requests that the gate abandoned with a change under way come to their end */
	store_shut(d->store);
	for (int i = 0; i < LAST_TURNS && metric_get(METRIC_REQUESTS) > 0; i++)
		loop_turn(d->loop, false);
	lookups_free(d->lookups);
	cache_free(d->cache);
	alarms_free(d->alarms);
	uses_free(d->uses);
	store_close(d->store);
	if (d->ledger != NULL)
		d->ledger->ops->free(d->ledger);
	upstream_free(d->upstream);
	finish_audit(d);
	alloc_free(d->state_dir);
	for (size_t i = 0; i < sizeof(d->signals) / sizeof(d->signals[0]); i++)
		if (d->signals[i] != NULL)
			event_free(d->signals[i]);
	loop_free(d->loop);
}

int
daemon_run(const struct config *config, bool background)
{
	struct keyferryd d = {.config = config, .confined = config->seccomp};
	struct buf why;
	enum err e = background ? priv_background() : ERR_OK;

	list_init(&d.tops);
	list_init(&d.reload.waits);
	buf_init(&why, 8192);
	list_init(&d.trust_changes);
	log_set_level(config->log_level);
	manager_take(&d);
	if (e == ERR_OK)
		e = alloc_libcrypto();
	if (e == ERR_OK && d.confined)
		e = confine(&why);
	if (e == ERR_OK)
		e = start(&d, &why);
	if (e != ERR_OK) {
		if (why.len == 0)
			buf_printf(&why, "%s", err_text(e));
		LOG(LOG_ERROR, "daemon", "cannot start", kv_bytes("why", why.data, (int64_t)why.len));
	} else {
		priv_ready();
		loop_run(d.loop);
		LOG(LOG_NOTICE, "daemon", "stopped");
	}
	buf_fini(&why);
	stop(&d);
	config_unref(d.config);
	return e == ERR_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
