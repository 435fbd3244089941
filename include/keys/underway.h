/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is under way for a tenant and may still leave a record behind: requests, and successors that are
 * made without one.  Each wraps under the root key of its own time, and is seen in the ledger at its end
 * alone: who wants to know what is under an old root key asks when all that began before have ended.
 */
#ifndef KEYS_UNDERWAY_H
#define KEYS_UNDERWAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct underway {
	struct list link; /* in the order of their beginnings */
	uint64_t number;
	const char *tenant;
};

/* tenant: its id, borrowed until the end. */
void underway_begin(struct underway *u, const char *tenant);
/* Harmless when it never began. */
void underway_end(struct underway *u);

/* A number that whatever begins from now on has at least. */
uint64_t underway_next(void);
/* Whether something of the tenant is under way with a lower number. */
bool underway_before(uint64_t number, const char *tenant);

#endif
