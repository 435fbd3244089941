/* SPDX-License-Identifier: Apache-2.0 */
/* Root keys are proven in the background. */
#include "rootlook.h"

#include "base/clock.h"

#include "daemon.h"

#define PAUSE_NS NS_PER_S

static void next_tenant(struct keyferryd *d);

void
rootlook_stop(struct keyferryd *d)
{
	struct rootlook *r = &d->rootlook;

	wait_cancel(&r->proof);
	timer_clear(d->loop, &r->pause);
	tenant_unref(r->tenant);
	r->tenant = NULL;
}

static void
pause_for(struct keyferryd *d, int64_t ns)
{
	timer_set(d->loop, &d->rootlook.pause, clock_now() + ns);
}

static void
on_pause(struct timer *t)
{
	next_tenant(CONTAINER_OF(t, struct keyferryd, rootlook.pause));
}

static void
proven(struct wait *w, enum err e)
{
	struct keyferryd *d = CONTAINER_OF(w, struct keyferryd, rootlook.proof);
	struct rootlook *r = &d->rootlook;

	tenant_unref(r->tenant);
	r->tenant = NULL;
	r->at++;
	if (e == ERR_OK || e == ERR_WRONG_ROOT_KEY) {
		next_tenant(d);
		return;
	}
	r->again = true;
	pause_for(d, PAUSE_NS);
}

static void
next_tenant(struct keyferryd *d)
{
	struct tenants *ts = gate_tenants(d->gate);
	struct rootlook *r = &d->rootlook;
	struct tenant *t;

	while ((t = tenants_at(ts, r->at)) != NULL && !vault_local_is_unproven(t->vault))
		r->at++;
	if (t != NULL) {
		r->tenant = tenant_ref(t);
		r->proof.done = proven;
		vault_local_prove(t->vault, &r->proof);
	} else if (r->again) {
		r->again = false;
		r->at = 0;
		pause_for(d, PAUSE_NS);
	}
}

void
rootlook_start(struct keyferryd *d)
{
	rootlook_stop(d);
	d->rootlook = (struct rootlook){.pause.fn = on_pause};
	next_tenant(d);
}
