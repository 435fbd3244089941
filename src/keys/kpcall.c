/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One call to Key Protect:
 *
 *	token -> place among the calls -> HTTP -> done
 *	  ^------------- pause <------------'
 *
 * 401 gets a newer token, once.  Outages and throttling are tried again after a pause, as long as
 * the call is safe to repeat: nothing of it was sent, or Key Protect said that it did nothing, or
 * doing it twice is the same.
 */
#include "kpcall.h"

#include <stdio.h>
#include <string.h>

#include <openssl/rand.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"

enum { ATTEMPTS_MAX = 3, URL_MAX = 2048 };
#define BACKOFF_NS (200 * NS_PER_MS)
#define LAG_NS (300 * NS_PER_MS)
#define TELL_EVERY_NS (60 * NS_PER_S)

static void get_token(struct kpcall *c);

/* --- the end --- */

static enum err error_of(enum kp_class class)
{
	switch (class) {
	case KP_OK:
		return ERR_OK;
	case KP_ABSENT:
	case KP_DELETED:
		return ERR_NO_OBJECT;
	case KP_STATE:
		return ERR_WRONG_STATE;
	case KP_PROTECTED:
		return ERR_DENIED;
	case KP_DENIED:
		return ERR_VAULT_DENIED;
	case KP_INTEGRITY:
		return ERR_INTEGRITY;
	case KP_SEALED:
		return ERR_NO_ROOT_KEY;
	case KP_THROTTLED:
	case KP_DOWN:
		return ERR_VAULT_DOWN;
	case KP_BROAD:
	case KP_REFUSED:
		break;
	}
	return ERR_INTERNAL;
}

static void
release(struct kpcall *c, enum kplimit_outcome outcome)
{
	wait_cancel(&c->want.wait);
	wait_cancel(&c->slot.wait);
	wait_cancel(&c->http.wait);
	kplimit_leave(c->link->limit, &c->slot, outcome, -1);
	timer_clear(c->link->loop, &c->deadline_timer);
	timer_clear(c->link->loop, &c->pause);
	secret_unref(c->header);
	c->header = NULL;
	buf_fini(&c->url);
}

/*
 * What is no news: a look that finds nothing, calls that the breaker turned away, and a failure
 * like one that was told lately.  While access is withdrawn each call of each client fails alike.
 */
static enum log_level
level_of(const struct kpcall *c, enum err e, uint64_t *left_out)
{
	if (e == ERR_OK || e == ERR_NO_OBJECT || c->quiet || c->class == KP_BROAD || c->attempts == 0)
		return LOG_DEBUG;
	return ration_take_in(&c->link->told[c->class], TELL_EVERY_NS, 1, left_out) ? LOG_WARN
										     : LOG_DEBUG;
}

static void
finish(struct kpcall *c, enum err e)
{
	uint64_t left_out = 0;
	enum log_level level = level_of(c, e, &left_out);

	release(c, KPLIMIT_UNKNOWN);
	LOG(level, "keyprotect", e == ERR_OK ? "call done" : "call failed",
	    kv_text("method", c->method), kv_text("path", c->path), kv_text("error", err_name(e)),
	    kv_int("status", c->http.status), kv_text("code", c->error.code),
	    kv_text("reason", c->error.text), kv_int("attempts", c->attempts),
	    kv_text("correlation", c->http.correlation_id),
	    kv_int("ms", (clock_now() - c->began) / NS_PER_MS),
	    kv_int("left-out", (int64_t)left_out));
	wait_finish(&c->wait, e);
}

/* --- again --- */

static void
on_pause(struct timer *t)
{
	get_token(CONTAINER_OF(t, struct kpcall, pause));
}

static int64_t
backoff(const struct kpcall *c)
{
	uint32_t r = 0;

	if (RAND_bytes((uint8_t *)&r, sizeof(r)) != 1)
		r = UINT32_MAX / 2;
	return (int64_t)((double)(BACKOFF_NS << c->attempts) * r / UINT32_MAX);
}

