/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing attributes behind.  Objects that were noted wait until they are due; one at a time gets
 * its successor.  At the start all objects are looked through; notes and they take turns.
 *
 * Before an object was looked at nobody can tell an attribute that was deleted here from one that
 * another gateway wrote while attributes stayed here.  So the first look, and a note that comes
 * before it, take from the object's record what is missing: rather is a deletion undone that a
 * crash cut off than an attribute lost.
 */
#include "keys/share.h"

#include <stdio.h>
#include <string.h>

#include "attr_merge.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/metric.h"
#include "succeed.h"

enum {
	NOTES_MAX = 4096,
	FIND_ARENA_MAX = 16 * 1024 * 1024,
	CHANGE_ARENA_MAX = 3 * OBJECT_ARENA_MAX,
};
#define PACE_NS (200 * NS_PER_MS)    /* between two successors */
#define LOOK_PACE_NS (2 * NS_PER_MS) /* between two that needed none */
#define RETRY_NS (30 * NS_PER_S)     /* after a failure, and twice as long after each more of an object */
#define RETRY_MOST_NS (3600 * NS_PER_S)

struct note {
	struct list link;
	char uid[UID_TEXT_LEN + 1];
	int64_t first, due; /* clock_now() times */
	int64_t pause; /* after its last failure; 0: it has not failed since it was changed */
};

struct share {
	struct share_params p;
	char tenant[TENANT_ID_MAX + 1];
	struct list notes;
	size_t notes_count;
	struct timer timer;
	int64_t not_before; /* after a failure, or a successor */
	struct succeed *step;
	char uid[UID_TEXT_LEN + 1]; /* of the step */
	int64_t pause; /* of its note */
	bool look_wanted;	    /* through all objects */
	bool looking;		    /* one is under way; it may pause after a failure */
	bool note_served;	    /* an object of the look comes next */
	int64_t known_date;	    /* the first look has come to here, in the order of a find */
	char known_uid[UID_TEXT_LEN + 1];
	struct arena *arena; /* of the listed ones */
	struct ledger_find find;
	size_t at;
	char last[UID_TEXT_LEN + 1]; /* of those that were listed before */
	char noted[UID_TEXT_LEN + 1]; /* looked at because of its note; empty: uids[at] is */
	struct arena *object_arena;   /* of the object that is looked at */
	struct ledger_load load;
	struct object *recorded;
	bool nameless; /* a Name in its record is another object's here */
	struct change change;
	struct ledger_changes changes;
};

static void plan(struct share *s);

/* --- notes --- */

static struct note *
note_find(struct share *s, const char *uid)
{
	LIST_FOREACH(it, &s->notes) {
		struct note *n = CONTAINER_OF(it, struct note, link);

		if (strcmp(n->uid, uid) == 0)
			return n;
	}
	return NULL;
}

static void
note_drop(struct share *s, struct note *n)
{
	list_remove(&n->link);
	s->notes_count--;
	metric_add(METRIC_ATTRIBUTES_WAITING, -1);
	alloc_free(n);
}

/* NULL when there is no room: then all objects are looked through. */
static struct note *
note_add(struct share *s, const char *uid)
{
	struct note *n = s->notes_count < NOTES_MAX ? alloc_zero(sizeof(*n)) : NULL;

	if (n == NULL) {
		s->look_wanted = true;
		return NULL;
	}
	snprintf(n->uid, sizeof(n->uid), "%s", uid);
	n->first = clock_now();
	list_append(&s->notes, &n->link);
	s->notes_count++;
	metric_add(METRIC_ATTRIBUTES_WAITING, 1);
	return n;
}

static struct note *
note_next(struct share *s)
{
	struct note *next = NULL;

	LIST_FOREACH(it, &s->notes) {
		struct note *n = CONTAINER_OF(it, struct note, link);

		if (next == NULL || n->due < next->due)
			next = n;
	}
	return next;
}

