/* SPDX-License-Identifier: Apache-2.0 */
/* What a find means, for an object that is at hand instead of in a ledger. */
#include "keys/ledger.h"

#include <string.h>

static bool
attr_matches(const struct object *o, const struct ledger_term *t)
{
	for (size_t i = 0; i < o->attrs_count; i++)
		if (strcmp(o->attrs[i].name, t->name) == 0 &&
		    o->attrs[i].value_len == t->value_len &&
		    memcmp(o->attrs[i].value, t->value, t->value_len) == 0)
			return true;
	return false;
}

static bool
date_matches(int64_t d, const struct ledger_term *t)
{
	if (d == NO_DATE)
		return false;
	return t->match == MATCH_EQUAL ? d == t->number
	    : t->match == MATCH_AT_LEAST ? d >= t->number
					 : d <= t->number;
}

static bool
term_matches(const struct object *o, const struct ledger_term *t, int64_t now)
{
	switch (t->field) {
	case FIELD_ATTR:
		return attr_matches(o, t) == (t->match != MATCH_NOT);
	case FIELD_UID:
		return strcmp(o->uid, t->name) == 0;
	case FIELD_USED: /* it is on its way into a ledger: recording begins with it */
		return date_matches(now, t);
	case FIELD_TYPE:
		return (o->type == (uint32_t)t->number) == (t->match != MATCH_NOT);
	case FIELD_STATE:
		return (int64_t)object_state_at(o, now) == t->number;
	case FIELD_ALGORITHM:
		return o->algorithm == (uint32_t)t->number;
	case FIELD_LENGTH:
		return o->length == (uint32_t)t->number;
	case FIELD_USAGE_MASK:
		return (o->usage_mask & (uint32_t)t->number) == (uint32_t)t->number;
	case FIELD_REVOCATION:
		return o->revocation_code == (uint32_t)t->number;
	default:
		return date_matches(o->date[t->field - FIELD_DATE], t);
	}
}

bool
ledger_find_matches(const struct ledger_find *f, const struct object *o)
{
	if (object_is_destroyed(o) ? !f->include_destroyed
	    : f->only_destroyed || (object_is_archived(o) ? f->no_archived : f->no_online))
		return false;
	for (size_t i = 0; i < f->terms_count; i++)
		if (!term_matches(o, &f->terms[i], f->now))
			return false;
	return true;
}
