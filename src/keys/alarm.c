/* SPDX-License-Identifier: Apache-2.0 */
/* Which keys are under an alarm. */
#include "keys/alarm.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"

struct alarms {
	size_t count;
	struct alarm at[ALARMS_MAX];
};

struct alarms *
alarms_new(void)
{
	return alloc_zero(sizeof(struct alarms));
}

void
alarms_free(struct alarms *as)
{
	alloc_free(as);
}

static struct alarm *
find(struct alarms *as, const char *tenant, const char *uid)
{
	for (size_t i = 0; as != NULL && i < as->count; i++)
		if (strcmp(as->at[i].uid, uid) == 0 && strcmp(as->at[i].tenant, tenant) == 0)
			return &as->at[i];
	return NULL;
}

/* False: it is logged already. */
static bool
note(struct alarms *as, const struct alarm *new)
{
	struct alarm *a = find(as, new->tenant, new->uid);
	bool other;

	if (a != NULL) {
		other = a->unkeyed != new->unkeyed;
		a->times++;
		a->unkeyed = new->unkeyed;
		a->root_version = new->root_version;
		return other;
	}
	if (as == NULL || as->count == ALARMS_MAX)
		return true;
	as->at[as->count++] = *new;
	metric_set(METRIC_INTEGRITY_ALARM_KEYS, (int64_t)as->count);
	return true;
}

static struct alarm
alarm_of(const char *tenant, const char *uid)
{
	struct alarm a = {.since_ms = clock_wall_ms(), .times = 1};

	snprintf(a.tenant, sizeof(a.tenant), "%s", tenant);
	snprintf(a.uid, sizeof(a.uid), "%s", uid);
	return a;
}

void
alarms_raise(struct alarms *as, const char *tenant, const char *uid)
{
	struct alarm a = alarm_of(tenant, uid);

	if (note(as, &a))
		LOG(LOG_ERROR, "integrity", "integrity alarm: a stored key did not pass its check",
		    kv_text("tenant", tenant), kv_text("uid", uid));
}

void
alarms_raise_unkeyed(struct alarms *as, const char *tenant, const char *uid, uint32_t root_version)
{
	struct alarm a = alarm_of(tenant, uid);

	a.unkeyed = true;
	a.root_version = root_version;
	if (note(as, &a))
		LOG(LOG_ERROR, "integrity",
		    "integrity alarm: the root key version that wrapped this key is missing from root-key-file",
		    kv_text("tenant", tenant), kv_text("uid", uid), kv_int("version", root_version));
}

static void
clear(struct alarms *as, struct alarm *a)
{
	LOG(LOG_NOTICE, "integrity", "integrity alarm is over", kv_text("tenant", a->tenant),
	    kv_text("uid", a->uid));
	as->count--;
	memmove(a, a + 1, (size_t)(&as->at[as->count] - a) * sizeof(*a));
	metric_set(METRIC_INTEGRITY_ALARM_KEYS, (int64_t)as->count);
}

void
alarms_clear(struct alarms *as, const char *tenant, const char *uid)
{
	struct alarm *a = find(as, tenant, uid);

	if (a != NULL)
		clear(as, a);
}

void
alarms_sweep(struct alarms *as, bool (*stands)(const void *arg, const struct alarm *),
    const void *arg)
{
	size_t i = 0;

	while (as != NULL && i < as->count)
		if (stands(arg, &as->at[i]))
			i++;
		else
			clear(as, &as->at[i]);
}

const struct alarm *
alarms_at(const struct alarms *as, size_t n)
{
	return as != NULL && n < as->count ? &as->at[n] : NULL;
}
