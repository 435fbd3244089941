/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Access tokens: one request at a time for each credential, backing off when it fails.
 *
 *   no answer, 429, 5xx:  again after 1, 2, 4 ... 30 s with full jitter, or when IAM said
 *   refused:              again after 60 s, or as soon as the credential's file is another
 *
 * A token that is still good is handed out meanwhile.  Without one, who waits stays for
 * FAILURES_MAX attempts; from then on everybody is told at once, until one succeeds.
 */
#include "keys/iam.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/rand.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/credential.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/secret_file.h"
#include "iamwire.h"

enum {
	FILE_MAX = 16 * 1024,
	FORM_MAX = 64 * 1024,
	ANSWER_MAX = 64 * 1024,
	FAILURES_MAX = 3,
	LIFE_MAX_S = 24 * 3600,
};
#define ATTEMPT_NS (10 * NS_PER_S)
#define BACKOFF_NS (1 * NS_PER_S)
#define BACKOFF_MAX_NS (30 * NS_PER_S)
#define DENIED_NS (60 * NS_PER_S)
#define HOLD_MAX_NS (60 * NS_PER_S) /* however long IAM wants to be left alone */
#define WAIT_MAX_NS (10 * NS_PER_S) /* nobody is kept waiting for an attempt that is further off */
#define FORCED_NS (30 * NS_PER_S) /* a newer token than this old is not asked for twice */
#define MARGIN_NS (10 * NS_PER_S) /* before its end a token is not used any more */

struct iam_set {
	struct loop *loop;
	struct http *http;
	struct list all;
};

/* Which file it was, to see when it has been replaced. */
struct file_mark {
	ino_t inode;
	struct timespec changed;
};

struct iam {
	struct list link;
	struct iam_set *set;
	unsigned refs;
	char *url, *api_key_file, *token_file, *profile_id, *profile_name, *ca_file, *proxy;
	struct http_route route;
	void (*event)(void *arg, const struct iam *, const char *what, const char *detail);
	void *arg;

	struct secret *header; /* NULL: none yet */
	int64_t since, until;  /* clock_now() times of the token; until: to be used no longer */
	int64_t forced;	       /* when a newer one was last asked for; 0: never */
	enum iam_state state;
	unsigned failures;  /* in a row */
	int64_t not_before; /* the next attempt */
	struct file_mark mark;
	struct list waiters; /* for a token to come */
	struct list ready;   /* for the turn, to be given the one that is there */
	struct timer timer;  /* the next attempt */
	struct defer turn;
	bool renewing; /* an attempt is due or under way */
	struct http_call call;
	struct buf form;
};

static void renew(struct iam *i);

/* --- who waits --- */

static bool
usable(const struct iam *i)
{
	return i->header != NULL && clock_now() < i->until;
}

static void
leave(struct wait *w)
{
	(void)w; /* it is out of the queue already; the renewal runs on */
}

/* Ends those who wait; with only_newer, just those whom the present token does not help. */
static void
serve(struct iam *i, enum err e, bool only_newer)
{
	struct list batch, *l;

	list_init(&batch);
	list_move_all(&batch, &i->waiters);
	iam_ref(i); /* one served may give it back */
	while ((l = list_pop(&batch)) != NULL) {
		struct iam_want *w = CONTAINER_OF(l, struct iam_want, wait.link);

		if (only_newer && !w->newer) {
			list_append(&i->waiters, l);
			continue;
		}
		if (e == ERR_OK)
			w->header = secret_ref(i->header);
		wait_finish(&w->wait, e);
	}
	iam_unref(i);
}

static enum err
error_of(const struct iam *i)
{
	return i->state == IAM_DENIED ? ERR_VAULT_DENIED : ERR_VAULT_DOWN;
}

static const char *
credential_file(const struct iam *i)
{
	static const char *const usual[] = {"/var/run/secrets/tokens/vault-token",
	    "/var/run/secrets/tokens/sa-token",
	    "/var/run/secrets/codeengine.cloud.ibm.com/compute-resource-token/token"};
	struct stat st;

	if (i->api_key_file != NULL)
		return i->api_key_file;
	if (i->token_file != NULL)
		return i->token_file;
	for (size_t n = 0; n < sizeof(usual) / sizeof(*usual); n++)
		if (stat(usual[n], &st) == 0 ||
		    (errno != ENOENT && errno != ENOTDIR && errno != EACCES))
			return usual[n]; /* the one, or the one that cannot be looked at now */
	return usual[0];
}

