/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A run goes through phases: keys are made, sessions opened that stay, then it is measured.  Each
 * client does one operation at a time; what comes after one is decided a turn later, so that
 * nothing ends inside the call that began it.
 */
#include "run.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/alloc.h"
#include "base/clock.h"

enum { OPENING_AT_ONCE = 64 };
#define RETRY_NS                                                                                   \
	(100 * NS_PER_MS) /* after a failure, so that a server which is down is not beaten */

enum phase { MAKING_KEYS, OPENING, MEASURING, OVER };

struct client {
	struct conn conn;
	struct run *run;
	struct list link; /* among those without work */
	struct defer turn;
	struct timer timer; /* of the patience, or of a pause when not busy */
	const enum step *at;
	int64_t due; /* when its operation should have begun */
	bool busy, failed;
	struct script_memory memory;
};

struct run {
	const struct run_options *o;
	struct conn_target *target;
	struct run_result *r;
	run_progress_fn *progress;
	enum phase phase;
	struct client *clients;
	struct list idle;
	unsigned busy, opening, uids_count;
	char (*uids)[SCRIPT_UID_MAX + 1];
	struct timer end, pace, second;
	struct event stop[2];
	bool stopped, broken;
	int64_t began, cpu, memory;
};

static const char too_late[] = "no answer within the patience";
static const char http_request[] = "GET / HTTP/1.1\r\nHost: bench\r\n\r\n";

static void
add_failure(struct run_result *r, const char *why)
{
	unsigned i = 0;

	while (i < r->failures_count && strcmp(r->failures[i].why, why) != 0)
		i++;
	if (i == FAILURES_MAX) {
		i--;
		snprintf(r->failures[i].why, sizeof(r->failures[i].why), "other reasons");
	} else if (i == r->failures_count) {
		r->failures_count++;
		snprintf(r->failures[i].why, sizeof(r->failures[i].why), "%s", why);
	}
	r->failures[i].count++;
}

/* --- the server on this machine --- */

