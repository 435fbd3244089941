/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds records by name: by a search, and where there are too many keys to search in, by walking
 * the list in the order of creation from shortly before the object was made, to its end: successors
 * may stand anywhere in it.
 */
#include "kpfind.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"

enum {
	SEARCH_LIMIT = 200,
	PAGE = 1000,
	OVERLAP = 50, /* a deletion meanwhile moves the later ones forward */
	PAGES_MAX = 100,
	PATH_MAX_LEN = 1024,
	ANSWER_MAX = 2 * 1024 * 1024,
};
#define AGAIN_NS (500 * NS_PER_MS)
#define CLOCKS_DIFFER_MS (10 * 60 * 1000)

static void look(struct kpfind *f);

static void
finish(struct kpfind *f, enum err e)
{
	kpcall_fini(&f->call);
	timer_clear(f->link->loop, &f->pause);
	wait_finish(&f->wait, e);
}

static bool
known(const struct kpfind *f, const struct kp_key *k)
{
	for (size_t i = 0; i < f->count; i++)
		if (strcmp(f->found[i].id, k->id) == 0)
			return true;
	return false;
}

static bool
satisfied(const struct kpfind *f)
{
	struct kp_key want = {.state = -1};

	if (f->want_id == NULL)
		return f->count > 0;
	snprintf(want.id, sizeof(want.id), "%s", f->want_id);
	return known(f, &want);
}

/* Of two that were made in the same second, the one that may come back counts. */
static void
note_gone(struct kpfind *f, const struct kp_key *k)
{
	int order = strcmp(k->created, f->last_gone);

	if (order < 0 || (order == 0 && f->withdrawn))
		return;
	f->withdrawn = !kp_key_is_destroyed(k);
	snprintf(f->last_gone, sizeof(f->last_gone), "%s", k->created);
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
	if (known(f, k) || f->count == KPFIND_MAX)
		return;
	for (; at > 0 && (strcmp(f->found[at - 1].created, k->created) > 0 ||
			     (strcmp(f->found[at - 1].created, k->created) == 0 &&
				 strcmp(f->found[at - 1].id, k->id) > 0));
	     at--)
		f->found[at] = f->found[at - 1];
	f->found[at] = *k;
	f->count++;
}

static void
on_pause(struct timer *t)
{
	look(CONTAINER_OF(t, struct kpfind, pause));
}

static void
look_again_or_finish(struct kpfind *f)
{
	int64_t when = clock_now() + AGAIN_NS;

	f->page = 0;
	if (!satisfied(f) && when < f->look_until && when < f->deadline &&
	    timer_set(f->link->loop, &f->pause, when) == ERR_OK)
		return;
	finish(f, ERR_OK);
}

static void
looked(struct wait *w, enum err e)
{
	struct kpfind *f = CONTAINER_OF(w, struct kpfind, call.wait);
	size_t rows;

	if (e != ERR_OK && f->call.class == KP_BROAD && !f->by_date) {
		f->by_date = true;
		look(f);
		return;
	}
	if (e == ERR_OK && kp_read_keys(f->call.http.answer.data, f->call.http.answer.len, take, f,
			       &rows) != ERR_OK)
		e = ERR_VAULT_DOWN; /* not Key Protect's answer */
	if (e != ERR_OK) {
		finish(f, e);
		return;
	}
	if (!f->by_date || (f->want_id != NULL && satisfied(f)) || rows < PAGE)
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
		buf_printf(&f->path, "/keys?extractable=true&limit=%d%s&search=", SEARCH_LIMIT,
		    states);
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

static void
look(struct kpfind *f)
{
	put_path(f);
	f->call.wait.done = looked;
	f->call.method = "GET";
	f->call.path = buf_error(&f->path) == ERR_OK ? (const char *)f->path.data : "";
	f->call.answer_wanted = true;
	f->call.background = f->background;
	f->call.answer_max = ANSWER_MAX;
	f->call.deadline = f->deadline;
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
	f->withdrawn = false;
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
}
