/* SPDX-License-Identifier: Apache-2.0 */
/* Last uses: a table of those that the ledger does not know, and their way there. */
#include "keys/uses.h"


#include <openssl/rand.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "name_hash.h"

enum { BUCKETS = 16384 };
#define PERIOD (3600 * NS_PER_S)

struct use {
	struct use *next; /* in its bucket */
	struct list link; /* of waiting or sent */
	int64_t when;
	bool again;   /* used while it was being written */
	char names[]; /* name_put() */
};

struct uses {
	struct loop *loop;
	struct ledger *ledger;
	uint64_t seed;
	struct use *buckets[BUCKETS];
	struct list waiting, sent;
	size_t count, waiting_count;
	size_t left; /* of waiting: to be written before the flush is over */
	struct timer due;
	struct list flushes; /* waits */
	struct ledger_use batch[LEDGER_USES_MAX];
	struct ledger_uses call;
};

static struct use **
place_of(struct uses *us, const char *tenant, const char *uid)
{
	struct use **at = &us->buckets[name_hash(us->seed, tenant, uid) % BUCKETS];

	while (*at != NULL && !name_is((*at)->names, tenant, uid))
		at = &(*at)->next;
	return at;
}

static void
forget(struct uses *us, struct use *u)
{
	struct use **at = place_of(us, u->names, name_uid(u->names));

	*at = u->next;
	us->count--;
	list_remove(&u->link);
	alloc_free(u);
}

static void
write_later(struct uses *us)
{
	if (us->waiting_count > 0 && !timer_armed(&us->due))
		timer_set(us->loop, &us->due, clock_now() + PERIOD);
}

static void
flush_over(struct uses *us, enum err e)
{
	struct list *l;

	us->left = 0;
	write_later(us);
	while ((l = list_pop(&us->flushes)) != NULL)
		wait_finish_soon(us->loop, CONTAINER_OF(l, struct wait, link), e);
}

static void
write_some(struct uses *us)
{
	struct list *l;
	size_t n = 0;

	while (n < LEDGER_USES_MAX && us->left > 0 && (l = list_pop(&us->waiting)) != NULL) {
		struct use *u = CONTAINER_OF(l, struct use, link);

		u->again = false;
		us->batch[n++] = (struct ledger_use){u->names, name_uid(u->names), u->when};
		list_append(&us->sent, l);
		us->waiting_count--;
		us->left--;
	}
	if (n == 0) {
		flush_over(us, ERR_OK);
		return;
	}
	us->call.uses = us->batch;
	us->call.count = n;
	us->ledger->ops->note_uses(us->ledger, &us->call);
}

static void
written(struct wait *w, enum err e)
{
	struct uses *us = CONTAINER_OF(w, struct uses, call.wait);

	LIST_FOREACH_SAFE(l, next, &us->sent) {
		struct use *u = CONTAINER_OF(l, struct use, link);

		if (e == ERR_OK && !u->again) {
			forget(us, u);
			continue;
		}
		list_remove(l);
		list_append(&us->waiting, l);
		us->waiting_count++;
	}
	if (e == ERR_OK) {
		write_some(us);
		return;
	}
	LOG(LOG_WARN, "uses", "last uses are not written yet", kv_text("error", err_name(e)));
	flush_over(us, e);
}

static void
flush(struct uses *us)
{
	us->left = us->waiting_count;
	LIST_FOREACH(l, &us->sent)
		us->left += CONTAINER_OF(l, struct use, link)->again;
	if (!wait_pending(&us->call.wait))
		write_some(us);
}

static void
on_due(struct timer *t)
{
	flush(CONTAINER_OF(t, struct uses, due));
}

struct uses *
uses_new(struct loop *l, struct ledger *ledger)
{
	struct uses *us = alloc_zero(sizeof(*us));

	if (us == NULL)
		return NULL;
	if (RAND_bytes((uint8_t *)&us->seed, sizeof(us->seed)) != 1) {
		alloc_free(us);
		return NULL;
	}
	us->loop = l;
	us->ledger = ledger;
	us->due.fn = on_due;
	us->call.wait.done = written;
	list_init(&us->waiting);
	list_init(&us->sent);
	list_init(&us->flushes);
	return us;
}

void
uses_free(struct uses *us)
{
	struct list *l;

	if (us == NULL)
		return;
	wait_cancel(&us->call.wait);
	timer_clear(us->loop, &us->due);
	while ((l = list_pop(&us->flushes)) != NULL)
		CONTAINER_OF(l, struct wait, link)->cancel = NULL;
	while ((l = list_pop(&us->sent)) != NULL || (l = list_pop(&us->waiting)) != NULL)
		alloc_free(CONTAINER_OF(l, struct use, link));
	alloc_free(us);
}

static void
add(struct uses *us, struct use **at, const char *tenant, const char *uid)
{
	struct use *u = NULL;

	if (us->count < USES_MAX)
		u = alloc_zero(sizeof(*u) + name_room(tenant, uid));
	if (u == NULL) {
		flush(us); /* makes room for the next ones */
		return;
	}
	u->when = clock_wall();
	name_put(u->names, tenant, uid);
	*at = u;
	us->count++;
	list_append(&us->waiting, &u->link);
	us->waiting_count++;
	write_later(us);
}

void
uses_note(struct uses *us, const char *tenant, const char *uid)
{
	struct use **at;

	if (us == NULL)
		return;
	at = place_of(us, tenant, uid);
	if (*at == NULL) {
		add(us, at, tenant, uid);
		return;
	}
	(*at)->when = loop_wall(us->loop);
	(*at)->again = true; /* counts while it is being written */
}

int64_t
uses_last(struct uses *us, const char *tenant, const char *uid)
{
	const struct use *u;

	if (us == NULL)
		return NO_DATE;
	u = *place_of(us, tenant, uid);
	return u != NULL ? u->when : NO_DATE;
}

static void
cancel_flush(struct wait *w)
{
	(void)w; /* wait_cancel() has taken it out of the list */
}

void
uses_flush(struct uses *us, struct wait *w)
{
	if (us->count == 0) {
		wait_finish_soon(us->loop, w, ERR_OK);
		return;
	}
	w->cancel = cancel_flush;
	list_append(&us->flushes, &w->link);
	flush(us);
}