/* False when there is not time enough left. */
static bool
pause_for(struct kpcall *c, int64_t ns)
{
	int64_t when = clock_now() + ns;

	if (when >= c->deadline)
		return false;
	timer_set(c->link->loop, &c->pause, when);
	metric_inc(METRIC_KEYPROTECT_RETRIES_TOTAL);
	return true;
}

static void
retry_or_finish(struct kpcall *c, enum err e)
{
	int64_t wait = backoff(c);

	if (c->http.retry_after_ns > wait)
		wait = c->http.retry_after_ns;
	if (c->attempts >= ATTEMPTS_MAX || !pause_for(c, wait))
		finish(c, e);
}

/* --- the answer --- */

static void
no_token(struct kpcall *c, enum err e)
{
	c->class = e == ERR_VAULT_DENIED ? KP_DENIED : KP_DOWN;
	finish(c, e);
}

static void
got_newer(struct wait *w, enum err e)
{
	struct kpcall *c = CONTAINER_OF(w, struct kpcall, want.wait);

	if (e != ERR_OK) {
		no_token(c, e == ERR_VAULT_DENIED ? ERR_VAULT_DENIED : ERR_VAULT_DOWN);
		return;
	}
	secret_unref(c->header);
	c->header = c->want.header;
	metric_inc(METRIC_KEYPROTECT_RETRIES_TOTAL);
	get_token(c);
}

static void
want_newer(struct kpcall *c)
{
	c->renewed = true;
	c->class = KP_DOWN; /* the token was refused: of the right nothing is known yet */
	c->want.wait.done = got_newer;
	iam_want_newer(c->link->iam, &c->want, c->header);
}

static void
judge(struct kpcall *c)
{
	const struct buf *b = &c->http.answer;
	bool outage;

	c->class = kp_classify(c->http.status, c->answer_wanted, b->data, b->len, &c->error);
	outage = c->class == KP_DOWN;
	kplimit_leave(c->link->limit, &c->slot,
	    outage		       ? KPLIMIT_OUTAGE
	    : c->class == KP_THROTTLED ? KPLIMIT_THROTTLED
				       : KPLIMIT_GOOD,
	    c->http.retry_after_ns);
	if (c->class == KP_DENIED && c->http.status == 401 && !c->renewed) {
		want_newer(c);
	} else if (c->class == KP_ABSENT && clock_now() < c->absent_until && pause_for(c, LAG_NS)) {
		return; /* asked again then */
	} else if (outage && c->once) {
		c->lost = true;
		finish(c, ERR_VAULT_DOWN);
	} else if (outage || c->class == KP_THROTTLED) {
		retry_or_finish(c, ERR_VAULT_DOWN);
	} else {
		finish(c, error_of(c->class));
	}
}

static void
unanswered(struct kpcall *c)
{
	enum http_fail f = c->http.fail;

	c->class = KP_DOWN;
	snprintf(c->error.text, sizeof(c->error.text), "%s", http_fail_name(f));
	kplimit_leave(c->link->limit, &c->slot,
	    f == HTTP_LOCAL || f == HTTP_TOO_LARGE || (f == HTTP_TIMEOUT && c->hurried)
		? KPLIMIT_UNKNOWN
		: KPLIMIT_OUTAGE,
	    -1);
	c->lost = c->once && c->http.sent;
	if (f == HTTP_LOCAL && c->lost)
		finish(c, ERR_NO_MEMORY);
	else if (f == HTTP_LOCAL)
		retry_or_finish(c, ERR_NO_MEMORY); /* it may have been another call that it lacked for */
	else if (f == HTTP_TOO_LARGE)
		finish(c, ERR_RESPONSE_TOO_LARGE);
	else if (c->lost || f == HTTP_TLS) /* a certificate does not become right by asking again */
		finish(c, ERR_VAULT_DOWN);
	else
		retry_or_finish(c, ERR_VAULT_DOWN);
}

static void
answered(struct wait *w, enum err e)
{
	struct kpcall *c = CONTAINER_OF(w, struct kpcall, http.wait);

	LOG(LOG_DEBUG, "keyprotect", "attempt", kv_text("method", c->method),
	    kv_text("path", c->path), kv_int("status", c->http.status),
	    kv_text("transport", http_fail_name(c->http.fail)),
	    kv_text("correlation", c->http.correlation_id));
	c->error = (struct kp_error){.code = ""};
	if (e == ERR_OK)
		judge(c);
	else
		unanswered(c);
}

