/* SPDX-License-Identifier: Apache-2.0 */
/* xorshift under RAND_bytes(): identifiers and jitter follow from the seed as well. */
#define OPENSSL_SUPPRESS_DEPRECATED /* a provider would take a hundred lines for the same */
#include "modelrandom.h"

#include <stdlib.h>

#include <openssl/rand.h>

static uint64_t state = 1;

void
model_random_seed(uint64_t seed)
{
	state = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15);
	state ^= state >> 29;
	if (state == 0)
		state = 1;
}

uint64_t
model_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state >> 11;
}

uint64_t
model_random_below(uint64_t n)
{
	return model_random() % n;
}

int64_t
model_random_between(int64_t least, int64_t most)
{
	return least + (int64_t)model_random_below((uint64_t)(most - least));
}

static int
bytes(unsigned char *out, int len)
{
	for (int i = 0; i < len; i++)
		out[i] = (unsigned char)model_random();
	return 1;
}

static int
status(void)
{
	return 1;
}

void
model_random_install(void)
{
	static const RAND_METHOD method = {.bytes = bytes, .pseudorand = bytes, .status = status};

	if (RAND_set_rand_method(&method) != 1)
		abort();
}
