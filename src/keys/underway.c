/* SPDX-License-Identifier: Apache-2.0 */
/* All that is under way, of all tenants: a rewrap alone asks, so that a list is enough. */
#include "keys/underway.h"

#include <string.h>

static struct list all = {&all, &all};
static uint64_t next_number;

void
underway_begin(struct underway *u, const char *tenant)
{
	u->number = next_number++;
	u->tenant = tenant;
	list_append(&all, &u->link);
}

void
underway_end(struct underway *u)
{
	list_remove(&u->link);
}

uint64_t
underway_next(void)
{
	return next_number;
}

bool
underway_before(uint64_t number, const char *tenant)
{
	LIST_FOREACH (link, &all) {
		const struct underway *u = CONTAINER_OF(link, struct underway, link);

		if (u->number >= number)
			return false;
		if (strcmp(u->tenant, tenant) == 0)
			return true;
	}
	return false;
}
