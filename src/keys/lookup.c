/* SPDX-License-Identifier: Apache-2.0 */
/* Look-ups: one flight for each object, a memory of what was not there, a ration for each client. */
#include "keys/lookup.h"

#include <stdio.h>
#include <string.h>

#include <openssl/rand.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/metric.h"
#include "keys/adopt.h"

enum { ABSENT_MAX = 1024, CLIENTS_MAX = 256, BURST = 50, PER_SECOND = 2 };
#define ABSENT_NS (60 * NS_PER_S)
#define ABSENT_NEW_NS (2 * NS_PER_S) /* for an object that may be on its way */
#define NEW_MS (60 * 1000)

struct absent {
	uint64_t what; /* hash of tenant and uid */
	int64_t until; /* clock_now() time */
};

/* A token bucket: what was found costs nothing in the end. */
struct ration {
	uint8_t client[LOOKUP_CLIENT_LEN];
	double left;
	int64_t when; /* of the last look-up; 0: a free place */
};

struct lookups {
	struct loop *loop;
	struct list flights;
	uint64_t seed;
	struct absent absent[ABSENT_MAX];
	size_t next_absent;
	struct ration rations[CLIENTS_MAX];
};

struct flight {
	struct list link; /* first: see loop_free_later() */
	struct lookups *ls;
	struct list waiters;
	struct adopt adopt;
	bool rationed;
	uint8_t client[LOOKUP_CLIENT_LEN];
	char tenant[TENANT_ID_MAX + 1], uid[UID_TEXT_LEN + 1], record_id[UID_TEXT_LEN + 1];
};

struct lookups *
lookups_new(struct loop *l)
{
	struct lookups *ls = alloc_zero(sizeof(*ls));

	if (ls == NULL || RAND_bytes((uint8_t *)&ls->seed, sizeof(ls->seed)) != 1) {
		alloc_free(ls);
		return NULL;
	}
	ls->loop = l;
	list_init(&ls->flights);
	return ls;
}

/* --- what is not there --- */

/* FNV-1a from a seed that nobody knows. */
static uint64_t
hash(const struct lookups *ls, const char *tenant, const char *uid)
{
	uint64_t h = UINT64_C(14695981039346656037) ^ ls->seed;

	for (const char *s = tenant; *s != '\0'; s++)
		h = (h ^ (uint8_t)*s) * UINT64_C(1099511628211);
	h *= UINT64_C(1099511628211);
	for (const char *s = uid; *s != '\0'; s++)
		h = (h ^ (uint8_t)*s) * UINT64_C(1099511628211);
	return h;
}

static bool
is_absent(const struct lookups *ls, const char *tenant, const char *uid)
{
	uint64_t what = hash(ls, tenant, uid);
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
	    .what = hash(ls, f->tenant, f->uid),
	    .until = clock_now() + (age_ms < NEW_MS ? ABSENT_NEW_NS : ABSENT_NS),
	};
}

void
lookups_seen(struct lookups *ls, const char *tenant, const char *uid)
{
	uint64_t what = hash(ls, tenant, uid);

	for (size_t i = 0; i < ABSENT_MAX; i++)
		if (ls->absent[i].what == what)
			ls->absent[i].until = 0;
}

/* --- rations --- */

/* The client's, or else the one that was not used for longest. */
static struct ration *
ration_of(struct lookups *ls, const uint8_t *client)
{
	struct ration *oldest = &ls->rations[0];

	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		struct ration *r = &ls->rations[i];

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
take_ration(struct lookups *ls, const uint8_t *client)
{
	struct ration *r = ration_of(ls, client);
	int64_t now = clock_now();

	r->left += (double)(now - r->when) / (double)NS_PER_S * PER_SECOND;
	r->left = r->left > BURST ? BURST : r->left;
	r->when = now;
	if (r->left < 1)
		return false;
	r->left -= 1;
	return true;
}

static void
give_back(struct lookups *ls, const uint8_t *client)
{
	struct ration *r = ration_of(ls, client);

	if (r->left < BURST)
		r->left += 1;
}

/* --- flights --- */

static void
land(struct flight *f, enum err e)
{
	struct list *link, waiters;
	struct lookups *ls = f->ls;

	if (e == ERR_NO_OBJECT)
		remember_absent(ls, f);
	else if (f->rationed)
		give_back(ls, f->client);
	list_remove(&f->link);
	list_init(&waiters);
	list_move_all(&waiters, &f->waiters);
	loop_free_later(ls->loop, f);
	/* whoever is told may begin another, or cancel one of these */
	while ((link = list_pop(&waiters)) != NULL)
		wait_finish(CONTAINER_OF(link, struct wait, link), e);
}

static void
adopted(struct wait *w, enum err e)
{
	land(CONTAINER_OF(w, struct flight, adopt.wait), e);
}

/* The flight goes on: what it brings is for the ledger. */
static void
leave(struct wait *w)
{
	list_remove(&w->link);
}

static struct flight *
flight_of(struct lookups *ls, const struct lookup *w)
{
	LIST_FOREACH(it, &ls->flights) {
		struct flight *f = CONTAINER_OF(it, struct flight, link);

		if (strcmp(f->uid, w->uid) == 0 && strcmp(f->tenant, w->tenant) == 0)
			return f;
	}
	return NULL;
}

static struct flight *
take_off(struct lookups *ls, const struct lookup *w)
{
	struct flight *f = alloc_zero(sizeof(*f));

	if (f == NULL)
		return NULL;
	f->ls = ls;
	f->rationed = w->client != NULL;
	if (f->rationed)
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
	f->adopt.terms = w->terms;
	list_append(&ls->flights, &f->link);
	metric_inc(METRIC_LOOKUPS_TOTAL);
	return f;
}

void
lookup_start(struct lookups *ls, struct lookup *w)
{
	struct flight *f = flight_of(ls, w);
	bool joins = f != NULL;

	if (!joins && w->client != NULL && is_absent(ls, w->tenant, w->uid)) {
		wait_finish_soon(ls->loop, &w->wait, ERR_NO_OBJECT);
		return;
	}
	if (!joins && w->client != NULL && !take_ration(ls, w->client)) {
		metric_inc(METRIC_LOOKUPS_REFUSED_TOTAL);
		wait_finish_soon(ls->loop, &w->wait, ERR_BUSY);
		return;
	}
	if (!joins)
		f = take_off(ls, w);
	if (f == NULL) {
		wait_finish_soon(ls->loop, &w->wait, ERR_NO_MEMORY);
		return;
	}
	w->wait.cancel = leave;
	list_append(&f->waiters, &w->wait.link);
	if (!joins)
		adopt_start(&f->adopt);
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
		land(f, ERR_CANCELLED);
	}
	alloc_free(ls);
}