/* --- an attempt --- */

static void
set_headers(struct kpcall *c)
{
	const char **h = c->headers;

	*h++ = (const char *)secret_bytes(c->header);
	*h++ = c->link->instance;
	*h++ = "Accept: application/json";
	if (c->once || strcmp(c->method, "DELETE") == 0)
		*h++ = "Prefer: return=minimal";
	if (c->body != NULL)
		*h++ = "Content-Type: application/json";
	if (c->link->ring != NULL)
		*h++ = c->link->ring;
	*h = NULL;
}

static void
placed(struct wait *w, enum err e)
{
	struct kpcall *c = CONTAINER_OF(w, struct kpcall, slot.wait);
	int64_t attempt_by = clock_now() + c->link->attempt_ns;

	if (e != ERR_OK) {
		c->class = KP_DOWN;
		finish(c, e);
		return;
	}
	c->attempts++;
	metric_inc(METRIC_KEYPROTECT_CALLS_TOTAL);
	set_headers(c);
	c->http.wait.done = answered;
	c->http.route = &c->link->route;
	c->http.method = c->method;
	c->http.url = (const char *)c->url.data;
	c->http.headers = c->headers;
	c->http.body = c->body != NULL ? c->body->data : NULL;
	c->http.body_len = c->body != NULL ? c->body->len : 0;
	c->http.answer_max = c->answer_max;
	c->http.once = c->once;
	c->http.deadline = attempt_by < c->deadline ? attempt_by : c->deadline;
	c->hurried = c->deadline - clock_now() < c->link->attempt_ns / 2;
	http_start(c->link->http, &c->http);
}

static void
got_token(struct wait *w, enum err e)
{
	struct kpcall *c = CONTAINER_OF(w, struct kpcall, want.wait);

	if (e != ERR_OK) {
		no_token(c, e);
		return;
	}
	secret_unref(c->header);
	c->header = c->want.header;
	c->slot.wait.done = placed;
	c->slot.background = c->background;
	c->slot.deadline = c->deadline;
	kplimit_enter(c->link->limit, &c->slot);
}

static void
get_token(struct kpcall *c)
{
	c->want.wait.done = got_token;
	iam_want(c->link->iam, &c->want);
}

static void
on_deadline(struct timer *t)
{
	struct kpcall *c = CONTAINER_OF(t, struct kpcall, deadline_timer);

	if (wait_pending(&c->http.wait)) {
		c->class = KP_DOWN;
		c->lost = c->once && c->http.sent;
		wait_cancel(&c->http.wait);
		kplimit_leave(c->link->limit, &c->slot,
		    c->hurried ? KPLIMIT_UNKNOWN : KPLIMIT_OUTAGE, -1);
	}
	finish(c, ERR_DEADLINE);
}

static void
cancel(struct wait *w)
{
	release(CONTAINER_OF(w, struct kpcall, wait), KPLIMIT_UNKNOWN);
}

void
kpcall_start(struct kplink *l, struct kpcall *c)
{
	c->link = l;
	c->class = KP_DOWN;
	c->error = (struct kp_error){.code = ""};
	c->lost = c->renewed = false;
	c->attempts = 0;
	c->http.status = 0;
	c->http.correlation_id[0] = '\0';
	c->began = clock_now();
	c->deadline_timer.fn = on_deadline;
	c->pause.fn = on_pause;
	c->wait.cancel = cancel;
	buf_init(&c->url, URL_MAX);
	if (c->path != NULL)
		buf_printf(&c->url, "%s/api/v2%s", l->url, c->path);
	buf_put(&c->url, "", 1);
	if (c->path == NULL || buf_error(&c->url) != ERR_OK) {
		release(c, KPLIMIT_UNKNOWN);
		wait_finish_soon(l->loop, &c->wait, ERR_NO_MEMORY);
		return;
	}
	timer_set(l->loop, &c->deadline_timer, c->deadline);
	get_token(c);
}

void
kpcall_fini(struct kpcall *c)
{
	http_call_fini(&c->http);
}
