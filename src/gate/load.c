/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading an object for an item: from the message's own changes, from the ledger, and where other
 * gateways use the vault as well, from there.
 */
#include "request.h"

#include <string.h>

#include "base/clock.h"
#include "kmip/names.h"

static void ask_ledger(struct request *rq);

/* What nobody knew may be known by now, by a newer record than lists show yet. */
static void
looked_up(struct request *rq, enum err e)
{
	if (e == ERR_OK || (e == ERR_NO_OBJECT && !rq->lookup->known))
		ask_ledger(rq);
	else
		rq->load_next(rq, e);
}

static void
ask_vault(struct request *rq, bool known, enum vault_gone gone)
{
	struct lookup *l = arena_zalloc(rq->arena, sizeof(*l));

	rq->looked_up = true;
	if (l == NULL) {
		rq->load_next(rq, ERR_NO_MEMORY);
		return;
	}
	*l = (struct lookup){
	    .vault = rq->p.tenant->vault,
	    .ledger = rq->p.tenant->ledger,
	    .tenant = rq->p.tenant->id,
	    .uid = rq->load.uid,
	    .client = rq->p.sha256,
	    .known = known,
	    .gone = gone,
	    .terms.deadline = rq->p.deadline,
	};
	rq->lookup = l;
	rq_await(rq, &l->wait, looked_up);
	lookup_start(rq->p.tenant->lookups, l);
}

/*
 * What the ledger has.  After a reload the message may have a change of it: that counts, unless the
 * ledger has another by now, which it was not made from.
 */
static const struct object *
take_loaded(struct request *rq)
{
	int64_t now = loop_wall(rq->p.loop);
	const struct object *left = changes_see_at(&rq->changes, rq->load.uid, now);

	if (left != NULL)
		return left->revision == rq->load.object->revision ? left : NULL;
	object_see_at(rq->load.object, now);
	return rq->load.object;
}

static void
rq_loaded(struct request *rq, enum err e)
{
	if (e == ERR_NO_OBJECT && rq->p.tenant->lookups != NULL && !rq->looked_up) {
		ask_vault(rq, false, GONE_UNKNOWN);
		return;
	}
	if (e == ERR_OK && rq->object == NULL)
		rq->object = take_loaded(rq);
	if (e == ERR_OK && rq->object == NULL) {
		rq_restart(rq); /* its commit would find the conflict, whatever the items are answered */
		return;
	}
	if (e == ERR_OK && rq->object->type == KMIP_OBJECT_TYPE_TEMPLATE &&
	    rq->in.version >= KMIP_2_0) {
		rq->object = NULL;
		rq->hidden = true;
		e = ERR_NO_OBJECT;
	}
	rq->load_next(rq, e);
}

static void
ask_ledger(struct request *rq)
{
	struct ledger *ledger = rq->p.tenant->ledger;

	rq->load = (struct ledger_load){
	    .arena = rq->arena, .tenant = rq->p.tenant->id, .uid = rq->load.uid, .again = true};
	rq_await(rq, &rq->load.wait, rq_loaded);
	ledger->ops->load(ledger, &rq->load);
}

static void
load(struct request *rq, const char *uid, bool here, void (*next)(struct request *, enum err))
{
	rq->load.uid = arena_text(rq->arena, uid, strlen(uid));
	rq->load_next = next;
	rq->looked_up = here;
	rq->hidden = false;
	rq->object = rq->load.uid != NULL
	    ? changes_see_at(&rq->changes, uid, loop_wall(rq->p.loop)) : NULL;
	if (rq->object == NULL && rq->load.uid != NULL) {
		ask_ledger(rq);
		return;
	}
	rq_await(rq, &rq->load.wait, rq_loaded);
	wait_finish_soon(
	    rq->p.loop, &rq->load.wait, rq->object != NULL ? ERR_OK : ERR_NO_MEMORY);
}

void
rq_load(struct request *rq, const char *uid, void (*next)(struct request *, enum err))
{
	load(rq, uid, false, next);
}

void
rq_load_here(struct request *rq, const char *uid, void (*next)(struct request *, enum err))
{
	load(rq, uid, true, next);
}

bool
rq_may_reload(const struct request *rq)
{
	return rq->p.tenant->lookups != NULL && !rq->looked_up;
}

void
rq_reload(struct request *rq, enum vault_gone gone, void (*next)(struct request *, enum err))
{
	rq->load_next = next;
	rq->object = NULL;
	ask_vault(rq, true, gone);
}

const struct object *
rq_object(struct request *rq)
{
	return rq->object;
}

bool
rq_is_hidden(const struct request *rq)
{
	return rq->hidden;
}

struct object *
rq_object_copy(struct request *rq)
{
	return object_copy(rq->arena, rq->object);
}
