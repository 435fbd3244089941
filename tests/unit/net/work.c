/* SPDX-License-Identifier: Apache-2.0 */
/* OpenSSL's allocations, counted. */
#include "work.h"

#include <openssl/crypto.h>

#include "base/alloc.h"

static unsigned blocks;

static void *
counted_malloc(size_t len, const char *file, int line)
{
	(void)file, (void)line;
	blocks++;
	return alloc_bytes(len);
}

static void *
counted_realloc(void *p, size_t len, const char *file, int line)
{
	(void)file, (void)line;
	blocks++;
	if (len == 0) {
		alloc_free(p);
		return NULL;
	}
	return alloc_resize(p, len);
}

static void
plain_free(void *p, const char *file, int line)
{
	(void)file, (void)line;
	alloc_free(p);
}

bool
work_count(void)
{
	return CRYPTO_set_mem_functions(counted_malloc, counted_realloc, plain_free) == 1;
}

unsigned
work_done(void)
{
	return blocks;
}
