/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates and revocation lists that end soon. */
#include "expiry.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/text.h"
#include "daemon.h"

enum { SOON_S = 30 * 86400 };
#define EVERY (24 * 3600 * NS_PER_S)

/* Any certificate or list that somebody has to replace in time. */
struct watched {
	enum expiry_of of;
	const char *what;   /* "server certificate" */
	struct tenant *tenant; /* NULL: nobody's */
	const uint8_t *sha256; /* NULL: a list */
	const char *name; /* its subject's, or of a list its issuer's */
	int64_t soon, ends;
	int64_t begun, replaced; /* of a list; INT64_MAX: by none */
};

struct watcher {
	void (*fn)(const struct watcher *, const struct watched *);
	int64_t now;
	const int64_t *before; /* NULL: all are told; else those that are not as they were then */
	struct expiry_summary *all; /* EXPIRY_KINDS */
};

enum state { FINE, SOON, ENDED };

static enum state
state_at(const struct watched *w, int64_t now)
{
	return now >= w->ends ? ENDED : now >= w->soon ? SOON : FINE;
}

static void
see_certificate(const struct watcher *r, struct watched w)
{
	w.soon = w.ends - SOON_S + 1;
	w.replaced = INT64_MAX;
	r->fn(r, &w);
}

static void
each_server(const struct keyferryd *d, const struct watcher *r)
{
	const struct certificate_text *c;

	for (size_t i = 0; (c = tls_server_certificate(gate_tls(d->gate), i)) != NULL; i++)
		see_certificate(r, (struct watched){.of = EXPIRY_SERVER, .what = "server certificate",
		    .sha256 = c->digest, .name = c->subject, .ends = c->not_after});
}

static void
each_list(const struct authority *a, struct tenant *t, const struct watcher *r)
{
	struct authority_crl c;

	for (size_t at = 0; authority_crl_next(a, r->now, &at, &c);) {
		int64_t quarter = (c.until - c.from) / 4;

		r->fn(r, &(struct watched){.of = EXPIRY_LISTS, .what = "revocation list", .tenant = t,
		    .name = c.issuer, .soon = c.until - (quarter < SOON_S ? quarter : SOON_S),
		    .ends = c.until, .begun = c.from, .replaced = c.replaced});
	}
}

static void
each_authority(const struct keyferryd *d, const struct watcher *r)
{
	const struct tenants *ts = gate_tenants(d->gate);
	const struct certificate_text *c;
	const struct authority *a;
	struct tenant *t;

	for (size_t i = 0; (a = tenants_authority_at(ts, i, &t)) != NULL; i++) {
		for (size_t k = 0; (c = authority_certificate(a, k)) != NULL; k++)
			see_certificate(r, (struct watched){.of = EXPIRY_CLIENTS,
			    .what = "authority of clients", .tenant = t, .sha256 = c->digest,
			    .name = c->subject, .ends = c->not_after});
		each_list(a, t, r);
	}
}

/* Server certificates, clients' own, authorities and their lists; not those that are not in use yet. */
static void
each(const struct keyferryd *d, const struct watcher *r)
{
	const struct tenants *ts = gate_tenants(d->gate);
	const struct pinned *p;
	struct tenant *t;

	each_server(d, r);
	for (size_t i = 0; (p = tenants_pinned_at(ts, i, &t)) != NULL; i++)
		see_certificate(r, (struct watched){.of = EXPIRY_CLIENTS, .what = "client certificate",
		    .tenant = t, .sha256 = p->sha256, .name = p->subject, .ends = p->expires});
	each_authority(d, r);
}

/* --- what is asked --- */

static void
note_first(int64_t *first, int64_t when)
{
	if (*first == 0 || when < *first)
		*first = when;
}

static void
note_change(struct expiry_summary *s, int64_t when)
{
	if (when > s->from && when < s->until)
		s->until = when;
}

static void
note_tenant(struct tenant *t, const struct watched *w)
{
	if (w->of == EXPIRY_LISTS) {
		note_first(&t->lists_expire, w->ends);
		note_first(&t->lists_due, w->soon);
	} else {
		note_first(&t->certificates_expire, w->ends);
	}
}

