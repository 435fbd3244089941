/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys that could not be served when somebody last wanted them, and should have been: they did not pass
 * their integrity check, so that what the vault has is not what was stored, or the root key file lacks the
 * version that wrapped them.  For people, until the key passes again or is gone.
 */
#ifndef KEYS_ALARM_H
#define KEYS_ALARM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"
#include "keys/object.h"

enum { ALARMS_MAX = 64 }; /* further ones are only counted and logged */

struct alarm {
	char tenant[TENANT_ID_MAX + 1], uid[UID_TEXT_LEN + 1];
	bool unkeyed; /* no root key for it, rather than a check that it did not pass */
	uint32_t root_version; /* which is missing then */
	int64_t since_ms; /* since 1970 */
	uint64_t times;
};

struct alarms;

struct alarms *alarms_new(void); /* NULL without memory */
void alarms_free(struct alarms *as); /* NULL is allowed, here and below */

void alarms_raise(struct alarms *as, const char *tenant, const char *uid);
void alarms_raise_unkeyed(
    struct alarms *as, const char *tenant, const char *uid, uint32_t root_version);
void alarms_clear(struct alarms *as, const char *tenant, const char *uid);
/* Clears those that do not stand any more. */
void alarms_sweep(struct alarms *as, bool (*stands)(const void *arg, const struct alarm *),
    const void *arg);
/* The oldest first; NULL: no more. */
const struct alarm *alarms_at(const struct alarms *as, size_t n);

#endif
