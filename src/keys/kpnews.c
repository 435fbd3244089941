/* SPDX-License-Identifier: Apache-2.0 */
/*
 * News of the vault `keyprotect`: now and then a look at the root key itself; the canary, which is a
 * wrap of nothing that proves root key and right when it is unwrapped; then the list of deletions and
 * that of creations, page by page.
 */
#include "kproot.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"

enum {
	CANARY_LEN = 32,
	PAGE = 1000,
	OVERLAP = 20, /* a change meanwhile moves later ones forward */
	PAGES_MAX = 200,
	PATH_MAX_LEN = 1024,
	ANSWER_MAX = 2 * 1024 * 1024,
};

#define LOOK_AGAIN (60 * NS_PER_S) /* after one without an answer */

enum news_list { LIST_DELETED, LIST_CREATED, LISTS };

struct news_op {
	struct kpop op;
	struct kproot *root;
	struct vault_news *news;
	enum news_list list;
	unsigned page;
	unsigned moves; /* the root's, when the proof began */
	bool looked;
	bool refused;   /* an answer said that the root key is gone or disabled */
	bool suspended; /* with that: what it said */
	unsigned refused_moves; /* and which one it was about */
	struct buf path;
	struct defer begin;
};

static void
news_fini(struct kpop *o)
{
	struct news_op *n = (struct news_op *)o;

	loop_undefer(&n->begin);
	buf_fini(&n->path);
}

static const struct kpop_type news_type = {
    .size = sizeof(struct news_op), .fini = news_fini, .label = LABEL_VAULT_CALL_NEWS};

static const char *const canary_aad[KP_AAD_COUNT] = {"keyferry-v1", "canary", "canary", "canary"};

static void list_page(struct news_op *n);
static void look(struct news_op *n);
static void prove(struct news_op *n);
static void make_canary(struct news_op *n);

static void
news_cancel(struct wait *w)
{
	kpop_leave(CONTAINER_OF(w, struct vault_news, wait)->op);
}

/* --- lists --- */

static void
take_row(void *arg, const struct kp_key *k)
{
	struct news_op *n = arg;
	struct vault_record r = {.name = k->name, .record_id = k->id};

	if (kp_key_is_gone(k))
		r.gone = kpop_how_gone(&n->op, k, n->news->now);
	n->news->each(n->news->arg, &r);
}

static void
listed(struct wait *w, enum err e)
{
	struct news_op *n = w->owner;
	const struct buf *b = &n->op.call.http.answer;
	size_t rows = 0;

	if (e == ERR_OK && kp_read_keys(b->data, b->len, take_row, n, &rows) != ERR_OK)
		e = ERR_VAULT_DOWN;
	if (e == ERR_OK && rows >= PAGE && ++n->page == PAGES_MAX)
		e = ERR_RESPONSE_TOO_LARGE;
	if (e == ERR_OK && rows < PAGE) {
		n->page = 0;
		n->list++;
	}
	if (e != ERR_OK || n->list == LISTS)
		kpop_end(&n->op, e == ERR_NO_OBJECT ? ERR_VAULT_DOWN : e);
	else
		list_page(n);
}

static void
list_page(struct news_op *n)
{
	static const char *const date[] = {
	    [LIST_DELETED] = "deletionDate", [LIST_CREATED] = "creationDate"};
	char since[32], filter[128];

	text_time(since, n->news->since * 1000);
	snprintf(filter, sizeof(filter), "%s=gte:\"%.19sZ\"%s extractable=true", date[n->list], since,
	    n->list == LIST_DELETED ? " state=5" : "");
	buf_reset(&n->path);
	buf_printf(&n->path, "/keys?limit=%d&offset=%u&sort=%s&filter=", PAGE,
	    n->page * (PAGE - OVERLAP), date[n->list]);
	http_escape(&n->path, filter, strlen(filter));
	buf_put(&n->path, "", 1);
	if (buf_error(&n->path) != ERR_OK) {
		kpop_end(&n->op, buf_error(&n->path));
		return;
	}
	kpop_step(&n->op); /* each page has its own time */
	kpop_call(&n->op, &n->op.call, "GET", (const char *)n->path.data, NULL, listed);
}

static void
begin_lists(struct news_op *n)
{
	kprights_start(n->root);
	list_page(n);
}

/* --- the canary --- */

/*
 * What an answer said of the root key stands until another answer takes it back, or it turns out that
 * the alias names another: that what is asked after it fails takes nothing back.
 */
static enum err
weigh(struct news_op *n, enum err e)
{
	if (!n->refused || e == ERR_OK || e == ERR_NO_ROOT_KEY ||
	    n->root->moves != n->refused_moves)
		return e;
	n->news->suspended = n->suspended;
	return ERR_NO_ROOT_KEY;
}

static void
proved(struct news_op *n, enum err e)
{
	e = weigh(n, e);
	if (e == ERR_OK && n->moves != n->root->moves)
		prove(n); /* meanwhile another root key came to bear the alias */
	else if (e != ERR_OK || n->news->since == 0)
		kpop_end(&n->op, e);
	else
		begin_lists(n);
}

static void
canary_opened(struct wait *w, enum err e)
{
	struct news_op *n = w->owner;
	struct kproot *r = n->root;
	const struct kpcall *c = &n->op.call;

	n->news->now = c->http.date;
	n->news->suspended = kproot_is_suspended(n->root, c);
	if (e == ERR_INTEGRITY && n->moves == r->moves) {
		alloc_free(r->canary);
		r->canary = NULL;
		make_canary(n);
		return;
	}
	e = kpop_root_key_error(e);
	if (e != ERR_NO_ROOT_KEY || n->looked || !kproot_has_alias(r)) {
		proved(n, e);
		return;
	}
	n->refused = true;
	n->suspended = n->news->suspended;
	n->refused_moves = n->moves;
	look(n); /* perhaps it is another that bears the alias now */
}

