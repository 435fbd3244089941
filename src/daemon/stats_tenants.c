/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics of each tenant, looked up as they are wanted.  One family after the other. */
#include "stats_tenants.h"

#include "base/clock.h"
#include "keys/custody.h"
#include "keys/iam.h"

enum others { MOST, LEAST, EACH };

enum { NOTHING = -1, STATES = CUSTODY_WITHDRAWN + 1 };

/* --- what each is: NOTHING where the tenant has no such thing --- */

static int64_t
sessions(const struct tenant *t)
{
	struct limit_state s;

	limit_tell(t->limit, &s);
	return (int64_t)s.sessions;
}

static int64_t
moment(int64_t when)
{
	return when > 0 ? when : NOTHING;
}

static int64_t
certificates_expire(const struct tenant *t)
{
	return moment(t->certificates_expire);
}

static int64_t
lists_expire(const struct tenant *t)
{
	return moment(t->lists_expire);
}

static int64_t
lists_due(const struct tenant *t)
{
	return moment(t->lists_due);
}

static int64_t
key_manager_state(const struct tenant *t)
{
	return t->custody != NULL ? (int64_t)custody_state_for(t->custody, t->cache_terms.ride_out_ns)
				  : NOTHING;
}

static int64_t
proved_age(const struct tenant *t)
{
	return t->custody != NULL ? custody_proved_ago(t->custody) / NS_PER_S : NOTHING;
}

static int64_t
ride_out_end(const struct tenant *t)
{
	return t->custody != NULL ? custody_until(t->custody, t->cache_terms.ride_out_ns) / 1000 : NOTHING;
}

static int64_t
token_age(const struct tenant *t)
{
	int64_t age = t->iam != NULL ? iam_token_age(t->iam) : NOTHING;

	return age >= 0 ? age / NS_PER_S : NOTHING;
}

static const struct family {
	const char *name;
	enum others others;
	int64_t (*value)(const struct tenant *t);
	const char *help;
} families[] = {
#define METRIC(name, kind, help)
#define METRIC_BY(name, kind, a, b, help)
#define TENANT_METRIC(name, others, function, help) {#name, others, function, help},
#include "base/metric.def"
#undef METRIC
#undef METRIC_BY
};

/* --- writing --- */

static void
put_states(struct exposition *x, const char *tenant, const int64_t counts[STATES])
{
	for (int s = 0; s < STATES; s++)
		exposition_value(x, "tenant", tenant, "state",
		    custody_state_name((enum custody_state)s), counts[s]);
}

/* A value of each state: one of them is 1; of the others, how many tenants are in it. */
static void
put_each(struct exposition *x, const struct family *f, const struct tenants *ts)
{
	int64_t others[STATES] = {0}, state;
	const struct tenant *t;
	bool any = false;

	for (size_t i = 0; (t = tenants_at(ts, i)) != NULL; i++) {
		state = f->value(t);
		if (state == NOTHING)
			continue;
		if (i < STATS_TENANTS_MAX) {
			int64_t own[STATES] = {0};

			own[state] = 1;
			put_states(x, t->id, own);
		} else {
			others[state]++;
			any = true;
		}
	}
	if (any)
		put_states(x, STATS_OTHERS, others);
}

static bool
outdoes(const struct family *f, int64_t value, int64_t other)
{
	if (other == NOTHING)
		return true;
	/* a time of zero is no time */
	if (f->others == LEAST)
		return value != 0 && (value < other || other == 0);
	return value > other;
}

static void
put_one(struct exposition *x, const struct family *f, const struct tenants *ts)
{
	int64_t others = NOTHING, value;
	const struct tenant *t;

	for (size_t i = 0; (t = tenants_at(ts, i)) != NULL; i++) {
		value = f->value(t);
		if (value == NOTHING)
			continue;
		if (i < STATS_TENANTS_MAX)
			exposition_value(x, "tenant", t->id, NULL, NULL, value);
		else if (outdoes(f, value, others))
			others = value;
	}
	if (others != NOTHING)
		exposition_value(x, "tenant", STATS_OTHERS, NULL, NULL, others);
}

void
stats_tenants_put(struct exposition *x, const struct tenants *ts)
{
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		exposition_gauge(x, families[i].name, families[i].help);
		if (families[i].others == EACH)
			put_each(x, &families[i], ts);
		else
			put_one(x, &families[i], ts);
	}
}
