/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Look-ups: one flight for each object, a queue before it for strangers, a memory of what was not
 * there, an allowance for each client.
 */
#include "keys/lookup.h"

#include <stdio.h>
#include <string.h>

#include <openssl/rand.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/metric.h"
#include "keys/adopt.h"
#include "name_hash.h"

enum {
	ABSENT_MAX = 1024,
	CLIENTS_MAX = 256,
	BURST = 50,
	PER_SECOND = 2,
	STRANGERS_MAX = 16,   /* under way at a time */
	STRANGERS_OF_ONE = 8, /* of these, one client's: what is new is looked for during seconds */
	FLIGHTS_MAX = 4096,   /* those that wait included */
};
#define ABSENT_NS (60 * NS_PER_S)
#define ABSENT_NEW_NS (2 * NS_PER_S) /* for an object that may be on its way */
#define NEW_MS (60 * 1000)

struct absent {
	uint64_t what; /* hash of tenant and uid */
	int64_t until; /* clock_now() time */
};

/* A token bucket: what was found costs nothing. */
struct allowance {
	uint8_t client[LOOKUP_CLIENT_LEN];
	double left;
	int64_t when; /* of the last look-up; 0: a free place */
};

struct lookups {
	struct loop *loop;
	struct list flights;
	struct list waiting, aloft; /* strangers that are not under way yet, and those that are */
	size_t count, strangers;    /* flights; strangers under way */
	struct defer turn;
	uint64_t seed;
	struct absent absent[ABSENT_MAX];
	size_t next_absent;
	struct allowance allowances[CLIENTS_MAX];
};

struct flight {
	struct list link; /* first: see loop_free_later() */
	struct lookups *ls;
	struct list waiters;
	struct adopt adopt;
	bool stranger; /* of an object that nobody here has heard of */
	struct list queue; /* waiting, or aloft */
	uint8_t client[LOOKUP_CLIENT_LEN];
	char tenant[TENANT_ID_MAX + 1], uid[UID_TEXT_LEN + 1], record_id[UID_TEXT_LEN + 1];
};

static void on_turn(struct defer *d);

struct lookups *
lookups_new(struct loop *l)
{
	struct lookups *ls = alloc_zero(sizeof(*ls));

	if (ls == NULL || RAND_bytes((uint8_t *)&ls->seed, sizeof(ls->seed)) != 1) {
		alloc_free(ls);
		return NULL;
	}
	ls->loop = l;
	ls->turn.fn = on_turn;
	list_init(&ls->flights);
	list_init(&ls->waiting);
	list_init(&ls->aloft);
	return ls;
}

/* --- what is not there --- */

static bool
is_absent(const struct lookups *ls, const char *tenant, const char *uid)
{
	uint64_t what = name_hash(ls->seed, tenant, uid);
	int64_t now = clock_now();

	for (size_t i = 0; i < ABSENT_MAX; i++)
		if (ls->absent[i].what == what && ls->absent[i].until > now)
			return true;
	return false;
}

static void
remember_absent(struct lookups *ls, const struct flight *f)
{
	int64_t age_ms = clock_wall_ms() - text_uuid7_ms(f->uid);

	ls->absent[ls->next_absent++ % ABSENT_MAX] = (struct absent){
	    .what = name_hash(ls->seed, f->tenant, f->uid),
	    .until = clock_now() + (age_ms < NEW_MS ? ABSENT_NEW_NS : ABSENT_NS),
	};
}

void
lookups_seen(struct lookups *ls, const char *tenant, const char *uid)
{
	uint64_t what = name_hash(ls->seed, tenant, uid);

	for (size_t i = 0; i < ABSENT_MAX; i++)
		if (ls->absent[i].what == what)
			ls->absent[i].until = 0;
}

/* --- allowances --- */

/* The client's, or else the one that was not used for longest. */
static struct allowance *
allowance_of(struct lookups *ls, const uint8_t *client)
{
	struct allowance *oldest = &ls->allowances[0];

	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		struct allowance *r = &ls->allowances[i];

		if (r->when != 0 && memcmp(r->client, client, sizeof(r->client)) == 0)
			return r;
		if (r->when < oldest->when)
			oldest = r;
	}
	memcpy(oldest->client, client, sizeof(oldest->client));
	oldest->left = BURST;
	oldest->when = clock_now();
	return oldest;
}

