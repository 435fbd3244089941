/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds records by name: by a search, and where there are too many keys to search in, by walking
 * the list in the order of creation from shortly before the object was made, to its end: successors
 * may stand anywhere in it.
 */
#include "kpfind.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "kpop.h"

enum {
	PAGE = 1000,
	OVERLAP = 50, /* a deletion meanwhile moves the later ones forward */
	PAGES_MAX = 1000,
	PATH_MAX_LEN = 1024,
	ANSWER_MAX = 2 * 1024 * 1024,
	RETIRING_S = (int)(2 * KPOP_RETIRE_NS / NS_PER_S), /* answers and lists take their time */
};
#define AGAIN_NS (500 * NS_PER_MS)
#define LOOK_NS (1 * NS_PER_S) /* what a look has at least */
#define CLOCKS_DIFFER_MS (10 * 60 * 1000)

static void look(struct kpfind *f);

static bool
known(const struct kpfind *f, const char *id)
{
	for (size_t i = 0; i < f->count; i++)
		if (strcmp(f->found[i].id, id) == 0)
			return true;
	return false;
}

static bool
make_room(struct kpfind *f)
{
	size_t room = f->room > 0 ? 2 * f->room : 8;
	struct kpfound *grown;

	if (f->count < f->room)
		return true;
	if (room > KPFIND_MAX)
		room = KPFIND_MAX;
	grown = f->count < room ? alloc_resize(f->found, room * sizeof(*grown)) : NULL;
	if (grown == NULL)
		return false;
	f->found = grown;
	f->room = room;
	return true;
}

static bool
satisfied(const struct kpfind *f)
{
	return f->want_id != NULL ? known(f, f->want_id) : f->count > 0;
}

static void
note_when(struct kpfind *f, const struct kp_key *k, bool destroyed)
{
	int64_t when = kp_read_date(k->deletion_date);
	int64_t until = when < 0 ? INT64_MAX : when + RETIRING_S;

	if (destroyed && when > f->destroyed_at)
		f->destroyed_at = when;
	if (!destroyed && until > f->may_count_until)
		f->may_count_until = until;
}

/* Of two that were made in the same second, the one that may come back counts. */
static void
note_gone(struct kpfind *f, const struct kp_key *k)
{
	bool destroyed = kp_key_is_destroyed(k, f->link->ours);
	int order = strcmp(k->created, f->last_gone);

	note_when(f, k, destroyed);
	if (order < 0 || (order == 0 && f->last_withdrawn))
		return;
	f->last_withdrawn = !destroyed;
	snprintf(f->last_gone, sizeof(f->last_gone), "%s", k->created);
}

/*
 * What was made last need not be what counts: of successors with one sequence the older one may stay,
 * also when it was away, and restored, meanwhile.  So what a gateway deleted may have made way for any
 * that was still there shortly before.
 */
static bool
is_withdrawn(const struct kpfind *f)
{
	return f->last_withdrawn || (f->may_count_until > 0 && f->destroyed_at <= f->may_count_until);
}

static bool
is_later(const struct kpfound *f, const struct kp_key *k)
{
	int order = strcmp(f->created, k->created);

	return order > 0 || (order == 0 && strcmp(f->id, k->id) > 0);
}

/* Key Protect compares names without regard to case; we do not. */
static void
take(void *arg, const struct kp_key *k)
{
	struct kpfind *f = arg;
	size_t at = f->count;

	if (strcmp(k->name, f->name) != 0)
		return;
	if (kp_key_is_gone(k)) {
		note_gone(f, k);
		return;
	}
	if (known(f, k->id))
		return;
	if (!make_room(f)) {
		f->error = ERR_NO_MEMORY;
		return;
	}
	for (; at > 0 && is_later(&f->found[at - 1], k); at--)
		f->found[at] = f->found[at - 1];
	memcpy(f->found[at].id, k->id, sizeof(k->id));
	memcpy(f->found[at].created, k->created, sizeof(k->created));
	f->count++;
}

enum err
kpfind_add(struct kpfind *f, const char *id)
{
	if (known(f, id))
		return ERR_OK;
	if (!make_room(f))
		return ERR_NO_MEMORY;
	f->found[f->count] = (struct kpfound){.created = ""};
	snprintf(f->found[f->count].id, sizeof(f->found[f->count].id), "%s", id);
	f->count++;
	return ERR_OK;
}

