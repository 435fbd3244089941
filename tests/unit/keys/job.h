/* SPDX-License-Identifier: Apache-2.0 */
/* A change made as the gateway makes it, without waiting for its end: intent, vault, commit. */
#ifndef JOB_H
#define JOB_H

#include "rig.h"

struct job {
	struct rig *rig;
	bool done;
	enum err e;
	struct change changes[2];
	struct ledger_changes ledger;
	struct vault_change vault;
};

/* The object is as it will be; so is `also', an update of the same message, unless it is NULL. */
void job_start(struct job *j, struct rig *r, enum change_kind kind, struct object *o,
    struct object *also);
/* Turns the loop until all have ended. */
void job_wait_all(struct rig *r, const struct job *jobs, size_t count);

#endif
