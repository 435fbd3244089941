/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Archive and Recover (specification 1.4 sections 4.22 and 4.23).  The key stays where it is, and is
 * back at once: what changes is that it has to be asked for before it is served or used.
 */
#include "request.h"

#include "base/clock.h"

static void archive_loaded(struct request *rq, enum err e);
static void recover_loaded(struct request *rq, enum err e);

/* A payload that is a Unique Identifier. */
static void
archive_begin(struct request *rq, void (*next)(struct request *, enum err))
{
	char uid[UID_TEXT_LEN + 1];
	enum err e = rq_take_uid(rq, uid);

	if (e == ERR_OK)
		e = ttlv_finish(&rq->payload);
	if (e == ERR_OK)
		rq_load(rq, uid, next);
	else
		rq_done(rq, e);
}

/* Ends the item; when: the Archive Date, or NO_DATE for none. */
static void
archive_end(struct request *rq, enum err e, int64_t when)
{
	struct object *o = NULL;

	if (e == ERR_OK) {
		o = rq_object_copy(rq);
		e = o != NULL ? ERR_OK : ERR_NO_MEMORY;
	}
	if (e == ERR_OK) {
		o->date[DATE_ARCHIVE] = when;
		o->date[DATE_LAST_CHANGE] = clock_wall();
		e = changes_put(&rq->changes, CHANGE_UPDATE, o, NULL);
		rq_put_uid(rq, o->uid);
	}
	rq_done(rq, e);
}

void
archive_start(struct request *rq)
{
	archive_begin(rq, archive_loaded);
}

static void
archive_loaded(struct request *rq, enum err e)
{
	if (e == ERR_OK && object_is_destroyed(rq_object(rq)))
		e = ERR_NO_OBJECT;
	if (e == ERR_OK && object_is_archived(rq_object(rq)))
		e = ERR_ARCHIVED;
	archive_end(rq, e, clock_wall());
}

void
unarchive_start(struct request *rq)
{
	archive_begin(rq, recover_loaded);
}

/* What is there already need not be recovered: that is no error. */
static void
recover_loaded(struct request *rq, enum err e)
{
	if (e == ERR_OK && object_is_destroyed(rq_object(rq)))
		e = ERR_NO_OBJECT;
	if (e == ERR_OK && !object_is_archived(rq_object(rq))) {
		rq_put_uid(rq, rq_object(rq)->uid);
		rq_done(rq, ERR_OK);
		return;
	}
	archive_end(rq, e, NO_DATE);
}
