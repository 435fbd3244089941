/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Re-key (specification 1.4 section 4.4): a new key in the place of another, whose attributes and names
 * it takes over.
 */
#include "create.h"

#include <string.h>

#include "base/clock.h"
#include "kmip/names.h"

#include "keyblock.h"
#include "link.h"
#include "usagelimits.h"

struct rekey {
	struct object *made;
	struct object *old; /* as it will be */
	int64_t offset;	    /* seconds; -1: none was given */
	struct vault_make make;
};

static void rekey_loaded(struct request *rq, enum err e);
static void rekey_made(struct request *rq, enum err e);

static enum err
read_rekey(struct request *rq, struct rekey *rk, char uid[UID_TEXT_LEN + 1])
{
	struct ttlv t;
	enum err e = rq_take_uid(rq, uid);

	if (e != ERR_OK)
		return e;
	rk->offset = -1;
	if (ttlv_opt(&rq->payload, TAG_OFFSET, TTLV_INTERVAL, &t))
		rk->offset = ttlv_uint(&t);
	e = create_begin(rq, rk->made, KMIP_OBJECT_TYPE_SYMMETRIC_KEY);
	if (e == ERR_OK && create_has_template(rq))
		e = create_read_template(rq, rk->made);
	if (e == ERR_OK)
		e = rq_take_protection(rq);
	if (e == ERR_OK)
		e = ttlv_finish(&rq->payload);
	if (e == ERR_OK && rk->offset >= 0)
		for (int d = DATE_ACTIVATION; d <= DATE_DEACTIVATION; d++)
			if (rk->made->date[d] != NO_DATE)
				e = ERR_INVALID_FIELD; /* the offset says all of them */
	return e;
}

void
re_key_start(struct request *rq)
{
	struct rekey *rk = rq->state = arena_zalloc(rq->arena, sizeof(*rk));
	char uid[UID_TEXT_LEN + 1];
	enum err e = ERR_NO_MEMORY;

	if (rk != NULL)
		rk->made = arena_zalloc(rq->arena, sizeof(*rk->made));
	if (rk != NULL && rk->made != NULL)
		e = rq_own_secret(rq, &rk->make.key);
	if (e == ERR_OK)
		e = read_rekey(rq, rk, uid);
	if (e == ERR_OK)
		rq_load(rq, uid, rekey_loaded);
	else
		rq_done(rq, e);
}

static enum err
may_rekey(const struct object *o)
{
	struct keyform f;

	if (object_is_destroyed(o))
		return ERR_NO_OBJECT;
	if (object_is_archived(o))
		return ERR_ARCHIVED;
	if (o->type != KMIP_OBJECT_TYPE_SYMMETRIC_KEY)
		return ERR_OBJECT_TYPE;
	keyform_of(o, &f);
	return f.wrapping.value == NULL ? ERR_OK : ERR_WRAPPED;
}

/*
 * With an offset the new key's dates are as far from its activation as the old one's were.  Without,
 * they are the old one's, except for an end that has come already.  False: one could not be written.
 */
static bool
set_dates(struct object *made, const struct object *old, int64_t offset, int64_t now)
{
	int64_t shift = 0;

	if (offset >= 0 && old->date[DATE_ACTIVATION] != NO_DATE)
		shift = now + offset - old->date[DATE_ACTIVATION];
	for (int d = DATE_ACTIVATION; d <= DATE_DEACTIVATION; d++) {
		bool ends = d == DATE_PROTECT_STOP || d == DATE_DEACTIVATION;

		if (made->date[d] == NO_DATE && old->date[d] != NO_DATE &&
		    (offset >= 0 || !ends || old->date[d] > now))
			made->date[d] = old->date[d] + shift;
		if (made->date[d] != NO_DATE && !kmip_date_right(made->date[d]))
			return false;
	}
	if (offset >= 0)
		made->date[DATE_ACTIVATION] = now + offset;
	return true;
}

/* What is of the old key alone: how it came, what it was used for, whom it is linked with. */
static bool
stays(const char *name)
{
	static const enum kmip_attr_id staying[] = {
	    ATTR_LINK, ATTR_FRESH, ATTR_RANDOM_NUMBER_GENERATOR, ATTR_USAGE_LIMITS};

	for (size_t i = 0; i < sizeof(staying) / sizeof(staying[0]); i++)
		if (strcmp(kmip_attr_info(staying[i])->name, name) == 0)
			return true;
	return strcmp(name, OBJECT_FORM) == 0;
}

static enum err
take_limits(struct request *rq, struct object *made, const struct object *old)
{
	struct usagelimits l;

	if (usagelimits_of(made, &l) || !usagelimits_of(old, &l))
		return ERR_OK;
	l.left = l.total;
	return usagelimits_keep(made, rq->arena, &l);
}

