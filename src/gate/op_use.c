/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What clients ask for before they use a key themselves: Check, Get Usage Allocation, Obtain Lease
 * (specification 1.4 sections 4.10, 4.17, 4.18); and Cancel and Poll (4.27, 4.28) of operations that
 * are under way, of which there are none.
 */
#include "request.h"

#include <string.h>

#include "base/clock.h"
#include "kmip/names.h"

#include "usagelimits.h"
#include "objattr.h"
#include "usage.h"

struct use {
	struct ttlv count, mask, lease; /* value NULL: not asked for */
};

static void check_loaded(struct request *rq, enum err e);
static void allocation_loaded(struct request *rq, enum err e);
static void lease_loaded(struct request *rq, enum err e);

/* Unique Identifier, what `read` takes, and nothing else. */
static void
use_start(struct request *rq, void (*read)(struct ttlv_reader *, struct use *),
    void (*next)(struct request *, enum err))
{
	struct use *u = rq->state = arena_zalloc(rq->arena, sizeof(*u));
	char uid[UID_TEXT_LEN + 1];
	enum err e = u != NULL ? rq_take_uid(rq, uid) : ERR_NO_MEMORY;

	if (e == ERR_OK && read != NULL)
		read(&rq->payload, u);
	if (e == ERR_OK)
		e = ttlv_finish(&rq->payload);
	if (e == ERR_OK)
		rq_load(rq, uid, next);
	else
		rq_done(rq, e);
}

/* What is about to be used has to be there. */
static enum err
may_use(const struct object *o)
{
	if (object_is_destroyed(o))
		return ERR_NO_OBJECT;
	return object_is_archived(o) ? ERR_ARCHIVED : ERR_OK;
}

/* --- Check --- */

static void
read_check(struct ttlv_reader *r, struct use *u)
{
	ttlv_opt(r, TAG_USAGE_LIMITS_COUNT, TTLV_LONG, &u->count);
	ttlv_opt(r, TAG_CRYPTOGRAPHIC_USAGE_MASK, TTLV_INTEGER, &u->mask);
	ttlv_opt(r, TAG_LEASE_TIME, TTLV_INTERVAL, &u->lease);
}

void
check_start(struct request *rq)
{
	use_start(rq, read_check, check_loaded);
}

/* In 2.x a usage that is not allowed is an error with a reason of its own. */
static enum err
check_mask(const struct request *rq, const struct use *u, const struct object *o)
{
	if (rq->in.version < KMIP_2_0 || u->mask.value == NULL)
		return ERR_OK;
	return (ttlv_uint(&u->mask) & ~o->usage_mask) == 0 ? ERR_OK : ERR_USAGE;
}

/* The answer is the object, or that of the request which it does not allow. */
static void
check_loaded(struct request *rq, enum err e)
{
	const struct use *u = rq->state;
	const struct object *o = rq_object(rq);
	struct usagelimits l;

	if (e == ERR_OK)
		e = may_use(o);
	if (e == ERR_OK)
		e = check_mask(rq, u, o);
	if (e != ERR_OK) {
		rq_done(rq, e);
		return;
	}
	if (u->count.value != NULL && usagelimits_of(o, &l) && ttlv_long(&u->count) > l.left)
		ttlv_put_long(&rq->out, TAG_USAGE_LIMITS_COUNT, ttlv_long(&u->count));
	if (u->mask.value != NULL && (ttlv_uint(&u->mask) & ~o->usage_mask) != 0)
		ttlv_put_int(&rq->out, TAG_CRYPTOGRAPHIC_USAGE_MASK, ttlv_int(&u->mask));
	if (u->lease.value != NULL && ttlv_uint(&u->lease) > OBJATTR_LEASE_S)
		ttlv_put_interval(&rq->out, TAG_LEASE_TIME, ttlv_uint(&u->lease));
	if (rq->out.len == 0) {
		rq_put_uid(rq, o->uid);
		rq_set_placeholder(rq, o->uid);
	} else {
		rq_drop_placeholder(rq);
	}
	rq_done(rq, ERR_OK);
}

/* --- Get Usage Allocation --- */

static void
read_allocation(struct ttlv_reader *r, struct use *u)
{
	ttlv_need(r, TAG_USAGE_LIMITS_COUNT, TTLV_LONG, &u->count);
}

void
get_usage_allocation_start(struct request *rq)
{
	use_start(rq, read_allocation, allocation_loaded);
}

/* The client has the key, wrapped or not, and is about to protect with it. */
static void
allocation_loaded(struct request *rq, enum err e)
{
	const struct use *u = rq->state;
	const struct object *o = rq_object(rq);

	if (e == ERR_OK)
		e = may_use(o);
	if (e == ERR_OK)
		e = usage_allowed(o, 0, USAGE_PROTECT, clock_wall());
	if (e == ERR_WRAPPED)
		e = ERR_OK;
	if (e == ERR_OK)
		e = ttlv_long(&u->count) > 0 ? usagelimits_take(rq, o, ttlv_long(&u->count))
					     : ERR_INVALID_FIELD;
	if (e == ERR_OK)
		rq_put_uid(rq, o->uid);
	rq_done(rq, e);
}

/* --- Obtain Lease --- */

void
obtain_lease_start(struct request *rq)
{
	use_start(rq, NULL, lease_loaded);
}

static void
lease_loaded(struct request *rq, enum err e)
{
	const struct object *o = rq_object(rq);

	if (e == ERR_OK)
		e = may_use(o);
	if (e == ERR_OK && o->state == OBJECT_COMPROMISED)
		e = ERR_WRONG_STATE; /* nobody shall go on using it */
	if (e == ERR_OK) {
		rq_put_uid(rq, o->uid);
		ttlv_put_interval(&rq->out, TAG_LEASE_TIME, OBJATTR_LEASE_S);
		ttlv_put_date_time(&rq->out, TAG_LAST_CHANGE_DATE, o->date[DATE_LAST_CHANGE]);
	}
	rq_done(rq, e);
}

/* --- Cancel, Poll --- */

static enum err
read_correlation(struct request *rq, struct ttlv *value)
{
	ttlv_need(&rq->payload, TAG_ASYNCHRONOUS_CORRELATION_VALUE, TTLV_BYTES, value);
	return ttlv_finish(&rq->payload);
}

void
cancel_start(struct request *rq)
{
	struct ttlv value;
	enum err e = read_correlation(rq, &value);

	if (e == ERR_OK) {
		ttlv_put_bytes(&rq->out, TAG_ASYNCHRONOUS_CORRELATION_VALUE, value.value, value.len);
		ttlv_put_enum(
		    &rq->out, TAG_CANCELLATION_RESULT, KMIP_CANCELLATION_RESULT_UNAVAILABLE);
	}
	rq_done(rq, e);
}

void
poll_start(struct request *rq)
{
	struct ttlv value;
	enum err e = read_correlation(rq, &value);

	rq_done(rq, e == ERR_OK ? ERR_NO_OPERATION : e);
}
