/* SPDX-License-Identifier: Apache-2.0 */
/* From what a key manager says to what becomes of its keys in memory. */
#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/metric.h"
#include "cache_parts.h"

enum { DENIALS_MIN = 3, TIME_TEXT = 25 };

/* --- moments --- */

struct stamp
stamp_now(void)
{
	static uint64_t order;

	return (struct stamp){clock_boot(), clock_wall_ms(), ++order};
}

int64_t
stamp_age(const struct stamp *s, int64_t slack_ns)
{
	int64_t age = clock_boot() - s->boot_ns;
	int64_t wall_ms = clock_wall_ms() - s->wall_ms;

	if (s->order == 0 || wall_ms > INT64_MAX / NS_PER_MS)
		return INT64_MAX;
	if (wall_ms <= 0 || wall_ms * NS_PER_MS - age <= slack_ns)
		return age;
	return wall_ms * NS_PER_MS;
}

static void
move_on(struct stamp *s, const struct stamp *to)
{
	if (to->order > s->order)
		*s = *to;
}

/* --- life --- */

struct custody *
custody_new(const struct custody_params *p)
{
	struct custody *cu = alloc_zero(sizeof(*cu));

	if (cu == NULL)
		return NULL;
	cu->name = alloc_text(p->name);
	if (cu->name == NULL) {
		alloc_free(cu);
		return NULL;
	}
	cu->refs = 1;
	cu->own_root_keys = p->own_root_keys;
	cu->since_ms = clock_wall_ms();
	cu->made = stamp_now();
	custody_set(cu, p->bound_ns, p->ride_out_ns);
	list_init(&cu->entries);
	list_init(&cu->flights);
	return cu;
}

struct custody *
custody_ref(struct custody *cu)
{
	cu->refs++;
	return cu;
}

void
custody_release(struct custody *cu)
{
	if (cu->refs > 0 || !list_empty(&cu->flights))
		return;
	alloc_free(cu->name);
	alloc_free(cu);
}

void
custody_unref(struct custody *cu)
{
	if (--cu->refs > 0)
		return;
	cache_abandon(cu);
	custody_release(cu);
}

void
custody_set(struct custody *cu, int64_t bound_ns, int64_t ride_out_ns)
{
	cu->bound_ns = bound_ns;
	cu->ride_out_ns = ride_out_ns;
}

/* --- state --- */

static const struct {
	const char *name;
	enum log_level level;
	enum metric metric;
	const char *log;
} states[] = {
    [CUSTODY_UNTRIED] = {.name = "not asked yet"},
    [CUSTODY_FRESH] = {"fresh", LOG_NOTICE, METRIC_CUSTODY_FRESH_TOTAL,
	"the key manager answers and grants the keys"},
    [CUSTODY_RIDING_OUT] = {"riding out", LOG_WARN, METRIC_CUSTODY_RIDING_OUT_TOTAL,
	"the key manager is away: keys are served from memory"},
    [CUSTODY_CUT_OFF] = {"cut off", LOG_ERROR, METRIC_CUSTODY_CUT_OFF_TOTAL,
	"the key manager is away and riding out is over: keys are not served"},
    [CUSTODY_REVOKED] = {"revoked", LOG_ERROR, METRIC_CUSTODY_REVOKED_TOTAL,
	"the root key is gone: its keys were wiped from memory"},
    [CUSTODY_SUSPENDED] = {"suspended", LOG_ERROR, METRIC_CUSTODY_SUSPENDED_TOTAL,
	"the root key is disabled or sealed: its keys were wiped from memory"},
    [CUSTODY_WITHDRAWN] = {"access withdrawn", LOG_ERROR, METRIC_CUSTODY_WITHDRAWN_TOTAL,
	"the key manager refuses access: its keys were wiped from memory"},
};

static bool
is_refused(const struct custody *cu)
{
	return cu->state == CUSTODY_REVOKED || cu->state == CUSTODY_SUSPENDED ||
	    cu->state == CUSTODY_WITHDRAWN;
}

/* The one place where the state changes. */
static void
turn_to(struct custody *cu, enum custody_state to, size_t wiped)
{
	char heard[TIME_TEXT] = "never";

	if (cu->state == to)
		return;
	cu->state = to;
	cu->since_ms = clock_wall_ms();
	if (cu->heard.order != 0)
		text_time(heard, cu->heard.wall_ms);
	metric_inc(states[to].metric);
	LOG(states[to].level, "custody", states[to].log, kv_text("name", cu->name),
	    kv_text("heard", heard), kv_int("wiped", (int64_t)wiped));
}

static void
refuse(struct custody *cu, enum custody_state to, enum err e)
{
	size_t wiped = cache_wipe(cu, e);

	cu->refused = stamp_now();
	if (wiped > 0 || cu->state != to)
		metric_inc(METRIC_CACHE_WIPES_TOTAL);
	turn_to(cu, to, wiped);
}

/* One refusal may be a blip, and many at one moment are one. */
bool
custody_is_denied(unsigned denials, int64_t first_ns, int64_t bound_ns)
{
	return denials >= DENIALS_MIN && clock_boot() - first_ns >= bound_ns / 3;
}