static enum err
seen(struct news_op *n, enum err e)
{
	unsigned moves = n->root->moves;

	e = kproot_seen(n->root, &n->op.call, e);
	n->news->moved |= n->root->moves != moves;
	return e;
}

/* A root key that has expired wraps no more, but what it wrapped can be unwrapped. */
static void
no_wrap_seen(struct wait *w, enum err e)
{
	struct news_op *n = w->owner;
	struct kproot *r = n->root;

	e = seen(n, e);
	n->news->suspended = e == ERR_WRONG_STATE || (e == ERR_OK && !r->no_wrap);
	if (e == ERR_OK && !r->no_wrap && n->moves == r->moves)
		e = ERR_WRONG_STATE; /* enabled a moment ago: the next round will tell */
	proved(n, kpop_root_key_error(e));
}

static void
canary_made(struct wait *w, enum err e)
{
	struct news_op *n = w->owner;
	struct kproot *r = n->root;
	const struct kpcall *c = &n->op.call;
	struct kp_action a = {.version = ""};

	n->news->now = c->http.date;
	n->news->suspended = kproot_is_suspended(n->root, c);
	if (c->class == KP_STATE) {
		kproot_look(r, &n->op, no_wrap_seen);
		return;
	}
	if (e == ERR_OK &&
	    (kp_read_action(c->http.answer.data, c->http.answer.len, &a) != ERR_OK ||
		a.ciphertext[0] == '\0'))
		e = ERR_VAULT_DOWN;
	if (e == ERR_OK && n->moves == r->moves) {
		alloc_free(r->canary);
		r->canary = alloc_text(a.ciphertext);
		r->no_wrap = false;
	}
	kp_action_fini(&a);
	proved(n, kpop_root_key_error(e));
}

static void
make_canary(struct news_op *n)
{
	struct secret *nothing = secret_new(CANARY_LEN, SECRET_TRANSIENT);

	if (nothing == NULL) {
		kpop_end(&n->op, ERR_NO_SECURE_MEMORY);
		return;
	}
	buf_reset(&n->op.body);
	kp_put_wrap(&n->op.body, nothing, canary_aad);
	secret_unref(nothing);
	kproot_path(n->op.path, n->root, "/actions/wrap");
	kpop_call(&n->op, &n->op.call, "POST", n->op.path, &n->op.body, canary_made);
}

static void
prove(struct news_op *n)
{
	const char *canary = n->root->canary;

	n->moves = n->root->moves;
	if (canary == NULL) {
		make_canary(n);
		return;
	}
	buf_reset(&n->op.body);
	kp_put_unwrap(&n->op.body, canary, strlen(canary), canary_aad);
	kproot_path(n->op.path, n->root, "/actions/unwrap");
	kpop_call(&n->op, &n->op.call, "POST", n->op.path, &n->op.body, canary_opened);
}

/* --- the root key itself --- */

/* To hear what an alias names takes an answer, and an alias that there is. */
static bool
has_to_be_sure(const struct news_op *n)
{
	return n->news->sure && kproot_has_alias(n->root);
}

static void
end_unsure(struct news_op *n, enum err e)
{
	LOG(LOG_WARN, "keyprotect", "which root key bears the alias could not be seen",
	    kv_text("alias", n->root->root_key), kv_text("error", err_name(e)));
	kpop_end(&n->op, e);
}

/*
 * Which one bears the alias, and whether it is deactivated.  What it is beside that the canary proves:
 * also when the alias is gone, or on its way to another, or nobody answers a look.
 */
static void
looked(struct wait *w, enum err e)
{
	struct news_op *n = w->owner;
	struct kproot *r = n->root;
	bool no_answer;

	n->news->now = n->op.call.http.date;
	e = seen(n, e);
	no_answer = e == ERR_VAULT_DOWN || e == ERR_DEADLINE;
	if (no_answer && r->id[0] != '\0')
		r->look_at = clock_now() + LOOK_AGAIN; /* the time of the next rounds is for the canary */
	if (e != ERR_OK && e != ERR_WRONG_STATE && has_to_be_sure(n))
		end_unsure(n, kpop_root_key_error(e));
	else if (r->id[0] != '\0' && (e == ERR_OK || e == ERR_NO_OBJECT || e == ERR_WRONG_STATE ||
				    (no_answer && !n->refused)))
		prove(n);
	else
		kpop_end(&n->op, weigh(n, kpop_root_key_error(e)));
}

static void
look(struct news_op *n)
{
	n->looked = true;
	kproot_look(n->root, &n->op, looked);
}

/* The operation may end only from a callback, and this is not one yet. */
static void
on_begin(struct defer *d)
{
	struct news_op *n = CONTAINER_OF(d, struct news_op, begin);

	if (clock_now() >= n->root->look_at || has_to_be_sure(n))
		look(n);
	else
		prove(n);
}

void
kpnews_start(struct vault_source *source, struct vault_news *news)
{
	struct kproot *r = CONTAINER_OF(source, struct kproot, source);
	struct news_op *n = kpop_new(&r->home, &news_type, &news->wait, &news->terms);

	if (n == NULL)
		return;
	n->root = r;
	n->news = news;
	n->op.answer_max = ANSWER_MAX;
	n->begin.fn = on_begin;
	buf_init(&n->path, PATH_MAX_LEN);
	news->now = -1;
	news->suspended = news->moved = false;
	news->op = n;
	news->wait.cancel = news_cancel;
	loop_defer(r->home.link.loop, &n->begin);
}
