/* SPDX-License-Identifier: Apache-2.0 */
/* The control commands `keys rebuild' and `keys rewrap': one tenant after the other. */
#include "commands.h"

#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "keys/rewrap.h"
#include "keys/underway.h"

#include "daemon.h"

#define TELL_NS (500 * NS_PER_MS)

/* Either walk over all objects of a tenant. */
struct walk {
	struct control_call *call;
	const char *nowhere; /* what is said where no tenant has objects to walk over */
	bool any;	     /* some tenant had */
	struct tenants *tenants; /* of the moment the command came in */
	const char *only;	 /* a tenant's id, or NULL */
	size_t next;
	const struct tenant *tenant;
	enum err failed; /* the first tenant's that did, or ERR_CANCELLED: a reload changed one */
	int64_t tell_at;
	void (*start)(struct walk *k, struct watch_tenant *watch);
	struct watch_rebuild rebuild;
	struct rewrap rewrap;
	uint64_t known_at; /* what began before that may have another root key than is known by now */
	enum err unseen_why;
	uint64_t unseen; /* records that could not be looked at before the rewrap */
};

bool
progress_due(int64_t *tell_at)
{
	if (clock_now() < *tell_at)
		return false;
	*tell_at = clock_now() + TELL_NS;
	return true;
}

/* The vault local is made anew in each reload, and has its keys beside the ledger all the same. */
bool
keys_stayed(const struct keyferryd *d, const struct tenant *t)
{
	const struct tenant *now = tenants_by_id(gate_tenants(d->gate), t->id);

	return now != NULL && now->vault->ops == t->vault->ops &&
	    (t->custody == NULL || now->vault == t->vault);
}

static void
end(struct walk *k, enum err e, const char *detail)
{
	struct keyferryd *d = k->call->user;

	d->walk = NULL;
	control_done(k->call, e, detail);
	tenants_unref(k->tenants);
	alloc_free(k);
}

void
walk_stop(struct keyferryd *d)
{
	struct walk *k = d->walk;

	if (k == NULL)
		return;
	wait_cancel(&k->rebuild.wait);
	wait_cancel(&k->rewrap.wait);
	end(k, ERR_CANCELLED, NULL);
}

static bool
is_asked(const struct walk *k, const struct tenant *t)
{
	return t->custody != NULL && (k->only == NULL || strcmp(k->only, t->id) == 0);
}

static bool
all_as_they_were(const struct walk *k)
{
	const struct tenant *t;

	for (size_t i = 0; (t = tenants_at(k->tenants, i)) != NULL; i++)
		if (is_asked(k, t) && !keys_stayed(k->call->user, t))
			return false;
	return true;
}

static const char *
why(enum err failed)
{
	if (failed == ERR_CANCELLED)
		return KEYS_MOVED;
	return failed == ERR_OK
	    ? NULL
	    : "not everything could be done: see the log, then give the command again";
}

/* What was asked of a configuration that is gone says nothing of the one in use. */
static void
end_walk(struct walk *k)
{
	if (!all_as_they_were(k))
		k->failed = ERR_CANCELLED;
	end(k, k->failed, why(k->failed));
}

/* The next tenant whose keys are elsewhere, or the end. */
static void
next_tenant(struct walk *k)
{
	struct keyferryd *d = k->call->user;
	struct watch_tenant *watch = NULL;

	while (watch == NULL && (k->tenant = tenants_at(k->tenants, k->next++)) != NULL) {
		if (!is_asked(k, k->tenant))
			continue;
		k->any = true;
		if (keys_stayed(d, k->tenant))
			watch = upstream_watch(d->upstream, k->tenant->vault);
	}
	if (watch != NULL) {
		k->start(k, watch);
	} else if (k->any) {
		end_walk(k);
	} else {
		end(k, ERR_NO_OBJECT, k->nowhere); /* not what may be taken for done */
	}
}

static void
walked(struct walk *k, enum err e)
{
	if (k->failed == ERR_OK)
		k->failed = e;
	next_tenant(k);
}

static void
begin(struct control_call *call, void (*start)(struct walk *k, struct watch_tenant *watch),
    const char *nowhere)
{
	struct keyferryd *d = call->user;
	const char *only = control_arg(call, "tenant");
	const struct tenant *t = only != NULL ? tenants_by_id(gate_tenants(d->gate), only) : NULL;
	struct walk *k;

	if (only != NULL && (t == NULL || t->custody == NULL)) {
		control_done(call, ERR_NO_OBJECT, "no tenant with the vault keyprotect has this id");
		return;
	}
	if (d->walk != NULL) {
		control_done(call, ERR_BUSY, "another one is under way");
		return;
	}
	k = d->walk = alloc_zero(sizeof(*k));
	if (k == NULL) {
		control_done(call, ERR_NO_MEMORY, NULL);
		return;
	}
	k->call = call;
	k->only = only;
	k->start = start;
	k->nowhere = nowhere;
	k->tenants = tenants_ref(gate_tenants(d->gate));
	next_tenant(k);
}

/* --- rebuild --- */

/* What is told: on the way with a percentage, which is missing at the end. */
static void
begin_document(struct walk *k, struct json *j, bool on_the_way, uint64_t done, uint64_t of)
{
	json_init(j, &k->call->out);
	json_object(j, NULL);
	json_text(j, "tenant", k->tenant->id);
	if (on_the_way)
		json_int(j, "percent", (int64_t)(done * 100 / of));
}