static void
deny(struct custody *cu)
{
	cu->denied = stamp_now();
	if (cu->denials++ == 0)
		cu->denied_first = cu->denied;
	if (custody_is_denied(cu->denials, cu->denied_first.boot_ns, cu->bound_ns))
		refuse(cu, CUSTODY_WITHDRAWN, ERR_VAULT_DENIED);
}

bool
custody_is_outage(enum err e)
{
	return e == ERR_VAULT_DOWN || e == ERR_DEADLINE || e == ERR_STORAGE_DOWN;
}

/*
 * While it is heard within the bound a failure is a blip; after a refusal that is the last word.
 * Like a proof, an outage is as old as the beginning of the call that met it: that may have slept.
 */
static void
miss(struct custody *cu, const struct stamp *began)
{
	int64_t age = stamp_age(&cu->heard, cu->bound_ns);

	move_on(&cu->outage, began);
	if (is_refused(cu) || age < cu->bound_ns)
		return;
	turn_to(cu, age < cu->ride_out_ns ? CUSTODY_RIDING_OUT : CUSTODY_CUT_OFF, 0);
}

/*
 * A call that began before the last refusal was heard may have been answered before it, and a
 * proof that took longer than the bound is none.
 */
static void
hear(struct custody *cu, const struct stamp *began)
{
	if (began->order < cu->refused.order)
		return;
	move_on(&cu->heard, began);
	if (began->order > cu->denied.order)
		cu->denials = 0;
	if (stamp_age(&cu->heard, cu->bound_ns) < cu->bound_ns)
		turn_to(cu, CUSTODY_FRESH, 0);
}

void
custody_verdict(struct custody *cu, const struct custody_evidence *ev)
{
	if (ev->e == ERR_OK)
		hear(cu, &ev->began);
	else if (ev->e == ERR_NO_ROOT_KEY && !cu->own_root_keys)
		refuse(cu, ev->suspended ? CUSTODY_SUSPENDED : CUSTODY_REVOKED, ev->e);
	else if (ev->e == ERR_VAULT_DENIED)
		deny(cu);
	else if (custody_is_outage(ev->e))
		miss(cu, &ev->began);
}

void
custody_confirmed(struct custody *cu, const struct stamp *began)
{
	if (began->order > cu->refused.order)
		move_on(&cu->confirmed, began);
	hear(cu, began);
}

void
custody_moved(struct custody *cu)
{
	cu->moved = stamp_now();
	cache_abandon(cu);
}

/*
 * After a jump of the clock the last outage is no news any more, nor is it after an answer, even if
 * that looks too old to prove anything: ask first.
 */
bool
custody_is_out(const struct custody *cu)
{
	return cu->state == CUSTODY_RIDING_OUT && cu->denials == 0 &&
	    cu->outage.order > cu->heard.order &&
	    stamp_age(&cu->outage, cu->bound_ns) < cu->bound_ns;
}

/* --- for people --- */

const char *
custody_name(const struct custody *cu)
{
	return cu->name;
}

enum custody_state
custody_state(const struct custody *cu)
{
	return cu->state;
}

bool
custody_is_in_doubt(const struct custody *cu)
{
	return cu->denials > 0 && !is_refused(cu);
}

const char *
custody_state_name(enum custody_state s)
{
	return states[s].name;
}

int64_t
custody_since(const struct custody *cu)
{
	bool away = cu->state == CUSTODY_RIDING_OUT || cu->state == CUSTODY_CUT_OFF;

	return away && cu->heard.order != 0 ? cu->heard.wall_ms : cu->since_ms;
}

enum custody_state
custody_state_for(const struct custody *cu, int64_t ride_out_ns)
{
	if (cu->state == CUSTODY_RIDING_OUT && stamp_age(&cu->heard, cu->bound_ns) >= ride_out_ns)
		return CUSTODY_CUT_OFF;
	return cu->state;
}

int64_t
custody_until(const struct custody *cu, int64_t ride_out_ns)
{
	if (custody_state_for(cu, ride_out_ns) != CUSTODY_RIDING_OUT)
		return 0;
	return cu->heard.wall_ms + ride_out_ns / NS_PER_MS;
}

int64_t
custody_proved_ago(const struct custody *cu)
{
	return stamp_age(cu->confirmed.order != 0 ? &cu->confirmed : &cu->made, cu->bound_ns);
}

bool
custody_is_overdue(const struct custody *cu)
{
	return cu->state == CUSTODY_FRESH && custody_proved_ago(cu) / 2 > cu->bound_ns;
}

void
custody_text(const struct custody *cu, int64_t ride_out_ns, char out[CUSTODY_TEXT_MAX])
{
	enum custody_state state = custody_state_for(cu, ride_out_ns);
	bool bad = is_refused(cu) || state == CUSTODY_CUT_OFF;
	char since[TIME_TEXT], until[TIME_TEXT] = "", refusals[40] = "";
	int64_t end = custody_until(cu, ride_out_ns);

	text_time(since, custody_since(cu));
	if (end != 0)
		text_time(until, end);
	if (custody_is_in_doubt(cu))
		snprintf(refusals, sizeof(refusals), ", %u refusals of access", cu->denials);
	snprintf(out, CUSTODY_TEXT_MAX, "%s since %s%s%s%s%s%s", states[state].name, since,
	    until[0] != '\0' ? " until " : "", until, refusals, bad ? ": " : "",
	    bad ? states[state].log : "");
}