static struct file_mark
mark_of(const struct iam *i)
{
	char where[CREDENTIAL_PATH_MAX];
	const char *why;
	struct stat st;

	if (credential_path(where, credential_file(i), &why) != ERR_OK || stat(where, &st) != 0)
		return (struct file_mark){0};
	return (struct file_mark){st.st_ino, st.st_mtim};
}

static bool
replaced(const struct iam *i)
{
	struct file_mark now = mark_of(i);

	return now.inode != i->mark.inode || now.changed.tv_sec != i->mark.changed.tv_sec ||
	       now.changed.tv_nsec != i->mark.changed.tv_nsec;
}

/* No attempt is due, and that is known well enough to say so at once. */
static bool
hopeless(const struct iam *i)
{
	if (i->renewing || clock_now() >= i->not_before)
		return false;
	if (i->state == IAM_DENIED)
		return !replaced(i);
	return i->failures >= FAILURES_MAX || i->not_before - clock_now() > WAIT_MAX_NS;
}

static void
enqueue(struct iam *i, struct iam_want *w)
{
	w->wait.cancel = leave;
	list_append(&i->waiters, &w->wait.link);
	if (!i->renewing && (clock_now() >= i->not_before || i->state == IAM_DENIED))
		renew(i);
}

void
iam_want(struct iam *i, struct iam_want *w)
{
	w->newer = false;
	w->header = NULL;
	if (usable(i)) {
		w->wait.cancel = leave;
		list_append(&i->ready, &w->wait.link);
		loop_defer(i->set->loop, &i->turn);
	} else if (hopeless(i)) {
		wait_finish_soon(i->set->loop, &w->wait, error_of(i));
	} else {
		enqueue(i, w);
	}
}

void
iam_want_newer(struct iam *i, struct iam_want *w, const struct secret *refused)
{
	int64_t now = clock_now();

	if (i->header != refused) {
		iam_want(i, w);
		return;
	}
	w->newer = true;
	w->header = NULL;
	/* refused again; but where no newer one came, IAM's state is what there is to tell */
	if (!i->renewing && i->forced != 0 && now - i->forced < FORCED_NS &&
	    i->since >= i->forced && !replaced(i)) {
		wait_finish_soon(i->set->loop, &w->wait, ERR_VAULT_DENIED);
		return;
	}
	if (!i->renewing && now < i->not_before && !replaced(i)) {
		wait_finish_soon(i->set->loop, &w->wait, error_of(i));
		return;
	}
	i->forced = now;
	w->wait.cancel = leave;
	list_append(&i->waiters, &w->wait.link);
	if (!i->renewing)
		renew(i);
}

/* --- how an attempt ends --- */

static void
set_state(struct iam *i, enum iam_state state, const char *what, const char *detail)
{
	bool change = i->state != state;

	i->state = state;
	LOG(LOG_DEBUG, "iam", what, kv_text("credential", iam_name(i)), kv_text("detail", detail),
	    kv_text("correlation", i->call.correlation_id));
	if (change && i->event != NULL)
		i->event(i->arg, i, what, detail);
}

/* A random part of it, evenly spread. */
static int64_t
jitter(int64_t ns)
{
	uint32_t r = 0;

	if (RAND_bytes((uint8_t *)&r, sizeof(r)) != 1)
		r = UINT32_MAX / 2;
	return (int64_t)((double)ns * r / UINT32_MAX);
}

static void
failed(struct iam *i, enum iam_state state, int64_t delay, const char *what, const char *detail)
{
	i->renewing = false;
	i->failures++;
	metric_inc(METRIC_IAM_FAILURES_TOTAL);
	i->not_before = clock_now() + delay;
	timer_set(i->set->loop, &i->timer, i->not_before);
	set_state(i, state, what, detail);
	if (state == IAM_DENIED || i->failures >= FAILURES_MAX || delay > WAIT_MAX_NS)
		serve(i, error_of(i), false);
	else
		serve(i, error_of(i), true);
}

static void
failed_for_now(struct iam *i, const char *detail)
{
	int64_t delay = BACKOFF_NS << (i->failures < 5 ? i->failures : 5);

	delay = jitter(delay < BACKOFF_MAX_NS ? delay : BACKOFF_MAX_NS);
	if (i->call.retry_after_ns > delay)
		delay = i->call.retry_after_ns < HOLD_MAX_NS ? i->call.retry_after_ns : HOLD_MAX_NS;
	failed(i, IAM_DOWN, delay, "unavailable", detail);
}