static void
put_rebuild(struct walk *k, bool on_the_way)
{
	const struct watch_rebuild *w = &k->rebuild;
	struct json j;

	begin_document(k, &j, on_the_way, w->done, w->records);
	json_int(&j, "records", (int64_t)w->records);
	json_int(&j, "done", (int64_t)w->done);
	json_int(&j, "adopted", (int64_t)w->adopted);
	json_int(&j, "foreign", (int64_t)w->foreign);
	json_int(&j, "left", (int64_t)w->left);
	json_object_end(&j);
}

/* When nobody reads any more, it goes on all the same. */
static void
on_rebuild_progress(struct watch_rebuild *w)
{
	struct walk *k = CONTAINER_OF(w, struct walk, rebuild);

	if (w->done == w->records || !progress_due(&k->tell_at))
		return;
	put_rebuild(k, true);
	(void)control_flush(k->call);
}

static void
rebuilt(struct wait *w, enum err e)
{
	struct walk *k = CONTAINER_OF(w, struct walk, rebuild.wait);

	put_rebuild(k, false);
	walked(k, e);
}

static void
start_rebuild(struct walk *k, struct watch_tenant *watch)
{
	k->rebuild.wait.done = rebuilt;
	k->rebuild.progress = on_rebuild_progress;
	watch_rebuild(watch, &k->rebuild);
}

void
keys_rebuild_run(struct control_call *call)
{
	begin(call, start_rebuild,
	    "no tenant has the vault keyprotect: the vault local has its keys beside the ledger, and "
	    "nothing to take over");
}

/* --- rewrap --- */

static void
put_rewrap(struct walk *k, bool on_the_way)
{
	const struct rewrap *w = &k->rewrap;
	struct json j;

	begin_document(k, &j, on_the_way, w->done, w->objects);
	json_int(&j, "objects", (int64_t)w->objects);
	json_int(&j, "done", (int64_t)w->done);
	json_int(&j, "rewrapped", (int64_t)w->rewrapped);
	json_int(&j, "left", (int64_t)(w->left + k->unseen));
	json_object_end(&j);
}

static void
on_rewrap_progress(struct rewrap *w)
{
	struct walk *k = CONTAINER_OF(w, struct walk, rewrap);

	if (w->done == w->objects || !progress_due(&k->tell_at))
		return;
	put_rewrap(k, true);
	(void)control_flush(k->call);
}

/* Under the root key before a reload nothing is wrapped any more: others may be moving it away from there. */
static bool
goes_on(struct rewrap *w)
{
	const struct walk *k = CONTAINER_OF(w, struct walk, rewrap);

	return keys_stayed(k->call->user, k->tenant);
}

/* Nor may the vault of before a reload begin anything, as the write-behind of attributes does by itself. */
static bool
may_begin(struct rewrap *w)
{
	const struct walk *k = CONTAINER_OF(w, struct walk, rewrap);
	const struct keyferryd *d = k->call->user;

	return !underway_before(k->known_at, k->tenant->id) &&
	    upstream_is_only(d->upstream, k->tenant->vault);
}

static void
rewrapped(struct wait *w, enum err e)
{
	struct walk *k = CONTAINER_OF(w, struct walk, rewrap.wait);

	put_rewrap(k, false);
	walked(k, e != ERR_OK ? e : k->unseen_why);
}

/* What could not be looked at is told as left, and does not keep the rest from being rewrapped. */
static void
all_known(struct wait *w, enum err e)
{
	struct walk *k = CONTAINER_OF(w, struct walk, rebuild.wait);
	struct keyferryd *d = k->call->user;

	/* the tenant went, and its vault is shut; or that would wrap under the root key before */
	if (e == ERR_CANCELLED || !keys_stayed(d, k->tenant)) {
		walked(k, e);
		return;
	}
	k->known_at = underway_next();
	k->unseen_why = e;
	k->unseen = e != ERR_OK && k->rebuild.left == 0 ? 1 : k->rebuild.left;
	k->rewrap = (struct rewrap){
	    .wait.done = rewrapped,
	    .progress = on_rewrap_progress,
	    .goes_on = goes_on,
	    .may_begin = may_begin,
	    .loop = d->loop,
	    .vault = k->tenant->vault,
	    .ledger = k->tenant->ledger,
	    .tenant = k->tenant->id,
	};
	rewrap_start(&k->rewrap);
}

/* In a large instance that takes longer than a command may be silent for. */
static void
on_known_progress(struct watch_rebuild *w)
{
	struct walk *k = CONTAINER_OF(w, struct walk, rebuild);
	struct json j;

	if (!progress_due(&k->tell_at))
		return;
	begin_document(k, &j, true, 0, 1);
	json_int(&j, "records", (int64_t)w->records);
	json_int(&j, "looked-at", (int64_t)w->done);
	json_object_end(&j);
	(void)control_flush(k->call);
}

/*
 * First the keys that this ledger has not heard of, and whether the alias names another root key by now:
 * whoever reads "left 0" deletes one.
 */
static void
start_rewrap(struct walk *k, struct watch_tenant *watch)
{
	k->rebuild.sure = true;
	k->rebuild.wait.done = all_known;
	k->rebuild.progress = on_known_progress;
	watch_rebuild(watch, &k->rebuild);
}

void
keys_rewrap_run(struct control_call *call)
{
	begin(call, start_rewrap,
	    "no tenant has the vault keyprotect: keys of the vault local stay under the version of "
	    "the root key that wrapped them");
}
