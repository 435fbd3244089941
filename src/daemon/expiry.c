/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates that end soon. */
#include "expiry.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/text.h"
#include "daemon.h"

enum { SOON_S = 30 * 86400 };
#define EVERY (24 * 3600 * NS_PER_S)

/* Any certificate that somebody has to replace in time. */
struct watched {
	enum expiry_of of;
	const char *what;   /* "server certificate" */
	struct tenant *tenant; /* NULL: nobody's */
	const uint8_t *sha256;
	const char *subject;
	int64_t ends;
};

static void
each_server(const struct keyferryd *d, void (*fn)(void *arg, const struct watched *), void *arg)
{
	const struct certificate_text *c;

	for (size_t i = 0; (c = tls_server_certificate(gate_tls(d->gate), i)) != NULL; i++)
		fn(arg, &(struct watched){EXPIRY_SERVER, "server certificate", NULL, c->digest,
		    c->subject, c->not_after});
}

static void
each_authority(const struct keyferryd *d, void (*fn)(void *arg, const struct watched *), void *arg)
{
	const struct tenants *ts = gate_tenants(d->gate);
	const struct certificate_text *c;
	const struct authority *a;
	struct tenant *t;

	for (size_t i = 0; (a = tenants_authority_at(ts, i, &t)) != NULL; i++)
		for (size_t k = 0; (c = authority_certificate(a, k)) != NULL; k++)
			fn(arg, &(struct watched){EXPIRY_CLIENTS, "authority of clients", t, c->digest,
			    c->subject, c->not_after});
}

/* Server certificates, clients' own, and authorities; not those that are not in use yet. */
static void
each(const struct keyferryd *d, void (*fn)(void *arg, const struct watched *), void *arg)
{
	const struct tenants *ts = gate_tenants(d->gate);
	const struct pinned *p;
	struct tenant *t;

	each_server(d, fn, arg);
	for (size_t i = 0; (p = tenants_pinned_at(ts, i, &t)) != NULL; i++)
		fn(arg, &(struct watched){EXPIRY_CLIENTS, "client certificate", t, p->sha256,
		    p->subject, p->expires});
	each_authority(d, fn, arg);
}

/* --- what is asked --- */

struct measuring {
	struct expiry_summary *all; /* EXPIRY_KINDS */
	int64_t now;
};

/* As seen from now; until a certificate of its kind becomes one that ends soon, or ends. */
static void
add_up(void *arg, const struct watched *w)
{
	const struct measuring *m = arg;
	struct expiry_summary *s = &m->all[w->of];
	int64_t left = w->ends - m->now, changes = left < SOON_S ? w->ends : w->ends - SOON_S + 1;
	struct tenant *t = w->tenant;

	if (s->soonest == 0 || w->ends < s->soonest)
		s->soonest = w->ends;
	s->ended += left <= 0;
	s->soon += left > 0 && left < SOON_S;
	if (left > 0 && changes < s->until)
		s->until = changes;
	if (t != NULL && (t->certificates_expire == 0 || w->ends < t->certificates_expire))
		t->certificates_expire = w->ends;
}

void
expiry_measure(struct keyferryd *d)
{
	const struct measuring m = {d->expiries, clock_wall()};
	struct tenant *t;

	for (size_t i = 0; i < EXPIRY_KINDS; i++)
		d->expiries[i] = (struct expiry_summary){.from = m.now, .until = INT64_MAX};
	for (size_t i = 0; (t = tenants_at(gate_tenants(d->gate), i)) != NULL; i++)
		t->certificates_expire = 0;
	each(d, add_up, (void *)&m);
	metric_set(METRIC_SERVER_CERTIFICATE_EXPIRY_TIMESTAMP_SECONDS,
	    d->expiries[EXPIRY_SERVER].soonest);
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

static void
tell(void *arg, const struct watched *w)
{
	int64_t left = w->ends - *(const int64_t *)arg;
	char hex[2 * TLS_DIGEST_LEN + 1], when[25];

	if (left >= SOON_S && w->of != EXPIRY_SERVER)
		return;
	text_hex(hex, w->sha256, TLS_DIGEST_LEN);
	text_time(when, w->ends * 1000);
	LOG(left >= SOON_S ? LOG_INFO : LOG_WARN, "expiry",
	    left >= SOON_S ? w->what : left > 0 ? "a certificate expires soon"
						: "a certificate has expired",
	    kv_text("what", w->what), kv_text("tenant", w->tenant != NULL ? w->tenant->id : ""), kv_text("sha256", hex),
	    kv_text("subject", w->subject), kv_text("expires", when));
}

static void
on_day_over(struct timer *t)
{
	expiry_look(CONTAINER_OF(t, struct keyferryd, expiry));
}

void
expiry_look(struct keyferryd *d)
{
	int64_t now = clock_wall();

	each(d, tell, &now);
	expiry_measure(d);
	d->expiry.fn = on_day_over;
	if (timer_set(d->loop, &d->expiry, clock_now() + EVERY) != ERR_OK)
		LOG(LOG_ERROR, "expiry", "no memory for the timer");
}