static void
finish(struct kpfind *f, enum err e)
{
	kpcall_fini(&f->call);
	timer_clear(f->link->loop, &f->pause);
	f->withdrawn = is_withdrawn(f);
	wait_finish(&f->wait, e);
}

static void
on_pause(struct timer *t)
{
	look(CONTAINER_OF(t, struct kpfind, pause));
}

/* With no time to look as often as the lag asks, that nothing was shown proves nothing. */
static void
look_again_or_finish(struct kpfind *f)
{
	int64_t when = clock_now() + AGAIN_NS;

	f->page = 0;
	if (satisfied(f) || when >= f->look_until)
		finish(f, ERR_OK);
	else if (when + LOOK_NS < f->deadline)
		timer_set(f->link->loop, &f->pause, when);
	else
		finish(f, ERR_DEADLINE);
}

static void
looked(struct wait *w, enum err e)
{
	struct kpfind *f = CONTAINER_OF(w, struct kpfind, call.wait);
	size_t rows;

	if (e != ERR_OK && f->call.class == KP_BROAD && !f->by_date) {
		f->by_date = true;
		f->page = 0;
		look(f);
		return;
	}
	if (e == ERR_OK && kp_read_keys(f->call.http.answer.data, f->call.http.answer.len, take, f,
			       &rows) != ERR_OK)
		e = ERR_VAULT_DOWN; /* not Key Protect's answer */
	if (e == ERR_OK)
		e = f->error;
	if (e != ERR_OK) {
		finish(f, e);
		return;
	}
	if ((f->want_id != NULL && satisfied(f)) || rows < PAGE)
		look_again_or_finish(f);
	else if (++f->page == PAGES_MAX)
		finish(f, ERR_VAULT_DOWN);
	else
		look(f);
}

static void
put_path(struct kpfind *f)
{
	const char *states = f->deleted_too ? "&state=0,1,2,3,5" : "";
	char text[128], since[25];
	int64_t from = f->made_ms > CLOCKS_DIFFER_MS ? f->made_ms - CLOCKS_DIFFER_MS : 0;

	buf_reset(&f->path);
	if (!f->by_date) {
		buf_printf(&f->path, "/keys?extractable=true&limit=%d%s&offset=%u&search=", PAGE,
		    states, f->page * (PAGE - OVERLAP));
		snprintf(text, sizeof(text), "exact:name:%s", f->name);
	} else {
		buf_printf(&f->path,
		    "/keys?extractable=true&limit=%d%s&offset=%u&sort=creationDate&filter=", PAGE,
		    states, f->page * (PAGE - OVERLAP));
		text_time(since, from);
		snprintf(text, sizeof(text), "creationDate=gte:\"%.19sZ\"", since);
	}
	http_escape(&f->path, text, strlen(text));
	buf_put(&f->path, "", 1);
}

/* A long walk ends, if each of its pages comes in time, within its waiter's. */
static int64_t
page_deadline(const struct kpfind *f)
{
	int64_t own = clock_now() + f->page_ns;

	if (f->page == 0 || own < f->deadline)
		return f->deadline;
	return own < f->latest ? own : f->latest;
}

static void
look(struct kpfind *f)
{
	put_path(f);
	f->call.wait.done = looked;
	f->call.method = "GET";
	f->call.path = buf_error(&f->path) == ERR_OK ? (const char *)f->path.data : NULL;
	f->call.answer_wanted = true;
	f->call.background = f->background;
	f->call.answer_max = ANSWER_MAX;
	f->call.deadline = page_deadline(f);
	kpcall_start(f->link, &f->call);
}

static void
cancel(struct wait *w)
{
	struct kpfind *f = CONTAINER_OF(w, struct kpfind, wait);

	wait_cancel(&f->call.wait);
	timer_clear(f->link->loop, &f->pause);
}

void
kpfind_start(struct kplink *l, struct kpfind *f)
{
	f->link = l;
	f->count = 0;
	f->error = ERR_OK;
	f->withdrawn = f->last_withdrawn = false;
	f->destroyed_at = f->may_count_until = 0;
	f->last_gone[0] = '\0';
	f->by_date = false;
	f->page = 0;
	f->pause.fn = on_pause;
	f->wait.cancel = cancel;
	if (f->path.max == 0)
		buf_init(&f->path, PATH_MAX_LEN);
	look(f);
}

void
kpfind_fini(struct kpfind *f)
{
	kpcall_fini(&f->call);
	buf_fini(&f->path);
	alloc_free(f->found);
	f->found = NULL;
	f->count = f->room = 0;
}
