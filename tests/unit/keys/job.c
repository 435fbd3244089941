/* SPDX-License-Identifier: Apache-2.0 */
/* Changes made as the gateway makes them. */
#include "job.h"

static void
job_end(struct job *j, enum err e)
{
	j->done = true;
	j->e = e;
	j->rig->ledger->ops->disown(j->rig->ledger, &j->ledger);
}

static void
committed(struct wait *w, enum err e)
{
	job_end(CONTAINER_OF(w, struct job, ledger.wait), e);
}

static void
commit(struct job *j)
{
	j->ledger.wait.done = committed;
	j->rig->ledger->ops->commit(j->rig->ledger, &j->ledger);
}

static void
vault_done(struct wait *w, enum err e)
{
	struct job *j = CONTAINER_OF(w, struct job, vault.wait);

	if (e != ERR_OK)
		job_end(j, e);
	else
		commit(j);
}

static void
prepared(struct wait *w, enum err e)
{
	struct job *j = CONTAINER_OF(w, struct job, ledger.wait);
	struct vault *v = j->rig->vault;

	if (e != ERR_OK) {
		job_end(j, e);
		return;
	}
	j->vault.object = j->changes[0].object;
	j->vault.wait.done = vault_done;
	(j->changes[0].kind == CHANGE_INSERT ? v->ops->store : v->ops->destroy)(v, &j->vault);
}

void
job_start(struct job *j, struct rig *r, enum change_kind kind, struct object *o,
    struct object *also)
{
	*j = (struct job){.rig = r, .changes = {{kind, o}, {CHANGE_UPDATE, also}}};
	j->ledger.changes = j->changes;
	j->ledger.count = also != NULL ? 2 : 1;
	if (kind == CHANGE_UPDATE) {
		commit(j);
		return;
	}
	j->ledger.wait.done = prepared;
	r->ledger->ops->prepare(r->ledger, &j->ledger);
}

void
job_wait_all(struct rig *r, const struct job *jobs, size_t count)
{
	for (size_t i = 0; i < count;) {
		if (jobs[i].done) {
			i++;
			continue;
		}
		if (r->pump != NULL)
			r->pump(r);
		loop_turn(r->loop, r->pump == NULL);
	}
}