static bool
has_allowance(struct lookups *ls, const uint8_t *client)
{
	struct allowance *r = allowance_of(ls, client);
	int64_t now = clock_now();

	r->left += (double)(now - r->when) / (double)NS_PER_S * PER_SECOND;
	r->left = r->left > BURST ? BURST : r->left;
	r->when = now;
	return r->left >= 1;
}

static void
use_allowance(struct lookups *ls, const uint8_t *client)
{
	allowance_of(ls, client)->left -= 1;
}

/* --- flights --- */

static void
land(struct flight *f, enum err e)
{
	struct list *link, waiters;
	struct lookups *ls = f->ls;

	if (e == ERR_NO_OBJECT && f->record_id[0] == '\0')
		remember_absent(ls, f); /* one record that is of no use says nothing of others */
	if (e == ERR_NO_OBJECT && f->stranger)
		use_allowance(ls, f->client);
	ls->count--;
	list_remove(&f->link);
	list_init(&waiters);
	list_move_all(&waiters, &f->waiters);
	loop_free_later(ls->loop, f);
	/* whoever is told may begin another, or cancel one of these */
	while ((link = list_pop(&waiters)) != NULL)
		wait_finish(CONTAINER_OF(link, struct wait, link), e);
}

/* When the last of those who wait for it has no time left; INT64_MAX: as long as the vault allows. */
static int64_t
latest(const struct flight *f)
{
	int64_t when = 0;

	LIST_FOREACH (link, &f->waiters) {
		const struct lookup *w = CONTAINER_OF(link, struct lookup, wait.link);
		int64_t own = w->terms.deadline != 0 ? w->terms.deadline : INT64_MAX;

		when = own > when ? own : when;
	}
	return when;
}

static void
look(struct flight *f)
{
	int64_t when = latest(f);

	f->adopt.terms.deadline = when < INT64_MAX ? when : 0;
	metric_inc(METRIC_LOOKUPS_TOTAL);
	adopt_start(&f->adopt);
}

/* Who joined it later may have more time than it had. */
static bool
may_look_again(const struct flight *f, enum err e)
{
	int64_t had = f->adopt.terms.deadline;

	return e == ERR_DEADLINE && had != 0 && latest(f) > had;
}

static void
adopted(struct wait *w, enum err e)
{
	struct flight *f = CONTAINER_OF(w, struct flight, adopt.wait);
	struct lookups *ls = f->ls;

	if (may_look_again(f, e)) {
		look(f);
		return;
	}
	ls->strangers -= f->stranger;
	list_remove(&f->queue);
	if (!list_empty(&ls->waiting))
		loop_defer(ls->loop, &ls->turn);
	/* what was found is older than what the ledger has by now: nobody is a stranger there */
	if (e == ERR_NO_OBJECT && f->stranger && f->adopt.found == ERR_OK)
		e = ERR_OK;
	land(f, e);
}

/* A client whose keys are nowhere is not in the way of another whose are. */
static bool
may_fly(const struct flight *f)
{
	const struct lookups *ls = f->ls;
	size_t own = 0;

	LIST_FOREACH (link, &ls->aloft) {
		const struct flight *other = CONTAINER_OF(link, struct flight, queue);

		own += memcmp(other->client, f->client, sizeof(f->client)) == 0;
	}
	return !f->stranger || (ls->strangers < STRANGERS_MAX && own < STRANGERS_OF_ONE);
}

static void
fly(struct flight *f)
{
	f->ls->strangers += f->stranger;
	if (f->stranger)
		list_append(&f->ls->aloft, &f->queue);
	look(f);
}

static void
refuse(struct flight *f)
{
	metric_inc(METRIC_LOOKUPS_REFUSED_TOTAL);
	land(f, ERR_BUSY);
}

static void
on_turn(struct defer *d)
{
	struct lookups *ls = CONTAINER_OF(d, struct lookups, turn);

	LIST_FOREACH_SAFE (link, next, &ls->waiting) {
		struct flight *f = CONTAINER_OF(link, struct flight, queue);

		if (ls->strangers == STRANGERS_MAX)
			return;
		if (!may_fly(f))
			continue;
		list_remove(&f->queue);
		if (list_empty(&f->waiters))
			land(f, ERR_CANCELLED); /* all have left */
		else if (has_allowance(ls, f->client))
			fly(f);
		else
			refuse(f);
	}
}

/* The flight goes on: what it brings is for the ledger. */
static void
leave(struct wait *w)
{
	list_remove(&w->link);
}

