/* SPDX-License-Identifier: Apache-2.0 */
/* What is good and what is not. */
#include "health.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/metric.h"
#include "base/text.h"

#include "daemon.h"
#include "expiry.h"

#define STORAGE_LATE (5 * NS_PER_S)

struct checks {
	struct json *j;
	enum health worst;
};

const char *
health_name(enum health h)
{
	switch (h) {
	case HEALTH_GOOD:
		return "good";
	case HEALTH_WARNING:
		return "warning";
	case HEALTH_BAD:
		break;
	}
	return "bad";
}

static void
put_check(struct checks *c, const char *what, enum health state, const char *say)
{
	if (state > c->worst)
		c->worst = state;
	json_object(c->j, NULL);
	json_text(c->j, "check", what);
	json_text(c->j, "state", health_name(state));
	json_text(c->j, "say", say);
	json_object_end(c->j);
}

static void
put_yes_no(struct checks *c, const char *what, bool good, const char *yes, const char *no)
{
	put_check(c, what, good ? HEALTH_GOOD : HEALTH_BAD, good ? yes : no);
}

/* Keys that are on one disk only are normal for some hours; they are to be seen all the same. */
static void
check_backup(struct checks *c)
{
	int64_t when = metric_get(METRIC_STORE_LAST_BACKUP_SECONDS);
	int64_t newer = metric_get(METRIC_STORE_OBJECTS_NOT_BACKED_UP);
	char say[128], date[25];

	text_time(date, when * 1000);
	if (when == 0)
		snprintf(say, sizeof(say), "no backup was ever made; objects: %" PRId64, newer);
	else
		snprintf(say, sizeof(say), "objects newer than the last backup, of %s: %" PRId64,
		    date, newer);
	put_check(c, "backup", newer > 0 ? HEALTH_WARNING : HEALTH_GOOD, say);
}

static void
check_expiry(struct checks *c, struct keyferryd *d, const char *what, enum expiry_of of,
    const char *soon)
{
	const struct expiry_summary *s = expiry_summary(d, of);
	char say[160], date[25];

	text_time(date, s->soonest * 1000);
	if (s->soonest == 0)
		snprintf(say, sizeof(say), "there is none");
	else
		snprintf(say, sizeof(say), "expired: %zu, %s: %zu, the first %s", s->ended, soon, s->soon,
		    date);
	put_check(c, what,
	    s->ended > 0     ? HEALTH_BAD
		: s->soon > 0 ? HEALTH_WARNING
			     : HEALTH_GOOD,
	    say);
}

/* What failed once and passes now is history: the counter and the log have it. */
static void
check_integrity(struct checks *c)
{
	int64_t ever = metric_get(METRIC_INTEGRITY_ALARMS_TOTAL);
	char say[128];

	snprintf(say, sizeof(say),
	    "every key passed its check when it was last asked for; failed since the start: %" PRId64,
	    ever);
	put_yes_no(c, "integrity", metric_get(METRIC_INTEGRITY_ALARM_KEYS) == 0, say,
	    "stored keys did not pass their check, or had no root key, when they were last asked for");
}

/* Every key that did not pass when it was last asked for. */
static void
check_alarms(struct checks *c, const struct keyferryd *d)
{
	char what[32 + TENANT_ID_MAX], say[192 + UID_TEXT_LEN], why[96], since[25];
	const struct alarm *a;

	for (size_t i = 0; (a = alarms_at(d->alarms, i)) != NULL; i++) {
		text_time(since, a->since_ms);
		snprintf(what, sizeof(what), "keys of %s", a->tenant);
		snprintf(why, sizeof(why),
		    "; version %" PRIu32 " of the root key, which wrapped it, is missing from root-key-file",
		    a->root_version);
		snprintf(say, sizeof(say), "integrity alarm since %s, asked for %" PRIu64 " times: %s%s",
		    since, a->times, a->uid, a->unkeyed ? why : "");
		put_check(c, what, HEALTH_BAD, say);
	}
}

static enum health
health_of(const struct custody *cu)
{
	if (custody_state(cu) == CUSTODY_UNTRIED)
		return HEALTH_WARNING;
	return custody_state(cu) == CUSTODY_FRESH && !custody_is_overdue(cu) ? HEALTH_GOOD
									     : HEALTH_BAD;
}

static void
check_kind(struct checks *c, const struct tenant *t)
{
	char what[16 + TENANT_ID_MAX], say[256];

	snprintf(what, sizeof(what), "vault of %s", t->id);
	if (t->keys_unseen)
		put_check(c, what, HEALTH_WARNING,
		    "it cannot be told whether the tenant's keys are in it: a reload looks again");
	if (t->keys_in == NULL)
		return;
	snprintf(say, sizeof(say),
	    "it is %s, and the keys are in the vault %s: they cannot be fetched, and no new ones are made "
	    "until that is the tenant's vault again, or they are destroyed, and a reload", t->vault->ops->name,
	    t->keys_in);
	put_check(c, what, HEALTH_BAD, say);
}

