/* SPDX-License-Identifier: Apache-2.0 */
/* Which keys are under an integrity alarm. */
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

void
alarms_raise(struct alarms *as, const char *tenant, const char *uid)
{
	struct alarm *a = find(as, tenant, uid);

	if (a != NULL) {
		a->times++;
		return;
	}
	LOG(LOG_ERROR, "integrity", "integrity alarm: a stored key did not pass its check",
	    kv_text("tenant", tenant), kv_text("uid", uid));
	if (as == NULL || as->count == ALARMS_MAX)
		return;
	a = &as->at[as->count++];
	*a = (struct alarm){.since_ms = clock_wall_ms(), .times = 1};
	snprintf(a->tenant, sizeof(a->tenant), "%s", tenant);
	snprintf(a->uid, sizeof(a->uid), "%s", uid);
	metric_set(METRIC_INTEGRITY_ALARM_KEYS, (int64_t)as->count);
}

void
alarms_clear(struct alarms *as, const char *tenant, const char *uid)
{
	struct alarm *a = find(as, tenant, uid);

	if (a == NULL)
		return;
	LOG(LOG_NOTICE, "integrity", "integrity alarm is over", kv_text("tenant", tenant),
	    kv_text("uid", uid));
	as->count--;
	memmove(a, a + 1, (size_t)(&as->at[as->count] - a) * sizeof(*a));
	metric_set(METRIC_INTEGRITY_ALARM_KEYS, (int64_t)as->count);
}

const struct alarm *
alarms_at(const struct alarms *as, size_t n)
{
	return as != NULL && n < as->count ? &as->at[n] : NULL;
}