static void
renewed(struct iam *i, const struct iamwire_answer *a)
{
	int64_t life = (a->life_s < LIFE_MAX_S ? a->life_s : LIFE_MAX_S) * NS_PER_S;
	int64_t margin = life / 5 < MARGIN_NS ? life / 5 : MARGIN_NS;

	secret_unref(i->header);
	i->header = secret_ref(a->header);
	i->since = clock_now();
	i->until = i->since + life - margin;
	i->renewing = false;
	i->failures = 0;
	i->not_before = 0;
	metric_inc(METRIC_IAM_TOKENS_TOTAL);
	timer_set(i->set->loop, &i->timer, i->since + life / 5 * 4 - jitter(life / 20));
	set_state(i, IAM_GOOD, "renewed", "");
	serve(i, ERR_OK, false);
}

static void
judge(struct iam *i, const struct iamwire_answer *a, enum err e)
{
	unsigned status = i->call.status;
	char detail[IAMWIRE_DETAIL_MAX + 32];

	if (e == ERR_OK && status == 200 && a->header != NULL && a->life_s > 0) {
		renewed(i, a);
		return;
	}
	snprintf(detail, sizeof(detail), "HTTP %u%s%s", status, a->detail[0] != '\0' ? ": " : "",
	    a->detail);
	/* what a proxy or a gateway answers with such a status is no verdict */
	if ((status == 400 || status == 401 || status == 403 || status == 404) && a->refused)
		failed(i, IAM_DENIED, DENIED_NS, "denied", detail);
	else
		failed_for_now(i, detail);
}

static void
answered(struct wait *w, enum err e)
{
	struct iam *i = CONTAINER_OF(w, struct iam, call.wait);
	struct iamwire_answer a = {.detail = ""};

	buf_fini(&i->form);
	iam_ref(i);
	if (e != ERR_OK) {
		failed_for_now(i, http_fail_name(i->call.fail));
	} else {
		e = iamwire_read(i->call.answer.data, i->call.answer.len, &a);
		judge(i, &a, e);
	}
	secret_unref(a.header);
	http_call_fini(&i->call);
	iam_unref(i);
}

/* --- an attempt --- */

/* The credential's file is read anew each time. */
static enum err
build_form(const struct iam *i, struct buf *form, const char **why)
{
	bool key = i->api_key_file != NULL;
	struct secret *text;
	enum err e;

	e = secret_file_read(&text, credential_file(i), FILE_MAX,
	    key ? TRUSTED_SECRET : TRUSTED_TOKEN,
	    key ? "the API key file" : "the compute resource token file", why);
	if (e != ERR_OK)
		return e;
	e = iamwire_form(form, key, text, i->profile_id, i->profile_name);
	*why = e == ERR_CONFIG ? "the credential file is empty" : "out of memory";
	secret_unref(text);
	return e;
}

enum err
iam_check(const struct iam *i, const char **why)
{
	struct buf form;
	enum err e;

	buf_init(&form, FORM_MAX);
	e = build_form(i, &form, why);
	buf_fini(&form);
	return e;
}

static void
unreadable(struct iam *i, enum err e, const char *why)
{
	buf_fini(&i->form);
	i->call.retry_after_ns = -1;
	i->call.correlation_id[0] = '\0';
	if (e == ERR_CONFIG)
		failed(i, IAM_DENIED, DENIED_NS, "denied", why);
	else
		failed_for_now(i, why);
}

/* What the credential's file made impossible is told in a turn of its own. */
static void
on_time(struct timer *t)
{
	struct iam *i = CONTAINER_OF(t, struct iam, timer);
	static const char *const headers[] = {
	    "Content-Type: application/x-www-form-urlencoded", "Accept: application/json", NULL};
	const char *why;
	enum err e;

	if (wait_pending(&i->call.wait))
		return;
	i->renewing = true;
	i->mark = mark_of(i);
	e = build_form(i, &i->form, &why);
	if (e != ERR_OK) {
		unreadable(i, e, why);
		return;
	}
	i->call.wait.done = answered;
	i->call.route = &i->route;
	i->call.method = "POST";
	i->call.url = i->url;
	i->call.headers = headers;
	i->call.body = i->form.data;
	i->call.body_len = i->form.len;
	i->call.answer_max = ANSWER_MAX;
	i->call.deadline = clock_now() + ATTEMPT_NS;
	http_start(i->set->http, &i->call);
}

