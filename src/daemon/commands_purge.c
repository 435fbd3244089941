/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control command `keys purge': first finds what is meant, tenant by tenant and state by state,
 * then goes through it key by key: shows it, or destroys it as a client would.
 */
#include "commands.h"

#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "gate/errand.h"
#include "kmip/attr.h"
#include "kmip/names.h"

#include "daemon.h"
#include "keys_select.h"

enum { SHOWN_DEFAULT = 1000, PURGED_MOST = 100000, ARENA_MAX = 64 << 20, STATES_MAX = 3 };
/* A Pre-Active key that is younger is one that a client may be about to activate. */
enum { PRE_ACTIVE_LEAST = 3600 };
#define PAUSE_NS (100 * NS_PER_MS) /* between two keys, so that clients notice nothing */

/* What a tenant has in a state. */
struct batch {
	struct batch *next;
	const struct tenant *tenant;
	char (*uids)[UID_TEXT_LEN + 1];
	size_t count;
	uint32_t state;
};

struct purge {
	struct control_call *call;
	struct keyferryd *d;
	struct tenants *tenants; /* of the moment the command came in */
	size_t next_tenant, end_tenant;
	struct arena *arena, *object_arena;
	struct selection selection;
	uint32_t states[STATES_MAX]; /* that are looked through */
	size_t states_count, next_state;
	bool really, missing, usual; /* usual: no state was named */
	struct wait flushed;
	struct ledger_find find;
	struct batch *batches, **last, *batch; /* the one that is gone through */
	size_t at;
	uint32_t left; /* of max */
	uint64_t found, taken, done, failed, skipped;
	enum err error; /* the first failure's */
	struct ledger_load load;
	struct errand errand;
	struct timer pause;
	int64_t tell_at;
	struct json json; /* of the list of a dry run */
};

static void find_next(struct purge *p);
static void next_key(struct purge *p);

static void
end(struct purge *p, enum err e, const char *detail)
{
	if (p->d->purge == p)
		p->d->purge = NULL;
	timer_clear(p->d->loop, &p->pause);
	control_done(p->call, e, detail);
	arena_free(p->object_arena);
	arena_free(p->arena);
	tenants_unref(p->tenants);
	alloc_free(p);
}

void
purge_stop(struct keyferryd *d)
{
	struct purge *p = d->purge;

	if (p == NULL)
		return;
	wait_cancel(&p->flushed);
	wait_cancel(&p->find.wait);
	wait_cancel(&p->load.wait);
	wait_cancel(&p->errand.wait);
	end(p, ERR_CANCELLED, NULL);
}

/* --- telling --- */

static void
put_counts(const struct purge *p, struct json *j)
{
	json_int(j, "keys", (int64_t)p->taken);
	json_int(j, "purged", (int64_t)p->done);
	json_int(j, "failed", (int64_t)p->failed);
	json_int(j, "skipped", (int64_t)p->skipped);
}

/* False when nobody is there any more, who may have thought better of it. */
static bool
tell_progress(struct purge *p)
{
	uint64_t so_far = p->done + p->failed + p->skipped;
	struct json j;

	if (!p->really || !progress_due(&p->tell_at))
		return control_heard(p->call);
	json_init(&j, &p->call->out);
	json_object(&j, NULL);
	json_text(&j, "purge", "under way");
	json_int(&j, "percent", (int64_t)(so_far * 100 / p->taken));
	put_counts(p, &j);
	json_object_end(&j);
	return control_flush(p->call);
}

static void
conclude(struct purge *p)
{
	struct json j;

	if (!p->really)
		json_array_end(&p->json);
	json_init(&j, &p->call->out);
	json_object(&j, NULL);
	json_text(&j, "purge", p->really ? "over" : "dry run");
	if (p->really)
		put_counts(p, &j);
	else
		json_int(&j, "would-be-purged", (int64_t)p->done);
	json_int(&j, "not-looked-at", (int64_t)(p->found - p->taken));
	json_object_end(&j);
	end(p, p->error, p->error != ERR_OK ? "some keys could not be destroyed, as told above" : NULL);
}

/* The text of an attribute, when it is one. */
static void
put_text_attr(struct json *j, const char *key, const struct object *o, const char *name)
{
	const struct object_attr *oa = object_attr_get(o, name, 0);
	struct ttlv v;

	if (oa != NULL && kmip_attr_unpack_value(oa->value, oa->value_len, &v) &&
	    v.type == TTLV_TEXT)
		json_bytes(j, key, v.value, v.len);
}

static void
put_key(struct purge *p, const struct object *o)
{
	struct json *j = &p->json;

	json_object(j, NULL);
	json_text(j, "uid", o->uid);
	json_text(j, "tenant", o->tenant);
	json_text(j, "type", kmip_value_name(SET_OBJECT_TYPE, o->type));
	json_text(j, "state", kmip_value_name(SET_STATE, p->batch->state));
	put_text_attr(j, "name", o, "x-Name");
	put_text_attr(j, "component", o, "x-Component");
	if (o->date[DATE_INITIAL] != NO_DATE) {
		json_time(j, "created", o->date[DATE_INITIAL]);
		json_int(j, "age-days", (p->find.now - o->date[DATE_INITIAL]) / 86400);
	}
	keys_put_uses(j, p->d, &p->load);
	json_object_end(j);
}

static void
put_failure(struct purge *p, enum err e)
{
	struct json j;

	json_init(&j, &p->call->out);
	json_object(&j, NULL);
	json_text(&j, "uid", p->batch->uids[p->at]);
	json_text(&j, "tenant", p->batch->tenant->id);
	json_text(&j, "error", err_text(e));
	json_object_end(&j);
}

/* --- key by key --- */

static void
pause_over(struct timer *t)
{
	next_key(CONTAINER_OF(t, struct purge, pause));
}

static void
key_over(struct purge *p)
{
	p->at++;
	if (!p->really)
		next_key(p);
	else
		timer_set(p->d->loop, &p->pause, clock_now() + PAUSE_NS);
}

static void
destroyed(struct wait *w, enum err e)
{
	struct purge *p = CONTAINER_OF(w, struct purge, errand.wait);

	if (e == ERR_OK) {
		p->done++;
	} else {
		p->failed++;
		p->error = p->error != ERR_OK ? p->error : e;
		put_failure(p, e);
	}
	key_over(p);
}

/*
 * Opaque objects and templates are Pre-Active for good, and in use all the same.  A key that was imported
 * has the date that it had elsewhere.
 */
static bool
may_be_wanted_yet(const struct purge *p, const struct object *o, int64_t now)
{
	if (o->type == KMIP_OBJECT_TYPE_OPAQUE_OBJECT || o->type == KMIP_OBJECT_TYPE_TEMPLATE)
		return true;
	return o->date[DATE_INITIAL] > now - PRE_ACTIVE_LEAST ||
	    (p->load.known_since != NO_DATE && p->load.known_since > now - PRE_ACTIVE_LEAST);
}

/* Whether the key still is what was looked for: it may have been used or changed since. */
static bool
is_meant(struct purge *p, const struct object *o)
{
	struct ledger_find f = p->find;
	int64_t used = uses_last(p->d->uses, o->tenant, o->uid);

	if (p->load.used > used)
		used = p->load.used;
	f.now = clock_wall();
	f.terms_count = p->selection.count;
	if (object_state_at(o, f.now) != p->batch->state || !ledger_find_matches(&f, o))
		return false;
	if (p->batch->state == OBJECT_PRE_ACTIVE && may_be_wanted_yet(p, o, f.now))
		return false;
	return used <= p->find.now &&
	    (p->selection.unused_since == NO_DATE || used <= p->selection.unused_since);
}

static void
loaded(struct wait *w, enum err e)
{
	struct purge *p = CONTAINER_OF(w, struct purge, load.wait);

	if (e != ERR_OK && e != ERR_NO_OBJECT) {
		end(p, e, NULL);
	} else if (e == ERR_NO_OBJECT || !is_meant(p, p->load.object)) {
		p->skipped++;
		p->at++;
		next_key(p);
	} else if (!p->really) {
		p->done++;
		put_key(p, p->load.object);
		key_over(p);
	} else if (!keys_stayed(p->d, p->batch->tenant)) {
		/* what is missing where keys were looked for before says nothing of where they are */
		end(p, ERR_CANCELLED, KEYS_MOVED);
	} else {
		p->errand = (struct errand){.wait.done = destroyed,
		    .tenant = (struct tenant *)p->batch->tenant,
		    .uid = p->batch->uids[p->at],
		    .revoke = p->batch->state == OBJECT_ACTIVE,
		    .missing_is_gone = p->missing};
		errand_destroy(p->d->gate, &p->errand);
	}
}

static void
next_key(struct purge *p)
{
	struct ledger *l;

	while (p->batch != NULL && p->at == p->batch->count) {
		p->batch = p->batch->next;
		p->at = 0;
	}
	if (buf_error(&p->call->out) != ERR_OK) {
		end(p, ERR_RESPONSE_TOO_LARGE, "too many for one answer: use max");
	} else if (p->batch == NULL) {
		conclude(p);
	} else if (p->d->stopping || !tell_progress(p)) {
		end(p, ERR_CANCELLED, NULL);
	} else {
		arena_free(p->object_arena);
		p->object_arena = arena_new(OBJECT_ARENA_MAX);
		if (p->object_arena == NULL) {
			end(p, ERR_NO_MEMORY, NULL);
			return;
		}
		l = p->batch->tenant->ledger;
		p->load = (struct ledger_load){.wait.done = loaded, .arena = p->object_arena,
		    .tenant = p->batch->tenant->id, .uid = p->batch->uids[p->at]};
		l->ops->load(l, &p->load);
	}
}

/* --- finding --- */

static void
next_state(struct purge *p)
{
	if (++p->next_state == p->states_count) {
		p->next_state = 0;
		p->next_tenant++;
	}
}

/* Who activates a key at another gateway of the instance is not known here. */
static bool
is_passed_over(const struct purge *p)
{
	return p->usual && p->states[p->next_state] == OBJECT_PRE_ACTIVE &&
	    tenants_at(p->tenants, p->next_tenant)->custody != NULL;
}

static void
found(struct wait *w, enum err e)
{
	struct purge *p = CONTAINER_OF(w, struct purge, find.wait);
	struct batch *b = e == ERR_OK ? arena_zalloc(p->arena, sizeof(*b)) : NULL;
	size_t n = p->find.uids_count < p->left ? p->find.uids_count : p->left;

	if (b == NULL) {
		end(p, e != ERR_OK ? e : ERR_NO_MEMORY, NULL);
		return;
	}
	p->found += p->find.total;
	p->taken += n;
	p->left -= (uint32_t)n;
	*b = (struct batch){.tenant = tenants_at(p->tenants, p->next_tenant), .uids = p->find.uids,
	    .count = n, .state = p->states[p->next_state]};
	*p->last = b;
	p->last = &b->next;
	next_state(p);
	find_next(p);
}

/* The next state of a tenant.  One that cannot be gone through is at least counted. */
static void
find_next(struct purge *p)
{
	const struct tenant *t;

	while (p->next_tenant < p->end_tenant && is_passed_over(p))
		next_state(p);
	if (p->next_tenant == p->end_tenant) {
		p->batch = p->batches;
		next_key(p);
		return;
	}
	t = tenants_at(p->tenants, p->next_tenant);
	p->find.tenant = t->id;
	p->find.terms_count = select_terms(&p->selection, p->states[p->next_state]);
	p->find.max = p->left > 0 ? p->left : 1;
	p->find.wait.done = found;
	t->ledger->ops->find(t->ledger, &p->find);
}

static void
flushed(struct wait *w, enum err e)
{
	struct purge *p = CONTAINER_OF(w, struct purge, flushed);

	if (e != ERR_OK) {
		end(p, e, "last uses cannot be told now");
		return;
	}
	if (!p->really)
		json_array(&p->json, NULL);
	find_next(p);
}

/* --- the command --- */

static const char *
choose_states(struct purge *p, bool force)
{
	static const uint32_t usual[STATES_MAX] = {
	    OBJECT_PRE_ACTIVE, OBJECT_DEACTIVATED, OBJECT_COMPROMISED};
	uint32_t state = p->selection.state;

	if (state >= OBJECT_DESTROYED)
		return "a destroyed key is gone already";
	if (force && state != OBJECT_ACTIVE)
		return "--force is for --state Active";
	if (p->really && !force && state == OBJECT_ACTIVE)
		return "an Active key may be in use: only --force destroys it";
	if (!p->selection.narrow)
		return "which: a state, a name, a component, an attribute or an age; a last use or a "
		       "tenant alone is not enough";
	p->usual = state == 0;
	p->states_count = p->usual ? STATES_MAX : 1;
	memcpy(p->states, state != 0 ? &state : usual, p->states_count * sizeof(state));
	return NULL;
}

static const char *
read_arguments(struct purge *p)
{
	struct control_call *call = p->call;
	const char *wrong;
	uint64_t max;

	p->really = control_flag(call, "really");
	p->missing = control_flag(call, "missing");
	wrong = select_tenant(p->tenants, control_arg(call, "tenant"), &p->next_tenant,
	    &p->end_tenant);
	if (wrong == NULL)
		wrong = select_read(&p->selection, call, p->arena);
	if (wrong == NULL)
		wrong = choose_states(p, control_flag(call, "force"));
	if (wrong == NULL && !control_number(call, "max", PURGED_MOST,
				 p->really ? PURGED_MOST : SHOWN_DEFAULT, &max))
		wrong = "max is a whole number up to 100000";
	if (wrong == NULL)
		p->left = (uint32_t)max;
	return wrong;
}

void
keys_purge_run(struct control_call *call)
{
	struct keyferryd *d = call->user;
	struct purge *p = d->purge == NULL ? alloc_zero(sizeof(*p)) : NULL;
	const char *wrong;

	if (p == NULL) {
		control_done(call, d->purge != NULL ? ERR_BUSY : ERR_NO_MEMORY,
		    d->purge != NULL ? "another one is under way" : NULL);
		return;
	}
	p->call = call;
	p->d = d;
	p->tenants = tenants_ref(gate_tenants(d->gate));
	p->arena = arena_new(ARENA_MAX);
	p->last = &p->batches;
	p->pause.fn = pause_over;
	p->find.arena = p->arena;
	p->find.terms = p->selection.terms;
	p->find.now = clock_wall();
	p->flushed.done = flushed;
	json_init(&p->json, &call->out);
	d->purge = p;
	wrong = p->arena != NULL ? read_arguments(p) : "out of memory";
	if (wrong != NULL)
		end(p, ERR_INVALID_FIELD, wrong);
	else
		uses_flush(d->uses, &p->flushed);
}
