/* SPDX-License-Identifier: Apache-2.0 */
/* A hash of tenant and uid. */
#include "name_hash.h"

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
