/* SPDX-License-Identifier: Apache-2.0 */
/* Locate (specification 1.4 section 4.9). */
#include "request.h"

#include <string.h>

#include "base/clock.h"
#include "kmip/names.h"

#include "objattr.h"

enum { TERMS_MAX = 64, STATUS_ONLINE = 1, STATUS_ARCHIVAL = 2, STATUS_DESTROYED = 4 };

struct locate {
	struct ledger_find find;
	struct ledger_term terms[TERMS_MAX];
	size_t count;
	bool nothing; /* it is plain that no object can match */
	bool pages;   /* Offset Items was given: the client wants to know how many there are */
};

static void locate_found(struct request *rq, enum err e);

/* Two values of one date are the ends of a range. */
static void
make_range(struct ledger_term *first, struct ledger_term *second)
{
	bool ordered = first->number <= second->number;

	first->match = ordered ? MATCH_AT_LEAST : MATCH_AT_MOST;
	second->match = ordered ? MATCH_AT_MOST : MATCH_AT_LEAST;
}

static enum err
add_term(struct request *rq, struct locate *lo, const struct kmip_attr *at)
{
	struct ledger_term *term = &lo->terms[lo->count];
	enum err e;

	if (at->id == ATTR_UNKNOWN) {
		lo->nothing = true;
		return ERR_OK;
	}
	if (lo->count == TERMS_MAX)
		return ERR_INVALID_FIELD;
	e = objattr_term(rq->arena, at, rq->in.version, term);
	if (e != ERR_OK)
		return e;
	for (size_t i = 0; i < lo->count && term->field >= FIELD_DATE; i++) {
		if (lo->terms[i].field != term->field)
			continue;
		if (lo->terms[i].match != MATCH_EQUAL)
			return ERR_INVALID_FIELD; /* a third value */
		make_range(&lo->terms[i], term);
	}
	lo->count++;
	return ERR_OK;
}

static bool
read_count(struct ttlv_reader *r, uint32_t tag, uint32_t *out)
{
	struct ttlv t;

	if (!ttlv_opt(r, tag, TTLV_INTEGER, &t))
		return true;
	*out = ttlv_uint(&t);
	return ttlv_int(&t) >= 0;
}

/* Online is what we have; nothing is ever archived. */
static void
read_status(struct ttlv_reader *r, struct locate *lo)
{
	struct ttlv t;
	uint32_t mask = STATUS_ONLINE;

	if (!ttlv_opt(r, TAG_STORAGE_STATUS_MASK, TTLV_INTEGER, &t))
		return; /* not given: online and archival */
	mask = ttlv_uint(&t);
	lo->find.include_destroyed = (mask & STATUS_DESTROYED) != 0;
	lo->find.only_destroyed = lo->find.include_destroyed && (mask & STATUS_ONLINE) == 0;
	if ((mask & (STATUS_ONLINE | STATUS_DESTROYED)) == 0)
		lo->nothing = true;
}

static enum err
read_locate(struct request *rq, struct locate *lo)
{
	struct ttlv_reader *r = &rq->payload;
	struct kmip_attr at;
	struct ttlv t;
	enum err e = ERR_OK;

	if (!read_count(r, TAG_MAXIMUM_ITEMS, &lo->find.max))
		return ERR_INVALID_FIELD;
	lo->pages = rq->in.version >= KMIP_1_3 && ttlv_peek(r) == TAG_OFFSET_ITEMS;
	if (lo->pages && !read_count(r, TAG_OFFSET_ITEMS, &lo->find.offset))
		return ERR_INVALID_FIELD;
	read_status(r, lo);
	if (rq->in.version >= KMIP_1_1)
		ttlv_opt(r, TAG_OBJECT_GROUP_MEMBER, TTLV_ENUM, &t);
	while (e == ERR_OK && ttlv_peek(r) == TAG_ATTRIBUTE &&
	    kmip_attr_read(r, rq->in.version, true, &at))
		e = add_term(rq, lo, &at);
	return e != ERR_OK ? e : ttlv_finish(r);
}

void
locate_start(struct request *rq)
{
	struct locate *lo = rq->state = arena_zalloc(rq->arena, sizeof(*lo));
	struct ledger *ledger = rq->p.tenant->ledger;
	enum err e = lo != NULL ? read_locate(rq, lo) : ERR_NO_MEMORY;

	if (e != ERR_OK) {
		rq_done(rq, e);
		return;
	}
	lo->find.arena = rq->arena;
	lo->find.tenant = rq->p.tenant->id;
	lo->find.now = clock_wall();
	lo->find.terms = lo->terms;
	lo->find.terms_count = lo->count;
	rq_await(rq, &lo->find.wait, locate_found);
	if (lo->nothing)
		wait_finish_soon(rq->p.loop, &lo->find.wait, ERR_OK);
	else
		ledger->ops->find(ledger, &lo->find);
}

static void
locate_found(struct request *rq, enum err e)
{
	struct locate *lo = rq->state;

	if (e != ERR_OK) {
		rq_done(rq, e);
		return;
	}
	if (lo->pages) /* the test cases expect it then, and not otherwise */
		ttlv_put_int(&rq->out, TAG_LOCATED_ITEMS, (int32_t)lo->find.total);
	for (size_t i = 0; i < lo->find.uids_count; i++)
		rq_put_uid(rq, lo->find.uids[i]);
	if (lo->find.uids_count == 1)
		rq_set_placeholder(rq, lo->find.uids[0]);
	else
		rq->placeholder[0] = '\0'; /* which one would be meant? */
	rq_done(rq, ERR_OK);
}