static bool
is_name(const struct object_attr *at)
{
	return strcmp(at->name, kmip_attr_info(ATTR_NAME)->name) == 0;
}

/* Adds the names of `from` that are not there yet, behind the first *count. */
static enum err
add_names(struct request *rq, struct object *made, const struct object *from, uint32_t *count)
{
	enum err e = ERR_OK;

	for (size_t i = 0; e == ERR_OK && i < from->attrs_count; i++) {
		const struct object_attr *at = &from->attrs[i], *had;
		bool is_there = !is_name(at);

		for (uint32_t n = 0; !is_there && n < *count; n++) {
			had = object_attr_get(made, at->name, n);
			is_there = had->value_len == at->value_len &&
			    memcmp(had->value, at->value, at->value_len) == 0;
		}
		if (!is_there)
			e = object_attr_set(made, rq->arena, at->name, strlen(at->name),
			    (*count)++, at->value, at->value_len);
	}
	return e;
}

static void
drop_names(struct object *o)
{
	for (size_t i = o->attrs_count; i-- > 0;)
		if (is_name(&o->attrs[i]))
			object_attr_remove(o, o->attrs[i].name, o->attrs[i].index);
}

/* The old key's names go over to the new one; those of the template come behind them. */
static enum err
take_names(struct request *rq, struct rekey *rk)
{
	const struct object *given = object_copy(rq->arena, rk->made);
	uint32_t count = 0;
	enum err e = ERR_NO_MEMORY;

	if (given != NULL) {
		drop_names(rk->made);
		e = add_names(rq, rk->made, rk->old, &count);
	}
	if (e == ERR_OK)
		e = add_names(rq, rk->made, given, &count);
	if (e == ERR_OK)
		drop_names(rk->old);
	return e;
}

/* What the template did not say. */
static enum err
take_attributes(struct request *rq, struct rekey *rk)
{
	const struct object *from = rq_object(rq);
	const char *given = "";
	enum err e = ERR_OK;

	for (size_t i = 0; e == ERR_OK && i < from->attrs_count; i++) {
		const struct object_attr *at = &from->attrs[i];
		bool first = i == 0 || strcmp(from->attrs[i - 1].name, at->name) != 0;

		if (is_name(at))
			continue;
		if (first && object_attr_get(rk->made, at->name, at->index) != NULL)
			given = at->name; /* all instances are the template's */
		if (stays(at->name) || strcmp(given, at->name) == 0)
			continue;
		e = object_attr_set(rk->made, rq->arena, at->name, strlen(at->name), at->index,
		    at->value, at->value_len);
	}
	if (e == ERR_OK)
		e = take_names(rq, rk);
	return e == ERR_OK ? take_limits(rq, rk->made, from) : e;
}

static enum err
take_key(struct object *made, const struct object *old)
{
	if ((made->algorithm != 0 && made->algorithm != old->algorithm) ||
	    (made->length != 0 && made->length != old->length))
		return ERR_INVALID_FIELD;
	made->algorithm = old->algorithm;
	made->length = old->length;
	if (made->usage_mask == 0)
		made->usage_mask = old->usage_mask;
	return ERR_OK;
}

static enum err
replace(struct request *rq, struct rekey *rk)
{
	const struct object *old = rq_object(rq);
	int64_t now = clock_wall();
	enum err e = take_key(rk->made, old);

	rk->old = rq_object_copy(rq);
	if (rk->old == NULL)
		return ERR_NO_MEMORY;
	if (e == ERR_OK)
		e = take_attributes(rq, rk);
	if (e == ERR_OK)
		e = link_add(rk->made, rq->arena, KMIP_LINK_TYPE_REPLACED_OBJECT_LINK, old->uid);
	if (e == ERR_OK)
		e = link_add(
		    rk->old, rq->arena, KMIP_LINK_TYPE_REPLACEMENT_OBJECT_LINK, rk->made->uid);
	rk->old->date[DATE_LAST_CHANGE] = now;
	if (e == ERR_OK && !set_dates(rk->made, old, rk->offset, now))
		e = ERR_INVALID_FIELD;
	create_set_birth(rq, rk->made);
	create_set_origin(rq, rk->made);
	return e == ERR_OK ? create_choose_key(rk->made, &rk->make.key) : e;
}

static void
rekey_loaded(struct request *rq, enum err e)
{
	struct rekey *rk = rq->state;

	if (e == ERR_OK)
		e = may_rekey(rq_object(rq));
	if (e == ERR_OK)
		e = replace(rq, rk);
	if (e == ERR_OK)
		create_make(rq, &rk->make, rk->made, rekey_made);
	else
		rq_done(rq, e);
}

static void
rekey_made(struct request *rq, enum err e)
{
	struct rekey *rk = rq->state;

	rq_done(rq, e == ERR_OK ? create_insert_from(rq, &rk->make, rk->old) : e);
}