void
share_note(struct share *s, const char *uid)
{
	struct note *n = s != NULL ? note_find(s, uid) : NULL;
	int64_t quiet = clock_now() + SHARE_QUIET_NS;

	if (s == NULL)
		return;
	if (n == NULL)
		n = note_add(s, uid);
	if (n == NULL) {
		plan(s);
		return;
	}
	if (n->pause > 0)
		n->first = clock_now();
	n->pause = 0;
	n->due = quiet < n->first + SHARE_LONGEST_NS ? quiet : n->first + SHARE_LONGEST_NS;
	plan(s);
}

/* --- one object --- */

/* Whether its attributes are others than those of its record.  One that cannot be read is left. */
static enum err
is_due(const struct vault *v, const struct object *o, const struct vault_unwrap *u, bool *due)
{
	struct arena *a = arena_new(OBJECT_ARENA_MAX);
	struct object *recorded;
	enum err e = a != NULL ? v->ops->recorded(o, a, &recorded) : ERR_NO_MEMORY;

	(void)u;
	*due = e == ERR_OK && attr_merge_is_due(o, recorded);
	arena_free(a);
	return e == ERR_NO_MEMORY ? e : ERR_OK;
}

/* Somebody else was at work on it, or something is wrong; with all of them, or with it alone. */
static void
note_failed(struct share *s, enum err e, bool general)
{
	struct note *n = note_find(s, s->uid) == NULL ? note_add(s, s->uid) : NULL;

	if (n == NULL)
		return;
	n->pause = s->pause;
	if (e == ERR_CONFLICT) {
		n->due = clock_now() + SHARE_QUIET_NS;
		return;
	}
	if (!general)
		n->pause = s->pause == 0 ? RETRY_NS : 2 * s->pause;
	if (n->pause > RETRY_MOST_NS)
		n->pause = RETRY_MOST_NS;
	n->due = clock_now() + (general ? RETRY_NS : n->pause);
}

/* A record that cannot hold them is told of once: the next change may make it smaller. */
static void
object_done(void *arg, enum err e, bool made, bool general)
{
	struct share *s = arg;

	s->step = NULL;
	s->not_before = clock_now() + (made ? PACE_NS : LOOK_PACE_NS);
	if (made)
		metric_inc(METRIC_ATTRIBUTES_SHARED_TOTAL);
	if (e != ERR_OK && e != ERR_NO_OBJECT && e != ERR_TOO_MANY_ATTRIBUTES)
		note_failed(s, e, general);
	if (general)
		s->not_before = clock_now() + RETRY_NS;
	plan(s);
}

static void
start(struct share *s, const char *uid)
{
	struct succeed_params p = {
	    .loop = s->p.loop,
	    .vault = s->p.vault,
	    .ledger = s->p.ledger,
	    .tenant = s->tenant,
	    .uid = s->uid,
	    .whole = true, /* else it would be due again */
	    .quiet = s->pause > 0, /* that one fails is told once */
	    .wanted = is_due,
	    .done = object_done,
	    .arg = s,
	};

	snprintf(s->uid, sizeof(s->uid), "%s", uid);
	s->step = succeed_start(&p);
	if (s->step == NULL)
		object_done(s, ERR_NO_MEMORY, false, false);
}

/* --- all objects --- */

static void
end_part(struct share *s)
{
	arena_free(s->arena);
	s->arena = NULL;
}

/* The same part again. */
static void
list_later(struct share *s)
{
	end_part(s);
	s->not_before = clock_now() + RETRY_NS;
	plan(s);
}

static void
listed(struct wait *w, enum err e)
{
	struct share *s = CONTAINER_OF(w, struct share, find.wait);

	s->at = 0;
	if (e == ERR_NO_OBJECT) /* behind which to go on: with all anew */
		s->last[0] = '\0';
	if (e == ERR_OK)
		plan(s);
	else
		list_later(s);
}

/* The ledger gives so many at a time.  s->last: behind whom to go on; empty: with the newest. */
static void
list_more(struct share *s)
{
	s->arena = arena_new(FIND_ARENA_MAX);
	if (s->arena == NULL) {
		list_later(s);
		return;
	}
	s->find = (struct ledger_find){
	    .wait.done = listed,
	    .arena = s->arena,
	    .tenant = s->tenant,
	    .now = clock_wall(),
	    .after = s->last[0] != '\0' ? s->last : NULL,
	};
	s->p.ledger->ops->find(s->p.ledger, &s->find);
}

