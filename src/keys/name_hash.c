/* SPDX-License-Identifier: Apache-2.0 */
/* Tenant and uid: their hash, and how tables keep them. */
#include "name_hash.h"

#include <string.h>

/* The odd number next to 2^64 divided by the golden ratio: each bit goes into all above it. */
#define FACTOR UINT64_C(0x9e3779b97f4a7c15)

static uint64_t
mix(uint64_t h, uint64_t word)
{
	h = (h ^ word) * FACTOR;
	return h ^ h >> 32;
}

/* By eight bytes, since each Get looks twice; the length says where one text ends. */
static uint64_t
mix_text(uint64_t h, const char *text)
{
	size_t len = strlen(text), left = len;
	uint64_t word;

	for (; left >= sizeof(word); left -= sizeof(word), text += sizeof(word)) {
		memcpy(&word, text, sizeof(word));
		h = mix(h, word);
	}
	word = 0;
	memcpy(&word, text, left);
	return mix(mix(h, word), len);
}

uint64_t
name_hash(uint64_t seed, const char *tenant, const char *uid)
{
	return mix_text(mix_text(seed, tenant), uid);
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
