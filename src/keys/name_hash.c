/* SPDX-License-Identifier: Apache-2.0 */
/* Tenant and uid: their hash, and how tables keep them. */
#include "name_hash.h"

#include <string.h>

#define FNV_PRIME UINT64_C(0x100000001b3)

uint64_t
name_hash(uint64_t seed, const char *tenant, const char *uid)
{
	uint64_t h = seed;

	for (; *tenant != '\0'; tenant++)
		h = (h ^ (uint8_t)*tenant) * FNV_PRIME;
	h *= FNV_PRIME;
	for (; *uid != '\0'; uid++)
		h = (h ^ (uint8_t)*uid) * FNV_PRIME;
	return h ^ h >> 32;
}

size_t
name_room(const char *tenant, const char *uid)
{
	return strlen(tenant) + 1 + strlen(uid) + 1;
}

void
name_put(char *names, const char *tenant, const char *uid)
{
	stpcpy(stpcpy(names, tenant) + 1, uid);
}

const char *
name_uid(const char *names)
{
	return names + strlen(names) + 1;
}

bool
name_is(const char *names, const char *tenant, const char *uid)
{
	return strcmp(names, tenant) == 0 && strcmp(name_uid(names), uid) == 0;
}
