/* SPDX-License-Identifier: Apache-2.0 */
/* Changes that were left half done, settled: at the start, and whenever the storage child was lost. */
#include "recovery.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"

#define RECOVER_AGAIN_LEAST NS_PER_S /* doubled each time: objects in doubt are locked */
#define RECOVER_AGAIN_MOST (60 * NS_PER_S)

static void
recovered(struct wait *w, enum err e)
{
	struct keyferryd *d = CONTAINER_OF(w, struct keyferryd, recover.wait);

	if (e != ERR_OK)
		metric_set(METRIC_CHANGES_IN_DOUBT,
		    d->recover.left > 0 ? (int64_t)d->recover.left : 1);
	else if (!timer_armed(&d->recover_again)) /* else more has turned up meanwhile */
		metric_set(METRIC_CHANGES_IN_DOUBT, 0);
	if (e != ERR_OK) {
		LOG(LOG_WARN, "recover", "not finished, will be tried again",
		    kv_text("error", err_name(e)));
		d->recover_pause = d->recover_pause == 0 ? RECOVER_AGAIN_LEAST : 2 * d->recover_pause;
		if (d->recover_pause > RECOVER_AGAIN_MOST)
			d->recover_pause = RECOVER_AGAIN_MOST;
		timer_set(d->loop, &d->recover_again, clock_now() + d->recover_pause);
		return;
	}
	d->recover_pause = 0;
	if (d->recover.creates_done + d->recover.creates_undone + d->recover.updates_undone +
		d->recover.destroys_done + d->recover.destroys_undone > 0)
		LOG(LOG_NOTICE, "recover", "half-done changes settled",
		    kv_int("creates-done", (int64_t)d->recover.creates_done),
		    kv_int("creates-undone", (int64_t)d->recover.creates_undone),
		    kv_int("updates-undone", (int64_t)d->recover.updates_undone),
		    kv_int("destroys-done", (int64_t)d->recover.destroys_done),
		    kv_int("destroys-undone", (int64_t)d->recover.destroys_undone));
}

static struct vault *
vault_of(void *arg, const char *tenant)
{
	const struct keyferryd *d = arg;
	struct tenant *t = tenants_by_id(gate_tenants(d->gate), tenant);

	return t != NULL ? t->vault : NULL;
}

void
recovery_run(struct keyferryd *d)
{
	if (d->gate == NULL || d->stopping)
		return;
	if (wait_pending(&d->recover.wait)) {
		timer_set(d->loop, &d->recover_again, clock_now() + NS_PER_S);
		return;
	}
	memset(&d->recover, 0, sizeof(d->recover));
	d->recover.wait.done = recovered;
	d->recover.ledger = d->ledger;
	d->recover.vault = vault_of;
	d->recover.arg = d;
	recover_start(&d->recover, d->loop);
}

static void
on_recover_again(struct timer *t)
{
	recovery_run(CONTAINER_OF(t, struct keyferryd, recover_again));
}

static void
on_recover_soon(struct defer *t)
{
	recovery_run(CONTAINER_OF(t, struct keyferryd, recover_soon));
}

void
recovery_init(struct keyferryd *d)
{
	d->recover_again.fn = on_recover_again;
	d->recover_soon.fn = on_recover_soon;
}

void
recovery_stop(struct keyferryd *d)
{
	wait_cancel(&d->recover.wait);
	loop_undefer(&d->recover_soon);
}
