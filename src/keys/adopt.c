/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes over what the vault has: find, load, merge, commit; from the load again on a conflict.
 * That is over in a moment, unless a successor is being stored here: so it is tried again for some
 * time, except in the background, where it comes up again.
 */
#include "keys/adopt.h"

#include <string.h>

#include "attr_merge.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"
#include "keys/cache.h"
#include "keys/share.h"

enum { ARENA_MAX = 9 * OBJECT_ARENA_MAX, ATTEMPTS_MAX = 14, PATIENCE_BACKGROUND = 4 };
#define PAUSE_NS (10 * NS_PER_MS) /* doubled up to half a second: about five in all */

static void load(struct adopt *a);
static void commit(struct adopt *a, struct object *o, enum adopted adopted);

static void
finish(struct adopt *a, enum err e)
{
	secret_unref(a->find.key);
	a->find.key = NULL;
	arena_free(a->arena);
	a->arena = NULL;
	wait_finish(&a->wait, e);
}

static void
tell(const struct adopt *a)
{
	static const char *const what[] = {[ADOPT_KNOWN] = "known",
	    [ADOPT_NEW] = "object of another gateway taken over",
	    [ADOPT_NEWER] = "change by another gateway taken over",
	    [ADOPT_DESTROYED] = "object was destroyed by another gateway"};

	metric_inc(METRIC_ADOPTIONS_TOTAL);
	LOG(LOG_INFO, "adopt", what[a->adopted], kv_text("tenant", a->tenant),
	    kv_text("uid", a->uid));
}

static void
tell_cache(const struct adopt *a)
{
	const struct object *o = a->change.object;

	if (a->cache == NULL)
		return;
	if (a->adopted == ADOPT_DESTROYED)
		cache_forget(a->cache, o->tenant, o->uid);
	else
		cache_moved(a->cache, a->ops, o);
}

static void
on_pause(struct timer *t)
{
	load(CONTAINER_OF(t, struct adopt, pause));
}

/* False when there is not time enough left. */
static bool
pause_after(struct adopt *a)
{
	int64_t ns = PAUSE_NS << (a->attempts < 6 ? a->attempts - 1 : 6);
	int64_t when = clock_now() + (ns < NS_PER_S / 2 ? ns : NS_PER_S / 2);

	if (a->terms.deadline != 0 && when >= a->terms.deadline)
		return false;
	timer_set(a->loop, &a->pause, when);
	return true;
}

static void
committed(struct wait *w, enum err e)
{
	struct adopt *a = CONTAINER_OF(w, struct adopt, changes.wait);
	unsigned attempts = a->terms.background ? PATIENCE_BACKGROUND : ATTEMPTS_MAX;

	if (e == ERR_NAME_TAKEN && a->adopted == ADOPT_NEW && attr_merge_drop_names(a->change.object)) {
		commit(a, a->change.object, a->adopted);
		return;
	}
	if (e == ERR_NAME_TAKEN && a->adopted == ADOPT_NEWER && attr_merge_drop_names(a->find.object)) {
		load(a);
		return;
	}
	if (e == ERR_CONFLICT && ++a->attempts < attempts && pause_after(a))
		return;
	if (e == ERR_OK) {
		tell(a);
		tell_cache(a);
	}
	finish(a, e == ERR_CONFLICT ? ERR_BUSY : e);
}

static void
commit(struct adopt *a, struct object *o, enum adopted adopted)
{
	a->adopted = adopted;
	a->change = (struct change){CHANGE_ADOPT, o};
	a->changes = (struct ledger_changes){
	    .wait.done = committed, .changes = &a->change, .count = 1, .owner = a->owner};
	a->ledger->ops->commit(a->ledger, &a->changes);
}

static void
commit_destroyed(struct adopt *a, struct object *o)
{
	o->state = o->state == OBJECT_COMPROMISED ? OBJECT_DESTROYED_COMPROMISED : OBJECT_DESTROYED;
	o->destroyed_here = a->owner != 0; /* by the Destroy whose intent that is */
	o->date[DATE_DESTROY] = o->date[DATE_LAST_CHANGE] = clock_wall();
	commit(a, o, ADOPT_DESTROYED);
}

/*
 * The record unless it is an older one, and how the object was revoked if that is more than the
 * ledger knows: also by an older record, since two gateways may have made successors at once.
 */
static void
merge(struct object *o, const struct object *found, bool older)
{
	if (!older) {
		o->record = found->record;
		o->record_len = found->record_len;
	}
	object_take_state(o, found);
}

/* What is gone has left an older record behind, or a list shows one that was never deleted. */
static void
meet_older(struct adopt *a, struct object *known)
{
	if (a->gone == GONE_DESTROYED && !a->find.withdrawn)
		commit_destroyed(a, known);
	else
		finish(a, ERR_NO_OBJECT);
}

/* Two gateways that changed one object at once: neither has seen the other's base. */
static enum err
merge_attributes(struct adopt *a, struct object *known, bool at_once)
{
	struct object *base = NULL;
	enum err e = at_once ? ERR_OK : a->ops->recorded(known, a->arena, &base);

	if (e == ERR_NO_MEMORY) /* without the base their change would be undone */
		return e;
	if (e != ERR_OK)
		base = NULL;
	e = attr_merge(known, a->arena, base, a->find.object);
	if (at_once && known->date[DATE_ARCHIVE] == NO_DATE) /* of both, what serves less */
		known->date[DATE_ARCHIVE] = a->find.object->date[DATE_ARCHIVE];
	return e;
}

