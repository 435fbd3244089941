/* SPDX-License-Identifier: Apache-2.0 */
/* Merging attributes, instance by instance, against what both sides had before. */
#include "attr_merge.h"

#include <string.h>

#include "base/log.h"

static bool
is_name(const struct object_attr *at)
{
	return strcmp(at->name, "Name") == 0;
}

/* Whether a key was fetched is for each gateway to know. */
static bool
is_own(const struct object_attr *at)
{
	return strcmp(at->name, "Fresh") == 0;
}

/* NULL: there is no such instance. */
static bool
is_same(const struct object_attr *x, const struct object_attr *y)
{
	if (x == NULL || y == NULL)
		return x == y;
	return x->value_len == y->value_len && memcmp(x->value, y->value, x->value_len) == 0;
}

static const struct object_attr *
get(const struct object *o, const struct object_attr *like)
{
	return o != NULL ? object_attr_get(o, like->name, like->index) : NULL;
}

bool
attr_merge_is_due(const struct object *o, const struct object *recorded)
{
	if (o->date[DATE_ARCHIVE] != recorded->date[DATE_ARCHIVE])
		return true;
	for (size_t i = 0; i < o->attrs_count; i++)
		if (!is_own(&o->attrs[i]) && !is_same(&o->attrs[i], get(recorded, &o->attrs[i])))
			return true;
	for (size_t i = 0; i < recorded->attrs_count; i++)
		if (!is_own(&recorded->attrs[i]) && !is_name(&recorded->attrs[i]) &&
		    get(o, &recorded->attrs[i]) == NULL)
			return true;
	return false;
}

bool
attr_merge_drop_names(struct object *o)
{
	bool any = false;

	for (size_t i = o->attrs_count; i > 0; i--)
		if (is_name(&o->attrs[i - 1]))
			any |= object_attr_remove(o, "Name", o->attrs[i - 1].index);
	return any;
}

static bool
has_value(const struct object *o, const struct object_attr *at)
{
	for (size_t i = 0; i < o->attrs_count; i++)
		if (strcmp(o->attrs[i].name, at->name) == 0 && is_same(&o->attrs[i], at))
			return true;
	return false;
}

static enum err
set(struct object *o, struct arena *a, const struct object_attr *at, uint32_t index)
{
	return object_attr_set(o, a, at->name, strlen(at->name), index, at->value, at->value_len);
}

/* Each gateway took the first index that was free: neither link is the other one changed. */
static bool
is_link_added_twice(const struct object_attr *at, const struct object *base)
{
	return strcmp(at->name, "Link") == 0 && get(base, at) == NULL;
}

static enum err
add_beside(struct object *o, struct arena *a, const struct object_attr *at)
{
	uint32_t index = 0;

	if (has_value(o, at))
		return ERR_OK;
	while (object_attr_get(o, at->name, index) != NULL)
		index++;
	return set(o, a, at, index);
}

enum err
attr_merge(
    struct object *o, struct arena *a, const struct object *base, const struct object *theirs)
{
	size_t left_out = 0;

	if (base != NULL && o->date[DATE_ARCHIVE] == base->date[DATE_ARCHIVE])
		o->date[DATE_ARCHIVE] = theirs->date[DATE_ARCHIVE];
	for (size_t i = o->attrs_count; i > 0; i--) {
		const struct object_attr *mine = &o->attrs[i - 1];

		if (get(theirs, mine) == NULL && !is_own(mine) && !is_name(mine) &&
		    is_same(mine, get(base, mine)))
			object_attr_remove(o, mine->name, mine->index);
	}
	for (size_t i = 0; i < theirs->attrs_count; i++) {
		const struct object_attr *at = &theirs->attrs[i];
		enum err e = ERR_OK;

		if (!is_own(at) && is_same(get(o, at), get(base, at)))
			e = set(o, a, at, at->index);
		else if (is_link_added_twice(at, base))
			e = add_beside(o, a, at);
		if (e == ERR_TOO_MANY_ATTRIBUTES)
			left_out++;
		else if (e != ERR_OK)
			return e;
	}
	if (left_out > 0)
		LOG(LOG_WARN, "share", "an object cannot hold all attributes that it has elsewhere",
		    kv_text("tenant", o->tenant), kv_text("uid", o->uid),
		    kv_int("left-out", (int64_t)left_out));
	return ERR_OK;
}