static void
on_turn(struct defer *d)
{
	struct iam *i = CONTAINER_OF(d, struct iam, turn);
	struct list batch, *l;

	list_init(&batch);
	list_move_all(&batch, &i->ready);
	iam_ref(i);
	while ((l = list_pop(&batch)) != NULL) {
		struct iam_want *w = CONTAINER_OF(l, struct iam_want, wait.link);

		w->header = secret_ref(i->header);
		wait_finish(&w->wait, ERR_OK);
	}
	iam_unref(i);
}

/* Soon, in a turn of its own: nobody is answered from inside the call by which he asks. */
static void
renew(struct iam *i)
{
	i->renewing = true;
	timer_set(i->set->loop, &i->timer, clock_now());
}

/* --- the set --- */

struct iam_set *
iam_set_new(struct loop *l, struct http *h)
{
	struct iam_set *s = alloc_zero(sizeof(*s));

	if (s == NULL)
		return NULL;
	s->loop = l;
	s->http = h;
	list_init(&s->all);
	return s;
}

void
iam_set_free(struct iam_set *s)
{
	alloc_free(s);
}

static bool
same(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool
same_credential(const struct iam *i, const struct iam_params *p)
{
	return same(i->url, p->url) && same(i->api_key_file, p->api_key_file) &&
	       same(i->token_file, p->token_file) && same(i->profile_id, p->profile_id) &&
	       same(i->profile_name, p->profile_name) && same(i->ca_file, p->route.ca_file) &&
	       same(i->proxy, p->route.proxy);
}

static bool
copy_text(char **out, const char *s)
{
	*out = s != NULL ? alloc_text(s) : NULL;
	return s == NULL || *out != NULL;
}

static void
iam_free(struct iam *i)
{
	list_remove(&i->link);
	wait_cancel(&i->call.wait);
	http_call_fini(&i->call);
	timer_clear(i->set->loop, &i->timer);
	loop_undefer(&i->turn);
	buf_fini(&i->form);
	secret_unref(i->header);
	alloc_free(i->url);
	alloc_free(i->api_key_file);
	alloc_free(i->token_file);
	alloc_free(i->profile_id);
	alloc_free(i->profile_name);
	alloc_free(i->ca_file);
	alloc_free(i->proxy);
	alloc_free(i);
}

static enum err
iam_new(struct iam_set *s, const struct iam_params *p, struct iam **out)
{
	struct iam *i = alloc_zero(sizeof(*i));

	if (i == NULL)
		return ERR_NO_MEMORY;
	i->set = s;
	i->refs = 1;
	i->event = p->event;
	i->arg = p->arg;
	i->timer.fn = on_time;
	i->turn.fn = on_turn;
	list_init(&i->waiters);
	list_init(&i->ready);
	buf_init(&i->form, FORM_MAX);
	if (!copy_text(&i->url, p->url) || !copy_text(&i->api_key_file, p->api_key_file) ||
	    !copy_text(&i->token_file, p->token_file) ||
	    !copy_text(&i->profile_id, p->profile_id) ||
	    !copy_text(&i->profile_name, p->profile_name) ||
	    !copy_text(&i->ca_file, p->route.ca_file) || !copy_text(&i->proxy, p->route.proxy)) {
		iam_free(i);
		return ERR_NO_MEMORY;
	}
	i->route = (struct http_route){i->ca_file, i->proxy, p->route.allow_plain};
	list_append(&s->all, &i->link);
	*out = i;
	return ERR_OK;
}

enum err
iam_get(struct iam_set *s, const struct iam_params *p, struct iam **out)
{
	bool profile = (p->profile_id != NULL) != (p->profile_name != NULL);

	if (p->url == NULL ||
	    (p->api_key_file != NULL
		    ? p->token_file != NULL || p->profile_id != NULL || p->profile_name != NULL
		    : !profile))
		return ERR_CONFIG;
	LIST_FOREACH(l, &s->all)
	{
		struct iam *i = CONTAINER_OF(l, struct iam, link);

		if (same_credential(i, p)) {
			*out = iam_ref(i);
			return ERR_OK;
		}
	}
	return iam_new(s, p, out);
}

struct iam *
iam_ref(struct iam *i)
{
	i->refs++;
	return i;
}

void
iam_unref(struct iam *i)
{
	if (i != NULL && --i->refs == 0)
		iam_free(i);
}

int64_t
iam_token_age(const struct iam *i)
{
	return i->header != NULL ? clock_now() - i->since : -1;
}

enum iam_state
iam_state(const struct iam *i)
{
	return i->state;
}

const char *
iam_name(const struct iam *i)
{
	if (i->api_key_file != NULL)
		return i->api_key_file;
	return i->profile_id != NULL ? i->profile_id : i->profile_name;
}