/* As seen from now; until one of its kind becomes one that ends soon, ends, or is replaced. */
static void
add_up(const struct watcher *r, const struct watched *w)
{
	struct expiry_summary *s = &r->all[w->of];

	note_first(&s->soonest, w->ends);
	s->ended += state_at(w, r->now) == ENDED;
	s->soon += state_at(w, r->now) == SOON;
	note_change(s, w->soon);
	note_change(s, w->ends);
	note_change(s, w->replaced);
	if (w->tenant != NULL)
		note_tenant(w->tenant, w);
}

static void
measure(struct keyferryd *d, int64_t now)
{
	const struct watcher r = {.fn = add_up, .now = now, .all = d->expiries};
	struct tenant *t;

	for (size_t i = 0; i < EXPIRY_KINDS; i++)
		d->expiries[i] = (struct expiry_summary){.from = r.now, .until = INT64_MAX};
	for (size_t i = 0; (t = tenants_at(gate_tenants(d->gate), i)) != NULL; i++)
		t->certificates_expire = t->lists_expire = t->lists_due = 0;
	each(d, &r);
	metric_set(METRIC_SERVER_CERTIFICATE_EXPIRY_TIMESTAMP_SECONDS,
	    d->expiries[EXPIRY_SERVER].soonest);
}

void
expiry_measure(struct keyferryd *d)
{
	measure(d, clock_wall());
}

const struct expiry_summary *
expiry_summary(struct keyferryd *d, enum expiry_of of)
{
	const struct expiry_summary *s = &d->expiries[of];
	int64_t now = clock_wall();

	if (now < s->from || now >= s->until)
		expiry_measure(d);
	return s;
}

/* --- what is told --- */

static const char *
text_on(const struct watched *w, enum state s)
{
	if (s == FINE)
		return w->what;
	if (w->of == EXPIRY_LISTS)
		return s == SOON ? "a revocation list expires soon"
				 : "a revocation list has expired: clients that it covers are refused";
	return s == SOON ? "a certificate expires soon" : "a certificate has expired";
}

static void
tell(const struct watcher *r, const struct watched *w)
{
	enum state s = state_at(w, r->now);
	char hex[2 * TLS_DIGEST_LEN + 1], begun[25], when[25];
	bool is_list = w->of == EXPIRY_LISTS;

	if ((s == FINE && w->of != EXPIRY_SERVER) ||
	    (r->before != NULL && s == state_at(w, *r->before)))
		return;
	if (!is_list)
		text_hex(hex, w->sha256, TLS_DIGEST_LEN);
	text_time(begun, w->begun * 1000);
	text_time(when, w->ends * 1000);
	LOG(s == FINE ? LOG_INFO : LOG_WARN, "expiry", text_on(w, s), kv_text("what", w->what),
	    kv_text("tenant", w->tenant != NULL ? w->tenant->id : ""),
	    is_list ? kv_text("begun", begun) : kv_text("sha256", hex),
	    kv_text(is_list ? "issuer" : "subject", w->name), kv_text("expires", when));
}

static void look(struct keyferryd *d, const int64_t *before);

static void
on_change(struct timer *t)
{
	struct keyferryd *d = CONTAINER_OF(t, struct keyferryd, expiry);

	if (clock_now() >= d->expiry_day)
		expiry_look(d);
	else
		look(d, &d->expiry_told);
}

/* When the next one begins to end soon or ends, so that a list of a day is told of in time. */
static void
look_again(struct keyferryd *d)
{
	int64_t when = d->expiry_day, now = clock_now();

	for (size_t i = 0; i < EXPIRY_KINDS; i++) {
		const struct expiry_summary *s = &d->expiries[i];

		if (s->until < s->from + EVERY / NS_PER_S && now + (s->until - s->from) * NS_PER_S < when)
			when = now + (s->until - s->from) * NS_PER_S;
	}
	d->expiry.fn = on_change;
	timer_set(d->loop, &d->expiry, when);
}

static void
look(struct keyferryd *d, const int64_t *before)
{
	const struct watcher r = {.fn = tell, .now = clock_wall(), .before = before};

	each(d, &r);
	measure(d, r.now); /* as they were told: no change falls between */
	d->expiry_told = r.now;
	look_again(d);
}

void
expiry_look(struct keyferryd *d)
{
	d->expiry_day = clock_now() + EVERY;
	look(d, NULL);
}