/* Of each tenant whose keys are elsewhere what the watch last learned; of others what is wrong. */
static void
check_vaults(struct checks *c, const struct keyferryd *d)
{
	struct tenants *ts = gate_tenants(d->gate);
	char what[16 + TENANT_ID_MAX], text[CUSTODY_TEXT_MAX], say[CUSTODY_TEXT_MAX + 128];
	const struct tenant *t;

	for (size_t i = 0; (t = tenants_at(ts, i)) != NULL; i++) {
		const char *complaint = t->vault->ops->complaint(t->vault);

		check_kind(c, t);
		if (t->custody == NULL) {
			snprintf(what, sizeof(what), "root key of %s", t->id);
			if (complaint != NULL)
				put_check(c, what, HEALTH_BAD, complaint);
			continue;
		}
		snprintf(what, sizeof(what), "key manager of %s", t->id);
		custody_text(t->custody, t->cache_terms.ride_out_ns, text);
		snprintf(say, sizeof(say), "%s; seconds since the last proof: %" PRId64 "%s", text,
		    custody_proved_ago(t->custody) / NS_PER_S,
		    custody_is_overdue(t->custody) ? ", of which each revocation-bound needs one: "
						     "see the log" : "");
		put_check(c, what, health_of(t->custody), say);
		if (complaint != NULL)
			put_check(c, what, HEALTH_WARNING, complaint);
	}
}

/* What is not written is not acknowledged either; what is known goes on being served. */
static void
check_storage(struct checks *c, const struct keyferryd *d)
{
	struct store_health s;
	char say[512], since[25];

	store_health(d->store, &s);
	if (s.failing == ERR_STORAGE_MOVED) {
		text_time(since, s.since_ms);
		snprintf(say, sizeof(say),
		    "%s; changes are refused since %s%s.  Back up and put them back before the gateway ends, as what "
		    "it has open may be all that there is", err_text(s.failing), since,
		    s.up ? "" : ", and keys are not read any more");
		put_check(c, "storage", HEALTH_BAD, say);
	} else if (!s.up) {
		snprintf(say, sizeof(say), "a storage child is not running: %s",
		    s.why[0] != '\0' ? s.why : "see the log");
		put_check(c, "storage", HEALTH_BAD, say);
	} else if (s.failing != ERR_OK) {
		text_time(since, s.since_ms);
		snprintf(say, sizeof(say),
		    "changes cannot be kept since %s: %s%s%s; see the room and the mount of the state "
		    "directory", since, err_text(s.failing), s.why[0] != '\0' ? ": " : "", s.why);
		put_check(c, "storage", HEALTH_BAD, say);
	} else if (s.waits_ns > STORAGE_LATE) {
		snprintf(say, sizeof(say),
		    "the disk hangs: a storage child has not answered for %" PRId64 " s",
		    s.waits_ns / NS_PER_S);
		put_check(c, "storage", HEALTH_BAD, say);
	} else {
		put_check(c, "storage", HEALTH_GOOD, "the storage children serve");
	}
}

/* A revocation may be among what was not taken over. */
static void
check_reload(struct checks *c, const struct keyferryd *d)
{
	char say[128], since[25];

	text_time(since, d->reload_refused_ms);
	snprintf(say, sizeof(say), "the last reload, of %s, was refused: see the log", since);
	put_yes_no(c, "reload", d->reload_refused_ms == 0, "the last one was not refused", say);
}

enum health
health_put(struct json *j, const char *key, struct keyferryd *d)
{
	static const char month[] = "to expire within 30 days";
	const char *complaint = audit_complaint(d->audit);
	struct checks c = {.j = j};

	json_array(j, key);
	check_storage(&c, d);
	check_integrity(&c);
	check_alarms(&c, d);
	check_vaults(&c, d);
	check_backup(&c);
	check_reload(&c, d);
	put_yes_no(&c, "audit", complaint == NULL, "lines are written", complaint);
	check_expiry(&c, d, "server certificates", EXPIRY_SERVER, month);
	check_expiry(&c, d, "client certificates", EXPIRY_CLIENTS, month);
	check_expiry(&c, d, "revocation lists", EXPIRY_LISTS, "due to be replaced");
	put_yes_no(&c, "secure heap", d->heap_locked, "locked",
	    "not locked: keys may be swapped out");
	put_yes_no(&c, "accepting", !gate_draining(d->gate), "new sessions are accepted",
	    "draining: no new sessions");
	json_array_end(j);
	return c.worst;
}

const char *
health_not_ready(const struct keyferryd *d)
{
	struct store_health s;

	if (gate_draining(d->gate))
		return "draining";
	store_health(d->store, &s);
	if (!s.up)
		return "a storage child is not running";
	return s.reads ? NULL : "the storage child does not answer";
}