/* Of a look that begins, or that a failure stopped. */
static void
list_first(struct share *s)
{
	if (!s->looking) {
		s->looking = true;
		s->look_wanted = false;
		s->last[0] = '\0';
	}
	list_more(s);
}

/* After the last part all is known that other gateways wrote. */
static void
end_listed(struct share *s)
{
	if (s->find.uids_count == 0 || s->find.uids_count == s->find.total) {
		end_part(s);
		s->looking = false;
		if (s->look_wanted) /* there are more notes than there is room for */
			s->not_before = clock_now() + RETRY_NS;
		s->known_date = INT64_MIN;
		s->known_uid[0] = '\0';
		plan(s);
		return;
	}
	memcpy(s->last, s->find.uids[s->find.uids_count - 1], sizeof(s->last));
	end_part(s);
	list_more(s);
}

/* Whether the first look has been at it: what is missing from it was deleted here. */
static bool
is_known(const struct share *s, const struct object *o)
{
	int64_t date = o->date[DATE_INITIAL];

	return date != s->known_date ? date > s->known_date : strcmp(o->uid, s->known_uid) >= 0;
}

/* One of those that were listed is done with. */
static void
step_on(struct share *s)
{
	const struct object *o = s->load.object; /* NULL: it is gone */

	if (o != NULL && !is_known(s, o)) {
		s->known_date = o->date[DATE_INITIAL];
		memcpy(s->known_uid, o->uid, sizeof(s->known_uid));
	}
	s->at++;
}

static void
end_object(struct share *s)
{
	arena_free(s->object_arena);
	s->object_arena = NULL;
}

/* The object is looked at again, as it is then. */
static void
look_again(struct share *s, int64_t after_ns)
{
	end_object(s);
	s->not_before = clock_now() + after_ns;
	plan(s);
}

/* The object is known as far as it can be; it gets a successor if that is due. */
static void
look_on(struct share *s, bool due)
{
	const struct note *n = NULL;
	char uid[UID_TEXT_LEN + 1];

	memcpy(uid, s->load.uid, sizeof(uid));
	if (s->noted[0] == '\0') {
		step_on(s);
		s->pause = 0;
		n = due ? note_find(s, uid) : NULL;
	}
	s->noted[0] = '\0';
	end_object(s);
	s->nameless = false;
	s->not_before = clock_now() + LOOK_PACE_NS;
	if (due && (n == NULL || n->pause == 0)) /* one that fails has its own time */
		start(s, uid);
	else
		plan(s);
}

static void
taken(struct wait *w, enum err e)
{
	struct share *s = CONTAINER_OF(w, struct share, changes.wait);

	if (e == ERR_NAME_TAKEN && !s->nameless) {
		s->nameless = true;
		look_again(s, 0);
	} else if (e == ERR_CONFLICT) {
		look_again(s, PACE_NS);
	} else if (e == ERR_OK || e == ERR_NO_OBJECT || e == ERR_NAME_TAKEN) {
		look_on(s, e == ERR_OK && attr_merge_is_due(s->load.object, s->recorded));
	} else {
		look_again(s, RETRY_NS);
	}
}

/* What the object's record says and the ledger does not. */
static void
take_missing(struct share *s)
{
	struct object *o = s->load.object;
	size_t had = o->attrs_count;

	if (is_known(s, o)) {
		look_on(s, attr_merge_is_due(o, s->recorded));
		return;
	}
	if (s->nameless)
		attr_merge_drop_names(s->recorded);
	if (attr_merge(o, s->object_arena, NULL, s->recorded) != ERR_OK) {
		look_again(s, RETRY_NS);
		return;
	}
	if (o->attrs_count == had) {
		look_on(s, attr_merge_is_due(o, s->recorded));
		return;
	}
	s->change = (struct change){CHANGE_UPDATE, o};
	s->changes = (struct ledger_changes){
	    .wait.done = taken, .changes = &s->change, .count = 1};
	s->p.ledger->ops->commit(s->p.ledger, &s->changes);
}

