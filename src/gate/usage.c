/* SPDX-License-Identifier: Apache-2.0 */
/* Usage mask, state and dates. */
#include "usage.h"

#include "keyblock.h"

static bool
has_passed(const struct object *o, enum object_date d, int64_t now)
{
	return o->date[d] != NO_DATE && o->date[d] <= now;
}

static bool
may_protect(const struct object *o, int64_t now)
{
	return o->state == OBJECT_ACTIVE && !has_passed(o, DATE_PROTECT_STOP, now);
}

static bool
may_process(const struct object *o, int64_t now)
{
	if (o->state != OBJECT_ACTIVE && o->state != OBJECT_DEACTIVATED &&
	    o->state != OBJECT_COMPROMISED)
		return false;
	return o->date[DATE_PROCESS_START] == NO_DATE || has_passed(o, DATE_PROCESS_START, now);
}

enum err
usage_allowed(const struct object *o, uint32_t mask, enum usage use, int64_t now)
{
	struct keyform f;

	if ((o->usage_mask & mask) != mask)
		return ERR_USAGE;
	if (use == USAGE_PROTECT ? !may_protect(o, now) : !may_process(o, now))
		return ERR_WRONG_STATE;
	keyform_of(o, &f);
	return f.wrapping.value == NULL ? ERR_OK : ERR_WRAPPED;
}
