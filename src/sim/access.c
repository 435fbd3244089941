/* SPDX-License-Identifier: Apache-2.0 */
/* Who may do what. */
#include "access.h"

#include <stddef.h>
#include <string.h>

#include "base/alloc.h"

_Static_assert(RIGHTS <= 64, "rights are bits of a uint64_t");

static const struct {
	const char *name;
	unsigned role;
} roles[] = {
    {"Reader", ROLE_READER},
    {"ReaderPlus", ROLE_READER_PLUS},
    {"Writer", ROLE_WRITER},
    {"Manager", ROLE_MANAGER},
    {"KeyPurge", ROLE_KEY_PURGE},
    {"Viewer", ROLE_VIEWER},
    {"Administrator", ROLE_ADMINISTRATOR},
};

static const struct {
	const char *action;
	unsigned roles;
} rights[RIGHTS] = {
#define RIGHT(name, action, roles) {action, roles},
#include "right.def"
#undef RIGHT
};

uint64_t
access_role_rights(const char *role)
{
	uint64_t mask = 0;
	unsigned bit = 0;

	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
		if (strcmp(roles[i].name, role) == 0)
			bit = roles[i].role;
	for (unsigned r = 0; r < RIGHTS; r++)
		if ((rights[r].roles & bit) != 0)
			mask |= UINT64_C(1) << r;
	return mask;
}

uint64_t
access_action_rights(const char *action)
{
	for (unsigned r = 0; r < RIGHTS; r++)
		if (strcmp(rights[r].action, action) == 0)
			return UINT64_C(1) << r;
	return 0;
}

bool
access_anywhere(const struct identity *who, const struct instance *inst, enum right r)
{
	LIST_FOREACH(l, &who->grants)
	{
		const struct grant *g = CONTAINER_OF(l, struct grant, link);

		if (strcmp(g->instance, inst->id) == 0 && (g->rights >> r & 1) != 0)
			return true;
	}
	return false;
}

bool
access_allows(const struct identity *who, const struct instance *inst, const char *ring,
    const char *key, enum right r)
{
	LIST_FOREACH(l, &who->grants)
	{
		const struct grant *g = CONTAINER_OF(l, struct grant, link);

		if (strcmp(g->instance, inst->id) != 0 || (g->rights >> r & 1) == 0)
			continue;
		if (g->ring[0] != '\0' && (ring == NULL || strcmp(g->ring, ring) != 0))
			continue;
		if (g->key[0] != '\0' && (key == NULL || strcmp(g->key, key) != 0))
			continue;
		return true;
	}
	return false;
}

struct grant *
grant_new(struct identity *who)
{
	struct grant *g = alloc_zero(sizeof(*g));

	if (g != NULL)
		list_append(&who->grants, &g->link);
	return g;
}

void
grants_free(struct identity *who)
{
	LIST_FOREACH_SAFE(l, next, &who->grants)
	{
		list_remove(l);
		alloc_free(CONTAINER_OF(l, struct grant, link));
	}
}