static void
loaded(struct wait *w, enum err e)
{
	struct share *s = CONTAINER_OF(w, struct share, load.wait);

	if (e == ERR_OK && object_is_destroyed(s->load.object))
		e = ERR_NO_OBJECT;
	if (e != ERR_OK && e != ERR_NO_OBJECT) {
		look_again(s, RETRY_NS);
		return;
	}
	if (e == ERR_OK)
		e = s->p.vault->ops->recorded(s->load.object, s->object_arena, &s->recorded);
	if (e == ERR_OK)
		take_missing(s);
	else if (e == ERR_NO_MEMORY)
		look_again(s, RETRY_NS);
	else
		look_on(s, false);
}

static void
look_at(struct share *s, const char *uid)
{
	s->object_arena = arena_new(CHANGE_ARENA_MAX);
	if (s->object_arena == NULL) {
		look_again(s, RETRY_NS);
		return;
	}
	s->load = (struct ledger_load){
	    .wait.done = loaded,
	    .arena = s->object_arena,
	    .tenant = s->tenant,
	    .uid = uid,
	};
	s->p.ledger->ops->load(s->p.ledger, &s->load);
}

/* The next of those that are looked through, or the end. */
static void
look(struct share *s)
{
	if (s->arena == NULL)
		list_first(s);
	else if (s->at == s->find.uids_count)
		end_listed(s);
	else
		look_at(s, s->find.uids[s->at]);
}

/* --- the order of things --- */

static bool
looks(const struct share *s)
{
	return s->look_wanted || s->looking;
}

/* Before the first look ends its object is looked at here: the look has perhaps not come to it. */
static void
serve(struct share *s, struct note *n)
{
	char uid[UID_TEXT_LEN + 1];

	memcpy(uid, n->uid, strlen(n->uid) + 1);
	s->pause = n->pause;
	note_drop(s, n);
	if (s->known_date == INT64_MIN) {
		start(s, uid);
		return;
	}
	memcpy(s->noted, uid, strlen(uid) + 1);
	look_at(s, s->noted);
}

/* A look goes on between two notes, however many are due. */
static void
on_time(struct timer *t)
{
	struct share *s = CONTAINER_OF(t, struct share, timer);
	struct note *n = note_next(s);
	bool note_due = n != NULL && n->due <= clock_now();

	if (s->noted[0] != '\0') {
		look_at(s, s->noted);
	} else if (note_due && (!looks(s) || !s->note_served)) {
		s->note_served = true;
		serve(s, n);
	} else if (looks(s)) {
		s->note_served = false;
		look(s);
	} else {
		plan(s);
	}
}

/* Sets the timer for what comes next; nothing is begun from here. */
static void
plan(struct share *s)
{
	struct note *n = note_next(s);
	bool now = looks(s) || s->noted[0] != '\0';
	int64_t when = now ? clock_now() : n != NULL ? n->due : 0;

	if (s->step != NULL || s->object_arena != NULL || wait_pending(&s->find.wait) ||
	    (n == NULL && !now))
		return;
	if (when < s->not_before)
		when = s->not_before;
	timer_set(s->p.loop, &s->timer, when);
}

struct share *
share_new(const struct share_params *p)
{
	struct share *s = alloc_zero(sizeof(*s));

	if (s == NULL)
		return NULL;
	s->p = *p;
	snprintf(s->tenant, sizeof(s->tenant), "%s", p->tenant);
	list_init(&s->notes);
	s->timer.fn = on_time;
	s->look_wanted = true;
	s->known_date = INT64_MAX;
	s->not_before = clock_now() + SHARE_QUIET_NS;
	p->vault->share = s;
	plan(s);
	return s;
}

void
share_free(struct share *s)
{
	struct list *link;

	if (s == NULL)
		return;
	s->p.vault->share = NULL;
	if (s->step != NULL)
		succeed_leave(s->step);
	wait_cancel(&s->find.wait);
	wait_cancel(&s->load.wait);
	wait_cancel(&s->changes.wait);
	end_object(s);
	timer_clear(s->p.loop, &s->timer);
	end_part(s);
	while ((link = s->notes.next) != &s->notes)
		note_drop(s, CONTAINER_OF(link, struct note, link));
	alloc_free(s);
}