static void
take_over(struct adopt *a, struct object *known, int order)
{
	const struct object *found = a->find.object;
	enum err e = ERR_OK;

	if (a->shares && order > 0)
		e = merge_attributes(a, known, a->ops->sequence(found) == a->ops->sequence(known));
	if (e != ERR_OK) {
		finish(a, e);
		return;
	}
	merge(known, found, order < 0);
	commit(a, known, ADOPT_NEWER);
}

static void
compare(struct adopt *a, struct object *known)
{
	const struct object *found = a->find.object;
	int order = a->ops->order(found, known);

	if (memcmp(known->digest, found->digest, sizeof(known->digest)) != 0) {
		metric_inc(METRIC_INTEGRITY_ALARMS_TOTAL);
		LOG(LOG_ERROR, "adopt", "another record of an object holds another key",
		    kv_text("tenant", a->tenant), kv_text("uid", a->uid));
		finish(a, ERR_INTEGRITY);
	} else if (object_is_destroyed(known)) {
		a->adopted = ADOPT_KNOWN;
		finish(a, ERR_OK);
	} else if (order < 0 && found->state <= known->state) {
		meet_older(a, known);
	} else if (order == 0 && found->state <= known->state) {
		a->adopted = ADOPT_KNOWN;
		finish(a, ERR_OK);
	} else {
		take_over(a, known, order);
	}
}

/*
 * What would change nothing if it opened is as good as opened, whatever became of the root key that it
 * is under: the record that is known, and older ones that say no more of a revocation.
 */
static enum err
without_root_key(struct adopt *a, const struct object *known)
{
	const struct object *found = a->find.unopened;
	int order = known != NULL ? a->ops->order(found, known) : 1;

	if (order > 0 || found->state > known->state)
		return ERR_NO_ROOT_KEY;
	a->adopted = ADOPT_KNOWN;
	return order == 0 ? ERR_OK : ERR_NO_OBJECT;
}

/*
 * There is something under the name that does not open.  Of an object that nobody here knows it is
 * another tenant's, as far as anybody can tell.
 */
static enum err
not_opened(struct adopt *a, const struct object *known)
{
	if (a->found == ERR_NO_ROOT_KEY)
		return without_root_key(a, known);
	if (known == NULL || object_is_destroyed(known)) {
		LOG(LOG_INFO, "adopt", "a record under the prefix is somebody else's",
		    kv_text("tenant", a->tenant), kv_text("uid", a->uid));
		return ERR_NO_OBJECT;
	}
	metric_inc(METRIC_INTEGRITY_ALARMS_TOTAL);
	LOG(LOG_ERROR, "adopt", "a record under the name of an object is not the object's",
	    kv_text("tenant", a->tenant), kv_text("uid", a->uid));
	return ERR_INTEGRITY;
}

static void
loaded(struct wait *w, enum err e)
{
	struct adopt *a = CONTAINER_OF(w, struct adopt, load.wait);

	if (e != ERR_OK && e != ERR_NO_OBJECT)
		finish(a, e);
	else if (a->found == ERR_INTEGRITY || a->found == ERR_NO_ROOT_KEY)
		finish(a, not_opened(a, e == ERR_OK ? a->load.object : NULL));
	else if (a->found == ERR_OK && e == ERR_NO_OBJECT)
		commit(a, a->find.object, ADOPT_NEW);
	else if (a->found == ERR_OK)
		compare(a, a->load.object);
	else if (e == ERR_OK && a->gone == GONE_DESTROYED && !a->find.withdrawn &&
	    !object_is_destroyed(a->load.object))
		commit_destroyed(a, a->load.object);
	else
		finish(a, ERR_NO_OBJECT);
}

static void
load(struct adopt *a)
{
	a->load = (struct ledger_load){
	    .wait.done = loaded, .arena = a->arena, .tenant = a->tenant, .uid = a->uid};
	a->ledger->ops->load(a->ledger, &a->load);
}

static void
found(struct wait *w, enum err e)
{
	struct adopt *a = CONTAINER_OF(w, struct adopt, find.wait);

	a->found = e;
	a->suspended = a->find.suspended;
	if (e == ERR_OK)
		share_note(a->vault->share, a->uid); /* what is merged may be news to the others */
	if (e == ERR_OK || e == ERR_INTEGRITY || e == ERR_NO_ROOT_KEY ||
	    (e == ERR_NO_OBJECT && a->gone == GONE_DESTROYED))
		load(a);
	else
		finish(a, e);
}

static void
cancel(struct wait *w)
{
	struct adopt *a = CONTAINER_OF(w, struct adopt, wait);

	wait_cancel(&a->find.wait);
	wait_cancel(&a->load.wait);
	wait_cancel(&a->changes.wait);
	timer_clear(a->loop, &a->pause);
	secret_unref(a->find.key);
	a->find.key = NULL;
	arena_free(a->arena);
	a->arena = NULL;
}

void
adopt_start(struct adopt *a)
{
	a->arena = arena_new(ARENA_MAX);
	if (a->arena == NULL) {
		wait_finish_soon(a->loop, &a->wait, ERR_NO_MEMORY);
		return;
	}
	a->wait.cancel = cancel;
	a->pause.fn = on_pause;
	a->attempts = 0;
	a->ops = a->vault->ops;
	a->cache = a->vault->cache;
	a->shares = a->vault->share != NULL;
	a->find = (struct vault_find){
	    .wait.done = found,
	    .arena = a->arena,
	    .tenant = a->tenant,
	    .uid = a->uid,
	    .record_id = a->record_id,
	    .expected = a->gone == GONE_LATELY,
	    .once = a->once,
	    .last_words = a->gone == GONE_DESTROYED,
	    .terms = a->terms,
	};
	a->ops->find(a->vault, &a->find);
}