/* Who made it may be asking on another connection right now. */
static bool
is_recent(const char *uid)
{
	return clock_wall_ms() - text_uuid7_ms(uid) < NEW_MS;
}

static bool
is_stranger(const struct lookup *w)
{
	return w->client != NULL && !w->known;
}

/* Behind what others wait for. */
static bool
is_background(const struct lookup *w)
{
	return w->terms.background || (is_stranger(w) && !is_recent(w->uid));
}

/* It is queued, or held back, where the other would not be. */
static bool
may_wait_longer(const struct flight *f, const struct lookup *w)
{
	return (f->stranger && !is_stranger(w)) || (f->adopt.terms.background && !is_background(w));
}

/*
 * One that looks for the same, in the same vault (that of a queued one may be gone since), and as
 * long: none that may have begun before a record was there.
 */
static struct flight *
flight_of(struct lookups *ls, const struct lookup *w)
{
	const char *record_id = w->record_id != NULL ? w->record_id : "";

	LIST_FOREACH(it, &ls->flights) {
		struct flight *f = CONTAINER_OF(it, struct flight, link);

		if (strcmp(f->uid, w->uid) == 0 && strcmp(f->tenant, w->tenant) == 0 &&
		    strcmp(f->record_id, record_id) == 0 && f->adopt.gone == w->gone &&
		    f->adopt.vault == w->vault && !may_wait_longer(f, w))
			return f;
	}
	return NULL;
}

static struct flight *
flight_new(struct lookups *ls, const struct lookup *w)
{
	struct flight *f = alloc_zero(sizeof(*f));

	if (f == NULL)
		return NULL;
	f->ls = ls;
	f->stranger = is_stranger(w);
	if (f->stranger)
		memcpy(f->client, w->client, sizeof(f->client));
	list_init(&f->waiters);
	snprintf(f->tenant, sizeof(f->tenant), "%s", w->tenant);
	snprintf(f->uid, sizeof(f->uid), "%s", w->uid);
	if (w->record_id != NULL)
		snprintf(f->record_id, sizeof(f->record_id), "%s", w->record_id);
	f->adopt.wait.done = adopted;
	f->adopt.loop = ls->loop;
	f->adopt.vault = w->vault;
	f->adopt.ledger = w->ledger;
	f->adopt.tenant = f->tenant;
	f->adopt.uid = f->uid;
	f->adopt.record_id = w->record_id != NULL ? f->record_id : NULL;
	f->adopt.gone = w->gone;
	f->adopt.terms.background = is_background(w);
	list_append(&ls->flights, &f->link);
	ls->count++;
	return f;
}

/* What can be said without a look. */
static enum err
foresee(struct lookups *ls, const struct lookup *w)
{
	if (w->client == NULL)
		return ERR_OK;
	if (is_absent(ls, w->tenant, w->uid))
		return ERR_NO_OBJECT;
	if (w->known)
		return ERR_OK;
	if (text_uuid7_ms(w->uid) == 0)
		return ERR_NO_OBJECT; /* none of ours is called so */
	if (has_allowance(ls, w->client) && ls->count < FLIGHTS_MAX)
		return ERR_OK;
	metric_inc(METRIC_LOOKUPS_REFUSED_TOTAL);
	return ERR_BUSY;
}

void
lookup_start(struct lookups *ls, struct lookup *w)
{
	struct flight *f = flight_of(ls, w);
	bool joins = f != NULL;
	enum err e = joins ? ERR_OK : foresee(ls, w);

	if (!joins && e == ERR_OK) {
		f = flight_new(ls, w);
		e = f != NULL ? ERR_OK : ERR_NO_MEMORY;
	}
	if (e != ERR_OK) {
		wait_finish_soon(ls->loop, &w->wait, e);
		return;
	}
	w->wait.cancel = leave;
	list_append(&f->waiters, &w->wait.link);
	if (joins)
		return;
	if (may_fly(f))
		fly(f);
	else
		list_append(&ls->waiting, &f->queue);
}

void
lookups_free(struct lookups *ls)
{
	struct list *link;

	if (ls == NULL)
		return;
	while ((link = ls->flights.next) != &ls->flights) {
		struct flight *f = CONTAINER_OF(link, struct flight, link);

		wait_cancel(&f->adopt.wait);
		list_remove(&f->queue);
		land(f, ERR_CANCELLED);
	}
	loop_undefer(&ls->turn);
	alloc_free(ls);
}
