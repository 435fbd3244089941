/* SPDX-License-Identifier: Apache-2.0 */
/*
 * News of the vault `keyprotect`: the canary, which is a wrap of nothing that proves root key and
 * right when it is unwrapped; then the list of deletions and that of creations, page by page.
 */
#include "kproot.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/metric.h"

enum {
	CANARY_LEN = 32,
	PAGE = 1000,
	OVERLAP = 20, /* a change meanwhile moves later ones forward */
	PAGES_MAX = 200,
	PATH_MAX_LEN = 1024,
	ANSWER_MAX = 2 * 1024 * 1024,
	STATE_DEACTIVATED = 3,
};

enum news_list { LIST_DELETED, LIST_CREATED, LISTS };

struct news_op {
	struct kpop op;
	struct kproot *root;
	struct vault_news *news;
	enum news_list list;
	unsigned page;
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
		r.gone = kpop_how_gone(k, n->news->now);
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
	n->op.deadline = clock_now() + n->root->home.timeout_ns; /* each page has its own */
	kpop_call(&n->op, &n->op.call, "GET", (const char *)n->path.data, NULL, listed);
}

/* --- the canary --- */

static void
proved(struct news_op *n, enum err e)
{
	if (e != ERR_OK || n->news->since == 0)
		kpop_end(&n->op, e);
	else
		list_page(n);
}

static void
canary_opened(struct wait *w, enum err e)
{
	struct news_op *n = w->owner;
	const struct kpcall *c = &n->op.call;

	n->news->now = c->http.date;
	n->news->suspended = kproot_is_suspended(n->root, c);
	if (e == ERR_INTEGRITY) { /* another root key bears the alias now */
		alloc_free(n->root->canary);
		n->root->canary = NULL;
		make_canary(n);
		return;
	}
	proved(n, kpop_root_key_error(e));
}

/* A root key that has expired wraps no more, but what it wrapped can be unwrapped. */
static void
root_key_seen(struct wait *w, enum err e)
{
	struct news_op *n = w->owner;
	const struct buf *b = &n->op.call.http.answer;
	struct kp_key k = {.state = -1};
	size_t rows = 0;

	if (e == ERR_OK &&
	    (kp_read_keys(b->data, b->len, kp_keep_key, &k, &rows) != ERR_OK || rows != 1))
		e = ERR_VAULT_DOWN;
	if (e == ERR_OK && k.state != STATE_DEACTIVATED)
		e = ERR_NO_ROOT_KEY;
	n->root->no_wrap = e == ERR_OK;
	n->news->suspended = !kp_key_is_gone(&k);
	proved(n, kpop_root_key_error(e));
}

static void
canary_made(struct wait *w, enum err e)
{
	struct news_op *n = w->owner;
	const struct kpcall *c = &n->op.call;
	struct kp_action a = {.version = ""};

	n->news->now = c->http.date;
	n->news->suspended = kproot_is_suspended(n->root, c);
	if (c->class == KP_STATE) {
		snprintf(n->op.path, KPOP_PATH_LEN, "/keys/%s/metadata", n->root->root_key);
		kpop_call(&n->op, &n->op.call, "GET", n->op.path, NULL, root_key_seen);
		return;
	}
	if (e == ERR_OK &&
	    (kp_read_action(c->http.answer.data, c->http.answer.len, &a) != ERR_OK ||
		a.ciphertext[0] == '\0'))
		e = ERR_VAULT_DOWN;
	if (e == ERR_OK) {
		n->root->canary = alloc_text(a.ciphertext);
		n->root->no_wrap = false;
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
	snprintf(n->op.path, KPOP_PATH_LEN, "/keys/%s/actions/wrap", n->root->root_key);
	kpop_call(&n->op, &n->op.call, "POST", n->op.path, &n->op.body, canary_made);
}

static void
open_canary(struct news_op *n)
{
	const char *canary = n->root->canary;

	kp_put_unwrap(&n->op.body, canary, strlen(canary), canary_aad);
	snprintf(n->op.path, KPOP_PATH_LEN, "/keys/%s/actions/unwrap", n->root->root_key);
	kpop_call(&n->op, &n->op.call, "POST", n->op.path, &n->op.body, canary_opened);
}

/* The operation may end only from a callback, and this is not one yet. */
static void
on_begin(struct defer *d)
{
	struct news_op *n = CONTAINER_OF(d, struct news_op, begin);

	if (n->root->canary != NULL)
		open_canary(n);
	else
		make_canary(n);
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
	news->suspended = false;
	news->op = n;
	news->wait.cancel = news_cancel;
	loop_defer(r->home.link.loop, &n->begin);
}
