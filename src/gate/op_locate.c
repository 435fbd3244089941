/* SPDX-License-Identifier: Apache-2.0 */
/* Locate (specification 1.4 section 4.9, 2.1 section 6.1). */
#include "request.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "kmip/names.h"

#include "objattr.h"

enum { TERMS_MAX = 64, STATUS_ONLINE = 1, STATUS_ARCHIVAL = 2, STATUS_DESTROYED = 4 };

struct locate {
	struct ledger_find find;
	struct ledger_term terms[TERMS_MAX];
	size_t count;
	uint32_t max, offset; /* as the client has them */
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

static enum err
add_terms(struct request *rq, struct locate *lo, struct ttlv_reader *r)
{
	struct kmip_attr at;
	enum err e = ERR_OK;

	while (e == ERR_OK && kmip_attr_follows(r, rq->in.version) &&
	    kmip_attr_read(r, rq->arena, rq->in.version, true, &at))
		e = add_term(rq, lo, &at);
	return e != ERR_OK ? e : r->error;
}

/* In 2.x they stand in a structure. */
static enum err
read_attributes(struct request *rq, struct locate *lo)
{
	struct ttlv_reader r;
	struct ttlv t;
	enum err e;

	if (!ttlv_opt(&rq->payload, TAG_ATTRIBUTES, TTLV_STRUCTURE, &t))
		return rq->payload.error;
	ttlv_enter(&r, &t);
	e = add_terms(rq, lo, &r);
	return e != ERR_OK ? e : ttlv_finish(&r);
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

/* What is destroyed is neither online nor archived. */
static enum err
read_status(struct ttlv_reader *r, struct locate *lo)
{
	bool online, archival;
	struct ttlv t;

	if (!ttlv_opt(r, TAG_STORAGE_STATUS_MASK, TTLV_INTEGER, &t))
		return r->error; /* not given: online and archival */
	online = (ttlv_uint(&t) & STATUS_ONLINE) != 0;
	archival = (ttlv_uint(&t) & STATUS_ARCHIVAL) != 0;
	lo->find.include_destroyed = (ttlv_uint(&t) & STATUS_DESTROYED) != 0;
	lo->find.only_destroyed = lo->find.include_destroyed && !online && !archival;
	lo->nothing = !online && !archival && !lo->find.include_destroyed;
	lo->find.no_online = !online && archival;
	lo->find.no_archived = online && !archival;
	return ERR_OK;
}

/* Of a group, the fresh ones.  No group has a default one here: that chooses none and all. */
static enum err
read_member(struct request *rq, struct locate *lo)
{
	struct ttlv t;

	if (rq->in.version < KMIP_1_1 ||
	    !ttlv_opt(&rq->payload, TAG_OBJECT_GROUP_MEMBER, TTLV_ENUM, &t))
		return rq->payload.error;
	if (!kmip_value_known(SET_OBJECT_GROUP_MEMBER, ttlv_uint(&t), rq->in.version))
		return ERR_INVALID_FIELD;
	if (ttlv_uint(&t) != KMIP_OBJECT_GROUP_MEMBER_GROUP_MEMBER_FRESH)
		return ERR_OK;
	return objattr_flag_term(rq->arena, ATTR_FRESH, true, &lo->terms[lo->count++]);
}

static enum err
read_locate(struct request *rq, struct locate *lo)
{
	struct ttlv_reader *r = &rq->payload;
	enum err e;

	if (!read_count(r, TAG_MAXIMUM_ITEMS, &lo->find.max))
		return ERR_INVALID_FIELD;
	lo->pages = rq->in.version >= KMIP_1_3 && ttlv_peek(r) == TAG_OFFSET_ITEMS;
	if (lo->pages && !read_count(r, TAG_OFFSET_ITEMS, &lo->find.offset))
		return ERR_INVALID_FIELD;
	if (rq->in.version >= KMIP_2_0)
		lo->terms[lo->count++] = (struct ledger_term){.field = FIELD_TYPE,
		    .match = MATCH_NOT, .number = KMIP_OBJECT_TYPE_TEMPLATE};
	e = read_status(r, lo);
	if (e == ERR_OK)
		e = read_member(rq, lo);
	if (e == ERR_OK)
		e = rq->in.version < KMIP_2_0 ? add_terms(rq, lo, r) : read_attributes(rq, lo);
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
	lo->max = lo->find.max;
	lo->offset = lo->find.offset;
	lo->find.no_total = !lo->pages;
	if (rq->changes.count > 0)
		lo->find.max = lo->find.offset = 0; /* counted when the changes are merged in */
	rq_await(rq, &lo->find.wait, locate_found);
	if (lo->nothing)
		wait_finish_soon(rq->p.loop, &lo->find.wait, ERR_OK);
	else
		ledger->ops->find(ledger, &lo->find);
}

/* A change of the message, and what became of it among those that the ledger found. */
struct seen {
	const struct object *object;
	bool found;
};

static int
by_uid(const void *a, const void *b)
{
	const struct seen *x = a, *y = b;

	return strcmp(x->object->uid, y->object->uid);
}

static int
uid_of_seen(const void *uid, const void *s)
{
	return strcmp(uid, ((const struct seen *)s)->object->uid);
}

/* In the order of their uids: the ledger may have found two hundred thousand. */
static struct seen *
changes_by_uid(const struct request *rq)
{
	struct seen *all = arena_array(rq->arena, rq->changes.count, sizeof(*all));

	for (size_t i = 0; all != NULL && i < rq->changes.count; i++)
		all[i].object = rq->changes.all[i].object;
	if (all != NULL)
		qsort(all, rq->changes.count, sizeof(*all), by_uid);
	return all;
}

/* What the message changed comes first, newest first; then what the ledger found, if it still holds. */
static enum err
merge_changes(struct request *rq, struct locate *lo)
{
	size_t count = rq->changes.count, first = count, end = count;
	struct seen *changed = changes_by_uid(rq), *s;
	char(*all)[UID_TEXT_LEN + 1] =
	    arena_array(rq->arena, count + lo->find.uids_count, sizeof(*all));

	if (changed == NULL || all == NULL)
		return ERR_NO_MEMORY;
	for (size_t i = 0; i < lo->find.uids_count; i++) {
		const char *uid = lo->find.uids[i];

		s = bsearch(uid, changed, count, sizeof(*changed), uid_of_seen);
		if (s != NULL)
			s->found = true;
		if (s == NULL || ledger_find_matches(&lo->find, s->object))
			memcpy(all[end++], uid, sizeof(*all));
	}
	for (size_t i = 0; !lo->nothing && i < count; i++) {
		const struct object *o = rq->changes.all[i].object;

		s = bsearch(o->uid, changed, count, sizeof(*changed), uid_of_seen);
		if (s != NULL && !s->found && ledger_find_matches(&lo->find, o))
			memcpy(all[--first], o->uid, sizeof(*all));
	}
	lo->find.total = end - first;
	lo->find.uids = all + first + (lo->offset < end - first ? lo->offset : end - first);
	lo->find.uids_count = lo->offset < end - first ? end - first - lo->offset : 0;
	if (lo->max > 0 && lo->find.uids_count > lo->max)
		lo->find.uids_count = lo->max;
	return ERR_OK;
}

static void
locate_found(struct request *rq, enum err e)
{
	struct locate *lo = rq->state;

	if (e == ERR_OK && rq->changes.count > 0)
		e = merge_changes(rq, lo);
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