static int64_t
server_cpu(pid_t pid)
{
	struct timespec ts;
	clockid_t id;

	if (pid == 0 || clock_getcpuclockid(pid, &id) != 0 || clock_gettime(id, &ts) != 0)
		return 0;
	return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static int64_t
server_memory(pid_t pid)
{
	char path[64];
	long pages = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%ld/statm", (long)pid);
	f = pid != 0 ? fopen(path, "re") : NULL;
	if (f == NULL)
		return 0;
	if (fscanf(f, "%*d %ld", &pages) != 1)
		pages = 0;
	fclose(f);
	return pages * sysconf(_SC_PAGESIZE);
}

/* --- one operation of one client --- */

/* Its operation is over; what follows is decided in the next turn. */
static void
finish(struct client *c, bool failed)
{
	assert(c->busy);
	timer_clear(c->run->target->loop, &c->timer);
	c->failed = failed;
	loop_defer(c->run->target->loop, &c->turn);
}

static void
fail(struct client *c, const char *why)
{
	struct run *run = c->run;

	add_failure(run->r, why);
	conn_close(&c->conn);
	if (c->busy)
		finish(c, true);
	else if (run->o->mode == MODE_IDLE && run->phase == MEASURING)
		run->r->failed++; /* a session that was to stay */
}

static bool
send_message(struct client *c)
{
	struct ask a;
	bool sent;

	if (c->run->o->http)
		return conn_send(&c->conn, http_request, sizeof(http_request) - 1);
	script_ask(&a, *c->at, c->memory.uid);
	sent = buf_error(&a.b) == ERR_OK && conn_send(&c->conn, a.b.data, a.b.len);
	ask_fini(&a);
	return sent;
}

/* Does the step that is next. */
static void
do_step(struct client *c)
{
	const char *why = NULL;

	if (*c->at == STEP_CLOSE) {
		conn_close(&c->conn);
		c->at++;
	}
	if (*c->at == STEP_END) {
		finish(c, false);
	} else if (*c->at == STEP_CONNECT) {
		if (!conn_open(&c->conn, &why))
			fail(c, why);
	} else if (!send_message(c)) {
		fail(c, "no memory for a request");
	}
}

static void
on_opened(struct conn *conn)
{
	struct client *c = CONTAINER_OF(conn, struct client, conn);

	c->run->r->handshakes++;
	c->run->r->resumed += conn->resumed;
	c->at++;
	do_step(c);
}

static void
on_answered(struct conn *conn, const uint8_t *answer, size_t len)
{
	struct client *c = CONTAINER_OF(conn, struct client, conn);

	if (!c->busy || c->at == NULL || *c->at <= STEP_CLOSE) {
		fail(c, "an answer to no question");
		return;
	}
	if (!c->run->o->http && !script_read(answer, len, *c->at, &c->memory)) {
		fail(c, c->memory.why);
		return;
	}
	c->run->r->messages++;
	c->at = script_next(c->at, &c->memory);
	do_step(c);
}

static void
on_failed(struct conn *conn, const char *why)
{
	fail(CONTAINER_OF(conn, struct client, conn), why);
}

static const struct conn_ops ops = {on_opened, on_answered, on_failed};

static void
begin(struct client *c, const enum step *script, int64_t due)
{
	struct run *run = c->run;

	list_remove(&c->link);
	c->busy = true;
	c->due = due;
	c->at = script;
	run->busy++;
	timer_set(run->target->loop, &c->timer, due + run->o->patience_ns);
	do_step(c);
}

/* --- measuring --- */

static bool
has_more(const struct run *run)
{
	return !run->stopped && run->phase == MEASURING && run->o->mode != MODE_IDLE &&
	       (run->o->count == 0 || run->r->begun < run->o->count);
}

static void
end_if_done(struct run *run)
{
	bool idle = run->o->mode == MODE_IDLE && !run->stopped && run->phase == MEASURING;

	if (run->phase == OVER || run->busy > 0 || has_more(run) || idle)
		return;
	run->phase = OVER;
	loop_stop(run->target->loop);
}

static void
begin_operation(struct client *c, int64_t due)
{
	struct run *run = c->run;
	uint64_t n = run->r->begun++;

	if (run->uids_count > 0)
		memcpy(c->memory.uid, run->uids[n % run->uids_count], sizeof(c->memory.uid));
	begin(c, script_of(run->o->mode, conn_is_open(&c->conn), n), due);
}

/* When the n-th operation has to begin. */
static int64_t
due_time(const struct run *run, uint64_t n)
{
	return run->began + (int64_t)((double)n * 1e9 / run->o->rate);
}

static void
give_work(struct client *c)
{
	struct run *run = c->run;
	int64_t now = clock_now(), due = now;

	if (run->o->rate > 0)
		due = due_time(run, run->r->begun);
	if (has_more(run) && due <= now)
		begin_operation(c, due);
	else if (!list_linked(&c->link))
		list_append(&run->idle, &c->link);
}

static void
on_pace(struct timer *t)
{
	struct run *run = CONTAINER_OF(t, struct run, pace);
	int64_t next = due_time(run, run->r->begun), now = clock_now();

	while (has_more(run) && next <= now && !list_empty(&run->idle)) {
		begin_operation(CONTAINER_OF(run->idle.next, struct client, link), next);
		next = due_time(run, run->r->begun);
	}
	/* when all clients are busy, give_work() begins what is late */
	if (has_more(run))
		timer_set(run->target->loop, t, next > now ? next : now + NS_PER_MS);
	end_if_done(run);
}

static void
stop(struct run *run)
{
	run->stopped = true;
	end_if_done(run);
}

static void
on_end(struct timer *t)
{
	stop(CONTAINER_OF(t, struct run, end));
}

static void
on_signal(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	stop(arg);
}

static void
on_second(struct timer *t)
{
	struct run *run = CONTAINER_OF(t, struct run, second);

	run->r->wall_ns = run->phase == MEASURING ? clock_now() - run->began : 0;
	run->progress(run->o, run->r);
	timer_set(run->target->loop, t, clock_now() + NS_PER_S);
}

static void
start_measuring(struct run *run)
{
	run->phase = MEASURING;
	run->began = clock_now();
	run->cpu = server_cpu(run->o->pid);
	if (run->o->mode == MODE_IDLE) {
		run->r->server_memory = server_memory(run->o->pid) - run->memory;
		run->r->begun = run->o->connections;
	}
	if (run->o->duration_ns > 0)
		timer_set(run->target->loop, &run->end, run->began + run->o->duration_ns);
	for (unsigned i = 0; i < run->o->connections; i++)
		give_work(&run->clients[i]);
	if (run->o->rate > 0)
		on_pace(&run->pace);
	end_if_done(run);
}

/* --- what goes before --- */

static void
start_opening(struct run *run)
{
	enum mode m = run->o->mode;

	if (m != MODE_GETS && m != MODE_CREATES && m != MODE_IDLE) {
		start_measuring(run);
		return;
	}
	run->phase = OPENING;
	run->memory = server_memory(run->o->pid);
	while (run->opening < run->o->connections && run->opening < OPENING_AT_ONCE)
		begin(&run->clients[run->opening++], script_connect, clock_now());
}

static void
opened_one(struct client *c)
{
	struct run *run = c->run;

	if (!c->failed)
		run->r->opened++;
	if (!c->failed && run->o->mode == MODE_IDLE)
		hist_add(&run->r->latency, clock_now() - c->due);
	if (c->failed && run->o->mode == MODE_IDLE)
		run->r->failed++;
	if (run->opening < run->o->connections && !run->stopped)
		begin(&run->clients[run->opening++], script_connect, clock_now());
	else if (run->busy == 0)
		start_measuring(run);
}

static void
made_key(struct client *c)
{
	struct run *run = c->run;

	if (c->failed) {
		run->broken = run->stopped = true;
		end_if_done(run);
		return;
	}
	memcpy(run->uids[run->uids_count++], c->memory.uid, sizeof(c->memory.uid));
	if (run->uids_count < run->o->keys && !run->stopped)
		begin(c, script_make_key, clock_now());
	else
		start_opening(run);
}

static void
measured_one(struct client *c)
{
	struct run *run = c->run;
	int64_t took = clock_now() - c->due;

	if (!c->failed && took > run->o->patience_ns) { /* a busy machine came late to the timer */
		add_failure(run->r, too_late);
		c->failed = true;
	}
	if (c->failed) {
		run->r->failed++;
	} else {
		run->r->done++;
		hist_add(&run->r->latency, took);
	}
	if (c->failed && has_more(run) && run->o->rate <= 0) {
		timer_set(run->target->loop, &c->timer, clock_now() + RETRY_NS);
		return;
	}
	give_work(c);
	end_if_done(run);
}

static void
on_turn(struct defer *d)
{
	struct client *c = CONTAINER_OF(d, struct client, turn);
	struct run *run = c->run;

	c->busy = false;
	run->busy--;
	if (run->phase == MAKING_KEYS)
		made_key(c);
	else if (run->phase == OPENING)
		opened_one(c);
	else
		measured_one(c);
}

static void
on_timer(struct timer *t)
{
	struct client *c = CONTAINER_OF(t, struct client, timer);

	if (c->busy) {
		fail(c, too_late);
	} else {
		give_work(c);
		end_if_done(c->run);
	}
}

/* --- all of it --- */

static bool
make_clients(struct run *run)
{
	const struct run_options *o = run->o;

	run->clients = alloc_array(o->connections, sizeof(*run->clients));
	run->uids = alloc_array(o->keys, sizeof(*run->uids));
	if (run->clients == NULL || run->uids == NULL)
		return false;
	for (unsigned i = 0; i < o->connections; i++) {
		struct client *c = &run->clients[i];

		conn_init(&c->conn, run->target);
		c->run = run;
		c->turn.fn = on_turn;
		c->timer.fn = on_timer;
	}
	return true;
}

static void
start(struct run *run)
{
	const struct run_options *o = run->o;
	bool needs_keys = o->mode != MODE_HANDSHAKES && o->mode != MODE_CREATES &&
			  o->mode != MODE_IDLE && !o->http;

	if (o->uid != NULL) {
		snprintf(run->uids[0], sizeof(run->uids[0]), "%s", o->uid);
		run->uids_count = 1;
	}
	if (needs_keys && o->uid == NULL)
		begin(&run->clients[0], script_make_key, clock_now());
	else
		start_opening(run);
}

static void
catch_signals(struct run *run)
{
	static const int signals[2] = {SIGINT, SIGTERM};

	for (unsigned i = 0; i < 2; i++) {
		event_assign(&run->stop[i], loop_base(run->target->loop), signals[i],
		    EV_SIGNAL | EV_PERSIST, on_signal, run);
		(void)event_add(&run->stop[i], NULL); /* then they end the program */
	}
}

static void
clean(struct run *run)
{
	struct loop *l = run->target->loop;

	for (unsigned i = 0; run->clients != NULL && i < run->o->connections; i++) {
		timer_clear(l, &run->clients[i].timer);
		loop_undefer(&run->clients[i].turn);
		conn_fini(&run->clients[i].conn);
	}
	timer_clear(l, &run->end);
	timer_clear(l, &run->pace);
	timer_clear(l, &run->second);
	event_del(&run->stop[0]);
	event_del(&run->stop[1]);
	alloc_free(run->clients);
	alloc_free(run->uids);
}

bool
run(const struct run_options *o, struct conn_target *target, run_progress_fn *progress,
    struct run_result *out)
{
	struct run run = {.o = o, .target = target, .r = out, .progress = progress};

	target->ops = &ops;
	list_init(&run.idle);
	run.end.fn = on_end;
	run.pace.fn = on_pace;
	run.second.fn = on_second;
	catch_signals(&run);
	if (make_clients(&run)) {
		on_second(&run.second);
		start(&run);
		if (run.phase != OVER)
			loop_run(target->loop);
		out->wall_ns = run.began > 0 ? clock_now() - run.began : 0;
		out->server_cpu_ns = server_cpu(o->pid) - run.cpu;
		if (o->mode == MODE_IDLE)
			out->done = out->begun - out->failed;
	} else {
		add_failure(out, err_text(ERR_NO_MEMORY));
		run.broken = true;
	}
	clean(&run);
	return !run.broken;
}
