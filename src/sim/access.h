/* SPDX-License-Identifier: Apache-2.0 */
/* Who may do what: identities, their grants, and the rights that roles hold. */
#ifndef SIM_ACCESS_H
#define SIM_ACCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

#include "store.h"

enum {
	ROLE_READER = 1,
	ROLE_READER_PLUS = 2,
	ROLE_WRITER = 4,
	ROLE_MANAGER = 8,
	ROLE_KEY_PURGE = 16,
	ROLE_VIEWER = 32,
	ROLE_ADMINISTRATOR = 64,
	ROLES_WRITE = ROLE_WRITER | ROLE_MANAGER,
	ROLES_PAYLOAD = ROLES_WRITE | ROLE_READER_PLUS,
	ROLES_READ = ROLES_PAYLOAD | ROLE_READER,
};

enum right {
#define RIGHT(name, action, roles) RIGHT_##name,
#include "right.def"
#undef RIGHT
	RIGHTS,
	RIGHT_NONE = RIGHTS
};

/* What one policy of IAM gives: on the instance, or only on a key ring or a key of it. */
struct grant {
	struct list link;
	char instance[UID_TEXT_LEN + 1];
	char ring[RING_SIZE];	    /* "" for all */
	char key[UID_TEXT_LEN + 1]; /* "" for all */
	uint64_t rights;
};

/* A service ID with its API key, or a trusted profile. */
struct identity {
	struct list link;
	char subject[SUBJECT_SIZE]; /* iam-ServiceId-... */
	char *api_key;		    /* or NULL */
	char *profile_id, *profile_name, *cr_token;
	bool disabled;
	struct list grants;
};

/* Zero for a name that is none. */
uint64_t access_role_rights(const char *role);
uint64_t access_action_rights(const char *action);

/* On any part of the instance. */
bool access_anywhere(const struct identity *who, const struct instance *inst, enum right r);
/* ring, key: NULL when the question is about the whole instance. */
bool access_allows(const struct identity *who, const struct instance *inst, const char *ring,
    const char *key, enum right r);

struct grant *grant_new(struct identity *who); /* NULL without memory */
void grants_free(struct identity *who);

#endif
