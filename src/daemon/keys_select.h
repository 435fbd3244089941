/* SPDX-License-Identifier: Apache-2.0 */
/* Which keys a control command means: the criteria that `keys list' and `keys purge' share. */
#ifndef DAEMON_KEYS_SELECT_H
#define DAEMON_KEYS_SELECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "keys/ledger.h"

struct control_call;
struct tenants;

/* For the usage of a command: what select_read() takes. */
#define SELECT_USAGE \
	" [state=STATE] [name=NAME] [component=NAME] [attribute=x-NAME=VALUE]..." \
	" [older=AGE] [newer=AGE] [unused=AGE]"

enum { SELECT_TERMS_MAX = 24 };

struct selection {
	struct ledger_term terms[SELECT_TERMS_MAX];
	size_t count;	  /* of those that the object itself tells: without last use */
	uint32_t state;	  /* enum object_state; 0: none was named */
	int64_t unused_since; /* seconds since 1970, or NO_DATE: last use does not matter */
	bool narrow;	  /* something else than last use or tenant is named */
};

/* Reads a command's arguments.  NULL, or what is wrong with them. */
const char *select_read(struct selection *s, const struct control_call *call, struct arena *a);
/* Adds the terms of a state (0: of any) and of last use at the end; how many there are then. */
size_t select_terms(struct selection *s, uint32_t state);
/* Narrows the tenants from *first to before *end to the one that is named, if any. */
const char *select_tenant(const struct tenants *ts, const char *id, size_t *first, size_t *end);

#endif
